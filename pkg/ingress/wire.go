package ingress

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"

	"github.com/pires/go-proxyproto"
)

// Wire is the socket of a connection, with the address of the client behind it and what has been read of it ahead of time. Others may read
// and write in the socket's place, so that a TLS connection over it does not wait.
type Wire struct {
	net.Conn // the socket; everything but what is below goes straight to it
	tcp      *net.TCPConn
	client   netip.AddrPort

	ahead []byte    // owned by the reader
	in    io.Reader // in the socket's place; owned by the reader
	out   io.Writer // in the socket's place; set before anybody writes at the same time

	mu      sync.Mutex
	closed  bool
	onClose []func()
	telling sync.Once
}

func newWire(tcp *net.TCPConn) *Wire {
	w := &Wire{Conn: tcp, tcp: tcp}
	if a, ok := tcp.RemoteAddr().(*net.TCPAddr); ok {
		w.client = unmapped(a)
	}
	return w
}

func unmapped(a *net.TCPAddr) netip.AddrPort {
	addr := a.AddrPort()
	return netip.AddrPortFrom(addr.Addr().Unmap().WithZone(""), addr.Port())
}

// Socket is the socket itself, which Divert does not concern. What Read would return of what was read ahead is not in it any more.
func (w *Wire) Socket() *Socket { return &Socket{w.tcp, w} }

// Socket is a wire's socket. Closing it closes the wire.
type Socket struct {
	*net.TCPConn
	wire *Wire
}

// Close implements net.Conn.
func (s *Socket) Close() error { return s.wire.Close() }

// WhenClosed is Wire.WhenClosed.
func (s *Socket) WhenClosed(f func()) { s.wire.WhenClosed(f) }

// SyscallConn implements syscall.Conn. It fails while something has been read ahead, which the socket does not have any more, and where others read
// and write in its place.
func (w *Wire) SyscallConn() (syscall.RawConn, error) {
	if len(w.ahead) > 0 || w.in != nil || w.out != nil {
		return nil, errors.ErrUnsupported
	}
	return w.tcp.SyscallConn()
}

// Client is the client's address, which a trusted proxy may have told. IPv4 addresses are unmapped, and there is no zone.
func (w *Wire) Client() netip.AddrPort { return w.client }

// TakeAhead returns what was read ahead of time and will not be read again.
func (w *Wire) TakeAhead() []byte {
	b := w.ahead
	w.ahead = nil
	return b
}

// Divert has in be read and out be written instead of the socket, from now on; nil is the socket. Whoever calls it reads and writes the
// connection himself.
func (w *Wire) Divert(in io.Reader, out io.Writer) { w.in, w.out = in, out }

// Read implements net.Conn.
func (w *Wire) Read(b []byte) (int, error) {
	switch {
	case len(w.ahead) > 0:
		n := copy(b, w.ahead)
		if w.ahead = w.ahead[n:]; len(w.ahead) == 0 {
			w.ahead = nil
		}
		return n, nil
	case w.in != nil:
		return w.in.Read(b)
	}
	return w.tcp.Read(b)
}

// Write implements net.Conn.
func (w *Wire) Write(b []byte) (int, error) {
	if w.out != nil {
		return w.out.Write(b)
	}
	return w.tcp.Write(b)
}

// CloseWrite lets an HTTP server end a connection so that its last answer arrives.
func (w *Wire) CloseWrite() error { return w.tcp.CloseWrite() }

// RemoteAddr implements net.Conn: it is the client's.
func (w *Wire) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(w.client) }

// WhenClosed has f called once: before the socket is closed, or right away if it is closed already. f must not close the wire.
func (w *Wire) WhenClosed(f func()) {
	w.mu.Lock()
	closed := w.closed
	if !closed {
		w.onClose = append(w.onClose, f)
	}
	w.mu.Unlock()
	if closed {
		f()
	}
}

// Close implements net.Conn.
func (w *Wire) Close() error {
	w.telling.Do(w.tellOfClose) // another Close waits here until all have been told
	return w.tcp.Close()
}

func (w *Wire) tellOfClose() {
	w.mu.Lock()
	w.closed = true
	told := w.onClose
	w.onClose = nil
	w.mu.Unlock()
	for _, f := range told {
		f()
	}
}

var errBadProxyHeader = errors.New("the PROXY header is not valid")

// readProxyHeader takes the client's address from the PROXY header, version 1 or 2, if there is one. A LOCAL or UNKNOWN connection is the
// proxy's own.
func (w *Wire) readProxyHeader() error {
	r := bufio.NewReader(w)
	var h *proxyproto.Header
	err := waitForLine(r)
	if err == nil {
		h, err = proxyproto.Read(r)
	}
	switch {
	case errors.Is(err, proxyproto.ErrNoProxyProtocol):
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errSilent
	case err != nil:
		return fmt.Errorf("%w: %w", errBadProxyHeader, err)
	default:
		if a, ok := h.SourceAddr.(*net.TCPAddr); ok && h.Command.IsProxy() && unmapped(a).IsValid() {
			w.client = unmapped(a)
		}
	}
	rest, err := r.Peek(r.Buffered())
	if err != nil {
		return err
	}
	w.ahead = slices.Concat(rest, w.ahead)
	return nil
}

// maxProxyLine is the longest header of version 1, in bytes.
const maxProxyLine = 107

// waitForLine waits until all of a version 1 header is in r, because proxyproto refuses one that comes in pieces; the deadline is against
// those who never send the rest. Everything else, an early end too, is left to proxyproto.
func waitForLine(r *bufio.Reader) error {
	const begin = "PROXY"
	for n := 1; n <= maxProxyLine; n++ {
		switch b, err := r.Peek(n); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case b[n-1] == '\n' || n <= len(begin) && b[n-1] != begin[n-1]:
			return nil
		}
	}
	return nil
}
