package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maitred/maitred/pkg/config"
	"github.com/maitred/maitred/pkg/daemon"
	"github.com/maitred/maitred/pkg/token"
)

const openWarning = "maitred: warning: signaling.auth is open: "

// accepted is what a daemon with this state directory reads in a token.
func accepted(t *testing.T, state, raw string, at time.Time) token.Claims {
	t.Helper()
	c, _, err := config.Load(config.Options{Flags: map[string]string{"state_dir": state}})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := daemon.TokenKeys(c)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := keys.Verify(raw, at)
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	return claims
}

func TestToken(t *testing.T) {
	state := filepath.Join(t.TempDir(), "new")
	year := 366 * 24 * time.Hour
	for _, tt := range []struct {
		name   string
		args   []string
		want   token.Claims
		begins time.Duration // from now on, about
		ends   time.Duration
	}{
		{name: "least", want: token.Claims{Room: "tea", Role: "member"}, ends: time.Hour},
		{name: "all", args: []string{"--name", "Zoë", "--role", "moderator", "--ttl", "90s", "--max-uses", "3"},
			want: token.Claims{Room: "tea", Name: "Zoë", Role: "moderator", MaxUses: 3}, ends: 90 * time.Second},
		{name: "longest", args: []string{"--ttl", year.String()}, want: token.Claims{Room: "tea", Role: "member"}, ends: year},
		{name: "from later on", args: []string{"--not-before", "30m", "--ttl", "10m"}, want: token.Claims{Room: "tea", Role: "member"}, begins: 30 * time.Minute, ends: 40 * time.Minute},
		{name: "from a time that is past", args: []string{"--not-before", "2026-01-01T00:00:00Z"}, want: token.Claims{Room: "tea", Role: "member"}, ends: time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errOut := maitred(append([]string{"token", "--room", "tea", "--state_dir", state}, tt.args...)...)
			if code != 0 || strings.Count(out, "\n") != 1 {
				t.Fatalf("exit code %d, %q, %q", code, out, errOut)
			}
			wantOneLine(t, errOut, openWarning)
			got := accepted(t, state, strings.TrimSuffix(out, "\n"), time.Now().Add(tt.begins))
			if got.ID == "" || got.NotBefore.IsZero() != (tt.begins == 0) {
				t.Errorf("%+v", got)
			}
			wantAbout(t, got.Expires, tt.ends)
			if tt.begins != 0 {
				wantAbout(t, got.NotBefore, tt.begins)
			}
			got.ID, got.NotBefore, got.Expires = "", time.Time{}, time.Time{}
			if got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

// wantAbout: a command line takes less than half a minute.
func wantAbout(t *testing.T, at time.Time, fromNow time.Duration) {
	t.Helper()
	if d := time.Until(at) - fromNow; d > 0 || d < -30*time.Second {
		t.Errorf("%v is not %v from now", at, fromNow)
	}
}

func TestTokenFromATime(t *testing.T) {
	state := t.TempDir()
	begin := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)
	code, out, errOut := maitred("token", "--room", "tea", "--state_dir", state, "--not-before", begin.Format(time.RFC3339), "--ttl", "5m", "--signaling.auth", "token")
	if code != 0 || errOut != "" {
		t.Fatalf("exit code %d, %q", code, errOut)
	}
	got := accepted(t, state, strings.TrimSpace(out), begin)
	if !got.NotBefore.Equal(begin) || !got.Expires.Equal(begin.Add(5*time.Minute)) {
		t.Errorf("%+v, want it to begin at %v", got, begin)
	}
}

func TestTokenJSON(t *testing.T) {
	state := t.TempDir()
	ids := map[string]bool{}
	for _, link := range []string{"", "--link"} {
		args := []string{"token", "--room", "tea", "--json", "--state_dir", state, "--signaling.auth", "token", "--domain", "call.example.com"}
		if link != "" {
			args = append(args, link)
		}
		code, out, errOut := maitred(args...)
		var m mintedToken
		if err := json.Unmarshal([]byte(out), &m); err != nil || code != 0 || errOut != "" {
			t.Fatalf("exit code %d, %v, %q", code, err, errOut)
		}
		got := accepted(t, state, m.Token, time.Now())
		if m.ID != got.ID || !m.Expires.Equal(got.Expires) || (m.Link == "") != (link == "") || m.Link != "" && m.Link != "https://call.example.com/r/tea#token="+m.Token {
			t.Errorf("%+v is not what %+v says", m, got)
		}
		ids[m.ID] = true
	}
	if len(ids) != 2 {
		t.Errorf("two tokens have the ids %v", ids)
	}
}

func TestTokenLink(t *testing.T) {
	state := t.TempDir()
	const alone = "maitred: warning: the link opens on this machine only"
	for _, tt := range []struct {
		name string
		args []string
		page string
		says string
	}{
		{"domain", []string{"--domain", "call.example.com"}, "https://call.example.com", ""},
		{"domain on another port", []string{"--domain", "call.example.com", "--https.listen", ":8443"}, "https://call.example.com:8443", ""},
		{"domain behind a NAT", []string{"--domain", "call.example.com", "--https.listen", ":8443", "--https.public_port", "443"}, "https://call.example.com", ""},
		{"public port", []string{"--domain", "call.example.com", "--https.public_port", "4443"}, "https://call.example.com:4443", ""},
		{"nothing configured", nil, "http://localhost:8080", alone},
		{"loopback", []string{"--http.listen", "127.0.0.1:9000"}, "http://localhost:9000", alone},
		{"IPv6 loopback", []string{"--http.listen", "[::1]:9000"}, "http://localhost:9000", alone},
		{"all addresses", []string{"--http.listen", "0.0.0.0:9000"}, "http://localhost:9000", alone},
		{"an address", []string{"--http.listen", "192.0.2.1:9000"}, "http://192.0.2.1:9000", ""},
		{"an IPv6 address", []string{"--http.listen", "[2001:db8::1]:9000"}, "http://[2001:db8::1]:9000", ""},
		{"base", []string{"--url", "https://app.example.com/calls/"}, "https://app.example.com/calls", ""},
		{"base before the domain", []string{"--url", "http://localhost:7000", "--domain", "call.example.com"}, "http://localhost:7000", ""},
		{"base where nothing listens", []string{"--url", "https://[2001:db8::1]", "--http.listen", "off"}, "https://[2001:db8::1]", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errOut := maitred(append([]string{"token", "--room", "tea", "--link", "--state_dir", state, "--signaling.auth", "token"}, tt.args...)...)
			if code != 0 || (tt.says == "") != (errOut == "") || !strings.HasPrefix(errOut, tt.says) {
				t.Errorf("exit code %d, %q", code, errOut)
			}
			raw, ok := strings.CutPrefix(strings.TrimSuffix(out, "\n"), tt.page+"/r/tea#token=")
			if !ok {
				t.Fatalf("link %q, want one below %s", out, tt.page)
			}
			accepted(t, state, raw, time.Now())
		})
	}
}

// TestTokenKeys: a key that was made mints what a server with its public half accepts.
func TestTokenKeys(t *testing.T) {
	for _, alg := range []string{token.HS256, token.ES256, token.EdDSA} {
		t.Run(alg, func(t *testing.T) {
			code, out, errOut := maitred("token", "--generate-key", alg, "--kid", "2026.a")
			line, rest, _ := strings.Cut(out, "\n")
			if code != 0 || errOut != "" || !strings.HasPrefix(line, "2026.a:"+alg+":") {
				t.Fatalf("exit code %d, %q, %q", code, out, errOut)
			}
			verifying := line
			if alg != token.HS256 {
				public, ok := strings.CutPrefix(strings.TrimSuffix(rest, "\n"), "public: ")
				if !ok || !strings.HasPrefix(public, "2026.a:"+alg+":") {
					t.Fatalf("public half %q", rest)
				}
				verifying = public
			} else if rest != "" {
				t.Errorf("HS256 has no public half, but there is %q", rest)
			}
			state := filepath.Join(t.TempDir(), "none")
			t.Setenv("MAITRED_SIGNALING_TOKEN_KEYS", line)
			t.Setenv("MAITRED_SIGNALING_AUTH", "token")
			code, out, errOut = maitred("token", "--room", "tea", "--state_dir", state)
			if code != 0 || errOut != "" {
				t.Fatalf("exit code %d, %q", code, errOut)
			}
			keys, err := token.ParseKeys([]string{verifying})
			if err != nil {
				t.Fatal(err)
			}
			if c, err := keys.Verify(strings.TrimSpace(out), time.Now()); err != nil || c.Room != "tea" {
				t.Errorf("%+v, %v", c, err)
			}
			if entries, err := filepath.Glob(state); err != nil || entries != nil {
				t.Errorf("with a configured key the state directory is made: %v, %v", entries, err)
			}
			if alg == token.HS256 {
				return
			}
			t.Setenv("MAITRED_SIGNALING_TOKEN_KEYS", verifying)
			code, out, errOut = maitred("token", "--room", "tea", "--state_dir", state)
			if code != 1 || out != "" {
				t.Errorf("with the public half: exit code %d, %q", code, out)
			}
			wantOneLine(t, errOut, "signaling.token_keys: ", "public keys", "maitred token --generate-key")
		})
	}
}

func TestTokenRandomKID(t *testing.T) {
	_, first, _ := maitred("token", "--generate-key", "HS256")
	_, second, _ := maitred("token", "--generate-key", "HS256")
	a, _, _ := strings.Cut(first, ":")
	b, _, _ := strings.Cut(second, ":")
	if len(a) != 8 || len(b) != 8 || a == b {
		t.Errorf("kids %q and %q", a, b)
	}
}

func TestTokenMistakes(t *testing.T) {
	state := t.TempDir()
	room := func(args ...string) []string { return append([]string{"--room", "tea"}, args...) }
	for _, tt := range []struct {
		name string
		args []string
		says string
	}{
		{"no room", nil, "--room is missing"},
		{"argument", room("tea"), `"tea" is no flag; ` + "`maitred token` takes flags only"},
		{"unknown flag", room("--max-use", "1"), "did you mean --max-uses?"},
		{"empty room", []string{"--room", ""}, "room must be 1 to 64 of the characters A-Z a-z 0-9 - _"},
		{"room with a blank", []string{"--room", "a b"}, "room must be 1 to 64"},
		{"long name", room("--name", strings.Repeat("n", 65)), "name must be at most 64 characters"},
		{"unknown role", room("--role", "admin"), "role must be moderator or member"},
		{"no lifetime", room("--ttl", "0"), "--ttl 0s: a token lets in for one second at least and for 366 days at most"},
		{"negative lifetime", room("--ttl=-1h"), "--ttl -1h0m0s: a token"},
		{"long lifetime", room("--ttl", "8785h"), "--ttl 8785h0m0s: a token"},
		{"not a lifetime", room("--ttl", "soon"), "--ttl"},
		{"no uses", room("--max-uses", "0"), "--max-uses 0: a token lets in once at least"},
		{"negative uses", room("--max-uses=-1"), "--max-uses -1: a token"},
		{"too many uses", room("--max-uses", "2147483648"), "max_uses must be a whole number from 1 to 2147483647"},
		{"not a number of uses", room("--max-uses", "many"), "--max-uses"},
		{"begins in the past", room("--not-before=-5m"), "--not-before -5m0s: a token cannot begin in the past"},
		{"begins never", room("--not-before", "tomorrow"), `--not-before "tomorrow" is neither a time such as`},
		{"begins at no time", room("--not-before", ""), `--not-before "" is neither a time such as`},
		{"begins without a zone", room("--not-before", "2026-03-01T15:00:00"), `--not-before "2026-03-01T15:00:00" is neither`},
		{"begins too late", room("--not-before", "2999-01-01T00:00:00Z"), "--not-before 2999-01-01T00:00:00Z is more than 366 days ahead"},
		{"begins too late from now on", room("--not-before", "8785h"), "--not-before 8785h is more than 366 days ahead"},
		{"base without a link", room("--url", "https://example.com"), "--url belongs to --link"},
		{"base without a scheme", room("--link", "--url", "example.com"), `--url "example.com" is not the beginning of a page's address`},
		{"base of another scheme", room("--link", "--url", "wss://example.com"), "is not the beginning"},
		{"base without a host", room("--link", "--url", "https://"), "is not the beginning"},
		{"base with a fragment", room("--link", "--url", "https://example.com/#x"), "is not the beginning"},
		{"base with a query", room("--link", "--url", "https://example.com?x=1"), "is not the beginning"},
		{"base with a user", room("--link", "--url", "https://u:p@example.com"), "is not the beginning"},
		{"link to nowhere", room("--link", "--http.listen", "off"), "--link needs --url BASE"},
		{"link to any port", room("--link", "--http.listen", "127.0.0.1:0"), "--link needs --url BASE"},
		{"kid of a token", room("--kid", "x"), "--kid belongs to --generate-key"},
		{"key of no algorithm", []string{"--generate-key", "RS256"}, "--generate-key: the algorithm of a key must be HS256, ES256 or EdDSA"},
		{"key of an empty algorithm", []string{"--generate-key", ""}, "--generate-key: the algorithm"},
		{"kid with a colon", []string{"--generate-key", "HS256", "--kid", "a:b"}, "--generate-key: a key is <kid>:<algorithm>:<base64>"},
		{"key for a room", room("--generate-key", "HS256"), "--room belongs to a token; --generate-key makes a key"},
		{"key in JSON", []string{"--generate-key", "HS256", "--json"}, "--json belongs to a token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errOut := maitred(append([]string{"token", "--state_dir", state}, tt.args...)...)
			if code != 2 || out != "" {
				t.Errorf("exit code %d, printed %q", code, out)
			}
			wantOneLine(t, errOut, tt.says)
		})
	}
}

