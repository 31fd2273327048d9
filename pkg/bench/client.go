package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/stun"
)

const (
	// answerWithin is how long the server may take for a request, with retransmissions.
	answerWithin = 5 * time.Second
	// firstWait is the first retransmission interval over UDP; it doubles (RFC 8489 section 6.2.1).
	firstWait = 500 * time.Millisecond
	// socketBuffer is what the kernel is asked to hold for each direction of a socket, in bytes; it may grant less.
	socketBuffer = 4 << 20
	// streamBuffer is how much of a stream is read at once, in bytes. The longest STUN message fits.
	streamBuffer = 128 << 10
	// answerBuffer is that where there will be no data, in bytes.
	answerBuffer = 2048
)

// client is a TURN client with one allocation at most (RFC 8656).
type client struct {
	conn    net.Conn
	socket  net.Conn      // conn, or what is below its encryption
	r       *bufio.Reader // of a stream; nil where messages are datagrams
	c       *Config
	realm   stun.Realm // with nonce, from the server's challenge
	nonce   stun.Nonce
	relayed netip.AddrPort // after allocate
}

// dial connects to the server of c. Each transport of Transports has a case here and an endpoint in end.
func dial(ctx context.Context, c *Config) (*client, error) {
	limit, cancel := context.WithTimeout(ctx, c.patience())
	defer cancel()
	t := &client{c: c}
	switch err := t.connect(limit); {
	case err != nil && ctx.Err() == nil && limit.Err() != nil:
		return nil, c.unanswered()
	case err != nil:
		return nil, c.explain(err)
	}
	return t, nil
}

func (t *client) connect(ctx context.Context) (err error) {
	network := "tcp"
	if t.c.Transport == "udp" || t.c.Transport == "dtls" {
		network = "udp"
	}
	if t.socket, err = new(net.Dialer).DialContext(ctx, network, t.c.Server.String()); err != nil {
		return err
	}
	t.conn = t.socket
	if udp, ok := t.socket.(*net.UDPConn); ok {
		enlarge(udp)
		if t.c.Transport == "dtls" {
			t.conn, err = securePackets(ctx, udp, t.c)
		}
	} else {
		if t.c.Transport == "tls" {
			t.conn, err = secureStream(ctx, t.socket, t.c)
		}
		size := streamBuffer
		if t.c.ConnectOnly {
			size = answerBuffer
		}
		t.r = bufio.NewReaderSize(t.conn, size)
	}
	if err != nil {
		_ = t.socket.Close() // the error is that of the handshake
	}
	return err
}

// enlarge asks for larger buffers. Smaller ones cost packets under load, not correctness.
func enlarge(conn *net.UDPConn) {
	_ = conn.SetReadBuffer(socketBuffer)
	_ = conn.SetWriteBuffer(socketBuffer)
}

// end makes the client's end of the data path.
func (t *client) end(s shape) (endpoint, error) {
	if err := t.conn.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	switch conn := t.conn.(type) {
	case *net.UDPConn:
		return newPacketEnd(conn, s)
	case *dtls.Conn:
		return newPortableEnd(conn, s), nil
	}
	return newStreamEnd(t.conn, t.r, s), nil
}

// allocate takes a relayed address.
func (t *client) allocate(ctx context.Context) error {
	const udp = 17
	m, err := t.request(ctx, stun.MethodAllocate, stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{udp, 0, 0, 0}})
	if err != nil {
		return fmt.Errorf("allocate: %w", err)
	}
	var relayed stun.XORMappedAddress
	if err := relayed.GetFromAs(m, stun.AttrXORRelayedAddress); err != nil {
		return fmt.Errorf("allocate: the answer has no relayed address: %w", err)
	}
	ip, _ := netip.AddrFromSlice(relayed.IP)
	address := netip.AddrPortFrom(ip.Unmap(), uint16(relayed.Port))
	if err := t.c.mayLoad(address); err != nil {
		return fmt.Errorf("allocate: %w", err)
	}
	t.relayed = address
	return nil
}

// bind binds the channel to a peer.
func (t *client) bind(ctx context.Context, peer netip.AddrPort) error {
	address := stun.XORMappedAddress{IP: peer.Addr().AsSlice(), Port: int(peer.Port())}
	number := stun.RawAttribute{Type: stun.AttrChannelNumber, Value: binary.BigEndian.AppendUint32(nil, channel<<16)}
	_, err := t.requestWith(ctx, stun.MethodChannelBind, func(m *stun.Message) error {
		return errors.Join(number.AddTo(m), address.AddToAs(m, stun.AttrXORPeerAddress))
	})
	if err != nil {
		return fmt.Errorf("bind a channel to %v: %w", peer, err)
	}
	return nil
}

// release gives the allocation back.
func (t *client) release(ctx context.Context) error {
	_, err := t.request(ctx, stun.MethodRefresh, stun.RawAttribute{Type: stun.AttrLifetime, Value: make([]byte, 4)})
	return err
}

func (t *client) close() { _ = t.conn.Close() }

// closeWithin closes the connection, without a word to the server that does not read it before ctx ends.
func (t *client) closeWithin(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { _ = t.socket.Close() })
	defer stop()
	t.close()
}

// request sends a request with one attribute and returns the success response.
func (t *client) request(ctx context.Context, method stun.Method, attribute stun.RawAttribute) (*stun.Message, error) {
	return t.requestWith(ctx, method, attribute.AddTo)
}

