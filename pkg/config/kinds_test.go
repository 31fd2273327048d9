package config

import (
	"strings"
	"testing"
)

// values has for each key what is refused, with a piece of the reason, and what is accepted (no reason).
var values = []struct{ key, value, want string }{
	{"http.listen", ":99999", "port above 65535"},
	{"http.listen", "8080", "write :8080"},
	{"http.listen", "", "has no port"},
	{"http.listen", ":", "has no port"},
	{"http.listen", "localhost", "has no port"},
	{"http.listen", ":http", "not a number"},
	{"http.listen", ":-1", "not a number"},
	{"http.listen", ":+1", "not a number"},
	{"http.listen", "::1:8080", "brackets"},
	{"http.listen", "[::1:8080", "brackets"},
	{"http.listen", "[192.0.2.1]:80", "IPv6 address in its brackets"},
	{"http.listen", "[fe80::1%eth0]:80", ""},
	{"http.listen", "300.1.2.3:80", "no valid IP address"},
	{"http.listen", "a b:80", "no valid host"},
	{"http.listen", "-a.example:80", "no valid host"},
	{"http.listen", "http://a:80", "IPv6"},
	{"http.listen", "Off", "has no port"},
	{"http.listen", "0.0.0.0:80", ""},
	{"http.listen", "relay_1.example:80", ""},

	{"turn.allow_peers", "10.0.0.1/8", "write 10.0.0.0/8"},
	{"turn.allow_peers", "10.0.0.1", "write 10.0.0.1/32"},
	{"turn.allow_peers", "2001:db8::1", "write 2001:db8::1/128"},
	{"turn.allow_peers", "10.0.0.0/33", "is not a CIDR"},
	{"turn.allow_peers", "10.0.0/8", "is not a CIDR"},
	{"turn.allow_peers", "fe80::1%eth0/64", "is not a CIDR"},
	{"turn.allow_peers", "::ffff:10.0.0.0/104", "IPv6 form"},
	{"turn.allow_peers", "10.0.0.0/8,10.0.0.0/8", "twice"},
	{"turn.allow_peers", "10.0.0.0/8,", "empty item"},
	{"turn.allow_peers", "private", "is not a CIDR"},

	{"turn.external_ip", "192.0.2.256", "is not an IP address"},
	{"turn.external_ip", "relay.example.com", "is not an IP address"},
	{"turn.external_ip", "0.0.0.0", "not the address of a machine"},
	{"turn.external_ip", "224.0.0.1", "not the address of a machine"},
	{"turn.external_ip", "fe80::1%eth0", "zone"},
	{"turn.external_ip", "auto,192.0.2.1", "is not an IP address"},

	{"turn.relay_ports", "49152", "not a range"},
	{"turn.relay_ports", "50000-40000", "ends before it begins"},
	{"turn.relay_ports", "1023-40000", "below 1024"},
	{"turn.relay_ports", "1024-65536", "above 65535"},
	{"turn.relay_ports", "1024 - 2000", "not a number"},
	{"turn.relay_ports", "-", "has no port"},
	{"turn.relay_ports", "off", "not a range"},

	{"domain", "call.example.com", ""},
	{"domain", "192.0.2.1", "tls.self_signed makes a certificate for one"},
	{"domain", "192.0.2.1.", "is an IP address"},
	{"domain", "１９２.0.2.1", "is an IP address"},
	{"domain", "2001:db8::1", "is an IP address"},
	{"domain", "*.example.com", "wildcard"},
	{"domain", "https://call.example.com", "leave out scheme"},
	{"domain", "call.example.com:443", "leave out scheme, port"},
	{"domain", "localhost", "not the name of a host on the Internet"},
	{"domain", "a_b.example.com", "not the name of a host on the Internet"},
	{"domain", "call..example.com", "no valid host"},
	{"domain", "-call.example.com", "not the name of a host on the Internet"},
	{"https.listen", "443", "write :443"},
	{"tls.acme.directory_url", "http://ca.example/dir", "https://"},
	{"tls.acme.directory_url", "https://", "not a URL"},
	{"tls.acme.directory_url", "https://u:p@ca.example/dir", "has a user"},
	{"tls.acme.email", "ops", "not an e-mail address"},
	{"tls.acme.email", "Ops <ops@example.com>", "not an e-mail address"},
	{"tls.cert_file", "/a\x00b", "control characters"},
	{"tls.handshake_timeout", "100ms", "too short"},

	{"turn.room_permissions", "yes", "neither true nor false"},
	{"turn.room_permissions", "True", "neither true nor false"},
	{"turn.room_permissions", "", "neither true nor false"},
	{"turn.room_permissions", "true", ""},
	{"turn.limits.addresses_per_member", "0", "too small"},
	{"turn.limits.addresses_per_member", "257", "too large"},

	{"turn.realm", "", "empty"},
	{"turn.realm", strings.Repeat("a", 128), "too long"},
	{"turn.realm", strings.Repeat("a", 127), ""},
	{"turn.realm", strings.Repeat("é", 127), ""},
	{"turn.realm", strings.Repeat("a", 764), "too long"},
	{"turn.realm", "a\nb", "cannot have"},
	{"turn.realm", `a"b`, "cannot have"},
	{"turn.realm", "a\xffb", "not UTF-8"},

	{"turn.urls", "http://example.com", "does not begin with"},
	{"turn.urls", "turn://example.com", "must not have //"},
	{"turn.urls", "turn:", "has no host"},
	{"turn.urls", "turn:example.com:0", "port 0"},
	{"turn.urls", "turn:example.com:99999", "port above"},
	{"turn.urls", "turn:example.com?transport=sctp", "query"},
	{"turn.urls", "stun:example.com?transport=udp", "query"},
	{"turn.urls", "turn:2001:db8::1", "brackets"},
	{"turn.urls", "turn:[2001:db8::1]?transport=udp", ""},
	{"turn.urls", "TURN:example.com", "does not begin with"},

	{"turn.secrets", "a b", "space"},
	{"turn.secrets", "pässword", "ASCII"},
	{"turn.secrets", "a\tb", "space"},

	{"turn.credential_ttl", "59s", "too short"},
	{"turn.credential_ttl", "8761h", "too long"},
	{"turn.credential_ttl", "3600", "has no unit"},
	{"turn.credential_ttl", "1 hour", "is not a duration"},
	{"turn.credential_ttl", "-1h", "negative"},
	{"turn.credential_ttl", "90m", ""},
	{"drain_timeout", "0", ""},

	{"turn.secret_rotation", "23h59m", "too short"},
	{"turn.secret_rotation", "1ns", "too short"},
	{"turn.secret_rotation", "-24h", "negative"},
	{"turn.secret_rotation", "never", "is not a duration"},
	{"turn.secret_rotation", "0", ""},
	{"turn.secret_rotation", "24h", ""},

	{"signaling.auth", "oidc", "is not one of the words"},
	{"signaling.token_keys", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE", "three parts"},
	{"signaling.token_keys", "a:HS256", "three parts"},
	{"signaling.token_keys", ":ES256:AQ", "name that a key cannot have"},
	{"signaling.token_keys", "a/b:ES256:AQ", "name that a key cannot have"},
	{"signaling.token_keys", strings.Repeat("a", 65) + ":ES256:AQ", "name that a key cannot have"},
	{"signaling.token_keys", strings.Repeat("a", 64) + ":ES256:AQ", ""},
	{"signaling.token_keys", "a:none:AQ", "none of HS256, ES256 and EdDSA"},
	{"signaling.token_keys", "a:hs256:AQ", "none of HS256, ES256 and EdDSA"},
	{"signaling.token_keys", "a:ES256:", "not base64"},
	{"signaling.token_keys", "a:ES256:A", "not base64"},
	{"signaling.token_keys", "a:ES256:AQ:AQ", "not base64"},
	{"signaling.token_keys", "a:HS256:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MA==", "fewer than 32 bytes"},
	{"signaling.token_keys", "a.B_-9:HS256:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE", ""},
	{"signaling.knock_timeout", "0", "too short"},
	{"signaling.limits.attempts", "0", "too small"},
	{"signaling.limits.waiting", "0", "too small"},
	{"signaling.limits.tokens", "0", "too small"},

	{"webhooks.url", "a.example/hook", "is not a URL"},
	{"webhooks.url", "a b", "is not a URL"},
	{"webhooks.url", "ftp://a.example", "neither https:// nor http://"},
	{"webhooks.url", "https://", "has no host"},
	{"webhooks.url", "https://:443/", "has no host"},
	{"webhooks.url", "https://u@a.example/", "has a user"},
	{"webhooks.url", "https://a.example/#x", "has a fragment"},
	{"webhooks.secret", "0123456789abcde", "too short"},
	{"webhooks.secret", "0123456789 abcdef", "space"},
	{"webhooks.secret", "0123456789abcdef", ""},
	{"webhooks.secret", "whsec_0123456789abcde!", "not base64"},
	{"webhooks.secret", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=", "too short"},
	{"webhooks.secret", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", ""},
	{"webhooks.queue", "0", "too small"},
	{"webhooks.timeout", "99ms", "too short"},
	{"webhooks.retry_for", "25h", "too long"},

	{"turn.quota.per_user", "-1", "negative"},
	{"turn.quota.per_user", "many", "not a whole number"},
	{"turn.quota.per_user", "1.5", "not a whole number"},
	{"turn.quota.per_user", "99999999999", "too large"},
	{"turn.quota.per_user", "99999999999999999999999", "out of range"},
	{"turn.limits.peers_per_allocation", "0", "too small"},

	{"turn.bandwidth.total", "63999", "too small"},
	{"turn.bandwidth.total", "2.5", "too small"},
	{"turn.bandwidth.total", "0.06M", "too small"},
	{"turn.bandwidth.total", "100.1G", "too large"},
	{"turn.bandwidth.total", "18446744073709551617G", "too large"},
	{"turn.bandwidth.total", strings.Repeat("9", 400), "too large"},
	{"turn.bandwidth.total", "-8M", "negative"},
	{"turn.bandwidth.total", "", "is not a bit rate"},
	{"turn.bandwidth.total", "M", "is not a bit rate"},
	{"turn.bandwidth.total", "1.5.0M", "is not a bit rate"},
	{"turn.bandwidth.total", ".", "is not a bit rate"},
	{"turn.bandwidth.total", "none", "is not a bit rate"},
	{"turn.bandwidth.total", "NaN", "is not a bit rate"},
	{"turn.bandwidth.total", "+8M", "is not a bit rate"},
	{"turn.bandwidth.total", "8m", "none of k, M and G"},
	{"turn.bandwidth.total", "8MB", "none of k, M and G"},
	{"turn.bandwidth.total", "8Mbit/s", "none of k, M and G"},
	{"turn.bandwidth.total", "1e6", "none of k, M and G"},
	{"turn.bandwidth.total", "0x10", "none of k, M and G"},
	{"signaling.max_members", "1", "too small"},

	{"signaling.limits.message_size", "64KiB", "too small"},
	{"signaling.limits.message_size", "66KiB", ""},
	{"signaling.limits.message_size", "1025KiB", "too large"},
	{"signaling.limits.message_size", "9223372036854775807MiB", "too large"},
	{"signaling.limits.message_size", "-1KiB", "negative"},
	{"signaling.limits.message_size", "72KB", "not a number of bytes"},
	{"signaling.limits.message_size", "KiB", "not a number of bytes"},

	{"signaling.allowed_origins", "ftp://example.com", "neither http nor https"},
	{"signaling.allowed_origins", "https://example.com/", "more than an origin"},
	{"signaling.allowed_origins", "https://", "has no host"},
	{"signaling.allowed_origins", "https://[::1]", "IPv6"},
	{"signaling.allowed_origins", "https://a b", "no valid host"},
	{"signaling.allowed_origins", "http://localhost:8080", ""},

	{"log.level", "verbose", "not a log level"},
	{"log.level", "INFO+2", "not a log level"},
	{"log.level", "WARN", ""},
	{"log.format", "logfmt", "not one of the words"},
	{"state_dir", "a\x00b", "control"},
	{"state_dir", "", "empty"},
}

func TestValues(t *testing.T) {
	for _, test := range values {
		opts := Options{Env: []string{"HOME=/home/ada"}, Flags: map[string]string{test.key: test.value}}
		if test.want == "" {
			if _, _, err := Load(opts); err != nil {
				t.Errorf("%s %q: %v", test.key, test.value, err)
			}
			continue
		}
		all := mistakes(t, opts)
		m := all[0]
		if len(all) != 1 || m.Key != test.key || m.Origin != "flag --"+test.key || m.Valid == "" || !strings.Contains(m.Problem, test.want) {
			t.Errorf("%s %q: got %v, want one mistake with %q", test.key, test.value, all, test.want)
		}
	}
}

func TestByteSizeText(t *testing.T) {
	for size, want := range map[ByteSize]string{0: "0", 1000: "1000", 1 << 10: "1KiB", 72 << 10: "72KiB", 3 << 20: "3MiB", 1<<20 + 1: "1048577"} {
		if got := size.String(); got != want {
			t.Errorf("%d is written %s, want %s", int64(size), got, want)
		}
	}
}

func TestBitRate(t *testing.T) {
	for _, test := range []struct {
		text string
		rate BitRate
		show string
	}{
		{"0", 0, "0"},
		{"0M", 0, "0"},
		{"64000", 64_000, "64k"},
		{"64k", 64_000, "64k"},
		{"64001", 64_001, "64001"},
		{"1.5M", 1_500_000, "1500k"},
		{"1.1M", 1_100_000, "1100k"},
		{".3M", 300_000, "300k"},
		{"8 M", 8_000_000, "8M"},
		{"2.5G", 2_500_000_000, "2500M"},
		{"100G", 100_000_000_000, "100G"},
	} {
		got, err := bitRate().parse(test.text)
		if err != nil || got != test.rate || got.String() != test.show {
			t.Errorf("%q is %d, shown as %s (%v), want %d and %s", test.text, int64(got), got, err, int64(test.rate), test.show)
		}
	}
}

// TestDomainAsInDNS: certificates and URLs have the name in one form.
func TestDomainAsInDNS(t *testing.T) {
	for given, want := range map[string]string{
		"Call.Example.COM": "call.example.com", "call.example.com.": "call.example.com", "bücher.example": "xn--bcher-kva.example", "xn--bcher-kva.example": "xn--bcher-kva.example",
	} {
		cfg, _ := mustLoad(t, Options{Env: []string{"MAITRED_DOMAIN=" + given}})
		if cfg.Domain != want {
			t.Errorf("%s became %s, want %s", given, cfg.Domain, want)
		}
	}
}

func TestNearest(t *testing.T) {
	for name, want := range map[string]string{
		"turn.ralm":               "turn.realm",
		"trun.udp":                "turn.udp",
		"turn.external-ip":        "turn.external_ip",
		"turn.externalIp":         "turn.external_ip",
		"external_ips":            "external-ip",
		"extrnal-ip":              "external-ip",
		"realm":                   "turn.realm",
		"signaling.realm":         "turn.realm",
		"turn.max_members":        "signaling.max_members",
		"log.levle":               "log.level",
		"loglevel":                "log.level",
		"statedir":                "state_dir",
		"turn.quota.peruser":      "turn.quota.per_user",
		"turn.limits.messages":    "signaling.limits.messages",
		"signaling.messages_size": "signaling.limits.message_size",
		"secret":                  "webhooks.secret",
		"secrets":                 "turn.secrets",
	} {
		if got := nearestFlag(name); got != want {
			t.Errorf("nearest to %s is %s, want %s", name, got, want)
		}
	}
	if got := nearestFlag(strings.Repeat("\xff", 1<<20)); got == "" {
		t.Error("nothing is nearest to a very long name")
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"abc", "acb", 1}, {"abc", "abd", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3}} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
