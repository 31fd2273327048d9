package relay

import (
	"context"
	"errors"
	"github.com/maitred/maitred/pkg/udpio"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestOpenPorts is RFC 8656 section 7.2 on what port a relayed address has.
func TestOpenPorts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		span   PortRange
		taken  []uint16
		errno  syscall.Errno
		even   bool
		first  []uint16 // the ports that must come out, in any order
		expect error    // of the Open after those
	}{
		{name: "range of one", span: PortRange{50000, 50000}, first: []uint16{50000}, expect: ErrNoPorts},
		{name: "range of four", span: PortRange{50000, 50003}, first: []uint16{50000, 50001, 50002, 50003}, expect: ErrNoPorts},
		{name: "the top of all ports", span: PortRange{65534, 65535}, first: []uint16{65534, 65535}, expect: ErrNoPorts},
		{name: "a taken port is skipped", span: PortRange{50000, 50002}, taken: []uint16{50001}, errno: syscall.EADDRINUSE, first: []uint16{50000, 50002}, expect: ErrNoPorts},
		{name: "as Windows says it", span: PortRange{50000, 50002}, taken: []uint16{50001}, errno: 10048, first: []uint16{50000, 50002}, expect: ErrNoPorts},
		{name: "all taken", span: PortRange{50000, 50001}, taken: []uint16{50000, 50001}, errno: syscall.EADDRINUSE, expect: ErrNoPorts},
		{name: "even", span: PortRange{50001, 50005}, even: true, first: []uint16{50002, 50004}, expect: ErrNoPorts},
		{name: "even where only odd is left", span: PortRange{50001, 50001}, even: true, expect: ErrNoPorts},
		{name: "out of descriptors", span: PortRange{50000, 50001}, taken: []uint16{50000, 50001}, errno: syscall.EMFILE, expect: syscall.EMFILE},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, tt.span)
			for _, p := range tt.taken {
				b.network.fail[p] = tt.errno
			}
			got := map[uint16]bool{}
			for range tt.first {
				s, token, err := b.Open(Request{Client: &fakeClient{addr: clientA}, Even: tt.even})
				if err != nil {
					t.Fatal(err)
				}
				if s.Relayed().Addr() != own4 || token != ([8]byte{}) {
					t.Errorf("relayed %v, token %x", s.Relayed(), token)
				}
				got[s.Relayed().Port()] = true
			}
			for _, p := range tt.first {
				if !got[p] {
					t.Errorf("port %d was not given out, only %v", p, got)
				}
			}
			if _, _, err := b.Open(Request{Client: &fakeClient{addr: clientA}, Even: tt.even}); !errors.Is(err, tt.expect) {
				t.Errorf("the next one: %v, want %v", err, tt.expect)
			}
			if n := b.network.open(); n != len(tt.first) {
				t.Errorf("%d sockets are open, want %d", n, len(tt.first))
			}
		})
	}
}

func TestPortIsFreeAgainAfterClose(t *testing.T) {
	for _, span := range []PortRange{{50000, 50000}, {}} {
		b := newBed(t, span)
		s, _ := b.session(t, clientA, false)
		s.Close()
		if b.network.open() != 0 || b.byRelayed.get(s.Relayed()) != nil {
			t.Error("a closed session is still there")
		}
		b.session(t, clientA, false)
	}
}

func TestFamilies(t *testing.T) {
	for _, tt := range []struct {
		name      string
		addresses []Address
		ipv6      bool
		want      Address // the advertised and the bound one
	}{
		{"IPv4", []Address{{own4, own4}, {own6, own6}}, false, Address{own4, own4}},
		{"IPv6", []Address{{own4, own4}, {own6, own6}}, true, Address{own6, own6}},
		{"behind a NAT", []Address{{own4, netip.IPv4Unspecified()}}, false, Address{own4, netip.IPv4Unspecified()}},
		{"no IPv6", []Address{{own4, own4}}, true, Address{}},
		{"no IPv4", []Address{{own6, own6}}, false, Address{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := New(Config{Network: newFakeNetwork(), Addresses: tt.addresses, Ports: testPorts})
			t.Cleanup(r.close)
			s, _, err := r.Open(Request{Client: &fakeClient{addr: clientA}, IPv6: tt.ipv6})
			if has := r.HasFamily(tt.ipv6); has != tt.want.Advertised.IsValid() {
				t.Errorf("has the family: %v", has)
			}
			if !tt.want.Advertised.IsValid() {
				if !errors.Is(err, ErrNoAddress) {
					t.Errorf("error %v, want %v", err, ErrNoAddress)
				}
				return
			}
			if err != nil || s.Relayed().Addr() != tt.want.Advertised || socketOf(s).local.Addr() != tt.want.Bind {
				t.Errorf("%v, relayed %v", err, s.Relayed())
			}
			if !r.IsRelayed(tt.want.Advertised) || r.IsRelayed(peer4.Addr()) {
				t.Error("IsRelayed does not tell own from other addresses")
			}
		})
	}
}

