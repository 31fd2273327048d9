package httpd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/maitred/maitred/pkg/ingress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testKey    = "key-one"
	testToken  = "admin-secret"
	testOrigin = "https://evil.example"
	testDomain = "call.example.com"
)

// testPair is for testDomain and signed by itself.
var testPair = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{testDomain},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

func serverTLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{testPair()}, NextProtos: ingress.SharedProtocols}
}

// clientTLS trusts testPair and offers protocols by ALPN.
func clientTLS(protocols ...string) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(testPair().Leaf)
	return &tls.Config{ServerName: testDomain, RootCAs: roots, NextProtos: protocols}
}

// over is the transport of a client that offers protocols, none without ALPN.
func over(protocols ...string) *http.Transport {
	dialer := &tls.Dialer{Config: clientTLS(protocols...)}
	return &http.Transport{DialTLSContext: dialer.DialContext, ForceAttemptHTTP2: true, DisableKeepAlives: true, DisableCompression: true}
}

// run serves cfg on loopback with a small made-up site until the test ends.
// Where there is HTTPS, the certificate is testPair.
func run(t *testing.T, cfg Config) *Server {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.AdminListen == "" {
		cfg.AdminListen = "127.0.0.1:0"
	}
	cfg.TLS = serverTLS()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.site, err = readSite(fstest.MapFS{
		"index.html":            {Data: []byte("<!doctype html>lobby")},
		"call.html":             {Data: []byte("<!doctype html>call")},
		"style.css":             {Data: []byte("a{}")},
		"app/call.js":           {Data: []byte("export {}")},
		"icons/icon.svg":        {Data: []byte("<svg/>")},
		"app/site.webmanifest":  {Data: []byte("{}")},
		"sdk/maitred.js":        {Data: []byte("export {}")},
		"sdk/maitred.d.ts":      {Data: []byte("export {}")},
		"app/unknown.extension": {Data: []byte("?")},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

type answer struct {
	major  int // version of HTTP
	status int
	header http.Header
	body   string
}

// ask sends one request on a connection of its own. headers are "Name: value";
// "Host: x" sets the request's host.
func ask(t *testing.T, method, url, body string, headers ...string) answer {
	t.Helper()
	return askThrough(t, &http.Transport{DisableKeepAlives: true, DisableCompression: true}, method, url, body, headers...)
}

func askThrough(t *testing.T, transport *http.Transport, method, url, body string, headers ...string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.ProtoMajor, res.StatusCode, res.Header, string(text)}
}

func (s *Server) url(path string) string { return "http://" + s.Addr().String() + path }
func (s *Server) secureURL(path string) string {
	return "https://" + s.SecureAddr().String() + path
}
func (s *Server) adminURL(path string) string { return "http://" + s.AdminAddr().String() + path }
