package httpd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maitred/maitred/docs"
	"github.com/maitred/maitred/pkg/httpd/openapitest"
)

func openAPI(t *testing.T) *openapitest.Document {
	t.Helper()
	d, err := openapitest.Load()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// forPeople are the routes that the document does not have: pages and what they
// are made of, profiles, and signaling, which OpenAPI cannot describe.
var forPeople = []string{
	"public GET /{$}", "public GET /r/{room}", "public GET /r/{room}/qr.svg", "public GET /check", "public GET /assets/{path...}", "public GET /sdk/{path...}", "public GET /ws",
	"admin GET /{$}", "admin GET /status.css", "admin GET /debug/pprof/", "admin GET /debug/pprof/cmdline",
	"admin GET /debug/pprof/profile", "admin GET /debug/pprof/symbol", "admin GET /debug/pprof/trace",
}

// TestDocumentHasEveryRoute compares the document with the muxes, both ways.
func TestDocumentHasEveryRoute(t *testing.T) {
	s := run(t, publicConfig())
	there := map[string]bool{}
	for _, r := range s.publicRoutes() {
		there["public "+r.pattern] = true
	}
	for _, r := range s.adminRoutes() {
		there["admin "+r.pattern] = true
	}
	for _, route := range forPeople {
		if !there[route] {
			t.Errorf("there is no route %s", route)
		}
		delete(there, route)
	}
	documented := map[string]bool{}
	for _, op := range openAPI(t).Operations() {
		for _, listener := range op.Listeners {
			name := map[string]string{openapitest.Public: "public", openapitest.Admin: "admin"}[listener]
			documented[fmt.Sprintf("%s %s %s", name, op.Method, op.Path)] = true
		}
	}
	if !maps.Equal(there, documented) {
		t.Errorf("the routes are\n%q\nthe document has\n%q", slices.Sorted(maps.Keys(there)), slices.Sorted(maps.Keys(documented)))
	}
}

type testTraffic map[string]map[string]int

func carried() testTraffic {
	return testTraffic{"up": {"packets": 0, "bytes": 0}, "down": {"packets": 0, "bytes": 0}, "short_circuit": {"packets": 1, "bytes": 9}}
}

// apiConfig answers everything. Room tea has member m1, and broken is broken.
func apiConfig() Config {
	since := time.Date(2026, 1, 1, 10, 0, 0, 5, time.UTC)
	member := map[string]any{"id": "m1", "name": "Ann", "role": "moderator", "since": since, "connected": true}
	room := map[string]any{"name": "tea", "id": "r1", "since": since, "locked": true, "knock": true, "password": false, "max_members": 16,
		"members": []any{member}, "waiting": []any{member}}
	broken := errors.New("it is broken")
	cfg := publicConfig()
	cfg.ICE = func(user string, ttl time.Duration, host string) ICEServers {
		if ttl == 0 {
			ttl = 12 * time.Hour
		}
		return testICE(user, ttl, host)
	}
	cfg.CheckToken = testCheckToken
	cfg.StartCheck = testStartCheck
	cfg.EndCheck = func(id string) bool { return id == "c1" }
	cfg.Check = func(id string) (any, bool) {
		udp := map[string]any{"transport": "udp", "port": 3478, "heard": true, "first_ms": 0, "allocations": 1, "relayed": carried(),
			"requests": []any{map[string]any{"method": "allocate", "code": 401, "count": 1}}}
		event := map[string]any{"at_ms": 0, "transport": "udp", "client": "192.0.2.1:5", "method": "allocate", "code": 401}
		return map[string]any{"client": "192.0.2.1", "age_ms": 5, "transports": []any{udp}, "events": []any{event}}, id == "c1"
	}
	cfg.Rooms = func() any { return []any{room} }
	cfg.Room = func(name string) (any, bool) { return room, name == "tea" }
	cfg.CloseRoom = func(name, _ string) bool { return name == "tea" }
	cfg.Kick = func(name, id, _ string) bool { return name == "tea" && id == "m1" }
	cfg.Message = func(name, to string, data json.RawMessage) error {
		switch {
		case name == "broken":
			return broken
		case name != "tea":
			return ErrNoSuchRoom
		case to != "" && to != "m1":
			return fmt.Errorf("send: %w", ErrNoSuchMember)
		case len(data) > 64<<10:
			return &InvalidError{"data must be at most 65536 bytes"}
		}
		return nil
	}
	cfg.MintToken = func(q TokenRequest) (Token, error) {
		if q.Room == "broken" {
			return Token{}, broken
		}
		return Token{"e30.e30.c2ln", "t1", q.Expires}, nil
	}
	cfg.Allocations = func() any {
		return []any{map[string]any{"client": "192.0.2.1:5", "transport": "udp", "relayed": "192.0.2.9:6", "user": "ann", "created": since, "expires": since,
			"peers": 1, "traffic": carried()}}
	}
	cfg.Traffic = func() any {
		return map[string]any{"total": carried(), "transports": map[string]any{"udp": carried()}, "rooms": struct{}{}, "users": struct{}{}}
	}
	return cfg
}

const joinToken = "Authorization: Bearer e30.e30.c2ln"

// testCheckToken knows one token, which is good for an hour yet.
func testCheckToken(_ netip.Addr, token string) (user string, left time.Duration, ok bool) {
	return "token-t1", time.Hour + time.Millisecond, token == "e30.e30.c2ln"
}

// The servers that TestAnswersAreAsDocumented asks.
const (
	full     = "full"     // answers everything
	guarded  = "guarded"  // has a token for the administrator
	closed   = "closed"   // lets only holders of join tokens in
	bare     = "bare"     // has no functions and no keys
	draining = "draining" // is about to stop
	deaf     = "deaf"     // is not ready
)

// exchange is a request and what is answered to it.
type exchange struct {
	name, server, method, path, body string
	headers                          []string
	status                           int
	code                             string // of the problem
}

const (
	fromProxy  = "X-Forwarded-For: 192.0.2.1"
	otherSite  = "Sec-Fetch-Site: cross-site"
	adminToken = "Authorization: Bearer " + testToken
)

var exchanges = []exchange{
	{name: "ICE servers", method: "POST", path: "/api/v1/ice-servers", body: `{"ttl":600,"user":"ann"}`, headers: []string{key}, status: 200},
	{name: "ICE servers by a join token", method: "POST", path: "/api/v1/ice-servers", headers: []string{joinToken}, status: 200},
	{name: "ICE servers for nobody", method: "POST", path: "/api/v1/ice-servers", body: `{"user":"a:b"}`, headers: []string{key}, status: 400, code: "bad_request"},
	{name: "ICE servers without a key", method: "POST", path: "/api/v1/ice-servers", status: 401, code: "unauthorized"},
	{name: "ICE servers where there are no keys", server: bare, method: "POST", path: "/api/v1/ice-servers", status: 403, code: "no_api_keys"},
	{name: "ICE servers, a large body", method: "POST", path: "/api/v1/ice-servers", body: strings.Repeat(" ", 5000), headers: []string{key}, status: 413, code: "too_large"},
	{name: "ICE servers without a relay", server: deaf, method: "POST", path: "/api/v1/ice-servers", headers: []string{key}, status: 503, code: "no_turn"},
	{name: "check", method: "POST", path: "/api/v1/check", status: 200},
	{name: "check by a join token", server: closed, method: "POST", path: "/api/v1/check", headers: []string{joinToken}, status: 200},
	{name: "check without a token", server: closed, method: "POST", path: "/api/v1/check", status: 401, code: "unauthorized"},
	{name: "check by an API key", server: closed, method: "POST", path: "/api/v1/check", headers: []string{key}, status: 401, code: "unauthorized"},
	{name: "check by a foreign page", method: "POST", path: "/api/v1/check", headers: []string{otherSite}, status: 403, code: "cross_origin"},
	{name: "check where nobody may", server: bare, method: "POST", path: "/api/v1/check", status: 404, code: "check_disabled"},
	{name: "one check too many", method: "POST", path: "/api/v1/check", headers: []string{"Host: busy"}, status: 429, code: "too_many_checks"},
	{name: "check without a relay", method: "POST", path: "/api/v1/check", headers: []string{"Host: deaf"}, status: 503, code: "no_turn"},
	{name: "check while draining", server: draining, method: "POST", path: "/api/v1/check", status: 503, code: "draining"},
	{name: "what came of a check", path: "/api/v1/check/c1", status: 200},
	{name: "what came of no check", path: "/api/v1/check/c2", status: 404, code: "no_such_check"},
	{name: "end of a check", method: "DELETE", path: "/api/v1/check/c1", status: 204},
	{name: "end of no check", method: "DELETE", path: "/api/v1/check/c2", status: 404, code: "no_such_check"},
	{name: "end of a check where nobody may", server: bare, method: "DELETE", path: "/api/v1/check/c1", status: 404, code: "no_such_check"},
	{name: "what came of a check where nobody may", server: bare, path: "/api/v1/check/c1", status: 404, code: "no_such_check"},
	{name: "TURN REST", path: "/turn?service=turn&username=ann&key=" + testKey, status: 200},
	{name: "TURN REST, other service", path: "/turn?service=x&key=" + testKey, status: 400, code: "bad_request"},
	{name: "TURN REST without a key", path: "/turn?service=turn", status: 401, code: "unauthorized"},
	{name: "TURN REST where there are no keys", server: bare, path: "/turn?service=turn", status: 403, code: "no_api_keys"},
	{name: "TURN REST without a relay", server: deaf, path: "/turn?service=turn&key=" + testKey, status: 503, code: "no_turn"},
	{name: "alive", path: "/healthz", status: 200},
	{name: "ready", path: "/readyz", status: 200},
	{name: "draining", server: draining, path: "/readyz", status: 503, code: "draining"},
	{name: "not ready", server: deaf, path: "/readyz", status: 503, code: "not_ready"},
	{name: "metrics", path: "/metrics", status: 200},
	{name: "metrics with the token", server: guarded, path: "/metrics", headers: []string{adminToken, fromProxy}, status: 200},

	{name: "rooms", path: "/api/v1/rooms", status: 200},
	{name: "no rooms", server: bare, path: "/api/v1/rooms", status: 200},
	{name: "a room", path: "/api/v1/rooms/tea", status: 200},
	{name: "no such room", path: "/api/v1/rooms/coffee", status: 404, code: "no_such_room"},
	{name: "any room, without a hub", server: bare, path: "/api/v1/rooms/tea", status: 404, code: "no_such_room"},
	{name: "close a room", method: "DELETE", path: "/api/v1/rooms/tea?reason=the+end", status: 204},
	{name: "close no room", method: "DELETE", path: "/api/v1/rooms/coffee", status: 404, code: "no_such_room"},
	{name: "close with a bad reason", method: "DELETE", path: "/api/v1/rooms/tea?reason=%00", status: 400, code: "bad_request"},
	{name: "kick", method: "DELETE", path: "/api/v1/rooms/tea/members/m1?reason=f%C3%BCr+heute+genug", status: 204},
	{name: "kick nobody", method: "DELETE", path: "/api/v1/rooms/tea/members/m2", status: 404, code: "no_such_member"},
	{name: "kick from no room", method: "DELETE", path: "/api/v1/rooms/coffee/members/m1", status: 404, code: "no_such_room"},
	{name: "kick with a bad reason", method: "DELETE", path: "/api/v1/rooms/tea/members/m1?reason=", status: 400, code: "bad_request"},
	{name: "message", method: "POST", path: "/api/v1/rooms/tea/messages", body: `{"data":{"a":[1,null]}}`, status: 202},
	{name: "message to one", method: "POST", path: "/api/v1/rooms/tea/messages", body: `{"to":"m1","data":null}`, status: 202},
	{name: "message to nobody", method: "POST", path: "/api/v1/rooms/tea/messages", body: `{"to":"m2","data":1}`, status: 404, code: "no_such_member"},
	{name: "message to no room", method: "POST", path: "/api/v1/rooms/coffee/messages", body: `{"data":1}`, status: 404, code: "no_such_room"},
	{name: "message of nothing", method: "POST", path: "/api/v1/rooms/tea/messages", body: `{}`, status: 400, code: "bad_request"},
	{name: "message too large", method: "POST", path: "/api/v1/rooms/tea/messages", body: `{"data":"` + strings.Repeat("a", 66<<10) + `"}`, status: 413, code: "too_large"},
	{name: "message, broken", method: "POST", path: "/api/v1/rooms/broken/messages", body: `{"data":1}`, status: 500, code: "internal"},
	{name: "token", method: "POST", path: "/api/v1/tokens", body: `{"room":"tea","name":"Ann","role":"moderator","ttl":60,"max_uses":1}`, status: 201},
	{name: "token for no room", method: "POST", path: "/api/v1/tokens", body: `{"name":"Ann"}`, status: 400, code: "bad_request"},
	{name: "token, a large body", method: "POST", path: "/api/v1/tokens", body: `{"room":"` + strings.Repeat("a", 5000) + `"}`, status: 413, code: "too_large"},
	{name: "token, broken", method: "POST", path: "/api/v1/tokens", body: `{"room":"broken"}`, status: 500, code: "internal"},
	{name: "token without a key", server: bare, method: "POST", path: "/api/v1/tokens", body: `{"room":"tea"}`, status: 503, code: "no_signing_key"},
	{name: "allocations", path: "/api/v1/allocations", status: 200},
	{name: "traffic", path: "/api/v1/traffic", status: 200},

	{name: "this document", path: "/api/v1/openapi.json", status: 200},
	{name: "the schema", path: "/api/v1/protocol.schema.json", status: 200},
	{name: "the protocol", path: "/api/v1/protocol.md", status: 200},
}

// refused are the requests of every administrator's operation that come from
// where they must not, and of every document that is known already.
func refused(t *testing.T, d *openapitest.Document) []exchange {
	t.Helper()
	var all []exchange
	fill := strings.NewReplacer("{room}", "tea", "{id}", "m1")
	for _, op := range d.Operations() {
		path := fill.Replace(op.Path)
		if op.NeedsAuth && slices.Contains(op.Listeners, openapitest.Admin) {
			all = append(all,
				exchange{op.ID + " without the token", guarded, op.Method, path, "", []string{fromProxy}, 401, "unauthorized"},
				exchange{op.ID + " with another token", guarded, op.Method, path, "", []string{fromProxy, key}, 401, "unauthorized"},
				exchange{op.ID + " from elsewhere", full, op.Method, path, "", []string{fromProxy}, 403, "no_admin_token"},
				exchange{op.ID + " by a foreign page", full, op.Method, path, "", []string{otherSite}, 403, "cross_origin"})
		}
		if name := strings.TrimPrefix(path, "/api/v1/"); documentTypes[name] != "" {
			body, err := docs.Files.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, exchange{op.ID + " again", full, op.Method, path, "", []string{"If-None-Match: " + newForm(body).etag}, 304, ""})
		}
	}
	return all
}

