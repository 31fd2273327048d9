package relay

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
)

// The few parts of STUN that the packet path needs, on raw bytes and without allocations (RFC 8489 section 5, RFC 8656 section 18).
const (
	headerSize  = 20
	magicCookie = 0x2112A442

	typeBindingRequest    = 0x0001
	typeBindingIndication = 0x0011
	typeBindingSuccess    = 0x0101
	typeBindingError      = 0x0111
	typeSendIndication    = 0x0016
	typeDataIndication    = 0x0017

	attrErrorCode         = 0x0009
	attrUnknownAttributes = 0x000A
	attrXORPeerAddress    = 0x0012
	attrData              = 0x0013
	attrXORMappedAddress  = 0x0020
	attrSoftware          = 0x8022
	attrFingerprint       = 0x8028

	fingerprintXOR = 0x5354554e // RFC 8489 section 14.7
)

// Software is the value of the SOFTWARE attribute in every response. It names no version: that helps nobody but an attacker.
const Software = "maitred"

func messageType(b []byte) uint16 { return binary.BigEndian.Uint16(b) }

// isRequest tells whether the class bits of a message type say request (RFC 8489 section 5).
func isRequest(typ uint16) bool { return typ&0x0110 == 0 }

// wellFormed tells whether b is one whole STUN message: header, cookie and a length that says exactly what follows.
func wellFormed(b []byte) bool {
	return len(b) >= headerSize && binary.BigEndian.Uint32(b[4:]) == magicCookie &&
		len(b)%4 == 0 && headerSize+int(binary.BigEndian.Uint16(b[2:])) == len(b)
}

// attribute reads the attribute at the start of b. value is inside b; rest is what follows the padding.
func attribute(b []byte) (typ uint16, value, rest []byte, ok bool) {
	if len(b) < 4 {
		return 0, nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	padded := (n + 3) &^ 3
	if 4+padded > len(b) {
		return 0, nil, nil, false
	}
	return binary.BigEndian.Uint16(b), b[4 : 4+n], b[4+padded:], true
}

// ParseXORAddress reads the value of an XOR-…-ADDRESS attribute (RFC 8489 section 14.2); id is the 12-byte transaction ID.
func ParseXORAddress(v, id []byte) (netip.AddrPort, bool) {
	if len(v) < 8 {
		return netip.AddrPort{}, false
	}
	port := binary.BigEndian.Uint16(v[2:]) ^ magicCookie>>16
	switch {
	case v[1] == 1 && len(v) == 8:
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(v[4:])^magicCookie)
		return netip.AddrPortFrom(netip.AddrFrom4(a), port), true
	case v[1] == 2 && len(v) == 20:
		var a [16]byte
		xorIPv6(a[:], v[4:], id)
		return netip.AddrPortFrom(netip.AddrFrom16(a), port), true
	}
	return netip.AddrPort{}, false
}

// xorAddressSize is the length of the value of an XOR-…-ADDRESS attribute.
func xorAddressSize(a netip.AddrPort) int {
	if a.Addr().Is4() {
		return 8
	}
	return 20
}

// putXORAddress writes the value of an XOR-…-ADDRESS attribute; v has xorAddressSize bytes.
func putXORAddress(v []byte, a netip.AddrPort, id []byte) {
	v[0], v[1] = 0, 1
	binary.BigEndian.PutUint16(v[2:], a.Port()^magicCookie>>16)
	if a.Addr().Is4() {
		ip := a.Addr().As4()
		binary.BigEndian.PutUint32(v[4:], binary.BigEndian.Uint32(ip[:])^magicCookie)
		return
	}
	v[1] = 2
	ip := a.Addr().As16()
	xorIPv6(v[4:], ip[:], id)
}

func xorIPv6(dst, src, id []byte) {
	binary.BigEndian.PutUint32(dst, binary.BigEndian.Uint32(src)^magicCookie)
	for i := range 12 {
		dst[4+i] = src[4+i] ^ id[i]
	}
}

// putAttributeHeader writes type and length and returns where the value goes.
func putAttributeHeader(b []byte, typ uint16, n int) []byte {
	binary.BigEndian.PutUint16(b, typ)
	binary.BigEndian.PutUint16(b[2:], uint16(n))
	return b[4:]
}

// finish appends SOFTWARE and FINGERPRINT to a response and sets its length. b has room for 20 bytes more.
func finish(b []byte) []byte {
	n := len(b)
	b = b[:n+4+8+8]
	v := putAttributeHeader(b[n:], attrSoftware, len(Software))
	v[copy(v, Software)] = 0
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-headerSize))
	v = putAttributeHeader(b[n+12:], attrFingerprint, 4)
	binary.BigEndian.PutUint32(v, crc32.ChecksumIEEE(b[:n+12])^fingerprintXOR)
	return b
}

// bindingKnown are the comprehension-required attributes that a Binding request may carry: those of RFC 8489 section 14 and of
// ICE (RFC 8445 section 16.1).
func bindingKnown(typ uint16) bool {
	switch typ {
	case 0x0006, 0x0008, 0x0014, 0x0015, 0x001C, 0x001D, 0x001E, 0x0024, 0x0025:
		return true
	}
	return typ >= 0x8000
}

// maxUnknown bounds how many attribute types a 420 response lists.
const maxUnknown = 8

// answerBinding makes the response to the well-formed Binding request b in buf, which has room for 128 bytes: the address that
// the request came from, or 420 with the attributes that are not understood. It returns nil when the attributes are malformed.
func answerBinding(buf, b []byte, from netip.AddrPort) []byte {
	var unknown [maxUnknown]uint16
	n := 0
	for rest := b[headerSize:]; len(rest) > 0; {
		typ, _, next, ok := attribute(rest)
		if !ok {
			return nil
		}
		if !bindingKnown(typ) && n < maxUnknown {
			unknown[n] = typ
			n++
		}
		rest = next
	}
	copy(buf[:headerSize], b)
	if n > 0 {
		return finish(putUnknown(buf, unknown[:n]))
	}
	binary.BigEndian.PutUint16(buf, typeBindingSuccess)
	size := xorAddressSize(from)
	putXORAddress(putAttributeHeader(buf[headerSize:], attrXORMappedAddress, size), from, buf[8:headerSize])
	return finish(buf[:headerSize+4+size])
}

// putUnknown turns the header in buf into a 420 response that names the attribute types (RFC 8489 sections 6.3.1 and 14.10).
func putUnknown(buf []byte, types []uint16) []byte {
	binary.BigEndian.PutUint16(buf, typeBindingError)
	v := putAttributeHeader(buf[headerSize:], attrErrorCode, 4)
	binary.BigEndian.PutUint32(v, 4<<8|20)
	v = putAttributeHeader(v[4:], attrUnknownAttributes, 2*len(types))
	for i, t := range types {
		binary.BigEndian.PutUint16(v[2*i:], t)
	}
	end := headerSize + 8 + 4 + 2*len(types)
	padded := (end + 3) &^ 3
	clear(buf[end:padded])
	return buf[:padded]
}

// XORAddress returns the value of an XOR-…-ADDRESS attribute.
func XORAddress(a netip.AddrPort, id []byte) []byte {
	v := make([]byte, xorAddressSize(a))
	putXORAddress(v, a, id)
	return v
}
