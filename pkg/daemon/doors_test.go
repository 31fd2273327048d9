package daemon

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/maitred/maitred/pkg/signaling"
)

// TestKickEndsRelaying: what a moderator's kick takes away is gone when the kicked member reads that it was kicked off, and none of what it
// has opens a door again.
func TestKickEndsRelaying(t *testing.T) {
	r := start(t, "api.keys", "0123456789abcdef-key")
	ann, bob := r.guest("blue", "udp"), r.guest("blue", "tcp")
	ann.wantPermission(bob.turn.relayed, 0)
	bob.wantPermission(ann.turn.relayed, 0)
	bob.turn.sendTo(ann.turn, "hello")
	kick := fmt.Sprintf(`{"type":"kick","member":%q,"reason":"enough"}`, bob.Self().ID)
	mod, _ := r.join("blue")
	mod.send(kick) // by one who may not
	if m := mod.expect("error"); m.Code != "not_allowed" {
		t.Errorf("%+v", m)
	}
	if n := r.allocations(); n != 2 {
		t.Fatalf("%d allocations, want 2", n)
	}
	begin := time.Now()
	if !r.hub.Kick("blue", bob.Self().ID, "enough") {
		t.Fatal("bob is not there")
	}
	if n := r.allocations(); n != 1 {
		t.Errorf("%d allocations after %v, want ann's alone", n, time.Since(begin))
	}
	t.Logf("kicked and asked within %v", time.Since(begin))
	if reason := expectEvent[*signaling.Kicked](bob).Reason; reason != "enough" {
		t.Error(reason)
	}
	if err := bob.Err(); websocket.CloseStatus(err) != signaling.CloseKicked {
		t.Errorf("bob's connection ended with %v", err)
	}
	if code := ann.turn.permit(bob.turn.relayed); code != 0 {
		t.Errorf("ann is refused: %d", code)
	}
}

// mint asks the server API for a join token.
func (r *running) mint(body string) string {
	r.t.Helper()
	status, answer := request(r.t, http.MethodPost, r.admin("/api/v1/tokens"), "", body)
	var minted struct{ Token string }
	if err := json.Unmarshal([]byte(answer), &minted); err != nil || status != http.StatusCreated {
		r.t.Fatalf("status %d, %v: %s", status, err, answer)
	}
	return minted.Token
}

// TestJoinTokens leads the tokens of the server API through the doors that they open, until their holder is kicked.
func TestJoinTokens(t *testing.T) {
	r := start(t, "signaling.auth", "token")
	stranger := r.connect()
	stranger.send(`{"type":"join","room":"blue","name":"Eve"}`)
	if m := stranger.expect("error"); m.Code != "unauthorized" {
		t.Errorf("%+v", m)
	}
	stranger.expectClose(signaling.CloseUnauthorized)

	raw := r.mint(`{"room":"blue","name":"Ann","role":"moderator"}`)
	join := func(raw string) *member {
		m := r.connect()
		m.send(fmt.Sprintf(`{"type":"join","room":"blue","name":"x","token":%q}`, raw))
		return m
	}
	ann := join(raw)
	self := ann.expect("joined").Self
	rooms := r.hub.Rooms()
	if m := rooms[0].Members[0]; m.Name != "Ann" || m.Role != signaling.RoleModerator {
		t.Errorf("%+v", m)
	}
	status, body := request(t, http.MethodPost, r.page("/api/v1/ice-servers"), raw, "")
	var own message
	if err := json.Unmarshal([]byte(body), &own); err != nil || status != http.StatusOK {
		t.Fatalf("ICE servers for the holder of a join token: %d %v %s", status, err, body)
	}
	urls, username, credential := own.turnServer(t)
	hold(t, urls, username, credential)
	if n := r.allocations(); n != 2 {
		t.Fatalf("%d allocations, want 2", n)
	}
	if status, _ := request(t, http.MethodDelete, r.admin("/api/v1/rooms/blue/members/"+self.ID), "", ""); status != http.StatusNoContent {
		t.Errorf("kick: %d", status)
	}
	ann.expect("kicked")
	ann.expectClose(signaling.CloseKicked)
	if n := r.allocations(); n != 0 {
		t.Errorf("%d allocations of one who was kicked", n)
	}
	wantRefused(t, urls, username, credential)
	again := join(raw)
	if m := again.expect("error"); m.Code != "unauthorized" {
		t.Errorf("%+v", m)
	}
	again.expectClose(signaling.CloseUnauthorized)
	if status, _ := request(t, http.MethodPost, r.page("/api/v1/ice-servers"), raw, ""); status != http.StatusUnauthorized {
		t.Errorf("ICE servers for the holder of a revoked token: %d", status)
	}
}

