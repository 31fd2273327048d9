package credential

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const realm = "maitred"

func authority(t *testing.T, secrets ...string) *Authority {
	t.Helper()
	a, err := New(realm, secrets)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// accepts says yes to the key of one password, as the MESSAGE-INTEGRITY check of a request made with it would.
func accepts(username, password string) func([]byte) bool {
	want := Key(username, realm, password)
	return func(key []byte) bool { return bytes.Equal(key, want) }
}

// TestKnownPassword pins the convention itself. The figures were computed with openssl (dgst -sha1 -hmac north, md5), not with
// this code.
func TestKnownPassword(t *testing.T) {
	if got := password("north", "1433895918:ninefingers"); got != "jy8hTxmOO7UtEKXqSkSlvakPVYA=" {
		t.Errorf("password = %q", got)
	}
	// user, realm and pass are RFC 8489 section 9.2.2's example.
	if got := Key("user", "realm", "pass"); !bytes.Equal(got, []byte{0x84, 0x93, 0xfb, 0xc5, 0x3b, 0xa5, 0x82, 0xfb, 0x4c, 0x04, 0x4c, 0x45, 0x6b, 0xdc, 0x40, 0xeb}) {
		t.Errorf("key = %x", got)
	}
}

func TestVerify(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	old, current := authority(t, "old"), authority(t, "new", "old")
	signed := func(secret, username string) (string, string) { return username, password(secret, username) }
	tests := []struct {
		name     string
		username string
		secret   string
		id       string
		err      error
	}{
		{"minted form", "1800000001:abc", "new", "abc", nil},
		{"second secret", "1800000001:abc", "old", "abc", nil},
		{"id first", "abc:1800000001", "new", "abc", nil},
		{"bare time", "1800000001", "new", "", nil},
		{"numeric id", "1800000001:7", "new", "7", nil},
		{"colons in the id", "1800000001:a:b", "new", "a:b", nil},
		{"colons before the time", "a:b:1800000001", "new", "a:b", nil},
		{"valid to its last second", "1800000000:abc", "new", "abc", nil},
		{"expired", "1799999999:abc", "new", "abc", ErrExpired},
		{"unknown secret", "1800000001:abc", "other", "abc", ErrWrongPassword},
		{"no time", "abc", "new", "", ErrMalformed},
		{"empty", "", "new", "", ErrMalformed},
		{"negative", "-5:abc", "new", "", ErrMalformed},
		{"too many digits", strings.Repeat("9", 19), "new", "", ErrMalformed},
		{"too long", "1800000001:" + strings.Repeat("x", MaxUsername), "new", "", ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u, p := signed(tt.secret, tt.username)
			id, key, err := current.Verify(u, now, accepts(u, p))
			if !errors.Is(err, tt.err) || id != tt.id {
				t.Fatalf("id %q, error %v; want %q, %v", id, err, tt.id, tt.err)
			}
			if err == nil && !bytes.Equal(key, Key(u, realm, p)) {
				t.Errorf("key %x does not belong to the password", key)
			}
		})
	}
	c := old.Mint("x", time.Hour)
	if _, _, err := current.Verify(c.Username, time.Now(), accepts(c.Username, c.Password)); err != nil {
		t.Errorf("a credential of the old secret after rotation: %v", err)
	}
}

func TestMint(t *testing.T) {
	a := authority(t, "s")
	c := a.Mint("", time.Hour)
	expires, id, err := ParseUsername(c.Username)
	if err != nil || expires != c.Expires.Unix() || len(id) != 16 {
		t.Fatalf("minted %+v: expires %d, id %q, %v", c, expires, id, err)
	}
	if d := time.Until(c.Expires); d <= 59*time.Minute || d > time.Hour {
		t.Errorf("expires in %v, want an hour", d)
	}
	if other := a.Mint("", time.Hour); other.Username == c.Username {
		t.Error("two random ids are the same")
	}
}

func TestRevoke(t *testing.T) {
	a := authority(t, "s")
	ann, bob := a.Mint("ann", time.Hour), a.Mint("bob", time.Hour)
	verify := func(c Credential) error {
		_, _, err := a.Verify(c.Username, time.Now(), accepts(c.Username, c.Password))
		return err
	}
	a.Revoke("ann", time.Now().Add(time.Hour), 2)
	if err := verify(ann); !errors.Is(err, ErrRevoked) {
		t.Errorf("ann: %v", err)
	}
	if err := verify(bob); err != nil {
		t.Errorf("bob: %v", err)
	}
	a.Revoke("bob", time.Now().Add(time.Minute), 2)
	a.Revoke("cid", time.Now().Add(time.Hour), 2)
	if n := len(a.members.revoked); n != 2 || a.Live("ann") || !a.Live("bob") || a.Live("cid") {
		t.Errorf("%d ids are remembered, want ann's and cid's, which matter longer", n)
	}
	a.members.revoked["ann"], a.members.swept = time.Now().Add(-time.Second), time.Time{}
	a.Revoke("dan", time.Now().Add(time.Hour), 9)
	if !a.Live("ann") || a.Live("dan") {
		t.Error("ann's time has passed, and dan's begins")
	}
}

func TestReleaseRevokesEveryCredentialOfTheMember(t *testing.T) {
	a := authority(t, "s")
	first, renewed, other := a.MintMember("m1", time.Hour), a.MintMember("m1", 2*time.Hour), a.MintMember("m2", time.Hour)
	verify := func(c Credential) error {
		_, _, err := a.Verify(c.Username, time.Now(), accepts(c.Username, c.Password))
		return err
	}
	for _, c := range []Credential{first, renewed, other} {
		if err := verify(c); err != nil {
			t.Fatalf("while a member: %v", err)
		}
	}
	a.Release("m1")
	for _, c := range []Credential{first, renewed} {
		if err := verify(c); !errors.Is(err, ErrRevoked) {
			t.Errorf("after release: %v", err)
		}
	}
	if err := verify(other); err != nil {
		t.Errorf("another member: %v", err)
	}
	restarted := authority(t, "s")
	if _, _, err := restarted.Verify(other.Username, time.Now(), accepts(other.Username, other.Password)); !errors.Is(err, ErrRevoked) {
		t.Errorf("after a restart: %v", err)
	}
	if len(a.members.live) != 1 {
		t.Errorf("%d members are remembered, want 1", len(a.members.live))
	}
}

func TestMember(t *testing.T) {
	a, other := authority(t, "s"), authority(t, "s")
	for id, want := range map[string]string{
		a.MemberID("m1"): "m1", a.MemberID("!x.y"): "!x.y", other.MemberID("m1"): "", "m1": "", "": "", "!m1": "",
	} {
		if got, ok := a.Member(id); got != want && ok || ok != (want != "") {
			t.Errorf("%q belongs to %q (%v), want %q", id, got, ok, want)
		}
	}
}

func TestSetSecrets(t *testing.T) {
	for _, bad := range [][]string{nil, {""}, {"a", ""}} {
		if _, err := New(realm, bad); err == nil {
			t.Errorf("secrets %q were accepted", bad)
		}
	}
}

func FuzzParseUsername(f *testing.F) {
	for _, s := range []string{"1800000001:abc", "abc:1800000001", "1800000001", ":", "::", "1:", ":1", "\x00:9", "9999999999999999999:x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		expires, id, err := ParseUsername(s)
		if err != nil && (expires != 0 || id != "") || expires < 0 || len(id) > len(s) {
			t.Errorf("ParseUsername(%q) = %d, %q, %v", s, expires, id, err)
		}
	})
}
