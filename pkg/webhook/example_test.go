package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What docs/operations.md shows.

// genuine tells whether a request comes from who has the key, and was made within five minutes.
func genuine(h http.Header, body, key []byte) bool {
	stamp := h.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", h.Get("webhook-id"), stamp, body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return hmac.Equal([]byte(want), []byte(h.Get("webhook-signature")))
}

// TestExample runs the example of the documentation, which must be this one.
func TestExample(t *testing.T) {
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(source), "\n// genuine ")
	example, _, _ = strings.Cut(example, "\n}\n")
	if !strings.Contains(string(document), "```go\n// genuine "+example+"\n}\n```") {
		t.Error("docs/operations.md shows another example")
	}
	r := newReceiver(t, taken)
	s := start(t, r, Config{})
	s.Send(joined("blue", "m"))
	a := r.wait(t, 1)[0]
	changed := func(name, value string) http.Header {
		h := a.header.Clone()
		h.Set(name, value)
		return h
	}
	old := strconv.FormatInt(time.Now().Add(-6*time.Minute).Unix(), 10)
	for _, test := range []struct {
		name   string
		header http.Header
		body   string
		key    string
		want   bool
	}{
		{"as it was sent", a.header, a.body, secret, true},
		{"another secret", a.header, a.body, secret + "x", false},
		{"another body", a.header, a.body + " ", secret, false},
		{"another id", changed("webhook-id", "x"), a.body, secret, false},
		{"another time", changed("webhook-timestamp", old), a.body, secret, false},
		{"an old request", oldRequest(old, a.body), a.body, secret, false},
		{"no time", changed("webhook-timestamp", ""), a.body, secret, false},
		{"no signature", changed("webhook-signature", ""), a.body, secret, false},
	} {
		if got := genuine(test.header, []byte(test.body), []byte(test.key)); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// TestExampleEvent: the event in the documentation is one that could be sent.
func TestExampleEvent(t *testing.T) {
	document, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(document), "\n## Webhooks\n")
	_, example, _ := strings.Cut(section, "```json\n")
	example, _, _ = strings.Cut(example, "```")
	var shown bytes.Buffer
	if err := json.Compact(&shown, []byte(example)); err != nil {
		t.Fatal(err)
	}
	var e Event
	if err := json.Unmarshal(shown.Bytes(), &e); err != nil {
		t.Fatal(err)
	}
	if sent, err := json.Marshal(e); err != nil || !bytes.Equal(sent, shown.Bytes()) {
		t.Errorf("the document shows\n%s, sent would be\n%s (%v)", shown.Bytes(), sent, err)
	}
}

// oldRequest is signed rightly.
func oldRequest(stamp, body string) http.Header {
	h := http.Header{}
	h.Set("webhook-id", "x")
	h.Set("webhook-timestamp", stamp)
	h.Set("webhook-signature", "v1,"+signature([]byte(secret), "x", stamp, []byte(body)))
	return h
}
