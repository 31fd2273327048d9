package turn

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maitred/maitred/pkg/ingress"
	"github.com/maitred/maitred/pkg/relay"
	"github.com/pion/stun"
)

// allocation is the control half of an allocation; its session is the data half.
type allocation struct {
	// fixed after construction
	id          uint64 // what the engine calls it
	key         []byte
	username    string
	user        string // the id inside the username
	client      netip.AddrPort
	listener    Listener
	clientKey   clientKey
	conn        *conn // nil over UDP
	transaction [stun.TransactionIDSize]byte
	granted     time.Duration // the lifetime in the response to Allocate
	created     time.Time

	// set by the engine's open, before anybody else sees the allocation
	session *relay.Session
	token   [8]byte // of the port that was reserved with it; zero when there is none

	active activity

	expires atomic.Int64 // Unix nanoseconds
	reason  atomic.Pointer[string]
}

// Why an allocation ended, for the log. Without a reason it has expired.
var (
	endDeleted  = "the client gave it up"
	endLost     = "the connection was lost"
	endLeft     = "the member left"
	endIdle     = "idle, and the member wanted another one"
	endShutdown = "the server stops"
)

func (a *allocation) ipv6() bool { return a.session.Relayed().Addr().Is6() }

func (a *allocation) extend(lifetime time.Duration) {
	a.expires.Store(time.Now().Add(lifetime).UnixNano())
}

// clientKey is a client's 5-tuple (the server's side of it is the listener, one for each transport).
type clientKey struct {
	addr netip.AddrPort
	conn uint64 // 0 over UDP
}

// allocations are all there are, with the counts that quotas need. The maps are as large as the number of allocations at most.
type allocations struct {
	mu      sync.Mutex
	byKey   map[clientKey]*allocation
	perUser map[string]int
	perIP   map[netip.Addr]int
	total   int
	lastID  uint64
}

func (s *Server) find(k clientKey) *allocation {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	return s.live.byKey[k]
}

// reserve takes a place under the quotas for a new allocation: 486 when there is none, 508 while draining.
func (s *Server) reserve(r *request, q *query) (*allocation, *reply) {
	if s.draining.Load() {
		return nil, refuse(stun.CodeInsufficientCapacity)
	}
	l, ip, quota := &s.live, ingress.Network(r.from.Addr()), s.quota.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, limit := range []struct{ have, most int }{{l.perUser[q.user], quota.PerUser}, {l.perIP[ip], quota.PerIP}, {l.total, quota.Total}} {
		if limit.most > 0 && limit.have >= limit.most {
			s.quotaLog.Do(func() {
				s.log.Warn("allocation quota reached, see turn.quota (repeated lines are left out)", "client", r.from, "user", q.user)
			})
			return nil, refuse(stun.CodeAllocQuotaReached)
		}
	}
	l.lastID++
	l.perUser[q.user]++
	l.perIP[ip]++
	l.total++
	a := &allocation{id: l.lastID, key: q.key, username: q.username, user: q.user, client: r.from, listener: r.listener(),
		clientKey: r.key(), conn: r.conn, transaction: q.id,
		granted: max(q.lifetime(), defaultLifetime), created: time.Now()}
	a.active.at = a.created
	a.extend(a.granted)
	return a, nil
}

// cancel gives the place back when no relayed address came of it.
func (s *Server) cancel(a *allocation) {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	s.live.releaseLocked(a)
}

func (l *allocations) releaseLocked(a *allocation) {
	ip := ingress.Network(a.client.Addr())
	l.total--
	if l.perUser[a.user]--; l.perUser[a.user] == 0 {
		delete(l.perUser, a.user)
	}
	if l.perIP[ip]--; l.perIP[ip] == 0 {
		delete(l.perIP, ip)
	}
}

