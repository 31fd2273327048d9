package relay

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/maitred/maitred/pkg/udpio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Addresses of the tests: the relay's own, clients, peers.
var (
	own4    = netip.MustParseAddr("192.0.2.10")
	own6    = netip.MustParseAddr("2001:db8::10")
	clientA = netip.MustParseAddrPort("198.51.100.1:5001")
	clientB = netip.MustParseAddrPort("198.51.100.2:5002")
	peer4   = netip.MustParseAddrPort("203.0.113.7:4000")
	other4  = netip.MustParseAddrPort("203.0.113.8:4000")
	peer6   = netip.MustParseAddrPort("[2001:db8::77]:4000")
)

// testPorts has room for every session of a test.
var testPorts = PortRange{50000, 50099}

// sent is one datagram that left through a socket, or one message to a client.
type sent struct {
	to      netip.AddrPort
	payload string
}

// String makes sent printable as text.
func (s sent) String() string { return s.to.String() + " " + s.payload }

// fakeNetwork opens sockets that only remember.
type fakeNetwork struct {
	mu      sync.Mutex
	sockets map[netip.AddrPort]*fakeSocket // the open ones
	fail    map[uint16]error               // what opening a port says
	closed  chan netip.AddrPort            // where Close is announced, if anybody wants to know
}

func newFakeNetwork() *fakeNetwork {
	return &fakeNetwork{sockets: map[netip.AddrPort]*fakeSocket{}, fail: map[uint16]error{}}
}

// Open implements udpio.Network.
func (n *fakeNetwork) Open(bind netip.AddrPort, h udpio.Handler, _ udpio.Socket) (udpio.Socket, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.fail[bind.Port()]; err != nil {
		return nil, err
	}
	if n.sockets[bind] != nil {
		return nil, syscall.EADDRINUSE
	}
	s := &fakeSocket{network: n, local: bind, handler: h}
	n.sockets[bind] = s
	return s, nil
}

// OpenShared implements udpio.Network.
func (n *fakeNetwork) OpenShared(bind netip.AddrPort, h udpio.Handler) ([]udpio.Socket, error) {
	s, err := n.Open(bind, h, nil)
	return []udpio.Socket{s}, err
}

// Wait implements udpio.Network.
func (n *fakeNetwork) Wait() {}

func (n *fakeNetwork) open() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.sockets)
}

type fakeSocket struct {
	network *fakeNetwork
	local   netip.AddrPort
	handler udpio.Handler
	err     error // what WriteTo says
	forget  bool  // count only, for tests that count allocations

	mu    sync.Mutex
	out   []sent
	count int
}

func (s *fakeSocket) LocalAddr() netip.AddrPort { return s.local }

func (s *fakeSocket) WriteTo(b []byte, to netip.AddrPort) error {
	if s.err != nil {
		return s.err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	if !s.forget {
		s.out = append(s.out, sent{to, string(b)})
	}
	return nil
}

func (s *fakeSocket) Close() error {
	s.network.mu.Lock()
	defer s.network.mu.Unlock()
	delete(s.network.sockets, s.local)
	if s.network.closed != nil {
		s.network.closed <- s.local
	}
	return nil
}

// receive has the handler called for one datagram.
func (s *fakeSocket) receive(from netip.AddrPort, payload string) {
	s.handler.Packet(udpio.Immediate, s, packet(from, payload))
}

// fakeClient remembers what is written to it.
type fakeClient struct {
	addr      netip.AddrPort
	transport Transport
	drop      Drop // what Write says
	got       []string
}

func (c *fakeClient) Write(_ udpio.Batch, b []byte) Drop {
	if c.drop == DropNone {
		c.got = append(c.got, string(b))
	}
	return c.drop
}

func (c *fakeClient) Addr() netip.AddrPort { return c.addr }
func (c *fakeClient) Transport() Transport { return c.transport }

// bed is a relay on a fake network.
type bed struct {
	*Relay
	network *fakeNetwork
}

func newBed(t testing.TB, ports PortRange) bed {
	t.Helper()
	n := newFakeNetwork()
	r := New(Config{Network: n, Addresses: []Address{{own4, own4}, {own6, own6}}, Ports: ports})
	t.Cleanup(r.close)
	return bed{r, n}
}

// session opens a session for a fake client.
func (b bed) session(t testing.TB, client netip.AddrPort, ipv6 bool) (*Session, *fakeClient) {
	t.Helper()
	c := &fakeClient{addr: client}
	s, _, err := b.Open(Request{Client: c, IPv6: ipv6})
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

func socketOf(s *Session) *fakeSocket { return s.socket.(*fakeSocket) }

// wantDrops checks that exactly these packets were dropped.
func (b bed) wantDrops(t *testing.T, want map[Drop]uint64) {
	t.Helper()
	for d, n := range b.Stats().Dropped {
		if n != want[d] {
			t.Errorf("dropped as %v: %d packets, want %d", d, n, want[d])
		}
	}
}

func packet(from netip.AddrPort, payload string) *udpio.Packet {
	p := udpio.NewPacket(max(len(payload), 2048))
	p.From = from
	p.Reset(copy(p.Space(), payload))
	return p
}

// attr is a STUN attribute.
type attr struct {
	typ   uint16
	value string
}

// testID is the transaction ID of messages that the tests make: that of RFC 5769's examples.
const testID = "\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae"

// message makes a STUN message, padded as it should be.
func message(typ uint16, attributes ...attr) string {
	var body bytes.Buffer
	for _, a := range attributes {
		body.Write(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, a.typ), uint16(len(a.value))))
		body.WriteString(a.value)
		body.Write(make([]byte, -len(a.value)&3))
	}
	header := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, typ), uint16(body.Len()))
	return string(header) + "\x21\x12\xa4\x42" + testID + body.String()
}

func channelData(number uint16, payload string) string {
	h := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, number), uint16(len(payload)))
	return string(h) + payload
}

func sendIndication(peer netip.AddrPort, payload string) string {
	return message(typeSendIndication, attr{attrXORPeerAddress, string(XORAddress(peer, []byte(testID)))}, attr{attrData, payload})
}

// dataIndication is the Data indication that got must be, apart from its transaction ID, which is random.
func dataIndication(got string, peer netip.AddrPort, payload string) string {
	if len(got) < headerSize {
		return "a Data indication"
	}
	id := got[8:headerSize]
	m := []byte(message(typeDataIndication, attr{attrXORPeerAddress, string(XORAddress(peer, []byte(id)))}, attr{attrData, payload}))
	copy(m[8:], id)
	return string(m)
}
