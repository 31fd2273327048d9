package signaling

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/maitred/maitred/pkg/token"
)

// ask is a join that is not seated at once.
func (s *server) ask(room, name string) *peer {
	s.t.Helper()
	p := s.dial()
	p.send(&Join{Room: room, Name: name})
	return p
}

// knock connects to a waiting room, and returns the id that the moderator hears.
func (s *server) knock(moderator *peer, name string) (*peer, string) {
	s.t.Helper()
	p := s.ask(moderator.self.Room.ID, name)
	expect[*Waiting](p)
	return p, expect[*Knock](moderator).Member.ID
}

// waitingRoom has the moderator turn the room into one. It returns when the others of the room know.
func waitingRoom(moderator *peer, others ...*peer) {
	moderator.t.Helper()
	moderator.send(&Lock{Locked: true, Knock: true})
	for _, p := range append(others, moderator) {
		if got := expect[*RoomChanged](p).Room; !got.Locked || !got.Knock {
			p.t.Fatalf("room %+v", got)
		}
	}
}

// quiet checks that nothing has come to p by now: the next thing that it gets is what it asks for.
func quiet(peers ...*peer) {
	for _, p := range peers {
		p.t.Helper()
		p.send(&ICE{})
		expect[*ICEServers](p)
	}
}

func leave(p *peer) {
	p.t.Helper()
	p.send(&Leave{})
	p.expectClose(websocket.StatusNormalClosure)
}

func TestModerators(t *testing.T) {
	m := newMint(t)
	t.Run("first", func(t *testing.T) {
		s := newServer(t, Options{Tokens: m.keys})
		ann := s.dial().join(&Join{Room: "r", Name: "Ann", Token: m.token(token.Claims{Room: "r", Role: token.RoleMember})})
		bob := s.join("r", "Bob")
		if ann.self.Self.Role != RoleModerator || bob.self.Self.Role != RoleMember {
			t.Errorf("%+v, %+v", ann.self.Self, bob.self.Self)
		}
	})
	t.Run("passed on to the oldest", func(t *testing.T) {
		s := newServer(t, Options{})
		ann, bob, cid := s.join("r", "Ann"), s.join("r", "Bob"), s.join("r", "Cid")
		expect[*MemberJoined](bob)
		leave(ann)
		for _, p := range []*peer{bob, cid} {
			expect[*MemberLeft](p)
			if got := expect[*MemberUpdated](p).Member; got.ID != bob.id() || got.Role != RoleModerator {
				t.Errorf("%+v", got)
			}
		}
		bob.send(&Lock{Locked: true})
		expect[*RoomChanged](cid)
		s.ask("r", "Dan").expectError(CodeRoomLocked, "join")
	})
	t.Run("not while there is another one", func(t *testing.T) {
		s := newServer(t, Options{Tokens: m.keys})
		ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
		cid := s.dial().join(&Join{Room: "r", Name: "Cid", Token: m.token(token.Claims{Room: "r", Role: token.RoleModerator})})
		if got := cid.self.Self.Role; got != RoleModerator {
			t.Errorf("Cid is %s", got)
		}
		expect[*MemberJoined](bob)
		leave(ann)
		expect[*MemberLeft](bob)
		quiet(bob)
		leave(cid)
		expect[*MemberLeft](bob)
		if got := expect[*MemberUpdated](bob).Member; got.ID != bob.id() || got.Role != RoleModerator {
			t.Errorf("after the last one %+v", got)
		}
	})
	t.Run("tokens only", func(t *testing.T) {
		s := newServer(t, Options{Tokens: m.keys, TokensOnly: true})
		join := func(role string) *peer {
			return s.dial().join(&Join{Room: "r", Name: "n", Token: m.token(token.Claims{Room: "r", Role: role})})
		}
		first, moderator := join(token.RoleMember), join(token.RoleModerator)
		if first.self.Self.Role != RoleMember || moderator.self.Self.Role != RoleModerator {
			t.Errorf("%+v, %+v", first.self.Self, moderator.self.Self)
		}
		expect[*MemberJoined](first)
		leave(moderator)
		expect[*MemberLeft](first)
		quiet(first)
		first.send(&Lock{Locked: true})
		first.expectError(CodeNotAllowed, "lock")
	})
}

// TestModeratorsToken has a moderator's token open what a member's does not, but not a full room.
func TestModeratorsToken(t *testing.T) {
	m := newMint(t)
	for _, tt := range []struct {
		name              string
		settings          []ClientMessage
		member, moderator ServerMessage // what each gets; nil: a seat
	}{
		{"locked", []ClientMessage{&Lock{Locked: true}, &Password{Password: "p"}}, &Error{Code: CodeRoomLocked, Request: "join"}, nil},
		{"waiting room", []ClientMessage{&Lock{Locked: true, Knock: true}, &Password{Password: "p"}}, &Waiting{}, nil},
		{"full", []ClientMessage{&Limit{MaxMembers: 1}}, &Error{Code: CodeRoomFull, Request: "join"}, &Error{Code: CodeRoomFull, Request: "join"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, Options{Tokens: m.keys})
			ann := s.join("r", "Ann")
			for _, msg := range tt.settings {
				ann.send(msg)
				expect[*RoomChanged](ann)
			}
			for role, want := range map[string]ServerMessage{token.RoleMember: tt.member, token.RoleModerator: tt.moderator} {
				p := s.dial()
				p.send(&Join{Room: "r", Name: "n", Token: m.token(token.Claims{Room: "r", Role: role})})
				if got := next(p); want == nil && got.Type() != "joined" || want != nil && !same(got, want) {
					t.Errorf("a %s got %+v", role, got)
				}
			}
		})
	}
}

