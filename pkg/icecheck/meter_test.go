package icecheck

import (
	"testing"
	"time"
)

var begin = time.Unix(1_800_000_000, 0)

func after(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }

// TestMeter makes numbers of a made-up run: four small packets, one of which is lost on its way back, and five large ones, of which four come.
func TestMeter(t *testing.T) {
	m := newMeter()
	for i, p := range []struct{ there, back int }{{10, 20}, {10, 22}, {26, 40}, {10, 0}} { // milliseconds after it was sent
		n := m.sendProbe(after(100 * i))
		m.probeThere(n, after(100*i+p.there))
		m.probeThere(n, after(100*i+p.there+50)) // twice
		if p.back > 0 {
			m.probeBack(n, after(100*i+p.back))
			m.probeBack(n, after(100*i+p.back+50))
		}
	}
	for i := range 5 {
		n := m.sendBulk(after(400 + 2*i))
		if i != 2 {
			m.bulkThere(n, after(410+4*i))
			m.bulkThere(n, after(1000))
		}
	}
	for _, n := range []int{4, 100} { // never sent
		m.probeThere(n, after(0))
		m.probeBack(n, after(0))
		m.bulkThere(n+1, after(0))
	}
	// The transit times differ by 0, 16 and 16 ms: 0, then 16/16, then 1 + (16-1)/16.
	want := Loop{RTT50: 22 * time.Millisecond, RTT99: 40 * time.Millisecond, Jitter: time.Millisecond + 15*time.Millisecond/16, Sent: 4, Lost: 1, BulkSent: 5, BulkLost: 1,
		Offered: 4 * 8000 * 1000 / 8, Throughput: 3 * 8000 * 1000 / 16}
	if got := m.result(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if loss, bulk := want.Loss(), want.BulkLoss(); loss != 0.25 || bulk != 0.2 {
		t.Errorf("loss %v and %v", loss, bulk)
	}
}

func TestMeterWithoutPackets(t *testing.T) {
	m := newMeter()
	if got := m.result(); got != (Loop{}) || got.Loss() != 0 {
		t.Errorf("%+v", got)
	}
	m.sendBulk(begin)
	m.bulkThere(0, begin)
	if got := m.result(); got != (Loop{BulkSent: 1}) {
		t.Errorf("of one packet: %+v", got)
	}
}

// TestMeterSettles as soon as the last packet has come, be it before or after the last was sent.
func TestMeterSettles(t *testing.T) {
	m := newMeter()
	p, b := m.sendProbe(begin), m.sendBulk(begin)
	m.probeBack(p, after(1))
	m.bulkThere(b, after(1))
	m.settle(t.Context())
	late := newMeter()
	p = late.sendProbe(begin)
	settled := make(chan struct{})
	go func() { defer close(settled); late.settle(t.Context()) }()
	late.probeBack(p, after(1))
	<-settled
	for name, m := range map[string]*meter{"before": m, "after": late} {
		select {
		case <-m.done:
		default:
			t.Errorf("%s: only the time was up", name)
		}
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, tt := range []struct {
		times    []time.Duration
		p50, p99 time.Duration
	}{{nil, 0, 0}, {[]time.Duration{7}, 7, 7}, {[]time.Duration{1, 2}, 1, 2}, {[]time.Duration{1, 2, 3}, 2, 3}, {hundred, 50, 99}} {
		if p50, p99 := percentile(tt.times, 50), percentile(tt.times, 99); p50 != tt.p50 || p99 != tt.p99 {
			t.Errorf("of %d: %d and %d, want %d and %d", len(tt.times), p50, p99, tt.p50, tt.p99)
		}
	}
}
