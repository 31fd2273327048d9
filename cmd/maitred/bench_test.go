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
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/maitred/maitred/pkg/bench"
	"github.com/maitred/maitred/pkg/credential"
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
		{"unknown transport", relay("--transport", "sctp"), `--transport "sctp": valid: udp, tcp, tls, dtls`},
		{"larger than a record of DTLS", relay("--transport", "dtls", "--size", "8001"), "--size 8001: valid: 24 to 8000"},
		{"unknown version of TLS", relay("--transport", "tls", "--tls-version", "1.1"), `--tls-version "1.1": valid: 1.2, 1.3`},
		{"no version of TLS", relay("--transport", "tls", "--tls-version", ""), `--tls-version "": valid: 1.2, 1.3`},
		{"version of TLS without TLS", relay("--tls-version", "1.3"), "--tls-version goes with --transport tls"},
		{"version of TLS over DTLS", relay("--transport", "dtls", "--tls-version", "1.2"), "--tls-version goes with --transport tls"},
		{"half a pair", relay("--pair", "--sessions", "3"), "--sessions 3: with --pair an even number"},
		{"no duration", relay("--duration", "0"), "--duration 0s"},
		{"negative warm-up", relay("--warm-up=-1s"), "--warm-up -1s"},
		{"longer than permissions", relay("--duration", "4m"), "at most 4m0s together"},
		{"short tick", relay("--tick", "1us"), "--tick 1µs: valid: 50µs to 1s"},
		{"flood without a load", relay("--allocate-only", "--flood", "1"), "--flood is beside a load"},
		{"connections without connections", relay("--connect-only"), "--connect-only needs connections, and --transport udp has none; valid: tcp, tls, dtls"},
		{"connections and allocations", relay("--connect-only", "--allocate-only", "--transport", "tls"), "--connect-only and --allocate-only: give one of them"},
		{"connections in pairs", relay("--connect-only", "--pair", "--transport", "tls"), "--pair is of allocations, and --connect-only has none"},
		{"flood beside connections", relay("--connect-only", "--flood", "1", "--transport", "tls"), "--flood is beside a load, and --connect-only has none"},
		{"half a credential for connections", server("--connect-only", "--transport", "tls", "--username", "u"), "--server needs --secret-file, or"},
		{"secret without a server", relay("--secret", "s"), "--secret goes with --server"},
		{"process without a server", relay("--pid", "1"), "--pid goes with --server"},
		{"file without a server", relay("--secret-file", "f"), "--secret-file goes with --server"},
		{"switch with a blank", relay("--baseline", "false"), "write the value of a switch behind an equals sign: --FLAG=false"},
		{"no server", relay("--server", "", "--secret", "s"), "--server is empty"},
		{"no credential", server(), "--server needs --secret-file, or --username and --password-file"},
		{"two credentials", server("--secret", "s", "--username", "u", "--password", "p"), "--server needs --secret-file, or"},
		{"no password", server("--username", "u"), "--server needs --secret-file, or"},
		{"secret twice", server("--secret", "s", "--secret-file", "f"), "--secret and --secret-file: give one of them"},
		{"no secret file", server("--secret-file", ""), "--secret-file is empty"},
		{"secret file that is not there", server("--secret-file", filepath.Join(t.TempDir(), "nowhere")), "nowhere: "},
		{"empty secret file", server("--secret-file", write(t, "\nsecret\n")), "its first line must be the secret"},
		{"long secret file", server("--secret-file", write(t, strings.Repeat("x", 5000))), "in at most 4096 bytes"},
		{"empty password file", server("--username", "u", "--password-file", write(t, "")), "its first line must be the password"},
		{"no process", server("--secret", "s", "--pid", "0"), "--pid 0 is no process ID"},
		{"a name for a process", server("--secret", "s", "--pid", "x"), "--pid x is no process ID"},
		{"a name among processes", server("--secret", "s", "--pid", "1 x"), "--pid x is no process ID"},
		{"pidof finds nothing", server("--secret", "s", "--pid", ""), "--pid is empty; does the server run?"},
		{"daemon's log level", relay("--", "--log.level", "error"), "--log.level cannot be set for the daemon that is measured"},
		{"daemon's log format", relay("--", "--log.format=text"), "--log.format cannot be set"},
		{"daemon's secret", relay("--", "--turn.quota.total", "9", "--turn.secrets", "s"), "--turn.secrets cannot be set"},
		{"daemon's help", relay("--", "--help"), "`maitred serve --help`"},
		{"flags for a daemon that runs", server("--secret", "s", "--", "--log.level", "debug"), `"--log.level": flags for a daemon`},
		{"no port", relay("--server", "127.0.0.1", "--secret", "s"), `--server "127.0.0.1": valid: host:port`},
		{"port zero", relay("--server", "127.0.0.1:0", "--secret", "s"), `--server "127.0.0.1:0": valid: host:port`},
		{"somebody else's server", relay("--server", "192.0.2.1:3478", "--secret", "s"), "192.0.2.1 is a public address, and this is a load generator; add --remote"},
		{"every address", relay("--server", "0.0.0.0:3478", "--secret", "s"), "0.0.0.0 is not the address of one machine"},
		{"every IPv6 address", relay("--server", "[::]:3478", "--secret", "s"), ":: is not the address of one machine"},
		{"broadcast", relay("--server", "255.255.255.255:3478", "--secret", "s", "--remote"), "255.255.255.255 is not the address of one machine"},
		{"multicast", relay("--server", "224.0.0.1:3478", "--secret", "s", "--remote"), "224.0.0.1 is not the address of one machine"},
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
	for _, flag := range []string{"sessions", "size", "rate", "burst", "tick", "transport", "tls-version", "pair", "duration", "warm-up", "allocate-only", "connect-only", "flood",
		"baseline", "server", "secret-file", "secret", "username", "password-file", "password", "pid", "remote", "json"} {
		if strings.Count(out, "\n      --"+flag+" ")+strings.Count(out, "\n      --"+flag+"[") != 1 {
			t.Errorf("--%s is not there once", flag)
		}
	}
	if code, out, _ = maitred("bench", "--help"); code != 0 || !strings.HasPrefix(out, "Usage: maitred bench relay|signaling [flags]") {
		t.Errorf("exit code %d, %q", code, out)
	}
}

