package turn

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/maitred/maitred/pkg/ingress"
	"github.com/maitred/maitred/pkg/relay"
	"github.com/maitred/maitred/pkg/udpio"
	"golang.org/x/sync/errgroup"
)

const (
	// writeTimeout is how long a client may take to accept writeChunk bytes.
	writeTimeout = 15 * time.Second
	writeChunk   = 16 << 10
	// kernelBuffer is how many bytes the kernel is asked to hold for a client: what waits there is too late to be dropped.
	kernelBuffer = 64 << 10
	// strangerQueue is how many bytes of answers may wait for a client without an allocation.
	strangerQueue = 8 << 10
)

// conn is a client on a connection: TCP, TLS or DTLS. The reader feeds the packet path; while the client has an allocation and sends media only, the
// event loop of its relay socket reads in its place, so that no goroutine has to wake up for it. What goes to the client is gathered in a queue and
// written by whoever put it there, once its batch is over, as far as that takes no waiting; the rest is for a writer of the connection's own.
type conn struct {
	// fixed after construction
	id        uint64
	server    *Server
	transport relay.Transport
	net       net.Conn // the socket; over DTLS the DTLS connection
	addr      netip.AddrPort
	out       *outQueue
	secure    *secure       // nil but over TLS
	direct    *udpio.Direct // nil where only the connection's own goroutines can read and write
	watcher   udpio.Watcher // nil where nobody else can read

	mu      sync.Mutex
	session *relay.Session // nil without an allocation
	gone    bool           // the reader has ended; no session is taken on any more

	lent lentReader
}

// lentReader is the reader's state while the event loop has it.
type lentReader struct {
	back chan struct{} // has an element when the reader has been given back

	mu      sync.Mutex // held while the loop reads; never taken with conn.mu held
	frames  *frameReader
	stop    func() // ends the watch; nil while the reader is not lent
	control []byte // the control request that the reader is given back for
}

// conns are all open connections, with the count for each address that the limit needs.
type conns struct {
	mu     sync.Mutex
	open   map[*conn]struct{}
	perIP  map[netip.Addr]int
	lastID uint64
	closed bool
	wait   sync.WaitGroup
}

// ServeConn takes over a connection over TCP or TLS. It may be called while Run serves, and does not wait for the connection.
func (s *Server) ServeConn(in *ingress.Conn) {
	socket := in.Wire.Socket()
	_ = socket.SetWriteBuffer(kernelBuffer) // what the kernel grants instead is only less prompt
	c := &conn{server: s, net: socket, addr: in.Wire.Client(), transport: relay.TCP, direct: s.newDirect(socket)}
	var messages *frameReader
	if in.TLS == nil {
		c.out = newOutQueue(strangerQueue, nil)
		messages = newFrameReader(socket, in.Wire.TakeAhead())
	} else {
		c.transport, c.secure = relay.TLS, newSecure(in.TLS, in.Wire, socket, c.direct)
		c.out = newOutQueue(strangerQueue, c.secure)
		messages = newFrameReader(in.TLS, in.Ahead)
	}
	if c.direct != nil {
		c.watcher, _ = s.network.(udpio.Watcher) // the portable network is none
	}
	s.begin(c, messages)
}

// begin starts the connection's goroutines, unless its address has too many connections already.
func (s *Server) begin(c *conn, messages messageReader) {
	c.lent.back = make(chan struct{}, 1)
	ok, closed := s.conns.add(c, s.config.ConnectionsPerIP)
	if ok {
		s.observeConnect(c)
		go c.serve(messages)
		return
	}
	_ = c.net.Close() // nothing was written that could be lost
	if !closed {
		s.acceptLog.Do(func() {
			s.log.Warn("too many TURN connections from one address, see turn.limits.connections_per_ip (repeated lines are left out)", "client", c.addr)
		})
	}
}

func (cs *conns) add(c *conn, perIP int) (ok, closed bool) {
	ip := ingress.Network(c.addr.Addr())
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.closed || perIP > 0 && cs.perIP[ip] >= perIP {
		return false, cs.closed
	}
	cs.lastID++
	c.id = cs.lastID
	cs.open[c] = struct{}{}
	cs.perIP[ip]++
	cs.wait.Add(1)
	return true, false
}

