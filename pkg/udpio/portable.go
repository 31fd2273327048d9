package udpio

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// socketBuffer is what the kernel is asked to hold for each direction of a socket, in bytes: 30 ms of 1 Gbit/s, so that a
// scheduling delay loses nothing. The kernel may grant less.
const socketBuffer = 4 << 20

// Portable reads every socket from a goroutine of its own, on any system that Go runs on.
type Portable struct {
	readers sync.WaitGroup
}

// NewPortable returns a network of ordinary sockets.
func NewPortable() *Portable { return &Portable{} }

// Open binds a socket and starts its reader. Binding to the IPv6 wildcard takes IPv4 too.
func (n *Portable) Open(bind netip.AddrPort, handler Handler, _ Socket) (Socket, error) {
	laddr := net.UDPAddrFromAddrPort(bind)
	if bind.Addr() == netip.IPv6Unspecified() {
		laddr.IP = nil // both families, or IPv4 alone on a system without IPv6
	}
	conn, err := net.ListenUDP("udp", laddr)
	if err != nil {
		return nil, err
	}
	// A smaller buffer than asked for costs packets under load, not correctness.
	_ = conn.SetReadBuffer(socketBuffer)
	_ = conn.SetWriteBuffer(socketBuffer)
	s := &socket{conn: conn, local: unmap(conn.LocalAddr().(*net.UDPAddr).AddrPort())}
	n.readers.Go(func() { s.read(handler) })
	return s, nil
}

// OpenShared implements Network with a single socket.
func (n *Portable) OpenShared(bind netip.AddrPort, handler Handler) ([]Socket, error) {
	s, err := n.Open(bind, handler, nil)
	if err != nil {
		return nil, err
	}
	return []Socket{s}, nil
}

// Wait implements Network.
func (n *Portable) Wait() { n.readers.Wait() }

type socket struct {
	conn  *net.UDPConn
	local netip.AddrPort
}

func (s *socket) LocalAddr() netip.AddrPort { return s.local }
func (s *socket) Close() error              { return s.conn.Close() }

func (s *socket) WriteTo(b []byte, to netip.AddrPort) error {
	_, err := s.conn.WriteToUDPAddrPort(b, to)
	return err
}

// errorPause is how long a reader rests when the socket reports errors without end, so that it does not spin.
const errorPause = 10 * time.Millisecond

// read serves the socket until it is closed. Errors that belong to a packet sent earlier (ICMP unreachable, reported on the next
// read) or to a short supply of kernel memory end nothing: the socket may work again with the next packet.
func (s *socket) read(handler Handler) {
	p := NewPacket(MaxPayload)
	for failures := 0; ; {
		n, from, err := s.conn.ReadFromUDPAddrPort(p.Space())
		switch {
		case err == nil:
			failures = 0
			p.From = unmap(from)
			p.Reset(n)
			handler.Packet(Immediate, s, p)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			if failures++; failures > 16 {
				time.Sleep(errorPause)
			}
		}
	}
}

// unmap gives every address its one form: IPv4 as such, no zone.
func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}
