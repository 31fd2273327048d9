package signaling

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/maitred/maitred/pkg/cluster"
)

// badMessages are refused the same way by the decoder and by the server.
var badMessages = []struct {
	name, raw string
	fatal     bool
	request   string
}{
	{"empty", ``, true, ""},
	{"not JSON", `hello`, true, ""},
	{"cut off", `{"type":"ice"`, true, ""},
	{"two values", `{"type":"ice"}{"type":"ice"}`, true, ""},
	{"array", `[{"type":"ice"}]`, true, ""},
	{"string", `"ice"`, true, ""},
	{"invalid UTF-8", "{\"type\":\"broadcast\",\"data\":\"\xff\"}", true, ""},
	{"too deep", `{"type":"broadcast","data":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + `}`, true, ""},
	{"much too deep", strings.Repeat(`{"a":`, 12_000), true, ""},

	{"null", `null`, true, ""},
	{"name null", `{"type":"join","room":"r","name":null}`, false, "join"},
	{"field in another case", `{"type":"join","Room":"r","name":"n"}`, false, "join"},
	{"type in another case", `{"Type":"ice"}`, false, ""},
	{"to not a string", `{"type":"signal","to":1,"data":1}`, false, "signal"},
	{"no type", `{"room":"r"}`, false, ""},
	{"type not a string", `{"type":7}`, false, ""},
	{"unknown type", `{"type":"sing"}`, false, ""},
	{"long unknown type", `{"type":"` + strings.Repeat("ä", 1000) + `"}`, false, ""},
	{"server's type", `{"type":"joined"}`, false, ""},
	{"type of another version", `{"type":"sing","loud":true}`, false, ""},
	{"unknown field", `{"type":"ice","now":true}`, false, "ice"},
	{"long unknown field", `{"type":"ice","` + strings.Repeat("x", 1000) + `":1}`, false, "ice"},
	{"wrong type of field", `{"type":"join","room":7,"name":"n"}`, false, "join"},
	{"no room", `{"type":"join","name":"n"}`, false, "join"},
	{"room too long", `{"type":"join","room":"` + strings.Repeat("r", 65) + `","name":"n"}`, false, "join"},
	{"room with slash", `{"type":"join","room":"a/b","name":"n"}`, false, "join"},
	{"no name", `{"type":"join","room":"r"}`, false, "join"},
	{"blank name", `{"type":"join","room":"r","name":" \t"}`, false, "join"},
	{"name too long", `{"type":"join","room":"r","name":"` + strings.Repeat("ä", 65) + `"}`, false, "join"},
	{"name with control character", `{"type":"join","room":"r","name":"a\u0007b"}`, false, "join"},
	{"name that turns text around", `{"type":"join","room":"r","name":"a\u202eb"}`, false, "join"},
	{"resume too long", `{"type":"join","room":"r","name":"n","resume":"` + strings.Repeat("x", MaxTokenLength+1) + `"}`, false, "join"},
	{"token too long", `{"type":"join","room":"r","name":"n","token":"` + strings.Repeat("x", MaxTokenLength+1) + `"}`, false, "join"},
	{"password too long", `{"type":"join","room":"r","name":"n","password":"` + strings.Repeat("x", MaxTokenLength+1) + `"}`, false, "join"},
	{"everything too long", `{"type":"join","room":"r","name":"n","token":"` + strings.Repeat("x", maxJoin) + `"}`, false, "join"},
	{"received without resume", `{"type":"join","room":"r","name":"n","received":1}`, false, "join"},
	{"received null", `{"type":"join","room":"r","name":"n","resume":"x","received":null}`, false, "join"},
	{"received negative", `{"type":"join","room":"r","name":"n","resume":"x","received":-1}`, false, "join"},
	{"received with a fraction", `{"type":"join","room":"r","name":"n","resume":"x","received":1.5}`, false, "join"},
	{"received too large", `{"type":"join","room":"r","name":"n","resume":"x","received":18446744073709551616}`, false, "join"},
	{"received a string", `{"type":"join","room":"r","name":"n","resume":"x","received":"1"}`, false, "join"},
	{"relay of another room", `{"type":"relay","room":"other"}`, false, "relay"},
	{"signal without to", `{"type":"signal","data":1}`, false, "signal"},
	{"signal without data", `{"type":"signal","to":"x"}`, false, "signal"},
	{"broadcast without data", `{"type":"broadcast"}`, false, "broadcast"},
	{"data too long", `{"type":"broadcast","data":"` + strings.Repeat("x", MaxDataSize-1) + `"}`, false, "broadcast"},
	{"update without state", `{"type":"update"}`, false, "update"},
	{"state not an object", `{"type":"update","state":[]}`, false, "update"},
	{"state null", `{"type":"update","state":null}`, false, "update"},
	{"kick nobody", `{"type":"kick"}`, false, "kick"},
	{"kick with an empty id", `{"type":"kick","member":""}`, false, "kick"},
	{"kick many", `{"type":"kick","member":["a","b"]}`, false, "kick"},
	{"kick with a long id", `{"type":"kick","member":"` + strings.Repeat("x", maxCommand) + `"}`, false, "kick"},
	{"reason too long", `{"type":"kick","member":"m","reason":"` + strings.Repeat("ä", MaxReason+1) + `"}`, false, "kick"},
	{"reason that shows nothing", `{"type":"kick","member":"m","reason":" "}`, false, "kick"},
	{"reason of two lines", `{"type":"kick","member":"m","reason":"a\nb"}`, false, "kick"},
	{"reason not a string", `{"type":"kick","member":"m","reason":1}`, false, "kick"},
	{"lock without locked", `{"type":"lock"}`, false, "lock"},
	{"lock with null", `{"type":"lock","locked":null}`, false, "lock"},
	{"locked not a bool", `{"type":"lock","locked":"true"}`, false, "lock"},
	{"knock at an open door", `{"type":"lock","locked":false,"knock":true}`, false, "lock"},
	{"knock not a bool", `{"type":"lock","locked":true,"knock":1}`, false, "lock"},
	{"admit nobody", `{"type":"admit"}`, false, "admit"},
	{"deny nobody", `{"type":"deny","member":null}`, false, "deny"},
	{"password without password", `{"type":"password"}`, false, "password"},
	{"password null", `{"type":"password","password":null}`, false, "password"},
	{"room's password too long", `{"type":"password","password":"` + strings.Repeat("x", MaxTokenLength+1) + `"}`, false, "password"},
	{"limit without maxMembers", `{"type":"limit"}`, false, "limit"},
	{"limit negative", `{"type":"limit","maxMembers":-1}`, false, "limit"},
	{"limit with a fraction", `{"type":"limit","maxMembers":1.5}`, false, "limit"},
	{"limit too large", `{"type":"limit","maxMembers":1e30}`, false, "limit"},
	{"state too long", `{"type":"update","state":{"a":"` + strings.Repeat("x", MaxStateSize) + `"}}`, false, "update"},
}

func TestBadMessages(t *testing.T) {
	s := newServer(t, Options{ConnectionsPerIP: -1})
	for _, joined := range []bool{false, true} {
		for _, tt := range badMessages {
			name := tt.name + " before join"
			if joined {
				name = tt.name + " after join"
			}
			t.Run(name, func(t *testing.T) {
				p := s.dial()
				p.t = t
				if joined {
					p.join(&Join{Room: "bad", Name: "n"})
				}
				p.write(websocket.MessageText, []byte(tt.raw))
				if !joined && len(tt.raw) > maxUnjoined {
					p.expectClose(websocket.StatusMessageTooBig)
					return
				}
				p.expectError(CodeBadMessage, tt.request)
				if tt.fatal {
					p.expectClose(CloseBadMessage)
					return
				}
				if !joined {
					p.join(&Join{Room: "bad", Name: "n"}) // the connection goes on
				}
				p.send(&Leave{})
				p.expectClose(websocket.StatusNormalClosure)
			})
		}
	}
}

func TestBinaryMessage(t *testing.T) {
	s := newServer(t, Options{})
	p := s.join("r", "n")
	p.write(websocket.MessageBinary, []byte(`{"type":"ice"}`))
	p.expectError(CodeBadMessage, "")
	p.expectClose(CloseBadMessage)
}

func TestBadMessageEndsMembership(t *testing.T) {
	book := newLedger(t)
	s := newServer(t, Options{ICE: book, Releaser: book, MessageSize: 1000})
	for name, raw := range map[string]string{"malformed": "{", "too big": strings.Repeat(" ", 1001)} {
		t.Run(name, func(t *testing.T) {
			good, bad := s.join(strings.ReplaceAll(name, " ", "-"), "good"), s.join(strings.ReplaceAll(name, " ", "-"), "bad")
			expect[*MemberJoined](good)
			bad.write(websocket.MessageText, []byte(raw))
			if m := expect[*MemberLeft](good); m.Member != bad.id() || m.Reason != ReasonBadMessage {
				t.Errorf("member-left %+v", m)
			}
		})
	}
	book.waitReleased(2)
}

func TestMessageSize(t *testing.T) {
	s := newServer(t, Options{MessageSize: 1000})
	p := s.dial()
	fits := `{"type":"ice"}`
	p.write(websocket.MessageText, []byte(fits+strings.Repeat(" ", 1000-len(fits))))
	p.expectError(CodeNotAllowed, "ice")
	p.write(websocket.MessageText, make([]byte, 50_000))
	p.expectClose(websocket.StatusMessageTooBig)
}

func TestLargestData(t *testing.T) {
	s := newServer(t, Options{})
	a, b := s.join("r", "a"), s.join("r", "b")
	expect[*MemberJoined](a)
	data := `"` + strings.Repeat("<", MaxDataSize-2) + `"`
	a.send(&Signal{To: b.id(), Data: []byte(data)})
	if got := expect[*SignalFrom](b); string(got.Data) != data {
		t.Errorf("%d bytes of data arrived as %d", len(data), len(got.Data))
	}
}

func TestNotAllowed(t *testing.T) {
	s := newServer(t, Options{})
	p := s.dial()
	p.send(&Broadcast{Data: []byte("1")})
	p.expectError(CodeNotAllowed, "broadcast")
	p.join(&Join{Room: "r", Name: "n"})
	p.send(&Join{Room: "other", Name: "n"})
	p.expectError(CodeNotAllowed, "join")
}

func TestNoSuchMember(t *testing.T) {
	s := newServer(t, Options{})
	p, elsewhere := s.join("r", "n"), s.join("other", "n")
	for _, to := range []string{"nobody", elsewhere.id(), p.id()} {
		p.send(&Signal{To: to, Data: []byte("1")})
		p.expectError(CodeNoSuchMember, "signal")
	}
}

func TestRoomFull(t *testing.T) {
	book := newLedger(t)
	s := newServer(t, Options{MaxMembers: 2, ICE: book, Releaser: book})
	a := s.join("r", "a")
	s.join("r", "b")
	c := s.dial()
	c.send(&Join{Room: "r", Name: "c"})
	c.expectError(CodeRoomFull, "join")
	a.send(&Leave{})
	a.expectClose(websocket.StatusNormalClosure)
	c.join(&Join{Room: "r", Name: "c"}) // on the same connection
	if len(book.minted) != 3 {
		t.Errorf("credentials for %d members, want 3", len(book.minted))
	}
}

func TestTooManyRooms(t *testing.T) {
	s := newServer(t, Options{MaxRooms: 1})
	s.join("a", "n")
	p := s.dial()
	p.send(&Join{Room: "b", Name: "n"})
	p.expectError(CodeTooManyRooms, "join")
	p.join(&Join{Room: "a", Name: "n"})
}

func TestJoinTimeout(t *testing.T) {
	s := newServer(t, Options{JoinTimeout: time.Millisecond})
	s.dial().expectClose(CloseBadMessage)
}

func TestJoinsPerIP(t *testing.T) {
	s := newServer(t, Options{JoinsPerIP: 2})
	s.join("r", "a")
	s.join("r", "b")
	c := s.dial()
	c.send(&Join{Room: "r", Name: "c"})
	c.expectError(CodeRateLimited, "join")
}

func TestConnectionsPerIP(t *testing.T) {
	s := newServer(t, Options{ConnectionsPerIP: 1})
	s.join("r", "a")
	p := s.dial()
	p.expectError(CodeRateLimited, "")
	p.expectClose(websocket.StatusTryAgainLater)
}

func TestConnectionsAreGivenBack(t *testing.T) {
	book := newLedger(t)
	s := newServer(t, Options{ConnectionsPerIP: 1, Releaser: book})
	for range 3 {
		p := s.join("r", "a")
		p.send(&Leave{})
		p.expectClose(websocket.StatusNormalClosure)
		s.waitConns(0)
	}
}

func TestMessagesPerSecond(t *testing.T) {
	s := newServer(t, Options{MessagesPerSecond: 5})
	a, b := s.join("r", "a"), s.join("r", "b") // the join was one message
	expect[*MemberJoined](a)
	for range 12 {
		a.send(&Broadcast{Data: []byte("1")})
	}
	for range 9 {
		expect[*BroadcastFrom](b)
	}
	a.expectError(CodeRateLimited, "") // once for all that was dropped
	a.send(&Leave{})
	for {
		m, err := b.read()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := m.(*MemberLeft); ok {
			break
		}
		a.send(&Leave{}) // the ones before were dropped, too
	}
}

func TestDrain(t *testing.T) {
	s := newServer(t, Options{})
	in, waiting := s.join("r", "in"), s.dial()
	s.hub.Drain()
	expect[*Draining](in)
	waiting.send(&Join{Room: "r", Name: "n"})
	waiting.expectError(CodeServerDraining, "join")
	waiting.expectClose(websocket.StatusGoingAway)
	late := s.dial()
	late.send(&Join{Room: "new", Name: "n"})
	late.expectError(CodeServerDraining, "join")
	in.send(&Broadcast{Data: []byte("1")}) // who is in may go on
	in.send(&ICE{})
	expect[*ICEServers](in)
}

func TestClose(t *testing.T) {
	book := newLedger(t)
	s := newServer(t, Options{ICE: book, Releaser: book})
	ann, bob, away, idle := s.join("a", "n"), s.join("b", "n"), s.join("b", "n"), s.dial()
	expect[*MemberJoined](bob)
	s.waitConns(4) // idle's, too: its handshake is done a moment before the hub knows of it
	away.cut()
	s.waitConns(3)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.close()
	}()
	for _, p := range []*peer{ann, bob, idle} {
		if before := p.expectClose(websocket.StatusGoingAway); len(before) != 0 {
			t.Errorf("told %+v", before)
		}
	}
	<-done
	book.waitReleased(3)
	rec := httptest.NewRecorder()
	s.hub.ServeHTTP(rec, httptest.NewRequest("GET", "/ws", nil))
	if rec.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d after close", rec.Code)
	}
	s.close() // a second time does nothing
}

// TestNobodyJoinsAsTheServerStops has a join that found its room just before the hub was closed.
func TestNobodyJoinsAsTheServerStops(t *testing.T) {
	late := &latecomer{}
	s := newServer(t, Options{Releaser: late, Resume: time.Minute})
	ann := s.join("r", "Ann")
	late.room = s.hub.find("r")
	ann.cut()
	s.waitAway(ann)
	s.close()
	if !errors.Is(late.err, errDraining) {
		t.Errorf("joined: %v", late.err)
	}
	s.waitConns(0)
}

// latecomer is a Releaser that joins the room that the member has been in.
type latecomer struct {
	room *room
	err  error
}

func (l *latecomer) Revoke(string, time.Time) {}

func (l *latecomer) Release(string) Traffic {
	_, l.err = l.room.join(&conn{}, &Join{Room: "r", Name: "late"}, nil)
	return Traffic{}
}

func TestCloseIsBoundedByContext(t *testing.T) {
	s := newServer(t, Options{})
	deaf := s.join("r", "n") // does not read, so does not answer the close frame
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := s.hub.Close(ctx); err != context.DeadlineExceeded {
		t.Errorf("close: %v", err)
	}
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("close took %v", d)
	}
	deaf.cut()
}

func TestKick(t *testing.T) {
	book := newLedger(t)
	s := newServer(t, Options{ICE: book, Releaser: book})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	expect[*MemberJoined](ann)
	if s.hub.Kick("r", "nobody", "") || s.hub.Kick("nowhere", bob.id(), "") {
		t.Error("kicked somebody who is not there")
	}
	if !s.hub.Kick("r", bob.id(), "be \"nice\"") {
		t.Fatal("not kicked")
	}
	if m := expect[*Kicked](bob); m.Reason != `be "nice"` {
		t.Errorf("kicked %+v", m)
	}
	bob.expectClose(CloseKicked)
	if m := expect[*MemberLeft](ann); m.Member != bob.id() || m.Reason != ReasonKicked {
		t.Errorf("member-left %+v", m)
	}
	book.waitReleased(1)
	again := s.dial()
	again.send(&Join{Room: "r", Name: "Bob", Resume: bob.self.Resume})
	if e := expect[*Error](again); e.Code != CodeNotAllowed || e.Request != "join" {
		t.Errorf("resumed after the kick: %+v", e)
	}
	again.expectClose(CloseKicked)
	if s.hub.Kick("r", bob.id(), "") {
		t.Error("kicked twice")
	}
}

// brokenBus is a bus without a network.
type brokenBus struct{}

func (brokenBus) Subscribe(string, cluster.Subscriber) (cluster.Topic, error) {
	return nil, errors.New("broker 10.0.0.1 refused the password")
}

func TestInternalError(t *testing.T) {
	s := newServer(t, Options{Bus: brokenBus{}})
	p := s.dial()
	p.send(&Join{Room: "r", Name: "n"})
	if before := p.expectClose(websocket.StatusInternalError); len(before) != 0 {
		t.Errorf("told %+v", before)
	}
	if rooms := s.hub.Rooms(); len(rooms) != 0 {
		t.Errorf("rooms: %+v", rooms)
	}
}

// waitConns waits until the hub has n connections.
func (s *server) waitConns(n int) {
	s.t.Helper()
	s.wait("connections", func() bool {
		s.hub.mu.Lock()
		defer s.hub.mu.Unlock()
		return len(s.hub.conns) == n
	})
}

// wait polls for what no message tells the test of.
func (s *server) wait(what string, ok func() bool) {
	s.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("waiting for %s", what)
		}
	}
}
