package signaling

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// ErrUnknownType is wrapped by DecodeServer when a message's type is not known: a newer server sent it, skip it.
var ErrUnknownType = errors.New("unknown message type")

// The messages by type. Decoding and the metrics' labels know these types and no others.
var (
	clientMessages = map[string]clientType{
		"join":      {maxJoin, func() ClientMessage { return new(Join) }},
		"signal":    {maxRelayed, func() ClientMessage { return new(Signal) }},
		"broadcast": {maxRelayed, func() ClientMessage { return new(Broadcast) }},
		"update":    {maxUpdate, func() ClientMessage { return new(Update) }},
		"ice":       {maxCommand, func() ClientMessage { return new(ICE) }},
		"relay":     {maxCommand, func() ClientMessage { return new(Relay) }},
		"leave":     {maxCommand, func() ClientMessage { return new(Leave) }},
		"kick":      {maxCommand, func() ClientMessage { return new(Kick) }},
		"lock":      {maxCommand, func() ClientMessage { return new(Lock) }},
		"admit":     {maxCommand, func() ClientMessage { return new(Admit) }},
		"deny":      {maxCommand, func() ClientMessage { return new(Deny) }},
		"password":  {maxPassword, func() ClientMessage { return new(Password) }},
		"limit":     {maxCommand, func() ClientMessage { return new(Limit) }},
	}
	serverMessages = map[string]func() ServerMessage{
		"joined":         func() ServerMessage { return new(Joined) },
		"member-joined":  func() ServerMessage { return new(MemberJoined) },
		"member-updated": func() ServerMessage { return new(MemberUpdated) },
		"member-left":    func() ServerMessage { return new(MemberLeft) },
		"signal":         func() ServerMessage { return new(SignalFrom) },
		"broadcast":      func() ServerMessage { return new(BroadcastFrom) },
		"ice-servers":    func() ServerMessage { return new(ICEServers) },
		"relay":          func() ServerMessage { return new(RelayReport) },
		"waiting":        func() ServerMessage { return new(Waiting) },
		"knock":          func() ServerMessage { return new(Knock) },
		"room":           func() ServerMessage { return new(RoomChanged) },
		"server-message": func() ServerMessage { return new(ServerData) },
		"kicked":         func() ServerMessage { return new(Kicked) },
		"draining":       func() ServerMessage { return new(Draining) },
		"error":          func() ServerMessage { return new(Error) },
	}
)

// clientType is how a type of message is made, and how many bytes a whole message of it may have.
type clientType struct {
	limit int
	make  func() ClientMessage
}

// The limits leave room for a type's fields at their longest, escaped as much as anybody would.
const (
	maxRelayed  = MaxDataSize + 8<<10
	maxJoin     = 16 << 10
	maxPassword = 8 << 10
	maxUpdate   = MaxStateSize + 1<<10
	maxCommand  = 2 << 10

	maxUnjoined = maxJoin // any message before joined, whatever Options.MessageSize allows after it
)

// DecodeServer decodes a message from the server. Unknown fields are ignored: a newer server may send them.
func DecodeServer(raw []byte) (ServerMessage, error) {
	var head struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, fmt.Errorf("decode message: %w", err)
	}
	newMessage := serverMessages[head.Type]
	if newMessage == nil {
		return nil, fmt.Errorf("%w %q", ErrUnknownType, shorten(head.Type))
	}
	m := newMessage()
	if err := json.Unmarshal(raw, m); err != nil {
		return nil, fmt.Errorf("decode %s: %w", head.Type, err)
	}
	return m, nil
}

// decodeClient decodes a message from a client strictly: a misspelt field is told instead of ignored. Its errors are
// for the client. The type is returned with an error too, if it is a known one. Data in the message is a part of raw.
func decodeClient(raw []byte) (m ClientMessage, typ string, err error) {
	return new(decoder).decode(raw)
}

// decoder decodes one client message, which may be a part of it.
type decoder struct {
	fields    fields
	signal    Signal
	broadcast Broadcast
}

// decoders are for event loops; most of what they read needs no other memory than the text that goes on. Each is empty.
var decoders = sync.Pool{New: func() any { return new(decoder) }}

