package turn

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/maitred/maitred/pkg/ingress"
)

// addressLimiter bounds how often something happens for each address, in a fixed amount of memory: addresses that fall into the
// same slot share its allowance. The seed keeps anybody from choosing whom to share with. allow belongs to one goroutine, spent to
// anybody.
type addressLimiter struct {
	interval time.Duration // between events in the long run; 0: no limit
	burst    time.Duration // how far ahead of its time an address may be
	seed     maphash.Seed
	start    time.Time
	next     []atomic.Int64 // by slot: when the address has used up what it was allowed, in nanoseconds since start
}

const limiterSlots = 1 << 14

// newAddressLimiter allows perSecond events a second, and a second's worth at once; 0 sets no limit.
func newAddressLimiter(perSecond int) *addressLimiter {
	if perSecond <= 0 {
		return &addressLimiter{}
	}
	return &addressLimiter{interval: time.Second / time.Duration(perSecond), burst: time.Second, seed: maphash.MakeSeed(),
		start: time.Now(), next: make([]atomic.Int64, limiterSlots)}
}

func (l *addressLimiter) allow(a netip.Addr, now time.Time) bool {
	if l.interval == 0 {
		return true
	}
	slot, at := l.slot(a), now.Sub(l.start)
	used := max(time.Duration(slot.Load()), at)
	if used-at+l.interval > l.burst {
		return false
	}
	slot.Store(int64(used + l.interval))
	return true
}

// spent tells whether allow would say no.
func (l *addressLimiter) spent(a netip.Addr, now time.Time) bool {
	return l.interval > 0 && time.Duration(l.slot(a).Load())-now.Sub(l.start)+l.interval > l.burst
}

func (l *addressLimiter) slot(a netip.Addr) *atomic.Int64 {
	return &l.next[maphash.Comparable(l.seed, ingress.Network(a))%limiterSlots]
}
