package client

import (
	"encoding/json"
	"testing"
	"testing/synctest"

	"github.com/coder/websocket"

	"github.com/maitred/maitred/pkg/signaling"
)

// TestCountsWhatArrives: every message after the first joined counts, known or not, over all connections; what the server sends again
// follows without a gap and without anything twice.
func TestCountsWhatArrives(t *testing.T) {
	s := newFakeServer(t)
	ann, c := s.enter(s.listen(), Options{})
	c.send(say(1))
	c.sendRaw(`{"type":"from-the-future","data":1}`)
	c.send(&signaling.Error{Code: signaling.CodeNoSuchMember}, say(2))
	hears(t, ann, 1)
	next[*signaling.Error](t, ann)
	hears(t, ann, 2)
	c.cut()

	c = s.accept()
	c.resume("ann", 4, 0)
	c.send(say(3)) // written to the old connection, but not arrived
	if m := next[*signaling.Joined](t, ann); !m.Resumed {
		t.Errorf("%+v", m)
	}
	hears(t, ann, 3)
	c.cut()

	c = s.accept()
	c.resume("ann", 5, 0)
	next[*signaling.Joined](t, ann)
	c.cut()
	c = s.accept()
	c.cut() // before it answers
	c = s.accept()
	c.expect("join")
	c.cut() // after the join
	c = s.accept()
	c.resume("ann", 5, 0)
	next[*signaling.Joined](t, ann)
}

// TestSendsAgainWhatGotLost: after a resume what the server has not handled goes out again, in order, before what is new, and it counts once.
func TestSendsAgainWhatGotLost(t *testing.T) {
	s := newFakeServer(t)
	ann, c := s.enter(s.listen(), Options{})
	broadcast(t, ann, 1, 2, 3)
	c.gets(1, 2, 3)
	c.cut()
	c = s.accept()
	broadcast(t, ann, 4, 5) // while it is away
	c.resume("ann", 0, 1)
	c.gets(2, 3, 4, 5)
	c.cut()
	c = s.accept()
	c.resume("ann", 0, 5)
	broadcast(t, ann, 6)
	c.gets(6)
	c.cut()
	c = s.accept()
	c.resume("ann", 0, 5)
	c.gets(6)
	broadcast(t, ann, 7)
	c.gets(7)
}

// TestNewSeatStartsOver: nothing of the old seat goes out on a new one but the state, and both counts begin at 0.
func TestNewSeatStartsOver(t *testing.T) {
	s := newFakeServer(t)
	dropped := make(chan int, 1)
	lost := make(chan error, 10)
	ann, c := s.enter(s.listen(), Options{Dropped: func(n int) { dropped <- n }, Lost: func(err error) { lost <- err }})
	if err := ann.Update(t.Context(), map[string]bool{"audio": true}); err != nil {
		t.Fatal(err)
	}
	broadcast(t, ann, 1)
	c.expect("update")
	c.gets(1)
	c.send(say(1))
	hears(t, ann, 1)
	if err := c.ws.Close(websocket.StatusGoingAway, "the server stops"); err != nil {
		t.Fatal(err)
	}
	if err := <-lost; websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("lost by %v", err)
	}

	c = s.accept()
	broadcast(t, ann, 2, 3)
	if err := ann.RefreshICE(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m := c.expect("join"); m.Resume != "resume of ann" {
		t.Errorf("%s", m.raw)
	}
	c.send(&signaling.Joined{Self: signaling.Member{ID: "ann2"}, Resume: "resume of ann2"})
	if n := <-dropped; n != 2 {
		t.Errorf("dropped %d messages, want the two broadcasts", n)
	}
	if m := c.expect("update"); string(m.State) != `{"audio":true}` {
		t.Errorf("%s", m.raw)
	}
	next[*signaling.Joined](t, ann)
	if got := ann.Self().ID; got != "ann2" {
		t.Errorf("is %s", got)
	}
	broadcast(t, ann, 4)
	c.gets(4)
	c.send(say(2))
	hears(t, ann, 2)
	c.cut()
	c = s.accept()
	c.resume("ann2", 1, 1)
	c.gets(4)
}

// TestOldAndNewConnectionRace: that the seat has moved is told to a connection that the client has given up already, and to nobody else.
func TestOldAndNewConnectionRace(t *testing.T) {
	s := newFakeServer(t)
	ann, old := s.enter(s.listen(), Options{})
	ann.Reconnect()
	c := s.accept()
	c.expect("join")
	_ = old.ws.Close(signaling.CloseReplaced, "replaced") // the client may not listen any more
	c.send(&signaling.Joined{Self: signaling.Member{ID: "ann"}, Resumed: true}, say(1))
	next[*signaling.Joined](t, ann)
	hears(t, ann, 1)

	if err := c.ws.Close(signaling.CloseReplaced, "replaced"); err != nil {
		t.Fatal(err)
	}
	if err := ended(t, ann); websocket.CloseStatus(err) != signaling.CloseReplaced {
		t.Errorf("ended by %v, want 4009", err)
	}
}

