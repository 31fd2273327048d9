package signaling

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maitred/maitred/pkg/udpio"
)

// lentReader is the reading of a connection while an event loop does it. A quiet member has no goroutine then, and a message wakes none: the loop reads it,
// handles it, and writes it to those whom it is for. That needs a socket that can be read without waiting, so it is for connections
// in clear. The loop takes whole messages that are relayed, and pongs. For everything else it gives the reading back to a goroutine of the connection's
// own, with what it has read: what is long, in pieces, wrong, too much, or changes the room.
type lentReader struct {
	wanted atomic.Bool // somebody wants the reading back

	mu   sync.Mutex // held while the loop reads, and by who lends and gives back
	stop func()     // ends the watch; nil while the reading is not lent
}

// loops are the hub's event loops, which begin with the first connection.
type loops struct {
	mu      sync.Mutex
	network udpio.Network // nil before the first connection
	own     bool          // the hub has made it
	closed  bool
}

// watcher is nil where a goroutine has to read each connection.
func (l *loops) watcher(o Options) udpio.Watcher {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.network == nil && !l.closed {
		l.openLocked(o)
	}
	w, _ := l.network.(udpio.Watcher)
	return w
}

func (l *loops) openLocked(o Options) {
	var err error
	if l.network = o.Network; l.network == nil {
		l.own = true
		l.network, err = udpio.New()
	}
	if err != nil {
		o.Log.Warn("no event loops for signaling, which goes on without: raise the limit of open files", "err", err)
		l.network = udpio.NewPortable()
	}
}

// close ends the loops. Nothing is lent to them any more.
func (l *loops) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.network != nil && l.own {
		l.network.Wait()
	}
	l.closed, l.network = true, nil
}

// lend has an event loop read from now on. It reports false when it cannot.
func (c *conn) lend() bool {
	if c.direct == nil || !c.begun.Load() {
		return false
	}
	lent := c.watch()
	c.attend()
	return lent
}

func (c *conn) watch() bool {
	c.lent.mu.Lock()
	defer c.lent.mu.Unlock()
	if c.isEnding() || c.net.hasRead(c.buffered) {
		return false
	}
	stop, err := c.watcher.Watch(c.direct, nil, c)
	if err != nil {
		return false // closed, or the system is short of memory: the goroutine goes on
	}
	c.lent.stop = stop
	return true
}

// recall gives the reading back, if the loop has it. It does not wait: a loop that reads just now does it itself, when it has read.
func (c *conn) recall() {
	c.lent.wanted.Store(true)
	c.attend()
}

// takeBack is recall for who needs the reading to be given back when it returns.
func (c *conn) takeBack() {
	c.lent.mu.Lock()
	defer c.lent.mu.Unlock()
	c.giveBackLocked(nil)
}

// attend gives the reading back if somebody wants it and nobody else is there to do so.
func (c *conn) attend() {
	for c.lent.wanted.Load() && c.lent.mu.TryLock() {
		c.lent.wanted.Store(false)
		c.giveBackLocked(nil)
		c.lent.mu.Unlock()
	}
}

// giveBackLocked lets a goroutine read again, first what the loop has read and not handled.
func (c *conn) giveBackLocked(ahead []byte) {
	if c.lent.stop == nil {
		return
	}
	c.lent.stop()
	c.lent.stop = nil
	c.net.ahead = bytes.Clone(ahead)
	go c.run()
}

// Readable implements udpio.Reader. It reads in the event loop. What it leads to is written when the loop has been through all connections that are
// ready with this one.
func (c *conn) Readable(batch udpio.Batch) {
	began := c.hub.outgoing.begin(batch)
	c.lent.mu.Lock()
	if c.lent.stop != nil {
		c.readLocked()
	}
	c.lent.mu.Unlock()
	c.attend()
	if began != nil {
		batch.Later(began)
	}
}

func (c *conn) readLocked() {
	buf := batches.Get().(*[]byte)
	defer batches.Put(buf)
	b := (*buf)[:batchSize]
	n, err := c.direct.Read(b)
	if err == udpio.ErrWouldBlock {
		return
	}
	rest := c.takeFrames(b[:n])
	if err != nil || len(rest) > 0 {
		c.giveBackLocked(rest)
	}
}

// takeFrames handles what frames it can and returns the rest.
func (c *conn) takeFrames(b []byte) (rest []byte) {
	for len(b) > 0 {
		f, size := cutFrame(b)
		if size == 0 || !c.takeFrame(f) {
			return b
		}
		b = b[size:]
	}
	return nil
}

