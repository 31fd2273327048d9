package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pion/stun"
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
