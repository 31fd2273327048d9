package signaling

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetrics(t *testing.T) {
	s := newServer(t, Options{Resume: time.Minute})
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(s.hub.Metrics())
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	s.join("other", "Eve")
	ann.write(websocket.MessageText, []byte(`{"type":"sing"}`))
	expect[*MemberJoined](ann)
	ann.expectError(CodeBadMessage, "")
	bob.send(&Leave{})
	bob.expectClose(websocket.StatusNormalClosure)
	ann.cut()
	s.waitConns(1)
	want := `
# HELP maitred_members Members of all rooms, those whose connection is lost included.
# TYPE maitred_members gauge
maitred_members 2
# HELP maitred_rooms Rooms with members.
# TYPE maitred_rooms gauge
maitred_rooms 2
# HELP maitred_signaling_messages_total Messages from clients by type.
# TYPE maitred_signaling_messages_total counter
maitred_signaling_messages_total{type="broadcast"} 0
maitred_signaling_messages_total{type="ice"} 0
maitred_signaling_messages_total{type="invalid"} 1
maitred_signaling_messages_total{type="join"} 3
maitred_signaling_messages_total{type="leave"} 1
maitred_signaling_messages_total{type="rate_limited"} 0
maitred_signaling_messages_total{type="signal"} 0
maitred_signaling_messages_total{type="update"} 0
`
	err := testutil.GatherAndCompare(registry, strings.NewReader(want), "maitred_members", "maitred_rooms", "maitred_signaling_messages_total")
	if err != nil {
		t.Error(err)
	}
	closed := s.hub.metrics.closed
	if left, lost := testutil.ToFloat64(closed["left"]), testutil.ToFloat64(closed["lost"]); left != 1 || lost != 1 {
		t.Errorf("closed: %v left, %v lost", left, lost)
	}
}

func TestCausesAreCounted(t *testing.T) {
	m := newMetrics()
	for _, c := range []cause{causeLeft, causeLost, causeNoPong, causeNoJoin, causeTooSlow, causeReplaced, causeTooBig, causeShutdown, causeInternal} {
		if m.closed[c.metric] == nil {
			t.Errorf("%s has no counter", c.metric)
		}
	}
}

func TestRooms(t *testing.T) {
	s := newServer(t, Options{Resume: time.Minute})
	b, a := s.join("b", "Bob"), s.join("a", "Ann")
	b.cut()
	s.waitAway(b)
	raw, err := json.Marshal(s.hub.Rooms())
	if err != nil {
		t.Fatal(err)
	}
	var rooms []RoomInfo
	if err := json.Unmarshal(raw, &rooms); err != nil {
		t.Fatal(err)
	}
	if len(rooms) != 2 || rooms[0].Name != "a" || rooms[1].Name != "b" || rooms[0].Since.IsZero() {
		t.Fatalf("%s", raw)
	}
	if m := rooms[0].Members[0]; m.ID != a.id() || m.Name != "Ann" || m.Role != RoleModerator || !m.Connected {
		t.Errorf("%+v", m)
	}
	if m := rooms[1].Members[0]; m.ID != b.id() || m.Connected {
		t.Errorf("%+v", m)
	}
	if bytes.Contains(raw, []byte(a.self.Resume)) {
		t.Error("the administrator sees the resume token")
	}
}

func TestLogHasNoSecrets(t *testing.T) {
	var log syncBuffer
	book := newLedger(t)
	s := newServer(t, Options{ICE: book, Releaser: book, Resume: time.Minute,
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	p := s.dial()
	p.write(websocket.MessageText, []byte(`{"type":"join","room":7,"token":"sesame"}`))
	p.expectError(CodeBadMessage, "join")
	p.join(&Join{Room: "r", Name: "Wilhelmina", Token: "sesame", Password: "sesame"})
	p.cut()
	s.waitAway(p)
	back := s.resume(p)
	back.send(&Leave{})
	back.expectClose(websocket.StatusNormalClosure)
	s.close()
	text := log.String()
	for _, want := range []string{"member joined", "member left", "room=r", "member=" + p.id(), "reason=left"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	for _, secret := range []string{"Wilhelmina", "sesame", p.self.Resume, "secret"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

// syncBuffer is a buffer that several goroutines may use.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestAddressTableIsBounded(t *testing.T) {
	a := newAddresses(1, 1)
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	const held = 100
	for i := range 100_000 {
		if !a.connect(addr(i)) {
			t.Fatalf("%v refused", addr(i))
		}
		if i >= held {
			a.disconnect(addr(i))
		}
	}
	if n := len(a.table); n > 2*minSweep {
		t.Errorf("the table has %d entries for %d open connections", n, held)
	}
	for i := range held {
		if a.connect(addr(i)) {
			t.Fatalf("%v was forgotten while it had a connection", addr(i))
		}
	}
	if !a.allowJoin(addr(held)) || a.allowJoin(addr(held)) {
		t.Error("not one join a second")
	}
	a.sweep()
	if a.allowJoin(addr(held)) {
		t.Error("a join was forgotten at once")
	}
	if n := len(a.table); n != held+1 {
		t.Errorf("%d entries after a sweep, want %d", n, held+1)
	}
}

func TestRun(t *testing.T) {
	s := newServer(t, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.hub.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestCrowd has members come, talk, get lost, resume, get kicked and go in a few rooms at once, and then counts.
func TestCrowd(t *testing.T) {
	const people, rounds = 24, 12
	book := newLedger(t)
	s := newServer(t, Options{ICE: book, Releaser: book, Resume: 20 * time.Millisecond, PingInterval: 5 * time.Millisecond,
		MaxMembers: -1, ConnectionsPerIP: -1, MessagesPerSecond: -1})
	var crowd sync.WaitGroup
	for n := range people {
		crowd.Go(func() {
			for round := range rounds {
				visit(s, fmt.Sprintf("room-%d", n%3), n+round)
			}
		})
	}
	crowd.Wait()
	s.wait("all rooms to end", func() bool { return len(s.hub.Rooms()) == 0 })
	book.waitReleased(people * rounds)
	book.mu.Lock()
	defer book.mu.Unlock()
	if len(book.released) != len(book.minted) {
		t.Errorf("%d members released, %d had credentials", len(book.released), len(book.minted))
	}
	if n := s.hub.metrics.members.Load(); n != 0 {
		t.Errorf("%d members counted in no room", n)
	}
}

// visit is one membership and one of the ways in which it ends.
func visit(s *server, room string, way int) {
	p := s.join(room, "n")
	for _, m := range p.self.Members {
		p.send(&Signal{To: m.ID, Data: []byte(`"hello"`)}) // some are gone by now
	}
	p.send(&Broadcast{Data: []byte("1")})
	p.send(&Update{State: []byte(`{"n":1}`)})
	switch way % 4 {
	case 0:
		p.send(&Leave{})
		p.expectClose(websocket.StatusNormalClosure)
	case 1:
		p.cut()
	case 2:
		// Somebody else may have broken this seat's bounds meanwhile; then this is a new one.
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ws, _, err := websocket.Dial(ctx, s.http.URL, &websocket.DialOptions{Subprotocols: []string{Subprotocol}})
		if err != nil {
			s.t.Error(err)
			return
		}
		defer ws.CloseNow()
		raw, _ := Encode(&Join{Room: room, Name: "n", Resume: p.self.Resume})
		if err := ws.Write(ctx, websocket.MessageText, raw); err != nil {
			s.t.Error(err)
		}
		p.cut()
	case 3:
		s.hub.Kick(room, p.id(), "enough")
		p.expectClose(CloseKicked)
	}
}
