package client

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/maitred/maitred/pkg/signaling"
)

// entering is a Join under way.
type entering struct {
	room *Room
	err  error
	done chan struct{}
}

func enterSoon(ctx context.Context, url string, opts *Options) *entering {
	e := &entering{done: make(chan struct{})}
	go func() {
		defer close(e.done)
		e.room, e.err = Join(ctx, url, "r", "Ann", opts)
	}()
	return e
}

// TestWaitingRoom: a join takes as long as the moderators do, and tells what came of it.
func TestWaitingRoom(t *testing.T) {
	for _, tt := range []struct {
		name   string
		decide func(c *fakeConn, cancel context.CancelFunc)
		want   func(error) bool
	}{
		{"admitted", func(c *fakeConn, _ context.CancelFunc) {
			c.send(&signaling.Joined{Self: signaling.Member{ID: "ann"}})
		}, func(err error) bool { return err == nil }},
		{"denied", func(c *fakeConn, _ context.CancelFunc) {
			c.send(&signaling.Error{Code: signaling.CodeNotAllowed, Request: "join"})
		}, refusedWith(signaling.CodeNotAllowed)},
		{"nobody decides", func(c *fakeConn, _ context.CancelFunc) {
			c.send(&signaling.Error{Code: signaling.CodeRoomLocked, Request: "join"})
		}, refusedWith(signaling.CodeRoomLocked)},
		{"given up", func(_ *fakeConn, cancel context.CancelFunc) { cancel() }, func(err error) bool { return errors.Is(err, context.Canceled) }},
		{"the connection is lost", func(c *fakeConn, _ context.CancelFunc) { c.cut() }, func(err error) bool { return err != nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeServer(t)
				url, through := s.listenInBubble()
				told := 0
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				e := enterSoon(ctx, url, &Options{HTTPClient: through, Password: "sesame", Token: "a.b.c", Waiting: func() { told++ }})
				c := s.accept()
				if m := c.expect("join"); m.Token == nil || *m.Token != "a.b.c" || m.Password == nil || *m.Password != "sesame" || m.Received != nil || m.Resume != "" {
					t.Errorf("%s", m.raw)
				}
				c.send(&signaling.Waiting{})
				time.Sleep(time.Hour)
				select {
				case <-e.done:
					t.Fatalf("came to an end: %v", e.err)
				default:
				}
				tt.decide(c, cancel)
				<-e.done
				if !tt.want(e.err) || told != 1 {
					t.Errorf("%v, told %d times that it waits", e.err, told)
				}
				if e.err == nil {
					leaveAtEnd(t, e.room)
				}
			})
		})
	}
}

func refusedWith(code signaling.Code) func(error) bool {
	return func(err error) bool {
		var refused *RefusedError
		return errors.As(err, &refused) && refused.Code == code
	}
}

// TestJoinTimeout: a server that says nothing is given up, the first time and when the connection is made again.
func TestJoinTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		url, through := s.listenInBubble()
		begin := time.Now()
		e := enterSoon(t.Context(), url, &Options{HTTPClient: through})
		s.accept().expect("join")
		<-e.done
		if took := time.Since(begin); !errors.Is(e.err, errJoinTimeout) || took != joinTimeout {
			t.Errorf("after %v: %v", took, e.err)
		}
		ann, c := s.enter(url, Options{HTTPClient: through, Attempts: 1})
		c.cut()
		s.accept().expect("join")
		if err := ended(t, ann); !errors.Is(err, errJoinTimeout) {
			t.Errorf("%v", err)
		}
	})
}

// TestPace: what is sent in one go goes out no faster than half of what the server takes.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		url, through := s.listenInBubble()
		ann, c := s.enter(url, Options{HTTPClient: through})
		begin := time.Now()
		broadcast(t, ann, numbers(0, sendBurst+2*sendRate)...)
		c.gets(numbers(0, sendBurst)...)
		if took := time.Since(begin); took != 0 {
			t.Errorf("the first %d took %v", sendBurst, took)
		}
		c.gets(numbers(sendBurst, 2*sendRate)...)
		if took := time.Since(begin); took.Round(100*time.Millisecond) != 2*time.Second {
			t.Errorf("the rest took %v", took)
		}
		c.cut()
		c = s.accept()
		begin = time.Now()
		c.resume("ann", 0, uint64(sendBurst+2*sendRate))
		broadcast(t, ann, numbers(0, sendBurst)...)
		c.gets(numbers(0, sendBurst)...)
		if took := time.Since(begin); took != 0 {
			t.Errorf("on a new connection %d took %v", sendBurst, took)
		}
	})
}

