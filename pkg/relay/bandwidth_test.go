package relay

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maitred/maitred/pkg/udpio"
)

// arrival is a packet at a moment of a fake clock.
type arrival struct {
	at   time.Duration
	size int
	pass bool
}

func TestBucket(t *testing.T) {
	const k, m = 1000, 1_000_000
	for _, tt := range []struct {
		name     string
		rate     int64 // bits per second
		arrivals []arrival
	}{
		{"no limit", 0, []arrival{{0, math.MaxInt, true}, {0, math.MaxInt, true}}},
		{"a negative limit is none", -1, []arrival{{0, math.MaxInt, true}, {0, math.MaxInt, true}}},
		{"64 KiB at once", 64 * k, []arrival{{0, 65536, true}, {0, 1, false}}},
		{"the longest datagram passes the lowest limit", 1, []arrival{{0, 65535, true}, {0, 2, false}, {0, 1, true}, {0, 1, false}}},
		{"250 ms at once", 8 * m, []arrival{{0, 60_000, true}, {0, 60_000, true}, {0, 60_000, true}, {0, 60_000, true}, {0, 10_001, false}, {0, 10_000, true}, {0, 1, false}}},
		{"a smaller packet still fits", 64 * k, []arrival{{0, 65_000, true}, {0, 537, false}, {0, 536, true}}},
		{"what is refused is not charged", 64 * k, []arrival{{0, 65_000, true}, {0, 60_000, false}, {0, 60_000, false}, {0, 536, true}}},
		{"empty packets cost nothing", 64 * k, []arrival{{0, 65_536, true}, {0, 0, true}, {0, 0, true}}},
		{"it refills at the rate", 64 * k, []arrival{{0, 65_536, true}, {time.Second, 8001, false}, {time.Second, 8000, true}, {time.Second, 1, false}, {time.Second + 125*time.Microsecond, 1, true}}},
		{"it refills to the burst and not beyond", 64 * k, []arrival{{0, 65_536, true}, {24 * time.Hour, 65_536, true}, {24 * time.Hour, 1, false}}},
		{"a clock that is behind", 64 * k, []arrival{{time.Second, 65_000, true}, {time.Second - time.Millisecond, 536, false}, {time.Second, 536, true}}},
		{"a size that no packet has counts as the longest", 64 * k, []arrival{{0, math.MaxInt, true}, {0, 1, false}}},
		{"the highest limit", math.MaxInt64, []arrival{{0, 65_536, true}, {0, math.MaxInt, true}}},
		{"after a hundred years", 1, []arrival{{100 * 365 * 24 * time.Hour, 65_536, true}, {100 * 365 * 24 * time.Hour, 1, false}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bucket
			l := newLimit(tt.rate)
			for i, a := range tt.arrivals {
				if pass := b.take(l, a.size, int64(a.at)); pass != a.pass {
					t.Errorf("packet %d of %d bytes at %v passes: %v", i, a.size, a.at, pass)
				}
			}
		})
	}
}

func TestCost(t *testing.T) {
	for _, tt := range []struct {
		rate int64 // bits per second
		n    int
		want time.Duration
	}{
		{64_000, 0, 0},
		{64_000, 8000, time.Second},
		{8_000_000, 1000, time.Millisecond},
		{100_000_000_000, 1250, 100 * time.Nanosecond},
		{3, 1, 2_666_666_667}, // rounded up: nothing is free
		{math.MaxInt64, 1, 1},
		{1, math.MaxInt, 8 * burstBytes * time.Second},
	} {
		if got := newLimit(tt.rate).cost(tt.n); time.Duration(got) != tt.want {
			t.Errorf("%d bytes at %d bit/s cost %v, want %v", tt.n, tt.rate, time.Duration(got), tt.want)
		}
	}
}

