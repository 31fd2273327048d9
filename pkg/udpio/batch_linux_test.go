//go:build !386 && !arm && !mips && !mipsle

package udpio

import (
	"net/netip"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// TestGroups is the rule of UDP_SEGMENT as a table: which datagrams go out as segments of one.
func TestGroups(t *testing.T) {
	a, b := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.1:2")
	type d struct {
		size int
		to   netip.AddrPort
	}
	run := func(n, size int) (out []d) {
		for range n {
			out = append(out, d{size, a})
		}
		return out
	}
	tests := []struct {
		name string
		in   []d
		want []int // datagrams in each group
	}{
		{"equal", run(8, 1000), []int{8}},
		{"a shorter one ends the group", append(run(3, 1000), d{999, a}, d{999, a}, d{999, a}), []int{4, 2}},
		{"a longer one begins the next", append(run(2, 100), run(2, 200)...), []int{2, 2}},
		{"destinations do not mix", []d{{5, a}, {5, b}, {5, b}, {5, a}}, []int{1, 2, 1}},
		{"no more than the kernel takes", run(maxSegments, 10), []int{maxSegments}},
		{"no more bytes than a packet has", run(60, 1472), []int{44, 16}},
		{"larger than the path", run(3, 1473), []int{1, 1, 1}},
	}
	for _, tt := range tests {
		var lost atomic.Uint64
		var groups []group
		for _, d := range tt.in {
			w := sending{b: make([]byte, d.size), to: d.to, lost: &lost}
			if len(groups) == 0 || !groups[len(groups)-1].take(&w) {
				groups = append(groups, group{n: 1, size: d.size, total: d.size, to: d.to, lost: &lost})
			}
		}
		var got []int
		for _, g := range groups {
			got = append(got, g.n)
		}
		if len(got) != len(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
			continue
		}
		for i := range got {
			if got[i] != tt.want[i] {
				t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
			}
		}
	}
}

// TestSegmentsRefused sends a group as if the kernel had refused it: every datagram arrives on its own, and segments are off.
func TestSegmentsRefused(t *testing.T) {
	ns, err := NewLoops(1)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Wait()
	a, _ := open(t, ns, "127.0.0.1:0")
	b, arrived := open(t, ns, "127.0.0.1:0")
	defer a.Close()
	defer b.Close()
	var o outbox
	o.init(ns.loops[0])
	s, lost := a.(*loopSocket), &atomic.Uint64{}
	for i, text := range []string{"one", "two", "end"} {
		o.vectors[i].Base = &[]byte(text)[0]
		o.vectors[i].SetLen(3)
	}
	o.refused(s, &group{n: 3, size: 3, total: 9, to: b.LocalAddr(), lost: lost}, unix.EIO)
	for _, want := range []string{"one", "two", "end"} {
		if r := arrived.next(t); string(r.payload) != want {
			t.Errorf("got %q, want %q", r.payload, want)
		}
	}
	if s.segment.Load() {
		t.Error("segments go on")
	}
	o.refused(s, &group{n: 3, size: 3, total: 9, to: b.LocalAddr(), lost: lost}, unix.ENOBUFS)
	if lost.Load() != 3 {
		t.Errorf("%d lost, want 3", lost.Load())
	}
}

// TestLoopAllocatesNothing reads, handles and sends on the loop's own goroutine.
func TestLoopAllocatesNothing(t *testing.T) {
	l, err := newLoop()
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	s, err := l.openSocket(netip.MustParseAddrPort("127.0.0.1:0"), &echo{}, false)
	if err != nil {
		t.Fatal(err)
	}
	l.obey()
	c, payload := dial(t, s), []byte("12345678")
	work := func() {
		for range 8 {
			c.Write(payload)
		}
		l.receive(s.(*loopSocket))
	}
	work()
	if n := testing.AllocsPerRun(100, work); n != 0 {
		t.Errorf("%v allocations for eight packets", n)
	}
	s.Close()
	l.obey()
}
