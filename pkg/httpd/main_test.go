package httpd

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testKey    = "key-one"
	testToken  = "admin-secret"
	testOrigin = "https://evil.example"
)

// run serves cfg on loopback with a small made-up site until the test ends.
func run(t *testing.T, cfg Config) *Server {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.AdminListen == "" {
		cfg.AdminListen = "127.0.0.1:0"
	}
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
	status int
	header http.Header
	body   string
}

// ask sends one request on a connection of its own. headers are "Name: value";
// "Host: x" sets the request's host.
func ask(t *testing.T, method, url, body string, headers ...string) answer {
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
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(text)}
}

func (s *Server) url(path string) string      { return "http://" + s.Addr().String() + path }
func (s *Server) adminURL(path string) string { return "http://" + s.AdminAddr().String() + path }
