package client

import (
	"fmt"
	"strings"
	"sync"

	"github.com/maitred/maitred/pkg/signaling"
)

// State is a connection's own, as RTCPeerConnectionState has it.
type State string

// The states.
const (
	StateNew          State = "new"
	StateConnecting   State = "connecting"
	StateConnected    State = "connected"
	StateDisconnected State = "disconnected"
	StateFailed       State = "failed"
	StateClosed       State = "closed"
)

// Status says how the connection to a member does, over all attempts to mend it.
type Status string

// The values of Status.
const (
	StatusConnecting   Status = "connecting"   // it has not been connected yet
	StatusConnected    Status = "connected"    // media and data flow
	StatusReconnecting Status = "reconnecting" // it was, and will be mended
	StatusFailed       Status = "failed"       // nothing helped; Negotiator.Restart tries once more
)

// maxNotes bounds the candidates of a connection that wait to be sent; what is gathered in one go are a few per network interface.
const maxNotes = 256

// Peer is a connection to another member, with what is known of its negotiation. One that is replaced gets a new Peer.
type Peer struct {
	// Fixed after construction.
	n      *Negotiator
	member signaling.Member
	polite bool // gives way when two offers meet
	conn   Connection

	notes notes

	// Owned by the Negotiator.
	mayOffer bool   // no longer the one who waits for the first offer
	offering bool   // an offer has no answer yet
	remote   bool   // there is a remote description
	ignoring bool   // the last offer of the other side, as it met ours
	again    task   // what waits for an answer
	repeats  int    // of the present offer, counted anew when somebody wants it to be
	copies   int    // of the present offer that are on their way; each gets an answer
	late     int    // answers that are still to come to copies of offers before it
	session  string // of the remote description: the other side's connection
	stale    string // that of the connection which the other side throws away when it hears of this one

	state      State
	status     Status
	ever       bool // it was connected once
	restarts   int
	unanswered bool // it failed for lack of an answer, whatever the network is like

	firstOffer, answer, nextRestart *alarm
}

// task is what there is to do when the present offer, of either side, is answered. The greater ones do what the lesser ones do.
type task int

const (
	nothing task = iota
	negotiateAgain
	restartAgain
	renewAgain
)

// notes are what a connection told on goroutines of its own and the Negotiator has not seen yet.
type notes struct {
	mu         sync.Mutex
	candidates []Candidate
	dropped    int
	state      State // "" when it has not changed
	negotiate  bool
	closed     bool
}

// Member is the other one, as it was when the connection was made.
func (p *Peer) Member() signaling.Member { return p.member }

// Gathered is to be called with each local candidate. Like StateChanged and Negotiate it returns at once, and may be called from
// inside of any call of the Connection.
func (p *Peer) Gathered(c Candidate) {
	p.note(func(n *notes) {
		if len(n.candidates) >= maxNotes {
			n.dropped++
			return
		}
		n.candidates = append(n.candidates, c)
	})
}

// StateChanged is to be called with each new state.
func (p *Peer) StateChanged(s State) { p.note(func(n *notes) { n.state = s }) }

// Negotiate is to be called when something was added to the connection, or taken from it, after Connect: it makes an offer. Pion's
// OnNegotiationNeeded is not for that. It happens again after each answer where both sides only receive, so two that obey it never come to rest.
func (p *Peer) Negotiate() { p.note(func(n *notes) { n.negotiate = true }) }

func (p *Peer) note(f func(*notes)) {
	p.notes.mu.Lock()
	if !p.notes.closed {
		f(&p.notes)
	}
	p.notes.mu.Unlock()
	select {
	case p.n.noted <- struct{}{}:
	default:
	}
}

