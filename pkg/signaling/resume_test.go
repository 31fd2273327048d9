package signaling

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// waitAway waits until the server has noticed that the peer's connection is lost.
func (s *server) waitAway(p *peer) {
	s.t.Helper()
	s.wait("lost connection", func() bool {
		for _, r := range s.hub.Rooms() {
			for _, m := range r.Members {
				if m.ID == p.id() {
					return !m.Connected
				}
			}
		}
		return false
	})
}

func ids(members []Member) []string {
	var ids []string
	for _, m := range members {
		ids = append(ids, m.ID)
	}
	return ids
}

func TestResume(t *testing.T) {
	book := newLedger(t)
	s := newServer(t, Options{ICE: book, Releaser: book, Resume: time.Minute})
	ann, bob, cid := s.join("r", "Ann"), s.join("r", "Bob"), s.join("r", "Cid")
	expect[*MemberJoined](ann)
	expect[*MemberJoined](ann)
	expect[*MemberJoined](bob)
	bob.cut()
	s.waitAway(bob)

	ann.send(&Signal{To: bob.id(), Data: []byte("1")})
	ann.send(&ICE{})
	expect[*ICEServers](ann) // so the signal comes before dan
	dan := s.join("r", "Dan")
	if want := []string{ann.id(), bob.id(), cid.id()}; !slices.Equal(ids(dan.self.Members), want) {
		t.Errorf("dan sees %v, want %v", ids(dan.self.Members), want)
	}
	dan.send(&Broadcast{Data: []byte("2")})
	expect[*MemberJoined](ann)
	expect[*BroadcastFrom](ann)
	cid.send(&Leave{})
	expect[*MemberLeft](ann)
	ann.send(&Signal{To: bob.id(), Data: []byte("3")})
	ann.send(&ICE{})
	expect[*ICEServers](ann) // so the signal is in bob's inbox

	back := s.resume(bob)
	if back.id() != bob.id() || back.self.Self.Name != "Bob" || back.self.Resume != bob.self.Resume {
		t.Errorf("resumed as %+v, was %+v", back.self, bob.self)
	}
	// The room as it was when the connection was lost, then what happened since, in order.
	if want := []string{ann.id(), cid.id()}; !slices.Equal(ids(back.self.Members), want) {
		t.Errorf("bob sees %v, want %v", ids(back.self.Members), want)
	}
	first, joined, second, left, third := expect[*SignalFrom](back), expect[*MemberJoined](back), expect[*BroadcastFrom](back),
		expect[*MemberLeft](back), expect[*SignalFrom](back)
	if string(first.Data) != "1" || joined.Member.ID != dan.id() || string(second.Data) != "2" || left.Member != cid.id() || string(third.Data) != "3" {
		t.Errorf("%s, %+v, %s, %+v, %s", first.Data, joined, second.Data, left, third.Data)
	}
	if book.minted[bob.id()] != 2 {
		t.Errorf("%d credentials for bob, want a fresh one with the resumed seat", book.minted[bob.id()])
	}
	back.send(&Broadcast{Data: []byte("4")})
	if m := expect[*BroadcastFrom](ann); m.From != bob.id() { // and no member-left before it
		t.Errorf("%+v", m)
	}
	book.waitReleased(1)
	if book.released[bob.id()] != 0 {
		t.Error("bob was released")
	}
}

func TestSeatExpires(t *testing.T) {
	book := newLedger(t)
	s := newServer(t, Options{ICE: book, Releaser: book, Resume: time.Millisecond})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	ann.cut()
	if m := expect[*MemberLeft](bob); m.Member != ann.id() || m.Reason != ReasonTimeout {
		t.Errorf("%+v", m)
	}
	if m := expect[*MemberUpdated](bob).Member; m.ID != bob.id() || m.Role != RoleModerator {
		t.Errorf("%+v", m)
	}
	book.waitReleased(1)
	again := s.resume(ann)
	if again.id() == ann.id() || again.self.Self.Name != "x" {
		t.Errorf("resumed after the seat expired: %+v", again.self)
	}
}

func TestNoResume(t *testing.T) {
	s := newServer(t, Options{Resume: -1})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	bob.cut()
	expect[*MemberJoined](ann)
	if m := expect[*MemberLeft](ann); m.Reason != ReasonTimeout {
		t.Errorf("%+v", m)
	}
}

