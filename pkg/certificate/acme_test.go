package certificate

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"golang.org/x/crypto/ocsp"

	"github.com/maitred/maitred/test/harness"
)

var top = filepath.Join("..", "..")

// obtained is what the log says when the CA has given a certificate.
const obtained = "certificate obtained from the CA"

// site is a server with our listeners for a CA to validate, and for clients.
type site struct {
	httpPort, tlsPort int
	managers          atomic.Pointer[[]*Manager] // the first one has the TLS listener
	http, alpn        atomic.Int32               // how often a CA asked
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{}
	plain, port := listen(t)
	s.httpPort = port
	secure, port := listen(t)
	s.tlsPort = port
	s.managers.Store(&[]*Manager{})
	serve(t, plain, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, challengePath) {
			s.http.Add(1)
		}
		next := http.NotFoundHandler()
		for _, m := range *s.managers.Load() {
			next = m.ChallengeHandler(next)
		}
		next.ServeHTTP(w, r)
	}))
	serve(t, tls.NewListener(secure, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Contains(hello.SupportedProtos, alpnACME) {
			s.alpn.Add(1)
		}
		return (*s.managers.Load())[0].TLSConfig("h2", "http/1.1"), nil
	}}), http.NotFoundHandler())
	return s
}

func serve(t *testing.T, l net.Listener, handler http.Handler) {
	t.Helper()
	server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // until it is closed
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
}

// manage starts another Manager of the site, which the returned function stops.
func (s *site) manage(t *testing.T, c Config) (*Manager, *transcript, func()) {
	t.Helper()
	log, logger := newTranscript()
	c.Log = logger
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	m.acme.retry = retry{50 * time.Millisecond, 300 * time.Millisecond, 50 * time.Millisecond}
	s.managers.Store(&[]*Manager{m})
	return m, log, start(t, m)
}

// config is of domain with a CA that offers both challenges.
func (s *site) config(t *testing.T, p *harness.Pebble, domain string) Config {
	t.Helper()
	return Config{Domain: domain, StateDir: t.TempDir(), ACME: ACME{DirectoryURL: p.DirectoryURL, CAFile: p.CAFile, Email: "admin@example.com",
		HTTPPort: s.httpPort, TLSPort: s.tlsPort}}
}

// connect is what a browser does.
func (s *site) connect(domain string, roots *x509.CertPool) (tls.ConnectionState, error) {
	c, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.tlsPort), &tls.Config{ServerName: domain, RootCAs: roots, InsecureSkipVerify: roots == nil})
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer c.Close()
	return c.ConnectionState(), nil
}

// TestACME has a certificate issued by way of each challenge alone, serves it, and starts again without the CA.
func TestACME(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		only func(c *ACME)
		http bool
	}{
		{"HTTP-01", func(c *ACME) { c.TLSPort = 0 }, true},
		{"TLS-ALPN-01", func(c *ACME) { c.HTTPPort = 0 }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t)
			// The OCSP server that the certificate names is not there, which must not matter.
			p := harness.StartPebble(t, top, s.httpPort, s.tlsPort, 90*day, harness.WithOCSP("http://127.0.0.1:1/"))
			c := s.config(t, p, "call.example.com")
			test.only(&c.ACME)
			m, log, stop := s.manage(t, c)
			line := log.wait(t, 0, obtained)
			status := m.Status()
			if !has(line, []string{"level=INFO", "call.example.com", status.SHA256, status.NotAfter.Format("2006-01-02"), p.DirectoryURL}) {
				t.Error(line)
			}
			if _, err := s.connect("call.example.com", p.Roots()); err != nil {
				t.Errorf("the certificate is not trusted: %v", err)
			}
			if status.Source != "acme" || status.Err != nil || !m.ValidFor("call.example.com") || m.ValidFor("example.com") {
				t.Errorf("%+v", status)
			}
			if http, alpn := s.http.Load(), s.alpn.Load(); (http > 0) != test.http || (alpn > 0) == test.http {
				t.Errorf("asked %d times over HTTP and %d times over TLS", http, alpn)
			}
			if others := append(log.matching("level=WARN"), log.matching("level=ERROR")...); len(others) > 0 {
				t.Errorf("logged %q", others)
			}
			checkModes(t, filepath.Join(c.StateDir, "acme"))
			stop()

			p.Stop()
			again, log, stop := s.manage(t, c)
			if got := again.Status(); got.SHA256 != status.SHA256 {
				t.Errorf("after a start: %+v", got)
			}
			log.wait(t, 0, "the certificate needs nothing for now")
			stop()
			if got := again.Status(); got.SHA256 != status.SHA256 || got.Err != nil {
				t.Errorf("without the CA: %+v", got)
			}
			if len(log.matching("obtaining certificate")) != 0 {
				t.Errorf("it was ordered anew:\n%s", log)
			}
		})
	}
}

