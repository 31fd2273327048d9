package signaling

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"
)

// conn is one WebSocket connection. Its reader goroutine owns it; a writer goroutine runs while it has a member.
type conn struct {
	// Fixed after construction.
	hub     *Hub
	ws      *websocket.Conn
	net     net.Conn
	ip      netip.Addr
	host    string // the Host header of the request
	log     *slog.Logger
	limiter *rate.Limiter

	// Owned by the reader.
	member    *member   // nil until it has joined
	complaint time.Time // when it was last told to be slower

	// Set once, by finish.
	once   sync.Once
	ending chan struct{}
	cause  cause // may be read when ending is closed

	parting sync.WaitGroup // the goodbye
	tasks   sync.WaitGroup // other goroutines and alarms besides the reader
	written chan struct{}  // closed when the writer has ended
	alarm   alarm          // the join timeout, later the next ping
}

// cause says why a connection ends and what the client is told.
type cause struct {
	metric string
	code   websocket.StatusCode // 0: it is gone already, or not worth a word
	text   string
	last   []byte // a message to send before the close frame, if any
}

// closedReasons are the values of cause.metric.
var closedReasons = []string{"left", "lost", "no_pong", "no_join", "kicked", "too_slow", "replaced", "bad_message", "too_big", "refused", "shutdown", "internal"}

var (
	causeLeft     = cause{metric: "left", code: websocket.StatusNormalClosure, text: "left"}
	causeLost     = cause{metric: "lost"}
	causeNoPong   = cause{metric: "no_pong"}
	causeNoJoin   = cause{metric: "no_join", code: CloseBadMessage, text: "no join in time"}
	causeTooSlow  = cause{metric: "too_slow", code: CloseTooSlow, text: "too slow"}
	causeReplaced = cause{metric: "replaced", code: CloseReplaced, text: "replaced by a resumed connection"}
	causeTooBig   = cause{metric: "too_big", code: websocket.StatusMessageTooBig, text: "message too big"}
	causeShutdown = cause{metric: "shutdown", code: websocket.StatusGoingAway, text: "the server is shutting down"}
	causeInternal = cause{metric: "internal", code: websocket.StatusInternalError, text: "internal error"}
)

func newConn(h *Hub, ws *websocket.Conn, nc net.Conn, ip netip.Addr, host string) *conn {
	c := &conn{
		hub: h, ws: ws, net: nc, ip: ip, host: host, log: h.opts.Log,
		limiter: perSecond(h.opts.MessagesPerSecond, 2*h.opts.MessagesPerSecond),
		ending:  make(chan struct{}),
		written: make(chan struct{}),
	}
	c.alarm.tasks = &c.tasks
	return c
}

// run serves the connection until it has ended and all it started has, too.
func (c *conn) run() {
	for c.readOne() {
	}
	c.finish(causeLost) // unless it was something else
	c.alarm.stop()
	if c.member != nil {
		c.member.room.detach(c.member, c)
	}
	c.parting.Wait()
	_ = c.ws.CloseNow() // wakes a ping; whatever went wrong has been dealt with
	c.tasks.Wait()
	c.hub.metrics.closed[c.cause.metric].Inc()
	c.log.Debug("signaling connection closed", "cause", c.cause.metric)
}

// finish ends the connection: the first cause counts. It does not wait.
func (c *conn) finish(why cause) {
	c.once.Do(func() {
		c.cause = why
		close(c.ending)
		if why.code == 0 {
			_ = c.net.Close()
			return
		}
		c.parting.Go(c.sayGoodbye)
	})
}

// sayGoodbye sends the last message and does the closing handshake, which takes 10 s at most with a dead peer.
func (c *conn) sayGoodbye() {
	if c.cause.last != nil {
		if err := c.send(c.cause.last); err != nil {
			c.log.Debug("last message not sent", "err", err)
		}
	}
	if err := c.ws.Close(c.cause.code, c.cause.text); err != nil {
		c.log.Debug("closing handshake failed", "err", err)
	}
}

func (c *conn) isEnding() bool {
	select {
	case <-c.ending:
		return true
	default:
		return false
	}
}

// retire ends a connection whose seat another one has taken and waits until it writes no more, so that no message
// goes to both. A peer that does not read is given a moment only.
func (c *conn) retire() {
	c.finish(causeReplaced)
	const moment = 200 * time.Millisecond
	t := time.NewTimer(moment)
	defer t.Stop()
	select {
	case <-c.written:
	case <-t.C:
		_ = c.net.Close()
		<-c.written
	}
}

// buffers hold messages while they are decoded; an idle connection has none.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// readOne reads and handles one message. It reports false when the connection has ended.
func (c *conn) readOne() bool {
	typ, r, err := c.ws.Reader(context.Background())
	if err != nil {
		return c.readFailed(err)
	}
	buf := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(buf)
	buf.Reset()
	if _, err := buf.ReadFrom(r); err != nil {
		return c.readFailed(err)
	}
	if c.isEnding() {
		return false
	}
	if !c.throttle() {
		c.hub.metrics.messages[typeDropped].Inc()
		return !c.isEnding()
	}
	if typ != websocket.MessageText {
		c.hub.metrics.messages[typeInvalid].Inc()
		c.refuse(malformed("messages are text, not binary"), "")
		return !c.isEnding()
	}
	msg, name, err := decodeClient(buf.Bytes())
	if err != nil {
		c.hub.metrics.messages[typeInvalid].Inc()
		c.refuse(err, name)
		return !c.isEnding()
	}
	c.hub.metrics.messages[name].Inc()
	if err := c.handle(msg); err != nil {
		c.refuse(err, name)
	}
	return !c.isEnding()
}

