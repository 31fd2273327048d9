package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/maitred/maitred/pkg/bench"
	"github.com/maitred/maitred/pkg/bench/signaling"
)

// unsigned is a join token for a room that nobody has signed.
func unsigned(room string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"room":"`+room+`"}`)) + ".c2ln"
}

func TestBenchSignalingMistakes(t *testing.T) {
	bench := func(args ...string) []string { return append([]string{"bench", "signaling"}, args...) }
	server := func(args ...string) []string { return bench(append([]string{"--server", "127.0.0.1:1"}, args...)...) }
	for _, tt := range []struct {
		name string
		args []string
		says string
	}{
		{"unknown flag", bench("--room", "2"), "there is no flag --room; did you mean --rooms?"},
		{"argument", bench("now"), "`maitred bench signaling` takes flags only"},
		{"switch with a blank", bench("--fan-out", "true"), "write the value of a switch behind an equals sign"},
		{"no rooms", bench("--rooms", "0"), "--rooms 0: valid: 1 to 1000000"},
		{"no members", bench("--members", "0"), "--members 0: valid: 1 to 1000"},
		{"too many", bench("--rooms", "10000", "--members", "1000"), "--rooms 10000 with --members 1000: valid: 1000000 members in all"},
		{"no joins", bench("--joins", "0"), "--joins 0: valid: 1 to"},
		{"negative messages", bench("--messages=-1"), "--messages -1: valid: 0 to"},
		{"too small", bench("--size", "1"), "--size 1: valid: "},
		{"too large", bench("--size", "65537"), "to 65536"},
		{"negative flood", bench("--flood=-1"), "--flood -1: valid: 0 to 1000"},
		{"a flood of one", bench("--flood", "1"), "--flood 1: nobody is there to send to"},
		{"a flood without a load", bench("--messages", "0", "--flood", "2"), "--flood is beside a load"},
		{"to all without a load", bench("--messages", "0", "--fan-out"), "--fan-out is of messages"},
		{"nobody to send to", bench("--members", "1"), "--members 1: nobody is there to send to"},
		{"short tick", bench("--tick", "1us"), "--tick 1µs: valid: 50µs to 1s"},
		{"no duration", bench("--duration", "0"), "--duration 0s"},
		{"negative warm-up", bench("--warm-up=-1s"), "--warm-up -1s"},
		{"negative settle", bench("--settle=-1s"), "--settle -1s"},
		{"longer than a day", bench("--settle=25h"), "--settle 25h0m0s: valid: 10ms, 0 and 0 to 1h0m0s"},
		{"unknown protocol", bench("--protocol", "sip"), `--protocol "sip": valid: maitred, peerjs`},
		{"PeerJS without a server", bench("--protocol", "peerjs"), "--protocol peerjs goes with --server"},
		{"PeerJS with a token", server("--protocol", "peerjs", "--token", unsigned("blue")), "peerjs has none"},
		{"process without a server", bench("--pid", "1"), "--pid goes with --server"},
		{"remote without a server", bench("--remote"), "--remote goes with --server"},
		{"no process", server("--pid", "0"), "--pid 0 is no process ID"},
		{"no server", bench("--server", ""), "--server is empty"},
		{"another protocol", bench("--server", "ftp://127.0.0.1"), "ftp:// is not for WebSockets"},
		{"no host", bench("--server", "ws://"), "it has no host"},
		{"a user", bench("--server", "ws://a:b@127.0.0.1"), "more than a host, a port and a path"},
		{"no URL", bench("--server", "ws://%"), "invalid URL escape"},
		{"port zero", bench("--server", "ws://127.0.0.1:0"), "its host cannot be found"},
		{"somebody else's server", bench("--server", "ws://192.0.2.1"), "192.0.2.1 is a public address, and this is a load generator; add --remote"},
		{"every address", bench("--server", "ws://0.0.0.0:80", "--remote"), "0.0.0.0 is not the address of one machine"},
		{"flags for a daemon that runs", server("--", "--log.level", "debug"), `"--log.level": flags for a daemon`},
		{"daemon's log level", bench("--", "--log.level", "error"), "--log.level cannot be set for the daemon that is measured"},
		{"daemon's help", bench("--", "--help"), "`maitred serve --help`"},
		{"tokens twice", bench("--token", unsigned("blue"), "--token-file", "f"), "--token and --token-file: give one of them"},
		{"no token file", bench("--token-file", filepath.Join(t.TempDir(), "nowhere")), "nowhere: "},
		{"empty token file", bench("--token-file", write(t, "\n \n")), "has no line with a token"},
		{"no token", bench("--token", "secret"), "join token 1 is none: it does not have the three parts of a JWT"},
		{"two tokens of one room", bench("--token", unsigned("blue"), "--token", unsigned("blue")), `join token 2 is for room "blue", as one before it`},
		{"too few tokens", bench("--token", unsigned("blue"), "--rooms", "2"), "1 join tokens for 2 rooms"},
		{"no token for the flood", bench("--token", unsigned("blue"), "--flood", "2"), "1 join tokens for 1 rooms; each room needs one of its own, and that of --flood another one"},
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

func TestBenchSignalingHelp(t *testing.T) {
	code, out, errOut := maitred("bench", "signaling", "--help")
	if code != 0 || errOut != "" || !strings.HasPrefix(out, "Usage: maitred bench signaling [flags]") {
		t.Errorf("exit code %d, %q, %q", code, out, errOut)
	}
	for _, flag := range []string{"rooms", "members", "joins", "settle", "messages", "size", "fan-out", "flood", "tick", "duration", "warm-up", "protocol", "server",
		"token-file", "token", "pid", "remote", "json"} {
		if strings.Count(out, "\n      --"+flag+" ")+strings.Count(out, "\n      --"+flag+"[") != 1 {
			t.Errorf("--%s is not there once", flag)
		}
	}
}

func TestBenchSignalingServer(t *testing.T) {
	for _, tt := range []struct{ server, protocol, url, address string }{
		{"127.0.0.1:8080", "maitred", "ws://127.0.0.1:8080/ws", "127.0.0.1:8080"},
		{"ws://127.0.0.1", "maitred", "ws://127.0.0.1:80/ws", "127.0.0.1:80"},
		{"http://127.0.0.1:8080/", "maitred", "ws://127.0.0.1:8080/ws", "127.0.0.1:8080"},
		{"https://127.0.0.1", "maitred", "wss://127.0.0.1:443/ws", "127.0.0.1:443"},
		{"wss://[::1]/signaling", "maitred", "wss://[::1]:443/signaling", "[::1]:443"},
		{"http://127.0.0.1:9000", "peerjs", "ws://127.0.0.1:9000/peerjs", "127.0.0.1:9000"},
		{"http://[::ffff:127.0.0.1]:9000", "maitred", "ws://[::ffff:127.0.0.1]:9000/ws", "127.0.0.1:9000"},
	} {
		t.Run(tt.server, func(t *testing.T) {
			f := newSignalingFlags(io.Discard)
			if err := f.read([]string{"--server", tt.server, "--protocol", tt.protocol}); err != nil {
				t.Fatal(err)
			}
			if f.load.URL.String() != tt.url || f.load.Server.String() != tt.address {
				t.Errorf("%s at %v, want %s at %s", f.load.URL, f.load.Server, tt.url, tt.address)
			}
		})
	}
}

func TestBenchSignalingTokens(t *testing.T) {
	blue, green := unsigned("blue"), unsigned("green")
	for _, tt := range []struct {
		name  string
		args  []string
		rooms int
		want  []string
	}{
		{"one", []string{"--token", blue}, 1, []string{blue}},
		{"one for each room", []string{"--token", blue, "--token", green}, 2, []string{blue, green}},
		{"more than rooms", []string{"--token", blue, "--token", green, "--rooms", "1"}, 1, []string{blue, green}},
		{"one is for the flood", []string{"--token", blue, "--token", green, "--flood", "2"}, 1, []string{blue, green}},
		{"a file", []string{"--token-file", write(t, blue+"\r\n\n "+green)}, 2, []string{blue, green}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newSignalingFlags(io.Discard)
			err := f.read(tt.args)
			if err != nil || f.load.Rooms != tt.rooms || !slices.Equal(f.load.Tokens, tt.want) {
				t.Errorf("%d rooms, %q, %v", f.load.Rooms, f.load.Tokens, err)
			}
		})
	}
}

// signalled runs the benchmark with a daemon of its own.
func signalled(t *testing.T, args ...string) (r signaling.Report, fields map[string]json.RawMessage) {
	t.Helper()
	temporary := temporaryFiles(t)
	args = append([]string{"bench", "signaling", "--json", "--rooms", "3", "--messages", "300", "--duration", "300ms", "--warm-up", "50ms", "--settle", "10ms"}, args...)
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

func TestBenchSignaling(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		more []string // fields beside those of every run
	}{
		{"pairs", nil, []string{"messages"}},
		{"more joins than one address may", []string{"--rooms", "60", "--joins", "500"}, []string{"messages"}},
		{"a large room to all", []string{"--rooms", "1", "--members", "20", "--fan-out", "--messages", "30"}, []string{"messages"}},
		{"joins only", []string{"--messages", "0", "--members", "1"}, nil},
		{"a flood", []string{"--flood", "4"}, []string{"messages", "flood"}},
		{"largest messages", []string{"--size", "65536", "--messages", "50"}, []string{"messages"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, fields := signalled(t, tt.args...)
			if r.Joined != r.Rooms*r.Members || r.Failed != 0 || len(r.Errors) != 0 || r.Join.PerSecond <= 0 {
				t.Errorf("%+v", r)
			}
			if m := r.Messages; m != nil && (m.Delivered <= 0 || m.Lost != 0 || m.Duplicates != 0) {
				t.Errorf("%+v", m)
			}
			if f := r.Flood; f != nil && (f.Members != 4 || f.Sent <= 0 || f.Messages.Delivered <= 0 || f.Messages.Lost != 0) {
				t.Errorf("%+v, %+v", f, f.Messages)
			}
			want := append([]string{"server", "protocol", "rooms", "members", "size", "fan_out", "joined", "failed", "join", "errors"}, tt.more...)
			if bench.Readable {
				want = append(want, "idle")
				if r.Messages != nil {
					want = append(want, "rss_bytes")
				}
			}
			var got []string
			for f := range fields {
				got = append(got, f)
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("fields %q, want %q", got, want)
			}
		})
	}
}

func TestBenchSignalingTable(t *testing.T) {
	code, out, errOut := maitred("bench", "signaling", "--rooms", "2", "--members", "3", "--fan-out", "--flood", "2", "--messages", "100", "--duration", "200ms", "--warm-up", "0", "--settle", "0")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	lines := []string{`(?m)^Server +ws://127\.0\.0\.1:\d+/ws \(maitred\)$`, `(?m)^Members +6 in 2 rooms of 3, 0 failed; \d+ joined in a second$`,
		`(?m)^Messages +300 bytes, \d+/s sent, \d+/s delivered, 0 lost \(0\.000 %\)$`, `(?m)^Flood +2 members, \d+ messages/s taken from them, \d+ connections closed$`,
		`(?m)^Beside it +300 bytes, `, `(?m)^ *join( +\d+){4} *$`, `(?m)^ *message( +\d+){4} *$`, `(?m)^ *to the last of the room( +\d+){4} *$`,
		`(?m)^ *message beside the flood( +\d+){4} *$`}
	if bench.Readable {
		lines = append(lines, `(?m)^Each join +\d+ µs CPU$`, `(?m)^Each connection +-?\d+\.\d kB of memory while it is idle, \d+\.\d MB resident in all$`,
			`(?m)^ +\d+\.\d µs of the server's CPU for each delivered one, \d\.\d\d cores; this side used \d\.\d\d$`, `(?m)^Memory +\d+\.\d MB resident in the end$`)
	}
	for _, line := range lines {
		if !regexp.MustCompile(line).MatchString(out) {
			t.Errorf("%s is not in\n%s", line, out)
		}
	}
}