// TestKickedAsOneJoins closes the room at the moment at which somebody joins: it hears joined before kicked, or not at all.
func TestKickedAsOneJoins(t *testing.T) {
	book := newLedger(t)
	s := newServer(t, Options{Releaser: book, ICE: book})
	for i := range 50 {
		room := fmt.Sprintf("room-%d", i)
		p := s.dial()
		p.send(&Join{Room: room, Name: "n"})
		s.wait("the room", func() bool { return s.hub.CloseRoom(room, "no") })
		heard := p.expectClose(CloseKicked)
		if last := heard[len(heard)-1]; last.Type() != "kicked" || len(heard) > 2 {
			t.Fatalf("heard %+v", heard)
		}
	}
	book.waitReleased(50)
}

// commands are what only moderators may send.
func commands(member string) []ClientMessage {
	return []ClientMessage{
		&Kick{Member: member}, &Lock{Locked: true}, &Lock{Locked: true, Knock: true}, &Lock{}, &Admit{Member: member}, &Deny{Member: member},
		&Password{Password: "p"}, &Password{}, &Limit{MaxMembers: 1}, &Limit{},
	}
}

func TestOnlyModeratorsMay(t *testing.T) {
	s := newServer(t, Options{})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	expect[*MemberJoined](ann)
	waitingRoom(ann, bob)
	cid, id := s.knock(ann, "Cid")
	elsewhere, outside := s.join("other", "Eve"), s.dial()
	for _, m := range slices.Concat(commands(ann.id()), commands(id)) {
		for _, p := range []*peer{bob, cid, outside} {
			p.send(m)
			p.expectError(CodeNotAllowed, m.Type())
		}
		switch m.(type) {
		case *Kick, *Admit, *Deny:
			elsewhere.send(m)
			elsewhere.expectError(CodeNoSuchMember, m.Type()) // it moderates a room, but not this one
		}
	}
	quiet(ann, bob)
}

// TestDoor goes through each setting: what those in the room hear, and what one hears who comes then.
func TestDoor(t *testing.T) {
	open := Room{ID: "r", MaxMembers: 3}
	with := func(change func(*Room)) *Room {
		r := open
		change(&r)
		return &r
	}
	tests := []struct {
		name     string
		settings []ClientMessage
		told     []*Room // after each setting; nil: nothing
		code     Code    // for who comes; empty: it gets in
	}{
		{"open", []ClientMessage{&Lock{}}, []*Room{nil}, ""},
		{"locked", []ClientMessage{&Lock{Locked: true}, &Lock{Locked: true}}, []*Room{with(func(r *Room) { r.Locked = true }), nil}, CodeRoomLocked},
		{"unlocked", []ClientMessage{&Lock{Locked: true}, &Lock{}}, []*Room{with(func(r *Room) { r.Locked = true }), &open}, ""},
		{"waiting room closed", []ClientMessage{&Lock{Locked: true, Knock: true}, &Lock{Locked: true}},
			[]*Room{with(func(r *Room) { r.Locked, r.Knock = true, true }), with(func(r *Room) { r.Locked = true })}, CodeRoomLocked},
		{"password", []ClientMessage{&Password{Password: "a"}, &Password{Password: "b"}}, []*Room{with(func(r *Room) { r.Password = true }), nil}, CodeWrongPassword},
		{"password removed", []ClientMessage{&Password{Password: "a"}, &Password{}, &Password{}}, []*Room{with(func(r *Room) { r.Password = true }), &open, nil}, ""},
		{"limit", []ClientMessage{&Limit{MaxMembers: 2}}, []*Room{with(func(r *Room) { r.MaxMembers = 2 })}, CodeRoomFull},
		{"limit below what is there", []ClientMessage{&Limit{MaxMembers: 1}}, []*Room{with(func(r *Room) { r.MaxMembers = 1 })}, CodeRoomFull},
		{"limit above the server's", []ClientMessage{&Limit{MaxMembers: 1 << 30}}, []*Room{nil}, ""},
		{"limit removed", []ClientMessage{&Limit{MaxMembers: 2}, &Limit{}}, []*Room{with(func(r *Room) { r.MaxMembers = 2 }), &open}, ""},
		{"full before locked", []ClientMessage{&Limit{MaxMembers: 2}, &Lock{Locked: true}, &Password{Password: "a"}},
			[]*Room{with(func(r *Room) { r.MaxMembers = 2 }), with(func(r *Room) { r.MaxMembers, r.Locked = 2, true }),
				with(func(r *Room) { r.MaxMembers, r.Locked, r.Password = 2, true, true })}, CodeRoomFull},
		{"locked before password", []ClientMessage{&Lock{Locked: true}, &Password{Password: "a"}},
			[]*Room{with(func(r *Room) { r.Locked = true }), with(func(r *Room) { r.Locked, r.Password = true, true })}, CodeRoomLocked},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, Options{MaxMembers: 3, Resume: time.Minute})
			ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
			expect[*MemberJoined](ann)
			if bob.self.Room != open {
				t.Errorf("at first %+v", bob.self.Room)
			}
			now := open
			for i, m := range tt.settings {
				ann.send(m)
				if tt.told[i] == nil {
					quiet(ann, bob)
					continue
				}
				now = *tt.told[i]
				for _, p := range []*peer{ann, bob} {
					if got := expect[*RoomChanged](p).Room; got != now {
						t.Errorf("%s: told %+v, want %+v", m.Type(), got, now)
					}
				}
			}
			cid := s.ask("r", "Cid")
			if tt.code != "" {
				cid.expectError(tt.code, "join")
				cid.join(&Join{Room: "other", Name: "Cid"}) // the connection stays
			} else if got := expect[*Joined](cid).Room; got != now {
				t.Errorf("joined %+v, want %+v", got, now)
			}
			bob.cut()
			s.waitAway(bob)
			if back := s.resume(bob); !back.self.Resumed || back.self.Room != now { // whoever is in is not asked again
				t.Errorf("back in %+v", back.self)
			}
		})
	}
}

