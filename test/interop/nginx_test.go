package interop

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/maitred/maitred/test/harness"
)

// site is the name in deploy/nginx.conf.
const site = "call.example.com"

// TestNginx puts the real nginx with our site file in front of the daemon.
func TestNginx(t *testing.T) {
	d := harness.Start(t, "MAITRED_HTTP_TRUSTED_PROXIES=127.0.0.1/32", "MAITRED_API_KEYS=key-that-came-through-a-proxy")
	n := startNginx(t, d.Listening("http"))

	t.Run("page", func(t *testing.T) {
		for path, mime := range map[string]string{"/": "text/html", "/r/tea": "text/html", "/readyz": "application/json"} {
			response, body := n.get(t, n.url("https", path))
			if response.StatusCode != http.StatusOK || !strings.HasPrefix(response.Header.Get("Content-Type"), mime) {
				t.Errorf("%s: %s %s", path, response.Status, body)
			}
			if response.Header.Get("Content-Security-Policy") == "" {
				t.Errorf("%s: nginx dropped our headers: %v", path, response.Header)
			}
		}
	})
	t.Run("redirect", func(t *testing.T) {
		response, _ := n.get(t, n.url("http", "/r/tea?x=1"))
		if want := "https://" + site + "/r/tea?x=1"; response.StatusCode != 301 || response.Header.Get("Location") != want {
			t.Errorf("%s to %q, want %q", response.Status, response.Header.Get("Location"), want)
		}
	})
	t.Run("join", func(t *testing.T) { n.join(t) })
	t.Run("client address", func(t *testing.T) {
		n.get(t, n.url("https", "/healthz"), "X-Forwarded-For: 203.0.113.5")
		harness.Within(t, 5*time.Second, "the daemon logs the address that nginx saw", func() (bool, any) {
			return regexp.MustCompile(`"path":"/healthz".*"client":"127\.0\.0\.2"`).MatchString(d.Log.String()), d.Log
		})
		if strings.Contains(d.Log.String(), "203.0.113.5") {
			t.Error("a client's own X-Forwarded-For was believed")
		}
	})
	t.Run("nothing secret in the log", func(t *testing.T) {
		n.get(t, n.url("https", "/r/secret-room"))
		n.get(t, n.url("https", "/turn?service=turn&key=key-that-came-through-a-proxy"))
		harness.Within(t, 5*time.Second, "nginx logs", func() (bool, any) {
			text := n.logs(t)
			return strings.Contains(text, `"GET /turn"`), text
		})
		if text := n.logs(t); strings.Contains(text, "secret-room") || strings.Contains(text, "key-that-came-through-a-proxy") {
			t.Errorf("logged:\n%s", text)
		}
	})
}

// nginx is a running one with our site on ports of its own.
type nginx struct {
	prefix      string
	http, https net.Addr
	client      *http.Client
}

func startNginx(t *testing.T, daemon string) *nginx {
	t.Helper()
	n := &nginx{prefix: t.TempDir()}
	plain, secure := listenFile(t), listenFile(t)
	n.http, n.https = plain.address, secure.address
	roots := n.certificate(t)
	n.configure(t, daemon)

	command := exec.Command("nginx", "-p", n.prefix, "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off;")
	// nginx takes over listeners that a previous one hands it, which saves us
	// from guessing free ports.
	command.ExtraFiles = []*os.File{plain.file, secure.file}
	command.Env = []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "NGINX=3;4;"}
	if path, err := exec.LookPath("/usr/sbin/nginx"); err == nil {
		command.Path, command.Err = path, nil
	}
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
		if t.Failed() {
			t.Logf("nginx said:\n%s", &output)
		}
	})
	n.client = &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{RootCAs: roots},
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				// The site's name leads to our nginx, from an address that is not the daemon's.
				_, port, _ := net.SplitHostPort(address)
				from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
				return from.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
			},
		},
	}
	return n
}

type inherited struct {
	file    *os.File
	address net.Addr
}

func listenFile(t *testing.T) inherited {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return inherited{file, listener.Addr()}
}

// configure writes deploy/nginx.conf with our ports, paths and daemon, inside
// the frame that a distribution's nginx.conf is.
func (n *nginx) configure(t *testing.T, daemon string) {
	t.Helper()
	conf, err := os.ReadFile(filepath.Join(top, "deploy", "nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(conf)
	for _, change := range [][2]string{
		{`listen \[::\]:\d+( ssl)?;`, ""},
		{`listen 80;`, "listen " + n.http.String() + ";"},
		{`listen 443 ssl;`, "listen " + n.https.String() + " ssl;"},
		{`server 127\.0\.0\.1:8080;`, "server " + daemon + ";"},
		{`/etc/letsencrypt/live/` + regexp.QuoteMeta(site), n.prefix},
		{`/var/log/nginx`, n.prefix},
	} {
		expression := regexp.MustCompile(change[0])
		if !expression.MatchString(text) {
			t.Fatalf("deploy/nginx.conf has no %s", change[0])
		}
		text = expression.ReplaceAllString(text, change[1])
	}
	frame := "pid nginx.pid;\nevents {}\nhttp {\n"
	if os.Geteuid() == 0 {
		// A worker of lesser rights could not enter the test's directory.
		frame = "user root;\n" + frame
	}
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "scgi", "uwsgi"} {
		frame += kind + "_temp_path temp_" + kind + ";\n"
	}
	if err := os.WriteFile(filepath.Join(n.prefix, "nginx.conf"), []byte(frame+text+"}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// certificate makes one for the site where the site file looks for it.
func (n *nginx) certificate(t *testing.T) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{site},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, content := range map[string][]byte{
		"fullchain.pem": certificate,
		"privkey.pem":   pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	} {
		if err := os.WriteFile(filepath.Join(n.prefix, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	return roots
}

func (n *nginx) url(scheme, path string) string {
	address := n.https
	if scheme == "http" {
		address = n.http
	}
	return fmt.Sprintf("%s://%s:%d%s", scheme, site, address.(*net.TCPAddr).Port, path)
}

func (n *nginx) get(t *testing.T, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Set(name, value)
	}
	response, err := n.client.Do(request)
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

// join enters a room as the page does and looks for ICE servers that carry the
// site's name.
func (n *nginx) join(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, n.url("https", "/ws"), &websocket.DialOptions{
		HTTPClient:   n.client,
		HTTPHeader:   http.Header{"Origin": {n.url("https", "")}},
		Subprotocols: []string{"maitred.v1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.MessageText, []byte(`{"type":"join","room":"tea","name":"Ann"}`)); err != nil {
		t.Fatal(err)
	}
	_, message, err := conn.Read(ctx)
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
	if !strings.Contains(string(message), "turn:"+site+":") {
		t.Errorf("the ICE servers do not carry the site's name: %s", message)
	}
	if err := conn.Write(ctx, websocket.MessageText, []byte(`{"type":"leave"}`)); err != nil {
		t.Errorf("leave: %v", err)
	}
}

func (n *nginx) logs(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, name := range []string{"maitred.log", "maitred-error.log"} {
		text, err := os.ReadFile(filepath.Join(n.prefix, name))
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}
