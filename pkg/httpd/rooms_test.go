package httpd

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"
)

// TestReasons are told to the daemon as they were given, or the usual one is.
func TestReasons(t *testing.T) {
	var closed, kicked string
	s := run(t, Config{
		CloseRoom: func(_, reason string) bool { closed = reason; return true },
		Kick:      func(_, _, reason string) bool { kicked = reason; return true },
	})
	long := strings.Repeat("ü", maxReason)
	for _, test := range []struct{ name, query, close, kick string }{ // "": refused
		{"none", "", "the room was closed by the administrator", "removed by the administrator"},
		{"other parameters only", "?x=1", "the room was closed by the administrator", "removed by the administrator"},
		{"given", "?reason=the+exam%20is+over", "the exam is over", "the exam is over"},
		{"as long as may be", "?reason=" + url.QueryEscape(long), long, long},
		{"with joiners", "?reason=" + url.QueryEscape("👩\u200d🏫"), "👩\u200d🏫", "👩\u200d🏫"},
		{"longer", "?reason=" + url.QueryEscape(long+"x"), "", ""},
		{"empty", "?reason=", "", ""},
		{"a line break", "?reason=a%0Ab", "", ""},
		{"a bidi override", "?reason=%E2%80%AE", "", ""},
		{"not UTF-8", "?reason=%FF", "", ""},
		{"a query that cannot be read", "?reason=%zz", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			closed, kicked = "", ""
			want := 204
			if test.close == "" {
				want = 400
			}
			for _, path := range []string{"/api/v1/rooms/tea", "/api/v1/rooms/tea/members/m1"} {
				if got := ask(t, "DELETE", s.adminURL(path+test.query), ""); got.status != want {
					t.Errorf("%s: got %d %s, want %d", path, got.status, got.body, want)
				}
			}
			if closed != test.close || kicked != test.kick {
				t.Errorf("closed for %q, kicked for %q, want %q and %q", closed, kicked, test.close, test.kick)
			}
		})
	}
}

// TestNamesInPaths are what the client meant, however it wrote them.
func TestNamesInPaths(t *testing.T) {
	var room, member string
	s := run(t, Config{Kick: func(r, m, _ string) bool { room, member = r, m; return true }})
	if got := ask(t, "DELETE", s.adminURL("/api/v1/rooms/a%2Fb/members/%C3%BC"), ""); got.status != 204 || room != "a/b" || member != "ü" {
		t.Errorf("got %d %s for %q in %q", got.status, got.body, member, room)
	}
}

func TestMessages(t *testing.T) {
	var room, to string
	var data json.RawMessage
	s := run(t, Config{Message: func(r, m string, d json.RawMessage) error {
		room, to, data = r, m, bytes.Clone(d)
		if len(d) > 64<<10 {
			return &InvalidError{"data must be at most 65536 bytes"}
		}
		return nil
	}})
	large := `"` + strings.Repeat("a", 64<<10-2) + `"`
	for _, test := range []struct {
		name, body string
		status     int
		to, data   string
		contains   string
	}{
		{"to all", `{"data":{"a": 1}}`, 202, "", `{"a": 1}`, ""},
		{"to one", ` {"to":"m1","data":[]} `, 202, "m1", `[]`, ""},
		{"null", `{"data":null}`, 202, "", `null`, ""},
		{"as large as may be", `{"to":"m1","data":` + large + `}`, 202, "m1", large, ""},
		{"larger", `{"data":` + large[:len(large)-1] + `a"}`, 400, "", "", "65536 bytes"},
		{"much larger", `{"data":` + large + strings.Repeat(" ", 2000) + `}`, 413, "", "", "66560 bytes"},
		{"to an empty id", `{"to":"","data":1}`, 400, "", "", "leave it out for everybody"},
		{"to null", `{"to":null,"data":1}`, 400, "", "", "leave it out for everybody"},
		{"to a number", `{"to":5,"data":1}`, 400, "", "", "leave it out for everybody"},
		{"no data", `{"to":"m1"}`, 400, "", "", "data is missing"},
		{"unknown field", `{"data":1,"room":"tea"}`, 400, "", "", `unknown field \"room\"`},
		{"nothing", ``, 400, "", "", "must be an object such as"},
		{"a list", `[1]`, 400, "", "", "must be an object such as"},
		{"two objects", `{"data":1}{"data":2}`, 400, "", "", "must end after one JSON object"},
		{"cut short", `{"data":`, 400, "", "", "ends too soon"},
		{"not JSON", `{data:1}`, 400, "", "", "invalid character"},
		{"not UTF-8", "{\"data\":\"\xff\"}", 400, "", "", "UTF-8"},
	} {
		t.Run(test.name, func(t *testing.T) {
			room, to, data = "", "", nil
			got := ask(t, "POST", s.adminURL("/api/v1/rooms/tea/messages"), test.body)
			if got.status != test.status || !strings.Contains(got.body, test.contains) || strings.Contains(got.body, "httpd.") {
				t.Errorf("got %d %s, want %d with %q", got.status, got.body, test.status, test.contains)
			}
			if test.status == 202 && (room != "tea" || to != test.to || string(data) != test.data) {
				t.Errorf("sent %.80s to %q in %q, want %.80s to %q", data, to, room, test.data, test.to)
			}
		})
	}
}

// TestFailuresAreLogged, and told to nobody else.
func TestFailuresAreLogged(t *testing.T) {
	var out lockedBuffer
	s := run(t, Config{
		Message: func(string, string, json.RawMessage) error { return errors.New("the bus is gone") },
		Log:     slog.New(slog.NewTextHandler(&out, nil)),
	})
	got := ask(t, "POST", s.adminURL("/api/v1/rooms/secret-room/messages"), `{"data":1}`)
	if got.status != 500 || strings.Contains(got.body, "bus") {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if text := out.String(); !strings.Contains(text, "the bus is gone") || strings.Contains(text, "secret-room") {
		t.Errorf("the log has %q", text)
	}
}
