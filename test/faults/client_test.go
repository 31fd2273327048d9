//go:build linux

package faults

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/pion/stun"
)

const (
	secret = "known-to-the-tests-as-well"

	// patience is how long something may take that must happen.
	patience = 15 * time.Second
	// repeat is when something that may have been lost is sent once more.
	repeat = 250 * time.Millisecond
)

// client is a TURN client over UDP or TCP that repeats over UDP what is lost.
type client struct {
	t        testing.TB
	conn     net.Conn
	stream   bool
	username string
	password string
	key      []byte
	realm    stun.Realm
	nonce    stun.Nonce
	relayed  netip.AddrPort

	arrived chan []byte // whole messages; closed when the connection has ended
	media   [][]byte    // arrived while a response was awaited
}

// credential follows the TURN REST convention.
func credential(user string) (username, password string) {
	username = strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10) + ":" + user
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(username))
	return username, base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// newClient takes conn over.
func newClient(t testing.TB, conn net.Conn, user string) *client {
	t.Helper()
	c := &client{t: t, conn: conn, stream: conn.LocalAddr().Network() == "tcp", arrived: make(chan []byte, 64)}
	c.username, c.password = credential(user)
	quit := make(chan struct{})
	go c.read(quit)
	t.Cleanup(func() {
		close(quit)
		conn.Close()
		for range c.arrived { // until read has ended
		}
	})
	return c
}

// dial connects from this machine.
func dial(t testing.TB, network, address string) *client {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, conn, "user")
}

func (c *client) read(quit chan struct{}) {
	defer close(c.arrived)
	stream := bufio.NewReader(c.conn)
	buf := make([]byte, 1<<17)
	for {
		n, err := 0, error(nil)
		if c.stream {
			n, err = readFrame(stream, buf)
		} else {
			n, err = c.conn.Read(buf)
		}
		if err != nil {
			if !c.stream && !errors.Is(err, net.ErrClosed) {
				continue // ICMP that an earlier datagram met
			}
			return
		}
		select {
		case c.arrived <- bytes.Clone(buf[:n]):
		case <-quit:
			return
		}
	}
}

// readFrame reads one message off a stream and returns its length.
func readFrame(r io.Reader, buf []byte) (int, error) {
	if _, err := io.ReadFull(r, buf[:4]); err != nil {
		return 0, err
	}
	size := 4 + int(binary.BigEndian.Uint16(buf[2:]))
	if buf[0]>>6 == 0 {
		size += 16
	}
	_, err := io.ReadFull(r, buf[4:(size+3)&^3])
	return size, err
}

// receive returns the next message, nil when none comes in time.
func (c *client) receive(limit time.Duration) []byte {
	c.t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case b, ok := <-c.arrived:
		if !ok {
			c.t.Fatalf("the server closed the connection of %v", c.conn.LocalAddr())
		}
		return b
	case <-timer.C:
		return nil
	}
}

func (c *client) send(b []byte) {
	c.t.Helper()
	_, err := c.conn.Write(b)
	if err != nil && !c.stream {
		_, err = c.conn.Write(b) // what failed is what an earlier datagram met
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// build makes a request, signed when there is a nonce.
func (c *client) build(method stun.Method, attributes ...stun.Setter) *stun.Message {
	c.t.Helper()
	all := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attributes...)
	if len(c.nonce) > 0 {
		all = append(all, stun.NewUsername(c.username), c.realm, c.nonce, stun.MessageIntegrity(c.key))
	}
	m, err := stun.Build(append(all, stun.Fingerprint)...)
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

// exchange sends a request until its response is there.
func (c *client) exchange(m *stun.Message) *stun.Message {
	c.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		c.send(m.Raw)
		wait := repeat
		if c.stream {
			wait = patience
		}
		for next := time.Now().Add(wait); ; {
			b := c.receive(time.Until(next))
			if b == nil {
				break
			}
			response := &stun.Message{Raw: b}
			if !stun.IsMessage(b) || response.Decode() != nil || response.TransactionID != m.TransactionID {
				if isMedia(b) {
					c.media = append(c.media, b)
				}
				continue
			}
			return response
		}
	}
	c.t.Fatalf("no answer to %v", m)
	return nil
}

// isMedia tells whether b is ChannelData or a Data indication.
func isMedia(b []byte) bool { return len(b) > 3 && (b[0]>>6 == 1 || b[0] == 0 && b[1] == 0x17) }

// request returns the response's error code, 0 for success.
func (c *client) request(method stun.Method, attributes ...stun.Setter) int {
	c.t.Helper()
	code, _ := c.requestMessage(method, attributes...)
	return code
}

func (c *client) requestMessage(method stun.Method, attributes ...stun.Setter) (int, *stun.Message) {
	c.t.Helper()
	if len(c.nonce) == 0 {
		challenge := c.exchange(c.build(stun.MethodAllocate, overUDP))
		if err := challenge.Parse(&c.realm, &c.nonce); err != nil {
			c.t.Fatalf("no challenge: %v: %v", challenge, err)
		}
		c.key = stun.NewLongTermIntegrity(c.username, c.realm.String(), c.password)
	}
	response := c.exchange(c.build(method, attributes...))
	if response.Type.Class == stun.ClassSuccessResponse {
		return 0, response
	}
	var code stun.ErrorCodeAttribute
	if err := code.GetFrom(response); err != nil {
		c.t.Fatalf("neither success nor an error: %v: %v", response, err)
	}
	return int(code.Code), response
}

var overUDP = stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}