// TestVirtualPorts have the numbers of RFC 8656 section 7.2 and no socket.
func TestVirtualPorts(t *testing.T) {
	b := newBed(t, PortRange{})
	for range 100 {
		s, _ := b.session(t, clientA, false)
		if p := s.Relayed().Port(); p < 49152 || s.socket != nil {
			t.Fatalf("relayed %v, socket %v", s.Relayed(), s.socket)
		}
	}
	if n := b.network.open(); n != 0 {
		t.Errorf("%d sockets", n)
	}
}

// TestReservation is EVEN-PORT with the R bit and RESERVATION-TOKEN.
func TestReservation(t *testing.T) {
	for _, span := range []PortRange{{50001, 50004}, {}} {
		b := newBed(t, span)
		s, token, err := b.Open(Request{Client: &fakeClient{addr: clientA}, Even: true, Reserve: true})
		if err != nil || s.Relayed().Port()%2 != 0 || token == ([8]byte{}) {
			t.Fatalf("%v, %v, token %x", s, err, token)
		}
		front := b.NewFront(nil)
		client := &fakeClient{addr: clientB}
		next, again, err := b.Open(Request{Client: client, Front: front, Token: &token})
		if err != nil || next.Relayed().Port() != s.Relayed().Port()+1 || again != ([8]byte{}) {
			t.Fatalf("%v, %v, token %x", next, err, again)
		}
		if front.sessions.get(clientB) != next || next.client != client {
			t.Error("the reserved session was not handed to the client who showed the token")
		}
		for name, bad := range map[string][8]byte{"used": token, "unknown": {1, 2, 3}, "zero": {}} {
			if _, _, err := b.Open(Request{Client: client, Token: &bad}); !errors.Is(err, ErrNoReservation) {
				t.Errorf("%s token: %v", name, err)
			}
		}
		b.clock.Store(int64(time.Hour))
		b.expireReservations()
		if b.byRelayed.get(next.Relayed()) != next {
			t.Error("a claimed reservation has expired")
		}
	}
}

func TestReserveNeedsTwoPorts(t *testing.T) {
	for _, tt := range []struct {
		name string
		span PortRange
		fail map[uint16]error
		want error
	}{
		{"range of one", PortRange{50000, 50000}, nil, ErrNoPorts},
		{"even port is the last", PortRange{49999, 50000}, nil, ErrNoPorts},
		{"next port is taken", PortRange{50000, 50001}, map[uint16]error{50001: syscall.EADDRINUSE}, ErrNoPorts},
		{"no descriptor for the next", PortRange{50000, 50001}, map[uint16]error{50001: syscall.EMFILE}, syscall.EMFILE},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, tt.span)
			b.network.fail = tt.fail
			if _, _, err := b.Open(Request{Client: &fakeClient{}, Even: true, Reserve: true}); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if b.network.open() != 0 || len(b.byRelayed.all()) != 0 || len(b.ports.reserved) != 0 {
				t.Error("half of it stayed open")
			}
		})
	}
}

func TestReservationExpires(t *testing.T) {
	b := newBed(t, testPorts)
	s, token, err := b.Open(Request{Client: &fakeClient{addr: clientA}, Even: true, Reserve: true})
	if err != nil {
		t.Fatal(err)
	}
	b.clock.Store(int64(reservationLifetime) - 1)
	b.expireReservations()
	if b.network.open() != 2 {
		t.Fatal("the reservation has ended early")
	}
	b.clock.Store(int64(reservationLifetime))
	if _, _, err := b.Open(Request{Client: &fakeClient{addr: clientB}, Token: &token}); !errors.Is(err, ErrNoReservation) {
		t.Errorf("an expired token: %v", err)
	}
	b.expireReservations()
	if b.network.open() != 1 || b.byRelayed.get(s.Relayed()) != s || len(b.ports.reserved) != 0 {
		t.Error("the expired reservation is still there, or took its neighbour along")
	}
}

// TestReservedPortIsDeaf until somebody claims it.
func TestReservedPortIsDeaf(t *testing.T) {
	b := newBed(t, PortRange{50000, 50001})
	s, _, err := b.Open(Request{Client: &fakeClient{addr: clientA}, Even: true, Reserve: true})
	if err != nil {
		t.Fatal(err)
	}
	next := netip.AddrPortFrom(own4, 50001)
	s.Permit(own4, ReachRelayed, minute)
	b.Input(udpio.Immediate, packet(clientA, sendIndication(next, "x")), s)
	b.network.sockets[next].receive(peer4, "x")
	b.wantDrops(t, map[Drop]uint64{DropPeerDenied: 2})
}

