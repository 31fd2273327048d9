package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maitred/maitred/pkg/signaling"
)

// stage has a Negotiator play with fake connections and a fake room, and writes down what it does.
type stage struct {
	t *testing.T
	n *Negotiator

	mu     sync.Mutex
	trace  []string
	latest map[string]*fakeConnection // by member
	made   map[string]int
	full   bool  // the room takes no signals
	broken error // what the next call of a connection returns
}

// perform runs one scene in a bubble, whose clock stands still while anything works.
func perform(t *testing.T, scene func(*stage)) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, latest: map[string]*fakeConnection{}, made: map[string]int{}}
		s.n = newNegotiator(s, NegotiatorOptions{
			Connect: s.connect,
			Status:  func(p *Peer, status Status) { s.note("%s is %s", s.name(p), status) },
			Failed:  func(p *Peer, err error) { s.note("%s: %v", s.name(p), err) },
		})
		defer s.n.Close()
		scene(s)
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.trace) > 0 {
			t.Errorf("and then:\n\t%s", strings.Join(s.trace, "\n\t"))
		}
	})
}

func (s *stage) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trace = append(s.trace, fmt.Sprintf(format, args...))
}

// wants compares what has happened since the last time; configurations, which say little, only where they are wanted.
func (s *stage) wants(lines ...string) {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	wantsConfigure := slices.ContainsFunc(lines, isConfigure)
	got := slices.DeleteFunc(s.trace, func(line string) bool { return isConfigure(line) && !wantsConfigure })
	if !slices.Equal(got, lines) {
		s.t.Errorf("did\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(lines, "\n\t"))
	}
	s.trace = nil
}

func isConfigure(line string) bool { return strings.Contains(line, "configure") }

// skip forgets what has happened.
func (s *stage) skip() {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trace = nil
}

func (s *stage) signal(to string, data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return err
	}
	s.mu.Lock()
	full := s.full
	s.mu.Unlock()
	if full {
		return errFull
	}
	var d signalData
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	switch {
	case d.Renew:
		s.note("to %s: renew", to)
	case d.Candidate != nil:
		s.note("to %s: candidate %s", to, d.Candidate.Candidate)
	case d.Description != nil && strings.Contains(d.Description.SDP, d.Description.Type):
		s.note("to %s: %s", to, d.Description.SDP)
	default:
		s.note("to %s: %s", to, raw)
	}
	return nil
}

func (s *stage) refreshICE() error {
	s.note("asks for ICE servers")
	return nil
}

func (s *stage) Reconnect() { s.note("reconnects") }

func (s *stage) connect(p *Peer, servers []signaling.ICEServer) (Connection, error) {
	if err := s.fails(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := p.Member().ID
	s.made[id]++
	c := &fakeConnection{stage: s, peer: p, name: fmt.Sprintf("%s#%d", id, s.made[id])}
	s.latest[id] = c
	return c, nil
}

// breaks has the next call of a connection fail.
func (s *stage) breaks(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = err
}

func (s *stage) fails() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.broken
	s.broken = nil
	return err
}

// fill has the room take no signals.
func (s *stage) fill(full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = full
}

func (s *stage) name(p *Peer) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.latest[p.Member().ID]; c != nil {
		return c.name
	}
	return p.Member().ID
}

// fakeConnection refuses what Pion does: an offer on top of an offer, and whatever comes after Close.
type fakeConnection struct {
	stage    *stage
	peer     *Peer
	name     string
	offers   int
	pending  string
	gathers  []string // told inside of the next Offer or Answer
	remote   bool
	isClosed bool
}

func (c *fakeConnection) fails() error {
	if c.isClosed {
		c.stage.t.Errorf("%s is used after Close", c.name)
	}
	return c.stage.fails()
}

func (c *fakeConnection) gather() {
	for _, it := range c.gathers {
		c.peer.Gathered(Candidate{Candidate: it})
	}
	c.gathers = nil
}

func (c *fakeConnection) Offer(restart bool) (Description, error) {
	if c.pending != "" {
		c.stage.t.Errorf("%s: an offer on top of an offer", c.name)
	}
	if err := c.fails(); err != nil {
		return Description{}, err
	}
	c.offers++
	c.pending = fmt.Sprintf("%s offer %d", c.name, c.offers)
	if restart {
		c.pending += " restart"
	}
	c.gather()
	return Description{"offer", c.pending}, nil
}

