package signaling

// RelayObserver knows what the relay does for members.
type RelayObserver interface {
	// Relayed lists the allocations that a member has now, the newest first. It is called for every member of a room when one of them
	// sends relay, without locks held, also for one that has left meanwhile. It must not block.
	Relayed(memberID string) []RelayAllocation
}

const (
	// reportsPerSecond is how many reports a member gets a second, however often it connects, and twice as many at once: who asks every
	// second comes a little early now and then.
	reportsPerSecond = 1
	// maxReported is how many allocations a report has, each member an equal share, and one at least. By default no room can have as many.
	maxReported = 1024
)

// report tells m what the relay does for the members of its room.
func (r *room) report(m *member) error {
	ids, err := r.reportable(m)
	if len(ids) == 0 {
		return err
	}
	report := &RelayReport{Members: make([]MemberRelay, len(ids))}
	share := max(1, maxReported/len(ids))
	for i, id := range ids {
		report.Members[i] = MemberRelay{id, r.hub.relayed(id, share)}
	}
	m.inbox.push(mustEncode(report), false)
	return nil
}

// reportable returns the ids of the members that m may be told of now: none when it has left.
func (r *room) reportable(m *member) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.left != "" {
		return nil, nil
	}
	if m.asks == nil {
		m.asks = perSecond(reportsPerSecond, 2*reportsPerSecond)
	}
	if !m.asks.Allow() {
		return nil, errTooOften
	}
	ids := make([]string, len(r.members))
	for i, o := range r.members {
		ids[i] = o.id
	}
	return ids, nil
}

// relayed lists the allocations of a member, at most so many.
func (h *Hub) relayed(id string, most int) []RelayAllocation {
	list := []RelayAllocation{} // [] in JSON, not null
	if h.opts.Relay == nil {
		return list
	}
	all := h.opts.Relay.Relayed(id)
	return append(list, all[:min(most, len(all))]...)
}
