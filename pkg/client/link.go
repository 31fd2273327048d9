package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/maitred/maitred/pkg/signaling"
)

const (
	maxMessage  = 16 << 20 // bytes; a joined of a large room is the largest message
	joinTimeout = 20 * time.Second

	// A connection whose other end is gone without a word: the server keeps the seat for 15 seconds after it has noticed.
	pingInterval = 10 * time.Second
	pongTimeout  = 10 * time.Second

	// How many messages go out a second, and how many at once: half of the server's limits, see signaling.limits.messages.
	sendRate  = 50
	sendBurst = 100
)

var (
	errJoinTimeout = errors.New("the server did not answer the join in time")
	errNoPong      = errors.New("the server does not answer pings")
	errReconnect   = errors.New("given up as dead")
)

// run reads one connection after the other until the seat is gone.
func (r *Room) run(l *link, joined *signaling.Joined) {
	defer close(r.done)
	defer close(r.events)
	defer r.cancel()
	defer r.out.end()
	for {
		r.emit(l, joined)
		err := r.serve(l)
		switch {
		case r.detach():
			if websocket.CloseStatus(err) != websocket.StatusNormalClosure {
				r.leaveErr = fmt.Errorf("leave: %w", err)
			}
			return
		case isFinal(err):
			r.err = err
			return
		case r.opts.Lost != nil:
			r.opts.Lost(err)
		}
		l, joined, err = r.reconnect()
		switch {
		case err != nil:
			r.err = err
			return
		case l == nil, !r.attach(l, joined):
			r.leaveErr = ErrReconnecting
			return
		}
	}
}

// attach makes l the connection of the room. It reports false after Leave, which has seen none: then run ends.
func (r *Room) attach(l *link, joined *signaling.Joined) bool {
	r.resume = joined.Resume
	r.view.apply(joined)
	var dropped int
	if joined.Resumed {
		dropped = r.out.resume(joined.Received)
	} else {
		r.received = 0
		dropped = r.out.reset()
	}
	select {
	case <-r.hurry:
	default:
	}
	r.mu.Lock()
	leaving := r.leaving
	if !leaving {
		r.link = l // from here on Leave appends its message, so all else has to be in the outbox already
	}
	r.mu.Unlock()
	if leaving {
		l.close()
		return false
	}
	if dropped > 0 && r.opts.Dropped != nil {
		r.opts.Dropped(dropped)
	}
	return true
}

// detach notes that there is no connection. It reports true after Leave.
func (r *Room) detach() (leaving bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.link = nil
	return r.leaving
}

// serve sends and receives over one connection until it ends, and returns why.
func (r *Room) serve(l *link) error {
	ctx, cancel := context.WithCancel(context.Background())
	var writer sync.WaitGroup
	writer.Go(func() { r.write(ctx, l) })
	err := r.read(l)
	cancel()
	l.sever(err)
	writer.Wait()
	l.close()
	if websocket.CloseStatus(err) != -1 {
		return err
	}
	return l.cause
}

// read hands on what arrives until the connection ends.
func (r *Room) read(l *link) error {
	for {
		_, raw, err := l.conn.Read(context.Background())
		if err != nil {
			return err
		}
		r.received++ // whatever it is, see docs/protocol.md
		m, err := decode(raw)
		if err != nil {
			return err
		}
		if m == nil {
			continue
		}
		r.view.apply(m)
		r.emit(l, m)
	}
}

// emit waits for the reader of Events, unless nobody needs to know any more.
func (r *Room) emit(l *link, m signaling.ServerMessage) {
	select {
	case r.events <- m:
		return
	default:
	}
	l.stalls.Add(1)
	defer l.stalls.Add(1)
	select {
	case r.events <- m:
	case <-r.ctx.Done():
	}
}

// write sends what comes into the outbox until ctx ends. The server counts for each connection anew what it takes a second.
func (r *Room) write(ctx context.Context, l *link) {
	pace := rate.NewLimiter(sendRate, sendBurst)
	for r.out.await(ctx) && pace.Wait(ctx) == nil {
		if err := l.conn.Write(ctx, websocket.MessageText, r.out.next()); err != nil {
			l.sever(err)
			return
		}
	}
}

// reconnect returns no connection and no error after Leave.
func (r *Room) reconnect() (*link, *signaling.Joined, error) {
	var err error
	for attempt := 1; attempt <= r.opts.Attempts; attempt++ {
		if !r.pause(r.opts.Backoff(attempt)) {
			return nil, nil, nil
		}
		var l *link
		var joined *signaling.Joined
		l, joined, err = r.connect(r.ctx)
		switch {
		case err == nil:
			return l, joined, nil
		case r.ctx.Err() != nil:
			return nil, nil, nil
		case isFinal(err):
			return nil, nil, err
		}
	}
	return nil, nil, fmt.Errorf("gave up after %d attempts: %w", r.opts.Attempts, err)
}

