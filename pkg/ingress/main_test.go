package ingress

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// certificate is for call.example.com and signed by itself.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"call.example.com"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

func serverTLS(protocols ...string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate()}, NextProtos: protocols}
}

func clientTLS(protocols ...string) *tls.Config {
	return &tls.Config{ServerName: "call.example.com", InsecureSkipVerify: true, NextProtos: protocols}
}

// shared is what https.listen is configured like, with ACME.
func shared() Config {
	return Config{TLS: serverTLS(append([]string{alpnACME}, SharedProtocols...)...), Shared: true}
}

// running is a listener whose Serve gives the connections to the test.
type running struct {
	*Listener
	t      testing.TB
	served chan *Conn
	log    *transcript
	stop   func() // ends Run by its context and waits for it
}

// start runs a listener on loopback until the test ends. What the test leaves open is patient.
func start(t testing.TB, config Config) *running {
	t.Helper()
	r := &running{t: t, served: make(chan *Conn, 100), log: newTranscript()}
	if config.Key == "" {
		config.Key = "https.listen"
	}
	if config.Address == "" {
		config.Address = "127.0.0.1:0"
	}
	if config.Timeout == 0 {
		config.Timeout = patience
	}
	var mu sync.Mutex
	var open []*Conn
	config.Serve = func(c *Conn) {
		mu.Lock()
		open = append(open, c)
		mu.Unlock()
		r.served <- c
	}
	config.Log = slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if r.Listener, err = Listen(config); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		r.ended(done)
	})
	t.Cleanup(func() {
		r.stop()
		for _, c := range open {
			c.Wire.Close()
		}
	})
	return r
}

func (r *running) ended(run <-chan error) {
	r.t.Helper()
	select {
	case err := <-run:
		if err != nil {
			r.t.Errorf("Run: %v", err)
		}
	case <-time.After(patience):
		r.t.Fatal("Run did not end")
	}
}

// dial opens a connection that the test's end closes, and that does not wait for ever.
func (r *running) dial() *net.TCPConn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// dialTLS has done its handshake.
func (r *running) dialTLS(config *tls.Config) *tls.Conn {
	r.t.Helper()
	c := tls.Client(r.dial(), config)
	if err := c.Handshake(); err != nil {
		r.t.Fatal(err)
	}
	return c
}

// next is the next connection that Serve gets.
func (r *running) next() *Conn {
	r.t.Helper()
	select {
	case c := <-r.served:
		return c
	case <-time.After(patience):
		r.t.Fatalf("no connection was served; the log is\n%s", r.log)
		return nil
	}
}

// refused waits until the connection of c has been refused, and returns why.
func (r *running) refused(c net.Conn) string {
	r.t.Helper()
	return r.log.wait(r.t, `msg="connection refused"`, "client="+c.LocalAddr().String()+" ")
}

// wantTally compares the counters that are not 0.
func (r *running) wantTally(want map[string]int) {
	r.t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(r.config.Metrics)
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "maitred_tls_handshakes_total" {
		r.t.Fatalf("%v, %v", families, err)
	}
	got := map[string]int{}
	for _, m := range families[0].GetMetric() {
		if n := int(m.GetCounter().GetValue()); n != 0 {
			got[m.GetLabel()[0].GetValue()] = n
		}
	}
	same := len(got) == len(want)
	for result, n := range want {
		same = same && got[result] == n
	}
	if !same {
		r.t.Errorf("counted %v, want %v", got, want)
	}
}

// wantServed shows that the listener goes on: a client that does everything right is served.
func (r *running) wantServed() {
	r.t.Helper()
	c := r.dialTLS(clientTLS("h2"))
	got := r.next()
	if got.For != HTTP || got.Wire.Client().String() != c.LocalAddr().String() {
		r.t.Errorf("served %v as %d", got.Wire.Client(), got.For)
	}
	wantEcho(r.t, c, got.TLS)
}

// wantEcho shows that the connection works both ways.
func wantEcho(t testing.TB, client, server net.Conn) {
	t.Helper()
	if err := server.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		wantBytes(t, way[1], send(t, way[0], "over and back"))
	}
}

// send writes s and returns it.
func send(t testing.TB, c io.Writer, s string) string {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// wantBytes reads as much as it wants.
func wantBytes(t testing.TB, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("read %q (%v), want %q", got[:n], err, want)
	}
}

// wantClosed reads until the other side ends the connection, and returns what came before.
func wantClosed(t testing.TB, c net.Conn) []byte {
	t.Helper()
	var before bytes.Buffer
	_, err := before.ReadFrom(c)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatal("the connection is still open")
	}
	return before.Bytes()
}

// transcript is a log that tests wait on.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{} // closed when there is another line
}

func newTranscript() *transcript { return &transcript{more: make(chan struct{})} }

func (l *transcript) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.more)
	l.more = make(chan struct{})
	return l.text.Write(b)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// matching are the lines that have all the parts.
func (l *transcript) matching(parts ...string) (found []string) {
lines:
	for line := range strings.Lines(l.String()) {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue lines
			}
		}
		found = append(found, line)
	}
	return found
}

// wait returns the first line that has all the parts.
func (l *transcript) wait(t testing.TB, parts ...string) string {
	t.Helper()
	return l.waitFor(t, 1, parts...)[0]
}

// waitFor returns the lines that have all the parts, as soon as there are n.
func (l *transcript) waitFor(t testing.TB, n int, parts ...string) []string {
	t.Helper()
	late := time.After(patience)
	for {
		l.mu.Lock()
		more := l.more
		l.mu.Unlock()
		if found := l.matching(parts...); len(found) >= n {
			return found
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("not %d lines with %q in\n%s", n, parts, l)
		}
	}
}
