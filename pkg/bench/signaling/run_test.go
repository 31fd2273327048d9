package signaling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/maitred/maitred/pkg/bench"
)

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name     string
		change   func(*Config)
		receives int // how many get one message
	}{
		{"pairs", func(*Config) {}, 1},
		{"a room of five", func(c *Config) { c.Rooms, c.Members = 1, 5 }, 1},
		{"to all", func(c *Config) { c.Members, c.FanOut = 4, true }, 3},
		{"largest messages", func(c *Config) { c.Size, c.Messages = MaxSize, 100 }, 1},
		{"smallest messages without a warm-up", func(c *Config) { c.Size, c.WarmUp = MinSize, 0 }, 1},
		{"more senders than members", func(c *Config) { c.Rooms, c.Messages = 1, 2*perSender; c.Duration = 50 * time.Millisecond }, 1},
		{"PeerJS", func(c *Config) { c.Protocol, c.URL.Path = "peerjs", "/peerjs" }, 1},
		{"PeerJS to all", func(c *Config) { c.Protocol, c.URL.Path, c.Members, c.FanOut = "peerjs", "/peerjs", 4, true }, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{}
			c := fakeServer(t, f)
			tt.change(&c)
			if bench.Readable {
				c.PIDs = []int{os.Getpid()}
			}
			r, err := Run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			all := c.Rooms * c.Members
			if r.Joined != all || r.Failed != 0 || len(r.Errors) != 0 || r.FirstError != nil || r.Join.PerSecond <= 0 || r.Join.PerSecond > 1.1*float64(c.Joins) {
				t.Errorf("%+v", r)
			}
			m := r.Messages
			if m.Sent <= 0 || m.Sent > 1.1*float64(c.Messages) || m.Lost != 0 || m.Loss != 0 || m.Duplicates != 0 {
				t.Errorf("%+v", m)
			}
			if ratio := m.Delivered / m.Sent; ratio < float64(tt.receives)-0.001 || ratio > float64(tt.receives)+0.001 {
				t.Errorf("%f sent, %f delivered", m.Sent, m.Delivered)
			}
			latencies := []bench.Latency{r.Join.Latency, m.Latency}
			if (m.FanOut != nil) != c.FanOut {
				t.Errorf("until all have it: %v", m.FanOut)
			} else if c.FanOut {
				latencies = append(latencies, *m.FanOut)
			}
			for _, l := range latencies {
				if l.P50 <= 0 || l.P50 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max {
					t.Errorf("latency %+v", l)
				}
			}
			if bench.Readable && (*r.Join.CPU <= 0 || r.Idle.RSS <= 0 || *r.RSS <= 0 || *m.CPU <= 0 || *m.Cores <= 0 || *m.Generator.Cores <= 0) {
				t.Errorf("%+v, %+v, %+v", r, r.Idle, m)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.joined != all+1 || c.Protocol == "maitred" && f.left != all+1 {
				t.Errorf("%d joined, %d left; one more is the probe", f.joined, f.left)
			}
		})
	}
}

// TestRunWithoutMessages measures the joins only.
func TestRunWithoutMessages(t *testing.T) {
	f := &fake{}
	c := fakeServer(t, f)
	c.Messages, c.Members = 0, 1
	r, err := Run(t.Context(), c)
	if err != nil || r.Joined != 3 || r.Messages != nil || f.messages != 0 || r.Idle != nil {
		t.Errorf("%+v, %v; %d messages", r, err, f.messages)
	}
}

