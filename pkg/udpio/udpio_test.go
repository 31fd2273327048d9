package udpio

import (
	"bytes"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type received struct {
	from    netip.AddrPort
	payload []byte
}

// collector hands over a copy of what arrives.
type collector chan received

func (c collector) Packet(_ Batch, _ Socket, p *Packet) {
	c <- received{p.From, bytes.Clone(p.Payload())}
}

func (c collector) next(t *testing.T) received {
	t.Helper()
	select {
	case r := <-c:
		return r
	case <-time.After(10 * time.Second):
		t.Fatal("no packet arrived")
		panic("unreachable")
	}
}

// onEach runs a test on each form of network that this system has.
func onEach(t *testing.T, test func(t *testing.T, n Network)) {
	for name, make := range map[string]func() (Network, error){"best": New, "portable": func() (Network, error) { return NewPortable(), nil }} {
		t.Run(name, func(t *testing.T) {
			n, err := make()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(n.Wait) // after the sockets that the test opens have been closed
			test(t, n)
		})
	}
}

func open(t *testing.T, n Network, bind string) (Socket, collector) {
	t.Helper()
	c := make(collector, 16)
	s, err := n.Open(netip.MustParseAddrPort(bind), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, c
}

func TestSendAndReceive(t *testing.T) {
	for _, tt := range []struct{ name, a, b string }{
		{"IPv4", "127.0.0.1:0", "127.0.0.1:0"},
		{"IPv6", "[::1]:0", "[::1]:0"},
		{"IPv4 on a dual-stack socket is unmapped", "[::]:0", "127.0.0.1:0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, n Network) { testSendAndReceive(t, n, tt.a, tt.b) })
		})
	}
}

func testSendAndReceive(t *testing.T, n Network, bindA, bindB string) {
	a, fromB := open(t, n, bindA)
	b, fromA := open(t, n, bindB)
	to := a.LocalAddr()
	if to.Addr().IsUnspecified() {
		to = netip.AddrPortFrom(b.LocalAddr().Addr(), to.Port())
	}
	for _, payload := range [][]byte{[]byte("hello"), {}, bytes.Repeat([]byte("x"), 60000)} {
		if err := b.WriteTo(payload, to); err != nil {
			t.Fatal(err)
		}
		r := fromB.next(t)
		if r.from != b.LocalAddr() || !bytes.Equal(r.payload, payload) {
			t.Fatalf("got %d bytes from %v, want %d from %v", len(r.payload), r.from, len(payload), b.LocalAddr())
		}
	}
	if err := a.WriteTo([]byte("back"), b.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if r := fromA.next(t); string(r.payload) != "back" {
		t.Fatalf("got %q", r.payload)
	}
}

// echo answers every packet through its batch, from another socket.
type echo struct {
	via  Socket
	lost atomic.Uint64
}

func (e *echo) Packet(b Batch, s Socket, p *Packet) {
	if e.via != nil {
		s = e.via
	}
	b.Send(s, p.Payload(), p.From, &e.lost)
}

// TestBatch sends runs of equal, shrinking, growing and mixed sizes from two senders and wants every datagram back, in order.
func TestBatch(t *testing.T) {
	sizes := []int{1000, 1000, 1000, 400, 1000, 1200, 1200, 3, 0, 7, 9000, 9000, 1472, 1472, 1473, 1473, 1, 1, 1, 60000}
	for len(sizes) < 200 {
		sizes = append(sizes, 160)
	}
	onEach(t, func(t *testing.T, n Network) {
		s, err := n.Open(netip.MustParseAddrPort("127.0.0.1:0"), &echo{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		one, two := dial(t, s), dial(t, s)
		for i, size := range sizes {
			for _, c := range []*net.UDPConn{one, two} {
				if _, err := c.Write(bytes.Repeat([]byte{byte(i)}, size)); err != nil {
					t.Fatal(err)
				}
			}
		}
		buf := make([]byte, 70000)
		for i, size := range sizes {
			for _, c := range []*net.UDPConn{one, two} {
				n, err := c.Read(buf)
				if err != nil || n != size || size > 0 && (buf[0] != byte(i) || buf[n-1] != byte(i)) {
					t.Fatalf("datagram %d: %d bytes, %v; want %d", i, n, err, size)
				}
			}
		}
	})
}

// TestSharedWildcard answers from the address that was asked, also where the route back has another one.
func TestSharedWildcard(t *testing.T) {
	n, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Wait)
	sockets, err := n.OpenShared(netip.MustParseAddrPort("[::]:0"), &echo{})
	if err != nil {
		t.Fatal(err)
	}
	bound := map[netip.Addr]bool{}
	for _, s := range sockets {
		t.Cleanup(func() { s.Close() })
		bound[s.LocalAddr().Addr()] = true
	}
	port := sockets[0].LocalAddr().Port()
	if !sockets[0].LocalAddr().Addr().IsUnspecified() {
		t.Errorf("the first socket is bound to %v", sockets[0].LocalAddr())
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		ip := a.(*net.IPNet).IP
		own, _ := netip.AddrFromSlice(ip)
		if own = own.Unmap(); own.IsLinkLocalUnicast() {
			continue
		}
		if len(sockets) > 1 && !bound[own] {
			t.Errorf("no socket answers from %v", own)
		}
		c, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: ip, Port: int(port)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		c.Write([]byte("who"))
		if n, err := c.Read(make([]byte, 10)); err != nil || n != 3 {
			t.Errorf("from %v: %d bytes, %v", own, n, err)
		}
	}
}

func dial(t *testing.T, s Socket) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.LocalAddr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	c.SetReadBuffer(4 << 20)
	return c
}

// TestLostIsCounted answers to an address that the socket's family cannot reach, through a socket of another loop, and through one
// that has been closed.
func TestLostIsCounted(t *testing.T) {
	onEach(t, func(t *testing.T, n Network) {
		closed, _ := open(t, n, "127.0.0.1:0")
		if err := closed.Close(); err != nil {
			t.Fatal(err)
		}
		for closed.WriteTo([]byte("x"), closed.LocalAddr()) == nil {
		}
		e := &echo{via: closed}
		s, err := n.Open(netip.MustParseAddrPort("127.0.0.1:0"), e, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		c := dial(t, s)
		for e.lost.Load() < 3 {
			c.Write([]byte("x"))
		}
	})
}

// TestShared sends from many ports to an address that several sockets share.
func TestShared(t *testing.T) {
	onEach(t, func(t *testing.T, n Network) {
		sockets, err := n.OpenShared(netip.MustParseAddrPort("127.0.0.1:0"), &echo{})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range sockets {
			t.Cleanup(func() { s.Close() })
			if s.LocalAddr() != sockets[0].LocalAddr() {
				t.Errorf("bound to %v and %v", s.LocalAddr(), sockets[0].LocalAddr())
			}
		}
		for range 50 {
			c := dial(t, sockets[0])
			c.Write([]byte("who"))
			if n, err := c.Read(make([]byte, 10)); err != nil || n != 3 {
				t.Fatalf("%d bytes, %v", n, err)
			}
		}
		if again, err := n.OpenShared(sockets[0].LocalAddr(), &echo{}); err == nil {
			for _, s := range again {
				s.Close()
			}
			t.Error("a second daemon got the same port")
		}
	})
}

// TestSocketOutlivesErrors sends to a port that nobody listens on: the ICMP answer surfaces as an error of a later call and must
// not end the reader.
func TestSocketOutlivesErrors(t *testing.T) { onEach(t, testSocketOutlivesErrors) }

func testSocketOutlivesErrors(t *testing.T, n Network) {
	s, c := open(t, n, "127.0.0.1:0")
	closed, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.LocalAddr().(*net.UDPAddr).AddrPort()
	closed.Close()
	for range 50 {
		_ = s.WriteTo([]byte("lost"), nobody)
	}
	if err := s.WriteTo([]byte("self"), s.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if r := c.next(t); string(r.payload) != "self" {
		t.Fatalf("got %q", r.payload)
	}
}

func TestPacketEdits(t *testing.T) {
	p := NewPacket(100)
	p.Reset(copy(p.Space(), "headpayload"))
	p.Cut(4, 11)
	copy(p.Push(2), "<>")
	p.Pad(3)
	if got := string(p.Payload()); got != "<>payload\x00\x00\x00" {
		t.Errorf("payload = %q", got)
	}
	p.Reset(len(p.Space()))
	p.Push(Headroom)
	p.Pad(3)
	if got := len(p.Payload()); got != Headroom+100+3 {
		t.Errorf("a full packet with every byte of room used is %d bytes", got)
	}
}

func TestOpenReportsTakenPort(t *testing.T) { onEach(t, testOpenReportsTakenPort) }

func testOpenReportsTakenPort(t *testing.T, n Network) {
	s, _ := open(t, n, "127.0.0.1:0")
	if other, err := n.Open(s.LocalAddr(), make(collector), nil); err == nil {
		other.Close()
		t.Fatal("the same port was bound twice")
	}
}

func BenchmarkWriteTo(b *testing.B) {
	n := NewPortable()
	s, err := n.Open(netip.MustParseAddrPort("127.0.0.1:0"), make(discard), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer n.Wait()
	defer s.Close()
	payload := make([]byte, 1000)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.WriteTo(payload, s.LocalAddr()); err != nil {
			b.Fatal(err)
		}
	}
}

type discard chan struct{}

func (discard) Packet(Batch, Socket, *Packet) {}
