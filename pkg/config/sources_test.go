package config

import (
	"bytes"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestSecretFiles(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"one", "0123456789abcdef\n", []string{"0123456789abcdef"}},
		{"without a newline", "0123456789abcdef", []string{"0123456789abcdef"}},
		{"DOS newline", "0123456789abcdef\r\n", []string{"0123456789abcdef"}},
		{"lines", "new-0123456789abc\nold-0123456789abc\n", []string{"new-0123456789abc", "old-0123456789abc"}},
		{"commas", "new-0123456789abc,old-0123456789abc\n", []string{"new-0123456789abc", "old-0123456789abc"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := writeFile(t, "secrets", test.text)
			cfg, report := mustLoad(t, Options{Env: []string{"MAITRED_TURN_SECRETS_FILE=" + file}})
			if !reflect.DeepEqual(cfg.TURN.Secrets, test.want) {
				t.Errorf("got %q, want %q", cfg.TURN.Secrets, test.want)
			}
			if v := value(t, report, "turn.secrets"); v.Text != "(hidden)" || v.Origin != "environment MAITRED_TURN_SECRETS_FILE" {
				t.Errorf("the report says %+v", v)
			}
		})
	}
	file := writeFile(t, "token", "0123456789abcdef\n")
	cfg, _ := mustLoad(t, Options{Env: []string{"MAITRED_ADMIN_TOKEN_FILE=" + file}})
	if cfg.Admin.Token != "0123456789abcdef" {
		t.Errorf("the token is %q", cfg.Admin.Token)
	}
}

func TestSecretFileMistakes(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	empty := writeFile(t, "empty", "\n")
	binary := writeFile(t, "binary", "hunter2\x00\x01")
	good := writeFile(t, "good", "0123456789abcdef\n")
	tests := []struct {
		name string
		env  []string
		want string
	}{
		{"missing", []string{"MAITRED_TURN_SECRETS_FILE=" + missing}, missing + `" cannot be read: no such file`},
		{"empty", []string{"MAITRED_TURN_SECRETS_FILE=" + empty}, `" is empty`},
		{"binary", []string{"MAITRED_TURN_SECRETS_FILE=" + binary}, "(hidden) holds a space or a character"},
		{"both", []string{"MAITRED_TURN_SECRETS_FILE=" + good, "MAITRED_TURN_SECRETS=0123456789abcdef"}, "is also set by MAITRED_TURN_SECRETS"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			all := mistakes(t, Options{Env: test.env})
			text := all[0].Error()
			if len(all) != 1 || !strings.Contains(strings.ReplaceAll(text, "…", ""), test.want) && !strings.Contains(text, test.want) {
				t.Errorf("got %v, want %q", all, test.want)
			}
			if !strings.HasPrefix(text, "environment MAITRED_TURN_SECRETS_FILE: turn.secrets: ") || strings.Contains(text, "hunter2") {
				t.Errorf("got %q", text)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	cfg, report := mustLoad(t, Options{Env: []string{
		"MAITRED_TURN_REALM=first", "MAITRED_TURN_REALM=second", // the last one wins, as in os/exec
		"MAITRED_LOG_LEVEL=",      // empty is not set
		"MAITRED_NONSENSE=",       // also here
		"maitred_log_level=debug", // not ours
		"MAITREDX=1", "nonsense", "=C:=C:\\",
		"MAITRED_TURN_DENY_PEERS= 10.0.0.0/8 , fd00::/8 ",
	}})
	if cfg.TURN.Realm != "second" || len(cfg.TURN.DenyPeers) != 2 || cfg.Log.Level != 0 || len(report.Warnings) != 0 {
		t.Errorf("got %+v, warnings %q", cfg, report.Warnings)
	}
}

func TestFlags(t *testing.T) {
	for flag, want := range map[string]string{
		"externl-ip":       "flag --externl-ip: there is no such flag; the nearest one is --external-ip",
		"turn.quota.perip": "the nearest one is --turn.quota.per_ip",
		"cluster.nats":     "belongs to a feature that this version does not have yet: rooms on several nodes",
		"a\nb":             `flag --"a\nb": there is no such flag`,
	} {
		if all := mistakes(t, Options{Flags: map[string]string{flag: "x"}}); len(all) != 1 || !strings.Contains(all[0].Error(), want) {
			t.Errorf("--%s: got %v, want %q", flag, all, want)
		}
	}
	for _, flag := range []string{"external-ip", "turn.external_ip", "turn.external-ip"} {
		cfg, report := mustLoad(t, Options{Flags: map[string]string{flag: "192.0.2.1"}})
		if len(cfg.TURN.ExternalIP) != 1 || value(t, report, "turn.external_ip").Origin != "flag --"+flag {
			t.Errorf("--%s: got %v", flag, cfg.TURN.ExternalIP)
		}
	}
	_, report := mustLoad(t, Options{Flags: map[string]string{"admin.token": "0123456789abcdef"}})
	if len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], "use MAITRED_ADMIN_TOKEN_FILE") {
		t.Errorf("warnings %q", report.Warnings)
	}
}

// TestErrorIsJoined: one error holds the mistakes of all sources, one to a line.
func TestErrorIsJoined(t *testing.T) {
	file := writeFile(t, "maitred.yaml", "log:\n  level: loud\n")
	_, _, err := Load(Options{File: file, Env: []string{"MAITRED_TURN_UDP=:99999"}, Flags: map[string]string{"state-dirr": "x"}})
	want := file + `:2: log.level: "loud" is not a log level; valid: debug, info, warn or error
environment MAITRED_TURN_UDP: turn.udp: ":99999" has a port above 65535; valid: host:port, [IPv6]:port, :port for every address, or off
flag --state-dirr: there is no such flag; the nearest one is --state_dir`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestReport(t *testing.T) {
	_, report := mustLoad(t, Options{
		Env:   []string{"HOME=/home/ada", "MAITRED_TURN_SECRETS=hunter2hunter2-1,hunter2hunter2-2", "MAITRED_ADMIN_TOKEN=hunter2hunter2-3"},
		Flags: map[string]string{"external-ip": "192.0.2.1,2001:db8::1"},
	})
	var out bytes.Buffer
	if err := report.Write(&out); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if strings.Contains(text, "hunter2") {
		t.Error("a secret is shown")
	}
	for _, want := range []string{
		"turn.external_ip                          192.0.2.1, 2001:db8::1           flag --external-ip\n",
		"turn.secrets                              (hidden)                         environment MAITRED_TURN_SECRETS\n",
		"turn.deny_peers                           (none)                           default\n",
		"turn.relay_ports                          49152-65535                      default\n",
		"api.keys                                  (none, those routes are closed)  default\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	if lines := strings.Count(text, "\n"); lines != len(Keys()) {
		t.Errorf("%d lines for %d keys", lines, len(Keys()))
	}
	_, report = mustLoad(t, Options{})
	if v := value(t, report, "turn.external_ip"); v.Text != "auto" {
		t.Errorf("no external address reads %q", v.Text)
	}
}

// TestWebhookQueryIsNotShown: what is behind the question mark may be a secret.
func TestWebhookQueryIsNotShown(t *testing.T) {
	const url = "https://a.example/hook?key=sesame"
	cfg, report := mustLoad(t, Options{Env: []string{"MAITRED_WEBHOOKS_URL=" + url, "MAITRED_WEBHOOKS_SECRET=0123456789abcdef"}})
	if v := value(t, report, "webhooks.url"); cfg.Webhooks.URL != url || v.Text != "https://a.example/hook?…" {
		t.Errorf("%q is shown as %q", cfg.Webhooks.URL, v.Text)
	}
}
