package turn

import (
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/maitred/maitred/pkg/credential"
	"github.com/maitred/maitred/pkg/relay"
	"github.com/pion/stun"
)

// signalled stands for what the rooms know: the addresses that a user may reach. Who is no member may reach all.
type signalled struct {
	mu      sync.Mutex
	allowed map[netip.Addr]bool
}

func (s *signalled) set(ip netip.Addr, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allowed[ip] = ok
}

func (s *signalled) may(user string, ip netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !credential.Reserved(user) || s.allowed[ip]
}

func (s *testServer) dialMember(t *testing.T, network, member string) *client {
	t.Helper()
	c := s.authority.MintMember(member, time.Hour)
	return s.dialAs(t, network, c.Username, c.Password)
}

// TestMemberMay takes a member's permissions through a restriction that changes, over real and over virtual relayed addresses.
func TestMemberMay(t *testing.T) {
	for name, ports := range map[string]relay.PortRange{"relay ports": {Min: 20000, Max: 29999}, "no relay ports": {}} {
		for _, network := range transports {
			t.Run(name+" over "+network, func(t *testing.T) {
				room := &signalled{allowed: map[netip.Addr]bool{}}
				s := start(t, func(c *Config) { c.RelayPorts, c.MemberMay = ports, room.may })
				member, other := s.dialMember(t, network, "m"), s.dial(t, network)
				member.allocate()
				other.allocate()
				at := func(ip string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(ip), 9) }
				for _, to := range []netip.AddrPort{at("127.1.0.1"), other.relayed} {
					member.wantCode(member.request(stun.MethodCreatePermission, peer(to)), 403)
					member.wantCode(member.request(stun.MethodChannelBind, channelNumber(0x4000), peer(to)), 403)
				}
				other.permit(at("127.1.0.1")) // no member
				room.set(at("127.1.0.1").Addr(), true)
				member.permit(at("127.1.0.1"))
				// All or none (RFC 8656 section 9.2).
				member.wantCode(member.request(stun.MethodCreatePermission, peer(at("127.1.0.1")), peer(at("127.1.0.2"))), 403)
				room.set(at("127.1.0.2").Addr(), true)
				member.wantCode(member.request(stun.MethodCreatePermission, peer(at("127.1.0.1")), peer(at("127.1.0.2"))), 0)

				room.set(other.relayed.Addr(), true)
				member.bind(0x4000, other.relayed)
				other.permit(member.relayed)
				member.sendChannel(0x4000, []byte("hello"))
				other.wantData(member.relayed, []byte("hello"))
				room.set(other.relayed.Addr(), false) // its room-mate has left: what there is stays, and is not renewed
				member.wantCode(member.request(stun.MethodChannelBind, channelNumber(0x4000), peer(other.relayed)), 403)
				member.sendChannel(0x4000, []byte("still"))
				other.wantData(member.relayed, []byte("still"))
				if text := s.log.String(); !strings.Contains(text, "see turn.room_permissions") || !strings.Contains(text, "user="+s.authority.MemberID("m")) ||
					strings.Contains(text, "see turn.allow_peers") {
					t.Error("the log does not tell the operator which rule it was")
				}
			})
		}
	}
}

// TestMemberMayOnlyRestricts: what the policy denies, no room-mate can allow.
func TestMemberMayOnlyRestricts(t *testing.T) {
	s := start(t, func(c *Config) {
		c.Peers = Peers{}
		c.MemberMay = func(string, netip.Addr) bool { return true }
	})
	member := s.dialMember(t, "udp", "m")
	member.allocate()
	member.wantCode(member.request(stun.MethodCreatePermission, peer(netip.MustParseAddrPort("10.0.0.1:9"))), 403)
	if text := s.log.String(); !strings.Contains(text, "see turn.allow_peers") || strings.Contains(text, "turn.room_permissions") {
		t.Error("the log does not tell the operator which rule it was")
	}
}
