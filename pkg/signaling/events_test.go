package signaling

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/maitred/maitred/pkg/token"
)

// recorder is an Observer that keeps what happens, and complains of what comes in the wrong order.
type recorder struct {
	t testing.TB

	mu     sync.Mutex
	events []Event
	lives  map[string]*life  // by Event.RoomID
	open   map[string]string // RoomID by Room
}

// life is what a room's events told so far.
type life struct {
	since, last time.Time
	in          map[string]time.Time // when each came
	known       map[string]bool
	peak        int
	relayed     Traffic
	ended       bool
}

func newRecorder(t testing.TB) *recorder {
	return &recorder{t: t, lives: map[string]*life{}, open: map[string]string{}}
}

func (rec *recorder) Observe(e Event) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.events = append(rec.events, e)
	l := rec.lives[e.RoomID]
	switch {
	case e.Room == "" || e.RoomID == "":
		rec.t.Errorf("of no room: %+v", e)
		return
	case e.Type == RoomStarted:
		if l != nil || rec.open[e.Room] != "" {
			rec.t.Errorf("started while it was there: %+v", e)
		}
		rec.lives[e.RoomID] = &life{since: e.Time, last: e.Time, in: map[string]time.Time{}, known: map[string]bool{}}
		rec.open[e.Room] = e.RoomID
		return
	case l == nil || l.ended || rec.open[e.Room] != e.RoomID:
		rec.t.Errorf("not between start and end: %+v", e)
		return
	case e.Time.Before(l.last):
		rec.t.Errorf("earlier than the one before: %+v", e)
	}
	l.last = e.Time
	switch e.Type {
	case MemberEntered:
		if l.known[e.Member.ID] || e.Member.Name == "" || e.Member.Role == "" {
			rec.t.Errorf("joined %+v", e.Member)
		}
		l.known[e.Member.ID], l.in[e.Member.ID] = true, e.Time
		l.peak = max(l.peak, len(l.in))
	case MemberGone:
		came, ok := l.in[e.Member.ID]
		if longest := e.Time.Sub(came) + time.Second; !ok || e.Reason == "" || e.Duration < 0 || e.Duration > longest {
			rec.t.Errorf("left %+v: %+v", e.Member, e)
		}
		delete(l.in, e.Member.ID)
		l.relayed.add(e.Relayed)
	case RoomEnded:
		// One who has left is told of when it is released: another may have come in between.
		if len(l.in) > 0 || e.Relayed != l.relayed || e.Peak < 1 || e.Peak > l.peak || e.Duration+time.Second < e.Time.Sub(l.since) {
			rec.t.Errorf("ended %+v with %+v", e, l)
		}
		l.ended = true
		delete(rec.open, e.Room)
	default:
		rec.t.Errorf("event %+v", e)
	}
}

func (rec *recorder) all() []Event {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return slices.Clone(rec.events)
}

// check wants these events, each its type and, of one who left, the reason, if that is not "left".
func (rec *recorder) check(want ...string) {
	rec.t.Helper()
	var got []string
	for _, e := range rec.all() {
		text := string(e.Type)
		if e.Type == MemberGone && e.Reason != ReasonLeft {
			text += " " + string(e.Reason)
		}
		got = append(got, text)
	}
	if !slices.Equal(got, want) {
		rec.t.Errorf("observed %q,\nwant %q", got, want)
	}
}

func TestEvents(t *testing.T) {
	book, seen := newLedger(t), newRecorder(t)
	book.used = Traffic{Up: Count{1, 100}, Down: Count{2, 200}, ShortCircuit: Count{3, 300}}
	s := newServer(t, Options{ICE: book, Releaser: book, Observer: seen, Resume: time.Minute})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	bob.cut()
	s.waitAway(bob)
	bob = s.resume(bob) // is no event
	leave(ann)
	cid := s.join("r", "Cid")
	leave(cid)
	s.hub.Kick("r", bob.id(), "")
	bob.expectClose(CloseKicked)
	seen.check("room_started", "member_joined", "member_joined", "member_left", "member_joined", "member_left", "member_left kicked", "room_ended")

	events := seen.all()
	if m := *events[1].Member; m != (EventMember{ID: ann.id(), Name: "Ann", Role: RoleModerator}) {
		t.Errorf("joined %+v", m)
	}
	if m := *events[6].Member; m != (EventMember{ID: bob.id(), Name: "Bob", Role: RoleModerator}) { // since Ann left
		t.Errorf("left %+v", m)
	}
	end := events[7]
	if want := (Traffic{Up: Count{3, 300}, Down: Count{6, 600}, ShortCircuit: Count{9, 900}}); end.Relayed != want || end.Peak != 2 || end.Member != nil {
		t.Errorf("ended %+v", end)
	}
	first := events[0].RoomID
	s.join("r", "Dan")
	if e := seen.all()[8]; e.Type != RoomStarted || e.RoomID == first {
		t.Errorf("the next life of the room begins with %+v", e)
	}
}