// coverage is what of the document was seen, as "operation status code".
type coverage map[string]bool

func (c coverage) add(op openapitest.Operation, status int, code string) {
	c[strings.TrimSpace(fmt.Sprint(op.ID, " ", status, " ", code))] = true
}

// TestAnswersAreAsDocumented makes requests for every operation, compares what
// comes back with the document, and has seen all that the document says when it
// is done.
func TestAnswersAreAsDocumented(t *testing.T) {
	d := openAPI(t)
	servers := map[string]*Server{full: run(t, apiConfig()), bare: run(t, Config{}), draining: run(t, Config{})}
	cfg := apiConfig()
	cfg.AdminToken = testToken
	servers[guarded] = run(t, cfg)
	cfg.CheckNeedsToken = true
	servers[closed] = run(t, cfg)
	servers[deaf] = run(t, Config{APIKeys: []string{testKey}, Ready: func(context.Context) error { return errors.New("turn.udp is deaf") }})
	servers[draining].SetDraining()

	seen := coverage{}
	for _, e := range append(exchanges, refused(t, d)...) {
		t.Run(e.name, func(t *testing.T) { e.check(t, d, servers, seen) })
	}
	want := coverage{}
	for _, op := range d.Operations() {
		for _, status := range op.Statuses {
			codes := op.Codes(status)
			for _, code := range codes {
				want.add(op, status, code)
			}
			if len(codes) == 0 {
				want.add(op, status, "")
			}
		}
	}
	if !maps.Equal(seen, want) {
		t.Errorf("seen\n%q\ndocumented\n%q", slices.Sorted(maps.Keys(seen)), slices.Sorted(maps.Keys(want)))
	}
}

