package turn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/maitred/maitred/pkg/relay"
	"github.com/maitred/maitred/pkg/udpio"
	"github.com/pion/dtls/v3"
)

// dialDTLS also returns the socket under the client.
func (s *testServer) dialDTLS(t *testing.T) (*client, *net.UDPConn) {
	t.Helper()
	c := s.dial(t, "udp")
	c.conn.Close()
	addr, _ := s.DTLSAddr()
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	d, err := dtls.ClientWithOptions(socket, net.UDPAddrFromAddrPort(addr), dtls.WithInsecureSkipVerify(true))
	if err == nil {
		err = d.HandshakeContext(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	c.conn = d
	return c, socket
}

// TestForgedRecords: whoever knows a client's address, and nothing else, must not end its connection.
func TestForgedRecords(t *testing.T) {
	forged := func(kind byte, content ...byte) []byte {
		return append([]byte{kind, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 99, 0, byte(len(content))}, content...)
	}
	for _, tt := range []struct {
		name  string
		bytes []byte
	}{
		{"application data", forged(23, 'x')},
		{"unknown type", forged(99, 'x')},
		{"alert", forged(21, 2, 40)},
		{"change of cipher", forged(20, 'x')},
		{"change of cipher that claims to be protected", []byte{20, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 99, 0, 1, 'x'}},
		{"two changes of cipher", []byte{20, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 99, 0, 2, 1, 1}},
		{"two in a datagram", append(forged(99, 'x'), forged(23, 'x')...)},
		{"cut short", forged(23, 'x')[:13]},
		{"no record", []byte("garbage")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, nil)
			c, socket := s.dialDTLS(t)
			c.allocate()
			addr, _ := s.DTLSAddr()
			before := s.dropped(relay.DropUnexpected)
			if _, err := socket.WriteToUDPAddrPort(tt.bytes, addr); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it is thrown away", func() bool { return s.dropped(relay.DropUnexpected) > before })
			conn, to := remote(t, "127.0.0.1")
			c.bind(0x4000, to)
			c.sendChannel(0x4000, []byte("still there"))
			wantDatagram(t, conn, c.relayed, []byte("still there"))
		})
	}
}

// TestUnsettledIsBounded sends what Pion would keep: fragments of handshakes, and data that comes before its time.
func TestUnsettledIsBounded(t *testing.T) {
	record := func(kind, epoch byte, size int) []byte {
		return append([]byte{kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 0, byte(size >> 8), byte(size)}, make([]byte, size)...)
	}
	fragment, early, media := record(handshakeRecord, 0, 1000), record(23, 1, 1000), record(23, 1, 1)
	c := &dtlsClient{}
	taken := 0
	for range 1000 {
		taken += len(c.acceptable(fragment)) + len(c.acceptable(early))
	}
	if taken == 0 || taken > maxUnsettled {
		t.Errorf("%d bytes are taken, at most %d may be", taken, maxUnsettled)
	}
	c = &dtlsClient{established: true}
	for range 1000 {
		taken = len(c.acceptable(record(handshakeRecord, 1, 1000)))
	}
	if taken != 0 {
		t.Error("a client may renegotiate without end")
	}
	if got := c.acceptable(append(bytes.Clone(fragment), media...)); !bytes.Equal(got, media) {
		t.Errorf("of what comes with media, %d bytes are taken, want %d", len(got), len(media))
	}
}

// TestGreetingsAreBounded: greetings that nobody follows up take an eighth of the handshakes for one address, and other addresses shake hands.
func TestGreetingsAreBounded(t *testing.T) {
	s := start(t, func(c *Config) { c.DTLSHandshakes = 32 })
	addr, _ := s.DTLSAddr()
	hello := append([]byte{handshakeRecord, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0)
	for range 20 {
		socket, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}, net.UDPAddrFromAddrPort(addr))
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		if _, err := socket.Write(hello[:25]); err != nil {
			t.Fatal(err)
		}
	}
	pending := func() (all, ip int) {
		s.dtls.mu.Lock()
		defer s.dtls.mu.Unlock()
		return s.dtls.handshakes, s.dtls.perIP[netip.MustParseAddr("127.0.0.2")]
	}
	eventually(t, "most are refused", func() bool { return s.dropped(relay.DropUnexpected) >= 20-32/dtlsShare })
	if all, ip := pending(); all != 32/dtlsShare || ip != all {
		t.Errorf("%d handshakes are under way, %d of them of that address; want %d", all, ip, 32/dtlsShare)
	}
	s.dial(t, "dtls").allocate()
}

// TestRefusedByTheKernel: what cannot be sent is lost, as over UDP. Only the end of the socket is an error, which ends the connection.
func TestRefusedByTheKernel(t *testing.T) {
	s := start(t, nil)
	c := &dtlsClient{front: s.dtls, socket: refusingSocket{s.dtls.sockets[0], syscall.EAGAIN}, addr: netip.MustParseAddrPort("127.0.0.1:9")}
	before := s.dropped(relay.DropSendToClient)
	if n, err := c.WriteTo(make([]byte, 100), nil); n != 100 || err != nil || s.dropped(relay.DropSendToClient) != before+1 {
		t.Errorf("%d, %v, %d drops", n, err, s.dropped(relay.DropSendToClient)-before)
	}
	c.socket = refusingSocket{s.dtls.sockets[0], net.ErrClosed}
	if _, err := c.WriteTo(make([]byte, 100), nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("at the end: %v", err)
	}
}

// refusingSocket is a socket whose kernel takes nothing.
type refusingSocket struct {
	udpio.Socket
	why error
}

func (r refusingSocket) WriteTo([]byte, netip.AddrPort) error { return r.why }

// TestTooLargeForDTLS: a peer sends more than a record can carry; that is lost, and what comes behind it arrives.
func TestTooLargeForDTLS(t *testing.T) {
	s := start(t, nil)
	c, _ := s.dialDTLS(t)
	c.allocate()
	conn, to := remote(t, "127.0.0.1")
	c.bind(0x4000, to)
	before := s.dropped(relay.DropSendToClient)
	for _, size := range []int{maxDTLSMessage, 65507} {
		if _, err := conn.WriteToUDPAddrPort(make([]byte, size), c.relayed); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "both are thrown away", func() bool { return s.dropped(relay.DropSendToClient) == before+2 })
	conn.WriteToUDPAddrPort([]byte("small"), c.relayed)
	c.wantChannel(0x4000, []byte("small"))
}

func FuzzDTLSRecords(f *testing.F) {
	f.Add([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}, true)
	f.Add([]byte{23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, false)
	f.Fuzz(func(t *testing.T, b []byte, established bool) {
		c := &dtlsClient{established: established}
		for kept := c.acceptable(b); len(kept) > 0; {
			n := recordHeader + int(binary.BigEndian.Uint16(kept[11:]))
			if n > len(kept) || established && (kept[3] == 0 && kept[4] == 0 || kept[0] == changeCipherRecord) {
				t.Fatalf("kept %x of %x", kept, b)
			}
			kept = kept[n:]
		}
		_ = isClientHello(b)
	})
}
