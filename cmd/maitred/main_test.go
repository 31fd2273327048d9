package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/maitred/maitred/pkg/config"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.ContainsFunc(commands(), func(c command) bool { return c.name == os.Args[1] }) {
		main() // a test, or the benchmark inside it, runs this binary as maitred
	}
	for _, entry := range os.Environ() { // what the developer has set is not what is tested
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "MAITRED_") {
			os.Unsetenv(name)
		}
	}
	goleak.VerifyTestMain(m)
}

// maitred runs a command line.
func maitred(args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = run(args, &o, &e)
	return code, o.String(), e.String()
}

// write puts text into a file of its own.
func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "maitred.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestMistakes are told in words, with the nearest valid name, and end with 2.
func TestMistakes(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		file string // the configuration file
		says []string
	}{
		{"unknown command", []string{"sevre"}, "", []string{`there is no command "sevre"; did you mean "serve"?`}},
		{"command in capitals", []string{"CONFIG"}, "", []string{`did you mean "config"?`}},
		{"flag before the command", []string{"--json"}, "", []string{`there is no command "--json"`}},
		{"unknown flag", []string{"serve", "--turn.upd", ":1"}, "", []string{"there is no flag --turn.upd; did you mean --turn.udp?"}},
		{"unknown flag with a value", []string{"config", "--drain-timeout=1s"}, "", []string{"there is no flag --drain-timeout; did you mean --drain_timeout?"}},
		{"unknown flag of credentials", []string{"credentials", "--usr", "ann"}, "", []string{"there is no flag --usr; did you mean --user?"}},
		{"unknown flag of check", []string{"check", "--user-name", "ann"}, "", []string{"did you mean --username?"}},
		{"unknown short flag", []string{"serve", "-x"}, "", []string{"there is no flag --x; did you mean --"}},
		{"flag without its value", []string{"serve", "--turn.udp"}, "", []string{"flag needs an argument: --turn.udp"}},
		{"not a duration", []string{"credentials", "--ttl", "soon"}, "", []string{"--ttl"}},
		{"no lifetime", []string{"credentials", "--ttl", "0"}, "", []string{"--ttl 0s: a credential lives for one second at least"}},
		{"negative lifetime", []string{"credentials", "--ttl=-1h"}, "", []string{"--ttl -1h0m0s: a credential lives"}},
		{"long user", []string{"credentials", "--user", strings.Repeat("x", 257)}, "", []string{"--user is 257 bytes long"}},
		{"argument of serve", []string{"serve", "now"}, "", []string{`"now" is no flag`, "`maitred serve` takes flags only"}},
		{"ready of others", []string{"check", "--ready", "stun:127.0.0.1"}, "", []string{"--ready asks the daemon of this configuration"}},
		{"ready in JSON", []string{"check", "--ready", "--json"}, "", []string{"--ready asks the daemon of this configuration"}},
		{"ready in time", []string{"check", "--ready", "--duration", "1s"}, "", []string{"it goes with no URL, --json, --duration or credential"}},
		{"loop of no length", []string{"check", "--duration=-1s", "stun:127.0.0.1"}, "", []string{"--duration must be between 0 and 1m0s, not -1s"}},
		{"loop for hours", []string{"check", "--duration", "2h", "stun:127.0.0.1"}, "", []string{"--duration must be between 0 and 1m0s, not 2h0m0s"}},
		{"argument of config", []string{"config", "turn.udp"}, "", []string{`"turn.udp" is no flag`}},
		{"argument of credentials", []string{"credentials", "ann"}, "", []string{`"ann" is no flag`}},
		{"a key that is none", []string{"config"}, "signaling: {token_keys: [\"a:ES256:AAAA\"]}", []string{"signaling.token_keys: key 1"}},
		{"wrong value", []string{"config", "--turn.udp", "1:2:3"}, "", []string{`the configuration is not valid: flag --turn.udp: turn.udp: "1:2:3"`, "valid: host:port"}},
		{"unknown key", []string{"config"}, "turn:\n  upd: :3478\n", []string{"maitred.yaml:2: ", "turn.udp"}},
		{"unknown section", []string{"serve"}, "trun:\n  udp: :3478\n", []string{"maitred.yaml:1: ", "turn"}},
		{"flag of a later version", []string{"serve", "--cluster.nats", "nats://127.0.0.1"}, "", []string{"--cluster.nats", "does not have yet"}},
		{"argument of version", []string{"version", "x"}, "", []string{"takes no arguments"}},
		{"key of a later version", []string{"check"}, "cluster:\n  nats: nats://127.0.0.1\n", []string{"maitred.yaml:2: ", "cluster.nats"}},
		{"not YAML", []string{"credentials"}, "\t{", []string{"maitred.yaml"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := tt.args
			if tt.file != "" {
				args = append(args, "--config", write(t, tt.file))
			}
			code, out, errOut := maitred(args...)
			if code != 2 || out != "" {
				t.Errorf("exit code %d, printed %q", code, out)
			}
			wantOneLine(t, errOut, tt.says...)
		})
	}
}

