package turn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/iotest"
	"time"

	"github.com/maitred/maitred/pkg/relay"
	"github.com/maitred/maitred/pkg/udpio"
	"github.com/pion/stun"
)

func channelData(n uint16, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, n)
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	return append(b, payload...)
}

func TestFrameReader(t *testing.T) {
	stunMessage := append([]byte{0, 1, 0, 4, 0x21, 0x12, 0xA4, 0x42}, make([]byte, 16)...)
	odd := channelData(0x4000, []byte("odd"))
	even := channelData(0x4000, []byte("even"))
	tests := []struct {
		name  string
		in    []byte
		limit int
		want  [][]byte
		err   error
	}{
		{"nothing", nil, 100, nil, io.EOF},
		{"STUN and ChannelData", append(append(append([]byte{}, stunMessage...), even...), stunMessage...), 100, [][]byte{stunMessage, even, stunMessage}, io.EOF},
		{"padding is taken off", append(append(append([]byte{}, odd...), 0), even...), 100, [][]byte{odd, even}, io.EOF},
		{"empty ChannelData", []byte{0x40, 0, 0, 0}, 100, [][]byte{{0x40, 0, 0, 0}}, io.EOF},
		{"cut in the header", stunMessage[:3], 100, nil, io.ErrUnexpectedEOF},
		{"cut in the body", stunMessage[:10], 100, nil, io.ErrUnexpectedEOF},
		{"cut in the padding", odd, 100, nil, io.ErrUnexpectedEOF},
		{"longer than the limit", channelData(0x4000, make([]byte, 200)), 100, nil, errFrameTooBig},
		{"grows for a large one", channelData(0x4000, make([]byte, 60000)), maxFrame + 3, [][]byte{channelData(0x4000, make([]byte, 60000))}, io.EOF},
		{"the largest STUN length", []byte{0, 1, 0xff, 0xfc}, maxFrame + 3, nil, io.ErrUnexpectedEOF},
		{"the largest ChannelData", append(channelData(0x4000, make([]byte, 65535)), 0), maxFrame + 3, [][]byte{channelData(0x4000, make([]byte, 65535))}, io.EOF},
		{"odd STUN length", []byte{0, 1, 0, 3}, 100, nil, errNotFramed},
		{"neither", []byte{0x80, 0, 0, 0}, 100, nil, errNotFramed},
	}
	for _, tt := range tests {
		for _, how := range []struct {
			name string
			r    io.Reader
		}{{"at once", bytes.NewReader(tt.in)}, {"byte by byte", iotest.OneByteReader(bytes.NewReader(tt.in))}} {
			t.Run(tt.name+" "+how.name, func(t *testing.T) {
				f := newFrameReader(how.r, nil)
				for _, want := range tt.want {
					m, err := f.next(tt.limit)
					if err != nil || !bytes.Equal(m, want) {
						t.Fatalf("%v, want %d bytes", err, len(want))
					}
				}
				if _, err := f.next(tt.limit); !errors.Is(err, tt.err) {
					t.Errorf("then %v, want %v", err, tt.err)
				}
			})
		}
	}
}

func FuzzFrameReader(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, true)
	f.Add([]byte{0x40, 0, 0, 3, 1, 2, 3, 0, 0x40, 1, 0, 0}, false)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), true)
	f.Add([]byte{0x4f, 0xff, 0xff, 0xff}, true)
	f.Fuzz(func(t *testing.T, b []byte, large bool) {
		limit := maxControlFrame
		if large {
			limit = maxFrame + 3
		}
		reader, left := newFrameReader(bytes.NewReader(b), nil), len(b)
		for {
			m, err := reader.next(limit)
			if err != nil {
				return
			}
			n := len(m)
			if left -= n; n < 4 || n > limit || left < 0 {
				t.Fatalf("a message of %d bytes, limit %d, %d bytes left", n, limit, left)
			}
		}
	})
}

