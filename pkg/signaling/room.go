package signaling

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/maitred/maitred/pkg/cluster"
)

// errRoomGone tells the hub that the room it found has ended meanwhile.
var errRoomGone = errors.New("room has ended")

// room is the members of one name and the order of everything that happens among them. Each operation changes it and
// publishes the change under one lock, which is held across memory only; what must be told outside is told after it.
type room struct {
	// What a message needs comes first, as in conn.
	mu      sync.Mutex
	members []*member     // in the order in which they joined; guarded by mu
	hub     *Hub          // fixed after construction
	topic   cluster.Topic // fixed after construction
	few     [2]*member    // memory for members, of whom there are mostly two; guarded by mu
	inboxes inboxes

	// Fixed after construction.
	name  string
	id    string // of this life of the name
	since time.Time

	// Guarded by mu.
	waiting []*member // at the door, in the order in which they knocked
	door    door
	gone    []departure // removed, not yet seen off
	leaving int         // members that are being seen off
	missed  []*member   // of whom the others have not been told yet that they are gone
	peak    int         // most members at once
	drained bool        // nobody may join any more
	ended   bool

	departed Traffic // of the members that have left
}

// member is one seat of a room, or one place at its door. A seat outlives its connection for Options.Resume.
type member struct {
	// What a message needs comes first, as in conn.
	id      string // fixed after construction
	room    *room  // fixed after construction
	handled uint64 // messages of the client, owned by the reader of conn and handed over by conn.retire
	left    Reason // why it is gone; empty while it is here; guarded by room.mu
	inbox   inbox

	// Fixed after construction.
	token    string // brings the seat back
	lease    lease
	expiry   *alarm
	ticket   *ticket       // the join token that it came with; nil without one
	admitted chan struct{} // closed when it gets its seat

	seated atomic.Bool // has, or had, a seat; written under room.mu

	// Guarded by room.mu.
	since  time.Time // it has its seat, or waits for one
	name   string
	role   Role
	state  json.RawMessage
	conn   *conn           // nil while it is lost
	last   *conn           // conn, or the one before
	banned bool            // it must not come back
	heard  map[string]bool // ids of those at the door that it was told of
	asks   *rate.Limiter   // for reports on the relay; nil before the first
}

// departure is what remains to be done for a member that is gone.
type departure struct {
	member *member
	conn   *conn // nil if it was lost before
	why    cause
}

// entry is what a successful join comes to.
type entry struct {
	member  *member
	resumed bool
}

// inboxes are the inboxes of the members that are connected to this node. They have a lock of their own because
// Deliver runs inside Publish, under the room's.
type inboxes struct {
	mu   sync.Mutex
	byID map[string]*inbox
}

func (in *inboxes) set(id string, b *inbox) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.byID[id] = b
}

func (in *inboxes) remove(id string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	delete(in.byID, id)
}