// TestKeepsTheLastMessages: a connection that swallows everything costs what is older than the last 256 messages, which is told.
func TestKeepsTheLastMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		url, through := s.listenInBubble()
		dropped := make(chan int, 1)
		ann, c := s.enter(url, Options{HTTPClient: through, Dropped: func(n int) { dropped <- n }})
		broadcast(t, ann, numbers(0, maxSent+44)...)
		c.gets(numbers(0, maxSent+44)...)
		c.cut()
		c = s.accept()
		c.resume("ann", 0, 4)
		c.gets(numbers(44, maxSent)...)
		if n := <-dropped; n != 40 {
			t.Errorf("dropped %d, want 40", n)
		}
		// The count is that of the server from here on.
		c.cut()
		c = s.accept()
		c.resume("ann", 0, 4+maxSent)
		broadcast(t, ann, 1000)
		c.gets(1000)
	})
}

// TestOutboxBytes: what is kept is bounded by its size, too.
func TestOutboxBytes(t *testing.T) {
	b := newOutbox()
	big := item{raw: make([]byte, maxBytes/4), typ: "broadcast"}
	for range 4 {
		if full, err := b.tryPush(big); full != nil || err != nil {
			t.Fatal(full, err)
		}
	}
	full, err := b.tryPush(big)
	if full == nil || err != nil {
		t.Fatal("a fifth quarter fits")
	}
	b.next()
	select {
	case <-full:
	default:
		t.Error("nobody says that there is room again")
	}
	for range 3 {
		b.next()
	}
	if full, err := b.tryPush(big); full != nil || err != nil {
		t.Fatal(full, err)
	}
	b.next()
	if lost := b.resume(0); lost != 1 || len(b.wait.items) != 4 || b.wait.bytes != maxBytes || b.sent.bytes != 0 {
		t.Errorf("lost %d, %d wait with %d bytes", lost, len(b.wait.items), b.wait.bytes)
	}
}

func TestWaitsForRoom(t *testing.T) {
	s := newFakeServer(t)
	ann, c := s.enter(s.listen(), Options{})
	c.cut()
	c = s.accept()
	broadcast(t, ann, numbers(0, maxWaiting)...)
	if err := ann.signal("bob", "x"); err == nil {
		t.Error("there is room for one more")
	}
	sent := make(chan error, 1)
	go func() { sent <- ann.Broadcast(t.Context(), maxWaiting) }()
	c.resume("ann", 0, 0)
	if err := <-sent; err != nil {
		t.Error(err)
	}
	c.gets(numbers(0, 10)...)
}

