// Package signaling loads a signaling server as the members of its rooms do and measures what the server makes of it. Members join at a steady
// rate, stay idle for a while, and then send each other messages at a steady rate; each message carries the moment that it was due:
//
//	member A --signal {to: B}--> server --signal--> member B
//	member A --broadcast-------> server --broadcast--> all others of the room
//
// Latencies count from when something was due, not from when the generator got to it, so that a server that stalls cannot hide it.
//
// Read Run for the phases, protocol.go for what is said, meter.go for what a message looks like, socket.go for the WebSocket.
package signaling

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/maitred/maitred/pkg/bench"
)

// Config says what load is put on which server. Numbers without a word on zero must not be zero.
type Config struct {
	URL      *url.URL       // ws or wss, with a path
	Server   netip.AddrPort // the address of its host
	Protocol string         // one of Protocols
	Tokens   []string       // join tokens, one for each room and one more with a Flood; empty: the server wants none
	PIDs     []int          // the server's processes; empty, or not bench.Readable: what it costs is not measured

	Rooms, Members int           // members of each room
	Joins          int           // a second
	Settle         time.Duration // idle before memory is read; may be 0
	Messages       int           // sent in a second by all together; 0: no load
	Size           int           // bytes of data, MinSize to MaxSize
	FanOut         bool          // to all others of a room instead of one
	Flood          int           // members of one more room that send as fast as the server lets them; may be 0
	Tick           time.Duration // bench.MinTick at least: what is due meanwhile is sent at once
	WarmUp         time.Duration // load before the measurement; may be 0
	Duration       time.Duration // load that is measured

	Progress func(Progress) // may be nil; called twice a second, by one goroutine at a time

	protocol protocol
	patience time.Duration // 0: the constants; shorter in tests
}

// Progress is the state of a run.
type Progress struct {
	Phase           string // what is going on
	Joined          int    // members
	Sent, Delivered float64
	Lost            uint64 // so far, messages under way included
	P99             time.Duration
}

// Report is the outcome. Its JSON names are stable. What has not been measured is absent.
type Report struct {
	Server     string            `json:"server"`
	Protocol   string            `json:"protocol"`
	Rooms      int               `json:"rooms"`
	Members    int               `json:"members"` // of a room
	Size       int               `json:"size"`
	FanOut     bool              `json:"fan_out"`
	Joined     int               `json:"joined"` // members that could
	Failed     int               `json:"failed"` // that could not
	Join       Join              `json:"join"`
	Idle       *Idle             `json:"idle,omitempty"`
	Messages   *Messages         `json:"messages,omitempty"`
	Flood      *Flood            `json:"flood,omitempty"`
	RSS        *int64            `json:"rss_bytes,omitempty"` // of the server, at the end of the load
	Errors     map[string]uint64 `json:"errors"`              // by kind
	FirstError error             `json:"-"`
}

// Join is what it takes to become a member.
type Join struct {
	PerSecond float64       `json:"per_second"`
	Latency   bench.Latency `json:"latency_us"` // from when it was due to connect until it has its seat
	CPU       *float64      `json:"cpu_us,omitempty"`
}

// Idle is what members take who only are there.
type Idle struct {
	Memory int64 `json:"memory_bytes_per_connection"` // resident: the difference to a server without members
	RSS    int64 `json:"rss_bytes"`
}

// Messages is what became of the messages.
type Messages struct {
	Sent       float64        `json:"sent_per_second"`
	Delivered  float64        `json:"delivered_per_second"`
	Lost       uint64         `json:"lost"` // deliveries
	Loss       float64        `json:"loss_pct"`
	Duplicates uint64         `json:"duplicates"`
	Latency    bench.Latency  `json:"latency_us"`           // from when it was due to be sent until it was read, of every delivery
	FanOut     *bench.Latency `json:"fan_out_us,omitempty"` // until the last of the room has it
	CPU        *float64       `json:"cpu_us_per_delivered,omitempty"`
	Cores      *float64       `json:"cpu_cores,omitempty"`
	Generator  Generator      `json:"generator"`
}

