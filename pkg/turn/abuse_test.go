package turn

import (
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/maitred/maitred/pkg/relay"
	"github.com/pion/stun"
)

// TestAllocationEndsDuringItsRequests ends allocations while their permissions are being made. Pion alone would stop a timer that is
// not there yet.
func TestAllocationEndsDuringItsRequests(t *testing.T) {
	s := start(t, func(c *Config) { c.PeersPerAllocation = 500 })
	var many []stun.RawAttribute
	for i := range 120 {
		many = append(many, peer(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, 0, byte(i)}), 9)))
	}
	for range 100 {
		c := s.dial(t, "tcp")
		c.allocate()
		for range 3 {
			c.send(c.build(stun.MethodCreatePermission, c.key, many...).Raw)
		}
		c.conn.Close()
	}
	for range 100 {
		credential := s.authority.MintMember("m", time.Hour)
		c := s.dialAs(t, "udp", credential.Username, credential.Password)
		c.allocate()
		for range 3 {
			c.send(c.build(stun.MethodCreatePermission, c.key, many...).Raw)
		}
		s.authority.Release("m")
		s.EndUser(s.authority.MemberID("m"))
	}
	s.wantAllocations(t, 0)
}

func TestAllocationExpires(t *testing.T) {
	for _, network := range transports {
		s := start(t, nil)
		c := s.dial(t, network)
		c.allocate()
		s.live.mu.Lock()
		for _, a := range s.live.byKey {
			a.expires.Store(time.Now().UnixNano())
		}
		s.live.mu.Unlock()
		s.wantAllocations(t, 0)
		c.wantCode(c.request(stun.MethodRefresh), 437)
	}
}

// TestQuietAllocationOverTCPStays: only a connection without an allocation is idle.
func TestQuietAllocationOverTCPStays(t *testing.T) {
	s := start(t, func(c *Config) { c.IdleTimeout = 200 * time.Millisecond })
	quiet, idle := s.dial(t, "tcp"), s.dial(t, "tcp")
	quiet.allocate()
	idle.challenge()
	began := time.Now()
	idle.conn.SetReadDeadline(began.Add(patience))
	if n, err := idle.conn.Read(make([]byte, 1)); n != 0 || err == nil || time.Since(began) > patience {
		t.Fatalf("an idle connection stays: %d, %v", n, err)
	}
	// The other connection was silent for as long.
	quiet.wantCode(quiet.request(stun.MethodRefresh), 0)
	quiet.wantCode(quiet.request(stun.MethodRefresh, lifetimeAttribute(0)), 0)
	quiet.conn.SetReadDeadline(time.Now().Add(patience))
	if n, err := quiet.conn.Read(make([]byte, 1)); n != 0 || err == nil || time.Since(began) > patience {
		t.Errorf("a connection whose allocation is gone stays: %d, %v", n, err)
	}
}

// TestReservationsEndWithTheirAllocation goes through a range of four ports many times.
func TestReservationsEndWithTheirAllocation(t *testing.T) {
	s := start(t, func(c *Config) { c.RelayPorts = relay.PortRange{Min: 28000, Max: 28003} })
	c := s.dial(t, "udp")
	for range 20 {
		c.allocate(attr(stun.AttrEvenPort, 0x80))
		c.wantCode(c.request(stun.MethodRefresh, lifetimeAttribute(0)), 0)
	}
}

func TestChannelsPerAllocation(t *testing.T) {
	s := start(t, func(c *Config) { c.PeersPerAllocation = 3 })
	c := s.dial(t, "udp")
	c.allocate()
	at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(loopback, port) }
	for i := uint16(1); i <= 3; i++ {
		c.bind(0x4000+i, at(i))
	}
	c.wantCode(c.request(stun.MethodChannelBind, channelNumber(0x4004), peer(at(4))), 508)
	c.bind(0x4001, at(1))
}

func TestEveryUnprovenAnswerIsLimited(t *testing.T) {
	for _, tt := range []struct {
		name   string
		method stun.Method
		signed bool
	}{{"challenge", stun.MethodAllocate, false}, {"unknown method", stun.MethodConnect, false}, {"wrong credential", stun.MethodAllocate, true}} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, func(c *Config) { c.UnauthenticatedPerIP = 5 })
			c := s.dialAs(t, "udp", "1:nobody", "x")
			var key []byte
			if tt.signed {
				key = c.key
			}
			for range 50 {
				c.send(c.build(tt.method, key, overUDP).Raw)
			}
			eventually(t, "most requests are dropped", func() bool { return s.dropped(relay.DropUnauthorized) >= 40 })
			s.dial(t, "tcp").challenge() // nobody who forges UDP packets uses up what streams get
		})
	}
}

