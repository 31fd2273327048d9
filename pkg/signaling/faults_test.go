package signaling

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// rawPeer speaks WebSocket (RFC 6455) by hand, and so does what no library lets one do. It answers neither pings nor close frames.
type rawPeer struct {
	t         testing.TB
	conn      net.Conn
	r         *bufio.Reader
	handshake string // the server's answer to the upgrade
	self      Joined // of joinRaw
}

func (s *server) dialRaw(headers ...string) *rawPeer {
	s.t.Helper()
	return s.dialRawWith(nil, headers...)
}

// dialRawWith has the client not wait for the answer to its upgrade before it sends frames.
func (s *server) dialRawWith(frames []byte, headers ...string) *rawPeer {
	s.t.Helper()
	addr := strings.TrimPrefix(s.http.URL, "http://")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	p := &rawPeer{t: s.t, conn: conn, r: bufio.NewReaderSize(conn, 512)}
	upgrade := "GET / HTTP/1.1\r\nHost: " + addr + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: " + Subprotocol + "\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
	p.write(append([]byte(upgrade), frames...))
	for !strings.HasSuffix(p.handshake, "\r\n\r\n") {
		line, err := p.r.ReadString('\n')
		if err != nil {
			s.t.Fatalf("handshake: %v after %q", err, p.handshake)
		}
		p.handshake += line
	}
	if !strings.HasPrefix(p.handshake, "HTTP/1.1 101 ") {
		s.t.Fatalf("handshake: %q", p.handshake)
	}
	return p
}

// joinRaw dials and takes a seat.
func (s *server) joinRaw(room string) *rawPeer {
	s.t.Helper()
	p := s.dialRaw()
	p.send(&Join{Room: room, Name: "raw"})
	m := p.read()
	joined, ok := m.(*Joined)
	if !ok {
		s.t.Fatalf("got %+v", m)
	}
	p.self = *joined
	return p
}

// Opcodes, and the bit that ends a message, as in the first byte of a frame (RFC 6455 section 5.2).
const (
	fin, rsv1                       = 0x80, 0x40
	opMore, opText, opClose, opPing = 0, 1, 8, 9
	opPong                          = 10
)

// frame is a frame as a client sends it: masked, here with zeros.
func frame(first byte, payload []byte) []byte {
	b := append(header(first, uint64(len(payload))), payload...)
	return b
}

func header(first byte, length uint64) []byte {
	switch {
	case length < 126:
		return []byte{first, 0x80 | byte(length), 0, 0, 0, 0}
	case length < 1<<16:
		return append(binary.BigEndian.AppendUint16([]byte{first, 0x80 | 126}, uint16(length)), 0, 0, 0, 0)
	default:
		return append(binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, length), 0, 0, 0, 0)
	}
}

func (p *rawPeer) write(b []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.t.Fatalf("write: %v", err)
	}
}

// flood writes the same until the server has had enough.
func (p *rawPeer) flood(b []byte) {
	for {
		if _, err := p.conn.Write(b); err != nil {
			return
		}
	}
}

// reset closes the connection and takes back what the server has not read.
func (p *rawPeer) reset() {
	p.t.Helper()
	if err := p.conn.(*net.TCPConn).SetLinger(0); err != nil {
		p.t.Error(err)
	}
	_ = p.conn.Close()
}

func (p *rawPeer) send(m ClientMessage) {
	p.t.Helper()
	raw, err := Encode(m)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(frame(fin|opText, raw))
}

func (p *rawPeer) readFrame() (opcode byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(p.r, head[:]); err != nil {
		return 0, nil, err
	}
	length := uint64(head[1])
	if more := map[byte]int{126: 2, 127: 8}[head[1]]; more > 0 {
		var b [8]byte
		if _, err := io.ReadFull(p.r, b[8-more:]); err != nil {
			return 0, nil, err
		}
		length = binary.BigEndian.Uint64(b[:])
	}
	payload = make([]byte, length)
	_, err = io.ReadFull(p.r, payload)
	return head[0] &^ fin, payload, err
}

// read reads the next message.
func (p *rawPeer) read() ServerMessage {
	p.t.Helper()
	for {
		opcode, payload, err := p.readFrame()
		if err != nil {
			p.t.Fatalf("waiting for a message: %v", err)
		}
		if opcode == opPing {
			continue
		}
		m, err := DecodeServer(payload)
		if err != nil {
			p.t.Fatalf("frame %d: %v", opcode, err)
		}
		return m
	}
}

