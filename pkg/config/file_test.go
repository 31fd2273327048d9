package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

func TestFileMistakes(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string // line and piece of each mistake
	}{
		{"unknown key", "turn:\n  ralm: x", []string{":2: turn.ralm: there is no such key; the nearest one is turn.realm"}},
		{"unknown section", "trun:\n  realm: x", []string{":1: trun: there is no such key; the nearest one is turn"}},
		{"unknown key at the top", "realm: x", []string{":1: realm: there is no such key; the nearest one is turn.realm"}},
		{"unknown key hides its value", "turn:\n  secrt: hunter2hunter2", []string{":2: turn.secrt: there is no such key; the nearest one is turn.secrets"}},
		{"wrong case", "turn:\n  Realm: x", []string{":2: turn.Realm: there is no such key; the nearest one is turn.realm"}},
		{"key twice", "turn:\n  realm: a\n  realm: b", []string{":3: turn.realm: is there twice, first on line 2"}},
		{"key twice in two forms", "turn.realm: a\nturn:\n  realm: b", []string{":3: turn.realm: is there twice, first on line 1"}},
		{"section twice", "turn:\n  realm: a\nlog:\nturn:\n  realm: b", []string{":4: turn: is there twice, first on line 1"}},
		{"section as a value", "turn: on", []string{":1: turn: is a section"}},
		{"section as a list", "turn: [a]", []string{":1: turn: is a section"}},
		{"value as a section", "turn:\n  realm:\n    a: b", []string{":2: turn.realm: has keys below it"}},
		{"value as a list", "turn:\n  realm: [a]", []string{":2: turn.realm: has a list where one value"}},
		{"true", "turn:\n  udp: true", []string{":2: turn.udp: is true or false"}},
		{"true as a text", "turn:\n  room_permissions: yes please", []string{`:2: turn.room_permissions: "yes please" is neither true nor false`}},
		{"a number for true", "turn:\n  room_permissions: 1", []string{`:2: turn.room_permissions: "1" is neither true nor false`}},
		{"list with a section", "turn:\n  deny_peers: [{a: b}]", []string{":2: turn.deny_peers: an item has keys below it"}},
		{"list with a list", "turn:\n  deny_peers: [[a]]", []string{":2: turn.deny_peers: an item has a list"}},
		{"list with nothing", "turn:\n  deny_peers:\n  - ", []string{":2: turn.deny_peers: an item has no value"}},
		{"strange tag", "turn:\n  realm: !!binary aGk=", []string{":2: turn.realm: has a YAML tag"}},
		{"own tag", "turn:\n  realm: !secret aGk=", []string{":2: turn.realm: has a YAML tag"}},
		{"two items", "turn:\n  allow_peers: [a, 10.0.0.0/8, b]", []string{`:2: turn.allow_peers: "a" is not`, `:2: turn.allow_peers: "b" is not`}},
		{"hidden secret", "turn:\n  secrets:\n  - hunter2 hunter2", []string{":2: turn.secrets: (hidden) holds a space"}},
		{"key is a list", "[a]: b", []string{":1: a key must be a word"}},
		{"merge key", "turn:\n  <<: {realm: x}", []string{":2: turn.<<: there is no such key"}},
		{"later feature", "log:\n  level: info\ncluster:\n  nats: nats://127.0.0.1", []string{":4: cluster.nats: belongs to a feature"}},
		{"unknown key of a later feature", "cluster:\n  nat: x", []string{":2: cluster.nat: there is no such key"}},
		{"not a mapping", "- a\n- b", []string{":1: is not a configuration"}},
		{"one word", "hello", []string{":1: is not a configuration"}},
		{"syntax", "turn:\n\trealm: x", []string{":2: is not YAML: found character"}},
		{"unknown anchor", "turn:\n  secrets: *hunter2hunter2", []string{": is not YAML: unknown anchor; put quotes"}},
		{"two documents", "log:\n---\nlog:", []string{":2: a second document begins here"}},
		{"garbage after the document", "log:\n---\n{", []string{": is not YAML: "}},
		{"control characters", "\"a\\nb\": 1", []string{`:1: "a\nb": there is no such key`}},
		{"all at once", "http:\n  listen: :99999\nlog:\n  level: loud\nturn:\n  quota:\n    per_ip: -3", []string{":2: http.listen", ":4: log.level", ":7: turn.quota.per_ip"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			all := mistakes(t, Options{File: writeFile(t, "maitred.yaml", test.text)})
			if len(all) != len(test.want) {
				t.Fatalf("%d mistakes, want %d: %v", len(all), len(test.want), all)
			}
			for i, want := range test.want {
				text := all[i].Error()
				if !strings.Contains(text, want) || strings.HasPrefix(text, "file ") {
					t.Errorf("mistake %d is %q, want %q in it", i, text, want)
				}
				if strings.Contains(text, "hunter2") {
					t.Errorf("a secret is shown: %q", text)
				}
			}
		})
	}
}