// checkModes finds keys that others could read.
func checkModes(t *testing.T, directory string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		return
	}
	keys := 0
	err := filepath.WalkDir(directory, func(name string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
		if filepath.Ext(name) == ".key" {
			keys++
		}
		return nil
	})
	if err != nil || keys != 2 {
		t.Errorf("%d keys in %s, want the account's and the certificate's: %v", keys, directory, err)
	}
}

// TestDirectoryDownAtStart has the CA come up later.
func TestDirectoryDownAtStart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := harness.StartPebble(t, top, s.httpPort, s.tlsPort, 90*day)
	p.Stop()
	m, log, _ := s.manage(t, s.config(t, p, "call.example.com"))
	line := log.wait(t, 0, "there is no certificate yet", "attempts=2")
	if !has(line, []string{"level=WARN", "refused", "again_in=", "this machine reaches the directory", p.DirectoryURL}) {
		t.Error(line)
	}
	if status := m.Status(); status.Err == nil || !strings.Contains(status.Err.Error(), "refused") || status.SHA256 != "" {
		t.Errorf("%+v", status)
	}
	if _, err := m.GetCertificate(&tls.ClientHelloInfo{}); err == nil || !strings.Contains(err.Error(), "there is no certificate yet") {
		t.Error(err)
	}
	if _, err := s.connect("call.example.com", nil); err == nil {
		t.Error("a handshake without a certificate")
	}
	p.Start()
	log.wait(t, 0, obtained)
	if status := m.Status(); status.Err != nil || m.failures.Load() < 2 {
		t.Errorf("%+v, %d failures", status, m.failures.Load())
	}
	if _, err := s.connect("call.example.com", p.Roots()); err != nil {
		t.Error(err)
	}
}

// TestRenewalWhileServing connects all the time while short-lived certificates follow each other.
func TestRenewalWhileServing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := harness.StartPebble(t, top, s.httpPort, s.tlsPort, 6*time.Second)
	c := s.config(t, p, "call.example.com")
	c.ACME.CheckInterval = 100 * time.Millisecond
	_, log, _ := s.manage(t, c)
	log.wait(t, 0, obtained)
	roots, seen := p.Roots(), map[string]bool{}
	deadline := time.Now().Add(patience)
	for len(seen) < 3 {
		if time.Now().After(deadline) {
			t.Fatalf("%d certificates only:\n%s", len(seen), log)
		}
		state, err := s.connect("call.example.com", roots)
		if err != nil {
			t.Fatal(err)
		}
		seen[string(state.PeerCertificates[0].Raw)] = true
	}
	if got := log.matching("certificate obtained from the CA"); len(got) < 3 {
		t.Errorf("logged %q", got)
	}
	if bad := append(log.matching("level=WARN"), log.matching("level=ERROR")...); len(bad) != 0 {
		t.Errorf("logged %q", bad)
	}
}