func TestResumeNeedsRoomAndToken(t *testing.T) {
	s := newServer(t, Options{Resume: time.Minute})
	ann := s.join("r", "Ann")
	for _, j := range []*Join{
		{Room: "other", Name: "x", Resume: ann.self.Resume},
		{Room: "r", Name: "x", Resume: ann.id()},
		{Room: "r", Name: "x", Resume: "nonsense"},
		{Room: "r", Name: "x"},
	} {
		if p := s.dial().join(j); p.id() == ann.id() {
			t.Errorf("%+v took the seat", j)
		}
	}
}

func TestSeatCountsInFullRoom(t *testing.T) {
	s := newServer(t, Options{Resume: time.Minute, MaxMembers: 1})
	ann := s.join("r", "Ann")
	ann.cut()
	s.waitAway(ann)
	p := s.dial()
	p.send(&Join{Room: "r", Name: "n"})
	p.expectError(CodeRoomFull, "join")
	if back := s.resume(ann); back.id() != ann.id() {
		t.Error("not resumed")
	}
}

func TestResumeReplacesConnection(t *testing.T) {
	s := newServer(t, Options{Resume: time.Minute})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	expect[*MemberJoined](ann)
	back := s.resume(bob)
	if back.id() != bob.id() {
		t.Fatal("not resumed")
	}
	bob.expectClose(CloseReplaced)
	ann.send(&Signal{To: bob.id(), Data: []byte("1")})
	expect[*SignalFrom](back)
	s.waitConns(2)
	back.send(&Broadcast{Data: []byte("1")})
	expect[*BroadcastFrom](ann) // and no member-left before it
}

