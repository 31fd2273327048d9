package icecheck

import (
	"context"
	"slices"
	"sync"
	"time"
)

// meter makes numbers of when packets were sent and came. It knows no network.
type meter struct {
	done chan struct{} // closed when all has come that was sent

	mu       sync.Mutex
	probes   []probe
	back     int           // probes
	transit  time.Duration // of the latest probe that arrived
	jitter   float64       // nanoseconds
	bulk     stretch       // sent
	there    stretch       // bulk that arrived
	bulkSeen []bool        // by number
	finished bool          // nothing more will be sent
}

type probe struct {
	sent  time.Time
	there bool
	rtt   time.Duration // 0: not back
}

// stretch counts packets of one size from the first to the last.
type stretch struct {
	packets     int
	first, last time.Time
}

func (s *stretch) add(now time.Time) {
	if s.packets++; s.packets == 1 {
		s.first = now
	}
	s.last = now
}

// rate is in bits a second; 0 where there are too few packets to tell.
func (s *stretch) rate() int64 {
	length := s.last.Sub(s.first)
	if s.packets < 2 || length <= 0 {
		return 0
	}
	return int64(float64((s.packets-1)*bulkSize*8) / length.Seconds())
}

func newMeter() *meter { return &meter{done: make(chan struct{})} }

// sendProbe and sendBulk give the packet that is about to be sent its number.
func (m *meter) sendProbe(now time.Time) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.probes = append(m.probes, probe{sent: now})
	return len(m.probes) - 1
}

func (m *meter) sendBulk(now time.Time) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bulk.add(now)
	m.bulkSeen = append(m.bulkSeen, false)
	return m.bulk.packets - 1
}

// probeThere: a probe has reached the far end. Numbers that were never sent and packets that come twice are ignored, here as below.
func (m *meter) probeThere(n int, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n >= len(m.probes) || m.probes[n].there {
		return
	}
	m.probes[n].there = true
	transit, before := now.Sub(m.probes[n].sent), m.transit
	if m.transit = transit; before != 0 { // RFC 3550 appendix A.8
		m.jitter += (float64((transit - before).Abs()) - m.jitter) / 16
	}
}

// probeBack: a probe has come back.
func (m *meter) probeBack(n int, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n >= len(m.probes) || m.probes[n].rtt != 0 {
		return
	}
	m.probes[n].rtt = max(1, now.Sub(m.probes[n].sent))
	m.back++
	m.checkLocked()
}

// bulkThere: a large packet has reached the far end.
func (m *meter) bulkThere(n int, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n >= len(m.bulkSeen) || m.bulkSeen[n] {
		return
	}
	m.bulkSeen[n] = true
	m.there.add(now)
	m.checkLocked()
}

func (m *meter) checkLocked() {
	if !m.finished || m.back < len(m.probes) || m.there.packets < m.bulk.packets {
		return
	}
	select {
	case <-m.done:
	default:
		close(m.done)
	}
}

// settle waits, when nothing more will be sent, until all has come, but not for long.
func (m *meter) settle(ctx context.Context) {
	m.mu.Lock()
	m.finished = true
	m.checkLocked()
	m.mu.Unlock()
	grace := time.NewTimer(loopGrace)
	defer grace.Stop()
	select {
	case <-m.done:
	case <-grace.C:
	case <-ctx.Done():
	}
}

func (m *meter) result() Loop {
	m.mu.Lock()
	defer m.mu.Unlock()
	var times []time.Duration
	for _, p := range m.probes {
		if p.rtt != 0 {
			times = append(times, p.rtt)
		}
	}
	slices.Sort(times)
	return Loop{
		RTT50: percentile(times, 50), RTT99: percentile(times, 99), Jitter: time.Duration(m.jitter),
		Sent: len(m.probes), Lost: len(m.probes) - m.back, BulkSent: m.bulk.packets, BulkLost: m.bulk.packets - m.there.packets,
		Offered: m.bulk.rate(), Throughput: m.there.rate(),
	}
}

// percentile is the nearest rank in times, which are sorted; 0 where there are none.
func percentile(times []time.Duration, p int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	return times[(len(times)*p+99)/100-1]
}
