package signaling

import (
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"testing"
)

func TestRelay(t *testing.T) {
	for _, tt := range []struct {
		name string
		p    protocol
		to   string
		want string
	}{
		{"to one", maitred{}, "B", `{"type":"signal","to":"B","data":{"x":1}}`},
		{"to all", maitred{}, "", `{"type":"broadcast","data":{"x":1}}`},
		{"in PeerJS", peerjs{}, "B", `{"type":"CANDIDATE","dst":"B","payload":{"x":1}}`},
	} {
		if got := string(tt.p.relay(nil, tt.to, []byte(`{"x":1}`))); got != tt.want || !json.Valid([]byte(got)) {
			t.Errorf("%s: %s", tt.name, got)
		}
	}
}

func TestUnderstand(t *testing.T) {
	m := &member{id: "mine"}
	for _, tt := range []struct {
		name    string
		p       protocol
		message string
		id      string
		kind    string // of the error
		says    string
	}{
		{"joined", maitred{}, `{"type":"joined","self":{"id":"A","new":[]},"members":[{"id":"B"}]}`, "A", "", ""},
		{"joined without an id", maitred{}, `{"type":"joined"}`, "", "protocol", "joined without a self.id"},
		{"error", maitred{}, `{"type":"error","code":"room_full","message":"the room is full","request":"join"}`, "", "room_full", "the room is full"},
		{"an error of another form", maitred{}, `{"type":"error","code":7}`, "", "protocol", "no message of maitred.v1"},
		{"kicked", maitred{}, `{"type":"kicked","reason":"be gone"}`, "", "kicked", "be gone"},
		{"waiting", maitred{}, `{"type":"waiting"}`, "", "waiting", "waiting room"},
		{"draining", maitred{}, `{"type":"draining"}`, "", "draining", "about to stop"},
		{"member-joined", maitred{}, `{"type":"member-joined","member":{"id":"B"}}`, "", "", ""},
		{"a type of a newer server", maitred{}, `{"type":"weather","self":7.5,"message":[]}`, "", "", ""},
		{"no JSON", maitred{}, `joined`, "", "protocol", "no message of maitred.v1"},
		{"OPEN", peerjs{}, `{"type":"OPEN"}`, "mine", "", ""},
		{"ID-TAKEN", peerjs{}, `{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}`, "", "id_taken", "ID is taken"},
		{"ERROR", peerjs{}, `{"type":"ERROR","payload":{"msg":"Server has reached its concurrent user limit"}}`, "", "error", "user limit"},
		{"EXPIRE", peerjs{}, `{"type":"EXPIRE","src":"B"}`, "", "expire", "could not deliver"},
		{"LEAVE", peerjs{}, `{"type":"LEAVE","payload":"anything"}`, "", "", ""},
		{"no JSON of PeerJS", peerjs{}, `OPEN`, "", "protocol", "no message of PeerJS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id, err := tt.p.understand(m, []byte(tt.message))
			if id != tt.id || (err == nil) != (tt.kind == "") {
				t.Fatalf("%q, %v", id, err)
			}
			if err != nil && (kindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("%s: %v", kindOf(err), err)
			}
		})
	}
}

func TestHello(t *testing.T) {
	for _, tt := range []struct{ token, want string }{
		{"", `{"type":"join","room":"blue","name":"bench"}`},
		{"a.b.c", `{"type":"join","room":"blue","name":"bench","token":"a.b.c"}`},
	} {
		if got := string(maitred{}.hello(&member{room: &room{name: "blue", token: tt.token}})); got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
	}
}

func TestTarget(t *testing.T) {
	base := &url.URL{Scheme: "ws", Host: "127.0.0.1:1", Path: "/peerjs"}
	at, subprotocol := peerjs{}.target(base, &member{id: "a b"})
	if at.String() != "ws://127.0.0.1:1/peerjs?id=a+b&key=peerjs&token=a+b&version=1.5.4" || subprotocol != "" || base.RawQuery != "" {
		t.Errorf("%s, %q, %s", at, subprotocol, base)
	}
}

// tokenFor is a token with these claims that nobody has signed.
func tokenFor(claims string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

func TestRoomOf(t *testing.T) {
	for _, tt := range []struct{ name, token, room, says string }{
		{"a token", tokenFor(`{"room":"blue","exp":1}`), "blue", ""},
		{"two parts", "a.b", "", "three parts"},
		{"no base64", "a.!.c", "", "not base64url"},
		{"no JSON", tokenFor(`room`), "", "not JSON"},
		{"no room", tokenFor(`{"exp":1}`), "", "names no room"},
	} {
		room, err := RoomOf(tt.token)
		if room != tt.room || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %q, %v", tt.name, room, err)
		}
	}
}

// TestFrom spreads connections over loopback addresses where one has too few ports.
func TestFrom(t *testing.T) {
	for _, tt := range []struct {
		name   string
		server string
		rooms  int
		number int
		want   string // on Linux; empty: left to the system
	}{
		{"few", "127.0.0.1:80", 12_500, 24_999, ""},
		{"the first of many", "127.0.0.1:80", 12_501, 0, "127.0.0.1"},
		{"the last of the first address", "127.0.0.1:80", 12_501, 24_999, "127.0.0.1"},
		{"the next", "127.0.0.1:80", 12_501, 25_000, "127.0.0.2"},
		{"far", "127.0.0.9:80", 500_000, 25_000 * 300, "127.0.1.45"},
		{"another machine", "192.168.1.1:80", 12_501, 0, ""},
		{"over IPv6", "[::1]:80", 12_501, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Config{Server: netip.MustParseAddrPort(tt.server), Rooms: tt.rooms, Members: 2}
			want := netip.Addr{}
			if tt.want != "" && runtime.GOOS == "linux" {
				want = netip.MustParseAddr(tt.want)
			}
			if got := c.from(tt.number); got != want {
				t.Errorf("from %v, want %v", got, want)
			}
		})
	}
}
