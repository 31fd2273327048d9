package signaling

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/maitred/maitred/pkg/udpio"
)

// conn is one WebSocket connection. Its reader owns it: a goroutine, or an event loop that it is lent to. A writer runs while its member's inbox has
// something to write: whoever put it there, as far as that takes no waiting, or else a goroutine.
type conn struct {
	// What a message needs comes first, in as little memory as possible: where there are many connections, it is memory that a message waits for.
	hub     *Hub           // fixed after construction
	direct  *udpio.Direct  // fixed after construction; nil where only goroutines can read and write
	member  *member        // owned by the reader, set before anybody else looks at it; nil until it has joined, or knocked
	limiter *rate.Limiter  // of messages, fixed after construction; nil: no limit
	shared  *rate.Limiter  // of the address, set before the first message; nil: no limit
	writers sync.WaitGroup // one at a time, none after stopWriting
	lent    lentReader
	busy    sync.Mutex   // held while a message is handled or refused, and while joined is sent
	writing sync.Mutex   // held while frames are written, and only then
	begun   atomic.Bool  // joined is the next message that the client gets, or it has it; written under busy
	ended   atomic.Bool  // ending is closed, or about to be; asked for each message, which a channel is too slow for
	pinging atomic.Bool  // a ping is under way
	net     deadlineConn // its Conn is set before anybody else sees it

	// Fixed after construction.
	ws       *websocket.Conn
	watcher  udpio.Watcher // nil where there are no event loops
	buffered *bufio.Reader // what ws reads from
	ip       netip.Addr
	host     string // the Host header of the request
	log      *slog.Logger
	counted  bool // with the address

	// Owned by the reader.
	complaint time.Time // when it was last told to be slower
	attempts  int       // wrong passwords

	pings sync.Mutex // held while pinging, asked and the alarm for them change
	asked uint64     // what the ping that is under way says

	// Set once, by finish.
	once   sync.Once
	ending chan struct{}
	cause  cause // may be read when ending is closed

	parting sync.WaitGroup // the goodbye
	tasks   sync.WaitGroup // other goroutines and alarms besides the reader
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
var closedReasons = []string{"left", "lost", "no_pong", "no_join", "kicked", "too_slow", "replaced", "bad_message", "too_big", "refused", "denied", "not_admitted", "shutdown", "internal"}

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

	causeDenied      = turnedAway("denied", CodeNotAllowed, CloseKicked, "a moderator did not let you in")
	causeNotAdmitted = turnedAway("not_admitted", CodeRoomLocked, CloseKicked, "nobody let you in")
	causeDraining    = turnedAway("shutdown", errDraining.code, errDraining.close, errDraining.text)
)

func causeKicked(reason string) cause {
	return cause{metric: "kicked", code: CloseKicked, text: "kicked", last: mustEncode(&Kicked{Reason: reason})}
}

func turnedAway(metric string, code Code, closeCode websocket.StatusCode, text string) cause {
	return cause{metric: metric, code: closeCode, text: string(code), last: mustEncode(&Error{Code: code, Message: text, Request: "join"})}
}

// newConn returns a connection that accept gives its socket.
func newConn(h *Hub, ip netip.Addr, host string) *conn {
	c := &conn{
		hub: h, ip: ip, host: host, log: h.opts.Log,
		limiter: forMessages(h.opts.MessagesPerSecond),
		ending:  make(chan struct{}),
		net:     deadlineConn{timeout: h.opts.WriteTimeout},
	}
	c.alarm.tasks = &c.tasks
	return c
}

// run reads until the connection ends, or an event loop does that instead and starts run again.
func (c *conn) run() {
	for c.readOne() {
		if c.lend() {
			return
		}
	}
	c.conclude()
}

// conclude returns when all that the connection has started has ended.
func (c *conn) conclude() {
	defer c.hub.untrack(c)
	c.finish(causeLost) // unless it was something else
	c.alarm.stop()
	if c.member != nil {
		c.member.room.detach(c.member, c)
	}
	c.parting.Wait()
	_ = c.ws.CloseNow() // wakes a ping; whatever went wrong has been dealt with
	if c.member != nil {
		c.stopWriting()
	}
	c.tasks.Wait()
	c.hub.metrics.closed[c.cause.metric].Inc()
	c.log.Debug("signaling connection closed", "cause", c.cause.metric)
}

