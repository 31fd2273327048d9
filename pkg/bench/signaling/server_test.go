package signaling

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// faults are what a server does wrong. The functions may be nil, and are called with the server's lock held.
type faults struct {
	greet  func(number int) (refuse string)                    // an error code for the member with this number, from 1, the probe
	accept func(w http.ResponseWriter, number int) (done bool) // instead of a WebSocket
	copies func(n int) int                                     // how often message number n is delivered, from 1
	after  func(s *seat, n int)                                // message number n has been handled
	mute   bool                                                // does not answer
	sullen bool                                                // does not close when a member leaves
}

// fake is a signaling server of a few lines that speaks both protocols, with a WebSocket library that is not ours.
type fake struct {
	faults
	t *testing.T

	beats chan struct{} // gets one for a heartbeat, if it has room

	mu       sync.Mutex
	rooms    map[string][]*seat
	tokens   []string
	joined   int
	messages int
	left     int
}

// seat is a member as the server has it.
type seat struct {
	ws   *websocket.Conn
	id   string
	room string
}

// fakeServer starts the server and configures a small load on it.
func fakeServer(t *testing.T, f *fake) Config {
	t.Helper()
	f.t, f.rooms = t, map[string][]*seat{}
	server := httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Scheme, u.Path = "ws", "/ws"
	return Config{URL: u, Server: netip.MustParseAddrPort(u.Host), Protocol: "maitred", Rooms: 3, Members: 2, Joins: 1000, Messages: 500, Size: 300,
		Tick: time.Millisecond, Duration: 200 * time.Millisecond, WarmUp: 20 * time.Millisecond, patience: patience}
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.joined++
	number := f.joined
	done := f.accept != nil && f.accept(w, number)
	f.mu.Unlock()
	if f.mute {
		<-r.Context().Done() // until the client has gone
		return
	}
	if done {
		return
	}
	options := &websocket.AcceptOptions{}
	peerjs := r.URL.Path == "/peerjs"
	if !peerjs {
		options.Subprotocols = []string{"maitred.v1"}
	}
	ws, err := websocket.Accept(w, r, options)
	if err != nil {
		f.t.Error(err)
		return
	}
	defer ws.CloseNow()
	ws.SetReadLimit(1 << 20)
	s := &seat{ws: ws, id: fmt.Sprintf("%026d", number)}
	if peerjs {
		s.id, s.room = r.URL.Query().Get("id"), "all"
		f.sit(s)
		f.say(s, map[string]any{"type": "OPEN"})
	}
	for f.handle(s, number) {
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rooms[s.room] = slices.DeleteFunc(f.rooms[s.room], func(o *seat) bool { return o == s })
}

func (f *fake) sit(s *seat) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rooms[s.room] = append(f.rooms[s.room], s)
}

// handle takes one message.
func (f *fake) handle(s *seat, number int) bool {
	_, b, err := s.ws.Read(context.Background())
	if err != nil {
		return false
	}
	var m struct {
		Type, Room, Name, Token, To, Dst string
		Data, Payload                    json.RawMessage
	}
	if err := json.Unmarshal(b, &m); err != nil {
		f.t.Errorf("%q: %v", b, err)
		return false
	}
	switch m.Type {
	case "join":
		f.mu.Lock()
		refusal := ""
		if f.greet != nil {
			refusal = f.greet(number)
		}
		f.tokens = append(f.tokens, m.Token)
		f.mu.Unlock()
		if refusal != "" {
			f.say(s, map[string]any{"type": "error", "code": refusal, "message": "no"})
			return true
		}
		s.room = m.Room
		f.sit(s)
		f.say(s, map[string]any{"type": "member-joined", "member": map[string]any{"id": "x"}})
		f.say(s, map[string]any{"type": "joined", "self": map[string]any{"id": s.id}, "new": true})
	case "signal":
		f.relay(s, func(o *seat) bool { return o.id == m.To }, map[string]any{"type": "signal", "from": s.id, "data": m.Data})
	case "broadcast":
		f.relay(s, func(o *seat) bool { return o != s }, map[string]any{"type": "broadcast", "from": s.id, "data": m.Data})
	case "CANDIDATE":
		f.relay(s, func(o *seat) bool { return o.id == m.Dst }, map[string]any{"type": "CANDIDATE", "src": s.id, "dst": m.Dst, "payload": m.Payload})
	case "HEARTBEAT":
		select {
		case f.beats <- struct{}{}:
		default:
		}
	case "leave":
		f.mu.Lock()
		f.left++
		f.mu.Unlock()
		return f.sullen || s.ws.Close(websocket.StatusNormalClosure, "left") == nil && false
	default:
		f.t.Errorf("the client sends %q", b)
	}
	return true
}

// relay passes a message on to those in the room who shall have it.
func (f *fake) relay(s *seat, to func(*seat) bool, message map[string]any) {
	f.mu.Lock()
	f.messages++
	number, copies := f.messages, 1
	if f.copies != nil {
		copies = f.copies(number)
	}
	var receivers []*seat
	for _, o := range f.rooms[s.room] {
		if to(o) {
			receivers = append(receivers, o)
		}
	}
	f.mu.Unlock()
	for _, o := range receivers {
		for range copies {
			f.say(o, message)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.after != nil {
		f.after(s, number)
	}
}

func (f *fake) say(s *seat, message map[string]any) {
	b, err := json.Marshal(message)
	if err != nil {
		f.t.Error(err)
	}
	_ = s.ws.Write(context.Background(), websocket.MessageText, b) // the client may have gone
}
