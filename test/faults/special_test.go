//go:build linux

package faults

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun"

	"github.com/maitred/maitred/test/harness"
)

// Public addresses that nobody here has.
var (
	public4 = netip.MustParseAddr("45.33.32.156")
	public6 = netip.MustParseAddr("2600:3c01::f03c:91ff:fe18:bb2f")
)

// special4 and special6 are addresses that a relay must not reach: the special
// ones of the IANA registries, cloud metadata, and forms of IPv6 that lead to an
// IPv4 address of those.
var (
	special4 = []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.0", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255",
		"127.0.0.1", "127.1.2.3", "127.255.255.255", "169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1",
		"192.0.0.192", "192.0.2.1", "192.168.0.1", "192.168.255.255", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1",
		"224.0.0.1", "224.0.0.251", "239.255.255.250", "240.0.0.1", "255.255.255.255",
	}
	special6 = []string{
		"::", "::1", "::2", "fe80::1", "fe80::ffff:ffff:ffff:ffff", "febf::1", "fec0::1", "feff::1", "fc00::1", "fd00::1", "fd00:ec2::254", "fd12:3456::1",
		"ff02::1", "ff02::fb", "ff05::2", "ff0e::1", "2001:db8::1", "3fff::1", "100::1", "100:0:0:1::1", "5f00::1",
		// IPv4-mapped (RFC 4291 section 2.5.5.2), also of public addresses
		"::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:192.168.1.1", "::ffff:0.0.0.0", "::ffff:45.33.32.156",
		// IPv4-compatible (section 2.5.5.1), IPv4-translated (RFC 2765)
		"::10.0.0.1", "::127.0.0.1", "::169.254.169.254", "::45.33.32.156", "::ffff:0:10.0.0.1", "::ffff:0:127.0.0.1",
		// NAT64 (RFC 6052, RFC 8215)
		"64:ff9b::10.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b::100.64.0.1", "64:ff9b::255.255.255.255",
		"64:ff9b:1::10.0.0.1", "64:ff9b:1:a00:0:100::", "64:ff9b:1:ffff::1",
		// 6to4 (RFC 3056) of 10.0.0.1, 127.0.0.1, 169.254.169.254, 192.168.1.1
		"2002:a00:1::1", "2002:7f00:1::1", "2002:a9fe:a9fe::1", "2002:c0a8:101::1",
		// Teredo (RFC 4380): server 10.0.0.1; client 10.0.0.1, whose bits are inverted
		"2001:0:a00:1::1", "2001::f5ff:fffe", "2001:0:4136:e378:8000:63bf:f5ff:fffe",
		// ISATAP (RFC 5214) on a private prefix, ORCHID, benchmarking
		"fe80::5efe:10.0.0.1", "fd00::5efe:10.0.0.1", "2001:20::1", "2001:2::1",
	}
)

// TestNoRelayIntoSpecialAddresses asks the daemon, as it is by default, for
// every way to every such address.
func TestNoRelayIntoSpecialAddresses(t *testing.T) {
	ownAddresses(t) // after these the daemon counts 45.0.0.1 and 2a00:45::1 as this machine's
	relayed4, relayed6 := netip.MustParseAddr("45.0.99.1"), netip.MustParseAddr("2a00:45:99::1")
	d := harness.Start(t, "MAITRED_TURN_SECRETS="+secret, "MAITRED_TURN_QUOTA_PER_USER=0",
		fmt.Sprintf("MAITRED_TURN_EXTERNAL_IP=%v,%v", relayed4, relayed6))
	for _, transport := range []string{"udp", "tcp"} {
		t.Run("IPv4 over "+transport, func(t *testing.T) {
			c := dial(t, transport, d.Listening("turn-"+transport)).allocate()
			wantDenied(t, d, c, append(parse(special4), own4))
			wantWrongFamily(t, c, append(parse(special6), public6, own6))
			wantAllowed(t, d, c, public4)
		})
		t.Run("IPv6 over "+transport, func(t *testing.T) {
			c := dial(t, transport, d.Listening("turn-"+transport)).allocate(overIPv6)
			wantDenied(t, d, c, append(parse(special6), own6))
			wantWrongFamily(t, c, append(parse(special4), public4, own4))
			wantAllowed(t, d, c, public6)
		})
	}
	t.Run("among allowed ones", func(t *testing.T) {
		c := dial(t, "udp", d.Listening("turn-udp")).allocate()
		public, private := netip.AddrPortFrom(public4, 9), netip.MustParseAddrPort("10.0.0.1:9")
		for _, attributes := range [][]stun.Setter{{peer(public), peer(private)}, {peer(private), peer(public)}} {
			if code := c.request(stun.MethodCreatePermission, attributes...); code != 403 {
				t.Errorf("CreatePermission: %d, want 403", code)
			}
			wantDropped(t, d, c, "no_permission", indication(public, []byte("x")), indication(private, []byte("x")))
		}
	})
	t.Run("relayed addresses lead to nobody else", func(t *testing.T) {
		c := dial(t, "udp", d.Listening("turn-udp")).allocate()
		at := netip.MustParseAddrPort(d.Listening("turn-udp"))
		to := netip.AddrPortFrom(relayed4, at.Port())
		c.bind(0x4000, to) // always allowed: inside the process
		wantDropped(t, d, c, "no_such_relay", channelData(0x4000, []byte("x")), indication(to, []byte("x")))
	})
}

