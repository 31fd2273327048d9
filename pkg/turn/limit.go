package turn

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// addressLimiter bounds how often something happens for each address, in a fixed amount of memory: addresses that fall into the
// same slot share its allowance. The seed keeps anybody from choosing whom to share with. It belongs to one goroutine.
type addressLimiter struct {
	interval time.Duration // between events in the long run; 0: no limit
	burst    time.Duration // how far ahead of its time an address may be
	seed     maphash.Seed
	start    time.Time
	next     []time.Duration // by slot: when the address has used up what it was allowed, since start
}

const limiterSlots = 1 << 14

// newAddressLimiter allows perSecond events a second, and a second's worth at once; 0 sets no limit.
func newAddressLimiter(perSecond int) *addressLimiter {
	if perSecond <= 0 {
		return &addressLimiter{}
	}
	return &addressLimiter{interval: time.Second / time.Duration(perSecond), burst: time.Second, seed: maphash.MakeSeed(),
		start: time.Now(), next: make([]time.Duration, limiterSlots)}
}

func (l *addressLimiter) allow(a netip.Addr, now time.Time) bool {
	if l.interval == 0 {
		return true
	}
	at := now.Sub(l.start)
	slot := &l.next[maphash.Comparable(l.seed, quotaAddr(a))%limiterSlots]
	used := max(*slot, at)
	if used-at+l.interval > l.burst {
		return false
	}
	*slot = used + l.interval
	return true
}
