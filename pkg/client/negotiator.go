package client

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/maitred/maitred/pkg/signaling"
)

const (
	// answerTimeout: an offer without an answer for this long was lost on the way and is sent again, maxRepeats times.
	answerTimeout = 10 * time.Second
	maxRepeats    = 3
	// firstOfferTimeout is how long the member who was there first waits for the newcomer's offer.
	firstOfferTimeout = 6 * time.Second
	// disconnectedGrace: "disconnected" often heals by itself; after this it gets an ICE restart.
	disconnectedGrace = 4 * time.Second
	// refreshTimeout: a request for ICE servers without an answer for this long means that the WebSocket is dead.
	refreshTimeout = 5 * time.Second
)

// restartDelays are waited before each automatic ICE restart; when they are used up the connection is StatusFailed.
var restartDelays = []time.Duration{0, 3 * time.Second, 8 * time.Second, 15 * time.Second}

// Connection is one WebRTC connection as a Negotiator drives it, one call at a time. A *webrtc.PeerConnection of Pion fits with
// few lines around it: see docs/examples/gomember. What it has to tell it tells the Peer that it was made for. It need not be able to roll back an offer.
type Connection interface {
	// Offer makes an offer, with new ICE credentials if restart, sets it as the local description and returns it.
	Offer(restart bool) (Description, error)
	// Local returns the local description with the candidates gathered so far.
	Local() Description
	// Answer sets an offer of the other side, makes the answer, sets that as well and returns it. After an error the connection is closed.
	Answer(offer Description) (Description, error)
	// Accept sets the other side's answer to the last Offer.
	Accept(answer Description) error
	// AddCandidate adds a candidate of the other side. It may refuse one that does not belong to its present description.
	AddCandidate(Candidate) error
	// Configure sets the servers for the next Offer that restarts.
	Configure(servers []signaling.ICEServer) error
	// Close ends the connection.
	Close() error
}

// Description is an RTCSessionDescription.
type Description struct {
	Type string `json:"type"` // offer or answer
	SDP  string `json:"sdp"`
}

// Candidate is an RTCIceCandidateInit. Pion's webrtc.ICECandidateInit converts to it and back.
type Candidate struct {
	Candidate        string  `json:"candidate"`
	SDPMid           *string `json:"sdpMid"`
	SDPMLineIndex    *uint16 `json:"sdpMLineIndex"`
	UsernameFragment *string `json:"usernameFragment"`
}

// signalData is what members send each other. Renew: the sender has thrown its connection away and offers a new one next.
type signalData struct {
	Description *Description `json:"description,omitempty"`
	Candidate   *Candidate   `json:"candidate,omitempty"`
	Renew       bool         `json:"renew,omitempty"`
}

// NegotiatorOptions sets a Negotiator up. Its functions are called one at a time, and must not call Handle or Close.
type NegotiatorOptions struct {
	// Connect makes a connection to a member. It adds the tracks and data channels that there are to be before the first offer, and has
	// the connection's events call p.Gathered and p.StateChanged. It is called for each member, and
	// again for the same one where a connection has to be replaced; the old one is closed before.
	Connect func(p *Peer, servers []signaling.ICEServer) (Connection, error)
	// Status is told how the connection to a member does. Nil: nobody.
	Status func(*Peer, Status)
	// Failed is told what went wrong: a connection that Connect did not make, a signal that makes no sense or does not go out, a description
	// or a candidate that does not apply. Only the first leaves a member without a connection. Nil: nobody.
	Failed func(*Peer, error)
}

// Negotiator keeps a Connection to every other member of a room, by the rules that the call page and sdk/maitred.js go by:
// who comes makes the offers, who is there waits for them, and takes the first step itself when none comes; of two offers that
// meet, that of the member with the smaller id gives way; a connection that breaks gets an ICE restart, with a fresh credential where
// the present one is about to end; a resumed seat keeps its connections.
type Negotiator struct {
	// Fixed after construction.
	room   signaler
	opts   NegotiatorOptions
	calls  chan func()
	noted  chan struct{} // holds a token when a peer may have notes
	ending chan struct{} // closed by Close
	done   chan struct{}
	once   sync.Once

	// Owned by run.
	self       string
	peers      map[string]*Peer
	servers    []signaling.ICEServer
	ttl        time.Duration
	expires    time.Time
	restarting []*Peer // wait for fresh servers
	refresh    *alarm  // nil: no request for servers is under way
}