// TestRenewalFails takes the CA away until the certificate has expired, and brings it back without its memory.
func TestRenewalFails(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := harness.StartPebble(t, top, s.httpPort, s.tlsPort, 8*time.Second)
	c := s.config(t, p, "call.example.com")
	c.ACME.CheckInterval = 100 * time.Millisecond
	m, log, _ := s.manage(t, c)
	log.wait(t, 0, obtained)
	roots := p.Roots()
	p.Stop()
	line := log.wait(t, 0, "could not be renewed, the old one stays in use")
	if !has(line, []string{"level=ERROR", "refused", "days_left=0", "again_in="}) {
		t.Error(line)
	}
	if status := m.Status(); status.Err == nil || status.SHA256 == "" {
		t.Errorf("%+v", status)
	}
	if time.Now().Before(m.Status().NotAfter) {
		if _, err := s.connect("call.example.com", roots); err != nil && time.Now().Before(m.Status().NotAfter) {
			t.Errorf("not served: %v", err)
		}
	}
	line = log.wait(t, 0, "has expired and could not be renewed")
	if !has(line, []string{"level=ERROR", "days_left=-1"}) {
		t.Error(line)
	}
	if _, err := s.connect("call.example.com", nil); err != nil {
		t.Errorf("the expired one is not served: %v", err)
	}
	if m.ValidFor("call.example.com") {
		t.Error("an expired certificate is called valid")
	}
	n := log.length()
	p.Start()
	log.wait(t, n, obtained)
	if status := m.Status(); status.Err != nil {
		t.Errorf("%+v", status)
	}
	if _, err := s.connect("call.example.com", p.Roots()); err != nil {
		t.Error(err)
	}
}

// TestUnreachable has nothing listen where the CA asks.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	l, closed := listen(t)
	l.Close()
	p := harness.StartPebble(t, top, closed, s.tlsPort, 90*day)
	c := s.config(t, p, "call.example.com")
	c.ACME.HTTPPort, c.ACME.TLSPort = closed, 0
	m, log, _ := s.manage(t, c)
	line := log.wait(t, 0, "there is no certificate yet")
	want := []string{"level=WARN", "refused", "(connection)", "A and AAAA records of call.example.com", fmt.Sprintf("TCP port 80 reaches our port %d", closed)}
	if !has(line, want) {
		t.Errorf("%s\nwant %q", line, want)
	}
	if status := m.Status(); status.Err == nil || !has(status.Err.Error(), want[1:]) {
		t.Errorf("%+v", status)
	}
}

// TestEitherChallenge offers both where one does not work.
func TestEitherChallenge(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	l, closed := listen(t)
	l.Close()
	p := harness.StartPebble(t, top, closed, s.tlsPort, 90*day)
	m, log, _ := s.manage(t, s.config(t, p, "call.example.com"))
	log.wait(t, 0, obtained)
	if m.failures.Load() != 0 {
		t.Errorf("%d failures", m.failures.Load())
	}
}

// TestUntrustedDirectory does not know who the CA is.
func TestUntrustedDirectory(t *testing.T) {
	t.Parallel()
	directory := httptest.NewTLSServer(http.NotFoundHandler())
	defer directory.Close()
	s := newSite(t)
	_, log, stop := s.manage(t, Config{Domain: "call.example.com", StateDir: t.TempDir(), ACME: ACME{DirectoryURL: directory.URL + "/dir", HTTPPort: s.httpPort}})
	line := log.wait(t, 0, "there is no certificate yet")
	if !has(line, []string{"level=WARN", "certificate signed by unknown authority", "tls.acme.ca_file"}) {
		t.Error(line)
	}
	stop()
}

// TestEndsWhileTheCAHangs ends in the middle of a request that is never answered.
func TestEndsWhileTheCAHangs(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 10)
	directory := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	defer directory.Close()
	root := put(t, filepath.Join(t.TempDir(), "root.pem"), encode("CERTIFICATE", directory.Certificate().Raw))
	s := newSite(t)
	m, log, stop := s.manage(t, Config{Domain: "call.example.com", StateDir: t.TempDir(), ACME: ACME{DirectoryURL: directory.URL + "/hangs", CAFile: root, HTTPPort: s.httpPort}})
	<-asked
	begin := time.Now()
	stop()
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("Run took %v to end", took)
	}
	if m.failures.Load() != 0 || len(log.matching("level=WARN")) != 0 {
		t.Errorf("the end counts as a failure:\n%s", log)
	}
}