// TestDeadConnection: a server that is gone without a word is noticed before it has given the seat away.
func TestDeadConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		url, through := s.listenInBubble()
		type loss struct {
			at    time.Time
			cause error
		}
		lost := make(chan loss, 1)
		ann, c := s.enter(url, Options{HTTPClient: through, Lost: func(err error) { lost <- loss{time.Now(), err} }})
		time.Sleep(10 * time.Minute) // it answers pings: nothing happens
		close(c.deaf)
		c.send(say(1)) // and this one makes the reader see that
		broadcast(t, ann, 1)
		c.gets(1)
		hears(t, ann, 1)
		begin := time.Now()
		c = s.accept()
		if l := <-lost; l.at.Sub(begin) > 20*time.Second || !errors.Is(l.cause, errNoPong) {
			t.Errorf("noticed after %v: %v", l.at.Sub(begin), l.cause)
		}
		c.resume("ann", 1, 1)
	})
}

// TestUnreadEventsAreNoDeadConnection: who does not read its events sees no pong either.
func TestUnreadEventsAreNoDeadConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		url, through := s.listenInBubble()
		ann, c := s.enter(url, Options{HTTPClient: through, Lost: func(err error) { t.Errorf("lost: %v", err) }})
		const many = eventBuffer + 5
		written := make(chan struct{})
		go func() {
			defer close(written)
			for n := range many {
				c.send(say(n))
			}
		}()
		time.Sleep(time.Minute)
		hears(t, ann, numbers(0, many)...)
		<-written
		time.Sleep(time.Minute)
		c.send(say(many))
		hears(t, ann, many)
	})
}

// TestEnds: what a client must not come back after.
func TestEnds(t *testing.T) {
	closes := func(code websocket.StatusCode) func(*fakeServer, *fakeConn) {
		return func(s *fakeServer, c *fakeConn) {
			if err := c.ws.Close(code, "why"); err != nil {
				s.t.Error(err)
			}
		}
	}
	closed := func(code websocket.StatusCode) func(error) bool {
		return func(err error) bool { return websocket.CloseStatus(err) == code }
	}
	says := func(raw string) func(*fakeServer, *fakeConn) {
		return func(_ *fakeServer, c *fakeConn) { c.sendRaw(raw) }
	}
	violates := func(err error) bool { return errors.As(err, new(violation)) }
	for _, tt := range []struct {
		name string
		end  func(*fakeServer, *fakeConn)
		want func(error) bool
	}{
		{"bad message", closes(signaling.CloseBadMessage), closed(signaling.CloseBadMessage)},
		{"unauthorized", closes(signaling.CloseUnauthorized), closed(signaling.CloseUnauthorized)},
		{"kicked", closes(signaling.CloseKicked), closed(signaling.CloseKicked)},
		{"too big", closes(websocket.StatusMessageTooBig), closed(websocket.StatusMessageTooBig)},
		{"a wrong field", says(`{"type":"member-left","member":7}`), violates},
		{"no JSON", says("hello"), violates},
		{"kicked while away", func(s *fakeServer, c *fakeConn) {
			c.cut()
			c = s.accept()
			c.expect("join")
			c.send(&signaling.Error{Code: signaling.CodeNotAllowed, Request: "join"})
		}, refusedWith(signaling.CodeNotAllowed)},
		{"the room of a new seat is locked", func(s *fakeServer, c *fakeConn) {
			c.cut()
			c = s.accept()
			c.expect("join")
			c.send(&signaling.Error{Code: signaling.CodeRoomLocked, Request: "join"})
		}, refusedWith(signaling.CodeRoomLocked)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newFakeServer(t)
			ann, c := s.enter(s.listen(), Options{})
			tt.end(s, c)
			if err := ended(t, ann); !tt.want(err) {
				t.Errorf("ended by %v", err)
			}
			if err := ann.Broadcast(t.Context(), 1); !errors.Is(err, ErrEnded) {
				t.Errorf("broadcast: %v", err)
			}
		})
	}
}