// wantOneLine checks for a single line of maitred's with all these words in it.
func wantOneLine(t *testing.T, text string, says ...string) {
	t.Helper()
	if !strings.HasPrefix(text, "maitred: ") || strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		t.Errorf("not one line: %q", text)
	}
	for _, s := range says {
		if !strings.Contains(text, s) {
			t.Errorf("%q does not say %q", text, s)
		}
	}
}

// TestAllMistakesAtOnce lists them on lines of their own.
func TestAllMistakesAtOnce(t *testing.T) {
	file := write(t, "turn:\n  upd: :3478\nlog:\n  level: loud\n")
	code, _, errOut := maitred("serve", "--config", file, "--drain_timeout", "soon")
	if code != 2 || !strings.HasPrefix(errOut, "maitred: the configuration is not valid:\n") || strings.Count(errOut, "\n") != 4 {
		t.Errorf("exit code %d: %q", code, errOut)
	}
	for _, s := range []string{"turn.upd", "loud", "soon"} {
		if !strings.Contains(errOut, s) {
			t.Errorf("%q does not name %s", errOut, s)
		}
	}
}

// TestUnreadable is one line about one file.
func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ name, file, says string }{
		{"missing", filepath.Join(dir, "nowhere.yaml"), "no such file"},
		{"a directory", dir, "directory"},
	} {
		for _, command := range []string{"serve", "config", "credentials", "check"} {
			t.Run(tt.name+"/"+command, func(t *testing.T) {
				code, out, errOut := maitred(command, "--config", tt.file)
				if code != 2 || out != "" {
					t.Errorf("exit code %d, printed %q", code, out)
				}
				wantOneLine(t, errOut, tt.file, tt.says)
			})
		}
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}} {
		code, out, errOut := maitred(args...)
		if code != 0 || errOut != "" {
			t.Errorf("%v: exit code %d, %q", args, code, errOut)
		}
		for _, c := range commands() {
			if strings.Count(out, "\n  "+c.name+" ") != 1 {
				t.Errorf("%v: %s is not in\n%s", args, c.name, out)
			}
		}
	}
	code, out, errOut := maitred()
	if code != 2 || out != "" || !strings.Contains(errOut, "Usage: maitred COMMAND") {
		t.Errorf("without a command: exit code %d, %q, %q", code, out, errOut)
	}
}

// TestCommandHelp shows each flag once, on standard output, where a pager finds it.
func TestCommandHelp(t *testing.T) {
	for _, tt := range []struct {
		command string
		extra   []string // flags beside those of the configuration
	}{
		{"serve", nil}, {"config", nil},
		{"check", []string{"username", "password", "duration", "json"}},
		{"credentials", []string{"user", "ttl", "json"}},
	} {
		for _, help := range []string{"--help", "-h"} {
			t.Run(tt.command+" "+help, func(t *testing.T) {
				code, out, errOut := maitred(tt.command, help)
				if code != 0 || errOut != "" || !strings.HasPrefix(out, "Usage: maitred "+tt.command) {
					t.Errorf("exit code %d, %q, %q", code, out, errOut)
				}
				flags := append([]string{"config"}, tt.extra...)
				for _, k := range config.Keys() {
					flags = append(flags, k.Flag())
				}
				for _, f := range flags {
					if n := strings.Count(out, "\n      --"+f+" ") + strings.Count(out, "\n      --"+f+"["); n != 1 {
						t.Errorf("--%s is there %d times", f, n)
					}
				}
			})
		}
	}
}

func TestVersion(t *testing.T) {
	want := "maitred dev (commit unknown, " + runtime.Version() + ")\n"
	for _, arg := range []string{"version", "--version", "-v"} {
		if code, out, errOut := maitred(arg); code != 0 || out != want || errOut != "" {
			t.Errorf("%s: exit code %d, %q, %q", arg, code, out, errOut)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Setenv("MAITRED_TURN_SECRETS", "a-secret-of-the-relay")
	t.Setenv("MAITRED_TURN_UPD", ":1")
	file := write(t, "turn:\n  realm: example.com\nadmin:\n  token: a-secret-of-the-admin\n")
	code, out, errOut := maitred("config", "--config", file, "--external-ip", "192.0.2.1", "--api.keys", "a-secret-of-the-api")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	lines := map[string]string{} // key -> value and origin
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		lines[fields[0]] = strings.Join(fields[1:], " ")
	}
	for key, want := range map[string]string{
		"turn.realm":       "example.com file " + file + ":2",
		"turn.external_ip": "192.0.2.1 flag --external-ip",
		"turn.secrets":     "(hidden) environment MAITRED_TURN_SECRETS",
		"admin.token":      "(hidden) file " + file + ":4",
		"api.keys":         "(hidden) flag --api.keys",
		"turn.udp":         ":3478 default",
	} {
		if lines[key] != want {
			t.Errorf("%s: %q, want %q", key, lines[key], want)
		}
	}
	if len(lines) != len(config.Keys()) || strings.Contains(out+errOut, "a-secret") {
		t.Errorf("%d keys, in\n%s\n%s", len(lines), out, errOut)
	}
	for _, warning := range []string{"maitred: warning: environment MAITRED_TURN_UPD: ", "MAITRED_TURN_UDP", "maitred: warning: flag --api.keys: every user of this machine"} {
		if !strings.Contains(errOut, warning) {
			t.Errorf("no %q in %q", warning, errOut)
		}
	}
}
