//go:build linux

package faults

import (
	"net"
	"net/netip"
	"testing"

	"github.com/pion/stun"

	"github.com/maitred/maitred/test/harness"
)

// TestPortOfAVanishedClient: a NAT gives the mapped port of a client that has
// crashed to another one. 437 makes that one take another port; 441 would make
// it give up (RFC 8656 sections 7.2 and 7.4).
func TestPortOfAVanishedClient(t *testing.T) {
	d := harness.Start(t, "MAITRED_TURN_SECRETS="+secret)
	at := netip.MustParseAddrPort(d.Listening("turn-udp"))
	vanished := dial(t, "udp", at.String()).allocate()
	port := vanished.conn.LocalAddr().(*net.UDPAddr)
	vanished.conn.Close()
	for _, user := range []string{"user", "another user"} {
		conn, err := net.DialUDP("udp", port, net.UDPAddrFromAddrPort(at))
		if err != nil {
			t.Fatal(err)
		}
		c := newClient(t, conn, user)
		if code := c.request(stun.MethodAllocate, overUDP); code != 437 {
			t.Errorf("Allocate of %s: %d, want 437", user, code)
		}
		conn.Close()
	}
}