// TestNoRoomNoEvents has joins that find no seat in a room that they would have made.
func TestNoRoomNoEvents(t *testing.T) {
	m, seen := newMint(t), newRecorder(t)
	s := newServer(t, Options{Tokens: m.keys, Observer: seen, RememberedTokens: 1})
	once := func(room string) *peer {
		p := s.dial()
		p.send(&Join{Room: room, Name: "n", Token: m.token(token.Claims{Room: room, MaxUses: 1})})
		return p
	}
	p := once("a")
	expect[*Joined](p)
	leave(p)
	once("b").expectError(CodeRateLimited, "join")
	if rooms := s.hub.Rooms(); len(rooms) != 0 || s.hub.metrics.rooms.Load() != 0 {
		t.Errorf("rooms %+v", rooms)
	}
	seen.check("room_started", "member_joined", "member_left", "room_ended")
}

// crowd is people who come to a few rooms and do everything that one can do there.
type crowd struct {
	s      *server
	mint   *mint
	book   *ledger
	seen   *recorder
	people sync.WaitGroup
}

func newCrowd(t *testing.T) *crowd {
	c := &crowd{mint: newMint(t), book: newLedger(t), seen: newRecorder(t)}
	c.s = newServer(t, Options{
		ICE: c.book, Releaser: c.book, Observer: c.seen, Tokens: c.mint.keys, RoomPermissions: true,
		Resume: 20 * time.Millisecond, KnockTimeout: 30 * time.Millisecond, PingInterval: 5 * time.Millisecond,
		MaxMembers: 10, WaitingPerRoom: 4, Queue: 64,
		ConnectionsPerIP: -1, MessagesPerSecond: -1, FailedPasswordsPerIP: -1, FailedTokensPerIP: -1,
	})
	return c
}

// come has so many people visit so often, as long as the server is there.
func (c *crowd) come(people, rounds int) {
	for n := range people {
		c.people.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 5))
			for n := 0; n < rounds && !c.s.hub.isClosed(); n++ {
				(&visitor{crowd: c, r: r, room: fmt.Sprintf("room-%d", r.IntN(3))}).visit()
			}
		})
	}
}

// settle checks what is left when everybody has gone.
func (c *crowd) settle() {
	c.s.t.Helper()
	c.s.waitConns(0)
	c.s.wait("all rooms to end", func() bool { return len(c.s.hub.Rooms()) == 0 })
	seats, ended := map[string]bool{}, 0
	for _, e := range c.seen.all() {
		switch e.Type {
		case MemberEntered:
			seats[e.Member.ID] = true
		case RoomEnded:
			ended++
		}
	}
	c.book.waitReleased(len(seats))
	c.s.wait("the last event", func() bool {
		c.seen.mu.Lock()
		defer c.seen.mu.Unlock()
		return len(c.seen.open) == 0
	})
	c.book.mu.Lock()
	defer c.book.mu.Unlock()
	for id := range c.book.minted {
		if !seats[id] {
			c.s.t.Errorf("a credential for %s, which had no seat", id)
		}
	}
	if len(c.book.released) != len(seats) {
		c.s.t.Errorf("%d were released, %d had a seat", len(c.book.released), len(seats))
	}
	m := c.s.hub.metrics
	if m.members.Load() != 0 || m.waiting.Load() != 0 || m.rooms.Load() != 0 {
		c.s.t.Errorf("counted: %d members, %d that wait, %d rooms", m.members.Load(), m.waiting.Load(), m.rooms.Load())
	}
	c.s.t.Logf("%d seats in %d rooms", len(seats), ended)
}

func TestCrowd(t *testing.T) {
	c := newCrowd(t)
	c.come(24, 12)
	c.people.Wait()
	c.settle()
}

// TestCloseInACrowd stops the server while everything goes on.
func TestCloseInACrowd(t *testing.T) {
	for _, drain := range []bool{false, true} {
		t.Run(fmt.Sprintf("drain %v", drain), func(t *testing.T) {
			c := newCrowd(t)
			c.come(16, 1000)
			c.s.wait("some to come", func() bool { return len(c.seen.all()) > 100 })
			if drain {
				c.s.hub.Drain()
			}
			c.s.close()
			c.people.Wait()
			c.settle()
		})
	}
}

// visitor is one visit of a crowd. It may be refused, kicked, or find the server closed at any time.
type visitor struct {
	*crowd
	r    *rand.Rand
	room string

	mu       sync.Mutex
	joined   *Joined
	received uint64
	members  []string
	knocking []string
}

