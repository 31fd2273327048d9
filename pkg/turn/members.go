package turn

import (
	"cmp"
	"maps"
	"slices"
)

// AllocationsOf lists what is alive of the allocations that were made with a credential of that id, the newest first. It looks at that
// user's account only, so it takes time in proportion to what it lists.
func (s *Server) AllocationsOf(id string) []Allocation {
	alive := s.usage.alive(id)
	slices.SortFunc(alive, func(a, b *allocation) int { return cmp.Compare(b.id, a.id) })
	out := make([]Allocation, len(alive))
	for i, a := range alive {
		out[i] = a.line()
	}
	return out
}

// alive are the allocations in a user's account, in no order.
func (u *usage) alive(user string) []*allocation {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.users[user]
	if c == nil {
		return nil
	}
	return slices.Collect(maps.Keys(c.live))
}