// TestRunClosesEverything, claimed or not, and refuses what comes later.
func TestRunClosesEverything(t *testing.T) {
	b := newBed(t, testPorts)
	front := b.NewFront(nil)
	s, token, err := b.Open(Request{Client: &fakeClient{addr: clientA}, Front: front, Even: true, Reserve: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if b.network.open() != 0 || len(b.byRelayed.all()) != 0 || front.sessions.get(clientA) != nil || !s.ended.Load() {
		t.Error("something is left")
	}
	for _, req := range []Request{{Client: &fakeClient{}}, {Client: &fakeClient{}, Token: &token}} {
		if _, _, err := b.Open(req); !errors.Is(err, ErrClosed) {
			t.Errorf("Open after the end: %v", err)
		}
	}
}

// TestRunKeepsTheClock waits until a reservation, made long ago, has gone.
func TestRunKeepsTheClock(t *testing.T) {
	b := newBed(t, testPorts)
	b.network.closed = make(chan netip.AddrPort, 2)
	b.start = time.Now().Add(-time.Hour)
	s, _, err := b.Open(Request{Client: &fakeClient{addr: clientA}, Even: true, Reserve: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	select {
	case a := <-b.network.closed:
		if a.Port() != s.Relayed().Port()+1 {
			t.Errorf("%v was closed, the neighbour of %v should have been", a, s.Relayed())
		}
	case <-time.After(10 * time.Second):
		t.Error("the reservation stays")
	}
	if now := time.Duration(b.clock.Load()); now < time.Hour {
		t.Errorf("the clock shows %v", now)
	}
	cancel()
	<-done
}

func TestOpenFailureNamesItsCause(t *testing.T) {
	b := newBed(t, PortRange{50000, 50000})
	b.network.fail[50000] = syscall.EMFILE
	if _, _, err := b.Open(Request{Client: &fakeClient{}}); err == nil || !strings.HasPrefix(err.Error(), "open a relay socket: ") {
		t.Errorf("error %v", err)
	}
}

// TestCloseTwice from several goroutines while routes change and packets arrive.
func TestCloseTwice(t *testing.T) {
	b := newBed(t, testPorts)
	front := b.NewFront(nil)
	s, _, err := b.Open(Request{Client: b.UDPClient(&fakeSocket{network: b.network, forget: true}, clientA), Front: front})
	if err != nil {
		t.Fatal(err)
	}
	s.Bind(0x4000, peer4, ReachNetwork, minute, minute)
	socketOf(s).receive(peer4, "data")
	var g sync.WaitGroup
	for range 4 {
		g.Go(s.Close)
		g.Go(func() { s.Permit(other4.Addr(), ReachNetwork, minute) })
	}
	g.Wait()
	s.Close()
	if b.network.open() != 0 || b.byRelayed.get(s.Relayed()) != nil || front.sessions.get(clientA) != nil || s.Peers() != 0 {
		t.Error("something of a closed session is left")
	}
	if got, want := b.Stats().Traffic, (Traffic{Down: Count{1, 4}}); got != want {
		t.Errorf("traffic %+v, want %+v: counted as often as it was closed?", got, want)
	}
}

// TestStatsNeverRunBackwards while sessions come and go.
func TestStatsNeverRunBackwards(t *testing.T) {
	b := newBed(t, testPorts)
	const workers, rounds = 4, 200
	var g sync.WaitGroup
	for range workers {
		g.Go(func() {
			p := packet(clientA, "")
			for range rounds {
				s, _, err := b.Open(Request{Client: &fakeClient{addr: clientA}})
				if err != nil {
					t.Error(err)
					return
				}
				s.Bind(0x4000, peer4, ReachNetwork, minute, minute)
				p.Reset(copy(p.Space(), channelData(0x4000, "12345")))
				b.Input(udpio.Immediate, p, s)
				s.Close()
			}
		})
	}
	done := make(chan struct{})
	go func() { g.Wait(); close(done) }()
	for last, ended := (Count{}), false; !ended; {
		select {
		case <-done:
			ended = true
		default:
		}
		now := b.Stats().Traffic.Up
		if now.Packets < last.Packets || now.Bytes < last.Bytes {
			t.Errorf("%+v after %+v", now, last)
		}
		last = now
	}
	if got, want := b.Stats().Traffic.Up, (Count{workers * rounds, workers * rounds * 5}); got != want {
		t.Errorf("%+v in the end, want %+v", got, want)
	}
}