// TestResumeRace resumes a seat again and again while the old connection still reads and a sender goes on: both
// connections together must get every message once and in order.
func TestResumeRace(t *testing.T) {
	const messages, rounds = 2000, 20
	s := newServer(t, Options{Resume: time.Minute, MessagesPerSecond: -1, Queue: messages})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	expect[*MemberJoined](ann)
	seen := make(chan int, messages)
	var readers sync.WaitGroup
	read := func(p *peer, before <-chan struct{}) <-chan struct{} {
		done := make(chan struct{})
		readers.Go(func() {
			defer close(done)
			for {
				m, err := p.read()
				if err != nil {
					<-before // a connection that got nothing does not jump the queue
					return
				}
				var n int
				if err := json.Unmarshal(m.(*SignalFrom).Data, &n); err != nil {
					t.Error(err)
				}
				<-before // what the old connection got comes first
				seen <- n
			}
		})
		return done
	}
	start := make(chan struct{})
	close(start)
	last := read(bob, start)
	readers.Go(func() {
		for i := range messages {
			ann.send(&Signal{To: bob.id(), Data: fmt.Appendf(nil, "%d", i)})
		}
	})
	p := bob
	for range rounds {
		p = s.resume(bob)
		if p.id() != bob.id() {
			t.Fatal("not resumed")
		}
		last = read(p, last)
	}
	for want := range messages {
		select {
		case got := <-seen:
			if got != want {
				t.Fatalf("got message %d, want %d", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("message %d is missing", want)
		}
	}
	p.cut()
	readers.Wait()
}

// TestResumeStampede lets many connections take one seat at once: one wins, the others are told that they lost.
func TestResumeStampede(t *testing.T) {
	s := newServer(t, Options{Resume: time.Minute})
	ann := s.join("r", "Ann")
	results := make(chan int, 10)
	var peers sync.WaitGroup
	for range cap(results) {
		p := s.dial()
		peers.Go(func() {
			p.send(&Join{Room: "r", Name: "x", Resume: ann.self.Resume})
			for {
				m, err := p.read()
				if err != nil {
					results <- int(websocket.CloseStatus(err))
					return
				}
				if j, ok := m.(*Joined); ok && j.Self.ID != ann.id() {
					t.Errorf("got another seat: %+v", j)
				}
			}
		})
	}
	for range cap(results) - 1 {
		if got := <-results; got != int(CloseReplaced) {
			t.Errorf("closed with %d", got)
		}
	}
	s.hub.Kick("r", ann.id(), "")
	if got := <-results; got != int(CloseKicked) {
		t.Errorf("the winner was closed with %d", got)
	}
	peers.Wait()
}

// TestTooSlow has one member that reads nothing. The others must not notice until it is closed.
func TestTooSlow(t *testing.T) {
	t.Parallel()
	book := newLedger(t)
	s := newServer(t, Options{MessagesPerSecond: -1, Releaser: book, Resume: time.Minute})
	ann, bob, slow := s.join("r", "Ann"), s.join("r", "Bob"), s.joinRaw("r")
	expect[*MemberJoined](ann)
	expect[*MemberJoined](ann)
	expect[*MemberJoined](bob)
	if err := slow.conn.(*net.TCPConn).SetReadBuffer(256 << 10); err != nil { // the network takes less
		t.Fatal(err)
	}
	data := []byte(`"` + strings.Repeat("x", 60_000) + `"`)
	for sent := 0; ; sent++ {
		if sent == 1000 {
			t.Fatal("60 MB did not fill the queue")
		}
		ann.send(&Broadcast{Data: data})
		expect[*BroadcastFrom](bob)
		if s.inboxFull(slow.self) {
			break
		}
	}
	// It reads on: it gets what the network had, then the close code.
	if code := slow.closeCode(); code != CloseTooSlow {
		t.Errorf("closed with %d", code)
	}
	if m := expect[*MemberLeft](bob); m.Member != slow.self.Self.ID || m.Reason != ReasonTooSlow {
		t.Errorf("%+v", m)
	}
	book.waitReleased(1)
}

func (s *server) inboxFull(who Joined) bool {
	r := s.hub.find(who.Room.ID)
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.byIDLocked(who.Self.ID)
	return m == nil || m.inbox.isFull()
}

// TestStuckWrite has a member that never reads again: the write timeout ends it.
func TestStuckWrite(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{MessagesPerSecond: -1, WriteTimeout: 500 * time.Millisecond, Queue: 4, Resume: 2 * time.Second})
	ann, stuck := s.join("r", "Ann"), s.join("r", "stuck")
	expect[*MemberJoined](ann)
	data := []byte(`"` + strings.Repeat("x", 60_000) + `"`)
	for sent := 0; !s.inboxFull(stuck.self); sent++ {
		if sent == 10_000 {
			t.Fatal("600 MB did not fill the queue")
		}
		ann.send(&Broadcast{Data: data})
	}
	if m := expect[*MemberLeft](ann); m.Member != stuck.id() || m.Reason != ReasonTooSlow {
		t.Errorf("%+v", m)
	}
}

func TestTooSlowWhileAway(t *testing.T) {
	const queue = 8 // Ann may be told of a few things before the server has noted that the first was written
	s := newServer(t, Options{Queue: queue, Resume: time.Minute})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	expect[*MemberJoined](ann)
	bob.cut()
	s.waitAway(bob)
	for range queue + 1 {
		ann.send(&Signal{To: bob.id(), Data: []byte("1")})
	}
	ann.send(&ICE{})
	expect[*ICEServers](ann)
	again := s.resume(bob)
	if again.id() == bob.id() {
		t.Error("bob got a seat back that had missed messages")
	}
	if m := expect[*MemberLeft](ann); m.Member != bob.id() || m.Reason != ReasonTooSlow {
		t.Errorf("%+v", m)
	}
	expect[*MemberJoined](ann)
}

// TestHalfOpen has a peer whose machine is gone without a word: the missing pong tells.
func TestHalfOpen(t *testing.T) {
	s := newServer(t, Options{PingInterval: time.Millisecond, PongTimeout: 20 * time.Millisecond, Resume: time.Millisecond})
	s.join("r", "silent") // answers pings only while it reads
	s.wait("the silent member to be gone", func() bool { return len(s.hub.Rooms()) == 0 })
}

// TestPing has a peer that only reads: its library answers the pings, so it stays.
func TestPing(t *testing.T) {
	s := newServer(t, Options{PingInterval: time.Nanosecond, Resume: -1, MessagesPerSecond: -1})
	pings := make(chan struct{}, 1000)
	p := s.dialWith(&websocket.DialOptions{
		Subprotocols: []string{Subprotocol},
		OnPingReceived: func(_ context.Context, _ []byte) bool {
			select {
			case pings <- struct{}{}:
			default:
			}
			return true
		},
	})
	p.join(&Join{Room: "r", Name: "n"})
	closed := make(chan []ServerMessage, 1)
	go func() { closed <- p.expectClose(CloseKicked) }()
	for range 200 {
		<-pings
	}
	s.hub.Kick("r", p.id(), "")
	if before := <-closed; len(before) != 1 {
		t.Errorf("%+v", before)
	}
}

// scene is a room in which everything happens that a member, Bob, can hear of.
type scene struct {
	s             *server
	ann, bob, cid *peer
}

func newScene(s *server, room string) *scene {
	sc := &scene{s: s, ann: s.join(room, "Ann"), bob: s.join(room, "Bob")}
	expect[*MemberJoined](sc.ann)
	return sc
}

// act is something that Bob hears of in so many messages.
type act struct {
	name     string
	messages int
	own      bool // of Bob, who must be there
	do       func(*scene)
}

var acts = []act{
	{"signal", 1, false, func(sc *scene) { sc.ann.send(&Signal{To: sc.bob.id(), Data: []byte(`{"n":1}`)}) }},
	{"broadcast", 1, false, func(sc *scene) { sc.ann.send(&Broadcast{Data: []byte("2")}) }},
	{"state of another", 1, false, func(sc *scene) { sc.ann.send(&Update{State: []byte(`{"muted":true}`)}) }},
	{"one comes", 1, false, func(sc *scene) { sc.cid = sc.s.join(sc.ann.self.Room.ID, "Cid") }},
	{"the application", 1, false, func(sc *scene) {
		if err := sc.s.hub.Send(sc.ann.self.Room.ID, sc.bob.id(), []byte("3")); err != nil {
			sc.s.t.Error(err)
		}
	}},
	{"limit", 1, false, func(sc *scene) { sc.ann.send(&Limit{MaxMembers: 7}) }},
	{"credential", 1, true, func(sc *scene) { sc.bob.send(&ICE{}) }},
	{"mistake", 1, true, func(sc *scene) { sc.bob.send(&Signal{To: "nobody", Data: []byte("4")}) }},
	{"another's state and going", 2, false, func(sc *scene) {
		sc.cid.send(&Update{State: []byte(`{"hand":"up"}`)})
		leave(sc.cid)
	}},
	{"own state", 1, true, func(sc *scene) { sc.bob.send(&Update{State: []byte(`{"own":1}`)}) }},
	{"one comes and is kicked", 2, false, func(sc *scene) {
		dan := sc.s.join(sc.ann.self.Room.ID, "Dan")
		sc.ann.send(&Kick{Member: dan.id()})
		dan.expectClose(CloseKicked)
	}},
	{"one comes to stay", 1, false, func(sc *scene) { sc.cid = sc.s.join(sc.ann.self.Room.ID, "Cid") }},
	{"waiting room", 1, false, func(sc *scene) { sc.ann.send(&Lock{Locked: true, Knock: true}) }},
	{"the moderator goes", 2, false, func(sc *scene) { leave(sc.ann) }},
	{"knock", 1, false, func(sc *scene) {
		dan := sc.s.ask(sc.bob.self.Room.ID, "Dan")
		expect[*Waiting](dan)
	}},
}

// roster is what a client knows of the other members that were told of them at first, and of all messages since.
func roster(t *testing.T, members []Member, messages []string) []Member {
	t.Helper()
	members = slices.Clone(members)
	for _, raw := range messages {
		m, err := DecodeServer([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *MemberJoined:
			members = append(members, m.Member)
		case *MemberUpdated:
			if i := slices.IndexFunc(members, func(o Member) bool { return o.ID == m.Member.ID }); i >= 0 {
				members[i] = m.Member
			}
		case *MemberLeft:
			members = slices.DeleteFunc(members, func(o Member) bool { return o.ID == m.Member })
		}
	}
	return members
}

func (p *peer) readText(n int) []string {
	p.t.Helper()
	var texts []string
	for range n {
		raw, err := p.readRaw()
		if err != nil {
			p.t.Fatal(err)
		}
		texts = append(texts, string(raw))
	}
	return texts
}

// TestReplay takes a seat back as of every message of all kinds: what follows must be what a client got that was never cut, byte by byte.
func TestReplay(t *testing.T) {
	book := newLedger(t)
	s := newServer(t, Options{ICE: book, Releaser: book, Resume: time.Minute, PingInterval: time.Hour})
	sc := newScene(s, "r")
	first := sc.bob.self
	var heard []string
	for _, a := range acts {
		a.do(sc)
		heard = append(heard, sc.bob.readText(a.messages)...)
	}
	last := sc.bob
	for k := range len(heard) + 1 {
		last.cut()
		last = s.resumeFrom(sc.bob, uint64(k))
		now := last.self
		if !now.Resumed || now.Self.ID != first.Self.ID || now.Resume != first.Resume || now.Self.Role != RoleModerator || string(now.Self.State) != `{"own":1}` ||
			!now.Room.Knock || now.Received != 3 || len(now.ICEServers) != 1 {
			t.Fatalf("after %d of %d: %+v", k, len(heard), now)
		}
		if want := roster(t, first.Members, heard[:k]); !reflect.DeepEqual(append([]Member{}, now.Members...), append([]Member{}, want...)) {
			t.Errorf("after %d messages the members are %+v, want %+v", k, now.Members, want)
		}
		if got := last.readText(len(heard) - k); !slices.Equal(got, heard[k:]) {
			t.Errorf("after %d messages came %q,\nwant %q", k, got, heard[k:])
		}
	}
	last.send(&Broadcast{Data: []byte("1")})
	last.send(&ICE{}) // nothing else has come
	expect[*ICEServers](last)
}

// TestReplayOfWhatHappensMeanwhile cuts the connection after every message: what was not read and what happened then follow.
func TestReplayOfWhatHappensMeanwhile(t *testing.T) {
	var others []act
	for _, a := range acts {
		if !a.own {
			others = append(others, a)
		}
	}
	s := newServer(t, Options{Resume: time.Minute})
	for cut := range len(others) + 1 {
		for unread := range 2 {
			sc := newScene(s, fmt.Sprintf("room-%d-%d", cut, unread))
			first := sc.bob.self.Members
			var heard []string
			after := func(done []act) {
				for _, a := range done {
					a.do(sc)
				}
			}
			for _, a := range others[:cut] {
				a.do(sc)
				heard = append(heard, sc.bob.readText(a.messages)...)
			}
			heard = heard[:max(0, len(heard)-unread)]
			sc.bob.cut()
			s.waitAway(sc.bob)
			after(others[cut:])
			total := 0
			for _, a := range others {
				total += a.messages
			}
			back := s.resumeFrom(sc.bob, uint64(len(heard)))
			if !back.self.Resumed {
				t.Fatal("not resumed")
			}
			if want := roster(t, first, heard); !slices.Equal(ids(back.self.Members), ids(want)) {
				t.Errorf("cut after %d: members %v, want %v", len(heard), ids(back.self.Members), ids(want))
			}
			rest := back.readText(total - len(heard))
			now, _ := s.hub.Room(sc.bob.self.Room.ID)
			var want []string
			for _, m := range now.Members {
				if m.ID != sc.bob.id() {
					want = append(want, m.ID)
				}
			}
			if got := ids(roster(t, back.self.Members, rest)); !slices.Equal(got, want) {
				t.Errorf("cut after %d: ends with members %v, the room has %v", len(heard), got, want)
			}
			quiet(back)
		}
	}
}

// TestJoinedIsLost has the answer to a resume not arrive: the next one must not miss what was written behind it.
func TestJoinedIsLost(t *testing.T) {
	s := newServer(t, Options{Resume: time.Minute})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	for i := range 5 {
		ann.send(&Signal{To: bob.id(), Data: fmt.Appendf(nil, "%d", i)})
	}
	for range 2 {
		expect[*SignalFrom](bob)
	}
	bob.cut()
	two := uint64(2)
	for range 3 {
		lost := s.dial()
		lost.send(&Join{Room: "r", Name: "x", Resume: bob.self.Resume, Received: &two})
		s.wait("the seat to be taken", func() bool {
			info, _ := s.hub.Room("r")
			return info.Members[1].Connected
		})
		lost.cut()
		s.waitAway(bob)
	}
	back := s.resumeFrom(bob, 2)
	for i := 2; i < 5; i++ {
		if got := expect[*SignalFrom](back); string(got.Data) != fmt.Sprint(i) {
			t.Errorf("got %s, want %d", got.Data, i)
		}
	}
	quiet(back)
}

// TestReceivedIsNotThere resumes with numbers that the server cannot go on from: the seat is given up, and the client comes as somebody new.
func TestReceivedIsNotThere(t *testing.T) {
	const queue, messages = 8, 40
	for _, connected := range []bool{false, true} {
		for name, received := range map[string]uint64{
			"one too many": messages + 1, "many too many": messages + 1000, "the largest number": 1<<64 - 1, "older than the buffer": 0, "a little older": messages - queue - 1,
		} {
			t.Run(fmt.Sprintf("%s, connected %v", name, connected), func(t *testing.T) {
				book := newLedger(t)
				s := newServer(t, Options{ICE: book, Releaser: book, Resume: time.Minute, Queue: queue, PingInterval: time.Hour})
				ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
				expect[*MemberJoined](ann)
				for i := range messages {
					ann.send(&Signal{To: bob.id(), Data: fmt.Appendf(nil, "%d", i)})
					expect[*SignalFrom](bob)
				}
				if !connected {
					bob.cut()
					s.waitAway(bob)
				}
				back := s.resumeFrom(bob, received)
				if back.self.Resumed || back.id() == bob.id() || back.self.Resume == bob.self.Resume || back.self.Received != 0 || back.self.Self.Name != "x" {
					t.Errorf("back as %+v", back.self)
				}
				ann.hear(&MemberLeft{Member: bob.id(), Reason: ReasonTooSlow}, &MemberJoined{Member: back.self.Self})
				book.waitReleased(1)
				if connected {
					bob.expectClose(CloseReplaced)
				}
				if again := s.resumeFrom(bob, 0); again.self.Resumed {
					t.Error("the seat that was given up is still there")
				}
			})
		}
	}
}

// TestWhatIsKeptIsBounded has a member read all that comes, for long: no more than the queue is kept.
func TestWhatIsKeptIsBounded(t *testing.T) {
	const queue, queueBytes = 16, 2000
	s := newServer(t, Options{Queue: queue, QueueBytes: queueBytes, PingInterval: time.Hour, MessagesPerSecond: -1})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	box := s.inbox(bob)
	for i := range 500 {
		ann.send(&Signal{To: bob.id(), Data: []byte(`"` + strings.Repeat("x", i%400) + `"`)})
		expect[*SignalFrom](bob)
		box.mu.Lock()
		if len(box.items) > queue || box.bytes > queueBytes || box.bytes < 0 || box.full {
			t.Fatalf("after %d messages: %d of them and %d bytes are kept, full %v", i, len(box.items), box.bytes, box.full)
		}
		box.mu.Unlock()
	}
}

func (s *server) inbox(p *peer) *inbox {
	s.t.Helper()
	r := s.hub.find(p.self.Room.ID)
	r.mu.Lock()
	defer r.mu.Unlock()
	return &r.byIDLocked(p.id()).inbox
}

// kept is how many messages an inbox holds.
func (b *inbox) kept() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.items)
}

