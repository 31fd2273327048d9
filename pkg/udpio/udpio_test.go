package udpio

import (
	"bytes"
	"net"
	"net/netip"
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

func (c collector) Packet(_ Socket, p *Packet) {
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

// network waits for its readers after the sockets that the test opened have been closed.
func network(t *testing.T) Network {
	n := NewPortable()
	t.Cleanup(n.Wait)
	return n
}

func open(t *testing.T, n Network, bind string) (Socket, collector) {
	t.Helper()
	c := make(collector, 16)
	s, err := n.Open(netip.MustParseAddrPort(bind), c)
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
			n := network(t)
			a, fromB := open(t, n, tt.a)
			b, fromA := open(t, n, tt.b)
			to := a.LocalAddr()
			if to.Addr().IsUnspecified() {
				to = netip.AddrPortFrom(b.LocalAddr().Addr(), to.Port())
			}
			large := bytes.Repeat([]byte("x"), 60000)
			for _, payload := range [][]byte{[]byte("hello"), {}, large} {
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
		})
	}
}

// TestSocketOutlivesErrors sends to a port that nobody listens on: the ICMP answer surfaces as an error of a later call and must
// not end the reader.
func TestSocketOutlivesErrors(t *testing.T) {
	n := network(t)
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

func TestOpenReportsTakenPort(t *testing.T) {
	n := network(t)
	s, _ := open(t, n, "127.0.0.1:0")
	if other, err := n.Open(s.LocalAddr(), make(collector)); err == nil {
		other.Close()
		t.Fatal("the same port was bound twice")
	}
}

func BenchmarkWriteTo(b *testing.B) {
	n := NewPortable()
	s, err := n.Open(netip.MustParseAddrPort("127.0.0.1:0"), make(discard))
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

func (discard) Packet(Socket, *Packet) {}