// closeCode reads to the end; -1 is an end without a close frame.
func (p *rawPeer) closeCode() websocket.StatusCode {
	for {
		opcode, payload, err := p.readFrame()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
			return -1
		case err != nil: // a reset, after what was not read any more
			return -1
		case opcode == opClose:
			return websocket.StatusCode(binary.BigEndian.Uint16(payload))
		}
	}
}

// TestImpatientClient has a client send its first messages with the upgrade, in one packet.
func TestImpatientClient(t *testing.T) {
	s := newServer(t, Options{})
	for _, padding := range []int{0, 2000, 12_000} {
		join := frame(fin|opText, []byte(`{"type":"join","room":"r","name":"n"`+strings.Repeat(" ", padding)+"}"))
		p := s.dialRawWith(append(join, frame(fin|opText, []byte(`{"type":"ice"}`))...))
		for _, want := range []string{"joined", "ice-servers"} {
			if m := p.read(); m.Type() != want {
				t.Errorf("%d bytes more: got %+v, want %s", padding, m, want)
			}
		}
		_ = p.conn.Close()
		s.waitConns(0)
	}
}

func TestCompressionIsNotAccepted(t *testing.T) {
	s := newServer(t, Options{})
	p := s.dialRaw("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame")
	if strings.Contains(strings.ToLower(p.handshake), "sec-websocket-extensions") {
		t.Errorf("accepted: %q", p.handshake)
	}
	p.write(frame(fin|rsv1|opText, []byte{0xaa, 0x56, 0x2a, 0xa9, 0x2c, 0x48, 0x55, 0xb2, 0x52, 0xca, 0x4c, 0x4e, 0x55, 0xaa, 0x05, 0x00}))
	if code := p.closeCode(); code != websocket.StatusProtocolError {
		t.Errorf("a compressed frame was answered with %d", code)
	}
}

// TestFragmentsWithoutEnd has a client that begins a message and never ends it.
func TestFragmentsWithoutEnd(t *testing.T) {
	t.Parallel() // it waits more than it works
	for name, endless := range map[string][]byte{
		"small":          frame(opMore, []byte(" ")),
		"empty":          frame(opMore, nil),
		"with pongs":     append(frame(opMore, nil), frame(fin|opPong, []byte("x"))...),
		"with pings":     append(frame(opMore, nil), frame(fin|opPing, nil)...),
		"pongs only":     frame(fin|opPong, nil),
		"nothing at all": nil,
	} {
		for _, joined := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, joined %v", name, joined), func(t *testing.T) {
				s := newServer(t, Options{ReadTimeout: 50 * time.Millisecond, MessageSize: -1, MessagesPerSecond: -1, Resume: time.Minute})
				mate := s.join("r", "mate")
				p := s.dialRaw()
				if joined {
					p.send(&Join{Room: "r", Name: "raw"})
					expect[*MemberJoined](mate)
				}
				var flood sync.WaitGroup
				flood.Go(func() {
					p.write(frame(opText, []byte(`{"type":`)))
					if endless != nil {
						p.flood(endless)
					}
				})
				// Where the server still gets frames as it closes, the network may lose the close frame.
				if code := p.closeCode(); code != CloseTooSlow && (endless == nil || code != -1 && (joined || code != websocket.StatusMessageTooBig)) {
					t.Errorf("closed with %d", code)
				}
				if joined {
					if m := expect[*MemberLeft](mate); m.Reason != ReasonTooSlow {
						t.Errorf("%+v", m)
					}
				}
				_ = p.conn.Close()
				flood.Wait()
				s.waitConns(1)
			})
		}
	}
}