// loaded runs the benchmark with a daemon of its own.
func loaded(t *testing.T, args ...string) (r bench.Report, fields map[string]json.RawMessage) {
	t.Helper()
	temporary := temporaryFiles(t)
	args = append([]string{"bench", "relay", "--json", "--sessions", "4", "--rate", "2000", "--duration", "300ms", "--warm-up", "50ms"}, args...)
	code, out, errOut := maitred(args...)
	if code != 0 || !strings.HasPrefix(errOut, "maitred: started a daemon to measure: process ") || strings.Count(errOut, "\n") != 1 {
		t.Fatalf("exit code %d: %q", code, errOut)
	}
	wantEmpty(t, temporary)
	if err := errors.Join(json.Unmarshal([]byte(out), &r), json.Unmarshal([]byte(out), &fields)); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	return r, fields
}

// temporaryFiles sends those of this process and its children to a directory of their own.
func temporaryFiles(t *testing.T) (directory string) {
	t.Helper()
	directory = t.TempDir()
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} { // the systems differ
		t.Setenv(name, directory)
	}
	return directory
}

func wantEmpty(t *testing.T, directory string) {
	t.Helper()
	left, err := os.ReadDir(directory)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
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
		{"tls", []string{"--transport", "tls", "--size", "101"}, []string{"encryption"}, nil},
		{"an older tls", []string{"--transport", "tls", "--tls-version", "1.2"}, []string{"encryption"}, nil},
		{"dtls", []string{"--transport", "dtls", "--size", "101"}, []string{"encryption"}, nil},
		{"largest packets over dtls", []string{"--transport", "dtls", "--size", "8000", "--rate", "400"}, []string{"encryption"}, nil},
		{"pair", []string{"--pair"}, nil, nil},
		{"pair over tcp", []string{"--pair", "--transport", "tcp"}, nil, nil},
		{"pair over tls", []string{"--pair", "--transport", "tls"}, []string{"encryption"}, nil},
		{"pair over dtls", []string{"--pair", "--transport", "dtls"}, []string{"encryption"}, nil},
		{"a pair without relay ports", []string{"--pair", "--", "--turn.relay_ports", "none"}, nil, nil},
		{"flood", []string{"--flood", "500", "--burst", "1"}, []string{"flood"}, nil},
		{"flood over tcp", []string{"--flood", "500", "--transport", "tcp"}, []string{"flood"}, nil},
		{"flood over tls", []string{"--flood", "500", "--transport", "tls"}, []string{"flood", "encryption"}, nil},
		{"flood over dtls", []string{"--flood", "500", "--transport", "dtls"}, []string{"flood", "encryption"}, nil},
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

func TestBenchConnectOnly(t *testing.T) {
	for _, tt := range []struct {
		transport string
		more      []string
	}{
		{"tcp", []string{"connect"}}, {"tls", []string{"connect", "encryption"}}, {"dtls", []string{"connect", "encryption"}},
	} {
		t.Run(tt.transport, func(t *testing.T) {
			r, fields := loaded(t, "--connect-only", "--transport", tt.transport, "--sessions", "40")
			if r.Sessions != 40 || r.Failed != 0 || r.Connect == nil || r.Connect.PerSecond <= 0 {
				t.Fatalf("%+v", r)
			}
			if bench.Readable {
				tt.more = append(tt.more, "rss_bytes")
				if *r.Connect.CPU <= 0 || *r.Connect.PerCoreSecond <= 0 || *r.RSS <= 0 {
					t.Errorf("%s", fields["connect"])
				}
			}
			wantFields(t, fields, tt.more, []string{"allocate"})
		})
	}
}

// TestBenchConnectOnlyServer needs no credential of a server that runs.
func TestBenchConnectOnlyServer(t *testing.T) {
	address, stop := serveOnce(t, "tcp", "--turn.secrets", "the-secret-of-the-daemon")
	defer stop()
	args := []string{"bench", "relay", "--server", address, "--connect-only", "--transport", "tcp", "--sessions", "3", "--duration", "10ms"}
	for _, more := range [][]string{nil, {"--secret-file", write(t, "another secret")}} {
		code, out, errOut := maitred(append(args, more...)...)
		if code != 0 || errOut != "" || !strings.Contains(out, "3 idle, 0 failed") {
			t.Errorf("%q: exit code %d, %q, %q", more, code, out, errOut)
		}
	}
}

func TestBenchConnectTable(t *testing.T) {
	code, out, errOut := maitred("bench", "relay", "--connect-only", "--sessions", "2", "--transport", "tls", "--duration", "10ms")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	lines := []string{`(?m)^Server +127\.0\.0\.1:\d+ \(tls\)$`, `(?m)^Encryption +TLS 1\.3, TLS_\w+, X25519, \w+$`, `(?m)^Connections +2 idle, 0 failed; \d+ opened in a second$`}
	if bench.Readable {
		lines = append(lines, `(?m)^Each connection +\d+ µs CPU to open \(\d+ a second on one processor\), -?\d+\.\d kB of memory$`)
	}
	for _, line := range lines {
		if !regexp.MustCompile(line).MatchString(out) {
			t.Errorf("%s is not in\n%s", line, out)
		}
	}
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
	address, stop := serveOnce(t, "udp", "--turn.secrets", "the-secret-of-the-daemon", "--turn.quota.per_user", "2")
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
		{"nobody listens", []string{"--server", freePort(t), "--secret", "s", "--transport", "tcp"}, []string{"nobody listens at 127.0.0.1:", " over tcp; does the server run"}},
		{"nobody listens over udp", []string{"--server", "127.0.0.1:1", "--secret", "s"}, []string{"nobody listens at 127.0.0.1:1 over udp; does the server run"}},
		{"nobody listens over tls", []string{"--server", freePort(t), "--secret", "s", "--transport", "tls"}, []string{"nobody listens at 127.0.0.1:", " over tls; does the server run"}},
		{"nobody listens over dtls", []string{"--server", "127.0.0.1:1", "--secret", "s", "--transport", "dtls"}, []string{"nobody listens at 127.0.0.1:1 over dtls; does the server run"}},
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

// serveOnce runs a daemon of the test's own, for clients over that transport.
func serveOnce(t *testing.T, transport string, flags ...string) (server string, stop func()) {
	t.Helper()
	d, ctx, err := startDaemon(t.Context(), relayEnvironment(transport), append([]string{"--turn.allow_peers", "192.0.2.0/24"}, flags...))
	if err != nil {
		t.Fatal(err)
	}
	stop = func() {
		if err := d.stop(); err != nil {
			t.Error(err)
		}
	}
	address, err := d.listening(ctx, "turn-"+transport)
	if err != nil {
		stop()
		t.Fatal(d.explain(err))
	}
	return address.String(), stop
}

// TestBenchCredential is read from a file, or from the command line with a warning.
func TestBenchCredential(t *testing.T) {
	const secret = "the-secret-of-the-daemon"
	address, stop := serveOnce(t, "udp", "--turn.secrets", secret)
	defer stop()
	user := credentialOf(t, secret)
	for _, tt := range []struct {
		name string
		args []string
		warn string // of this flag
	}{
		{"secret file", []string{"--secret-file", write(t, secret+"\nanother line\n")}, ""},
		{"secret file without an end of line", []string{"--secret-file", write(t, secret)}, ""},
		{"secret", []string{"--secret", secret}, "secret"},
		{"password file", []string{"--username", user.Username, "--password-file", write(t, user.Password+"\r\n")}, ""},
		{"password", []string{"--username", user.Username, "--password", user.Password}, "password"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, _, errOut := maitred(append([]string{"bench", "relay", "--server", address, "--allocate-only", "--sessions", "1"}, tt.args...)...)
			want := ""
			if tt.warn != "" {
				want = "maitred: warning: flag --" + tt.warn + ": every user of this machine can see a secret on a command line; use --" + tt.warn + "-file\n"
			}
			if code != 0 || errOut != want {
				t.Errorf("exit code %d, %q, want %q", code, errOut, want)
			}
		})
	}
}

func credentialOf(t *testing.T, secret string) credential.Credential {
	t.Helper()
	authority, err := credential.New("", []string{secret})
	if err != nil {
		t.Fatal(err)
	}
	return authority.Mint("x", time.Hour)
}

func TestBenchPIDs(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want []int
	}{
		{"one", []string{"--pid", "7"}, []int{7}},
		{"as pidof prints them", []string{"--pid", "7 8\n"}, []int{7, 8}},
		{"with commas", []string{"--pid", "7,8"}, []int{7, 8}},
		{"several flags", []string{"--pid", "8", "--pid", "7"}, []int{8, 7}},
		{"twice", []string{"--pid", "7, 7", "--pid", "7"}, []int{7}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newRelayFlags(io.Discard)
			err := f.read(append([]string{"--server", "127.0.0.1:1", "--secret", "s"}, tt.args...))
			if err != nil || !slices.Equal(f.load.PIDs, tt.want) {
				t.Errorf("%v, %v", f.load.PIDs, err)
			}
		})
	}
}

