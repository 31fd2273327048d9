// Package bench loads a TURN server as its clients do and measures what the server makes of it. Each session is an allocation with a
// channel; packets flow through it both ways at a steady rate, and each carries the moment that it was sent:
//
//	client --ChannelData--> server --UDP--> peer     and back
//	client A --ChannelData--> server --ChannelData--> client B     and back, in a pair
//
// Or it only connects, and measures what a connection costs.
//
// Read Run for the phases, frames.go for what a packet looks like, endpoint.go for how it is sent and received, secure.go for TLS and DTLS.
package bench

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
)

// Config says what load is put on which server. Numbers without a word on zero must not be zero.
type Config struct {
	Server             netip.AddrPort
	Transport          string // of the clients, one of Transports
	TLSVersion         string // over TLS, one of TLSVersions only; empty: the newest that the server has
	ServerName         string // that the clients ask for over TLS and DTLS; may be empty
	Username, Password string
	Remote             bool  // load addresses, too, that are neither the server's own nor Near
	PIDs               []int // the server's processes; empty, or not Readable: what it costs is not measured

	Sessions     int           // even in a Pair
	Size         int           // bytes of payload, MinSize at least
	Rate         int           // packets offered in a second, over all sessions and both directions
	Burst        int           // packets that a session sends at once
	Tick         time.Duration // MinTick at least: the load is sent no more often, what is due meanwhile at once
	Pair         bool          // sessions are each other's peers
	WarmUp       time.Duration // load before the measurement; may be 0
	Duration     time.Duration // load that is measured; see MaxDuration
	AllocateOnly bool          // no load
	ConnectOnly  bool          // no allocations either: Sessions connections that stay idle for Duration; not over UDP
	Baseline     bool          // measure the same load without a relay, too
	Flood        int           // requests a second that the server must refuse, beside the load; may be 0

	Progress func(Progress) // may be nil; called twice a second, by one goroutine at a time

	answerWithin time.Duration // 0: the constant; shorter in tests
}

// Transports are the ones between client and server that there are.
func Transports() []string { return []string{"udp", "tcp", "tls", "dtls"} }

// MaxSize is the largest payload in bytes that goes through a transport: what fits a UDP datagram on loopback, or a DTLS record that
// both ends read into 8 KiB.
func MaxSize(transport string) int {
	if transport == "dtls" {
		return 8_000
	}
	return 65_000
}

// MaxDuration is how long a run can take: nothing refreshes permissions, which live for five minutes (RFC 8656 section 9).
const MaxDuration = 4 * time.Minute

// Progress is the state of a load that runs.
type Progress struct {
	Phase        string // what is going on
	Offered, Got float64
	Loss         float64 // percent so far, packets under way included
	P99          time.Duration
}

// Report is the outcome. Its JSON names are stable. What has not been measured is absent.
type Report struct {
	Server    string `json:"server"`
	Transport string `json:"transport"`
	Pair      bool   `json:"pair"`
	Sessions  int    `json:"sessions"` // that could be set up
	Failed    int    `json:"failed"`   // that could not
	Size      int    `json:"size"`
	Burst     int    `json:"burst"`
	*Traffic
	Allocate   *Allocate `json:"allocate,omitempty"`
	Connect    *Connect  `json:"connect,omitempty"`
	Flood      *Flood    `json:"flood,omitempty"`
	RSS        *int64    `json:"rss_bytes,omitempty"`  // of the server, with all sessions open
	Encryption string    `json:"encryption,omitempty"` // what TLS or DTLS has negotiated

	FirstError error `json:"-"` // of the failed sessions
}

