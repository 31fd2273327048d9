package signaling

import (
	"net/netip"
	"sync"

	"golang.org/x/time/rate"
)

// addresses counts what each client address does. Its size follows the number of addresses that have a connection
// or joined within the last second: idle entries go when the table has doubled since it was last swept.
type addresses struct {
	maxConns int
	joins    int // a second, < 0: no limit

	mu      sync.Mutex
	table   map[netip.Addr]*address
	sweepAt int
}

type address struct {
	conns int
	joins *rate.Limiter
}

const minSweep = 1024

func newAddresses(maxConns, joins int) *addresses {
	return &addresses{maxConns: maxConns, joins: joins, table: make(map[netip.Addr]*address), sweepAt: minSweep}
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

// connect counts a connection in, if the address may have another one.
func (a *addresses) connect(ip netip.Addr) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.entryLocked(key(ip))
	if e.conns >= a.maxConns {
		return false
	}
	e.conns++
	return true
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

func (a *addresses) entryLocked(k netip.Addr) *address {
	e := a.table[k]
	if e == nil {
		if len(a.table) >= a.sweepAt {
			a.sweepLocked()
		}
		e = &address{joins: perSecond(a.joins, a.joins)}
		a.table[k] = e
	}
	return e
}

// sweepLocked forgets the addresses of which a fresh entry would say the same.
func (a *addresses) sweepLocked() {
	for k, e := range a.table {
		if e.conns == 0 && e.joins.Tokens() >= float64(e.joins.Burst()) {
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
