package bench

import (
	"context"
	"math"
	"sync/atomic"
	"time"
)

// MinTick is the shortest useful Config.Tick: less than the system needs to wake somebody.
const MinTick = 50 * time.Microsecond

// Pacer calls a function at a steady rate. One goroutine uses it; Sent is for all.
type Pacer struct {
	timer *timer
	tick  time.Duration // it does not wake more often
	sent  atomic.Uint64 // how much the calls of all runs sent, for those who look on
}

// NewPacer makes one that wakes no more often than every tick. Whoever gets it closes it.
func NewPacer(tick time.Duration) (*Pacer, error) {
	t, err := newTimer()
	return &Pacer{timer: t, tick: tick}, err
}

// Close frees its timer.
func (p *Pacer) Close() error { return p.timer.close() }

// Sent is how much the calls of all runs have sent so far.
func (p *Pacer) Sent() uint64 { return p.sent.Load() }

// Run calls send, which sends burst packets, so often that rate packets are sent in a second, until duration is over or ctx ends. send is
// told the moment of Clock at which it was due. What is late, because send took too long or the processor was taken away, is caught up with.
// It returns how many packets were sent in what time; the error is that of ctx.
func (p *Pacer) Run(ctx context.Context, duration time.Duration, rate, burst int, send func(due int64)) (sent uint64, took time.Duration, err error) {
	return p.run(ctx, duration, math.MaxUint64, rate, burst, send)
}

// Count calls send n times, rate times in a second. The rest is as with Run.
func (p *Pacer) Count(ctx context.Context, n, rate int, send func(due int64)) (took time.Duration, err error) {
	_, took, err = p.run(ctx, math.MaxInt64, uint64(n), rate, 1, send)
	return took, err
}

func (p *Pacer) run(ctx context.Context, duration time.Duration, most uint64, rate, burst int, send func(due int64)) (sent uint64, took time.Duration, err error) {
	start := Clock()
	for ctx.Err() == nil && sent < most {
		took = time.Duration(Clock() - start)
		if took >= duration {
			break
		}
		due := time.Duration(float64(sent+uint64(burst)) / float64(rate) * float64(time.Second))
		if due > took {
			if err := p.timer.sleep(max(min(due, duration)-took, p.tick)); err != nil {
				return sent, took, err
			}
			continue
		}
		send(start + int64(due))
		sent += uint64(burst)
		p.sent.Add(uint64(burst))
	}
	return sent, took, ctx.Err()
}