func TestWaitingRoom(t *testing.T) {
	book, seen := newLedger(t), newRecorder(t)
	s := newServer(t, Options{ICE: book, Releaser: book, Observer: seen})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	expect[*MemberJoined](ann)
	waitingRoom(ann, bob)

	cid := s.ask("r", " Cid ")
	expect[*Waiting](cid)
	who := expect[*Knock](ann).Member
	if who.ID == "" || who.Name != "Cid" || who.Role != RoleMember || string(who.State) != "{}" {
		t.Errorf("knock %+v", who)
	}
	// What happens meanwhile is not for who waits, and who waits is not for those who are no moderators.
	ann.send(&Signal{To: who.ID, Data: []byte("1")})
	ann.expectError(CodeNoSuchMember, "signal")
	ann.send(&Broadcast{Data: []byte("2")})
	expect[*BroadcastFrom](bob)
	ann.send(&Kick{Member: who.ID})
	ann.expectError(CodeNoSuchMember, "kick")
	if err := s.hub.Send("r", who.ID, []byte("3")); !errors.Is(err, ErrNoSuchMember) {
		t.Errorf("sent to one who waits: %v", err)
	}
	if err := s.hub.Send("r", "", []byte("4")); err != nil {
		t.Error(err)
	}
	expect[*ServerData](ann)
	expect[*ServerData](bob)
	if info, _ := s.hub.Room("r"); len(info.Members) != 2 || len(info.Waiting) != 1 || info.Waiting[0].ID != who.ID || info.Waiting[0].Name != "Cid" {
		t.Errorf("the administrator sees %+v", info)
	}
	if n := s.hub.metrics.waiting.Load(); n != 1 {
		t.Errorf("%d wait", n)
	}
	if book.mintedFor(who.ID) != 0 {
		t.Error("one who waits has a credential")
	}

	ann.send(&Admit{Member: who.ID})
	joined := expect[*Joined](cid)
	if joined.Self.ID != who.ID || joined.Resumed || joined.Received != 0 || !slices.Equal(ids(joined.Members), []string{ann.id(), bob.id()}) ||
		!joined.Room.Locked || !joined.Room.Knock || len(joined.ICEServers) != 1 {
		t.Errorf("joined %+v", joined)
	}
	for _, p := range []*peer{ann, bob} {
		if got := expect[*MemberJoined](p).Member.ID; got != who.ID {
			t.Errorf("%s has joined", got)
		}
	}
	ann.send(&Admit{Member: who.ID})
	ann.expectError(CodeNoSuchMember, "admit")
	ann.send(&Signal{To: who.ID, Data: []byte("5")})
	if got := expect[*SignalFrom](cid); string(got.Data) != "5" {
		t.Errorf("signal %+v", got)
	}
	if n := s.hub.metrics.waiting.Load(); n != 0 {
		t.Errorf("%d wait", n)
	}
	leave(cid)
	if book.releasedOf(who.ID) != 1 {
		t.Error("not released")
	}
	seen.check("room_started", "member_joined", "member_joined", "member_joined", "member_left")
}

// same tells whether a message says what it should; the text of errors is for people.
func same(got, want ServerMessage) bool {
	g, isError := got.(*Error)
	if w, ok := want.(*Error); ok && isError {
		return g.Code == w.Code && g.Request == w.Request && g.Message != ""
	}
	return bytes.Equal(mustEncode(got), mustEncode(want))
}

// hear reads as many messages as are wanted, which must be these.
func (p *peer) hear(want ...ServerMessage) {
	p.t.Helper()
	for _, w := range want {
		got, err := p.read()
		if err != nil {
			p.t.Fatalf("waiting for %s: %v", mustEncode(w), err)
		}
		if !same(got, w) {
			p.t.Fatalf("heard %s, want %s", mustEncode(got), mustEncode(w))
		}
	}
}

