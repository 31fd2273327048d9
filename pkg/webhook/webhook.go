// Package webhook tells an application's server what happens in rooms, by HTTP requests that are signed, kept in order for each room, and repeated
// until they are taken.
//
// Headers and signature are those of Standard Webhooks, so that its libraries verify them (docs/operations.md shows how to do it without one).
// Send puts an event into one of a few lanes, chosen by the name of its room. Each lane sends one event after the other, and an event that has to be
// tried again holds up those behind it: that is what keeps the order, and what keeps a receiver that is down for long from being asked more than sixteen
// times a minute. All lanes together hold no more than Config.Queue events; beyond that events are dropped and counted.
package webhook

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"hash/maphash"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Event is what the receiver is told: the JSON object of the request. What does not apply is absent in it.
type Event struct {
	ID     string    `json:"id"` // given by Send; the same in every attempt, and in the header webhook-id
	Type   Type      `json:"type"`
	Time   time.Time `json:"time"` // RFC 3339, UTC, whole milliseconds
	Room   Room      `json:"room"`
	Member *Member   `json:"member,omitempty"` // with MemberJoined and MemberLeft
	Reason string    `json:"reason,omitempty"` // with MemberLeft
	*Ended           // with MemberLeft and RoomEnded
}

// Type says what happened.
type Type string

// What happens. A room ends when its last member has left; another one of the same name has another id.
const (
	RoomStarted  Type = "room_started"
	RoomEnded    Type = "room_ended"
	MemberJoined Type = "member_joined"
	MemberLeft   Type = "member_left"
)

// Room is where it happened.
type Room struct {
	Name string `json:"name"`
	ID   string `json:"id"` // of this life of the room
}

// Member is whom it happened to.
type Member struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Role string `json:"role"`
}

// Ended is known of a member or a room at the end only.
type Ended struct {
	DurationMS int64   `json:"duration_ms"`
	Relayed    Relayed `json:"relayed"`                // of a room: by all its members
	Peak       int     `json:"peak_members,omitempty"` // of a room: the most members at once
}

// Relayed is payload in bytes, by the paths of the metrics.
type Relayed struct {
	Up           uint64 `json:"up_bytes"`
	Down         uint64 `json:"down_bytes"`
	ShortCircuit uint64 `json:"short_circuit_bytes"`
}

// Config is fixed for a Sender's life.
type Config struct {
	URL string // where to, http or https
	// Secret signs. One that begins with whsec_ is the key in base64 behind that, as Standard Webhooks writes it; any other is the key itself.
	Secret   string
	Queue    int           // events that wait or are under way; 0: 1000
	Timeout  time.Duration // of one attempt; 0: 5 seconds
	RetryFor time.Duration // how old an event becomes before it is given up; 0: one attempt
	Client   *http.Client  // nil: one of its own; redirects are never followed
	Log      *slog.Logger  // nil: slog.Default
}

// lanes is how many requests are under way at the same time.
const lanes = 8

// drainFor is how long Run goes on sending what is queued after its context has ended.
const drainFor = 3 * time.Second

// Sender sends events. It is a prometheus.Collector.
type Sender struct {
	// fixed after construction
	url, origin string // origin is as much of the URL as may be logged
	key         []byte
	timeout     time.Duration
	retryFor    time.Duration
	client      *http.Client
	log         *slog.Logger
	seed        maphash.Seed

	queue                      queue
	delivered, failed, dropped atomic.Uint64
	failedLog, droppedLog      rate.Sometimes
	told                       uint64 // of dropped; changed inside droppedLog.Do, and when all lanes have ended
}

// queue holds the events of all lanes.
type queue struct {
	most int

	mu     sync.Mutex
	length int // over all lanes
	lanes  [lanes]lane
}

// lane is guarded by queue.mu.
type lane struct {
	events []waiting     // the first one is under way
	wake   chan struct{} // has room for one
	closed bool          // Run has ended
}

// waiting is an event in the queue.
type waiting struct {
	Event
	deadline time.Time // no attempt begins after it, but for the first
}

// New returns a sender that sends nothing until Run.
func New(c Config) *Sender {
	s := &Sender{
		url: c.URL, origin: originOf(c.URL), key: keyOf(c.Secret), timeout: c.Timeout, retryFor: c.RetryFor,
		client: clientOf(c.Client), log: c.Log, seed: maphash.MakeSeed(), queue: queue{most: c.Queue},
		failedLog: rate.Sometimes{Interval: time.Second}, droppedLog: rate.Sometimes{Interval: time.Second},
	}
	if s.timeout == 0 {
		s.timeout = 5 * time.Second
	}
	if s.queue.most == 0 {
		s.queue.most = 1000
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	for i := range s.queue.lanes {
		s.queue.lanes[i].wake = make(chan struct{}, 1)
	}
	return s
}

// originOf leaves out what may be a secret: user, path and query.
func originOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

func keyOf(secret string) []byte {
	if encoded, ok := strings.CutPrefix(secret, "whsec_"); ok {
		if key, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			return key
		}
	}
	return []byte(secret)
}

// Send queues an event, which must not be changed after that. It never blocks: when the queue is full, or Run has ended, the event is dropped and counted.
// Events of one room are sent in the order in which they are given.
func (s *Sender) Send(e Event) {
	now := time.Now()
	if e.Time.IsZero() {
		e.Time = now
	}
	e.ID, e.Time = rand.Text(), e.Time.UTC().Truncate(time.Millisecond)
	if !s.queue.add(s.lane(e.Room.Name), waiting{e, now.Add(s.retryFor)}) {
		s.dropped.Add(1) // Run tells it: a log can block
	}
}

// tellDropped logs how many events were dropped since it was last told.
func (s *Sender) tellDropped() {
	if n := s.dropped.Load(); n > s.told {
		s.log.Warn("webhooks were dropped", "to", s.origin, "events", n-s.told, "queued", s.queue.len())
		s.told = n
	}
}

func (s *Sender) lane(room string) *lane {
	return &s.queue.lanes[maphash.String(s.seed, room)%lanes]
}

// Run sends until ctx ends. Then each event that is queued gets one more attempt, for three seconds altogether, and what is left is counted as
// dropped. It returns nil when everything that it started has ended.
func (s *Sender) Run(ctx context.Context) error {
	attempts, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var working sync.WaitGroup
	for i := range s.queue.lanes {
		working.Go(func() { s.work(ctx, attempts, &s.queue.lanes[i]) })
	}
	ended := make(chan struct{})
	go func() { working.Wait(); close(ended) }()
	<-ctx.Done()
	timer := time.NewTimer(drainFor)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		cut()
		<-ended
	}
	s.client.CloseIdleConnections()
	s.tellDropped()
	return nil
}

// add reports false when there is no place.
func (q *queue) add(l *lane, w waiting) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l.closed || q.length >= q.most {
		return false
	}
	q.length++
	l.events = append(l.events, w)
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return true
}

// first waits for the lane's first event, which stays in it until done. It is false once ctx has ended and none is left: nothing can be added then.
func (q *queue) first(ctx context.Context, l *lane) (w waiting, ok bool) {
	for {
		q.mu.Lock()
		if len(l.events) > 0 {
			w = l.events[0]
			q.mu.Unlock()
			return w, true
		}
		l.closed = ctx.Err() != nil
		closed := l.closed
		q.mu.Unlock()
		if closed {
			return waiting{}, false
		}
		select {
		case <-l.wake:
		case <-ctx.Done():
		}
	}
}

// done takes the lane's first event out.
func (q *queue) done(l *lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.length--
	l.events[0] = waiting{}
	l.events = l.events[1:]
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.length
}
