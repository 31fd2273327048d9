package bench

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// Shape of a Histogram: every power of two is cut into subBuckets equal parts, up to maxRecorded.
const (
	subBits     = 6
	subBuckets  = 1 << subBits
	maxRecorded = 1<<36 - 1 // nanoseconds, 68 s
	buckets     = (36 - subBits + 1) * subBuckets
)

// Histogram counts durations in buckets of fixed relative width. A quantile is off by less than 1 % (half a bucket), the largest
// duration is exact. Its zero value is empty; it is safe for concurrent use.
type Histogram struct {
	counts  [buckets]atomic.Uint64
	largest atomic.Int64
}

// Record counts one duration in nanoseconds.
func (h *Histogram) Record(ns int64) {
	ns = max(ns, 0)
	h.counts[bucket(min(ns, maxRecorded))].Add(1)
	for {
		largest := h.largest.Load()
		if ns <= largest || h.largest.CompareAndSwap(largest, ns) {
			return
		}
	}
}

// bucket is where ns is counted: as it is up to 2*subBuckets, by its leading subBits+1 bits from there on.
func bucket(ns int64) int {
	shift := max(bits.Len64(uint64(ns))-subBits-1, 0)
	return shift<<subBits + int(ns>>shift)
}

// middle is the duration that stands for a bucket.
func middle(bucket int) int64 {
	shift := max(bucket>>subBits-1, 0)
	return int64(bucket-shift<<subBits)<<shift + 1<<shift>>1
}

// Quantile is the duration that the share q of all durations does not exceed, 0 without any.
func (h *Histogram) Quantile(q float64) time.Duration {
	var total uint64
	for i := range h.counts {
		total += h.counts[i].Load()
	}
	rank := max(uint64(math.Ceil(q*float64(total))), 1)
	var seen uint64
	for i := range h.counts {
		if seen += h.counts[i].Load(); seen >= rank {
			return time.Duration(min(middle(i), h.largest.Load()))
		}
	}
	return 0
}

// Max is the longest duration.
func (h *Histogram) Max() time.Duration { return time.Duration(h.largest.Load()) }

// Latency is what a report says of the durations.
func (h *Histogram) Latency() Latency {
	return Latency{Max: Microseconds(h.Max()), Percentiles: Percentiles{P50: Microseconds(h.Quantile(0.5)),
		P99: Microseconds(h.Quantile(0.99)), P999: Microseconds(h.Quantile(0.999))}}
}
