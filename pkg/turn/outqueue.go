package turn

import (
	"sync"

	"github.com/maitred/maitred/pkg/udpio"
)

// outQueue holds what a stream client has not read yet, as one run of framed messages, so that writing takes one system call
// however many there are. It is bounded: when a client reads too slowly, its oldest media goes first.
//
// One goroutine at a time writes: whoever flushes, as long as the kernel takes everything at once, and after that the connection's
// writer, until there is nothing left.
type outQueue struct {
	// fixed after construction
	seal  sealer        // nil in clear
	ready chan struct{} // has an element when the writer has been called, or the queue is closed

	mu      sync.Mutex
	state   outState
	pending []byte
	rest    []byte // what the flusher left to the writer; goes before pending
	spare   []byte // the buffer for what comes while pending is being written
	closed  bool
	limit   int // bytes
}

// sealer makes of messages what goes onto the wire. One goroutine at a time uses it: whoever writes.
type sealer interface {
	// seal returns bytes that are good until done. An error is for good.
	seal(b []byte) ([]byte, error)
	done()
}

// outState says who is to write next.
type outState uint8

const (
	outIdle   outState = iota // nobody: there is nothing
	outDue                    // whoever put the first message flushes
	outBusy                   // somebody is flushing
	outWriter                 // the writer
)

// keepBuffer is the capacity in bytes that an idle queue may hold on to.
const keepBuffer = 16 << 10

func newOutQueue(limit int, seal sealer) *outQueue {
	return &outQueue{limit: limit, seal: seal, ready: make(chan struct{}, 1)}
}

// put appends a message with its padding. It returns how many media messages were thrown away to make room, whether there was
// room at all, and whether the caller has to see to it that the queue is flushed.
func (q *outQueue) put(b []byte) (dropped int, flush, ok bool) {
	_, padded, err := frameSize(b)
	if err != nil || padded < len(b) {
		return 0, false, false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0, false, false
	}
	if len(q.pending)+padded > q.limit {
		dropped = q.thinLocked()
	}
	if len(q.pending)+padded > q.limit {
		return dropped, false, false
	}
	q.pending = append(q.pending, b...)
	for range padded - len(b) {
		q.pending = append(q.pending, 0)
	}
	if flush = q.state == outIdle; flush {
		q.state = outDue
	}
	return dropped, flush, true
}

// thinLocked throws the older half of the queue's media away: half, so that a slow client does not cost a pass for every packet.
// Responses stay.
func (q *outQueue) thinLocked() (dropped int) {
	kept := q.pending[:0]
	for rest := q.pending; len(rest) > 0; {
		_, padded, err := frameSize(rest)
		if err != nil {
			panic("a message that put checked is no message") // the queue is this type's own
		}
		old := len(q.pending)-len(rest) < q.limit/2
		if old && isMedia(rest) {
			dropped++
		} else {
			kept = append(kept, rest[:padded]...)
		}
		rest = rest[padded:]
	}
	q.pending = kept
	return dropped
}

// isMedia tells whether the message is ChannelData or a Data indication (RFC 8656 section 11.4).
func isMedia(b []byte) bool { return b[0]>>6 == 1 || b[0] == 0 && b[1] == 0x17 }

// flushRounds bounds how long a flusher goes on with what others put in while it writes.
const flushRounds = 2

// flush writes what there is to d. What it does not take is left to the writer, which also learns of errors that way. It is called by
// whoever put told to; a nil d leaves all to the writer.
func (q *outQueue) flush(d *udpio.Direct) {
	var b []byte
	for range flushRounds {
		if d == nil {
			break
		}
		if b = q.begin(b); len(b) == 0 {
			return
		}
		rest, err := q.write(d, b)
		if err != nil {
			q.close() // ends the writer, and with it the connection
			return
		}
		if len(rest) > 0 {
			q.call(rest)
			return
		}
	}
	q.call(b[:0])
}

// write returns what d does not take, in the memory of b where it fits.
func (q *outQueue) write(d *udpio.Direct, b []byte) (rest []byte, err error) {
	if q.seal == nil {
		n := d.Write(b)
		return b[:copy(b, b[n:])], nil
	}
	sealed, err := q.seal.seal(b)
	if err != nil {
		return nil, err
	}
	defer q.seal.done()
	return append(b[:0], sealed[d.Write(sealed):]...), nil
}

// begin returns what there is to flush. written is what has been flushed already, nil at first.
func (q *outQueue) begin(written []byte) (b []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.keepLocked(written)
	if len(q.pending) == 0 {
		q.state = outIdle
		return nil
	}
	q.state = outBusy
	return q.swapLocked()
}

// call makes the writer go on with rest.
func (q *outQueue) call(rest []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.rest, q.state = rest, outWriter
		q.signal()
	}
}

// keepLocked takes a buffer back that has been written.
func (q *outQueue) keepLocked(written []byte) {
	if c := cap(written); c > 0 && c <= keepBuffer && !q.closed {
		q.spare = written[:0]
	}
}

// swapLocked takes all that is pending.
func (q *outQueue) swapLocked() (b []byte) {
	b, q.pending, q.spare = q.pending, q.spare, nil
	return b
}

func (q *outQueue) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take waits until the writer is called and returns all there is to be written to the wire, again and again until there is nothing; false when
// the queue is closed. written is the buffer of the last call.
func (q *outQueue) take(written []byte) (b []byte, ok bool) {
	for {
		b, sealed, ok := q.takeNow(written)
		switch {
		case !ok:
			return nil, false
		case len(b) == 0:
			written = nil
			<-q.ready
		case sealed || q.seal == nil:
			return b, true
		default:
			return q.sealNow(b)
		}
	}
}

// sealNow is the writer's way to the wire: it waits for the kernel, so what it writes has to be memory of its own.
func (q *outQueue) sealNow(b []byte) ([]byte, bool) {
	sealed, err := q.seal.seal(b)
	if err != nil {
		q.close()
		return nil, false
	}
	defer q.seal.done()
	return append(b[:0], sealed...), true
}

// takeNow also tells whether b is what a flusher left, which has been sealed.
func (q *outQueue) takeNow(written []byte) (b []byte, sealed, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, false, false
	}
	q.keepLocked(written)
	if q.state != outWriter {
		return nil, false, true
	}
	if b, q.rest = q.rest, nil; len(b) > 0 {
		return b, true, true
	}
	q.keepLocked(b)
	if b = q.swapLocked(); len(b) == 0 {
		q.keepLocked(b)
		q.state = outIdle
	}
	return b, false, true
}

func (q *outQueue) setLimit(limit int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.limit = limit
}

func (q *outQueue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// close wakes take and throws away what is left.
func (q *outQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.pending, q.rest = true, nil, nil
	q.signal()
}
