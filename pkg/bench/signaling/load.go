package signaling

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/maitred/maitred/pkg/bench"
)

const (
	// perSender is how many messages a second one goroutine sends before there is a second one.
	perSender = 50_000
	// stuckAfter is how much longer than its load a server may take to read it.
	stuckAfter = 5 * time.Second
	// settleWithin is how long messages can be under way, settleQuiet how long nothing must have arrived to say that nothing will.
	settleWithin = 5 * time.Second
	settleQuiet  = time.Second
	settleStep   = 100 * time.Millisecond
)

// load lets the members send, and measures.
func (w *crowd) load(ctx context.Context, phase string) (*Messages, error) {
	senders, err := w.senders()
	if err != nil {
		return nil, err
	}
	if w.c.WarmUp > 0 {
		w.announce("warming up")
		if _, _, err := w.drive(ctx, senders, w.c.WarmUp); err != nil {
			return nil, err
		}
	}
	before, err := w.usage()
	if err != nil {
		return nil, err
	}
	w.announce(phase)
	m, took, err := w.drive(ctx, senders, w.c.Duration)
	if err != nil {
		return nil, err
	}
	if err := w.settle(ctx, m); err != nil {
		return nil, err
	}
	after, err := w.usage()
	w.meter.Store(nil)
	if err != nil {
		return nil, err
	}
	if m.delivered.Load() == 0 {
		return nil, w.blame(fmt.Errorf("nothing arrived of %d messages", m.sent.Load()))
	}
	return w.summary(m, took, before, after), nil
}

// blame adds the first error that there was to what came of it.
func (w *crowd) blame(err error) error {
	if _, first := w.failures.all(); first != nil {
		return fmt.Errorf("%w; the first error was: %w", err, first)
	}
	return err
}

// usages are those of the server and of this process.
type usages struct{ server, generator bench.Usage }

func (w *crowd) usage() (u usages, err error) {
	server, err1 := bench.UsageOf(w.c.PIDs)
	generator, err2 := own()
	return usages{server, generator}, errors.Join(err1, err2)
}

func (w *crowd) summary(m *meter, took time.Duration, before, after usages) *Messages {
	expected, delivered, seconds := m.expected.Load(), m.delivered.Load(), took.Seconds()
	r := &Messages{Sent: bench.Rounded(float64(m.sent.Load()) / seconds), Delivered: bench.Rounded(float64(delivered) / seconds),
		Lost: m.lost(), Loss: bench.Rounded(100 * float64(m.lost()) / float64(expected)), Duplicates: m.duplicates.Load(), Latency: m.latency.Latency(),
		Generator: Generator{Late: m.late.Latency()}}
	if w.c.FanOut {
		whole := m.whole.Latency()
		r.FanOut = &whole
	}
	if len(w.c.PIDs) > 0 {
		cpu := after.server.CPU - before.server.CPU
		each, cores := bench.Rounded(bench.Microseconds(cpu)/float64(delivered)), bench.Rounded(cpu.Seconds()/seconds)
		r.CPU, r.Cores = &each, &cores
	}
	if bench.Readable {
		cores := bench.Rounded((after.generator.CPU - before.generator.CPU).Seconds() / seconds)
		r.Generator.Cores = &cores
	}
	return r
}

// sender lets some members send, one after the other. One goroutine uses it.
type sender struct {
	w       *crowd
	pacer   *bench.Pacer
	rate    int
	turns   []turn
	next    int
	data    []byte
	message []byte
	out     []byte
	random  *rand.Rand
}

// turn is a member with what it does when it is to send.
type turn struct {
	m  *member
	to []*member // those who shall have it
}

