package httpd

import (
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
		if ttl != 0 && (ttl < minTTL || ttl > maxTTL || ttl%time.Second != 0) {
			t.Errorf("%q: ttl %v", body, ttl)
		}
	})
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