// TestRunJoinsAtItsRate and not sooner.
func TestRunJoinsAtItsRate(t *testing.T) {
	c := fakeServer(t, &fake{})
	c.Rooms, c.Joins, c.Messages = 10, 100, 0
	r, err := Run(t.Context(), c)
	if err != nil || r.Join.PerSecond > 101 || r.Join.PerSecond < 10 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestRunTokens sends each with the joins of its room, and one of them with the probe.
func TestRunTokens(t *testing.T) {
	f := &fake{}
	c := fakeServer(t, f)
	c.Rooms, c.Flood = 2, 2
	c.Tokens = []string{tokenFor(`{"room":"blue"}`), tokenFor(`{"room":"green"}`), tokenFor(`{"room":"flooded"}`)}
	if _, err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	want := append([]string{c.Tokens[0]}, c.Tokens[0], c.Tokens[0], c.Tokens[1], c.Tokens[1], c.Tokens[2], c.Tokens[2])
	slices.Sort(want)
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.Sort(f.tokens)
	if !slices.Equal(f.tokens, want) || len(f.rooms) != 3 {
		t.Errorf("%q in %d rooms, want %q", f.tokens, len(f.rooms), want)
	}
}

// TestRunFlood measures once more beside it, and lets those come back whom the server throws out.
func TestRunFlood(t *testing.T) {
	for _, protocol := range Protocols() {
		t.Run(protocol, func(t *testing.T) {
			flooder := func(s *seat) bool {
				return strings.HasSuffix(s.room, "-3") || strings.HasSuffix(s.id, "-6") || strings.HasSuffix(s.id, "-7")
			}
			thrown := false
			f := &fake{faults: faults{after: func(s *seat, _ int) {
				if !thrown && flooder(s) {
					thrown = true
					_ = s.ws.CloseNow()
				}
			}}}
			c := fakeServer(t, f)
			c.Flood, c.Protocol, c.URL.Path, c.Messages = 2, protocol, Path(protocol), 50
			c.Duration = time.Second // for coming back
			r, err := Run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if r.Flood.Members != 2 || r.Flood.Sent <= 0 || r.Flood.Closed != 1 || r.Flood.Messages.Delivered <= 0 || r.Messages.Delivered <= 0 || len(r.Errors) != 0 {
				t.Errorf("%+v, %+v", r.Flood, r.Errors)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.joined != 1+6+2+1 {
				t.Errorf("%d joined: the probe, the members, those who flood, and one of them again", f.joined)
			}
		})
	}
}

// TestRunCounts what goes wrong and goes on.
func TestRunCounts(t *testing.T) {
	for _, tt := range []struct {
		name      string
		faults    faults
		change    func(*Config)
		kinds     map[string]uint64
		failed    int
		lost, dup bool
		mayLose   bool // it depends on when
	}{
		{name: "a member cannot join", faults: faults{greet: func(n int) string { return map[bool]string{true: "room_full"}[n == 3] }}, kinds: map[string]uint64{"room_full": 1}, failed: 1},
		{name: "a message is lost", faults: faults{copies: func(n int) int { return min(1, n%7) }}, lost: true},
		{name: "a message comes twice", faults: faults{copies: func(n int) int { return 2 - min(1, n%7) }}, dup: true},
		{name: "to all, and a message comes twice", faults: faults{copies: func(n int) int { return 2 - min(1, n%7) }},
			change: func(c *Config) { c.FanOut = true }, dup: true},
		{name: "a connection is closed", faults: faults{after: func(s *seat, n int) {
			if n == 1 {
				go s.ws.Close(4008, "too slow") // waits for the client, which may be this message's sender
			}
		}}, kinds: map[string]uint64{"closed_4008": 1}, mayLose: true},
		{name: "a connection breaks", faults: faults{after: func(s *seat, n int) {
			if n == 1 {
				_ = s.ws.CloseNow()
			}
		}}, kinds: map[string]uint64{"lost": 1}, lost: true},
		{name: "an error about a message", faults: faults{after: func(s *seat, n int) {
			if n == 20 {
				_ = s.ws.Write(context.Background(), websocket.MessageText, []byte(`{"type":"error","code":"rate_limited","message":"slower"}`))
			}
		}}, kinds: map[string]uint64{"rate_limited": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{faults: tt.faults}
			c := fakeServer(t, f)
			if tt.change != nil {
				tt.change(&c)
			}
			r, err := Run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(r.Errors) != fmt.Sprint(tt.kinds) || (r.FirstError != nil) != (len(tt.kinds) > 0) || r.Failed != tt.failed || r.Joined != 6-tt.failed {
				t.Errorf("%v, %v, %d failed", r.Errors, r.FirstError, r.Failed)
			}
			m := r.Messages
			if !tt.mayLose && (m.Lost > 0) != tt.lost || (m.Loss > 0) != (m.Lost > 0) || (m.Duplicates > 0) != tt.dup || m.Delivered <= 0 {
				t.Errorf("%+v", m)
			}
		})
	}
}

// TestRunFails and says why.
func TestRunFails(t *testing.T) {
	always := func(code string) func(int) string { return func(int) string { return code } }
	butProbe := func(code string) func(int) string {
		return func(n int) string { return map[bool]string{true: code}[n > 1] }
	}
	nowhere := closedPort(t)
	for _, tt := range []struct {
		name   string
		faults faults
		change func(*Config)
		says   []string
	}{
		{"nobody listens", faults{}, func(c *Config) { c.Server = nowhere }, []string{"nobody listens at 127.0.0.1:"}},
		{"an address for something else", faults{accept: func(w http.ResponseWriter, _ int) bool { http.NotFound(w, nil); return true }}, nil, []string{"404 Not Found"}},
		{"the probe is refused", faults{greet: always("unauthorized")}, nil, []string{"the server answers unauthorized: no"}},
		{"no answer", faults{mute: true}, func(c *Config) { c.patience = 50 * time.Millisecond }, []string{"no answer from 127.0.0.1:", "is it a server that speaks maitred?"}},
		{"the server keeps a member that leaves", faults{sullen: true}, func(c *Config) { c.patience = 200 * time.Millisecond }, []string{"has not closed the connection of a member that left"}},
		{"nobody can join", faults{greet: butProbe("too_many_rooms")}, nil, []string{"the server answers too_many_rooms"}},
		{"many cannot join", faults{greet: butProbe("rate_limited")}, func(c *Config) { c.Rooms = 100 }, []string{"given up after 32 of 200 members could not join", "rate_limited"}},
		{"nobody has a partner", faults{greet: func(n int) string { return map[bool]string{true: "room_full"}[n%2 == 0] }}, func(c *Config) { c.Rooms, c.Joins = 1, 10 },
			[]string{"no room has two members", "room_full"}},
		{"nothing arrives", faults{copies: func(int) int { return 0 }}, func(c *Config) { c.patience = 500 * time.Millisecond }, []string{"nothing arrived of"}},
		{"a flood that cannot join", faults{greet: func(n int) string { return map[bool]string{true: "room_full"}[n > 7] }}, func(c *Config) { c.Flood = 2 },
			[]string{"prepare the flood", "room_full"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{faults: tt.faults}
			c := fakeServer(t, f)
			if tt.change != nil {
				tt.change(&c)
			}
			r, err := Run(t.Context(), c)
			if err == nil || r != nil {
				t.Fatalf("%+v", r)
			}
			for _, s := range tt.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%v", err)
				}
			}
		})
	}
}