// TestBucketIsShared has many goroutines offer twice the rate on a clock that their packets move: what passes in all is the rate
// and the burst, never more, and no less than what the goroutines' different ideas of the time can cost.
func TestBucketIsShared(t *testing.T) {
	const rate, size, workers, each = 8_000_000, 1000, 8, 20_000
	const costs = time.Millisecond // a packet at the rate
	l := newLimit(rate)
	var b bucket
	var clock, passed atomic.Int64
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for range each {
				if b.take(l, size, clock.Add(int64(costs/2))) {
					passed.Add(1)
				}
			}
		})
	}
	wait.Wait()
	for b.take(l, size, clock.Load()) { // what the last ones with an old time left
		passed.Add(1)
	}
	most := (time.Duration(clock.Load()) + burstTime) / costs
	if n := time.Duration(passed.Load()); n > most || n < most-workers {
		t.Errorf("%d packets passed, want %d", n, most)
	}
}

// TestLimitsInOrder: total is charged for nothing that a limit of its own stops.
func TestLimitsInOrder(t *testing.T) {
	const kilo = 1000
	full := func() *bucket {
		var b bucket
		b.take(newLimit(64*kilo), burstBytes, 0)
		return &b
	}
	for _, tt := range []struct {
		name                 string
		up, down, total      *bucket
		pass                 bool
		chargeUp, chargeDown bool
		chargeTotal          bool
	}{
		{"room in all", &bucket{}, &bucket{}, &bucket{}, true, true, true, true},
		{"from a client to a peer", &bucket{}, nil, &bucket{}, true, true, false, true},
		{"from a peer to a client", nil, &bucket{}, &bucket{}, true, false, true, true},
		{"the sender is over its limit", full(), &bucket{}, &bucket{}, false, false, false, false},
		{"the receiver is over its limit", &bucket{}, full(), &bucket{}, false, true, false, false},
		{"the relay is over its limit", &bucket{}, &bucket{}, full(), false, true, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := &limits{newLimit(64 * kilo), newLimit(64 * kilo)}
			was := [3]int64{}
			buckets := [3]*bucket{tt.up, tt.down, tt.total}
			for i, b := range buckets {
				if b != nil {
					was[i] = b.until.Load()
				}
			}
			if pass := l.take(1000, tt.up, tt.down, tt.total, 0); pass != tt.pass {
				t.Errorf("passes: %v", pass)
			}
			for i, want := range [3]bool{tt.chargeUp, tt.chargeDown, tt.chargeTotal} {
				if b := buckets[i]; b != nil && (b.until.Load() != was[i]) != want {
					t.Errorf("bucket %d of up, down, total is charged: %v", i, !want)
				}
			}
		})
	}
}

// lowest is so low a limit, in bits per second, that nothing but the burst passes while a test runs: 65 packets of 1,000 bytes.
const (
	lowest        = 1
	burstOfLowest = burstBytes / 1000
)

