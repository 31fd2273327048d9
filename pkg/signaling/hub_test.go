package signaling

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test that passes at once when all is well.
const patience = 20 * time.Second

// server is a hub behind a real HTTP server on loopback.
type server struct {
	t    testing.TB
	hub  *Hub
	http *httptest.Server
}

func newServer(t testing.TB, opts Options) *server {
	t.Helper()
	if opts.JoinsPerIP == 0 {
		opts.JoinsPerIP = -1
	}
	if opts.MessagesPerIP == 0 {
		opts.MessagesPerIP = -1
	}
	if opts.Network == nil {
		opts.Network = testNetwork()
	}
	s := &server{t: t, hub: New(opts)}
	s.http = httptest.NewUnstartedServer(s.hub)
	s.http.Listener = tellingListener{s.http.Listener}
	s.http.Start()
	t.Cleanup(func() {
		s.close()
		s.http.Close()
	})
	return s
}

// tellingListener has connections that tell before they close their descriptors, as the daemon's do.
type tellingListener struct{ net.Listener }

func (l tellingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tellingConn{TCPConn: c.(*net.TCPConn)}, nil
}

type tellingConn struct {
	*net.TCPConn
	mu     sync.Mutex // held while it tells
	closed bool
	told   []func()
}

func (c *tellingConn) WhenClosed(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		f()
		return
	}
	c.told = append(c.told, f)
}

func (c *tellingConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, f := range c.told {
		f()
	}
	c.told = nil
	return c.TCPConn.Close()
}

func (s *server) close() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.hub.Close(ctx); err != nil {
		s.t.Errorf("close hub: %v", err)
	}
}

// peer is a client that speaks the protocol byte by byte.
type peer struct {
	t    testing.TB
	ws   *websocket.Conn
	self Joined // the last one
	got  uint64 // messages on its seat; unknown after a resume without counting
}

// dial connects; its cleanup closes the connection without a word.
func (s *server) dial() *peer {
	s.t.Helper()
	return s.dialWith(&websocket.DialOptions{Subprotocols: []string{Subprotocol}})
}

func (s *server) dialWith(opts *websocket.DialOptions) *peer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, s.http.URL, opts)
	if err != nil {
		s.t.Fatalf("dial: %v", err)
	}
	ws.SetReadLimit(-1)
	p := &peer{t: s.t, ws: ws}
	s.t.Cleanup(p.cut)
	return p
}

// join connects and takes a seat.
func (s *server) join(room, name string) *peer {
	s.t.Helper()
	return s.dial().join(&Join{Room: room, Name: name})
}

// resume connects and takes the seat of another peer back.
func (s *server) resume(old *peer) *peer {
	s.t.Helper()
	return s.dial().join(&Join{Room: old.self.Room.ID, Name: "x", Resume: old.self.Resume})
}

// resumeFrom is resume with counting.
func (s *server) resumeFrom(old *peer, received uint64) *peer {
	s.t.Helper()
	return s.dial().join(&Join{Room: old.self.Room.ID, Name: "x", Resume: old.self.Resume, Received: &received})
}

func (p *peer) join(j *Join) *peer {
	p.t.Helper()
	p.send(j)
	expect[*Joined](p)
	if j.Received != nil && p.self.Resumed {
		p.got += *j.Received
	}
	return p
}

// cut ends the connection as a broken network does.
func (p *peer) cut() { _ = p.ws.CloseNow() }

func (p *peer) id() string { return p.self.Self.ID }

func (p *peer) send(m ClientMessage) {
	p.t.Helper()
	raw, err := Encode(m)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(websocket.MessageText, raw)
}

func (p *peer) write(typ websocket.MessageType, raw []byte) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := p.ws.Write(ctx, typ, raw); err != nil {
		p.t.Fatalf("write: %v", err)
	}
}