func TestOutQueue(t *testing.T) {
	media, response := channelData(0x4000, make([]byte, 97)), append([]byte{1, 3, 0, 80}, make([]byte, 96)...)
	q := newOutQueue(1040, nil)
	for i := range 5 {
		if _, flush, _ := q.put(response); flush != (i == 0) {
			t.Errorf("message %d: told to flush: %v", i, flush)
		}
		if dropped, _, ok := q.put(media); dropped != 0 || !ok {
			t.Fatalf("message %d: dropped %d, %v", i, dropped, ok)
		}
	}
	if dropped, _, ok := q.put(media); !ok || dropped != 3 {
		t.Errorf("into a full queue: dropped %d, %v; want the older media, 3 messages", dropped, ok)
	}
	q.flush(nil)
	b, ok := q.take(nil)
	if want := 5*100 + 3*104; !ok || len(b) != want {
		t.Errorf("took %d bytes, want %d: every response and the newer media", len(b), want)
	}
	for rest := b; len(rest) > 0; {
		_, padded, err := frameSize(rest)
		if err != nil || padded > len(rest) {
			t.Fatalf("the queue is out of step: %v", err)
		}
		rest = rest[padded:]
	}
	for range 20 {
		q.put(response)
	}
	if dropped, _, ok := q.put(media); ok || dropped != 0 {
		t.Errorf("among responses only: dropped %d, %v", dropped, ok)
	}
	q.close()
	if _, _, ok := q.put(media); ok {
		t.Error("a closed queue took a message")
	}
	if _, ok := q.take(nil); ok {
		t.Error("a closed queue gave something")
	}
}

// streamForms are the ways in which a connection can be served: by the event loop as far as possible, by its own goroutines because
// the network has no loop, and because the connection's socket cannot be had.
var streamForms = []struct {
	name      string
	transport string
	network   func() (udpio.Network, error)
	hidden    bool
}{
	{"TCP, event loop", "tcp", udpio.New, false},
	{"TCP, portable network", "tcp", func() (udpio.Network, error) { return udpio.NewPortable(), nil }, false},
	{"TCP, no socket", "tcp", udpio.New, true},
	{"TLS, event loop", "tls", udpio.New, false},
	{"TLS, portable network", "tls", func() (udpio.Network, error) { return udpio.NewPortable(), nil }, false},
	{"TLS, no socket", "tls", udpio.New, true},
}

// streamServer is a server for tests that go through one kind of stream.
type streamServer struct {
	*testServer
	transport string
}

// stream dials over the transport of the test.
func (s *streamServer) stream(t *testing.T) *client {
	t.Helper()
	return s.dial(t, s.transport)
}

func onEachStream(t *testing.T, test func(t *testing.T, s *streamServer)) {
	for _, form := range streamForms {
		t.Run(form.name, func(t *testing.T) {
			s := startWith(t, func(c *Config) {
				network, err := form.network()
				if err != nil {
					t.Fatal(err)
				}
				c.Network = network
			}, func(s *Server) {
				if form.hidden {
					s.newDirect = func(net.Conn) *udpio.Direct { return nil }
				}
			})
			test(t, &streamServer{s, form.transport})
		})
	}
}

// TestStreamKeepsOrder has numbered packets of many sizes go both ways, with control requests between those of the client.
func TestStreamKeepsOrder(t *testing.T) {
	onEachStream(t, func(t *testing.T, s *streamServer) {
		c, conn := s.carrying(t)
		numbered := func(i int) []byte {
			return binary.BigEndian.AppendUint32(make([]byte, []int{1, 160, 999, 1200, 1201, 5000}[i%6]), uint32(i))
		}
		for i := 0; i < 600; i += 30 {
			var run []byte
			for j := i; j < i+30; j++ {
				run = append(run, channelData(0x4000, numbered(j))...)
				run = append(run, make([]byte, -len(run)&3)...)
			}
			refresh := c.build(stun.MethodRefresh, c.key)
			c.send(append(run, refresh.Raw...))
			for j := i; j < i+30; j++ {
				wantDatagram(t, conn, c.relayed, numbered(j))
			}
			if r := c.receive(); !bytes.Equal(r[8:20], refresh.TransactionID[:]) {
				t.Fatalf("got %x, want the response to the Refresh", r[:20])
			}
			for j := i; j < i+30; j++ {
				conn.WriteToUDPAddrPort(numbered(j), c.relayed)
			}
			for j := i; j < i+30; j++ {
				c.wantChannel(0x4000, numbered(j))
			}
		}
	})
}

