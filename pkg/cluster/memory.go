package cluster

import (
	"slices"
	"sync"
)

// Memory is the Bus of one process: Publish calls every subscriber before it returns, so all subscribers of a room
// see all its events in the same order.
type Memory struct {
	mu    sync.Mutex
	rooms map[string]*memoryRoom
}

var _ Bus = (*Memory)(nil)

// memoryRoom is one room's subscribers. Its lock is held while they are called: that is what gives one order to all.
type memoryRoom struct {
	mu   sync.Mutex
	subs []*memoryTopic
}

type memoryTopic struct {
	room       *memoryRoom
	subscriber Subscriber
	closed     bool // guarded by room.mu
	bus        *Memory
	name       string
}

// NewMemory returns an empty bus.
func NewMemory() *Memory {
	return &Memory{rooms: make(map[string]*memoryRoom)}
}

// Subscribe implements Bus. It never fails.
func (b *Memory) Subscribe(room string, s Subscriber) (Topic, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.rooms[room]
	if r == nil {
		r = &memoryRoom{}
		b.rooms[room] = r
	}
	t := &memoryTopic{bus: b, name: room, room: r, subscriber: s}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subs = append(r.subs, t)
	return t, nil
}

func (t *memoryTopic) Publish(ev Event) error {
	t.room.mu.Lock()
	defer t.room.mu.Unlock()
	if t.closed {
		return ErrClosed
	}
	t.subscriber.Deliver(ev)
	ev.Local = nil
	for _, sub := range t.room.subs {
		if sub != t {
			sub.subscriber.Deliver(ev)
		}
	}
	return nil
}

func (t *memoryTopic) Close() {
	t.bus.mu.Lock()
	defer t.bus.mu.Unlock()
	t.room.mu.Lock()
	defer t.room.mu.Unlock()
	if t.closed {
		return
	}
	t.closed = true
	i := slices.Index(t.room.subs, t)
	t.room.subs = slices.Delete(t.room.subs, i, i+1)
	if len(t.room.subs) == 0 {
		delete(t.bus.rooms, t.name)
	}
}