// Traffic is what became of the packets.
type Traffic struct {
	Offered      float64      `json:"offered_pps"`
	Relayed      float64      `json:"relayed_pps"`
	Loss         float64      `json:"loss_pct"`
	Reordered    uint64       `json:"reordered"` // packets
	CPUPerPacket *float64     `json:"cpu_us_per_packet,omitempty"`
	CPUCores     *float64     `json:"cpu_cores,omitempty"`
	Latency      Latency      `json:"latency_us"` // one way
	Baseline     *Latency     `json:"baseline_latency_us,omitempty"`
	Added        *Percentiles `json:"added_latency_us,omitempty"` // differences of the percentiles
}

// Percentiles are in microseconds.
type Percentiles struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
}

// Latency is a distribution in microseconds.
type Latency struct {
	Percentiles
	Max float64 `json:"max"`
}

// Allocate is what it takes to set up one session: Allocate, with the challenge, and ChannelBind.
type Allocate struct {
	PerSecond float64  `json:"per_second"`
	CPU       *float64 `json:"cpu_us,omitempty"`
	Memory    *int64   `json:"memory_bytes,omitempty"` // resident; says something for hundreds of sessions and more
}

// Flood is what was sent beside the load.
type Flood struct {
	Offered  float64 `json:"offered_per_second"`
	Answered float64 `json:"answered_per_second"`
}

// Run connects, allocates or loads as c says. With a load it measures without a relay, sets up the sessions, warms up, measures, and
// gives the allocations back. Sessions that cannot be set up are counted in the report; it is an error when none can, or when nothing
// comes through.
func Run(ctx context.Context, c Config) (*Report, error) {
	if err := probe(ctx, &c); err != nil {
		return nil, err
	}
	var baseline *Latency
	if c.Baseline && !c.AllocateOnly && !c.ConnectOnly {
		var err error
		if baseline, err = measureBaseline(ctx, &c); err != nil {
			return nil, fmt.Errorf("measure without a relay: %w", err)
		}
	}
	if !Readable {
		c.PIDs = nil
	}
	before, err := UsageOf(c.PIDs)
	if err != nil {
		return nil, err
	}
	c.announce("opening sessions")
	sessions, took, err := openSessions(ctx, &c)
	if err != nil {
		return nil, err
	}
	defer closeSessions(sessions)
	after, err := UsageOf(c.PIDs)
	if err != nil {
		return nil, err
	}
	live, failed, first := working(sessions, c.Pair)
	if len(live) == 0 {
		return nil, first
	}
	r := &Report{Server: c.Server.String(), Transport: c.Transport, Pair: c.Pair, Sessions: len(live), Failed: failed, Size: c.Size, Burst: c.Burst,
		Encryption: live[0].client.encryption(), FirstError: first}
	if c.ConnectOnly {
		return r, r.hold(ctx, &c, live, took, before, after)
	}
	r.allocated(&c, took, before, after)
	if c.AllocateOnly {
		return r, nil
	}
	return r, r.load(ctx, &c, live, baseline)
}

// allocated adds what the sessions cost to the report.
func (r *Report) allocated(c *Config, took time.Duration, before, after Usage) {
	r.Allocate = &Allocate{PerSecond: Rounded(float64(r.Sessions) / took.Seconds())}
	if len(c.PIDs) > 0 {
		cpu, memory := Rounded(Microseconds(after.CPU-before.CPU)/float64(r.Sessions)), (after.RSS-before.RSS)/int64(r.Sessions)
		r.Allocate.CPU, r.Allocate.Memory, r.RSS = &cpu, &memory, &after.RSS
	}
}

// probe opens and gives back one allocation, or connection, so that what is wrong with all of them is said once, and so that the server has
// done what it does only once when the sessions are measured.
func probe(ctx context.Context, c *Config) error {
	c.announce("connecting")
	t, err := dial(ctx, c)
	if err != nil {
		return err
	}
	defer t.close()
	if c.ConnectOnly {
		return t.ping(ctx)
	}
	if err := t.allocate(ctx); err != nil {
		return err
	}
	if err := t.release(ctx); err != nil {
		return fmt.Errorf("give an allocation back: %w", err)
	}
	return nil
}

// baselineTime is how long is measured without a relay, at most.
const baselineTime = 2 * time.Second