func TestFileForms(t *testing.T) {
	tests := []struct{ name, text, key, want string }{
		{"empty file", "", "turn.realm", "maitred"},
		{"only comments", "# turn:\n#   realm: x\n", "turn.realm", "maitred"},
		{"null document", "~", "turn.realm", "maitred"},
		{"empty section", "turn:\nlog:\n", "turn.realm", "maitred"},
		{"no value", "turn:\n  realm:\n", "turn.realm", "maitred"},
		{"no value of a later feature", "signaling:\n  auth:\ncluster:\n", "turn.realm", "maitred"},
		{"dotted key", "turn.realm: x", "turn.realm", "x"},
		{"half dotted key", "turn:\n  quota.per_ip: 3", "turn.quota.per_ip", "3"},
		{"number as it is written", "turn:\n  realm: 007", "turn.realm", "007"},
		{"number in quotes", "turn:\n  quota:\n    per_ip: \"7\"", "turn.quota.per_ip", "7"},
		{"off", "turn:\n  udp: off", "turn.udp", "off"},
		{"port without quotes", "turn:\n  udp: :3479", "turn.udp", ":3479"},
		{"list", "turn:\n  deny_peers:\n  - 10.0.0.0/8\n  - fd00::/8", "turn.deny_peers", "10.0.0.0/8, fd00::/8"},
		{"list on a line", "turn:\n  deny_peers: [10.0.0.0/8, fd00::/8]", "turn.deny_peers", "10.0.0.0/8, fd00::/8"},
		{"list with commas", "turn:\n  deny_peers: 10.0.0.0/8, fd00::/8", "turn.deny_peers", "10.0.0.0/8, fd00::/8"},
		{"empty list", "turn:\n  deny_peers: []", "turn.deny_peers", ""},
		{"auto", "turn:\n  external_ip: auto", "turn.external_ip", ""},
		{"auto in a list", "turn:\n  external_ip: [auto]", "turn.external_ip", ""},
		{"anchor", "turn:\n  deny_peers: &nets [10.0.0.0/8]\n  allow_peers: *nets", "turn.allow_peers", "10.0.0.0/8"},
		{"secret with a comma", "turn:\n  secrets: [\"a,b-0123456789012\"]", "turn.secrets", "a,b-0123456789012"},
		{"byte order mark", "\ufeffturn:\n  realm: x", "turn.realm", "x"},
		{"DOS lines", "turn:\r\n  realm: x\r\n", "turn.realm", "x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg, _ := mustLoad(t, Options{File: writeFile(t, "maitred.yaml", test.text)})
			if got := find(test.key).show(cfg); got != test.want {
				t.Errorf("%s is %q, want %q", test.key, got, test.want)
			}
		})
	}
}

// TestSiblings proves that a value from one source leaves the values beside it alone.
func TestSiblings(t *testing.T) {
	file := writeFile(t, "maitred.yaml", "turn:\n  realm: file\n  quota:\n    per_ip: 3\n    total: 4\n")
	cfg, _ := mustLoad(t, Options{File: file, Env: []string{"MAITRED_TURN_QUOTA_TOTAL=5"}, Flags: map[string]string{"turn.quota.per-user": "6"}})
	if want := (TURNQuota{PerUser: 6, PerIP: 3, Total: 5}); cfg.TURN.Quota != want || cfg.TURN.Realm != "file" {
		t.Errorf("got %+v and realm %q, want %+v", cfg.TURN.Quota, cfg.TURN.Realm, want)
	}
}

// TestHiddenMistake: a wrong value in the file is a mistake also where the environment overrides it.
func TestHiddenMistake(t *testing.T) {
	file := writeFile(t, "maitred.yaml", "turn:\n  udp: nonsense\n")
	if all := mistakes(t, Options{File: file, Env: []string{"MAITRED_TURN_UDP=:3479"}}); len(all) != 1 || all[0].Key != "turn.udp" {
		t.Errorf("got %v", all)
	}
}