func (p *peer) read() (ServerMessage, error) {
	raw, err := p.readRaw()
	if err != nil {
		return nil, err
	}
	m, err := DecodeServer(raw)
	if joined, ok := m.(*Joined); ok {
		p.self = *joined
	} else if p.self.Self.ID != "" {
		p.got++
	}
	return m, err
}

func (p *peer) readRaw() ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, raw, err := p.ws.Read(ctx)
	return raw, err
}

// expect reads one message, which must be a T.
func expect[T ServerMessage](p *peer) T {
	p.t.Helper()
	m, err := p.read()
	if err != nil {
		p.t.Fatalf("waiting for %T: %v", *new(T), err)
	}
	got, ok := m.(T)
	if !ok {
		p.t.Fatalf("got %T %+v, want %T", m, m, *new(T))
	}
	return got
}

func (p *peer) expectError(code Code, request string) {
	p.t.Helper()
	e := expect[*Error](p)
	if e.Code != code || e.Request != request || e.Message == "" {
		p.t.Fatalf("error %+v, want code %s for request %q", e, code, request)
	}
}

// expectClose reads until the connection ends, which must be with this code. It returns the messages before.
func (p *peer) expectClose(code websocket.StatusCode) []ServerMessage {
	p.t.Helper()
	var before []ServerMessage
	for {
		m, err := p.read()
		if err == nil {
			before = append(before, m)
			continue
		}
		if got := websocket.CloseStatus(err); got != code {
			p.t.Fatalf("closed with %d (%v), want %d", got, err, code)
		}
		return before
	}
}

// ledger is an ICEProvider and Releaser that keeps book and complains of what must not be.
type ledger struct {
	t        testing.TB
	mu       sync.Mutex
	minted   map[string]int
	released map[string]int
	revoked  map[string]int // how many were released before, by the id of a join token
	changed  chan struct{}  // a token for every release
	ttl      time.Duration
	used     Traffic // of every member
}

func newLedger(t testing.TB) *ledger {
	return &ledger{t: t, minted: map[string]int{}, released: map[string]int{}, revoked: map[string]int{}, changed: make(chan struct{}, 1000), ttl: time.Hour}
}

func (l *ledger) ICEServers(id, _ string) ([]ICEServer, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.minted[id]++
	if l.released[id] > 0 {
		l.t.Errorf("minted for %s after its release", id)
	}
	return []ICEServer{{URLs: []string{"turn:127.0.0.1:3478"}, Username: "1:" + id, Credential: "secret"}}, l.ttl
}

func (l *ledger) Release(id string) Traffic {
	l.mu.Lock()
	l.released[id]++
	if l.released[id] > 1 {
		l.t.Errorf("released %s twice", id)
	}
	used := l.used
	l.mu.Unlock()
	l.changed <- struct{}{}
	return used
}

func (l *ledger) Revoke(tokenID string, expires time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if tokenID == "" || !expires.After(time.Now()) {
		l.t.Errorf("revoked %q until %v", tokenID, expires)
	}
	l.revoked[tokenID] = len(l.released)
}

func (l *ledger) mintedFor(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.minted[id]
}

func (l *ledger) releasedOf(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.released[id]
}

// waitReleased waits until n members were released.
func (l *ledger) waitReleased(n int) {
	l.t.Helper()
	deadline := time.After(patience)
	for {
		l.mu.Lock()
		have := len(l.released)
		l.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-l.changed:
		case <-deadline:
			l.t.Fatalf("%d of %d members released", have, n)
		}
	}
}

