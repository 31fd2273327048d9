package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/maitred/maitred/pkg/bench"
)

func TestBenchMistakes(t *testing.T) {
	relay := func(args ...string) []string { return append([]string{"bench", "relay"}, args...) }
	server := func(args ...string) []string { return relay(append([]string{"--server", "127.0.0.1:1"}, args...)...) }
	for _, tt := range []struct {
		name string
		args []string
		says string
	}{
		{"nothing to measure", []string{"bench"}, "what is to be measured?"},
		{"unknown benchmark", []string{"bench", "relais"}, `there is no benchmark "relais"; did you mean "relay"?`},
		{"unknown flag", relay("--session", "2"), "there is no flag --session; did you mean --sessions?"},
		{"argument", relay("now"), `"now" is no flag; ` + "`maitred bench relay` takes flags only"},
		{"argument before the daemon's flags", relay("now", "--", "--log.level", "debug"), `"now" is no flag`},
		{"no number", relay("--rate", "fast"), "--rate"},
		{"no sessions", relay("--sessions", "0"), "--sessions 0: valid: 1 to 20000"},
		{"too small", relay("--size", "23"), "--size 23: valid: 24 to 65000"},
		{"too large", relay("--size", "65001"), "--size 65001"},
		{"no rate", relay("--rate", "0"), "--rate 0"},
		{"no burst", relay("--burst", "0"), "--burst 0: valid: 1 to 256"},
		{"negative flood", relay("--flood=-1"), "--flood -1"},
		{"unknown transport", relay("--transport", "sctp"), `--transport "sctp": valid: udp, tcp`},
		{"half a pair", relay("--pair", "--sessions", "3"), "--sessions 3: with --pair an even number"},
		{"no duration", relay("--duration", "0"), "--duration 0s"},
		{"negative warm-up", relay("--warm-up=-1s"), "--warm-up -1s"},
		{"longer than permissions", relay("--duration", "4m"), "at most 4m0s together"},
		{"short tick", relay("--tick", "1us"), "--tick 1µs: valid: 50µs to 1s"},
		{"flood without a load", relay("--allocate-only", "--flood", "1"), "--flood is beside a load"},
		{"secret without a server", relay("--secret", "s"), "--secret goes with --server"},
		{"process without a server", relay("--pid", "1"), "--pid goes with --server"},
		{"no credential", server(), "--server needs --secret, or --username and --password"},
		{"two credentials", server("--secret", "s", "--username", "u", "--password", "p"), "--server needs --secret, or"},
		{"no password", server("--username", "u"), "--server needs --secret, or"},
		{"no process", server("--secret", "s", "--pid", "0"), "--pid 0 is no process ID"},
		{"flags for a daemon that runs", server("--secret", "s", "--", "--log.level", "debug"), `"--log.level": flags for a daemon`},
		{"no port", relay("--server", "127.0.0.1", "--secret", "s"), `--server "127.0.0.1": valid: host:port`},
		{"port zero", relay("--server", "127.0.0.1:0", "--secret", "s"), `--server "127.0.0.1:0": valid: host:port`},
		{"somebody else's server", relay("--server", "192.0.2.1:3478", "--secret", "s"), "192.0.2.1 is a public address, and this is a load generator; add --remote"},
		{"over IPv6", relay("--server", "[2001:db8::1]:3478", "--secret", "s"), "add --remote"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errOut := maitred(tt.args...)
			if code != 2 || out != "" {
				t.Errorf("exit code %d, printed %q", code, out)
			}
			wantOneLine(t, errOut, tt.says)
		})
	}
}

func TestBenchHelp(t *testing.T) {
	code, out, errOut := maitred("bench", "relay", "--help")
	if code != 0 || errOut != "" || !strings.HasPrefix(out, "Usage: maitred bench relay [flags]") {
		t.Errorf("exit code %d, %q, %q", code, out, errOut)
	}
	for _, flag := range []string{"sessions", "size", "rate", "burst", "tick", "transport", "pair", "duration", "warm-up", "allocate-only", "flood",
		"baseline", "server", "secret", "username", "password", "pid", "remote", "json"} {
		if strings.Count(out, "\n      --"+flag+" ")+strings.Count(out, "\n      --"+flag+"[") != 1 {
			t.Errorf("--%s is not there once", flag)
		}
	}
	if code, out, _ = maitred("bench", "--help"); code != 0 || !strings.HasPrefix(out, "Usage: maitred bench relay") {
		t.Errorf("exit code %d, %q", code, out)
	}
}

// loaded runs the benchmark with a daemon of its own.
func loaded(t *testing.T, args ...string) (r bench.Report, fields map[string]json.RawMessage) {
	t.Helper()
	args = append([]string{"bench", "relay", "--json", "--sessions", "4", "--rate", "2000", "--duration", "300ms", "--warm-up", "50ms"}, args...)
	code, out, errOut := maitred(args...)
	if code != 0 || !strings.HasPrefix(errOut, "maitred: started a daemon to measure: process ") || strings.Count(errOut, "\n") != 1 {
		t.Fatalf("exit code %d: %q", code, errOut)
	}
	if err := errors.Join(json.Unmarshal([]byte(out), &r), json.Unmarshal([]byte(out), &fields)); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	return r, fields
}

