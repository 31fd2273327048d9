package httpd

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/maitred/maitred/pkg/ingress"
)

// handshakeTimeout is for a server that was not told one.
const handshakeTimeout = 10 * time.Second

// front is a public port: what comes in goes to one of several servers.
type front struct {
	listener *ingress.Listener
	http     *handover
}

// addr is the zero value for a front that is off.
func (f *front) addr() netip.AddrPort {
	if f == nil {
		return netip.AddrPort{}
	}
	return f.listener.Addr()
}

// open binds a public port; c says which.
func (s *Server) open(c ingress.Config) (*front, error) {
	f := &front{}
	c.Trusted, c.PerIP, c.PerIPIs = s.cfg.TrustedProxies, s.cfg.ConnectionsPerIP, "http.limits.connections_per_ip"
	if c.Timeout = s.cfg.HandshakeTimeout; c.Timeout == 0 {
		c.Timeout = handshakeTimeout
	}
	c.Serve = func(in *ingress.Conn) { s.route(f, in) }
	c.Metrics, c.Log, c.Inherited = s.cfg.Connections, s.log, s.inherited(c.Key, c.Address)
	var err error
	if f.listener, err = ingress.Listen(c); err != nil {
		return nil, err
	}
	f.http = newHandover(f.listener.Addr())
	return f, nil
}

// route hands a connection to whom it is for.
func (s *Server) route(f *front, in *ingress.Conn) {
	switch {
	case in.For == ingress.ClearHTTP:
		s.strays.give(in.Wire)
	case in.For == ingress.HTTP:
		f.http.give(in.HTTPConn())
	case s.cfg.TURN != nil:
		s.cfg.TURN(in)
	default:
		_ = in.Wire.Close() // nothing was written that could be lost
	}
}

// handover is the listener of an http.Server whose connections were accepted
// elsewhere.
type handover struct {
	at      netip.AddrPort
	waiting chan net.Conn
	closing sync.Once
	closed  chan struct{}
}

func newHandover(at netip.AddrPort) *handover {
	return &handover{at: at, waiting: make(chan net.Conn), closed: make(chan struct{})}
}

// give waits until the server takes the connection, which it does at once as
// long as it runs; afterwards the connection is closed.
func (h *handover) give(c net.Conn) {
	select {
	case h.waiting <- c:
	case <-h.closed:
		_ = c.Close() // the server has told its clients that it stops
	}
}

// Accept implements net.Listener.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.waiting:
		return c, nil
	case <-h.closed:
		return nil, http.ErrServerClosed
	}
}

// Close implements net.Listener.
func (h *handover) Close() error {
	h.closing.Do(func() { close(h.closed) })
	return nil
}

// Addr implements net.Listener.
func (h *handover) Addr() net.Addr { return net.TCPAddrFromAddrPort(h.at) }
