package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/pion/stun"
)

// Connect is what it takes to open one connection, and to keep it. Over TLS and DTLS every one takes a full handshake.
type Connect struct {
	PerSecond     float64  `json:"per_second"`
	CPU           *float64 `json:"cpu_us,omitempty"`
	PerCoreSecond *float64 `json:"per_core_second,omitempty"` // how many one processor could open in a second: 1e6 / CPU
	Memory        *int64   `json:"memory_bytes,omitempty"`    // resident, after Config.Duration without a packet
}

// connect opens a connection without an allocation. A TLS 1.3 client has shaken hands before its server has, and a TCP client is connected before
// its server knows, so a connection counts when it has answered a Binding request.
func (s *session) connect(ctx context.Context, c *Config) (err error) {
	if s.client, err = dial(ctx, c); err != nil {
		return err
	}
	return s.client.ping(ctx)
}

// ping sends a Binding request. Any answer will do: a server may demand a credential.
func (t *client) ping(ctx context.Context) error {
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.Fingerprint)
	if err != nil {
		return err
	}
	if _, err = t.roundTrip(ctx, m); err != nil {
		return t.c.explain(err)
	}
	return nil
}

// hold leaves the connections alone, reads what they take, and counts those as failed that the server has closed meanwhile.
func (r *Report) hold(ctx context.Context, c *Config, sessions []*session, took time.Duration, before, opened Usage) error {
	r.Connect = &Connect{PerSecond: Rounded(float64(len(sessions)) / took.Seconds())}
	c.announce("holding idle connections")
	end := time.NewTimer(c.Duration)
	defer end.Stop()
	select {
	case <-end.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	idle, err := UsageOf(c.PIDs)
	if err != nil {
		return err
	}
	if len(c.PIDs) > 0 {
		cpu := Microseconds(opened.CPU-before.CPU) / float64(len(sessions))
		one, perCore, memory := Rounded(cpu), Rounded(1e6/cpu), (idle.RSS-before.RSS)/int64(len(sessions))
		r.Connect.CPU, r.Connect.PerCoreSecond, r.Connect.Memory, r.RSS = &one, &perCore, &memory, &idle.RSS
	}
	each(sessions, func(_ int, s *session) {
		if err := s.client.ping(ctx); err != nil {
			s.err = fmt.Errorf("a connection that was idle for %v is of no more use: %w", c.Duration, err)
		}
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	live, closed, first := working(sessions, false)
	r.Sessions, r.Failed = len(live), r.Failed+closed
	if r.FirstError == nil {
		r.FirstError = first
	}
	return nil
}