func TestBenchRelay(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		more []string // fields beside those of every load
		less []string
	}{
		{"udp", nil, nil, nil},
		{"tcp", []string{"--transport", "tcp", "--size", "101"}, nil, nil},
		{"pair", []string{"--pair"}, nil, nil},
		{"pair over tcp", []string{"--pair", "--transport", "tcp"}, nil, nil},
		{"a pair without relay ports", []string{"--pair", "--", "--turn.relay_ports", "none"}, nil, nil},
		{"flood", []string{"--flood", "500", "--burst", "1"}, []string{"flood"}, nil},
		{"flood over tcp", []string{"--flood", "500", "--transport", "tcp"}, []string{"flood"}, nil},
		{"smallest packets without a baseline", []string{"--baseline=false", "--size", "24", "--tick", "1ms"}, nil, []string{"baseline_latency_us", "added_latency_us"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, fields := loaded(t, tt.args...)
			if r.Sessions != 4 || r.Failed != 0 || r.Traffic == nil || r.Relayed <= 0 || r.Loss < 0 || r.Loss >= 100 || r.Allocate.PerSecond <= 0 {
				t.Fatalf("%+v", r)
			}
			for _, l := range []*bench.Latency{&r.Latency, r.Baseline} {
				if l != nil && (l.P50 <= 0 || l.P50 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max) {
					t.Errorf("latency %+v", l)
				}
			}
			if r.Flood != nil && (r.Flood.Offered <= 0 || r.Flood.Answered <= 0) {
				t.Errorf("flood %+v", r.Flood)
			}
			fieldsOfLoad := append([]string{"offered_pps", "relayed_pps", "loss_pct", "reordered", "latency_us", "baseline_latency_us", "added_latency_us"}, tt.more...)
			if bench.Readable {
				fieldsOfLoad = append(fieldsOfLoad, "cpu_us_per_packet", "cpu_cores", "rss_bytes")
				if *r.CPUPerPacket <= 0 || *r.CPUCores <= 0 || *r.RSS <= 0 || *r.Allocate.CPU <= 0 {
					t.Errorf("%v", fields)
				}
			}
			wantFields(t, fields, fieldsOfLoad, tt.less)
		})
	}
}

// wantFields checks for these and those that every report has, without some, and nothing else.
func wantFields(t *testing.T, fields map[string]json.RawMessage, more, less []string) {
	t.Helper()
	want := append([]string{"server", "transport", "pair", "sessions", "failed", "size", "burst", "allocate"}, more...)
	want = slices.DeleteFunc(want, func(f string) bool { return slices.Contains(less, f) })
	var got []string
	for f := range fields {
		got = append(got, f)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("fields %q, want %q", got, want)
	}
}

func TestBenchAllocateOnly(t *testing.T) {
	r, fields := loaded(t, "--allocate-only")
	if r.Sessions != 4 || r.Failed != 0 || r.Traffic != nil || r.Allocate.PerSecond <= 0 {
		t.Errorf("%+v", r)
	}
	more := []string{"rss_bytes"}
	if !bench.Readable {
		more = nil
	}
	wantFields(t, fields, more, nil)
}

func TestBenchTable(t *testing.T) {
	code, out, errOut := maitred("bench", "relay", "--sessions", "2", "--rate", "1000", "--duration", "100ms", "--warm-up", "0", "--flood", "100")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	for _, line := range []string{`(?m)^Server +127\.0\.0\.1:\d+ \(udp\)$`, `(?m)^Sessions +2 sessions, 0 failed; \d+ set up in a second$`, `(?m)^Relayed +\d+ packets/s, `,
		`(?m)^Flood +\d+ requests/s, `, `(?m)^ *relayed( +\d+){4} *$`, `(?m)^ *without a relay( +\d+){4} *$`, `(?m)^ *added by the relay( +-?\d+){3} *$`} {
		if !regexp.MustCompile(line).MatchString(out) {
			t.Errorf("%s is not in\n%s", line, out)
		}
	}
}