// TestPingsConfirm has a client that answers pings: what it got before need not be kept.
func TestPingsConfirm(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts Options
		kept int // at most, of 4 messages
	}{
		{"every now and then", Options{PingInterval: time.Millisecond}, 0},
		{"when half is full", Options{PingInterval: time.Hour, Queue: 8}, 3}, // one ping at least
		{"when half of the bytes are", Options{PingInterval: time.Hour, QueueBytes: 800}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.opts.Resume = time.Minute
			s := newServer(t, tt.opts)
			ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
			expect[*MemberJoined](ann)
			box := s.inbox(bob)
			for _, resumed := range []bool{false, true} {
				if resumed { // with a backlog that asks for a ping at once
					bob.cut()
					s.waitAway(bob)
				}
				for range 4 {
					ann.send(&Signal{To: bob.id(), Data: []byte(`"` + strings.Repeat("x", 100) + `"`)})
				}
				quiet(ann)
				if resumed {
					bob = s.resume(bob)
				}
				done := make(chan struct{})
				reader := bob
				go func() {
					defer close(done)
					for {
						if _, err := reader.readRaw(); err != nil {
							return
						}
					}
				}()
				s.wait("the messages to be confirmed", func() bool { return box.kept() <= tt.kept })
				bob.cut()
				<-done
				s.waitAway(bob)
				bob = s.resume(bob)
				if !bob.self.Resumed {
					t.Fatal("not resumed")
				}
			}
		})
	}
}

