package bench

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestPacer tells each call when it was due, whenever it got to it.
func TestPacer(t *testing.T) {
	second := func(p *Pacer, send func(int64)) (uint64, error) {
		sent, _, err := p.Run(t.Context(), 100*time.Millisecond, 1000, 1, send)
		return sent, err
	}
	for _, tt := range []struct {
		name    string
		run     func(p *Pacer, send func(due int64)) (uint64, error)
		stall   time.Duration // of the fifth call
		calls   [2]int        // least and most
		apart   int64         // nanoseconds between two that are due
		perCall uint64
	}{
		{"a duration", second, 0, [2]int{6, 100}, 1e6, 1},
		{"a stall is caught up with", second, 30 * time.Millisecond, [2]int{6, 100}, 1e6, 1},
		{"bursts", func(p *Pacer, send func(int64)) (uint64, error) {
			sent, _, err := p.Run(t.Context(), 100*time.Millisecond, 1000, 4, send)
			return sent, err
		}, 0, [2]int{1, 25}, 4e6, 4},
		{"a number", func(p *Pacer, send func(int64)) (uint64, error) {
			_, err := p.Count(t.Context(), 30, 1000, send)
			return p.Sent(), err
		}, 0, [2]int{30, 30}, 1e6, 1},
		{"a number with a stall", func(p *Pacer, send func(int64)) (uint64, error) {
			_, err := p.Count(t.Context(), 30, 1000, send)
			return p.Sent(), err
		}, 50 * time.Millisecond, [2]int{30, 30}, 1e6, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := NewPacer(MinTick)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			start, calls, last := Clock(), 0, int64(0)
			sent, err := tt.run(p, func(due int64) {
				if now := Clock(); due > now || due < start {
					t.Errorf("call %d was due at %d, called between %d and %d", calls, due, start, now)
				}
				if apart := due - last; calls > 0 && (apart < tt.apart-1 || apart > tt.apart+1) {
					t.Errorf("call %d was due %d ns after the one before", calls, apart)
				}
				if calls++; calls == 5 {
					time.Sleep(tt.stall)
				}
				last = due
			})
			if err != nil || calls < tt.calls[0] || calls > tt.calls[1] || sent != uint64(calls)*tt.perCall || p.Sent() != sent {
				t.Errorf("%d calls, %d sent, %d in all, %v", calls, sent, p.Sent(), err)
			}
		})
	}
}

// TestPacerEnds with its context.
func TestPacerEnds(t *testing.T) {
	p, err := NewPacer(MinTick)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := p.Count(ctx, 1000, 1000, func(int64) { cancel() }); !errors.Is(err, context.Canceled) || p.Sent() != 1 {
		t.Errorf("%d sent, %v", p.Sent(), err)
	}
}
