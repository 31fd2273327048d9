package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/maitred/maitred/test/harness"
)

// TestDomain is the README's server: a fresh "serve --domain" gets its
// certificate from a real ACME server, redirects from the clear port, and has
// the certificate again after a restart, when nobody gives one.
func TestDomain(t *testing.T) {
	clear, secure := harness.FreePort(t), harness.FreePort(t)
	pebble := harness.StartPebble(t, top, portOf(t, clear), portOf(t, secure), time.Hour)
	settings := []string{"MAITRED_DOMAIN=" + site, "MAITRED_HTTP_LISTEN=" + clear, "MAITRED_HTTPS_LISTEN=" + secure, "MAITRED_STATE_DIR=" + t.TempDir(),
		"MAITRED_TLS_ACME_DIRECTORY_URL=" + pebble.DirectoryURL, "MAITRED_TLS_ACME_CA_FILE=" + pebble.CAFile}
	d := harness.Start(t, settings...)
	harness.Within(t, 30*time.Second, "there is a certificate", func() (bool, any) {
		return strings.Contains(d.Log.String(), "certificate obtained from the CA"), d.Log
	})
	client := clientOf(secure, &tls.Config{RootCAs: pebble.Roots()})

	response, body := get(t, client, "https://"+site+"/")
	if response.StatusCode != http.StatusOK || response.Proto != "HTTP/2.0" || !strings.Contains(body, "<title>") {
		t.Errorf("%s %s\n%s", response.Proto, response.Status, body)
	}
	if got := response.Header.Get("Strict-Transport-Security"); !strings.HasPrefix(got, "max-age=") {
		t.Errorf("Strict-Transport-Security: %q", got)
	}
	response, _ = get(t, clientOf(clear, nil), "http://"+site+"/r/tea?x=1")
	if want := fmt.Sprintf("https://%s:%d/r/tea?x=1", site, portOf(t, secure)); response.StatusCode != http.StatusPermanentRedirect || response.Header.Get("Location") != want {
		t.Errorf("in clear: %s to %q, want %q", response.Status, response.Header.Get("Location"), want)
	}
	room, urls := join(t, client, "wss://"+site+"/ws")
	defer room.CloseNow()
	if want := fmt.Sprintf("turns:%s:%d?transport=tcp", site, portOf(t, secure)); !slices.Contains(urls, want) || urls[len(urls)-1] != want {
		t.Errorf("the room hands out %q, want %s at their end", urls, want)
	}
	if until := d.Metric("maitred_tls_certificate_expires_seconds"); until < float64(time.Now().Unix()) || until > float64(time.Now().Add(2*time.Hour).Unix()) {
		t.Errorf("the certificate is good until %v", until)
	}
	// The self-check wants the domain in the certificate. Only this port is known: the system chose the others.
	if text := string(d.Run("check")); !strings.HasPrefix(text, "ALL WELL: ") || !strings.Contains(text, "\nturns:"+secure+"?transport=tcp  ok ") {
		t.Errorf("maitred check says:\n%s", text)
	}

	roots := pebble.Roots()
	pebble.Stop()
	room.CloseNow()
	d.Stop(10 * time.Second)
	harness.Start(t, settings...)
	if response, _ := get(t, clientOf(secure, &tls.Config{RootCAs: roots}), "https://"+site+"/"); response.StatusCode != http.StatusOK {
		t.Errorf("after a restart: %s", response.Status)
	}
}

// TestCertificateAuthorityDown: nothing else waits for it, and the log says what is wrong.
func TestCertificateAuthorityDown(t *testing.T) {
	clear, secure := harness.FreePort(t), harness.FreePort(t)
	d := harness.Start(t, "MAITRED_DOMAIN="+site, "MAITRED_HTTP_LISTEN="+clear, "MAITRED_HTTPS_LISTEN="+secure,
		"MAITRED_TLS_ACME_DIRECTORY_URL=https://"+harness.FreePort(t)+"/dir")
	// It is ready, since Start has returned: STUN and TURN over UDP and TCP answer.
	harness.Within(t, 10*time.Second, "the log says so", func() (bool, any) {
		return strings.Contains(d.Log.String(), "connection refused"), d.Log
	})
	_, err := tls.Dial("tcp", secure, &tls.Config{ServerName: site})
	if err == nil {
		t.Fatal("a handshake without a certificate succeeds")
	}
	harness.Within(t, 10*time.Second, "the refused handshake is counted and explained", func() (bool, any) {
		return d.Metric(`maitred_tls_handshakes_total{result="no_certificate"}`) == 1 && strings.Contains(d.Log.String(), "TLS connections are refused"), d.Log
	})
}

