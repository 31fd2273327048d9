package relay

import (
	"errors"
	"github.com/maitred/maitred/pkg/udpio"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

const minute = time.Minute

// TestFromClient is RFC 8656 sections 11.2 and 12.5: what a client wraps leaves the relayed address bare.
func TestFromClient(t *testing.T) {
	long := strings.Repeat("x", 1997)
	for _, tt := range []struct {
		name    string
		message string
		want    sent
	}{
		{"ChannelData", channelData(0x4000, "hello"), sent{peer4, "hello"}},
		{"ChannelData with padding", channelData(0x4000, "hello") + "\x00\x00\x00", sent{peer4, "hello"}},
		{"empty ChannelData", channelData(0x4000, ""), sent{peer4, ""}},
		{"ChannelData, large", channelData(0x4000, long), sent{peer4, long}},
		{"highest channel", channelData(0x7FFF, "hi"), sent{other4, "hi"}},
		{"ChannelData, IPv6", channelData(0x4006, "six"), sent{peer6, "six"}},
		{"Send indication", sendIndication(peer4, "hello"), sent{peer4, "hello"}},
		{"Send indication, any port", sendIndication(netip.AddrPortFrom(peer4.Addr(), 9), "x"), sent{netip.AddrPortFrom(peer4.Addr(), 9), "x"}},
		{"Send indication, IPv6", sendIndication(peer6, "hello6"), sent{peer6, "hello6"}},
		{"Send indication, empty", sendIndication(peer4, ""), sent{peer4, ""}},
		{"data before address", message(typeSendIndication, attr{attrData, "odd"}, attr{attrXORPeerAddress, string(XORAddress(peer4, []byte(testID)))}), sent{peer4, "odd"}},
		{"optional attributes are passed over", message(typeSendIndication, attr{attrSoftware, "me"}, attr{attrXORPeerAddress, string(XORAddress(peer4, []byte(testID)))},
			attr{0x8055, ""}, attr{attrData, "data"}), sent{peer4, "data"}},
		{"the first of two counts", message(typeSendIndication, attr{attrXORPeerAddress, string(XORAddress(peer4, []byte(testID)))}, attr{attrData, "first"},
			attr{attrXORPeerAddress, string(XORAddress(other4, []byte(testID)))}, attr{attrData, "second"}), sent{peer4, "first"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, testPorts)
			s, _ := b.session(t, clientA, false)
			s.Bind(0x4000, peer4, ReachNetwork, 10*minute, 5*minute)
			s.Bind(0x7FFF, other4, ReachNetwork, 10*minute, 5*minute)
			s.Bind(0x4006, peer6, ReachNetwork, 10*minute, 5*minute)
			if v := b.Input(udpio.Immediate, packet(clientA, tt.message), s); v != Done {
				t.Fatalf("verdict %d", v)
			}
			if out := socketOf(s).out; len(out) != 1 || out[0] != tt.want {
				t.Errorf("sent %q, want %q", out, tt.want)
			}
			if got, want := b.Stats().Traffic, (Traffic{Up: Count{1, uint64(len(tt.want.payload))}}); got != want {
				t.Errorf("traffic %+v, want %+v", got, want)
			}
			b.wantDrops(t, nil)
		})
	}
}