// TestTurnedAway has somebody at the door that does not get in, in every way: what it hears, and what the moderator hears.
func TestTurnedAway(t *testing.T) {
	const lost = websocket.StatusCode(-1)
	left := func(reason Reason) func(string) []ServerMessage {
		return func(id string) []ServerMessage { return []ServerMessage{&MemberLeft{Member: id, Reason: reason}} }
	}
	write := func(raw []byte) func(*server, *peer, *peer, string) {
		return func(_ *server, _, cid *peer, _ string) { cid.write(websocket.MessageText, raw) }
	}
	tests := []struct {
		name  string
		opts  Options
		do    func(s *server, ann, cid *peer, id string)
		last  ServerMessage // to who waited; nil: nothing
		code  websocket.StatusCode
		heard func(id string) []ServerMessage // by the moderator; nil: it is gone, too
	}{
		{"denied", Options{}, func(_ *server, ann, _ *peer, id string) { ann.send(&Deny{Member: id}) },
			&Error{Code: CodeNotAllowed, Request: "join"}, CloseKicked, left(ReasonDenied)},
		{"denied by the administrator", Options{}, func(s *server, _, _ *peer, id string) {
			if !s.hub.Kick("r", id, "no") {
				s.t.Error("not found")
			}
		}, &Error{Code: CodeNotAllowed, Request: "join"}, CloseKicked, left(ReasonDenied)},
		{"not in time", Options{KnockTimeout: time.Millisecond}, func(*server, *peer, *peer, string) {},
			&Error{Code: CodeRoomLocked, Request: "join"}, CloseKicked, left(ReasonTimeout)},
		{"leaves", Options{}, func(_ *server, _, cid *peer, _ string) { cid.send(&Leave{}) }, nil, websocket.StatusNormalClosure, left(ReasonLeft)},
		{"lost", Options{}, func(_ *server, _, cid *peer, _ string) { cid.cut() }, nil, lost, left(ReasonLeft)},
		{"no message", Options{}, write([]byte("{")), &Error{Code: CodeBadMessage}, CloseBadMessage, left(ReasonBadMessage)},
		{"too big", Options{}, write(make([]byte, maxUnjoined+1)), nil, websocket.StatusMessageTooBig, left(ReasonBadMessage)},
		{"the room ends", Options{}, func(_ *server, ann, _ *peer, _ string) { leave(ann) },
			&Error{Code: CodeRoomLocked, Request: "join"}, CloseKicked, nil},
		{"the room is closed", Options{}, func(s *server, ann, _ *peer, _ string) {
			s.hub.CloseRoom("r", "over")
			ann.expectClose(CloseKicked)
		}, &Kicked{Reason: "over"}, CloseKicked, nil},
		{"the server drains", Options{}, func(s *server, _, _ *peer, _ string) { s.hub.Drain() },
			&Error{Code: CodeServerDraining, Request: "join"}, websocket.StatusGoingAway,
			func(id string) []ServerMessage { return append([]ServerMessage{&Draining{}}, left(ReasonLeft)(id)...) }},
		{"the server stops", Options{}, func(s *server, ann, _ *peer, _ string) {
			go s.close()
			ann.expectClose(websocket.StatusGoingAway)
		}, nil, websocket.StatusGoingAway, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			book, seen := newLedger(t), newRecorder(t)
			tt.opts.ICE, tt.opts.Releaser, tt.opts.Observer, tt.opts.Resume = book, book, seen, time.Minute
			s := newServer(t, tt.opts)
			ann := s.join("r", "Ann")
			waitingRoom(ann)
			cid, id := s.knock(ann, "Cid")
			closed := make(chan []ServerMessage, 1)
			go func() {
				defer close(closed)
				if tt.code != lost {
					closed <- cid.expectClose(tt.code)
				}
			}()
			tt.do(s, ann, cid, id)
			before := <-closed
			if tt.last == nil && len(before) > 0 || tt.last != nil && (len(before) != 1 || !same(before[0], tt.last)) {
				t.Errorf("who waited heard %+v, want %+v", before, tt.last)
			}
			conns := 0
			if tt.heard != nil {
				ann.hear(tt.heard(id)...)
				conns = 1
			}
			s.waitConns(conns)
			if book.mintedFor(id) != 0 || book.releasedOf(id) != 0 {
				t.Error("one who only waited was given something, or released")
			}
			if n := s.hub.metrics.waiting.Load(); n != 0 {
				t.Errorf("%d wait", n)
			}
			for _, e := range seen.all() {
				if e.Member != nil && e.Member.ID == id {
					t.Errorf("observed %+v", e)
				}
			}
		})
	}
}

// TestRoomEndsWithItsDoor has a room come back under its name: nothing of its settings is left.
func TestRoomEndsWithItsDoor(t *testing.T) {
	s := newServer(t, Options{Releaser: newLedger(t)})
	ann := s.join("r", "Ann")
	for _, m := range []ClientMessage{&Lock{Locked: true, Knock: true}, &Password{Password: "p"}, &Limit{MaxMembers: 1}} {
		ann.send(m)
		expect[*RoomChanged](ann)
	}
	leave(ann)
	if got := s.join("r", "Bob").self; got.Room.Locked || got.Room.Knock || got.Room.Password || got.Room.MaxMembers != 16 || got.Self.Role != RoleModerator {
		t.Errorf("joined %+v", got)
	}
}

