package relay

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// TestRoutes compares the sorted lists with maps, over many changes in random order.
func TestRoutes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	peerOf := func(n uint16) netip.AddrPort {
		ip := netip.AddrFrom4([4]byte{192, 0, 2, byte(n / 3)})
		if n%2 == 0 {
			ip = netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 15: byte(n / 3)})
		}
		return netip.AddrPortFrom(ip, 1000+n)
	}
	channels, permits := map[uint16]int64{}, map[netip.Addr]int64{}
	r := &noRoutes
	for now := range int64(400) {
		n := uint16(random.IntN(60))
		peer, deadline := peerOf(n), now+1+random.Int64N(80)
		r = r.living(now)
		if random.IntN(2) == 0 {
			r.allow(permit{peer.Addr(), deadline, ReachNetwork})
		} else {
			r.bind(channel{peer, deadline, n, ReachHost})
			r.allow(permit{peer.Addr(), deadline, ReachHost})
			channels[n] = deadline
		}
		permits[peer.Addr()] = deadline
		r.index()
		for n := range uint16(60) {
			peer := peerOf(n)
			c, ok := r.channel(n, now)
			if bound := channels[n] > now; ok != bound || ok && (c.peer != peer || c.deadline != channels[n]) {
				t.Fatalf("at %d channel %d is %+v, %v", now, n, c, ok)
			}
			if back, okBack := r.channelTo(peer, now); okBack != ok || back != c {
				t.Fatalf("at %d the channel to %v is %+v, that of the number %+v", now, peer, back, c)
			}
			p, ok := r.permit(peer.Addr(), now)
			if permitted := permits[peer.Addr()] > now; ok != permitted || ok && p.deadline != permits[peer.Addr()] {
				t.Fatalf("at %d the permission of %v is %+v, %v", now, peer, p, ok)
			}
		}
	}
	if r = r.living(1000); len(r.channels)+len(r.permits) != 0 {
		t.Errorf("expired routes are kept: %+v", r)
	}
}