// TestOnePortUnderLoad has page, WebSockets and relayed media on one port at
// the same time, and replaces the certificate twice under all of that: nothing
// is refused, cut off or lost.
func TestOnePortUnderLoad(t *testing.T) {
	ca := harness.NewAuthority(t)
	directory := t.TempDir()
	cert, key := ca.Issue(directory, site, "127.0.0.1")
	secrets := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secrets, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := harness.Start(t, "MAITRED_HTTP_LISTEN=off", "MAITRED_HTTPS_LISTEN=127.0.0.1:0", "MAITRED_TURN_UDP=off", "MAITRED_TURN_TCP=off", "MAITRED_TURN_RELAY_PORTS=none",
		"MAITRED_TLS_CERT_FILE="+cert, "MAITRED_TLS_KEY_FILE="+key, "MAITRED_TURN_SECRETS="+secret, "MAITRED_LOG_LEVEL=info", "MAITRED_HTTP_LIMITS_CONNECTIONS_PER_IP=0")
	secure := d.Listening("https")
	ctx, stop := context.WithCancel(t.Context())
	var work errgroup.Group
	var pages, messages int
	work.Go(func() (err error) { pages, err = loadPages(ctx, secure, ca.Roots); return err })
	first, _ := join(t, clientOf(secure, &tls.Config{RootCAs: ca.Roots}), "wss://"+site+"/ws")
	second, _ := join(t, clientOf(secure, &tls.Config{RootCAs: ca.Roots}), "wss://"+site+"/ws")
	work.Go(func() (err error) { messages, err = talk(ctx, first, second); return err })
	var report struct {
		Loss     float64 `json:"loss_pct"`
		Sessions int     `json:"sessions"`
		Relayed  float64 `json:"relayed_pps"`
	}
	work.Go(func() error {
		defer stop()
		output, err := exec.CommandContext(ctx, harness.Binary, "bench", "relay", "--server", secure, "--transport", "tls", "--secret-file", secrets, "--pair", "--sessions", "10",
			"--rate", "2000", "--burst", "4", "--duration", "8s", "--baseline=false", "--json").Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return fmt.Errorf("%w\n%s", err, exit.Stderr)
		}
		return errors.Join(err, json.Unmarshal(output, &report))
	})
	for swap := 2; swap <= 3; swap++ {
		ca.Issue(directory, site, "127.0.0.1")
		harness.Within(t, 15*time.Second, "the new certificate is taken over", func() (bool, any) {
			return strings.Count(d.Log.String(), "certificate loaded from its files") >= swap, d.Log
		})
	}
	if ctx.Err() != nil {
		t.Error("the load ended before the last certificate came")
	}
	if got, want := served(t, secure), ca.Last(); !bytes.Equal(got, want) {
		t.Error("a new connection does not get the last certificate")
	}
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d pages, %d messages, %v packets a second, %v %% lost", pages, messages, report.Relayed, report.Loss)
	if report.Loss != 0 || report.Sessions != 10 || report.Relayed < 1500 || pages < 100 || messages < 100 {
		t.Error("that is too little, or something was lost")
	}
}

// served is the certificate that a new connection gets.
func served(t *testing.T, address string) []byte {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{ServerName: site, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Raw
}

// loadPages asks for pages until ctx ends: over HTTP/2 on one connection, and each time on a new one.
func loadPages(ctx context.Context, address string, roots *x509.CertPool) (count int, err error) {
	kept, fresh := clientOf(address, &tls.Config{RootCAs: roots}), clientOf(address, &tls.Config{RootCAs: roots})
	fresh.Transport.(*http.Transport).DisableKeepAlives = true
	defer kept.CloseIdleConnections()
	for ; ctx.Err() == nil; count++ {
		client := kept
		if count%4 == 0 {
			client = fresh
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+site+"/", nil)
		if err != nil {
			return count, err
		}
		response, err := client.Do(request)
		if ctx.Err() != nil {
			return count, nil
		}
		if err != nil {
			return count, err
		}
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if ctx.Err() == nil && (err != nil || response.StatusCode != http.StatusOK) {
			return count, fmt.Errorf("%s, %v", response.Status, err)
		}
	}
	return count, nil
}

// talk has one member broadcast and the other one wait for it, again and again until ctx ends.
func talk(ctx context.Context, from, to *websocket.Conn) (count int, err error) {
	defer from.CloseNow()
	defer to.CloseNow()
	pause := time.NewTicker(20 * time.Millisecond) // fewer than signaling.limits.messages
	defer pause.Stop()
	for ctx.Err() == nil {
		text := fmt.Sprintf(`{"type":"broadcast","data":%d}`, count)
		if err = from.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			break
		}
		for {
			var message []byte
			if _, message, err = to.Read(ctx); err != nil || strings.Contains(string(message), `"data":`+strconv.Itoa(count)+"}") {
				break
			}
		}
		if err != nil {
			break
		}
		count++
		<-pause.C
	}
	if ctx.Err() != nil {
		err = nil
	}
	return count, err
}

// clientOf leads every name to address.
func clientOf(address string, config *tls.Config) *http.Client {
	return &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		}},
	}
}

// get sends headers ("Name: value") along and returns the answer with its body.
func get(t *testing.T, client *http.Client, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = headerOf(headers)
	if host := request.Header.Get("Host"); host != "" {
		request.Host = host
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func headerOf(lines []string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Set(name, value)
	}
	return h
}

// join enters a room and returns the TURN URLs that it hands out.
func join(t *testing.T, client *http.Client, url string, headers ...string) (*websocket.Conn, []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	// A WebSocket needs HTTP/1.1 (RFC 6455).
	transport := client.Transport.(*http.Transport).Clone()
	transport.ForceAttemptHTTP2 = false
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}, HTTPHeader: headerOf(headers), Subprotocols: []string{"maitred.v1"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := ws.Write(ctx, websocket.MessageText, []byte(`{"type":"join","room":"tea","name":"Ann"}`)); err != nil {
		t.Fatal(err)
	}
	_, message, err := ws.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var joined struct {
		Type       string
		ICEServers []struct{ URLs []string } `json:"iceServers"`
	}
	if err := json.Unmarshal(message, &joined); err != nil || joined.Type != "joined" || len(joined.ICEServers) == 0 {
		t.Fatalf("%v in %s", err, message)
	}
	return ws, joined.ICEServers[len(joined.ICEServers)-1].URLs
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}
