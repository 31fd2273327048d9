package client

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maitred/maitred/pkg/signaling"
)

// agree plays one course of events between ann and bob.
func agree(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	w := &world{t: t, sides: map[string]*side{}}
	delays := []time.Duration{0, 50 * time.Millisecond, 3 * time.Second, 9 * time.Second}
	for _, id := range []string{"ann", "bob"} {
		w.sides[id] = newSide(w, id, delays[random.IntN(len(delays))], rand.New(rand.NewPCG(seed, 1)))
	}
	ann, bob := w.sides["ann"], w.sides["bob"]
	newcomer, there := ann, bob
	if random.IntN(2) == 0 {
		newcomer, there = bob, ann
	}
	there.n.Handle(&signaling.Joined{Self: signaling.Member{ID: there.id}, TTL: 1 << 20})
	there.n.Handle(&signaling.MemberJoined{Member: signaling.Member{ID: newcomer.id}})
	again := &signaling.Joined{Self: signaling.Member{ID: newcomer.id}, Members: []signaling.Member{{ID: there.id}}, TTL: 1 << 20}
	newcomer.n.Handle(again)
	for range random.IntN(20) {
		time.Sleep(time.Duration(random.Int64N(int64(4 * time.Second))))
		synctest.Wait()
		s := []*side{ann, bob}[random.IntN(2)]
		switch random.IntN(5) {
		case 0:
			s.n.Renew()
		case 1:
			s.n.Restart()
		case 2:
			s.current().peer.Negotiate()
		case 3:
			w.breakBoth()
		case 4:
			newcomer.n.Handle(again)
		}
	}
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	if a, b := ann.current(), bob.current(); a.partner != b.name || b.partner != a.name || a.status != StatusConnected || b.status != StatusConnected {
		t.Errorf("ann has %s to %s, %s; bob has %s to %s, %s", a.name, a.partner, a.status, b.name, b.partner, b.status)
		t.Log(strings.Join(w.log, "\n"))
	}
	for _, s := range w.sides {
		s.n.Close()
		close(s.line)
	}
	synctest.Wait()
}

// world has the two sides and knows which connections reach each other.
type world struct {
	t     *testing.T
	sides map[string]*side

	mu  sync.Mutex
	log []string
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, time.Now().Format("04:05.000 ")+fmt.Sprintf(format, args...))
}

// side is a Negotiator and its line to the other side, which keeps the order.
type side struct {
	w    *world
	id   string
	n    *Negotiator
	line chan []byte

	mu   sync.Mutex
	made []*simulated
}

func newSide(w *world, id string, delay time.Duration, random *rand.Rand) *side {
	s := &side{w: w, id: id, line: make(chan []byte, 1000)}
	s.n = newNegotiator(s, NegotiatorOptions{
		Connect: s.connect,
		Status:  func(p *Peer, status Status) { s.of(p).setStatus(status) },
		Failed:  func(_ *Peer, err error) { w.t.Errorf("%s: %v", id, err) },
	})
	go func() {
		for raw := range s.line {
			time.Sleep(delay/2 + time.Duration(random.Int64N(int64(delay/2+1))))
			w.other(id).n.Handle(&signaling.SignalFrom{From: id, Data: raw})
		}
	}()
	return s
}

func (w *world) other(id string) *side {
	if id == "ann" {
		return w.sides["bob"]
	}
	return w.sides["ann"]
}

func (s *side) signal(_ string, data any) error {
	raw, err := json.Marshal(data)
	if err == nil {
		s.w.note("%s: %s", s.id, raw)
		s.line <- raw
	}
	return err
}

func (s *side) refreshICE() error { return nil }
func (s *side) Reconnect()        {}

func (s *side) connect(p *Peer, _ []signaling.ICEServer) (Connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &simulated{side: s, peer: p, name: fmt.Sprintf("%s%d", s.id, len(s.made)+1)}
	s.made = append(s.made, c)
	return c, nil
}

func (s *side) current() *simulated {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made[len(s.made)-1]
}

func (s *side) of(p *Peer) *simulated {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.made {
		if c.peer == p {
			return c
		}
	}
	panic("a peer without a connection")
}

// simulated is a connection that is connected when both ends know each other's present generation.
type simulated struct {
	side *side
	peer *Peer
	name string

	// Guarded by the world, as two sides look at them.
	generation int // of its ICE credential
	offers     int
	pending    string // the offer without an answer
	partner    string // the connection at the other end
	remote     int    // its generation
	closed     bool
	status     Status
}

// describe names the connection, the generation and what it is: "o=- ann1 2\noffer 3".
func (c *simulated) describe(what string) string {
	return fmt.Sprintf("o=- %s %d\n%s", c.name, c.generation, what)
}

func (c *simulated) setStatus(s Status) {
	c.side.w.mu.Lock()
	defer c.side.w.mu.Unlock()
	c.status = s
}

func (c *simulated) Offer(restart bool) (Description, error) {
	w := c.side.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.pending != "" || c.closed {
		w.t.Errorf("%s: an offer in the middle of another, closed: %v", c.name, c.closed)
	}
	if restart {
		c.generation++
	}
	c.offers++
	c.pending = c.describe(fmt.Sprintf("offer %d", c.offers))
	return Description{"offer", c.pending}, nil
}

func (c *simulated) Local() Description {
	c.side.w.mu.Lock()
	defer c.side.w.mu.Unlock()
	return Description{"offer", c.pending}
}

func (c *simulated) Answer(offer Description) (Description, error) {
	w := c.side.w
	w.mu.Lock()
	defer w.mu.Unlock()
	before := c.remote
	if c.pending != "" || c.closed || !c.meets(offer.SDP) {
		w.t.Errorf("%s is asked to answer %q, pending %q, closed: %v", c.name, offer.SDP, c.pending, c.closed)
	}
	if c.remote != before {
		c.generation++
	}
	w.settle()
	return Description{"answer", c.describe("answer to " + strings.ReplaceAll(offer.SDP, "\n", " "))}, nil
}

func (c *simulated) Accept(answer Description) error {
	w := c.side.w
	w.mu.Lock()
	defer w.mu.Unlock()
	_, to, _ := strings.Cut(answer.SDP, "answer to ")
	if to != strings.ReplaceAll(c.pending, "\n", " ") || c.closed || !c.meets(answer.SDP) {
		w.t.Errorf("%s takes %q for an answer to %q, closed: %v", c.name, answer.SDP, c.pending, c.closed)
	}
	c.pending = ""
	w.settle()
	return nil
}

// meets reports whether the other end is still the same, as that cannot change within a connection.
func (c *simulated) meets(sdp string) bool {
	var name string
	if _, err := fmt.Sscanf(sdp, "o=- %s %d", &name, &c.remote); err != nil {
		return false
	}
	before := c.partner
	c.partner = name
	return before == "" || before == name
}

// settle tells the connections that reach each other so.
func (w *world) settle() {
	a, b := w.sides["ann"].current(), w.sides["bob"].current()
	if a.partner == b.name && b.partner == a.name && a.remote == b.generation && b.remote == a.generation {
		a.peer.StateChanged(StateConnected)
		b.peer.StateChanged(StateConnected)
	}
}

// breakBoth is what a change of network does.
func (w *world) breakBoth() {
	for _, s := range w.sides {
		s.current().peer.StateChanged(StateFailed)
	}
}

func (c *simulated) AddCandidate(Candidate) error { return nil }

func (c *simulated) Configure([]signaling.ICEServer) error { return nil }

func (c *simulated) Close() error {
	c.side.w.mu.Lock()
	defer c.side.w.mu.Unlock()
	c.closed = true
	return nil
}
