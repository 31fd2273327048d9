package signaling

import "time"

// Observer learns what happens in rooms.
type Observer interface {
	// Observe is called for each event, in order for each room, with the room's lock held for some: it must not block, and must not call
	// the hub.
	Observe(Event)
}

// EventType says what an Event is about.
type EventType string

// The events.
const (
	RoomStarted   EventType = "room_started"  // its first member has come
	RoomEnded     EventType = "room_ended"    // its last member is gone
	MemberEntered EventType = "member_joined" // once for a seat, however often its connection is lost
	MemberGone    EventType = "member_left"   // for good
)

// Event is something that happened in a room.
type Event struct {
	Type   EventType
	Room   string // its name
	RoomID string // of this life of the room: the name may live again
	Time   time.Time

	Member   *EventMember  // of the events of members
	Reason   Reason        // MemberGone
	Duration time.Duration // MemberGone: how long it was there; RoomEnded: how long there was somebody
	Relayed  Traffic       // MemberGone: by its allocations; RoomEnded: by those of all members
	Peak     int           // RoomEnded: most members at once
}

// EventMember is whom an Event is about.
type EventMember struct {
	ID, Name string
	Role     Role
}

func (m *member) forObserver() *EventMember {
	return &EventMember{ID: m.id, Name: m.name, Role: m.role}
}

// observe completes an event and hands it on.
func (r *room) observe(e Event) {
	if o := r.hub.opts.Observer; o != nil {
		e.Room, e.RoomID, e.Time = r.name, r.id, time.Now()
		o.Observe(e)
	}
}
