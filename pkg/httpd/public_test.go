package httpd

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func testICE(user string, ttl time.Duration, host string) ICEServers {
	return ICEServers{[]ICEServer{
		{URLs: []string{"stun:" + host + ":3478"}},
		{URLs: []string{"turn:" + host + ":3478"}, Username: "1:" + user, Credential: "c"},
	}, int64(ttl / time.Second)}
}

func testREST(user, host string) RESTCredential {
	return RESTCredential{"1:" + user, "p", 60, []string{"turn:" + host}}
}

func publicConfig() Config {
	return Config{
		APIKeys: []string{"key-zero", testKey},
		ICE:     testICE,
		REST:    testREST,
		Signaling: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("signaling"))
		}),
	}
}

const key = "Authorization: Bearer " + testKey

var publicRouteTests = []struct {
	name, method, path, body string
	headers                  []string
	status                   int
	mime, contains           string
}{
	{name: "lobby", path: "/", status: 200, mime: "text/html; charset=utf-8", contains: "lobby"},
	{name: "call", path: "/r/tea-room", status: 200, mime: "text/html; charset=utf-8", contains: "call"},
	{name: "call, any query", path: "/r/tea?name=Ann", status: 200, contains: "call"},
	{name: "no room", path: "/r/", status: 404, mime: "application/problem+json", contains: `"code":"not_found"`},
	{name: "style", path: "/assets/style.css", status: 200, mime: "text/css; charset=utf-8", contains: "a{}"},
	{name: "module", path: "/assets/app/call.js", status: 200, mime: "text/javascript; charset=utf-8"},
	{name: "icon", path: "/assets/icons/icon.svg", status: 200, mime: "image/svg+xml"},
	{name: "manifest", path: "/assets/app/site.webmanifest", status: 200, mime: "application/manifest+json"},
	{name: "unknown kind", path: "/assets/app/unknown.extension", status: 200, mime: "application/octet-stream"},
	{name: "directory", path: "/assets/app/", status: 404},
	{name: "directory, no slash", path: "/assets/app", status: 404},
	{name: "assets root", path: "/assets/", status: 404},
	{name: "page as asset", path: "/assets/call.html", status: 404},
	{name: "climbing out", path: "/assets/..%2f..%2fgo.mod", status: 404},
	{name: "sdk", path: "/sdk/maitred.js", status: 200, mime: "text/javascript; charset=utf-8"},
	{name: "signaling", path: "/ws", status: 200, contains: "signaling"},
	{name: "alive", path: "/healthz", status: 200, mime: "application/json", contains: `"ok"`},
	{name: "ready", path: "/readyz", status: 200, contains: `"ready"`},
	{name: "metrics are the administrator's", path: "/metrics", status: 404},
	{name: "profiles too", path: "/debug/pprof/", status: 404},
	{name: "unknown", path: "/nonsense", status: 404, mime: "application/problem+json"},
	{name: "unknown to a person", path: "/nonsense", headers: []string{"Accept: text/html,*/*"},
		status: 404, mime: "text/html; charset=utf-8", contains: `href="/"`},
	{name: "unknown api to a person", path: "/api/v9", headers: []string{"Accept: text/html"}, status: 404, mime: "application/problem+json"},
	{name: "wrong method", path: "/api/v1/ice-servers", status: 405, mime: "application/problem+json", contains: "POST only"},
	{name: "wrong method for the page", method: "POST", path: "/", status: 405, mime: "application/problem+json", contains: "GET, HEAD"},

	{name: "ice servers", method: "POST", path: "/api/v1/ice-servers", headers: []string{key, "Host: call.example.com:8080"},
		status: 200, mime: "application/json", contains: `{"iceServers":[{"urls":["stun:call.example.com:3478"]},` +
			`{"urls":["turn:call.example.com:3478"],"username":"1:","credential":"c"}],"ttl":0}`},
	{name: "ice servers with a body", method: "POST", path: "/api/v1/ice-servers", body: `{"ttl":600,"user":"alice"}`,
		headers: []string{key, "Host: [2001:db8::1]:8080"}, status: 200, contains: `"stun:2001:db8::1:3478"`},
	{name: "key in another case", method: "POST", path: "/api/v1/ice-servers", headers: []string{"Authorization: bearer  " + testKey}, status: 200},
	{name: "other key", method: "POST", path: "/api/v1/ice-servers", headers: []string{"Authorization: Bearer key-zero"}, status: 200},
	{name: "no key", method: "POST", path: "/api/v1/ice-servers", status: 401, mime: "application/problem+json", contains: "Bearer"},
	{name: "half a key", method: "POST", path: "/api/v1/ice-servers", headers: []string{"Authorization: Bearer key"}, status: 401},
	{name: "basic", method: "POST", path: "/api/v1/ice-servers", headers: []string{"Authorization: Basic " + testKey}, status: 401},
	{name: "not JSON", method: "POST", path: "/api/v1/ice-servers", body: "ttl=5", headers: []string{key}, status: 400, contains: "bad_request"},
	{name: "unknown field", method: "POST", path: "/api/v1/ice-servers", body: `{"tll":600}`, headers: []string{key}, status: 400, contains: "tll"},
	{name: "two objects", method: "POST", path: "/api/v1/ice-servers", body: `{}{}`, headers: []string{key}, status: 400},
	{name: "null", method: "POST", path: "/api/v1/ice-servers", body: `null`, headers: []string{key}, status: 400},
	{name: "too long a ttl", method: "POST", path: "/api/v1/ice-servers", body: `{"ttl":86401}`, headers: []string{key}, status: 400, contains: "86400"},
	{name: "no ttl at all", method: "POST", path: "/api/v1/ice-servers", body: `{"ttl":0}`, headers: []string{key}, status: 400},
	{name: "colon in the user", method: "POST", path: "/api/v1/ice-servers", body: `{"user":"a:b"}`, headers: []string{key}, status: 400},
	{name: "too big", method: "POST", path: "/api/v1/ice-servers", body: `{"user":"` + strings.Repeat("a", 5000) + `"}`,
		headers: []string{key}, status: 413, contains: "4096"},
	{name: "big behind the object", method: "POST", path: "/api/v1/ice-servers", body: "{}" + strings.Repeat(" ", 5000),
		headers: []string{key}, status: 413},

	{name: "turn rest", path: "/turn?service=turn&username=bob&key=" + testKey, headers: []string{"Host: h.example"},
		status: 200, mime: "application/json", contains: `{"username":"1:bob","password":"p","ttl":60,"uris":["turn:h.example"]}`},
	{name: "turn rest without a name", path: "/turn?service=turn&key=" + testKey, status: 200},
	{name: "turn rest, wrong key", path: "/turn?service=turn&key=x", status: 401},
	{name: "turn rest, no key", path: "/turn?service=turn", status: 401, contains: "key="},
	{name: "turn rest, other service", path: "/turn?service=stun&key=" + testKey, status: 400, contains: "service=turn"},
	{name: "turn rest, bad user", path: "/turn?service=turn&username=a%3Ab&key=" + testKey, status: 400},
}

