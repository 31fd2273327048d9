package turn

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/maitred/maitred/pkg/relay"
	"github.com/maitred/maitred/pkg/udpio"
	"github.com/pion/stun"
)

type discard struct{}

func (discard) Packet(udpio.Batch, udpio.Socket, *udpio.Packet) {}

// TestRelay takes payloads of many sizes through every way there is.
func TestRelay(t *testing.T) {
	for _, network := range append(transports, "portable udp") {
		t.Run(network, func(t *testing.T) {
			s := start(t, func(c *Config) {
				if network == "portable udp" {
					c.Network = udpio.NewPortable()
				}
			})
			c := s.dial(t, strings.TrimPrefix(network, "portable "))
			c.allocate()
			conn, to := remote(t, "127.0.0.1")
			c.permit(to)
			few, many := []int{0, 1, 2, 3, 4, 160, 1199, 1472, 9000}, []int{0, 1, 2, 3, 4, 160, 1199, 1472, 9000, 60000}
			if network == "dtls" { // a record is a datagram, and Pion reads no more than maxRecord of it
				few[8], many[8], many[9] = 7000, 7000, 8000
			}
			for _, size := range few {
				payload := bytes.Repeat([]byte{0xA5}, size)
				c.sendIndication(to, payload)
				wantDatagram(t, conn, c.relayed, payload)
				conn.WriteToUDPAddrPort(payload, c.relayed)
				c.wantData(to, payload)
			}
			c.bind(0x4001, to)
			for _, size := range many {
				payload := bytes.Repeat([]byte{0x5A}, size)
				c.sendChannel(0x4001, payload)
				wantDatagram(t, conn, c.relayed, payload)
				conn.WriteToUDPAddrPort(payload, c.relayed)
				c.wantChannel(0x4001, payload)
			}
			// The last packet is counted when it has been handed to the kernel, and may be here before.
			eventually(t, "every packet is counted", func() bool {
				traffic := s.Allocations()[0].Traffic
				return traffic.Up.Packets == 19 && traffic.Down == traffic.Up
			})
		})
	}
}

// TestBothEndsRelayed connects clients of every transport through their relayed addresses, with and without sockets. Without an
// entry in the allow list nothing but a relayed address of ours is reachable on loopback.
func TestBothEndsRelayed(t *testing.T) {
	for _, ports := range []relay.PortRange{{Min: 20000, Max: 29999}, {}} {
		s := start(t, func(c *Config) { c.RelayPorts = ports; c.Peers = Peers{} })
		denied := uint64(0)
		for _, from := range transports {
			for _, to := range transports {
				a, b := s.dial(t, from), s.dial(t, to)
				a.allocate()
				b.allocate()
				a.bind(0x4000, b.relayed)
				a.sendChannel(0x4000, []byte("before b allows it"))
				denied++
				s.wantDrop(t, relay.DropPeerDenied, denied)
				b.permit(a.relayed)
				a.sendChannel(0x4000, []byte("to b"))
				b.wantData(a.relayed, []byte("to b"))
				b.sendIndication(a.relayed, []byte("to a"))
				a.wantChannel(0x4000, []byte("to a"))
			}
		}
		c := s.dial(t, "udp")
		c.allocate()
		_, outside := remote(t, "127.0.0.1")
		c.permit(outside) // same address as the relayed ones: allowed, but only inside the process
		c.sendIndication(outside, []byte("not a relayed address"))
		s.wantDrop(t, relay.DropNoSuchRelay, 1)
	}
}

func TestAllocateOptions(t *testing.T) {
	s := start(t, nil)
	lifetime := func(r *stun.Message) time.Duration {
		v, _ := r.Get(stun.AttrLifetime)
		return time.Duration(binary.BigEndian.Uint32(v)) * time.Second
	}
	for _, tt := range []struct {
		name      string
		ask, want time.Duration
	}{{"shorter than the default", time.Minute, defaultLifetime}, {"zero", 0, defaultLifetime}, {"between", 20 * time.Minute, 20 * time.Minute}, {"longer than the maximum", 5 * time.Hour, maxLifetime}} {
		c := s.dial(t, "udp")
		if got := lifetime(c.allocate(lifetimeAttribute(tt.ask))); got != tt.want {
			t.Errorf("%s: lifetime %v, want %v", tt.name, got, tt.want)
		}
	}
	even, held := s.dial(t, "udp"), s.dial(t, "udp")
	token, err := even.allocate(attr(stun.AttrEvenPort, 0x80)).Get(stun.AttrReservationToken)
	if err != nil || even.relayed.Port()%2 != 0 {
		t.Fatalf("EVEN-PORT: relayed at %v, token %x, %v", even.relayed, token, err)
	}
	both := s.dial(t, "udp")
	both.wantCode(both.request(stun.MethodAllocate, overUDP, attr(stun.AttrEvenPort, 0), attr(stun.AttrReservationToken, token...)), 400)
	held.allocate(attr(stun.AttrReservationToken, token...))
	if held.relayed.Port() != even.relayed.Port()+1 {
		t.Errorf("the reserved port is %d, want the one behind %d", held.relayed.Port(), even.relayed.Port())
	}
	again := s.dial(t, "udp")
	again.wantCode(again.request(stun.MethodAllocate, overUDP, attr(stun.AttrReservationToken, token...)), 508)
}

// TestRetransmittedAllocate is a client whose response got lost: same transaction ID, same answer (RFC 8656 section 7.2).
func TestRetransmittedAllocate(t *testing.T) {
	s := start(t, nil)
	c := s.dial(t, "udp")
	c.challenge()
	m := c.build(stun.MethodAllocate, c.key, overUDP)
	first, second := c.exchange(m), c.exchange(m)
	if !bytes.Equal(first.Raw, second.Raw) || code(second) != 0 {
		t.Errorf("the answers differ:\n%v\n%v", first, second)
	}
	s.wantAllocations(t, 1)
}

