package httpd

import (
	"iter"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// maxHops is how many elements of a header are looked at. Nobody has that many
// proxies; whoever sends more wants to keep us busy.
const maxHops = 32

// ClientIP is the address of whoever made the request. X-Forwarded-For, or
// Forwarded (RFC 7239) where that is absent, is read from its right end and
// only as far as every hop is a trusted proxy, because anything left of an
// untrusted hop may be made up. It ends early at an element that is no address
// (RFC 7239 section 6 allows "unknown" and "_hidden"). The result is unmapped
// and has no zone; it is invalid only when r.RemoteAddr is.
func ClientIP(r *http.Request, trusted []netip.Prefix) netip.Addr {
	ip := parseHop(r.RemoteAddr)
	for hop := range hops(r.Header) {
		if !isTrusted(ip, trusted) || !hop.IsValid() {
			return ip
		}
		ip = hop
	}
	return ip
}

// Secure reports whether the client's own connection is encrypted: it came to
// us over TLS, or from a trusted proxy that says it took it over TLS. Only what
// the nearest proxy says counts, the right end of X-Forwarded-Proto or of
// Forwarded (RFC 7239 section 5.4): https or wss.
func Secure(r *http.Request, trusted []netip.Prefix) bool {
	if r.TLS != nil {
		return true
	}
	if !isTrusted(parseHop(r.RemoteAddr), trusted) {
		return false
	}
	scheme := forwardedScheme(r.Header)
	return strings.EqualFold(scheme, "https") || strings.EqualFold(scheme, "wss")
}

// hops are the addresses in the header, the nearest first.
//
// Where both headers are present, X-Forwarded-For wins: a proxy that knows only
// one of the two passes the other on as the client made it up, and the proxies
// we document set X-Forwarded-For.
func hops(h http.Header) iter.Seq[netip.Addr] {
	lines, parse := h.Values("X-Forwarded-For"), parseHop
	if len(lines) == 0 {
		lines, parse = h.Values("Forwarded"), forwardedFor
	}
	return func(yield func(netip.Addr) bool) {
		for element := range elements(lines) {
			if !yield(parse(element)) {
				return
			}
		}
	}
}

func forwardedFor(element string) netip.Addr { return parseHop(parameter(element, "for")) }

// forwardedScheme is what the nearest proxy says, "" when it says nothing. A
// proxy that sets any X-Forwarded header is not believed to write Forwarded
// too, for the reason at hops.
func forwardedScheme(h http.Header) string {
	if lines := h.Values("X-Forwarded-Proto"); len(lines) > 0 {
		return rightmost(lines)
	}
	if len(h.Values("X-Forwarded-For")) > 0 {
		return ""
	}
	return parameter(rightmost(h.Values("Forwarded")), "proto")
}

// elements walks a list header from its right end, over at most maxHops.
func elements(lines []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		left := maxHops
		for _, line := range slices.Backward(lines) {
			for more := true; more; left-- {
				var element string
				line, element, more = cutLast(line)
				if left == 0 || !yield(element) {
					return
				}
			}
		}
	}
}

func rightmost(lines []string) string {
	for element := range elements(lines) {
		return element
	}
	return ""
}

// cutLast takes the last element off a list. It finds quoted strings from their
// right ends too: read from the left, a quote that the client left open would
// swallow what the proxy appended.
func cutLast(list string) (rest, element string, more bool) {
	for i := len(list) - 1; i >= 0; i-- {
		switch list[i] {
		case ',':
			return list[:i], strings.TrimSpace(list[i+1:]), true
		case '"':
			i = lastQuote(list[:i])
		}
	}
	return "", strings.TrimSpace(list), false
}

// lastQuote is the index of the last quote that no backslash escapes, or -1.
func lastQuote(s string) int {
	for i := strings.LastIndexByte(s, '"'); i >= 0; i = strings.LastIndexByte(s[:i], '"') {
		if escapes := i - len(strings.TrimRight(s[:i], `\`)); escapes%2 == 0 {
			return i
		}
	}
	return -1
}

// parameter is a value in an element of Forwarded (RFC 7239 section 4), without
// its quotes. It is "" when the element does not have the parameter, has it
// twice, or breaks the grammar.
func parameter(element, name string) string {
	found := false
	var result string
	for rest := strings.TrimLeft(element, "; \t"); rest != ""; rest = strings.TrimLeft(rest, "; \t") {
		key, value, after, ok := cutPair(rest)
		same := strings.EqualFold(key, name)
		if !ok || same && found {
			return ""
		}
		if same {
			result, found = value, true
		}
		rest = after
	}
	return result
}

// notInToken are the visible characters that no token has (RFC 9110 section
// 5.6.2), without those of an address, which some proxies forget to quote.
const notInToken = "\"(),/;<=>?@\\{} \t"

// cutPair reads name=value off s, up to the semicolon or the end.
func cutPair(s string) (name, value, rest string, ok bool) {
	name, s, ok = strings.Cut(s, "=")
	if !ok || name == "" || strings.ContainsAny(name, notInToken) {
		return "", "", "", false
	}
	if quoted, isQuoted := strings.CutPrefix(s, `"`); isQuoted {
		value, rest, ok = cutQuoted(quoted)
		rest = strings.TrimLeft(rest, " \t")
		return name, value, rest, ok && (rest == "" || rest[0] == ';')
	}
	value, rest, _ = strings.Cut(s, ";")
	value = strings.TrimRight(value, " \t")
	return name, value, rest, value != "" && !strings.ContainsAny(value, notInToken)
}

// cutQuoted reads the rest of a quoted string (RFC 9110 section 5.6.4).
func cutQuoted(s string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// parseHop reads an address with or without a port or brackets.
func parseHop(s string) netip.Addr {
	if strings.HasPrefix(s, "[") != strings.Contains(s, "]") {
		return netip.Addr{}
	}
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