func (p *Peer) takeNotes() {
	p.notes.mu.Lock()
	candidates, dropped, state, negotiate := p.notes.candidates, p.notes.dropped, p.notes.state, p.notes.negotiate
	p.notes.candidates, p.notes.dropped, p.notes.state, p.notes.negotiate = nil, 0, "", false
	p.notes.mu.Unlock()
	for i := range candidates {
		p.send(signalData{Candidate: &candidates[i]})
	}
	if dropped > 0 {
		p.failed(fmt.Errorf("%d candidates at once are too many, dropped %d", maxNotes+dropped, dropped))
	}
	switch {
	case !negotiate:
	case p.mayOffer && !p.offering:
		p.offer(false)
	default:
		p.again = max(p.again, negotiateAgain)
	}
	if state != "" {
		p.stateChanged(state)
	}
}

func (p *Peer) close() {
	p.notes.mu.Lock()
	p.notes.closed = true
	p.notes.candidates, p.notes.dropped, p.notes.state, p.notes.negotiate = nil, 0, "", false
	p.notes.mu.Unlock()
	p.firstOffer.stop()
	p.answer.stop()
	p.nextRestart.stop()
	if err := p.conn.Close(); err != nil {
		p.failed(err)
	}
}

func (p *Peer) send(data signalData) {
	if err := p.n.room.signal(p.member.ID, data); err != nil {
		p.failed(err)
	}
}

func (p *Peer) failed(err error) {
	if p.n.opts.Failed != nil {
		p.n.opts.Failed(p, err)
	}
}

func (p *Peer) setStatus(s Status) {
	if p.status == s {
		return
	}
	p.status = s
	if p.n.opts.Status != nil {
		p.n.opts.Status(p, s)
	}
}

// setUnderWay is the status of a connection that may yet come.
func (p *Peer) setUnderWay() {
	if p.ever {
		p.setStatus(StatusReconnecting)
	} else {
		p.setStatus(StatusConnecting)
	}
}

// start makes the first offer; the newcomer's side calls it.
func (p *Peer) start() {
	p.firstOffer.stop()
	if !p.mayOffer {
		p.mayOffer = true
		p.offer(false)
	}
}

// expectOffer waits for the other's offer, but not for ever; the side that was there first calls it.
func (p *Peer) expectOffer() { p.firstOffer = p.n.after(firstOfferTimeout, p.start) }

// offer must not be called while one is under way.
func (p *Peer) offer(restart bool) {
	d, err := p.conn.Offer(restart)
	if err != nil {
		p.failed(err)
		p.giveUp()
		return
	}
	p.offering, p.repeats, p.copies = true, 0, 0
	p.again = nothing
	p.sendOffer(d)
}

func (p *Peer) sendOffer(d Description) {
	p.send(signalData{Description: &d})
	p.copies++
	p.answer.stop()
	p.answer = p.n.after(answerTimeout, p.notAnswered)
}

func (p *Peer) notAnswered() {
	if p.repeats < maxRepeats {
		p.repeats++
		p.sendOffer(p.conn.Local())
		return
	}
	p.giveUp()
}

// giveUp leaves media alone that flows all the same, as when only an ICE restart is refused.
func (p *Peer) giveUp() {
	if p.state != StateConnected {
		p.nextRestart.stop()
		p.unanswered = true
		p.setStatus(StatusFailed)
	}
}

// receive takes what the other side has signalled.
func (p *Peer) receive(data signalData) {
	switch d := data.Description; {
	case d == nil && data.Candidate != nil:
		p.addCandidate(*data.Candidate)
	case d == nil:
	case d.Type == "offer":
		p.receiveOffer(*d)
	case d.Type == "answer":
		p.receiveAnswer(*d)
	default:
		p.failed(fmt.Errorf("a description of type %.20q", d.Type))
	}
}

func (p *Peer) addCandidate(c Candidate) {
	if !p.remote {
		return // it belongs to an offer that was ignored, or to a connection that was replaced
	}
	if err := p.conn.AddCandidate(c); err != nil && !p.ignoring {
		p.failed(err)
	}
}

