package main

import (
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maitred/maitred/pkg/icecheck"
)

func TestCheckFails(t *testing.T) {
	nobody := freePort(t)
	for _, tt := range []struct {
		name  string
		args  []string
		lines []string // of standard output, by their beginnings
		says  string
	}{
		{"nobody listens", []string{"turn:" + nobody + "?transport=tcp", "--username", "u", "--password", "p"},
			[]string{"turn:" + nobody + "?transport=tcp  FAILED    cannot reach the server: dial tcp " + nobody}, "1 of 1 servers failed"},
		{"not a URL", []string{"example.com"}, []string{"example.com  FAILED    \"example.com\" is no STUN or TURN URL"}, "1 of 1 servers failed"},
		{"two", []string{"stun:" + nobody + "?transport=tcp", "turn:"},
			[]string{"stun:" + nobody + "?transport=tcp  FAILED", "turn:  "}, "2 of 2 servers failed"},
		{"the daemon that does not run", []string{"--turn.udp", "off", "--turn.tcp", nobody, "--state_dir", t.TempDir()},
			[]string{"turn:" + nobody + "?transport=tcp  FAILED    cannot reach the server"}, "1 of 1 servers failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errOut := maitred(append([]string{"check"}, tt.args...)...)
			if code != 1 {
				t.Errorf("exit code %d", code)
			}
			wantOneLine(t, errOut, tt.says)
			lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
			if len(lines) != len(tt.lines)+2 || !strings.HasPrefix(lines[0], "NOTHING WORKS: ") || lines[1] != "" {
				t.Fatalf("printed\n%s", out)
			}
			lines = lines[2:]
			for i, l := range lines {
				if !strings.HasPrefix(l, tt.lines[i]) {
					t.Errorf("line %q, want %q", l, tt.lines[i])
				}
			}
		})
	}
}

func TestCheckFailsInJSON(t *testing.T) {
	nobody := freePort(t)
	code, out, errOut := maitred("check", "--json", "stun:"+nobody+"?transport=tcp")
	var line struct{ URL, Error string }
	if err := json.Unmarshal([]byte(out), &line); err != nil || code != 1 || line.URL != "stun:"+nobody+"?transport=tcp" || line.Error == "" {
		t.Errorf("exit code %d, %q: %v", code, out, err)
	}
	wantOneLine(t, errOut, "1 of 1 servers failed")
}

func checkServing(t *testing.T, state string, urls []string) {
	t.Helper()
	if len(urls) != 2 {
		t.Fatalf("the guide names %q", urls)
	}
	_, out, _ := maitred("credentials", "--json", "--state_dir", state)
	var m minted
	if err := json.Unmarshal([]byte(out), &m); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := maitred(append([]string{"check", "--duration", "100ms", "--username", m.Username, "--password", m.Credential}, urls...)...)
	if code != 0 || errOut != "" || strings.Count(out, "  ok ") != 2 || strings.Count(out, "seen as 127.0.0.1:") != 2 || strings.Count(out, "relayed at 127.0.0.1:") != 2 {
		t.Errorf("exit code %d, %q, %q", code, out, errOut)
	}
	if !strings.HasPrefix(out, "ALL WELL: all 2 servers work.\nCalls are relayed over TCP, UDP.\nThere is no NAT between here and the servers over UDP.\n\nturn:") ||
		strings.Count(out, "  0.0 %  ") != 2 || strings.Count(out, " Mbit/s\n") != 2 {
		t.Errorf("printed\n%s", out)
	}
	address, _, _ := strings.Cut(strings.TrimPrefix(urls[0], "turn:"), "?")
	tcp, _, _ := strings.Cut(strings.TrimPrefix(urls[1], "turn:"), "?")
	code, out, errOut = maitred("check", "--json", "--duration", "100ms", "--state_dir", state, "--turn.udp", address, "--turn.tcp", tcp, "--turn.relay_ports", "none")
	if code != 0 || errOut != "" || strings.Count(out, `"relayed":"127.0.0.1:`) != 2 || strings.Contains(out, `"error"`) ||
		strings.Count(out, `"loop":{"rtt_p50":`) != 2 || strings.Count(out, `"nat":{"mapping":"none","views":[{"by":"`+address+`"`) != 2 {
		t.Errorf("the running daemon: exit code %d, %q, %q", code, out, errOut)
	}
	code, out, errOut = maitred("check", "stun:"+address, urls[0], "--username", m.Username, "--password", "guess")
	if code != 1 || errOut != "maitred: 1 of 2 servers failed\n" || !strings.Contains(out, "error 401") || !strings.Contains(out, "  ok ") ||
		!strings.HasPrefix(out, "PARTLY BROKEN: 1 of 2 servers fail.\n") || strings.Contains(out, "Mbit/s") {
		t.Errorf("wrong password: exit code %d, %q, %q", code, out, errOut)
	}
	code, out, errOut = maitred("check", "--duration", "0", "--username", m.Username, "--password", m.Credential, urls[0])
	if code != 0 || errOut != "" || strings.Contains(out, "Mbit/s") || !strings.Contains(out, "relayed at") {
		t.Errorf("without a loop: exit code %d, %q, %q", code, out, errOut)
	}
}