// TestBacklogKeepsOrder lets a client fall behind until media is dropped, and has it read all that is left: whole messages, the
// oldest first.
func TestBacklogKeepsOrder(t *testing.T) {
	onEachStream(t, func(t *testing.T, s *streamServer) {
		c, conn := s.carrying(t)
		payload := make([]byte, 1199)
		sent, last := uint32(0), uint32(0)
		send := func() {
			sent++
			binary.BigEndian.PutUint32(payload, sent)
			conn.WriteToUDPAddrPort(payload, c.relayed)
		}
		for range 3 {
			before := s.dropped(relay.DropQueueFull)
			eventually(t, "media is dropped", func() bool {
				for range 100 {
					send()
				}
				return s.dropped(relay.DropQueueFull) > before
			})
			for backlog := sent; last <= backlog; send() {
				b := c.receive()
				if len(b) != 4+len(payload) || binary.BigEndian.Uint16(b) != 0x4000 {
					t.Fatalf("the stream is out of step: %d bytes that begin with %x", len(b), b[:4])
				}
				got := binary.BigEndian.Uint32(b[4:])
				if got <= last {
					t.Fatalf("packet %d after packet %d", got, last)
				}
				last = got
			}
		}
	})
}

// carrying dials and sends one packet through channel 0x4000 to a peer.
func (s *streamServer) carrying(t *testing.T) (c *client, conn *net.UDPConn) {
	t.Helper()
	c = s.stream(t)
	c.allocate()
	conn, to := remote(t, "127.0.0.1")
	c.bind(0x4000, to)
	c.sendChannel(0x4000, []byte("up"))
	wantDatagram(t, conn, c.relayed, []byte("up"))
	return c, conn
}

// TestOneMessageInOneRecord: clients that take what one read of TLS returns for one message get one, however many leave at once.
func TestOneMessageInOneRecord(t *testing.T) {
	s := &streamServer{start(t, nil), "tls"}
	c, conn := s.carrying(t)
	payload := make([]byte, 1400)
	for range 20 {
		for range 8 {
			conn.WriteToUDPAddrPort(payload, c.relayed)
		}
		b := make([]byte, 16<<10)
		c.conn.SetReadDeadline(time.Now().Add(patience))
		for range 8 {
			if n, err := c.conn.Read(b); err != nil || n != 4+len(payload) {
				t.Fatalf("read %d bytes, %v; want one message of %d", n, err, 4+len(payload))
			}
		}
	}
}

// TestOwnRecordsAreBounded: what TLS writes by itself waits for a message to go with, but not without end.
func TestOwnRecordsAreBounded(t *testing.T) {
	s := &secure{}
	record := make([]byte, 100)
	for range ownRecords / len(record) {
		if _, err := s.Write(record); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Write(record); !errors.Is(err, errOwnRecords) {
		t.Errorf("%v, want the end of the connection", err)
	}
}

// TestStreamInPieces sends a message byte by byte, after the event loop has taken over reading.
func TestStreamInPieces(t *testing.T) {
	onEachStream(t, func(t *testing.T, s *streamServer) {
		c, conn := s.carrying(t)
		for range 3 {
			for _, b := range append(channelData(0x4000, []byte("pieces")), 0, 0) {
				c.send([]byte{b})
			}
			wantDatagram(t, conn, c.relayed, []byte("pieces"))
		}
		large := bytes.Repeat([]byte("large"), 12000)
		c.sendChannel(0x4000, large)
		wantDatagram(t, conn, c.relayed, large)
	})
}

// TestStreamOutlivesItsAllocation ends the allocation and makes another on the same connection.
func TestStreamOutlivesItsAllocation(t *testing.T) {
	onEachStream(t, func(t *testing.T, s *streamServer) {
		c := s.stream(t)
		for range 3 {
			c.allocate()
			conn, to := remote(t, "127.0.0.1")
			c.bind(0x4000, to)
			c.sendChannel(0x4000, []byte("up"))
			wantDatagram(t, conn, c.relayed, []byte("up"))
			c.wantCode(c.request(stun.MethodRefresh, attr(stun.AttrLifetime, 0, 0, 0, 0)), 0)
		}
	})
}

// TestStreamEnds ends a connection that carries media: by the client, by rubbish in the stream, with the allocation's end and silence.
func TestStreamEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(c *client)
	}{
		{"closed by the client", func(c *client) { c.conn.Close() }},
		{"rubbish", func(c *client) { c.send([]byte{0xff, 0xff, 0xff, 0xff}) }},
		{"cut in a message", func(c *client) { c.send([]byte{0x40, 0, 0, 8, 1}); c.conn.Close() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onEachStream(t, func(t *testing.T, s *streamServer) {
				c, _ := s.carrying(t)
				tt.end(c)
				eventually(t, "the allocation ends", func() bool { return !s.relayedAt(c.relayed) })
			})
		})
	}
}

