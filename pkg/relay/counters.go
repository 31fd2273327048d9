package relay

import "sync/atomic"

// Drop is the reason why a packet was thrown away. Its name is the label of maitred_turn_dropped_packets_total.
type Drop uint8

// The reasons. "From a client" and "from a peer" are the direction of the packet.
const (
	DropNone         Drop = iota
	DropNotTURN           // from a client: neither STUN nor ChannelData
	DropMalformed         // from a client: a STUN or ChannelData message that is cut short or contradicts itself
	DropUnexpected        // from a client: a STUN message that a server does not take, such as a response
	DropNoAllocation      // from a client: data without an allocation
	DropNoChannel         // from a client: data for a channel that is not bound or has expired
	DropNoPermission      // from a client: a Send indication to a peer without a permission
	DropPeerDenied        // from a peer that the client has given no permission
	DropNoSuchRelay       // from a client: to an address of ours that is no relayed address at present
	DropOwnListener       // from a client: to a listener of this daemon
	DropSendToPeer        // the kernel refused the packet to the peer
	DropSendToClient      // the kernel refused the packet to the client
	DropQueueFull         // to a client on a stream that does not read fast enough
	DropControlBusy       // a control request: too many are waiting
	DropControlBig        // a control request that is longer than any client needs
	DropUnauthorized      // a request without a valid credential: its address has had enough answers
	DropEngine            // a control request that the engine did not answer
	DropClosed            // the client or the relay has just gone
	DropBandwidth         // over a bandwidth limit: of a session in this direction, or of the relay
	dropReasons
)

var dropNames = [dropReasons]string{"none", "not_turn", "malformed", "unexpected", "no_allocation", "no_channel", "no_permission",
	"peer_denied", "no_such_relay", "own_listener", "send_to_peer", "send_to_client", "queue_full", "control_busy", "control_big",
	"unauthorized", "engine", "closed", "bandwidth"}

// String returns the reason's name in metrics.
func (d Drop) String() string { return dropNames[d] }

// Drop counts a packet that was thrown away; DropNone counts nothing.
func (r *Relay) Drop(d Drop) {
	if d != DropNone {
		r.drops[d].Add(1)
	}
}

// Count is an amount of traffic.
type Count struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

func (c *Count) add(o Count) { c.Packets += o.Packets; c.Bytes += o.Bytes }

// Traffic is what was relayed, payload bytes without any header. Packets that the kernel then refused are in it, and among the drops
// as DropSendToPeer or DropSendToClient.
type Traffic struct {
	Up           Count `json:"up"`            // from clients to peers
	Down         Count `json:"down"`          // from peers to clients
	ShortCircuit Count `json:"short_circuit"` // from clients to clients of the same relay, counted once, at the sender
}

// counter counts one path of one session. Only the goroutine that reads the socket adds to it in the common case, so that the
// atomic operations do not contend.
type counter struct{ packets, bytes atomic.Uint64 }

func (c *counter) add(n int) {
	c.packets.Add(1)
	c.bytes.Add(uint64(n))
}

func (c *counter) count() Count { return Count{c.packets.Load(), c.bytes.Load()} }

// Stats is a relay's account of itself.
type Stats struct {
	Traffic Traffic
	Dropped map[Drop]uint64 // every reason, also those that have not occurred
}

// Stats adds up living and ended sessions. A session moves from one to the other under the lock, so that no counter runs backwards.
func (r *Relay) Stats() Stats {
	s := Stats{Dropped: make(map[Drop]uint64, dropReasons-1)}
	r.retired.mu.Lock()
	s.Traffic = r.retired.traffic
	for _, session := range r.byRelayed.all() {
		s.Traffic.Add(session.Traffic())
	}
	r.retired.mu.Unlock()
	for d := DropNone + 1; d < dropReasons; d++ {
		s.Dropped[d] = r.drops[d].Load()
	}
	return s
}

// Add adds o to t.
func (t *Traffic) Add(o Traffic) {
	t.Up.add(o.Up)
	t.Down.add(o.Down)
	t.ShortCircuit.add(o.ShortCircuit)
}
