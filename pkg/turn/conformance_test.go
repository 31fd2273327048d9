package turn

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/maitred/maitred/pkg/relay"
	"github.com/pion/stun"
)

// The tests of this file are named after what Pion's server 2.1.6 does otherwise; docs/decisions tells why it is the engine anyway.

var transports = []string{"udp", "tcp", "tls", "dtls"}

// roomy are those that carry the largest payload there is. A DTLS record does not.
var roomy = transports[:3]

func TestWrongCredentialAtAllocateIs401(t *testing.T) {
	s := start(t, nil)
	good, expired := s.authority.Mint("", time.Hour), s.authority.Mint("", -time.Minute)
	member := s.authority.MintMember("m", time.Hour)
	s.authority.Release("m")
	for _, tt := range []struct{ name, username, password string }{
		{"wrong username", "nobody", good.Password},
		{"wrong password", good.Username, good.Password + "x"},
		{"expired", expired.Username, expired.Password},
		{"member gone", member.Username, member.Password},
	} {
		for _, network := range transports {
			t.Run(tt.name+" over "+network, func(t *testing.T) {
				c := s.dialAs(t, network, tt.username, tt.password)
				r := c.request(stun.MethodAllocate, overUDP)
				c.wantCode(r, 401)
				var realm stun.Realm
				var nonce stun.Nonce
				if err := r.Parse(&realm, &nonce); err != nil {
					t.Errorf("realm or nonce: %v", err)
				}
			})
		}
	}
	c := s.dialAs(t, "udp", good.Username, good.Password)
	c.realm = "elsewhere"
	c.key = nil
	c.challenge()
	m := c.build(stun.MethodAllocate, s.dialAs(t, "udp", good.Username, good.Password).key, overUDP)
	if got := code(c.exchange(m)); got != 401 {
		t.Errorf("another realm: code %d", got)
	}
	if log := s.log.String(); !strings.Contains(log, "credential refused") || strings.Contains(log, good.Password) {
		t.Errorf("the log does not tell why, or tells the password:\n%s", log)
	}
}

func TestWithoutAllocationIs437(t *testing.T) {
	s := start(t, nil)
	_, to := remote(t, "127.0.0.1")
	for _, tt := range []struct {
		name       string
		method     stun.Method
		attributes []stun.RawAttribute
	}{
		{"Refresh", stun.MethodRefresh, nil},
		{"Refresh with lifetime 0", stun.MethodRefresh, []stun.RawAttribute{lifetimeAttribute(0)}},
		{"CreatePermission", stun.MethodCreatePermission, []stun.RawAttribute{peer(to)}},
		{"ChannelBind", stun.MethodChannelBind, []stun.RawAttribute{channelNumber(0x4000), peer(to)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := s.dial(t, "udp")
			c.wantCode(c.request(tt.method, tt.attributes...), 437)
		})
	}
	t.Run("a second Allocate", func(t *testing.T) {
		c := s.dial(t, "udp")
		c.allocate()
		c.wantCode(c.request(stun.MethodAllocate, overUDP), 437)
	})
}

func TestAnotherUsernameIs441(t *testing.T) {
	s := start(t, nil)
	c := s.dial(t, "udp")
	c.allocate()
	other := s.authority.Mint("", time.Hour)
	thief := s.dialAs(t, "udp", other.Username, other.Password)
	c.username, c.key = thief.username, thief.key
	for _, method := range []stun.Method{stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind} {
		c.wantCode(c.request(method, overUDP), 441)
	}
	c.wantCode(c.request(stun.MethodAllocate, overUDP), 437) // RFC 8656 section 7.2
}

func TestPeerDeniedIs403(t *testing.T) {
	s := start(t, func(c *Config) { c.Peers = Peers{} })
	c := s.dial(t, "udp")
	c.allocate()
	for _, ip := range []string{"10.1.2.3", "127.0.0.2", "169.254.169.254", "192.168.1.1", "0.0.0.0", "224.0.0.1"} {
		a := netip.AddrPortFrom(netip.MustParseAddr(ip), 80)
		c.wantCode(c.request(stun.MethodCreatePermission, peer(a)), 403)
		c.wantCode(c.request(stun.MethodChannelBind, channelNumber(0x4001), peer(a)), 403)
	}
	allowed := netip.MustParseAddrPort("8.8.8.8:53")
	c.wantCode(c.request(stun.MethodCreatePermission, peer(allowed), peer(netip.MustParseAddrPort("10.0.0.1:1"))), 403)
	if n := s.Allocations()[0].Peers; n != 0 {
		t.Errorf("%d permissions from a request that was refused", n)
	}
	c.permit(allowed)
}

