package client

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/maitred/maitred/pkg/signaling"
)

const (
	maxWaiting = 512     // messages that wait to be sent
	maxSent    = 256     // messages that were sent and are kept, in case that they did not arrive
	maxBytes   = 1 << 20 // of each
)

var errFull = errors.New("too much waits to be sent already")

// outbox has the messages that wait to be sent, and the last of those that were: nobody confirms them until a
// resume tells how many have arrived. It belongs to the room and outlives a lost connection.
type outbox struct {
	ready chan struct{} // holds a token when there may be something to send

	mu     sync.Mutex
	wait   queue
	sent   queue
	number uint64        // of the last message in sent, counted on this seat
	state  *item         // the last update, for the next seat
	freed  chan struct{} // closed when there is room again; nil while nobody waits for that
	ended  bool
}

type item struct {
	raw []byte
	typ string
}

// queue is a list of items that knows its size.
type queue struct {
	items []item
	bytes int
}

func (q *queue) push(it item) {
	q.items = append(q.items, it)
	q.bytes += len(it.raw)
}

func (q *queue) pop() item {
	it := q.items[0]
	q.items[0] = item{}
	q.items = q.items[1:]
	q.bytes -= len(it.raw)
	return it
}

func newOutbox() *outbox { return &outbox{ready: make(chan struct{}, 1)} }

// push appends a message, and waits for room to do so until ctx ends.
func (b *outbox) push(ctx context.Context, it item) error {
	for {
		freed, err := b.tryPush(it)
		if err != nil || freed == nil {
			return err
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// tryPush returns what is closed when it is worth trying again, nil when it has pushed.
func (b *outbox) tryPush(it item) (freed <-chan struct{}, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.ended:
		return nil, ErrEnded
	case len(b.wait.items) >= maxWaiting || b.wait.bytes >= maxBytes:
		if b.freed == nil {
			b.freed = make(chan struct{})
		}
		return b.freed, nil
	}
	b.pushLocked(it)
	return nil, nil
}

func (b *outbox) pushLocked(it item) {
	if it.typ == (*signaling.Update)(nil).Type() {
		b.state = &it
	}
	b.wait.push(it)
	b.wakeLocked()
}

func (b *outbox) wakeLocked() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// await returns when there is something to send. It reports false when ctx has ended.
func (b *outbox) await(ctx context.Context) bool {
	for {
		b.mu.Lock()
		some := len(b.wait.items) > 0
		b.mu.Unlock()
		if some {
			return ctx.Err() == nil
		}
		select {
		case <-b.ready:
		case <-ctx.Done():
			return false
		}
	}
}

// next takes the message to send now; there must be one.
func (b *outbox) next() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	it := b.wait.pop()
	b.sent.push(it)
	b.number++
	for len(b.sent.items) > maxSent || b.sent.bytes > maxBytes {
		b.sent.pop()
	}
	b.freeLocked()
	return it.raw
}

// resume puts what has not arrived before what waits; received messages have. It returns how many are lost.
func (b *outbox) resume(received uint64) (lost int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if received < b.number {
		missing := b.number - received
		kept := uint64(len(b.sent.items))
		if missing > kept {
			lost = int(missing - kept)
			missing = kept
		}
		again := b.sent.items[kept-missing:]
		for _, it := range again {
			b.wait.bytes += len(it.raw)
		}
		b.wait.items = slices.Concat(again, b.wait.items)
	}
	b.sent, b.number = queue{}, received
	b.wakeLocked()
	return lost
}

// reset starts over on a new seat. It returns how many messages are dropped that somebody might miss.
func (b *outbox) reset() (dropped int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, it := range b.wait.items {
		switch it.typ {
		case (*signaling.Update)(nil).Type(), (*signaling.ICE)(nil).Type(): // the new seat has both
		default:
			dropped++
		}
	}
	b.wait, b.sent, b.number = queue{}, queue{}, 0
	if b.state != nil {
		b.pushLocked(*b.state)
	}
	b.freeLocked()
	return dropped
}

// finish appends the last message, for which there is always room.
func (b *outbox) finish(last item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		b.pushLocked(last)
		b.endLocked()
	}
}

// end takes no more messages.
func (b *outbox) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endLocked()
}

func (b *outbox) endLocked() {
	b.ended = true
	b.freeLocked()
}

func (b *outbox) freeLocked() {
	if b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}
