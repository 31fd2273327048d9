// Package ingress takes TCP connections in: it believes the PROXY headers of trusted proxies, bounds the connections of one address,
// speaks TLS, and finds out whether a connection is for HTTP or for TURN.
//
//	accept -> PROXY header (trusted proxies only) -> connections of this address
//	       -> in clear: Serve
//	       -> first byte -> TLS handshake -> ALPN, or else the first decrypted byte -> Serve
//
// Everything before Serve has one deadline. Whoever is slow, silent or speaks something else costs a goroutine until then and delays nobody.
package ingress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"
)

// Protocol is what a connection carries.
type Protocol uint8

const (
	// HTTP is HTTP/1.1 or HTTP/2, WebSockets among it.
	HTTP Protocol = iota
	// TURN is STUN and TURN in the framing of RFC 8656 section 2.1.
	TURN
	// ClearHTTP is an HTTP request in clear where TLS is spoken.
	ClearHTTP
)

// ALPN names of STUN and TURN (RFC 7443).
const (
	alpnTURN = "stun.turn"
	alpnSTUN = "stun.nat-discovery"
	alpnACME = "acme-tls/1" // RFC 8737: the handshake is all that there is
)

// What listeners offer by ALPN, in the order in which they like it. Who offers TURN at all wants it: coturn's client offers HTTP/1.1 as well.
var (
	SharedProtocols = []string{alpnTURN, alpnSTUN, "h2", "http/1.1"}
	TURNProtocols   = []string{alpnTURN, alpnSTUN}
)

// Config is what a listener needs to know.
type Config struct {
	Key, Address string       // the configuration key, and its value: host:port
	Inherited    net.Listener // an open socket to be used in place of one at Address; may be nil

	Trusted []netip.Prefix // proxies whose connections may begin with a PROXY header, and are not counted themselves
	PerIP   int            // connections from one address (IPv6: one /64); 0: no limit
	PerIPIs string         // the key of that limit

	TLS     *tls.Config   // nil: connections are in clear
	Shared  bool          // HTTP and TURN come here; otherwise all connections are for For
	For     Protocol      // of a listener that is not Shared
	Timeout time.Duration // for the PROXY header, the TLS handshake and the first byte together

	// Serve takes a connection over. It does not wait for the connection.
	Serve func(*Conn)

	Metrics *Metrics // may be nil
	Log     *slog.Logger
}

// Conn is a connection that has been taken in.
type Conn struct {
	Wire  *Wire
	TLS   *tls.Conn // nil in clear; its handshake is done
	For   Protocol
	Ahead []byte // what was read of the content to find out what it is
}

// Listener is an open socket. Run serves it; one that is not run must be closed.
type Listener struct {
	config Config
	socket net.Listener
	counts counts

	mu      sync.Mutex
	pending map[*Wire]struct{} // connections that Serve has not got yet; as many as the limits admit
	closed  bool
	waiting sync.WaitGroup

	fullLog, acceptLog, certificateLog rate.Sometimes
}

// Listen opens the socket. Its error names the key and says what to do.
func Listen(config Config) (*Listener, error) {
	l := &Listener{config: config, socket: config.Inherited, counts: counts{open: map[netip.Addr]int{}}, pending: map[*Wire]struct{}{},
		fullLog: rate.Sometimes{Interval: time.Second}, acceptLog: rate.Sometimes{Interval: time.Second}, certificateLog: rate.Sometimes{Interval: time.Minute}}
	if l.config.Metrics == nil {
		l.config.Metrics = NewMetrics()
	}
	if config.TLS != nil {
		l.config.TLS = forTURN(config.TLS)
	}
	if l.socket == nil {
		var err error
		if l.socket, err = net.Listen("tcp", config.Address); err != nil {
			return nil, BindError(config.Key, config.Address, err)
		}
	}
	return l, nil
}

// Addr is the address that the socket is bound to.
func (l *Listener) Addr() netip.AddrPort {
	a := l.socket.Addr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Close closes the socket and the connections that Serve has not got yet, and makes Run return.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	for w := range l.pending {
		_ = w.Close() // nothing was written that could be lost
	}
	return l.socket.Close()
}

// The pauses after an accept that failed, from the first to the longest.
const (
	minPause = 5 * time.Millisecond
	maxPause = time.Second
)

// Run takes connections in until ctx ends or Close is called.
func (l *Listener) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() }) // Close reports the socket's error, which ends the loop below
	defer stop()
	defer l.waiting.Wait()
	var pause time.Duration
	for {
		c, err := l.socket.Accept()
		switch {
		case err == nil:
			pause = 0
			l.accepted(c.(*net.TCPConn))
		case errors.Is(err, net.ErrClosed):
			return nil
		default: // out of file descriptors, or a connection that was reset before it was accepted: wait, and go on
			pause = min(max(2*pause, minPause), maxPause)
			l.acceptLog.Do(func() {
				l.config.Log.Warn("cannot accept a connection (repeated lines are left out)", "listener", l.config.Key, "error", Advise(err))
			})
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}
}

