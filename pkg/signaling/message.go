package signaling

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Message is one message of the protocol: a ClientMessage or a ServerMessage.
type Message interface {
	// Type is the value of the message's field "type".
	Type() string
}

// ClientMessage is a message from a client to the server; only this package has types of it.
type ClientMessage interface {
	Message
	// decode takes the message's fields and checks them. Its errors are for the client.
	decode(*fields) error
}

// ServerMessage is a message from the server to a client; only this package has types of it.
type ServerMessage interface {
	Message
	fromServer()
}

// Member is one participant as the others see it.
type Member struct {
	ID    string          `json:"id"`
	Name  string          `json:"name"`
	Role  Role            `json:"role"`
	State json.RawMessage `json:"state"` // an object that the member itself sets; {} at first
}

// Room is a room as its members see it.
type Room struct {
	ID         string `json:"id"`         // the name that Join gave
	Locked     bool   `json:"locked"`     // nobody comes in by itself
	Knock      bool   `json:"knock"`      // but, while it is locked, moderators are asked: the waiting room
	Password   bool   `json:"password"`   // there is one
	MaxMembers int    `json:"maxMembers"` // lost connections that keep their seat count, too
}

// Join asks for a seat in a room; it is the first message of a connection.
type Join struct {
	Room string `json:"room"`
	Name string `json:"name"`
	// Token is a join token: see package token.
	Token    string `json:"token,omitempty"`
	Password string `json:"password,omitempty"` // of the room, where it has one
	// Resume is Joined.Resume of a lost connection: the member takes its seat back if that still exists.
	Resume string `json:"resume,omitempty"`
	// Received goes with Resume: how many messages have arrived on this seat since its first Joined, which like all others does
	// not count. Nil: all that was written.
	Received *uint64 `json:"received,omitempty"`
}

// Signal sends data to one member.
type Signal struct {
	To   string          `json:"to"`
	Data json.RawMessage `json:"data"`
}

// Broadcast sends data to every other member.
type Broadcast struct {
	Data json.RawMessage `json:"data"`
}

// Update replaces the sender's state, an object, and tells everybody.
type Update struct {
	State json.RawMessage `json:"state"`
}

// ICE asks for fresh ICE servers.
type ICE struct{}

// Relay asks what the relay does for the members of the room now.
type Relay struct{}

// Leave gives the seat, or the place at the door, up and ends the connection.
type Leave struct{}

// Kick removes a member. Moderators only, like all that follow.
type Kick struct {
	Member string `json:"member"` // its id
	Reason string `json:"reason,omitempty"`
}

// Lock closes or opens the room's door. Opening it lets in all who wait.
type Lock struct {
	Locked bool `json:"locked"`
	Knock  bool `json:"knock,omitempty"` // whoever comes to the locked room waits, and moderators decide
}

// Admit lets in one who waits.
type Admit struct {
	Member string `json:"member"` // the id in Knock
}

// Deny turns one who waits away.
type Deny struct {
	Member string `json:"member"` // the id in Knock
}

// Password gives the room a password, or none when it is empty.
type Password struct {
	Password string `json:"password"`
}

// Limit bounds the members of the room; 0 means as many as the server allows. Who is in stays.
type Limit struct {
	MaxMembers int `json:"maxMembers"`
}

// Joined answers Join.
type Joined struct {
	Self    Member   `json:"self"`
	Room    Room     `json:"room"`
	Members []Member `json:"members"` // the others, in the order in which they joined
	// ICEServers are valid for TTL seconds.
	ICEServers []ICEServer `json:"iceServers"`
	TTL        int         `json:"ttl"`
	// Resume is the secret that brings this seat back after a lost connection.
	Resume string `json:"resume"`
	// Resumed: the seat was taken back. Members is the room as of message Join.Received then, and what came after it follows.
	Resumed bool `json:"resumed"`
	// Received is how many of the client's messages after Join the server has handled on this seat.
	Received uint64 `json:"received"`
}

// Waiting answers Join where a moderator must let the client in.
type Waiting struct{}

// Knock tells moderators who waits at the door. MemberJoined or MemberLeft with this id ends it.
type Knock struct {
	Member Member `json:"member"`
}

// RoomChanged tells of new settings of the room.
type RoomChanged struct {
	Room Room `json:"room"`
}

// ServerData is what the application's server has to say.
type ServerData struct {
	Data json.RawMessage `json:"data"`
}

