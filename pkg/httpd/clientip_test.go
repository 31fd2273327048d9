package httpd

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestClientIP(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("fe80::/10")}
	for _, test := range []struct {
		name, remote string
		forwarded    []string
		want         string
	}{
		{"direct", "192.0.2.1:1000", nil, "192.0.2.1"},
		{"direct, claims to be a proxy", "192.0.2.1:1000", []string{"198.51.100.1"}, "192.0.2.1"},
		{"mapped", "[::ffff:192.0.2.1]:1000", nil, "192.0.2.1"},
		{"zone", "[fe80::1%eth0]:1000", nil, "fe80::1"},
		{"one proxy", "10.0.0.1:1000", []string{"198.51.100.1"}, "198.51.100.1"},
		{"proxy with a mapped address", "[::ffff:10.0.0.1]:1000", []string{"198.51.100.1"}, "198.51.100.1"},
		{"zoned proxy", "[fe80::1%eth0]:1000", []string{"198.51.100.1"}, "198.51.100.1"},
		{"forged left end", "10.0.0.1:1000", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.0.0.1:1000", []string{"198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"two headers", "10.0.0.1:1000", []string{"203.0.113.9", "198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"proxies only", "10.0.0.1:1000", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"no header", "10.0.0.1:1000", nil, "10.0.0.1"},
		{"nonsense", "10.0.0.1:1000", []string{"unknown"}, "10.0.0.1"},
		{"nonsense behind a hop", "10.0.0.1:1000", []string{"unknown, 10.0.0.2"}, "10.0.0.2"},
		{"empty", "10.0.0.1:1000", []string{""}, "10.0.0.1"},
		{"with ports", "10.0.0.1:1000", []string{"[2001:db8::7]:99, 10.0.0.2:80"}, "2001:db8::7"},
		{"IPv6 proxy, mapped client", "[::1]:1000", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"no address", "@", []string{"198.51.100.1"}, "invalid IP"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: test.remote, Header: http.Header{"X-Forwarded-For": test.forwarded}}
			if got := ClientIP(r, trusted).String(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
