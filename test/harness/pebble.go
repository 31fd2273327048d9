package harness

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// Pebble is a running ACME server, the one that Let's Encrypt has for tests.
// It believes that every name has the address 127.0.0.1, and forgets
// everything when it is stopped.
type Pebble struct {
	// DirectoryURL is where ACME clients begin.
	DirectoryURL string
	// CAFile has the certificate of the directory itself, in PEM. What
	// Pebble issues is signed by others, see Roots.
	CAFile string
	// Log has everything it wrote.
	Log *Transcript

	t                   testing.TB
	server, nameserver  string // the programs
	config              string // file
	management, resolve string // addresses
	roots               *x509.CertPool
	running             []*process
}

// PebbleOption is a setting over those of StartPebble.
type PebbleOption func(config map[string]any)

// WithOCSP has certificates name an OCSP server. They are signed with RSA
// then, since such a key Pebble tells to who asks at "/intermediate-keys/0".
func WithOCSP(url string) PebbleOption {
	return func(config map[string]any) { config["ocspResponderURL"], config["keyAlgorithm"] = url, "rsa" }
}

// StartPebble runs an ACME server that validates on httpPort (HTTP-01) and
// tlsPort (TLS-ALPN-01) of 127.0.0.1 and issues certificates of the given
// validity. root is the way to the module's top. The end of the test stops it.
func StartPebble(t testing.TB, root string, httpPort, tlsPort int, validity time.Duration, options ...PebbleOption) *Pebble {
	t.Helper()
	p := &Pebble{t: t, Log: &Transcript{}, server: pebbleTool(t, root, "pebble"), nameserver: pebbleTool(t, root, "pebble-challtestsrv")}
	directory := t.TempDir()
	p.CAFile, p.config = filepath.Join(directory, "directory.pem"), filepath.Join(directory, "config.json")
	key := filepath.Join(directory, "key.pem")
	p.identify(p.CAFile, key)
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("pebble said:\n%s", p.Log)
		}
	})
	var err error
	for range 5 { // somebody else may take a port before it does
		listen := FreePort(t)
		p.DirectoryURL = "https://" + listen + "/dir"
		p.management, p.resolve = FreePort(t), FreePort(t)
		config := map[string]any{
			"listenAddress": listen, "managementListenAddress": p.management,
			"certificate": p.CAFile, "privateKey": key, "httpPort": httpPort, "tlsPort": tlsPort, "keyAlgorithm": "ecdsa",
			"profiles": map[string]any{"default": map[string]any{"description": "of the test", "validityPeriod": int(validity.Seconds())}},
		}
		for _, option := range options {
			option(config)
		}
		encoded, encodeErr := json.Marshal(map[string]any{"pebble": config})
		if err = errors.Join(encodeErr, os.WriteFile(p.config, encoded, 0o600)); err != nil {
			t.Fatal(err)
		}
		if err = p.start(); err == nil {
			return p
		}
		p.Stop()
	}
	t.Fatal(err)
	return nil
}

// Start runs it again after Stop, at the same address.
func (p *Pebble) Start() {
	p.t.Helper()
	if err := p.start(); err != nil {
		p.t.Fatal(err)
	}
}

// Stop kills it, as far as it runs.
func (p *Pebble) Stop() {
	for _, process := range p.running {
		process.kill()
	}
	p.running = nil
}