func TestUnknownAttributeIs420(t *testing.T) {
	s := start(t, nil)
	c := s.dial(t, "udp")
	for _, tt := range []struct {
		name string
		typ  stun.AttrType
	}{{"made up", 0x7ABC}, {"DONT-FRAGMENT", stun.AttrDontFragment}, {"CHANGE-REQUEST", stun.AttrChangeRequest}} {
		r := c.request(stun.MethodAllocate, overUDP, attr(tt.typ))
		c.wantCode(r, 420)
		var unknown stun.UnknownAttributes
		if err := unknown.GetFrom(r); err != nil || len(unknown) != 1 || unknown[0] != tt.typ {
			t.Errorf("%s: UNKNOWN-ATTRIBUTES %v, %v", tt.name, unknown, err)
		}
	}
	c.allocate(attr(0x8ABC, 1, 2, 3, 4)) // comprehension-optional: ignored
}

func TestRequestedAddressFamily(t *testing.T) {
	family := func(n byte) stun.RawAttribute { return attr(stun.AttrRequestedAddressFamily, n, 0, 0, 0) }
	t.Run("440 without IPv6", func(t *testing.T) {
		s := start(t, nil)
		c := s.dial(t, "udp")
		c.wantCode(c.request(stun.MethodAllocate, overUDP, family(2)), 440)
		c.wantCode(c.request(stun.MethodAllocate, overUDP, family(9)), 440)
		c.allocate(family(1))
	})
	t.Run("IPv6 relays", func(t *testing.T) {
		s := start(t, func(c *Config) { c.External = append(c.External, netip.MustParseAddr("::1")) })
		c := s.dial(t, "udp")
		c.allocate(family(2))
		if !c.relayed.Addr().Is6() {
			t.Fatalf("relayed at %v", c.relayed)
		}
		conn, to := remote(t, "::1")
		_, to4 := remote(t, "127.0.0.1")
		c.wantCode(c.request(stun.MethodCreatePermission, peer(to4)), 443)
		c.wantCode(c.request(stun.MethodRefresh, family(1)), 443)
		m := c.build(stun.MethodChannelBind, nil)
		id := m.TransactionID
		signed := stun.MustBuild(stun.NewTransactionIDSetter(id), stun.NewType(stun.MethodChannelBind, stun.ClassRequest))
		signed.Add(stun.AttrChannelNumber, []byte{0x40, 0, 0, 0})
		signed.Add(stun.AttrXORPeerAddress, relay.XORAddress(to, id[:]))
		signed.Add(stun.AttrUsername, []byte(c.username))
		signed.Add(stun.AttrRealm, []byte(c.realm))
		signed.Add(stun.AttrNonce, []byte(c.nonce))
		mustSign(signed, c.key)
		c.wantCode(c.exchange(signed), 0)
		c.sendChannel(0x4000, []byte("six"))
		wantDatagram(t, conn, c.relayed, []byte("six"))
		conn.WriteToUDPAddrPort([]byte("back"), c.relayed)
		c.wantChannel(0x4000, []byte("back"))
	})
}

func TestRequestedTransportTCPIs442(t *testing.T) {
	s := start(t, nil)
	c := s.dial(t, "udp")
	c.wantCode(c.request(stun.MethodAllocate, attr(stun.AttrRequestedTransport, 6, 0, 0, 0)), 442)
	c.wantCode(c.request(stun.MethodAllocate, attr(stun.AttrRequestedTransport, 99, 0, 0, 0)), 442)
	c.wantCode(c.request(stun.MethodAllocate), 400)
}

