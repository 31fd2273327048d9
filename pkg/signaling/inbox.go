package signaling

import (
	"slices"
	"sync"
)

// inbox is a member's bounded queue of messages. It belongs to the seat and outlives a lost connection: it keeps what was written,
// too, until the client has confirmed it, as far as there is room. Messages are numbered from 1, the client counts along.
// push never waits: an inbox that is full of what was never written stays full, drops what it had, and its member must go.
// Somebody writes only while there is something to write: a quiet member has no goroutine for it.
type inbox struct {
	maxItems, maxBytes int // fixed after construction

	mu      sync.Mutex
	writer  writer // may be asked to write; nil while there is no connection
	writing bool   // it does, until there is nothing left
	items   []item // items[:written] may have arrived, the rest waits
	written int
	first   uint64   // number of items[0]
	bytes   int      // of all items
	others  []Member // the other members of the room as of message first-1
	full    bool
}

type item struct {
	msg    []byte
	roster bool // tells who is in the room
}

func newInbox(maxItems, maxBytes int) inbox {
	return inbox{maxItems: maxItems, maxBytes: maxBytes, first: 1}
}

// writer is a connection.
type writer interface {
	// startWriting begins to write, on a goroutine of its own, until there is nothing left. It is called with the inbox's lock held.
	startWriting()
}

// begin says who was in the room before the first message.
func (b *inbox) begin(others []Member) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.others = others
}

// bind makes w the writer, who writes already.
func (b *inbox) bind(w writer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writer, b.writing = w, true
}

// unbind sees to it that w is not asked to write any more.
func (b *inbox) unbind(w writer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.writer == w {
		b.writer = nil
	}
}

// push appends a message. It reports false when the inbox is full.
func (b *inbox) push(msg []byte, roster bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	ok := b.pushLocked(msg, roster)
	if b.writer != nil && !b.writing {
		b.writing = true
		b.writer.startWriting()
	}
	return ok
}

func (b *inbox) pushLocked(msg []byte, roster bool) bool {
	if b.full {
		return false
	}
	for len(b.items) >= b.maxItems || b.bytes+len(msg) > b.maxBytes {
		if b.written == 0 {
			b.full, b.items, b.bytes = true, nil, 0
			return false
		}
		b.releaseLocked((b.written + 3) / 4)
	}
	b.items = append(b.items, item{msg, roster})
	b.bytes += len(msg)
	return true
}

// releaseLocked forgets the oldest n items.
func (b *inbox) releaseLocked(n int) {
	for _, it := range b.items[:n] {
		b.bytes -= len(it.msg)
		if it.roster {
			b.others = follow(b.others, it.msg)
		}
	}
	b.items = slices.Delete(b.items, 0, n)
	b.written = max(0, b.written-n)
	b.first += uint64(n)
	if len(b.items) == 0 && cap(b.items) > 4 { // an idle member keeps no queue
		b.items = nil
	}
}

// next appends frames of the oldest messages that were not written to batch, at least one and as many as fit in batchSize, and tells how
// many. Without any the writer is done. full: there will be none any more.
func (b *inbox) next(batch []byte) (frames []byte, n int, full bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, it := range b.items[b.written:] {
		if n > 0 && len(batch)+len(it.msg) > batchSize {
			break
		}
		batch = appendFrame(batch, it.msg)
		n++
	}
	b.writing = n > 0
	return batch, n, b.full
}

// wrote notes that the n messages of the last next were written. It reports whether it is time to ask the client how far it is, and whether there is
// more to write; without more the writer is done.
func (b *inbox) wrote(n int) (ask, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.written += min(n, len(b.items)-b.written) // fewer, when the inbox has run full meanwhile
	b.writing = b.full || b.written < len(b.items)
	return b.written >= min(askItems, b.maxItems/2) || b.bytes >= min(askBytes, b.maxBytes/2), b.writing
}

// So much may be unconfirmed before the client is asked: busy members would otherwise fill memory with what has long arrived.
const (
	askItems = 64
	askBytes = 64 << 10
)

// sent is the number of the last message that was written.
func (b *inbox) sent() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.first + uint64(b.written) - 1
}

// confirm forgets the messages up to this number: the client has them.
func (b *inbox) confirm(number uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if number >= b.first {
		b.releaseLocked(min(int(number-b.first+1), b.written))
	}
}

// resume lets the next writer begin after message number received, nil for all that was written. There must be no writer. It reports false if
// what comes next is not here any more, or if there was no such message yet.
func (b *inbox) resume(received *uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	number := b.first + uint64(b.written) - 1
	if received != nil {
		number = *received
	}
	if b.full || number < b.first-1 || number >= b.first+uint64(b.written) {
		return false
	}
	b.releaseLocked(int(number + 1 - b.first))
	b.written = 0
	return true
}

// roster is the other members as of the message before the first that is here. Before there is a writer, that is the first that it will write.
func (b *inbox) roster() []Member {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Member{}, b.others...) // [] in JSON, not null
}

func (b *inbox) isFull() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.full
}

// follow is what a client does with a message about who is in the room.
func follow(members []Member, msg []byte) []Member {
	m, err := DecodeServer(msg)
	if err != nil {
		panic(err) // it is one of ours
	}
	switch m := m.(type) {
	case *MemberJoined:
		return append(members, m.Member)
	case *MemberUpdated:
		for i := range members {
			if members[i].ID == m.Member.ID {
				members[i] = m.Member
			}
		}
	case *MemberLeft:
		return slices.DeleteFunc(members, func(o Member) bool { return o.ID == m.Member })
	}
	return members
}