// TestIdleAfterAllocation: a connection that the event loop reads is idle again when its allocation has been ended by the server.
func TestIdleAfterAllocation(t *testing.T) {
	s := &streamServer{start(t, func(c *Config) { c.IdleTimeout = 2 * time.Second }), "tcp"}
	c, _ := s.carrying(t)
	s.endAll(&endShutdown, func(*allocation) bool { return true })
	c.conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := c.conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%v, want the end of the connection", err)
	}
}

// TestStreamAllocatesNothing relays eight packets each way through a connection.
func TestStreamAllocatesNothing(t *testing.T) {
	onEachStream(t, func(t *testing.T, s *streamServer) {
		c, conn := s.carrying(t)
		const burst = 8
		payload, buf := make([]byte, 1000), make([]byte, burst*1004)
		run := bytes.Repeat(channelData(0x4000, payload), burst)
		c.conn.SetReadDeadline(time.Now().Add(patience))
		work := func() {
			if _, err := c.conn.Write(run); err != nil {
				t.Fatal(err)
			}
			for range burst {
				if _, _, err := conn.ReadFromUDPAddrPort(buf); err != nil {
					t.Fatal(err)
				}
			}
			for range burst {
				if _, err := conn.WriteToUDPAddrPort(payload, c.relayed); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := io.ReadFull(c.conn, buf); err != nil {
				t.Fatal(err)
			}
		}
		for range 10 {
			work()
		}
		most := 0.0
		if s.transport == "tls" {
			// crypto/tls makes a small reader for each header and each content of a record, at both ends; it is 3 without the race
			// detector, which has pools lose some of what they hold.
			most = 32
		}
		if n := testing.AllocsPerRun(500, work); n > most {
			t.Errorf("%v allocations for sixteen packets, want at most %v", n, most)
		}
	})
}

func TestOutQueueAllocatesNothing(t *testing.T) {
	q, media := newOutQueue(1<<20, nil), channelData(0x4000, make([]byte, 1000))
	var b []byte
	work := func() {
		for range 8 {
			if _, flush, _ := q.put(media); flush {
				q.flush(nil)
			}
		}
		b, _ = q.take(b)
	}
	work()
	work()
	if n := testing.AllocsPerRun(100, work); n != 0 {
		t.Errorf("%v allocations for eight messages", n)
	}
}

// TestSlowStreamClient stops reading. What it does not take in is dropped and counted; memory does not grow, others do not wait.
func TestSlowStreamClient(t *testing.T) {
	s := start(t, func(c *Config) { c.StreamQueue = 128 << 10 })
	slow, quick := s.dial(t, "tcp"), s.dial(t, "udp")
	slow.allocate()
	quick.allocate()
	conn, to := remote(t, "127.0.0.1")
	slow.bind(0x4000, to)
	quick.bind(0x4000, to)
	payload := make([]byte, 1200)
	eventually(t, "media for the slow client is dropped", func() bool {
		for range 100 {
			conn.WriteToUDPAddrPort(payload, slow.relayed)
		}
		return s.dropped(relay.DropQueueFull) > 1000
	})
	conn.WriteToUDPAddrPort([]byte("at once"), quick.relayed)
	quick.wantChannel(0x4000, []byte("at once"))
	slow.wantChannel(0x4000, payload) // the stream is still in step
}

func TestAddressLimiter(t *testing.T) {
	l, now := newAddressLimiter(10), time.Now()
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	count := func(a netip.Addr, at time.Time) (n int) {
		for range 100 {
			spent := l.spent(a, at)
			if l.allow(a, at) {
				n++
			} else if !spent {
				t.Errorf("%v is refused at %v and has not spent its allowance", a, at)
			}
		}
		return n
	}
	if n := count(a, now); n != 10 {
		t.Errorf("%d at once, want 10", n)
	}
	if n := count(a, now.Add(500*time.Millisecond)); n != 5 {
		t.Errorf("%d after half a second, want 5", n)
	}
	if n := count(a, now.Add(time.Hour)); n != 10 {
		t.Errorf("%d after a long time, want 10", n)
	}
	if n := count(b, now.Add(time.Hour)) + count(netip.MustParseAddr("2001:db8::2"), now.Add(time.Hour)); n != 10 {
		t.Errorf("%d for two addresses of one /64, want 10", n)
	}
	if unlimited := newAddressLimiter(0); !unlimited.allow(a, now) || unlimited.spent(a, now) {
		t.Error("0 is no limit")
	}
}
