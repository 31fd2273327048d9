package signaling

import "sync"

// inbox is a member's bounded queue of messages to write. It belongs to the seat and outlives a lost connection.
// push never waits: an inbox that is full stays full, drops what it had, and its member must go.
type inbox struct {
	maxItems, maxBytes int
	ready              chan struct{} // holds a token when there may be something for the writer

	mu    sync.Mutex
	items []item // items[head:] wait
	head  int
	bytes int
	next  uint64 // number of the next item that is pushed
	full  bool
}

type item struct {
	msg    []byte
	number uint64
	roster bool // tells who is in the room; a fresh view of the room says the same
}

func newInbox(maxItems, maxBytes int) *inbox {
	return &inbox{maxItems: maxItems, maxBytes: maxBytes, ready: make(chan struct{}, 1)}
}

// push appends a message. It reports false when the inbox is full.
func (b *inbox) push(msg []byte, roster bool) bool {
	b.mu.Lock()
	ok := b.pushLocked(msg, roster)
	b.mu.Unlock()
	b.wake()
	return ok
}

func (b *inbox) pushLocked(msg []byte, roster bool) bool {
	if b.full {
		return false
	}
	if len(b.items)-b.head >= b.maxItems || b.bytes+len(msg) > b.maxBytes {
		b.full, b.items, b.head, b.bytes = true, nil, 0, 0
		return false
	}
	b.items = append(b.items, item{msg, b.next, roster})
	b.next++
	b.bytes += len(msg)
	return true
}

// wake makes a writer look again.
func (b *inbox) wake() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// first returns the oldest item, which stays until done: what a lost connection did not take, the next one gets.
func (b *inbox) first() (it item, ok, full bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.head == len(b.items) {
		return item{}, false, b.full
	}
	return b.items[b.head], true, false
}

// done removes the oldest item if it is still the one with this number.
func (b *inbox) done(number uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.head == len(b.items) || b.items[b.head].number != number {
		return
	}
	b.bytes -= len(b.items[b.head].msg)
	b.items[b.head] = item{}
	b.head++
	if b.head == len(b.items) {
		b.items, b.head = b.items[:0], 0
		if cap(b.items) > 16 { // an idle member keeps no large queue
			b.items = nil
		}
	}
}

// dropRoster removes the messages that a fresh view of the room replaces.
func (b *inbox) dropRoster() {
	b.mu.Lock()
	defer b.mu.Unlock()
	var kept []item
	b.bytes = 0
	for _, it := range b.items[b.head:] {
		if !it.roster {
			kept = append(kept, it)
			b.bytes += len(it.msg)
		}
	}
	b.items, b.head = kept, 0
}

func (b *inbox) isFull() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.full
}
