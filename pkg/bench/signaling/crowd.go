package signaling

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maitred/maitred/pkg/bench"
)

const (
	// tooManyFailed is how many members may fail to join before the rest is given up.
	tooManyFailed = 32
	// perAddress is how many connections come from one loopback address at most: each needs a port of its own there.
	perAddress = 25_000
	// partWithin is how long the server may take to let all members leave.
	partWithin = 5 * time.Second
	// beatEvery is how often a client says that it is there, where the protocol wants that.
	beatEvery = 20 * time.Second
	// watchEvery is how often progress is reported.
	watchEvery = 500 * time.Millisecond
)

// crowd is all members of a run.
type crowd struct {
	// Fixed after construction.
	c       *Config
	name    string // that the names of all rooms begin with
	rooms   []*room
	members []*member // by room

	failures  failures
	joined    atomic.Int64
	phase     atomic.Pointer[string]
	meter     atomic.Pointer[meter] // what arrives is counted here; nil: nowhere
	leaving   atomic.Bool           // connections end because we said so
	listeners sync.WaitGroup        // one for each member that has begun to join
}

func newCrowd(c *Config) *crowd {
	w := &crowd{c: c, name: "bench-" + strings.ToLower(rand.Text()[:8])}
	for i := range c.Rooms {
		in := w.room(i)
		w.rooms = append(w.rooms, in)
		for range c.Members {
			w.members = append(w.members, w.member(in, len(w.members)))
		}
	}
	return w
}

// room is the room number i, without members.
func (w *crowd) room(i int) *room {
	r := &room{name: fmt.Sprintf("%s-%d", w.name, i)}
	if len(w.c.Tokens) > 0 {
		r.token = w.c.Tokens[i]
		r.name, _ = RoomOf(r.token) // else the server says what is wrong with it
	}
	return r
}

// member adds one to a room. The number is among all connections.
func (w *crowd) member(in *room, number int) *member {
	m := &member{room: in, from: w.c.from(number), id: fmt.Sprintf("%s-%d", w.name, number)}
	in.members = append(in.members, m)
	return m
}

// from is where connection number i comes from. 127.0.0.0/8 is this machine's on Linux; elsewhere, and from another machine, there is one address
// for all.
func (c *Config) from(i int) netip.Addr {
	if !bench.Readable || !c.Server.Addr().Is4() || !c.Server.Addr().IsLoopback() || c.Rooms*c.Members+c.Flood <= perAddress {
		return netip.Addr{}
	}
	n := 1 + i/perAddress
	return netip.AddrFrom4([4]byte{127, 0, byte(n >> 8), byte(n)})
}

// probe joins once and leaves, so that what is wrong with all joins is said once, and so that the server has done what it does only
// once when the members are measured.
func (w *crowd) probe(ctx context.Context) error {
	w.announce("connecting")
	in := &room{name: w.name + "-probe"}
	if len(w.c.Tokens) > 0 {
		in = w.room(0)
	}
	m := &member{room: in, id: in.name}
	if err := m.join(ctx, w.c); err != nil {
		return err
	}
	defer m.socket.close()
	limit, cancel := context.WithTimeout(ctx, w.c.wait(partWithin))
	defer cancel()
	release := m.socket.bound(limit)
	err := m.socket.send(w.c.protocol.goodbye())
	for err == nil {
		err = m.socket.next(func([]byte) error { return nil })
	}
	_ = release(err) // how the connection ended does not matter, only that it did
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case limit.Err() != nil:
		return fmt.Errorf("the server has not closed the connection of a member that left within %v", w.c.wait(partWithin))
	}
	return nil
}

