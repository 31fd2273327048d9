package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

func taken(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

// verified does what a receiver has to do, written from the text of Standard Webhooks.
func verified(a arrival, key []byte) error {
	id, timestamp := a.header.Get("webhook-id"), a.header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || a.at.Unix()-seconds > 300 || seconds-a.at.Unix() > 300 {
		return fmt.Errorf("timestamp %q", timestamp)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "." + a.body))
	for version := range strings.SplitSeq(a.header.Get("webhook-signature"), " ") {
		text, ok := strings.CutPrefix(version, "v1,")
		sum, err := base64.StdEncoding.DecodeString(text)
		if ok && err == nil && hmac.Equal(sum, mac.Sum(nil)) {
			return nil
		}
	}
	return fmt.Errorf("signature %q", a.header.Get("webhook-signature"))
}

// TestKnownSignature pins the form, with figures that were not computed by this code: the example that libraries of Standard Webhooks are tested with,
// and one by openssl (dgst -sha256 -hmac north).
func TestKnownSignature(t *testing.T) {
	for _, test := range []struct{ secret, id, timestamp, body, want string }{
		{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", `{"test": 2432232314}`, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
		{"north", "msg_1", "1433895918", `{"type":"room_started"}`, "Dqmxbq5y9WWhOsuHJvJmq6F8rj+mH/620MOE7zfjNQ4="},
	} {
		if got := signature(keyOf(test.secret), test.id, test.timestamp, []byte(test.body)); got != test.want {
			t.Errorf("%s is signed with %s, want %s", test.id, got, test.want)
		}
	}
}

// TestDelivery has each event with all that it can have, and looks at what the receiver gets byte by byte.
func TestDelivery(t *testing.T) {
	at := time.Date(2026, 3, 1, 13, 0, 0, 123_999_999, time.FixedZone("CET", 3600))
	room := Room{Name: "blue-otter", ID: "R1"}
	ann := &Member{ID: "M1", Name: "Ann <a&b>", Role: "moderator"}
	left := &Ended{DurationMS: 0, Relayed: Relayed{Up: 1, Down: 2, ShortCircuit: 3}}
	all := []struct {
		event Event
		want  string // behind the id
	}{
		{Event{Type: RoomStarted, Time: at, Room: room}, `"type":"room_started","time":"2026-03-01T12:00:00.123Z","room":{"name":"blue-otter","id":"R1"}}`},
		{Event{Type: MemberJoined, Time: at, Room: room, Member: ann},
			`"type":"member_joined","time":"2026-03-01T12:00:00.123Z","room":{"name":"blue-otter","id":"R1"},"member":{"id":"M1","name":"Ann \u003ca\u0026b\u003e","role":"moderator"}}`},
		{Event{Type: MemberLeft, Time: at, Room: room, Member: ann, Reason: "kicked", Ended: left},
			`"type":"member_left","time":"2026-03-01T12:00:00.123Z","room":{"name":"blue-otter","id":"R1"},"member":{"id":"M1","name":"Ann \u003ca\u0026b\u003e","role":"moderator"},` +
				`"reason":"kicked","duration_ms":0,"relayed":{"up_bytes":1,"down_bytes":2,"short_circuit_bytes":3}}`},
		{Event{Type: RoomEnded, Time: at, Room: room, Ended: &Ended{DurationMS: 61_000, Peak: 4}},
			`"type":"room_ended","time":"2026-03-01T12:00:00.123Z","room":{"name":"blue-otter","id":"R1"},` +
				`"duration_ms":61000,"relayed":{"up_bytes":0,"down_bytes":0,"short_circuit_bytes":0},"peak_members":4}`},
	}
	r := newReceiver(t, taken)
	s := start(t, r, Config{})
	for _, e := range all {
		s.Send(e.event)
	}
	ids := map[string]bool{}
	for i, a := range r.wait(t, len(all)) {
		id := a.header.Get("Webhook-Id")
		if want := `{"id":"` + id + `",` + all[i].want; a.body != want {
			t.Errorf("event %d is\n%s, want\n%s", i, a.body, want)
		}
		if err := verified(a, []byte(secret)); err != nil {
			t.Errorf("event %d: %v", i, err)
		}
		if len(id) < 20 || ids[id] || a.header.Get("Content-Type") != "application/json" || a.header.Get("User-Agent") != "maitred" {
			t.Errorf("event %d has the headers %v", i, a.header)
		}
		ids[id] = true
	}
	s.stop()
	s.want(t, counts{delivered: 4})
	if lines := s.log.warnings(); len(lines) != 0 {
		t.Errorf("the log has %q", lines)
	}
}

// TestSecretOfStandardWebhooks: behind whsec_ is the key in base64.
func TestSecretOfStandardWebhooks(t *testing.T) {
	const key = "0123456789012345678901234567"
	for name, secret := range map[string]string{
		key:                      "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nw==",
		"whsec":                  "whsec",
		"whsec_no base64 at all": "whsec_no base64 at all",
	} {
		r := newReceiver(t, taken)
		s := start(t, r, Config{Secret: secret})
		s.Send(joined("blue", "m"))
		if err := verified(r.wait(t, 1)[0], []byte(name)); err != nil {
			t.Errorf("%s: %v", secret, err)
		}
		s.stop()
	}
}

func TestJudge(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		code       int
		retryAfter string
		want       string // "", "final" or how long to wait
	}{
		{200, "", ""}, {202, "", ""}, {204, "60", ""}, {299, "", ""},
		{400, "", "final"}, {401, "", "final"}, {403, "", "final"}, {404, "60", "final"}, {410, "", "final"}, {422, "", "final"}, {499, "", "final"},
		{301, "", "0s"}, {302, "", "0s"}, {308, "", "0s"}, {304, "", "0s"},
		{408, "", "0s"}, {425, "", "0s"}, {429, "", "0s"}, {500, "", "0s"}, {502, "", "0s"}, {503, "", "0s"}, {599, "", "0s"},
		{429, "30", "30s"}, {503, "0", "0s"}, {503, "86400", "5m0s"}, {503, "4294967296", "0s"}, {503, "99999999999999999999", "0s"}, {503, "-5", "0s"}, {503, "soon", "0s"},
		{503, "Sun, 01 Mar 2026 12:01:00 GMT", "1m0s"}, {503, "Sun, 01 Mar 2026 11:59:00 GMT", "0s"}, {503, "Mon, 02 Mar 2026 12:00:00 GMT", "5m0s"},
	} {
		got := ""
		switch f := judge(&http.Response{StatusCode: test.code, Header: http.Header{"Retry-After": {test.retryAfter}}}, now); {
		case f == nil:
		case f.final:
			got = "final"
		default:
			got = f.retryAfter.String()
		}
		if got != test.want {
			t.Errorf("%d with Retry-After %q: %q, want %q", test.code, test.retryAfter, got, test.want)
		}
	}
}

