package signaling

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// answerWithin is how long a server may take to seat a member.
const answerWithin = 10 * time.Second

// room is members who hear each other.
type room struct {
	name, token string
	members     []*member
}

// member is one connection.
type member struct {
	room *room
	from netip.Addr // where it connects from; the zero value: the system decides

	// Set while it joins, fixed afterwards.
	id     string // in PeerJS it has one before
	socket *socket

	live atomic.Bool // from when it has its seat until its connection ends
}

// join connects and takes a seat.
func (m *member) join(ctx context.Context, c *Config) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.wait(answerWithin), c.unanswered())
	defer cancel()
	target, subprotocol := c.protocol.target(c.URL, m)
	if m.socket, err = dial(ctx, m.from, c.Server, target, subprotocol); err != nil {
		return c.explain(ctx, err)
	}
	release := m.socket.bound(ctx)
	err = release(m.sit(c.protocol))
	if err != nil {
		m.socket.close()
	}
	return c.explain(ctx, err)
}

// sit says hello and waits for the seat.
func (m *member) sit(p protocol) error {
	if hello := p.hello(m); hello != nil {
		if err := m.socket.send(appendFrame(nil, opText, 0, hello)); err != nil {
			return err
		}
	}
	for {
		id := ""
		if err := m.socket.next(func(message []byte) (err error) {
			id, err = p.understand(m, message)
			return err
		}); err != nil {
			return err
		}
		if id != "" {
			m.id = id
			return nil
		}
	}
}

// send writes frames. A connection that does not take them whole is of no more use; its reader tells why.
func (m *member) send(frames []byte) error {
	if !m.live.Load() {
		return errGone
	}
	err := m.socket.send(frames)
	if err != nil {
		m.socket.close()
	}
	return err
}

var errGone = errors.New("the member has no connection")

// wait is how long is waited where d is the constant for it.
func (c *Config) wait(d time.Duration) time.Duration {
	if c.patience > 0 {
		return c.patience
	}
	return d
}

func (c *Config) unanswered() error {
	return &failure{"timeout", fmt.Errorf("no answer from %v within %v; is it a server that speaks %s?", c.Server, c.wait(answerWithin), c.Protocol)}
}

// explain says what to do about an address at which nobody listens.
func (c *Config) explain(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, syscall.ECONNREFUSED):
		return &failure{"connect", fmt.Errorf("nobody listens at %v; does the server run, and on that port? (%w)", c.Server, err)}
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return &failure{"connect", fmt.Errorf("no port is left to connect to %v from; use fewer members (%w)", c.Server, err)}
	}
	return err
}