// admit makes the allocation known. Whoever left, or whose connection broke, while the request was being worked on is not let in:
// EndUser and the connection's end look only at allocations that are known.
func (s *Server) admit(r *request, a *allocation) bool {
	s.live.mu.Lock()
	alive := s.config.Authority.Live(a.user) && (r.conn == nil || r.conn.adopt(a.session))
	if alive {
		s.live.byKey[a.clientKey] = a
		s.usage.begin(a)
		s.metrics.allocations.WithLabelValues(a.listener.Transport.String()).Inc()
	}
	s.live.mu.Unlock()
	if !alive {
		s.engine.forget(a.id)
	}
	return alive
}

// expire ends the allocations whose lifetime is over.
func (s *Server) expire(now time.Time) {
	s.endAll(nil, func(a *allocation) bool { return a.expires.Load() <= now.UnixNano() })
}

// end ends the allocation for one of the reasons above; nil is the expiry.
func (s *Server) end(a *allocation, reason *string) {
	a.reason.CompareAndSwap(nil, reason)
	s.engine.forget(a.id)
}

// ended is called once when the engine has let go of the allocation, whatever the cause.
func (s *Server) ended(a *allocation) {
	s.live.mu.Lock()
	known := s.live.byKey[a.clientKey] == a
	if known {
		delete(s.live.byKey, a.clientKey)
		s.metrics.allocations.WithLabelValues(a.listener.Transport.String()).Dec()
	}
	s.live.releaseLocked(a)
	s.live.mu.Unlock()
	a.session.Close()
	s.relay.Unreserve(a.token)
	if a.conn != nil {
		a.conn.release(a.session)
	}
	if known {
		s.usage.end(a)
		s.logEnd(a)
	}
}

func (s *Server) logEnd(a *allocation) {
	reason, traffic := "it expired", a.session.Traffic()
	if r := a.reason.Load(); r != nil {
		reason = *r
	}
	level := slog.LevelInfo
	if traffic == (relay.Traffic{}) { // browsers make many that they never use
		level = slog.LevelDebug
	}
	s.log.Log(context.Background(), level, "allocation ended", "client", a.client, "transport", a.listener.Transport.String(), "user", a.user,
		"relayed", a.session.Relayed(), "why", reason, "lasted", time.Since(a.created).Round(time.Millisecond),
		"up_bytes", traffic.Up.Bytes, "down_bytes", traffic.Down.Bytes, "short_circuit_bytes", traffic.ShortCircuit.Bytes)
}

// EndUser ends every allocation that was made with a credential of that id. It returns how many there were, and what was relayed
// for the user, a member's earlier allocations included.
func (s *Server) EndUser(id string) (ended int, used relay.Traffic) {
	ended = s.endAll(&endLeft, func(a *allocation) bool { return a.user == id })
	return ended, s.usage.close(id)
}

func (s *Server) endAll(reason *string, which func(*allocation) bool) int {
	var found []*allocation
	s.live.mu.Lock()
	for _, a := range s.live.byKey {
		if which(a) {
			found = append(found, a)
		}
	}
	s.live.mu.Unlock()
	for _, a := range found {
		s.end(a, reason)
	}
	return len(found)
}

// Allocation is a line of the admin API.
type Allocation struct {
	Client    netip.AddrPort `json:"client"`
	Transport string         `json:"transport"`
	Relayed   netip.AddrPort `json:"relayed"`
	User      string         `json:"user"`
	Created   time.Time      `json:"created"`
	Expires   time.Time      `json:"expires"`
	Peers     int            `json:"peers"`
	Traffic   relay.Traffic  `json:"traffic"`
}

// Allocations lists what is alive, in no order.
func (s *Server) Allocations() []Allocation {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	out := make([]Allocation, 0, len(s.live.byKey))
	for _, a := range s.live.byKey {
		out = append(out, a.line())
	}
	return out
}

func (a *allocation) line() Allocation {
	return Allocation{
		Client: a.client, Transport: a.listener.Transport.String(), Relayed: a.session.Relayed(), User: a.user,
		Created: a.created, Expires: time.Unix(0, a.expires.Load()), Peers: a.session.Peers(), Traffic: a.session.Traffic(),
	}
}