// overIPv6 asks for a relayed address of that family.
var overIPv6 = stun.RawAttribute{Type: stun.AttrRequestedAddressFamily, Value: []byte{2, 0, 0, 0}}

// allocate makes an allocation.
func (c *client) allocate(attributes ...stun.Setter) *client {
	c.t.Helper()
	code, response := c.requestMessage(stun.MethodAllocate, append([]stun.Setter{overUDP}, attributes...)...)
	if code != 0 {
		c.t.Fatalf("Allocate: %d", code)
	}
	var x stun.XORMappedAddress
	if err := x.GetFromAs(response, stun.AttrXORRelayedAddress); err != nil {
		c.t.Fatal(err)
	}
	ip, _ := netip.AddrFromSlice(x.IP)
	c.relayed = netip.AddrPortFrom(ip.Unmap(), uint16(x.Port))
	return c
}

// lifetime is a LIFETIME attribute; with 0 a Refresh ends the allocation.
func lifetime(seconds byte) stun.RawAttribute {
	return stun.RawAttribute{Type: stun.AttrLifetime, Value: []byte{0, 0, 0, seconds}}
}

// peer is an XOR-PEER-ADDRESS.
type peer netip.AddrPort

// AddTo implements stun.Setter.
func (p peer) AddTo(m *stun.Message) error {
	a := netip.AddrPort(p)
	return stun.XORMappedAddress{IP: a.Addr().AsSlice(), Port: int(a.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
}

func channelNumber(n uint16) stun.RawAttribute {
	return stun.RawAttribute{Type: stun.AttrChannelNumber, Value: []byte{byte(n >> 8), byte(n), 0, 0}}
}

func (c *client) permit(to netip.AddrPort) {
	c.t.Helper()
	if code := c.request(stun.MethodCreatePermission, peer(to)); code != 0 {
		c.t.Fatalf("CreatePermission for %v: %d", to, code)
	}
}

func (c *client) bind(n uint16, to netip.AddrPort) {
	c.t.Helper()
	if code := c.request(stun.MethodChannelBind, channelNumber(n), peer(to)); code != 0 {
		c.t.Fatalf("ChannelBind to %v: %d", to, code)
	}
}

// channelData is a message of that channel, padded as streams want it.
func channelData(n uint16, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, n)
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	b = append(b, payload...)
	return append(b, make([]byte, -len(b)&3)...)
}

// indication is a Send indication.
func indication(to netip.AddrPort, payload []byte) []byte {
	data := stun.RawAttribute{Type: stun.AttrData, Value: payload}
	return stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), peer(to), data).Raw
}

// payloadOf is what a ChannelData message or Data indication carries, nil for
// anything else.
func payloadOf(b []byte) []byte {
	if !isMedia(b) {
		return nil
	}
	if b[0]>>6 == 1 {
		return b[4 : 4+binary.BigEndian.Uint16(b[2:])]
	}
	m := &stun.Message{Raw: b}
	if m.Decode() != nil {
		return nil
	}
	data, err := m.Get(stun.AttrData)
	if err != nil {
		return nil
	}
	return data
}

// payload returns the next media, nil when none comes in time.
func (c *client) payload(limit time.Duration) []byte {
	c.t.Helper()
	if len(c.media) > 0 {
		b := c.media[0]
		c.media = c.media[1:]
		return payloadOf(b)
	}
	for end := time.Now().Add(limit); ; {
		b := c.receive(time.Until(end))
		if b == nil {
			return nil
		}
		if p := payloadOf(b); p != nil {
			return p
		}
	}
}

// delivers repeats send until to gets payload: a packet may be lost, a call not.
func delivers(t testing.TB, what string, send func(), to func(time.Duration) []byte, payload []byte) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		send()
		for next := time.Now().Add(repeat); ; {
			got := to(time.Until(next))
			if got == nil {
				break
			}
			if bytes.Equal(got, payload) {
				return
			}
		}
	}
	t.Fatalf("%s: a packet never arrived, however often it was sent", what)
}

// socket is an ordinary UDP socket, as a peer has it.
type socket struct {
	t testing.TB
	*net.UDPConn
	addr netip.AddrPort
}

func newSocket(t testing.TB, c *net.UDPConn) *socket {
	t.Cleanup(func() { c.Close() })
	return &socket{t, c, c.LocalAddr().(*net.UDPAddr).AddrPort()}
}

// listen opens a socket on this machine.
func listen(t testing.TB, ip string) *socket {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)})
	if err != nil {
		t.Fatal(err)
	}
	return newSocket(t, c)
}

// payload returns the next datagram, nil when none comes in time.
func (s *socket) payload(limit time.Duration) []byte {
	s.t.Helper()
	buf := make([]byte, 65536)
	if err := s.SetReadDeadline(time.Now().Add(limit)); err != nil {
		s.t.Fatal(err)
	}
	for {
		n, _, err := s.ReadFromUDPAddrPort(buf)
		switch ne := net.Error(nil); {
		case err == nil:
			return buf[:n]
		case errors.As(err, &ne) && ne.Timeout():
			return nil
		case errors.Is(err, net.ErrClosed):
			s.t.Fatal(err)
		}
	}
}

func (s *socket) sendTo(to netip.AddrPort, b []byte) {
	s.t.Helper()
	if _, err := s.WriteToUDPAddrPort(b, to); err != nil {
		s.t.Fatal(err)
	}
}
