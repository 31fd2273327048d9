package httpd

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func adminConfig() Config {
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "maitred_test_total", Help: "x"})
	registry.MustRegister(counter)
	return Config{
		Metrics: registry,
		Rooms: func() any {
			return []map[string]string{{"id": "tea", "name": "<script>alert(1)</script>"}}
		},
		Allocations: func() any { return []string(nil) },
		Traffic:     func() any { return map[string]any{"users": map[string]int{"<script>": 1}} },
		Room:        func(name string) (any, bool) { return name, name == "tea" },
		Kick:        func(room, member, _ string) bool { return room == "tea" && member == "m1" },
	}
}

func TestAdminRoutes(t *testing.T) {
	s := run(t, adminConfig())
	for _, test := range []struct {
		name, method, path string
		status             int
		mime, contains     string
	}{
		{name: "status", path: "/", status: 200, mime: "text/html; charset=utf-8", contains: "<h2>1 <a"},
		{name: "style", path: "/status.css", status: 200, mime: "text/css; charset=utf-8"},
		{name: "metrics", path: "/metrics", status: 200, contains: "maitred_test_total 0"},
		{name: "profiles", path: "/debug/pprof/", status: 200, contains: "goroutine"},
		{name: "a profile", path: "/debug/pprof/goroutine?debug=1", status: 200, contains: "goroutine profile"},
		{name: "symbol", path: "/debug/pprof/symbol", status: 200},
		{name: "cmdline", path: "/debug/pprof/cmdline", status: 200},
		{name: "rooms", path: "/api/v1/rooms", status: 200, mime: "application/json", contains: `{"rooms":[{"id":"tea"`},
		{name: "no allocations", path: "/api/v1/allocations", status: 200, contains: `{"allocations":[]}`},
		{name: "traffic", path: "/api/v1/traffic", status: 200, mime: "application/json", contains: `{"users":{`},
		{name: "traffic by POST", method: "POST", path: "/api/v1/traffic", status: 405, contains: "GET"},
		{name: "kick", method: "DELETE", path: "/api/v1/rooms/tea/members/m1", status: 204},
		{name: "kick nobody", method: "DELETE", path: "/api/v1/rooms/tea/members/m2", status: 404, contains: "no_such_member"},
		{name: "kick by GET", path: "/api/v1/rooms/tea/members/m1", status: 405, contains: "DELETE only"},
		{name: "unknown", path: "/api/v1/nonsense", status: 404, mime: "application/problem+json"},
		{name: "the page is public", path: "/r/tea", status: 404},
	} {
		t.Run(test.name, func(t *testing.T) {
			method := test.method
			if method == "" {
				method = "GET"
			}
			got := ask(t, method, s.adminURL(test.path), "")
			if got.status != test.status || !strings.Contains(got.body, test.contains) {
				t.Errorf("got %d %q, want %d with %q", got.status, got.body, test.status, test.contains)
			}
			if mime := got.header.Get("Content-Type"); test.mime != "" && mime != test.mime {
				t.Errorf("Content-Type %q, want %q", mime, test.mime)
			}
			if strings.Contains(got.body, "<script") {
				t.Errorf("markup of a member got through: %s", got.body)
			}
			checkHeaders(t, got)
		})
	}
}

func TestAdminTrafficOfNothing(t *testing.T) {
	s := run(t, Config{})
	if got := ask(t, "GET", s.adminURL("/api/v1/traffic"), ""); got.status != 200 || strings.TrimSpace(got.body) != "{}" {
		t.Errorf("%d %q", got.status, got.body)
	}
}

func TestAdminStatusSaysWhatIsWrong(t *testing.T) {
	s := run(t, Config{Ready: func(context.Context) error { return errors.New("turn.udp is deaf") }})
	if got := ask(t, "GET", s.adminURL("/"), ""); !strings.Contains(got.body, "Not ready: turn.udp is deaf") {
		t.Error(got.body)
	}
	s.SetDraining()
	if got := ask(t, "GET", s.adminURL("/"), ""); !strings.Contains(got.body, "Not ready: draining") {
		t.Error(got.body)
	}
}