func (v *visitor) visit() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	j := &Join{Room: v.room, Name: "n", Password: v.pick("", "p", "q")}
	if v.r.IntN(4) == 0 {
		j.Token = v.mint.token(token.Claims{Room: v.room, Role: v.pick(token.RoleModerator, token.RoleMember)})
	}
	l := v.connect(ctx, j)
	if l == nil {
		return
	}
	defer l.hangUp()
	for range v.r.IntN(12) {
		l.send(v.act())
	}
	switch v.r.IntN(6) {
	case 0:
		l.send(&Leave{})
	case 1:
		l.send(&Broadcast{Data: []byte("1")})
	case 2:
		l.closing.Store(true)
		_ = l.ws.Close(websocket.StatusNormalClosure, "")
	case 3, 4:
		v.comeBack(ctx, l)
	case 5:
		v.s.hub.Kick(v.room, v.self(), "enough")
		if v.r.IntN(10) == 0 {
			v.s.hub.CloseRoom(v.room, "enough")
		}
	}
}

// comeBack resumes, with or without counting, while the old connection is still there or not.
func (v *visitor) comeBack(ctx context.Context, old *wire) {
	if v.r.IntN(2) == 0 {
		old.hangUp()
	}
	v.mu.Lock()
	j := &Join{Room: v.room, Name: "n", Resume: "none"}
	if v.joined != nil {
		j.Resume = v.joined.Resume
	}
	if v.r.IntN(2) == 0 {
		received := v.received
		j.Received = &received
	}
	v.mu.Unlock()
	if back := v.connect(ctx, j); back != nil {
		back.send(v.act())
		back.hangUp()
	}
}

// act is something that a member does, if it knows somebody to do it to.
func (v *visitor) act() ClientMessage {
	v.mu.Lock()
	defer v.mu.Unlock()
	mate, knocker := v.pick(append(v.members, "nobody")...), v.pick(append(v.knocking, "nobody")...)
	return []ClientMessage{
		&Signal{To: mate, Data: []byte(`"candidate:1 1 udp 1 192.0.2.1 1 typ host"`)}, &Signal{To: mate, Data: []byte("1")},
		&Broadcast{Data: []byte("1")}, &Update{State: []byte(`{"n":1}`)}, &ICE{},
		&Lock{Locked: true, Knock: true}, &Lock{Locked: true}, &Lock{}, &Lock{}, &Admit{Member: knocker}, &Admit{Member: knocker}, &Deny{Member: knocker},
		&Password{Password: v.pick("", "", "p")}, &Limit{MaxMembers: v.r.IntN(8)}, &Kick{Member: mate, Reason: "enough"}, &Join{Room: "r", Name: "again"},
	}[v.r.IntN(16)]
}

func (v *visitor) pick(from ...string) string { return from[v.r.IntN(len(from))] }

func (v *visitor) self() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.joined == nil {
		return "nobody"
	}
	return v.joined.Self.ID
}

// wire is a connection of a visitor and the goroutine that reads it.
type wire struct {
	ctx     context.Context
	ws      *websocket.Conn
	done    chan struct{}
	closing atomic.Bool // what the library still reads may be cut into pieces by its Close
}

// connect dials, joins and waits for the answer. It returns nil where the server is closed by now.
func (v *visitor) connect(ctx context.Context, j *Join) *wire {
	ws, _, err := websocket.Dial(ctx, v.s.http.URL, &websocket.DialOptions{Subprotocols: []string{Subprotocol}})
	if err != nil {
		if !v.s.hub.isClosed() {
			v.s.t.Errorf("dial: %v", err)
		}
		return nil
	}
	l := &wire{ctx: ctx, ws: ws, done: make(chan struct{})}
	l.send(j)
	answered := make(chan struct{})
	go func() {
		defer close(l.done)
		v.listen(l, answered)
	}()
	<-answered
	return l
}

// send sends to a server that may have closed the connection.
func (l *wire) send(m ClientMessage) {
	raw, err := Encode(m)
	if err != nil {
		panic(err)
	}
	_ = l.ws.Write(l.ctx, websocket.MessageText, raw)
}

func (l *wire) hangUp() {
	_ = l.ws.CloseNow()
	<-l.done
}

// listen reads until the connection ends, and says when join was answered.
func (v *visitor) listen(l *wire, answered chan<- struct{}) {
	first := true
	for {
		_, raw, err := l.ws.Read(l.ctx)
		if l.ctx.Err() != nil {
			v.s.t.Error("a connection neither answers nor ends")
		}
		if first {
			first = false
			close(answered)
		}
		if err != nil || l.closing.Load() {
			return
		}
		m, err := DecodeServer(raw)
		if err != nil {
			v.s.t.Errorf("%s: %v", raw, err)
		}
		v.hear(m)
	}
}

func (v *visitor) hear(m ServerMessage) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if joined, ok := m.(*Joined); ok {
		if !joined.Resumed {
			v.received = 0
		}
		v.joined, v.members = joined, ids(joined.Members)
		return
	}
	v.received++
	switch m := m.(type) {
	case *MemberJoined:
		v.members = append(v.members, m.Member.ID)
	case *Knock:
		v.knocking = append(v.knocking, m.Member.ID)
	}
}
