package turn

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/maitred/maitred/pkg/credential"
	"github.com/maitred/maitred/pkg/ingress"
	"github.com/maitred/maitred/pkg/relay"
	"github.com/pion/dtls/v3"
	"github.com/pion/stun"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

var loopback = netip.MustParseAddr("127.0.0.1")

// testServer is a running server on loopback whose relay reaches loopback.
type testServer struct {
	*Server
	authority *credential.Authority
	log       *logBuffer
}

// start runs a server until the test ends. change edits the configuration before.
func start(t *testing.T, change func(*Config)) *testServer {
	t.Helper()
	return startWith(t, change, func(*Server) {})
}

// startWith also edits the server before it runs.
func startWith(t *testing.T, change func(*Config), edit func(*Server)) *testServer {
	t.Helper()
	authority, err := credential.New("maitred", []string{"first", "second"})
	if err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	config := Config{UDP: "127.0.0.1:0", TCP: "127.0.0.1:0", TLS: "127.0.0.1:0", DTLS: "127.0.0.1:0", TLSConfig: serverTLS(t), HandshakeTimeout: patience, DTLSHandshakes: 16, External: []netip.Addr{loopback}, RelayPorts: relay.PortRange{Min: 20000, Max: 29999},
		Authority: authority, Peers: Peers{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}},
		PeersPerAllocation: 16, StreamQueue: 256 << 10, IdleTimeout: 30 * time.Second, Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if change != nil {
		change(&config)
	}
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	edit(s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("the server ended with %v", err)
			}
		case <-time.After(patience):
			t.Error("the server did not stop")
		}
		if t.Failed() {
			t.Logf("server log:\n%s", log)
		}
	})
	return &testServer{s, authority, log}
}

// serverTLS has a fresh certificate.
func serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"relay.test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: ingress.TURNProtocols,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil }}
}

// client is a TURN client that sends whatever the test wants, over any transport.
type client struct {
	t        *testing.T
	conn     net.Conn
	stream   bool
	username string
	key      []byte
	realm    string
	nonce    string
	relayed  netip.AddrPort
}

// dial makes a client with a fresh credential.
func (s *testServer) dial(t *testing.T, network string) *client {
	t.Helper()
	c := s.authority.Mint("", time.Hour)
	return s.dialAs(t, network, c.Username, c.Password)
}

func (s *testServer) dialAs(t *testing.T, network, username, password string) *client {
	t.Helper()
	conn := s.connect(t, network)
	t.Cleanup(func() { conn.Close() })
	return &client{t: t, conn: conn, stream: network == "tcp" || network == "tls", username: username, key: credential.Key(username, "maitred", password), realm: "maitred"}
}

func (s *testServer) connect(t *testing.T, network string) net.Conn {
	t.Helper()
	addr, ok := map[string]func() (netip.AddrPort, bool){"udp": s.UDPAddr, "tcp": s.TCPAddr, "tls": s.TLSAddr, "dtls": s.DTLSAddr}[network]()
	if !ok {
		t.Fatalf("no %s listener", network)
	}
	var conn net.Conn
	var err error
	switch network {
	case "tls": // the server's certificate is not what these tests are about
		conn, err = tls.Dial("tcp", addr.String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"stun.turn"}})
	case "dtls":
		var socket *net.UDPConn
		var d *dtls.Conn
		if socket, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err == nil {
			d, err = dtls.ClientWithOptions(socket, net.UDPAddrFromAddrPort(addr), dtls.WithInsecureSkipVerify(true))
		}
		if err == nil {
			err = d.HandshakeContext(t.Context())
			conn = d
		}
	default:
		conn, err = net.Dial(network, addr.String())
	}
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// attr is one raw attribute.
func attr(t stun.AttrType, value ...byte) stun.RawAttribute {
	return stun.RawAttribute{Type: t, Value: value}
}

var overUDP = attr(stun.AttrRequestedTransport, 17, 0, 0, 0)