func TestQuotaIs486(t *testing.T) {
	for _, tt := range []struct {
		name  string
		quota Quota
	}{{"per user", Quota{PerUser: 2}}, {"per IP", Quota{PerIP: 2}}, {"total", Quota{Total: 2}}} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, func(c *Config) { c.Quota = tt.quota })
			credential := s.authority.Mint("u", time.Hour)
			dial := func() *client { return s.dialAs(t, "udp", credential.Username, credential.Password) }
			first := dial()
			first.allocate()
			dial().allocate()
			third := dial()
			third.wantCode(third.request(stun.MethodAllocate, overUDP), 486)
			first.wantCode(first.request(stun.MethodRefresh, lifetimeAttribute(0)), 0)
			third.allocate()
			if log := s.log.String(); !strings.Contains(log, "turn.quota") {
				t.Error("the log does not name the key")
			}
		})
	}
}

func TestDrainingIs508(t *testing.T) {
	s := start(t, nil)
	c, late := s.dial(t, "udp"), s.dial(t, "udp")
	c.allocate()
	s.Drain()
	late.wantCode(late.request(stun.MethodAllocate, overUDP), 508)
	c.wantCode(c.request(stun.MethodRefresh), 0)
}

func TestAllocationOutlivesItsCredential(t *testing.T) {
	s := start(t, nil)
	credential := s.authority.Mint("", time.Second)
	c := s.dialAs(t, "udp", credential.Username, credential.Password)
	c.allocate()
	eventually(t, "the credential has expired", func() bool {
		other := s.dialAs(t, "udp", credential.Username, credential.Password)
		return code(other.request(stun.MethodAllocate, overUDP)) == 401
	})
	_, to := remote(t, "127.0.0.1")
	c.wantCode(c.request(stun.MethodRefresh), 0)
	c.permit(to)
	c.bind(0x4000, to)
}

func TestAllocationEndsWithTheMembership(t *testing.T) {
	for _, network := range transports {
		t.Run(network, func(t *testing.T) {
			s := start(t, nil)
			credential := s.authority.MintMember("m", time.Hour)
			c := s.dialAs(t, network, credential.Username, credential.Password)
			c.allocate()
			s.authority.Release("m")
			if n, _ := s.EndUser(s.authority.MemberID("m")); n != 1 {
				t.Fatalf("%d allocations ended", n)
			}
			s.wantAllocations(t, 0)
			c.wantCode(c.request(stun.MethodRefresh), 401)
		})
	}
}

func TestLostTCPConnectionFreesItsAllocation(t *testing.T) {
	s := start(t, nil)
	c := s.dial(t, "tcp")
	c.allocate()
	s.wantAllocations(t, 1)
	relayed := c.relayed
	c.conn.Close()
	s.wantAllocations(t, 0)
	eventually(t, "the relay port is free again", func() bool { return s.relay.Stats().Dropped != nil && !s.relayedAt(relayed) })
}

// relayedAt tells whether the port is still bound.
func (s *testServer) relayedAt(a netip.AddrPort) bool {
	conn, err := s.network.Open(a, discard{}, nil)
	if err != nil {
		return true
	}
	conn.Close()
	return false
}

func TestEngineSurvivesWhatItCannotAnswer(t *testing.T) {
	s := start(t, nil)
	for i, request := range [][]byte{nil, {1}, []byte("nonsense that is longer than a header"), make([]byte, engineMTU+100), {0x40, 0, 0, 4, 1, 2, 3, 4}} {
		c := &call{client: uint64(i), request: request}
		s.engine.do(c)
		if c.response != nil {
			t.Errorf("an answer to request %d: %x", i, c.response)
		}
	}
	s.dial(t, "udp").allocate()
}

func TestResponsesCarrySoftwareAndFingerprint(t *testing.T) {
	s := start(t, nil)
	for _, network := range transports {
		c := s.dial(t, network)
		r := c.exchange(c.build(stun.MethodBinding, nil)) // exchange checks both attributes
		var mapped stun.XORMappedAddress
		if err := mapped.GetFrom(r); err != nil || fmt.Sprint(mapped) != c.conn.LocalAddr().String() {
			t.Errorf("%s: mapped address %v (%v), want %v", network, mapped, err, c.conn.LocalAddr())
		}
		c.challenge()
		r = c.allocate()
		if err := mapped.GetFrom(r); err != nil || fmt.Sprint(mapped) != c.conn.LocalAddr().String() {
			t.Errorf("%s: mapped address of the allocation %v (%v), want %v", network, mapped, err, c.conn.LocalAddr())
		}
	}
}