// TestBandwidth sends 100 packets of 1,000 bytes each way of two sessions to the outside, and from one session to the other.
func TestBandwidth(t *testing.T) {
	const offered = 100
	one := Count{burstOfLowest, burstOfLowest * 1000}
	all := func(n uint64) Count { return Count{n * offered, n * offered * 1000} }
	type want struct {
		upA, downA, shortAB, upB Count // in the order in which they are sent
	}
	for _, tt := range []struct {
		name                 string
		perAllocation, total int64
		want                 want
	}{
		{"no limit", 0, 0, want{all(1), all(1), all(1), all(1)}},
		// A's up bucket is empty when it sends to B: nothing arrives there.
		{"per allocation", lowest, 0, want{one, one, Count{}, one}},
		{"total", 0, lowest, want{one, Count{}, Count{}, Count{}}},
		{"both", lowest, 1_000_000_000_000, want{one, one, Count{}, one}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, testPorts)
			sa, ca := b.session(t, clientA, false)
			sb, _ := b.session(t, clientB, false)
			for _, s := range []*Session{sa, sb} {
				s.Bind(0x4000, peer4, ReachNetwork, minute, minute)
			}
			sa.Bind(0x4001, sb.Relayed(), ReachRelayed, minute, minute)
			sb.Permit(own4, ReachRelayed, minute)
			b.SetBandwidth(tt.perAllocation, tt.total)
			for range offered {
				b.Input(udpio.Immediate, packet(clientA, channelData(0x4000, payload)), sa)
			}
			for range offered {
				socketOf(sa).receive(peer4, payload)
			}
			for range offered {
				b.Input(udpio.Immediate, packet(clientA, channelData(0x4001, payload)), sa)
			}
			for range offered {
				b.Input(udpio.Immediate, packet(clientB, channelData(0x4000, payload)), sb)
			}
			got := want{sa.Traffic().Up, sa.Traffic().Down, sa.Traffic().ShortCircuit, sb.Traffic().Up}
			if got != tt.want {
				t.Errorf("passed %+v, want %+v", got, tt.want)
			}
			passed := got.upA.Packets + got.downA.Packets + got.shortAB.Packets + got.upB.Packets
			b.wantDrops(t, map[Drop]uint64{DropBandwidth: 4*offered - passed})
			if sentUp, toClient := len(socketOf(sa).out), len(ca.got); sentUp != int(got.upA.Packets) || toClient != int(got.downA.Packets) {
				t.Errorf("%d left the socket and %d reached the client", sentUp, toClient)
			}
		})
	}
}

// TestBandwidthOfAShortCircuit: the sender's way up, the receiver's way down, and once in all.
func TestBandwidthOfAShortCircuit(t *testing.T) {
	b := newBed(t, PortRange{})
	sa, _ := b.session(t, clientA, false)
	sb, _ := b.session(t, clientB, false)
	allow(sa, sb)
	sa.Bind(0x4000, sb.Relayed(), ReachRelayed, minute, minute)
	b.SetBandwidth(lowest, lowest)
	b.Input(udpio.Immediate, packet(clientA, channelData(0x4000, payload)), sa)
	cost := newLimit(lowest).cost(len(payload))
	for name, bucket := range map[string]struct {
		bucket  *bucket
		charged bool
	}{"A up": {&sa.upBucket, true}, "A down": {&sa.downBucket, false}, "B up": {&sb.upBucket, false}, "B down": {&sb.downBucket, true}, "total": {&b.total, true}} {
		until := bucket.bucket.until.Load()
		if bucket.charged && (until < cost || until >= 2*cost) || !bucket.charged && until != 0 {
			t.Errorf("%s is charged %d ns, a packet costs %d", name, until, cost)
		}
	}
}

// TestWhatIsNotCharged is refused for another reason, or answered here.
func TestWhatIsNotCharged(t *testing.T) {
	for _, tt := range []struct {
		name string
		step func(b bed, s *Session)
	}{
		{"a Binding request", func(b bed, s *Session) {
			if v := b.Input(udpio.Immediate, packet(clientA, message(typeBindingRequest)), s); v != Reply {
				t.Errorf("verdict %d", v)
			}
		}},
		{"a control request", func(b bed, s *Session) {
			if v := b.Input(udpio.Immediate, packet(clientA, message(0x0003)), s); v != Control {
				t.Errorf("verdict %d", v)
			}
		}},
		{"a stranger's packet", func(_ bed, s *Session) { socketOf(s).receive(other4, payload) }},
		{"no channel", func(b bed, s *Session) {
			b.Input(udpio.Immediate, packet(clientA, channelData(0x4444, payload)), s)
		}},
		{"no permission", func(b bed, s *Session) {
			b.Input(udpio.Immediate, packet(clientA, sendIndication(other4, payload)), s)
		}},
		{"a session that has not permitted the sender", func(b bed, s *Session) {
			target, _ := b.session(t, clientB, false)
			s.Bind(0x4001, target.Relayed(), ReachRelayed, minute, minute)
			b.Input(udpio.Immediate, packet(clientA, channelData(0x4001, payload)), s)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, testPorts)
			s, _ := b.session(t, clientA, false)
			s.Bind(0x4000, peer4, ReachNetwork, minute, minute)
			b.SetBandwidth(lowest, lowest)
			tt.step(b, s)
			if s.upBucket.until.Load() != 0 || s.downBucket.until.Load() != 0 || b.total.until.Load() != 0 || b.Stats().Dropped[DropBandwidth] != 0 {
				t.Error("it is charged")
			}
		})
	}
}