// build makes a request; a nil key leaves it unsigned.
func (c *client) build(method stun.Method, key []byte, attributes ...stun.RawAttribute) *stun.Message {
	m := stun.MustBuild(stun.TransactionID, stun.NewType(method, stun.ClassRequest))
	for _, a := range attributes {
		m.Add(a.Type, a.Value)
	}
	if key != nil {
		m.Add(stun.AttrUsername, []byte(c.username))
		m.Add(stun.AttrRealm, []byte(c.realm))
		m.Add(stun.AttrNonce, []byte(c.nonce))
		if err := stun.MessageIntegrity(key).AddTo(m); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := stun.Fingerprint.AddTo(m); err != nil {
		c.t.Fatal(err)
	}
	return m
}

func (c *client) send(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// receive returns the next whole message.
func (c *client) receive() []byte {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 70000)
	if !c.stream {
		n, err := c.conn.Read(buf)
		if err != nil {
			c.t.Fatalf("no answer: %v", err)
		}
		return buf[:n]
	}
	if _, err := io.ReadFull(c.conn, buf[:4]); err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	size, padded, err := frameSize(buf)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.ReadFull(c.conn, buf[4:padded]); err != nil {
		c.t.Fatal(err)
	}
	return buf[:size]
}

// exchange sends m and returns the response, whose form it checks (RFC 8489 sections 6.3.3, 14.7 and 14.14).
func (c *client) exchange(m *stun.Message) *stun.Message {
	c.t.Helper()
	c.send(m.Raw)
	r := &stun.Message{Raw: bytes.Clone(c.receive())}
	if err := r.Decode(); err != nil {
		c.t.Fatalf("the response does not parse: %v", err)
	}
	if r.TransactionID != m.TransactionID || r.Type.Method != m.Type.Method {
		c.t.Fatalf("got %v, want the response to %v", r, m)
	}
	if err := stun.Fingerprint.Check(r); err != nil {
		c.t.Errorf("FINGERPRINT of %v: %v", r, err)
	}
	if software, err := r.Get(stun.AttrSoftware); err != nil || string(software) != "maitred" {
		c.t.Errorf("SOFTWARE of %v: %q, %v", r, software, err)
	}
	return r
}

// challenge takes realm and nonce from a 401.
func (c *client) challenge() {
	c.t.Helper()
	r := c.exchange(c.build(stun.MethodAllocate, nil, overUDP))
	c.wantCode(r, 401)
	var realm stun.Realm
	var nonce stun.Nonce
	if err := r.Parse(&realm, &nonce); err != nil {
		c.t.Fatalf("a 401 without realm or nonce: %v", err)
	}
	if realm.String() != "maitred" {
		c.t.Errorf("realm %q", realm)
	}
	c.nonce = nonce.String()
}

// request sends a signed request.
func (c *client) request(method stun.Method, attributes ...stun.RawAttribute) *stun.Message {
	c.t.Helper()
	if c.nonce == "" {
		c.challenge()
	}
	return c.exchange(c.build(method, c.key, attributes...))
}

// allocate makes an allocation and returns its response.
func (c *client) allocate(attributes ...stun.RawAttribute) *stun.Message {
	c.t.Helper()
	r := c.request(stun.MethodAllocate, append([]stun.RawAttribute{overUDP}, attributes...)...)
	c.wantCode(r, 0)
	var x stun.XORMappedAddress
	if err := x.GetFromAs(r, stun.AttrXORRelayedAddress); err != nil {
		c.t.Fatal(err)
	}
	ip, _ := netip.AddrFromSlice(x.IP)
	c.relayed = netip.AddrPortFrom(ip.Unmap(), uint16(x.Port))
	return r
}

// code is 0 for a success.
func code(r *stun.Message) int {
	if r.Type.Class == stun.ClassSuccessResponse {
		return 0
	}
	var e stun.ErrorCodeAttribute
	if e.GetFrom(r) != nil {
		return -1
	}
	return int(e.Code)
}

func (c *client) wantCode(r *stun.Message, want int) {
	c.t.Helper()
	if got := code(r); got != want {
		c.t.Fatalf("code %d, want %d, in %v", got, want, r)
	}
	// Everything after the credential was accepted is signed, a challenge is not (RFC 8489 section 9.2.4).
	signed := stun.MessageIntegrity(c.key).Check(r) == nil
	if challenge := want == 401 || want == 438; want != 400 && signed == challenge {
		c.t.Errorf("signed: %v, in %v", signed, r)
	}
}

// peer is an XOR-PEER-ADDRESS. IPv4 values do not depend on the transaction ID; for IPv6 the test builds the message itself.
func peer(a netip.AddrPort) stun.RawAttribute {
	return attr(stun.AttrXORPeerAddress, relay.XORAddress(a, make([]byte, 12))...)
}

func channelNumber(n uint16) stun.RawAttribute {
	return attr(stun.AttrChannelNumber, byte(n>>8), byte(n), 0, 0)
}

func (c *client) permit(to netip.AddrPort) {
	c.t.Helper()
	c.wantCode(c.request(stun.MethodCreatePermission, peer(to)), 0)
}

func (c *client) bind(n uint16, to netip.AddrPort) {
	c.t.Helper()
	c.wantCode(c.request(stun.MethodChannelBind, channelNumber(n), peer(to)), 0)
}

// sendChannel sends ChannelData, padded where the transport needs it.
func (c *client) sendChannel(n uint16, payload []byte) {
	c.t.Helper()
	b := binary.BigEndian.AppendUint16(nil, n)
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	b = append(b, payload...)
	for c.stream && len(b)%4 != 0 {
		b = append(b, 0)
	}
	c.send(b)
}

func (c *client) sendIndication(to netip.AddrPort, payload []byte) {
	c.t.Helper()
	m := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication))
	m.Add(stun.AttrXORPeerAddress, relay.XORAddress(to, m.TransactionID[:]))
	m.Add(stun.AttrData, payload)
	c.send(m.Raw)
}

