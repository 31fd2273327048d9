package client

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/maitred/maitred/pkg/signaling"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

func newHub(t *testing.T, opts signaling.Options) (*signaling.Hub, string) {
	hub := signaling.New(opts)
	server := httptest.NewServer(hub)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := hub.Close(ctx); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return hub, server.URL
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func quick(int) time.Duration { return time.Millisecond }

func join(t *testing.T, url, name string) *Room {
	t.Helper()
	r, err := Join(testContext(t), url, "r", name, &Options{Backoff: quick})
	if err != nil {
		t.Fatal(err)
	}
	leaveAtEnd(t, r)
	return r
}

// next is the next event, which must be a T.
func next[T signaling.ServerMessage](t *testing.T, r *Room) T {
	t.Helper()
	ev := nextAny(t, r)
	m, ok := ev.(T)
	if !ok {
		t.Fatalf("got %T %+v, want %T", ev, ev, *new(T))
	}
	return m
}

func nextAny(t *testing.T, r *Room) signaling.ServerMessage {
	t.Helper()
	select {
	case ev, ok := <-r.Events():
		if !ok {
			t.Fatalf("the events ended: %v", r.Err())
		}
		return ev
	case <-time.After(patience):
		t.Fatal("no event in time")
	}
	panic("unreachable")
}

// ended drains the events and returns why they ended.
func ended(t *testing.T, r *Room) error {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case _, ok := <-r.Events():
			if !ok {
				return r.Err()
			}
		case <-deadline:
			t.Fatal("the events did not end")
		}
	}
}

// cut breaks the connection as a lost network does.
func (r *Room) cut() {
	r.mu.Lock()
	l := r.link
	r.mu.Unlock()
	if l != nil {
		_ = l.conn.CloseNow()
	}
}

func TestTalk(t *testing.T) {
	_, url := newHub(t, signaling.Options{})
	ctx := testContext(t)
	ann := join(t, url, "Ann")
	if j := next[*signaling.Joined](t, ann); j.Self.ID != ann.Self().ID || j.Self.Name != "Ann" {
		t.Errorf("%+v", j)
	}
	bob := join(t, url, "Bob")
	next[*signaling.Joined](t, bob)
	next[*signaling.MemberJoined](t, ann)
	send := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	send(ann.Signal(ctx, bob.Self().ID, map[string]int{"n": 1}))
	if m := next[*signaling.SignalFrom](t, bob); string(m.Data) != `{"n":1}` || m.From != ann.Self().ID {
		t.Errorf("%+v", m)
	}
	send(bob.Broadcast(ctx, "hello"))
	if m := next[*signaling.BroadcastFrom](t, ann); string(m.Data) != `"hello"` {
		t.Errorf("%+v", m)
	}
	send(bob.Update(ctx, struct{ Muted bool }{true}))
	if m := next[*signaling.MemberUpdated](t, ann); string(m.Member.State) != `{"Muted":true}` {
		t.Errorf("%+v", m)
	}
	send(ann.RefreshICE(ctx))
	next[*signaling.ICEServers](t, ann)
	send(ann.Signal(ctx, "nobody", nil))
	if m := next[*signaling.Error](t, ann); m.Code != signaling.CodeNoSuchMember {
		t.Errorf("%+v", m)
	}
	send(ann.Leave(ctx))
	if err := ended(t, ann); err != nil {
		t.Errorf("after leave: %v", err)
	}
	next[*signaling.MemberUpdated](t, bob) // his own
	if m := next[*signaling.MemberLeft](t, bob); m.Reason != signaling.ReasonLeft {
		t.Errorf("%+v", m)
	}
}