// TestInboxKeepsItsPromise does at random what writers, clients and pings do to an inbox, and compares with all that was ever pushed.
func TestInboxKeepsItsPromise(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		maxItems, maxBytes := 1+r.IntN(12), 40+r.IntN(100)
		b := newInbox(maxItems, maxBytes)
		var all []string // message n is all[n-1]
		written, low := 0, 0
		for range 300 {
			switch r.IntN(6) {
			case 0, 1:
				msg := fmt.Sprintf("%d %s", len(all)+1, strings.Repeat("x", r.IntN(20)))
				if b.push([]byte(msg), false) {
					all = append(all, msg)
				}
			case 2, 3:
				frames, n, _ := b.next(nil)
				if waiting := len(all) - written; n > waiting || n == 0 && waiting > 0 {
					t.Fatalf("seed %d: next has %d messages of %d", seed, n, waiting)
				}
				var want []byte
				for _, msg := range all[written : written+n] {
					want = appendFrame(want, []byte(msg))
				}
				if !bytes.Equal(frames, want) {
					t.Fatalf("seed %d: next is %q after %d of %d", seed, frames, written, len(all))
				}
				b.wrote(n)
				written += n
			case 4:
				n := low + r.IntN(written-low+1)
				b.confirm(uint64(n))
				low = max(low, n)
			case 5:
				n := low + r.IntN(written-low+1)
				received := uint64(n)
				first := int(b.first)
				if ok := b.resume(&received); ok != (n >= first-1) {
					t.Fatalf("seed %d: resume after %d is %v, the first of %d is %d", seed, n, ok, written, first)
				} else if ok {
					low, written = n, n
				}
			}
			if b.full {
				break
			}
			if len(b.items) > maxItems || b.bytes > maxBytes || int(b.sent()) != written {
				t.Fatalf("seed %d: %d items, %d bytes, sent %d, want %d", seed, len(b.items), b.bytes, b.sent(), written)
			}
		}
		if tooMany := b.resume(ptr(uint64(len(all) + 1))); tooMany {
			t.Fatalf("seed %d: resumed after a message that there was not", seed)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// counter is a client that counts, as docs/protocol.md tells it to: it may lose any connection at any time.
type counter struct {
	s    *server
	room string
	to   string // who gets its signals

	mu       sync.Mutex
	out, in  *peer // where it sends, and what it listens to
	resume   string
	received uint64
	sent     []string // all of them: this one keeps everything
	wrong    []string
}

// say sends the next number.
func (c *counter) say() {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := fmt.Sprintf(`{"type":"signal","to":%q,"data":%d}`, c.to, len(c.sent)+1)
	c.sent = append(c.sent, text)
	c.write(text)
}

// write writes to a connection that may have ended.
func (c *counter) write(text string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = c.out.ws.Write(ctx, websocket.MessageText, []byte(text))
}

// renew takes the seat back on a new connection while the old one goes on, or not.
func (c *counter) renew(cut bool) *peer {
	p := c.s.dial()
	c.mu.Lock()
	if cut {
		c.out.cut()
	}
	join := &Join{Room: c.room, Name: "n", Resume: c.resume, Received: ptr(c.received)}
	c.in = p // what the old one brings from now on does not count
	c.mu.Unlock()
	p.send(join)
	joined, err := p.read()
	c.mu.Lock() // until now it went on to send on the old one
	defer c.mu.Unlock()
	c.out = p
	j, ok := joined.(*Joined)
	if err != nil || !ok || !j.Resumed || j.Received > uint64(len(c.sent)) {
		c.wrong = append(c.wrong, fmt.Sprintf("resumed with %+v, %v", joined, err))
		return p
	}
	for _, text := range c.sent[j.Received:] {
		c.write(text)
	}
	return p
}

// listen counts what comes on a connection as long as it is the newest.
func (c *counter) listen(p *peer) {
	for {
		m, err := p.read()
		if err != nil {
			return
		}
		c.mu.Lock()
		if c.in != p {
			c.mu.Unlock()
			return
		}
		c.received++
		if got, ok := m.(*SignalFrom); !ok || string(got.Data) != fmt.Sprint(c.received) {
			c.wrong = append(c.wrong, fmt.Sprintf("message %d is %+v", c.received, m))
		}
		c.mu.Unlock()
	}
}

// TestResumeBothWays resumes again and again, with the old connection still open or not, while numbers go both ways: all must arrive, in order
// and once.
func TestResumeBothWays(t *testing.T) {
	const messages, rounds = 1500, 25
	s := newServer(t, Options{Resume: time.Minute, MessagesPerSecond: -1, Queue: 2 * messages, PingInterval: 2 * time.Millisecond})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	expect[*MemberJoined](ann)
	c := &counter{s: s, room: "r", to: ann.id(), out: bob, in: bob, resume: bob.self.Resume}
	var all sync.WaitGroup
	all.Go(func() {
		for i := range messages {
			ann.send(&Signal{To: bob.id(), Data: fmt.Appendf(nil, "%d", i+1)})
		}
	})
	all.Go(func() {
		for range messages {
			c.say()
		}
	})
	var listeners sync.WaitGroup
	listeners.Go(func() { c.listen(bob) })
	for round := range rounds {
		p := c.renew(round%2 == 0)
		listeners.Go(func() { c.listen(p) })
	}
	for want := 1; want <= messages; want++ {
		if got := expect[*SignalFrom](ann); string(got.Data) != fmt.Sprint(want) {
			t.Fatalf("got %s, want %d", got.Data, want)
		}
	}
	all.Wait()
	quiet(ann)
	s.wait("the last message", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.received >= messages
	})
	c.mu.Lock()
	for _, wrong := range c.wrong {
		t.Error(wrong)
	}
	last := c.in
	c.mu.Unlock()
	last.cut()
	listeners.Wait()
}

// gate is a Releaser that lets nobody go until it is opened.
type gate struct {
	closed chan struct{} // somebody is at it
	open   chan struct{}
	passed atomic.Bool
}

func (g *gate) Revoke(string, time.Time) {}

func (g *gate) Release(string) Traffic {
	close(g.closed)
	<-g.open
	g.passed.Store(true)
	return Traffic{}
}

// TestResumeWaitsForTheOldConnection resumes while the old connection handles a message: it must be done before the new one begins.
func TestResumeWaitsForTheOldConnection(t *testing.T) {
	g := &gate{closed: make(chan struct{}), open: make(chan struct{})}
	s := newServer(t, Options{Releaser: g, Resume: time.Minute})
	old := s.dialRaw()
	old.send(&Join{Room: "r", Name: "Ann"})
	joined := old.read().(*Joined)
	bob := s.join("r", "Bob")
	old.send(&Kick{Member: bob.id()})
	<-g.closed
	renewed := s.dial()
	renewed.send(&Join{Room: "r", Name: "n", Resume: joined.Resume, Received: new(uint64)})
	answered := make(chan *Joined, 1)
	go func() {
		m, _ := renewed.read()
		j, _ := m.(*Joined)
		if !g.passed.Load() {
			t.Error("joined while the old connection was still at work")
		}
		answered <- j
	}()
	if code := old.closeCode(); code != CloseReplaced {
		t.Errorf("closed with %d", code)
	}
	old.closeCode() // it does not answer, and is cut off after a moment
	close(g.open)
	if j := <-answered; j == nil || !j.Resumed || j.Received != 1 {
		t.Errorf("resumed with %+v", j)
	}
	renewed.hear(&MemberJoined{Member: bob.self.Self}, &MemberLeft{Member: bob.id(), Reason: ReasonKicked})
	g.closed = make(chan struct{}) // for those who go as the server stops
}

// TestInboxHasOneWriter: whoever is told that there is no more has seen everything that was pushed, and somebody else begins to write what comes
// after that.
func TestInboxHasOneWriter(t *testing.T) {
	const pushers, each = 4, 500
	w := &onlyWriter{inbox: newInbox(pushers*each, 1<<20)}
	w.inbox.writer = w
	var pushing sync.WaitGroup
	for range pushers {
		pushing.Go(func() {
			for range each {
				w.inbox.push([]byte("x"), false)
			}
		})
	}
	pushing.Wait()
	w.writers.Wait()
	if w.written != pushers*each || w.twice.Load() || w.inbox.writing {
		t.Errorf("%d of %d messages were written, by two at once: %v, going on: %v", w.written, pushers*each, w.twice.Load(), w.inbox.writing)
	}
}

// onlyWriter writes an inbox to nowhere, and notices when it does so twice at a time.
type onlyWriter struct {
	inbox   inbox
	writers sync.WaitGroup
	busy    atomic.Bool
	twice   atomic.Bool
	written int // by one at a time
}

func (w *onlyWriter) startWriting() {
	w.writers.Go(func() {
		for more := true; more; {
			if w.busy.Swap(true) {
				w.twice.Store(true)
			}
			_, n, _ := w.inbox.next(nil)
			w.written += n
			w.busy.Store(false)
			_, more = w.inbox.wrote(n)
		}
	})
}