// TestTwoManagers has two in one process, with domains of their own and the same listeners and CA.
func TestTwoManagers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := harness.StartPebble(t, top, s.httpPort, s.tlsPort, 90*day)
	domains := []string{"one.example.com", "two.example.com"}
	var managers []*Manager
	var logs []*transcript
	for _, domain := range domains {
		c := s.config(t, p, domain)
		c.ACME.TLSPort = 0
		log, logger := newTranscript()
		c.Log = logger
		m, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		managers, logs = append(managers, m), append(logs, log)
	}
	s.managers.Store(&managers)
	for _, m := range managers {
		start(t, m)
	}
	for i, log := range logs {
		log.wait(t, 0, obtained)
		if got := managers[i].Status().Names; !slices.Equal(got, domains[i:i+1]) {
			t.Errorf("%s has a certificate for %q", domains[i], got)
		}
	}
}

// ocspServer answers for a CA what the status of its certificates is.
type ocspServer struct {
	*httptest.Server
	issuer *x509.Certificate
	key    crypto.Signer
	status func(serial *big.Int) int
}

func newOCSPServer(t *testing.T) *ocspServer {
	t.Helper()
	o := &ocspServer{status: func(*big.Int) int { return ocsp.Good }}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := o.answer(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Connection", "close")
		_, _ = w.Write(answer)
	}))
	t.Cleanup(o.Close)
	return o
}

// sign has answers signed with the key of p's CA.
func (o *ocspServer) sign(t *testing.T, p *harness.Pebble) {
	t.Helper()
	certificate, _ := pem.Decode(p.Ask("/intermediates/0"))
	block, _ := pem.Decode(p.Ask("/intermediate-keys/0"))
	issuer, err := x509.ParseCertificate(certificate.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key, err := parseKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	o.issuer, o.key = issuer, key.(crypto.Signer)
}

func (o *ocspServer) answer(question io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(question, 1<<16))
	if err != nil {
		return nil, err
	}
	asked, err := ocsp.ParseRequest(body)
	if err != nil {
		return nil, err
	}
	return ocsp.CreateResponse(o.issuer, o.issuer, ocsp.Response{Status: o.status(asked.SerialNumber), SerialNumber: asked.SerialNumber,
		ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(day), RevokedAt: time.Now().Add(-time.Hour)}, o.key)
}

// TestOCSP has the answer of the CA's OCSP server stapled (RFC 6066 section 8).
func TestOCSP(t *testing.T) {
	t.Parallel()
	o, s := newOCSPServer(t), newSite(t)
	p := harness.StartPebble(t, top, s.httpPort, s.tlsPort, 90*day, harness.WithOCSP(o.URL))
	o.sign(t, p)
	_, log, _ := s.manage(t, s.config(t, p, "call.example.com"))
	log.wait(t, 0, obtained)
	state, err := s.connect("call.example.com", p.Roots())
	if err != nil {
		t.Fatal(err)
	}
	stapled, err := ocsp.ParseResponseForCert(state.OCSPResponse, state.PeerCertificates[0], state.PeerCertificates[1])
	if err != nil || stapled.Status != ocsp.Good {
		t.Errorf("stapled %d bytes: %+v, %v\n%s", len(state.OCSPResponse), stapled, err, log)
	}
}