// TestToClient is RFC 8656 sections 11.4 and 12.6, the headers byte for byte.
func TestToClient(t *testing.T) {
	for _, tt := range []struct {
		name          string
		from          netip.AddrPort
		payload       string
		before, after string // of the message, around the transaction ID of an indication
	}{
		{"ChannelData", peer4, "hello", "\x40\x00\x00\x05hello", ""},
		{"empty ChannelData", peer4, "", "\x40\x00\x00\x00", ""},
		{"ChannelData, IPv6", peer6, "six", "\x40\x06\x00\x03six", ""},
		{"indication, no padding", other4, "four", "\x00\x17\x00\x14\x21\x12\xa4\x42",
			"\x00\x12\x00\x08\x00\x01\x2e\xb2\xea\x12\xd5\x4a\x00\x13\x00\x04four"},
		{"indication, three bytes of padding", other4, "f", "\x00\x17\x00\x14\x21\x12\xa4\x42",
			"\x00\x12\x00\x08\x00\x01\x2e\xb2\xea\x12\xd5\x4a\x00\x13\x00\x01f\x00\x00\x00"},
		{"empty indication", other4, "", "\x00\x17\x00\x10\x21\x12\xa4\x42", "\x00\x12\x00\x08\x00\x01\x2e\xb2\xea\x12\xd5\x4a\x00\x13\x00\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, testPorts)
			s, c := b.session(t, clientA, false)
			s.Bind(0x4000, peer4, ReachNetwork, 10*minute, 5*minute)
			s.Bind(0x4006, peer6, ReachNetwork, 10*minute, 5*minute)
			s.Permit(other4.Addr(), ReachNetwork, 5*minute)
			socketOf(s).receive(tt.from, tt.payload)
			if len(c.got) != 1 || !strings.HasPrefix(c.got[0], tt.before) || !strings.HasSuffix(c.got[0], tt.after) {
				t.Fatalf("client got %x", c.got)
			}
			id := 0
			if tt.after != "" {
				id = 12
			}
			if n := len(tt.before) + id + len(tt.after); len(c.got[0]) != n {
				t.Errorf("message of %d bytes, want %d", len(c.got[0]), n)
			}
			if got, want := b.Stats().Traffic, (Traffic{Down: Count{1, uint64(len(tt.payload))}}); got != want {
				t.Errorf("traffic %+v, want %+v", got, want)
			}
			b.wantDrops(t, nil)
		})
	}
}

// TestDataIndicationIPv6 is apart because the transaction ID, which is random, goes into the address.
func TestDataIndicationIPv6(t *testing.T) {
	b := newBed(t, testPorts)
	s, c := b.session(t, clientA, true)
	s.Permit(peer6.Addr(), ReachNetwork, 5*minute)
	socketOf(s).receive(peer6, "hello")
	socketOf(s).receive(peer6, "again")
	for i, payload := range []string{"hello", "again"} {
		if want := dataIndication(c.got[i], peer6, payload); c.got[i] != want {
			t.Errorf("client got\n%x, want\n%x", c.got[i], want)
		}
	}
	if c.got[0][8:headerSize] == c.got[1][8:headerSize] {
		t.Error("two indications share a transaction ID")
	}
	if want := "\x00\x17\x00\x24\x21\x12\xa4\x42"; c.got[0][:8] != want {
		t.Errorf("header %x, want %x", c.got[0][:8], want)
	}
}

// TestExpiry moves the relay's clock to the moments around the deadlines.
func TestExpiry(t *testing.T) {
	const channelLife, permitLife = 10 * minute, 5 * minute
	for _, tt := range []struct {
		name               string
		now                time.Duration
		channel, send      Drop   // from the client
		toChannel, toOther Drop   // to the client
		wrapped            string // how the channel's peer reaches the client: its first byte
		peers              int
	}{
		{"at once", 0, DropNone, DropNone, DropNone, DropNone, "\x40", 2},
		{"permissions at their last moment", permitLife - 1, DropNone, DropNone, DropNone, DropNone, "\x40", 2},
		{"permissions expired", permitLife, DropNone, DropNoPermission, DropPeerDenied, DropPeerDenied, "", 0},
		{"channel at its last moment", channelLife - 1, DropNone, DropNoPermission, DropPeerDenied, DropPeerDenied, "", 0},
		{"all expired", channelLife, DropNoChannel, DropNoPermission, DropPeerDenied, DropPeerDenied, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, testPorts)
			s, c := b.session(t, clientA, false)
			s.Bind(0x4000, peer4, ReachNetwork, channelLife, permitLife)
			s.Permit(other4.Addr(), ReachNetwork, permitLife)
			b.clock.Store(int64(tt.now))
			want := map[Drop]uint64{}
			b.Input(udpio.Immediate, packet(clientA, channelData(0x4000, "x")), s)
			b.Input(udpio.Immediate, packet(clientA, sendIndication(other4, "x")), s)
			socketOf(s).receive(peer4, "x")
			socketOf(s).receive(other4, "x")
			for _, d := range []Drop{tt.channel, tt.send, tt.toChannel, tt.toOther} {
				if d != DropNone {
					want[d]++
				}
			}
			b.wantDrops(t, want)
			if tt.wrapped != "" && (len(c.got) == 0 || c.got[0][:1] != tt.wrapped) {
				t.Errorf("client got %x", c.got)
			}
			if s.Peers() != tt.peers || s.Permitted(peer4.Addr()) != (tt.peers > 0) {
				t.Errorf("%d peers, permitted: %v", s.Peers(), s.Permitted(peer4.Addr()))
			}
		})
	}
}

