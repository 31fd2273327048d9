package daemon

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/maitred/maitred/pkg/icecheck"
)

// turnServer is the entry of iceServers that has a credential.
func (m message) turnServer(t *testing.T) (urls []string, username, credential string) {
	t.Helper()
	for _, s := range m.ICEServers {
		if s.Credential != "" {
			return s.URLs, s.Username, s.Credential
		}
	}
	t.Fatalf("no TURN server in %+v", m)
	return nil, "", ""
}

// hold opens an allocation over every transport.
func hold(t *testing.T, urls []string, username, credential string) {
	t.Helper()
	for _, u := range urls {
		if code := dialTURN(t, u).allocate(username, credential); code != 0 {
			t.Fatalf("%s refuses the room's credential: %d", u, code)
		}
	}
}

func wantRefused(t *testing.T, urls []string, username, credential string) {
	t.Helper()
	for _, u := range urls {
		r := icecheck.Check(t.Context(), icecheck.Target{URL: u, Username: username, Password: credential})
		if code := (&icecheck.CodeError{}); !errors.As(r.Err, &code) || code.Code != 401 {
			t.Errorf("%s after the member left: %v", u, r.Err)
		}
	}
}

// TestMembership is the life of a credential: a room hands it out, it opens allocations, and both end with the membership.
func TestMembership(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(r *running, m *member, id string)
	}{
		{"leaves", func(_ *running, m *member, _ string) {
			m.send(`{"type":"leave"}`)
			m.expectClose(websocket.StatusNormalClosure)
		}},
		{"loses its connection", func(_ *running, m *member, _ string) { _ = m.ws.CloseNow() }},
		{"is kicked", func(r *running, m *member, id string) {
			if status, body := request(r.t, http.MethodDelete, r.admin("/api/v1/rooms/blue/members/"+id), "", ""); status != http.StatusNoContent {
				r.t.Errorf("status %d: %s", status, body)
			}
			m.expect("kicked")
			m.expectClose(4003)
		}},
		{"sends nonsense", func(_ *running, m *member, _ string) {
			m.send(`nonsense`)
			m.expect("error")
			m.expectClose(4000)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, "signaling.resume", "0s")
			m, joined := r.join("blue")
			urls, username, credential := joined.turnServer(t)
			for _, u := range urls {
				if c := icecheck.Check(t.Context(), icecheck.Target{URL: u, Username: username, Password: credential}); c.Err != nil {
					t.Errorf("%s: %v", u, c.Err)
				}
			}
			hold(t, urls, username, credential)
			if n := r.allocations(); n != 2 {
				t.Fatalf("%d allocations, want 2", n)
			}
			_, other := r.join("blue")
			otherURLs, otherName, otherCredential := other.turnServer(t)
			hold(t, otherURLs[:1], otherName, otherCredential)
			m.expect("member-joined")
			tt.end(r, m, joined.Self.ID)
			eventually(t, "only the other member's allocation is left", func() bool { return r.allocations() == 1 })
			wantRefused(t, urls, username, credential)
			if strings.Contains(r.log.String(), credential) {
				t.Error("the log tells the credential")
			}
		})
	}
}

// allocations counts what the admin API lists.
func (r *running) allocations() int {
	r.t.Helper()
	status, body := request(r.t, http.MethodGet, r.admin("/api/v1/allocations"), "", "")
	var list struct{ Allocations []json.RawMessage }
	if err := json.Unmarshal([]byte(body), &list); err != nil || status != http.StatusOK {
		r.t.Fatalf("status %d: %s", status, body)
	}
	return len(list.Allocations)
}

func TestJoinedServers(t *testing.T) {
	r := start(t, "turn.credential_ttl", "1h")
	m, joined := r.join("blue")
	stun, turn := r.urls("")
	if len(joined.ICEServers) != 2 || !slices.Equal(joined.ICEServers[0].URLs, stun) || !slices.Equal(joined.ICEServers[1].URLs, turn) || joined.TTL != 3600 {
		t.Errorf("joined with %+v, want %v and %v", joined, stun, turn)
	}
	m.send(`{"type":"ice"}`)
	fresh := m.expect("ice-servers")
	urls, username, credential := fresh.turnServer(t)
	hold(t, urls, username, credential)
}

// TestSeatOutlivesConnection keeps credential and allocations while the lost member may come back.
func TestSeatOutlivesConnection(t *testing.T) {
	r := start(t, "signaling.resume", "1h")
	m, joined := r.join("blue")
	urls, username, credential := joined.turnServer(t)
	hold(t, urls, username, credential)
	_ = m.ws.CloseNow()
	eventually(t, "the hub notices the loss", func() bool {
		rooms := r.hub.Rooms()
		return len(rooms) == 1 && !rooms[0].Members[0].Connected
	})
	if n := r.allocations(); n != 2 {
		t.Errorf("%d allocations, want 2", n)
	}
	r.stop()
	r.Hurry()
	if err := r.wait(); err != nil {
		t.Error(err)
	}
}

