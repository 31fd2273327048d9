package signaling

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// addresses counts what each client address does. Its size follows the number of addresses that have a connection
// or did something within the last minute: idle entries go when the table has doubled since it was last swept.
type addresses struct {
	limits addressLimits

	mu      sync.Mutex
	table   map[netip.Addr]*address
	sweepAt int
}

// addressLimits are numbers for one address; < 0 is no limit.
type addressLimits struct {
	conns           int
	joins           int // a second
	messages        int // a second
	failedPasswords int // a minute
	failedTokens    int // a minute
}

type address struct {
	conns    int
	joins    *rate.Limiter
	messages *rate.Limiter

	// Guarded by addresses.mu.
	passwords, tokens attempts
}

const minSweep = 1024

func newAddresses(limits addressLimits) *addresses {
	return &addresses{limits: limits, table: make(map[netip.Addr]*address), sweepAt: minSweep}
}

// key makes one of all the addresses that one IPv6 customer has.
func key(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		p, _ := ip.Prefix(64) // a /64 of an IPv6 address exists
		return p.Addr()
	}
	return ip
}

// connect counts a connection in, if the address may have another one. Its messages are counted by the limiter that it returns; nil: there is none.
func (a *addresses) connect(ip netip.Addr) (messages *rate.Limiter, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.entryLocked(key(ip))
	if a.limits.conns >= 0 && e.conns >= a.limits.conns {
		return nil, false
	}
	e.conns++
	return e.messages, true
}

// disconnect undoes one connect.
func (a *addresses) disconnect(ip netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := key(ip)
	if e := a.table[k]; e != nil {
		e.conns--
	}
}

// allowJoin counts a join, if the address may join again so soon.
func (a *addresses) allowJoin(ip netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.entryLocked(key(ip)).joins.Allow()
}

// mayTryPassword reports whether the address may show a room password: it has not had too many wrong ones of late.
func (a *addresses) mayTryPassword(ip netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.entryLocked(key(ip)).passwords.allow(a.limits.failedPasswords, time.Now())
}

// failedPassword counts a wrong one.
func (a *addresses) failedPassword(ip netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.entryLocked(key(ip)).passwords.failed(a.limits.failedPasswords, time.Now())
}

// mayTryToken is mayTryPassword for join tokens.
func (a *addresses) mayTryToken(ip netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.entryLocked(key(ip)).tokens.allow(a.limits.failedTokens, time.Now())
}

// failedToken is failedPassword for join tokens.
func (a *addresses) failedToken(ip netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.entryLocked(key(ip)).tokens.failed(a.limits.failedTokens, time.Now())
}

func (a *addresses) entryLocked(k netip.Addr) *address {
	e := a.table[k]
	if e == nil {
		if len(a.table) >= a.sweepAt {
			a.sweepLocked()
		}
		e = &address{joins: perSecond(a.limits.joins, a.limits.joins), messages: forMessages(a.limits.messages)}
		a.table[k] = e
	}
	return e
}

// sweepLocked forgets the addresses of which a fresh entry would say the same.
func (a *addresses) sweepLocked() {
	now := time.Now()
	for k, e := range a.table {
		if e.conns == 0 && full(e.joins) && full(e.messages) &&
			e.passwords.none(a.limits.failedPasswords, now) && e.tokens.none(a.limits.failedTokens, now) {
			delete(a.table, k)
		}
	}
	a.sweepAt = max(minSweep, 2*len(a.table))
}

func (a *addresses) sweep() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sweepLocked()
}

func full(l *rate.Limiter) bool { return l == nil || l.Tokens() >= float64(l.Burst()) }

// attempts is a bucket of failures that leaks limit a minute; limit < 0 is none. Unlike a rate.Limiter it lets all try that are not too many to
// fail: those that try at the same time do not count against each other. What that lets in too much leaks first.
type attempts struct {
	used float64
	at   time.Time
}

func (a *attempts) allow(limit int, now time.Time) bool {
	a.leak(limit, now)
	return limit < 0 || a.used+1 <= float64(limit)
}

func (a *attempts) failed(limit int, now time.Time) {
	a.leak(limit, now)
	a.used++
}

func (a *attempts) none(limit int, now time.Time) bool {
	a.leak(limit, now)
	return limit < 0 || a.used <= 0
}

func (a *attempts) leak(limit int, now time.Time) {
	a.used = max(0, a.used-now.Sub(a.at).Minutes()*float64(limit))
	a.at = now
}