// Deliver implements cluster.Subscriber. It puts the event into the inboxes that it is for. A full inbox ends its member by itself.
func (in *inboxes) Deliver(ev cluster.Event) {
	roster := strings.HasPrefix(ev.Type, "member-")
	if b, ok := ev.Local.(*inbox); ok {
		b.push(ev.Message, roster)
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if ev.To != "" {
		if b := in.byID[ev.To]; b != nil {
			b.push(ev.Message, roster)
		}
		return
	}
	for id, b := range in.byID {
		if id != ev.From {
			b.push(ev.Message, roster)
		}
	}
}

func newRoom(h *Hub, name string) (*room, error) {
	r := &room{hub: h, name: name, id: rand.Text(), since: time.Now(), inboxes: inboxes{byID: make(map[string]*inbox)}}
	r.members = r.few[:0]
	topic, err := h.opts.Bus.Subscribe(name, &r.inboxes)
	if err != nil {
		return nil, err
	}
	r.topic = topic
	return r, nil
}

// command runs fn under the lock, then tells the hub who is gone, the others of it, and the hub whether the room is empty. Whoever hears that a
// member is gone knows that what it was given has ended. The connections of those who are gone end last: a client that sees its own close
// knows that all else is done.
func (r *room) command(fn func()) {
	r.mu.Lock()
	fn()
	var seenOff []departure
	for len(r.gone) > 0 {
		gone := r.gone
		r.gone = nil
		r.leaving += len(gone)
		r.mu.Unlock()
		for _, d := range gone {
			r.hub.release(d.member)
		}
		r.mu.Lock()
		r.leaving -= len(gone)
		for _, d := range gone {
			if slices.Contains(r.missed, d.member) {
				r.missLocked(d.member)
			}
		}
		seenOff = append(seenOff, gone...)
	}
	empty := r.emptyLocked()
	r.mu.Unlock()
	if empty {
		r.hub.forget(r)
	}
	for _, d := range seenOff {
		if d.conn != nil {
			d.conn.finish(d.why)
		}
	}
}

// emptyLocked reports whether the room should end.
func (r *room) emptyLocked() bool { return len(r.members) == 0 && r.leaving == 0 && !r.ended }

// resume gives c the seat that the join's resume token is for; entry.member is nil if there is none that has what the client misses.
func (r *room) resume(c *conn, j *Join) (e entry, err error) {
	var previous *conn
	r.command(func() {
		if m := r.resumableLocked(j); m != nil && r.drained {
			err = errDraining
		} else if m != nil {
			e = entry{m, true}
			previous = r.attachLocked(m, c)
		}
	})
	if e.member == nil {
		return e, err
	}
	previous.retire() // only now is it settled what was written
	switch ok := e.member.inbox.resume(j.Received); {
	case !ok && r.giveUpSeat(e.member, c):
		return entry{}, nil
	case ok:
		r.tellAgain(e.member, j.Received == nil)
	}
	return e, nil
}

// giveUpSeat ends the membership of the seat that c has just taken, and leaves c without one. It reports false when c has lost it already,
// and ends.
func (r *room) giveUpSeat(m *member, c *conn) (had bool) {
	r.command(func() {
		if had = m.conn == c && m.left == ""; had {
			m.conn = nil
			r.removeLocked(m, ReasonTooSlow, causeTooSlow)
		}
	})
	return had
}

// join gives c a new seat or a place at the door.
func (r *room) join(c *conn, j *Join, t *ticket) (e entry, err error) {
	r.command(func() {
		switch {
		case r.ended:
			err = errRoomGone
		case r.drained:
			err = errDraining
		default:
			e.member, err = r.enterLocked(c, j, t)
		}
	})
	return e, err
}

// enterLocked lets c in, or has it wait, if the door allows that.
func (r *room) enterLocked(c *conn, j *Join, t *ticket) (*member, error) {
	wait, err := r.askLocked(c, j, t)
	if err != nil {
		return nil, err
	}
	m := &member{
		id: rand.Text(), token: rand.Text(),
		room:   r,
		inbox:  newInbox(r.hub.opts.Queue, r.hub.opts.QueueBytes),
		expiry: &alarm{tasks: &r.hub.tasks},
		ticket: t, admitted: make(chan struct{}),
		name: j.Name, role: t.role(), state: json.RawMessage("{}"), conn: c, last: c,
	}
	if name := t.name(); name != "" {
		m.name = name
	}
	if wait {
		r.knockLocked(m)
	} else {
		r.seatLocked(m)
	}
	return m, nil
}

// seatLocked makes a member of m.
func (r *room) seatLocked(m *member) {
	if len(r.members) == 0 && !r.hub.opts.TokensOnly {
		m.role = RoleModerator
	}
	m.since = time.Now()
	m.inbox.begin(r.othersLocked(m))
	m.lease.begin()
	m.seated.Store(true)
	r.members = append(r.members, m)
	if len(r.members) > len(r.few) {
		clear(r.few[:]) // members is elsewhere from now on
	}
	r.hub.told.enter(r, m.id)
	r.publishLocked(m.id, "", &MemberJoined{Member: m.info()})
	r.inboxes.set(m.id, &m.inbox)
	close(m.admitted)
	r.hub.metrics.members.Add(1)
	if r.peak == 0 {
		r.observe(Event{Type: RoomStarted})
	}
	r.peak = max(r.peak, len(r.members))
	r.observe(Event{Type: MemberEntered, Member: m.forObserver()})
	r.tellWhoWaitsLocked(m)
}

// attachLocked gives the seat to c. It returns the connection that had it before.
func (r *room) attachLocked(m *member, c *conn) (previous *conn) {
	m.expiry.clear()
	previous = m.last
	m.conn, m.last = c, c
	return previous
}

// detach notes that the member's connection is lost. If it has another one by now, or is gone, nothing happens.
func (r *room) detach(m *member, c *conn) {
	r.command(func() {
		switch {
		case m.conn != c || m.left != "":
		case !m.seated.Load():
			r.leaveDoorLocked(m, ReasonLeft, causeLost)
		case m.inbox.isFull():
			r.removeLocked(m, ReasonTooSlow, causeTooSlow)
		case r.hub.opts.Resume <= 0:
			r.removeLocked(m, ReasonTimeout, causeLost)
		default:
			m.conn = nil
			m.expiry.set(r.hub.opts.Resume, func() { r.expire(m) })
		}
	})
}

func (r *room) expire(m *member) {
	r.command(func() {
		if m.conn != nil || m.left != "" {
			return
		}
		reason := ReasonTimeout
		if m.inbox.isFull() {
			reason = ReasonTooSlow
		}
		r.removeLocked(m, reason, causeLost)
	})
}

// remove ends the membership of the member with this id, or its waiting, on an administrator's behalf.
func (r *room) remove(id, reason string) (removed bool) {
	r.command(func() {
		m, w := r.byIDLocked(id), r.waitingLocked(id)
		removed = m != nil || w != nil
		switch {
		case m != nil:
			r.kickLocked(m, reason)
		case w != nil:
			r.banLocked(w)
			r.denySameLocked(w)
			r.leaveDoorLocked(w, ReasonDenied, causeDenied)
		}
	})
	return removed
}

// kickLocked removes a member that must not come back with the tokens it has.
func (r *room) kickLocked(m *member, reason string) {
	r.banLocked(m)
	r.denySameLocked(m)
	r.removeLocked(m, ReasonKicked, causeKicked(reason))
}

// banLocked refuses what m has from now on.
func (r *room) banLocked(m *member) {
	m.banned = true
	r.hub.banned.add(m.token, r.hub.opts.Resume)
	r.hub.tickets.ban(m.ticket)
}

// denySameLocked turns away those who wait with the join token of m.
func (r *room) denySameLocked(m *member) {
	for _, w := range slices.Clone(r.waiting) {
		if w != m && w.ticket != nil && m.ticket != nil && w.ticket.ID == m.ticket.ID {
			r.leaveDoorLocked(w, ReasonDenied, causeDenied)
		}
	}
}

// removeFrom ends a membership because of its connection c, unless another connection has the seat by now.
func (r *room) removeFrom(m *member, c *conn, reason Reason, why cause) {
	r.command(func() {
		switch {
		case m.conn != c || m.left != "":
		case m.seated.Load():
			r.removeLocked(m, reason, why)
		default:
			r.leaveDoorLocked(m, reason, why)
		}
	})
}

// removeLocked takes the member out. The others are told when it has been seen off.
func (r *room) removeLocked(m *member, reason Reason, why cause) {
	r.dropLocked(m, reason, why)
	if len(r.members) > 0 {
		r.missed = append(r.missed, m)
		return
	}
	if r.letInLocked(); len(r.members) == 0 {
		r.abandonLocked()
	}
}

// missLocked goes on without a member that has been seen off.
func (r *room) missLocked(m *member) {
	r.missed = slices.DeleteFunc(r.missed, func(o *member) bool { return o == m })
	r.publishLocked(m.id, "", &MemberLeft{Member: m.id, Reason: m.left})
	r.letInLocked()
	if len(r.members) > 0 && !r.hub.opts.TokensOnly && !slices.ContainsFunc(r.members, (*member).moderates) {
		r.promoteLocked(r.members[0])
	}
}

// promoteLocked makes a moderator, who hears of those who wait.
func (r *room) promoteLocked(m *member) {
	m.role = RoleModerator
	r.publishLocked("", "", &MemberUpdated{Member: m.info()})
	r.tellWhoWaitsLocked(m)
}

// dropLocked takes the member out without a word to the others.
func (r *room) dropLocked(m *member, reason Reason, why cause) {
	m.left = reason
	r.members = slices.DeleteFunc(r.members, func(o *member) bool { return o == m })
	r.inboxes.remove(m.id)
	r.hub.told.leave(m.id)
	m.expiry.stop()
	r.gone = append(r.gone, departure{member: m, conn: m.conn, why: why})
	r.hub.metrics.members.Add(-1)
}

// settle adds what a member that is gone had relayed. It returns how long it was there.
func (r *room) settle(m *member, used Traffic) (lasted time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	lasted = time.Since(m.since)
	r.departed.add(used)
	r.observe(Event{Type: MemberGone, Member: m.forObserver(), Reason: m.left, Duration: lasted, Relayed: used})
	return lasted
}

// signal sends data to one other member.
func (r *room) signal(m *member, s *Signal) error {
	msg := encodeRelay("signal", m.id, s.Data)
	r.hub.told.learn(m.id, s.To, s.Data) // before the receiver can act on it
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.left != "" {
		return nil
	}
	to := r.byIDLocked(s.To)
	if to == nil || to == m {
		return errNoSuchMember
	}
	return r.topic.Publish(cluster.Event{From: m.id, To: s.To, Type: "signal", Message: msg, Local: &to.inbox})
}

// broadcast sends data to all other members.
func (r *room) broadcast(m *member, b *Broadcast) error {
	msg := encodeRelay("broadcast", m.id, b.Data)
	r.hub.told.learn(m.id, "", b.Data)
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.left != "" {
		return nil
	}
	return r.topic.Publish(cluster.Event{From: m.id, Type: "broadcast", Message: msg})
}

// update sets the member's state and tells everybody, the member itself included.
func (r *room) update(m *member, state json.RawMessage) error {
	r.command(func() {
		if m.left == "" {
			m.state = state
			r.publishLocked("", "", &MemberUpdated{Member: m.info()})
		}
	})
	return nil
}

// send is what the application's server says to a member, or to all ("").
func (r *room) send(to string, data json.RawMessage) error {
	msg := &ServerData{Data: data}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.ended || len(r.members) == 0:
		return ErrNoSuchRoom
	case to != "" && r.byIDLocked(to) == nil:
		return ErrNoSuchMember
	}
	return r.topic.Publish(cluster.Event{To: to, Type: msg.Type(), Message: mustEncode(msg)})
}

