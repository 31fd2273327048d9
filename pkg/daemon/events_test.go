package daemon

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestWebhooks follows a room from its first member to its end, as the application's server is told of it.
func TestWebhooks(t *testing.T) {
	const secret = "0123456789abcdef-webhooks"
	type event struct {
		Type   string
		Room   struct{ Name, ID string }
		Member struct{ ID, Name, Role string }
		Reason string
		Peak   int `json:"peak_members"`

		Relayed struct {
			ShortCircuit uint64 `json:"short_circuit_bytes"`
		}
	}
	events := make(chan event, 16)
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(r.Header.Get("webhook-id") + "." + r.Header.Get("webhook-timestamp") + "." + string(body)))
		if got, want := r.Header.Get("webhook-signature"), "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)); got != want {
			t.Errorf("signed %s, want %s", got, want)
		}
		var e event
		if err := json.Unmarshal(body, &e); err != nil {
			t.Errorf("%v: %s", err, body)
		}
		events <- e
	}))
	t.Cleanup(app.Close)
	r := start(t, "webhooks.url", app.URL, "webhooks.secret", secret)
	next := func() event {
		t.Helper()
		select {
		case e := <-events:
			return e
		case <-time.After(patience):
			t.Fatal("no event")
			panic("not reached")
		}
	}
	ann, bob := r.guest("blue", "udp"), r.guest("blue", "udp")
	if e := next(); e.Type != "room_started" || e.Room.Name != "blue" || e.Room.ID == "" {
		t.Errorf("%+v", e)
	}
	if e := next(); e.Type != "member_joined" || e.Member.ID != ann.Self().ID || e.Member.Name != "Ann" || e.Member.Role != "moderator" {
		t.Errorf("%+v", e)
	}
	if e := next(); e.Type != "member_joined" || e.Member.ID != bob.Self().ID || e.Member.Role != "member" {
		t.Errorf("%+v", e)
	}
	ann.wantPermission(bob.turn.relayed, 0)
	bob.wantPermission(ann.turn.relayed, 0)
	ann.turn.sendTo(bob.turn, "hello")
	if !r.hub.Kick("blue", bob.Self().ID, "enough") {
		t.Error("bob is not there")
	}
	if e := next(); e.Type != "member_left" || e.Member.ID != bob.Self().ID || e.Reason != "kicked" {
		t.Errorf("%+v", e)
	}
	r.stop() // the last events leave while the daemon stops
	r.Hurry()
	if err := r.wait(); err != nil {
		t.Error(err)
	}
	if e := next(); e.Type != "member_left" || e.Member.ID != ann.Self().ID || e.Relayed.ShortCircuit != 5 {
		t.Errorf("%+v", e)
	}
	if e := next(); e.Type != "room_ended" || e.Peak != 2 || e.Relayed.ShortCircuit != 5 {
		t.Errorf("%+v", e)
	}
}
