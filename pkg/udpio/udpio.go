// Package udpio opens UDP sockets and delivers what arrives on them in buffers that a relay can rewrite in place.
//
// A Handler is called by the goroutine that reads its socket, one packet at a time, and may send from there or from anywhere
// else. This file is the contract. It has two forms: portable.go works everywhere, with one goroutine for each socket; loop_linux.go is
// an event loop for Linux that serves many sockets from one goroutine, reads and sends in batches, and has the kernel cut runs of
// equal datagrams to one destination out of one (UDP_SEGMENT) and put runs from one sender together (UDP_GRO).
package udpio

import (
	"net"
	"net/netip"
	"sync/atomic"
)

// Headroom is the free space in front of every received payload, in bytes. It holds the largest header that a relay puts in front
// of one: a Data indication for an IPv6 peer, 20 + 24 + 4 bytes (RFC 8656 section 11.4).
const Headroom = 64

// tailroom pads a payload to a multiple of four after it was received.
const tailroom = 4

// MinSpace is the least that Space of a received packet has, in bytes, however short the payload: room for an answer in its place.
const MinSpace = 128

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
	// Packet is called for each packet. What the handler sends through b may share p's memory.
	Packet(b Batch, s Socket, p *Packet)
}

// Batch sends what handlers answer to the packets that were read together. It belongs to one call of a handler.
type Batch interface {
	// Send sends one datagram through s, or gathers it to be sent as soon as the packets at hand have been handled; until then
	// nobody may change b. A datagram that the kernel refuses is counted in lost.
	Send(s Socket, b []byte, to netip.AddrPort, lost *atomic.Uint64)
	// Later has f flushed as soon as the packets at hand have been handled, after what Send gathered.
	Later(f Flusher)
}

// Flusher is a way out that gathers on its own, such as a stream. Flush is called once for each call of Later and must not block.
type Flusher interface{ Flush() }

// Immediate is the batch of everybody who is not a handler: it sends at once.
var Immediate Batch = immediate{}

type immediate struct{}

func (immediate) Send(s Socket, b []byte, to netip.AddrPort, lost *atomic.Uint64) {
	if s.WriteTo(b, to) != nil {
		lost.Add(1)
	}
}

func (immediate) Later(f Flusher) { f.Flush() }

// Socket is an open UDP socket.
type Socket interface {
	// LocalAddr is the address that the socket is bound to.
	LocalAddr() netip.AddrPort
	// WriteTo sends one datagram at once. It may be called from any goroutine and does not wait for longer than the kernel takes.
	WriteTo(b []byte, to netip.AddrPort) error
	// Close ends the socket. No call of the handler begins after it has returned; one may still be running.
	Close() error
}

// Network opens sockets.
type Network interface {
	// Open binds a socket and has handler called for what arrives on it. Where a network serves many sockets from one goroutine,
	// the new one joins that of near; a nil near leaves the choice to the network.
	Open(bind netip.AddrPort, handler Handler, near Socket) (Socket, error)
	// OpenShared binds as many sockets to one address as the network has goroutines to serve them, and has the system keep every
	// sender on one of them. The handler is called by all of those goroutines.
	OpenShared(bind netip.AddrPort, handler Handler) ([]Socket, error)
	// Wait ends the network: it returns when every socket that was opened has been closed and its last handler call has returned.
	Wait()
}

// Watcher is a network whose goroutines can look after connections that are not its own.
type Watcher interface {
	// Watch has reader.Readable called whenever the connection has something to read or has ended, by the goroutine that serves near, or by one
	// of them when near is nil. Readable must take what there is, without waiting, or call stop. After stop no call begins; one may still
	// be running. stop may be called at any time and any number of times, also when the connection has been closed, and has to be
	// called in the end.
	Watch(connection *Direct, near Socket, reader Reader) (stop func(), err error)
}

// Reader is told that its connection can be read.
type Reader interface{ Readable(Batch) }

// ErrWouldBlock is what reading without waiting returns where reading would wait. TLS takes it for a reason to try again later.
var ErrWouldBlock net.Error = wouldBlock{}

type wouldBlock struct{}

func (wouldBlock) Error() string   { return "there is nothing to read now" }
func (wouldBlock) Timeout() bool   { return false }
func (wouldBlock) Temporary() bool { return true }
