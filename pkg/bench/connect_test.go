package bench

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun"
)

// TestConnectOnly asks for nothing but Binding: to see a connection open, and to see it still open.
func TestConnectOnly(t *testing.T) {
	const sessions = 20
	for _, transport := range Transports()[1:] {
		t.Run(transport, func(t *testing.T) {
			var asked, other atomic.Int64
			c := fakeServer(t, transport, func(m *stun.Message) *stun.Message {
				if m.Type != stun.BindingRequest {
					other.Add(1)
				}
				asked.Add(1)
				return success(m, netip.AddrPort{}, "")
			})
			c.ConnectOnly, c.Sessions, c.Duration, c.PIDs = true, sessions, 20*time.Millisecond, []int{os.Getpid()}
			r, err := Run(t.Context(), *c)
			if err != nil {
				t.Fatal(err)
			}
			if r.Sessions != sessions || r.Failed != 0 || r.Allocate != nil || r.Traffic != nil || r.Connect == nil || r.Connect.PerSecond <= 0 {
				t.Fatalf("%+v", r)
			}
			if measured := r.Connect.CPU != nil && r.Connect.PerCoreSecond != nil && r.Connect.Memory != nil && r.RSS != nil; measured != Readable {
				t.Errorf("%+v", r.Connect)
			}
			if Readable && (*r.Connect.CPU <= 0 || *r.Connect.PerCoreSecond < 0.99e6 / *r.Connect.CPU || *r.Connect.PerCoreSecond > 1.01e6 / *r.Connect.CPU) {
				t.Errorf("%v µs, %v a second", *r.Connect.CPU, *r.Connect.PerCoreSecond)
			}
			if encrypted := r.Encryption != ""; encrypted != (transport != "tcp") {
				t.Errorf("encryption %q", r.Encryption)
			}
			if asked.Load() != 1+2*sessions || other.Load() != 0 {
				t.Errorf("%d requests, %d of them not Binding", asked.Load(), other.Load())
			}
		})
	}
}

// TestConnectOnlyRefused counts: whoever answers is there.
func TestConnectOnlyRefused(t *testing.T) {
	c := fakeServer(t, "tls", challenge)
	c.ConnectOnly, c.Sessions, c.Duration = true, 2, time.Millisecond
	if r, err := Run(t.Context(), *c); err != nil || r.Sessions != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestHold notices what the server gave up in the meantime.
func TestHold(t *testing.T) {
	const sessions, lost = 6, 2
	for _, transport := range Transports()[1:] {
		t.Run(transport, func(t *testing.T) {
			var asked atomic.Int64
			c := fakeServer(t, transport, func(m *stun.Message) *stun.Message {
				if asked.Add(1) > 1+2*sessions-lost {
					return nil
				}
				return success(m, netip.AddrPort{}, "")
			})
			c.ConnectOnly, c.Sessions, c.Duration, c.answerWithin = true, sessions, 20*time.Millisecond, 400*time.Millisecond
			r, err := Run(t.Context(), *c)
			if err != nil {
				t.Fatal(err)
			}
			if r.Sessions != sessions-lost || r.Failed != lost {
				t.Errorf("%d live, %d failed", r.Sessions, r.Failed)
			}
			if !errors.Is(r.FirstError, errUnanswered) || !strings.Contains(r.FirstError.Error(), "idle for 20ms is of no more use: no answer") {
				t.Error(r.FirstError)
			}
		})
	}
}

// TestHoldEnds with its context.
func TestHoldEnds(t *testing.T) {
	stopped := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	c := fakeServer(t, "tcp", func(m *stun.Message) *stun.Message { return success(m, netip.AddrPort{}, "") })
	c.ConnectOnly, c.Duration = true, time.Hour
	c.Progress = func(p Progress) {
		if strings.HasPrefix(p.Phase, "holding") {
			cancel(stopped)
		}
	}
	if _, err := Run(ctx, *c); !errors.Is(err, stopped) {
		t.Errorf("ended with %v", err)
	}
}
