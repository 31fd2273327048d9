package signaling

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/maitred/maitred/pkg/token"
)

// ticket is the claims of a valid join token; nil where none was shown.
type ticket token.Claims

func (t *ticket) role() Role {
	if t != nil && t.Role == token.RoleModerator {
		return RoleModerator
	}
	return RoleMember
}

func (t *ticket) name() string {
	if t == nil {
		return ""
	}
	return t.Name
}

// tickets remembers join tokens as long as it matters: how often one was used that may be used so often only, and which were those
// of members that were kicked.
type tickets struct {
	limit int

	mu      sync.Mutex
	known   map[string]*use // by Claims.ID
	sweepAt time.Time       // not before
}

type use struct {
	times   int
	banned  bool
	expires time.Time
}

func newTickets(limit int) *tickets { return &tickets{limit: limit, known: map[string]*use{}} }

// use counts a use of the token, if there is one left.
func (ts *tickets) use(t *ticket) error {
	if t == nil {
		return nil
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	u := ts.known[t.ID]
	switch {
	case u != nil && u.banned:
		return errBadToken
	case t.MaxUses == 0:
		return nil
	case u == nil:
		if !ts.roomLocked() {
			return errTokensFull
		}
		u = &use{}
		ts.known[t.ID] = u
	case u.times >= t.MaxUses:
		return errTokenUsed
	}
	u.times++
	u.keepFor(t)
	return nil
}

// keepFor remembers a token until the last one with its jti has expired.
func (u *use) keepFor(t *ticket) {
	if t.Expires.After(u.expires) {
		u.expires = t.Expires
	}
}

// ban refuses the token from now on. Where there is no room left, what matters for the shortest time makes some, uses before bans.
func (ts *tickets) ban(t *ticket) {
	if t == nil {
		return
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	u := ts.known[t.ID]
	if u == nil {
		if !ts.roomLocked() {
			ts.evictLocked()
		}
		u = &use{}
		ts.known[t.ID] = u
	}
	u.banned = true
	u.keepFor(t)
}

func (ts *tickets) banned(t *ticket) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	u := ts.known[t.ID]
	return u != nil && u.banned
}

// roomLocked makes room for one more, if expired ones can.
func (ts *tickets) roomLocked() bool {
	if len(ts.known) < ts.limit {
		return true
	}
	if now := time.Now(); now.After(ts.sweepAt) {
		ts.sweepLocked(now)
		ts.sweepAt = now.Add(time.Second) // all of them are looked at
	}
	return len(ts.known) < ts.limit
}

func (ts *tickets) evictLocked() {
	var first string
	for k, u := range ts.known {
		if f := ts.known[first]; f == nil || f.banned && !u.banned || f.banned == u.banned && u.expires.Before(f.expires) {
			first = k
		}
	}
	delete(ts.known, first)
}

// sweep forgets what has expired.
func (ts *tickets) sweep() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.sweepLocked(time.Now())
}

func (ts *tickets) sweepLocked(now time.Time) {
	for k, u := range ts.known {
		if now.After(u.expires) {
			delete(ts.known, k)
		}
	}
}

// SetTokenKeys replaces Options.Tokens for joins from now on.
func (h *Hub) SetTokenKeys(keys *token.Keys) { h.tokenKeys.Store(keys) }

// CheckToken verifies a join token outside of any room, for a client that may fail as often as one that joins. A token of a member that
// was kicked is refused.
func (h *Hub) CheckToken(client netip.Addr, raw string) (token.Claims, error) {
	if !h.addresses.mayTryToken(client) {
		return token.Claims{}, errTooManyTokens
	}
	t, err := h.verify(raw)
	if err != nil {
		h.addresses.failedToken(client)
		return token.Claims{}, err
	}
	return token.Claims(*t), nil
}

var errNoTokenKeys = errors.New("there are no keys to verify join tokens with: signaling.token_keys")

func (h *Hub) verify(raw string) (*ticket, error) {
	keys := h.tokenKeys.Load()
	if keys == nil {
		return nil, errNoTokenKeys
	}
	claims, err := keys.Verify(raw, time.Now())
	if err != nil {
		return nil, err
	}
	t := ticket(claims)
	switch {
	case h.tickets.banned(&t):
		return nil, errors.New("the member that it was for was kicked")
	case t.Name != "" && !validName(t.Name):
		return nil, fmt.Errorf("%w: name must be printable", token.ErrClaims)
	}
	return &t, nil
}

// ticketFor checks the token of a join; nil without one. What is wrong with it is for the log: the client hears the same of a wrong
// key, another room, and one that does not exist.
func (h *Hub) ticketFor(ip netip.Addr, j *Join) (*ticket, error) {
	if j.Token == "" {
		if h.opts.TokensOnly {
			return nil, errNoToken
		}
		return nil, nil
	}
	if !h.addresses.mayTryToken(ip) {
		return nil, errTooManyTokens
	}
	t, err := h.verify(j.Token)
	if err == nil && t.Room != j.Room {
		err = errors.New("the token is for another room")
	}
	if err != nil {
		h.addresses.failedToken(ip)
		h.opts.Log.Info("join token refused", "ip", ip, "err", err)
		return nil, errBadToken
	}
	return t, nil
}