// TestComesBackAfter: what passes by itself.
func TestComesBackAfter(t *testing.T) {
	refused := func(code signaling.Code) func(*fakeServer, *fakeConn) {
		return func(s *fakeServer, c *fakeConn) {
			c.cut()
			c = s.accept()
			c.expect("join")
			c.send(&signaling.Error{Code: code, Request: "join"})
		}
	}
	for name, lose := range map[string]func(*fakeServer, *fakeConn){
		"too slow":          func(_ *fakeServer, c *fakeConn) { _ = c.ws.Close(signaling.CloseTooSlow, "") },
		"the server stops":  func(_ *fakeServer, c *fakeConn) { _ = c.ws.Close(websocket.StatusGoingAway, "") },
		"an internal error": func(_ *fakeServer, c *fakeConn) { _ = c.ws.Close(websocket.StatusInternalError, "") },
		"too many joins":    refused(signaling.CodeRateLimited),
		"draining":          refused(signaling.CodeServerDraining),
		"too many rooms":    refused(signaling.CodeTooManyRooms),
	} {
		t.Run(name, func(t *testing.T) {
			s := newFakeServer(t)
			ann, c := s.enter(s.listen(), Options{})
			lose(s, c)
			s.accept().resume("ann", 0, 0)
			next[*signaling.Joined](t, ann)
		})
	}
}

// TestWaitsAgain: a lost seat may have to be asked for.
func TestWaitsAgain(t *testing.T) {
	s := newFakeServer(t)
	waiting := make(chan struct{}, 1)
	ann, c := s.enter(s.listen(), Options{Waiting: func() { waiting <- struct{}{} }})
	c.cut()
	c = s.accept()
	c.expect("join")
	c.send(&signaling.Waiting{})
	<-waiting
	c.send(&signaling.Joined{Self: signaling.Member{ID: "ann2"}, Resume: "resume of ann2"})
	if m := next[*signaling.Joined](t, ann); m.Self.ID != "ann2" {
		t.Errorf("%+v", m)
	}
}

// TestReconnect ends a pause that would be long, as well as a connection.
func TestReconnect(t *testing.T) {
	s := newFakeServer(t)
	pausing := make(chan struct{}, 1)
	ann, c := s.enter(s.listen(), Options{Backoff: func(int) time.Duration {
		pausing <- struct{}{}
		return time.Hour
	}})
	c.cut()
	<-pausing
	ann.Reconnect()
	s.accept().resume("ann", 0, 0)
	next[*signaling.Joined](t, ann)
	ann.Reconnect()
	s.accept().resume("ann", 0, 0)
	next[*signaling.Joined](t, ann)
}

// TestLeaveSendsWhatWaits, however long that takes, and leaves after it.
func TestLeaveSendsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		url, through := s.listenInBubble()
		ann, c := s.enter(url, Options{HTTPClient: through})
		const many = sendBurst + sendRate
		broadcast(t, ann, numbers(0, many)...)
		left := make(chan error, 1)
		go func() { left <- ann.Leave(t.Context()) }()
		c.gets(numbers(0, many)...)
		c.expect("leave")
		if err := c.ws.Close(websocket.StatusNormalClosure, "left"); err != nil {
			t.Error(err)
		}
		if err := <-left; err != nil {
			t.Error(err)
		}
		if err := ann.Leave(t.Context()); err != nil {
			t.Errorf("again: %v", err)
		}
	})
}

// TestLeaveFails says so when the server may not know.
func TestLeaveFails(t *testing.T) {
	for name, lose := range map[string]func(*fakeConn, context.CancelFunc){
		"the connection is lost": func(c *fakeConn, _ context.CancelFunc) { c.cut() },
		"no time":                func(_ *fakeConn, cancel context.CancelFunc) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newFakeServer(t)
			ann, c := s.enter(s.listen(), Options{})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			left := make(chan error, 1)
			go func() { left <- ann.Leave(ctx) }()
			c.expect("leave")
			lose(c, cancel)
			if err := <-left; err == nil {
				t.Error("no error")
			}
			if err := ended(t, ann); err != nil {
				t.Errorf("ended by %v", err)
			}
		})
	}
}
