package relay

import (
	"net/netip"

	"github.com/maitred/maitred/pkg/udpio"
)

// Verdict is what Input leaves to its caller.
type Verdict uint8

const (
	// Done means that nothing is left to do.
	Done Verdict = iota
	// Reply means that the packet now holds a message for the client.
	Reply
	// Control means that the packet, unchanged, is a control request.
	Control
)

// Input takes one message from the client at p.From. s is the client's session, nil when it has none. The message is exactly as
// long as it says, or is dropped.
func (r *Relay) Input(batch udpio.Batch, p *udpio.Packet, s *Session) Verdict {
	b := p.Payload()
	switch {
	case len(b) >= 4 && b[0]>>6 == 1:
		if s == nil {
			r.Drop(DropNoAllocation)
		} else {
			r.Drop(s.channelData(batch, p))
		}
		return Done
	case len(b) == 0 || b[0]>>6 != 0:
		r.Drop(DropNotTURN)
		return Done
	case !wellFormed(b):
		r.Drop(DropMalformed)
		return Done
	}
	return r.inputSTUN(batch, p, s)
}

func (r *Relay) inputSTUN(batch udpio.Batch, p *udpio.Packet, s *Session) Verdict {
	switch typ := messageType(p.Payload()); {
	case typ == typeBindingRequest:
		answer := answerBinding(p.Space(), p.Payload(), p.From)
		if answer == nil {
			r.Drop(DropMalformed)
			return Done
		}
		p.Reset(len(answer))
		return Reply
	case typ == typeSendIndication && s == nil:
		r.Drop(DropNoAllocation)
	case typ == typeSendIndication:
		r.Drop(s.sendIndication(batch, p))
	case typ == typeBindingIndication: // a keep-alive (RFC 8489 section 6.3.2): arriving is all it is for
	case isRequest(typ):
		return Control
	default:
		r.Drop(DropUnexpected)
	}
	return Done
}

// Front are the UDP sockets of one address that clients talk to, with the sessions of those clients.
type Front struct {
	relay    *Relay
	sessions table
	control  func(s udpio.Socket, from netip.AddrPort, session *Session, request []byte)
}

// NewFront returns the handler for client-facing sockets. control is called with each control request and its client's session,
// nil when it has none; it must not block, and keeps nothing of request.
func (r *Relay) NewFront(control func(s udpio.Socket, from netip.AddrPort, session *Session, request []byte)) *Front {
	f := &Front{relay: r, control: control}
	f.sessions.init()
	return f
}

// Packet implements udpio.Handler.
func (f *Front) Packet(batch udpio.Batch, s udpio.Socket, p *udpio.Packet) {
	session := f.sessions.get(p.From)
	switch f.relay.Input(batch, p, session) {
	case Reply:
		batch.Send(s, p.Payload(), p.From, &f.relay.drops[DropSendToClient])
	case Control:
		f.control(s, p.From, session, p.Payload())
	}
}

// UDPClient is a client behind a socket that many clients share.
type UDPClient struct {
	relay   *Relay
	socket  udpio.Socket
	address netip.AddrPort
}

// UDPClient returns the client at address, whose packets come in through socket.
func (r *Relay) UDPClient(socket udpio.Socket, address netip.AddrPort) *UDPClient {
	return &UDPClient{r, socket, address}
}

// Write implements Client.
func (c *UDPClient) Write(batch udpio.Batch, b []byte) Drop {
	batch.Send(c.socket, b, c.address, &c.relay.drops[DropSendToClient])
	return DropNone
}

// Addr implements Client.
func (c *UDPClient) Addr() netip.AddrPort { return c.address }

// Transport implements Client.
func (c *UDPClient) Transport() Transport { return UDP }