func TestHTTPRoutes(t *testing.T) {
	r := start(t, "api.keys", "0123456789abcdef-key")
	for _, tt := range []struct {
		name, method, url, bearer, body string
		status                          int
		says                            string
	}{
		{"ready", "GET", r.page("/readyz"), "", "", 200, `"ready"`},
		{"alive", "GET", r.page("/healthz"), "", "", 200, `"ok"`},
		{"page", "GET", r.page("/"), "", "", 200, "<html"},
		{"API", "POST", r.page("/api/v1/ice-servers"), "0123456789abcdef-key", `{"user":"ann","ttl":60}`, 200, `:ann"`},
		{"API without a key", "POST", r.page("/api/v1/ice-servers"), "", "", 401, "unauthorized"},
		{"REST", "GET", r.page("/turn?service=turn&username=ann&key=0123456789abcdef-key"), "", "", 200, `"uris":["turn:127.0.0.1:`},
		{"build", "GET", r.admin("/metrics"), "", "", 200, `maitred_build_info{commit="c2",go="go3",version="v1"} 1`},
		{"relay metrics", "GET", r.admin("/metrics"), "", "", 200, `maitred_turn_dropped_packets_total{reason="no_channel"} 0`},
		{"allocations by transport", "GET", r.admin("/metrics"), "", "", 200, `maitred_turn_allocations{transport="tcp"} 0`},
		{"room metrics", "GET", r.admin("/metrics"), "", "", 200, "maitred_rooms 0"},
		{"rooms", "GET", r.admin("/api/v1/rooms"), "", "", 200, `{"rooms":[]}`},
		{"nobody to kick", "DELETE", r.admin("/api/v1/rooms/blue/members/ann"), "", "", 404, "no_such_room"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, body := request(t, tt.method, tt.url, tt.bearer, tt.body)
			if status != tt.status || !strings.Contains(body, tt.says) {
				t.Errorf("status %d, want %d, and %q in\n%s", status, tt.status, tt.says, body)
			}
		})
	}
	eventually(t, "the readiness check leaves no allocation", func() bool { return r.allocations() == 0 })
}

// TestAPICredentials work, and live as long as they say.
func TestAPICredentials(t *testing.T) {
	for _, tt := range []struct {
		name, configured string
		asked            time.Duration
		want             int64
	}{
		{"default", "12h", 0, 12 * 3600},
		{"shorter", "12h", time.Minute, 60},
		{"longer", "12h", 20 * time.Hour, 20 * 3600},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, "turn.credential_ttl", tt.configured)
			got := r.apiICEServers("ann", tt.asked, "")
			last := got.ICEServers[len(got.ICEServers)-1]
			if got.TTL != tt.want {
				t.Errorf("ttl %d, want %d", got.TTL, tt.want)
			}
			hold(t, last.URLs, last.Username, last.Credential)
			rest := r.apiREST("", "")
			hold(t, rest.URIs, rest.Username, rest.Password)
		})
	}
}

// TestNotReady is a daemon whose relay refuses it an allocation.
func TestNotReady(t *testing.T) {
	r := start(t, "turn.quota.total", "1")
	_, joined := r.join("blue")
	urls, username, credential := joined.turnServer(t)
	hold(t, urls[:1], username, credential)
	status, body := request(t, http.MethodGet, r.page("/readyz"), "", "")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "486") {
		t.Errorf("status %d: %s", status, body)
	}
}

// TestHalfOff starts and stops with the page alone, and with the relay alone.
func TestHalfOff(t *testing.T) {
	for _, tt := range []struct {
		name    string
		off     []string
		servers int
	}{
		{"page alone", []string{"admin.listen", "off", "turn.udp", "off", "turn.tcp", "off"}, 0},
		{"relay alone, over UDP", []string{"http.listen", "off", "admin.listen", "off", "turn.tcp", "off"}, 1},
		{"relay alone, over TCP", []string{"http.listen", "off", "admin.listen", "off", "turn.udp", "off"}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, tt.off...)
			if err := r.ready(t.Context()); err != nil {
				t.Error(err)
			}
			if _, turn := r.urls(""); len(turn) != tt.servers || len(r.localURLs()) != tt.servers {
				t.Errorf("%q are advertised, %q is checked, want %d", turn, r.localURLs(), tt.servers)
			}
			r.stop()
			if err := r.wait(); err != nil {
				t.Error(err)
			}
		})
	}
}