// TestResume cuts the connection of a member while another one talks to it, and it talks back: nobody misses anything, nobody hears
// anything twice.
func TestResume(t *testing.T) {
	_, url := newHub(t, signaling.Options{Resume: time.Minute})
	ctx := testContext(t)
	ann, bob := join(t, url, "Ann"), join(t, url, "Bob")
	first := next[*signaling.Joined](t, bob)
	next[*signaling.Joined](t, ann)
	next[*signaling.MemberJoined](t, ann)
	const rounds, each = 5, 8
	for round := range rounds {
		for i := range each {
			if i == each/2 {
				bob.cut()
			}
			if err := errors.Join(ann.Broadcast(ctx, round*each+i), bob.Broadcast(ctx, round*each+i)); err != nil {
				t.Fatal(err)
			}
		}
		hears(t, ann, numbers(round*each, each)...)
		var heard, resumed int
		for heard < each || resumed == 0 {
			switch m := nextAny(t, bob).(type) {
			case *signaling.Joined:
				if m.Self.ID != first.Self.ID || !m.Resumed || m.Members[0].ID != ann.Self().ID {
					t.Fatalf("came back as %+v", m)
				}
				resumed++
			case *signaling.BroadcastFrom:
				if string(m.Data) != number(round*each+heard) {
					t.Fatalf("heard %s, want %d", m.Data, round*each+heard)
				}
				heard++
			default:
				t.Fatalf("%T %+v", m, m)
			}
		}
	}
}

func numbers(first, count int) (list []int) {
	for i := range count {
		list = append(list, first+i)
	}
	return list
}

func TestNewSeatAfterExpiry(t *testing.T) {
	_, url := newHub(t, signaling.Options{Resume: -1})
	ann := join(t, url, "Ann")
	before := next[*signaling.Joined](t, ann).Self.ID
	ann.cut()
	if after := next[*signaling.Joined](t, ann).Self.ID; after == before || after != ann.Self().ID {
		t.Errorf("was %s, is %s, says %s", before, after, ann.Self().ID)
	}
}

func TestKicked(t *testing.T) {
	hub, url := newHub(t, signaling.Options{})
	ann := join(t, url, "Ann")
	next[*signaling.Joined](t, ann)
	hub.Kick("r", ann.Self().ID, "noise")
	if m := next[*signaling.Kicked](t, ann); m.Reason != "noise" {
		t.Errorf("%+v", m)
	}
	if err := ended(t, ann); websocket.CloseStatus(err) != signaling.CloseKicked {
		t.Errorf("ended with %v", err)
	}
}

func TestRefused(t *testing.T) {
	hub, url := newHub(t, signaling.Options{MaxMembers: 1})
	join(t, url, "Ann")
	_, err := Join(testContext(t), url, "r", "Bob", nil)
	var refused *RefusedError
	if !errors.As(err, &refused) || refused.Code != signaling.CodeRoomFull {
		t.Errorf("full room: %v", err)
	}
	hub.Drain()
	_, err = Join(testContext(t), url, "other", "Bob", nil)
	if !errors.As(err, &refused) || refused.Code != signaling.CodeServerDraining {
		t.Errorf("draining server: %v", err)
	}
	_, err = Join(testContext(t), url, "r", "Bob", &Options{Header: http.Header{"Origin": {"https://evil.example"}}})
	if err == nil || errors.As(err, new(*RefusedError)) {
		t.Errorf("other origin: %v", err)
	}
}

func TestGivesUp(t *testing.T) {
	hub, url := newHub(t, signaling.Options{})
	ann, err := Join(testContext(t), url, "r", "Ann", &Options{Backoff: quick, Attempts: 3})
	if err != nil {
		t.Fatal(err)
	}
	if err := hub.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := ended(t, ann); err == nil {
		t.Error("no error")
	}
	if err := ann.Broadcast(testContext(t), 1); !errors.Is(err, ErrEnded) {
		t.Errorf("broadcast: %v", err)
	}
	if err := ann.Leave(testContext(t)); err != nil {
		t.Errorf("leave: %v", err)
	}
}

func TestLeaveWhileReconnecting(t *testing.T) {
	_, url := newHub(t, signaling.Options{})
	waiting := make(chan struct{})
	ann, err := Join(testContext(t), url, "r", "Ann", &Options{Backoff: func(int) time.Duration {
		close(waiting)
		return time.Hour
	}})
	if err != nil {
		t.Fatal(err)
	}
	ann.cut()
	<-waiting
	if err := ann.Leave(testContext(t)); !errors.Is(err, ErrReconnecting) {
		t.Errorf("leave: %v", err)
	}
	if err := ended(t, ann); err != nil {
		t.Errorf("ended with %v", err)
	}
}

