package turn

import (
	"time"

	"github.com/maitred/maitred/pkg/credential"
)

// idleAfter is how long a client has sent nothing through an allocation that it does not need: on a path that it uses an ICE agent asks
// for consent every 5 seconds (RFC 7675 section 5.1).
const idleAfter = 15 * time.Second

// activity is when the client of an allocation last sent something to be relayed, to a second or so. It is guarded by allocations.mu.
type activity struct {
	sent uint64 // packets until then
	at   time.Time
}

// watch notes whose client has sent something since it last looked.
func (s *Server) watch(now time.Time) {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	for _, a := range s.live.byKey {
		t := a.session.Traffic()
		if sent := t.Up.Packets + t.ShortCircuit.Packets; sent != a.active.sent {
			a.active = activity{sent, now}
		}
	}
}

// makeRoom ends the longest idle allocation of a member whose quota is used up, for the one that it asks for. Whoever changes networks leaves
// allocations behind that it cannot give up from its new address, and browsers make some that they never use.
func (s *Server) makeRoom(user string, now time.Time) {
	if idle := s.idle(user, now); idle != nil {
		s.end(idle, &endIdle)
	}
}

// idle is nil where the user needs no room, has none to give, or is no member: what shares other credentials may be anything.
func (s *Server) idle(user string, now time.Time) (longest *allocation) {
	most := s.quota.Load().PerUser
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	if most == 0 || s.live.perUser[user] < most || !credential.Reserved(user) {
		return nil
	}
	for _, a := range s.live.byKey {
		if a.user == user && now.Sub(a.active.at) >= idleAfter && (longest == nil || a.active.at.Before(longest.active.at)) {
			longest = a
		}
	}
	return longest
}
