package turn

import (
	"sync"

	"github.com/maitred/maitred/pkg/credential"
	"github.com/maitred/maitred/pkg/relay"
)

// Usage is what was relayed for whom, all of it read at one moment.
type Usage struct {
	Transports [relay.Transports]relay.Traffic // by how the client reaches the server, since the start
	Users      map[string]UserUsage            // members as long as they are, those of Keep until EndUser, others while they have an allocation
}

// UserUsage is what was relayed for one user.
type UserUsage struct {
	Allocations int           // alive
	Traffic     relay.Traffic // of those, and for a member or one of Keep of all before
}

// usage keeps the accounts. Packets are counted by the sessions; here is only what those had when they ended, so the accounts cost
// nothing per packet. Who ends a session moves it from live to ended under the lock, after it was closed, so no sum runs backwards.
type usage struct {
	mu         sync.Mutex
	transports [relay.Transports]relay.Traffic // of allocations that have ended
	users      map[string]*account             // as many as members, users of Keep and allocations
}

// account is what one user has and had.
type account struct {
	stays bool                 // without an allocation too, until it is closed: the account of a member, and one of Keep
	kept  map[Listener]Carried // what Carried tells, but for the traffic of those alive; nil without Keep
	ended relay.Traffic
	live  map[*allocation]struct{}
}

// begin opens an account for the allocation's user, or adds to it.
func (u *usage) begin(a *allocation) {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.openLocked(a.user)
	c.live[a] = struct{}{}
	add(c.kept, a.listener, 1, relay.Traffic{})
}

func (u *usage) openLocked(user string) *account {
	c := u.users[user]
	if c == nil {
		c = &account{stays: credential.Reserved(user), live: map[*allocation]struct{}{}}
		if u.users == nil {
			u.users = map[string]*account{}
		}
		u.users[user] = c
	}
	return c
}

// end settles an allocation whose session has been closed.
func (u *usage) end(a *allocation) {
	traffic := a.session.Traffic()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.transports[a.listener.Transport].Add(traffic)
	c := u.users[a.user]
	delete(c.live, a)
	c.ended.Add(traffic)
	add(c.kept, a.listener, 0, traffic)
	if len(c.live) == 0 && !c.stays {
		delete(u.users, a.user)
	}
}

// close tells what was relayed for a user whose last allocation has been made, and forgets it: at once, or with the end of an
// allocation that somebody else is ending right now.
func (u *usage) close(user string) relay.Traffic {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.users[user]
	if c == nil {
		return relay.Traffic{}
	}
	c.stays = false
	if len(c.live) == 0 {
		delete(u.users, user)
	}
	return c.usageLocked().Traffic
}

// usageLocked adds up what has ended and what is alive.
func (c *account) usageLocked() UserUsage {
	out := UserUsage{Allocations: len(c.live), Traffic: c.ended}
	for a := range c.live {
		out.Traffic.Add(a.session.Traffic())
	}
	return out
}

// Usage adds up what was relayed. It takes time in proportion to the accounts and the allocations alive.
func (s *Server) Usage() Usage {
	u := &s.usage
	u.mu.Lock()
	defer u.mu.Unlock()
	out := Usage{Transports: u.transports, Users: make(map[string]UserUsage, len(u.users))}
	for user, c := range u.users {
		out.Users[user] = c.usageLocked()
		for a := range c.live {
			out.Transports[a.listener.Transport].Add(a.session.Traffic())
		}
	}
	return out
}
