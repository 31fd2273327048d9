package daemon

import (
	"io"
	"net"
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
	return &turnClient{t, conn, query == "tcp"}
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
	answer = c.roundTrip(stun.MustBuild(stun.TransactionID, method, transport, stun.NewUsername(username), realm, nonce, key, stun.Fingerprint))
	if answer.Type.Class == stun.ClassSuccessResponse {
		return 0
	}
	var code stun.ErrorCodeAttribute
	if err := code.GetFrom(answer); err != nil {
		c.t.Fatalf("neither success nor an error: %v: %v", answer, err)
	}
	return int(code.Code)
}

// roundTrip expects the answer at once: on loopback nothing is lost.
func (c *turnClient) roundTrip(m *stun.Message) *stun.Message {
	c.t.Helper()
	if _, err := c.conn.Write(m.Raw); err != nil {
		c.t.Fatal(err)
	}
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
	answer := &stun.Message{Raw: b[:n]}
	if err := answer.Decode(); err != nil || answer.TransactionID != m.TransactionID {
		c.t.Fatalf("%v is answered by %v: %v", m, answer, err)
	}
	return answer
}
