//go:build linux

package faults

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun"
	"golang.org/x/sys/unix"

	"github.com/maitred/maitred/test/harness"
)

const (
	floodPackets = 30_000
	// floodCounted is how many of them must have reached the daemon: the
	// kernel may drop most of what comes faster than anybody reads.
	floodCounted = 1000

	memoryGrowth  = 64 << 20 // bytes; in all, though every flood is of 30 MB
	residentRatio = 3        // the race detector's memory on top of it, in multiples
	slack         = 24       // goroutines and files that come and go
	linesForFlood = 200
)

// call is a running call: one client over UDP with a peer that echoes, and a
// pair of clients, one over TCP, that are both relayed.
type call struct {
	t         *testing.T
	udp, tcp  *client
	near      *client // whom tcp talks to
	peer      *socket
	number    int
	exchanged int
}

func newCall(t *testing.T, d *harness.Daemon) *call {
	t.Helper()
	c := &call{t: t, peer: listen(t, "127.0.0.1"), udp: dial(t, "udp", d.Listening("turn-udp")).allocate(),
		tcp: dial(t, "tcp", d.Listening("turn-tcp")).allocate(), near: dial(t, "udp", d.Listening("turn-udp")).allocate()}
	c.udp.bind(0x4000, c.peer.addr)
	c.tcp.bind(0x4001, c.near.relayed)
	c.near.bind(0x4002, c.tcp.relayed)
	return c
}

// ping sends one packet each way on each path and has one allocation refreshed.
func (c *call) ping() {
	c.t.Helper()
	for _, way := range []struct {
		name string
		send func([]byte)
		at   func(time.Duration) []byte
	}{
		{"UDP client to peer", func(b []byte) { c.udp.send(channelData(0x4000, b)) }, c.peer.payload},
		{"peer to UDP client", func(b []byte) { c.peer.sendTo(c.udp.relayed, b) }, c.udp.payload},
		{"TCP client to UDP client", func(b []byte) { c.tcp.send(channelData(0x4001, b)) }, c.near.payload},
		{"UDP client to TCP client", func(b []byte) { c.near.send(channelData(0x4002, b)) }, c.tcp.payload},
	} {
		c.number++
		p := fmt.Appendf(make([]byte, 160), "%d", c.number)
		delivers(c.t, way.name, func() { way.send(p) }, way.at, p)
	}
	if code := c.udp.request(stun.MethodRefresh); code != 0 {
		c.t.Fatalf("Refresh: %d", code)
	}
	c.exchanged++
}

// flood is what somebody sends to harm. It begins when send is called.
type flood struct {
	name    string
	prepare func(t *testing.T, target *target) (send func() error)
	counted []string // the series that count it, together
}

// target is the daemon and the call that it has.
type target struct {
	*harness.Daemon
	call *call
	udp  netip.AddrPort
}

func dropped(reason string) string {
	return fmt.Sprintf("maitred_turn_dropped_packets_total{reason=%q}", reason)
}

const challenges = `maitred_turn_requests_total{code="401",method="allocate"}`