// TestRefresh is the rest of expiry: what is refreshed lives on, what has expired is forgotten with the next change.
func TestRefresh(t *testing.T) {
	b := newBed(t, testPorts)
	s, c := b.session(t, clientA, false)
	s.Bind(0x4000, peer4, ReachNetwork, 10*minute, 5*minute)
	s.Permit(other4.Addr(), ReachNetwork, 5*minute)
	b.clock.Store(int64(4 * minute))
	s.Permit(peer4.Addr(), ReachNetwork, 10*minute)
	b.clock.Store(int64(10 * minute))
	socketOf(s).receive(peer4, "late")
	if want := dataIndication(c.got[0], peer4, "late"); c.got[0] != want {
		t.Errorf("behind an expired channel the peer's data comes as %x", c.got[0])
	}
	if s.Permitted(other4.Addr()) {
		t.Error("the permission of one peer was refreshed by another's")
	}
	s.Permit(peer4.Addr(), ReachNetwork, 5*minute)
	if r := s.routes.Load(); len(r.channels) != 0 || len(r.byPeer) != 0 || len(r.permits) != 1 {
		t.Errorf("expired routes are kept: %+v", r)
	}
	s.Bind(0x4001, peer4, ReachNetwork, 10*minute, 5*minute) // another number for the peer, now that its channel has expired
	socketOf(s).receive(peer4, "new")
	if c.got[1] != channelData(0x4001, "new") {
		t.Errorf("client got %x", c.got[1])
	}
}

// TestReach is how far a permission goes, by channel and by Send indication.
func TestReach(t *testing.T) {
	host := netip.MustParseAddrPort("192.0.2.10:3478")
	elsewhere := netip.MustParseAddrPort("192.0.2.10:9")
	for _, tt := range []struct {
		name  string
		ports PortRange
		reach Reach
		to    netip.AddrPort
		drop  Drop
	}{
		{"network", testPorts, ReachNetwork, peer4, DropNone},
		{"network, a port of that number elsewhere", testPorts, ReachNetwork, netip.AddrPortFrom(peer4.Addr(), 3478), DropNone},
		{"host", testPorts, ReachHost, elsewhere, DropNone},
		{"host, our listener", testPorts, ReachHost, host, DropOwnListener},
		{"relayed, no session there", testPorts, ReachRelayed, elsewhere, DropNoSuchRelay},
		{"relayed, our listener", testPorts, ReachRelayed, host, DropNoSuchRelay},
		{"virtual addresses have no network", PortRange{}, ReachNetwork, peer4, DropNoSuchRelay},
		{"virtual addresses have no host", PortRange{}, ReachHost, elsewhere, DropNoSuchRelay},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, m := range []string{channelData(0x4000, "data"), sendIndication(tt.to, "data")} {
				b := newBed(t, tt.ports)
				b.ForbidOwnPorts(3478)
				s, _ := b.session(t, clientA, false)
				s.Bind(0x4000, tt.to, tt.reach, minute, minute)
				b.Input(udpio.Immediate, packet(clientA, m), s)
				if tt.drop != DropNone {
					b.wantDrops(t, map[Drop]uint64{tt.drop: 1})
				} else if out := socketOf(s).out; len(out) != 1 || out[0] != (sent{tt.to, "data"}) {
					t.Errorf("sent %q", out)
				}
				if s.socket != nil && tt.drop != DropNone && len(socketOf(s).out) != 0 {
					t.Errorf("left the process: %q", socketOf(s).out)
				}
			}
		})
	}
}

