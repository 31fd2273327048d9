package icecheck

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/pion/stun"
)

// fakeRelay is the data half of a fakeServer: it passes ChannelData messages on between clients that have bound channels to each other.
type fakeRelay struct {
	pass func(message []byte) bool // nil: all

	mu      sync.Mutex
	send    map[netip.AddrPort]func([]byte)   // by client
	relayed map[netip.AddrPort]netip.AddrPort // by client
	bound   map[netip.AddrPort]netip.AddrPort // client to the peer of its channel
	given   []netip.AddrPort                  // relayed addresses to hand out before made-up ones
	permits map[netip.AddrPort]netip.AddrPort // client to the peer that it has permitted last
}

func newFakeRelay(given ...netip.AddrPort) *fakeRelay {
	return &fakeRelay{send: map[netip.AddrPort]func([]byte){}, relayed: map[netip.AddrPort]netip.AddrPort{},
		bound: map[netip.AddrPort]netip.AddrPort{}, permits: map[netip.AddrPort]netip.AddrPort{}, given: given}
}

// took remembers how to reach the client, and passes ChannelData on; false for what is a request.
func (r *fakeRelay) took(client netip.AddrPort, b []byte, send func([]byte)) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.send[client] = send
	if b[0]>>6 != 1 {
		return false
	}
	for peer, relayed := range r.relayed {
		if relayed == r.bound[client] && r.bound[peer] == r.relayed[client] && (r.pass == nil || r.pass(b)) {
			r.send[peer](slices.Clone(b))
		}
	}
	return true
}

// respond is what the control half answers to requests that matter here.
func (r *fakeRelay) respond(_ int, m *stun.Message, from netip.AddrPort) ([][]byte, bool) {
	if !m.Contains(stun.AttrMessageIntegrity) || !authentic(m) {
		return nil, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var peer stun.XORMappedAddress
	_ = peer.GetFromAs(m, stun.AttrXORPeerAddress) // zero where there is none
	switch m.Type.Method {
	case stun.MethodAllocate:
		a := netip.AddrPortFrom(testRelayed.Addr(), testRelayed.Port()+uint16(len(r.relayed)))
		if len(r.given) > 0 {
			a, r.given = r.given[0], r.given[1:]
		}
		r.relayed[from] = a
		return reply(success(m, stun.RawAttribute{Type: stun.AttrXORMappedAddress, Value: xorValue(m, from)},
			stun.RawAttribute{Type: stun.AttrXORRelayedAddress, Value: xorValue(m, a)}))
	case stun.MethodChannelBind:
		if number, err := m.Get(stun.AttrChannelNumber); err != nil || binary.BigEndian.Uint32(number) != loopChannel<<16 {
			return reply(failure(m, 400))
		}
		r.bound[from] = addrPort(peer)
	case stun.MethodCreatePermission:
		r.permits[from] = addrPort(peer)
	}
	return reply(success(m))
}

// listen opens a socket that stands for a relayed address. What comes there goes to the client whose relayed address it is in Data indications that
// say it came from what as makes of where it did.
func (r *fakeRelay) listen(t *testing.T, as func(netip.AddrPort) netip.AddrPort) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	at := c.LocalAddr().(*net.UDPAddr).AddrPort()
	var g sync.WaitGroup
	t.Cleanup(func() { c.Close(); g.Wait() })
	g.Go(func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			r.indicate(at, as(from), slices.Clone(buf[:n]))
		}
	})
	return at
}

func (r *fakeRelay) indicate(at, from netip.AddrPort, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for client, relayed := range r.relayed {
		if relayed != at || r.permits[client].Addr() != from.Addr() {
			continue
		}
		stray := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodData, stun.ClassIndication), stun.RawAttribute{Type: stun.AttrData, Value: []byte("stray")})
		m := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodData, stun.ClassIndication), peerAddress(from), stun.RawAttribute{Type: stun.AttrData, Value: data})
		r.send[client]([]byte("garbage"))
		r.send[client](stray.Raw)
		r.send[client](m.Raw)
	}
}