// Generator is what the load cost this side.
type Generator struct {
	Late  bench.Latency `json:"late_us"` // from when a message was due until it was about to be sent
	Cores *float64      `json:"cpu_cores,omitempty"`
}

// Flood is the room whose members send as fast as they can, and how the others fared beside it.
type Flood struct {
	Members  int       `json:"members"`
	Sent     float64   `json:"sent_per_second"`
	Closed   uint64    `json:"closed"` // connections that the server ended; their members came back
	Messages *Messages `json:"messages"`
}

// CheckDescriptors tells whether the process may open as many sockets as there are members.
func (c *Config) CheckDescriptors() error {
	n := c.Rooms*c.Members + c.Flood
	return bench.NeedDescriptors(n, fmt.Sprintf("%d members", n))
}

// Run lets all members join, measures them idle, loads as c says, once more with a flood if there is one, and lets them leave. Members that cannot join and
// connections that end are counted in the report; it is an error when none can join, when many cannot, or when nothing comes through.
func Run(ctx context.Context, c Config) (*Report, error) {
	c.protocol = protocolOf(c.Protocol)
	if !bench.Readable {
		c.PIDs = nil
	}
	w := newCrowd(&c)
	if err := w.probe(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	beside, ctx := errgroup.WithContext(ctx)
	beside.Go(func() error { return w.watch(ctx) })
	beside.Go(func() error { return w.beat(ctx) })
	r := &Report{Server: c.URL.String(), Protocol: c.Protocol, Rooms: c.Rooms, Members: c.Members, Size: c.Size, FanOut: c.FanOut}
	err := r.measure(ctx, w)
	if err == nil {
		w.part(ctx)
	}
	cancel()
	w.close()
	if broken := beside.Wait(); err == nil {
		err = broken
	}
	r.Errors, r.FirstError = w.failures.all()
	if err != nil {
		return nil, err
	}
	return r, nil
}

// measure goes through the phases.
func (r *Report) measure(ctx context.Context, w *crowd) error {
	before, err := bench.UsageOf(w.c.PIDs)
	if err != nil {
		return err
	}
	if err := r.gather(ctx, w, before); err != nil {
		return err
	}
	if err := r.idle(ctx, w, before); err != nil || w.c.Messages == 0 {
		return err
	}
	if r.Messages, err = w.load(ctx, "measuring"); err != nil {
		return err
	}
	if w.c.Flood > 0 {
		if r.Flood, err = w.loadBesideFlood(ctx); err != nil {
			return err
		}
	}
	after, err := bench.UsageOf(w.c.PIDs)
	if len(w.c.PIDs) > 0 {
		r.RSS = &after.RSS
	}
	return err
}

// gather lets the members join.
func (r *Report) gather(ctx context.Context, w *crowd, before bench.Usage) error {
	w.announce("joining")
	var latency bench.Histogram
	took, err := w.gather(ctx, &latency)
	if err != nil {
		return err
	}
	r.Joined = int(w.joined.Load())
	r.Failed = len(w.members) - r.Joined
	if r.Joined == 0 {
		_, first := w.failures.all()
		return first
	}
	r.Join = Join{PerSecond: bench.Rounded(float64(r.Joined) / took.Seconds()), Latency: latency.Latency()}
	if len(w.c.PIDs) == 0 {
		return nil
	}
	after, err := bench.UsageOf(w.c.PIDs)
	cpu := bench.Rounded(bench.Microseconds(after.CPU-before.CPU) / float64(r.Joined))
	r.Join.CPU = &cpu
	return err
}

// idle leaves the members alone and reads what they take.
func (r *Report) idle(ctx context.Context, w *crowd, before bench.Usage) error {
	if len(w.c.PIDs) == 0 {
		return nil
	}
	w.announce("idle")
	end := time.NewTimer(w.c.Settle)
	defer end.Stop()
	select {
	case <-end.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	now, err := bench.UsageOf(w.c.PIDs)
	r.Idle = &Idle{Memory: (now.RSS - before.RSS) / int64(r.Joined), RSS: now.RSS}
	return err
}

// own is what this process has used.
func own() (bench.Usage, error) {
	if !bench.Readable {
		return bench.Usage{}, nil
	}
	return bench.UsageOf([]int{os.Getpid()})
}