// TestShortCircuit sends between two clients of the relay: as if over the network, but no socket sees it.
func TestShortCircuit(t *testing.T) {
	for _, tt := range []struct {
		name    string
		ports   PortRange
		ipv6    bool
		prepare func(from, to *Session) // grants beyond the sender's
		drop    Drop
		channel bool // the receiver has a channel
		outcome Drop // of the receiving client
	}{
		{"real addresses", testPorts, false, allow, DropNone, false, DropNone},
		{"virtual addresses", PortRange{}, false, allow, DropNone, false, DropNone},
		{"IPv6", testPorts, true, allow, DropNone, false, DropNone},
		{"virtual IPv6", PortRange{}, true, allow, DropNone, false, DropNone},
		{"to a channel", testPorts, false, bind, DropNone, true, DropNone},
		{"virtual, to a channel", PortRange{}, false, bind, DropNone, true, DropNone},
		{"the target permits nobody", testPorts, false, func(_, _ *Session) {}, DropPeerDenied, false, DropNone},
		{"virtual, the target permits nobody", PortRange{}, false, func(_, _ *Session) {}, DropPeerDenied, false, DropNone},
		{"the target has gone", testPorts, false, func(_, to *Session) { to.Close() }, DropNoSuchRelay, false, DropNone},
		{"the target reads too slowly", testPorts, false, allow, DropQueueFull, false, DropQueueFull},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, send := range []func(netip.AddrPort) string{
				func(netip.AddrPort) string { return channelData(0x4000, "hello") },
				func(to netip.AddrPort) string { return sendIndication(to, "hello") },
			} {
				b := newBed(t, tt.ports)
				from, _ := b.session(t, clientA, tt.ipv6)
				to, c := b.session(t, clientB, tt.ipv6)
				c.drop = tt.outcome
				from.Bind(0x4000, to.Relayed(), ReachRelayed, minute, minute)
				tt.prepare(from, to)
				b.Input(udpio.Immediate, packet(clientA, send(to.Relayed())), from)
				checkShortCircuit(t, b, from, c, tt.drop, tt.channel)
			}
		})
	}
}

func allow(from, to *Session) { to.Permit(from.Relayed().Addr(), ReachRelayed, minute) }
func bind(from, to *Session)  { to.Bind(0x4123, from.Relayed(), ReachRelayed, minute, minute) }

func checkShortCircuit(t *testing.T, b bed, from *Session, c *fakeClient, drop Drop, channel bool) {
	t.Helper()
	for _, s := range b.network.sockets {
		if len(s.out) != 0 {
			t.Errorf("left the process: %q", s.out)
		}
	}
	if drop != DropNone {
		b.wantDrops(t, map[Drop]uint64{drop: 1})
		if len(c.got) != 0 || b.Stats().Traffic != (Traffic{}) {
			t.Errorf("client got %q, traffic %+v", c.got, b.Stats().Traffic)
		}
		return
	}
	b.wantDrops(t, nil)
	if len(c.got) != 1 {
		t.Fatalf("client got %q", c.got)
	}
	want := dataIndication(c.got[0], from.Relayed(), "hello")
	if channel {
		want = channelData(0x4123, "hello")
	}
	if c.got[0] != want {
		t.Errorf("client got\n%x, want\n%x", c.got[0], want)
	}
	if got, want := from.Traffic(), (Traffic{ShortCircuit: Count{1, 5}}); got != want || b.Stats().Traffic != want {
		t.Errorf("traffic %+v and %+v, want %+v", got, b.Stats().Traffic, want)
	}
}

// TestShortCircuitToItself is allowed as it is in a network.
func TestShortCircuitToItself(t *testing.T) {
	b := newBed(t, PortRange{})
	s, c := b.session(t, clientA, false)
	s.Bind(0x4000, s.Relayed(), ReachRelayed, minute, minute)
	b.Input(udpio.Immediate, packet(clientA, channelData(0x4000, "echo")), s)
	if !slices.Equal(c.got, []string{channelData(0x4000, "echo")}) {
		t.Errorf("client got %q", c.got)
	}
}