// MemberJoined tells of a new member.
type MemberJoined struct {
	Member Member `json:"member"`
}

// MemberUpdated tells of a member's new state or role.
type MemberUpdated struct {
	Member Member `json:"member"`
}

// MemberLeft tells that a member is gone for good, and moderators that one who knocked is.
type MemberLeft struct {
	Member string `json:"member"` // its id
	Reason Reason `json:"reason"`
}

// SignalFrom is a Signal as it arrives.
type SignalFrom struct {
	From string          `json:"from"`
	Data json.RawMessage `json:"data"`
}

// BroadcastFrom is a Broadcast as it arrives.
type BroadcastFrom struct {
	From string          `json:"from"`
	Data json.RawMessage `json:"data"`
}

// ICEServers answers ICE. TTL is in seconds.
type ICEServers struct {
	ICEServers []ICEServer `json:"iceServers"`
	TTL        int         `json:"ttl"`
}

// RelayReport answers Relay: it is the relay itself that says so, whatever the members say of their connections.
type RelayReport struct {
	Members []MemberRelay `json:"members"` // of the room, oneself included, in the order in which they joined
}

// MemberRelay is what the relay does for one member.
type MemberRelay struct {
	Member      string            `json:"member"`      // its id
	Allocations []RelayAllocation `json:"allocations"` // the newest first
}

// RelayAllocation is an allocation that is alive.
type RelayAllocation struct {
	Transport string `json:"transport"` // between the member and the relay: udp, tcp, tls or dtls
	Relayed   string `json:"relayed"`   // the relayed address, "192.0.2.1:50000" or "[2001:db8::1]:50000"
	Bytes     uint64 `json:"bytes"`     // of payload that came through it so far, in both directions
}

// Kicked tells that a moderator or an administrator removes the member; the connection closes with 4003.
type Kicked struct {
	Reason string `json:"reason"`
}

// Draining tells that the server is about to stop and takes no new members.
type Draining struct{}

// Error answers a message that was refused.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`           // for people; it may change
	Request string `json:"request,omitempty"` // the type of the refused message, where it is known
}

func (*Join) Type() string          { return "join" }
func (*Signal) Type() string        { return "signal" }
func (*Broadcast) Type() string     { return "broadcast" }
func (*Update) Type() string        { return "update" }
func (*ICE) Type() string           { return "ice" }
func (*Relay) Type() string         { return "relay" }
func (*Leave) Type() string         { return "leave" }
func (*Kick) Type() string          { return "kick" }
func (*Lock) Type() string          { return "lock" }
func (*Admit) Type() string         { return "admit" }
func (*Deny) Type() string          { return "deny" }
func (*Password) Type() string      { return "password" }
func (*Limit) Type() string         { return "limit" }
func (*Joined) Type() string        { return "joined" }
func (*MemberJoined) Type() string  { return "member-joined" }
func (*MemberUpdated) Type() string { return "member-updated" }
func (*MemberLeft) Type() string    { return "member-left" }
func (*SignalFrom) Type() string    { return "signal" }
func (*BroadcastFrom) Type() string { return "broadcast" }
func (*ICEServers) Type() string    { return "ice-servers" }
func (*Waiting) Type() string       { return "waiting" }
func (*Knock) Type() string         { return "knock" }
func (*RoomChanged) Type() string   { return "room" }
func (*ServerData) Type() string    { return "server-message" }
func (*RelayReport) Type() string   { return "relay" }
func (*Kicked) Type() string        { return "kicked" }
func (*Draining) Type() string      { return "draining" }
func (*Error) Type() string         { return "error" }

func (*Joined) fromServer()        {}
func (*MemberJoined) fromServer()  {}
func (*MemberUpdated) fromServer() {}
func (*MemberLeft) fromServer()    {}
func (*SignalFrom) fromServer()    {}
func (*BroadcastFrom) fromServer() {}
func (*ICEServers) fromServer()    {}
func (*Waiting) fromServer()       {}
func (*Knock) fromServer()         {}
func (*RoomChanged) fromServer()   {}
func (*ServerData) fromServer()    {}
func (*RelayReport) fromServer()   {}
func (*Kicked) fromServer()        {}
func (*Draining) fromServer()      {}
func (*Error) fromServer()         {}

