package interop

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
)

// As much of STUN (RFC 8489) and TURN (RFC 8656) over streams as it takes to be a client of the daemon.
const (
	magicCookie = 0x2112A442

	bindingRequest    = 0x0001
	bindingSuccess    = 0x0101
	allocateRequest   = 0x0003
	allocateSuccess   = 0x0103
	allocateError     = 0x0113
	username          = 0x0006
	messageIntegrity  = 0x0008
	realm             = 0x0014
	nonce             = 0x0015
	requestedProtocol = 0x0019
	xorMappedAddress  = 0x0020

	headerSize    = 20
	integritySize = 4 + sha1.Size
	protocolUDP   = 17
)

func attribute(kind uint16, value []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	b = append(b, value...)
	return append(b, make([]byte, -len(value)&3)...)
}

func message(kind uint16, attributes ...[]byte) []byte {
	body := bytes.Join(attributes, nil)
	b := binary.BigEndian.AppendUint16(nil, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	b = binary.BigEndian.AppendUint32(b, magicCookie)
	id := make([]byte, 12)
	_, _ = rand.Read(id) // never fails
	return append(append(b, id...), body...)
}

// signed adds MESSAGE-INTEGRITY by a long-term credential (RFC 8489 section 9.2).
func signed(b []byte, user string, inRealm []byte, password string) []byte {
	key := md5.Sum([]byte(user + ":" + string(inRealm) + ":" + password))
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-headerSize+integritySize))
	mac := hmac.New(sha1.New, key[:])
	mac.Write(b)
	return append(b, attribute(messageIntegrity, mac.Sum(nil))...)
}

// exchange sends a request and returns what its answer is and has.
func exchange(t *testing.T, conn net.Conn, request []byte) (kind uint16, attributes map[uint16][]byte) {
	t.Helper()
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(conn, header); err != nil {
		t.Fatalf("no answer: %v", err)
	}
	if !bytes.Equal(header[4:], request[4:headerSize]) {
		t.Fatalf("% x answers % x", header, request)
	}
	body := make([]byte, binary.BigEndian.Uint16(header[2:]))
	if _, err := io.ReadFull(conn, body); err != nil {
		t.Fatal(err)
	}
	attributes = map[uint16][]byte{}
	for len(body) >= 4 {
		size := int(binary.BigEndian.Uint16(body[2:]))
		padded := 4 + (size+3)&^3
		if padded > len(body) {
			t.Fatalf("an attribute of %d bytes in % x", size, body)
		}
		attributes[binary.BigEndian.Uint16(body)] = body[4 : 4+size]
		body = body[padded:]
	}
	return binary.BigEndian.Uint16(header), attributes
}

// mapped is the IPv4 address that the server sees us at.
func mapped(t *testing.T, conn net.Conn) netip.AddrPort {
	t.Helper()
	kind, attributes := exchange(t, conn, message(bindingRequest))
	value := attributes[xorMappedAddress]
	if kind != bindingSuccess || len(value) != 8 {
		t.Fatalf("a Binding request is answered with %#x %v", kind, attributes)
	}
	var ip [4]byte
	binary.BigEndian.PutUint32(ip[:], binary.BigEndian.Uint32(value[4:])^magicCookie)
	return netip.AddrPortFrom(netip.AddrFrom4(ip), binary.BigEndian.Uint16(value[2:])^magicCookie>>16)
}

// allocate opens an allocation, which lasts as long as the connection.
func allocate(t *testing.T, conn net.Conn, user, password string) {
	t.Helper()
	protocol := attribute(requestedProtocol, []byte{protocolUDP, 0, 0, 0})
	kind, challenge := exchange(t, conn, message(allocateRequest, protocol))
	if kind != allocateError || len(challenge[nonce]) == 0 {
		t.Fatalf("an Allocate request without a credential is answered with %#x %v", kind, challenge)
	}
	request := message(allocateRequest, protocol, attribute(username, []byte(user)), attribute(realm, challenge[realm]), attribute(nonce, challenge[nonce]))
	if kind, attributes := exchange(t, conn, signed(request, user, challenge[realm], password)); kind != allocateSuccess {
		t.Fatalf("an Allocate request is answered with %#x %v", kind, attributes)
	}
}