var floods = []flood{
	{"Allocates without a credential", func(t *testing.T, at *target) func() error {
		c := strangerAt(t, at, "127.0.0.2")
		return c.flood(c.build(stun.MethodAllocate, overUDP).Raw)
	}, []string{dropped("unauthorized"), dropped("control_busy")}},
	{"Allocates with a wrong credential", func(t *testing.T, at *target) func() error {
		c := strangerAt(t, at, "127.0.0.3")
		c.password = "a guess"
		if code := c.request(stun.MethodAllocate, overUDP); code != 401 {
			t.Fatalf("Allocate: %d", code)
		}
		return c.flood(c.build(stun.MethodAllocate, overUDP).Raw)
	}, []string{dropped("unauthorized"), dropped("control_busy")}},
	{"ChannelData from a stranger", func(t *testing.T, at *target) func() error {
		return strangerAt(t, at, "127.0.0.4").flood(channelData(0x4000, make([]byte, 1000)))
	}, []string{dropped("no_allocation")}},
	{"ChannelData for unknown channels", func(t *testing.T, at *target) func() error {
		c := strangerAt(t, at, "127.0.0.5").allocate()
		return c.floodOf(func(i int) []byte { return channelData(0x4000+uint16(i%0x3fff), make([]byte, 1000)) })
	}, []string{dropped("no_channel")}},
	{"Send indications without a permission", func(t *testing.T, at *target) func() error {
		c := strangerAt(t, at, "127.0.0.6").allocate()
		return c.flood(indication(at.call.peer.addr, make([]byte, 1000)))
	}, []string{dropped("no_permission")}},
	{"garbage", func(t *testing.T, at *target) func() error {
		random := rand.New(rand.NewPCG(1, 2))
		return strangerAt(t, at, "127.0.0.7").floodOf(func(int) []byte {
			b := make([]byte, random.IntN(1200))
			for i := range b {
				b[i] = byte(random.Uint32())
			}
			return b
		})
	}, []string{dropped("not_turn"), dropped("malformed"), dropped("no_allocation"), dropped("unexpected")}},
	{"requests that are too big", func(t *testing.T, at *target) func() error {
		c := strangerAt(t, at, "127.0.0.8")
		return c.flood(c.build(stun.MethodAllocate, stun.RawAttribute{Type: stun.AttrData, Value: make([]byte, 4000)}).Raw)
	}, []string{dropped("control_big")}},
	{"Allocates from a new address each", func(t *testing.T, at *target) func() error {
		request := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), overUDP, stun.Fingerprint).Raw
		return forge(t, at.udp, func(int) []byte { return request })
	}, []string{challenges, dropped("unauthorized"), dropped("control_busy")}},
	{"anything from a new address each", func(t *testing.T, at *target) func() error {
		return forge(t, at.udp, func(i int) []byte {
			return [][]byte{channelData(0x4000, make([]byte, 100)), []byte("\x80\x00garbage"), indication(at.call.peer.addr, []byte("x"))}[i%3]
		})
	}, []string{dropped("no_allocation"), dropped("not_turn")}},
	{"a peer without permission", func(t *testing.T, at *target) func() error {
		s := listen(t, "127.0.0.9")
		return func() error { return repeatedly(s.UDPConn, at.call.udp.relayed, make([]byte, 1000)) }
	}, []string{dropped("peer_denied")}},
	{"a new peer without permission each", func(t *testing.T, at *target) func() error {
		return forge(t, at.call.udp.relayed, func(int) []byte { return make([]byte, 100) })
	}, []string{dropped("peer_denied")}},
	{"a client over TCP that does not read", func(t *testing.T, at *target) func() error {
		c, s := dial(t, "tcp", at.Listening("turn-tcp")).allocate(), listen(t, "127.0.0.1")
		c.bind(0x4000, s.addr)
		return func() error { return repeatedly(s.UDPConn, c.relayed, make([]byte, 1400)) }
	}, []string{dropped("queue_full")}},
}

// TestFloods lets strangers, clients and peers send as fast as they can while a
// call runs. Packets of the call arrive, what is dropped is counted for its
// reason, and the daemon grows by nothing that lasts.
func TestFloods(t *testing.T) {
	at := startTarget(t)
	before := measure(at)
	for _, f := range floods {
		t.Run(f.name, func(t *testing.T) {
			at.call.t = t
			send := f.prepare(t, at)
			counted, lines := at.sum(f.counted), len(at.Log.Lines())
			done := make(chan error, 1)
			go func() { done <- send() }()
			during := at.call.exchanged
			at.pingUntil(done)
			for range 10 {
				at.call.ping()
			}
			harness.Within(t, patience, "the flood is counted", func() (bool, any) {
				n := at.sum(f.counted) - counted
				return n >= floodCounted, n
			})
			if n := len(at.Log.Lines()) - lines; n > linesForFlood {
				t.Errorf("%d lines of log", n)
			}
			t.Logf("%v of %d counted, %d rounds of the call", at.sum(f.counted)-counted, floodPackets, at.call.exchanged-during)
			before.check(t, at)
		})
	}
}