func (c *client) wantChannel(n uint16, payload []byte) {
	c.t.Helper()
	b := c.receive()
	if len(b) < 4 || binary.BigEndian.Uint16(b) != n || !bytes.Equal(b[4:], payload) {
		c.t.Fatalf("got %d bytes that begin with %x, want channel %#x with %d bytes", len(b), b[:min(8, len(b))], n, len(payload))
	}
}

func (c *client) wantData(from netip.AddrPort, payload []byte) {
	c.t.Helper()
	m := &stun.Message{Raw: bytes.Clone(c.receive())}
	if err := m.Decode(); err != nil || m.Type != stun.NewType(stun.MethodData, stun.ClassIndication) {
		c.t.Fatalf("got %v (%v), want a Data indication", m, err)
	}
	data, _ := m.Get(stun.AttrData)
	v, _ := m.Get(stun.AttrXORPeerAddress)
	if a, ok := relay.ParseXORAddress(v, m.TransactionID[:]); !ok || a != from || !bytes.Equal(data, payload) {
		c.t.Fatalf("Data indication from %v with %d bytes, want %v with %d", a, len(data), from, len(payload))
	}
}

// remote is a peer: an ordinary UDP socket.
func remote(t *testing.T, ip string) (*net.UDPConn, netip.AddrPort) {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(patience))
	return c, c.LocalAddr().(*net.UDPAddr).AddrPort()
}

func wantDatagram(t *testing.T, c *net.UDPConn, from netip.AddrPort, payload []byte) {
	t.Helper()
	buf := make([]byte, 70000)
	n, addr, err := c.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatal(err)
	}
	if addr != from || !bytes.Equal(buf[:n], payload) {
		t.Fatalf("got %d bytes from %v, want %d from %v", n, addr, len(payload), from)
	}
}
