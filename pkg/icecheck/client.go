package icecheck

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"
	"github.com/pion/stun"
)

// client exchanges requests and responses with one server.
type client struct {
	conn    net.Conn
	stream  *bufio.Reader // nil over UDP and DTLS
	packet  []byte        // of UDP and DTLS: what was read last
	channel uint16        // bound, else 0: ChannelData of others is no answer of a TURN server
	stop    func() bool
}

// auth is the long-term credential with what the server's challenges added to it.
type auth struct {
	username, password string
	realm              stun.Realm
	nonce              stun.Nonce
}

// dial connects. The connection breaks off when ctx ends.
func dial(ctx context.Context, u serverURL, config *tls.Config) (*client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, u.network, net.JoinHostPort(u.host, u.port))
	if err != nil {
		return nil, err
	}
	if u.tls {
		if conn, err = encrypt(ctx, u, conn, config); err != nil {
			return nil, err
		}
	}
	c := &client{conn: conn}
	if u.network == "tcp" {
		c.stream = bufio.NewReaderSize(conn, maxMessage)
	} else {
		c.packet = make([]byte, maxMessage)
	}
	c.stop = context.AfterFunc(ctx, func() { c.conn.Close() })
	return c, nil
}

// encrypt speaks TLS or, over UDP, DTLS on conn, and closes it when that fails.
func encrypt(ctx context.Context, u serverURL, conn net.Conn, config *tls.Config) (net.Conn, error) {
	if config == nil {
		config = &tls.Config{}
	}
	config = config.Clone()
	if config.ServerName == "" {
		config.ServerName = u.host
	}
	config.MinVersion, config.NextProtos = tls.VersionTLS12, []string{"stun.turn"}
	if u.network == "udp" {
		return encryptDatagrams(ctx, conn.(*net.UDPConn), config)
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS: %w", explained(err)), conn.Close())
	}
	return secure, nil
}

// explained says what the one alert mostly means that servers send for trouble of their own.
func explained(err error) error {
	const internalError = 80 // RFC 8446 section 6
	var alert tls.AlertError
	if errors.As(err, &alert) && alert == internalError {
		return fmt.Errorf("%w: the server has no certificate, perhaps not yet; its log says why", err)
	}
	return err
}

func encryptDatagrams(ctx context.Context, conn *net.UDPConn, config *tls.Config) (net.Conn, error) {
	secure, err := dtls.ClientWithOptions(connected{conn}, conn.RemoteAddr(), dtls.WithServerName(config.ServerName), dtls.WithInsecureSkipVerify(config.InsecureSkipVerify),
		dtls.WithRootCAs(config.RootCAs), dtls.WithExtendedMasterSecret(dtls.RequestExtendedMasterSecret),
		dtls.WithLoggerFactory(&logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("DTLS: %w", err), conn.Close())
	}
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("DTLS: %w", err), secure.Close())
	}
	return secure, nil
}

// connected is a connected socket as the net.PacketConn that DTLS wants.
type connected struct{ *net.UDPConn }

// WriteTo implements net.PacketConn: there is one to write to.
func (c connected) WriteTo(b []byte, _ net.Addr) (int, error) { return c.Write(b) }

func (c *client) close() {
	c.stop()
	c.conn.Close()
}

// exchange sends a request, with a credential if a is not nil, and returns the success response. Fresh nonces are taken up
// (438, and the first 401). Error responses come back as *CodeError.
func (c *client) exchange(ctx context.Context, method stun.Method, a *auth, attributes ...stun.Setter) (*stun.Message, error) {
	for attempt := 0; ; attempt++ {
		m, err := request(method, a, attributes)
		if err != nil {
			return nil, err
		}
		response, err := c.roundTrip(ctx, m)
		if err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return nil, err
		}
		if response.Type.Class == stun.ClassSuccessResponse {
			return response, nil
		}
		var code stun.ErrorCodeAttribute
		if err := code.GetFrom(response); err != nil {
			return nil, fmt.Errorf("an error response without a code: %w", err)
		}
		challenged := code.Code == stun.CodeStaleNonce || code.Code == stun.CodeUnauthorized && a != nil && a.nonce == nil
		if !challenged || a == nil || attempt > 2 {
			return nil, &CodeError{int(code.Code), string(code.Reason)}
		}
		if err := response.Parse(&a.realm, &a.nonce); err != nil {
			return nil, fmt.Errorf("a challenge without realm or nonce: %w", err)
		}
	}
}