func TestPublicRoutes(t *testing.T) {
	s := run(t, publicConfig())
	for _, test := range publicRouteTests {
		t.Run(test.name, func(t *testing.T) {
			method := test.method
			if method == "" {
				method = "GET"
			}
			got := ask(t, method, s.url(test.path), test.body, test.headers...)
			if got.status != test.status || !strings.Contains(got.body, test.contains) {
				t.Errorf("got %d %q, want %d with %q", got.status, got.body, test.status, test.contains)
			}
			if mime := got.header.Get("Content-Type"); test.mime != "" && mime != test.mime {
				t.Errorf("Content-Type %q, want %q", mime, test.mime)
			}
			checkHeaders(t, got)
		})
	}
}

// checkHeaders holds for every answer, whatever it says.
func checkHeaders(t *testing.T, got answer) {
	t.Helper()
	for name, want := range map[string]string{
		"Content-Security-Policy":    contentSecurityPolicy,
		"X-Content-Type-Options":     "nosniff",
		"Referrer-Policy":            "no-referrer",
		"Permissions-Policy":         permissionsPolicy,
		"Cross-Origin-Opener-Policy": "same-origin",
	} {
		if value := got.header.Get(name); value != want {
			t.Errorf("%s: %q, want %q", name, value, want)
		}
	}
	if got.status < 400 {
		return
	}
	var p problem
	if got.header.Get("Content-Type") != "application/problem+json" {
		return
	}
	if err := json.Unmarshal([]byte(got.body), &p); err != nil || p.Type == "" || p.Title == "" || p.Status != got.status || p.Detail == "" {
		t.Errorf("not an RFC 9457 problem: %s (%v)", got.body, err)
	}
}

func TestHEAD(t *testing.T) {
	s := run(t, publicConfig())
	for _, path := range []string{"/", "/r/tea", "/r/tea/qr.svg", "/assets/style.css", "/healthz", "/readyz"} {
		get, head := ask(t, "GET", s.url(path), ""), ask(t, "HEAD", s.url(path), "")
		if head.status != 200 || head.body != "" || head.header.Get("Content-Type") != get.header.Get("Content-Type") {
			t.Errorf("HEAD %s: %d %q %q", path, head.status, head.body, head.header)
		}
	}
}

