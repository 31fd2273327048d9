// Package client makes a Go program a member of a room: it speaks maitred.v1 (docs/protocol.md) as a client, and comes
// back by itself when the connection is lost.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/maitred/maitred/pkg/signaling"
)

// ErrReconnecting is returned for what is sent while the connection is lost. Nothing is kept for later.
var ErrReconnecting = errors.New("connection lost, reconnecting")

// RefusedError is the server's answer to a join that it did not allow.
type RefusedError struct {
	Code    signaling.Code
	Message string
}

func (e *RefusedError) Error() string { return fmt.Sprintf("join refused: %s (%s)", e.Message, e.Code) }

// Options sets a Room up. A nil *Options is the same as an empty one.
type Options struct {
	HTTPClient      *http.Client // nil: http.DefaultClient
	Header          http.Header  // of the WebSocket request
	Token, Password string       // for rooms that ask for them

	// Backoff is how long to wait before the given attempt, counted from 1, to reconnect. Nil: 250 ms, doubled each
	// time up to 8 s, half of it random.
	Backoff func(attempt int) time.Duration
	// Attempts is how often in a row to try before giving up. 0: 20.
	Attempts int
}

// Room is a seat in a room.
type Room struct {
	// Fixed after construction.
	url, room, name string
	opts            Options
	events          chan signaling.ServerMessage
	ctx             context.Context // ends when the seat is given up; run's own, kept because it outlives any call
	cancel          context.CancelFunc
	done            chan struct{}
	err             error // may be read when done is closed

	mu      sync.Mutex
	conn    *websocket.Conn // nil while it is lost
	joined  *signaling.Joined
	leaving bool
}

const (
	maxMessage  = 16 << 20 // bytes; a joined of a large room is the largest message
	joinTimeout = 20 * time.Second
	eventBuffer = 64
)

// Join takes a seat in the room of a server whose WebSocket is at url ("wss://host/ws"). ctx bounds the join only.
// It returns a *RefusedError when the server says no.
func Join(ctx context.Context, url, room, name string, opts *Options) (*Room, error) {
	r := &Room{
		url: url, room: room, name: name,
		events: make(chan signaling.ServerMessage, eventBuffer),
		done:   make(chan struct{}),
	}
	if opts != nil {
		r.opts = *opts
	}
	if r.opts.Backoff == nil {
		r.opts.Backoff = backoff
	}
	if r.opts.Attempts == 0 {
		r.opts.Attempts = 20
	}
	conn, joined, err := r.connect(ctx, "")
	if err != nil {
		return nil, err
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.conn, r.joined = conn, joined
	go r.run(conn, joined)
	return r, nil
}

// Events are the messages from the server in order. The first is a *signaling.Joined; another one follows each time
// the connection was lost and made again. If its Self.ID is the same as before, the seat was resumed and nothing is missing; if
// not, the room starts anew. The channel must be read: who does not is closed as too slow. It is closed
// when the seat is gone; then Err says why.
func (r *Room) Events() <-chan signaling.ServerMessage { return r.events }

// Err is why Events was closed; nil after Leave. It waits until then.
func (r *Room) Err() error {
	<-r.done
	return r.err
}

// Self is this member as it joined.
func (r *Room) Self() signaling.Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.joined.Self
}

// Signal sends data, encoded as JSON, to one member. When ctx ends while it is written the connection is lost.
func (r *Room) Signal(ctx context.Context, to string, data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("signal: %w", err)
	}
	return r.send(ctx, &signaling.Signal{To: to, Data: raw})
}

// Broadcast sends data, encoded as JSON, to every other member.
func (r *Room) Broadcast(ctx context.Context, data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("broadcast: %w", err)
	}
	return r.send(ctx, &signaling.Broadcast{Data: raw})
}

// Update replaces this member's state, which must encode as a JSON object.
func (r *Room) Update(ctx context.Context, state any) error {
	raw, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("update: %w", err)
	}
	return r.send(ctx, &signaling.Update{State: raw})
}

// RefreshICE asks for a fresh credential. The answer is a *signaling.ICEServers among the events.
func (r *Room) RefreshICE(ctx context.Context) error { return r.send(ctx, &signaling.ICE{}) }

// Leave gives the seat up and waits until all has ended. Without a connection, or when ctx ends first, the
// server notices when the seat expires.
func (r *Room) Leave(ctx context.Context) error {
	r.mu.Lock()
	r.leaving = true
	r.mu.Unlock()
	err := r.send(ctx, &signaling.Leave{})
	r.cancel() // from now on run only waits for the server to close
	select {
	case <-r.done:
	case <-ctx.Done():
		r.mu.Lock()
		conn := r.conn
		r.mu.Unlock()
		if conn != nil {
			_ = conn.CloseNow()
		}
		<-r.done
	}
	return err
}

func (r *Room) send(ctx context.Context, m signaling.ClientMessage) error {
	r.mu.Lock()
	conn := r.conn
	r.mu.Unlock()
	if conn == nil {
		return ErrReconnecting
	}
	if err := write(ctx, conn, m); err != nil {
		return fmt.Errorf("send %s: %w", m.Type(), err)
	}
	return nil
}

