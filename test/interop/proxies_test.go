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
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/maitred/maitred/test/harness"
)

const (
	// site is maitred's name in the files of deploy/, other is of somebody else behind the same proxy.
	site  = "call.example.com"
	other = "shop.example.com"

	// madeUp is an address that nobody here has.
	madeUp = "203.0.113.5"
)

// self is where clients come from: neither the daemon's nor the proxy's address, and no trusted one.
var self = net.IPv4(127, 0, 0, 2)

// inherited is an open socket for a program that is started later.
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

func (i inherited) port() int { return i.address.(*net.TCPAddr).Port }

// deployed is a file of deploy/ after changes, pairs of an expression and what takes its place. Each expression must be there.
func deployed(t *testing.T, name string, changes [][2]string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(top, "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	// Comments name the same addresses.
	text := regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(string(content), "")
	for _, change := range changes {
		expression := regexp.MustCompile(change[0])
		if !expression.MatchString(text) {
			t.Fatalf("deploy/%s has no %s", name, change[0])
		}
		text = expression.ReplaceAllString(text, change[1])
	}
	return text
}

// write makes a file in directory.
func write(t *testing.T, directory, name, content string) string {
	t.Helper()
	path := filepath.Join(directory, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run has a program serve sockets, its descriptors from 3 up, until the test ends.
func run(t *testing.T, sockets []inherited, environment []string, line ...string) {
	t.Helper()
	command := exec.Command(line[0], line[1:]...)
	if path, err := exec.LookPath("/usr/sbin/" + line[0]); err == nil {
		command.Path, command.Err = path, nil
	}
	for _, s := range sockets {
		command.ExtraFiles = append(command.ExtraFiles, s.file)
	}
	command.Env = append([]string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin"}, environment...)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stdout, command.Stderr = writer, writer
	err = command.Start()
	writer.Close()
	if err != nil {
		reader.Close()
		t.Fatal(err)
	}
	var output []byte
	var copying errgroup.Group
	copying.Go(func() (err error) {
		output, err = io.ReadAll(reader)
		return err
	})
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
		if err := copying.Wait(); err != nil {
			t.Error(err)
		}
		reader.Close()
		if t.Failed() {
			t.Logf("%s said:\n%s", line[0], output)
		}
	})
}

func read(t *testing.T, directory, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(directory, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// certificate makes one for names, in the files fullchain.pem and privkey.pem of directory.
func certificate(t *testing.T, directory string, names ...string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: names,
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
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	write(t, directory, "fullchain.pem", string(chain))
	write(t, directory, "privkey.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(chain)
	return roots
}

func tcpAddress(t *testing.T, address string) net.Addr {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// dial connects to address as a client does.
func dial(ctx context.Context, address string) (net.Conn, error) {
	return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: self}, Timeout: 10 * time.Second}).DialContext(ctx, "tcp4", address)
}

// connect is dial for a test; what it is used for must be over in seconds.
func connect(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// proxy is a running one in front of the daemon, as its clients see it.
type proxy struct {
	http, https net.Addr
	roots       *x509.CertPool
	client      *http.Client
}

func newProxy(plain, secure inherited, roots *x509.CertPool) *proxy {
	return &proxy{http: plain.address, https: secure.address, roots: roots, client: &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{RootCAs: roots},
			DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
				// Every name leads to our proxy.
				_, port, _ := net.SplitHostPort(address)
				return dial(ctx, net.JoinHostPort("127.0.0.1", port))
			},
		},
	}}
}

func (p *proxy) url(scheme, host, path string) string {
	address := p.https
	if scheme == "http" {
		address = p.http
	}
	return fmt.Sprintf("%s://%s:%d%s", scheme, host, address.(*net.TCPAddr).Port, path)
}

func (p *proxy) get(t *testing.T, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	return get(t, p.client, url, headers...)
}

// startWithDomain starts a daemon as behind a proxy that leaves TLS to it. It gets its certificate from authority, and own to listen on.
func startWithDomain(t *testing.T, authority *harness.Pebble, own inherited, settings ...string) *harness.Daemon {
	t.Helper()
	return startWith(t, []inherited{own}, append(settings, "MAITRED_DOMAIN="+site, "MAITRED_HTTP_TRUSTED_PROXIES=127.0.0.1/32",
		"MAITRED_HTTPS_PUBLIC_PORT=443",
		"MAITRED_TLS_ACME_DIRECTORY_URL="+authority.DirectoryURL, "MAITRED_TLS_ACME_CA_FILE="+authority.CAFile)...)
}

// waitForCertificate waits until the daemon has one, and lets roots trust it.
func waitForCertificate(t *testing.T, d *harness.Daemon, authority *harness.Pebble, roots *x509.CertPool) {
	t.Helper()
	harness.Within(t, 60*time.Second, "the daemon has a certificate", func() (bool, any) {
		return strings.Contains(d.Log.String(), "certificate obtained from the CA"), d.Log
	})
	for _, path := range []string{"/roots/0", "/intermediates/0"} {
		if !roots.AppendCertsFromPEM(authority.Ask(path)) {
			t.Fatalf("no certificate at %s", path)
		}
	}
}

// page wants what the daemon serves, with its headers.
func (p *proxy) page(t *testing.T) {
	t.Helper()
	for path, mime := range map[string]string{"/": "text/html", "/r/tea": "text/html", "/readyz": "application/json"} {
		response, body := p.get(t, p.url("https", site, path))
		if response.StatusCode != http.StatusOK || !strings.HasPrefix(response.Header.Get("Content-Type"), mime) {
			t.Errorf("%s: %s %s", path, response.Status, body)
		}
		if response.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s: the daemon's headers are gone: %v", path, response.Header)
		}
	}
}