const local, remote = "127.0.0.1:5000", "192.0.2.1:5000"

var adminAccessTests = []struct {
	name, remote, host, token string
	headers                   []string
	method                    string
	status                    int
}{
	{name: "this machine", remote: local, host: "localhost:9090", status: 200},
	{name: "this machine by address", remote: local, host: "127.0.0.1:9090", status: 200},
	{name: "this machine by IPv6", remote: "[::1]:5000", host: "[::1]:9090", status: 200},
	{name: "this machine, a token is set", remote: local, host: "localhost", token: testToken, status: 200},
	{name: "DNS rebinding", remote: local, host: "evil.example:9090", status: 403},
	{name: "DNS rebinding, a token is set", remote: local, host: "evil.example", token: testToken, status: 401},
	{name: "a name that only begins like it", remote: local, host: "localhost.evil.example", status: 403},
	{name: "through a proxy here", remote: local, host: "127.0.0.1:9090", headers: []string{"X-Forwarded-For: 192.0.2.1"}, status: 403},
	{name: "elsewhere, claims localhost", remote: remote, host: "localhost", token: testToken, status: 401},
	{name: "elsewhere, no token set", remote: remote, host: "localhost", status: 403},
	{name: "elsewhere with the token", remote: remote, host: "m.example", token: testToken, headers: []string{"Authorization: Bearer " + testToken}, status: 200},
	{name: "elsewhere with a wrong token", remote: remote, host: "m.example", token: testToken, headers: []string{"Authorization: Bearer x"}, status: 401},
	{name: "elsewhere with an empty token", remote: remote, host: "m.example", headers: []string{"Authorization: Bearer "}, status: 403},
	{name: "a foreign page deletes", method: "DELETE", remote: local, host: "localhost", headers: []string{"Sec-Fetch-Site: cross-site"}, status: 403},
	{name: "a foreign page deletes, old browser", method: "DELETE", remote: local, host: "localhost", headers: []string{"Origin: " + testOrigin}, status: 403},
	{name: "a foreign page deletes with the token", method: "DELETE", remote: remote, host: "m.example", token: testToken,
		headers: []string{"Authorization: Bearer " + testToken, "Sec-Fetch-Site: cross-site"}, status: 403},
	{name: "its own page deletes", method: "DELETE", remote: local, host: "localhost", headers: []string{"Sec-Fetch-Site: same-origin"}, status: 204},
	{name: "curl deletes", method: "DELETE", remote: local, host: "localhost", status: 204},
	{name: "a foreign page reads", remote: local, host: "localhost", headers: []string{"Sec-Fetch-Site: cross-site"}, status: 403},
	{name: "typed into the address bar", remote: local, host: "localhost", headers: []string{"Sec-Fetch-Site: none"}, status: 200},
}

// TestAdminAccess talks to the handler directly, because the remote address
// and the Host header together decide.
func TestAdminAccess(t *testing.T) {
	for _, test := range adminAccessTests {
		t.Run(test.name, func(t *testing.T) {
			cfg := adminConfig()
			cfg.AdminToken, cfg.AdminListen, cfg.Listen = test.token, "127.0.0.1:0", "off"
			s := run(t, cfg)
			method, paths := "GET", []string{"/api/v1/rooms", "/api/v1/traffic"}
			if test.method == "DELETE" {
				method, paths = "DELETE", []string{"/api/v1/rooms/tea/members/m1"}
			}
			for _, path := range paths {
				r := httptest.NewRequest(method, path, http.NoBody)
				r.RemoteAddr, r.Host = test.remote, test.host
				for _, h := range test.headers {
					name, value, _ := strings.Cut(h, ": ")
					r.Header.Set(name, value)
				}
				w := httptest.NewRecorder()
				s.adminHandler().ServeHTTP(w, r)
				if w.Code != test.status {
					t.Errorf("%s: got %d %s, want %d", path, w.Code, w.Body, test.status)
				}
			}
		})
	}
}
