package httpd

import (
	"net"
	"net/netip"
	"sync"
)

// limitedListener closes connections beyond a number from one address at once, so that nobody can use up the process's
// descriptors. Trusted proxies stand for many people and are not counted.
type limitedListener struct {
	net.Listener
	perIP   int
	trusted []netip.Prefix
	full    func(netip.Addr) // told about each connection that is not taken

	mu   sync.Mutex
	open map[netip.Addr]int // bounded by the connections that are open
}

// limit bounds the connections from one address (IPv6: one /64); 0 is no limit.
func limit(l net.Listener, perIP int, trusted []netip.Prefix, full func(netip.Addr)) net.Listener {
	if perIP <= 0 {
		return l
	}
	return &limitedListener{Listener: l, perIP: perIP, trusted: trusted, full: full, open: map[netip.Addr]int{}}
}

// Accept implements net.Listener.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		remote, ok := c.RemoteAddr().(*net.TCPAddr)
		if !ok {
			return c, nil
		}
		ip := remote.AddrPort().Addr().Unmap().WithZone("")
		if isTrusted(ip, l.trusted) {
			return c, nil
		}
		if ip = network(ip); l.take(ip) {
			return &limitedConn{Conn: c, release: sync.OnceFunc(func() { l.giveBack(ip) })}, nil
		}
		l.full(ip)
		_ = c.Close() // nothing was written that could be lost
	}
}

// network is what counts as one address: an IPv6 subscriber has a whole /64.
func network(ip netip.Addr) netip.Addr {
	if ip.Is4() {
		return ip
	}
	p, _ := ip.Prefix(64) // fails only for a length that does not fit the family
	return p.Addr()
}

func (l *limitedListener) take(ip netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[ip] >= l.perIP {
		return false
	}
	l.open[ip]++
	return true
}

func (l *limitedListener) giveBack(ip netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[ip]--; l.open[ip] == 0 {
		delete(l.open, ip)
	}
}

type limitedConn struct {
	net.Conn
	release func()
}

// Close implements net.Conn. A WebSocket's connection comes here too.
func (c *limitedConn) Close() error {
	c.release()
	return c.Conn.Close()
}