// check makes the request on each listener that has the operation. Whoever is
// refused is so on the administrator's only.
func (e exchange) check(t *testing.T, d *openapitest.Document, servers map[string]*Server, seen coverage) {
	method, server := e.method, servers[e.server]
	if method == "" {
		method = http.MethodGet
	}
	if e.server == "" {
		server = servers[full]
	}
	path, _, _ := strings.Cut(e.path, "?")
	op, ok := d.Find(method, path)
	if !ok {
		t.Fatal("this is not in the document")
	}
	if e.status < 300 {
		if err := op.CheckRequest([]byte(e.body)); err != nil {
			t.Errorf("a request that should be taken: %v", err)
		}
	}
	for _, listener := range op.Listeners {
		url := server.url(e.path)
		if listener == openapitest.Admin {
			url = server.adminURL(e.path)
		} else if len(op.Listeners) > 1 && (e.status == 401 || e.status == 403) {
			continue
		}
		got := ask(t, method, url, e.body, e.headers...)
		if got.status != e.status || !strings.Contains(got.body, `"code":"`+e.code) && e.code != "" {
			t.Errorf("%s: %d %s, want %d %s", url, got.status, got.body, e.status, e.code)
		}
		if err := op.CheckResponse(got.status, got.header, []byte(got.body)); err != nil {
			t.Error(err)
		}
		checkHeaders(t, got)
	}
	seen.add(op, e.status, e.code)
}
