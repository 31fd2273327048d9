package config

import (
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// writeFile puts text into a file that only its owner can read.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func mustLoad(t *testing.T, opts Options) (*Config, *Report) {
	t.Helper()
	cfg, report, err := Load(opts)
	if err != nil {
		t.Fatal(err)
	}
	return cfg, report
}

// mistakes loads what must be wrong and returns every mistake.
func mistakes(t *testing.T, opts Options) []*Mistake {
	t.Helper()
	cfg, report, err := Load(opts)
	if err == nil || cfg != nil || report == nil {
		t.Fatalf("Load = %v, %v, %v; want no configuration, a report and an error", cfg, report, err)
	}
	var all []*Mistake
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var m *Mistake
		if !errors.As(e, &m) || m.Error() == "" {
			t.Fatalf("%v is not a mistake with a text", e)
		}
		all = append(all, m)
	}
	return all
}

func value(t *testing.T, r *Report, key string) Value {
	t.Helper()
	for _, v := range r.Values {
		if v.Key == key {
			return v
		}
	}
	t.Fatalf("the report has no %s", key)
	return Value{}
}

func TestDefaults(t *testing.T) {
	cfg, report := mustLoad(t, Options{Env: []string{"HOME=/home/ada"}})
	want := &Config{
		HTTP:  HTTP{Listen: ":8080", ConnectionsPerIP: 256},
		HTTPS: HTTPS{Listen: Off},
		TLS:   TLS{HandshakeTimeout: 10 * time.Second, ACME: ACME{CheckInterval: 10 * time.Minute}},
		TURN: TURN{
			Realm: "maitred", UDP: ":3478", TCP: ":3478", TLS: Off, DTLS: Off, RelayPorts: PortRange{49152, 65535}, CredentialTTL: 12 * time.Hour, SecretRotation: 168 * time.Hour,
			Quota:  TURNQuota{PerUser: 20, PerIP: 200},
			Limits: TURNLimits{UnauthenticatedPerIP: 50, ConnectionsPerIP: 100, DTLSHandshakes: 128, PeersPerAllocation: 256, AddressesPerMember: 64, StreamQueue: 512 * kib, IdleTimeout: 30 * time.Second},
		},
		Signaling: Signaling{
			Auth: "open", MaxMembers: 16, MaxRooms: 10000, Resume: 15 * time.Second, KnockTimeout: 10 * time.Minute, MaxMessage: 72 << 10, Queue: 256,
			Limits: SignalingLimits{ConnectionsPerIP: 100, JoinsPerIP: 20, Messages: 100, MessagesPerIP: 2000, FailedPasswordsPerIP: 10, FailedTokensPerIP: 10, Attempts: 5, Waiting: 16, Tokens: 100000},
		},
		Check:    Check{Enabled: true, TTL: 2 * time.Minute, PerIP: 6, Sessions: 256},
		Webhooks: Webhooks{Queue: 1000, Timeout: 5 * time.Second, RetryFor: 10 * time.Minute},
		Admin:    Admin{Listen: "127.0.0.1:9090"}, Log: Log{Level: slog.LevelInfo, Format: "text"},
		StateDir: "/home/ada/.local/state/maitred", DrainTimeout: 10 * time.Second,
	}
	if !reflect.DeepEqual(cfg, want) {
		t.Errorf("got  %+v\nwant %+v", cfg, want)
	}
	if len(report.Warnings) > 0 {
		t.Errorf("warnings: %q", report.Warnings)
	}
	for _, v := range report.Values {
		if v.Origin != "default" {
			t.Errorf("%s comes from %s", v.Key, v.Origin)
		}
	}
}