// TestRevoked replaces a certificate that the CA has revoked.
func TestRevoked(t *testing.T) {
	t.Parallel()
	o, s := newOCSPServer(t), newSite(t)
	p := harness.StartPebble(t, top, s.httpPort, s.tlsPort, 90*day, harness.WithOCSP(o.URL))
	o.sign(t, p)
	var first atomic.Pointer[big.Int]
	o.status = func(serial *big.Int) int {
		first.CompareAndSwap(nil, serial)
		if first.Load().Cmp(serial) == 0 {
			return ocsp.Revoked
		}
		return ocsp.Good
	}
	c := s.config(t, p, "call.example.com")
	c.ACME.CheckInterval = 50 * time.Millisecond
	m, log, _ := s.manage(t, c)
	old, next := log.nth(t, 1, obtained), log.nth(t, 2, obtained)
	state, err := s.connect("call.example.com", p.Roots())
	if err != nil {
		t.Fatal(err)
	}
	if sum := m.Status().SHA256; strings.Contains(old, sum) || !strings.Contains(next, sum) || len(state.OCSPResponse) == 0 || m.failures.Load() != 0 {
		t.Errorf("%+v\n%s", m.Status(), log)
	}
}

// TestRenewalInfo has the CA ask for a certificate to be renewed long before its end (RFC 9773).
func TestRenewalInfo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := harness.StartPebble(t, top, s.httpPort, s.tlsPort, 90*day)
	c := s.config(t, p, "call.example.com")
	m, log, stop := s.manage(t, c)
	log.wait(t, 0, obtained)
	stop()
	first := m.current.Load()
	ago := func(d time.Duration) string { return time.Now().Add(-d).UTC().Format(time.RFC3339) }
	p.Tell("/set-renewal-info/", map[string]string{"certificate": string(encode("CERTIFICATE", first.pair.Leaf.Raw)),
		"ariResponse": fmt.Sprintf(`{"suggestedWindow":{"start":%q,"end":%q}}`, ago(2*time.Hour), ago(time.Hour))})
	// Six hours later it asks again.
	notes := filepath.Join(c.StateDir, "acme", filepath.FromSlash(m.acme.site()), "call.example.com.json")
	text, err := os.ReadFile(notes)
	if err != nil {
		t.Fatal(err)
	}
	later := regexp.MustCompile(`"_retryAfter": *"[^"]+"`).ReplaceAll(text, []byte(`"_retryAfter":"`+ago(time.Minute)+`"`))
	if bytes.Equal(later, text) {
		t.Fatalf("no date in %s", text)
	}
	put(t, notes, later)
	m, log, _ = s.manage(t, c)
	log.wait(t, 0, obtained)
	if m.Status().SHA256 == first.sha256 {
		t.Error("it is the same certificate")
	}
}

// store puts a pair where ACME keeps it.
func (p pair) store(t *testing.T, c Config) (directory string) {
	t.Helper()
	directory = filepath.Join(c.StateDir, "acme", filepath.FromSlash(certmagic.StorageKeys.CertsSitePrefix("ca.example.com-dir", c.Domain)))
	if err := os.MkdirAll(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(directory, c.Domain+".crt"), p.cert)
	put(t, filepath.Join(directory, c.Domain+".key"), p.key)
	put(t, filepath.Join(directory, c.Domain+".json"), []byte(`{"sans":["`+c.Domain+`"]}`))
	return directory
}

func offline(t *testing.T) Config {
	t.Helper()
	return Config{Domain: "call.example.com", StateDir: t.TempDir(), ACME: ACME{DirectoryURL: "https://ca.example.com/dir", HTTPPort: 80}}
}

// TestStoredCertificate is served from the first moment on, whatever its dates are.
func TestStoredCertificate(t *testing.T) {
	for _, test := range []struct {
		name   string
		stored pair
		want   string // a warning
	}{
		{"good", good("call.example.com"), ""},
		{"expired", issue("call.example.com", -90*day, -day), "this certificate is not valid now"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := offline(t)
			test.stored.store(t, c)
			log, logger := newTranscript()
			c.Log = logger
			m, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			if m.Status().SHA256 != test.stored.sha256(t) {
				t.Errorf("%+v", m.Status())
			}
			warnings := strings.Join(log.matching("level=WARN"), "")
			if (warnings == "") != (test.want == "") || !strings.Contains(warnings, test.want) {
				t.Errorf("warned %q, want %q", warnings, test.want)
			}
		})
	}
}

