package daemon

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun"

	"github.com/maitred/maitred/pkg/config"
	"github.com/maitred/maitred/pkg/credential"
	"github.com/maitred/maitred/pkg/token"
)

// TestSecretGone takes the secret away from under an allocation, which goes on, and from its credential, which opens no other one.
func TestSecretGone(t *testing.T) {
	r := start(t)
	minted := r.authority.Mint("ann", 60e9)
	_, urls := r.urls("")
	old := dialTURN(t, urls[0])
	if code := old.allocate(minted.Username, minted.Password); code != 0 {
		t.Fatalf("allocate: %d", code)
	}
	if err := r.Reload(load(t, "turn.secrets", "0123456789abcdef")); err != nil {
		t.Fatal(err)
	}
	if code := codeOf(t, old.request(stun.MethodRefresh)); code != 0 {
		t.Errorf("refresh: %d", code)
	}
	if code := dialTURN(t, urls[0]).allocate(minted.Username, minted.Password); code != 401 {
		t.Errorf("another allocation: %d, want 401", code)
	}
}

// TestOverdueSecret starts on a directory whose secret has minted for years: it verifies on while the next one is made ready.
func TestOverdueSecret(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "turn-secret")
	if err := os.WriteFile(file, []byte("2001-01-01T00:00:00Z 0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := NewAuthority(load(t, "state_dir", dir))
	if err != nil {
		t.Fatal(err)
	}
	minted := a.Mint("ann", 60e9)
	r := start(t, "state_dir", dir)
	eventually(t, "the next secret is in the file", func() bool {
		text, err := os.ReadFile(file)
		return err == nil && strings.Count(string(text), "\n") == 2
	})
	_, urls := r.urls("")
	hold(t, urls, minted.Username, minted.Password)
}

// TestFailedReload reloads what cannot be taken over as a whole: nothing of it is.
func TestFailedReload(t *testing.T) {
	const secret, other = "0123456789abcdef", "fedcba9876543210"
	line := func(kid string) string {
		line, err := token.Generate(token.HS256, kid)
		if err != nil {
			t.Fatal(err)
		}
		return line
	}
	ours, theirs := line("ours"), line("theirs")
	noDir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(noDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	with := func(c *config.Config, lines ...string) *config.Config { // what the loader would not let pass
		c.Signaling.TokenKeys = lines
		return c
	}
	for _, tt := range []struct {
		name string
		c    *config.Config
		key  string // that the error names
	}{
		{"bad token keys", with(load(t, "turn.secrets", other), theirs, "short:HS256:AAAA"), "signaling.token_keys: "},
		{"token keys of one name", with(load(t, "turn.secrets", other), theirs, theirs), "signaling.token_keys: "},
		{"no place for a token key", load(t, "turn.secrets", other, "signaling.auth", "token", "state_dir", noDir), "state_dir: "},
		{"no place for a secret", load(t, "signaling.token_keys", theirs, "state_dir", noDir), "state_dir: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, "turn.secrets", secret, "signaling.token_keys", ours)
			tt.c.API.Keys, tt.c.Signaling.AllowedOrigins, tt.c.TURN.Quota.PerUser = []string{"0123456789abcdef-key"}, []string{"*"}, 1
			if err := r.Reload(tt.c); err == nil || !strings.HasPrefix(err.Error(), tt.key) {
				t.Fatalf("reloaded, want an error about %s: %v", tt.key, err)
			}
			_, urls := r.urls("")
			minted := authority(t, secret).Mint("ann", time.Minute)
			for range 2 { // no quota either
				if code := dialTURN(t, urls[0]).allocate(minted.Username, minted.Password); code != 0 {
					t.Errorf("a credential of the secret in use: %d", code)
				}
			}
			minted = authority(t, other).Mint("bob", time.Minute)
			if code := dialTURN(t, urls[0]).allocate(minted.Username, minted.Password); code != 401 {
				t.Errorf("a credential of the new secret: %d, want 401", code)
			}
			for raw, status := range map[string]int{
				r.mint(`{"room":"blue"}`): http.StatusOK,
				mint(t, ours, "blue"):     http.StatusOK,
				mint(t, theirs, "blue"):   http.StatusUnauthorized,
				"0123456789abcdef-key":    http.StatusUnauthorized,
			} {
				if got, body := request(t, http.MethodPost, r.page("/api/v1/ice-servers"), raw, ""); got != status {
					t.Errorf("ICE servers for %.20s…: %d %s, want %d", raw, got, body, status)
				}
			}
			if err := r.Reload(load(t, "turn.secrets", other, "signaling.token_keys", theirs)); err != nil { // a good one is taken
				t.Fatal(err)
			}
			if got, _ := request(t, http.MethodPost, r.page("/api/v1/ice-servers"), mint(t, theirs, "blue"), ""); got != http.StatusOK {
				t.Errorf("ICE servers for a token of the new key: %d", got)
			}
			hold(t, urls, minted.Username, minted.Password)
		})
	}
}

// authority mints with a secret of its own.
func authority(t *testing.T, secret string) *credential.Authority {
	t.Helper()
	a, err := NewAuthority(load(t, "turn.secrets", secret))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// mint makes a join token with a line of signaling.token_keys.
func mint(t *testing.T, line, room string) string {
	t.Helper()
	keys, err := token.ParseKeys([]string{line})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := keys.Mint(token.Claims{Room: room, Expires: time.Now().Add(time.Hour)}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
