package signaling

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ErrUnknownType is wrapped by DecodeServer when a message's type is not known: a newer server sent it, skip it.
var ErrUnknownType = errors.New("unknown message type")

// The messages by type. Decoding and the metrics' labels know these types and no others.
var (
	clientMessages = map[string]func() ClientMessage{
		"join":      func() ClientMessage { return new(Join) },
		"signal":    func() ClientMessage { return new(Signal) },
		"broadcast": func() ClientMessage { return new(Broadcast) },
		"update":    func() ClientMessage { return new(Update) },
		"ice":       func() ClientMessage { return new(ICE) },
		"leave":     func() ClientMessage { return new(Leave) },
	}
	serverMessages = map[string]func() ServerMessage{
		"joined":         func() ServerMessage { return new(Joined) },
		"member-joined":  func() ServerMessage { return new(MemberJoined) },
		"member-updated": func() ServerMessage { return new(MemberUpdated) },
		"member-left":    func() ServerMessage { return new(MemberLeft) },
		"signal":         func() ServerMessage { return new(SignalFrom) },
		"broadcast":      func() ServerMessage { return new(BroadcastFrom) },
		"ice-servers":    func() ServerMessage { return new(ICEServers) },
		"kicked":         func() ServerMessage { return new(Kicked) },
		"draining":       func() ServerMessage { return new(Draining) },
		"error":          func() ServerMessage { return new(Error) },
	}
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
// for the client. The type is returned with an error too, if it is a known one.
func decodeClient(raw []byte) (m ClientMessage, typ string, err error) {
	f, err := split(raw)
	if err != nil {
		return nil, "", err
	}
	typ = f.string("type")
	newMessage := clientMessages[typ]
	switch {
	case f.err != nil:
		return nil, "", f.err
	case typ == "":
		return nil, "", badMessage("type is missing")
	case newMessage == nil:
		return nil, "", badMessage("unknown type %q", shorten(typ))
	}
	m = newMessage()
	if err := m.decode(f); err != nil {
		return nil, typ, err
	}
	for name := range f.values {
		return nil, typ, badMessage("unknown field %q", shorten(name))
	}
	return m, typ, nil
}

// fields are the values of a message that nobody has taken yet.
type fields struct {
	values map[string]json.RawMessage
	err    error // the first value that was not what it should be
}

// split checks that raw is one JSON object that is safe to decode, and takes it apart.
// Who sends anything else does not speak the protocol, so its errors are fatal.
func split(raw []byte) (*fields, error) {
	if !utf8.Valid(raw) {
		return nil, malformed("the message is not valid UTF-8")
	}
	if tooDeep(raw) {
		return nil, malformed("the message is nested more than %d deep", MaxDepth)
	}
	var f fields
	if err := json.Unmarshal(raw, &f.values); err != nil || f.values == nil {
		return nil, malformed("the message is not a JSON object")
	}
	return &f, nil
}

// raw takes a value; nil if there is none.
func (f *fields) raw(name string) json.RawMessage {
	v := f.values[name]
	delete(f.values, name)
	return v
}

// string takes a string; empty if there is none.
func (f *fields) string(name string) string {
	v := f.raw(name)
	if v == nil {
		return ""
	}
	var s string
	if err := json.Unmarshal(v, &s); (err != nil || v[0] != '"') && f.err == nil {
		f.err = badMessage("%s must be a string", name)
	}
	return s
}

// tooDeep reports whether objects and arrays lie more than MaxDepth deep. It need not be exact on invalid JSON.
func tooDeep(raw []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
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