// signaler is what a Negotiator needs of a Room. Nothing of it waits.
type signaler interface {
	signal(to string, data any) error
	refreshICE() error
	Reconnect()
}

// NewNegotiator returns a Negotiator for a room. The reader of room.Events gives it every event, from the first on; it must be closed.
func NewNegotiator(room *Room, opts NegotiatorOptions) *Negotiator { return newNegotiator(room, opts) }

func newNegotiator(room signaler, opts NegotiatorOptions) *Negotiator {
	n := &Negotiator{
		room: room, opts: opts,
		calls: make(chan func()), noted: make(chan struct{}, 1),
		ending: make(chan struct{}), done: make(chan struct{}),
		peers: map[string]*Peer{},
	}
	go n.run()
	return n
}

// Handle takes an event of the room. It returns when it is being dealt with, after all before it.
func (n *Negotiator) Handle(m signaling.ServerMessage) { n.do(func() { n.handle(m) }) }

// Renew makes all connections anew, and has the other sides do so: for who has changed what Connect gives them, such as
// the relay as the only way.
func (n *Negotiator) Renew() {
	n.do(func() {
		for _, p := range n.all() {
			p.renewSoon()
		}
	})
}

// Restart does an ICE restart with all members, and those that had failed get their automatic restarts back.
func (n *Negotiator) Restart() {
	n.do(func() {
		for _, p := range n.all() {
			p.restarts = 0
			n.restart(p)
		}
	})
}

// Close closes all connections and returns when they are. It may be called again.
func (n *Negotiator) Close() {
	n.once.Do(func() { close(n.ending) })
	<-n.done
}

func (n *Negotiator) run() {
	defer close(n.done)
	for {
		select {
		case f := <-n.calls:
			f()
		case <-n.noted:
			for _, p := range n.all() {
				p.takeNotes()
			}
		case <-n.ending:
			n.stopRefresh()
			n.removeAll()
			return
		}
	}
}

// do runs f on the Negotiator's goroutine. It returns when f has begun, or never will.
func (n *Negotiator) do(f func()) {
	select {
	case n.calls <- f:
	case <-n.ending:
	}
}

// alarm runs a function on the Negotiator's goroutine later, unless it is stopped before; only that goroutine does so.
type alarm struct {
	timer   *time.Timer
	stopped bool
}

func (n *Negotiator) after(d time.Duration, f func()) *alarm {
	a := &alarm{}
	a.timer = time.AfterFunc(d, func() {
		n.do(func() {
			if !a.stopped {
				f()
			}
		})
	})
	return a
}

// stop may be called on nil.
func (a *alarm) stop() {
	if a != nil {
		a.stopped = true
		a.timer.Stop()
	}
}

func (n *Negotiator) handle(m signaling.ServerMessage) {
	switch m := m.(type) {
	case *signaling.Joined:
		n.joined(m)
	case *signaling.MemberJoined:
		if m.Member.ID != n.self && n.peers[m.Member.ID] == nil {
			n.connect(m.Member, (*Peer).expectOffer)
		}
	case *signaling.MemberLeft:
		n.remove(m.Member)
	case *signaling.SignalFrom:
		n.signaled(m.From, m.Data)
	case *signaling.ICEServers:
		n.setServers(m.ICEServers, m.TTL)
		for _, p := range n.all() {
			if p.status == StatusFailed {
				p.restart(atOnce) // it may have been the credential
			}
		}
	}
}