// TestBenchSignalingUnmeasured says why the cost of a server is not there.
func TestBenchSignalingUnmeasured(t *testing.T) {
	d, ctx, err := startDaemon(t.Context(), signalingEnvironment(false), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.stop(); err != nil {
			t.Error(err)
		}
	}()
	at, err := d.listening(ctx, "http")
	if err != nil {
		t.Fatal(err)
	}
	code, out, errOut := maitred("bench", "signaling", "--server", at.String(), "--rooms", "1", "--messages", "50", "--duration", "100ms", "--warm-up", "0")
	if code != 0 || errOut != "" || !regexp.MustCompile(`(?m)^Cost +not measured: `).MatchString(out) {
		t.Errorf("exit code %d, %q, %q", code, out, errOut)
	}
}

// TestBenchSignalingFails with exit code 1 and a word on what to do.
func TestBenchSignalingFails(t *testing.T) {
	small := []string{"--rooms", "3", "--messages", "100", "--duration", "100ms", "--warm-up", "0", "--settle", "0"}
	for _, tt := range []struct {
		name string
		args []string
		says []string
		out  string // in the table
	}{
		{"nobody listens", []string{"--server", "ws://" + freePort(t)}, []string{"nobody listens at 127.0.0.1:", "does the server run"}, ""},
		{"another server", []string{"--protocol", "maitred", "--", "--http.listen", "off"}, []string{"the daemon does not listen for http"}, ""},
		{"a daemon that does not start", []string{"--", "--turn.upd", "x"}, []string{"the daemon did not start", "did you mean --turn.udp?"}, ""},
		{"rooms that are too small", []string{"--members", "3", "--", "--signaling.max_members", "2"},
			[]string{"3 of 9 members could not join, and there were 3 errors in all, first this one: the server answers room_full"}, "3 room_full"},
		{"too many messages", []string{"--messages", "400", "--duration", "1s", "--", "--signaling.limits.messages", "1"}, []string{"0 of 6 members could not join", "rate_limited"}, "rate_limited"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errOut := maitred(append(append([]string{"bench", "signaling"}, small...), tt.args...)...)
			if code != 1 {
				t.Errorf("exit code %d", code)
			}
			for _, s := range tt.says {
				if !strings.Contains(errOut, s) {
					t.Errorf("%q is not in %q", s, errOut)
				}
			}
			if !strings.Contains(out, tt.out) {
				t.Errorf("%q is not in %q", tt.out, out)
			}
		})
	}
}

// TestBenchSignalingToken warns of one on the command line.
func TestBenchSignalingToken(t *testing.T) {
	_, _, errOut := maitred("bench", "signaling", "--server", freePort(t), "--token", unsigned("blue"))
	if !strings.HasPrefix(errOut, "maitred: warning: flag --token: every user of this machine can see a token on a command line; use --token-file\n") {
		t.Errorf("%q", errOut)
	}
}