// TestDrops makes every reason that occurs in this package occur once.
func TestDrops(t *testing.T) {
	for _, tt := range []struct {
		name    string
		message string
		noone   bool // the client has no session
		want    Drop
	}{
		{"empty datagram", "", true, DropNotTURN},
		{"DTLS, whose first bits are STUN's", "\x16\xfe\xff\x00\x00\x00\x00", true, DropMalformed},
		{"RTP", "\x80\x60\x00\x01", false, DropNotTURN},
		{"reserved first bits", "\xff\x00\x00\x00", false, DropNotTURN},
		{"three bytes of ChannelData", "\x40\x00\x00", false, DropNotTURN},
		{"ChannelData cut short", "\x40\x00\x00\x05four", false, DropMalformed},
		{"ChannelData without an allocation", channelData(0x4000, "x"), true, DropNoAllocation},
		{"ChannelData, unbound", channelData(0x4001, "x"), false, DropNoChannel},
		{"half a STUN header", message(typeBindingRequest)[:19], true, DropMalformed},
		{"no cookie", strings.Replace(message(typeBindingRequest), "\x21\x12\xa4\x42", "\x21\x12\xa4\x43", 1), true, DropMalformed},
		{"length says more", "\x00\x01\x00\x04" + message(typeBindingRequest)[4:], true, DropMalformed},
		{"length says less", message(typeBindingRequest) + "\x00\x00\x00\x00", true, DropMalformed},
		{"length is no multiple of four", "\x00\x01\x00\x01" + message(typeBindingRequest)[4:] + "x", true, DropMalformed},
		{"control request whose length is no multiple of four", "\x00\x03\x00\x01" + message(0x0003)[4:] + "x", true, DropMalformed},
		{"attribute runs over the end", message(typeBindingRequest, attr{0x8000, ""})[:22] + "\x00\x04", true, DropMalformed},
		{"Binding success", message(typeBindingSuccess), true, DropUnexpected},
		{"Allocate error", message(0x0113), true, DropUnexpected},
		{"Data indication", message(typeDataIndication), false, DropUnexpected},
		{"indication of an unknown method", message(0x0010), false, DropUnexpected},
		{"Send without an allocation", sendIndication(peer4, "x"), true, DropNoAllocation},
		{"Send without a permission", sendIndication(netip.MustParseAddrPort("203.0.113.99:1"), "x"), false, DropNoPermission},
		{"Send without data", message(typeSendIndication, attr{attrXORPeerAddress, string(XORAddress(peer4, []byte(testID)))}), false, DropMalformed},
		{"Send without a peer", message(typeSendIndication, attr{attrData, "x"}), false, DropMalformed},
		{"Send without anything", message(typeSendIndication), false, DropMalformed},
		{"Send to a broken address", message(typeSendIndication, attr{attrXORPeerAddress, "\x00\x01\x00\x00"}, attr{attrData, "x"}), false, DropMalformed},
		{"Send with DONT-FRAGMENT", message(typeSendIndication, attr{attrXORPeerAddress, string(XORAddress(peer4, []byte(testID)))},
			attr{attrData, "x"}, attr{0x001A, ""}), false, DropMalformed},
		{"Send, attribute runs over the end", message(typeSendIndication, attr{attrData, "12345678"})[:28] + "\x00\x12\x00\x08", false, DropMalformed},
		{"Send to the IPv4-mapped form of a permitted peer", sendIndication(netip.AddrPortFrom(netip.AddrFrom16(peer4.Addr().As16()), 4000), "x"), false, DropNoPermission},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, testPorts)
			s, _ := b.session(t, clientA, false)
			s.Bind(0x4000, peer4, ReachNetwork, minute, minute)
			session := s
			if tt.noone {
				session = nil
			}
			if v := b.Input(udpio.Immediate, packet(clientA, tt.message), session); v != Done {
				t.Errorf("verdict %d", v)
			}
			b.wantDrops(t, map[Drop]uint64{tt.want: 1})
			if len(socketOf(s).out) != 0 {
				t.Errorf("sent %q", socketOf(s).out)
			}
		})
	}
}

