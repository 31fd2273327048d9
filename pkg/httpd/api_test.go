package httpd

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func FuzzICERequest(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"ttl":600,"user":"alice"}`, `{"ttl":1e3}`, `{"ttl":-1}`, `{"ttl":99999999999999999999}`,
		`{"user":"a:b"}`, `[]`, `null`, `{}{}`, `{"ttl":600}x`, `{"ttl":600,"ttl":700}`, "{\"user\":\"\xff\"}", strings.Repeat("[", 3000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		user, ttl, err := parseICERequest(strings.NewReader(body))
		if err != nil {
			if user != "" || ttl != 0 {
				t.Errorf("%q: error %v with values %q %v", body, err, user, ttl)
			}
			return
		}
		if len(user) > maxUser || strings.ContainsAny(user, ": \r\n\x00\"") {
			t.Errorf("%q: user %q", body, user)
		}
		if ttl != 0 && (ttl < minTTL || ttl > MaxTTL || ttl%time.Second != 0) {
			t.Errorf("%q: ttl %v", body, ttl)
		}
	})
}

// TestICEServersByJoinToken: the credential is the holder's and does not outlive
// the token.
func TestICEServersByJoinToken(t *testing.T) {
	var left time.Duration
	cfg := apiConfig()
	cfg.CheckToken = func(client netip.Addr, token string) (string, time.Duration, bool) {
		user, _, ok := testCheckToken(client, token)
		return user, left, ok
	}
	s := run(t, cfg)
	for _, test := range []struct {
		name, header, body string
		left               time.Duration
		status             int
		contains           string
	}{
		{"nothing asked", joinToken, "", 90 * time.Minute, 200, `"1:token-t1","credential":"c"}],"ttl":5400}`},
		{"nothing asked of one that lasts long", joinToken, "", 1000 * time.Hour, 200, `"ttl":43200}`},
		{"less asked", joinToken, `{"ttl":60}`, 90 * time.Minute, 200, `"ttl":60}`},
		{"more asked", joinToken, `{"ttl":86400}`, 90 * time.Minute, 200, `"ttl":5400}`},
		{"less than what may be asked is left", joinToken, `{"ttl":86400}`, 1500 * time.Millisecond, 200, `"ttl":1}`},
		{"nothing is left", joinToken, "", 999 * time.Millisecond, 401, "unauthorized"},
		{"for somebody else", joinToken, `{"user":"ann"}`, time.Hour, 400, "leave user out"},
		{"for oneself", joinToken, `{"user":"token-t1"}`, time.Hour, 400, "leave user out"},
		{"another token", "Authorization: Bearer e30.e30.other", "", time.Hour, 401, "unauthorized"},
		{"nothing shown", "Authorization: Bearer", "", time.Hour, 401, "a join token"},
		{"an API key", key, `{"user":"ann"}`, time.Hour, 200, `"1:ann"`},
		{"an API key for somebody unnamed", key, ``, time.Hour, 200, `"1:","credential":"c"}],"ttl":43200}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			left = test.left
			got := ask(t, "POST", s.url("/api/v1/ice-servers"), test.body, test.header)
			if got.status != test.status || !strings.Contains(got.body, test.contains) {
				t.Errorf("got %d %s, want %d with %q", got.status, got.body, test.status, test.contains)
			}
		})
	}
}

// TestICEServersByJoinTokenAlone needs no API keys.
func TestICEServersByJoinTokenAlone(t *testing.T) {
	cfg := apiConfig()
	cfg.APIKeys = nil
	s := run(t, cfg)
	for header, status := range map[string]int{joinToken: 200, key: 401, "Authorization: Bearer ": 401} {
		if got := ask(t, "POST", s.url("/api/v1/ice-servers"), "", header); got.status != status {
			t.Errorf("%s: got %d %s, want %d", header, got.status, got.body, status)
		}
	}
	if got := ask(t, "GET", s.url("/turn?service=turn&key=e30.e30.c2ln"), ""); got.status != 403 {
		t.Errorf("a join token is no API key of the TURN REST draft: %d %s", got.status, got.body)
	}
}

func TestHostName(t *testing.T) {
	for host, want := range map[string]string{
		"call.example.com":       "call.example.com",
		"call.example.com:8443":  "call.example.com",
		"192.0.2.1:80":           "192.0.2.1",
		"[2001:db8::1]:80":       "2001:db8::1",
		"[2001:db8::1]":          "2001:db8::1",
		"a_b":                    "a_b",
		"":                       "",
		"x?transport=tcp":        "",
		"x,turn:evil":            "",
		"a b":                    "",
		"..":                     "",
		"-":                      "",
		"a..b":                   "",
		"-a.example":             "",
		"call.example.com.":      "call.example.com.",
		"[fe80::1%eth0]:80":      "",
		strings.Repeat("a", 300): "",
	} {
		if got := HostName(host); got != want {
			t.Errorf("%q: got %q, want %q", host, got, want)
		}
	}
}
