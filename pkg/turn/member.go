package turn

import "net/netip"

// memberMay tells whether the owner of the allocation may reach ip as far as Config.MemberMay is concerned, and the operator when not.
func (s *Server) memberMay(a *allocation, ip netip.Addr) bool {
	if s.config.MemberMay == nil || s.config.MemberMay(a.user, ip) {
		return true
	}
	s.policyLog.Do(func() {
		s.log.Info("peer denied: nobody in the member's room has signalled this address, see turn.room_permissions (repeated lines are left out)",
			"client", a.client, "user", a.user, "peer", ip)
	})
	return false
}
