package client

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/maitred/maitred/pkg/signaling"
)

// fakeServer hands every connection to the test, which plays the server.
type fakeServer struct {
	t     *testing.T
	conns chan *fakeConn
	ended chan struct{}
}

func newFakeServer(t *testing.T) *fakeServer {
	return &fakeServer{t: t, conns: make(chan *fakeConn), ended: make(chan struct{})}
}

func (s *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{signaling.Subprotocol}})
	if err != nil {
		s.t.Errorf("accept: %v", err)
		return
	}
	defer ws.CloseNow()
	c := &fakeConn{t: s.t, ws: ws, messages: make(chan sent, 1000), deaf: make(chan struct{})}
	select {
	case s.conns <- c:
	case <-s.ended:
		return
	}
	if !c.read() {
		<-s.ended
	}
}

// listen serves on loopback for the rest of the test.
func (s *fakeServer) listen() (url string) {
	server := httptest.NewServer(s)
	s.t.Cleanup(func() {
		close(s.ended)
		server.Close()
	})
	return server.URL
}

// accept is the next connection.
func (s *fakeServer) accept() *fakeConn {
	s.t.Helper()
	select {
	case c := <-s.conns:
		return c
	case <-time.After(patience):
		s.t.Fatal("no connection in time")
		panic("not reached")
	}
}

// fakeConn is one connection as the server has it.
type fakeConn struct {
	t        *testing.T
	ws       *websocket.Conn
	messages chan sent     // closed when the connection has ended
	deaf     chan struct{} // closed: read no more
}

// sent is a message of a client with the fields that the tests look at.
type sent struct {
	Type                                   string
	Room, Name, Resume, To, Member, Reason string
	Token, Password                        *string
	Received                               *uint64
	Data, State, Locked, Knock, MaxMembers json.RawMessage
	raw                                    string
}

// read reports false when it has become deaf, true when the connection has ended.
func (c *fakeConn) read() bool {
	defer close(c.messages)
	for {
		select {
		case <-c.deaf:
			return false
		default:
		}
		_, raw, err := c.ws.Read(context.Background())
		if err != nil {
			return true
		}
		m := sent{raw: string(raw)}
		if err := json.Unmarshal(raw, &m); err != nil {
			c.t.Errorf("%s: %v", raw, err)
		}
		c.messages <- m
	}
}

// expect is the next message, which must be of this type.
func (c *fakeConn) expect(typ string) sent {
	c.t.Helper()
	select {
	case m, ok := <-c.messages:
		if !ok || m.Type != typ {
			c.t.Fatalf("got %q (open: %v), want %s", m.raw, ok, typ)
		}
		return m
	case <-time.After(patience):
		c.t.Fatalf("no %s in time", typ)
		panic("not reached")
	}
}

func (c *fakeConn) send(messages ...signaling.ServerMessage) {
	c.t.Helper()
	for _, m := range messages {
		raw, err := signaling.Encode(m)
		if err != nil {
			c.t.Fatal(err)
		}
		c.sendRaw(string(raw))
	}
}

func (c *fakeConn) sendRaw(raw string) {
	c.t.Helper()
	if err := c.ws.Write(context.Background(), websocket.MessageText, []byte(raw)); err != nil {
		c.t.Fatal(err)
	}
}

// cut breaks the connection as a lost network does.
func (c *fakeConn) cut() { _ = c.ws.CloseNow() }

// admit answers the first join.
func (c *fakeConn) admit(id string, members ...signaling.Member) sent {
	c.t.Helper()
	m := c.expect("join")
	c.send(&signaling.Joined{Self: signaling.Member{ID: id}, Room: signaling.Room{ID: m.Room}, Members: members, Resume: "resume of " + id})
	return m
}

// resume answers a join that takes the seat back. The client says that it has got received messages, the server that it has handled handled.
func (c *fakeConn) resume(id string, received, handled uint64) {
	c.t.Helper()
	m := c.expect("join")
	if m.Resume != "resume of "+id || m.Received == nil || *m.Received != received {
		c.t.Fatalf("came back with %s, want %d messages received", m.raw, received)
	}
	c.send(&signaling.Joined{Self: signaling.Member{ID: id}, Resume: m.Resume, Resumed: true, Received: handled})
}

