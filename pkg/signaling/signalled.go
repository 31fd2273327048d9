package signaling

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// SetRoomPermissions turns the restriction of MaySend on or off. Off takes effect at once. On takes effect for the members that join
// from then on: nobody has noted what the others were told before.
func (h *Hub) SetRoomPermissions(on bool) { h.told.set(on) }

// MaySend reports whether the member's relay may send to ip: always while room permissions are off, otherwise only if one of those
// in the room now, but not the member itself, has signalled a candidate with this address to the member or to everybody.
// It never waits for a room, so it may be called from where TURN requests are answered.
func (h *Hub) MaySend(memberID string, ip netip.Addr) bool {
	return h.told.maySend(memberID, ip.Unmap())
}

// told is which addresses the members have told each other in ICE candidates. Its lock is held across memory only; a room's may be
// held around it.
type told struct {
	limit int         // addresses of one member; the one told longest ago makes room for a new one
	on    atomic.Bool // written under mu

	mu    sync.Mutex
	seats map[string]*seat // by member id
	rooms map[*room]map[string]*seat
	clock uint64 // counts what was told
}

// seat is a member as told knows it.
type seat struct {
	room      *room
	bound     bool // the restriction was on when it joined
	addresses map[netip.Addr]*audience
}

// audience is who was told of an address.
type audience struct {
	last      uint64 // the reading of told.clock when it was told last
	everybody bool
	members   map[string]struct{} // ids of members of the room
}

func newTold(on bool, limit int) *told {
	t := &told{limit: limit, seats: map[string]*seat{}, rooms: map[*room]map[string]*seat{}}
	t.on.Store(on)
	return t
}

func (t *told) set(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.on.Store(on)
	if on {
		return
	}
	for _, s := range t.seats {
		s.bound, s.addresses = false, nil
	}
}

func (t *told) enter(r *room, id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &seat{room: r, bound: t.on.Load()}
	t.seats[id] = s
	if t.rooms[r] == nil {
		t.rooms[r] = map[string]*seat{}
	}
	t.rooms[r][id] = s
}

// leave forgets what the member told and what it was told.
func (t *told) leave(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.seats[id]
	delete(t.seats, id)
	mates := t.rooms[s.room]
	delete(mates, id)
	if len(mates) == 0 {
		delete(t.rooms, s.room)
	}
	for _, mate := range mates {
		for ip, a := range mate.addresses {
			delete(a.members, id)
			if len(a.members) == 0 && !a.everybody {
				delete(mate.addresses, ip)
			}
		}
	}
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
	t.mu.Lock()
	defer t.mu.Unlock()
	s, other := t.seats[from], t.seats[to]
	switch {
	case s == nil || !t.on.Load():
		return // it has left, or the option has been turned off, in the meantime
	case to != "" && (other == nil || other == s || other.room != s.room):
		return
	}
	for _, ip := range found {
		t.clock++
		s.tell(ip, to, t.clock, t.limit)
	}
}

// tell notes one address, in place of the one told longest ago when there are limit of them.
func (s *seat) tell(ip netip.Addr, to string, now uint64, limit int) {
	a := s.addresses[ip]
	if a == nil {
		if s.addresses == nil {
			s.addresses = map[netip.Addr]*audience{}
		}
		if len(s.addresses) >= limit {
			s.dropOldest()
		}
		a = &audience{}
		s.addresses[ip] = a
	}
	a.last = now
	if to == "" {
		a.everybody = true
		return
	}
	if a.members == nil {
		a.members = map[string]struct{}{}
	}
	a.members[to] = struct{}{}
}

func (s *seat) dropOldest() {
	var oldest netip.Addr
	for ip, a := range s.addresses {
		if !oldest.IsValid() || a.last < s.addresses[oldest].last {
			oldest = ip
		}
	}
	delete(s.addresses, oldest)
}

func (t *told) maySend(id string, ip netip.Addr) bool {
	if !t.on.Load() {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.seats[id]
	if s == nil {
		return false // it has left
	}
	if !s.bound {
		return true
	}
	for _, mate := range t.rooms[s.room] {
		if a := mate.addresses[ip]; mate != s && a != nil {
			if _, ok := a.members[id]; ok || a.everybody {
				return true
			}
		}
	}
	return false
}
