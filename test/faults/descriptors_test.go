//go:build linux

package faults

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/pion/stun"

	"github.com/maitred/maitred/test/harness"
)

// remedy is what an operator has to be told.
var remedy = regexp.MustCompile(`(?i)ulimit|LimitNOFILE|raise the (limit|number)`)

// TestOutOfFileDescriptors fills a daemon that may open few files.
func TestOutOfFileDescriptors(t *testing.T) {
	const limit = 64
	d := harness.StartUnder(t, []string{"prlimit", "--nofile=64:64"}, "MAITRED_TURN_SECRETS="+secret,
		"MAITRED_TURN_ALLOW_PEERS=127.0.0.0/8", "MAITRED_TURN_QUOTA_PER_USER=0")
	call := newCall(t, d)
	call.ping()

	clients := fillUntilRefused(t, d, limit)
	call.ping()
	warned(t, d, "no relayed address to give")

	// The kernel takes the connection; the daemon cannot yet. Its answer comes
	// when there are descriptors again.
	waiting := dial(t, "tcp", d.Listening("turn-tcp"))
	waiting.send(waiting.build(stun.MethodBinding).Raw)
	warned(t, d, "cannot accept a connection")
	call.ping()
	for _, c := range clients {
		if code := c.request(stun.MethodRefresh, lifetime(0)); code != 0 {
			t.Fatalf("Refresh: %d", code)
		}
	}
	if b := waiting.receive(patience); b == nil || !stun.IsMessage(b) {
		t.Errorf("a connection that had to wait got %x", b)
	}
	waiting.allocate()
	dial(t, "udp", d.Listening("turn-udp")).allocate()
	call.ping()
	harness.Within(t, patience, "the page is served again", func() (bool, any) {
		status, body := harness.Get(d.Page("/healthz"))
		return status == http.StatusOK, body
	})
	wantRemedy(t, d)
}

// wantRemedy looks at every warning that names the cause: too many open files.
func wantRemedy(t *testing.T, d *harness.Daemon) {
	t.Helper()
	for _, line := range d.Log.Lines() {
		if strings.Contains(line, "too many open files") && !remedy.MatchString(line) {
			t.Errorf("this line does not say what to do (ulimit -n, LimitNOFILE): %s", line)
		}
	}
}

// fillUntilRefused makes allocations until one is refused, which must be with
// 508, twice, and on both transports' account.
func fillUntilRefused(t *testing.T, d *harness.Daemon, limit int) (clients []*client) {
	t.Helper()
	for range limit {
		c := dial(t, "udp", d.Listening("turn-udp"))
		code := c.request(stun.MethodAllocate, overUDP)
		if code == 508 {
			if code := c.request(stun.MethodAllocate, overUDP); code != 508 {
				t.Errorf("the second time: %d", code)
			}
			return clients
		}
		if code != 0 {
			t.Fatalf("Allocate: %d, want 508", code)
		}
		clients = append(clients, c)
	}
	t.Fatalf("%d allocations with %d file descriptors", len(clients), limit)
	return nil
}

// warned waits for a line of the log with that message.
func warned(t *testing.T, d *harness.Daemon, message string) {
	t.Helper()
	harness.Within(t, patience, "the log says: "+message, func() (bool, any) {
		for _, line := range d.Log.Lines() {
			var entry struct{ Level, Msg string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Level == "WARN" && regexp.MustCompile(message).MatchString(entry.Msg) {
				return true, nil
			}
		}
		return false, "nothing of it"
	})
}