// TestBenchFails with exit code 1 and a word on what to do.
func TestBenchFails(t *testing.T) {
	address, stop := serveOnce(t, "--turn.secrets", "the-secret-of-the-daemon", "--turn.quota.per_user", "2")
	defer stop()
	short := []string{"--sessions", "4", "--rate", "1000", "--duration", "50ms", "--warm-up", "0"}
	for _, tt := range []struct {
		name string
		args []string
		says []string
	}{
		{"wrong secret", []string{"--server", address, "--secret", "another one"}, []string{"allocate: the server answers 401", "give it its shared secret"}},
		{"wrong password", []string{"--server", address, "--username", "1:x", "--password", "p"}, []string{"401"}},
		{"this machine denied", []string{"--server", address, "--secret", "the-secret-of-the-daemon", "--sessions", "2", "--rate", "10000"}, []string{"nothing arrived at 2 of 4 ends", "turn.allow_peers"}},
		{"quota", []string{"--server", address, "--secret", "the-secret-of-the-daemon", "--allocate-only"}, []string{"2 of 4 sessions failed: ", "486", "a quota is reached"}},
		{"nobody listens", []string{"--server", freePort(t), "--secret", "s", "--transport", "tcp"}, []string{"refused"}},
		{"a daemon that does not start", []string{"--", "--turn.upd", "x"}, []string{"the daemon did not start", "did you mean --turn.udp?"}},
		{"a daemon without that listener", []string{"--transport", "tcp", "--", "--turn.tcp", "off"}, []string{"the daemon does not listen for turn-tcp"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, _, errOut := maitred(append(append([]string{"bench", "relay"}, short...), tt.args...)...)
			if code != 1 {
				t.Errorf("exit code %d", code)
			}
			for _, s := range tt.says {
				if !strings.Contains(errOut, s) {
					t.Errorf("%q is not in %q", s, errOut)
				}
			}
		})
	}
}

// serveOnce runs a daemon of the test's own.
func serveOnce(t *testing.T, flags ...string) (udp string, stop func()) {
	t.Helper()
	d, ctx, err := startDaemon(t.Context(), append([]string{"--turn.allow_peers", "192.0.2.0/24"}, flags...))
	if err != nil {
		t.Fatal(err)
	}
	stop = func() {
		if err := d.stop(); err != nil {
			t.Error(err)
		}
	}
	address, err := d.listening(ctx, "turn-udp")
	if err != nil {
		stop()
		t.Fatal(d.explain(err))
	}
	return address.String(), stop
}

// TestBenchEnds early and takes its daemon along.
func TestBenchEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(bench, daemon *os.Process) error
		says string
	}{
		{"interrupted", func(bench, _ *os.Process) error { return bench.Signal(os.Interrupt) }, `^maitred: interrupted\n$`},
		{"without its daemon", func(_, daemon *os.Process) error { return daemon.Kill() },
			`^maitred: the daemon (did not start|ended during the measurement) \(it ended with: [^)]+\)\nThe daemon said:\n`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			command := exec.Command(self, "bench", "relay", "--duration", "1m", "--sessions", "2", "--rate", "100")
			var out bytes.Buffer
			command.Stdout = &out
			stderr, err := command.StderrPipe()
			if err == nil {
				err = command.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			kill := func() { _ = command.Process.Kill() } // does nothing to one that has ended
			defer kill()
			defer time.AfterFunc(patience, kill).Stop()
			lines := bufio.NewReader(stderr)
			daemon := startedDaemon(t, lines)
			if err := tt.end(command.Process, daemon); err != nil {
				t.Error(err)
			}
			rest, _ := io.ReadAll(lines)
			if err := command.Wait(); command.ProcessState.ExitCode() != 1 || !regexp.MustCompile(tt.says).Match(rest) || out.Len() > 0 {
				t.Errorf("%v, %q, %q", err, out.String(), rest)
			}
			// It was waited for before its parent ended, so that its number is nobody's now.
			if daemon.Signal(syscall.Signal(0)) == nil {
				t.Errorf("process %d still runs", daemon.Pid)
			}
		})
	}
}

// TestBenchEndsUnderLoad when it is told to, and when its daemon dies.
func TestBenchEndsUnderLoad(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(cancel context.CancelFunc, d *ownDaemon) error
		want error
	}{
		{"interrupted", func(cancel context.CancelFunc, _ *ownDaemon) error { cancel(); return nil }, context.Canceled},
		{"without its daemon", func(_ context.CancelFunc, d *ownDaemon) error { return d.command.Process.Kill() }, errDaemonEnded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			f := newRelayFlags(io.Discard)
			if err := f.read([]string{"--duration", "1m", "--warm-up", "0", "--sessions", "2", "--rate", "500", "--baseline=false"}); err != nil {
				t.Fatal(err)
			}
			d, alive, err := startDaemon(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			if f.load.Server, err = d.listening(ctx, "turn-udp"); err != nil {
				t.Error(err)
			}
			f.mint(d.secret)
			ended := make(chan error, 1)
			f.load.Progress = func(p bench.Progress) {
				if p.Got > 0 && len(ended) == 0 {
					ended <- tt.end(cancel, d)
				}
			}
			if _, err := bench.Run(alive, f.load); !errors.Is(err, tt.want) {
				t.Errorf("ended with %v, want %v", err, tt.want)
			}
			if err := errors.Join(<-ended, d.stop()); err != nil {
				t.Error(err)
			}
		})
	}
}

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// startedDaemon is the daemon that the benchmark says it has started.
func startedDaemon(t *testing.T, stderr *bufio.Reader) *os.Process {
	t.Helper()
	line, err := stderr.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscanf(line, "maitred: started a daemon to measure: process %d\n", &pid); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	return process
}