// redirect wants requests in clear to be led to HTTPS on its usual port.
func (p *proxy) redirect(t *testing.T) {
	t.Helper()
	// Browsers do not name port 80.
	response, _ := p.get(t, p.url("http", site, "/r/tea?x=1"), "Host: "+site)
	if want := "https://" + site + "/r/tea?x=1"; response.StatusCode != http.StatusMovedPermanently || response.Header.Get("Location") != want {
		t.Errorf("%s to %q, want %q", response.Status, response.Header.Get("Location"), want)
	}
}

// join enters a room as the page does and wants ICE servers, with url among them.
func (p *proxy) join(t *testing.T, url string) {
	t.Helper()
	conn, urls := join(t, p.client, p.url("https", site, "/ws"), "Origin: "+p.url("https", site, ""))
	defer conn.CloseNow()
	if !strings.Contains(strings.Join(urls, " "), url) {
		t.Errorf("%s is not among the ICE servers: %q", url, urls)
	}
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(`{"type":"leave"}`)); err != nil {
		t.Errorf("leave: %v", err)
	}
}

// sharesPort is what a proxy is for that leads connections to the daemon by the name in the TLS hello.
func (p *proxy) sharesPort(t *testing.T, d *harness.Daemon) {
	t.Run("page", p.page)
	t.Run("redirect", p.redirect)
	t.Run("join", func(t *testing.T) { p.join(t, "turns:"+site+":443?transport=tcp") })
	t.Run("client address", func(t *testing.T) {
		p.get(t, p.url("https", site, "/healthz"), "X-Forwarded-For: "+madeUp, "X-Forwarded-Proto: http", "Forwarded: for="+madeUp)
		wantRequest(t, d, "/healthz", "https", self.String(), true)
	})
	t.Run("another site", func(t *testing.T) {
		for _, host := range []string{other, "127.0.0.1"} { // the second is no name that a hello may have
			conn := tls.Client(connect(t, p.https.String()), &tls.Config{RootCAs: p.roots, ServerName: host, InsecureSkipVerify: host != other})
			if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: " + other + "\r\nConnection: close\r\n\r\n")); err != nil {
				t.Fatalf("%s: %v", host, err)
			}
			if text := readAll(t, conn); !strings.Contains(text, "another site for "+self.String()) {
				t.Errorf("%s: %s", host, text)
			}
		}
	})
	t.Run("TURN", func(t *testing.T) {
		for _, protocols := range [][]string{nil, {"stun.turn"}} {
			outer := connect(t, p.https.String())
			conn := tls.Client(outer, &tls.Config{RootCAs: p.roots, ServerName: site, NextProtos: protocols})
			wantMapped(t, conn, outer.LocalAddr())
			wantAllocation(t, d, conn, outer.LocalAddr())
		}
	})
}