// senders divides the members who have somebody to send to. Neighbours go to different senders, so that a room's load stays spread.
func (w *crowd) senders() ([]*sender, error) {
	turns := w.turns()
	if len(turns) == 0 {
		return nil, w.blame(errors.New("no room has two members who can talk"))
	}
	all := make([]*sender, min(1+(w.c.Messages-1)/perSender, runtime.GOMAXPROCS(0), len(turns)))
	for i := range all {
		rate := w.c.Messages / len(all)
		if i < w.c.Messages%len(all) {
			rate++
		}
		all[i] = &sender{w: w, rate: rate, data: newData(w.c.Size), random: rand.New(rand.NewPCG(rand.Uint64(), 0))}
	}
	for i, t := range turns {
		s := all[i%len(all)]
		s.turns = append(s.turns, t)
	}
	return all, nil
}

// turns goes through the rooms, first members first.
func (w *crowd) turns() (turns []turn) {
	for place := range w.c.Members {
		for _, in := range w.rooms {
			live := in.live()
			if len(live) < 2 || place >= len(live) {
				continue
			}
			others := append(slices.Clone(live[place+1:]), live[:place]...)
			if !w.c.FanOut {
				others = others[:1]
			}
			turns = append(turns, turn{live[place], others})
		}
	}
	return turns
}

func (r *room) live() (live []*member) {
	for _, m := range r.members {
		if m.live.Load() {
			live = append(live, m)
		}
	}
	return live
}

// drive sends for some time.
func (w *crowd) drive(ctx context.Context, senders []*sender, duration time.Duration) (m *meter, took time.Duration, err error) {
	m = newMeter()
	w.meter.Store(m)
	var stuck atomic.Bool
	late := time.AfterFunc(duration+w.c.wait(stuckAfter), func() {
		stuck.Store(true)
		w.interrupt()
	})
	defer late.Stop()
	stop := context.AfterFunc(ctx, w.interrupt)
	defer stop()
	var g errgroup.Group
	for i, s := range senders {
		g.Go(func() error { return s.run(ctx, m, duration, uint64(i), uint64(len(senders))) })
	}
	start := time.Now()
	err = g.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, 0, context.Cause(ctx)
	case stuck.Load():
		return nil, 0, fmt.Errorf("the server has not read a message for %v; it is stuck, or the load is more than it can take", w.c.wait(stuckAfter))
	}
	return m, time.Since(start), err
}

// run sends the messages with the numbers first, first + step and so on.
func (s *sender) run(ctx context.Context, m *meter, duration time.Duration, first, step uint64) (err error) {
	if s.pacer, err = bench.NewPacer(s.w.c.Tick); err != nil {
		return err
	}
	defer s.pacer.Close()
	number := first
	_, _, err = s.pacer.Run(ctx, duration, s.rate, 1, func(due int64) {
		t := s.turns[s.next]
		s.next = (s.next + 1) % len(s.turns)
		m.begin(number, len(t.to))
		m.late.Record(bench.Clock() - due)
		stamp(s.data, m.tag, number, due)
		number += step
		_ = t.m.send(s.frames(t)) // what cannot be sent is lost; the reader of the connection says why
	})
	return err
}

// frames are what a member sends in its turn: one, unless it speaks to all and the server cannot.
func (s *sender) frames(t turn) []byte {
	s.out = s.out[:0]
	if s.w.c.FanOut && s.w.c.protocol.hasRooms() {
		s.frame("")
		return s.out
	}
	for _, to := range t.to {
		s.frame(to.id)
	}
	return s.out
}

func (s *sender) frame(to string) {
	s.message = s.w.c.protocol.relay(s.message[:0], to, s.data)
	s.out = appendFrame(s.out, opText, s.random.Uint32(), s.message)
}

// settle waits for what is still under way.
func (w *crowd) settle(ctx context.Context, m *meter) error {
	step := time.NewTicker(settleStep)
	defer step.Stop()
	last, quiet := uint64(0), time.Duration(0)
	for range w.c.wait(settleWithin) / settleStep {
		if m.lost() == 0 {
			return nil
		}
		select {
		case <-step.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		got := m.delivered.Load()
		if got > last {
			last, quiet = got, 0
		} else if quiet += settleStep; quiet >= settleQuiet {
			return nil
		}
	}
	return nil
}
