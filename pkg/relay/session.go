package relay

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maitred/maitred/pkg/udpio"
)

// Reach is how far a permission goes.
type Reach uint8

const (
	// ReachNetwork sends into the network.
	ReachNetwork Reach = iota
	// ReachHost sends to an address of this host that the operator has allowed, but to no listener of this daemon.
	ReachHost
	// ReachRelayed delivers only to relayed addresses of this relay, inside the process.
	ReachRelayed
)

// Session is the data plane's half of an allocation.
type Session struct {
	// fixed after construction
	relay   *Relay
	relayed netip.AddrPort
	socket  udpio.Socket // nil when the relayed address is virtual

	// set once, by claim, before any route exists; packets reach it only through a route
	client Client
	front  *Front // nil when the client is on a stream

	routes atomic.Pointer[routes]
	write  sync.Mutex // held by writers of routes
	ended  atomic.Bool

	// Waiting is for who answers control requests: how many of the session's are on their way.
	Waiting atomic.Int32

	up, down, short      counter
	upBucket, downBucket bucket // from and to the client
}

// Relayed is the session's relayed transport address.
func (s *Session) Relayed() netip.AddrPort { return s.relayed }

// Socket is the relay socket; nil when the relayed address is virtual.
func (s *Session) Socket() udpio.Socket { return s.socket }

// Traffic is what the session has relayed so far.
func (s *Session) Traffic() Traffic {
	return Traffic{Up: s.up.count(), Down: s.down.count(), ShortCircuit: s.short.count()}
}

// Peers is how many permissions are alive.
func (s *Session) Peers() int { return len(s.routes.Load().living(s.relay.clock.Load()).permits) }

// Channels is how many channels are bound.
func (s *Session) Channels() int { return len(s.routes.Load().living(s.relay.clock.Load()).channels) }

// Bound tells whether the channel is bound now.
func (s *Session) Bound(number uint16) bool {
	_, ok := s.routes.Load().channel(number, s.relay.clock.Load())
	return ok
}

// Permitted tells whether ip has a permission now.
func (s *Session) Permitted(ip netip.Addr) bool {
	_, ok := s.routes.Load().permit(ip, s.relay.clock.Load())
	return ok
}

// Permit installs or refreshes a permission (RFC 8656 section 9).
func (s *Session) Permit(ip netip.Addr, reach Reach, lifetime time.Duration) {
	s.change(func(r *routes, now int64) { r.allow(permit{ip, now + int64(lifetime), reach}) })
}

// Bind installs or refreshes a channel and the permission that goes with it (RFC 8656 section 12). The caller has made sure that
// neither the number nor the peer is bound elsewhere.
func (s *Session) Bind(number uint16, peer netip.AddrPort, reach Reach, lifetime, permission time.Duration) {
	s.change(func(r *routes, now int64) {
		r.bind(channel{peer, now + int64(lifetime), number, reach})
		r.allow(permit{peer.Addr(), now + int64(permission), reach})
	})
}

// change publishes a new snapshot: the present one without what has expired, edited by f. A session that has ended is granted
// nothing any more.
func (s *Session) change(f func(r *routes, now int64)) {
	s.write.Lock()
	defer s.write.Unlock()
	if s.ended.Load() {
		return
	}
	now := s.relay.clock.Load()
	r := s.routes.Load().living(now)
	f(r, now)
	r.index()
	s.routes.Store(r)
}

// Close ends the session: its socket, its place in the tables, its routes. It may be called more than once.
func (s *Session) Close() {
	if s.ended.Swap(true) {
		return
	}
	if s.front != nil {
		s.front.sessions.remove(s.client.Addr(), s)
	}
	s.write.Lock()
	s.routes.Store(&noRoutes)
	s.write.Unlock()
	if s.socket != nil {
		s.socket.Close()
	}
	s.relay.retired.mu.Lock()
	s.relay.retired.traffic.Add(s.Traffic())
	s.relay.byRelayed.remove(s.relayed, s)
	s.relay.retired.mu.Unlock()
}

// channelData relays the ChannelData message in p (RFC 8656 section 12.5).
func (s *Session) channelData(batch udpio.Batch, p *udpio.Packet) Drop {
	b := p.Payload()
	n := int(binary.BigEndian.Uint16(b[2:]))
	if 4+n > len(b) {
		return DropMalformed
	}
	c, ok := s.routes.Load().channel(binary.BigEndian.Uint16(b), s.relay.clock.Load())
	if !ok {
		return DropNoChannel
	}
	p.Cut(4, 4+n)
	return s.toPeer(batch, p, c.peer, c.reach)
}