func (cs *conns) remove(c *conn) {
	ip := ingress.Network(c.addr.Addr())
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.open, c)
	if cs.perIP[ip]--; cs.perIP[ip] == 0 {
		delete(cs.perIP, ip)
	}
	cs.wait.Done()
}

// closeAll ends every connection and waits for their goroutines.
func (cs *conns) closeAll() {
	cs.mu.Lock()
	cs.closed = true
	for c := range cs.open {
		c.close()
	}
	cs.mu.Unlock()
	cs.wait.Wait()
}

// serve runs reader and writer until the connection ends, and ends its allocation with it.
func (c *conn) serve(messages messageReader) {
	defer c.server.conns.remove(c)
	var g errgroup.Group
	g.Go(func() error {
		defer c.close()
		return c.writeLoop()
	})
	err := c.readLoop(messages)
	c.mu.Lock()
	c.gone = true
	c.mu.Unlock()
	if a := c.server.find(clientKey{c.addr, c.id}); a != nil {
		c.server.end(a, &endLost)
	}
	c.out.close()
	c.close()
	c.server.log.Debug("TURN connection ended", "client", c.addr, "transport", c.transport.String(), "read", err, "write", g.Wait())
}

// messageReader cuts what a client sends into messages.
type messageReader interface {
	// next waits for one message of at most limit bytes; it is good until the next call.
	next(limit int) ([]byte, error)
	// ready tells whether next would return without waiting.
	ready() bool
}

func (c *conn) readLoop(messages messageReader) error {
	for {
		s, m, err := c.message(messages)
		if err != nil {
			return err
		}
		control, err := c.deliver(messages, s, m)
		if err != nil {
			return err
		}
		for {
			if control != nil {
				// A stream client does not repeat a request that is lost, so this one waits; it holds up nobody else.
				c.server.submit(&request{from: c.addr, conn: c, bytes: control})
			}
			if !c.lend(messages) {
				break
			}
			<-c.lent.back
			if control = c.lent.control; control == nil {
				break // an error, which comes up again here, or an idle client
			}
		}
	}
}

// message waits for the next message and returns it with the session that it belongs to.
func (c *conn) message(messages messageReader) (s *relay.Session, m []byte, err error) {
	if s, err = c.next(); err != nil {
		return nil, nil, err
	}
	limit := maxControlFrame
	if s != nil {
		limit = maxFrame + 3
	}
	m, err = messages.next(limit)
	return s, m, err
}

// deliver hands m and the messages that have been read behind it to the packet path. It returns the first control request among
// them, good until the next message.
func (c *conn) deliver(messages messageReader, s *relay.Session, m []byte) (control []byte, err error) {
	in := c.server.inbounds.borrow()
	defer c.server.inbounds.giveBack(in)
	for {
		p := in.packet(m)
		p.From = c.addr
		switch c.server.relay.Input(in, p, s) {
		case relay.Reply:
			c.server.relay.Drop(c.Write(in, p.Payload()))
		case relay.Control:
			return m, nil
		}
		if !messages.ready() {
			return nil, nil
		}
		if s, m, err = c.message(messages); err != nil {
			return nil, err
		}
	}
}

// lend has the event loop read from now on; false when it cannot, or there is nothing but control to expect.
func (c *conn) lend(messages messageReader) bool {
	frames, ok := messages.(*frameReader)
	if c.watcher == nil || !ok || frames.ready() {
		return false
	}
	c.lent.mu.Lock()
	defer c.lent.mu.Unlock()
	s := c.present()
	if s == nil {
		return false
	}
	stop, err := c.watcher.Watch(c.direct, s.Socket(), c)
	if err != nil {
		return false // closed, or the system is short of memory: this goroutine goes on
	}
	c.lent.frames, c.lent.stop, c.lent.control = frames, stop, nil
	c.waitLocked(false)
	if c.secure != nil {
		c.readLocked() // what TLS holds in memory makes no socket readable
	}
	return true
}