// TestBandwidthChanges while a session is open: each change takes effect at once, for either limit alone, in each direction.
func TestBandwidthChanges(t *testing.T) {
	long := strings.Repeat("x", burstBytes-1000)
	for _, direction := range []struct {
		name string
		send func(b bed, s *Session)
		of   func(Traffic) Count
	}{
		{"up", func(b bed, s *Session) { b.Input(udpio.Immediate, packet(clientA, channelData(0x4000, long)), s) }, up},
		{"down", func(_ bed, s *Session) { socketOf(s).receive(peer4, long) }, down},
	} {
		b := newBed(t, testPorts)
		s, _ := b.session(t, clientA, false)
		s.Bind(0x4000, peer4, ReachNetwork, minute, minute)
		for _, step := range []struct {
			name                 string
			perAllocation, total int64
			pass                 bool // a packet of nearly the whole burst
		}{
			{"a limit begins with its burst", lowest, 0, true},
			{"it holds", lowest, 0, false},
			{"a total limit has its own burst, the other stays used up", lowest, lowest, false},
			{"a higher limit does not wait for what the lower one was charged", 2 * lowest, 0, true},
			{"the total limit alone, unused up to now", 0, lowest, true},
			{"the total limit holds", 0, lowest, false},
			{"the other one back: it begins anew, the total does not", lowest, lowest, false},
			{"a higher total limit does not wait either", 0, 2 * lowest, true},
			{"no limit", 0, 0, true},
			{"still none", 0, 0, true},
			{"a limit again", 3 * lowest, 0, true},
			{"it holds again", 3 * lowest, 0, false},
		} {
			b.SetBandwidth(step.perAllocation, step.total)
			before := direction.of(s.Traffic()).Packets
			direction.send(b, s)
			if pass := direction.of(s.Traffic()).Packets > before; pass != step.pass {
				t.Errorf("%s: %s: it passes: %v", direction.name, step.name, pass)
			}
		}
	}
}

// TestBandwidthChangesUnderLoad is for the race detector: packets on several goroutines while limits come and go.
func TestBandwidthChangesUnderLoad(t *testing.T) {
	const packets, senders = 2000, 4
	r, _ := realRelay(t, PortRange{})
	receiver, _, err := r.Open(Request{Client: &deafClient{}})
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for range senders {
		s, _, err := r.Open(Request{Client: &deafClient{}})
		if err != nil {
			t.Fatal(err)
		}
		receiver.Permit(s.Relayed().Addr(), ReachRelayed, minute)
		s.Bind(0x4000, receiver.Relayed(), ReachRelayed, minute, minute)
		wait.Go(func() {
			for range packets {
				r.Input(udpio.Immediate, packet(clientA, channelData(0x4000, payload)), s)
			}
		})
	}
	for i := range int64(200) {
		r.SetBandwidth(i%3*lowest, i%2*lowest)
	}
	wait.Wait()
	stats := r.Stats()
	if n := stats.Traffic.ShortCircuit.Packets + stats.Dropped[DropBandwidth]; n != packets*senders {
		t.Errorf("%d packets are accounted for, want %d", n, packets*senders)
	}
}

// deafClient may be written to by several goroutines.
type deafClient struct{ fakeClient }

// Write implements Client.
func (c *deafClient) Write(udpio.Batch, []byte) Drop { return DropNone }
