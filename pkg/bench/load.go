package bench

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// load sends through all endpoints, one after the other, and counts what arrives at them.
type load struct {
	c     *Config
	ends  []endpoint
	meter *meter
	pacer *Pacer
}

// amount is what was sent in the measured time.
type amount struct {
	packets uint64
	took    time.Duration
}

func newLoad(c *Config, ends []endpoint) (*load, error) {
	p, err := NewPacer(c.Tick)
	if err != nil {
		return nil, err
	}
	return &load{c: c, ends: ends, meter: newMeter(), pacer: p}, nil
}

// run warms up, calls begin, and sends what is measured. It returns when all that is still under way has had its time to arrive, and ends the
// endpoints.
func (l *load) run(ctx context.Context, phase string, warmUp, duration time.Duration, begin func() error) (sent amount, err error) {
	parent := ctx
	receivers, ctx := errgroup.WithContext(ctx)
	for _, e := range l.ends {
		receivers.Go(func() error { return e.receive(l.meter) })
	}
	watched := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(watched)
		l.watch(phase, done)
	}()
	err = l.send(ctx, warmUp, duration, begin, &sent)
	close(done)
	<-watched
	for _, e := range l.ends {
		e.stop()
	}
	broken := receivers.Wait()
	_ = l.pacer.Close()
	switch {
	case parent.Err() != nil:
		return sent, context.Cause(parent)
	case broken != nil:
		return sent, fmt.Errorf("a connection to the server broke: %w", broken)
	}
	return sent, err
}

func (l *load) send(ctx context.Context, warmUp, duration time.Duration, begin func() error, sent *amount) (err error) {
	next := 0
	burst := func(tag uint64) func(int64) {
		return func(int64) {
			l.ends[next].send(tag)
			next = (next + 1) % len(l.ends)
		}
	}
	if _, _, err = l.pacer.Run(ctx, warmUp, l.c.Rate, l.c.Burst, burst(l.meter.warmUp())); err != nil {
		return err
	}
	if err = begin(); err != nil {
		return err
	}
	l.pacer.sent.Store(0)
	if sent.packets, sent.took, err = l.pacer.Run(ctx, duration, l.c.Rate, l.c.Burst, burst(l.meter.tag)); err != nil {
		return err
	}
	return l.settle(ctx, sent.packets)
}

const (
	settleWithin = 500 * time.Millisecond // how long packets can be under way
	settleStep   = 50 * time.Millisecond  // nothing has arrived for so long: nothing will
)

// settle waits for what is still under way.
func (l *load) settle(ctx context.Context, sent uint64) error {
	var last uint64
	for range settleWithin / settleStep {
		got := l.meter.received.Load()
		if got == last && got > 0 || got >= sent {
			return nil
		}
		last = got
		if err := l.pacer.timer.sleep(settleStep); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// watchEvery is how often progress is reported.
const watchEvery = 500 * time.Millisecond

// watch reports progress until done is closed.
func (l *load) watch(phase string, done <-chan struct{}) {
	if l.c.Progress == nil {
		return
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var sent, got uint64
	for last := time.Now(); ; {
		select {
		case <-tick.C:
		case <-done:
			return
		}
		nowSent, nowGot := l.pacer.sent.Load(), l.meter.received.Load()
		if nowSent < sent { // the measurement has begun
			sent, got, last = 0, 0, time.Now()
			continue
		}
		seconds := time.Since(last).Seconds()
		if nowGot == 0 {
			l.c.Progress(Progress{Phase: "warming up", Offered: float64(nowSent-sent) / seconds})
		} else {
			l.c.Progress(Progress{Phase: phase, Offered: float64(nowSent-sent) / seconds, Got: float64(nowGot-got) / seconds,
				Loss: lossPercent(nowSent, nowGot), P99: l.meter.latency.Quantile(0.99)})
		}
		sent, got, last = nowSent, nowGot, time.Now()
	}
}
