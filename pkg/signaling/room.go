package signaling

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/maitred/maitred/pkg/cluster"
)

// errRoomGone tells the hub that the room it found has ended meanwhile.
var errRoomGone = errors.New("room has ended")

// room is the members of one name and the order of everything that happens among them. Each operation changes it and
// publishes the change under one lock, which is held across memory only; what must be told outside is told after it.
type room struct {
	// Fixed after construction.
	hub     *Hub
	name    string
	since   time.Time
	topic   cluster.Topic
	inboxes inboxes

	mu      sync.Mutex
	members []*member   // in the order in which they joined
	gone    []departure // removed, not yet seen off
	drained bool        // nobody may join any more
	ended   bool

	departed Traffic // of the members that have left
}

// member is one seat of a room. It outlives its connection for Options.Resume.
type member struct {
	// Fixed after construction.
	id     string
	token  string // brings the seat back
	since  time.Time
	room   *room
	inbox  *inbox
	lease  lease
	expiry *alarm

	// Guarded by room.mu.
	name  string
	role  Role
	state json.RawMessage
	conn  *conn    // nil while it is lost
	away  []Member // the others as they were when conn was lost; the inbox has what happened since
	left  Reason   // why it is gone; empty while it is a member
}

// departure is what remains to be done for a member that is gone.
type departure struct {
	member *member
	conn   *conn // nil if it was lost before
	why    cause
}

// view is what a member is told when it takes its seat.
type view struct {
	self     Member
	others   []Member
	replaced *conn // had the seat until now
}

// inboxes are the inboxes of the members that are connected to this node. They have a lock of their own because
// deliver runs inside Publish, under the room's.
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

// deliver puts the event into the inboxes that it is for. A full inbox ends its member by itself.
func (in *inboxes) deliver(ev cluster.Event) {
	roster := strings.HasPrefix(ev.Type, "member-")
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
	r := &room{hub: h, name: name, since: time.Now(), inboxes: inboxes{byID: make(map[string]*inbox)}}
	topic, err := h.opts.Bus.Subscribe(name, r.inboxes.deliver)
	if err != nil {
		return nil, err
	}
	r.topic = topic
	return r, nil
}

// command runs fn under the lock, then tells the hub who is gone and whether the room is empty. The connections of those
// who are gone end last: a client that sees its own close knows that all else is done.
func (r *room) command(fn func()) {
	r.mu.Lock()
	fn()
	gone := r.gone
	r.gone = nil
	empty := len(r.members) == 0 && !r.ended
	r.mu.Unlock()
	for _, d := range gone {
		r.hub.release(d.member)
	}
	if empty {
		r.hub.forget(r)
	}
	for _, d := range gone {
		if d.conn != nil {
			d.conn.finish(d.why)
		}
	}
}

// join gives c a new seat, or the one that the resume token is for.
func (r *room) join(c *conn, j *Join) (m *member, v view, err error) {
	r.command(func() {
		switch m = r.byTokenLocked(j.Resume); {
		case r.ended:
			err = errRoomGone
		case r.drained:
			err = errDraining
		case m != nil:
			v = r.attachLocked(m, c)
		case len(r.members) >= r.hub.opts.MaxMembers:
			err = errRoomFull
		default:
			m, v = r.admitLocked(c, j.Name)
		}
	})
	return m, v, err
}

func (r *room) admitLocked(c *conn, name string) (*member, view) {
	m := &member{
		id: rand.Text(), token: rand.Text(), since: time.Now(),
		room:   r,
		inbox:  newInbox(r.hub.opts.Queue, r.hub.opts.QueueBytes),
		expiry: &alarm{tasks: &r.hub.tasks},
		name:   name, role: RoleMember, state: json.RawMessage("{}"), conn: c,
	}
	if len(r.members) == 0 {
		m.role = RoleModerator
	}
	v := view{self: m.info(), others: r.othersLocked(m)}
	r.members = append(r.members, m)
	r.hub.told.enter(r, m.id)
	r.publishLocked(m.id, "", &MemberJoined{Member: m.info()})
	r.inboxes.set(m.id, m.inbox)
	r.hub.metrics.members.Add(1)
	return m, v
}

// attachLocked gives the seat to c.
func (r *room) attachLocked(m *member, c *conn) view {
	old := m.conn
	if old != nil {
		r.awayLocked(m)
	}
	m.expiry.clear()
	v := view{self: m.info(), others: m.away, replaced: old}
	m.conn, m.away = c, nil
	return v
}

