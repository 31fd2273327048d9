package bench

import (
	"context"
	"sync/atomic"
	"time"
)

// MinTick is the shortest useful Config.Tick: less than the system needs to wake somebody.
const MinTick = 50 * time.Microsecond

// pacer calls a function at a steady rate.
type pacer struct {
	timer *timer
	tick  time.Duration // it does not wake more often
	sent  atomic.Uint64 // how much the calls of all runs sent, for those who look on
}

func newPacer(tick time.Duration) (*pacer, error) {
	t, err := newTimer()
	return &pacer{timer: t, tick: tick}, err
}

func (p *pacer) close() error { return p.timer.close() }

// run calls send, which sends burst packets, so often that rate packets are sent in a second, until duration is over or ctx ends.
// What is late, because send took too long or the processor was taken away, is caught up with. It returns how many packets were sent in what time.
func (p *pacer) run(ctx context.Context, duration time.Duration, rate, burst int, send func()) (sent uint64, took time.Duration, err error) {
	start := clock()
	for ctx.Err() == nil {
		took = time.Duration(clock() - start)
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
		send()
		sent += uint64(burst)
		p.sent.Add(uint64(burst))
	}
	return sent, took, ctx.Err()
}
