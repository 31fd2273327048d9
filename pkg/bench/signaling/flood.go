package signaling

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/maitred/maitred/pkg/bench"
)

const (
	// backAfter is how long a flooding member that the server has thrown out waits before it comes back.
	backAfter = 100 * time.Millisecond
	// floodBuffer is how much the kernel may hold of what a flooding member sends, in bytes: little, so that what is counted has been read, or nearly.
	floodBuffer = 8 << 10
)

// flood is one more room, whose members send as fast as the server reads.
type flood struct {
	w      *crowd
	room   *room
	sent   atomic.Uint64
	closed atomic.Uint64
}

// loadBesideFlood is load with a flood beside it.
func (w *crowd) loadBesideFlood(ctx context.Context) (*Flood, error) {
	f := &flood{w: w, room: w.room(len(w.rooms))}
	for i := range w.c.Flood {
		w.member(f.room, len(w.members)+i)
	}
	var frames [][]byte // made before anybody joins, which may change its id
	for i := range f.room.members {
		frames = append(frames, f.frame(i))
	}
	w.announce("flooding")
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	var joined sync.WaitGroup
	for i, m := range f.room.members {
		joined.Add(1)
		g.Go(func() error { return f.run(ctx, m, frames[i], sync.OnceFunc(joined.Done)) })
	}
	r := &Flood{Members: w.c.Flood}
	g.Go(func() (err error) {
		defer cancel()
		joined.Wait()
		start, sent := time.Now(), f.sent.Load()
		r.Messages, err = w.load(ctx, "measuring beside a flood")
		r.Sent = bench.Rounded(float64(f.sent.Load()-sent) / time.Since(start).Seconds())
		r.Closed = f.closed.Load()
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return r, nil
}

// run lets one member flood until ctx ends. It calls joined as soon as it has its first seat, or cannot get one, which is the error.
func (f *flood) run(ctx context.Context, m *member, frame []byte, joined func()) error {
	defer joined()
	for first := true; ctx.Err() == nil; first = false {
		err := m.join(ctx, f.w.c)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return fmt.Errorf("prepare the flood: %w", err)
		case err == nil:
			joined()
			f.pour(ctx, m, frame)
		}
		if ctx.Err() == nil {
			f.closed.Add(1)
		}
		pause := time.NewTimer(backAfter)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
	return nil
}

// frame is what a member sends all the time: to everybody in its room, or where a server knows no rooms to its neighbour.
func (f *flood) frame(number int) []byte {
	c := f.w.c
	to := ""
	if !c.protocol.hasRooms() {
		to = f.room.members[(number+1)%len(f.room.members)].id
	}
	return appendFrame(nil, opText, 0, c.protocol.relay(nil, to, newData(c.Size)))
}

// pour sends until the connection ends, which it does with ctx.
func (f *flood) pour(ctx context.Context, m *member, frame []byte) {
	m.socket.hold(floodBuffer)
	release := m.socket.bound(ctx)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer m.socket.close() // ends the sending, too
		for m.socket.next(func([]byte) error { return nil }) == nil {
		}
	})
	for m.socket.send(frame) == nil {
		f.sent.Add(1)
	}
	m.socket.close()
	reader.Wait()
	_ = release(nil) // the connection is closed, whoever did it
}