// TestRunStuck ends when the server stops reading.
func TestRunStuck(t *testing.T) {
	hold := make(chan struct{})
	f := &fake{faults: faults{after: func(_ *seat, n int) {
		if n == 5 {
			<-hold // with the lock, so that nobody else is served
		}
	}}}
	c := fakeServer(t, f)
	c.Rooms, c.Size, c.Messages, c.Duration, c.patience = 1, MaxSize, 2000, 2*time.Second, 300*time.Millisecond
	_, err := Run(t.Context(), c)
	close(hold)
	if err == nil || !strings.Contains(err.Error(), "the server has not read a message for 300ms") {
		t.Errorf("%v", err)
	}
}

// TestRunEnds with its context, whatever it does, and says why.
func TestRunEnds(t *testing.T) {
	broken := errors.New("broken")
	for _, phase := range []string{"connecting", "joining", "idle", "warming up", "measuring", "flooding", "measuring beside a flood"} {
		t.Run(phase, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			f := &fake{}
			c := fakeServer(t, f)
			c.Flood, c.PIDs = 2, []int{os.Getpid()}
			switch phase {
			case "connecting":
				f.accept = func(http.ResponseWriter, int) bool { cancel(broken); return false }
			case "joining":
				f.accept = func(_ http.ResponseWriter, n int) bool {
					if n == 3 {
						cancel(broken)
					}
					return false
				}
			case "idle":
				c.Settle = time.Hour
			case "warming up":
				c.WarmUp = time.Hour
			case "measuring":
				c.Duration = time.Hour
			case "flooding":
				f.accept = func(_ http.ResponseWriter, n int) bool {
					if n == 8 {
						cancel(broken)
					}
					return false
				}
			default:
				c.Duration = time.Second
			}
			c.Progress = func(p Progress) {
				if p.Phase == phase {
					cancel(broken)
				}
			}
			if phase == "idle" && !bench.Readable {
				c.Progress = func(Progress) { cancel(broken) }
			}
			if r, err := Run(ctx, c); !errors.Is(err, broken) || r != nil {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

// TestRunProgress tells what goes on.
func TestRunProgress(t *testing.T) {
	c := fakeServer(t, &fake{})
	c.Duration, c.WarmUp = time.Second, 0
	var seen []Progress
	c.Progress = func(p Progress) { seen = append(seen, p) }
	if _, err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(seen, func(p Progress) bool {
		return p.Phase == "measuring" && p.Joined == 6 && p.Sent > 0 && p.Delivered > 0 && p.P99 > 0
	}) {
		t.Errorf("%+v", seen)
	}
}

// TestBeat lets each member of PeerJS say in its turn that it is there.
func TestBeat(t *testing.T) {
	f := &fake{beats: make(chan struct{}, 1)}
	c := fakeServer(t, f)
	c.protocol, c.URL.Path, c.Rooms, c.Members = peerjs{}, "/peerjs", 1, 1
	w := newCrowd(&c)
	if err := w.members[0].join(t.Context(), &c); err != nil {
		t.Fatal(err)
	}
	w.members[0].live.Store(true)
	w.members = slices.Repeat(w.members, 600) // so many that it does not take long
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.beat(ctx) }()
	select {
	case <-f.beats:
	case <-time.After(patience):
		t.Error("no beat")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	w.close()
}

// closedPort is where nobody listens.
func closedPort(t *testing.T) netip.AddrPort {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

// TestSenders share the rate and the members.
func TestSenders(t *testing.T) {
	w := newCrowd(&Config{Rooms: 50, Members: 2, Messages: 2*perSender + 1, Size: 300, protocol: maitred{}})
	for _, m := range w.members {
		m.live.Store(true)
	}
	senders, err := w.senders()
	if err != nil {
		t.Fatal(err)
	}
	rate, seen := 0, map[*member]bool{}
	for _, s := range senders {
		rate += s.rate
		if less := w.c.Messages / len(senders); s.rate < less || s.rate > less+1 || len(s.turns) < 100/len(senders) {
			t.Errorf("one of %d sends %d a second for %d members", len(senders), s.rate, len(s.turns))
		}
		for _, turn := range s.turns {
			seen[turn.m] = true
		}
	}
	if want := min(3, runtime.GOMAXPROCS(0)); len(senders) != want || rate != w.c.Messages || len(seen) != 100 {
		t.Errorf("%d senders, %d messages a second, %d members", len(senders), rate, len(seen))
	}
}

func TestTurns(t *testing.T) {
	for _, tt := range []struct {
		name           string
		rooms, members int
		gone           []int
		fanOut         bool
		turns          []string // sender number > receiver numbers
	}{
		{"pairs", 2, 2, nil, false, []string{"0>1", "2>3", "1>0", "3>2"}},
		{"three", 1, 3, nil, false, []string{"0>1", "1>2", "2>0"}},
		{"three to all", 1, 3, nil, true, []string{"0>1 2", "1>2 0", "2>0 1"}},
		{"one is gone", 1, 3, []int{1}, true, []string{"0>2", "2>0"}},
		{"a room of one", 2, 2, []int{3}, false, []string{"0>1", "1>0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newCrowd(&Config{Rooms: tt.rooms, Members: tt.members, FanOut: tt.fanOut, Size: 300, protocol: maitred{}})
			number := map[*member]int{}
			for i, m := range w.members {
				number[m] = i
				m.live.Store(!slices.Contains(tt.gone, i))
			}
			var got []string
			for _, turn := range w.turns() {
				line := fmt.Sprint(number[turn.m], ">")
				for _, to := range turn.to {
					line += fmt.Sprint(" ", number[to])
				}
				got = append(got, strings.Replace(line, "> ", ">", 1))
			}
			if !slices.Equal(got, tt.turns) {
				t.Errorf("%q, want %q", got, tt.turns)
			}
		})
	}
}

// TestReportNames are what scripts rely on.
func TestReportNames(t *testing.T) {
	number, bytes := 1.0, int64(1)
	latency := bench.Latency{}
	messages := &Messages{FanOut: &latency, CPU: &number, Cores: &number, Generator: Generator{Cores: &number}}
	b, err := json.Marshal(Report{Join: Join{CPU: &number}, Idle: &Idle{}, Messages: messages, Flood: &Flood{Messages: messages}, RSS: &bytes,
		Errors: map[string]uint64{"lost": 1}, FirstError: errors.New("not shown")})
	if err != nil {
		t.Fatal(err)
	}
	const percentiles = `{"p50":0,"p99":0,"p999":0,"max":0}`
	const of = `{"sent_per_second":0,"delivered_per_second":0,"lost":0,"loss_pct":0,"duplicates":0,"latency_us":` + percentiles + `,"fan_out_us":` + percentiles +
		`,"cpu_us_per_delivered":1,"cpu_cores":1,"generator":{"late_us":` + percentiles + `,"cpu_cores":1}}`
	want := `{"server":"","protocol":"","rooms":0,"members":0,"size":0,"fan_out":false,"joined":0,"failed":0,"join":{"per_second":0,"latency_us":` + percentiles +
		`,"cpu_us":1},"idle":{"memory_bytes_per_connection":0,"rss_bytes":0},"messages":` + of +
		`,"flood":{"members":0,"sent_per_second":0,"closed":0,"messages":` + of + `},"rss_bytes":1,"errors":{"lost":1}}`
	if string(b) != want {
		t.Errorf("%s\nwant %s", b, want)
	}
}

func TestFailures(t *testing.T) {
	first := errors.New("first")
	for _, tt := range []struct {
		name string
		err  error
		kind string
	}{
		{"a failure", &failure{"room_full", first}, "room_full"},
		{"a failure in another error", fmt.Errorf("join: %w", &failure{"room_full", first}), "room_full"},
		{"closed", &closed{1013, "too many"}, "closed_1013"},
		{"too late", os.ErrDeadlineExceeded, "timeout"},
		{"anything else", first, "lost"},
	} {
		if got := kindOf(tt.err); got != tt.kind {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.kind)
		}
	}
	var f failures
	if kinds, err := f.all(); len(kinds) != 0 || err != nil {
		t.Errorf("%v, %v", kinds, err)
	}
	f.add(first)
	for i := range 2 * mostKinds {
		f.add(&failure{fmt.Sprint("made up ", i), errors.New("later")})
	}
	if kinds, err := f.all(); err != first || len(kinds) != mostKinds+1 || kinds["other"] != mostKinds+1 || kinds["lost"] != 1 {
		t.Errorf("%d kinds, %d others, %v", len(kinds), kinds["other"], err)
	}
}