func startTarget(t *testing.T) *target {
	t.Helper()
	d := harness.Start(t, "MAITRED_TURN_SECRETS="+secret, "MAITRED_TURN_ALLOW_PEERS=127.0.0.0/8", "MAITRED_LOG_LEVEL=info",
		"MAITRED_TURN_QUOTA_PER_USER=0", "MAITRED_TURN_LIMITS_IDLE_TIMEOUT=2s")
	at := &target{Daemon: d, call: newCall(t, d), udp: netip.MustParseAddrPort(d.Listening("turn-udp"))}
	at.call.ping()
	return at
}

func (at *target) sum(series []string) (n float64) {
	at.call.t.Helper()
	for _, s := range series {
		n += at.Metric(s)
	}
	return n
}

// pingUntil keeps the call going until done, and expects no error from it.
func (at *target) pingUntil(done <-chan error) {
	at.call.t.Helper()
	for {
		at.call.ping()
		select {
		case err := <-done:
			if err != nil {
				at.call.t.Fatal(err)
			}
			return
		default:
		}
	}
}

// size is what the daemon takes of the machine. Memory is what Go has from the
// system, without the race detector's part.
type size struct{ memory, resident, goroutines, files float64 }

func measure(at *target) size {
	return size{at.Metric("go_memstats_sys_bytes"), at.Metric("process_resident_memory_bytes"), at.Metric("go_goroutines"), at.Metric("process_open_fds")}
}

// check fails when the daemon has grown.
func (before size) check(t *testing.T, at *target) {
	t.Helper()
	harness.Within(t, patience, "the daemon is back to its size", func() (bool, any) {
		now := measure(at)
		return now.memory < before.memory+memoryGrowth && now.resident < before.resident+residentRatio*memoryGrowth &&
				now.goroutines < before.goroutines+slack && now.files < before.files+slack,
			fmt.Sprintf("%+v, was %+v", now, before)
	})
	now := measure(at)
	t.Logf("memory %+.1f MB, resident %+.1f MB", (now.memory-before.memory)/1e6, (now.resident-before.resident)/1e6)
}

// strangerAt is a client with an address of its own. Its allocation ends with
// the test.
func strangerAt(t *testing.T, at *target, ip string) *client {
	t.Helper()
	conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)}, net.UDPAddrFromAddrPort(at.udp))
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, conn, "stranger at "+ip)
	t.Cleanup(func() {
		if c.relayed.IsValid() {
			c.request(stun.MethodRefresh, lifetime(0))
		}
	})
	return c
}

func (c *client) flood(b []byte) func() error {
	return c.floodOf(func(int) []byte { return b })
}

func (c *client) floodOf(packet func(i int) []byte) func() error {
	return func() error {
		for i := range floodPackets {
			if _, err := c.conn.Write(packet(i)); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
				return err
			}
		}
		return nil
	}
}

func repeatedly(s *net.UDPConn, to netip.AddrPort, b []byte) error {
	for range floodPackets {
		if _, err := s.WriteToUDPAddrPort(b, to); err != nil {
			return err
		}
	}
	return nil
}

// forge sends every packet from another address of 127.0.0.0/8.
func forge(t *testing.T, to netip.AddrPort, packet func(i int) []byte) func() error {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		t.Fatalf("a raw socket: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return func() error {
		for i := range floodPackets {
			from := netip.AddrFrom4([4]byte{127, 1 + byte(i>>16), byte(i >> 8), byte(i)})
			b := datagram(netip.AddrPortFrom(from, uint16(1024+i%50000)), to, packet(i))
			if err := unix.Sendto(fd, b, 0, &unix.SockaddrInet4{Addr: to.Addr().As4()}); err != nil {
				return err
			}
		}
		return nil
	}
}

