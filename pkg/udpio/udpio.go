// Package udpio opens UDP sockets and delivers what arrives on them in buffers that a relay can rewrite in place.
//
// A Handler is called by the goroutine that reads its socket, one packet at a time, and may send from there or from anywhere
// else. This file is the contract; portable.go is the form that works everywhere, one goroutine for each socket. An event loop
// that serves many sockets from one goroutine fits behind the same contract.
package udpio

import (
	"net/netip"
)

// Headroom is the free space in front of every received payload, in bytes. It holds the largest header that a relay puts in front
// of one: a Data indication for an IPv6 peer, 20 + 24 + 4 bytes (RFC 8656 section 11.4).
const Headroom = 64

// tailroom pads a payload to a multiple of four after it was received.
const tailroom = 4

// MaxPayload is the largest UDP payload in bytes.
const MaxPayload = 65535 - 8

// Packet is one datagram. It belongs to the reader: a handler may change it while it is being called and keeps nothing of it.
type Packet struct {
	From netip.AddrPort // the sender, IPv4 addresses unmapped, without a zone
	buf  []byte
	off  int
	end  int
}

// NewPacket returns an empty packet with room for payloads of up to size bytes.
func NewPacket(size int) *Packet {
	return &Packet{buf: make([]byte, Headroom+size+tailroom), off: Headroom, end: Headroom}
}

// Reset makes the payload the first n bytes of Space.
func (p *Packet) Reset(n int) { p.off, p.end = Headroom, Headroom+n }

// Space is where a payload is received into.
func (p *Packet) Space() []byte { return p.buf[Headroom : len(p.buf)-tailroom] }

// Payload is the packet's present content. Appending to it overwrites nothing else as long as at most three bytes are added.
func (p *Packet) Payload() []byte { return p.buf[p.off:p.end] }

// Cut narrows the payload to its bytes from i to j.
func (p *Packet) Cut(i, j int) { p.off, p.end = p.off+i, p.off+j }

// Push puts n bytes in front of the payload and returns them for the caller to fill. It panics when the headroom is used up.
func (p *Packet) Push(n int) []byte {
	p.off -= n
	return p.buf[p.off : p.off+n]
}

// Pad adds n zero bytes, at most three, behind the payload.
func (p *Packet) Pad(n int) {
	clear(p.buf[p.end : p.end+n])
	p.end += n
}

// Handler takes the packets of one socket, one after the other.
type Handler interface {
	Packet(s Socket, p *Packet)
}

// Socket is an open UDP socket.
type Socket interface {
	// LocalAddr is the address that the socket is bound to.
	LocalAddr() netip.AddrPort
	// WriteTo sends one datagram. It may be called from any goroutine and does not wait for longer than the kernel takes.
	WriteTo(b []byte, to netip.AddrPort) error
	// Close ends the socket. When it returns no further call of the handler begins; one may still be running.
	Close() error
}

// Network opens sockets.
type Network interface {
	// Open binds a socket and has handler called for what arrives on it.
	Open(bind netip.AddrPort, handler Handler) (Socket, error)
	// Wait returns when every socket that was opened has been closed and its last handler call has returned.
	Wait()
}
