package openapitest

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/maitred/maitred/docs"
)

func load(t *testing.T) *Document {
	t.Helper()
	d, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDocument(t *testing.T) {
	d := load(t)
	for _, mistake := range d.Mistakes() {
		t.Error(mistake)
	}
	if n := len(d.Operations()); n < 10 {
		t.Errorf("only %d operations", n)
	}
}

// TestMistakesAreFound shows that the test above can fail.
func TestMistakesAreFound(t *testing.T) {
	text, err := docs.Files.ReadFile(location)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, old, new, want string }{
		{"other version", `"openapi": "3.1.1"`, `"openapi": "3.0.0"`, "/openapi: is not 3.1"},
		{"a reference that leads nowhere", `"#/components/schemas/Token"`, `"#/components/schemas/Tokens"`, "leads nowhere"},
		{"an unused component", `"Token": {`, `"Unused": {"type": "object"}, "Token": {`, "Unused: nothing refers to it"},
		{"an example of a wrong type", `"value": {"status": "ok"}`, `"value": {"status": "fine"}`, "the example map[status:fine]"},
		{"an example with a field too many", `"value": {"status": "ok"}`, `"value": {"status": "ok", "more": 1}`, "more"},
		{"an example that is no time", `"expires": "2026-01-01T11:00:00Z"`, `"expires": "tomorrow"`, "the example"},
		{"a schema that is none", `"Health": {"type": "object"`, `"Health": {"type": "thing"`, "/components/schemas/Health"},
		{"no operationId", `"operationId": "getHealth",`, ``, `operationId ""`},
		{"an operationId twice", `"operationId": "getHealth"`, `"operationId": "getReadiness"`, `operationId "getReadiness"`},
		{"no security", `"security": [{"apiKey": []}, {"joinToken": []}],`, ``, "security is missing"},
		{"unknown security", `[{"apiKey": []}, {"joinToken": []}]`, `[{"apiKeys": []}]`, "no security scheme apiKeys"},
		{"no 401", `"401": {"$ref": "#/components/responses/Unauthorized"},`, ``, "401 is not documented"},
		{"another listener", Admin, "http://127.0.0.1:9091", "is no listener"},
		{"an undeclared parameter", `"/api/v1/rooms/{room}/messages"`, `"/api/v1/rooms/{room}/{id}"`, "the path has the parameters"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !strings.Contains(string(text), test.old) {
				t.Fatalf("the document has no %s", test.old)
			}
			d, err := parse([]byte(strings.Replace(string(text), test.old, test.new, 1)))
			if err != nil {
				t.Fatal(err)
			}
			mistakes := d.Mistakes()
			if !slices.ContainsFunc(mistakes, func(m string) bool { return strings.Contains(m, test.want) }) {
				t.Errorf("got %q, want one with %q", mistakes, test.want)
			}
		})
	}
}

const problemType = "application/problem+json"

func problemOf(code string) string {
	return `{"type":"about:blank","title":"Not Found","status":404,"detail":"x","code":"` + code + `"}`
}

func TestCheckResponse(t *testing.T) {
	d := load(t)
	for _, test := range []struct {
		name, method, path string
		status             int
		kind, body, want   string // "": it is right
	}{
		{"right", "GET", "/healthz", 200, "application/json", `{"status":"ok"}`, ""},
		{"with a charset", "GET", "/metrics", 200, "text/plain; version=0.0.4; charset=utf-8", "x 1\n", ""},
		{"no content", "DELETE", "/api/v1/rooms/tea", 204, "", "", ""},
		{"a problem", "GET", "/api/v1/rooms/tea", 404, problemType, problemOf("no_such_room"), ""},
		{"undocumented status", "GET", "/healthz", 201, "application/json", `{"status":"ok"}`, "not documented"},
		{"wrong type", "GET", "/healthz", 200, "text/plain", `{"status":"ok"}`, "content type"},
		{"wrong value", "GET", "/healthz", 200, "application/json", `{"status":"well"}`, "status"},
		{"undocumented field", "GET", "/healthz", 200, "application/json", `{"status":"ok","since":1}`, "since"},
		{"missing field", "GET", "/healthz", 200, "application/json", `{}`, "status"},
		{"no JSON", "GET", "/healthz", 200, "application/json", `{`, "EOF"},
		{"content where there is none", "DELETE", "/api/v1/rooms/tea", 204, "", "bye", "no content"},
		{"another problem", "GET", "/api/v1/rooms/tea", 404, problemType, problemOf("no_such_member"), "one of the codes"},
		{"another status in the problem", "DELETE", "/api/v1/rooms/tea", 400, problemType, problemOf("bad_request"), "the status"},
		{"no ETag", "GET", "/api/v1/openapi.json", 304, "", "", "header ETag"},
	} {
		t.Run(test.name, func(t *testing.T) {
			op, ok := d.Find(test.method, test.path)
			if !ok {
				t.Fatal("no such operation")
			}
			header := http.Header{}
			if test.kind != "" {
				header.Set("Content-Type", test.kind)
			}
			err := op.CheckResponse(test.status, header, []byte(test.body))
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestCheckRequest(t *testing.T) {
	op, ok := load(t).Find("POST", "/api/v1/tokens")
	if !ok {
		t.Fatal("no such operation")
	}
	for body, right := range map[string]bool{`{"room":"tea"}`: true, `{"room":"tea","role":"member"}`: true, ``: false, `{}`: false, `{"room":"a b"}`: false,
		`{"room":"tea","more":1}`: false, `{"room":"tea","ttl":0}`: false} {
		if err := op.CheckRequest([]byte(body)); (err == nil) != right {
			t.Errorf("%s: %v", body, err)
		}
	}
	if _, ok := load(t).Find("POST", "/api/v1/nonsense"); ok {
		t.Error("found an operation that does not exist")
	}
}

func TestCheckWebhook(t *testing.T) {
	d := load(t)
	const right = `{"id":"e1","type":"room_started","time":"2026-01-01T10:00:00Z","room":{"name":"tea","id":"r1"}}`
	signed := http.Header{}
	signed.Set("webhook-id", "e1")
	signed.Set("webhook-timestamp", "1767261600")
	signed.Set("webhook-signature", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=")
	for _, test := range []struct {
		name, event, body string
		header            http.Header
		right             bool
	}{
		{"right", "room_started", right, signed, true},
		{"unsigned", "room_started", right, http.Header{}, false},
		{"another event", "room_ended", right, signed, false},
		{"no event", "room_opened", right, signed, false},
		{"a field too many", "room_started", strings.Replace(right, `"id":"e1"`, `"id":"e1","secret":1`, 1), signed, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := d.CheckWebhook(test.event, test.header, []byte(test.body)); (err == nil) != test.right {
				t.Error(err)
			}
		})
	}
}
