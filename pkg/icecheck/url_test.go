package icecheck

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for _, tt := range []struct {
		url  string
		want serverURL
	}{
		{"stun:example.com", serverURL{network: "udp", host: "example.com", port: "3478"}},
		{"stun:example.com:19302", serverURL{network: "udp", host: "example.com", port: "19302"}},
		{"stun:example.com?transport=tcp", serverURL{network: "tcp", host: "example.com", port: "3478"}},
		{"stuns:example.com", serverURL{tls: true, network: "tcp", host: "example.com", port: "5349"}},
		{"turn:example.com", serverURL{relay: true, network: "udp", host: "example.com", port: "3478"}},
		{"turn:example.com?transport=udp", serverURL{relay: true, network: "udp", host: "example.com", port: "3478"}},
		{"turns:example.com?transport=udp", serverURL{relay: true, tls: true, network: "udp", host: "example.com", port: "5349"}},
		{"turn:example.com:80?transport=tcp", serverURL{relay: true, network: "tcp", host: "example.com", port: "80"}},
		{"turns:example.com", serverURL{relay: true, tls: true, network: "tcp", host: "example.com", port: "5349"}},
		{"turns:example.com:443?transport=tcp", serverURL{relay: true, tls: true, network: "tcp", host: "example.com", port: "443"}},
		{"turn:192.0.2.1:3479", serverURL{relay: true, network: "udp", host: "192.0.2.1", port: "3479"}},
		{"turn:[2001:db8::1]", serverURL{relay: true, network: "udp", host: "2001:db8::1", port: "3478"}},
		{"turn:[2001:db8::1]:443?transport=tcp", serverURL{relay: true, network: "tcp", host: "2001:db8::1", port: "443"}},
		{"stun:[fe80::1%eth0]:1", serverURL{network: "udp", host: "fe80::1%eth0", port: "1"}},
		{"turn:localhost:65535", serverURL{relay: true, network: "udp", host: "localhost", port: "65535"}},
	} {
		t.Run(tt.url, func(t *testing.T) {
			if got, err := parseURL(tt.url); err != nil || got != tt.want {
				t.Errorf("parsed as %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestParseURLRefuses(t *testing.T) {
	for _, tt := range []struct{ name, url, says string }{
		{"empty", "", "starts with stun:, turn: or turns:"},
		{"no scheme", "example.com:3478", "starts with stun:, turn: or turns:"},
		{"scheme alone", "turn", "names no server"},
		{"scheme and colon", "turn:", "names no server"},
		{"web address", "https://example.com", "starts with stun:, turn: or turns:"},
		{"scheme with a tail", "turnip:example.com", "starts with stun:, turn: or turns:"},
		{"slashes as in a web address", "turn://example.com:3478", "names no server: expected turn:host or turn:host:port"},
		{"user before the host", "turn:ann@example.com", "names no server"},
		{"path behind the host", "turn:example.com/x", "names no server"},
		{"query alone", "turn:?transport=udp", "names no server"},
		{"port alone", "stun::3478", "names no server"},
		{"colon without a port", "turn:example.com:", "names no server"},
		{"port 0", "turn:example.com:0", "names no server"},
		{"port too large", "turn:example.com:65536", "names no server"},
		{"port in words", "turn:example.com:https", "names no server"},
		{"negative port", "turn:example.com:-1", "names no server"},
		{"bare IPv6", "turn:2001:db8::1", "names no server"},
		{"bracket not closed", "turn:[2001:db8::1", "names no server"},
		{"bracket not opened", "turn:2001:db8::1]", "names no server"},
		{"nothing in the brackets", "turn:[]", "names no server"},
		{"a name in the brackets", "turn:[example.com]", "names no server"},
		{"IPv4 in the brackets", "turn:[192.0.2.1]:3478", "names no server"},
		{"brackets in brackets", "turn:[[::1]]", "names no server"},
		{"unknown transport", "turn:example.com?transport=sctp", "only transport=udp or transport=tcp"},
		{"empty query", "turn:example.com?", "only transport=udp or transport=tcp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, err := parseURL(tt.url)
			if err == nil {
				t.Fatalf("parsed as %+v", u)
			}
			if !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), strconv.Quote(tt.url)) {
				t.Errorf("error %q, want the URL and %q", err, tt.says)
			}
		})
	}
}

func FuzzParseURL(f *testing.F) {
	for _, u := range []string{"", "turn", "turn:", "stun:example.com", "turns:example.com:443?transport=tcp", "turn:[::1]:80", "turn:[::1", "turn:::", "turn:]a[",
		"turns:a?transport=udp", "turn:a?b", "turn:\xff:1", "turn:a:\x00", "stun:[fe80::1%]:1", "turn:a:+1", "https://a/"} {
		f.Add(u)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := parseURL(raw)
		if err != nil {
			if !strings.Contains(err.Error(), strconv.Quote(raw)) {
				t.Errorf("error %q does not quote %q", err, raw)
			}
			return
		}
		port, err := strconv.Atoi(u.port)
		if u.host == "" || err != nil || port < 1 || port > 65535 || u.network != "udp" && u.network != "tcp" {
			t.Errorf("%q is parsed as %+v", raw, u)
		}
		if !strings.Contains(raw, u.host) || u.relay != strings.HasPrefix(raw, "turn") {
			t.Errorf("%q is parsed as %+v", raw, u)
		}
		if host, again, err := net.SplitHostPort(net.JoinHostPort(u.host, u.port)); err != nil || host != u.host || again != u.port {
			t.Errorf("%q cannot be dialled: %v", raw, err)
		}
		if _, err := netip.ParseAddr(u.host); strings.Contains(u.host, ":") && err != nil {
			t.Errorf("%q names the host %q", raw, u.host)
		}
	})
}
