package relay

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/maitred/maitred/pkg/udpio"
)

// listen opens a plain UDP socket that gives up when nothing arrives.
func listen(t testing.TB, address string) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func addrOf(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

// testingRange is a port that was free a moment ago, and a few behind it.
func testingRange(t testing.TB) PortRange {
	c := listen(t, "127.0.0.1:0")
	defer c.Close()
	p := min(addrOf(c).Port(), 65500)
	return PortRange{p, p + 20}
}

// realRelay runs on loopback sockets. Its network is returned for other sockets of the test.
func realRelay(t testing.TB, ports PortRange) (*Relay, udpio.Network) {
	t.Helper()
	n := udpio.NewPortable()
	v4, v6 := netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()
	r := New(Config{Network: n, Addresses: []Address{{v4, v4}, {v6, v6}}, Ports: ports})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		n.Wait()
	})
	return r, n
}

func exchange(t *testing.T, c *net.UDPConn, to netip.AddrPort, m string) {
	t.Helper()
	if _, err := c.WriteToUDPAddrPort([]byte(m), to); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, c *net.UDPConn) sent {
	t.Helper()
	buf := make([]byte, 65536)
	n, from, err := c.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatal(err)
	}
	return sent{netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), string(buf[:n])}
}

// TestLoopback takes packets through real sockets, both ways, framed in every manner.
func TestLoopback(t *testing.T) {
	for _, tt := range []struct {
		name, host string
		ipv6       bool
	}{{"IPv4", "127.0.0.1:0", false}, {"IPv6", "[::1]:0", true}} {
		t.Run(tt.name, func(t *testing.T) {
			r, network := realRelay(t, testingRange(t))
			front := r.NewFront(func(udpio.Socket, netip.AddrPort, *Session, []byte) {})
			listener, err := network.Open(netip.MustParseAddrPort(tt.host), front, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { listener.Close() })
			client, peer := listen(t, tt.host), listen(t, tt.host)
			s, _, err := r.Open(Request{Client: r.UDPClient(listener, addrOf(client)), Front: front, IPv6: tt.ipv6})
			if err != nil {
				t.Fatal(err)
			}
			s.Permit(addrOf(peer).Addr(), ReachNetwork, minute)
			talk(t, client, peer, listener.LocalAddr(), s)
		})
	}
}

func talk(t *testing.T, client, peer *net.UDPConn, server netip.AddrPort, s *Session) {
	t.Helper()
	exchange(t, client, server, sendIndication(addrOf(peer), "indication"))
	if got, want := receive(t, peer), (sent{s.Relayed(), "indication"}); got != want {
		t.Errorf("peer got %q, want %q", got, want)
	}
	exchange(t, peer, s.Relayed(), "answer")
	if got := receive(t, client); got.to != server || got.payload != dataIndication(got.payload, addrOf(peer), "answer") {
		t.Errorf("client got %q", got)
	}
	s.Bind(0x4abc, addrOf(peer), ReachNetwork, minute, minute)
	large := string(make([]byte, 60000))
	exchange(t, client, server, channelData(0x4abc, large))
	if got, want := receive(t, peer), (sent{s.Relayed(), large}); got != want {
		t.Errorf("peer got %d bytes", len(got.payload))
	}
	exchange(t, peer, s.Relayed(), "channel")
	if got, want := receive(t, client), (sent{server, channelData(0x4abc, "channel")}); got != want {
		t.Errorf("client got %q, want %q", got, want)
	}
	exchange(t, client, server, message(typeBindingRequest))
	id := []byte(testID)
	want := message(typeBindingSuccess, attr{attrXORMappedAddress, string(XORAddress(addrOf(client), id))}, attr{attrSoftware, "maitred"}, attr{attrFingerprint, "...."})
	if got := receive(t, client); len(got.payload) != len(want) || got.payload[:len(want)-4] != want[:len(want)-4] {
		t.Errorf("Binding response %x", got.payload)
	}
}

// TestTakenPortOfTheSystem is skipped over; the one that is left is found.
func TestTakenPortOfTheSystem(t *testing.T) {
	taken := listen(t, "127.0.0.1:0")
	p := addrOf(taken).Port()
	r, _ := realRelay(t, PortRange{p, p})
	if _, _, err := r.Open(Request{Client: &fakeClient{}}); !errors.Is(err, ErrNoPorts) {
		t.Fatalf("error %v, want %v", err, ErrNoPorts)
	}
	taken.Close()
	s, _, err := r.Open(Request{Client: &fakeClient{}})
	if err != nil || s.Relayed() != netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), p) {
		t.Fatalf("%v, %v", s, err)
	}
}

// TestOpenNamesAForeignAddress is a relay that was told to bind what this machine does not have.
func TestOpenNamesAForeignAddress(t *testing.T) {
	n := udpio.NewPortable()
	r := New(Config{Network: n, Addresses: []Address{{own4, own4}}, Ports: testPorts})
	if _, _, err := r.Open(Request{Client: &fakeClient{}}); err == nil || errors.Is(err, ErrNoPorts) {
		t.Errorf("error %v", err)
	}
	n.Wait()
}