// Ask returns what its management interface has at path.
func (p *Pebble) Ask(path string) []byte {
	p.t.Helper()
	body, err := p.do(context.Background(), http.MethodGet, "https://"+p.management+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return body
}

// Tell has its management interface take value at path, as JSON.
func (p *Pebble) Tell(path string, value any) {
	p.t.Helper()
	encoded, err := json.Marshal(value)
	if err == nil {
		_, err = p.do(context.Background(), http.MethodPost, "https://"+p.management+path, encoded)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// Roots signs what it issues, since it was last started.
func (p *Pebble) Roots() *x509.CertPool {
	p.t.Helper()
	pool := x509.NewCertPool()
	for _, path := range []string{"/roots/0", "/intermediates/0"} {
		if !pool.AppendCertsFromPEM(p.Ask(path)) {
			p.t.Fatalf("no certificate at %s", path)
		}
	}
	return pool
}

func (p *Pebble) start() error {
	environment := []string{"PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0", "PEBBLE_AUTHZREUSE=0"}
	for _, line := range [][]string{
		{p.nameserver, "-dnsserver", p.resolve, "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-management", "127.0.0.1:0",
			"-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", ""},
		{p.server, "-config", p.config, "-dnsserver", p.resolve},
	} {
		started, err := startProcess(p.Log, environment, line...)
		if err != nil {
			return err
		}
		p.running = append(p.running, started)
	}
	return p.ready()
}

// ready waits until both answer.
func (p *Pebble) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: time.Second}).DialContext(ctx, network, p.resolve)
	}}
	for {
		_, err := p.do(ctx, http.MethodGet, p.DirectoryURL, nil)
		if err == nil {
			_, err = resolver.LookupNetIP(ctx, "ip4", "ready.example.")
		}
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.running[0].exited:
			return fmt.Errorf("the DNS server of pebble ended: %v", p.running[0].err)
		case <-p.running[1].exited:
			return fmt.Errorf("pebble ended: %v", p.running[1].err)
		case <-ctx.Done():
			return fmt.Errorf("pebble does not answer: %w", err)
		}
	}
}

func (p *Pebble) do(ctx context.Context, method, url string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: p.roots}}
	response, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return io.ReadAll(response.Body)
}

// identify makes the certificate that the directory itself has.
func (p *Pebble) identify(certFile, keyFile string) {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ACME directory of a test"}, IPAddresses: []net.IP{{127, 0, 0, 1}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		p.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if err := errors.Join(os.WriteFile(certFile, certPEM, 0o600), os.WriteFile(keyFile, keyPEM, 0o600)); err != nil {
		p.t.Fatal(err)
	}
	p.roots = x509.NewCertPool()
	p.roots.AppendCertsFromPEM(certPEM)
}

// pebbleTools are the paths of what is built once for all tests of a binary.
var pebbleTools sync.Map

// pebbleTool builds a program of test/interop/pebble, a module of its own.
// Go keeps the result where it keeps everything else that it builds.
func pebbleTool(t testing.TB, root, name string) string {
	t.Helper()
	build := func() (string, error) {
		output, err := exec.Command("go", "-C", filepath.Join(root, "test", "interop", "pebble"), "tool", "-n", name).Output()
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			err = fmt.Errorf("build %s: %w\n%s", name, err, failed.Stderr)
		}
		return strings.TrimSpace(string(output)), err
	}
	once, _ := pebbleTools.LoadOrStore(name, sync.OnceValues(build))
	path, err := once.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// FreePort is an address on loopback that nobody has, for UDP and TCP.
func FreePort(t testing.TB) string {
	t.Helper()
	for range 10 {
		stream, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := stream.Addr().String()
		datagram, err := net.ListenPacket("udp", address)
		stream.Close()
		if err == nil {
			datagram.Close()
			return address
		}
	}
	t.Fatal("no port is free for UDP and TCP")
	return ""
}

// process is a program that ends with the test binary.
type process struct {
	command *exec.Cmd
	exited  chan struct{} // closed when err may be read
	err     error
}

// startProcess collects what the program writes in log.
func startProcess(log *Transcript, environment []string, line ...string) (*process, error) {
	p := &process{command: exec.Command(line[0], line[1:]...), exited: make(chan struct{})}
	p.command.Env = environment
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.command.Stdout, p.command.Stderr = writer, writer
	endWithUs(p.command)
	started := make(chan error)
	go p.run(log, reader, started)
	err = <-started
	writer.Close()
	return p, err
}

// run keeps the thread on which the program is started, see endWithUs, until it has ended.
func (p *process) run(log *Transcript, output io.ReadCloser, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.exited)
	defer output.Close()
	err := p.command.Start()
	started <- err
	if err != nil {
		return
	}
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		log.Add(lines.Text())
	}
	p.err = p.command.Wait()
}

// kill returns when the program has ended.
func (p *process) kill() {
	_ = p.command.Process.Kill() // it may have ended already
	<-p.exited
}
