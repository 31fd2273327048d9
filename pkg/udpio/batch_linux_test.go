//go:build !386 && !arm && !mips && !mipsle

package udpio

import (
	"net/netip"
	"strings"
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
	s.segment.Store(true)
	nowhere := netip.MustParseAddrPort("255.255.255.255:9") // EACCES without SO_BROADCAST, for single datagrams too
	o.refused(s, &group{n: 3, size: 3, total: 9, to: nowhere, lost: lost}, unix.EINVAL)
	if !s.segment.Load() || lost.Load() != 6 {
		t.Errorf("segments %v, %d lost; want them to go on, 6 lost", s.segment.Load(), lost.Load())
	}
}

// TestMerged sends segments over loopback, where the kernel hands them over in one piece, and looks at how the loop cuts them.
func TestMerged(t *testing.T) {
	const size = 1000
	for _, tt := range []struct {
		name   string
		last   int // bytes of the last datagram
		memory int // for packets that are cut out
	}{
		{"equal", size, segmentMemory},
		{"a shorter one at the end", 7, segmentMemory},
		{"memory for two at a time", 7, 2 * (Headroom + size + tailroom)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := newLoop()
			if err != nil {
				t.Fatal(err)
			}
			defer l.close()
			l.in.segments = l.in.segments[:tt.memory]
			from, e := openOn(t, l), &echo{}
			to, err := l.openSocket(netip.MustParseAddrPort("127.0.0.1:0"), e, false)
			if err != nil {
				t.Fatal(err)
			}
			l.obey()
			lost, want := &atomic.Uint64{}, []string{}
			for i := range 5 {
				n := size
				if i == 4 {
					n = tt.last
				}
				want = append(want, strings.Repeat(string(rune('a'+i)), n))
				l.out.Send(from, []byte(want[i]), to.LocalAddr(), lost)
			}
			l.flush()
			packets := l.in.read(to.(*loopSocket).fd)
			if len(packets) != 1 || l.in.segmentSize(0) != size {
				t.Fatalf("the kernel handed over %d packets, the first of segments of %d bytes", len(packets), l.in.segmentSize(0))
			}
			l.cut(to.(*loopSocket), &packets[0], size)
			l.flush()
			buf := make([]byte, MaxPayload)
			for i := range want {
				n, _, err := unix.Recvfrom(from.(*loopSocket).fd, buf, unix.MSG_DONTWAIT)
				if err != nil || string(buf[:n]) != want[i] {
					t.Fatalf("echo %d: %d bytes, %v", i, n, err)
				}
			}
			if lost.Load() != 0 {
				t.Errorf("%d lost", lost.Load())
			}
			if n := testing.AllocsPerRun(20, func() {
				for range 5 {
					l.out.Send(from, buf[:size], to.LocalAddr(), lost)
				}
				l.flush()
				l.receive(to.(*loopSocket))
				l.flush()
			}); n != 0 {
				t.Errorf("%v allocations for five packets in one", n)
			}
			from.Close()
			to.Close()
			l.obey()
		})
	}
}

// TestClosedSocket sends through a socket of the same loop that has been closed and whose descriptor is another file's.
func TestClosedSocket(t *testing.T) {
	l, err := newLoop()
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	s, lost := openOn(t, l), &atomic.Uint64{}
	fd := s.(*loopSocket).fd
	s.Close()
	l.obey()
	stranger, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(stranger[0])
	defer unix.Close(stranger[1])
	if stranger[0] != fd && stranger[1] != fd {
		if err := unix.Dup3(stranger[0], fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
	}
	l.out.Send(s, []byte("media of a client"), netip.MustParseAddrPort("127.0.0.1:9"), lost)
	l.flush()
	for _, end := range stranger {
		if n, _, err := unix.Recvfrom(end, make([]byte, 100), unix.MSG_DONTWAIT); err != unix.EAGAIN {
			t.Errorf("a stranger got %d bytes (%v)", n, err)
		}
	}
	if lost.Load() != 1 {
		t.Errorf("%d lost, want 1", lost.Load())
	}
}

// openOn opens a socket that hands over every datagram on its own.
func openOn(t *testing.T, l *loop) Socket {
	t.Helper()
	s, err := l.openSocket(netip.MustParseAddrPort("127.0.0.1:0"), discard(nil), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(s.(*loopSocket).fd, unix.IPPROTO_UDP, unix.UDP_GRO, 0); err != nil {
		t.Fatal(err)
	}
	return s
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
		l.flush()
	}
	work()
	if n := testing.AllocsPerRun(100, work); n != 0 {
		t.Errorf("%v allocations for eight packets", n)
	}
	s.Close()
	l.obey()
}

// BenchmarkReceive is eight datagrams of a segmented send, received over loopback in one piece and one by one.
func BenchmarkReceive(b *testing.B) {
	for name, gro := range map[string]int{"merged": 1, "single": 0} {
		b.Run(name, func(b *testing.B) {
			l, err := newLoop()
			if err != nil {
				b.Fatal(err)
			}
			defer l.close()
			var ends [2]Socket
			for i := range ends {
				if ends[i], err = l.openSocket(netip.MustParseAddrPort("127.0.0.1:0"), discard(nil), false); err != nil {
					b.Fatal(err)
				}
			}
			to := ends[1].(*loopSocket)
			if err := unix.SetsockoptInt(to.fd, unix.IPPROTO_UDP, unix.UDP_GRO, gro); err != nil {
				b.Fatal(err)
			}
			payload, lost := make([]byte, 1000), &atomic.Uint64{}
			for b.Loop() {
				for range 8 {
					l.out.Send(ends[0], payload, to.LocalAddr(), lost)
				}
				l.flush()
				l.receive(to)
				l.flush()
			}
			for _, s := range ends {
				s.Close()
			}
			l.obey()
		})
	}
}