func measureBaseline(ctx context.Context, c *Config) (*Latency, error) {
	all, closeAll, err := directEnds(c)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	l, err := newLoad(c, all)
	if err != nil {
		return nil, err
	}
	short := min(c.Duration, baselineTime)
	if _, err := l.run(ctx, "without a relay", min(c.WarmUp, short), short, func() error { return nil }); err != nil {
		return nil, err
	}
	latency := l.meter.latency.Latency()
	return &latency, nil
}

// load adds the traffic through the sessions to the report.
func (r *Report) load(ctx context.Context, c *Config, sessions []*session, baseline *Latency) (err error) {
	all, err := ends(sessions, c)
	if err != nil {
		return err
	}
	if c.Flood == 0 {
		l, err := newLoad(c, all)
		if err != nil {
			return err
		}
		return r.measure(ctx, c, l, baseline)
	}
	f, err := newFlood(ctx, c)
	if err != nil {
		return err
	}
	defer f.close()
	l, err := newLoad(c, all) // last: only its run closes it
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	ctx, cancel := context.WithCancel(ctx)
	g.Go(func() error { return f.run(ctx, c.Flood) })
	g.Go(func() error {
		defer cancel()
		start := time.Now()
		err := r.measure(ctx, c, l, baseline)
		took := time.Since(start).Seconds()
		r.Flood = &Flood{Offered: Rounded(float64(f.pacer.sent.Load()) / took), Answered: Rounded(float64(f.answered.Load()) / took)}
		return err
	})
	return g.Wait()
}

func (r *Report) measure(ctx context.Context, c *Config, l *load, baseline *Latency) error {
	var before Usage
	sent, err := l.run(ctx, "measuring", c.WarmUp, c.Duration, func() (err error) {
		before, err = UsageOf(c.PIDs)
		return err
	})
	if err != nil {
		return err
	}
	after, err := UsageOf(c.PIDs)
	if err != nil {
		return err
	}
	got := l.meter.received.Load()
	// Where each end was sent something twice, and half of them got nothing, a direction is closed: that is no loss.
	silent, all := l.meter.silent.Load(), uint64(len(l.ends))
	if got == 0 || 2*silent >= all && sent.packets >= 2*all*uint64(c.Burst) {
		return fmt.Errorf("nothing arrived at %d of %d ends: the server must be allowed to relay to this machine (turn.allow_peers of maitred) and have relay ports, "+
			"or measure pairs, which need neither", silent, all)
	}
	r.Traffic = &Traffic{Offered: Rounded(float64(sent.packets) / sent.took.Seconds()), Relayed: Rounded(float64(got) / sent.took.Seconds()),
		Loss: Rounded(lossPercent(sent.packets, got)), Reordered: l.meter.reordered.Load(), Latency: l.meter.latency.Latency(), Baseline: baseline}
	if len(c.PIDs) > 0 {
		cpu := after.CPU - before.CPU
		perPacket, cores := Rounded(Microseconds(cpu)/float64(got)), Rounded(cpu.Seconds()/sent.took.Seconds())
		r.CPUPerPacket, r.CPUCores = &perPacket, &cores
	}
	if baseline != nil {
		r.Added = &Percentiles{P50: Rounded(r.Latency.P50 - baseline.P50), P99: Rounded(r.Latency.P99 - baseline.P99), P999: Rounded(r.Latency.P999 - baseline.P999)}
	}
	return nil
}

// Microseconds is d as a report has it.
func Microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// Rounded leaves what a reader can use: three decimals.
func Rounded(f float64) float64 { return math.Round(f*1000) / 1000 }

func lossPercent(sent, got uint64) float64 {
	if got >= sent {
		return 0
	}
	return 100 * float64(sent-got) / float64(sent)
}

func (c *Config) announce(phase string) {
	if c.Progress != nil {
		c.Progress(Progress{Phase: phase})
	}
}
