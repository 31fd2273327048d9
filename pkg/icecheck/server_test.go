package icecheck

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/pion/stun"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testUser     = "1767225600:ann"
	testPassword = "secret"
	testRealm    = "example.com"
)

var testRelayed = netip.MustParseAddrPort("203.0.113.9:50000")

// fakeServer is a TURN server as far as a check goes. respond sees each request first; it returns the packets to send, or ok false
// for what a server should do.
type fakeServer struct {
	respond func(n int, m *stun.Message, from netip.AddrPort) (packets [][]byte, ok bool)
	relay   *fakeRelay // nil: it allocates, and relays nothing

	mu       sync.Mutex
	requests []string // methods, with + behind those that carry a credential
	lifetime []byte   // of the last Refresh
}

// start serves network on host and returns the address.
func (s *fakeServer) start(t *testing.T, network, host string) string {
	t.Helper()
	if network == "udp" {
		return s.startUDP(t, host)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	s.serveStreams(t, l)
	return l.Addr().String()
}

func (s *fakeServer) startUDP(t *testing.T, host string) string {
	t.Helper()
	c, err := net.ListenPacket("udp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	var g sync.WaitGroup
	t.Cleanup(func() { c.Close(); g.Wait() })
	g.Go(func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			client := from.(*net.UDPAddr).AddrPort()
			if s.relay.took(client, buf[:n], func(b []byte) { _, _ = c.WriteTo(b, from) }) {
				continue
			}
			for _, b := range s.answer(slices.Clone(buf[:n]), client) {
				_, _ = c.WriteTo(b, from) // the client sees what is missing
			}
		}
	})
	return c.LocalAddr().String()
}

func (s *fakeServer) serveStreams(t *testing.T, l net.Listener) {
	var g sync.WaitGroup
	t.Cleanup(func() { l.Close(); g.Wait() })
	g.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			g.Go(func() { s.serveStream(c) })
		}
	})
}

func (s *fakeServer) serveStream(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 2048)
	for {
		if _, err := io.ReadFull(c, buf[:20]); err != nil {
			return
		}
		n := 20 + int(buf[2])<<8 + int(buf[3])
		if s.relay != nil && buf[0]>>6 == 1 { // what the tests send has more than 16 bytes, and no padding
			n -= 16
		}
		if n > len(buf) { // TLS, to the server that has none
			return
		}
		if _, err := io.ReadFull(c, buf[20:n]); err != nil {
			return
		}
		client := c.RemoteAddr().(*net.TCPAddr).AddrPort()
		if s.relay.took(client, buf[:n], func(b []byte) { _, _ = c.Write(b) }) {
			continue
		}
		answer := s.answer(slices.Clone(buf[:n]), client)
		if answer == nil {
			continue
		}
		for _, b := range answer {
			if _, err := c.Write(b); err != nil || len(b) == 0 { // an empty packet ends the connection
				return
			}
		}
	}
}

func (s *fakeServer) answer(b []byte, from netip.AddrPort) [][]byte {
	m := &stun.Message{Raw: b}
	if m.Decode() != nil || stun.Fingerprint.Check(m) != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := m.Type.Method.String()
	if m.Contains(stun.AttrMessageIntegrity) {
		name += "+"
	}
	s.requests = append(s.requests, name)
	if m.Type.Method == stun.MethodRefresh {
		s.lifetime, _ = m.Get(stun.AttrLifetime)
	}
	if s.respond != nil {
		if packets, ok := s.respond(len(s.requests), m, from); ok {
			return packets
		}
	}
	return [][]byte{proper(m, from)}
}

// seen is what has come in, and the lifetime of the last Refresh.
func (s *fakeServer) seen() (requests []string, lifetime []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests, s.lifetime
}

// proper is what a server should answer.
func proper(m *stun.Message, from netip.AddrPort) []byte {
	mapped := stun.RawAttribute{Type: stun.AttrXORMappedAddress, Value: xorValue(m, from)}
	relayed := stun.RawAttribute{Type: stun.AttrXORRelayedAddress, Value: xorValue(m, testRelayed)}
	switch {
	case m.Type.Method == stun.MethodBinding:
		return success(m, mapped)
	case !m.Contains(stun.AttrMessageIntegrity), !authentic(m):
		return challenge(m, 401, "nonce-1")
	case m.Type.Method == stun.MethodAllocate:
		return success(m, mapped, relayed)
	}
	return success(m)
}

func authentic(m *stun.Message) bool {
	var user stun.Username
	return user.GetFrom(m) == nil && user.String() == testUser && stun.NewLongTermIntegrity(testUser, testRealm, testPassword).Check(m) == nil
}

func xorValue(m *stun.Message, a netip.AddrPort) []byte {
	tmp := &stun.Message{TransactionID: m.TransactionID}
	tmp.WriteHeader()
	x := stun.XORMappedAddress{IP: a.Addr().Unmap().AsSlice(), Port: int(a.Port())}
	if err := x.AddTo(tmp); err != nil {
		panic(err)
	}
	v, err := tmp.Get(stun.AttrXORMappedAddress)
	if err != nil {
		panic(err)
	}
	return v
}

func success(m *stun.Message, attributes ...stun.RawAttribute) []byte {
	r := stun.MustBuild(stun.NewTransactionIDSetter(m.TransactionID), stun.NewType(m.Type.Method, stun.ClassSuccessResponse))
	for _, a := range attributes {
		r.Add(a.Type, a.Value)
	}
	return r.Raw
}

func failure(m *stun.Message, code int, setters ...stun.Setter) []byte {
	all := []stun.Setter{stun.NewTransactionIDSetter(m.TransactionID), stun.NewType(m.Type.Method, stun.ClassErrorResponse)}
	if code != 0 {
		all = append(all, stun.ErrorCodeAttribute{Code: stun.ErrorCode(code), Reason: []byte("Reason")})
	}
	return stun.MustBuild(append(all, setters...)...).Raw
}

func challenge(m *stun.Message, code int, nonce string) []byte {
	return failure(m, code, stun.NewRealm(testRealm), stun.NewNonce(nonce))
}

// nonceOf is the NONCE that a request carries.
func nonceOf(m *stun.Message) string {
	var n stun.Nonce
	if err := n.GetFrom(m); err != nil && !errors.Is(err, stun.ErrAttributeNotFound) {
		return err.Error()
	}
	return n.String()
}