// TestView: Self, Members, Knocking, Settings, Relay and ICEServers follow the messages.
func TestView(t *testing.T) {
	bob, cay := signaling.Member{ID: "bob", Name: "Bob"}, signaling.Member{ID: "cay", Name: "Cay"}
	joined := &signaling.Joined{Self: signaling.Member{ID: "ann"}, Members: []signaling.Member{bob}, Room: signaling.Room{ID: "r"}, TTL: 60}
	report := func(transports ...string) *signaling.RelayReport {
		one := signaling.MemberRelay{Member: "bob"}
		for _, t := range transports {
			one.Allocations = append(one.Allocations, signaling.RelayAllocation{Transport: t})
		}
		return &signaling.RelayReport{Members: []signaling.MemberRelay{one}}
	}
	for _, tt := range []struct {
		name     string
		messages []signaling.ServerMessage
		want     string
	}{
		{"joined", nil, "ann: bob"},
		{"one more", []signaling.ServerMessage{&signaling.MemberJoined{Member: cay}}, "ann: bob cay"},
		{"one less", []signaling.ServerMessage{&signaling.MemberJoined{Member: cay}, &signaling.MemberLeft{Member: "bob"}}, "ann: cay"},
		{"told twice", []signaling.ServerMessage{&signaling.MemberJoined{Member: bob}}, "ann: bob"},
		{"somebody knocks", []signaling.ServerMessage{&signaling.Knock{Member: cay}, &signaling.Knock{Member: cay}}, "ann: bob, knocking: cay"},
		{"somebody knocked before the connection was lost", []signaling.ServerMessage{&signaling.Knock{Member: cay}, &signaling.Joined{Self: signaling.Member{ID: "ann"}, Resumed: true}}, "ann:, knocking: cay"},
		{"and before the seat was", []signaling.ServerMessage{&signaling.Knock{Member: cay}, &signaling.Joined{Self: signaling.Member{ID: "ann"}}}, "ann:"},
		{"a knocker comes in", []signaling.ServerMessage{&signaling.Knock{Member: cay}, &signaling.MemberJoined{Member: cay}}, "ann: bob cay"},
		{"a knocker goes", []signaling.ServerMessage{&signaling.Knock{Member: cay}, &signaling.MemberLeft{Member: "cay"}}, "ann: bob"},
		{"moderator", []signaling.ServerMessage{&signaling.MemberUpdated{Member: signaling.Member{ID: "bob", Role: signaling.RoleModerator}}}, "ann: bob(moderator)"},
		{"we are moderator", []signaling.ServerMessage{&signaling.MemberUpdated{Member: signaling.Member{ID: "ann", Role: signaling.RoleModerator}}}, "ann(moderator): bob"},
		{"of nobody", []signaling.ServerMessage{&signaling.MemberUpdated{Member: cay}}, "ann: bob"},
		{"settings", []signaling.ServerMessage{&signaling.RoomChanged{Room: signaling.Room{ID: "r", Locked: true}}}, "ann: bob, locked"},
		{"relayed", []signaling.ServerMessage{report("x"), report("udp", "tls")}, "ann: bob, relayed over udp tls"},
		{"relayed as the connection was lost", []signaling.ServerMessage{report("udp"), &signaling.Joined{Self: signaling.Member{ID: "ann"}, Resumed: true}}, "ann:, relayed over udp"},
		{"and as the seat was", []signaling.ServerMessage{report("udp"), &signaling.Joined{Self: signaling.Member{ID: "ann"}}}, "ann:"},
		{"joined anew", []signaling.ServerMessage{&signaling.Joined{Self: cay}}, "cay:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r Room
			for _, m := range append([]signaling.ServerMessage{joined}, tt.messages...) {
				r.view.apply(m)
			}
			show := func(m signaling.Member) string {
				if m.Role != "" {
					return m.ID + "(" + string(m.Role) + ")"
				}
				return m.ID
			}
			got := show(r.Self()) + ":"
			for _, m := range r.Members() {
				got += " " + show(m)
			}
			for _, m := range r.Knocking() {
				got += ", knocking: " + m.ID
			}
			if r.Settings().Locked {
				got += ", locked"
			}
			for _, m := range r.Relay() {
				got += ", relayed over"
				for _, a := range m.Allocations {
					got += " " + a.Transport
				}
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		var r Room
		r.view.apply(&signaling.ICEServers{ICEServers: []signaling.ICEServer{{URLs: []string{"turn:x"}}}, TTL: 60})
		if servers, expires := r.ICEServers(); len(servers) != 1 || expires.Sub(wallClock()).Seconds() != 60 {
			t.Errorf("%v until %v", servers, expires)
		}
	})
}

// TestCommands: each method sends its message.
func TestCommands(t *testing.T) {
	s := newFakeServer(t)
	ann, c := s.enter(s.listen(), Options{})
	ctx := t.Context()
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"kick", ann.Kick(ctx, "bob", "noise"), `{"type":"kick","member":"bob","reason":"noise"}`},
		{"lock", ann.Lock(ctx, false), `{"type":"lock","locked":true}`},
		{"waiting room", ann.Lock(ctx, true), `{"type":"lock","locked":true,"knock":true}`},
		{"unlock", ann.Unlock(ctx), `{"type":"lock","locked":false}`},
		{"admit", ann.Admit(ctx, "bob"), `{"type":"admit","member":"bob"}`},
		{"deny", ann.Deny(ctx, "bob"), `{"type":"deny","member":"bob"}`},
		{"password", ann.SetPassword(ctx, "sesame"), `{"type":"password","password":"sesame"}`},
		{"no password", ann.SetPassword(ctx, ""), `{"type":"password","password":""}`},
		{"limit", ann.Limit(ctx, 4), `{"type":"limit","maxMembers":4}`},
		{"signal", ann.Signal(ctx, "bob", 1), `{"type":"signal","to":"bob","data":1}`},
		{"ice", ann.RefreshICE(ctx), `{"type":"ice"}`},
		{"relay", ann.AskRelay(ctx), `{"type":"relay"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.err != nil {
				t.Fatal(tt.err)
			}
			if m := <-c.messages; m.raw != tt.want {
				t.Errorf("%s, want %s", m.raw, tt.want)
			}
		})
	}
}

// TestRefusesWhatTheServerWould, which closes connections for it.
func TestRefusesWhatTheServerWould(t *testing.T) {
	s := newFakeServer(t)
	ann, c := s.enter(s.listen(), Options{})
	ctx := t.Context()
	long := string(make([]byte, signaling.MaxDataSize)) // longer yet as JSON
	for name, err := range map[string]error{
		"no JSON":            ann.Broadcast(ctx, func() {}),
		"signal too long":    ann.Signal(ctx, "bob", long),
		"too long":           ann.Broadcast(ctx, long),
		"state too long":     ann.Update(ctx, map[string]string{"x": long[:signaling.MaxStateSize]}),
		"state is no object": ann.Update(ctx, []int{1}),
		"state is null":      ann.Update(ctx, nil),
		"raw is no JSON":     ann.Signal(ctx, "bob", json.RawMessage("{")),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	broadcast(t, ann, 1)
	c.gets(1) // and nothing before it
}
