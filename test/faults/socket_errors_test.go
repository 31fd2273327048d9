//go:build linux

package faults

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun"
	"golang.org/x/sys/unix"

	"github.com/maitred/maitred/test/harness"
)

const (
	goodChannel = 0x4001
	badChannel  = 0x4002

	dropsToPeer   = `maitred_turn_dropped_packets_total{reason="send_to_peer"}`
	dropsToClient = `maitred_turn_dropped_packets_total{reason="send_to_client"}`
)

// obstacle is something that makes the kernel refuse packets to one peer.
type obstacle struct {
	name string
	// put and remove are command lines: PEER, IP and DEVICE stand for the
	// peer's address, the ip command of its family and the way to it.
	put, remove []string
	errno       error // what the kernel tells a sender; nil: nothing
	families    []int
}

var obstacles = []obstacle{
	{"unreachable", []string{"IP route add unreachable PEER"}, []string{"IP route del unreachable PEER"}, unix.EHOSTUNREACH, []int{4, 6}},
	{"prohibited", []string{"IP route add prohibit PEER"}, []string{"IP route del prohibit PEER"}, unix.EACCES, []int{4, 6}},
	{"black hole", []string{"IP route add blackhole PEER"}, []string{"IP route del blackhole PEER"}, unix.EINVAL, []int{4, 6}},
	{"firewall", []string{
		"nft add table inet obstacle",
		"nft add chain inet obstacle out { type filter hook output priority 0 ; }",
		"nft add rule inet obstacle out oifname DEVICE drop",
	}, []string{"nft delete table inet obstacle"}, unix.EPERM, []int{4, 6}},
	// The kernel hides ENOBUFS from UDP sockets that did not ask for IP_RECVERR.
	{"full transmit queue", []string{"tc qdisc add dev DEVICE root tbf rate 8kbit burst 1600 limit 1600"}, []string{"tc qdisc del dev DEVICE root"}, nil, []int{4, 6}},
	// Last and without IPv6, whose address goes with the cable.
	{"no route", []string{"ip link set DEVICE down"}, []string{"ip link set DEVICE up"}, unix.ENETUNREACH, []int{4}},
}

func (o obstacle) run(t testing.TB, lines []string, s *site, ip netip.Addr) {
	t.Helper()
	family := "ip"
	if ip.Is6() {
		family = "ip -6"
	}
	for _, line := range lines {
		run(t, strings.NewReplacer("PEER", ip.String(), "IP", family, "DEVICE", s.device).Replace(line))
	}
}

// TestRelaySocketErrors: a packet that the kernel refuses costs that packet.
func TestRelaySocketErrors(t *testing.T) {
	ownAddresses(t)
	d := startOnOwnAddresses(t)
	good, bad := newSite(t), newSite(t)
	for _, o := range obstacles {
		for _, family := range o.families {
			for _, transport := range []string{"udp", "tcp"} {
				t.Run(fmt.Sprintf("%s, IPv%d, client over %s", o.name, family, transport), func(t *testing.T) {
					n := newNetwork(t, d, good, bad, transport, family == 6)
					o.run(t, o.put, bad, n.bad.addr.Addr())
					remove := sync.OnceFunc(func() { o.run(t, o.remove, bad, n.bad.addr.Addr()) })
					t.Cleanup(remove)
					if err := n.probe(); !errors.Is(err, o.errno) {
						t.Fatalf("the kernel says %v, want %v", err, o.errno)
					}
					n.sendToBoth(o.errno != nil)
					n.talkToGood()
					remove()
					talk(t, "after the obstacle is gone", n.toBad, n.fromBad, n.client.payload, n.bad.payload)
				})
			}
		}
	}
}

func startOnOwnAddresses(t *testing.T) *harness.Daemon {
	return harness.Start(t, "MAITRED_TURN_SECRETS="+secret, fmt.Sprintf("MAITRED_TURN_UDP=%v:0", own4), fmt.Sprintf("MAITRED_TURN_TCP=%v:0", own4),
		fmt.Sprintf("MAITRED_TURN_EXTERNAL_IP=%v,%v", own4, own6))
}

// network is an allocation with a good and a bad peer.
type network struct {
	t         *testing.T
	daemon    *harness.Daemon
	client    *client
	good, bad *socket
}

func newNetwork(t *testing.T, d *harness.Daemon, good, bad *site, transport string, ipv6 bool) *network {
	t.Helper()
	n := &network{t: t, daemon: d, client: dial(t, transport, d.Listening("turn-"+transport))}
	if ipv6 {
		n.good, n.bad = good.listen(t, good.ip6), bad.listen(t, bad.ip6)
		n.client.allocate(overIPv6)
	} else {
		n.good, n.bad = good.listen(t, good.ip4), bad.listen(t, bad.ip4)
		n.client.allocate()
	}
	t.Cleanup(func() { n.client.request(stun.MethodRefresh, lifetime(0)) })
	n.client.bind(goodChannel, n.good.addr)
	n.client.bind(badChannel, n.bad.addr)
	n.talkToGood()
	talk(t, "before", n.toBad, n.fromBad, n.client.payload, n.bad.payload)
	return n
}

func (n *network) toGood(b []byte)   { n.client.send(channelData(goodChannel, b)) }
func (n *network) toBad(b []byte)    { n.client.send(channelData(badChannel, b)) }
func (n *network) fromGood(b []byte) { n.good.sendTo(n.client.relayed, b) }
func (n *network) fromBad(b []byte)  { n.bad.sendTo(n.client.relayed, b) }