func TestCaching(t *testing.T) {
	s := run(t, publicConfig())
	first := ask(t, "GET", s.url("/assets/style.css"), "")
	etag := first.header.Get("ETag")
	if etag == "" || first.header.Get("Cache-Control") != "no-cache" {
		t.Fatalf("asset headers: %v", first.header)
	}
	again := ask(t, "GET", s.url("/assets/style.css"), "", "If-None-Match: "+etag)
	if again.status != http.StatusNotModified || again.body != "" {
		t.Errorf("with its ETag: %d %q", again.status, again.body)
	}
	if other := ask(t, "GET", s.url("/assets/app/call.js"), ""); other.header.Get("ETag") == etag {
		t.Error("two files share an ETag")
	}
	for _, path := range []string{"/healthz", "/readyz", "/turn?service=turn&key=" + testKey, "/nonsense", "/assets/nonsense.js"} {
		if got := ask(t, "GET", s.url(path), "").header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control %q", path, got)
		}
	}
}

func TestCrossOrigin(t *testing.T) {
	s := run(t, publicConfig())
	for path, want := range map[string]string{"/turn?service=turn&key=" + testKey: "", "/healthz": "", "/": "", "/sdk/maitred.js": "*"} {
		got := ask(t, "GET", s.url(path), "", "Origin: "+testOrigin).header.Get("Access-Control-Allow-Origin")
		if got != want {
			t.Errorf("%s: Access-Control-Allow-Origin %q, want %q", path, got, want)
		}
	}
	if got := ask(t, "OPTIONS", s.url("/api/v1/ice-servers"), "", "Origin: "+testOrigin); got.status != 405 {
		t.Errorf("preflight: %d", got.status)
	}
}

func TestClosedWithoutKeys(t *testing.T) {
	s := run(t, Config{ICE: testICE, REST: testREST})
	for _, got := range []answer{
		ask(t, "POST", s.url("/api/v1/ice-servers"), "", "Authorization: Bearer x"),
		ask(t, "POST", s.url("/api/v1/ice-servers"), "", "Authorization: Bearer "),
		ask(t, "GET", s.url("/turn?service=turn&key="), ""),
	} {
		if got.status != 403 || !strings.Contains(got.body, "api.keys") {
			t.Errorf("got %d %s", got.status, got.body)
		}
	}
}

func TestNilFunctions(t *testing.T) {
	s := run(t, Config{APIKeys: []string{testKey}})
	if got := ask(t, "POST", s.url("/api/v1/ice-servers"), "", "Authorization: Bearer "+testKey); got.status != 503 {
		t.Errorf("ice-servers: %d %s", got.status, got.body)
	}
	if got := ask(t, "GET", s.url("/turn?service=turn&key="+testKey), ""); got.status != 503 {
		t.Errorf("turn: %d %s", got.status, got.body)
	}
	if got := ask(t, "GET", s.url("/ws"), ""); got.status != 404 {
		t.Errorf("ws: %d %s", got.status, got.body)
	}
}

// lockedBuffer is written by the server while the test reads.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

func TestAccessLog(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo} {
		t.Run(level.String(), func(t *testing.T) {
			var out lockedBuffer
			cfg := publicConfig()
			cfg.Log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level}))
			s := run(t, cfg)
			ask(t, "GET", s.url("/turn?service=turn&key="+testKey), "")
			ask(t, "GET", s.url("/r/secret-room"), "")
			ask(t, "GET", s.url("/r/secret-room/qr.svg"), "")
			ask(t, "GET", s.url("/r/secret-room/and-more"), "")
			last := ask(t, "GET", s.url("/assets/style.css"), "")
			// A line is written after its answer, so wait for it at the next one.
			deadline := time.Now().Add(5 * time.Second)
			for level == slog.LevelDebug && !strings.Contains(out.String(), "style.css") && time.Now().Before(deadline) {
				last = ask(t, "GET", s.url("/healthz"), "")
			}
			text := out.String()
			if (level == slog.LevelDebug) != strings.Contains(text, "path=/assets/style.css status=200") {
				t.Errorf("at %v after %d: %s", level, last.status, text)
			}
			for _, secret := range []string{testKey, "secret-room", "service=turn"} {
				if strings.Contains(text, secret) {
					t.Errorf("the log has %q: %s", secret, text)
				}
			}
		})
	}
}

func TestHijackThroughTheLog(t *testing.T) {
	cfg := publicConfig()
	cfg.Log = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg.Signaling = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
	})
	if got := ask(t, "GET", run(t, cfg).url("/ws"), ""); got.body != "hi" {
		t.Errorf("got %d %q", got.status, got.body)
	}
}

func TestHeaderLimit(t *testing.T) {
	s := run(t, publicConfig())
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Big: "+strings.Repeat("a", 64<<10)+"\r\n\r\n")
	status := make([]byte, len("HTTP/1.1 431"))
	if _, err := io.ReadFull(conn, status); err != nil || string(status) != "HTTP/1.1 431" {
		t.Errorf("got %q (%v)", status, err)
	}
}