// TestNobodyReads leaves a room whose events nobody takes.
func TestNobodyReads(t *testing.T) {
	_, url := newHub(t, signaling.Options{MessagesPerSecond: -1})
	ann, bob := join(t, url, "Ann"), join(t, url, "Bob")
	for range 2 * eventBuffer {
		if err := bob.Broadcast(testContext(t), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := ann.Leave(testContext(t)); err != nil {
		t.Error(err)
	}
}

func TestBackoff(t *testing.T) {
	for attempt := 1; attempt < 40; attempt++ {
		if d := backoff(attempt); d < 125*time.Millisecond || d > 8*time.Second {
			t.Errorf("attempt %d waits %v", attempt, d)
		}
	}
}

// TestDoors has a moderator use every door of a room.
func TestDoors(t *testing.T) {
	_, url := newHub(t, signaling.Options{})
	ctx := testContext(t)
	ann := join(t, url, "Ann")
	if j := next[*signaling.Joined](t, ann); j.Self.Role != signaling.RoleModerator || ann.Settings() != j.Room {
		t.Fatalf("%+v", j)
	}
	command := func(err error, check func(signaling.Room) bool) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if m := next[*signaling.RoomChanged](t, ann); !check(m.Room) || ann.Settings() != m.Room {
			t.Errorf("%+v", m)
		}
	}
	refuses := func(code signaling.Code, opts *Options) {
		t.Helper()
		if _, err := Join(ctx, url, "r", "Bob", opts); !refusedWith(code)(err) {
			t.Errorf("got %v, want %s", err, code)
		}
	}

	command(ann.Lock(ctx, false), func(r signaling.Room) bool { return r.Locked && !r.Knock })
	refuses(signaling.CodeRoomLocked, nil)
	command(ann.Lock(ctx, true), func(r signaling.Room) bool { return r.Locked && r.Knock })
	waiting := make(chan struct{}, 1)
	opts := &Options{Backoff: quick, Waiting: func() { waiting <- struct{}{} }}
	denied := enterSoon(ctx, url, opts)
	<-waiting
	if err := ann.Deny(ctx, next[*signaling.Knock](t, ann).Member.ID); err != nil {
		t.Fatal(err)
	}
	if <-denied.done; !refusedWith(signaling.CodeNotAllowed)(denied.err) {
		t.Errorf("denied: %v", denied.err)
	}
	next[*signaling.MemberLeft](t, ann)
	admitted := enterSoon(ctx, url, opts)
	<-waiting
	bobs := next[*signaling.Knock](t, ann).Member.ID
	if len(ann.Members()) != 0 {
		t.Errorf("who waits is a member: %+v", ann.Members())
	}
	if err := ann.Admit(ctx, bobs); err != nil {
		t.Fatal(err)
	}
	if <-admitted.done; admitted.err != nil || admitted.room.Self().ID != bobs {
		t.Fatalf("admitted: %v", admitted.err)
	}
	bob := admitted.room
	leaveAtEnd(t, bob)
	next[*signaling.Joined](t, bob)
	next[*signaling.MemberJoined](t, ann)
	command(ann.Unlock(ctx), func(r signaling.Room) bool { return !r.Locked && !r.Knock })
	command(ann.SetPassword(ctx, "sesame"), func(r signaling.Room) bool { return r.Password })
	refuses(signaling.CodeWrongPassword, &Options{Password: "simsim"})
	command(ann.SetPassword(ctx, ""), func(r signaling.Room) bool { return !r.Password })
	command(ann.Limit(ctx, 2), func(r signaling.Room) bool { return r.MaxMembers == 2 })
	refuses(signaling.CodeRoomFull, nil)

	if err := bob.Kick(ctx, ann.Self().ID, ""); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		next[*signaling.RoomChanged](t, bob)
	}
	if m := next[*signaling.Error](t, bob); m.Code != signaling.CodeNotAllowed || m.Request != "kick" {
		t.Errorf("%+v", m)
	}
	if err := ann.Kick(ctx, bobs, "noise"); err != nil {
		t.Fatal(err)
	}
	if m := next[*signaling.Kicked](t, bob); m.Reason != "noise" {
		t.Errorf("%+v", m)
	}
	if err := ended(t, bob); websocket.CloseStatus(err) != signaling.CloseKicked {
		t.Errorf("ended by %v", err)
	}
	if m := next[*signaling.MemberLeft](t, ann); m.Reason != signaling.ReasonKicked || len(ann.Members()) != 0 {
		t.Errorf("%+v", m)
	}
}
