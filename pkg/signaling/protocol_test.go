package signaling

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// example is a fenced block of docs/protocol.md.
type example struct {
	direction string
	raw       string
}

const (
	toServer = "client→server"
	toClient = "server→client"
)

var fence = regexp.MustCompile("(?ms)^```json (\\S+)\n(.*?)^```$")

func protocolDoc(t testing.TB) string {
	doc, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

func examples(t testing.TB) []example {
	var all []example
	for _, m := range fence.FindAllStringSubmatch(protocolDoc(t), -1) {
		all = append(all, example{m[1], m[2]})
	}
	if len(all) == 0 {
		t.Fatal("docs/protocol.md has no examples")
	}
	return all
}

func TestProtocolExamples(t *testing.T) {
	shown := map[string]bool{}
	for _, e := range examples(t) {
		f, err := split([]byte(e.raw))
		if err != nil {
			t.Fatalf("%v in\n%s", err, e.raw)
		}
		typ := f.string("type")
		switch e.direction {
		case toServer:
			_, _, err = decodeClient([]byte(e.raw))
		case toClient:
			err = decodeServerStrict(typ, f.values)
		default:
			t.Errorf("example is marked %q, want %s or %s", e.direction, toServer, toClient)
		}
		if err != nil {
			t.Errorf("%v in\n%s", err, e.raw)
		}
		shown[e.direction+typ] = true
	}
	for typ := range clientMessages {
		if !shown[toServer+typ] {
			t.Errorf("no example of %s %s", toServer, typ)
		}
	}
	for typ := range serverMessages {
		if !shown[toClient+typ] {
			t.Errorf("no example of %s %s", toClient, typ)
		}
	}
}

// decodeServerStrict wants every field known, and every one that is not optional there.
func decodeServerStrict(typ string, values map[string]json.RawMessage) error {
	newMessage := serverMessages[typ]
	if newMessage == nil {
		return fmt.Errorf("unknown type %q", typ)
	}
	raw, err := json.Marshal(values)
	if err != nil {
		return err
	}
	m := newMessage()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(m); err != nil {
		return err
	}
	again, err := json.Marshal(m)
	if err != nil {
		return err
	}
	for _, field := range regexp.MustCompile(`"(\w+)":`).FindAllStringSubmatch(string(again), -1) {
		if !strings.Contains(string(raw), field[0]) {
			return fmt.Errorf("the example of %s lacks %q", typ, field[1])
		}
	}
	return nil
}

func TestProtocolDocIsComplete(t *testing.T) {
	doc := protocolDoc(t)
	codes := []Code{CodeBadMessage, CodeRoomFull, CodeNoSuchMember, CodeRateLimited, CodeTooManyRooms, CodeNotAllowed, CodeServerDraining}
	for _, code := range codes {
		if !strings.Contains(doc, fmt.Sprintf("| `%s` |", code)) {
			t.Errorf("error code %s has no line", code)
		}
	}
	for _, reason := range []Reason{ReasonLeft, ReasonTimeout, ReasonKicked, ReasonTooSlow, ReasonBadMessage} {
		if !strings.Contains(doc, fmt.Sprintf("| `%s` |", reason)) {
			t.Errorf("reason %s has no line", reason)
		}
	}
	for _, code := range []websocket.StatusCode{
		websocket.StatusNormalClosure, websocket.StatusGoingAway, websocket.StatusMessageTooBig, websocket.StatusInternalError,
		websocket.StatusTryAgainLater, CloseBadMessage, CloseKicked, CloseTooSlow, CloseReplaced,
	} {
		if !strings.Contains(doc, fmt.Sprintf("\n| %d |", code)) {
			t.Errorf("close code %d has no line", code)
		}
	}
	for _, limit := range []string{
		"signaling.max_members", "signaling.max_rooms", "signaling.resume", "signaling.allowed_origins",
		"signaling.limits.connections_per_ip", "signaling.limits.joins_per_ip", "signaling.limits.messages",
		"signaling.limits.message_size", "signaling.limits.queue",
	} {
		if !strings.Contains(doc, "`"+limit+"`") {
			t.Errorf("configuration key %s is not mentioned", limit)
		}
	}
}
