package signaling

import (
	"bytes"
	"context"
	"encoding/json"
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
maitred_signaling_messages_total{type="admit"} 0
maitred_signaling_messages_total{type="broadcast"} 0
maitred_signaling_messages_total{type="deny"} 0
maitred_signaling_messages_total{type="ice"} 0
maitred_signaling_messages_total{type="invalid"} 1
maitred_signaling_messages_total{type="join"} 3
maitred_signaling_messages_total{type="kick"} 0
maitred_signaling_messages_total{type="leave"} 1
maitred_signaling_messages_total{type="limit"} 0
maitred_signaling_messages_total{type="lock"} 0
maitred_signaling_messages_total{type="password"} 0
maitred_signaling_messages_total{type="rate_limited"} 0
maitred_signaling_messages_total{type="relay"} 0
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
	for _, c := range []cause{causeLeft, causeLost, causeNoPong, causeNoJoin, causeTooSlow, causeReplaced, causeTooBig, causeShutdown, causeInternal,
		causeDenied, causeNotAdmitted, causeKicked("")} {
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
	refused := s.dial()
	refused.send(&Join{Room: "r", Name: "Wilhelmina", Token: "sesame"})
	refused.expectError(CodeUnauthorized, "join")
	refused.expectClose(CloseUnauthorized)
	p.join(&Join{Room: "r", Name: "Wilhelmina", Password: "sesame"})
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
	a := newAddresses(addressLimits{conns: 1, joins: 1, messages: 1, failedPasswords: 1, failedTokens: 1})
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	const held = 100
	for i := range 100_000 {
		if _, ok := a.connect(addr(i)); !ok {
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
		if _, ok := a.connect(addr(i)); ok {
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

// TestAddressesWithoutLimits has a table that keeps nothing where there is nothing to keep.
func TestAddressesWithoutLimits(t *testing.T) {
	a := newAddresses(addressLimits{conns: -1, joins: -1, messages: -1, failedPasswords: -1, failedTokens: -1})
	for i := range 1000 {
		ip := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		if _, ok := a.connect(ip); !ok || !a.allowJoin(ip) || !a.mayTryPassword(ip) || !a.mayTryToken(ip) {
			t.Fatal("refused where there is no limit")
		}
		a.failedPassword(ip)
		a.failedToken(ip)
		a.disconnect(ip)
	}
	a.sweep()
	if n := len(a.table); n != 0 {
		t.Errorf("%d addresses are remembered", n)
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