// finish ends the connection: the first cause counts. It does not wait.
func (c *conn) finish(why cause) {
	c.once.Do(func() {
		c.cause = why
		c.ended.Store(true)
		close(c.ending)
		if why.code == 0 {
			_ = c.net.Close()
			return
		}
		c.parting.Go(c.sayGoodbye)
	})
	c.recall()
}

// sayGoodbye sends the last message and does the closing handshake. Then the connection ends, whether the peer has answered or not: the
// library would wait for the rest of a frame for ever.
func (c *conn) sayGoodbye() {
	c.takeBack() // the handshake reads
	if c.cause.last != nil {
		c.busy.Lock() // joined comes before it, or not at all
		err := c.sendLast()
		c.busy.Unlock()
		if err != nil {
			c.log.Debug("last message not sent", "err", err)
		}
	}
	cut := time.AfterFunc(c.hub.opts.CloseTimeout, func() { _ = c.net.Close() })
	defer cut.Stop()
	if err := c.ws.Close(c.cause.code, c.cause.text); err != nil {
		c.log.Debug("closing handshake failed", "err", err)
	}
}

func (c *conn) isEnding() bool { return c.ended.Load() }

// retire ends a connection whose seat another one has taken and waits until it handles and writes no more, so that no message
// goes to both or is counted twice. A peer that does not read is given a moment only.
func (c *conn) retire() {
	c.finish(causeReplaced)
	const moment = 200 * time.Millisecond
	cut := time.AfterFunc(moment, func() { _ = c.net.Close() })
	defer cut.Stop()
	c.settle()
	c.stopWriting()
}

// settle waits until what a connection that ends is doing is done, joining included.
func (c *conn) settle() {
	c.busy.Lock()
	defer c.busy.Unlock()
}

// stopWriting waits for the writer of a connection that ends.
func (c *conn) stopWriting() {
	c.member.inbox.unbind(c)
	c.writers.Wait()
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
	if err := c.receive(buf, r); err != nil {
		return c.readFailed(err)
	}
	allowed := c.throttle(buf.Len())
	c.busy.Lock()
	defer c.busy.Unlock()
	if c.isEnding() {
		return false
	}
	if c.begun.Load() {
		c.member.handled++
	}
	if !allowed {
		c.hub.metrics.messages[typeDropped].Inc()
		return true
	}
	c.take(typ, buf.Bytes())
	return !c.isEnding()
}

// receive reads the rest of a message, which may come in any number of fragments, but not for ever.
func (c *conn) receive(buf *bytes.Buffer, r io.Reader) error {
	c.net.beginRead(c.hub.opts.ReadTimeout)
	_, err := buf.ReadFrom(r)
	return errors.Join(err, c.net.endRead())
}

// take decodes a message and does what it asks for, or tells the client what is wrong with it.
func (c *conn) take(typ websocket.MessageType, raw []byte) {
	if typ != websocket.MessageText {
		c.hub.metrics.messages[typeInvalid].Inc()
		c.refuse(malformed("messages are text, not binary"), "")
		return
	}
	msg, name, err := decodeClient(raw)
	if err != nil {
		c.hub.metrics.messages[typeInvalid].Inc()
		c.refuse(err, name)
		return
	}
	c.hub.metrics.messages[name].Inc()
	if err := c.handle(msg); err != nil {
		c.refuse(err, name)
	}
}

func (c *conn) readFailed(err error) bool {
	switch {
	case errors.Is(err, websocket.ErrMessageTooBig):
		c.end(ReasonBadMessage, causeTooBig)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.end(ReasonTooSlow, causeTooSlow)
	case !c.isEnding():
		c.log.Debug("signaling connection lost", "err", err)
	}
	return false
}

// throttle reports whether the message may be handled. When it may not, the reader pauses until the next one
// could be: a client that floods costs little, and learns of it once a second.
func (c *conn) throttle(size int) bool {
	now, slow := time.Now(), c.limiter
	if allow(slow, now, size) {
		if slow = c.shared; allow(slow, now, size) {
			return true
		}
	}
	if now.Sub(c.complaint) >= time.Second {
		c.complaint = now
		c.busy.Lock()
		c.refuse(errTooFast, "")
		c.busy.Unlock()
	}
	r := slow.ReserveN(time.Now(), cost(slow, size))
	pause := time.NewTimer(r.Delay())
	defer pause.Stop()
	r.Cancel()
	select {
	case <-pause.C:
	case <-c.ending:
	}
	return false
}

// costUnit is how many bytes of a message are as much work as a small one.
const costUnit = 4 << 10