// publishLocked tells the members of what the room itself does.
func (r *room) publishLocked(from, to string, msg ServerMessage) {
	err := r.topic.Publish(cluster.Event{From: from, To: to, Type: msg.Type(), Message: mustEncode(msg)})
	if err != nil {
		r.hub.opts.Log.Error("room event not published", "room", r.name, "type", msg.Type(), "err", err)
	}
}

// drain tells the members on this node that it is about to stop, and lets nobody in any more.
func (r *room) drain() {
	msg := &Draining{}
	r.command(func() {
		r.drained = true
		r.inboxes.Deliver(cluster.Event{Type: msg.Type(), Message: mustEncode(msg)})
		for _, w := range slices.Clone(r.waiting) {
			r.leaveDoorLocked(w, ReasonLeft, causeDraining)
		}
	})
}

// close takes all members out. There is nobody left to tell. It reports whether there were any.
func (r *room) close(reason Reason, why cause) (had bool) {
	r.command(func() {
		had = len(r.members) > 0
		r.drained = r.drained || reason == reasonShutdown
		for _, m := range slices.Clone(r.members) {
			if reason == ReasonRoomClosed {
				r.banLocked(m)
			}
			r.dropLocked(m, reason, why)
		}
		for _, w := range slices.Clone(r.waiting) {
			if reason == ReasonRoomClosed {
				r.banLocked(w)
			}
			r.turnAwayLocked(w, reason, why)
		}
		r.door = door{}
	})
	return had
}

