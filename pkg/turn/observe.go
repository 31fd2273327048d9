package turn

import (
	"maps"
	"net"
	"net/netip"

	"github.com/maitred/maitred/pkg/relay"
	"github.com/maitred/maitred/pkg/udpio"
)

// Listener is where clients come in: how they speak, and to which local port.
type Listener struct {
	Transport relay.Transport
	Port      uint16
}

// Observed is something that a client did: it had an answer to a control request, or opened a connection.
type Observed struct {
	Client   netip.AddrPort
	Listener Listener
	Username string // as the request says it, proven or not; "" where there is none: a first request has none, connections never have
	Method   string // as in the metrics, or Connect
	Code     int    // of the error response; 0: success
}

// Connect is the method of an opened TCP, TLS or DTLS connection.
const Connect = "connect"

// observe tells Config.Observe of an answer that is about to be sent.
func (s *Server) observe(r *request, q *query, answer *reply) {
	if s.config.Observe != nil {
		s.config.Observe(Observed{r.from, r.listener(), q.username, methodName(q.method), int(answer.code)})
	}
}

// observeConnect tells Config.Observe of a connection that was taken on.
func (s *Server) observeConnect(c *conn) {
	if s.config.Observe != nil {
		s.config.Observe(Observed{Client: c.addr, Listener: c.listener(), Method: Connect})
	}
}

func (r *request) listener() Listener {
	if r.conn != nil {
		return r.conn.listener()
	}
	return listenerOf(r.socket)
}

func (c *conn) listener() Listener { return Listener{c.transport, portOf(c.net.LocalAddr())} }

func listenerOf(s udpio.Socket) Listener { return Listener{relay.UDP, s.LocalAddr().Port()} }

func portOf(a net.Addr) uint16 {
	switch a := a.(type) {
	case *net.TCPAddr:
		return uint16(a.Port)
	case *net.UDPAddr:
		return uint16(a.Port)
	}
	return 0
}

// Carried is what came of one user at one listener.
type Carried struct {
	Allocations int // made, those that have ended among them
	Traffic     relay.Traffic
}

// Keep opens an account for a user who is no member, for Carried to tell from, until EndUser closes it.
func (s *Server) Keep(user string) { s.usage.keep(user) }

// Carried adds up what was relayed for a user since Keep; nil when there is no such account.
func (s *Server) Carried(user string) map[Listener]Carried { return s.usage.carried(user) }

// keep opens an account that stays without an allocation.
func (u *usage) keep(user string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.openLocked(user)
	c.stays, c.kept = true, map[Listener]Carried{}
}

func (u *usage) carried(user string) map[Listener]Carried {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.users[user]
	if c == nil || c.kept == nil {
		return nil
	}
	out := maps.Clone(c.kept)
	for a := range c.live {
		add(out, a.listener, 0, a.session.Traffic())
	}
	return out
}

// add adds to what is kept for a listener, where something is.
func add(kept map[Listener]Carried, l Listener, allocations int, t relay.Traffic) {
	if kept == nil {
		return
	}
	carried := kept[l]
	carried.Allocations += allocations
	carried.Traffic.Add(t)
	kept[l] = carried
}