// cost is what a message of this size counts: once, and once more for each full costUnit, as far as the limiter goes.
func cost(l *rate.Limiter, size int) int {
	if size < costUnit {
		return 1
	}
	return min(1+size/costUnit, l.Burst())
}

func allow(l *rate.Limiter, now time.Time, size int) bool {
	return l == nil || l.AllowN(now, cost(l, size))
}

// handle does what a message asks for. Its errors are for the client.
func (c *conn) handle(msg ClientMessage) error {
	if join, ok := msg.(*Join); ok {
		return c.join(join)
	}
	if c.member == nil {
		return errNotJoined
	}
	if _, leaves := msg.(*Leave); !c.begun.Load() && !leaves {
		return errNotAdmitted
	}
	m, r := c.member, c.member.room
	switch msg := msg.(type) {
	case *Signal:
		return r.signal(m, msg)
	case *Broadcast:
		return r.broadcast(m, msg)
	case *Update:
		return r.update(m, msg.State)
	case *Kick:
		return r.kick(m, msg)
	case *Lock:
		return r.lock(m, msg)
	case *Admit:
		return r.admit(m, msg)
	case *Deny:
		return r.deny(m, msg)
	case *Password:
		return r.setPassword(m, msg)
	case *Limit:
		return r.limit(m, msg)
	case *Relay:
		return r.report(m)
	case *ICE:
		c.pushICEServers()
	case *Leave:
		c.end(ReasonLeft, causeLeft)
	}
	return nil
}

// join takes a seat, sends joined and starts writing what happens in the room since; or it has the client wait at the door.
func (c *conn) join(j *Join) error {
	if c.member != nil {
		return errAlreadyJoined
	}
	if !c.hub.addresses.allowJoin(c.ip) {
		return errTooManyJoins
	}
	e, err := c.hub.join(c, j)
	if errors.Is(err, errWrongPassword) {
		if c.attempts++; c.attempts >= c.hub.opts.Attempts {
			return errTooManyTries
		}
	}
	if err != nil {
		return err
	}
	c.member = e.member
	c.schedulePing()
	if e.member.seated.Load() {
		joined := c.welcome(e)
		c.member.inbox.bind(c)
		c.begun.Store(true)
		c.writers.Go(func() { c.begin(joined) })
	} else {
		c.writers.Go(c.wait)
	}
	return nil
}

// wait has the client wait at the door, and goes on as the writer when it is let in.
func (c *conn) wait() {
	c.log.Info("client waits to be let in", "room", c.member.room.name, "member", c.member.id)
	if err := c.transmit(appendFrame(nil, mustEncode(&Waiting{}))); err != nil {
		c.finish(causeLost)
	}
	select {
	case <-c.member.admitted:
		if c.isEnding() {
			return
		}
		joined := c.welcome(entry{member: c.member})
		c.member.inbox.bind(c)
		c.begin(joined)
	case <-c.ending:
	}
}

// welcome returns the message joined for the seat that this connection has now.
func (c *conn) welcome(e entry) []byte {
	m := e.member
	c.ws.SetReadLimit(c.hub.opts.MessageSize)
	self, room := m.room.look(m)
	servers, ttl := m.lease.mint(c.hub.opts.ICE, m.id, c.host)
	what, handled := "member joined", uint64(0)
	if e.resumed {
		what, handled = "member resumed", m.handled
	}
	c.log.Info(what, "room", room.ID, "member", m.id)
	return mustEncode(&Joined{
		Self: self, Room: room, Members: m.inbox.roster(),
		ICEServers: servers, TTL: int(ttl / time.Second), Resume: m.token, Resumed: e.resumed, Received: handled,
	})
}

// refuse tells the client of an error and ends the connection if the error does.
func (c *conn) refuse(err error, request string) {
	answer, code := wireError(err, request)
	if answer == nil {
		c.log.Error("signaling request failed", "request", request, "err", err)
		c.finish(causeInternal)
		return
	}
	c.hub.metrics.refused.WithLabelValues(string(answer.Code)).Inc()
	msg := mustEncode(answer)
	switch {
	case code != 0:
		metric := "refused"
		if code == CloseBadMessage {
			metric = "bad_message"
		}
		c.end(ReasonBadMessage, cause{metric: metric, code: code, text: string(answer.Code), last: msg})
	case c.begun.Load():
		c.member.inbox.push(msg, false)
	default: // there is no writer yet
		if err := c.transmit(appendFrame(nil, msg)); err != nil {
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
