//go:build !386 && !arm && !mips && !mipsle

package udpio

import (
	"net/netip"
	"testing"
	"time"
)

func TestMeter(t *testing.T) {
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	for _, tt := range []struct {
		name  string
		work  [][2]int // from, until, in ms
		share int64
		over  bool
	}{
		{"within the window", [][2]int{{0, 4}, {5, 9}}, 0, false},
		{"all of it", [][2]int{{0, 10}}, 100, true},
		{"a part", [][2]int{{1, 2}, {5, 6}, {9, 10}}, 30, true},
		{"after a long sleep", [][2]int{{0, 5}, {995, 1000}}, 1, true},
	} {
		m := meter{since: start}
		var share int64
		var over bool
		for i, w := range tt.work {
			if share, over = m.add(at(w[0]), at(w[1]), 10*time.Millisecond); over != (tt.over && i == len(tt.work)-1) {
				t.Errorf("%s: over after %v", tt.name, w)
			}
		}
		if share != tt.share {
			t.Errorf("%s: %d %%, want %d %%", tt.name, share, tt.share)
		}
		if over && (m.busy != 0 || m.since != at(tt.work[len(tt.work)-1][1])) {
			t.Errorf("%s: the next window begins with %+v", tt.name, m)
		}
	}
}

// busy is an echo that takes its time.
type busy struct {
	echo
	each time.Duration
}

func (b *busy) Packet(batch Batch, s Socket, p *Packet) {
	for began := time.Now(); time.Since(began) < b.each; {
	}
	b.echo.Packet(batch, s, p)
}

// TestLending makes the host busy until it gives its guest back, and leaves it alone until the guest is lent again; all the time
// both answer.
func TestLending(t *testing.T) {
	ns, err := NewLoops(2)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Wait()
	host, guest := ns.loops[0], ns.loops[1]
	slow, err := host.openSocket(netip.MustParseAddrPort("127.0.0.1:0"), &busy{each: 2 * time.Millisecond}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	quick, err := guest.openSocket(netip.MustParseAddrPort("127.0.0.1:0"), &echo{}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer quick.Close()
	atHost, atGuest := dial(t, slow), dial(t, quick)
	quiet := time.NewTicker(5 * time.Millisecond) // a packet now and then leaves both with little to do
	defer quiet.Stop()
	ask := func(work, lent bool) {
		t.Helper()
		buf, end := make([]byte, 16), time.Now().Add(20*time.Second)
		atHost.SetReadDeadline(end)
		atGuest.SetReadDeadline(end)
		for guest.lent.Load() != lent {
			if time.Now().After(end) {
				t.Fatalf("lent is still %v", !lent)
			}
			if work {
				for range 8 {
					atHost.Write([]byte("work"))
				}
				for range 8 {
					if _, err := atHost.Read(buf); err != nil {
						t.Fatal(err)
					}
				}
			}
			<-quiet.C
			atGuest.Write([]byte("hello"))
			if _, err := atGuest.Read(buf); err != nil {
				t.Fatal(err)
			}
		}
	}
	ask(false, true)
	for range 2 {
		ask(true, false)
		ask(false, true)
	}
}

// TestLentAtTheEnd closes networks while loops are being lent and given back.
func TestLentAtTheEnd(t *testing.T) {
	for range 20 {
		ns, err := NewLoops(3)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := open(t, ns, "127.0.0.1:0")
		s.Close()
		ns.Wait()
	}
}

// TestTakeAndGiveBack has a busy host give back a guest at every moment while it is lent.
func TestTakeAndGiveBack(t *testing.T) {
	host, err := newLoop()
	if err != nil {
		t.Fatal(err)
	}
	defer host.close()
	guest, err := newLoop()
	if err != nil {
		t.Fatal(err)
	}
	defer guest.close()
	guest.host, host.lending.guests[int32(guest.epoll)] = host, guest
	const times = 5000
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; n < times; {
			host.lending.busy.Store(0)
			if guest.host.take(guest) {
				<-guest.returned
				n++
			}
		}
	}()
	for {
		select {
		case <-done:
			return
		default:
		}
		host.meter = meter{since: time.Now().Add(-2 * hostWindow), busy: 2 * hostWindow}
		if err := host.balance(time.Now()); err != nil {
			t.Fatal(err)
		}
	}
}