func parse(list []string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// raw is an XOR-PEER-ADDRESS with exactly these bytes: an IPv4-mapped address
// stays one of family 2.
type raw struct {
	family byte
	first  byte // reserved, to be ignored
	to     netip.AddrPort
}

// AddTo implements stun.Setter (RFC 8489 section 14.2).
func (r raw) AddTo(m *stun.Message) error {
	value := []byte{r.first, r.family, byte(r.to.Port()>>8) ^ 0x21, byte(r.to.Port()) ^ 0x12}
	for i, b := range r.to.Addr().AsSlice() {
		value = append(value, b^m.Raw[4+i]) // cookie and transaction ID
	}
	m.Add(stun.AttrXORPeerAddress, value)
	return nil
}

func exactly(a netip.Addr, port uint16) raw {
	family := byte(1)
	if a.Is6() {
		family = 2
	}
	return raw{family: family, to: netip.AddrPortFrom(a, port)}
}

// wantDenied expects 403 for permission and channel, and nothing from a Send
// indication; what listens at the address on this machine hears nothing.
func wantDenied(t *testing.T, d *harness.Daemon, c *client, list []netip.Addr) {
	t.Helper()
	var indications [][]byte
	var ears []*socket
	for _, a := range list {
		ear := hear(t, a)
		if ear != nil {
			ears = append(ears, ear)
		}
		port := uint16(80)
		if ear != nil {
			port = ear.addr.Port()
		}
		for _, p := range []raw{exactly(a, port), exactly(a, 0), {family: exactly(a, 0).family, first: 0xff, to: netip.AddrPortFrom(a, port)}} {
			if code := c.request(stun.MethodCreatePermission, p); code != 403 {
				t.Errorf("CreatePermission for %v (first byte %#x): %d, want 403", p.to, p.first, code)
			}
			if code := c.request(stun.MethodChannelBind, channelNumber(0x4000), p); code != 403 {
				t.Errorf("ChannelBind to %v (first byte %#x): %d, want 403", p.to, p.first, code)
			}
		}
		data := stun.RawAttribute{Type: stun.AttrData, Value: []byte("let me in")}
		indications = append(indications, stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), exactly(a, port), data).Raw)
	}
	wantDropped(t, d, c, "no_permission", indications...)
	wantDropped(t, d, c, "no_channel", channelData(0x4000, []byte("let me in")))
	for _, ear := range ears {
		if got := ear.payload(time.Millisecond); got != nil {
			t.Errorf("%v was reached: %q", ear.addr, got)
		}
	}
}

// hear listens at the address where this machine has it, and returns nil where
// it has not.
func hear(t *testing.T, a netip.Addr) *socket {
	t.Helper()
	if v4 := a.Unmap(); !v4.IsLoopback() && v4 != own4 && v4 != own6 {
		return nil
	}
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a.Unmap(), 0)))
	if err != nil {
		t.Fatal(err)
	}
	return newSocket(t, c)
}

func wantWrongFamily(t *testing.T, c *client, list []netip.Addr) {
	t.Helper()
	for _, a := range list {
		if code := c.request(stun.MethodCreatePermission, exactly(a, 80)); code != 443 {
			t.Errorf("CreatePermission for %v: %d, want 443", a, code)
		}
		if code := c.request(stun.MethodChannelBind, channelNumber(0x4000), exactly(a, 80)); code != 443 {
			t.Errorf("ChannelBind to %v: %d, want 443", a, code)
		}
	}
	// A family that its length contradicts, and one that does not exist.
	for _, r := range []raw{{family: 1, to: netip.MustParseAddrPort("[::ffff:10.0.0.1]:80")}, {family: 2, to: netip.MustParseAddrPort("10.0.0.1:80")},
		{family: 3, to: netip.MustParseAddrPort("10.0.0.1:80")}, {family: 0, to: netip.MustParseAddrPort("10.0.0.1:80")}} {
		if code := c.request(stun.MethodCreatePermission, r); code != 400 {
			t.Errorf("CreatePermission for %v as family %d: %d, want 400", r.to, r.family, code)
		}
	}
}

// wantAllowed is the control: the same requests do for a public address. The
// packet goes as far as the kernel, which has no route here.
func wantAllowed(t *testing.T, d *harness.Daemon, c *client, a netip.Addr) {
	t.Helper()
	if code := c.request(stun.MethodCreatePermission, exactly(a, 9)); code != 0 {
		t.Errorf("CreatePermission for %v: %d", a, code)
	}
	if code := c.request(stun.MethodChannelBind, channelNumber(0x4000), exactly(a, 9)); code != 0 {
		t.Errorf("ChannelBind to %v: %d", a, code)
	}
	wantDropped(t, d, c, "send_to_peer", channelData(0x4000, []byte("x")), indication(netip.AddrPortFrom(a, 9), []byte("x")))
}

// wantDropped sends messages and expects each to be counted under the reason.
func wantDropped(t *testing.T, d *harness.Daemon, c *client, reason string, messages ...[]byte) {
	t.Helper()
	before := d.Metric(dropped(reason))
	for i, m := range messages {
		c.send(m)
		if i%16 == 15 {
			c.request(stun.MethodRefresh) // its answer says that what came before has been dealt with
		}
	}
	c.request(stun.MethodRefresh)
	harness.Within(t, patience, "counted as "+reason, func() (bool, any) {
		n := d.Metric(dropped(reason)) - before
		return n == float64(len(messages)), fmt.Sprintf("%v of %d", n, len(messages))
	})
}
