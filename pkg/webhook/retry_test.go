package webhook

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// answers gives each status in turn, then the last one for good.
func answers(codes ...int) http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(codes[min(int(n.Add(1)), len(codes))-1])
	}
}

// silent answers nothing until the sender gives up.
func silent(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() }

// TestBackoff: one event that is never taken, from its first attempt to its last.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := inBubble(t, answers(503))
		s := start(t, r, Config{RetryFor: 10 * time.Minute})
		began := time.Now()
		s.Send(joined("blue", "m"))
		pass(5 * time.Minute)
		s.want(t, counts{queued: 1})
		pass(10 * time.Minute)
		s.want(t, counts{failed: 1})
		all := r.arrivals()
		for i, a := range all {
			if err := verified(a, []byte(secret)); err != nil {
				t.Errorf("attempt %d: %v", i+1, err)
			}
			if i == 0 {
				continue
			}
			pause, most := a.at.Sub(all[i-1].at), min(time.Second<<(i-1), time.Minute)
			if last := i == len(all)-1; pause > most || pause < most/2 && !last {
				t.Errorf("attempt %d comes after %v, want %v to %v", i+1, pause, most/2, most)
			}
			if a.header.Get("webhook-id") != all[0].header.Get("webhook-id") || a.body != all[0].body || a.at.Sub(began) > 10*time.Minute {
				t.Errorf("attempt %d after %v: %v %s", i+1, a.at.Sub(began), a.header, a.body)
			}
		}
		if len(all) < 15 || all[len(all)-1].at.Sub(began) < 10*time.Minute {
			t.Errorf("%d attempts", len(all))
		}
		if lines := s.log.warnings(); len(lines) != 1 || !strings.Contains(lines[0], fmt.Sprintf("attempts=%d", len(all))) {
			t.Errorf("the log has %q", lines)
		}
	})
}

func TestBackoffBounds(t *testing.T) {
	for n, most := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 6: 32 * time.Second, 7: time.Minute, 64: time.Minute, 1 << 40: time.Minute} {
		seen := map[time.Duration]bool{}
		for range 100 {
			pause := backoff(n)
			if pause < most/2 || pause > most {
				t.Fatalf("after %d failures: %v", n, pause)
			}
			seen[pause] = true
		}
		if len(seen) < 50 {
			t.Errorf("after %d failures there are only %d different pauses", n, len(seen))
		}
	}
}

// TestRetryAfter: what the receiver asks for, against what is done by itself.
func TestRetryAfter(t *testing.T) {
	for _, test := range []struct {
		name, retryAfter  string
		retryFor          time.Duration
		atLeast, atMost   time.Duration // the second attempt, after the first one; 0: there is none
		delivered, failed int
	}{
		{"seconds", "30", time.Hour, 30 * time.Second, 30 * time.Second, 1, 0},
		{"shorter than the pause", "0", time.Hour, time.Second / 2, time.Second, 1, 0},
		{"beyond bounds", "86400", time.Hour, maxRetryAfter, maxRetryAfter, 1, 0},
		{"after the event is given up", "30", 29 * time.Second, 0, 0, 0, 1},
		{"none", "", time.Hour, time.Second / 2, time.Second, 1, 0},
		{"a pause that is cut by the end", "", 100 * time.Millisecond, 100 * time.Millisecond, 100 * time.Millisecond, 1, 0},
		{"one attempt", "", 0, 0, 0, 0, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				code := answers(429, 200)
				r := inBubble(t, func(w http.ResponseWriter, q *http.Request) {
					w.Header().Set("Retry-After", test.retryAfter)
					code(w, q)
				})
				s := start(t, r, Config{RetryFor: test.retryFor})
				s.Send(joined("blue", "m"))
				pass(time.Hour)
				s.want(t, counts{delivered: test.delivered, failed: test.failed})
				all := r.arrivals()
				if len(all) != 1+test.delivered {
					t.Fatalf("%d attempts", len(all))
				}
				if pause := all[len(all)-1].at.Sub(all[0].at); pause < test.atLeast || pause > test.atMost {
					t.Errorf("the second attempt comes after %v, want %v to %v", pause, test.atLeast, test.atMost)
				}
			})
		})
	}
}