// TestNonceOfAnotherAddressIs438: a nonce proves that its holder receives what is sent to its address.
func TestNonceOfAnotherAddressIs438(t *testing.T) {
	s := start(t, nil)
	c := s.dial(t, "udp")
	c.challenge()
	addr, _ := s.UDPAddr()
	conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 77)}, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	other := *c
	other.conn = conn
	other.wantCode(other.request(stun.MethodAllocate, overUDP), 438)
	c.allocate()
}

// TestSpentAddressMakesRoom fills the queue of a server that does not get to it: an address that has had its 401 answers takes half of it
// at most, and everybody else comes in still.
func TestSpentAddressMakesRoom(t *testing.T) {
	s, err := New(Config{UDP: Off, TCP: Off, External: []netip.Addr{loopback}, Authority: start(t, nil).authority, UnauthenticatedPerIP: 10,
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	greedy, other := netip.MustParseAddrPort("192.0.2.1:5000"), netip.MustParseAddrPort("192.0.2.2:5000")
	for s.unprovenUDP.allow(greedy.Addr(), time.Now().Add(time.Minute)) {
	}
	unsigned := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), overUDP).Raw
	signed := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), overUDP, stun.NewShortTermIntegrity("x")).Raw
	s.controlUDP(nil, greedy, nil, unsigned)
	if n := len(s.strangers); n != 0 {
		t.Errorf("%d requests wait that can only get an answer that is used up", n)
	}
	for range controlQueue {
		s.controlUDP(nil, greedy, nil, signed)
	}
	if n := len(s.strangers); n != controlQueue/2+1 {
		t.Errorf("%d requests of one address wait, want %d", n, controlQueue/2+1)
	}
	if n := s.relay.Stats().Dropped[relay.DropUnauthorized]; n != controlQueue/2 {
		t.Errorf("%d dropped, want the unsigned one and the other half", n)
	}
	s.controlUDP(nil, other, nil, unsigned)
	if n := len(s.strangers); n != controlQueue/2+2 {
		t.Errorf("the other address found no room: %d wait", n)
	}
}

// TestOneClientDoesNotFillTheQueue: requests of an allocation's 5-tuple, forged ones too, leave room for those of others.
func TestOneClientDoesNotFillTheQueue(t *testing.T) {
	s, err := New(Config{UDP: Off, TCP: Off, External: []netip.Addr{loopback}, Authority: start(t, nil).authority, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var greedy, other relay.Session
	from := netip.MustParseAddrPort("192.0.2.1:5000")
	for range 2 * sessionQueue {
		s.controlUDP(nil, from, &greedy, []byte("a request"))
	}
	s.controlUDP(nil, from, &other, []byte("a request"))
	if n := len(s.known); n != sessionQueue+1 {
		t.Errorf("%d wait, want %d and the other's", n, sessionQueue)
	}
	if n := s.relay.Stats().Dropped[relay.DropControlBusy]; n != sessionQueue {
		t.Errorf("%d dropped, want %d", n, sessionQueue)
	}
	for range sessionQueue + 1 {
		s.recycle(<-s.known)
	}
	if n := greedy.Waiting.Load() + other.Waiting.Load(); n != 0 {
		t.Errorf("%d count as waiting after all have been answered", n)
	}
}

// TestStrangersGetATurn keeps the queue of clients with an allocation full all the time.
func TestStrangersGetATurn(t *testing.T) {
	s := start(t, nil)
	full, stop, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			r, _ := s.copyRequest(&request{from: netip.MustParseAddrPort("192.0.2.1:5000"), bytes: []byte("no request")})
			select {
			case s.known <- r:
			case <-stop:
				return
			}
			if n == controlQueue {
				close(full)
			}
		}
	}()
	<-full
	s.dial(t, "udp").allocate()
	s.wantAllocations(t, 1)
	s.live.mu.Lock()
	for _, a := range s.live.byKey {
		a.expires.Store(time.Now().UnixNano())
	}
	s.live.mu.Unlock()
	s.wantAllocations(t, 0)
	close(stop)
	<-done
}
