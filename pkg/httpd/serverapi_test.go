package httpd

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/maitred/maitred/pkg/httpd/openapitest"
)

var codeBlock = regexp.MustCompile("(?s)```(sh|json)\n(.*?)```")

// TestServerAPIPage runs each command of docs/server-api.md, and compares the
// answers that it shows with the document.
func TestServerAPIPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/server-api.md")
	if err != nil {
		t.Fatal(err)
	}
	cfg := apiConfig()
	room, _ := cfg.Room("tea")
	cfg.Room = func(string) (any, bool) { return room, true }
	cfg.CloseRoom = func(string, string) bool { return true }
	cfg.Kick = func(string, string, string) bool { return true }
	cfg.Message = func(string, string, json.RawMessage) error { return nil }
	report, _ := cfg.Check("c1")
	cfg.Check = func(string) (any, bool) { return report, true }
	cfg.EndCheck = func(string) bool { return true }
	s, d := run(t, cfg), openAPI(t)
	used := map[string]bool{}
	last := shown{}
	for _, block := range codeBlock.FindAllStringSubmatch(string(page), -1) {
		if block[1] == "json" {
			last.check(t, d, block[2])
			continue
		}
		for line := range strings.Lines(block[2]) {
			last = runCurl(t, s, d, strings.TrimSpace(line))
			used[last.op.ID] = true
		}
	}
	for _, op := range d.Operations() {
		if !used[op.ID] {
			t.Errorf("the page has no command for %s", op.ID)
		}
	}
}

// shown is the last operation that the page has shown, and what came of it.
type shown struct {
	op     openapitest.Operation
	status int
}

// check compares an answer on the page: that of the last command, or a problem.
func (s shown) check(t *testing.T, d *openapitest.Document, text string) {
	t.Helper()
	header, status := http.Header{"Content-Type": {"application/json"}}, s.status
	var p problem
	if json.Unmarshal([]byte(text), &p) == nil && p.Code != "" {
		header, status = http.Header{"Content-Type": {"application/problem+json"}}, p.Status
		s.op, _ = d.Find("GET", "/api/v1/rooms/tea")
	}
	if err := s.op.CheckResponse(status, header, []byte(text)); err != nil {
		t.Error(err)
	}
}

var (
	argument = regexp.MustCompile(`(?:'[^']*'|"[^"]*"|[^\s'"])+`)
	quotes   = regexp.MustCompile(`'([^']*)'|"([^"]*)"`)
)

// runCurl makes the request of a command as a shell and curl would.
func runCurl(t *testing.T, s *Server, d *openapitest.Document, command string) shown {
	t.Helper()
	command = strings.NewReplacer("$KEY", testKey, "$(date -u +%FT%TZ)", time.Now().UTC().Format(time.RFC3339)).Replace(command)
	arguments := argument.FindAllString(command, -1)
	if len(arguments) < 3 || arguments[0] != "curl" || arguments[1] != "-s" {
		t.Fatalf("not a command that this test can run: %s", command)
	}
	method, address, body := "GET", "", ""
	var headers []string
	for i := 2; i < len(arguments); i++ {
		next := func() string { i++; return quotes.ReplaceAllString(arguments[i], "$1$2") }
		switch arguments[i] {
		case "-X":
			method = next()
		case "-H":
			headers = append(headers, next())
		case "-d":
			method, body = "POST", next()
		default:
			i--
			address = next()
		}
	}
	public, isPublic := strings.CutPrefix(address, openapitest.Public)
	admin, isAdmin := strings.CutPrefix(address, openapitest.Admin)
	if isPublic == isAdmin {
		t.Fatalf("%s asks neither listener", command)
	}
	url := s.url(public)
	if isAdmin {
		url = s.adminURL(admin)
	}
	path, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(address, openapitest.Public), openapitest.Admin), "?")
	op, ok := d.Find(method, path)
	if !ok {
		t.Fatalf("%s: not in the document", command)
	}
	got := ask(t, method, url, body, headers...)
	if got.status >= 300 {
		t.Errorf("%s: %d %s", command, got.status, got.body)
	}
	if err := op.CheckResponse(got.status, got.header, []byte(got.body)); err != nil {
		t.Error(err)
	}
	if err := op.CheckRequest([]byte(body)); err != nil {
		t.Error(err)
	}
	return shown{op, got.status}
}