// TestClientComesBack gives an allocation up and makes another from the same address, again and again: the engine's clean-up of
// the old one must not touch the new one.
func TestClientComesBack(t *testing.T) {
	s := start(t, nil)
	c := s.dial(t, "udp")
	conn, to := remote(t, "127.0.0.1")
	for range 200 {
		c.allocate()
		c.bind(0x4000, to)
		c.sendChannel(0x4000, []byte("x"))
		wantDatagram(t, conn, c.relayed, []byte("x"))
		c.wantCode(c.request(stun.MethodRefresh, lifetimeAttribute(0)), 0)
	}
	s.wantAllocations(t, 0)
}

func TestChannelBindRules(t *testing.T) {
	s := start(t, nil)
	c := s.dial(t, "udp")
	c.allocate()
	_, one := remote(t, "127.0.0.1")
	_, two := remote(t, "127.0.0.1")
	c.bind(0x4000, one)
	c.bind(0x4000, one)
	for _, tt := range []struct {
		name   string
		number uint16
		peer   netip.AddrPort
	}{{"a number for another peer", 0x4000, two}, {"a peer under another number", 0x4001, one}, {"a number below the range", 0x3FFF, two}, {"a number above the range", 0x8000, two}} {
		if got := code(c.request(stun.MethodChannelBind, channelNumber(tt.number), peer(tt.peer))); got != 400 {
			t.Errorf("%s: code %d", tt.name, got)
		}
	}
	if got := code(c.request(stun.MethodChannelBind, channelNumber(0x4002))); got != 400 {
		t.Errorf("no peer: code %d", got)
	}
	if got := code(c.request(stun.MethodCreatePermission)); got != 400 {
		t.Errorf("CreatePermission without peers: code %d", got)
	}
}

func TestPeersPerAllocation(t *testing.T) {
	s := start(t, func(c *Config) { c.PeersPerAllocation = 3 })
	c := s.dial(t, "udp")
	c.allocate()
	at := func(i byte) netip.AddrPort { return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, i}), 9) }
	for i := byte(1); i <= 3; i++ {
		c.permit(at(i))
	}
	c.wantCode(c.request(stun.MethodCreatePermission, peer(at(4))), 508)
	c.permit(at(2))
}

func TestStaleNonceIs438(t *testing.T) {
	s := start(t, nil)
	c := s.dial(t, "udp")
	c.nonce = "made up"
	r := c.request(stun.MethodAllocate, overUDP)
	c.wantCode(r, 438)
	var nonce stun.Nonce
	if err := nonce.GetFrom(r); err != nil {
		t.Fatal(err)
	}
	c.nonce = nonce.String()
	c.allocate()
}

// TestAttributesBehindIntegrityAreIgnored: nobody vouches for them (RFC 8489 section 14.5).
func TestAttributesBehindIntegrityAreIgnored(t *testing.T) {
	s := start(t, nil)
	c := s.dial(t, "udp")
	c.allocate()
	_, to := remote(t, "127.0.0.1")
	m := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodCreatePermission, stun.ClassRequest))
	m.Add(stun.AttrUsername, []byte(c.username))
	m.Add(stun.AttrRealm, []byte(c.realm))
	m.Add(stun.AttrNonce, []byte(c.nonce))
	mustSign(m, c.key)
	p := peer(to)
	m.Add(p.Type, p.Value)
	if got := code(c.exchange(m)); got != 400 {
		t.Errorf("code %d: the attribute counted", got)
	}
}

func TestConnectionsPerAddressAreLimited(t *testing.T) {
	s := start(t, func(c *Config) { c.ConnectionsPerIP = 2 })
	a, b := s.dial(t, "tcp"), s.dial(t, "tcp")
	a.challenge()
	b.challenge()
	third := s.dial(t, "tcp")
	third.conn.SetReadDeadline(time.Now().Add(patience))
	if n, err := third.conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("the third connection was served: %d, %v", n, err)
	}
	a.conn.Close()
	eventually(t, "there is room again", func() bool {
		c := s.dial(t, "tcp")
		defer c.conn.Close()
		c.conn.Write(c.build(stun.MethodBinding, nil).Raw)
		c.conn.SetReadDeadline(time.Now().Add(patience))
		n, _ := c.conn.Read(make([]byte, 100))
		return n > 0
	})
	if !strings.Contains(s.log.String(), "connections_per_ip") {
		t.Error("the log does not name the key")
	}
}

// TestForeignProtocolOnTheStream: whatever is not STUN ends the connection at once and is answered by nothing.
func TestForeignProtocolOnTheStream(t *testing.T) {
	s := start(t, nil)
	for _, junk := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "\xff\xff\xff\xff", "\x00\x01\xff\xfc\x21\x12\xa4\x42"} {
		c := s.dial(t, "tcp")
		c.send([]byte(junk))
		c.conn.SetReadDeadline(time.Now().Add(patience))
		if n, err := c.conn.Read(make([]byte, 1)); n != 0 || err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("%q: %d bytes, %v", junk, n, err)
		}
	}
}

func TestPortInUse(t *testing.T) {
	s := start(t, nil)
	udp, _ := s.UDPAddr()
	tcp, _ := s.TCPAddr()
	for key, change := range map[string]func(*Config){
		"turn.udp": func(c *Config) { c.UDP = udp.String() },
		"turn.tcp": func(c *Config) { c.TCP = tcp.String() },
	} {
		config := s.config
		config.UDP, config.TCP = "127.0.0.1:0", "127.0.0.1:0"
		change(&config)
		_, err := New(config)
		if err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "in use") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", key, err)
		}
	}
}
