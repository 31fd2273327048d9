package turn

import (
	"sync"
)

// outQueue holds what a stream client has not read yet, as one run of framed messages, so that writing takes one system call
// however many there are. It is bounded: when a client reads too slowly, its oldest media goes first.
type outQueue struct {
	ready chan struct{} // has an element while there is something to write, or the queue is closed

	mu      sync.Mutex
	pending []byte
	spare   []byte // the buffer that take gave back
	closed  bool
	limit   int // bytes
}

// keepBuffer is the capacity in bytes that an idle queue may hold on to.
const keepBuffer = 16 << 10

func newOutQueue(limit int) *outQueue {
	return &outQueue{limit: limit, ready: make(chan struct{}, 1)}
}

// put appends a message with its padding. It returns how many media messages were thrown away to make room, and whether there
// was room at all.
func (q *outQueue) put(b []byte) (dropped int, ok bool) {
	_, padded, err := frameSize(b)
	if err != nil || padded < len(b) {
		return 0, false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0, false
	}
	if len(q.pending)+padded > q.limit {
		dropped = q.thinLocked()
	}
	if len(q.pending)+padded > q.limit {
		return dropped, false
	}
	q.pending = append(q.pending, b...)
	for range padded - len(b) {
		q.pending = append(q.pending, 0)
	}
	q.signal()
	return dropped, true
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

func (q *outQueue) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take waits for messages and returns all there are; false when the queue is closed. written is the buffer of the last call.
func (q *outQueue) take(written []byte) (b []byte, ok bool) {
	for range q.ready {
		q.mu.Lock()
		if cap(written) <= keepBuffer {
			q.spare = written[:0]
		}
		b, q.pending, q.spare = q.pending, q.spare, nil
		closed := q.closed
		q.mu.Unlock()
		if len(b) > 0 || closed {
			return b, !closed
		}
		written = b
	}
	return nil, false
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
	q.closed, q.pending = true, nil
	q.signal()
}
