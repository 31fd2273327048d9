// Package credential mints, verifies, rotates and revokes the expiring credentials that let a client allocate on the relay.
//
// A credential follows the TURN REST convention (draft-uberti-behave-turn-rest-00, coturn's static-auth-secret): the username
// carries the moment of expiry, the password is an HMAC of the username under a secret that minting and verifying side share,
// and nothing is stored per credential. What the convention lacks is an end before the expiry; MintMember and Release add it.
package credential

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Why a credential is not accepted. Clients see 401 for each of them; the log and the metrics tell them apart.
var (
	ErrMalformed     = errors.New("the username has no expiry in it: expected <unix seconds>:<id>")
	ErrExpired       = errors.New("the credential has expired")
	ErrRevoked       = errors.New("the member that the credential was made for has left, or was kicked")
	ErrWrongPassword = errors.New("the password belongs to none of the secrets")
)

// MaxUsername is the longest username in bytes (RFC 8489 section 14.3: less than 509).
const MaxUsername = 508

// Credential is what a client puts into its RTCIceServer.
type Credential struct {
	Username string    // <unix expiry>:<id>
	Password string    // base64(HMAC-SHA1(secret, username))
	Expires  time.Time // whole seconds
}

// Authority holds the secrets of one realm. It is safe for concurrent use.
type Authority struct {
	realm    string
	instance string // tells the members of this process from those of an earlier one
	secrets  atomic.Pointer[[]string]
	members  members
}

// members are the ids of the members that may hold a credential now, bounded by the number of members, and other ids that were revoked.
type members struct {
	mu      sync.RWMutex
	live    map[string]struct{}
	revoked map[string]time.Time // until when
	swept   time.Time            // when those whose time had passed were last forgotten
}

// New returns an authority for realm. The first secret mints, all of them verify; an empty list is a mistake of the caller.
func New(realm string, secrets []string) (*Authority, error) {
	a := &Authority{realm: realm, instance: randomID(5), members: members{live: map[string]struct{}{}, revoked: map[string]time.Time{}}}
	return a, a.SetSecrets(secrets)
}

// SetSecrets replaces the secrets. Credentials minted under a secret that is no longer listed stop verifying.
func (a *Authority) SetSecrets(secrets []string) error {
	if len(secrets) == 0 {
		return errors.New("no secret to sign credentials with")
	}
	for _, s := range secrets {
		if s == "" {
			return errors.New("an empty secret would let everybody in")
		}
	}
	own := append([]string(nil), secrets...)
	a.secrets.Store(&own)
	return nil
}

// Realm returns the realm that keys are derived for.
func (a *Authority) Realm() string { return a.realm }

// Mint makes a credential for id that expires ttl from now, to the second. An empty id becomes a random one.
func (a *Authority) Mint(id string, ttl time.Duration) Credential {
	if id == "" {
		id = randomID(10)
	}
	expires := time.Now().Add(ttl).Truncate(time.Second)
	username := strconv.FormatInt(expires.Unix(), 10) + ":" + id
	return Credential{Username: username, Password: password((*a.secrets.Load())[0], username), Expires: expires}
}

// MintMember makes a credential that ends with the membership: it stops verifying when member is released, whatever its expiry.
// Renewed credentials of one member share the id, so that one Release ends them all.
func (a *Authority) MintMember(member string, ttl time.Duration) Credential {
	id := a.MemberID(member)
	a.members.mu.Lock()
	a.members.live[id] = struct{}{}
	a.members.mu.Unlock()
	return a.Mint(id, ttl)
}

// MemberID is the id inside the usernames of member's credentials.
func (a *Authority) MemberID(member string) string { return memberMark + a.instance + "." + member }

// Member is the member that the id belongs to: the inverse of MemberID. It is false for every other id, those of an earlier process's
// members among them.
func (a *Authority) Member(id string) (member string, ok bool) {
	return strings.CutPrefix(id, a.MemberID(""))
}

