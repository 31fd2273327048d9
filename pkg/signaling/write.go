package signaling

import (
	"encoding/binary"
	"errors"
	"slices"
)

// begin sends joined and then what comes into the member's inbox.
func (c *conn) begin(joined []byte) {
	c.busy.Lock() // what is answered without the inbox, since there was no seat, comes before joined: it does not count
	err := c.transmit(appendFrame(nil, joined))
	c.begun.Store(true)
	c.busy.Unlock()
	if err != nil {
		c.finish(causeLost)
	}
	c.write()
}

// startWriting implements writer.
func (c *conn) startWriting() {
	c.writers.Add(1)
	if c.direct == nil || !c.hub.outgoing.add(c) {
		go c.writeOn()
	}
}

// writeOn is write for a goroutine that writers counts already.
func (c *conn) writeOn() {
	defer c.writers.Done()
	c.write()
}

// write writes what is in the member's inbox, until there is nothing left or the connection ends.
func (c *conn) write() {
	batch := batches.Get().(*[]byte)
	defer batches.Put(batch)
	for {
		frames, n, full := c.member.inbox.next((*batch)[:0])
		switch {
		case full:
			c.end(ReasonTooSlow, causeTooSlow)
			return
		case n == 0:
			return
		}
		if !c.wrote(n, c.transmit(frames)) {
			return
		}
	}
}

// wrote notes how it went with the n messages of the last batch. It reports whether there is more to write, and can be.
func (c *conn) wrote(n int, err error) bool {
	if errors.Is(err, errEnding) {
		return false
	}
	if err != nil {
		c.finish(causeLost) // first: another writer may begin when wrote has returned, and must not write behind half a frame
	}
	ask, more := c.member.inbox.wrote(n) // though it failed: some of it may have arrived, and nothing goes out twice
	if err != nil {
		return false
	}
	if ask && !c.pinging.Load() {
		c.tasks.Go(c.ping)
	}
	return more
}

// writeSoon is write for an event loop, which must not wait: where it would have to, a goroutine goes on. writers counts it already.
func (c *conn) writeSoon() {
	if c.writing.TryLock() {
		rest, n, done := c.writeLocked()
		if len(rest) > 0 {
			go c.writeRest(rest, n)
			return
		}
		c.writing.Unlock()
		if done {
			c.writers.Done()
			return
		}
	}
	go c.writeOn()
}

// writeLocked writes as long as that takes no waiting, and reports whether it is done. With a rest, of a batch of n messages, it has left the socket locked: the
// rest comes next.
func (c *conn) writeLocked() (rest []byte, n int, done bool) {
	batch := batches.Get().(*[]byte)
	defer batches.Put(batch)
	for {
		frames, n, full := c.member.inbox.next((*batch)[:0])
		if full {
			return nil, 0, false
		}
		if n == 0 {
			return nil, 0, true
		}
		if !c.net.out.TryLock() {
			return nil, 0, false
		}
		if c.isEnding() {
			c.net.out.Unlock()
			return nil, 0, true
		}
		written := c.direct.Write(frames)
		if 0 < written && written < len(frames) {
			return slices.Clone(frames[written:]), n, false
		}
		c.net.out.Unlock()
		if written == 0 {
			return nil, 0, false
		}
		if !c.wrote(n, nil) {
			return nil, 0, true
		}
	}
}

// writeRest goes on where writeLocked could not, with its locks.
func (c *conn) writeRest(rest []byte, n int) {
	_, err := c.net.writeLocked(rest)
	c.net.out.Unlock()
	c.writing.Unlock()
	defer c.writers.Done()
	if c.wrote(n, err) {
		c.write()
	}
}

// errEnding is returned instead of writing anything that could come after the close frame.
var errEnding = errors.New("the connection ends")

// transmit writes whole frames. The library writes control frames on the same net.Conn, each in one call to Write as well, and does nothing
// else there.
func (c *conn) transmit(frames []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.net.out.Lock()
	defer c.net.out.Unlock()
	if c.isEnding() { // asked under the lock: the close frame is written under it, too
		return errEnding
	}
	_, err := c.net.writeLocked(frames)
	return err
}

// sendLast writes the last message of a connection that ends. Nothing but the close frame comes after it.
func (c *conn) sendLast() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	_, err := c.net.Write(appendFrame(nil, c.cause.last))
	return err
}

func (c *conn) schedulePing() { c.alarm.set(c.hub.opts.PingInterval, c.ping) }

// ping asks whether the client is there, unless a ping is under way. With its answer it has everything that was written before: TCP keeps the order.
func (c *conn) ping() {
	number, ok := c.ask()
	if !ok {
		return
	}
	if err := c.transmit(appendPing(nil, number)); err != nil && !errors.Is(err, errEnding) {
		c.finish(causeLost)
	}
}

// ask changes the alarm together with pinging: a ping that is under way always has its timeout.
func (c *conn) ask() (number uint64, ok bool) {
	c.pings.Lock()
	defer c.pings.Unlock()
	if c.pinging.Load() {
		return 0, false
	}
	number = c.member.inbox.sent()
	c.asked = number
	c.pinging.Store(true)
	c.alarm.set(c.hub.opts.PongTimeout, func() { c.finish(causeNoPong) })
	return number, true
}

// takePong takes the answer to a ping; it reports false for any other pong.
func (c *conn) takePong(payload []byte) bool {
	if len(payload) != 8 || !c.answered(binary.BigEndian.Uint64(payload)) {
		return false
	}
	if c.member.lease.due() {
		c.pushICEServers()
	}
	return true
}

func (c *conn) answered(number uint64) bool {
	c.pings.Lock()
	defer c.pings.Unlock()
	if !c.pinging.Load() || number != c.asked {
		return false
	}
	c.member.inbox.confirm(number)
	c.pinging.Store(false)
	c.schedulePing()
	return true
}