// takeFrame handles a frame, unless that is the goroutine's business. The frame is as it was then.
func (c *conn) takeFrame(f clientFrame) bool {
	f.unmask()
	if f.text && c.takeMessage(f.payload) || !f.text && c.takePong(f.payload) {
		return true
	}
	f.unmask() // masks it again
	return false
}

// takeMessage handles a message that is to be relayed.
func (c *conn) takeMessage(raw []byte) bool {
	if limit := c.hub.opts.MessageSize; limit >= 0 && int64(len(raw)) > limit {
		return false
	}
	d := decoders.Get().(*decoder)
	defer d.release()
	msg, name, err := d.decode(raw)
	if err != nil {
		return false
	}
	switch msg.(type) {
	case *Signal, *Broadcast, *Update:
	default:
		return false
	}
	if !c.busy.TryLock() {
		return false
	}
	defer c.busy.Unlock()
	if c.isEnding() || !c.allowNow(len(raw)) {
		return false
	}
	c.member.handled++
	c.hub.metrics.messages[name].Inc()
	if err := c.handle(msg); err != nil {
		c.refuse(err, name)
	}
	return true
}

// allowNow takes a message of this size out of both buckets, or out of none.
func (c *conn) allowNow(size int) bool {
	if c.limiter == nil {
		return allow(c.shared, time.Now(), size)
	}
	now := time.Now()
	own := c.limiter.ReserveN(now, cost(c.limiter, size))
	if own.DelayFrom(now) == 0 && allow(c.shared, now, size) {
		return true
	}
	own.CancelAt(now)
	return false
}

// clientFrame is a frame of a client (RFC 6455 section 5.2) that is a whole text or a pong.
type clientFrame struct {
	text    bool
	key     [4]byte
	payload []byte
}

// cutFrame cuts a frame off the front; its size is 0 if there is none, or one of another kind.
//
//	byte 0   0x81: the last fragment of a text; 0x8a: a pong
//	byte 1   0x80 (masked) + the length up to 125; 126: two bytes of length follow; 127, with eight, is none
//	key      4 bytes
func cutFrame(b []byte) (f clientFrame, size int) {
	const masked, finalPong = 0x80, 0x8a
	if len(b) < 6 || b[0] != finalText && b[0] != finalPong || b[1]&masked == 0 {
		return clientFrame{}, 0
	}
	n, head := int(b[1]&^masked), 2
	if n == 126 {
		n, head = int(binary.BigEndian.Uint16(b[2:])), 4
	}
	size = head + len(f.key) + n
	if b[1] == 0xff || len(b) < size || b[0] == finalPong && head > 2 {
		return clientFrame{}, 0
	}
	f.text = b[0] == finalText
	f.key = [4]byte(b[head:])
	f.payload = b[head+len(f.key) : size]
	return f, size
}

// unmask does RFC 6455 section 5.3; doing it twice changes nothing.
func (f clientFrame) unmask() {
	b := f.payload
	key := uint64(binary.LittleEndian.Uint32(f.key[:]))
	for key |= key << 32; len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^key)
	}
	for i := range b {
		b[i] ^= f.key[i&3]
	}
}

// outgoing are the connections that an event loop is about to write to: whoever has something for them while a loop works leaves the
// writing to the loop.
type outgoing struct {
	mu      sync.Mutex
	rounds  []*round // one for each loop
	open    int      // how many of them have begun
	waiting []*conn  // each at most once
	spare   []*conn  // memory for waiting
}

// round is what a loop does between two times that it writes.
type round struct {
	of    *outgoing
	batch udpio.Batch // the loop's
	begun bool        // guarded by outgoing.mu
}

// begin returns the round to be flushed when it is over; nil if it has begun before.
func (o *outgoing) begin(batch udpio.Batch) *round {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.IndexFunc(o.rounds, func(r *round) bool { return r.batch == batch })
	if i < 0 {
		i = len(o.rounds)
		o.rounds = append(o.rounds, &round{of: o, batch: batch})
	}
	r := o.rounds[i]
	if r.begun {
		return nil
	}
	r.begun = true
	o.open++
	return r
}

// add reports false when there is no loop that would write soon.
func (o *outgoing) add(c *conn) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open == 0 {
		return false
	}
	o.waiting = append(o.waiting, c)
	return true
}

// Flush implements udpio.Flusher.
func (r *round) Flush() {
	o := r.of
	o.mu.Lock()
	r.begun = false
	o.open--
	waiting := o.waiting
	o.waiting, o.spare = o.spare[:0], nil
	o.mu.Unlock()
	for _, c := range waiting {
		c.writeSoon()
	}
	clear(waiting)
	o.mu.Lock()
	o.spare = waiting
	o.mu.Unlock()
}
