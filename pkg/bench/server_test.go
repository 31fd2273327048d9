package bench

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/stun"
)

const (
	fakeRealm    = "example.com"
	fakeUser     = "bench"
	fakePassword = "the password"
)

// answers says what a fake server replies to a request. After nil it reads a stream no further.
type answers func(*stun.Message) *stun.Message

// fakeServer listens on loopback until the test ends.
func fakeServer(t *testing.T, transport string, answer answers) *Config {
	t.Helper()
	c := &Config{Transport: transport, Username: fakeUser, Password: fakePassword, Sessions: 1}
	if transport != "udp" {
		c.Server = answer.overConnections(t, transport)
		return c
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	c.Server = conn.LocalAddr().(*net.UDPAddr).AddrPort()
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { conn.Close() })
	serving.Go(func() { answer.serve(&replying{UDPConn: conn}, nil) })
	return c
}

func (a answers) overConnections(t *testing.T, transport string) netip.AddrPort {
	l := listen(t, transport)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(t.Context(), func() { conn.Close() })()
				if transport == "dtls" {
					a.serve(conn, nil)
				} else {
					a.serve(conn, bufio.NewReader(conn))
				}
				<-t.Context().Done() // stays open, unread
			})
		}
	})
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { l.Close() })
	return netip.MustParseAddrPort(l.Addr().String())
}

func listen(t *testing.T, transport string) (l net.Listener) {
	t.Helper()
	var err error
	switch transport {
	case "tls":
		l, err = tls.Listen("tcp4", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate()}, NextProtos: []string{applicationProtocol}})
	case "dtls":
		l, err = dtls.ListenWithOptions("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, dtls.WithCertificates(certificate()))
	default:
		l, err = net.Listen("tcp4", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// certificate is one that nobody trusts.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// serve ends when the connection does, or at something else than a STUN message.
func (a answers) serve(conn net.Conn, stream *bufio.Reader) {
	from := &client{conn: conn, r: stream}
	for buf := make([]byte, 2048); ; {
		b, err := from.readMessage(buf)
		m := &stun.Message{Raw: append([]byte(nil), b...)}
		if err != nil || m.Decode() != nil {
			return
		}
		reply := a(m)
		if reply != nil {
			_, err = conn.Write(reply.Raw)
		}
		if err != nil || reply == nil && stream != nil {
			return
		}
	}
}

// replying answers whoever sent last.
type replying struct {
	*net.UDPConn
	last netip.AddrPort
}

func (c *replying) Read(b []byte) (n int, err error) {
	n, c.last, err = c.ReadFromUDPAddrPort(b)
	return n, err
}

func (c *replying) Write(b []byte) (int, error) { return c.WriteToUDPAddrPort(b, c.last) }

// challenge refuses a request with what the client needs to sign one.
func challenge(m *stun.Message) *stun.Message {
	return stun.MustBuild(stun.NewTransactionIDSetter(m.TransactionID), stun.NewType(m.Type.Method, stun.ClassErrorResponse),
		stun.ErrorCodeAttribute{Code: stun.CodeUnauthorized, Reason: []byte("Unauthorized")}, stun.NewRealm(fakeRealm), stun.NewNonce("nonce"))
}

// success grants a request; relayed and password are left out when they are not set.
func success(m *stun.Message, relayed netip.AddrPort, password string) *stun.Message {
	setters := []stun.Setter{stun.NewTransactionIDSetter(m.TransactionID), stun.NewType(m.Type.Method, stun.ClassSuccessResponse)}
	if relayed.IsValid() {
		setters = append(setters, setterFunc(func(m *stun.Message) error {
			return (&stun.XORMappedAddress{IP: relayed.Addr().AsSlice(), Port: int(relayed.Port())}).AddToAs(m, stun.AttrXORRelayedAddress)
		}))
	}
	if password != "" {
		setters = append(setters, stun.NewLongTermIntegrity(fakeUser, fakeRealm, password))
	}
	return stun.MustBuild(setters...)
}

type setterFunc func(*stun.Message) error

func (f setterFunc) AddTo(m *stun.Message) error { return f(m) }

// TestRelayedAddress is loaded only where the server itself could be, and only when the server knows the password.
func TestRelayedAddress(t *testing.T) {
	for _, tt := range []struct {
		name     string
		relayed  string
		password string
		remote   bool
		says     string // "" when all is well
	}{
		{"loopback", "127.0.0.1:50000", fakePassword, false, ""},
		{"private", "10.1.2.3:50000", fakePassword, false, ""},
		{"somebody else's", "203.0.113.5:50000", fakePassword, false, "the relayed address is 203.0.113.5:50000, and the load would go there"},
		{"somebody else's over IPv6", "[2001:db8::1]:50000", fakePassword, false, "add --remote"},
		{"mine", "203.0.113.5:50000", fakePassword, true, ""},
		{"nobody's", "0.0.0.0:50000", fakePassword, true, "turn.external_ip"},
		{"everybody's", "255.255.255.255:50000", fakePassword, true, "where nobody can be"},
		{"a group's", "224.0.0.1:50000", fakePassword, true, "where nobody can be"},
		{"without a port", "127.0.0.1:0", fakePassword, false, "where nobody can be"},
		{"not signed", "127.0.0.1:50000", "", false, "not signed with the password"},
		{"signed with another password", "127.0.0.1:50000", "another", false, "not signed with the password"},
	} {
		for _, transport := range Transports() {
			t.Run(tt.name+"/"+transport, func(t *testing.T) {
				c := fakeServer(t, transport, func(m *stun.Message) *stun.Message {
					if !m.Contains(stun.AttrMessageIntegrity) {
						return challenge(m)
					}
					return success(m, netip.MustParseAddrPort(tt.relayed), tt.password)
				})
				c.Remote = tt.remote
				err := probe(t.Context(), c)
				if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
					t.Errorf("%v, want %q", err, tt.says)
				}
			})
		}
	}
}

// TestRelayedAtServer is fine wherever the server is.
func TestRelayedAtServer(t *testing.T) {
	c := &Config{Server: netip.MustParseAddrPort("203.0.113.5:3478")}
	if err := c.mayLoad(netip.MustParseAddrPort("203.0.113.5:50000")); err != nil {
		t.Error(err)
	}
}

// clogged is a connection whose server has stopped to read: a write goes on until nothing more fits, and waits.
type clogged struct {
	net.Conn
	writing chan struct{} // closed with the first write; one goroutine writes
}

func (c *clogged) Write([]byte) (n int, err error) {
	if c.writing != nil {
		close(c.writing)
		c.writing = nil
	}
	for block := make([]byte, 1<<20); err == nil; {
		_, err = c.Conn.Write(block)
	}
	return 0, err
}

// TestFloodEnds although the server reads no more.
func TestFloodEnds(t *testing.T) {
	for _, transport := range []string{"tcp", "tls"} {
		t.Run(transport, func(t *testing.T) { floodEnds(t, transport) })
	}
}

func floodEnds(t *testing.T, transport string) {
	f, err := newFlood(t.Context(), fakeServer(t, transport, challenge))
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	writing := make(chan struct{})
	f.clients[0].conn = &clogged{f.clients[0].conn, writing} // the fake server stops at what is no STUN
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- f.run(ctx, 1000) }()
	<-writing
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		f.clients[0].close()
		<-ended
		t.Error("the end of the context does not end it")
	}
}