// TestRefused: an answer that says that the request is wrong ends the event, and the next one is sent at once.
func TestRefused(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, q *http.Request) { w.WriteHeader(http.StatusGone) })
	s := start(t, r, Config{RetryFor: time.Hour})
	s.Send(joined("blue", "1"))
	s.Send(joined("blue", "2"))
	if got := r.wait(t, 2); got[1].event.Member.ID != "2" {
		t.Errorf("the second request is of %+v", got[1].event)
	}
	s.stop()
	s.want(t, counts{failed: 2})
	if lines := s.log.warnings(); len(lines) != 1 || !strings.Contains(lines[0], "answered with 410 Gone") || !strings.Contains(lines[0], "room=blue") {
		t.Errorf("the log has %q", lines)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	elsewhere := newReceiver(t, taken)
	r := newReceiver(t, func(w http.ResponseWriter, q *http.Request) {
		http.Redirect(w, q, elsewhere.server.URL, http.StatusTemporaryRedirect)
	})
	s := start(t, r, Config{})
	s.Send(joined("blue", "m"))
	s.waitFor(t, counts{failed: 1})
	if n := len(elsewhere.arrivals()); n != 0 {
		t.Errorf("%d requests were led elsewhere", n)
	}
	if log := s.log.String(); !strings.Contains(log, "webhooks.url must be the address itself") {
		t.Errorf("the log has\n%s", log)
	}
}

