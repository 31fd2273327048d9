package signaling

import (
	"encoding/binary"
	"sync"
)

// appendFrame appends a message as one text frame from the server (RFC 6455 section 5.2): final, not masked.
//
//	byte 0   0x81: the last fragment of a text
//	byte 1   the length up to 125; 126: two bytes of length follow; 127: eight
func appendFrame(b, msg []byte) []byte {
	switch n := len(msg); {
	case n <= 125:
		b = append(b, finalText, byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, finalText, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, finalText, 127), uint64(n))
	}
	return append(b, msg...)
}

// finalText begins a frame that is a whole text.
const finalText = 0x81

// batchSize is how many bytes of frames are written at once, unless one message alone has more: a TLS record.
const batchSize = 16 << 10

// batches are buffers to write from, and for event loops to read into; a connection has one only meanwhile.
var batches = sync.Pool{New: func() any { b := make([]byte, 0, batchSize); return &b }}

// appendPing appends a ping (RFC 6455 section 5.5.2) that says a number.
func appendPing(b []byte, number uint64) []byte {
	const ping, size = 0x89, 8
	return binary.BigEndian.AppendUint64(append(b, ping, size), number)
}