func (c *fakeConnection) Local() Description { return Description{"offer", c.pending + " again"} }

func (c *fakeConnection) Answer(offer Description) (Description, error) {
	if c.pending != "" {
		c.stage.t.Errorf("%s: asked to answer in the middle of an offer", c.name)
	}
	if err := c.fails(); err != nil {
		return Description{}, err
	}
	c.remote = true
	c.gather()
	return Description{"answer", fmt.Sprintf("%s answer to %s", c.name, offer.SDP)}, nil
}

func (c *fakeConnection) Accept(answer Description) error {
	if err := c.fails(); err != nil {
		return err
	}
	c.stage.note("%s accepts %s", c.name, answer.SDP)
	c.pending, c.remote = "", true
	return nil
}

func (c *fakeConnection) AddCandidate(candidate Candidate) error {
	if err := c.fails(); err != nil {
		return err
	}
	if !c.remote {
		return errors.New("no remote description")
	}
	c.stage.note("%s adds %s", c.name, candidate.Candidate)
	return nil
}

func (c *fakeConnection) Configure(servers []signaling.ICEServer) error {
	c.stage.note("%s configure %d", c.name, len(servers))
	return c.fails()
}

func (c *fakeConnection) Close() error {
	c.stage.note("%s closed", c.name)
	c.isClosed = true
	return nil
}

// What the room tells.

func (s *stage) joined(self string, members ...string) {
	m := &signaling.Joined{Self: signaling.Member{ID: self}, TTL: 3600}
	for _, id := range members {
		m.Members = append(m.Members, signaling.Member{ID: id})
	}
	s.n.Handle(m)
}

func (s *stage) comes(id string) {
	s.n.Handle(&signaling.MemberJoined{Member: signaling.Member{ID: id}})
}

func (s *stage) says(from, raw string) {
	s.n.Handle(&signaling.SignalFrom{From: from, Data: json.RawMessage(raw)})
}

func (s *stage) offers(from, sdp string) {
	s.says(from, `{"description":{"type":"offer","sdp":"`+sdp+`"}}`)
}

func (s *stage) answers(from, sdp string) {
	s.says(from, `{"description":{"type":"answer","sdp":"`+sdp+`"}}`)
}

func (s *stage) candidate(from, it string) {
	s.says(from, `{"candidate":{"candidate":"`+it+`","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":null}}`)
}

func (s *stage) renews(from string) { s.says(from, `{"renew":true}`) }

func (s *stage) ice(ttl int) {
	s.n.Handle(&signaling.ICEServers{ICEServers: []signaling.ICEServer{{URLs: []string{"turn:x"}}}, TTL: ttl})
}

// of is the present connection to a member.
func (s *stage) of(id string) *fakeConnection {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latest[id]
}

func (s *stage) state(id string, state State) { s.of(id).peer.StateChanged(state) }