// joined makes offers to who is there, and mends what a lost connection may have broken.
func (n *Negotiator) joined(m *signaling.Joined) {
	if n.self != m.Self.ID {
		n.removeAll()
	}
	n.self = m.Self.ID
	n.setServers(m.ICEServers, m.TTL)
	for id := range n.peers {
		if !slices.ContainsFunc(m.Members, func(o signaling.Member) bool { return o.ID == id }) {
			n.remove(id)
		}
	}
	for _, member := range m.Members {
		switch p := n.peers[member.ID]; {
		case p == nil:
			n.connect(member, (*Peer).start)
		case p.state != StateConnected:
			p.restart(patiently)
		}
	}
}

func (n *Negotiator) signaled(from string, raw json.RawMessage) {
	p := n.peers[from]
	if p == nil {
		return
	}
	var data signalData
	if err := json.Unmarshal(raw, &data); err != nil {
		p.failed(fmt.Errorf("signal: %w", err))
		return
	}
	first := p.mayOffer && !p.remote // it has offered, and the other has said nothing yet
	switch {
	case data.Description != nil && p.stale != "" && session(*data.Description) == p.stale:
	case data.Renew && first && !p.polite:
		// Both renewed at once: the polite side's is dropped, by both.
	case data.Renew:
		n.replace(p, (*Peer).expectOffer)
	case data.Description != nil && data.Description.Type == "offer" && first && p.polite:
		n.replace(p, func(p *Peer) { p.receive(data) })
	default:
		p.receive(data)
	}
}

// connect makes a connection to a member and begins with it.
func (n *Negotiator) connect(member signaling.Member, begin func(*Peer)) {
	p := &Peer{n: n, member: member, polite: n.self < member.ID, state: StateNew}
	conn, err := n.opts.Connect(p, slices.Clone(n.servers))
	if err != nil {
		p.failed(fmt.Errorf("connect: %w", err))
		return
	}
	p.conn = conn
	n.peers[member.ID] = p
	p.setStatus(StatusConnecting)
	begin(p)
}

// replace makes a new connection to the same member.
func (n *Negotiator) replace(p *Peer, begin func(*Peer)) {
	n.remove(p.member.ID)
	n.connect(p.member, begin)
}

func (n *Negotiator) remove(id string) {
	if p := n.peers[id]; p != nil {
		p.close()
		delete(n.peers, id)
	}
}

func (n *Negotiator) removeAll() {
	for id := range n.peers {
		n.remove(id)
	}
}

// all returns the peers of now; what is done with one may replace it.
func (n *Negotiator) all() []*Peer {
	peers := make([]*Peer, 0, len(n.peers))
	for _, p := range n.peers {
		peers = append(peers, p)
	}
	return peers
}

// restart does an ICE restart, with a fresh credential where the present one is about to end.
func (n *Negotiator) restart(p *Peer) {
	if n.expires.Sub(wallClock()) >= min(time.Minute, n.ttl/5) {
		p.restart(atOnce)
		return
	}
	n.restarting = append(n.restarting, p)
	if n.refresh != nil {
		return
	}
	n.refresh = n.after(refreshTimeout, func() {
		n.room.Reconnect()
		n.refreshed()
	})
	if err := n.room.refreshICE(); err != nil {
		p.failed(err)
	}
}

func (n *Negotiator) setServers(servers []signaling.ICEServer, ttl int) {
	n.servers, n.ttl = servers, time.Duration(ttl)*time.Second
	n.expires = wallClock().Add(n.ttl)
	for _, p := range n.peers {
		if err := p.conn.Configure(slices.Clone(servers)); err != nil {
			p.failed(err)
		}
	}
	n.refreshed()
}

// refreshed goes on with the restarts that waited, be there fresh servers or not.
func (n *Negotiator) refreshed() {
	n.stopRefresh()
	waited := n.restarting
	n.restarting = nil
	for _, p := range waited {
		if n.peers[p.member.ID] == p {
			p.restart(atOnce)
		}
	}
}

func (n *Negotiator) stopRefresh() {
	n.refresh.stop()
	n.refresh = nil
}