func TestJoin(t *testing.T) {
	book := newLedger(t)
	s := newServer(t, Options{ICE: book, Releaser: book})
	ann := s.join("blue", "  Ann ")
	if j := ann.self; j.Self.Name != "Ann" || j.Self.Role != RoleModerator || string(j.Self.State) != "{}" || j.Room.ID != "blue" ||
		len(j.Members) != 0 || j.TTL != 3600 || len(j.ICEServers) != 1 || j.ICEServers[0].Username != "1:"+ann.id() {
		t.Fatalf("joined: %+v", j)
	}
	if len(ann.id()) < 22 || len(ann.self.Resume) < 22 || ann.id() == ann.self.Resume {
		t.Errorf("id %q and resume %q are not 128 random bits each", ann.id(), ann.self.Resume)
	}
	bob := s.join("blue", "Bob")
	if got := expect[*MemberJoined](ann).Member; got.ID != bob.id() || got.Name != "Bob" || got.Role != RoleMember {
		t.Errorf("member-joined: %+v", got)
	}
	if got := bob.self.Members; len(got) != 1 || got[0].ID != ann.id() {
		t.Errorf("bob sees %+v", got)
	}
	if other := s.join("Blue", "Eve"); len(other.self.Members) != 0 {
		t.Errorf("another room has members of this one: %+v", other.self.Members)
	}
}

func TestMessages(t *testing.T) {
	book := newLedger(t)
	s := newServer(t, Options{ICE: book, Releaser: book})
	ann, bob, cid := s.join("r", "Ann"), s.join("r", "Bob"), s.join("r", "Cid")
	expect[*MemberJoined](ann)
	expect[*MemberJoined](ann)
	expect[*MemberJoined](bob)

	const data = `{"sdp":"a<b>&\u2028","n":[1,2.50,null]}`
	ann.send(&Signal{To: bob.id(), Data: []byte(data)})
	if m := expect[*SignalFrom](bob); m.From != ann.id() || string(m.Data) != data {
		t.Errorf("signal %+v", m)
	}
	ann.send(&Broadcast{Data: []byte(`null`)})
	for _, p := range []*peer{bob, cid} { // cid saw no signal before it
		if m := expect[*BroadcastFrom](p); m.From != ann.id() || string(m.Data) != "null" {
			t.Errorf("broadcast %+v", m)
		}
	}
	ann.send(&Update{State: []byte(`{"muted":true}`)})
	for _, p := range []*peer{ann, bob, cid} { // ann saw no broadcast of her own before it
		if m := expect[*MemberUpdated](p).Member; m.ID != ann.id() || string(m.State) != `{"muted":true}` {
			t.Errorf("member-updated %+v", m)
		}
	}
	if dan := s.join("r", "Dan"); string(dan.self.Members[0].State) != `{"muted":true}` {
		t.Errorf("dan sees ann as %+v", dan.self.Members[0])
	}
	expect[*MemberJoined](ann)
	ann.send(&ICE{})
	if m := expect[*ICEServers](ann); m.TTL != 3600 || m.ICEServers[0].Username != "1:"+ann.id() {
		t.Errorf("ice-servers %+v", m)
	}
	if book.minted[ann.id()] != 2 {
		t.Errorf("%d credentials for ann, want a fresh one for join and ice each", book.minted[ann.id()])
	}
}

func TestLeave(t *testing.T) {
	book := newLedger(t)
	s := newServer(t, Options{ICE: book, Releaser: book})
	ann, bob, cid := s.join("r", "Ann"), s.join("r", "Bob"), s.join("r", "Cid")
	expect[*MemberJoined](bob)
	ann.send(&Leave{})
	ann.expectClose(websocket.StatusNormalClosure)
	for _, p := range []*peer{bob, cid} {
		if m := expect[*MemberLeft](p); m.Member != ann.id() || m.Reason != ReasonLeft {
			t.Errorf("member-left %+v", m)
		}
		if m := expect[*MemberUpdated](p).Member; m.ID != bob.id() || m.Role != RoleModerator {
			t.Errorf("the moderator's role went to %+v, not to the oldest member", m)
		}
	}
	book.waitReleased(1)
	if book.released[ann.id()] != 1 {
		t.Error("ann was not released")
	}
	// Her resume token ended with her membership.
	if again := s.resume(ann); again.id() == ann.id() {
		t.Error("ann resumed after leave")
	}
}