// connected brings a newcomer to where it talks to bob, who was there before.
func (s *stage) connected(self string) {
	s.joined(self, "bob")
	s.answers("bob", "yes")
	s.state("bob", StateConnected)
	s.skip()
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// polite is before bob, impolite is after him.
const polite, impolite = "ann", "zed"

func TestNegotiator(t *testing.T) {
	for name, scene := range scenes {
		t.Run(name, func(t *testing.T) { perform(t, scene) })
	}
}

// scenes are what a negotiator lives through.
var scenes = map[string]func(*stage){
	"a newcomer makes the offers": func(s *stage) {
		s.joined(polite, "bob", "cay")
		s.wants("bob#1 is connecting", "to bob: bob#1 offer 1", "cay#1 is connecting", "to cay: cay#1 offer 1")
		s.answers("cay", "yes")
		s.wants("cay#1 accepts yes")
		s.state("cay", StateConnected)
		s.wants("cay#1 is connected")
		s.n.Handle(&signaling.MemberLeft{Member: "bob"})
		s.wants("bob#1 closed")
		pass(time.Hour) // and nothing happens by itself
	},
	"who was there waits for an offer": func(s *stage) {
		s.joined(polite)
		s.comes("bob")
		s.wants("bob#1 is connecting")
		pass(firstOfferTimeout - time.Millisecond)
		s.offers("bob", "X")
		s.wants("to bob: bob#1 answer to X")
		pass(time.Minute)
		s.comes("bob") // told twice
	},
	"but not for ever": func(s *stage) {
		s.joined(polite)
		s.comes("bob")
		s.skip()
		pass(firstOfferTimeout)
		s.wants("to bob: bob#1 offer 1")
	},
	"candidates go out after their description": func(s *stage) {
		s.joined(polite)
		s.comes("bob")
		s.of("bob").gathers = []string{"c1", "c2"}
		s.skip()
		s.offers("bob", "X")
		s.wants("to bob: bob#1 answer to X", "to bob: candidate c1", "to bob: candidate c2")
		s.of("bob").peer.Gathered(Candidate{Candidate: "c3"})
		s.wants("to bob: candidate c3")
	},
	"candidates come in": func(s *stage) {
		s.joined(polite, "bob")
		s.skip()
		s.candidate("bob", "early")
		s.answers("bob", "yes")
		s.candidate("bob", "c1")
		s.wants("bob#1 accepts yes", "bob#1 adds c1")
		s.breaks(errors.New("bad candidate"))
		s.candidate("bob", "c2")
		s.wants("bob#1: bad candidate")
	},
	"an offer that nobody answers": func(s *stage) {
		s.joined(polite, "bob")
		s.skip()
		for range maxRepeats {
			pass(answerTimeout)
			s.wants("to bob: bob#1 offer 1 again")
		}
		pass(answerTimeout)
		s.wants("bob#1 is failed")
		pass(time.Hour)
		s.answers("bob", "late")
		s.wants("bob#1 accepts late", "bob#1 is connecting")
	},
	"an offer that nobody answers does not end what works": func(s *stage) {
		s.connected(polite)
		s.of("bob").peer.Negotiate()
		s.wants("to bob: bob#1 offer 2")
		pass(time.Hour)
		s.wants("to bob: bob#1 offer 2 again", "to bob: bob#1 offer 2 again", "to bob: bob#1 offer 2 again")
	},
	"an answer too many": func(s *stage) {
		s.connected(polite)
		s.answers("bob", "yes again")
	},
	"first offers meet, the polite one answers on a new connection": func(s *stage) {
		s.joined(polite, "bob")
		s.skip()
		s.offers("bob", "X")
		s.wants("bob#1 closed", "bob#2 is connecting", "to bob: bob#2 answer to X")
		s.candidate("bob", "c1")
		s.wants("bob#2 adds c1")
		pass(time.Hour)
	},
	"first offers meet, the impolite one goes on": func(s *stage) {
		s.joined(impolite, "bob")
		s.skip()
		s.offers("bob", "X")
		s.candidate("bob", "of X")
		s.answers("bob", "yes")
		s.wants("bob#1 accepts yes")
	},
	"later offers meet, the polite one makes a new connection": func(s *stage) {
		s.connected(polite)
		s.state("bob", StateFailed)
		s.wants("bob#1 is reconnecting", "to bob: bob#1 offer 2 restart")
		s.offers("bob", "X")
		s.wants("to bob: renew", "bob#1 closed", "bob#2 is connecting", "to bob: bob#2 offer 1")
	},
	"later offers meet, the impolite one goes on": func(s *stage) {
		s.connected(impolite)
		s.n.Restart()
		s.wants("to bob: bob#1 offer 2 restart")
		s.offers("bob", "X")
		s.breaks(errors.New("of another generation"))
		s.candidate("bob", "of X")
		s.answers("bob", "yes")
		s.candidate("bob", "c1")
		s.wants("bob#1 accepts yes", "bob#1 adds c1")
	},
	"renewed by the other": func(s *stage) {
		s.connected(impolite)
		s.renews("bob")
		s.wants("bob#1 closed", "bob#2 is connecting")
		s.offers("bob", "X")
		s.wants("to bob: bob#2 answer to X")
	},
	"renewed by the other, which then says nothing": func(s *stage) {
		s.connected(polite)
		s.renews("bob")
		s.skip()
		pass(firstOfferTimeout)
		s.wants("to bob: bob#2 offer 1")
	},
	"both renew, the polite one's is dropped": func(s *stage) {
		s.connected(polite)
		s.n.Renew()
		s.wants("to bob: renew", "bob#1 closed", "bob#2 is connecting", "to bob: bob#2 offer 1")
		s.renews("bob")
		s.offers("bob", "X")
		s.wants("bob#2 closed", "bob#3 is connecting", "to bob: bob#3 answer to X")
	},
	"both renew, the impolite one's stays": func(s *stage) {
		s.connected(impolite)
		s.n.Renew()
		s.skip()
		s.renews("bob")
		s.offers("bob", "X")
		s.answers("bob", "yes")
		s.wants("bob#2 accepts yes")
	},
	"a new connection waits for the first answer to the old one": func(s *stage) {
		s.joined(polite, "bob")
		s.skip()
		s.n.Renew()
		s.wants()
		s.answers("bob", "yes")
		s.wants("bob#1 accepts yes", "to bob: renew", "bob#1 closed", "bob#2 is connecting", "to bob: bob#2 offer 1")
	},
	"an offer that was sent twice gets two answers": func(s *stage) {
		s.connected(polite)
		s.of("bob").peer.Negotiate()
		s.skip()
		pass(answerTimeout)
		s.answers("bob", "yes")
		s.n.Restart()
		s.wants("to bob: bob#1 offer 2 again", "bob#1 accepts yes", "to bob: bob#1 offer 3 restart")
		s.answers("bob", "yes to the copy")
		s.wants()
		s.answers("bob", "yes to the restart")
		s.wants("bob#1 accepts yes to the restart")
	},
	"what the other side said before it heard of the new connection": func(s *stage) {
		s.joined(polite, "bob")
		s.answers("bob", `o=- 1 1\r\n`)
		s.n.Restart()
		s.skip()
		s.n.Renew()
		s.wants("to bob: renew", "bob#1 closed", "bob#2 is connecting", "to bob: bob#2 offer 1")
		s.answers("bob", `o=- 1 2\r\n`)
		s.offers("bob", `o=- 1 3\r\n`)
		s.n.Renew() // waits for the answer to the first one
		s.wants()
		s.answers("bob", `o=- 2 1`)
		s.wants("bob#2 accepts o=- 2 1", "to bob: renew", "bob#2 closed", "bob#3 is connecting", "to bob: bob#3 offer 1")
	},
	"a failed connection is restarted, less and less often": func(s *stage) {
		s.connected(polite)
		for i, delay := range restartDelays {
			s.state("bob", StateFailed)
			s.skip()
			pass(delay - time.Millisecond)
			s.skip()
			pass(time.Millisecond)
			if delay > 0 {
				s.wants(fmt.Sprintf("to bob: bob#1 offer %d restart", i+2))
			}
			s.answers("bob", "yes")
			s.state("bob", StateConnecting)
			s.skip()
		}
		s.state("bob", StateFailed)
		s.wants("bob#1 is failed")
		s.n.Restart()
		s.wants("bob#1 is reconnecting", "to bob: bob#1 offer 6 restart")
		s.answers("bob", "yes")
		s.state("bob", StateFailed)
		s.wants("bob#1 accepts yes", "to bob: bob#1 offer 7 restart")
	},
	"a connection that stands has all its restarts again": func(s *stage) {
		s.connected(polite)
		for i := range 2 * len(restartDelays) {
			s.state("bob", StateFailed)
			s.wants("bob#1 is reconnecting", fmt.Sprintf("to bob: bob#1 offer %d restart", i+2))
			s.answers("bob", "yes")
			s.state("bob", StateConnected)
			s.wants("bob#1 accepts yes", "bob#1 is connected")
		}
	},
	"disconnected, the impolite one restarts after a while": func(s *stage) {
		s.connected(impolite)
		s.state("bob", StateDisconnected)
		s.wants("bob#1 is reconnecting")
		pass(disconnectedGrace - time.Millisecond)
		s.wants()
		pass(time.Millisecond)
		s.wants("to bob: bob#1 offer 2 restart")
	},
	"disconnected, the polite one leaves that to the other": func(s *stage) {
		s.connected(polite)
		s.state("bob", StateDisconnected)
		s.wants("bob#1 is reconnecting")
		pass(time.Minute)
		s.offers("bob", "X")
		s.wants("to bob: bob#1 answer to X")
	},
	"disconnected for a moment": func(s *stage) {
		s.connected(impolite)
		s.state("bob", StateDisconnected)
		pass(disconnectedGrace / 2)
		s.state("bob", StateConnected)
		s.wants("bob#1 is reconnecting", "bob#1 is connected")
		pass(time.Minute)
	},
	"a restart with an old credential asks for a fresh one": func(s *stage) {
		s.connected(polite)
		pass(time.Hour - time.Minute + time.Second)
		s.state("bob", StateFailed)
		s.n.Restart()
		s.wants("bob#1 is reconnecting", "asks for ICE servers")
		s.ice(3600)
		s.wants("bob#1 configure 1", "to bob: bob#1 offer 2 restart", "to bob: bob#1 offer 2 restart again")
	},
	"an answer about ICE servers that does not come": func(s *stage) {
		s.connected(polite)
		s.ice(1)
		pass(time.Second)
		s.skip()
		s.state("bob", StateFailed)
		s.wants("bob#1 is reconnecting", "asks for ICE servers")
		pass(refreshTimeout)
		s.wants("reconnects", "to bob: bob#1 offer 2 restart")
	},
	"who waits for ICE servers and is replaced is not restarted": func(s *stage) {
		s.connected(polite)
		pass(time.Hour)
		s.state("bob", StateFailed)
		s.renews("bob")
		s.skip()
		s.ice(3600)
		s.wants()
	},
	"fresh ICE servers give what has failed another try": func(s *stage) {
		s.joined(polite, "bob")
		pass((maxRepeats + 1) * answerTimeout)
		s.skip()
		s.ice(3600)
		s.wants("bob#1 configure 1", "bob#1 is connecting", "to bob: bob#1 offer 1 again")
	},
	"fresh ICE servers restart nothing else": func(s *stage) {
		s.connected(polite)
		s.ice(3600)
		s.wants("bob#1 configure 1")
	},
	"a restart in the middle of an offer follows the answer": func(s *stage) {
		s.joined(polite, "bob")
		s.skip()
		s.n.Restart()
		s.wants("to bob: bob#1 offer 1 again")
		s.answers("bob", "yes")
		s.wants("bob#1 accepts yes", "to bob: bob#1 offer 2 restart")
		s.answers("bob", "yes to the copy")
		s.answers("bob", "yes")
		s.wants("bob#1 accepts yes")
	},
	"a restart of who waits for the first offer makes it": func(s *stage) {
		s.joined(polite)
		s.comes("bob")
		s.n.Restart()
		s.wants("bob#1 is connecting", "to bob: bob#1 offer 1")
		pass(firstOfferTimeout)
	},
	"a resumed seat keeps its connections": func(s *stage) {
		s.joined(polite, "bob", "cay", "dan")
		for _, id := range []string{"bob", "cay", "dan"} {
			s.answers(id, "yes")
			s.state(id, StateConnected)
		}
		s.state("cay", StateDisconnected)
		s.skip()
		s.joined(polite, "bob", "cay", "eve")
		s.wants("dan#1 closed", "to cay: cay#1 offer 2 restart", "eve#1 is connecting", "to eve: eve#1 offer 1")
	},
	"a resumed seat waits for what is on its way": func(s *stage) {
		s.joined(polite, "bob")
		s.comes("cay")
		s.skip()
		s.joined(polite, "bob", "cay")
		s.wants()
		s.answers("bob", "yes")
		s.offers("cay", "X")
		s.wants("bob#1 accepts yes", "to bob: bob#1 offer 2 restart", "to cay: cay#1 answer to X")
	},
	"a new seat begins anew": func(s *stage) {
		s.connected(impolite)
		s.joined(polite, "bob")
		s.wants("bob#1 closed", "bob#2 is connecting", "to bob: bob#2 offer 1")
		s.offers("bob", "X") // and is the polite one now
		s.wants("bob#2 closed", "bob#3 is connecting", "to bob: bob#3 answer to X")
	},
	"a first offer that cannot be answered": func(s *stage) {
		s.joined(polite)
		s.comes("bob")
		s.of("bob")
		s.breaks(errors.New("bad offer"))
		s.offers("bob", "X")
		s.wants("bob#1 is connecting", "bob#1: bad offer", "bob#1 closed", "bob#2 is connecting")
		s.offers("bob", "X again")
		s.wants("to bob: bob#2 answer to X again")
	},
	"a later offer that cannot be answered": func(s *stage) {
		s.connected(polite)
		s.breaks(errors.New("bad offer"))
		s.offers("bob", "X")
		s.wants("bob#1: bad offer", "to bob: renew", "bob#1 closed", "bob#2 is connecting", "to bob: bob#2 offer 1")
	},
	"an answer that cannot be accepted": func(s *stage) {
		s.joined(polite, "bob")
		s.skip()
		s.breaks(errors.New("bad answer"))
		s.answers("bob", "X")
		s.wants("bob#1: bad answer")
		pass(answerTimeout)
		s.wants("to bob: bob#1 offer 1 again")
	},
	"an offer that cannot be made": func(s *stage) {
		s.joined(polite)
		s.comes("bob")
		s.skip()
		s.breaks(errors.New("no offer"))
		pass(firstOfferTimeout)
		s.wants("bob#1: no offer", "bob#1 is failed")
	},
	"a connection that cannot be made": func(s *stage) {
		s.breaks(errors.New("no ports"))
		s.joined(polite, "bob")
		s.wants("bob: connect: no ports")
		s.offers("bob", "X")
		s.n.Handle(&signaling.MemberLeft{Member: "bob"})
	},
	"something is added": func(s *stage) {
		s.connected(polite)
		s.of("bob").peer.Negotiate()
		s.wants("to bob: bob#1 offer 2")
		s.of("bob").peer.Negotiate()
		s.wants()
		s.answers("bob", "yes")
		s.wants("bob#1 accepts yes", "to bob: bob#1 offer 3")
		s.answers("bob", "yes")
		s.wants("bob#1 accepts yes")
	},
	"something is added before there was an offer": func(s *stage) {
		s.joined(polite)
		s.comes("bob")
		s.of("bob").peer.Negotiate()
		s.wants("bob#1 is connecting")
		s.offers("bob", "X")
		s.wants("to bob: bob#1 answer to X", "to bob: bob#1 offer 1")
	},
	"something is added that the first offer has": func(s *stage) {
		s.joined(polite)
		s.comes("bob")
		s.of("bob").peer.Negotiate()
		s.skip()
		pass(firstOfferTimeout)
		s.wants("to bob: bob#1 offer 1")
		s.answers("bob", "yes")
		s.wants("bob#1 accepts yes")
	},
	"signals that make no sense": func(s *stage) {
		s.connected(polite)
		for _, raw := range []string{`null`, `{}`, `{"candidate":null}`, `{"description":null}`, `{"chat":"hello"}`, `{"renew":false}`} {
			s.says("bob", raw)
		}
		s.offers("stranger", "X")
		s.wants()
		s.says("bob", `"hello"`)
		s.wants("bob#1: signal: json: cannot unmarshal string into Go value of type client.signalData")
		s.says("bob", `{"description":{"type":"pranswer","sdp":"X"}}`)
		s.wants(`bob#1: a description of type "pranswer"`)
	},
	"a signal that does not go out": func(s *stage) {
		s.fill(true)
		s.joined(polite, "bob")
		s.wants("bob#1 is connecting", "bob#1: "+errFull.Error())
		s.fill(false)
		pass(answerTimeout)
		s.wants("to bob: bob#1 offer 1 again")
	},
	"more candidates than there can be": func(s *stage) {
		s.joined(polite)
		s.comes("bob")
		c := s.of("bob")
		for i := range maxNotes + 2 {
			c.gathers = append(c.gathers, fmt.Sprint(i))
		}
		s.offers("bob", "X")
		synctest.Wait()
		s.mu.Lock()
		last := s.trace[len(s.trace)-2:]
		want := []string{fmt.Sprintf("to bob: candidate %d", maxNotes-1), "bob#1: 258 candidates at once are too many, dropped 2"}
		if len(s.trace) != maxNotes+3 || !slices.Equal(last, want) {
			s.t.Errorf("%d lines, the last are %q", len(s.trace), last)
		}
		s.trace = nil
		s.mu.Unlock()
	},
	"what a closed connection still tells is of no interest": func(s *stage) {
		s.connected(polite)
		old := s.of("bob")
		s.renews("bob")
		s.skip()
		old.peer.Gathered(Candidate{Candidate: "old"})
		old.peer.StateChanged(StateClosed)
		old.peer.Negotiate()
		s.wants()
	},
	"the end": func(s *stage) {
		s.connected(polite)
		pass(time.Hour)
		s.state("bob", StateFailed)
		s.skip()
		s.n.Close()
		s.wants("bob#1 closed")
		s.n.Close()
		s.joined("late", "bob")
		s.n.Renew()
		pass(time.Hour)
	},
}

// TestNegotiatorsAgree lets two Negotiators talk over a slow line, where all that may happen does at any time. When it is quiet again both
// have a connection to the present one of the other.
func TestNegotiatorsAgree(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { agree(t, seed) })
		})
	}
}