// TestDropsOfSockets are the reasons that come from outside of the messages.
func TestDropsOfSockets(t *testing.T) {
	refused := errors.New("refused")
	for _, tt := range []struct {
		name string
		do   func(b bed, s *Session, c *fakeClient)
		want Drop
	}{
		{"the kernel refuses the peer", func(b bed, s *Session, _ *fakeClient) {
			socketOf(s).err = refused
			b.Input(udpio.Immediate, packet(clientA, channelData(0x4000, "x")), s)
		}, DropSendToPeer},
		{"the peer has no permission", func(_ bed, s *Session, _ *fakeClient) { socketOf(s).receive(other4, "x") }, DropPeerDenied},
		{"the client's queue is full", func(_ bed, s *Session, c *fakeClient) {
			c.drop = DropQueueFull
			socketOf(s).receive(peer4, "x")
		}, DropQueueFull},
		{"after Close", func(_ bed, s *Session, _ *fakeClient) {
			socket := socketOf(s)
			s.Close()
			socket.receive(peer4, "x")
		}, DropPeerDenied},
		{"a grant that comes after Close", func(_ bed, s *Session, _ *fakeClient) {
			socket := socketOf(s)
			s.Close()
			s.Bind(0x4000, peer4, ReachNetwork, minute, minute)
			socket.receive(peer4, "x")
		}, DropPeerDenied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, testPorts)
			s, c := b.session(t, clientA, false)
			s.Bind(0x4000, peer4, ReachNetwork, minute, minute)
			tt.do(b, s, c)
			b.wantDrops(t, map[Drop]uint64{tt.want: 1})
			if got := b.Stats().Traffic; got != (Traffic{}) && tt.want != DropSendToPeer {
				t.Errorf("a dropped packet is counted as relayed: %+v", got)
			}
		})
	}
}

// TestUDPClient is a client behind a shared socket.
func TestUDPClient(t *testing.T) {
	socket := &fakeSocket{network: newFakeNetwork()}
	b := newBed(t, PortRange{})
	c := b.UDPClient(socket, clientA)
	if d := c.Write(udpio.Immediate, []byte("hi")); d != DropNone || !slices.Equal(socket.out, []sent{{clientA, "hi"}}) {
		t.Errorf("%v, sent %q", d, socket.out)
	}
	if c.Addr() != clientA || c.Transport() != UDP || c.Transport().String() != "udp" || TCP.String() != "tcp" {
		t.Errorf("%v over %v", c.Addr(), c.Transport())
	}
	socket.err = errors.New("refused")
	if d := c.Write(udpio.Immediate, []byte("hi")); d != DropNone {
		t.Errorf("%v", d)
	}
	b.wantDrops(t, map[Drop]uint64{DropSendToClient: 1})
}

// TestNothingToDo are messages that neither the relay nor its caller does anything about.
func TestNothingToDo(t *testing.T) {
	b := newBed(t, testPorts)
	if v := b.Input(udpio.Immediate, packet(clientA, message(typeBindingIndication)), nil); v != Done {
		t.Errorf("verdict %d for a keep-alive", v)
	}
	b.Drop(DropNone)
	b.wantDrops(t, nil)
}

// TestControl leaves requests to the caller as they are, whatever is inside.
func TestControl(t *testing.T) {
	b := newBed(t, testPorts)
	s, _ := b.session(t, clientA, false)
	for _, m := range []string{message(0x0003), message(0x0004, attr{0x000D, "four"}), message(0x0008), message(0x0009), message(0x0000), message(0x3eef)} {
		p := packet(clientA, m)
		if v := b.Input(udpio.Immediate, p, s); v != Control || string(p.Payload()) != m {
			t.Errorf("verdict %d for %x", v, m)
		}
	}
	b.wantDrops(t, nil)
}

// TestDropNames are labels of a metric: all different, words in snake case.
func TestDropNames(t *testing.T) {
	seen := map[string]bool{}
	for d := range dropReasons {
		name := d.String()
		if name == "" || seen[name] || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Errorf("reason %d is called %q", d, name)
		}
		seen[name] = true
	}
	if _, ok := New(Config{}).Stats().Dropped[DropNone]; ok {
		t.Error("a packet that is not dropped has a counter")
	}
}