// waitLocked says whether reading waits, as in the connection's own goroutine, or returns udpio.ErrWouldBlock, as in the event loop.
func (c *conn) waitLocked(wait bool) {
	frames := c.lent.frames
	switch {
	case c.secure != nil:
		c.secure.in.wait, frames.eager = wait, !wait
	case wait:
		frames.r = c.net
	default:
		frames.r = c.direct
	}
}

// Readable implements udpio.Reader. It reads in the event loop. Whatever is not media gives the reader back.
func (c *conn) Readable(udpio.Batch) {
	c.lent.mu.Lock()
	defer c.lent.mu.Unlock()
	if c.lent.stop != nil {
		c.readLocked()
	}
}

func (c *conn) readLocked() {
	if c.secure != nil {
		c.secure.in.begin()
	}
	s, m, err := c.message(c.lent.frames)
	if err == nil {
		c.lent.control, err = c.deliver(c.lent.frames, s, m)
	}
	if c.lent.control != nil || err != nil && err != udpio.ErrWouldBlock {
		c.recallLocked()
	}
}

// recall gives the reader back, if the loop has it.
func (c *conn) recall() {
	c.lent.mu.Lock()
	defer c.lent.mu.Unlock()
	c.recallLocked()
}

func (c *conn) recallLocked() {
	if c.lent.stop == nil {
		return
	}
	c.lent.stop()
	c.lent.stop = nil
	c.waitLocked(true)
	c.lent.back <- struct{}{}
}

// close ends the connection: whoever reads or writes is told so.
func (c *conn) close() {
	_ = c.net.Close()
	c.recall()
}

func (c *conn) writeLoop() error {
	var b []byte
	for {
		var ok bool
		if b, ok = c.out.take(b); !ok {
			return nil
		}
		for rest := b; len(rest) > 0; {
			if err := c.net.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
				return err
			}
			size, next := c.chunk(rest)
			if _, err := c.net.Write(rest[:size]); err != nil {
				return err
			}
			rest = rest[next:]
		}
	}
}

// chunk is how much of b is written at once, and where the next chunk begins: over DTLS each datagram is one message, without its padding.
func (c *conn) chunk(b []byte) (size, next int) {
	if c.transport != relay.DTLS {
		size = min(len(b), writeChunk)
		return size, size
	}
	size, next, err := frameSize(b)
	if err != nil {
		panic("a message that put checked is no message") // the queue is the server's own
	}
	return size, next
}

func (c *conn) present() *relay.Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

// next returns the session for the next message. Without one the client has IdleTimeout to send it.
func (c *conn) next() (*relay.Session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != nil {
		return c.session, nil
	}
	return nil, c.net.SetReadDeadline(time.Now().Add(c.server.config.IdleTimeout))
}

// adopt takes the session on, unless the connection has ended.
func (c *conn) adopt(s *relay.Session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone || c.net.SetReadDeadline(time.Time{}) != nil {
		return false
	}
	c.session = s
	c.out.setLimit(c.server.config.StreamQueue)
	return true
}

// release lets go of the session. From now on the connection counts as idle.
func (c *conn) release(s *relay.Session) {
	if c.let(s) {
		c.recall()
	}
}

func (c *conn) let(s *relay.Session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != s {
		return false
	}
	c.session = nil
	_ = c.net.SetReadDeadline(time.Now().Add(c.server.config.IdleTimeout)) // fails only on a connection that has ended
	return true
}

// Write implements relay.Client.
func (c *conn) Write(batch udpio.Batch, b []byte) relay.Drop {
	if c.transport == relay.DTLS && len(b) > maxDTLSMessage {
		return relay.DropSendToClient
	}
	dropped, flush, ok := c.out.put(b)
	for range dropped {
		c.server.relay.Drop(relay.DropQueueFull)
	}
	if flush {
		batch.Later(c)
	}
	switch {
	case ok:
		return relay.DropNone
	case c.out.isClosed():
		return relay.DropClosed
	}
	return relay.DropQueueFull
}

// Flush implements udpio.Flusher.
func (c *conn) Flush() { c.out.flush(c.direct) }

// Addr implements relay.Client.
func (c *conn) Addr() netip.AddrPort { return c.addr }

// Transport implements relay.Client.
func (c *conn) Transport() relay.Transport { return c.transport }