// TestGuideInTokenMode does not send people to a page that lets nobody in.
func TestGuideInTokenMode(t *testing.T) {
	r := start(t, "signaling.auth", "token")
	var guide strings.Builder
	if err := r.WriteGuide(&guide); err != nil || !strings.Contains(guide.String(), "maitred token --room NAME --link") || strings.Contains(guide.String(), "two tabs") {
		t.Errorf("%v:\n%s", err, &guide)
	}
}

// TestWrongTokensPerAddress: who guesses is not heard any more, on whichever route.
func TestWrongTokensPerAddress(t *testing.T) {
	r := start(t, "signaling.limits.failed_tokens_per_ip", "2")
	good := r.mint(`{"room":"blue"}`)
	ask := func(token string, want int) {
		t.Helper()
		if status, body := request(t, http.MethodPost, r.page("/api/v1/ice-servers"), token, ""); status != want {
			t.Errorf("%d %s, want %d", status, body, want)
		}
	}
	ask(good, http.StatusOK)
	ask("a.b.c", http.StatusUnauthorized)
	ask("a.b.c", http.StatusUnauthorized)
	ask(good, http.StatusUnauthorized)
	m := r.connect()
	m.send(fmt.Sprintf(`{"type":"join","room":"blue","name":"x","token":%q}`, good))
	if e := m.expect("error"); e.Code != "rate_limited" {
		t.Errorf("%+v", e)
	}
}

// TestServerAPI speaks to a room and closes it.
func TestServerAPI(t *testing.T) {
	r := start(t)
	ann, _ := r.join("blue")
	status, body := request(t, http.MethodPost, r.admin("/api/v1/rooms/blue/messages"), "", `{"data":{"n":1}}`)
	if status != http.StatusAccepted {
		t.Fatalf("%d %s", status, body)
	}
	ann.expect("server-message")
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		code                     string
	}{
		{"no such room", "POST", "/api/v1/rooms/red/messages", `{"data":1}`, 404, "no_such_room"},
		{"no such member", "POST", "/api/v1/rooms/blue/messages", `{"data":1,"to":"x"}`, 404, "no_such_member"},
		{"too deep", "POST", "/api/v1/rooms/blue/messages", `{"data":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, 400, "bad_request"},
		{"no such room to show", "GET", "/api/v1/rooms/red", "", 404, "no_such_room"},
		{"no such member to kick", "DELETE", "/api/v1/rooms/blue/members/x", "", 404, "no_such_member"},
		{"a token for no room", "POST", "/api/v1/tokens", `{"room":"a b"}`, 400, "bad_request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, body := request(t, tt.method, r.admin(tt.path), "", tt.body)
			if status != tt.status || !strings.Contains(body, `"code":"`+tt.code+`"`) {
				t.Errorf("%d %s, want %d %s", status, body, tt.status, tt.code)
			}
		})
	}
	if status, body := request(t, http.MethodDelete, r.admin("/api/v1/rooms/blue?reason=late"), "", ""); status != http.StatusNoContent {
		t.Errorf("%d %s", status, body)
	}
	ann.expect("kicked")
	ann.expectClose(signaling.CloseKicked)
	if status, _ := request(t, http.MethodGet, r.admin("/api/v1/rooms/blue"), "", ""); status != http.StatusNotFound {
		t.Errorf("the room is still there: %d", status)
	}
	eventually(t, "the log has the reason", func() bool {
		return slices.ContainsFunc(slices.Collect(strings.Lines(r.log.String())), func(l string) bool {
			return strings.Contains(l, `msg="member left" room=blue`) && strings.Contains(l, "reason=room_closed")
		})
	})
}