// accepted serves what can be served at once and starts a goroutine for everything else.
func (l *Listener) accepted(tcp *net.TCPConn) {
	w := newWire(tcp)
	if !w.client.IsValid() {
		_ = w.Close()
		return
	}
	proxied := contains(l.config.Trusted, w.client.Addr())
	if !proxied && l.config.TLS == nil {
		if l.count(w) {
			l.config.Serve(&Conn{Wire: w, For: l.config.For})
		}
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = w.Close()
		return
	}
	l.pending[w] = struct{}{}
	l.waiting.Go(func() { l.admit(w, proxied) })
}

// admit finds out what a connection is and hands it on, or closes it.
func (l *Listener) admit(w *Wire, proxied bool) {
	c, err := l.prepare(w, proxied)
	l.mu.Lock()
	delete(l.pending, w)
	closed := l.closed
	l.mu.Unlock()
	switch {
	case err != nil:
		l.refused(w, err)
	case c == nil || closed:
		_ = w.Close()
	case c.Wire.SetDeadline(time.Time{}) != nil:
		_ = w.Close()
	default:
		l.config.Serve(c)
	}
}

// prepare returns nil for a connection that has done what it is for, or is one too many.
func (l *Listener) prepare(w *Wire, proxied bool) (*Conn, error) {
	if err := w.SetDeadline(time.Now().Add(l.config.Timeout)); err != nil {
		return nil, err
	}
	if proxied {
		if err := w.readProxyHeader(); err != nil {
			return nil, err
		}
	}
	if !l.count(w) {
		return nil, nil
	}
	if l.config.TLS == nil {
		return &Conn{Wire: w, For: l.config.For}, nil
	}
	return l.handshake(w)
}

// refused says why a connection ended before it was anybody's.
func (l *Listener) refused(w *Wire, err error) {
	_ = w.Close()
	if l.config.TLS != nil {
		l.config.Metrics.count(resultOf(err))
	}
	if errors.Is(err, errNoCertificate) {
		l.certificateLog.Do(func() {
			l.config.Log.Warn("TLS connections are refused (repeated lines are left out)", "listener", l.config.Key, "error", err)
		})
	}
	l.config.Log.Debug("connection refused", "listener", l.config.Key, "client", w.client, "why", err)
}

// count takes a place for the connection; without one it closes it.
func (l *Listener) count(w *Wire) bool {
	if l.config.PerIP <= 0 || contains(l.config.Trusted, w.client.Addr()) {
		return true
	}
	ip := Network(w.client.Addr())
	if l.counts.take(ip, l.config.PerIP) {
		w.WhenClosed(func() { l.counts.giveBack(ip) })
		return true
	}
	l.fullLog.Do(func() {
		l.config.Log.Warn("too many connections from one address, see "+l.config.PerIPIs+" (repeated lines are left out)", "listener", l.config.Key, "client", ip)
	})
	_ = w.Close()
	return false
}

// counts are the open connections of each address.
type counts struct {
	mu   sync.Mutex
	open map[netip.Addr]int // bounded by the connections that are open
}

func (c *counts) take(ip netip.Addr, most int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[ip] >= most {
		return false
	}
	c.open[ip]++
	return true
}

func (c *counts) giveBack(ip netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[ip]--; c.open[ip] == 0 {
		delete(c.open, ip)
	}
}

// Network is what counts as one address in limits and quotas: an IPv6 subscriber has a whole /64.
func Network(ip netip.Addr) netip.Addr {
	if ip.Is4() {
		return ip
	}
	p, _ := ip.Prefix(64) // fails only for a length that does not fit the family
	return p.Addr()
}

func contains(list []netip.Prefix, ip netip.Addr) bool {
	for _, p := range list {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// wsaEADDRINUSE is what Windows says; syscall.EADDRINUSE is not it there.
const wsaEADDRINUSE = syscall.Errno(10048)

// BindError says what to do about an address that cannot be listened on, TCP or UDP.
func BindError(key, address string, err error) error {
	elsewhere := "set " + key + " to another address"
	switch {
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, wsaEADDRINUSE):
		return fmt.Errorf("%s: %s is already in use: stop the other program or %s", key, address, elsewhere)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s: no permission to listen on %s: ports below 1024 need CAP_NET_BIND_SERVICE, or %s", key, address, elsewhere)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s: %s is not an address of this machine; %s", key, address, elsewhere)
	}
	return fmt.Errorf("%s: cannot listen on %s: %w; %s", key, address, err, elsewhere)
}

// Advise adds what the operator can do when descriptors have run out: a relayed address is one, and so is a connection.
func Advise(err error) error {
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return fmt.Errorf("%w: raise the limit on open files (ulimit -n, LimitNOFILE= of the service), or set turn.relay_ports to none", err)
	}
	return err
}