// sendIndication relays the payload of the Send indication in p (RFC 8656 section 11.2).
func (s *Session) sendIndication(batch udpio.Batch, p *udpio.Packet) Drop {
	b := p.Payload()
	var peer netip.AddrPort
	start, end := -1, 0
	for rest := b[headerSize:]; len(rest) > 0; {
		typ, v, next, ok := attribute(rest)
		if !ok {
			return DropMalformed
		}
		switch {
		case typ == attrXORPeerAddress && !peer.IsValid():
			if peer, ok = ParseXORAddress(v, b[8:headerSize]); !ok {
				return DropMalformed
			}
		case typ == attrData && start < 0:
			start = len(b) - len(rest) + 4
			end = start + len(v)
		case typ < 0x8000 && typ != attrXORPeerAddress && typ != attrData:
			return DropMalformed // not understood; an indication has no answer (RFC 8489 section 6.3.2)
		}
		rest = next
	}
	if start < 0 || !peer.IsValid() {
		return DropMalformed
	}
	permit, ok := s.routes.Load().permit(peer.Addr(), s.relay.clock.Load())
	if !ok {
		return DropNoPermission
	}
	p.Cut(start, end)
	return s.toPeer(batch, p, peer, permit.reach)
}

// toPeer sends the payload on its way: to another session of this relay in memory, to anybody else through the socket.
func (s *Session) toPeer(batch udpio.Batch, p *udpio.Packet, peer netip.AddrPort, reach Reach) Drop {
	n := len(p.Payload())
	if other := s.relay.byRelayed.get(peer); other != nil {
		d := other.fromPeer(batch, p, s.relayed, &s.upBucket)
		if d == DropNone {
			s.short.add(n)
		}
		return d
	}
	switch {
	case reach == ReachRelayed || s.socket == nil:
		return DropNoSuchRelay
	case reach == ReachHost && (*s.relay.forbidden.Load())[peer.Port()]:
		return DropOwnListener
	case !s.relay.withinBandwidth(n, &s.upBucket, nil):
		return DropBandwidth
	}
	batch.Send(s.socket, p.Payload(), peer, &s.relay.drops[DropSendToPeer])
	s.up.add(n)
	return DropNone
}

// Packet implements udpio.Handler for the relay socket.
func (s *Session) Packet(batch udpio.Batch, _ udpio.Socket, p *udpio.Packet) {
	n := len(p.Payload())
	d := s.fromPeer(batch, p, p.From, nil)
	if d == DropNone {
		s.down.add(n)
	}
	s.relay.Drop(d)
}

// fromPeer takes the payload that peer sent to the relayed address to the client (RFC 8656 sections 11.6 and 12.6). up is the
// bucket of a peer that is a session too. Nothing is charged for what the client has not permitted: strangers could use up its limit.
func (s *Session) fromPeer(batch udpio.Batch, p *udpio.Packet, peer netip.AddrPort, up *bucket) Drop {
	r, now, n := s.routes.Load(), s.relay.clock.Load(), len(p.Payload())
	if _, ok := r.permit(peer.Addr(), now); !ok {
		return DropPeerDenied
	}
	if !s.relay.withinBandwidth(n, up, &s.downBucket) {
		return DropBandwidth
	}
	if c, ok := r.channelTo(peer, now); ok {
		h := p.Push(4)
		binary.BigEndian.PutUint16(h, c.number)
		binary.BigEndian.PutUint16(h[2:], uint16(n))
	} else {
		pushDataIndication(p, peer)
	}
	return s.client.Write(batch, p.Payload())
}

// pushDataIndication wraps the payload (RFC 8656 section 11.4).
func pushDataIndication(p *udpio.Packet, peer netip.AddrPort) {
	n := len(p.Payload())
	size := xorAddressSize(peer)
	p.Pad((4 - n%4) % 4)
	h := p.Push(headerSize + 4 + size + 4)
	binary.BigEndian.PutUint16(h, typeDataIndication)
	binary.BigEndian.PutUint16(h[2:], uint16(len(p.Payload())-headerSize))
	binary.BigEndian.PutUint32(h[4:], magicCookie)
	id := h[8:headerSize]
	binary.BigEndian.PutUint64(id, rand.Uint64())
	binary.BigEndian.PutUint32(id[8:], rand.Uint32())
	putXORAddress(putAttributeHeader(h[headerSize:], attrXORPeerAddress, size), peer, id)
	putAttributeHeader(h[headerSize+4+size:], attrData, n)
}
