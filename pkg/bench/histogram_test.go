package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestBuckets are in order, without gaps, and none is wider than 1/64 of its values.
func TestBuckets(t *testing.T) {
	for i := range buckets {
		if got := bucket(middle(i)); got != i {
			t.Fatalf("the middle of bucket %d, %d, is in bucket %d", i, middle(i), got)
		}
	}
	for ns := int64(1); ns < maxRecorded; ns += 1 + ns/3 {
		if i := bucket(ns); i < bucket(ns-1) || i > bucket(ns-1)+1 || i >= buckets {
			t.Errorf("%d is in bucket %d, %d in %d", ns-1, bucket(ns-1), ns, i)
		}
		if off := math.Abs(float64(middle(bucket(ns))-ns)) / float64(ns); off > 0.01 {
			t.Errorf("%d stands for %d: %.3f off", middle(bucket(ns)), ns, off)
		}
	}
}

func TestQuantiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, tt := range []struct {
		name string
		n    int
		next func() float64 // nanoseconds
	}{
		{"one", 1, func() float64 { return 123456 }},
		{"two", 2, func() float64 { return 1e6 * (1 + random.Float64()) }},
		{"even", 10000, func() float64 { return 1e6 * random.Float64() }},
		{"long tail", 100000, func() float64 { return 20e3 * math.Exp(2*random.NormFloat64()) }},
		{"two heaps", 1001, func() float64 { return []float64{30e3, 900e6}[random.IntN(2)] }},
		{"tiny", 500, func() float64 { return float64(random.IntN(100)) }},
		{"nothing but zero", 10, func() float64 { return 0 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h Histogram
			values := make([]int64, tt.n)
			for i := range values {
				values[i] = int64(tt.next())
				h.Record(values[i])
			}
			slices.Sort(values)
			for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 1} {
				exact := values[max(int(math.Ceil(q*float64(tt.n))), 1)-1]
				got := int64(h.Quantile(q))
				if math.Abs(float64(got-exact)) > 0.02*float64(exact) {
					t.Errorf("quantile %v is %d, not %d", q, got, exact)
				}
			}
			if got := h.Max(); int64(got) != values[tt.n-1] {
				t.Errorf("the largest is %d, not %d", got, values[tt.n-1])
			}
		})
	}
}

func TestHistogramAtItsBounds(t *testing.T) {
	var h Histogram
	if h.Quantile(0.99) != 0 || h.Max() != 0 {
		t.Error("an empty histogram has durations")
	}
	h.Record(-5) // a clock that is not ours
	if h.Quantile(1) != 0 {
		t.Error("a negative duration is not zero")
	}
	h.Record(int64(time.Hour))
	if got := h.Quantile(1); got < time.Minute || got > time.Hour || h.Max() != time.Hour {
		t.Errorf("an hour is %v, the largest %v", got, h.Max())
	}
}
