package turn

import (
	"testing"
	"time"

	"github.com/pion/stun"
)

// silence makes all allocations look as if their clients had sent nothing for a while, the first ones for longer.
func (s *testServer) silence(since time.Duration) {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	for _, a := range s.live.byKey {
		a.active.at = a.active.at.Add(-since)
	}
}

// TestIdleAllocationsMakeRoom: a member whose quota is used up loses what it does not use, oldest first, and nothing that it uses.
func TestIdleAllocationsMakeRoom(t *testing.T) {
	s := start(t, func(c *Config) { c.Quota.PerUser = 2 })
	first, second, third := s.dialMember(t, "udp", "m"), s.dialMember(t, "tcp", "m"), s.dialMember(t, "udp", "m")
	first.allocate()
	second.allocate()
	other := s.dial(t, "udp")
	other.allocate()
	third.wantCode(third.request(stun.MethodAllocate, overUDP), 486) // neither has been silent

	s.silence(time.Minute)
	other.permit(first.relayed)
	first.bind(0x4000, other.relayed)
	first.sendChannel(0x4000, []byte("hello"))
	other.wantData(first.relayed, []byte("hello"))
	s.watch(time.Now())
	third.allocate()
	first.wantCode(first.request(stun.MethodRefresh), 0)
	for _, a := range s.Allocations() {
		if a.Relayed == second.relayed {
			t.Error("the idle allocation goes on")
		}
	}

	fourth := s.dialMember(t, "udp", "m")
	fourth.wantCode(fourth.request(stun.MethodAllocate, overUDP), 486)

	// Others than members share credentials.
	shared := s.authority.Mint("app", time.Hour)
	guest := func() *client { return s.dialAs(t, "udp", shared.Username, shared.Password) }
	guest().allocate()
	guest().allocate()
	s.silence(time.Hour)
	refused := guest()
	refused.wantCode(refused.request(stun.MethodAllocate, overUDP), 486)
}