// TestDamagedStorage obtains another certificate in place of one that cannot be used.
func TestDamagedStorage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := harness.StartPebble(t, top, s.httpPort, s.tlsPort, 90*day)
	c := s.config(t, p, "call.example.com")
	first, log, stop := s.manage(t, c)
	log.wait(t, 0, obtained)
	stop()
	site := filepath.Join(c.StateDir, "acme", filepath.FromSlash(first.acme.site()))
	for _, test := range []struct {
		file    string
		content []byte
	}{
		{"call.example.com.key", encodeKey(newKey())},
		{"call.example.com.crt", []byte("garbage")},
		{"call.example.com.json", nil},
	} {
		put(t, filepath.Join(site, test.file), test.content)
		m, log, stop := s.manage(t, c)
		log.wait(t, 0, "level=WARN", "cannot be used, another one is obtained", site)
		log.wait(t, 0, obtained)
		if status := m.Status(); status.Err != nil || status.SHA256 == first.Status().SHA256 {
			t.Errorf("%s: %+v", test.file, status)
		}
		stop()
	}
}

// TestDamagedAccount says what to do.
func TestDamagedAccount(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := harness.StartPebble(t, top, s.httpPort, s.tlsPort, 90*day)
	c := s.config(t, p, "call.example.com")
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	name := m.acme.storage.Filename(m.acme.issuer.accountName())
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, name, []byte("garbage"))
	_, log, _ := s.manage(t, c)
	log.wait(t, 0, "level=WARN", name+" is damaged: remove it and a new account is made")
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	log.wait(t, 0, obtained)
}

// TestAccountIsKept orders twice with a start between.
func TestAccountIsKept(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := harness.StartPebble(t, top, s.httpPort, s.tlsPort, 90*day)
	c := s.config(t, p, "one.example.com")
	var accounts []string
	for _, domain := range []string{"one.example.com", "two.example.com"} {
		c.Domain = domain
		m, log, stop := s.manage(t, c)
		log.wait(t, 0, obtained)
		stop()
		accounts = append(accounts, m.acme.issuer.account.Location)
	}
	if accounts[0] == "" || accounts[0] != accounts[1] {
		t.Errorf("accounts %q", accounts)
	}
}

// TestCheckInterval counts how often renewal is considered.
func TestCheckInterval(t *testing.T) {
	c := offline(t)
	good("call.example.com").store(t, c)
	c.ACME.CheckInterval = 10 * time.Millisecond
	s := newSite(t)
	m, log, stop := s.manage(t, c)
	n := 0
	for range 3 {
		log.wait(t, n, "the certificate needs nothing for now", "again_in=10ms")
		n = log.length()
	}
	stop()
	if m.Status().Err != nil {
		t.Error(m.Status().Err)
	}
	if m, err := New(offline(t)); err != nil || m.acme.config.CheckInterval != 10*time.Minute {
		t.Errorf("by default %v, %v", m.acme.config.CheckInterval, err)
	}
}

func TestBackoff(t *testing.T) {
	m, err := New(offline(t))
	if err != nil {
		t.Fatal(err)
	}
	retry := m.acme.retry
	for failures, want := range map[int]time.Duration{
		1: 30 * time.Second, 2: 90 * time.Second, 3: 270 * time.Second, 4: 810 * time.Second, 5: 2430 * time.Second, 6: time.Hour, 7: time.Hour, 1e9: time.Hour,
	} {
		if got := backoff(retry.first, retry.longest, failures); got != want {
			t.Errorf("after %d failures %v, want %v", failures, got, want)
		}
		for range 100 {
			if got := jitter(want); got > want || got < want*9/10-1 {
				t.Fatalf("%v became %v", want, got)
			}
		}
	}
}

