package httpd

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestTokenRequest(t *testing.T) {
	now := time.Date(2026, 1, 1, 10, 0, 0, 700_000_000, time.FixedZone("", 3600))
	second := time.Date(2026, 1, 1, 9, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name, body string
		want       TokenRequest
		err        string
	}{
		{"usual", `{"room":"tea"}`, TokenRequest{Room: "tea", Role: "member", Expires: second.Add(time.Hour)}, ""},
		{"everything", `{"room":"Tea-_9","name":"Änn","role":"moderator","ttl":7200,"not_before":"2026-01-02T11:00:00+01:00","max_uses":2147483647}`,
			TokenRequest{"Tea-_9", "Änn", "moderator", second.Add(25 * time.Hour), second.Add(27 * time.Hour), 2147483647}, ""},
		{"begins already", `{"room":"tea","not_before":"2025-01-01T00:00:00Z","ttl":1}`,
			TokenRequest{Room: "tea", Role: "member", NotBefore: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), Expires: second.Add(time.Second)}, ""},
		{"as long as may be", `{"room":"tea","ttl":31622400}`, TokenRequest{Room: "tea", Role: "member", Expires: second.Add(366 * 24 * time.Hour)}, ""},
		{"longer", `{"room":"tea","ttl":31622401}`, TokenRequest{}, "ttl must be between 1 and 31622400 seconds"},
		{"no time at all", `{"room":"tea","ttl":0}`, TokenRequest{}, "ttl must be"},
		{"no room", `{}`, TokenRequest{}, "room must be 1 to 64"},
		{"a room that cannot be", `{"room":"a b"}`, TokenRequest{}, "room must be 1 to 64"},
		{"a long room", `{"room":"` + strings.Repeat("a", 65) + `"}`, TokenRequest{}, "room must be 1 to 64"},
		{"a long name", `{"room":"tea","name":"` + strings.Repeat("ü", 65) + `"}`, TokenRequest{}, "name may have at most 64"},
		{"another role", `{"room":"tea","role":"admin"}`, TokenRequest{}, `role must be "moderator" or "member", not "admin"`},
		{"no time", `{"room":"tea","not_before":"tomorrow"}`, TokenRequest{}, `not_before must be a time within the next 366 days, such as "2026-01-01T10:00:00Z"`},
		{"too far ahead", `{"room":"tea","not_before":"2027-01-03T00:00:00Z"}`, TokenRequest{}, "not_before must be"},
		{"no uses", `{"room":"tea","max_uses":0}`, TokenRequest{}, "max_uses must be between 1 and"},
		{"too many uses", `{"room":"tea","max_uses":2147483648}`, TokenRequest{}, "max_uses must be between 1 and"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var body tokenBody
			if err := decodeObject(strings.NewReader(test.body), likeToken, &body); err != nil {
				t.Fatal(err)
			}
			got, err := body.request(now)
			if test.err == "" && (err != nil || got != test.want) {
				t.Errorf("got %+v (%v), want %+v", got, err, test.want)
			}
			if test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("got %v, want %q", err, test.err)
			}
		})
	}
}

func TestMintToken(t *testing.T) {
	var request TokenRequest
	s := run(t, Config{MintToken: func(q TokenRequest) (Token, error) {
		request = q
		switch q.Room {
		case "unsigned":
			return Token{}, ErrCannotSign
		case "odd":
			return Token{}, &InvalidError{"name must be printable"}
		}
		return Token{"e30.e30.c2ln", "t1", q.Expires}, nil
	}})
	for _, test := range []struct {
		name, body string
		status     int
		contains   string
	}{
		{"minted", `{"room":"tea","ttl":60}`, 201, `{"token":"e30.e30.c2ln","id":"t1","expires":"`},
		{"no key", `{"room":"unsigned"}`, 503, "signaling.token_keys"},
		{"the daemon's objection", `{"room":"odd"}`, 400, `"detail":"name must be printable"`},
		{"a fraction", `{"room":"tea","ttl":1.5}`, 400, "ttl must be a whole number, not number 1.5"},
		{"a number for a name", `{"room":"tea","name":7}`, 400, "name must be a string, not number"},
		{"unknown field", `{"room":"tea","uses":1}`, 400, `unknown field \"uses\"`},
		{"nothing", ``, 400, "must be an object such as"},
		{"too large", `{"room":"tea","name":"` + strings.Repeat("a", maxBody) + `"}`, 413, "4096 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := ask(t, "POST", s.adminURL("/api/v1/tokens"), test.body)
			if got.status != test.status || !strings.Contains(got.body, test.contains) {
				t.Fatalf("got %d %s, want %d with %q", got.status, got.body, test.status, test.contains)
			}
			if got.status != 201 {
				return
			}
			var token Token
			if err := json.Unmarshal([]byte(got.body), &token); err != nil || !token.Expires.Equal(request.Expires) {
				t.Errorf("%s (%v), want what expires %v", got.body, err, request.Expires)
			}
			if left := time.Until(token.Expires); left > time.Minute || left < 50*time.Second || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("good for %v, headers %v", left, got.header)
			}
		})
	}
}

func FuzzTokenRequest(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"room":"tea","ttl":600}`, `{"room":"tea","not_before":"2026-01-02T11:00:00+01:00","max_uses":3}`, `{"room":null}`,
		`{"room":"tea","ttl":99999999999999999999}`, `{"room":"tea","not_before":"9999-12-31T23:59:59-23:59"}`, `{"room":"tea"}x`} {
		f.Add(seed)
	}
	now := time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		var body tokenBody
		if decodeObject(strings.NewReader(text), likeToken, &body) != nil {
			return
		}
		q, err := body.request(now)
		if err != nil {
			return
		}
		begin := now
		if q.NotBefore.After(now) {
			begin = q.NotBefore
		}
		if ttl := q.Expires.Sub(begin); ttl < minTokenTTL || ttl > maxTokenTTL || q.Expires.After(now.Add(2*maxTokenTTL)) || q.MaxUses < 0 || !isRoomName(q.Room) {
			t.Errorf("%q: %+v", text, q)
		}
		if _, err := json.Marshal(q); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}