// run reads one connection after the other until the seat is gone.
func (r *Room) run(conn *websocket.Conn, joined *signaling.Joined) {
	defer close(r.done)
	defer close(r.events)
	defer r.cancel()
	for {
		r.emit(joined)
		err := r.read(conn)
		_ = conn.CloseNow()
		if !r.set(nil, joined) {
			return
		}
		if isFinal(err) {
			r.err = err
			return
		}
		conn, joined, err = r.reconnect(joined.Resume)
		if err != nil {
			r.err = err
			return
		}
		if conn == nil || !r.set(conn, joined) {
			return
		}
	}
}

// read hands on what arrives until the connection ends.
func (r *Room) read(conn *websocket.Conn) error {
	for {
		m, err := receive(context.Background(), conn)
		if err != nil {
			return err
		}
		if m != nil {
			r.emit(m)
		}
	}
}

// emit waits for the reader of Events, unless nobody needs to know any more.
func (r *Room) emit(m signaling.ServerMessage) {
	select {
	case r.events <- m:
	case <-r.ctx.Done():
	}
}

// set notes the connection that messages go to. It reports false after Leave, which has seen the one before: then
// run ends, and a connection that came too late is closed.
func (r *Room) set(conn *websocket.Conn, joined *signaling.Joined) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leaving && conn != nil {
		_ = conn.CloseNow()
		conn = nil
	}
	r.conn, r.joined = conn, joined
	return !r.leaving
}

// reconnect returns no connection and no error after Leave.
func (r *Room) reconnect(resume string) (*websocket.Conn, *signaling.Joined, error) {
	var err error
	for attempt := 1; attempt <= r.opts.Attempts; attempt++ {
		pause := time.NewTimer(r.opts.Backoff(attempt))
		select {
		case <-pause.C:
		case <-r.ctx.Done():
			pause.Stop()
			return nil, nil, nil
		}
		var conn *websocket.Conn
		var joined *signaling.Joined
		conn, joined, err = r.connect(r.ctx, resume)
		switch {
		case err == nil:
			return conn, joined, nil
		case r.ctx.Err() != nil:
			return nil, nil, nil
		case isFinal(err):
			return nil, nil, err
		}
	}
	return nil, nil, fmt.Errorf("gave up after %d attempts: %w", r.opts.Attempts, err)
}

// connect makes a connection and joins.
func (r *Room) connect(ctx context.Context, resume string) (*websocket.Conn, *signaling.Joined, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, r.url, &websocket.DialOptions{
		HTTPClient: r.opts.HTTPClient, HTTPHeader: r.opts.Header, Subprotocols: []string{signaling.Subprotocol},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("connect to %s: %w", r.url, err)
	}
	conn.SetReadLimit(maxMessage)
	joined, err := r.join(ctx, conn, resume)
	if err != nil {
		_ = conn.CloseNow()
		return nil, nil, err
	}
	return conn, joined, nil
}

func (r *Room) join(ctx context.Context, conn *websocket.Conn, resume string) (*signaling.Joined, error) {
	err := write(ctx, conn, &signaling.Join{
		Room: r.room, Name: r.name, Token: r.opts.Token, Password: r.opts.Password, Resume: resume,
	})
	if err != nil {
		return nil, fmt.Errorf("send join: %w", err)
	}
	for {
		m, err := receive(ctx, conn)
		if err != nil {
			return nil, fmt.Errorf("wait for joined: %w", err)
		}
		switch m := m.(type) {
		case *signaling.Joined:
			return m, nil
		case *signaling.Error:
			return nil, &RefusedError{Code: m.Code, Message: m.Message}
		}
	}
}

// isFinal reports whether trying again by itself cannot help.
func isFinal(err error) bool {
	var refused *RefusedError
	if errors.As(err, &refused) {
		passing := []signaling.Code{signaling.CodeRateLimited, signaling.CodeServerDraining, signaling.CodeTooManyRooms}
		return !slices.Contains(passing, refused.Code)
	}
	switch websocket.CloseStatus(err) {
	case websocket.StatusNormalClosure, websocket.StatusMessageTooBig,
		signaling.CloseBadMessage, signaling.CloseKicked, signaling.CloseReplaced:
		return true
	}
	return false
}

func write(ctx context.Context, conn *websocket.Conn, m signaling.ClientMessage) error {
	raw, err := signaling.Encode(m)
	if err != nil {
		return err
	}
	return conn.Write(ctx, websocket.MessageText, raw)
}

// receive returns nil for a message of a type that this version does not know.
func receive(ctx context.Context, conn *websocket.Conn) (signaling.ServerMessage, error) {
	_, raw, err := conn.Read(ctx)
	if err != nil {
		return nil, err
	}
	m, err := signaling.DecodeServer(raw)
	if errors.Is(err, signaling.ErrUnknownType) {
		return nil, nil
	}
	return m, err
}

func backoff(attempt int) time.Duration {
	full := 250 * time.Millisecond << min(attempt-1, 5)
	return full/2 + rand.N(full/2)
}
