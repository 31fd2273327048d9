package signaling

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// protocol is how a server is spoken to.
type protocol interface {
	// target is where a member connects, and with which subprotocol.
	target(base *url.URL, m *member) (at *url.URL, subprotocol string)
	// hello is what it says first; nil: nothing.
	hello(m *member) []byte
	// understand takes a message of the server that is not of the load. The id is the member's once it has its seat, empty otherwise. An error is
	// one that the server reports.
	understand(m *member, message []byte) (id string, err error)
	// relay appends a message with data to one member, or to all others of the room when to is empty and hasRooms.
	relay(b []byte, to string, data []byte) []byte
	// hasRooms tells whether the server knows who is with whom. Where it does not, a member that speaks to all sends to each.
	hasRooms() bool
	// beat is what a client must say from time to time; nil: nothing.
	beat() []byte
	// goodbye is the frame with which a member leaves.
	goodbye() []byte
}

// Protocols names what can be measured.
func Protocols() []string { return []string{"maitred", "peerjs"} }

func protocolOf(name string) protocol {
	if name == "peerjs" {
		return peerjs{}
	}
	return maitred{}
}

// Path is where a server with that protocol is asked when a URL does not say it.
func Path(protocol string) string {
	if protocol == "peerjs" {
		return "/peerjs"
	}
	return "/ws"
}

func noMessage(protocol string, err error) error {
	return &failure{"protocol", fmt.Errorf("the server sends what is no message of %s: %w", protocol, err)}
}

// maitred is maitred.v1, see docs/protocol.md.
type maitred struct{}

func (maitred) target(base *url.URL, _ *member) (*url.URL, string) { return base, "maitred.v1" }

func (maitred) hello(m *member) []byte {
	join := struct {
		Type  string `json:"type"`
		Room  string `json:"room"`
		Name  string `json:"name"`
		Token string `json:"token,omitempty"`
	}{"join", m.room.name, "bench", m.room.token}
	b, err := json.Marshal(join)
	if err != nil {
		panic(err) // it is made of strings
	}
	return b
}

func (maitred) understand(_ *member, message []byte) (id string, err error) {
	var head struct{ Type string }
	if err := json.Unmarshal(message, &head); err != nil {
		return "", noMessage("maitred.v1", err)
	}
	switch head.Type {
	case "joined":
		var v struct{ Self struct{ ID string } }
		if err := json.Unmarshal(message, &v); err != nil || v.Self.ID == "" {
			return "", noMessage("maitred.v1", errors.New("joined without a self.id"))
		}
		return v.Self.ID, nil
	case "error", "kicked":
		var v struct{ Code, Message, Reason string }
		if err := json.Unmarshal(message, &v); err != nil {
			return "", noMessage("maitred.v1", err)
		}
		if head.Type == "kicked" {
			return "", &failure{"kicked", fmt.Errorf("the server removes a member: %s", v.Reason)}
		}
		return "", &failure{v.Code, fmt.Errorf("the server answers %s: %s", v.Code, v.Message)}
	case "waiting":
		return "", &failure{"waiting", errors.New("the room has a waiting room, and nobody is there to open")}
	case "draining":
		return "", &failure{"draining", errors.New("the server is about to stop")}
	}
	return "", nil
}

func (maitred) relay(b []byte, to string, data []byte) []byte {
	if to == "" {
		b = append(b, `{"type":"broadcast"`...)
	} else {
		b = append(b, `{"type":"signal","to":"`...)
		b = append(b, to...)
		b = append(b, '"')
	}
	b = append(b, `,"data":`...)
	b = append(b, data...)
	return append(b, '}')
}

func (maitred) hasRooms() bool { return true }

func (maitred) beat() []byte { return nil } // the server pings

func (maitred) goodbye() []byte { return appendFrame(nil, opText, 0, []byte(`{"type":"leave"}`)) }

// peerjs is what the clients of PeerJS's server speak: everybody has an id of its own making, and sends to ids.
type peerjs struct{}

func (peerjs) target(base *url.URL, m *member) (*url.URL, string) {
	at := *base
	at.RawQuery = url.Values{"key": {"peerjs"}, "id": {m.id}, "token": {m.id}, "version": {"1.5.4"}}.Encode()
	return &at, ""
}

func (peerjs) hello(*member) []byte { return nil }

func (peerjs) understand(m *member, message []byte) (id string, err error) {
	var v struct {
		Type    string
		Payload json.RawMessage
	}
	if err := json.Unmarshal(message, &v); err != nil {
		return "", noMessage("PeerJS", err)
	}
	switch v.Type {
	case "OPEN":
		return m.id, nil
	case "ERROR", "ID-TAKEN", "INVALID-KEY":
		return "", &failure{strings.ToLower(strings.ReplaceAll(v.Type, "-", "_")), fmt.Errorf("the server answers %s %s", v.Type, v.Payload)}
	case "EXPIRE":
		return "", &failure{"expire", errors.New("the server could not deliver a message")}
	}
	return "", nil
}

func (peerjs) relay(b []byte, to string, data []byte) []byte {
	b = append(b, `{"type":"CANDIDATE","dst":"`...)
	b = append(b, to...)
	b = append(b, `","payload":`...)
	b = append(b, data...)
	return append(b, '}')
}

func (peerjs) hasRooms() bool { return false }

func (peerjs) beat() []byte { return appendFrame(nil, opText, 0, []byte(`{"type":"HEARTBEAT"}`)) }

func (peerjs) goodbye() []byte { return appendFrame(nil, opClose, 0, []byte{1000 >> 8, 1000 & 0xff}) }

// RoomOf is the room that a join token of maitred is for. Nothing else of the token is looked at: to verify it is up to the server.
func RoomOf(token string) (room string, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", errors.New("it does not have the three parts of a JWT")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", fmt.Errorf("its claims are not base64url: %w", err)
	}
	var claims struct{ Room string }
	if err := json.Unmarshal(raw, &claims); err != nil {
		return "", fmt.Errorf("its claims are not JSON: %w", err)
	}
	if claims.Room == "" {
		return "", errors.New("it names no room")
	}
	return claims.Room, nil
}