func (p *Peer) receiveOffer(d Description) {
	p.ignoring = p.offering && !p.polite
	switch {
	case p.ignoring:
		return
	case p.offering:
		p.renew() // instead of rolling back
		return
	}
	p.firstOffer.stop()
	answer, err := p.conn.Answer(d)
	switch {
	case err != nil && p.remote:
		p.failed(err)
		p.renew()
		return
	case err != nil:
		p.failed(err)
		p.n.replace(p, (*Peer).expectOffer)
		return
	}
	p.mayOffer = true
	p.heard(d)
	p.send(signalData{Description: &answer})
	p.doAgain()
}

func (p *Peer) receiveAnswer(d Description) {
	switch {
	case p.late > 0:
		p.late-- // if it was none of those after all, the offer will be sent again
		return
	case !p.offering:
		return // to an offer of a connection that was replaced
	}
	if err := p.conn.Accept(d); err != nil {
		p.failed(err)
		return
	}
	p.late = p.copies - 1
	p.offering, p.ignoring = false, false
	p.answer.stop()
	p.heard(d)
	p.doAgain()
}

func (p *Peer) doAgain() {
	switch p.again {
	case negotiateAgain:
		p.offer(false)
	case restartAgain:
		p.offer(true)
	case renewAgain:
		p.renew()
	}
}

// heard notes a remote description, by which the other side is alive.
func (p *Peer) heard(d Description) {
	p.remote, p.session = true, session(d)
	p.repeats = 0
	if p.unanswered {
		p.unanswered = false
		p.setUnderWay()
	}
}

// restart starts ICE again. An offer that has no answer is sent once more, and followed by a restart when it has one: a second offer
// on top of it is not everybody's.
func (p *Peer) restart(how manner) {
	p.nextRestart.stop()
	p.unanswered = false
	if p.status == StatusFailed {
		p.setUnderWay()
	}
	switch {
	case !p.mayOffer && how == atOnce:
		p.start()
	case !p.mayOffer:
	case p.offering:
		p.again = max(p.again, restartAgain)
		p.repeats = 0
		if how == atOnce {
			p.sendOffer(p.conn.Local())
		}
	default:
		p.offer(true)
	}
}

// manner says whether a restart waits for what the other side has on its way, for which there is reason after a resume: it comes next.
type manner bool

const (
	atOnce    manner = false
	patiently manner = true
)

// renewSoon renews when no answer to a first offer is on its way, which nobody could tell from that to the new connection's.
func (p *Peer) renewSoon() {
	if p.offering && !p.remote {
		p.again = renewAgain
	} else {
		p.renew()
	}
}

// renew makes a new connection at both ends.
func (p *Peer) renew() {
	p.send(signalData{Renew: true})
	p.n.replace(p, func(next *Peer) {
		next.stale = p.stale
		if p.remote {
			next.stale = p.session
		}
		next.start()
	})
}

func (p *Peer) stateChanged(s State) {
	p.state = s
	switch s {
	case StateConnected:
		p.ever, p.restarts = true, 0
		p.nextRestart.stop()
		p.setStatus(StatusConnected)
	case StateFailed:
		if p.restarts >= len(restartDelays) {
			p.nextRestart.stop()
			p.setStatus(StatusFailed)
			return
		}
		p.restartAfter(p.restarts)
	case StateDisconnected:
		// One side's restart is enough; should it not come, StateFailed makes the other side act.
		if !p.polite {
			p.nextRestart.stop()
			p.nextRestart = p.n.after(disconnectedGrace, p.restartByItself)
		}
		p.setUnderWay()
	case StateNew, StateConnecting:
		p.setUnderWay()
	}
}

func (p *Peer) restartAfter(attempt int) {
	p.nextRestart.stop()
	p.nextRestart = p.n.after(restartDelays[attempt], p.restartByItself)
	p.setUnderWay()
}

func (p *Peer) restartByItself() {
	p.restarts++
	p.n.restart(p)
}

// session is the id in a description's line "o=", which is the same for all descriptions of one connection and no other (RFC 8829 section 5.2.1).
func session(d Description) string {
	for line := range strings.Lines(d.SDP) {
		if fields := strings.Fields(line); len(fields) > 2 && strings.HasPrefix(line, "o=") {
			return fields[1]
		}
	}
	return ""
}