func (c *conn) readFailed(err error) bool {
	if errors.Is(err, websocket.ErrMessageTooBig) {
		c.end(ReasonBadMessage, causeTooBig)
	} else if !c.isEnding() {
		c.log.Debug("signaling connection lost", "err", err)
	}
	return false
}

// throttle reports whether the message may be handled. When it may not, the reader pauses until the next one
// could be: a client that floods costs little, and learns of it once a second.
func (c *conn) throttle() bool {
	if c.limiter.Allow() {
		return true
	}
	if now := time.Now(); now.Sub(c.complaint) >= time.Second {
		c.complaint = now
		c.refuse(errTooFast, "")
	}
	r := c.limiter.Reserve()
	pause := time.NewTimer(r.Delay())
	defer pause.Stop()
	r.Cancel()
	select {
	case <-pause.C:
	case <-c.ending:
	}
	return false
}

// handle does what a message asks for. Its errors are for the client.
func (c *conn) handle(msg ClientMessage) error {
	if join, ok := msg.(*Join); ok {
		return c.join(join)
	}
	if c.member == nil {
		return errNotJoined
	}
	m, r := c.member, c.member.room
	switch msg := msg.(type) {
	case *Signal:
		return r.signal(m, msg)
	case *Broadcast:
		return r.broadcast(m, msg)
	case *Update:
		r.update(m, msg.State)
	case *ICE:
		c.pushICEServers()
	case *Leave:
		c.end(ReasonLeft, causeLeft)
	}
	return nil
}

// join takes a seat, sends joined and starts writing what happens in the room since.
func (c *conn) join(j *Join) error {
	if c.member != nil {
		return errAlreadyJoined
	}
	if !c.hub.addresses.allowJoin(c.ip) {
		return errTooManyJoins
	}
	m, v, err := c.hub.join(c, j)
	if err != nil {
		return err
	}
	c.member = m
	servers, ttl := m.lease.mint(c.hub.opts.ICE, m.id, c.host)
	joined := mustEncode(&Joined{
		Self: v.self, Room: Room{ID: m.room.name}, Members: v.others,
		ICEServers: servers, TTL: int(ttl / time.Second), Resume: m.token,
	})
	if v.replaced != nil {
		v.replaced.retire()
	}
	c.tasks.Go(func() { c.write(joined) })
	c.schedulePing()
	return nil
}

// write sends first and then what comes into the member's inbox, until the connection ends.
func (c *conn) write(first []byte) {
	box := c.member.inbox
	defer close(c.written)
	defer box.wake() // the token taken last may have been meant for the connection that replaces this one
	if err := c.send(first); err != nil {
		c.finish(causeLost)
	}
	for !c.isEnding() {
		it, ok, full := box.first()
		switch {
		case full:
			c.end(ReasonTooSlow, causeTooSlow)
		case !ok:
			select {
			case <-box.ready:
			case <-c.ending:
			}
		default:
			if err := c.send(it.msg); err != nil {
				c.finish(causeLost)
				return
			}
			box.done(it.number)
		}
	}
}

func (c *conn) send(msg []byte) error {
	return c.ws.Write(context.Background(), websocket.MessageText, msg)
}

// refuse tells the client of an error and ends the connection if the error does.
func (c *conn) refuse(err error, request string) {
	answer, code := wireError(err, request)
	if answer == nil {
		c.log.Error("signaling request failed", "request", request, "err", err)
		c.finish(causeInternal)
		return
	}
	msg := mustEncode(answer)
	switch {
	case code != 0:
		metric := "refused"
		if code == CloseBadMessage {
			metric = "bad_message"
		}
		c.end(ReasonBadMessage, cause{metric: metric, code: code, text: string(answer.Code), last: msg})
	case c.member != nil:
		c.member.inbox.push(msg, false)
	default: // there is no writer yet
		if err := c.send(msg); err != nil {
			c.finish(causeLost)
		}
	}
}

// end ends the membership, if there is one, and the connection.
func (c *conn) end(reason Reason, why cause) {
	if c.member != nil {
		c.member.room.removeFrom(c.member, c, reason, why)
	}
	c.finish(why)
}

// pushICEServers gives the member fresh ICE servers.
func (c *conn) pushICEServers() {
	m := c.member
	servers, ttl := m.lease.mint(c.hub.opts.ICE, m.id, c.host)
	m.inbox.push(mustEncode(&ICEServers{ICEServers: servers, TTL: int(ttl / time.Second)}), false)
}

func (c *conn) schedulePing() {
	c.alarm.set(c.hub.opts.PingInterval, func() {
		ctx, cancel := context.WithTimeout(context.Background(), c.hub.opts.PongTimeout)
		defer cancel()
		if err := c.ws.Ping(ctx); err != nil {
			c.finish(causeNoPong)
			return
		}
		if c.member.lease.due() {
			c.pushICEServers()
		}
		c.schedulePing()
	})
}
