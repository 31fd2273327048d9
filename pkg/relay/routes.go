package relay

import (
	"cmp"
	"net/netip"
	"slices"
)

// routes is an immutable snapshot of what a client has been granted, as sorted lists: a call has a handful of entries, for which that is
// both smaller and faster than maps. Deadlines are readings of Relay.clock.
type routes struct {
	channels []channel // by number
	byPeer   []uint16  // indices into channels, by peer
	permits  []permit  // by address
}

type channel struct {
	peer     netip.AddrPort
	deadline int64
	number   uint16
	reach    Reach
}

type permit struct {
	ip       netip.Addr
	deadline int64
	reach    Reach
}

// noRoutes is what every session begins and ends with.
var noRoutes routes

// channel finds the channel of that number, if it is bound at the time.
func (r *routes) channel(number uint16, now int64) (*channel, bool) {
	i, ok := slices.BinarySearchFunc(r.channels, number, func(c channel, n uint16) int { return cmp.Compare(c.number, n) })
	if !ok || r.channels[i].deadline <= now {
		return nil, false
	}
	return &r.channels[i], true
}

// channelTo finds the channel that is bound to peer at the time.
func (r *routes) channelTo(peer netip.AddrPort, now int64) (*channel, bool) {
	i, ok := slices.BinarySearchFunc(r.byPeer, peer, func(i uint16, p netip.AddrPort) int { return r.channels[i].peer.Compare(p) })
	if !ok || r.channels[r.byPeer[i]].deadline <= now {
		return nil, false
	}
	return &r.channels[r.byPeer[i]], true
}

// permit finds the permission for ip, if there is one at the time.
func (r *routes) permit(ip netip.Addr, now int64) (*permit, bool) {
	i, ok := slices.BinarySearchFunc(r.permits, ip, func(p permit, ip netip.Addr) int { return p.ip.Compare(ip) })
	if !ok || r.permits[i].deadline <= now {
		return nil, false
	}
	return &r.permits[i], true
}

// living is a copy without what has expired, with room for one more of each.
func (r *routes) living(now int64) *routes {
	next := &routes{channels: make([]channel, 0, len(r.channels)+1), permits: make([]permit, 0, len(r.permits)+1)}
	for _, c := range r.channels {
		if c.deadline > now {
			next.channels = append(next.channels, c)
		}
	}
	for _, p := range r.permits {
		if p.deadline > now {
			next.permits = append(next.permits, p)
		}
	}
	return next
}

// allow adds or replaces a permission; bind a channel, in place of any other one to its peer. Both are for the one who builds the
// snapshot.
func (r *routes) allow(p permit) {
	i, ok := slices.BinarySearchFunc(r.permits, p.ip, func(p permit, ip netip.Addr) int { return p.ip.Compare(ip) })
	if !ok {
		r.permits = slices.Insert(r.permits, i, permit{})
	}
	r.permits[i] = p
}

func (r *routes) bind(c channel) {
	r.channels = slices.DeleteFunc(r.channels, func(o channel) bool { return o.peer == c.peer && o.number != c.number })
	i, ok := slices.BinarySearchFunc(r.channels, c.number, func(c channel, n uint16) int { return cmp.Compare(c.number, n) })
	if !ok {
		r.channels = slices.Insert(r.channels, i, channel{})
	}
	r.channels[i] = c
}

// index fills byPeer.
func (r *routes) index() {
	r.byPeer = make([]uint16, len(r.channels))
	for i := range r.byPeer {
		r.byPeer[i] = uint16(i)
	}
	slices.SortFunc(r.byPeer, func(i, j uint16) int { return r.channels[i].peer.Compare(r.channels[j].peer) })
}