// TestReceiverIsLeftAlone: the event behind one that was given up waits for as long as the receiver has asked.
func TestReceiverIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := inBubble(t, func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("Retry-After", "100")
			w.WriteHeader(503)
		})
		s := start(t, r, Config{})
		s.Send(joined("blue", "1"))
		s.Send(joined("blue", "2"))
		pass(time.Hour)
		s.want(t, counts{failed: 2})
		if all := r.arrivals(); len(all) != 2 || all[1].at.Sub(all[0].at) != 100*time.Second {
			t.Errorf("arrivals %v", all)
		}
	})
}

// TestOrder sends for many rooms to a receiver that refuses every third request, drops the connection at every fifth and is slow.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rooms, events = 40, 20
		var mu sync.Mutex
		n, busy, mostBusy := 0, map[string]bool{}, 0
		took := map[string][]string{}
		var r *receiver
		r = inBubble(t, func(w http.ResponseWriter, q *http.Request) {
			e := r.find(q.Header.Get("webhook-id"))
			mu.Lock()
			n++
			this := n
			if busy[e.Room.Name] {
				t.Errorf("two requests of %s at once", e.Room.Name)
			}
			busy[e.Room.Name] = true
			mostBusy = max(mostBusy, len(busy))
			mu.Unlock()
			time.Sleep(100 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			delete(busy, e.Room.Name)
			switch {
			case this%5 == 0:
				panic(http.ErrAbortHandler)
			case this%3 == 0:
				w.WriteHeader(500)
			default:
				took[e.Room.Name] = append(took[e.Room.Name], e.Member.ID)
			}
		})
		s := start(t, r, Config{RetryFor: time.Hour})
		for i := range events {
			for room := range rooms {
				s.Send(joined("room-"+strconv.Itoa(room), strconv.Itoa(i)))
			}
			pass(time.Second)
		}
		pass(time.Hour)
		s.want(t, counts{delivered: rooms * events})
		used := map[*lane]bool{}
		for room := range took {
			used[s.lane(room)] = true
		}
		if mostBusy != len(used) {
			t.Errorf("at most %d requests at once, want %d", mostBusy, len(used))
		}
		for room, members := range took {
			for i, member := range members {
				if member != strconv.Itoa(i) || len(members) != events {
					t.Fatalf("%s was told of %v", room, members)
				}
			}
		}
		if len(took) != rooms {
			t.Errorf("%d rooms", len(took))
		}
	})
}

// find returns the event of a request that has arrived.
func (r *receiver) find(id string) (e Event) {
	for _, a := range r.arrivals() {
		if a.event.ID == id {
			e = a.event
		}
	}
	return e
}

// TestRoomsSideBySide: a room whose events are not taken holds up its own lane only.
func TestRoomsSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r *receiver
		r = inBubble(t, func(w http.ResponseWriter, q *http.Request) {
			if r.find(q.Header.Get("webhook-id")).Room.Name == "bad" {
				silent(w, q)
			}
		})
		s := start(t, r, Config{RetryFor: time.Minute})
		s.Send(joined("bad", "m"))
		const rooms = 400
		behind := 0
		for i := range rooms {
			name := strconv.Itoa(i)
			s.Send(joined(name, "m"))
			if s.lane(name) == s.lane("bad") {
				behind++
			}
		}
		pass(time.Second)
		s.want(t, counts{delivered: rooms - behind, queued: 1 + behind})
		pass(3 * time.Minute) // a minute of tries, and a pause after the last one
		s.want(t, counts{delivered: rooms, failed: 1})
	})
}

// TestQueueIsBounded fills the queue while the receiver says nothing.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		r := inBubble(t, func(http.ResponseWriter, *http.Request) { <-block })
		s := start(t, r, Config{Queue: 100, Timeout: time.Hour})
		for i := range 250 {
			s.Send(joined(strconv.Itoa(i%20), strconv.Itoa(i)))
		}
		synctest.Wait()
		s.want(t, counts{queued: 100, dropped: 150})
		close(block)
		synctest.Wait()
		s.want(t, counts{delivered: 100, dropped: 150})
		for _, a := range r.arrivals() {
			if n, err := strconv.Atoi(a.event.Member.ID); err != nil || n >= 100 {
				t.Errorf("event %s was sent in the place of an earlier one", a.event.Member.ID)
			}
		}
		s.Send(joined("blue", "m"))
		synctest.Wait()
		s.want(t, counts{delivered: 101, dropped: 150})
		for i := range s.queue.lanes {
			if l := s.queue.lanes[i]; len(l.events) != 0 {
				t.Errorf("lane %d still has %d events", i, len(l.events))
			}
		}
		if lines := s.log.warnings(); len(lines) != 1 || !strings.Contains(lines[0], "webhooks were dropped") || !strings.Contains(lines[0], "events=150") {
			t.Errorf("the log has %q", lines)
		}
	})
}