func TestOpeningTheDoor(t *testing.T) {
	s := newServer(t, Options{MaxMembers: 3})
	ann := s.join("r", "Ann")
	waitingRoom(ann)
	var peers []*peer
	var order []string
	for _, name := range []string{"1", "2", "3", "4"} {
		p, id := s.knock(ann, name)
		peers, order = append(peers, p), append(order, id)
	}
	ann.send(&Lock{})
	ann.hear(&RoomChanged{Room: Room{ID: "r", MaxMembers: 3}})
	for i, p := range peers[:2] {
		if got := expect[*MemberJoined](ann).Member.ID; got != order[i] {
			t.Errorf("%s came in, want %s", got, order[i])
		}
		if got := expect[*Joined](p); got.Self.ID != order[i] || len(got.Members) != i+1 {
			t.Errorf("joined %+v", got)
		}
	}
	ann.send(&Admit{Member: order[3]})
	ann.expectError(CodeRoomFull, "admit")
	quiet(ann)
	// Whoever still waits before an open door goes in before others, as soon as there is a seat.
	leave(peers[0])
	ann.hear(&MemberLeft{Member: order[0], Reason: ReasonLeft})
	if got := expect[*MemberJoined](ann).Member.ID; got != order[2] {
		t.Errorf("%s came in, want %s", got, order[2])
	}
	expect[*Joined](peers[2])
	late := s.ask("r", "late")
	late.expectError(CodeRoomFull, "join")
	ann.send(&Kick{Member: order[1]})
	if got := expect[*MemberLeft](ann); got.Member != order[1] {
		t.Errorf("%+v", got)
	}
	if got := expect[*MemberJoined](ann).Member.ID; got != order[3] {
		t.Errorf("%s came in, want %s", got, order[3])
	}
	expect[*Joined](peers[3])
}

func TestRaisingTheLimitLetsIn(t *testing.T) {
	s := newServer(t, Options{})
	ann := s.join("r", "Ann")
	ann.send(&Limit{MaxMembers: 2})
	expect[*RoomChanged](ann)
	waitingRoom(ann)
	bob, _ := s.knock(ann, "Bob")
	cid, _ := s.knock(ann, "Cid")
	ann.send(&Lock{})
	expect[*RoomChanged](ann)
	expect[*MemberJoined](ann)
	expect[*Joined](bob)
	ann.send(&Limit{})
	expect[*RoomChanged](ann)
	expect[*MemberJoined](ann)
	expect[*Joined](cid)
}

func TestTooManyWait(t *testing.T) {
	s := newServer(t, Options{WaitingPerRoom: 1})
	ann := s.join("r", "Ann")
	waitingRoom(ann)
	first, _ := s.knock(ann, "first")
	second := s.ask("r", "second")
	second.expectError(CodeRoomFull, "join")
	quiet(ann)
	leave(first)
	expect[*MemberLeft](ann)
	second.send(&Join{Room: "r", Name: "second"}) // on the same connection
	expect[*Waiting](second)
	expect[*Knock](ann)
}

func TestOnlyLeaveWhileWaiting(t *testing.T) {
	book := newLedger(t)
	s := newServer(t, Options{ICE: book, Releaser: book, Resume: time.Minute})
	ann := s.join("r", "Ann")
	waitingRoom(ann)
	cid, id := s.knock(ann, "Cid")
	for _, m := range append(commands(ann.id()), &Signal{To: ann.id(), Data: []byte("1")}, &Broadcast{Data: []byte("1")},
		&Update{State: []byte("{}")}, &ICE{}, &Join{Room: "r", Name: "n"}, &Join{Room: "other", Name: "n"}, &Admit{Member: id}) {
		cid.send(m)
		cid.expectError(CodeNotAllowed, m.Type())
	}
	cid.write(websocket.MessageText, []byte(`{"type":"sing"}`))
	cid.expectError(CodeBadMessage, "")
	quiet(ann)
	ann.send(&Admit{Member: id})
	if got := expect[*Joined](cid); got.Received != 0 {
		t.Errorf("%d messages count that came before the seat", got.Received)
	}
	expect[*MemberJoined](ann)
	cid.send(&Broadcast{Data: []byte("1")})
	expect[*BroadcastFrom](ann)
	// Neither do the answers that came before the seat.
	for range 2 {
		ann.send(&Signal{To: id, Data: []byte("2")})
	}
	expect[*SignalFrom](cid)
	cid.cut()
	s.waitAway(cid)
	back := s.resumeFrom(cid, cid.got)
	if !back.self.Resumed || back.self.Received != 1 || cid.got != 1 {
		t.Errorf("back after %d messages as %+v", cid.got, back.self)
	}
	expect[*SignalFrom](back)
	quiet(back)
}