// TestCertificate: a receiver that nobody vouches for gets nothing.
func TestCertificate(t *testing.T) {
	r := &receiver{answer: taken, more: make(chan struct{})}
	r.server = httptest.NewUnstartedServer(r)
	r.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	r.server.StartTLS()
	t.Cleanup(r.server.Close)
	s := start(t, r, Config{})
	s.Send(joined("blue", "m"))
	s.waitFor(t, counts{failed: 1})
	if log := s.log.String(); !strings.Contains(log, "certificate signed by unknown authority") || len(r.arrivals()) != 0 {
		t.Errorf("%d requests, log\n%s", len(r.arrivals()), log)
	}
	trusting := start(t, r, Config{Client: r.server.Client()})
	trusting.Send(joined("blue", "m"))
	r.wait(t, 1)
	trusting.stop()
	trusting.want(t, counts{delivered: 1})
}

// TestLogHidesTheURL: path and query may be what the receiver knows the sender by.
func TestLogHidesTheURL(t *testing.T) {
	r := newReceiver(t, taken)
	url := r.server.URL + "/hunter3?token=hunter4"
	r.server.Close()
	for _, url := range []string{url, strings.Replace(url, "http", "ftp", 1), "http://hunter5 hunter6", strings.Replace(url, "127.0.0.1", "hunter5:hunter6@127.0.0.1", 1)} {
		s := start(t, r, Config{URL: url})
		s.Send(joined("blue", "m"))
		s.waitFor(t, counts{failed: 1})
		s.stop()
		if log := s.log.String(); strings.Contains(log, "hunter") || !strings.Contains(log, "webhook given up") {
			t.Errorf("the log has\n%s", log)
		}
	}
}

// TestEndlessAnswer: what a receiver says beside the status is read to a bound, and the event counts as taken.
func TestEndlessAnswer(t *testing.T) {
	cut := make(chan struct{})
	r := newReceiver(t, func(w http.ResponseWriter, q *http.Request) {
		defer close(cut)
		for {
			if _, err := io.WriteString(w, strings.Repeat("x", 4096)); err != nil {
				return
			}
		}
	})
	s := start(t, r, Config{Timeout: patience})
	s.Send(joined("blue", "m"))
	select {
	case <-cut:
	case <-time.After(patience / 2):
		t.Error("it is read for ever")
	}
	s.waitFor(t, counts{delivered: 1})
}

// TestConnectionIsKept: an answer that was read to its end leaves the connection for the next event.
func TestConnectionIsKept(t *testing.T) {
	from := make(chan string, 2)
	r := newReceiver(t, func(w http.ResponseWriter, q *http.Request) {
		from <- q.RemoteAddr
		io.WriteString(w, strings.Repeat("x", maxAnswer/2))
	})
	s := start(t, r, Config{})
	s.Send(joined("blue", "1"))
	s.Send(joined("blue", "2"))
	r.wait(t, 2)
	s.stop()
	if first, second := <-from, <-from; first != second {
		t.Errorf("the events came from %s and %s", first, second)
	}
}

// TestDefaults of a Config that says nothing but where to.
func TestDefaults(t *testing.T) {
	s := New(Config{URL: "https://a.example/x?y"})
	if s.queue.most != 1000 || s.timeout != 5*time.Second || s.retryFor != 0 || s.log == nil || s.origin != "https://a.example" {
		t.Errorf("%+v", s)
	}
	var e Event
	if b, err := json.Marshal(e); err != nil || strings.Contains(string(b), "member") || strings.Contains(string(b), "duration") {
		t.Errorf("an event without anything is %s, %v", b, err)
	}
}

func (s *sender) waitFor(t *testing.T, want counts) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); s.counts(t) != want; {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the metrics say %+v, want %+v", s.counts(t), want)
		}
	}
}