func TestSizeInFragments(t *testing.T) {
	tests := []struct {
		name           string
		joined         bool
		size, fragment int
		opts           Options
		tooBig         bool
	}{
		{"before join", false, maxUnjoined, 1000, Options{}, false},
		{"too big before join", false, maxUnjoined + 1, 1000, Options{}, true},
		{"too big before join, at once", false, maxUnjoined + 1, maxUnjoined + 1, Options{}, true},
		{"before join, where all is small", false, 1001, 10, Options{MessageSize: 1000}, true},
		{"before join, where all may be large", false, maxUnjoined + 1, 1000, Options{MessageSize: -1}, true},
		{"after it", true, 72 << 10, 1000, Options{}, false},
		{"too big after it", true, 72<<10 + 1, 1000, Options{}, true},
		{"too big in one fragment", true, 1 << 20, 1 << 20, Options{}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, tt.opts)
			p := s.dialRaw()
			if tt.joined {
				p = s.joinRaw("r")
			}
			raw := []byte(`{"type":"sing"` + strings.Repeat(" ", tt.size-len(`{"type":"sing"}`)) + "}")
			go func() { // the server may stop reading
				first := byte(opText)
				for part := range slices.Chunk(raw, tt.fragment) {
					if _, err := p.conn.Write(frame(first, part)); err != nil {
						return
					}
					first = opMore
				}
				_, _ = p.conn.Write(frame(fin|opMore, nil))
			}()
			if tt.tooBig {
				if code := p.closeCode(); code != websocket.StatusMessageTooBig {
					t.Errorf("closed with %d", code)
				}
				return
			}
			if m := p.read(); !same(m, &Error{Code: CodeBadMessage}) {
				t.Errorf("%+v", m)
			}
		})
	}
}

