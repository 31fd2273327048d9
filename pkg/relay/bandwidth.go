package relay

import (
	"sync/atomic"
	"time"
)

// A limit lets through burstTime at full rate at once, and burstBytes where that is more. A key frame is several times an average
// frame (50 to 100 kB in 720p at 2.5 Mbit/s, where burstTime is 78 kB) and leaves its sender within a few milliseconds: dropping
// a part of it makes the receiver ask for another. burstBytes is more than the longest datagram, which would otherwise never pass
// a low limit.
const (
	burstTime  = 250 * time.Millisecond
	burstBytes = 64 << 10
)

// limit is a bit rate with its burst. The zero limit is none.
type limit struct {
	rate  uint64 // bits per second
	burst int64  // nanoseconds at that rate
}

func newLimit(bitsPerSecond int64) limit {
	if bitsPerSecond <= 0 {
		return limit{}
	}
	l := limit{rate: uint64(bitsPerSecond)}
	l.burst = max(int64(burstTime), l.cost(burstBytes))
	return l
}

// cost is how long n bytes take at the rate, in nanoseconds, rounded up. It cannot overflow: n is cut at burstBytes, which no
// datagram reaches.
func (l limit) cost(n int) int64 {
	const nanobits = 8 * uint64(time.Second)
	return int64((uint64(min(n, burstBytes))*nanobits + l.rate - 1) / l.rate)
}

// bucket is a token bucket in the form of a generic cell rate algorithm (ITU-T I.371): until is the moment, in nanoseconds since
// the relay's start, at which what has passed would have ended at the rate. One word holds all of its state, so that goroutines
// share it without a lock. The zero bucket has its whole burst.
type bucket struct{ until atomic.Int64 }

// take charges n bytes at the moment now, or tells that they are over the limit, and charges nothing.
func (b *bucket) take(l limit, n int, now int64) bool {
	if b == nil || l.rate == 0 {
		return true
	}
	cost := l.cost(n)
	for {
		until := b.until.Load()
		next := max(until, now) + cost
		if next-now > l.burst {
			return false
		}
		if b.until.CompareAndSwap(until, next) {
			return true
		}
	}
}

// limits are those of the relay at one time. A Relay without any has none of these.
type limits struct{ perAllocation, total limit }

// take charges n bytes to the buckets on their way: up is the sending client's, down the receiving one's, nil where that end is a
// peer outside. The order is that of the packet, and total is last: nobody uses up what is there for all with packets that a
// limit of its own stops, and the word that all goroutines write is left alone by those. What a later bucket refuses stays
// charged to the ones before, as on a link where a packet is lost behind it.
func (l *limits) take(n int, up, down, total *bucket, now int64) bool {
	return up.take(l.perAllocation, n, now) && down.take(l.perAllocation, n, now) && total.take(l.total, n, now)
}

// SetBandwidth sets how many bits of payload a second are relayed: of each session in each of its two directions, and of all
// sessions together, where every packet counts once. 0 is no limit. What is over a limit is dropped as DropBandwidth; up to
// 250 ms of the rate, and 64 KiB, may pass in a burst. Buckets whose limit changes begin anew, with the whole burst.
func (r *Relay) SetBandwidth(perAllocation, total int64) {
	next := limits{newLimit(perAllocation), newLimit(total)}
	published := &next
	if next == (limits{}) {
		published = nil
	}
	var old limits
	if l := r.limits.Swap(published); l != nil {
		old = *l
	}
	if old.total != next.total {
		r.total.until.Store(0)
	}
	if old.perAllocation == next.perAllocation {
		return
	}
	// What was charged at a slower rate would otherwise close a session for as long as that rate needed.
	for _, s := range r.byRelayed.all() {
		s.upBucket.until.Store(0)
		s.downBucket.until.Store(0)
	}
}

// withinBandwidth charges a payload of n bytes, see limits.take. Without any limit it is one load, inlined: all else, the time too,
// is behind it.
func (r *Relay) withinBandwidth(n int, up, down *bucket) bool {
	return r.limits.Load() == nil || r.charge(n, up, down)
}

func (r *Relay) charge(n int, up, down *bucket) bool {
	l := r.limits.Load()
	return l == nil || l.take(n, up, down, &r.total, int64(time.Since(r.start)))
}
