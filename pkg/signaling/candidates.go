package signaling

import (
	"bytes"
	"net/netip"
	"slices"
)

// candidateMark opens an ICE candidate, in SDP behind "a=" and in RTCIceCandidateInit alone.
var candidateMark = []byte("candidate:")

// maxCandidateField bounds each field of a candidate in bytes: a foundation has 32 characters, an IPv6 address 45.
const maxCandidateField = 64

// candidateAddresses returns the connection addresses of the ICE candidates (RFC 8839 section 5.1) in data, the JSON that one member
// sends to another: each address once, in the order in which they appear, at most limit of them. Names (mDNS) and
// unspecified addresses are left out.
//
// It looks at the bytes and does not decode the JSON: what a candidate is made of up to its type is the same in a
// string, in SDP with escaped line ends, and in JSON inside of a string, however deep. An encoder that escapes letters or spaces
// hides its candidates. The work is proportional to len(data), whatever is in it.
func candidateAddresses(data []byte, limit int) []netip.Addr {
	var found []netip.Addr
	for len(found) < limit {
		_, rest, ok := bytes.Cut(data, candidateMark)
		if !ok {
			break
		}
		if ip, ok := connectionAddress(rest); ok && !slices.Contains(found, ip) {
			found = append(found, ip)
		}
		data = rest
	}
	return found
}

// connectionAddress reads what follows candidateMark:
//
//	foundation SP component SP transport SP priority SP connection-address SP port SP "typ" SP type
func connectionAddress(b []byte) (netip.Addr, bool) {
	var f [8][]byte
	for i := range f {
		if i > 0 {
			if len(b) == 0 || b[0] != ' ' {
				return netip.Addr{}, false
			}
			b = b[1:]
		}
		if f[i], b = candidateField(b); len(f[i]) == 0 {
			return netip.Addr{}, false
		}
	}
	if !digits(f[1], 3) || !digits(f[3], 10) || !digits(f[5], 5) || string(f[6]) != "typ" {
		return netip.Addr{}, false
	}
	ip, err := netip.ParseAddr(string(f[4]))
	if err != nil || ip.Zone() != "" || ip.Unmap().IsUnspecified() {
		return netip.Addr{}, false
	}
	return ip.Unmap(), true
}

// candidateField splits b behind its first field. A backslash belongs to a field: some encoders write "/", which
// a foundation may have, as "\/".
func candidateField(b []byte) (field, rest []byte) {
	n := 0
	for n < len(b) && n < maxCandidateField && '!' <= b[n] && b[n] <= '~' && b[n] != '"' {
		n++
	}
	return b[:n], b[n:]
}

func digits(b []byte, limit int) bool {
	return len(b) <= limit && !slices.ContainsFunc(b, func(c byte) bool { return c < '0' || c > '9' })
}
