// Package signaling brings the members of a room together over WebSockets: it speaks the subprotocol maitred.v1.
//
// The flow, as a client sees it (docs/protocol.md describes every message by example):
//
//	client                         server
//	join {room, name}          ->
//	                           <-  joined {self, members, iceServers, resume}
//	                           <-  member-joined, member-updated, member-left {member}
//	signal {to, data}          ->
//	                           <-  signal {from, data}      (at that one member)
//	broadcast {data}           ->
//	                           <-  broadcast {from, data}   (at every other member)
//	update {state}             ->
//	                           <-  member-updated {member}  (at everybody)
//	ice                        ->
//	                           <-  ice-servers {iceServers, ttl}
//	relay                      ->
//	                           <-  relay {members}          (what the relay does for them)
//	leave                      ->  connection closed, member-left at the others
//
// A room has doors. Its moderators send lock, password, limit, kick, admit and deny; whoever comes to a room with a waiting
// room gets waiting, and its moderators knock {member}.
//
// Data runs one way: a connection's reader decodes a message and gives it to its room, the room puts it into the
// inbox of each member it is for, and each member's writer takes it from there. A room never waits for a member. The inbox keeps
// what was written until the client has confirmed it, so that a resumed connection misses nothing.
package signaling

import (
	"time"

	"github.com/coder/websocket"
)

// Subprotocol is the WebSocket subprotocol that a client must offer.
const Subprotocol = "maitred.v1"

// What a message may hold. The limit of a whole message is Options.MessageSize.
const (
	MaxRoomLength  = 64       // characters A-Z a-z 0-9 - _
	MaxNameLength  = 64       // printable characters, without the space around them
	MaxDataSize    = 64 << 10 // bytes of JSON text in the data of signal and broadcast
	MaxStateSize   = 4 << 10  // bytes of JSON text in the state of update
	MaxTokenLength = 4 << 10  // bytes of token, password or resume
	MaxReason      = 128      // printable characters in the reason of kick
	MaxDepth       = 32       // objects and arrays within each other, the message itself included
)

// Code is the stable word of an error message.
type Code string

// The error codes.
const (
	CodeBadMessage     Code = "bad_message"
	CodeRoomFull       Code = "room_full"
	CodeRoomLocked     Code = "room_locked"
	CodeWrongPassword  Code = "wrong_password"
	CodeUnauthorized   Code = "unauthorized"
	CodeNoSuchMember   Code = "no_such_member"
	CodeRateLimited    Code = "rate_limited"
	CodeTooManyRooms   Code = "too_many_rooms"
	CodeNotAllowed     Code = "not_allowed"
	CodeServerDraining Code = "server_draining"
)

// codes are all of them.
var codes = []Code{
	CodeBadMessage, CodeRoomFull, CodeRoomLocked, CodeWrongPassword, CodeUnauthorized, CodeNoSuchMember, CodeRateLimited,
	CodeTooManyRooms, CodeNotAllowed, CodeServerDraining,
}

// The close codes besides those of RFC 6455 section 7.4.1.
const (
	CloseBadMessage   websocket.StatusCode = 4000
	CloseUnauthorized websocket.StatusCode = 4001
	CloseKicked       websocket.StatusCode = 4003
	CloseTooSlow      websocket.StatusCode = 4008
	CloseReplaced     websocket.StatusCode = 4009
)

// Reason says why a member left its room.
type Reason string

// The reasons in member-left.
const (
	ReasonLeft       Reason = "left"        // it said leave
	ReasonTimeout    Reason = "timeout"     // its connection was lost and it did not resume in time
	ReasonKicked     Reason = "kicked"      // a moderator or an administrator removed it
	ReasonRoomClosed Reason = "room_closed" // an administrator closed the room
	ReasonDenied     Reason = "denied"      // it knocked, and a moderator did not let it in
	ReasonTooSlow    Reason = "too_slow"    // it did not read its messages
	ReasonBadMessage Reason = "bad_message" // its connection was closed with 4000 or 1009

	reasonShutdown Reason = "shutdown" // the hub was closed: only the log has this one
)

// Role says what a member may do.
type Role string

// The roles. Where everybody may enter, the first member of a room is its moderator, and when the last moderator leaves, the one who
// has been there longest becomes it. Where only join tokens let people in, they alone make moderators.
const (
	RoleModerator Role = "moderator"
	RoleMember    Role = "member"
)

// ICEServer is one entry of a browser's RTCConfiguration.iceServers.
type ICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"`
}

// ICEProvider gives members the servers that they reach each other with.
type ICEProvider interface {
	// ICEServers mints a fresh credential bound to this member, valid for ttl. host is the Host header that the member's
	// browser sent: the name it knows this server under. ICEServers is called for each member that
	// joins or resumes and for each ice message, never after Release for that member. It must not block.
	ICEServers(memberID, host string) (servers []ICEServer, ttl time.Duration)
}

// Releaser learns which members are gone.
type Releaser interface {
	// Release is called once for every member that joined, when it is finally gone: its allocations end, its
	// credentials are revoked. It is called without locks held, on the goroutine that noticed. It returns what the
	// member's allocations relayed, from the first to the last.
	Release(memberID string) Traffic
	// Revoke is called, just as Release and before it, for a member that was kicked and had come with a join token: what else its holder was
	// given for that token ends, too, and the token is refused until it expires.
	Revoke(tokenID string, expires time.Time)
}

// Traffic is what was relayed: payload bytes without any header.
type Traffic struct {
	Up           Count // from the client to peers
	Down         Count // from peers to the client
	ShortCircuit Count // to other clients of the same relay
}

// Count is an amount of traffic.
type Count struct{ Packets, Bytes uint64 }

func (t *Traffic) add(o Traffic) {
	t.Up.add(o.Up)
	t.Down.add(o.Down)
	t.ShortCircuit.add(o.ShortCircuit)
}

func (c *Count) add(o Count) { c.Packets += o.Packets; c.Bytes += o.Bytes }