func (n *network) talkToGood() {
	n.t.Helper()
	talk(n.t, "the good peer", n.toGood, n.fromGood, n.client.payload, n.good.payload)
}

// probe sends to the bad peer as the relay does and returns what the kernel
// says.
func (n *network) probe() error {
	n.t.Helper()
	own := own4
	if n.bad.addr.Addr().Is6() {
		own = own6
	}
	s, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(own, 0)))
	if err != nil {
		n.t.Fatal(err)
	}
	defer s.Close()
	for range 10 {
		if _, err := s.WriteToUDPAddrPort(make([]byte, 1000), n.bad.addr); err != nil {
			return err
		}
	}
	return nil
}

// sendToBoth sends to the good and to the bad peer in turn and in runs. What
// goes to the good one arrives, what goes to the bad one is counted.
func (n *network) sendToBoth(counted bool) {
	n.t.Helper()
	before, refused := n.daemon.Metric(dropsToPeer), 0
	for round := range 8 {
		for range 1 + round%3*8 {
			n.toBad(make([]byte, 700))
			refused++
		}
		n.client.send(indication(n.bad.addr, []byte("an indication")))
		refused++
		n.toGood(fmt.Appendf(nil, "between %d", round))
	}
	for round := range 8 {
		want := fmt.Appendf(nil, "between %d", round)
		if got := n.good.payload(patience); !bytes.Equal(got, want) {
			n.t.Fatalf("the good peer got %.20q, want %q", got, want)
		}
	}
	if !counted {
		return
	}
	harness.Within(n.t, patience, "every refused packet is counted once", func() (bool, any) {
		count := n.daemon.Metric(dropsToPeer) - before
		return count == float64(refused), fmt.Sprintf("%v of %d", count, refused)
	})
}

// TestClosedPeerPort: the peer's machine answers with ICMP, over and over.
func TestClosedPeerPort(t *testing.T) {
	ownAddresses(t)
	d := startOnOwnAddresses(t)
	good, bad := newSite(t), newSite(t)
	for _, transport := range []string{"udp", "tcp"} {
		for _, ipv6 := range []bool{false, true} {
			n := newNetwork(t, d, good, bad, transport, ipv6)
			n.bad.Close()
			n.wantRefusedByPeer(bad)
			n.sendToBoth(false)
			n.talkToGood()
		}
	}
}

// wantRefusedByPeer makes sure that the peer's machine sends ICMP.
func (n *network) wantRefusedByPeer(from *site) {
	n.t.Helper()
	c, err := net.Dial("udp", n.bad.addr.String())
	if err != nil {
		n.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("anybody there?")); err != nil {
		n.t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		n.t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNREFUSED) {
		n.t.Fatalf("%s answers %v, want ECONNREFUSED", from.name, err)
	}
}

// TestTooLongForUDP: what fits a frame on a stream need not fit a datagram.
func TestTooLongForUDP(t *testing.T) {
	ownAddresses(t)
	d := startOnOwnAddresses(t)
	n := newNetwork(t, d, newSite(t), newSite(t), "tcp", false)
	before := d.Metric(dropsToPeer)
	n.toGood(make([]byte, 65520))
	harness.Within(t, patience, "the packet is counted", func() (bool, any) {
		count := d.Metric(dropsToPeer) - before
		return count == 1, count
	})
	n.talkToGood()
	long := bytes.Repeat([]byte("long"), 65507/4)
	delivers(t, "the longest datagram", func() { n.toGood(long) }, n.good.payload, long)
}

// TestFullSendBuffer: packets pile up in the relay socket until the kernel
// takes no more (EAGAIN).
func TestFullSendBuffer(t *testing.T) {
	ownAddresses(t)
	d := startOnOwnAddresses(t)
	bad := newSite(t)
	n := newNetwork(t, d, newSite(t), bad, "tcp", false)
	run(t, "tc qdisc add dev "+bad.device+" root tbf rate 8kbit burst 1600 limit 500mb")
	before := d.Metric(dropsToPeer)
	harness.Within(t, patience, "the socket's buffer is full", func() (bool, any) {
		for range 20 {
			n.toBad(make([]byte, 60000))
		}
		return d.Metric(dropsToPeer) > before, "nothing refused"
	})
	run(t, "tc qdisc del dev "+bad.device+" root")
	n.talkToGood()
	talk(t, "after the jam", n.toBad, n.fromBad, n.client.payload, n.bad.payload)
}

// TestClientOutOfReach: the way to a client breaks and is mended.
func TestClientOutOfReach(t *testing.T) {
	ownAddresses(t)
	d := startOnOwnAddresses(t)
	home, away := newSite(t), newSite(t)
	at := netip.MustParseAddrPort(d.Listening("turn-udp"))
	c, far := home.dial(t, "udp", at).allocate(), away.listen(t, away.ip4)
	c.bind(goodChannel, far.addr)
	both := func() {
		t.Helper()
		talk(t, "the call", func(b []byte) { c.send(channelData(goodChannel, b)) }, func(b []byte) { far.sendTo(c.relayed, b) }, c.payload, far.payload)
	}
	both()
	before := d.Metric(dropsToClient)
	run(t, "ip link set "+home.device+" down")
	for range 50 {
		far.sendTo(c.relayed, []byte("where are you?"))
	}
	harness.Within(t, patience, "packets to the client are counted", func() (bool, any) {
		count := d.Metric(dropsToClient) - before
		return count == 50, count
	})
	run(t, "ip link set "+home.device+" up")
	both()
	if code := c.request(stun.MethodRefresh); code != 0 {
		t.Errorf("Refresh: %d", code)
	}
}