func TestEmptyRoomEnds(t *testing.T) {
	book := newLedger(t)
	s := newServer(t, Options{MaxRooms: 1, Releaser: book})
	for _, room := range []string{"a", "b", "c"} {
		p := s.join(room, "Ann")
		p.send(&Leave{})
		p.expectClose(websocket.StatusNormalClosure)
	}
	book.waitReleased(3)
	if rooms := s.hub.Rooms(); len(rooms) != 0 {
		t.Errorf("rooms left: %+v", rooms)
	}
}

func TestUpgradeRefused(t *testing.T) {
	tests := []struct {
		name, origin, subprotocol string
		allowed                   []string
		want                      int
		text                      string
	}{
		{"no browser", "", Subprotocol, nil, 101, ""},
		{"same origin", "http://HOST", Subprotocol, nil, 101, ""},
		{"other origin", "https://evil.example", Subprotocol, nil, 403, "allowed_origins"},
		{"other port", "http://127.0.0.1:1", Subprotocol, nil, 403, "allowed_origins"},
		{"opaque origin", "null", Subprotocol, nil, 403, "allowed_origins"},
		{"not a URL", "http://[", Subprotocol, nil, 403, "allowed_origins"},
		{"allowed host", "https://App.example.com", Subprotocol, []string{"x", "app.EXAMPLE.com"}, 101, ""},
		{"allowed pattern", "https://a.example.com", Subprotocol, []string{"*.example.com"}, 101, ""},
		{"pattern is not a suffix", "https://example.com.evil.example", Subprotocol, []string{"*.example.com"}, 403, ""},
		{"allowed scheme", "https://a.example.com", Subprotocol, []string{"https://a.example.com"}, 101, ""},
		{"wrong scheme", "http://a.example.com", Subprotocol, []string{"https://a.example.com"}, 403, ""},
		{"bad pattern", "http://a.example.com", Subprotocol, []string{"[", "a"}, 403, ""},
		{"any", "http://a.example.com", Subprotocol, []string{"*"}, 101, ""},
		{"no subprotocol", "", "", nil, 400, Subprotocol},
		{"another subprotocol", "", "maitred.v2", nil, 400, Subprotocol},
		{"one of several", "", "x " + Subprotocol, nil, 101, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, Options{AllowedOrigins: tt.allowed})
			header := http.Header{}
			if tt.origin != "" {
				host := strings.TrimPrefix(s.http.URL, "http://")
				header.Set("Origin", strings.Replace(tt.origin, "HOST", host, 1))
			}
			opts := &websocket.DialOptions{HTTPHeader: header}
			if tt.subprotocol != "" {
				opts.Subprotocols = strings.Split(tt.subprotocol, " ")
			}
			ws, resp, err := websocket.Dial(context.Background(), s.http.URL, opts)
			if err == nil {
				_ = ws.CloseNow()
			}
			if resp == nil || resp.StatusCode != tt.want {
				t.Fatalf("response %v (%v), want %d", resp, err, tt.want)
			}
			if tt.want == 101 {
				return
			}
			body := make([]byte, 1024)
			n, _ := resp.Body.Read(body)
			if got := string(body[:n]); !strings.Contains(got, tt.text) || resp.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s: %s", resp.Header.Get("Content-Type"), got)
			}
		})
	}
}

func TestDefaultPortIsSameOrigin(t *testing.T) {
	r := httptest.NewRequest("GET", "http://call.example.com/ws", nil)
	r.Host = "Call.example.com:443"
	r.Header.Set("Origin", "https://call.example.com")
	if err := checkOrigin(r, nil); err != nil {
		t.Error(err)
	}
	r.Header.Set("Origin", "http://call.example.com")
	if err := checkOrigin(r, nil); err == nil {
		t.Error("port 80 is the same origin as port 443")
	}
}