// gather lets all members join and returns when each has, or has failed.
func (w *crowd) gather(ctx context.Context, latency *bench.Histogram) (took time.Duration, err error) {
	pacer, err := bench.NewPacer(bench.MinTick)
	if err != nil {
		return 0, err
	}
	defer pacer.Close()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	var arriving sync.WaitGroup
	var failed atomic.Int64
	next := 0
	start := time.Now()
	_, err = pacer.Count(ctx, len(w.members), w.c.Joins, func(due int64) {
		m := w.members[next]
		next++
		arriving.Add(1)
		w.listeners.Go(func() {
			err := m.join(ctx, w.c)
			if err == nil {
				latency.Record(bench.Clock() - due)
				m.live.Store(true)
				w.joined.Add(1)
			} else {
				w.failures.add(err)
				if failed.Add(1) == tooManyFailed {
					giveUp(fmt.Errorf("given up after %d of %d members could not join: %w", tooManyFailed, len(w.members), err))
				}
			}
			arriving.Done()
			if err == nil {
				w.listen(m)
			}
		})
	})
	arriving.Wait()
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	return time.Since(start), err
}

// listen reads what a member is sent until its connection ends.
func (w *crowd) listen(m *member) {
	for {
		err := m.socket.next(func(message []byte) error {
			w.take(m, message)
			return nil
		})
		if err != nil {
			m.live.Store(false)
			m.socket.close()
			w.fail(err)
			return
		}
	}
}

// take looks at a message.
func (w *crowd) take(m *member, message []byte) {
	if tag, number, due, ok := findMark(message); ok {
		if meter := w.meter.Load(); meter != nil && meter.tag == tag {
			meter.arrived(number, due, bench.Clock())
		}
		return
	}
	if _, err := w.c.protocol.understand(m, message); err != nil {
		w.fail(err)
	}
}

func (w *crowd) fail(err error) {
	if !w.leaving.Load() {
		w.failures.add(err)
	}
}

// part lets all members leave, and waits until the server has closed their connections or its time is over.
func (w *crowd) part(ctx context.Context) {
	w.announce("leaving")
	w.leaving.Store(true)
	ctx, cancel := context.WithTimeout(ctx, w.c.wait(partWithin))
	defer cancel()
	stop := context.AfterFunc(ctx, w.interrupt)
	defer stop()
	for _, m := range w.members {
		_ = m.send(w.c.protocol.goodbye()) // one that cannot has left
	}
	left := make(chan struct{})
	go func() {
		defer close(left)
		w.listeners.Wait()
	}()
	select {
	case <-left:
	case <-ctx.Done():
		w.close()
		<-left
	}
}

// close ends all connections and waits for what reads them. Nobody joins any more.
func (w *crowd) close() {
	w.leaving.Store(true)
	for _, m := range w.members {
		if m.socket != nil {
			m.socket.close()
		}
	}
	w.listeners.Wait()
}

// interrupt makes writes that wait fail.
func (w *crowd) interrupt() {
	for _, m := range w.members {
		if m.socket != nil {
			_ = m.socket.conn.SetWriteDeadline(longAgo)
		}
	}
}

// beat lets every member say that it is there, until ctx ends.
func (w *crowd) beat(ctx context.Context) error {
	frame := w.c.protocol.beat()
	if frame == nil {
		return nil
	}
	const step = 100 * time.Millisecond
	tick := time.NewTicker(step)
	defer tick.Stop()
	next, owed := 0, 0.0
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		for owed += float64(len(w.members)) * float64(step) / float64(beatEvery); owed >= 1; owed-- {
			_ = w.members[next].send(frame) // one without a connection has nothing to say
			next = (next + 1) % len(w.members)
		}
	}
}

func (w *crowd) announce(phase string) { w.phase.Store(&phase) }

// watch reports progress until ctx ends.
func (w *crowd) watch(ctx context.Context) error {
	if w.c.Progress == nil {
		return nil
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var sent, got uint64
	var before *meter
	for last := time.Now(); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		p := Progress{Phase: *w.phase.Load(), Joined: int(w.joined.Load())}
		m := w.meter.Load()
		if m != before {
			before, sent, got = m, 0, 0
		}
		if m != nil {
			seconds := time.Since(last).Seconds()
			nowSent, nowGot := m.sent.Load(), m.delivered.Load()
			p.Sent, p.Delivered = float64(nowSent-sent)/seconds, float64(nowGot-got)/seconds
			p.Lost, p.P99 = m.lost(), m.latency.Quantile(0.99)
			sent, got = nowSent, nowGot
		}
		last = time.Now()
		w.c.Progress(p)
	}
}
