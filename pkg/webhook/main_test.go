package webhook

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

const secret = "hunter2hunter2hunter2"

// transcript is a log that can be read while it is written.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *transcript) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// warnings are the lines of the log that operators see.
func (l *transcript) warnings() (lines []string) {
	for line := range strings.Lines(l.String()) {
		if !strings.Contains(line, "level=DEBUG") {
			lines = append(lines, line)
		}
	}
	return lines
}

// receiver is an application's server.
type receiver struct {
	server *httptest.Server
	answer http.HandlerFunc // after the body was read

	mu      sync.Mutex
	arrived []arrival
	more    chan struct{} // closed when something has arrived
}

// arrival is one request as it came in.
type arrival struct {
	at     time.Time
	header http.Header
	body   string
	event  Event
}

// newReceiver listens on loopback.
func newReceiver(t *testing.T, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{answer: answer, more: make(chan struct{})}
	r.server = httptest.NewServer(r)
	t.Cleanup(r.server.Close)
	return r
}

// inBubble listens inside of the process, where a bubble's clock stands still while anything works.
func inBubble(t *testing.T, answer http.HandlerFunc) *receiver {
	t.Helper()
	r := &receiver{answer: answer, more: make(chan struct{})}
	r.server = &httptest.Server{Listener: newPipes(), Config: &http.Server{Handler: r}}
	r.server.Start()
	t.Cleanup(r.server.Close)
	return r
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	a := arrival{at: time.Now(), header: q.Header, body: string(body)}
	if err == nil {
		err = json.Unmarshal(body, &a.event)
	}
	if err != nil || q.Method != http.MethodPost {
		http.Error(w, "not an event", http.StatusTeapot)
		return
	}
	r.mu.Lock()
	r.arrived = append(r.arrived, a)
	close(r.more)
	r.more = make(chan struct{})
	r.mu.Unlock()
	r.answer(w, q)
}

// arrivals are the requests so far.
func (r *receiver) arrivals() []arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.arrived[:len(r.arrived):len(r.arrived)]
}

// wait returns the first n requests.
func (r *receiver) wait(t *testing.T, n int) []arrival {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		r.mu.Lock()
		got, more := r.arrived, r.more
		r.mu.Unlock()
		if len(got) >= n {
			return got[:n:n]
		}
		select {
		case <-more:
		case <-late.C:
			t.Fatalf("%d requests have arrived, want %d", len(got), n)
		}
	}
}

// sender is a Sender at work.
type sender struct {
	*Sender
	log  *transcript
	stop func() // ends Run and waits for that
}

// start sends to r until the test ends.
func start(t *testing.T, r *receiver, c Config) *sender {
	t.Helper()
	log := &transcript{}
	c.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if c.URL == "" {
		c.URL = r.server.URL + "/hook"
	}
	if c.Secret == "" {
		c.Secret = secret
	}
	if pipes, ok := r.server.Listener.(*pipes); ok {
		c.Client = &http.Client{Transport: &http.Transport{DialContext: pipes.dial}}
	}
	s := &sender{Sender: New(c), log: log}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if strings.Contains(log.String(), secret) {
			t.Error("the secret is in the log")
		}
		if t.Failed() {
			t.Log(log)
		}
	})
	t.Cleanup(s.stop)
	return s
}

// counts are what the metrics say.
type counts struct{ delivered, failed, dropped, queued int }

func (s *sender) counts(t *testing.T) (n counts) {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(s)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	results := map[string]*int{"delivered": &n.delivered, "failed": &n.failed, "dropped": &n.dropped}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			switch family.GetName() {
			case "maitred_webhooks_queued":
				n.queued = int(m.GetGauge().GetValue())
			case "maitred_webhooks_total":
				*results[m.GetLabel()[0].GetValue()] = int(m.GetCounter().GetValue())
			}
		}
	}
	return n
}

// want compares the metrics.
func (s *sender) want(t *testing.T, want counts) {
	t.Helper()
	if got := s.counts(t); got != want {
		t.Errorf("the metrics say %+v, want %+v", got, want)
	}
}

// pass lets a bubble's time go by.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// joined is an event of a room.
func joined(room, member string) Event {
	return Event{Type: MemberJoined, Room: Room{Name: room, ID: "1"}, Member: &Member{ID: member, Name: "Ann", Role: "member"}}
}

// pipes is a net.Listener inside of the process.
type pipes struct {
	accepted  chan net.Conn
	closed    chan struct{}
	closeOnce sync.Once
}

func newPipes() *pipes {
	return &pipes{accepted: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.accepted <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error {
	p.closeOnce.Do(func() { close(p.closed) })
	return nil
}

// Addr implements net.Listener.
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80} }