// TestBenchEnvironment keeps the caller's settings from the daemon that is measured.
func TestBenchEnvironment(t *testing.T) {
	for name, value := range map[string]string{"MAITRED_TURN_CREDENTIAL_TTL": "never", "MAITRED_TURN_SECRETS_FILE": "/nowhere", "MAITRED_LOG_LEVEL": "error"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			loaded(t, "--allocate-only")
		})
	}
}

// TestBenchLog is what the benchmark reads, whatever a configuration file says.
func TestBenchLog(t *testing.T) {
	loaded(t, "--allocate-only", "--", "--config", write(t, "log:\n  level: error\n  format: text\n"))
}

// TestBenchEnds early and takes its daemon along.
func TestBenchEnds(t *testing.T) {
	// Where the tests run under nohup, children would ignore this as well; what is caught here is at its default there.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	defer signal.Stop(caught)
	for _, tt := range []struct {
		name string
		args []string
		end  func(bench, daemon *os.Process) error
		says string
	}{
		{"interrupted", relayForAMinute, func(bench, _ *os.Process) error { return bench.Signal(os.Interrupt) }, `^maitred: interrupted\n$`},
		{"terminated", relayForAMinute, func(bench, _ *os.Process) error { return bench.Signal(syscall.SIGTERM) }, `^maitred: interrupted\n$`},
		{"without its terminal", relayForAMinute, func(bench, _ *os.Process) error { return bench.Signal(syscall.SIGHUP) }, `^maitred: interrupted\n$`},
		{"quit", relayForAMinute, func(bench, _ *os.Process) error { return bench.Signal(syscall.SIGQUIT) }, `^maitred: interrupted\n$`},
		{"without its daemon", relayForAMinute, func(_, daemon *os.Process) error { return daemon.Kill() },
			`^maitred: the daemon (did not start|ended during the measurement) \(it ended with: [^)]+\)\nThe daemon said:\n`},
		{"signaling, interrupted", signalingForAMinute, func(bench, _ *os.Process) error { return bench.Signal(os.Interrupt) }, `^maitred: interrupted\n$`},
		{"signaling, without its daemon", signalingForAMinute, func(_, daemon *os.Process) error { return daemon.Kill() },
			`^maitred: the daemon (did not start|ended during the measurement) \(it ended with: [^)]+\)\nThe daemon said:\n`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			temporary := temporaryFiles(t)
			command, daemon, lines := startBench(t, tt.args...)
			if err := tt.end(command.Process, daemon); err != nil {
				t.Error(err)
			}
			rest, _ := io.ReadAll(lines)
			if err := command.Wait(); command.ProcessState.ExitCode() != 1 || !regexp.MustCompile(tt.says).Match(rest) {
				t.Errorf("%v, %q", err, rest)
			}
			wantEmpty(t, temporary)
			// It was waited for before its parent ended, so that its number is nobody's now.
			if daemon.Signal(syscall.Signal(0)) == nil {
				t.Errorf("process %d still runs", daemon.Pid)
			}
		})
	}
}

// A minute of a load that is little.
var (
	relayForAMinute     = []string{"relay", "--duration", "1m", "--sessions", "2", "--rate", "100"}
	signalingForAMinute = []string{"signaling", "--duration", "1m", "--rooms", "1", "--messages", "10"}
)

// startBench runs a benchmark as a process. It says more on lines, and prints nothing else before it is waited for.
func startBench(t *testing.T, args ...string) (command *exec.Cmd, daemon *os.Process, lines *bufio.Reader) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command = exec.Command(self, append([]string{"bench"}, args...)...)
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
	late := time.AfterFunc(patience, kill)
	t.Cleanup(func() {
		late.Stop()
		kill()
		if out.Len() > 0 {
			t.Errorf("printed %q", out.String())
		}
	})
	lines = bufio.NewReader(stderr)
	return command, startedDaemon(t, lines), lines
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
			d, alive, err := startDaemon(ctx, relayEnvironment("udp"), nil)
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
