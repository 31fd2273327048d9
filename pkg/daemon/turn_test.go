package daemon

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun"
)

// turnClient is as much of a TURN client as holds an allocation open.
type turnClient struct {
	t      *testing.T
	conn   net.Conn
	stream bool

	// Set by allocate.
	signature []stun.Setter // what a signed request ends with
	relayed   netip.AddrPort
}

// dialTURN connects to a turn: URL with an address in it.
func dialTURN(t *testing.T, url string) *turnClient {
	t.Helper()
	address, query, _ := strings.Cut(strings.TrimPrefix(url, "turn:"), "?transport=")
	conn, err := net.Dial(query, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &turnClient{t: t, conn: conn, stream: query == "tcp"}
}

// allocate asks for an allocation and returns the error code, 0 for success.
func (c *turnClient) allocate(username, password string) int {
	c.t.Helper()
	transport := stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}
	method := stun.NewType(stun.MethodAllocate, stun.ClassRequest)
	answer := c.roundTrip(stun.MustBuild(stun.TransactionID, method, transport, stun.Fingerprint))
	var realm stun.Realm
	var nonce stun.Nonce
	if err := answer.Parse(&realm, &nonce); err != nil {
		c.t.Fatalf("no challenge: %v: %v", answer, err)
	}
	key := stun.NewLongTermIntegrity(username, realm.String(), password)
	c.signature = []stun.Setter{stun.NewUsername(username), realm, nonce, key, stun.Fingerprint}
	answer = c.request(stun.MethodAllocate, transport)
	var relayed stun.XORMappedAddress
	if err := relayed.GetFromAs(answer, stun.AttrXORRelayedAddress); err == nil {
		c.relayed = netip.AddrPortFrom(netip.MustParseAddr(relayed.IP.String()), uint16(relayed.Port))
	}
	return codeOf(c.t, answer)
}

// request sends a signed request.
func (c *turnClient) request(method stun.Method, attributes ...stun.Setter) *stun.Message {
	c.t.Helper()
	setters := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attributes...)
	return c.roundTrip(stun.MustBuild(append(setters, c.signature...)...))
}

// peerAddress is an XOR-PEER-ADDRESS.
type peerAddress netip.AddrPort

// AddTo implements stun.Setter.
func (p peerAddress) AddTo(m *stun.Message) error {
	a := net.UDPAddrFromAddrPort(netip.AddrPort(p))
	return stun.XORMappedAddress{IP: a.IP, Port: a.Port}.AddToAs(m, stun.AttrXORPeerAddress)
}

// permit asks for a permission and returns the error code, 0 for success.
func (c *turnClient) permit(peer netip.AddrPort) int {
	c.t.Helper()
	return codeOf(c.t, c.request(stun.MethodCreatePermission, peerAddress(peer)))
}

// sendTo sends a payload to a peer and waits until the other client has it.
func (c *turnClient) sendTo(other *turnClient, payload string) {
	c.t.Helper()
	data := stun.RawAttribute{Type: stun.AttrData, Value: []byte(payload)}
	m := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), peerAddress(other.relayed), data)
	if _, err := c.conn.Write(m.Raw); err != nil {
		c.t.Fatal(err)
	}
	got := other.receive()
	if value, err := got.Get(stun.AttrData); err != nil || string(value) != payload {
		c.t.Fatalf("got %v (%v), want %q", got, err, payload)
	}
}

// codeOf is the error code of a response, 0 for success.
func codeOf(t *testing.T, answer *stun.Message) int {
	t.Helper()
	if answer.Type.Class == stun.ClassSuccessResponse {
		return 0
	}
	var code stun.ErrorCodeAttribute
	if err := code.GetFrom(answer); err != nil {
		t.Fatalf("neither success nor an error: %v: %v", answer, err)
	}
	return int(code.Code)
}

// roundTrip expects the answer at once: on loopback nothing is lost.
func (c *turnClient) roundTrip(m *stun.Message) *stun.Message {
	c.t.Helper()
	if _, err := c.conn.Write(m.Raw); err != nil {
		c.t.Fatal(err)
	}
	answer := c.receive()
	if answer.TransactionID != m.TransactionID {
		c.t.Fatalf("%v is answered by %v", m, answer)
	}
	return answer
}

// receive returns the next message.
func (c *turnClient) receive() *stun.Message {
	c.t.Helper()
	b := make([]byte, 2048)
	var n int
	var err error
	if c.stream {
		if _, err = io.ReadFull(c.conn, b[:20]); err == nil {
			n = 20 + int(b[2])<<8 + int(b[3])
			_, err = io.ReadFull(c.conn, b[20:n])
		}
	} else {
		n, err = c.conn.Read(b)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	m := &stun.Message{Raw: b[:n]}
	if err := m.Decode(); err != nil {
		c.t.Fatalf("%x: %v", b[:n], err)
	}
	return m
}