// endIfEmpty closes the topic of a room that nobody is in. It reports whether this call did.
func (r *room) endIfEmpty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.emptyLocked() {
		return false
	}
	r.ended = true
	r.topic.Close()
	if r.peak > 0 {
		r.observe(Event{Type: RoomEnded, Duration: time.Since(r.since), Relayed: r.departed, Peak: r.peak})
	}
	return true
}

func (r *room) byIDLocked(id string) *member {
	for _, m := range r.members {
		if m.id == id {
			return m
		}
	}
	return nil
}

// resumableLocked finds the seat that the join takes back.
func (r *room) resumableLocked(j *Join) *member {
	for _, m := range r.members {
		if subtle.ConstantTimeCompare([]byte(m.token), []byte(j.Resume)) == 1 {
			return m
		}
	}
	return nil
}

// othersLocked are those whom m is told of, and later of their leaving.
func (r *room) othersLocked(m *member) []Member {
	others := make([]Member, 0, len(r.members)+len(r.missed))
	for _, o := range slices.Concat(r.members, r.missed) {
		if o != m {
			others = append(others, o.info())
		}
	}
	return others
}

// look is what a member is told of itself and the room.
func (r *room) look(m *member) (Member, Room) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return m.info(), r.infoLocked()
}

// info is the member as the others see it. The caller holds the room's lock.
func (m *member) info() Member {
	return Member{ID: m.id, Name: m.name, Role: m.role, State: m.state}
}

// moderates reports whether the member may do what moderators may. The caller holds the room's lock.
func (m *member) moderates() bool { return m.role == RoleModerator && m.left == "" && m.seated.Load() }
