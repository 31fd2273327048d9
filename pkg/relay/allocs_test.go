package relay

import (
	"net/netip"
	"testing"

	"github.com/maitred/maitred/pkg/udpio"
)

// packetPath is one way through the relay: step takes one packet of 1,000 bytes along it.
type packetPath struct {
	name  string
	build func(t testing.TB) (b bed, step func())
	moved func(Traffic) Count // what the path counts; nil when it relays nothing
}

func up(t Traffic) Count    { return t.Up }
func down(t Traffic) Count  { return t.Down }
func short(t Traffic) Count { return t.ShortCircuit }

var payload = string(make([]byte, 1000))

var packetPaths = []packetPath{
	{"ChannelData up", fromClient(channelData(0x4000, payload)), up},
	{"Send indication up", fromClient(sendIndication(peer4, payload)), up},
	{"ChannelData down", toClient(peer4), down},
	{"Data indication down", toClient(other4), down},
	{"Data indication down, IPv6", toClient(peer6), down},
	{"ChannelData up, limited", limited(wide, fromClient(channelData(0x4000, payload))), up},
	{"ChannelData down, limited", limited(wide, toClient(peer4)), down},
	{"short circuit, limited", limited(wide, shortCircuit(PortRange{}, bind)), short},
	{"ChannelData up, over the limit", limited(1, fromClient(channelData(0x4000, payload))), nil},
	{"short circuit to a channel", shortCircuit(PortRange{}, bind), short},
	{"short circuit as Data indication", shortCircuit(testPorts, allow), short},
	{"Binding", fromClient(message(typeBindingRequest, attr{0x0006, "user:name"})), nil},
	{"Binding refused", fromClient(message(typeBindingRequest, attr{0x0003, "1234"})), nil},
	{"dropped", fromClient(channelData(0x4001, payload)), nil},
}

// measuredSession is a session of a UDP client behind a front, on sockets that only count.
func measuredSession(t testing.TB, b bed, client netip.AddrPort) (*Session, *fakeSocket) {
	t.Helper()
	listener := &fakeSocket{network: b.network, forget: true}
	front := b.NewFront(func(udpio.Socket, netip.AddrPort, *Session, []byte) {})
	listener.handler = front
	s, _, err := b.Open(Request{Client: b.UDPClient(listener, client), Front: front})
	if err != nil {
		t.Fatal(err)
	}
	if s.socket != nil {
		socketOf(s).forget = true
	}
	s.Bind(0x4000, peer4, ReachNetwork, minute, minute)
	s.Permit(other4.Addr(), ReachNetwork, minute)
	s.Permit(peer6.Addr(), ReachNetwork, minute)
	return s, listener
}

func fromClient(m string) func(testing.TB) (bed, func()) {
	return func(t testing.TB) (bed, func()) {
		b := newBed(t, testPorts)
		_, listener := measuredSession(t, b, clientA)
		return b, repeat(listener, clientA, m)
	}
}

func toClient(peer netip.AddrPort) func(testing.TB) (bed, func()) {
	return func(t testing.TB) (bed, func()) {
		b := newBed(t, testPorts)
		s, _ := measuredSession(t, b, clientA)
		return b, repeat(socketOf(s), peer, payload)
	}
}

func shortCircuit(ports PortRange, grant func(from, to *Session)) func(testing.TB) (bed, func()) {
	return func(t testing.TB) (bed, func()) {
		b := newBed(t, ports)
		from, listener := measuredSession(t, b, clientA)
		to, _ := measuredSession(t, b, clientB)
		from.Bind(0x4002, to.Relayed(), ReachRelayed, minute, minute)
		grant(from, to)
		return b, repeat(listener, clientA, channelData(0x4002, payload))
	}
}

// wide is a limit, in bits per second, that no processor reaches.
const wide = 1_000_000_000_000_000

// limited sets both limits. One below a packet a minute is used up before the first step.
func limited(rate int64, build func(testing.TB) (bed, func())) func(testing.TB) (bed, func()) {
	return func(t testing.TB) (bed, func()) {
		b, step := build(t)
		b.SetBandwidth(rate, rate)
		for rate < 100 && b.Stats().Dropped[DropBandwidth] == 0 {
			step()
		}
		return b, step
	}
}

// repeat returns a function that has one datagram arrive, always in the same buffer, as a reader does it.
func repeat(s *fakeSocket, from netip.AddrPort, m string) func() {
	p := packet(from, m)
	return func() {
		p.Reset(copy(p.Space(), m))
		s.handler.Packet(udpio.Immediate, s, p)
	}
}

// TestPacketPathAllocatesNothing holds with the race detector and without.
func TestPacketPathAllocatesNothing(t *testing.T) {
	for _, path := range packetPaths {
		t.Run(path.name, func(t *testing.T) {
			b, step := path.build(t)
			const runs = 1000
			if n := testing.AllocsPerRun(runs, step); n != 0 {
				t.Errorf("%v allocations for a packet", n)
			}
			if path.moved == nil {
				return
			}
			if got, want := path.moved(b.Stats().Traffic), (Count{runs + 1, (runs + 1) * uint64(len(payload))}); got != want {
				t.Errorf("moved %+v, want %+v: the path was not taken", got, want)
			}
		})
	}
}

// TestRealSocketAllocatesNothing is the same through the kernel.
func TestRealSocketAllocatesNothing(t *testing.T) {
	peer := listen(t, "127.0.0.1:0")
	r, _ := realRelay(t, testingRange(t))
	s, _, err := r.Open(Request{Client: &fakeClient{addr: clientA}})
	if err != nil {
		t.Fatal(err)
	}
	s.Bind(0x4000, addrOf(peer), ReachNetwork, minute, minute)
	m := channelData(0x4000, payload)
	p := packet(clientA, m)
	n := testing.AllocsPerRun(100, func() {
		p.Reset(copy(p.Space(), m))
		r.Input(udpio.Immediate, p, s)
	})
	if n != 0 || s.Traffic().Up.Packets != 101 {
		t.Errorf("%v allocations for a packet, traffic %+v", n, s.Traffic())
	}
}

func BenchmarkPacketPath(b *testing.B) {
	for _, path := range packetPaths {
		b.Run(path.name, func(b *testing.B) {
			_, step := path.build(b)
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
		})
	}
}