func TestUnreadableFile(t *testing.T) {
	dir := t.TempDir()
	large := writeFile(t, "large.yaml", strings.Repeat("# much ado\n", 100_000))
	for file, want := range map[string]string{
		filepath.Join(dir, "missing.yaml"): "missing.yaml: cannot be read: no such file or directory",
		dir:                                dir + ": cannot be read: is a directory",
		large:                              "large.yaml: is larger than 1 MiB",
	} {
		if all := mistakes(t, Options{File: file}); len(all) != 1 || !strings.Contains(all[0].Error(), want) {
			t.Errorf("got %v, want %q", all, want)
		}
	}
}

// TestGarbage proves that a file which is no configuration ends in bounded work and output.
func TestGarbage(t *testing.T) {
	var b strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&b, "key%d: 1\n", i)
	}
	all := mistakes(t, Options{File: writeFile(t, "maitred.yaml", b.String())})
	if len(all) != maxMistakes+1 || !strings.Contains(all[maxMistakes].Error(), "there are more mistakes") {
		t.Errorf("%d mistakes, the last: %v", len(all), all[len(all)-1])
	}
}

func TestSecretsReadableByEveryone(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // files have no such mode there
	}
	file := writeFile(t, "maitred.yaml", "turn:\n  secrets: [0123456789abcdef]\n")
	if _, report := mustLoad(t, Options{File: file}); len(report.Warnings) != 0 {
		t.Errorf("warnings about a private file: %q", report.Warnings)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	_, report := mustLoad(t, Options{File: file})
	if len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], "holds turn.secrets and every user") {
		t.Errorf("warnings about a public file: %q", report.Warnings)
	}
	plain := writeFile(t, "maitred.yaml", "turn:\n  realm: x\n")
	if err := os.Chmod(plain, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, report := mustLoad(t, Options{File: plain}); len(report.Warnings) != 0 {
		t.Errorf("warnings about a public file without secrets: %q", report.Warnings)
	}
}

// FuzzFile: whatever the file holds, there is a configuration or an error that says something, and never a panic.
func FuzzFile(f *testing.F) {
	sample, err := os.ReadFile("../../configs/maitred.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample)
	f.Add([]byte(uncomment(string(sample))))
	for _, seed := range []string{
		"", "~", "- a", "turn: &a {realm: *a}", "turn: &a\n  quota: *a", "a: &a [*a]", "turn:\n  secrets: *x", "turn:\n\tudp: 1",
		"turn: {udp: :99999, tcp: [1], quota: {per_ip: -1}}", "? {a: b}\n: c", "\"\\0\": 1", "log:\n---\nlog:", "%YAML 9\n---\n", "turn: !!map {realm: !!str}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l := newLoader(Options{Env: []string{"HOME=/home/ada"}}, 1000)
		l.readDefaults()
		l.readYAML("fuzz.yaml", data)
		cfg, report, err := l.finish()
		if (cfg == nil) == (err == nil) || len(report.Values) != len(table) {
			t.Fatalf("got %v, %v", cfg, err)
		}
		if err != nil {
			for _, line := range strings.Split(err.Error(), "\n") {
				if len(line) < len("x: y") || strings.ContainsAny(line, "\x00\x1b\r") {
					t.Fatalf("a line of the error is %q", line)
				}
			}
			return
		}
		if !reflect.DeepEqual(reload(t, cfg), cfg) {
			t.Fatalf("what the report shows does not load as the same configuration: %+v", cfg)
		}
	})
}

// reload loads what every key's value reads like.
func reload(t *testing.T, cfg *Config) *Config {
	flags := map[string]string{}
	for i := range table {
		if text := table[i].show(cfg); !table[i].Secret { // a secret of a YAML list may hold a comma
			flags[table[i].Name] = text
		}
	}
	again, _, err := load(Options{Flags: flags, Env: []string{"HOME=/home/ada", "MAITRED_ADMIN_TOKEN=" + cfg.Admin.Token}}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	again.API.Keys, again.TURN.Secrets, again.Admin = cfg.API.Keys, cfg.TURN.Secrets, cfg.Admin
	return again
}