func TestPlainRequest(t *testing.T) {
	s := newServer(t, Options{})
	resp, err := http.Get(s.http.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("status %d, want 426", resp.StatusCode)
	}
	if got := resp.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q", got)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestAddressOfRequest(t *testing.T) {
	s := newServer(t, Options{ConnectionsPerIP: 1, ClientIP: func(r *http.Request) netip.Addr {
		return netip.MustParseAddr(r.Header.Get("X-Test-Address"))
	}})
	dial := func(addr string) *peer {
		return s.dialWith(&websocket.DialOptions{
			Subprotocols: []string{Subprotocol}, HTTPHeader: http.Header{"X-Test-Address": {addr}},
		})
	}
	dial("2001:db8:0:1::1").join(&Join{Room: "r", Name: "n"})
	dial("2001:db8:0:2::1").join(&Join{Room: "r", Name: "n"})
	same := dial("2001:db8:0:1::2") // of the same /64 as the first
	same.expectError(CodeRateLimited, "")
	same.expectClose(websocket.StatusTryAgainLater)
}

func TestLease(t *testing.T) {
	book := newLedger(t)
	var l lease
	mint := func(want int) {
		t.Helper()
		if servers, _ := l.mint(book, "m", "host"); len(servers) != want || servers == nil || book.mintedFor("m") != want {
			t.Errorf("minted %v", servers)
		}
	}
	mint(0)
	l.begin()
	mint(1)
	if !l.end() || l.end() {
		t.Error("not one end")
	}
	book.minted = map[string]int{}
	mint(0)
	if l.due() {
		t.Error("a lease that has ended is due")
	}
}

// TestICEServersArePushed gives out credentials that are half over at once: the next one comes without being asked for.
func TestICEServersArePushed(t *testing.T) {
	book := newLedger(t)
	book.ttl = 2 * time.Millisecond
	s := newServer(t, Options{ICE: book, Releaser: book, PingInterval: 5 * time.Millisecond})
	ann := s.join("r", "Ann")
	for range 2 {
		if m := expect[*ICEServers](ann); len(m.ICEServers) != 1 || m.ICEServers[0].Username != "1:"+ann.id() {
			t.Fatalf("pushed %+v", m)
		}
	}
}

// slowReleaser ends what members were given when it is told to.
type slowReleaser struct{ asked, proceed chan struct{} }

func (r *slowReleaser) Release(string) Traffic {
	r.asked <- struct{}{}
	<-r.proceed
	return Traffic{}
}

func (r *slowReleaser) Revoke(string, time.Time) {}

// TestToldWhenAllHasEnded: whoever hears that somebody is gone, or comes to the room afterwards, can rely on it that nothing goes on in their name.
func TestToldWhenAllHasEnded(t *testing.T) {
	r := &slowReleaser{asked: make(chan struct{}, 8), proceed: make(chan struct{})}
	s := newServer(t, Options{Releaser: r})
	ann, bob := s.join("r", "ann"), s.join("r", "bob")
	expect[*MemberJoined](ann)
	ann.send(&Kick{Member: bob.id()})
	<-r.asked
	cleo := s.join("r", "cleo")
	if n := len(cleo.self.Members); n != 2 {
		t.Errorf("a newcomer is told of %d members", n)
	}
	expect[*MemberJoined](ann)
	quiet(cleo)
	close(r.proceed)
	for _, p := range []*peer{ann, cleo} {
		if left := expect[*MemberLeft](p); left.Member != bob.id() || left.Reason != ReasonKicked {
			t.Errorf("%+v", left)
		}
	}
	bob.expectClose(CloseKicked)
}

// TestRoomLetsGoOfItsFirst: a room that has had more members than it has memory of its own for keeps none there who may leave.
func TestRoomLetsGoOfItsFirst(t *testing.T) {
	s := newServer(t, Options{})
	for _, name := range []string{"Ann", "Bob", "Cy"} {
		s.join("r", name)
	}
	r := s.hub.find("r")
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.members) != 3 || r.few != [2]*member{} {
		t.Errorf("%d members, and keeps %v", len(r.members), r.few)
	}
}
