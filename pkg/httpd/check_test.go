package httpd

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// testStartCheck tells what it was asked by the port, and fails by the host's
// name.
func testStartCheck(client netip.Addr, host string, _ time.Duration) (Check, error) {
	switch host {
	case "busy":
		return Check{}, &TooManyChecksError{Wait: 1500 * time.Millisecond, Problem: "Wait a little."}
	case "deaf":
		return Check{}, ErrNoTURN
	case "broken":
		return Check{}, errors.New("it is broken")
	}
	return Check{"c1", testICE("check-c1", 2*time.Minute, client.String()), []CheckListener{{"udp", 3478}}}, nil
}

func TestStartCheck(t *testing.T) {
	cfg := apiConfig()
	cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	s := run(t, cfg)
	for _, test := range []struct {
		name, body string
		headers    []string
		status     int
		contains   string
		retryAfter string
	}{
		{"as the page asks", "", nil, 200,
			`{"id":"c1","iceServers":[{"urls":["stun:127.0.0.1:3478"]},{"urls":["turn:127.0.0.1:3478"],"username":"1:check-c1","credential":"c"}],"ttl":120,"listeners":[{"transport":"udp","port":3478}]}`, ""},
		{"through a proxy", "", []string{"X-Forwarded-For: 203.0.113.7"}, 200, "stun:203.0.113.7:3478", ""},
		{"a body that nobody asked for", "{", nil, 200, `"id":"c1"`, ""},
		{"too many", "", []string{"Host: busy"}, 429, "Wait a little.", "2"},
		{"broken", "", []string{"Host: broken"}, 500, `"code":"internal"`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ask(t, "POST", s.url("/api/v1/check"), test.body, test.headers...)
			if got.status != test.status || !strings.Contains(got.body, test.contains) || got.header.Get("Retry-After") != test.retryAfter {
				t.Errorf("%d %s, Retry-After %q", got.status, got.body, got.header.Get("Retry-After"))
			}
		})
	}
}

// TestCheckTokenOfWhom: wrong tokens count for the address that they come from.
func TestCheckTokenOfWhom(t *testing.T) {
	cfg := apiConfig()
	cfg.CheckNeedsToken = true
	cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	asked := make(chan netip.Addr, 1)
	cfg.CheckToken = func(client netip.Addr, token string) (string, time.Duration, bool) {
		asked <- client
		return testCheckToken(client, token)
	}
	s := run(t, cfg)
	for header, status := range map[string]int{joinToken: 200, "Authorization: Bearer e30.e30.other": 401} {
		if got := ask(t, "POST", s.url("/api/v1/check"), "", header, "X-Forwarded-For: 203.0.113.7"); got.status != status {
			t.Errorf("%s: %d %s", header, got.status, got.body)
		}
		if client := <-asked; client != netip.MustParseAddr("203.0.113.7") {
			t.Errorf("the token is of %v", client)
		}
	}
	cfg.CheckToken = nil
	s = run(t, cfg)
	if got := ask(t, "POST", s.url("/api/v1/check"), "", joinToken); got.status != 401 {
		t.Errorf("without keys for tokens: %d %s", got.status, got.body)
	}
}

func TestCheckPage(t *testing.T) {
	s := run(t, Config{})
	s.site.files["check.html"] = s.site.files["index.html"]
	if got := ask(t, "GET", s.url("/check"), ""); got.status != 200 || got.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%d, %v", got.status, got.header)
	}
}