func TestUTF8InFragments(t *testing.T) {
	s := newServer(t, Options{})
	mate := s.join("r", "mate")
	split := func(parts ...string) *rawPeer {
		p := s.joinRaw("r")
		expect[*MemberJoined](mate)
		first := byte(opText)
		for _, part := range parts {
			p.write(frame(first, []byte(part)))
			first = opMore
		}
		p.write(frame(fin|opMore, nil))
		return p
	}
	split(`{"type":"broadcast","data":"`, "\xf0\x9f", "\xa6\xa6", `"}`) // one character in two fragments
	if m := expect[*BroadcastFrom](mate); string(m.Data) != `"🦦"` {
		t.Errorf("%s", m.Data)
	}
	for name, parts := range map[string][]string{
		"cut short":   {`{"type":"broadcast","data":"`, "\xf0\x9f", `"}`},
		"out of line": {`{"type":"broadcast","data":"`, "\xa6", `"}`},
		"surrogates":  {`{"type":"broadcast","data":"`, "\xed\xa0", "\x80", `"}`},
		"in a name":   {`{"type":"broadcast","\xff":1,"data":1}`},
	} {
		p := split(parts...)
		if m := p.read(); !same(m, &Error{Code: CodeBadMessage}) {
			t.Errorf("%s: %+v", name, m)
		}
		if code := p.closeCode(); code != CloseBadMessage {
			t.Errorf("%s: closed with %d", name, code)
		}
		if m := expect[*MemberLeft](mate); m.Reason != ReasonBadMessage {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

// TestNoPong has a peer that reads and never answers: it counts as lost, and its seat is kept for as long as any other.
func TestNoPong(t *testing.T) {
	s := newServer(t, Options{PingInterval: time.Millisecond, PongTimeout: 500 * time.Millisecond, Resume: 10 * time.Millisecond})
	mate := s.join("r", "mate")
	heard := make(chan ServerMessage, 10)
	go func() { // it answers pings as it reads
		defer close(heard)
		for {
			m, err := mate.read()
			if err != nil {
				return
			}
			heard <- m
		}
	}()
	p := s.joinRaw("r")
	go p.closeCode()
	for _, want := range []ServerMessage{&MemberJoined{Member: p.self.Self}, &MemberLeft{Member: p.self.Self.ID, Reason: ReasonTimeout}} {
		if m, ok := <-heard; !ok || !same(m, want) {
			t.Fatalf("heard %+v, want %+v", m, want)
		}
	}
	mate.cut()
	for range heard {
		t.Error("more than that")
	}
}

// TestIdleConnections has a thousand that connect and say nothing: each costs little, and for JoinTimeout only.
func TestIdleConnections(t *testing.T) {
	t.Parallel() // it waits more than it works
	const idlers = 1000
	before := runtime.NumGoroutine()
	s := newServer(t, Options{JoinTimeout: time.Second, ConnectionsPerIP: -1})
	var peers []*rawPeer
	for range idlers {
		peers = append(peers, s.dialRaw())
	}
	// One for each, and one more as it is told to go; other tests run beside this one.
	if n := runtime.NumGoroutine() - before; n > 2*idlers+300 {
		t.Errorf("%d goroutines for %d idle connections", n, idlers)
	}
	for _, p := range peers {
		if code := p.closeCode(); code != CloseBadMessage {
			t.Fatalf("closed with %d", code)
		}
		_ = p.conn.Close()
	}
	s.waitConns(0)
}

// TestVanishing has a thousand that join and are never heard of again.
func TestVanishing(t *testing.T) {
	const people, perRoom = 1000, 10
	book, seen := newLedger(t), newRecorder(t)
	book.changed = make(chan struct{}, people)
	s := newServer(t, Options{ICE: book, Releaser: book, Observer: seen, Resume: 100 * time.Millisecond, ConnectionsPerIP: -1})
	for n := range people {
		p := s.joinRaw(fmt.Sprintf("room-%d", n/perRoom))
		_ = p.conn.Close()
	}
	book.waitReleased(people)
	s.waitConns(0)
	s.wait("the rooms to end", func() bool { return len(s.hub.Rooms()) == 0 })
	s.hub.addresses.sweep()
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if len(s.hub.told.seats) != 0 || len(s.hub.told.rooms) != 0 || len(s.hub.banned.until) != 0 || len(s.hub.tickets.known) != 0 {
		t.Error("something of them is still remembered")
	}
}

// TestCloseAmongTheDead stops a server whose clients are all silent in one way or another.
func TestCloseAmongTheDead(t *testing.T) {
	s := newServer(t, Options{ConnectionsPerIP: -1, MaxMembers: -1, WaitingPerRoom: -1,
		Resume: time.Hour, JoinTimeout: time.Hour, ReadTimeout: time.Hour, KnockTimeout: time.Hour})
	ann := s.join("door", "Ann")
	waitingRoom(ann)
	const each = 30
	for range each {
		s.dialRaw()
		s.joinRaw("r")
		away := s.joinRaw("away")
		_ = away.conn.Close()
		begun := s.joinRaw("begun")
		begun.write(frame(opText, []byte("{"))[:7])
		waiting := s.dialRaw()
		waiting.send(&Join{Room: "door", Name: "n"})
		if m := waiting.read(); m.Type() != "waiting" {
			t.Fatalf("%+v", m)
		}
	}
	s.hub.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := s.hub.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("close: %v", err)
	}
	s.waitConns(0)
	if rooms := s.hub.Rooms(); len(rooms) != 0 {
		t.Errorf("rooms are left: %+v", rooms)
	}
}

// TestEndlessGoodbye has clients that are told to go and draw it out: after a while they are cut off.
func TestEndlessGoodbye(t *testing.T) {
	t.Parallel() // it waits more than it works
	s := newServer(t, Options{CloseTimeout: 100 * time.Millisecond})
	for name, drawOut := range map[string]func(*rawPeer){
		"silence":       func(*rawPeer) {},
		"a large frame": func(p *rawPeer) { p.write(header(fin|opText, 1<<40)) },
		"a large frame, byte by byte": func(p *rawPeer) {
			p.write(header(fin|opText, 1<<40))
			p.flood([]byte(" "))
		},
		"pongs": func(p *rawPeer) { p.flood(frame(fin|opPong, nil)) },
	} {
		p := s.dialRaw()
		p.write(frame(fin|opText, []byte("{")))
		if m := p.read(); !same(m, &Error{Code: CodeBadMessage}) {
			t.Errorf("%s: %+v", name, m)
		}
		go drawOut(p)
	}
	s.waitConns(0)
}

// count is how many messages of a type, or with an outcome, the hub has counted.
func (s *server) count(typ string) int { return int(testutil.ToFloat64(s.hub.metrics.messages[typ])) }

// atMost is how many events a limit of so many a second, and twice as many at once, lets pass in the time since then.
func atMost(perSecond int, since time.Time) int {
	return 2*perSecond + int(time.Since(since).Seconds()*float64(perSecond)) + 1
}

// TestFloodIsThrottled has a client send as fast as it can: as many messages are handled as may be.
func TestFloodIsThrottled(t *testing.T) {
	t.Parallel() // it waits more than it works
	const perSecond, messages = 200, 2000
	s := newServer(t, Options{MessagesPerSecond: perSecond})
	began := time.Now()
	p := s.joinRaw("r")
	p.write(bytes.Repeat(frame(fin|opText, []byte(`{"type":"broadcast","data":1}`)), messages))
	s.wait("some to be dropped", func() bool { return s.count(typeDropped) > 3 })
	p.reset()
	s.waitConns(0)
	if got, most := s.count("broadcast"), atMost(perSecond, began); got < 2*perSecond-1 || got > most {
		t.Errorf("%d messages were handled, want %d to %d", got, 2*perSecond-1, most)
	}
}

// TestDroppedMessagesCount has a client learn after a resume that the server has seen what it dropped: it need not come again.
func TestDroppedMessagesCount(t *testing.T) {
	const perSecond, messages = 10, 40 // few a second, so that a slow machine is fast enough
	s := newServer(t, Options{MessagesPerSecond: perSecond, Resume: time.Minute})
	p := s.joinRaw("r")
	p.write(bytes.Repeat(frame(fin|opText, []byte(`{"type":"broadcast","data":1}`)), messages))
	s.wait("all to be seen", func() bool { return s.count("broadcast")+s.count(typeDropped) == messages })
	p.reset()
	back := s.dial().join(&Join{Room: "r", Name: "n", Resume: p.self.Resume, Received: new(uint64)})
	if !back.self.Resumed || back.self.Received != messages || s.count(typeDropped) == 0 {
		t.Errorf("%d of %d messages count, %d were dropped", back.self.Received, messages, s.count(typeDropped))
	}
	back.expectError(CodeRateLimited, "")
}

// TestAddressSharesItsMessages has two connections of an address flood; one of another address does not notice.
func TestAddressSharesItsMessages(t *testing.T) {
	t.Parallel() // it waits more than it works
	const perSecond, messages = 200, 2000
	s := newServer(t, Options{MessagesPerSecond: -1, MessagesPerIP: perSecond, ClientIP: headerIP})
	began := time.Now()
	flood := bytes.Repeat(frame(fin|opText, []byte(`{"type":"broadcast","data":1}`)), messages)
	var peers []*rawPeer
	for _, room := range []string{"a", "b"} {
		p := s.dialRaw("X-Test-Address: 192.0.2.1")
		p.send(&Join{Room: room, Name: "n"})
		p.write(flood)
		peers = append(peers, p)
	}
	s.wait("some to be dropped", func() bool { return s.count(typeDropped) > 3 })
	other := s.dialRaw("X-Test-Address: 192.0.2.2")
	other.send(&Join{Room: "c", Name: "n"})
	for range perSecond {
		other.send(&ICE{})
	}
	for range 1 + perSecond { // joined, and an answer to each
		if m := other.read(); m.Type() != "joined" && m.Type() != "ice-servers" {
			t.Fatalf("%+v", m)
		}
	}
	for _, p := range peers {
		p.reset()
	}
	s.waitConns(1)
	if got, most := s.count("broadcast"), atMost(perSecond, began); got < 2*perSecond-2 || got > most {
		t.Errorf("%d messages of one address were handled, want %d to %d", got, 2*perSecond-2, most)
	}
	// The address is not forgotten with its connections.
	s.hub.addresses.sweep()
	if limiter, _ := s.hub.addresses.connect(netip.MustParseAddr("192.0.2.1")); limiter.Tokens() > float64(atMost(perSecond, began)-2*perSecond) {
		t.Errorf("a new connection may send %v messages at once", limiter.Tokens())
	}
}

// TestPingsAreThrottled has a client flood with what the library answers by itself.
func TestPingsAreThrottled(t *testing.T) {
	t.Parallel() // it waits more than it works
	const perSecond = 200
	s := newServer(t, Options{MessagesPerSecond: perSecond})
	began := time.Now()
	p := s.joinRaw("r")
	p.write(bytes.Repeat(append(frame(fin|opPing, []byte("x")), frame(fin|opPong, nil)...), 4*perSecond))
	for got := 0; got < perSecond+perSecond/4; {
		opcode, _, err := p.readFrame()
		if err != nil {
			t.Fatal(err)
		}
		if opcode == opPong {
			got++ // and one pong that was read for each
		}
		if most := atMost(perSecond, began); 2*got > most+1 {
			t.Fatalf("%d pings and pongs were handled, %d may be", 2*got, most)
		}
	}
}