// datagram is an IPv4 packet with UDP in it (RFC 791, RFC 768). The kernel adds
// the header's checksum; UDP goes without one.
func datagram(from, to netip.AddrPort, payload []byte) []byte {
	b := make([]byte, 28, 28+len(payload))
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], uint16(28+len(payload)))
	b[8], b[9] = 64, unix.IPPROTO_UDP
	source, target := from.Addr().As4(), to.Addr().As4()
	copy(b[12:], source[:])
	copy(b[16:], target[:])
	binary.BigEndian.PutUint16(b[20:], from.Port())
	binary.BigEndian.PutUint16(b[22:], to.Port())
	binary.BigEndian.PutUint16(b[24:], uint16(8+len(payload)))
	return append(b, payload...)
}

// unfinished are the ways to open a connection and to leave it at that.
var unfinished = [][]byte{
	nil,
	{0x00, 0x03, 0x00}, // less than says how long it is
	{0x00, 0x03, 0x00, 0x64, 0x21, 0x12, 0xa4, 0x42}, // part of an Allocate
	{0x40, 0x00, 0x04, 0x00, 'h', 'a', 'l', 'f'},     // part of ChannelData
	{0x00, 0x03, 0xff, 0xfc, 0x21, 0x12, 0xa4, 0x42}, // too long for a stranger
	[]byte("GET / HTTP/1.1\r\nHost: maitred\r\n\r\n"),
}

// TestUnfinishedConnections opens more connections than one address may have,
// and finishes a message on none.
func TestUnfinishedConnections(t *testing.T) {
	const each, allowed = 50, 100
	at := startTarget(t)
	before := measure(at)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 5)}, Timeout: patience}
	var conns []net.Conn
	for range each {
		for _, beginning := range unfinished {
			c, err := dialer.Dial("tcp", at.Listening("turn-tcp"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, _ = c.Write(beginning) // the daemon may have closed it already
			conns = append(conns, c)
		}
		at.call.ping()
	}
	if now := measure(at); now.files > before.files+allowed+slack || now.goroutines > before.goroutines+3*allowed+slack {
		t.Errorf("%d connections of one address: %+v, was %+v", len(conns), now, before)
	}
	dial(t, "tcp", at.Listening("turn-tcp")).allocate() // another address has its own share
	deadline := time.Now().Add(patience)
	for _, c := range conns {
		if err := c.SetReadDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(make([]byte, 1))
		if ne := net.Error(nil); n != 0 || errors.As(err, &ne) && ne.Timeout() {
			t.Fatalf("an unfinished connection is still open: %d bytes, %v", n, err)
		}
		at.call.ping()
	}
	before.check(t, at)
}

// TestAllocationsBeyondTheQuota: whoever has a credential gets what the quota
// of its address says, whatever its ports.
func TestAllocationsBeyondTheQuota(t *testing.T) {
	const quota = 200
	at := startTarget(t)
	before := measure(at)
	var first *client
	var clients []*client
	granted, refused := 0, 0
	for i := range quota + 100 {
		c := strangerAt(t, at, "127.0.0.77")
		if first == nil {
			first = c
		} else { // challenges are few for one address
			c.username, c.key, c.realm, c.nonce = first.username, first.key, first.realm, first.nonce
		}
		switch code := c.request(stun.MethodAllocate, overUDP); code {
		case 0:
			granted++
			clients = append(clients, c)
		case 486:
			refused++
		default:
			t.Fatalf("Allocate: %d", code)
		}
		if i%10 == 0 {
			at.call.ping()
		}
	}
	if granted != quota || refused != 100 {
		t.Errorf("%d granted, %d refused with 486, want %d and 100", granted, refused, quota)
	}
	for _, c := range clients {
		if code := c.request(stun.MethodRefresh, lifetime(0)); code != 0 {
			t.Fatalf("Refresh: %d", code)
		}
	}
	before.check(t, at)
}
