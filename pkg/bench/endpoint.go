package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// endpoint is one end of a session: it sends bursts into a flow and receives those of the opposite flow. Each transport of the
// client has one of its own.
type endpoint interface {
	// send sends one burst, marked with tag. It does not wait for the receiver: what cannot be sent now is lost. One goroutine calls it.
	send(tag uint64)
	// receive reports what arrives to m, until stop is called or the connection breaks.
	receive(m *meter) error
	// stop ends receive, at once or as soon as it is called.
	stop()
}

// shape is what the packets of an endpoint look like.
type shape struct {
	burst, size int
	framed      bool // in ChannelData messages: the end of a client, not of a peer
}

func (s shape) header() int {
	if s.framed {
		return channelHeader
	}
	return 0
}

// longAgo as a deadline makes a read or write return at once.
var longAgo = time.Unix(1, 0)

// ended takes the error off a reader that was stopped.
func ended(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) { // the latter over DTLS
		return nil
	}
	return err
}

// portableEnd is a connection that carries datagrams, on any system: one call for each packet.
type portableEnd struct {
	conn   net.Conn
	header int
	out    *frames
	number uint64
}

func newPortableEnd(conn net.Conn, s shape) endpoint {
	return &portableEnd{conn: conn, header: s.header(), out: newFrames(s.burst, s.size, s.framed, false)}
}

func (e *portableEnd) send(tag uint64) {
	e.out.stamp(tag, e.number)
	e.number += uint64(e.out.count)
	for i := range e.out.count {
		_, _ = e.conn.Write(e.out.packet(i)) // the packet counts as lost
	}
}

func (e *portableEnd) receive(m *meter) error {
	b := make([]byte, e.out.size+1)
	in := flow{m: m}
	defer in.end()
	for {
		n, err := e.conn.Read(b)
		switch {
		case err == nil && n == e.out.size:
			in.arrived(b[e.header:n], Clock())
		case err == io.EOF: // over DTLS the server can say it
			return err
		case err != nil && ended(err) == nil || errors.Is(err, net.ErrClosed):
			return nil
		} // other errors belong to packets that were sent earlier
	}
}

func (e *portableEnd) stop() { _ = e.conn.SetReadDeadline(longAgo) }

// streamQueue is how many bursts a stream may be behind before its client throws new ones away.
const streamQueue = 4

// streamEnd is a client behind a byte stream. A slow server must not hold up the other sessions, so it writes from a goroutine.
type streamEnd struct {
	conn    net.Conn
	r       *bufio.Reader
	number  uint64
	free    chan *frames // capacity streamQueue, as many as there are
	waiting chan *frames // the rest of them
	stopped chan struct{}
	once    sync.Once
}

func newStreamEnd(conn net.Conn, r *bufio.Reader, s shape) endpoint {
	e := &streamEnd{conn: conn, r: r, free: make(chan *frames, streamQueue), waiting: make(chan *frames, streamQueue), stopped: make(chan struct{})}
	for range streamQueue {
		e.free <- newFrames(s.burst, s.size, true, true)
	}
	return e
}

func (e *streamEnd) send(tag uint64) {
	select {
	case f := <-e.free:
		f.stamp(tag, e.number)
		e.number += uint64(f.count)
		e.waiting <- f
	default:
	}
}

func (e *streamEnd) receive(m *meter) error {
	written := make(chan error, 1)
	go func() { written <- e.write() }()
	err := e.read(m)
	e.stop()
	return errors.Join(ended(err), ended(<-written))
}

func (e *streamEnd) write() error {
	for {
		select {
		case f := <-e.waiting:
			if _, err := e.conn.Write(f.b); err != nil {
				_ = e.conn.SetReadDeadline(longAgo) // ends read: the connection is of no use
				return err
			}
			e.free <- f
		case <-e.stopped:
			return nil
		}
	}
}

func (e *streamEnd) read(m *meter) error {
	in := flow{m: m}
	defer in.end()
	for {
		header, err := e.r.Peek(channelHeader)
		if err != nil {
			return err
		}
		length := int(binary.BigEndian.Uint16(header[2:]))
		rest := 0
		switch header[0] >> 6 {
		case 0: // STUN: nothing that was asked for
			rest = 20 + length
		case 1:
			rest = channelHeader + (length+3)&^3
			frame, err := e.r.Peek(channelHeader + min(length, markSize))
			if err != nil {
				return err
			}
			in.arrived(frame[channelHeader:], Clock())
		default:
			return fmt.Errorf("the server sent %#x where a message should begin", header)
		}
		if _, err := e.r.Discard(rest); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

func (e *streamEnd) stop() {
	e.once.Do(func() {
		close(e.stopped)
		_ = e.conn.SetDeadline(longAgo)
	})
}