func (d *decoder) release() {
	*d = decoder{}
	decoders.Put(d)
}

func (d *decoder) make(typ string, known clientType) ClientMessage {
	switch typ {
	case "signal":
		return &d.signal
	case "broadcast":
		return &d.broadcast
	}
	return known.make()
}

// decode is decodeClient.
func (d *decoder) decode(raw []byte) (m ClientMessage, typ string, err error) {
	f := &d.fields
	valid := scan(f, raw)
	if !valid {
		if f, err = split(raw); err != nil {
			return nil, "", err
		}
	}
	typ = f.string("type")
	known, ok := clientMessages[typ]
	switch {
	case f.err != nil:
		return nil, "", f.err
	case typ == "":
		return nil, "", badMessage("type is missing")
	case !ok:
		return nil, "", badMessage("unknown type %q", shorten(typ))
	case len(raw) > known.limit:
		return nil, typ, badMessage("a message of this type must be at most %d bytes", known.limit)
	case !valid && !json.Valid(raw):
		return nil, "", malformed("the message is not valid JSON")
	}
	m = d.make(typ, known)
	if err := m.decode(f); err != nil {
		return nil, typ, err
	}
	if len(f.list) > 0 {
		return nil, typ, badMessage("unknown field, or one that is there twice: %q", shorten(f.list[0].name))
	}
	return m, typ, nil
}

// fields are the values of a message that nobody has taken yet. They are parts of the message itself.
type fields struct {
	list []field
	few  [usualFields]field // memory for list
	err  error              // the first value that was not what it should be
}

type field struct {
	name  string
	value json.RawMessage
}

// maxFields bounds the fields of a message: no type has as many. Nearly all messages have no more than usualFields.
const (
	maxFields   = 16
	usualFields = 3
)

// split takes a message apart that should be a JSON object. Who sends anything else does not speak the protocol, so nearly all of its errors are
// fatal. It looks at brackets and strings only, so that a large message costs little before its type is known: valid has the last word.
func split(raw []byte) (*fields, error) {
	if !utf8.Valid(raw) {
		return nil, malformed("the message is not valid UTF-8")
	}
	if tooDeep(raw, MaxDepth) {
		return nil, malformed("the message is nested more than %d deep", MaxDepth)
	}
	f := new(fields)
	f.list = f.few[:0]
	rest, ok := bytes.CutPrefix(trim(raw), []byte("{"))
	for rest = trim(rest); ok && len(rest) > 0 && rest[0] == '"'; {
		name, value, after := cutField(rest)
		if value == nil {
			ok = false
			break
		}
		if len(f.list) == maxFields {
			return nil, badMessage("the message has more than %d fields", maxFields)
		}
		f.list = append(f.list, field{name, value})
		if rest = trim(after); len(rest) > 0 && rest[0] == ',' {
			rest = trim(rest[1:])
		}
	}
	if !ok || string(rest) != "}" {
		return nil, malformed("the message is not a JSON object")
	}
	return f, nil
}

// cutField cuts `"name": value` off the front. value is nil if there is no such thing.
func cutField(b []byte) (name string, value, rest []byte) {
	n := valueEnd(b)
	name, err := text(b[:n])
	if err != nil {
		return "", nil, nil
	}
	b, ok := bytes.CutPrefix(trim(b[n:]), []byte(":"))
	if b = trim(b); !ok || len(b) == 0 {
		return "", nil, nil
	}
	n = valueEnd(b)
	return name, b[:n:n], b[n:]
}

// valueEnd is the length of the JSON value that b begins with; what is no JSON has some length, too.
func valueEnd(b []byte) int {
	if n := plainString(b); n > 0 {
		return n
	}
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++
			continue
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth < 0 {
				return i
			}
		case depth == 0 && (c == ',' || c == ':' || isSpace(c)):
			return i
		}
		if depth == 0 && !inString && (b[i] == '"' || b[i] == '}' || b[i] == ']') {
			return i + 1
		}
	}
	return len(b)
}

