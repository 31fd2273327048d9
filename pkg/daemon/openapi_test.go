package daemon

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/maitred/maitred/pkg/httpd/openapitest"
	"github.com/maitred/maitred/pkg/webhook"
)

func openAPI(t *testing.T) *openapitest.Document {
	t.Helper()
	d, err := openapitest.Load()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// documented makes a request and compares its answer with the document.
func (r *running) documented(d *openapitest.Document, method, listener, path, bearer, body string) (op openapitest.Operation, status int, answer string) {
	r.t.Helper()
	url := r.page(path)
	if listener == openapitest.Admin {
		url = r.admin(path)
	}
	q, err := http.NewRequestWithContext(r.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if bearer != "" {
		q.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := client(r.t).Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	name, _, _ := strings.Cut(path, "?")
	op, ok := d.Find(method, name)
	if !ok {
		r.t.Fatalf("%s %s is not in the document", method, name)
	}
	if err := op.CheckResponse(resp.StatusCode, resp.Header, text); err != nil {
		r.t.Error(err)
	}
	return op, resp.StatusCode, string(text)
}

// TestAnswersAreAsDocumented asks a whole daemon in which there is something of everything: a locked room with a member that has allocations,
// somebody who waits at its door, and another room.
func TestAnswersAreAsDocumented(t *testing.T) {
	const key = "0123456789abcdef-key"
	r, d := start(t, "api.keys", key), openAPI(t)
	ann, joined := r.join("blue")
	urls, username, credential := joined.turnServer(t)
	hold(t, urls, username, credential)
	minted := r.authority.Mint("app", r.config.TURN.CredentialTTL)
	hold(t, urls, minted.Username, minted.Password)
	ann.send(`{"type":"lock","locked":true,"knock":true}`)
	ann.expect("room")
	bob := r.connect()
	bob.send(`{"type":"join","room":"blue","name":"Bob"}`)
	bob.expect("waiting")
	r.join("green")
	token := r.mint(`{"room":"blue","name":"Cleo"}`)
	check := r.beginCheck()
	hold(t, []string{targets(check)[0].URL}, targets(check)[0].Username, targets(check)[0].Password)

	used := map[string]bool{}
	for _, tt := range []struct {
		name, method, listener, path, bearer, body string
		status                                     int
		says                                       string
	}{
		{"rooms", "GET", openapitest.Admin, "/api/v1/rooms", "", "", 200, `"knock":true`},
		{"room", "GET", openapitest.Admin, "/api/v1/rooms/blue", "", "", 200, `"waiting":[{"id":"`},
		{"no room", "GET", openapitest.Admin, "/api/v1/rooms/red", "", "", 404, "no_such_room"},
		{"allocations", "GET", openapitest.Admin, "/api/v1/allocations", "", "", 200, `"member":"` + joined.Self.ID},
		{"traffic", "GET", openapitest.Admin, "/api/v1/traffic", "", "", 200, `"blue":{"members":1`},
		{"metrics", "GET", openapitest.Admin, "/metrics", "", "", 200, "maitred_rooms 2"},
		{"message", "POST", openapitest.Admin, "/api/v1/rooms/blue/messages", "", `{"data":{"a":[1]},"to":"` + joined.Self.ID + `"}`, 202, ""},
		{"message to nobody", "POST", openapitest.Admin, "/api/v1/rooms/blue/messages", "", `{"data":1,"to":"x"}`, 404, "no_such_member"},
		{"message nested too deep", "POST", openapitest.Admin, "/api/v1/rooms/blue/messages", "", `{"data":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`, 400, "31 deep"},
		{"token", "POST", openapitest.Admin, "/api/v1/tokens", "", `{"room":"blue","not_before":"2026-01-01T00:00:00Z","max_uses":1}`, 201, `"id":"`},
		{"ICE servers by key", "POST", openapitest.Public, "/api/v1/ice-servers", key, `{"user":"ann","ttl":60}`, 200, `:ann"`},
		{"ICE servers by token", "POST", openapitest.Public, "/api/v1/ice-servers", token, "", 200, ":token-"},
		{"ICE servers by nonsense", "POST", openapitest.Public, "/api/v1/ice-servers", "nonsense", "", 401, "unauthorized"},
		{"check", "POST", openapitest.Public, "/api/v1/check", "", "", 200, `"listeners":[{"transport":"udp"`},
		{"what came of a check", "GET", openapitest.Public, "/api/v1/check/" + check.ID, "", "", 200, `"heard":true`},
		{"what came of no check", "GET", openapitest.Public, "/api/v1/check/x", "", "", 404, "no_such_check"},
		{"end of a check", "DELETE", openapitest.Public, "/api/v1/check/" + check.ID, "", "", 204, ""},
		{"TURN REST", "GET", openapitest.Public, "/turn?service=turn&key=" + key, "", "", 200, "uris"},
		{"alive", "GET", openapitest.Public, "/healthz", "", "", 200, "ok"},
		{"ready", "GET", openapitest.Public, "/readyz", "", "", 200, "ready"},
		{"OpenAPI", "GET", openapitest.Public, "/api/v1/openapi.json", "", "", 200, "openapi"},
		{"schema", "GET", openapitest.Public, "/api/v1/protocol.schema.json", "", "", 200, "$schema"},
		{"protocol", "GET", openapitest.Public, "/api/v1/protocol.md", "", "", 200, "maitred.v1"},
		{"kick", "DELETE", openapitest.Admin, "/api/v1/rooms/blue/members/" + joined.Self.ID + "?reason=x", "", "", 204, ""},
		{"close", "DELETE", openapitest.Admin, "/api/v1/rooms/green", "", "", 204, ""},
		{"close it again", "DELETE", openapitest.Admin, "/api/v1/rooms/green", "", "", 404, "no_such_room"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			op, status, answer := r.documented(d, tt.method, tt.listener, tt.path, tt.bearer, tt.body)
			if status != tt.status || !strings.Contains(answer, tt.says) {
				t.Errorf("%d %s, want %d with %q", status, answer, tt.status, tt.says)
			}
			used[op.ID] = true
		})
	}
	for _, op := range d.Operations() {
		if !used[op.ID] {
			t.Errorf("%s was not tried", op.ID)
		}
	}
}

// TestWebhooksAreAsDocumented receives one event of each type.
func TestWebhooksAreAsDocumented(t *testing.T) {
	d := openAPI(t)
	type request struct {
		header http.Header
		body   []byte
	}
	received := make(chan request, 4)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			t.Error(err)
		}
		received <- request{q.Header, body}
	}))
	defer receiver.Close()
	sender := webhook.New(webhook.Config{URL: receiver.URL, Secret: "0123456789abcdef0123456789abcdef"})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- sender.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	room, ann := webhook.Room{Name: "blue", ID: "r1"}, &webhook.Member{ID: "m1", Name: "Ann", Role: "moderator"}
	for _, e := range []webhook.Event{
		{Type: webhook.RoomStarted, Room: room},
		{Type: webhook.MemberJoined, Room: room, Member: ann},
		{Type: webhook.MemberLeft, Room: room, Member: ann, Reason: "left", Ended: &webhook.Ended{DurationMS: 5}},
		{Type: webhook.RoomEnded, Room: room, Ended: &webhook.Ended{DurationMS: 5, Peak: 1}},
	} {
		sender.Send(e)
		var got request
		select {
		case got = <-received:
		case <-time.After(patience):
			t.Fatalf("%s did not come", e.Type)
		}
		if err := d.CheckWebhook(string(e.Type), got.header, got.body); err != nil {
			t.Error(err)
		}
	}
}