// detach notes that the member's connection is lost. If it has another one by now, or is gone, nothing happens.
func (r *room) detach(m *member, c *conn) {
	r.command(func() {
		switch {
		case m.conn != c || m.left != "":
		case m.inbox.isFull():
			r.removeLocked(m, ReasonTooSlow, causeTooSlow)
		case r.hub.opts.Resume <= 0:
			r.removeLocked(m, ReasonTimeout, causeLost)
		default:
			r.awayLocked(m)
			m.expiry.set(r.hub.opts.Resume, func() { r.expire(m) })
		}
	})
}

// awayLocked remembers the room as it is now. With it and the inbox the member misses nothing when it comes back:
// what the inbox says so far about who is here is part of the picture, what it will say is not.
func (r *room) awayLocked(m *member) {
	m.conn = nil
	m.away = r.othersLocked(m)
	m.inbox.dropRoster()
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

// remove ends the membership of the member with this id.
func (r *room) remove(id string, reason Reason, why cause) (removed bool) {
	r.command(func() {
		if m := r.byIDLocked(id); m != nil {
			r.hub.banned.add(m.token, r.hub.opts.Resume)
			r.removeLocked(m, reason, why)
			removed = true
		}
	})
	return removed
}

// removeFrom ends a membership because of its connection c, unless another connection has the seat by now.
func (r *room) removeFrom(m *member, c *conn, reason Reason, why cause) {
	r.command(func() {
		if m.conn == c && m.left == "" {
			r.removeLocked(m, reason, why)
		}
	})
}

func (r *room) removeLocked(m *member, reason Reason, why cause) {
	r.dropLocked(m, reason, why)
	r.publishLocked(m.id, "", &MemberLeft{Member: m.id, Reason: reason})
	if m.role == RoleModerator && len(r.members) > 0 {
		heir := r.members[0]
		heir.role = RoleModerator
		r.publishLocked("", "", &MemberUpdated{Member: heir.info()})
	}
}

// dropLocked takes the member out without a word to the others.
func (r *room) dropLocked(m *member, reason Reason, why cause) {
	m.left = reason
	r.members = slices.DeleteFunc(r.members, func(o *member) bool { return o == m })
	r.inboxes.remove(m.id)
	r.hub.told.leave(m.id)
	m.expiry.stop()
	r.gone = append(r.gone, departure{m, m.conn, why})
	r.hub.metrics.members.Add(-1)
}

// settle adds what a member that is gone had relayed.
func (r *room) settle(used Traffic) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.departed.add(used)
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
	if s.To == m.id || r.byIDLocked(s.To) == nil {
		return errNoSuchMember
	}
	return r.topic.Publish(cluster.Event{From: m.id, To: s.To, Type: "signal", Message: msg})
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
func (r *room) update(m *member, state json.RawMessage) {
	r.command(func() {
		if m.left == "" {
			m.state = state
			r.publishLocked("", "", &MemberUpdated{Member: m.info()})
		}
	})
}

// publishLocked tells the members of what the room itself does.
func (r *room) publishLocked(from, to string, msg ServerMessage) {
	err := r.topic.Publish(cluster.Event{From: from, To: to, Type: msg.Type(), Message: mustEncode(msg)})
	if err != nil {
		r.hub.opts.Log.Error("room event not published", "room", r.name, "type", msg.Type(), "err", err)
	}
}

// drain tells the members on this node that it is about to stop, and lets nobody join any more.
func (r *room) drain() {
	msg := &Draining{}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drained = true
	r.inboxes.deliver(cluster.Event{Type: msg.Type(), Message: mustEncode(msg)})
}

// close takes all members out. There is nobody left to tell.
func (r *room) close(why cause) {
	r.command(func() {
		for _, m := range slices.Clone(r.members) {
			r.dropLocked(m, reasonShutdown, why)
		}
	})
}

// endIfEmpty closes the topic of a room that nobody is in. It reports whether this call did.
func (r *room) endIfEmpty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || len(r.members) > 0 {
		return false
	}
	r.ended = true
	r.topic.Close()
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

// byTokenLocked finds the seat that the token brings back. A seat that has missed messages is given up instead.
func (r *room) byTokenLocked(token string) *member {
	for _, m := range r.members {
		if subtle.ConstantTimeCompare([]byte(m.token), []byte(token)) != 1 {
			continue
		}
		if m.inbox.isFull() {
			r.removeLocked(m, ReasonTooSlow, causeTooSlow)
			return nil
		}
		return m
	}
	return nil
}

func (r *room) othersLocked(m *member) []Member {
	others := make([]Member, 0, len(r.members))
	for _, o := range r.members {
		if o != m {
			others = append(others, o.info())
		}
	}
	return others
}

// info is the member as the others see it. The caller holds the room's lock.
func (m *member) info() Member {
	return Member{ID: m.id, Name: m.name, Role: m.role, State: m.state}
}