func request(method stun.Method, a *auth, attributes []stun.Setter) (*stun.Message, error) {
	m, err := stun.Build(append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attributes...)...)
	if err != nil {
		return nil, fmt.Errorf("the request cannot be written: %w", err)
	}
	if a != nil && a.nonce != nil {
		m.Add(stun.AttrUsername, []byte(a.username))
		m.Add(stun.AttrRealm, a.realm)
		m.Add(stun.AttrNonce, a.nonce)
		key := stun.NewLongTermIntegrity(a.username, a.realm.String(), a.password)
		_ = key.AddTo(m) // fails only behind a FINGERPRINT
	}
	_ = stun.Fingerprint.AddTo(m) // only computes
	return m, nil
}

// peerAddress is an XOR-PEER-ADDRESS (RFC 8656 section 18.3).
type peerAddress netip.AddrPort

// AddTo implements stun.Setter.
func (p peerAddress) AddTo(m *stun.Message) error {
	a := netip.AddrPort(p)
	return stun.XORMappedAddress{IP: a.Addr().AsSlice(), Port: int(a.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
}

// firstWait is the first retransmission interval over UDP; it doubles (RFC 8489 section 6.2.1).
const firstWait = 500 * time.Millisecond

// roundTrip sends the request, over UDP again and again, until its response arrives.
func (c *client) roundTrip(ctx context.Context, m *stun.Message) (*stun.Message, error) {
	for wait := firstWait; ; wait *= 2 {
		if _, err := c.conn.Write(m.Raw); err != nil {
			return nil, err
		}
		if c.stream == nil {
			if err := c.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
				return nil, err
			}
		}
		response, err := c.receive(m.TransactionID)
		if c.stream != nil || ctx.Err() != nil || !timedOut(err) {
			return response, err
		}
	}
}

// timedOut tells that a read deadline has passed. DTLS has another error for it than sockets.
func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// receive reads until the response with that transaction ID.
func (c *client) receive(id [stun.TransactionIDSize]byte) (*stun.Message, error) {
	for {
		b, err := c.readMessage()
		if err != nil {
			return nil, err
		}
		m := &stun.Message{Raw: append([]byte(nil), b...)}
		if m.Decode() == nil && m.TransactionID == id {
			return m, nil
		}
	}
}

const (
	stunHeader    = 20
	channelHeader = 4
	maxMessage    = stunHeader + 1<<16 // bytes: what the length fields can say
)

// readMessage returns the next STUN message or ChannelData message, good until the next call. What a read that timed out has read of a stream is
// there for the next one.
func (c *client) readMessage() ([]byte, error) {
	if c.stream == nil {
		n, err := c.conn.Read(c.packet)
		return c.packet[:n], err
	}
	head, err := c.stream.Peek(channelHeader)
	if err != nil {
		return nil, ended(head, err)
	}
	n, padded := int(binary.BigEndian.Uint16(head[2:])), 0
	switch {
	case head[0]>>6 == 0:
		n += stunHeader
		padded = n
	case c.channel != 0 && binary.BigEndian.Uint16(head) == c.channel:
		n += channelHeader
		padded = (n + 3) &^ 3 // RFC 8656 section 12.5
	default:
		return nil, errors.New("the server does not speak STUN")
	}
	b, err := c.stream.Peek(padded)
	if err != nil {
		return nil, ended(b, err)
	}
	_, err = c.stream.Discard(padded) // it is there
	return b[:n], err
}

// ended tells the end of a stream inside a message from the one between messages.
func ended(read []byte, err error) error {
	if errors.Is(err, io.EOF) && len(read) > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}