// TestGivesUp when the server has stopped to answer.
func TestGivesUp(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(*stun.Message) *stun.Message
	}{
		{"allocate", func(*stun.Message) *stun.Message { return nil }},
		{"bind a channel", func(m *stun.Message) *stun.Message {
			switch {
			case m.Type.Method == stun.MethodChannelBind:
				return nil
			case !m.Contains(stun.AttrMessageIntegrity):
				return challenge(m)
			}
			return success(m, netip.MustParseAddrPort("127.0.0.1:50000"), fakePassword)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			requests := map[[stun.TransactionIDSize]byte]bool{}
			var mu sync.Mutex
			c := fakeServer(t, "udp", func(m *stun.Message) *stun.Message {
				reply := tt.answer(m)
				if reply == nil {
					mu.Lock()
					defer mu.Unlock()
					requests[m.TransactionID] = true
				}
				return reply
			})
			c.Sessions, c.answerWithin = 4*tooManyUnanswered, 300*time.Millisecond
			_, _, err := openSessions(t.Context(), c)
			says := fmt.Sprintf("given up after %d of %d sessions without an answer: %s", tooManyUnanswered, c.Sessions, tt.name)
			if !errors.Is(err, errUnanswered) || !strings.HasPrefix(err.Error(), says) {
				t.Errorf("%v, want %q", err, says)
			}
			mu.Lock()
			defer mu.Unlock()
			if n := len(requests); n < tooManyUnanswered || n > 2*tooManyUnanswered {
				t.Errorf("%d sessions tried", n)
			}
		})
	}
}
