package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/maitred/maitred/pkg/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// load makes a configuration on loopback with ports that the system chooses; settings are keys and values over that.
func load(t *testing.T, settings ...string) *config.Config {
	t.Helper()
	flags := map[string]string{
		"http.listen": "127.0.0.1:0", "admin.listen": "127.0.0.1:0", "turn.udp": "127.0.0.1:0", "turn.tcp": "127.0.0.1:0",
		"turn.external_ip": "127.0.0.1", "turn.relay_ports": "none", "state_dir": t.TempDir(), "drain_timeout": "0s",
	}
	for i := 0; i < len(settings); i += 2 {
		maps.Copy(flags, map[string]string{settings[i]: settings[i+1]})
	}
	c, _, err := config.Load(config.Options{Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// transcript is a log that several goroutines write.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *transcript) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// running is a daemon at work.
type running struct {
	*Daemon
	t      *testing.T
	log    *transcript
	stop   context.CancelFunc
	ended  chan struct{} // closed when Run has returned
	result error         // of Run, to be read after ended
}

// start runs a daemon until the test ends, and sees to it that nothing of it is left then.
func start(t *testing.T, settings ...string) *running {
	t.Helper()
	before := goleak.IgnoreCurrent()
	r := &running{t: t, log: &transcript{}, ended: make(chan struct{})}
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if r.Daemon, err = New(load(t, settings...), Build{Version: "v1", Commit: "c2", Go: "go3"}, log); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() {
		defer close(r.ended)
		r.result = r.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		r.Hurry()
		<-r.ended
		goleak.VerifyNone(t, before)
		if t.Failed() {
			t.Log(r.log)
		}
	})
	return r
}

// wait returns what Run returned.
func (r *running) wait() error {
	r.t.Helper()
	select {
	case <-r.ended:
		return r.result
	case <-time.After(patience):
		r.t.Fatal("Run does not return")
		return nil
	}
}

// eventually asks until the answer is yes.
func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); !yes(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// client keeps no connection open between requests.
func client(t *testing.T) *http.Client {
	transport := &http.Transport{DisableKeepAlives: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// request returns status and body.
func request(t *testing.T, method, url, bearer, body string) (int, string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		q.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := client(t).Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (r *running) page(path string) string  { return "http://" + r.http.Addr().String() + path }
func (r *running) admin(path string) string { return "http://" + r.http.AdminAddr().String() + path }

// member is a connection to a room.
type member struct {
	t  *testing.T
	ws *websocket.Conn
}

// message holds the fields of all server messages that the tests look at.
type message struct {
	Type       string
	Code       string
	Self       struct{ ID string }
	ICEServers []struct {
		URLs                 []string
		Username, Credential string
	}
	TTL int64
}

func (r *running) connect() *member {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+r.http.Addr().String()+"/ws",
		&websocket.DialOptions{Subprotocols: []string{"maitred.v1"}, HTTPClient: client(r.t)})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = ws.CloseNow() })
	return &member{r.t, ws}
}

// join connects and enters a room.
func (r *running) join(room string) (*member, message) {
	r.t.Helper()
	m := r.connect()
	m.send(`{"type":"join","room":"` + room + `","name":"Ann"}`)
	return m, m.expect("joined")
}

func (m *member) send(text string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := m.ws.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *member) expect(typ string) message {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, b, err := m.ws.Read(ctx)
	if err != nil {
		m.t.Fatalf("instead of %s: %v", typ, err)
	}
	var got message
	if err := json.Unmarshal(b, &got); err != nil || got.Type != typ {
		m.t.Fatalf("got %s, want %s (%v)", b, typ, err)
	}
	return got
}

// expectClose waits for the end of the connection.
func (m *member) expectClose(code websocket.StatusCode) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, b, err := m.ws.Read(ctx)
	if got := websocket.CloseStatus(err); got != code {
		m.t.Errorf("closed with %v (%v, message %s), want %v", got, err, b, code)
	}
}