func (m *Join) decode(f *fields) error {
	m.Room, m.Name = f.string("room"), strings.TrimSpace(f.string("name"))
	m.Token, m.Password, m.Resume = f.string("token"), f.string("password"), f.string("resume")
	m.Received = f.count("received")
	switch {
	case f.err != nil:
		return f.err
	case !validRoom(m.Room):
		return badMessage("room must be 1 to %d of the characters A-Z a-z 0-9 - _", MaxRoomLength)
	case !validName(m.Name):
		return badMessage("name must be 1 to %d printable characters", MaxNameLength)
	case len(m.Token) > MaxTokenLength, len(m.Password) > MaxTokenLength, len(m.Resume) > MaxTokenLength:
		return badMessage("token, password and resume must be at most %d bytes", MaxTokenLength)
	case m.Received != nil && m.Resume == "":
		return badMessage("received goes with resume")
	}
	return nil
}

func (m *Signal) decode(f *fields) error {
	m.To, m.Data = f.memberID("to"), f.raw("data")
	if f.err != nil {
		return f.err
	}
	return validateData(m.Data)
}

func (m *Broadcast) decode(f *fields) error {
	m.Data = f.raw("data")
	return validateData(m.Data)
}

func (m *Update) decode(f *fields) error {
	m.State = bytes.Clone(f.raw("state")) // it is kept
	switch {
	case len(m.State) == 0:
		return badMessage("state is missing: an object")
	case m.State[0] != '{':
		return badMessage("state must be an object")
	case len(m.State) > MaxStateSize:
		return badMessage("state must be at most %d bytes", MaxStateSize)
	}
	return nil
}

func (*ICE) decode(*fields) error   { return nil }
func (*Relay) decode(*fields) error { return nil }
func (*Leave) decode(*fields) error { return nil }

func (m *Kick) decode(f *fields) error {
	m.Member, m.Reason = f.memberID("member"), f.string("reason")
	if f.err == nil && m.Reason != "" && !printable(m.Reason, MaxReason) {
		return badMessage("reason must be at most %d printable characters", MaxReason)
	}
	return f.err
}

func (m *Lock) decode(f *fields) error {
	locked := f.bool("locked")
	if knock := f.bool("knock"); knock != nil {
		m.Knock = *knock
	}
	switch {
	case f.err != nil:
		return f.err
	case locked == nil:
		return badMessage("locked is missing: true or false")
	case m.Knock && !*locked:
		return badMessage("knock goes with locked: true")
	}
	m.Locked = *locked
	return nil
}

func (m *Admit) decode(f *fields) error {
	m.Member = f.memberID("member")
	return f.err
}

func (m *Deny) decode(f *fields) error {
	m.Member = f.memberID("member")
	return f.err
}

func (m *Password) decode(f *fields) error {
	given := slices.ContainsFunc(f.list, func(v field) bool { return v.name == "password" })
	m.Password = f.string("password")
	switch {
	case f.err != nil:
		return f.err
	case !given:
		return badMessage("password is missing; an empty one removes it")
	case len(m.Password) > MaxTokenLength:
		return badMessage("password must be at most %d bytes", MaxTokenLength)
	}
	return nil
}

func (m *Limit) decode(f *fields) error {
	n := f.count("maxMembers")
	switch {
	case f.err != nil:
		return f.err
	case n == nil:
		return badMessage("maxMembers is missing: a number, 0 for the server's own limit")
	}
	m.MaxMembers = int(min(*n, math.MaxInt32))
	return nil
}

func validateData(data json.RawMessage) error {
	switch {
	case len(data) == 0:
		return badMessage("data is missing")
	case len(data) > MaxDataSize:
		return badMessage("data must be at most %d bytes", MaxDataSize)
	}
	return nil
}

func validRoom(s string) bool {
	if len(s) == 0 || len(s) > MaxRoomLength {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

func validName(s string) bool { return printable(s, MaxNameLength) }

// printable reports whether s shows something, and nothing but that, in at most limit characters.
func printable(s string, limit int) bool {
	if n := utf8.RuneCountInString(s); n == 0 || n > limit {
		return false
	}
	visible := false
	for _, r := range s {
		switch {
		case r == '\u200c' || r == '\u200d': // the joiners of Persian names and of many emoji
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp): // not what is unassigned in this version of Unicode: emoji are ahead of it
			return false
		case !unicode.In(r, unicode.Z, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) && r != brailleBlank:
			visible = true
		}
	}
	return visible
}

const brailleBlank = '\u2800'
