package turn

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/maitred/maitred/pkg/relay"
)

// The limit of these tests is so low that the burst of 64 KiB is all that passes while they run: one packet of this size.
const (
	lowestBandwidth = 1 // bits per second
	mostOfBurst     = 60_000
)

// speaker is a client with a channel to a peer outside.
type speaker struct {
	*client
	peer *net.UDPConn
	at   netip.AddrPort
}

func (s *testServer) speaker(t *testing.T, network string) *speaker {
	t.Helper()
	c := s.dial(t, network)
	c.allocate()
	conn, at := remote(t, "127.0.0.1")
	c.bind(0x4000, at)
	return &speaker{c, conn, at}
}

func numbered(i byte) []byte { return bytes.Repeat([]byte{i}, mostOfBurst) }

func (s *speaker) up(i byte) { s.t.Helper(); s.sendChannel(0x4000, numbered(i)) }

func (s *speaker) down(i byte) {
	s.t.Helper()
	if _, err := s.peer.WriteToUDPAddrPort(numbered(i), s.relayed); err != nil {
		s.t.Fatal(err)
	}
}

// wantBandwidth waits until these packets, and no others, are accounted for. Tests send one by one: a burst of packets as large as
// these could overflow a socket's buffer.
func (s *testServer) wantBandwidth(t *testing.T, traffic relay.Traffic, dropped uint64) {
	t.Helper()
	s.wantDrop(t, relay.DropBandwidth, dropped)
	eventually(t, "what has passed is counted", func() bool { return s.relay.Stats().Traffic == traffic })
}

func packets(n uint64) relay.Count { return relay.Count{Packets: n, Bytes: n * mostOfBurst} }

// TestBandwidthPerAllocation: the burst passes in each direction, the rest is dropped; control requests and other allocations are
// as free as before.
func TestBandwidthPerAllocation(t *testing.T) {
	for _, network := range roomy {
		t.Run(network, func(t *testing.T) {
			s := start(t, func(c *Config) { c.Bandwidth.PerAllocation = lowestBandwidth })
			first, other := s.speaker(t, network), s.speaker(t, network)
			first.up(1)
			wantDatagram(t, first.peer, first.relayed, numbered(1))
			for i := range byte(5) {
				first.up(10 + i)
				s.wantBandwidth(t, relay.Traffic{Up: packets(1)}, uint64(1+i))
			}
			first.down(2)
			first.wantChannel(0x4000, numbered(2))
			for i := range byte(5) {
				first.down(20 + i)
				s.wantBandwidth(t, relay.Traffic{Up: packets(1), Down: packets(1)}, uint64(6+i))
			}

			first.bind(0x4000, first.at) // answered, and nothing of what was dropped comes before
			other.up(3)
			wantDatagram(t, other.peer, other.relayed, numbered(3))
			other.down(4)
			other.wantChannel(0x4000, numbered(4))
			s.wantBandwidth(t, relay.Traffic{Up: packets(2), Down: packets(2)}, 10)
		})
	}
}

// TestBandwidthInTotal is shared by allocations, transports and directions.
func TestBandwidthInTotal(t *testing.T) {
	s := start(t, func(c *Config) { c.Bandwidth.Total = lowestBandwidth })
	first, other := s.speaker(t, "udp"), s.speaker(t, "tcp")
	first.up(1)
	wantDatagram(t, first.peer, first.relayed, numbered(1))
	for i, send := range []func(byte){first.up, first.down, other.up, other.down} {
		send(2)
		s.wantBandwidth(t, relay.Traffic{Up: packets(1)}, uint64(i+1))
	}
}

// TestBandwidthOfBothEndsRelayed: what the sender may send and what the receiver may receive, whatever their transports.
func TestBandwidthOfBothEndsRelayed(t *testing.T) {
	for _, network := range roomy {
		for _, to := range roomy {
			t.Run(network+" to "+to, func(t *testing.T) {
				s := start(t, func(c *Config) { c.RelayPorts = relay.PortRange{}; c.Bandwidth.PerAllocation = lowestBandwidth })
				a, b, receiver := s.dial(t, network), s.dial(t, network), s.dial(t, to)
				receiver.allocate()
				for _, sender := range []*client{a, b} {
					sender.allocate()
					sender.bind(0x4000, receiver.relayed)
					receiver.permit(sender.relayed)
				}
				a.sendChannel(0x4000, numbered(1))
				receiver.wantData(a.relayed, numbered(1))
				a.sendChannel(0x4000, numbered(2)) // over what a may send
				s.wantBandwidth(t, relay.Traffic{ShortCircuit: packets(1)}, 1)
				b.sendChannel(0x4000, numbered(3)) // over what the receiver may receive
				s.wantBandwidth(t, relay.Traffic{ShortCircuit: packets(1)}, 2)
				receiver.bind(0x4000, b.relayed)
				receiver.sendChannel(0x4000, numbered(4)) // its other direction is free
				b.wantChannel(0x4000, numbered(4))
			})
		}
	}
}

// TestBandwidthIsReplaced for allocations that there are.
func TestBandwidthIsReplaced(t *testing.T) {
	s := start(t, nil)
	c := s.speaker(t, "udp")
	free := func(i byte) {
		t.Helper()
		c.up(i)
		wantDatagram(t, c.peer, c.relayed, numbered(i))
	}
	for i := range byte(5) {
		free(i)
	}
	s.SetBandwidth(Bandwidth{PerAllocation: lowestBandwidth})
	free(10)
	c.up(11)
	s.wantDrop(t, relay.DropBandwidth, 1)
	s.SetBandwidth(Bandwidth{Total: lowestBandwidth})
	free(12)
	c.up(13)
	s.wantDrop(t, relay.DropBandwidth, 2)
	s.SetBandwidth(Bandwidth{})
	for i := range byte(5) {
		free(20 + i)
	}
}