// pause waits between two attempts. It reports false after Leave.
func (r *Room) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.hurry:
	case <-r.ctx.Done():
		return false
	}
	return true
}

// connect makes a connection and joins.
func (r *Room) connect(ctx context.Context) (*link, *signaling.Joined, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := time.AfterFunc(joinTimeout, func() { cancel(errJoinTimeout) })
	defer limit.Stop()
	conn, _, err := websocket.Dial(ctx, r.url, &websocket.DialOptions{
		HTTPClient: r.opts.HTTPClient, HTTPHeader: r.opts.Header, Subprotocols: []string{signaling.Subprotocol},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("connect to %s: %w", r.url, because(ctx, err))
	}
	conn.SetReadLimit(maxMessage)
	l := newLink(conn)
	joined, err := r.join(ctx, l, limit)
	if err != nil {
		l.close()
		return nil, nil, err
	}
	return l, joined, nil
}

// because is why ctx has ended, where it has, and err otherwise.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// join asks for the seat and waits for the answer, beyond limit only while a moderator is asked.
func (r *Room) join(ctx context.Context, l *link, limit *time.Timer) (*signaling.Joined, error) {
	request := &signaling.Join{Room: r.room, Name: r.name, Token: r.opts.Token, Password: r.opts.Password, Resume: r.resume}
	if r.resume != "" {
		request.Received = &r.received
	}
	raw, err := signaling.Encode(request)
	if err != nil {
		return nil, err
	}
	if err := l.conn.Write(ctx, websocket.MessageText, raw); err != nil {
		return nil, fmt.Errorf("send join: %w", because(ctx, err))
	}
	for {
		_, raw, err := l.conn.Read(ctx)
		if err != nil {
			return nil, fmt.Errorf("wait for joined: %w", because(ctx, err))
		}
		m, err := decode(raw)
		if err != nil {
			return nil, err
		}
		switch m := m.(type) {
		case *signaling.Joined:
			return m, nil
		case *signaling.Error:
			return nil, &RefusedError{Code: m.Code, Message: m.Message}
		case *signaling.Waiting:
			limit.Stop()
			if r.opts.Waiting != nil {
				r.opts.Waiting()
			}
		}
	}
}

// link is one connection, and what notices that it is dead.
type link struct {
	conn    *websocket.Conn
	stalls  atomic.Uint64 // begun and ended: odd while the reader waits for somebody and sees no pong
	stop    context.CancelFunc
	pinging sync.WaitGroup

	once  sync.Once
	cause error // may be read when the connection is closed
}

func newLink(conn *websocket.Conn) *link {
	ctx, stop := context.WithCancel(context.Background())
	l := &link{conn: conn, stop: stop}
	l.pinging.Go(func() { l.ping(ctx) })
	return l
}

// ping ends the connection when there is no answer. It needs somebody who reads.
func (l *link) ping(ctx context.Context) {
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		late, cancel := context.WithTimeout(ctx, pongTimeout)
		stalls := l.stalls.Load()
		err := l.conn.Ping(late)
		cancel()
		stalled := stalls%2 == 1 || stalls != l.stalls.Load()
		if err != nil && ctx.Err() == nil && !stalled {
			l.sever(errNoPong)
			return
		}
	}
}

// sever breaks the connection as a lost network does. The first cause counts.
func (l *link) sever(cause error) {
	l.once.Do(func() {
		l.cause = cause
		_ = l.conn.CloseNow() // it may have ended already
	})
}

// close returns when all of the connection has ended.
func (l *link) close() {
	l.stop()
	l.sever(nil)
	l.pinging.Wait()
}

// violation is a message that is not one of maitred.v1. Coming back would bring it again.
type violation struct{ error }

func (v violation) Unwrap() error { return v.error }

// decode returns nil for a message of a type that this version does not know.
func decode(raw []byte) (signaling.ServerMessage, error) {
	m, err := signaling.DecodeServer(raw)
	switch {
	case errors.Is(err, signaling.ErrUnknownType):
		return nil, nil
	case err != nil:
		return nil, violation{fmt.Errorf("from the server: %w", err)}
	}
	return m, nil
}

// isFinal reports whether trying again by itself cannot help.
func isFinal(err error) bool {
	var refused *RefusedError
	if errors.As(err, &refused) {
		passing := []signaling.Code{signaling.CodeRateLimited, signaling.CodeServerDraining, signaling.CodeTooManyRooms}
		return !slices.Contains(passing, refused.Code)
	}
	if errors.As(err, new(violation)) {
		return true
	}
	switch websocket.CloseStatus(err) {
	case websocket.StatusNormalClosure, websocket.StatusMessageTooBig,
		signaling.CloseBadMessage, signaling.CloseUnauthorized, signaling.CloseKicked, signaling.CloseReplaced:
		return true
	}
	return false
}
