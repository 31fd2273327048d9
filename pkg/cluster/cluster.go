// Package cluster carries what happens in a room to every node that has members of it.
//
// It knows rooms by name only and does not look into the messages. One node alone uses [Memory]; a message
// broker can stand behind the same [Bus] when there are several.
package cluster

import "errors"

// ErrClosed is returned by a Topic after Close.
var ErrClosed = errors.New("cluster: topic closed")

// Event is one message on its way to members of a room.
type Event struct {
	// From is the member the message is about or from. It does not get the message itself unless To says so.
	From string
	// To is the one member that gets the message; empty means everybody in the room but From.
	To string
	// Type names the kind of message, so that a receiver need not parse it.
	Type string
	// Message is what the members get. Nobody changes it after it was published.
	Message []byte
	// Local may say to the publisher's own Deliver where the event goes, which is true while Publish runs: a Topic that delivers later, or to
	// others, leaves it out.
	Local any
}

// Bus connects the nodes that a room spans.
type Bus interface {
	// Subscribe opens the room's topic. It does not wait for the network.
	Subscribe(room string, s Subscriber) (Topic, error)
}

// Subscriber gets the events of a room.
type Subscriber interface {
	// Deliver is called for every event of the room, one at a time, those published through the Topic of the subscriber
	// included; events of one publisher come in its order. Deliver may run inside Publish, so it must not block and must not publish.
	Deliver(Event)
}

// Topic is one node's place in a room.
type Topic interface {
	// Publish hands the event to every subscriber of the room. It does not wait for the network: an event
	// that cannot be queued is an error. After Close it returns ErrClosed.
	Publish(Event) error
	// Close ends the subscription; Deliver is not called after it returned. A second Close does nothing.
	// It must not be called from Deliver.
	Close()
}