// examples has three valid values of every key, as they read in the report: for the file, the environment and the flag.
var examples = map[string][3]string{
	"domain":                                   {"a.example.com", "b.example.com", "c.example.com"},
	"https.listen":                             {":1443", "off", "[::1]:2443"},
	"https.public_port":                        {"443", "0", "1"},
	"tls.cert_file":                            {"/a.pem", "/b.pem", "c.pem"},
	"tls.key_file":                             {"/a.key", "/b.key", "c.key"},
	"tls.self_signed":                          {"true", "false", "true"},
	"tls.handshake_timeout":                    {"1s", "5m", "20s"},
	"tls.acme.directory_url":                   {"https://a.example/dir", "https://b.example:14000/dir", "https://c.example/dir"},
	"tls.acme.ca_file":                         {"/a.pem", "/b.pem", "c.pem"},
	"tls.acme.email":                           {"a@example.com", "b@example.com", "c@example.com"},
	"tls.acme.check_interval":                  {"1s", "1h", "24h"},
	"turn.tls":                                 {":5349", "off", "[::1]:5350"},
	"turn.dtls":                                {":5349", "off", "[::1]:5350"},
	"turn.limits.dtls_handshakes":              {"1", "2", "3"},
	"http.listen":                              {":81", "localhost:82", "[::1]:83"},
	"http.trusted_proxies":                     {"10.0.0.0/8", "127.0.0.1/32, ::1/128", "fd00::/8"},
	"http.limits.connections_per_ip":           {"1", "2", "0"},
	"api.keys":                                 {"file-key-0123456789", "env-key-0123456789", "flag-key-0123456789"},
	"turn.realm":                               {"example.org", "zoé", "a b"},
	"turn.udp":                                 {":3479", "off", "192.0.2.1:3480"},
	"turn.tcp":                                 {":3479", "off", "[2001:db8::1]:3480"},
	"turn.external_ip":                         {"192.0.2.1", "192.0.2.2, 2001:db8::2", "2001:db8::3"},
	"turn.relay_ports":                         {"50000-50100", "none", "1024-1024"},
	"turn.urls":                                {"turn:a.example", "turns:b.example:443?transport=tcp, stun:c.example", "turn:[2001:db8::1]:3478"},
	"turn.secrets":                             {"file-secret-0123456789", "env-secret-0123456789", "flag-secret-0123456789"},
	"turn.credential_ttl":                      {"1m", "1h", "24h"},
	"turn.secret_rotation":                     {"24h", "0s", "8760h"},
	"turn.allow_peers":                         {"10.0.0.0/8", "192.168.0.0/16, 127.0.0.1/32", "fc00::/7"},
	"turn.deny_peers":                          {"203.0.113.0/24", "198.51.100.0/24", "2001:db8::/32"},
	"turn.room_permissions":                    {"true", "false", "true"},
	"turn.quota.per_user":                      {"1", "2", "0"},
	"turn.quota.per_ip":                        {"1", "2", "0"},
	"turn.quota.total":                         {"1", "2", "3"},
	"turn.bandwidth.per_allocation":            {"64k", "8M", "0"},
	"turn.bandwidth.total":                     {"1500k", "100G", "1000001"},
	"turn.limits.unauthenticated_per_ip":       {"1", "2", "0"},
	"turn.limits.connections_per_ip":           {"1", "2", "0"},
	"turn.limits.peers_per_allocation":         {"1", "2", "3"},
	"turn.limits.addresses_per_member":         {"1", "2", "256"},
	"turn.limits.stream_queue":                 {"128KiB", "1MiB", "64MiB"},
	"turn.limits.idle_timeout":                 {"1s", "1m", "1h"},
	"signaling.auth":                           {"token", "open", "token"},
	"signaling.token_keys":                     {"a:EdDSA:AQ==", "b:ES256:_-8, c:ES256:/+8", "d:HS256:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="},
	"signaling.allowed_origins":                {"https://a.example", "https://*.b.example:8443, c.example", "*"},
	"signaling.max_members":                    {"2", "3", "4"},
	"signaling.max_rooms":                      {"1", "2", "3"},
	"signaling.resume":                         {"1s", "1m30s", "0s"},
	"signaling.knock_timeout":                  {"1s", "1m", "24h"},
	"signaling.limits.connections_per_ip":      {"1", "2", "0"},
	"signaling.limits.joins_per_ip":            {"1", "2", "0"},
	"signaling.limits.failed_passwords_per_ip": {"1", "2", "0"},
	"signaling.limits.failed_tokens_per_ip":    {"1", "2", "0"},
	"signaling.limits.attempts":                {"1", "2", "3"},
	"signaling.limits.waiting":                 {"1", "2", "3"},
	"signaling.limits.tokens":                  {"1", "2", "3"},
	"check.enabled":                            {"true", "false", "true"},
	"check.ttl":                                {"10s", "1h", "20s"},
	"check.per_ip":                             {"1", "0", "2147483647"},
	"check.sessions":                           {"1", "65536", "1000"},
	"webhooks.url":                             {"https://a.example/hook", "http://127.0.0.1:8090/x", "http://[::1]/"},
	"webhooks.secret":                          {"file-secret-0123456789", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", "flag-secret-0123456789"},
	"webhooks.queue":                           {"1", "2", "3"},
	"webhooks.timeout":                         {"1s", "1m", "100ms"},
	"webhooks.retry_for":                       {"1s", "24h", "0s"},
	"signaling.limits.messages":                {"1", "2", "0"},
	"signaling.limits.messages_per_ip":         {"1", "2", "0"},
	"signaling.limits.message_size":            {"100KiB", "1MiB", "100000"},
	"signaling.limits.queue":                   {"8", "9", "10"},
	"admin.listen":                             {"127.0.0.1:1", "off", "[::1]:3"},
	"admin.token":                              {"file-token-0123456789", "env-token-0123456789", "flag-token-0123456789"},
	"log.level":                                {"debug", "warn", "error"},
	"log.format":                               {"json", "text", "json"},
	"state_dir":                                {"/a", "/b", "c/d"},
	"drain_timeout":                            {"1s", "2m", "0s"},
}

// companions are what a key needs beside it to be of any use.
var companions = map[string]string{
	"https.listen": "MAITRED_TLS_SELF_SIGNED=true", "turn.tls": "MAITRED_TLS_SELF_SIGNED=true", "turn.dtls": "MAITRED_TLS_SELF_SIGNED=true",
	"tls.cert_file": "MAITRED_TLS_KEY_FILE=/key", "tls.key_file": "MAITRED_TLS_CERT_FILE=/cert",
	"webhooks.url": "MAITRED_WEBHOOKS_SECRET=companion-0123456789",
}

// TestPrecedence sets every key in every source: the file wins over the default, the environment over it, the flag over all.
func TestPrecedence(t *testing.T) {
	for _, k := range Keys() {
		t.Run(k.Name, func(t *testing.T) {
			texts, ok := examples[k.Name]
			if !ok {
				t.Fatal("there is no example of this key")
			}
			file := writeFile(t, "maitred.yaml", nested(k.Name, texts[0]))
			opts := Options{File: file, Env: []string{"HOME=/home/ada", companions[k.Name]}}
			expect := func(text, origin string) {
				t.Helper()
				cfg, report := mustLoad(t, opts)
				if got := k.show(cfg); got != text {
					t.Errorf("value %q, want %q", got, text)
				}
				if got := value(t, report, k.Name).Origin; got != origin {
					t.Errorf("origin %q, want %q", got, origin)
				}
			}
			expect(texts[0], "file "+file+":"+lastLine(k.Name))
			opts.Env = append(opts.Env, k.Env()+"="+texts[1])
			expect(texts[1], "environment "+k.Env())
			opts.Flags = map[string]string{k.Flag(): texts[2]}
			expect(texts[2], "flag --"+k.Flag())
		})
	}
}

// nested writes a.b.c: text as YAML, one line for each part.
func nested(key, text string) string {
	var b strings.Builder
	parts := strings.Split(key, ".")
	for i, part := range parts {
		b.WriteString(strings.Repeat("  ", i) + part + ":")
		if i == len(parts)-1 {
			b.WriteString(" '" + text + "'")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func lastLine(key string) string { return string(rune('1' + strings.Count(key, "."))) }

// TestEveryFieldHasAKey proves that no field of Config can be forgotten by the table, and that no two keys share one.
func TestEveryFieldHasAKey(t *testing.T) {
	set := map[string]string{}
	for _, k := range Keys() {
		cfg := &Config{}
		parsed, faults := k.parse([]string{examples[k.Name][0]})
		if len(faults) > 0 {
			t.Fatalf("%s: %v", k.Name, faults)
		}
		k.store(cfg, parsed)
		for _, field := range nonZero("", reflect.ValueOf(*cfg)) {
			if other, ok := set[field]; ok {
				t.Errorf("%s and %s are both stored in %s", other, k.Name, field)
			}
			set[field] = k.Name
		}
	}
	// log.level debug is not zero and every other example is not either, so each key must have left a trace.
	if fields := countFields(reflect.TypeFor[Config]()); fields != len(set) || fields != len(Keys()) {
		t.Errorf("%d fields, %d of them set by %d keys", fields, len(set), len(Keys()))
	}
}

func nonZero(path string, v reflect.Value) (fields []string) {
	if v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[PortRange]() {
		for i := range v.NumField() {
			fields = append(fields, nonZero(path+"."+v.Type().Field(i).Name, v.Field(i))...)
		}
		return fields
	}
	if v.IsZero() {
		return nil
	}
	return []string{path}
}

func countFields(t reflect.Type) (n int) {
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[PortRange]() {
		return 1
	}
	for i := range t.NumField() {
		n += countFields(t.Field(i).Type)
	}
	return n
}

func TestStateDir(t *testing.T) {
	tests := []struct {
		name string
		env  []string
		uid  int
		want string
	}{
		{"person", []string{"HOME=/home/ada"}, 1000, "/home/ada/.local/state/maitred"},
		{"XDG", []string{"HOME=/home/ada", "XDG_STATE_HOME=/home/ada/state/"}, 1000, "/home/ada/state/maitred"},
		{"relative XDG is ignored", []string{"HOME=/home/ada", "XDG_STATE_HOME=state"}, 1000, "/home/ada/.local/state/maitred"},
		{"root", []string{"HOME=/root"}, 0, "/root/.local/state/maitred"},
		{"root as a service", nil, 0, "/var/lib/maitred"},
		{"root as a service at /", []string{"HOME=/"}, 0, "/var/lib/maitred"},
		{"no home", nil, 65532, "/var/lib/maitred"},
		{"systemd", []string{"HOME=/home/ada", "STATE_DIRECTORY=/var/lib/maitred"}, 1000, "/var/lib/maitred"},
		{"systemd, several", []string{"STATE_DIRECTORY=/var/lib/private/maitred:/var/lib/b"}, 1000, "/var/lib/private/maitred"},
		{"set", []string{"HOME=/home/ada", "MAITRED_STATE_DIR=/srv/maitred"}, 1000, "/srv/maitred"},
		{"set below home", []string{"HOME=/home/ada", "MAITRED_STATE_DIR=~/maitred"}, 1000, "/home/ada/maitred"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg, _, err := load(Options{Env: test.env}, test.uid)
			if err != nil {
				t.Fatal(err)
			}
			if cfg.StateDir != test.want {
				t.Errorf("got %s, want %s", cfg.StateDir, test.want)
			}
		})
	}
}

// TestTogether has values that are valid alone.
func TestTogether(t *testing.T) {
	tests := []struct {
		name string
		env  string // NAME=value, blank-separated
		want []string
	}{
		{"relay ports hold the listener", "MAITRED_TURN_RELAY_PORTS=3000-4000", []string{"MAITRED_TURN_RELAY_PORTS", "turn.relay_ports", `"3000-4000" holds the port of turn.udp (:3478)`}},
		{"listener in the relay ports", "MAITRED_TURN_UDP=:50000", []string{"MAITRED_TURN_UDP", `":50000" is a port of turn.relay_ports (49152-65535)`}},
		{"listener is the last relay port", "MAITRED_TURN_UDP=:65535", []string{"turn.relay_ports"}},
		{"two IPv4 addresses", "MAITRED_TURN_EXTERNAL_IP=192.0.2.1,192.0.2.2", []string{`"192.0.2.2" is the second address of its family after 192.0.2.1`}},
		{"two IPv6 addresses", "MAITRED_TURN_EXTERNAL_IP=2001:db8::1,192.0.2.2,2001:db8::2", []string{`"2001:db8::2" is the second`}},
		{"an IPv4 address in two forms", "MAITRED_TURN_EXTERNAL_IP=192.0.2.1,::ffff:192.0.2.1", []string{"twice"}},
		{"one TLS port twice", "MAITRED_TURN_TLS=:443 MAITRED_DOMAIN=a.example.com", []string{"MAITRED_TURN_TLS", `":443" is also the address of https.listen (:443)`}},
		{"DTLS beside UDP", "MAITRED_TURN_DTLS=:3478 MAITRED_TLS_SELF_SIGNED=true", []string{"MAITRED_TURN_DTLS", `":3478" is also the address of turn.udp (:3478)`}},
		{"DTLS among relay ports", "MAITRED_TURN_DTLS=:50000 MAITRED_TLS_SELF_SIGNED=true", []string{"MAITRED_TURN_DTLS", "is a port of turn.relay_ports (49152-65535)"}},
		{"certificate without key", "MAITRED_TLS_CERT_FILE=/c", []string{"MAITRED_TLS_CERT_FILE", "needs tls.key_file"}},
		{"key without certificate", "MAITRED_TLS_KEY_FILE=/k", []string{"MAITRED_TLS_KEY_FILE", "needs tls.cert_file"}},
		{"self-signed and public", "MAITRED_TLS_SELF_SIGNED=true MAITRED_DOMAIN=a.example.com", []string{"MAITRED_TLS_SELF_SIGNED", "domain asks for a public certificate"}},
		{"self-signed and files", "MAITRED_TLS_SELF_SIGNED=true MAITRED_TLS_CERT_FILE=/c MAITRED_TLS_KEY_FILE=/k", []string{"MAITRED_TLS_SELF_SIGNED", "tls.cert_file names a certificate"}},
		{"domain that nobody can validate", "MAITRED_DOMAIN=a.example.com MAITRED_HTTP_LISTEN=off MAITRED_HTTPS_LISTEN=off", []string{"MAITRED_DOMAIN", "http.listen and https.listen are both off"}},
		{"HTTPS without a certificate", "MAITRED_HTTPS_LISTEN=:443", []string{"MAITRED_HTTPS_LISTEN", "needs a certificate; valid: set domain"}},
		{"TLS without a certificate", "MAITRED_TURN_TLS=:5349", []string{"MAITRED_TURN_TLS", "needs a certificate"}},
		{"DTLS without a certificate", "MAITRED_TURN_DTLS=:5349", []string{"MAITRED_TURN_DTLS", "needs a certificate"}},
		{"one TCP port twice", "MAITRED_HTTP_LISTEN=:3478", []string{"MAITRED_HTTP_LISTEN", `":3478" is also the address of turn.tcp (:3478)`}},
		{"one TCP port twice, one address in the other", "MAITRED_TURN_TCP=127.0.0.1:9090", []string{"turn.tcp", "admin.listen"}},
		{"unspecified and loopback", "MAITRED_HTTP_LISTEN=[::]:9090", []string{"admin.listen (127.0.0.1:9090)"}},
		{"nothing to do", "MAITRED_HTTP_LISTEN=off MAITRED_TURN_UDP=off MAITRED_TURN_TCP=off", []string{"nothing to serve"}},
		{"rotation within the life of a credential", "MAITRED_TURN_SECRET_ROTATION=24h MAITRED_TURN_CREDENTIAL_TTL=48h", []string{
			"MAITRED_TURN_SECRET_ROTATION", `turn.secret_rotation: "24h" is shorter than turn.credential_ttl (48h); valid: at least that`, "0 for never"}},
		{"two keys of one name", "MAITRED_SIGNALING_TOKEN_KEYS=a:ES256:AQ,a:EdDSA:AQ", []string{"MAITRED_SIGNALING_TOKEN_KEYS", `signaling.token_keys: has two keys named "a"`}},
		{"webhooks without a secret", "MAITRED_WEBHOOKS_URL=https://a.example", []string{"MAITRED_WEBHOOKS_URL", "webhooks.url: needs webhooks.secret", "openssl rand"}},
		{"open admin", "MAITRED_ADMIN_LISTEN=:9090", []string{"admin.listen", `":9090" can be reached from other machines`, "admin.token"}},
		{"open admin by name", "MAITRED_ADMIN_LISTEN=relay.example:9090", []string{"admin.token"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			all := mistakes(t, Options{Env: strings.Fields(test.env)})
			if len(all) != 1 {
				t.Errorf("%d mistakes: %v", len(all), all)
			}
			for _, want := range test.want {
				if !strings.Contains(all[0].Error(), want) {
					t.Errorf("%q lacks %q", all[0], want)
				}
			}
		})
	}
}

// TestDerivedListeners: what is listened on where nobody said so.
func TestDerivedListeners(t *testing.T) {
	for _, test := range []struct{ name, env, http, https string }{
		{"nothing", "", ":8080", "off"},
		{"domain", "MAITRED_DOMAIN=a.example.com", ":80", ":443"},
		{"domain with files", "MAITRED_DOMAIN=a.example.com MAITRED_TLS_CERT_FILE=/c MAITRED_TLS_KEY_FILE=/k", ":80", ":443"},
		{"files", "MAITRED_TLS_CERT_FILE=/c MAITRED_TLS_KEY_FILE=/k", ":8080", ":443"},
		{"self-signed", "MAITRED_TLS_SELF_SIGNED=true", ":8080", ":8443"},
		{"domain, and listeners", "MAITRED_DOMAIN=a.example.com MAITRED_HTTP_LISTEN=:8080 MAITRED_HTTPS_LISTEN=:8444", ":8080", ":8444"},
		{"domain, and off", "MAITRED_DOMAIN=a.example.com MAITRED_HTTP_LISTEN=off MAITRED_HTTPS_LISTEN=:443", "off", ":443"},
	} {
		cfg, report := mustLoad(t, Options{Env: strings.Fields(test.env)})
		if cfg.HTTP.Listen != test.http || cfg.HTTPS.Listen != test.https || value(t, report, "https.listen").Text != test.https {
			t.Errorf("%s: http.listen %s, https.listen %s; want %s and %s", test.name, cfg.HTTP.Listen, cfg.HTTPS.Listen, test.http, test.https)
		}
	}
}

func TestTogetherIsFine(t *testing.T) {
	for _, env := range []string{
		"MAITRED_TURN_UDP=:50000 MAITRED_TURN_RELAY_PORTS=none",
		"MAITRED_TURN_UDP=off MAITRED_TURN_RELAY_PORTS=3000-4000",
		"MAITRED_TURN_UDP=:0 MAITRED_TURN_TCP=:0 MAITRED_HTTP_LISTEN=127.0.0.1:0 MAITRED_ADMIN_LISTEN=127.0.0.1:0",
		"MAITRED_TURN_TCP=:50000",
		"MAITRED_HTTP_LISTEN=127.0.0.2:9090",
		"MAITRED_ADMIN_LISTEN=localhost:9090",
		"MAITRED_ADMIN_LISTEN=[::1]:9090",
		"MAITRED_ADMIN_LISTEN=:9090 MAITRED_ADMIN_TOKEN=0123456789abcdef",
		"MAITRED_TURN_EXTERNAL_IP=auto",
		"MAITRED_TURN_EXTERNAL_IP=127.0.0.1",
		"MAITRED_HTTP_LISTEN=off",
		"MAITRED_TURN_SECRET_ROTATION=24h MAITRED_TURN_CREDENTIAL_TTL=24h",
		"MAITRED_TURN_SECRET_ROTATION=0 MAITRED_TURN_CREDENTIAL_TTL=48h",
		"MAITRED_TURN_SECRET_ROTATION=0 MAITRED_TURN_SECRETS=0123456789abcdef",
		"MAITRED_TURN_SECRETS=0123456789abcdef MAITRED_TURN_CREDENTIAL_TTL=8760h",
		"MAITRED_WEBHOOKS_URL=https://a.example MAITRED_WEBHOOKS_SECRET=0123456789abcdef",
	} {
		_, report := mustLoad(t, Options{Env: strings.Fields(env)})
		if len(report.Warnings) > 0 {
			t.Errorf("%s: %q", env, report.Warnings)
		}
	}
	cfg, _ := mustLoad(t, Options{Env: []string{"MAITRED_TURN_EXTERNAL_IP=::ffff:192.0.2.1"}})
	if want := []netip.Addr{netip.MustParseAddr("192.0.2.1")}; !reflect.DeepEqual(cfg.TURN.ExternalIP, want) {
		t.Errorf("the mapped address became %v", cfg.TURN.ExternalIP)
	}
}

// TestDerivedRotation: a credential's life that was longer than the usual rotation before there was one stays a valid configuration.
func TestDerivedRotation(t *testing.T) {
	cfg, _ := mustLoad(t, Options{Env: []string{"MAITRED_TURN_CREDENTIAL_TTL=720h"}})
	if cfg.TURN.SecretRotation != 720*time.Hour {
		t.Errorf("rotation every %v, want 720h", cfg.TURN.SecretRotation)
	}
}

func TestWeakValuesWarn(t *testing.T) {
	for env, want := range map[string]string{
		"MAITRED_TURN_SECRETS=short,short2":                                      "environment MAITRED_TURN_SECRETS: turn.secrets has fewer than 16 characters",
		"MAITRED_API_KEYS=short":                                                 "api.keys has fewer than 16",
		"MAITRED_ADMIN_TOKEN=short":                                              "admin.token has fewer than 16",
		"MAITRED_HTTP_TRUSTED_PROXIES=0.0.0.0/0":                                 "every client can pretend",
		"MAITRED_TURN_ALLOW_PEERS=::/0":                                          "private networks",
		"MAITRED_TURN_ALOW_PEERS=::/0":                                           "the nearest one is MAITRED_TURN_ALLOW_PEERS",
		"MAITRED_TURN_SECRET_FILE=/x":                                            "the nearest one is MAITRED_TURN_SECRETS_FILE",
		"MAITRED_TURN_REALM_FILE=/x":                                             "there is no such variable",
		"MAITRED_TURN_SECRETS=0123456789abcdef MAITRED_TURN_SECRET_ROTATION=24h": "turn.secret_rotation replaces the generated secret only",
		"MAITRED_CLUSTER_NATS=nats://127.0.0.1":                                  "a feature that this version does not have yet: rooms on several nodes",
		"MAITRED_=x":                                                             "there is no such variable",
		"MAITRED_" + strings.Repeat("X", 10_000) + "=x":                          "there is no such variable",
		"MAITRED_TURN_BANDWITH_TOTAL=8M":                                         "the nearest one is MAITRED_TURN_BANDWIDTH_TOTAL",
		"MAITRED_SIGNALING_LIMITS_MESSAGESIZE=8M":                                "MAITRED_SIGNALING_LIMITS_MESSAGE_SIZE",
		"MAITRED_TURN_LIMITS_UNAUTHENTICATED_PER_IP_FILE=/x1":                    "there is no such variable",
	} {
		_, report := mustLoad(t, Options{Env: strings.Fields(env)})
		if len(report.Warnings) != 1 || !strings.Contains(report.Warnings[0], want) {
			t.Errorf("%.60s: warnings %q, want one with %q", env, report.Warnings, want)
		}
	}
}