// TestNewModeratorsHearWhoWaits has somebody at the door, and moderators that were not there when it came.
func TestNewModeratorsHearWhoWaits(t *testing.T) {
	m := newMint(t)
	s := newServer(t, Options{Tokens: m.keys, Resume: time.Minute})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	expect[*MemberJoined](ann)
	waitingRoom(ann, bob)
	cid, id := s.knock(ann, "Cid")
	_, second := s.knock(ann, "Dan")
	heard := func(p *peer, ids ...string) {
		t.Helper()
		for _, id := range ids {
			if got := expect[*Knock](p).Member.ID; got != id {
				t.Errorf("heard of %s, want %s", got, id)
			}
		}
		quiet(p)
	}
	t.Run("by token", func(t *testing.T) {
		eve := s.dial().join(&Join{Room: "r", Name: "Eve", Token: m.token(token.Claims{Room: "r", Role: token.RoleModerator})})
		heard(eve, id, second)
		leave(eve)
	})
	for _, p := range []*peer{ann, bob} {
		expect[*MemberJoined](p)
		expect[*MemberLeft](p)
	}
	t.Run("not one that has counted", func(t *testing.T) {
		ann.cut()
		s.waitAway(ann)
		ann = s.resumeFrom(ann, ann.got)
		heard(ann)
	})
	t.Run("one that has not counted", func(t *testing.T) {
		ann.cut()
		s.waitAway(ann)
		ann = s.resume(ann)
		heard(ann, id, second)
	})
	t.Run("passed on", func(t *testing.T) {
		leave(ann)
		expect[*MemberLeft](bob)
		expect[*MemberUpdated](bob)
		heard(bob, id, second)
		bob.send(&Admit{Member: id})
		expect[*Joined](cid)
	})
}

func TestKickByModerator(t *testing.T) {
	book, seen := newLedger(t), newRecorder(t)
	s := newServer(t, Options{ICE: book, Releaser: book, Observer: seen, Resume: time.Minute})
	ann, bob, cid := s.join("r", "Ann"), s.join("r", "Bob"), s.join("r", "Cid")
	expect[*MemberJoined](ann)
	expect[*MemberJoined](ann)
	expect[*MemberJoined](bob)
	for _, id := range []string{"nobody", ann.id()} { // not oneself: there is leave
		ann.send(&Kick{Member: id})
		ann.expectError(CodeNoSuchMember, "kick")
	}
	ann.send(&Kick{Member: bob.id(), Reason: "be nice"})
	bob.hear(&Kicked{Reason: "be nice"})
	bob.expectClose(CloseKicked)
	if book.releasedOf(bob.id()) != 1 { // no wait: it was released before it was told
		t.Error("closed before it was released")
	}
	for _, p := range []*peer{ann, cid} {
		p.hear(&MemberLeft{Member: bob.id(), Reason: ReasonKicked})
	}
	again := s.dial()
	again.send(&Join{Room: "r", Name: "Bob", Resume: bob.self.Resume})
	again.expectError(CodeNotAllowed, "join")
	again.expectClose(CloseKicked)
	// One whose connection is lost can be kicked, too; it hears of it when it comes back.
	cid.cut()
	s.waitAway(cid)
	ann.send(&Kick{Member: cid.id()})
	ann.hear(&MemberLeft{Member: cid.id(), Reason: ReasonKicked})
	again = s.dial()
	again.send(&Join{Room: "r", Name: "Cid", Resume: cid.self.Resume})
	again.expectError(CodeNotAllowed, "join")
	again.expectClose(CloseKicked)
	book.waitReleased(2)
	seen.check("room_started", "member_joined", "member_joined", "member_joined", "member_left kicked", "member_left kicked")
}

// TestKickWithoutResume has a server that keeps no seats: a kicked client that tries to resume all the same must not slip in as somebody new.
func TestKickWithoutResume(t *testing.T) {
	s := newServer(t, Options{Resume: -1})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	ann.send(&Kick{Member: bob.id()})
	bob.expectClose(CloseKicked)
	again := s.dial()
	again.send(&Join{Room: "r", Name: "Bob", Resume: bob.self.Resume})
	again.expectError(CodeNotAllowed, "join")
	again.expectClose(CloseKicked)
}

func TestModeratorKicksModerator(t *testing.T) {
	m := newMint(t)
	s := newServer(t, Options{Tokens: m.keys, TokensOnly: true})
	moderator := func() *peer {
		return s.dial().join(&Join{Room: "r", Name: "n", Token: m.token(token.Claims{Room: "r", Role: token.RoleModerator})})
	}
	ann, bob := moderator(), moderator()
	bob.send(&Kick{Member: ann.id()})
	ann.expectClose(CloseKicked)
	bob.hear(&MemberLeft{Member: ann.id(), Reason: ReasonKicked})
}

func TestPassword(t *testing.T) {
	m := newMint(t)
	s := newServer(t, Options{Tokens: m.keys, Attempts: 3, FailedPasswordsPerIP: -1, Resume: time.Minute})
	ann := s.join("r", "Ann")
	ann.send(&Password{Password: "sesame"})
	expect[*RoomChanged](ann)
	try := func(p *peer, password string) {
		t.Helper()
		p.send(&Join{Room: "r", Name: "n", Password: password})
	}
	t.Run("asked for", func(t *testing.T) {
		p := s.dial()
		for range 10 { // who shows none has not guessed
			try(p, "")
			p.expectError(CodeWrongPassword, "join")
		}
		try(p, "Sesame")
		p.expectError(CodeWrongPassword, "join")
		try(p, "sesame")
		expect[*Joined](p)
	})
	t.Run("guessed", func(t *testing.T) {
		p := s.dial()
		for i := range 3 {
			try(p, strings.Repeat("x", i+1))
			p.expectError(CodeWrongPassword, "join")
		}
		p.expectClose(CloseUnauthorized)
	})
	t.Run("token instead", func(t *testing.T) {
		s.dial().join(&Join{Room: "r", Name: "n", Token: m.token(token.Claims{Room: "r"})})
		s.dial().join(&Join{Room: "r", Name: "n", Password: "wrong", Token: m.token(token.Claims{Room: "r"})})
	})
	t.Run("where there is none", func(t *testing.T) {
		s.dial().join(&Join{Room: "other", Name: "n", Password: "anything"})
	})
	t.Run("resumed", func(t *testing.T) {
		ann.cut()
		s.waitAway(ann)
		if ann = s.resume(ann); !ann.self.Resumed {
			t.Error("not resumed")
		}
	})
	t.Run("at the waiting room", func(t *testing.T) {
		ann.send(&Lock{Locked: true, Knock: true})
		for {
			if m, ok := next(ann).(*RoomChanged); ok && m.Room.Knock {
				break
			}
		}
		p := s.dial()
		try(p, "wrong")
		p.expectError(CodeWrongPassword, "join")
		try(p, "sesame")
		expect[*Waiting](p)
	})
}

