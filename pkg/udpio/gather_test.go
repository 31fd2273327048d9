package udpio

import (
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

type flushed struct {
	n  int
	do func()
}

func (f *flushed) Flush() {
	f.n++
	f.do()
}

// TestGather sends through sockets of every network, more than fits at once, and has others flushed after it.
func TestGather(t *testing.T) {
	onEach(t, func(t *testing.T, n Network) {
		from, _ := open(t, n, "127.0.0.1:0")
		to, arrived := open(t, n, "127.0.0.1:0")
		var lost atomic.Uint64
		g := NewGather()
		const packets = 100
		var want, got []string
		for i := range packets {
			want = append(want, strconv.Itoa(1000+i))
			g.Send(from, []byte(want[i]), to.LocalAddr(), &lost)
		}
		f := &flushed{do: func() {}}
		g.Later(f)
		if f.n != 0 {
			t.Error("flushed before its time")
		}
		g.Flush()
		g.Flush()
		if f.n != 1 {
			t.Errorf("flushed %d times, want once", f.n)
		}
		for range packets {
			got = append(got, string(arrived.next(t).payload))
		}
		if !slices.Equal(got, want) || lost.Load() != 0 {
			t.Errorf("got %v, %d lost", got, lost.Load())
		}
		for range 1000 {
			g.Later(f)
		}
		g.Flush()
		if f.n != 1001 {
			t.Errorf("flushed %d times, want 1001", f.n)
		}
	})
}

type handlerFunc func(Batch, Socket, *Packet)

func (f handlerFunc) Packet(b Batch, s Socket, p *Packet) { f(b, s, p) }

// TestLater: what a handler asks for happens after its packets have been handled.
func TestLater(t *testing.T) {
	onEach(t, func(t *testing.T, n Network) {
		c := make(chan string, 4)
		h := handlerFunc(func(b Batch, _ Socket, p *Packet) {
			b.Later(&flushed{do: func() { c <- string(p.Payload()) }})
		})
		to, err := n.Open(netip.MustParseAddrPort("127.0.0.1:0"), h, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { to.Close() })
		s, _ := open(t, n, "127.0.0.1:0")
		if err := s.WriteTo([]byte("x"), to.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-c:
			if got != "x" {
				t.Errorf("flushed with %q at hand", got)
			}
		case <-time.After(10 * time.Second):
			t.Error("not flushed")
		}
	})
}
