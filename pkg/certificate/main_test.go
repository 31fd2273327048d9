package certificate

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// transcript is a log that tests wait on.
type transcript struct {
	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed when there is another line
}

func newTranscript() (*transcript, *slog.Logger) {
	l := &transcript{more: make(chan struct{})}
	return l, slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *transcript) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(b))
	close(l.more)
	l.more = make(chan struct{})
	return len(b), nil
}

// since returns the lines from the nth, and what to wait on for more.
func (l *transcript) since(n int) ([]string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines[n:len(l.lines):len(l.lines)], l.more
}

func (l *transcript) String() string {
	lines, _ := l.since(0)
	return strings.Join(lines, "")
}

// matching are the lines that have all the parts.
func (l *transcript) matching(parts ...string) (found []string) {
	lines, _ := l.since(0)
	for _, line := range lines {
		if has(line, parts) {
			found = append(found, line)
		}
	}
	return found
}

func has(line string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(line, part) {
			return false
		}
	}
	return true
}

// length is where wait begins for lines that are yet to come.
func (l *transcript) length() int {
	lines, _ := l.since(0)
	return len(lines)
}

// wait returns the first line from the nth on that has all the parts.
func (l *transcript) wait(t *testing.T, n int, parts ...string) string {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		lines, more := l.since(n)
		n += len(lines)
		for _, line := range lines {
			if has(line, parts) {
				return line
			}
		}
		select {
		case <-more:
		case <-late.C:
			t.Fatalf("no line with %q in\n%s", parts, l)
		}
	}
}

// nth returns the nth line of all that has the parts, counted from 1.
func (l *transcript) nth(t *testing.T, n int, parts ...string) string {
	t.Helper()
	from := 0
	for ; n > 1; n-- {
		l.wait(t, from, parts...)
		lines, _ := l.since(from)
		from += slices.IndexFunc(lines, func(line string) bool { return has(line, parts) }) + 1
	}
	return l.wait(t, from, parts...)
}

// start runs m until the returned function is called, or the test ends, and waits for its end.
func start(t *testing.T, m *Manager) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			t.Error("Run did not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

// pair is a certificate of the test CA as files have it.
type pair struct{ cert, key []byte }

// authority signs the certificates of all tests.
var authority = sync.OnceValues(func() (*x509.Certificate, *ecdsa.PrivateKey) {
	key := newKey()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA of a test"}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-100 * day), NotAfter: time.Now().Add(1000 * day)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return root, key
})

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

func encode(blockType string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der})
}

func encodeKey(key crypto.PrivateKey) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return encode("PRIVATE KEY", der)
}

// issue makes a pair for name that is valid from now+begin to now+end.
func issue(name string, begin, end time.Duration) pair {
	root, rootKey := authority()
	key := newKey()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: serial, DNSNames: []string{name}, NotBefore: time.Now().Add(begin), NotAfter: time.Now().Add(end),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, root, key.Public(), rootKey)
	if err != nil {
		panic(err)
	}
	return pair{encode("CERTIFICATE", der), encodeKey(key)}
}

// good makes a pair that nothing is wrong with.
func good(name string) pair { return issue(name, -time.Hour, 90*day) }

func put(t *testing.T, name string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// place writes a pair into a directory.
func (p pair) place(t *testing.T, directory string) (cert, key string) {
	t.Helper()
	return put(t, filepath.Join(directory, "cert.pem"), p.cert), put(t, filepath.Join(directory, "key.pem"), p.key)
}

func (p pair) sha256(t *testing.T) string {
	t.Helper()
	c, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		t.Fatal(err)
	}
	return newServed(c).sha256
}

// listen opens a listener on loopback that the test's end closes.
func listen(t *testing.T) (net.Listener, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, l.Addr().(*net.TCPAddr).Port
}

// handshake connects to m with the client's configuration.
func handshake(t *testing.T, m *Manager, client *tls.Config, protocols ...string) (tls.ConnectionState, error) {
	t.Helper()
	l, _ := listen(t)
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_ = tls.Server(c, m.TLSConfig(protocols...)).Handshake() // the client tells
	}()
	defer func() { <-done }()
	c, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer c.Close()
	return c.ConnectionState(), nil
}

func newRSA(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