func TestFailedPasswordsPerIP(t *testing.T) {
	s := newServer(t, Options{FailedPasswordsPerIP: 2, ClientIP: headerIP})
	ann := s.dialFrom("192.0.2.1").join(&Join{Room: "r", Name: "Ann"})
	ann.send(&Password{Password: "sesame"})
	expect[*RoomChanged](ann)
	try := func(addr, password string) *peer {
		p := s.dialFrom(addr)
		p.send(&Join{Room: "r", Name: "n", Password: password})
		return p
	}
	for range 3 { // the right one uses nothing up
		expect[*Joined](try("192.0.2.2", "sesame"))
	}
	for range 2 {
		try("192.0.2.2", "wrong").expectError(CodeWrongPassword, "join")
	}
	p := try("192.0.2.2", "sesame") // right, but nobody looks any more
	p.expectError(CodeRateLimited, "join")
	p.join(&Join{Room: "other", Name: "n"})                     // the connection stays
	expect[*Joined](try("192.0.2.3", "sesame"))                 // others are not concerned
	try("192.0.2.2", "").expectError(CodeWrongPassword, "join") // still told what is missing
}

// headerIP is an Options.ClientIP for clients of many addresses.
func headerIP(r *http.Request) netip.Addr { return netip.MustParseAddr(r.Header.Get("X-Test-Address")) }

func (s *server) dialFrom(addr string) *peer {
	s.t.Helper()
	return s.dialWith(&websocket.DialOptions{Subprotocols: []string{Subprotocol}, HTTPHeader: http.Header{"X-Test-Address": {addr}}})
}

func TestCloseRoom(t *testing.T) {
	m, book, seen := newMint(t), newLedger(t), newRecorder(t)
	s := newServer(t, Options{Tokens: m.keys, ICE: book, Releaser: book, Observer: seen, Resume: time.Minute})
	raw := m.token(token.Claims{Room: "r"})
	ann, bob, away := s.join("r", "Ann"), s.dial().join(&Join{Room: "r", Name: "Bob", Token: raw}), s.join("r", "away")
	expect[*MemberJoined](ann)
	expect[*MemberJoined](ann)
	expect[*MemberJoined](bob)
	away.cut()
	s.waitAway(away)
	other := s.join("other", "Eve")
	if s.hub.CloseRoom("nowhere", "") {
		t.Error("closed a room that there is not")
	}
	if !s.hub.CloseRoom("r", "the lesson is over") {
		t.Fatal("not closed")
	}
	if _, ok := s.hub.Room("r"); ok {
		t.Error("the room is still there")
	}
	for _, p := range []*peer{ann, bob} {
		p.hear(&Kicked{Reason: "the lesson is over"})
		if before := p.expectClose(CloseKicked); len(before) != 0 {
			t.Errorf("heard %+v", before)
		}
	}
	book.waitReleased(3)
	for _, j := range []*Join{{Resume: ann.self.Resume}, {Resume: away.self.Resume}} {
		p := s.dial()
		j.Room, j.Name = "r", "n"
		p.send(j)
		p.expectError(CodeNotAllowed, "join")
		p.expectClose(CloseKicked)
	}
	p := s.dial()
	p.send(&Join{Room: "r", Name: "n", Token: raw})
	p.expectError(CodeUnauthorized, "join")
	p.expectClose(CloseUnauthorized)
	if got := s.join("r", "new").self; got.Self.Role != RoleModerator || len(got.Members) != 0 {
		t.Errorf("the next one %+v", got)
	}
	quiet(other)
	const left = "member_left room_closed"
	seen.check("room_started", "member_joined", "member_joined", "member_joined", "room_started", "member_joined", left, left, left, "room_ended",
		"room_started", "member_joined")
}

