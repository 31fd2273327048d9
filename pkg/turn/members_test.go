package turn

import (
	"net"
	"net/netip"
	"testing"

	"github.com/maitred/maitred/pkg/relay"
)

// TestAllocationsOf tells one user's allocations from all others.
func TestAllocationsOf(t *testing.T) {
	s := start(t, nil)
	member := s.authority.MemberID("m")
	first, second, other := s.dialMember(t, "udp", "m"), s.dialMember(t, "tcp", "m"), s.dialMember(t, "udp", "other")
	for _, c := range []*client{first, second, other} {
		c.allocate()
	}
	wantAlive := func(want ...*client) {
		t.Helper()
		got := s.AllocationsOf(member)
		if len(got) != len(want) {
			t.Fatalf("%+v, want %d", got, len(want))
		}
		for i, a := range got {
			if a.Relayed != want[i].relayed || a.User != member || a.Client != addrPort(want[i].conn.LocalAddr()) {
				t.Errorf("number %d is %+v, want the one at %v", i, a, want[i].relayed)
			}
		}
	}
	chat(first, other, 2, 100)
	s.wantUsage(t, member, 2, short(2, 200))
	wantAlive(second, first)
	if a := s.AllocationsOf(member)[1]; a.Transport != relay.UDP.String() || a.Traffic != short(2, 200) || a.Peers != 1 {
		t.Errorf("%+v", a)
	}
	second.hangUp()
	s.wantUsage(t, member, 1, short(2, 200))
	wantAlive(first)
	first.hangUp()
	s.wantUsage(t, member, 0, short(2, 200)) // still a member
	wantAlive()
	for _, nobody := range []string{"", "m", "stranger"} {
		if got := s.AllocationsOf(nobody); len(got) != 0 {
			t.Errorf("%q has %+v", nobody, got)
		}
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.AddrPort()
	case *net.UDPAddr:
		return a.AddrPort()
	}
	return netip.AddrPort{}
}
