package client

import (
	"slices"
	"sync"
	"time"

	"github.com/maitred/maitred/pkg/signaling"
)

// view is the room as the messages so far tell it.
type view struct {
	mu  sync.Mutex
	now snapshot
}

type snapshot struct {
	self     signaling.Member
	room     signaling.Room
	members  []signaling.Member
	knocking []signaling.Member
	relay    []signaling.MemberRelay
	servers  []signaling.ICEServer
	expires  time.Time
}

func (v *view) apply(m signaling.ServerMessage) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch m := m.(type) {
	case *signaling.Joined:
		if !m.Resumed {
			v.now.knocking, v.now.relay = nil, nil
		}
		v.now.self, v.now.room, v.now.members = m.Self, m.Room, slices.Clone(m.Members)
		v.iceLocked(m.ICEServers, m.TTL)
	case *signaling.MemberJoined:
		v.now.knocking = without(v.now.knocking, m.Member.ID)
		v.setLocked(m.Member, true)
	case *signaling.MemberUpdated:
		v.setLocked(m.Member, false)
	case *signaling.MemberLeft:
		v.now.knocking, v.now.members = without(v.now.knocking, m.Member), without(v.now.members, m.Member)
	case *signaling.Knock:
		v.now.knocking = append(without(v.now.knocking, m.Member.ID), m.Member)
	case *signaling.RoomChanged:
		v.now.room = m.Room
	case *signaling.RelayReport:
		v.now.relay = slices.Clone(m.Members)
	case *signaling.ICEServers:
		v.iceLocked(m.ICEServers, m.TTL)
	}
}

func (v *view) setLocked(m signaling.Member, add bool) {
	if m.ID == v.now.self.ID {
		v.now.self = m
		return
	}
	i := slices.IndexFunc(v.now.members, func(o signaling.Member) bool { return o.ID == m.ID })
	switch {
	case i >= 0:
		v.now.members[i] = m
	case add:
		v.now.members = append(v.now.members, m)
	}
}

func without(members []signaling.Member, id string) []signaling.Member {
	return slices.DeleteFunc(members, func(o signaling.Member) bool { return o.ID == id })
}

func (v *view) iceLocked(servers []signaling.ICEServer, ttl int) {
	v.now.servers, v.now.expires = slices.Clone(servers), wallClock().Add(time.Duration(ttl)*time.Second)
}

// read returns what nobody changes any more.
func (v *view) read() snapshot {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.now
	now.members, now.knocking, now.relay = slices.Clone(now.members), slices.Clone(now.knocking), slices.Clone(now.relay)
	now.servers = slices.Clone(now.servers)
	return now
}

// wallClock goes on while the machine sleeps, as a credential's time does.
func wallClock() time.Time { return time.Now().Round(0) }