func TestSend(t *testing.T) {
	s := newServer(t, Options{Resume: time.Minute})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	expect[*MemberJoined](ann)
	other := s.join("other", "Eve")
	bob.cut()
	s.waitAway(bob)
	const data = ` {"a" : [ 1, "<\u2028>" ] } `
	if err := s.hub.Send("r", "", json.RawMessage(data)); err != nil {
		t.Fatal(err)
	}
	if err := s.hub.Send("r", bob.id(), json.RawMessage("2")); err != nil {
		t.Fatal(err)
	}
	back := s.resumeFrom(bob, 0)
	for _, p := range []*peer{ann, back} {
		if got := expect[*ServerData](p); string(got.Data) != `{"a":[1,"<\u2028>"]}` {
			t.Errorf("%s", got.Data)
		}
	}
	back.hear(&ServerData{Data: json.RawMessage("2")})
	quiet(ann, other)

	for _, tt := range []struct {
		name, room, member string
		want               error
	}{
		{"no room", "nowhere", "", ErrNoSuchRoom},
		{"no room, a member", "nowhere", bob.id(), ErrNoSuchRoom},
		{"no member", "r", "nobody", ErrNoSuchMember},
		{"member of another room", "r", other.id(), ErrNoSuchMember},
	} {
		if err := s.hub.Send(tt.room, tt.member, json.RawMessage("1")); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	for name, data := range map[string]string{
		"nothing": "", "no JSON": "{", "two values": "1 2", "invalid UTF-8": "\"\xff\"",
		"too long": `"` + strings.Repeat("x", MaxDataSize-1) + `"`,
		"too deep": strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth),
	} {
		var invalid *InvalidDataError
		if err := s.hub.Send("r", "", json.RawMessage(data)); !errors.As(err, &invalid) || invalid.Problem == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	longest := `"` + strings.Repeat("x", MaxDataSize-2) + `"`
	if err := s.hub.Send("r", ann.id(), json.RawMessage(longest+strings.Repeat(" ", 100))); err != nil {
		t.Error(err)
	}
	if got := expect[*ServerData](ann); string(got.Data) != longest {
		t.Errorf("%d bytes", len(got.Data))
	}
}

func TestRoomInfo(t *testing.T) {
	s := newServer(t, Options{Resume: time.Minute})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	expect[*MemberJoined](ann)
	for _, m := range []ClientMessage{&Lock{Locked: true, Knock: true}, &Password{Password: "sesame"}, &Limit{MaxMembers: 5}} {
		ann.send(m)
		expect[*RoomChanged](ann)
	}
	cid := s.dial()
	cid.send(&Join{Room: "r", Name: "Cid", Password: "sesame"})
	expect[*Waiting](cid)
	who := expect[*Knock](ann).Member.ID
	bob.cut()
	s.waitAway(bob)
	info, ok := s.hub.Room("r")
	if !ok {
		t.Fatal("no room")
	}
	times := []time.Time{info.Since, info.Members[0].Since, info.Members[1].Since, info.Waiting[0].Since}
	if !slices.IsSortedFunc(times, time.Time.Compare) || times[0].IsZero() || time.Since(times[0]) > patience {
		t.Errorf("since %v", times)
	}
	raw, err := json.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	text := []string{info.ID, "ROOM", ann.id(), "ANN", bob.id(), "BOB", who, "CID"}
	for _, at := range times {
		text = append(text, at.Format(time.RFC3339Nano), "T")
	}
	got := strings.NewReplacer(text...).Replace(string(raw))
	want := `{"name":"r","id":"ROOM","since":"T","locked":true,"knock":true,"password":true,"max_members":5,` +
		`"members":[{"id":"ANN","name":"Ann","role":"moderator","since":"T","connected":true},` +
		`{"id":"BOB","name":"Bob","role":"member","since":"T","connected":false}],` +
		`"waiting":[{"id":"CID","name":"Cid","role":"member","since":"T","connected":true}]}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, ok := s.hub.Room("nowhere"); ok {
		t.Error("a room that there is not")
	}
}

// TestAdmittedAsItGoes admits somebody at the moment at which it goes or its connection is lost: it gets a seat, or it leaves the door, but not both.
func TestAdmittedAsItGoes(t *testing.T) {
	const rounds = 40
	book, seen := newLedger(t), newRecorder(t)
	s := newServer(t, Options{ICE: book, Releaser: book, Observer: seen, Resume: time.Millisecond, MessagesPerSecond: -1})
	ann := s.join("r", "Ann")
	waitingRoom(ann)
	seats := 0
	for i := range rounds {
		cid, id := s.knock(ann, "Cid")
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			if i%2 == 0 {
				cid.cut()
			} else {
				cid.send(&Leave{})
				cid.expectClose(websocket.StatusNormalClosure)
			}
		}()
		ann.send(&Admit{Member: id})
		<-gone
		seated, answered := false, false
		for left := false; !left || !seated && !answered; {
			switch m := next(ann).(type) {
			case *MemberJoined:
				seated = true
			case *MemberLeft:
				left = true
				if want := map[bool]Reason{true: ReasonTimeout, false: ReasonLeft}[seated && i%2 == 0]; m.Member != id || m.Reason != want {
					t.Errorf("%+v, want %s", m, want)
				}
			case *Error:
				answered = true
				if m.Code != CodeNoSuchMember || seated {
					t.Errorf("%+v", m)
				}
			}
		}
		if seated {
			seats++
		}
	}
	t.Logf("%d of %d were admitted in time", seats, rounds)
	book.waitReleased(seats)
	s.waitConns(1)
	if n := s.hub.metrics.members.Load(); n != 1 {
		t.Errorf("%d members", n)
	}
}

// next reads one message.
func next(p *peer) ServerMessage {
	p.t.Helper()
	m, err := p.read()
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}
