package signaling

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
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
	book := newLedger(t)
	s := newServer(t, Options{MessagesPerSecond: -1, Releaser: book, Resume: time.Minute})
	ann, bob, slow := s.join("r", "Ann"), s.join("r", "Bob"), s.join("r", "slow")
	expect[*MemberJoined](ann)
	expect[*MemberJoined](ann)
	expect[*MemberJoined](bob)
	data := []byte(`"` + strings.Repeat("x", 60_000) + `"`)
	for sent := 0; ; sent++ {
		if sent == 1000 {
			t.Fatal("60 MB did not fill the queue")
		}
		ann.send(&Broadcast{Data: data})
		expect[*BroadcastFrom](bob)
		if s.inboxFull(slow) {
			break
		}
	}
	// It reads on: it gets what the network had, then the close code.
	slow.expectClose(CloseTooSlow)
	if m := expect[*MemberLeft](bob); m.Member != slow.id() || m.Reason != ReasonTooSlow {
		t.Errorf("%+v", m)
	}
	book.waitReleased(1)
}

func (s *server) inboxFull(p *peer) bool {
	s.hub.mu.Lock()
	r := s.hub.rooms[p.self.Room.ID]
	s.hub.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.byIDLocked(p.id())
	return m == nil || m.inbox.isFull()
}

// TestStuckWrite has a member that never reads again: the write timeout ends it.
func TestStuckWrite(t *testing.T) {
	s := newServer(t, Options{MessagesPerSecond: -1, WriteTimeout: 500 * time.Millisecond, Queue: 4, Resume: time.Minute})
	ann, stuck := s.join("r", "Ann"), s.join("r", "stuck")
	expect[*MemberJoined](ann)
	data := []byte(`"` + strings.Repeat("x", 60_000) + `"`)
	for sent := 0; !s.inboxFull(stuck); sent++ {
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
	s := newServer(t, Options{Queue: 2, Resume: time.Minute})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	expect[*MemberJoined](ann)
	bob.cut()
	s.waitAway(bob)
	for range 3 {
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
	s := newServer(t, Options{PingInterval: time.Millisecond, Resume: -1})
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
	for range 5 {
		<-pings
	}
	s.hub.Kick("r", p.id(), "")
	if before := <-closed; len(before) != 1 {
		t.Errorf("%+v", before)
	}
}