// TestFailedRenewalIsReported has failures at different times before the end.
func TestFailedRenewalIsReported(t *testing.T) {
	for _, test := range []struct {
		name string
		end  time.Duration
		want []string
	}{
		{"10 days", 10*day + time.Hour, []string{"level=WARN", "could not be renewed, the old one stays in use", "days_left=10"}},
		{"2 days", 2*day + time.Hour, []string{"level=ERROR", "could not be renewed, the old one stays in use", "days_left=2"}},
		{"over", -time.Hour, []string{"level=ERROR", "has expired and could not be renewed, clients refuse it", "days_left=-1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := offline(t)
			issue("call.example.com", -80*day, test.end).store(t, c)
			log, logger := newTranscript()
			c.Log = logger
			m, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			n := log.length()
			m.acme.report(explain(errors.New("because"), m.acme), time.Minute)
			if line := log.wait(t, n, "because"); !has(line, append(test.want, "again_in=1m0s")) {
				t.Errorf("%s\nwant %q", line, test.want)
			}
		})
	}
}

// TestExplain has what CAs say made into something to do.
func TestExplain(t *testing.T) {
	m, err := New(Config{Domain: "call.example.com", StateDir: t.TempDir(), ACME: ACME{DirectoryURL: "https://ca.example.com/dir", HTTPPort: 8080, TLSPort: 8443}})
	if err != nil {
		t.Fatal(err)
	}
	says := func(kind string) error {
		return fmt.Errorf("solving: %w", acme.Problem{Type: acme.ProblemTypeNamespace + kind, Detail: "no luck"})
	}
	for _, test := range []struct {
		name    string
		err     error
		want    []string
		refused bool
	}{
		{"DNS", says("dns"), []string{"no luck (dns)", "records of call.example.com", "port 80 reaches our port 8080 or TCP port 443 reaches our port 8443"}, true},
		{"unauthorized", says("unauthorized"), []string{"no luck (unauthorized)", "records of call.example.com"}, true},
		{"rate limit", says("rateLimited"), []string{"no luck (rateLimited)", "no more attempts for now"}, true},
		{"CAA", says("caa"), []string{"CAA records of call.example.com"}, false},
		{"name", says("rejectedIdentifier"), []string{"domain is a public host name"}, false},
		{"e-mail", says("invalidContact"), []string{"tls.acme.email"}, false},
		{"account", says("externalAccountRequired"), []string{"tls.acme.directory_url"}, false},
		{"CA in trouble", says("serverInternal"), []string{"trouble of its own"}, false},
		{"anything else", says("badCSR"), []string{"no luck (badCSR)", "documentation"}, false},
		{"parts", acme.Problem{Type: "x", Detail: "several", Subproblems: []acme.Subproblem{{Problem: acme.Problem{Detail: "first"}}}}, []string{"several; first (x)"}, false},
		{"disk", errors.New("disk full"), []string{"disk full", "write to " + m.acme.directory}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := explain(test.err, m.acme)
			if !has(p.Error(), append(test.want, "https://ca.example.com/dir")) || p.refused != test.refused || !errors.Is(p, test.err) && !errors.As(p, new(acme.Problem)) {
				t.Errorf("%v, refused %v; want %q", p, p.refused, test.want)
			}
		})
	}
}

// TestLimitedAttempts waits a good while when the CA says that there were too many, and not when the operator wants an attempt.
func TestLimitedAttempts(t *testing.T) {
	t.Parallel()
	var directory *httptest.Server
	directory = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Replay-Nonce", "nonce")
		if r.URL.Path == "/limited" {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"newNonce":%q,"newAccount":%q,"newOrder":%[2]q}`, directory.URL+"/nonce", directory.URL+"/account")
			return
		}
		if r.Method == http.MethodPost {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many"}`)
		}
	}))
	defer directory.Close()
	root := put(t, filepath.Join(t.TempDir(), "root.pem"), encode("CERTIFICATE", directory.Certificate().Raw))
	log, logger := newTranscript()
	m, err := New(Config{Domain: "call.example.com", StateDir: t.TempDir(), Log: logger,
		ACME: ACME{DirectoryURL: directory.URL + "/limited", CAFile: root, HTTPPort: 80}})
	if err != nil {
		t.Fatal(err)
	}
	stop := start(t, m)
	line := log.wait(t, 0, "there is no certificate yet")
	if !has(line, []string{"too many (rateLimited)"}) || !regexp.MustCompile("again_in=(1[89]|20)m").MatchString(line) {
		t.Errorf("%s\nwant 18 to 20 minutes", line)
	}
	m.Reload("", "")
	log.wait(t, 0, "there is no certificate yet", "attempts=2")
	stop()
}