// TestSlowReceiver says nothing for longer than an attempt may take, then works.
func TestSlowReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		r := inBubble(t, func(w http.ResponseWriter, q *http.Request) {
			if n.Add(1) == 1 {
				silent(w, q)
			}
		})
		s := start(t, r, Config{RetryFor: time.Minute})
		s.Send(joined("blue", "m"))
		pass(time.Minute)
		s.want(t, counts{delivered: 1})
		all := r.arrivals()
		if pause := all[1].at.Sub(all[0].at); pause < 5500*time.Millisecond || pause > 6*time.Second {
			t.Errorf("the second attempt comes after %v", pause)
		}
		if log := s.log.String(); !strings.Contains(log, "no answer within 5s") {
			t.Errorf("the log has\n%s", log)
		}
	})
}

// TestReceiverComesBack: down for an hour it is asked rarely, and then gets what is not too old and what has waited behind that.
func TestReceiverComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		r := inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
			if !up.Load() {
				w.WriteHeader(502)
			}
		})
		s := start(t, r, Config{RetryFor: 10 * time.Minute})
		const minutes = 60
		for i := range minutes {
			s.Send(joined("blue", strconv.Itoa(i)))
			pass(time.Minute)
		}
		if n := len(r.arrivals()); n > 3*minutes {
			t.Errorf("%d requests in %d minutes", n, minutes)
		}
		up.Store(true)
		tried := len(r.arrivals())
		pass(2 * time.Minute)
		got := s.counts(t)
		if got.queued != 0 || got.dropped != 0 || got.delivered+got.failed != minutes || got.delivered < 5 {
			t.Errorf("the metrics say %+v", got)
		}
		for i, a := range r.arrivals()[tried:] {
			if a.event.Member.ID != strconv.Itoa(got.failed+i) {
				t.Errorf("event %s comes as number %d", a.event.Member.ID, i)
			}
		}
	})
}

// TestStop has each state that an event can be in when the daemon stops.
func TestStop(t *testing.T) {
	for _, test := range []struct {
		name     string
		answer   http.HandlerFunc
		before   time.Duration // of working before it stops
		most     time.Duration // that stopping takes
		want     counts
		attempts int
	}{
		{"all is sent", func(http.ResponseWriter, *http.Request) { time.Sleep(100 * time.Millisecond) }, 0, 2 * time.Second, counts{delivered: 10}, 10},
		{"a receiver that is down", answers(503), time.Millisecond, 0, counts{dropped: 10}, 11},
		{"one that was down long", answers(503), time.Minute, 0, counts{dropped: 10}, -1},
		{"one that has come back", answers(503, 503, 200), 1200 * time.Millisecond, 0, counts{delivered: 10}, 12},
		{"one that refuses", answers(400), 0, 0, counts{failed: 10}, 10},
		{"one that is silent", silent, 0, drainFor, counts{dropped: 10}, 1},
		{"one that is slow", func(http.ResponseWriter, *http.Request) { time.Sleep(1600 * time.Millisecond) }, 0, drainFor, counts{delivered: 1, dropped: 9}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := inBubble(t, test.answer)
				s := start(t, r, Config{RetryFor: time.Hour})
				for i := range 10 {
					s.Send(joined("blue", strconv.Itoa(i)))
				}
				if test.before > 0 {
					pass(test.before)
				}
				began := time.Now()
				s.stop()
				if took := time.Since(began); took > test.most {
					t.Errorf("it takes %v", took)
				}
				s.want(t, test.want)
				if n := len(r.arrivals()); test.attempts >= 0 && n != test.attempts {
					t.Errorf("%d attempts, want %d", n, test.attempts)
				}
				if told := strings.Contains(strings.Join(s.log.warnings(), ""), "webhooks were dropped"); told != (test.want.dropped > 0) {
					t.Errorf("the log has\n%s", s.log)
				}
				s.Send(joined("blue", "late"))
				test.want.dropped++
				s.want(t, test.want)
			})
		})
	}
}

// TestSendBeforeRun: what happens first is sent when there is somebody who sends.
func TestSendBeforeRun(t *testing.T) {
	r := newReceiver(t, taken)
	s := New(Config{URL: r.server.URL, Secret: secret})
	s.Send(joined("blue", "1"))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	r.wait(t, 1)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