// challengeArrives asks in the place of a certificate authority.
func (p *proxy) challengeArrives(t *testing.T, d *harness.Daemon) {
	t.Helper()
	const path = "/.well-known/acme-challenge/unknown"
	p.get(t, p.url("http", site, path), "X-Forwarded-For: "+madeUp, "X-Forwarded-Proto: https", "Forwarded: for="+madeUp)
	wantRequest(t, d, path, "http", self.String(), false)
}

// request is a line of the daemon's log of requests.
type request struct {
	Msg, Service, Path, Client string
	Secure                     bool
}

// requests are those for path so far.
func requests(d *harness.Daemon, path string) (found []request) {
	for _, line := range d.Log.Lines() {
		var r request
		if json.Unmarshal([]byte(line), &r) == nil && r.Msg == "request" && r.Path == path {
			found = append(found, r)
		}
	}
	return found
}

// wantRequest waits for the one request for path that there was, and compares it.
func wantRequest(t *testing.T, d *harness.Daemon, path, service, client string, secure bool) {
	t.Helper()
	var got []request
	harness.Within(t, 5*time.Second, "the daemon logs the request for "+path, func() (bool, any) {
		got = requests(d, path)
		return len(got) > 0, d.Log
	})
	if want := (request{"request", service, path, client, secure}); len(got) != 1 || got[0] != want {
		t.Errorf("the daemon saw %+v, want %+v", got, want)
	}
}

// wantAllocation makes an allocation on conn, which comes from a client at from, and looks whose it is to the daemon.
func wantAllocation(t *testing.T, d *harness.Daemon, conn net.Conn, from net.Addr) {
	t.Helper()
	var credential struct{ Username, Credential string }
	if err := json.Unmarshal(d.Run("credentials", "--json"), &credential); err != nil {
		t.Fatal(err)
	}
	allocate(t, conn, credential.Username, credential.Credential)
	status, body := harness.Get(d.Admin("/api/v1/allocations"))
	var answer struct {
		Allocations []struct{ Client netip.AddrPort }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%d %v: %s", status, err, body)
	}
	if want := from.(*net.TCPAddr).AddrPort(); len(answer.Allocations) != 1 || answer.Allocations[0].Client != want {
		t.Errorf("allocations of %v, want one of %v", answer.Allocations, want)
	}
	conn.Close()
	d.WaitForNoAllocations()
}

// wantMapped asks who we are on conn, which comes from a client at from.
func wantMapped(t *testing.T, conn net.Conn, from net.Addr) {
	t.Helper()
	if got, want := mapped(t, conn), from.(*net.TCPAddr).AddrPort(); got != want {
		t.Errorf("the daemon sees %v, want %v", got, want)
	}
}

// believesNobody lets somebody who is no proxy send PROXY headers of both versions to each TCP listener. Behind a header that counts, what
// follows it would be served.
func believesNobody(t *testing.T, d *harness.Daemon) {
	t.Helper()
	request := "GET /healthz HTTP/1.1\r\nHost: " + site + "\r\nConnection: close\r\n\r\n"
	for _, header := range []struct{ name, bytes string }{
		{"version 1", "PROXY TCP4 " + madeUp + " 127.0.0.1 40000 443\r\n"},
		{"version 2", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + "\xcb\x00\x71\x05" + "\x7f\x00\x00\x01" + "\x9c\x40\x01\xbb"},
	} {
		for service, follow := range map[string]func(net.Conn){
			"http": func(c net.Conn) { _, _ = io.WriteString(c, request) },
			"https": func(c net.Conn) {
				_, _ = io.WriteString(tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: site}), request)
			},
			"turn-tcp": func(c net.Conn) { _, _ = c.Write(message(bindingRequest)) },
		} {
			t.Run(header.name+" to "+service, func(t *testing.T) {
				conn := &listening{Conn: connect(t, d.Listening(service))}
				if _, err := io.WriteString(conn, header.bytes); err != nil {
					t.Fatal(err)
				}
				follow(conn) // the daemon may have hung up
				if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("the connection stays open")
				}
				if text := conn.heard.String(); text != "" && !strings.HasPrefix(text, "HTTP/1.1 400 ") {
					t.Errorf("answered with %q", text)
				}
			})
		}
	}
	if strings.Contains(d.Log.String(), madeUp) {
		t.Errorf("the daemon's log has %s", madeUp)
	}
}

// listening remembers what was read.
type listening struct {
	net.Conn
	heard bytes.Buffer
}

func (l *listening) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	l.heard.Write(b[:n])
	return n, err
}