// TestAnswersAreForgotten: an answer to the CA lasts as long as its order.
func TestAnswersAreForgotten(t *testing.T) {
	c := &challenges{}
	asked := acme.Challenge{Type: acme.ChallengeTypeTLSALPN01, Token: "token", KeyAuthorization: "token.thumbprint", Identifier: acme.Identifier{Type: "dns", Value: "Call.example.com"}}
	for _, solver := range []interface {
		Present(context.Context, acme.Challenge) error
		CleanUp(context.Context, acme.Challenge) error
	}{httpSolver{c}, tlsSolver{c}} {
		if err := solver.Present(t.Context(), asked); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.certificate("call.example.com"); err != nil || len(c.http) != 1 {
		t.Errorf("while the order lasts: %v, %d answers", err, len(c.http))
	}
	if err := errors.Join(httpSolver{c}.CleanUp(t.Context(), asked), tlsSolver{c}.CleanUp(t.Context(), asked)); err != nil {
		t.Fatal(err)
	}
	if len(c.http) != 0 || len(c.tls) != 0 {
		t.Errorf("after it: %d and %d answers", len(c.http), len(c.tls))
	}
}

// TestChallengeHandler answers what is asked and nothing else.
func TestChallengeHandler(t *testing.T) {
	m, err := New(offline(t))
	if err != nil {
		t.Fatal(err)
	}
	handler := m.ChallengeHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	challenge := acme.Challenge{Token: "token", KeyAuthorization: "token.thumbprint"}
	solver := m.acme.issuer.solvers[acme.ChallengeTypeHTTP01]
	if err := solver.Present(context.Background(), challenge); err != nil {
		t.Fatal(err)
	}
	ask := func(method, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		return w
	}
	if w := ask(http.MethodGet, challengePath+"token"); w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), []byte("token.thumbprint")) {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	for _, request := range [][2]string{{http.MethodGet, challengePath + "other"}, {http.MethodGet, challengePath}, {http.MethodPost, challengePath + "token"}, {http.MethodGet, "/token"}} {
		if w := ask(request[0], request[1]); w.Code != http.StatusTeapot {
			t.Errorf("%s %s: %d %q", request[0], request[1], w.Code, w.Body)
		}
	}
	if err := solver.CleanUp(context.Background(), challenge); err != nil {
		t.Fatal(err)
	}
	if w := ask(http.MethodGet, challengePath+"token"); w.Code != http.StatusTeapot {
		t.Errorf("afterwards: %d %q", w.Code, w.Body)
	}
}

// TestForeignLogsAreForDevelopers has what libraries call an error logged as Debug, with its fields.
func TestForeignLogsAreForDevelopers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	l, closed := listen(t)
	l.Close()
	p := harness.StartPebble(t, top, closed, closed, 90*day)
	_, log, stop := s.manage(t, s.config(t, p, "call.example.com"))
	log.wait(t, 0, "there is no certificate yet")
	stop()
	if len(log.matching("level=DEBUG", "certmagic: could not get certificate from issuer", "identifier=call.example.com", "error=")) == 0 {
		t.Errorf("nothing of certmagic:\n%s", log)
	}
	if len(log.matching("level=DEBUG", "challenge failed", "challenge_type=")) == 0 {
		t.Errorf("nothing of the ACME client:\n%s", log)
	}
	for _, line := range slices.Concat(log.matching("level=INFO"), log.matching("level=WARN"), log.matching("level=ERROR")) {
		if !strings.Contains(line, "there is no certificate yet") {
			t.Errorf("for operators: %s", line)
		}
	}
}
