package daemon

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestDrainTimeout tells members, gives them their time, then closes with 1001.
func TestDrainTimeout(t *testing.T) {
	r := start(t, "drain_timeout", "200ms")
	m, joined := r.join("blue")
	urls, username, credential := joined.turnServer(t)
	hold(t, urls, username, credential)
	begin := time.Now()
	r.stop()
	m.expect("draining")
	m.expectClose(websocket.StatusGoingAway)
	if err := r.wait(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took < 200*time.Millisecond || took > 200*time.Millisecond+closeTimeout {
		t.Errorf("it took %v", took)
	}
	if n := len(r.turn.Allocations()); n != 0 {
		t.Errorf("%d allocations are left", n)
	}
}

// TestDraining looks around while a daemon drains, then hurries it.
func TestDraining(t *testing.T) {
	r := start(t, "drain_timeout", "1h")
	m, joined := r.join("blue")
	urls, username, credential := joined.turnServer(t)
	hold(t, urls, username, credential)
	late := r.connect()
	r.stop()
	m.expect("draining")
	if status, body := request(t, http.MethodGet, r.page("/readyz"), "", ""); status != http.StatusServiceUnavailable || !strings.Contains(body, "draining") {
		t.Errorf("readyz: %d %s", status, body)
	}
	if code := dialTURN(t, urls[0]).allocate(username, credential); code != 508 {
		t.Errorf("a new allocation is answered with %d", code)
	}
	late.send(`{"type":"join","room":"blue","name":"Bob"}`)
	if e := late.expect("error"); e.Code != "server_draining" {
		t.Errorf("a new member is told %q", e.Code)
	}
	late.expectClose(websocket.StatusGoingAway)
	if n := r.allocations(); n != 2 {
		t.Errorf("%d of 2 allocations go on", n)
	}
	r.Hurry()
	r.Hurry()
	m.expectClose(websocket.StatusGoingAway)
	if err := r.wait(); err != nil {
		t.Error(err)
	}
}

// TestDrainEndsEarly when the last one has gone.
func TestDrainEndsEarly(t *testing.T) {
	for _, tt := range []struct {
		name string
		held bool
	}{{"nobody was there", false}, {"the last member leaves", true}} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, "drain_timeout", "1h")
			if !tt.held {
				r.stop()
				if err := r.wait(); err != nil {
					t.Error(err)
				}
				return
			}
			m, joined := r.join("blue")
			urls, username, credential := joined.turnServer(t)
			hold(t, urls, username, credential)
			r.stop()
			m.expect("draining")
			m.send(`{"type":"leave"}`)
			m.expectClose(websocket.StatusNormalClosure)
			if err := r.wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestStoppedBeforeItRan is a signal in the first moment.
func TestStoppedBeforeItRan(t *testing.T) {
	r := start(t)
	r.stop()
	if err := r.wait(); err != nil {
		t.Error(err)
	}
}

// TestPartFails closes the listeners of HTTP under the running daemon: everything else ends in order, and Run tells the cause.
func TestPartFails(t *testing.T) {
	r := start(t, "drain_timeout", "1h")
	m, joined := r.join("blue")
	urls, username, credential := joined.turnServer(t)
	hold(t, urls, username, credential)
	_ = r.http.Close() // meets the server's own closing
	m.expectClose(websocket.StatusGoingAway)
	if err := r.wait(); err == nil || !strings.HasPrefix(err.Error(), "serve http on 127.0.0.1:") {
		t.Errorf("Run returned %v", err)
	}
}