// requestWith takes up the realm and the nonces that the server names (401 the first time, 438).
func (t *client) requestWith(ctx context.Context, method stun.Method, add func(*stun.Message) error) (*stun.Message, error) {
	for attempt := 0; ; attempt++ {
		m := stun.MustBuild(stun.TransactionID, stun.NewType(method, stun.ClassRequest))
		if err := errors.Join(add(m), t.sign(m)); err != nil {
			return nil, err
		}
		answer, err := t.roundTrip(ctx, m)
		if err != nil {
			return nil, t.c.explain(err)
		}
		if answer.Type.Class == stun.ClassSuccessResponse {
			return answer, t.verify(answer)
		}
		var code stun.ErrorCodeAttribute
		if err := code.GetFrom(answer); err != nil {
			return nil, fmt.Errorf("an error without a code: %w", err)
		}
		challenged := code.Code == stun.CodeStaleNonce || code.Code == stun.CodeUnauthorized && t.nonce == nil
		if !challenged || attempt > 2 {
			return nil, &refusal{int(code.Code), string(code.Reason)}
		}
		if err := answer.Parse(&t.realm, &t.nonce); err != nil {
			return nil, fmt.Errorf("a challenge without realm or nonce: %w", err)
		}
	}
}

// sign adds the credential, once the server has asked for it, and the fingerprint.
func (t *client) sign(m *stun.Message) error {
	if t.nonce != nil {
		m.Add(stun.AttrUsername, []byte(t.c.Username))
		m.Add(stun.AttrRealm, t.realm)
		m.Add(stun.AttrNonce, t.nonce)
		if err := stun.NewLongTermIntegrity(t.c.Username, t.realm.String(), t.c.Password).AddTo(m); err != nil {
			return err
		}
	}
	return stun.Fingerprint.AddTo(m)
}

// verify checks that a success response comes from somebody who knows the password (RFC 8489 section 9.2.5). A server that has asked
// for no credential has nothing to sign with.
func (t *client) verify(m *stun.Message) error {
	if t.nonce == nil {
		return nil
	}
	if err := stun.NewLongTermIntegrity(t.c.Username, t.realm.String(), t.c.Password).Check(m); err != nil {
		return fmt.Errorf("the answer is not signed with the password, so it is not from the server that knows it: %w", err)
	}
	return nil
}

// roundTrip sends a request, over UDP again and again, until its response arrives.
func (t *client) roundTrip(ctx context.Context, m *stun.Message) (*stun.Message, error) {
	stop := context.AfterFunc(ctx, func() { _ = t.conn.SetDeadline(longAgo) })
	defer stop()
	end := time.Now().Add(t.c.patience())
	for wait := firstWait; ; wait *= 2 {
		until := end
		if t.r == nil && time.Now().Add(wait).Before(end) {
			until = time.Now().Add(wait)
		}
		if err := t.conn.SetDeadline(until); err != nil {
			return nil, err
		}
		if ctx.Err() != nil { // its deadline may have come before ours
			return nil, context.Cause(ctx)
		}
		if _, err := t.conn.Write(m.Raw); err != nil {
			return nil, err
		}
		answer, err := t.receive(m.TransactionID)
		var timeout net.Error
		late := errors.As(err, &timeout) && timeout.Timeout()
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case late && until == end:
			return nil, t.c.unanswered()
		case !late:
			return answer, err
		}
	}
}

// receive reads until the response with that transaction ID.
func (t *client) receive(id [stun.TransactionIDSize]byte) (*stun.Message, error) {
	buf := make([]byte, answerBuffer)
	for {
		b, err := t.readMessage(buf)
		if err != nil {
			return nil, err
		}
		m := &stun.Message{Raw: append([]byte(nil), b...)}
		if m.Decode() == nil && m.TransactionID == id {
			return m, nil
		}
	}
}

// readMessage reads one STUN message; before the data path is open a stream carries nothing else.
func (t *client) readMessage(buf []byte) ([]byte, error) {
	if t.r == nil {
		n, err := t.conn.Read(buf)
		return buf[:n], err
	}
	const stunHeader = 20
	if _, err := io.ReadFull(t.r, buf[:stunHeader]); err != nil {
		return nil, err
	}
	n := stunHeader + int(binary.BigEndian.Uint16(buf[2:]))
	if buf[0]>>6 != 0 || n > len(buf) {
		return nil, errors.New("the server does not speak STUN")
	}
	_, err := io.ReadFull(t.r, buf[stunHeader:n])
	return buf[:n], err
}

// refusal is an error response. It says what to do about it.
type refusal struct {
	code   int
	reason string
}

func (e *refusal) Error() string {
	text := fmt.Sprintf("the server answers %d %s", e.code, e.reason)
	if what, ok := remedies[e.code]; ok {
		text += ": " + what
	}
	return text
}

var remedies = map[int]string{
	401: "it does not accept the credential; give it its shared secret, or a valid username and password",
	403: "it must be allowed to relay to this address (turn.allow_peers of maitred, allow-loopback-peers or allowed-peer-ip of coturn)",
	486: "a quota is reached; raise it (turn.quota of maitred, user-quota and total-quota of coturn) or use fewer sessions",
	508: "it has no relay port left; give it more ports and file descriptors or use fewer sessions",
}