// plainString is the length of a string without escapes, 0 if b does not begin with one.
func plainString(b []byte) int {
	if len(b) < 2 || b[0] != '"' {
		return 0
	}
	n := bytes.IndexByte(b[1:], '"')
	if n < 0 || bytes.IndexByte(b[1:1+n], '\\') >= 0 {
		return 0
	}
	return n + 2
}

// trim cuts off the space of JSON.
func trim(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// raw takes a value; nil if there is none.
func (f *fields) raw(name string) json.RawMessage {
	for i := range f.list {
		if f.list[i].name == name {
			v := f.list[i].value
			f.list = slices.Delete(f.list, i, i+1)
			return v
		}
	}
	return nil
}

// string takes a string; empty if there is none.
func (f *fields) string(name string) string {
	v := f.raw(name)
	if v == nil {
		return ""
	}
	s, err := text(v)
	if err != nil && f.err == nil {
		f.err = badMessage("%s must be a string", name)
	}
	return s
}

var errNoText = errors.New("not a JSON string")

// text decodes a JSON string. One without escapes is what it says.
func text(v []byte) (string, error) {
	if len(v) < 2 || v[0] != '"' || v[len(v)-1] != '"' {
		return "", errNoText
	}
	if bytes.IndexByte(v, '\\') >= 0 {
		return escapedText(v)
	}
	v = v[1 : len(v)-1]
	switch string(v) { // what every message of the calls themselves has costs no memory
	case "type":
		return "type", nil
	case "to":
		return "to", nil
	case "data":
		return "data", nil
	case "signal":
		return "signal", nil
	case "broadcast":
		return "broadcast", nil
	}
	return string(v), nil
}

// escapedText is a function of its own because s is allocated.
func escapedText(v []byte) (s string, err error) {
	err = json.Unmarshal(v, &s)
	return s, err
}

// memberID takes the id of a member; it is an error if there is none.
func (f *fields) memberID(name string) string {
	id := f.string(name)
	if id == "" && f.err == nil {
		f.err = badMessage("%s is missing: the id of a member", name)
	}
	return id
}

// bool takes true or false; nil if there is neither.
func (f *fields) bool(name string) *bool {
	return take[bool](f, name, "true or false")
}

// count takes a whole number that is not negative; nil if there is none.
func (f *fields) count(name string) *uint64 {
	return take[uint64](f, name, "a whole number from 0")
}

func take[T any](f *fields, name, what string) *T {
	v := f.raw(name)
	if v == nil {
		return nil
	}
	t := new(T)
	if err := json.Unmarshal(v, t); (err != nil || string(v) == "null") && f.err == nil {
		f.err = badMessage("%s must be %s", name, what)
	}
	return t
}

// tooDeep reports whether objects and arrays lie more than limit deep. It need not be exact on invalid JSON.
func tooDeep(raw []byte, limit int) bool {
	depth, inString := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// shorten bounds what an answer repeats of a client's input.
func shorten(s string) string {
	const limit = 32
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// Encode returns the message as JSON. The raw JSON in it must be valid.
func Encode(m Message) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // data must not grow on its way
	if err := enc.Encode(m); err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.Type(), err)
	}
	body := bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	out := make([]byte, 0, len(body)+len(`{"type":"",`)+len(m.Type()))
	out = append(out, `{"type":"`...)
	out = append(out, m.Type()...)
	out = append(out, '"')
	if len(body) > len("{}") {
		out = append(out, ',')
	}
	return append(out, body[1:]...), nil
}

// mustEncode is Encode for messages that the server made of checked parts.
func mustEncode(m ServerMessage) []byte {
	b, err := Encode(m)
	if err != nil {
		panic(err)
	}
	return b
}

// encodeRelay is Encode for SignalFrom and BroadcastFrom, nearly all of the traffic: data was checked when it
// arrived, so it is copied and not parsed again.
func encodeRelay(typ, from string, data json.RawMessage) []byte {
	out := make([]byte, 0, len(`{"type":"","from":"","data":}`)+len(typ)+len(from)+len(data))
	out = append(out, `{"type":"`...)
	out = append(out, typ...)
	out = append(out, `","from":"`...)
	out = append(out, from...)
	out = append(out, `","data":`...)
	out = append(out, data...)
	return append(out, '}')
}
