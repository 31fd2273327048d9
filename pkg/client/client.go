// Package client makes a Go program a member of a room: it speaks maitred.v1 (docs/protocol.md) as a client and comes
// back by itself when the connection is lost, and its Negotiator keeps a WebRTC connection to every other member.
//
// Data runs two ways that do not wait for each other. What arrives goes through the reader of the connection into the
// view of the room and then to Events. What is sent goes into the outbox, and from there to the connection of the moment, no faster
// than the server takes it. Both directions count their messages, so that a resumed seat misses nothing and gets nothing twice.
package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/maitred/maitred/pkg/signaling"
)

var (
	// ErrEnded is returned for what is sent when the seat is gone or about to be. Room.Err says why.
	ErrEnded = errors.New("no longer in the room")
	// ErrReconnecting is returned by Leave while the connection is lost: the server notices when the seat expires.
	ErrReconnecting = errors.New("connection lost, reconnecting")
)

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

	// The functions below are told what Events does not have. They may be nil. They run on the goroutine that keeps the
	// connection: they must not wait, nor call Leave.

	// Waiting: a moderator has to let this member in. Join, or coming back after a lost seat, goes on until one has decided.
	Waiting func()
	// Lost: the connection is lost and will be made again.
	Lost func(cause error)
	// Dropped: so many messages, whose sending was no error, never go out. They waited for a connection when the seat was lost; or they
	// were written long ago to a connection that was dead without anybody knowing it.
	Dropped func(messages int)
}

// Room is a seat in a room.
//
// The methods that send put a message into the outbox and do not wait for the server. From there messages go out in order, 100 at once and 50 a
// second after that: half of what the server takes by default, since what is beyond it the server drops. While the connection is lost they
// wait, and go out after a resume; if the seat is lost they are dropped. When as much waits as may, 512 messages or 1 MiB, these methods wait for room
// until ctx ends. An error says that the message does not go out: ErrEnded, the context's, or what is wrong with the message. What the
// server has against it follows as a *signaling.Error among the events.
type Room struct {
	// Fixed after construction.
	url, room, name string
	opts            Options
	events          chan signaling.ServerMessage
	out             *outbox
	view            view
	ctx             context.Context // ends when the seat is given up; run's own, kept because it outlives any call
	cancel          context.CancelFunc
	hurry           chan struct{} // holds a token when the next pause is to be short
	done            chan struct{}
	err, leaveErr   error // may be read when done is closed

	// Owned by Join, then by run.
	resume   string
	received uint64 // messages on this seat

	mu      sync.Mutex
	link    *link // nil while it is lost
	leaving bool
}

const eventBuffer = 64

// Join takes a seat in the room of a server whose WebSocket is at url ("wss://host/ws"). Where a moderator must let it in, that
// takes as long as it takes, see Options.Waiting. ctx bounds the join only.
// Join returns a *RefusedError when the server, or the moderator, says no.
func Join(ctx context.Context, url, room, name string, opts *Options) (*Room, error) {
	r := &Room{
		url: url, room: room, name: name,
		events: make(chan signaling.ServerMessage, eventBuffer),
		out:    newOutbox(),
		hurry:  make(chan struct{}, 1),
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
	l, joined, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.attach(l, joined)
	go r.run(l, joined)
	return r, nil
}

// Events are the messages from the server in order. The first is a *signaling.Joined; another one follows each time
// the connection was lost and made again. If its Resumed is true the seat is the same and nothing is missing: what this member sent is
// with the server or on its way there again, and what it missed follows. If not, the room starts anew with another Self.ID,
// what waited to be sent is gone, and only the state of Update is set again.
// The channel must be read: who does not is closed as too slow. It is closed when the seat is gone; then Err says why.
func (r *Room) Events() <-chan signaling.ServerMessage { return r.events }

// Err is why Events was closed; nil after Leave. It waits until then.
func (r *Room) Err() error {
	<-r.done
	return r.err
}

// Self is this member. Like Members, Knocking, Settings, Relay and ICEServers it tells what the newest message said, which may still wait in
// Events.
func (r *Room) Self() signaling.Member { return r.view.read().self }

// Members are the others in the room, in the order in which they joined.
func (r *Room) Members() []signaling.Member { return r.view.read().members }

// Knocking are those who wait at the room's door, as far as this member is a moderator: Admit or Deny them.
func (r *Room) Knocking() []signaling.Member { return r.view.read().knocking }

// Settings are those of the room: its doors and its size.
func (r *Room) Settings() signaling.Room { return r.view.read().room }

// Relay is what the server's relay does for each member, as of the newest answer to AskRelay on this seat; nil before there is one.
func (r *Room) Relay() []signaling.MemberRelay { return r.view.read().relay }

// ICEServers are those of the newest credential, and when it ends. The server sends fresh ones when half of that time is over.
func (r *Room) ICEServers() (servers []signaling.ICEServer, expires time.Time) {
	now := r.view.read()
	return now.servers, now.expires
}

// Reconnect makes a new connection at once: the present one is given up as dead, or the pause before the next attempt ends. For who
// knows that the network has changed; without it a dead connection is noticed within 20 seconds.
func (r *Room) Reconnect() {
	r.mu.Lock()
	l := r.link
	r.mu.Unlock()
	select {
	case r.hurry <- struct{}{}:
	default:
	}
	if l != nil {
		l.sever(errReconnect)
	}
}

// Leave sends what waits to be sent, gives the seat up and returns when all has ended. When ctx ends first, or the connection is lost before,
// the server notices when the seat expires, and Leave returns an error.
func (r *Room) Leave(ctx context.Context) error {
	r.mu.Lock()
	r.leaving = true
	l := r.link
	r.mu.Unlock()
	r.out.finish(encodedLeave)
	r.cancel() // from now on run only waits for the server to close
	select {
	case <-r.done:
		return r.leaveErr
	case <-ctx.Done():
	}
	if l != nil {
		l.sever(context.Cause(ctx))
	}
	<-r.done
	return r.leaveErr
}

func backoff(attempt int) time.Duration {
	full := 250 * time.Millisecond << min(attempt-1, 5)
	return full/2 + rand.N(full/2)
}