// Release revokes every credential of member.
func (a *Authority) Release(member string) {
	a.members.mu.Lock()
	delete(a.members.live, a.MemberID(member))
	a.members.mu.Unlock()
}

// Revoke ends every credential of an id that is no member's, until a time when none of them is valid any more. It remembers at most so many
// ids; where there is no room, the one that matters for the shortest time makes some.
func (a *Authority) Revoke(id string, until time.Time, most int) {
	m := &a.members
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); now.Sub(m.swept) > time.Minute {
		maps.DeleteFunc(m.revoked, func(_ string, until time.Time) bool { return until.Before(now) })
		m.swept = now
	}
	if len(m.revoked) >= most {
		m.forgetOneLocked()
	}
	m.revoked[id] = until
}

func (m *members) forgetOneLocked() {
	var first string
	var at time.Time
	for id, until := range m.revoked {
		if at.IsZero() || until.Before(at) {
			first, at = id, until
		}
	}
	delete(m.revoked, first)
}

// Verify finds the key (RFC 8489 section 9.2.2) under which match says yes, trying each secret in turn. match compares the
// MESSAGE-INTEGRITY of a request in constant time. The id is returned with every error but ErrMalformed.
func (a *Authority) Verify(username string, now time.Time, match func(key []byte) bool) (id string, key []byte, err error) {
	expires, id, err := ParseUsername(username)
	if err != nil {
		return "", nil, err
	}
	if now.Unix() > expires {
		return id, nil, ErrExpired
	}
	if !a.Live(id) {
		return id, nil, ErrRevoked
	}
	for _, secret := range *a.secrets.Load() {
		key = Key(username, a.realm, password(secret, username))
		if match(key) {
			return id, key, nil
		}
	}
	return id, nil, ErrWrongPassword
}

// memberMark opens the ids of members. No other id may begin with it.
const memberMark = "!"

// Reserved tells whether id looks like a member's, so that Mint must not be asked for it.
func Reserved(id string) bool { return strings.HasPrefix(id, memberMark) }

// Live tells whether id may be used: a member's only while it is a member here, all others unless they were revoked. Members of an earlier
// process with the same secret are not: nobody knows any more who of them has left.
func (a *Authority) Live(id string) bool {
	a.members.mu.RLock()
	defer a.members.mu.RUnlock()
	if !Reserved(id) {
		_, gone := a.members.revoked[id]
		return !gone
	}
	_, ok := a.members.live[id]
	return ok
}

// Key derives the long-term credential key MD5(username:realm:password) of RFC 8489 section 9.2.2. Realm and password are used
// as they are: both are ASCII here, where OpaqueString preparation changes nothing.
func Key(username, realm, password string) []byte {
	k := md5.Sum([]byte(username + ":" + realm + ":" + password))
	return k[:]
}

// ParseUsername reads the forms that coturn accepts: <unix seconds>:<id>, <id>:<unix seconds> and <unix seconds>. Where both
// sides of the colon are numbers the first is the time. It returns ErrMalformed for everything else.
func ParseUsername(username string) (expires int64, id string, err error) {
	if len(username) > MaxUsername {
		return 0, "", ErrMalformed
	}
	first, rest, _ := strings.Cut(username, ":")
	if t, ok := unixSeconds(first); ok {
		return t, rest, nil
	}
	if i := strings.LastIndexByte(username, ':'); i > 0 {
		if t, ok := unixSeconds(username[i+1:]); ok {
			return t, username[:i], nil
		}
	}
	return 0, "", ErrMalformed
}

// unixSeconds accepts decimal digits only: no sign, no blanks, and no more digits than fit.
func unixSeconds(s string) (int64, bool) {
	if len(s) == 0 || len(s) > 18 {
		return 0, false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	t, err := strconv.ParseInt(s, 10, 64)
	return t, err == nil
}

func password(secret, username string) string {
	m := hmac.New(sha1.New, []byte(secret))
	m.Write([]byte(username))
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// randomID returns n random bytes in lower-case base32.
func randomID(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails, see its documentation
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}
