package bench

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

func TestMeter(t *testing.T) {
	m := newMeter()
	in := flow{m: m}
	take := func(tag, first uint64) {
		f := newFrames(1, 30, true, false)
		f.stamp(tag, first)
		in.arrived(f.packet(0)[channelHeader:], Clock())
	}
	for _, number := range []uint64{0, 1, 3, 2, 4, 4} { // one late, one twice
		take(m.tag, number)
	}
	take(m.warmUp(), 9)
	in.arrived(make([]byte, markSize-1), Clock())
	if got, late := m.received.Load(), m.reordered.Load(); got != 6 || late != 2 || in.next != 5 {
		t.Errorf("%d received, %d of them late, next %d", got, late, in.next)
	}
}

// connectedStreams connects a client and a server on loopback.
func connectedStreams(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}

// TestLoad sends between two endpoints of each kind.
func TestLoad(t *testing.T) {
	packets := func(form func(*net.UDPConn, shape) (endpoint, error)) func(*testing.T, shape) []endpoint {
		return func(t *testing.T, s shape) []endpoint {
			a, b, err := connectedPair()
			if err != nil {
				t.Fatal(err)
			}
			var both []endpoint
			for _, conn := range []*net.UDPConn{a, b} {
				t.Cleanup(func() { conn.Close() })
				e, err := form(conn, s)
				if err != nil {
					t.Fatal(err)
				}
				both = append(both, e)
			}
			return both
		}
	}
	portable := func(conn *net.UDPConn, s shape) (endpoint, error) { return newPortableEnd(conn, s), nil }
	streams := func(t *testing.T, s shape) []endpoint {
		a, b := connectedStreams(t)
		return []endpoint{newStreamEnd(a, bufio.NewReader(a), s), newStreamEnd(b, bufio.NewReader(b), s)}
	}
	encryptedStreams := func(t *testing.T, s shape) []endpoint {
		a, b := secureStreams(t)
		return []endpoint{newStreamEnd(a, bufio.NewReader(a), s), newStreamEnd(b, bufio.NewReader(b), s)}
	}
	encryptedPackets := func(t *testing.T, s shape) []endpoint {
		a, b := secureConnections(t)
		return []endpoint{newPortableEnd(a, s), newPortableEnd(b, s)}
	}
	for _, tt := range []struct {
		name  string
		shape shape
		make  func(*testing.T, shape) []endpoint
	}{
		{"packets", shape{burst: 4, size: 100}, packets(newPacketEnd)},
		{"framed packets", shape{burst: 1, size: MinSize, framed: true}, packets(newPacketEnd)},
		{"portable packets", shape{burst: 4, size: 100}, packets(portable)},
		{"framed portable packets", shape{burst: 3, size: 101, framed: true}, packets(portable)},
		{"stream", shape{burst: 8, size: 1000, framed: true}, streams},
		{"stream with padding", shape{burst: 3, size: 101, framed: true}, streams},
		{"encrypted stream", shape{burst: 8, size: 1000, framed: true}, encryptedStreams},
		{"encrypted stream of more than one record", shape{burst: 2, size: 30000, framed: true}, encryptedStreams},
		{"encrypted packets", shape{burst: 3, size: 101, framed: true}, encryptedPackets},
		{"largest encrypted packets", shape{burst: 2, size: MaxSize("dtls"), framed: true}, encryptedPackets},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &Config{Rate: 4000, Burst: tt.shape.burst, Tick: MinTick, Size: tt.shape.size}
			l, err := newLoad(c, tt.make(t, tt.shape))
			if err != nil {
				t.Fatal(err)
			}
			begun := false
			sent, err := l.run(t.Context(), "testing", 20*time.Millisecond, 100*time.Millisecond, func() error { begun = true; return nil })
			if err != nil {
				t.Fatal(err)
			}
			got := l.meter.received.Load()
			if !begun || got == 0 || got > sent.packets || sent.packets%uint64(tt.shape.burst) != 0 || sent.packets > 400 {
				t.Errorf("%d sent, %d received", sent.packets, got)
			}
			if s := l.meter.latency.Latency(); l.meter.reordered.Load() != 0 || s.P50 <= 0 || s.P50 > s.P99 || s.P99 > s.P999 || s.P999 > s.Max {
				t.Errorf("%d out of order, %+v", l.meter.reordered.Load(), s)
			}
		})
	}
}