func TestCheckWithoutListeners(t *testing.T) {
	code, out, errOut := maitred("check", "--turn.udp", "127.0.0.1:0", "--turn.tcp", "off", "--state_dir", t.TempDir())
	if code != 1 || out != "" {
		t.Errorf("exit code %d, printed %q", code, out)
	}
	wantOneLine(t, errOut, "no TURN listener with a port of its own")
}

// TestVerdict has one for everything that can come of servers.
func TestVerdict(t *testing.T) {
	relayed := netip.MustParseAddrPort("203.0.113.9:50000")
	good := &icecheck.Loop{Sent: 100, Lost: 2, BulkSent: 500, BulkLost: 100}
	relay := func(url string, l *icecheck.Loop) checked {
		return checked{Result: icecheck.Result{URL: url, Relayed: relayed}, Loop: l}
	}
	failed := checked{Result: icecheck.Result{URL: "turn:c?transport=tcp", Relayed: relayed, Err: errors.New("no")}}
	stun := checked{Result: icecheck.Result{URL: "stun:a"}}
	behind := func(m icecheck.Mapping) checked {
		r := stun
		r.NAT = &icecheck.NAT{Mapping: m}
		return r
	}
	for _, tt := range []struct {
		name    string
		results []checked
		want    []string // by their beginnings
	}{
		{"one", []checked{stun}, []string{"ALL WELL: the server works."}},
		{"all", []checked{relay("turn:a", good), relay("turn:a?transport=tcp", good), relay("turns:a", nil), relay("turns:a?transport=udp", good)},
			[]string{"ALL WELL: all 4 servers work.", "Calls are relayed over DTLS, TCP, TLS, UDP."}},
		{"one of two", []checked{failed, relay("turn:a", good)}, []string{"PARTLY BROKEN: 1 of 2 servers fail.", "Calls are relayed over UDP."}},
		{"none", []checked{failed}, []string{"NOTHING WORKS: the server fails."}},
		{"none of two", []checked{failed, failed}, []string{"NOTHING WORKS: all 2 servers fail."}},
		{"loss", []checked{relay("turn:a", &icecheck.Loop{Sent: 100, Lost: 3, BulkSent: 500}), relay("turn:b", good)},
			[]string{"WORKS BADLY: packets get lost on the way through turn:a; calls", "Calls are relayed over UDP."}},
		{"narrow", []checked{relay("turn:a", &icecheck.Loop{Sent: 100, BulkSent: 500, BulkLost: 101})},
			[]string{"WORKS BADLY: packets get lost on the way through turn:a; calls", "Calls are relayed over UDP."}},
		{"no NAT", []checked{behind(icecheck.MappingNone)}, []string{"ALL WELL", "There is no NAT"}},
		{"good NAT", []checked{behind(icecheck.MappingIndependent)}, []string{"ALL WELL", "There is a NAT here that keeps one"}},
		{"symmetric NAT", []checked{behind(icecheck.MappingDependent)}, []string{"ALL WELL", "There is a NAT here that takes another"}},
		{"some NAT", []checked{behind(icecheck.MappingUnknown)}, []string{"ALL WELL", "There is a NAT here; of what kind"}},
	} {
		if got := verdict(tt.results); !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestReportLoop: a relay that allocates and does not relay fails, and its numbers are those of --json.
func TestReportLoop(t *testing.T) {
	results := []checked{{Result: icecheck.Result{URL: "turn:a", Took: time.Millisecond, Relayed: netip.MustParseAddrPort("203.0.113.9:1")},
		Loop: &icecheck.Loop{RTT50: 1500 * time.Microsecond, RTT99: 3 * time.Millisecond, Jitter: 20 * time.Microsecond, Sent: 100, Lost: 1, Offered: 4_000_000, Throughput: 3_950_000}}}
	var out strings.Builder
	if err := report(results, false, &out); err != nil {
		t.Fatal(err)
	}
	if want := "turn:a                                   1.5ms       3ms  20µs    1.0 %  4.0 of 4.0 Mbit/s\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("printed\n%s, want %q at its end", out.String(), want)
	}
	out.Reset()
	if err := report(results, true, &out); err != nil {
		t.Fatal(err)
	}
	var line struct {
		Took int64
		Loop struct {
			P50        int64 `json:"rtt_p50"`
			Lost       int
			Throughput int64
		}
	}
	if err := json.Unmarshal([]byte(out.String()), &line); err != nil || line.Took != 1_000_000 || line.Loop.P50 != 1_500_000 || line.Loop.Lost != 1 || line.Loop.Throughput != 3_950_000 {
		t.Errorf("%s: %v", out.String(), err)
	}
}
