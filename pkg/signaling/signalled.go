package signaling

import (
	"container/list"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// SetRoomPermissions turns the restriction of MaySend on or off. Off takes effect at once. On takes effect for the members that join
// from then on: nobody has noted what the others were told before.
func (h *Hub) SetRoomPermissions(on bool) { h.told.set(on) }

// MaySend reports whether the member's relay may send to ip: always while room permissions are off, otherwise only if one of those
// in the room now, but not the member itself, has signalled a candidate with this address to the member or to everybody.
// It may be called from where TURN requests are answered: it waits for nothing but addresses that are being noted in the member's own
// room, a message's at a time.
func (h *Hub) MaySend(memberID string, ip netip.Addr) bool {
	return h.told.maySend(memberID, ip.Unmap())
}

// told is which addresses the members have told each other in ICE candidates. Each room has a lock for what was told in it; the one
// of all rooms is held for its maps only. Neither is held around the other, but a room's mu may be held around both.
type told struct {
	limit int         // addresses of one member; the one told longest ago makes room for a new one
	on    atomic.Bool // written under mu

	switching sync.Mutex // held by set from beginning to end

	mu    sync.RWMutex
	seats map[string]*seat // by member id
	rooms map[*room]*toldRoom
}

// toldRoom is what was told in one room.
type toldRoom struct {
	members int // entered and not left, guarded by told.mu

	mu    sync.Mutex // held while at most told.limit addresses, or the seats, are gone through
	seats map[string]*seat
}

// seat is a member as told knows it.
type seat struct {
	room *room
	told *toldRoom

	// Guarded by toldRoom.mu.
	bound     bool // the restriction was on when it joined
	addresses map[netip.Addr]*list.Element
	order     list.List // of *audience, the one told longest ago in front
}

// audience is who was told of an address.
type audience struct {
	ip        netip.Addr
	everybody bool                // later members too
	members   map[string]struct{} // ids of members of the room; empty for everybody
}

func newTold(on bool, limit int) *told {
	t := &told{limit: limit, seats: map[string]*seat{}, rooms: map[*room]*toldRoom{}}
	t.on.Store(on)
	return t
}

func (t *told) set(on bool) {
	t.switching.Lock()
	defer t.switching.Unlock()
	t.mu.Lock()
	t.on.Store(on) // first: learn looks at it under a room's lock, and adds nothing where this has been
	var free []*seat
	if !on {
		free = slices.Collect(maps.Values(t.seats))
	}
	t.mu.Unlock()
	for _, s := range free {
		s.told.mu.Lock()
		s.bound = false
		s.forget()
		s.told.mu.Unlock()
	}
}

func (t *told) enter(r *room, id string) {
	t.mu.Lock()
	in := t.rooms[r]
	if in == nil {
		in = &toldRoom{seats: map[string]*seat{}}
		t.rooms[r] = in
	}
	in.members++
	s := &seat{room: r, told: in, bound: t.on.Load()}
	t.seats[id] = s
	t.mu.Unlock()

	in.mu.Lock()
	defer in.mu.Unlock()
	in.seats[id] = s
}

// leave forgets what the member told and what it was told.
func (t *told) leave(id string) {
	t.mu.Lock()
	s := t.seats[id]
	delete(t.seats, id)
	if s.told.members--; s.told.members == 0 {
		delete(t.rooms, s.room)
	}
	t.mu.Unlock()

	// One mate at a time, so that nobody waits for all of them.
	for _, mate := range s.told.remove(id) {
		s.told.mu.Lock()
		mate.withdraw(id)
		s.told.mu.Unlock()
	}
}

// remove takes a seat away, and returns the others.
func (in *toldRoom) remove(id string) []*seat {
	in.mu.Lock()
	defer in.mu.Unlock()
	delete(in.seats, id)
	return slices.Collect(maps.Values(in.seats))
}

func (t *told) seat(id string) *seat {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.seats[id]
}

// learn notes the addresses of the candidates in what a member is about to send to another one, or to everybody ("").
func (t *told) learn(from, to string, data []byte) {
	if !t.on.Load() {
		return
	}
	found := candidateAddresses(data, t.limit)
	if len(found) == 0 {
		return
	}
	s := t.seat(from)
	if s == nil {
		return
	}
	s.told.mu.Lock()
	defer s.told.mu.Unlock()
	switch {
	case s.told.seats[from] != s || !t.on.Load():
		return // it has left, or the option has been turned off, in the meantime
	case to != "" && (to == from || s.told.seats[to] == nil):
		return
	}
	for _, ip := range found {
		s.tell(ip, to, t.limit)
	}
}

// tell notes one address, in place of the one told longest ago when there are limit of them.
func (s *seat) tell(ip netip.Addr, to string, limit int) {
	e := s.addresses[ip]
	if e == nil {
		if s.addresses == nil {
			s.addresses = map[netip.Addr]*list.Element{}
		}
		if len(s.addresses) >= limit {
			s.drop(s.order.Front())
		}
		e = s.order.PushBack(&audience{ip: ip})
		s.addresses[ip] = e
	}
	s.order.MoveToBack(e)
	a := e.Value.(*audience)
	switch {
	case a.everybody:
	case to == "":
		a.everybody, a.members = true, nil
	case a.members == nil:
		a.members = map[string]struct{}{to: {}}
	default:
		a.members[to] = struct{}{}
	}
}

// withdraw forgets that the member with this id was told anything.
func (s *seat) withdraw(id string) {
	var next *list.Element
	for e := s.order.Front(); e != nil; e = next {
		next = e.Next()
		a := e.Value.(*audience)
		delete(a.members, id)
		if len(a.members) == 0 && !a.everybody {
			s.drop(e)
		}
	}
}

func (s *seat) drop(e *list.Element) {
	delete(s.addresses, s.order.Remove(e).(*audience).ip)
}

func (s *seat) forget() {
	s.addresses = nil
	s.order.Init()
}

func (t *told) maySend(id string, ip netip.Addr) bool {
	if !t.on.Load() {
		return true
	}
	s := t.seat(id)
	if s == nil {
		return false // it has left
	}
	s.told.mu.Lock()
	defer s.told.mu.Unlock()
	if s.told.seats[id] != s {
		return false // just now
	}
	if !s.bound {
		return true
	}
	for _, mate := range s.told.seats {
		if e := mate.addresses[ip]; mate != s && e != nil {
			a := e.Value.(*audience)
			if _, ok := a.members[id]; ok || a.everybody {
				return true
			}
		}
	}
	return false
}