func say(n int) *signaling.BroadcastFrom {
	return &signaling.BroadcastFrom{From: "bob", Data: json.RawMessage(number(n))}
}

func number(n int) string {
	raw, err := json.Marshal(n)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// hears expects say(n) among the events for each number.
func hears(t *testing.T, r *Room, numbers ...int) {
	t.Helper()
	for _, n := range numbers {
		if m := next[*signaling.BroadcastFrom](t, r); string(m.Data) != number(n) {
			t.Fatalf("heard %s, want %d", m.Data, n)
		}
	}
}

// gets expects broadcasts of these numbers from the client.
func (c *fakeConn) gets(numbers ...int) {
	c.t.Helper()
	for _, n := range numbers {
		if m := c.expect("broadcast"); string(m.Data) != number(n) {
			c.t.Fatalf("got %s, want %d", m.raw, n)
		}
	}
}

func broadcast(t *testing.T, r *Room, numbers ...int) {
	t.Helper()
	for _, n := range numbers {
		if err := r.Broadcast(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
}

// enter joins the fake server's room as "ann" with the given options.
func (s *fakeServer) enter(url string, opts Options) (*Room, *fakeConn) {
	s.t.Helper()
	if opts.Backoff == nil {
		opts.Backoff = quick
	}
	type result struct {
		room *Room
		err  error
	}
	joined := make(chan result, 1)
	go func() {
		r, err := Join(s.t.Context(), url, "r", "Ann", &opts)
		joined <- result{r, err}
	}()
	c := s.accept()
	c.admit("ann")
	got := <-joined
	if got.err != nil {
		s.t.Fatal(got.err)
	}
	leaveAtEnd(s.t, got.room)
	next[*signaling.Joined](s.t, got.room)
	return got.room, c
}

func leaveAtEnd(t *testing.T, r *Room) {
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = r.Leave(ctx) // it may have ended in another way
	})
}

// pipes is a network of net.Pipe, whose time a bubble of synctest owns.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// listenInBubble serves on pipes. The client reaches it by the returned HTTP client.
func (s *fakeServer) listenInBubble() (url string, through *http.Client) {
	p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: s}
	served := make(chan error, 1)
	go func() { served <- server.Serve(p) }()
	transport := &http.Transport{DialContext: p.dial, DisableKeepAlives: true}
	s.t.Cleanup(func() {
		close(s.ended)
		_ = server.Close() // what it says of hijacked connections is of no use
		<-served
		transport.CloseIdleConnections()
	})
	return "http://pipe/ws", &http.Client{Transport: transport}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	a, b := net.Pipe()
	ours, theirs := newBuffered(a), newBuffered(b)
	err := net.ErrClosed
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.closed:
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, errors.Join(err, ours.Close(), theirs.Close())
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// buffered is an end of a pipe that takes some writes while nobody reads, as a TCP connection does.
type buffered struct {
	net.Conn
	out    chan []byte
	closed chan struct{}
	once   sync.Once
}

func newBuffered(c net.Conn) *buffered {
	b := &buffered{Conn: c, out: make(chan []byte, 100), closed: make(chan struct{})}
	go b.write()
	return b
}

// write ends after Close with what is written by then, if the other end takes it.
func (b *buffered) write() {
	defer b.Conn.Close()
	for {
		select {
		case data := <-b.out:
			if _, err := b.Conn.Write(data); err != nil {
				return
			}
			continue
		default:
		}
		select {
		case data := <-b.out:
			if _, err := b.Conn.Write(data); err != nil {
				return
			}
		case <-b.closed:
			return
		}
	}
}

func (b *buffered) Write(data []byte) (int, error) {
	select {
	case b.out <- slices.Clone(data):
		return len(data), nil
	case <-b.closed:
		return 0, net.ErrClosed
	}
}

// Close returns at once, as that of a TCP connection does.
func (b *buffered) Close() error {
	b.once.Do(func() {
		close(b.closed)
		_ = b.Conn.SetReadDeadline(time.Now()) // the pipe may be closed already
		_ = b.Conn.SetWriteDeadline(time.Now().Add(time.Second))
	})
	return nil
}