// TestLoadEnds with its context, and when it cannot begin.
func TestLoadEnds(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name string
		end  func(context.CancelCauseFunc) error // called when the measurement is to begin
	}{
		{"begin fails", func(context.CancelCauseFunc) error { return broken }},
		{"the context ends", func(cancel context.CancelCauseFunc) error { cancel(broken); return nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &Config{Sessions: 1, Rate: 1000, Burst: 1, Tick: MinTick, Size: 100}
			all, closeAll, err := directEnds(c)
			if err != nil {
				t.Fatal(err)
			}
			defer closeAll()
			l, err := newLoad(c, all)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			if _, err := l.run(ctx, "testing", 0, time.Hour, func() error { return tt.end(cancel) }); !errors.Is(err, broken) {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// TestStream takes a server's messages, and says what is wrong with them.
func TestStream(t *testing.T) {
	data := func(m *meter) string {
		f := newFrames(2, 33, true, true)
		f.stamp(m.tag, 0)
		return string(f.b)
	}
	stunMessage := "\x00\x17\x00\x04" + strings.Repeat("x", 20)
	for _, tt := range []struct {
		name string
		text func(*meter) string
		got  uint64
		says string
	}{
		{"data", data, 2, "EOF"},
		{"a STUN message between", func(m *meter) string { return data(m) + stunMessage + data(m) }, 4, "EOF"},
		{"short data", func(m *meter) string { return "\x40\x00\x00\x01a\x00\x00\x00" + data(m) }, 2, "EOF"},
		{"half a message", func(m *meter) string { return data(m) + data(m)[:30] }, 3, "unexpected EOF"},
		{"another protocol", func(m *meter) string { return "\xffHTTP" }, 0, "0xff485454 where a message should begin"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, server := connectedStreams(t)
			m := newMeter()
			if _, err := server.Write([]byte(tt.text(m))); err != nil {
				t.Fatal(err)
			}
			server.Close()
			err := newStreamEnd(client, bufio.NewReader(client), shape{burst: 1, size: 33, framed: true}).receive(m)
			if err == nil || !strings.Contains(err.Error(), tt.says) || m.received.Load() != tt.got {
				t.Errorf("%d received, %v", m.received.Load(), err)
			}
		})
	}
}

// TestSlowStream throws away what a server does not take instead of waiting for it.
func TestSlowStream(t *testing.T) {
	client, _ := connectedStreams(t)
	const size = 60000
	e := newStreamEnd(client, bufio.NewReader(client), shape{burst: 8, size: size, framed: true}).(*streamEnd)
	ended := make(chan error, 1)
	m := newMeter()
	go func() { ended <- e.receive(m) }()
	const far = 1000 // bursts: more than the kernel's buffers hold
	for range far {
		e.send(m.tag)
	}
	if e.number >= far*8 {
		t.Errorf("%d packets taken although nobody reads", e.number)
	}
	e.stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("stop does not end it")
	}
}

func TestRefusal(t *testing.T) {
	for code, says := range map[int]string{401: "shared secret", 403: "turn.allow_peers", 486: "quota", 508: "ports", 437: "the server answers 437 Mismatch"} {
		if text := (&refusal{code, "Mismatch"}).Error(); !strings.Contains(text, says) {
			t.Errorf("%d: %q does not say %q", code, text, says)
		}
	}
}

func TestWorking(t *testing.T) {
	broken := errors.New("broken")
	fine, bad, alone := &session{}, &session{err: broken}, &session{err: errPartner}
	for _, tt := range []struct {
		name     string
		sessions []*session
		pair     bool
		live     int
		first    error
	}{
		{"all", []*session{fine, fine}, false, 2, nil},
		{"one bad", []*session{fine, bad}, false, 1, broken},
		{"a pair falls as one", []*session{fine, bad, fine, fine}, true, 2, broken},
		{"the cause, not the consequence", []*session{alone, bad}, true, 0, broken},
		{"a half that could not bind", []*session{bad, fine}, true, 0, broken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			live, failed, first := working(tt.sessions, tt.pair)
			if len(live) != tt.live || failed != len(tt.sessions)-tt.live || !errors.Is(first, tt.first) {
				t.Errorf("%d live, %d failed, %v", len(live), failed, first)
			}
		})
	}
}

func TestUsageOf(t *testing.T) {
	u, err := UsageOf([]int{os.Getpid()})
	if measured := err == nil && u.CPU > 0 && u.RSS > 0; measured != Readable {
		t.Errorf("this process: %+v, %v", u, err)
	}
	if _, err := UsageOf([]int{1 << 30}); err == nil || !strings.Contains(err.Error(), "process 1073741824") {
		t.Errorf("a process that cannot be: %v", err)
	}
}
