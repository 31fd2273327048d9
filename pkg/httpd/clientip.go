package httpd

import (
	"net/http"
	"net/netip"
	"strings"
)

// ClientIP is the address of whoever made the request. X-Forwarded-For is
// read from its right end and only as far as every hop is a trusted proxy,
// because anything left of an untrusted hop may be made up. The result is
// unmapped and has no zone; it is invalid only when r.RemoteAddr is.
func ClientIP(r *http.Request, trusted []netip.Prefix) netip.Addr {
	ip := parseHop(r.RemoteAddr)
	if !isTrusted(ip, trusted) {
		return ip
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := parseHop(strings.TrimSpace(hops[i]))
		if !hop.IsValid() {
			return ip
		}
		ip = hop
		if !isTrusted(ip, trusted) {
			return ip
		}
	}
	return ip
}

// parseHop reads an address with or without a port or brackets.
func parseHop(s string) netip.Addr {
	ip, err := netip.ParseAddr(bareHost(s))
	if err != nil {
		return netip.Addr{}
	}
	return ip.Unmap().WithZone("")
}

func isTrusted(ip netip.Addr, trusted []netip.Prefix) bool {
	for _, prefix := range trusted {
		if ip.IsValid() && prefix.Contains(ip) {
			return true
		}
	}
	return false
}
