package icecheck

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// serverURL is a parsed RTCIceServer URL.
type serverURL struct {
	relay   bool // turn: or turns:
	tls     bool
	network string // udp or tcp; with tls it is DTLS or TLS
	host    string
	port    string
}

// parseURL reads stun:, stuns:, turn: and turns: URLs (RFC 7064, RFC 7065).
func parseURL(raw string) (u serverURL, err error) {
	scheme, rest, ok := strings.Cut(raw, ":")
	rest, query, hasQuery := strings.Cut(rest, "?")
	u = serverURL{relay: strings.HasPrefix(scheme, "turn"), tls: strings.HasSuffix(scheme, "s"), network: "udp", port: "3478"}
	if u.tls {
		u.network, u.port = "tcp", "5349"
	}
	switch scheme {
	case "stun", "stuns", "turn", "turns":
	default:
		return u, fmt.Errorf("%q is no STUN or TURN URL: it starts with stun:, turn: or turns:, for example turn:example.com:3478?transport=udp", raw)
	}
	if u.host, u.port, err = hostPort(rest, u.port); err != nil || !ok {
		return u, fmt.Errorf("%q names no server: expected %s:host or %s:host:port", raw, scheme, scheme)
	}
	switch query {
	case "transport=udp":
		u.network = "udp"
	case "transport=tcp":
		u.network = "tcp"
	default:
		if hasQuery {
			return u, fmt.Errorf("%q: after the question mark only transport=udp or transport=tcp may stand", raw)
		}
	}
	return u, nil
}

// hostPort splits "host", "host:port", "[v6]" and "[v6]:port".
func hostPort(s, defaultPort string) (host, port string, err error) {
	if strings.HasSuffix(s, "]") || !strings.Contains(s, ":") {
		s += ":" + defaultPort
	}
	if host, port, err = net.SplitHostPort(s); err != nil {
		return "", "", err
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", &net.AddrError{Err: "no valid port", Addr: s}
	}
	if ip, err := netip.ParseAddr(host); strings.HasPrefix(s, "[") && (err != nil || !ip.Is6()) {
		return "", "", &net.AddrError{Err: "no IPv6 address in the brackets", Addr: s}
	}
	if host == "" || strings.ContainsAny(host, "/@[] ") {
		return "", "", &net.AddrError{Err: "no host name", Addr: s}
	}
	return host, port, nil
}