// TestTokenKeysThatAreNone are told without the key.
func TestTokenKeysThatAreNone(t *testing.T) {
	t.Setenv("MAITRED_SIGNALING_TOKEN_KEYS", "k1:ES256:c2VjcmV0LW1hdGVyaWFsLXNlY3JldC1tYXRlcmlhbC1zZWNyZXQ")
	code, out, errOut := maitred("token", "--room", "tea", "--state_dir", t.TempDir())
	if code != 1 || out != "" || strings.Contains(errOut, "c2Vj") {
		t.Errorf("exit code %d, %q, %q", code, out, errOut)
	}
	wantOneLine(t, errOut, "signaling.token_keys: key 1: an ES256 key must be an EC key on the curve P-256")
}

func TestTokenStateDirThatCannotBe(t *testing.T) {
	file := write(t, "")
	code, out, errOut := maitred("token", "--room", "tea", "--state_dir", file)
	if code != 1 || out != "" {
		t.Errorf("exit code %d, printed %q", code, out)
	}
	wantOneLine(t, errOut, "state_dir: ", file, "signaling.token_keys")
}

func TestTokenHelp(t *testing.T) {
	code, out, errOut := maitred("token", "--help")
	if code != 0 || errOut != "" || !strings.HasPrefix(out, "Usage: maitred token --room ROOM ") {
		t.Errorf("exit code %d, %q", code, errOut)
	}
	for _, f := range []string{"config", "room", "name", "role", "ttl", "not-before", "max-uses", "link", "url", "json", "generate-key", "kid", "signaling.token_keys", "state_dir"} {
		if n := strings.Count(out, "\n      --"+f+" ") + strings.Count(out, "\n      --"+f+"["); n != 1 {
			t.Errorf("--%s is there %d times", f, n)
		}
	}
}
