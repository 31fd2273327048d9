package daemon

import (
	"cmp"
	"crypto/rand"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maitred/maitred/pkg/config"
	"github.com/maitred/maitred/pkg/credential"
	"github.com/maitred/maitred/pkg/httpd"
	"github.com/maitred/maitred/pkg/ingress"
	"github.com/maitred/maitred/pkg/relay"
	"github.com/maitred/maitred/pkg/turn"
)

const (
	checkUser = "check-" // and the id: the relay's user
	maxEvents = 64       // that a check tells
	// maxUnclaimed is how many events are remembered that may yet turn out to be a check's: the time from a challenge to the request that
	// answers it, on a busy server.
	maxUnclaimed = 256
	maxProven    = 8 // addresses that a check's client is known to have
)

// checks are the tests of this server that pages are making. Each has a credential of its own, and is told what reached the relay of it: what
// carries its username, and what carries none and comes from its client's very address. A browser reaches the page and the relay over different
// addresses where it has IPv4 and IPv6, so what carries none also counts once its sender has shown the username.
type checks struct {
	// fixed after construction
	config           config.Check
	begin, free, end func(c *check) // open what the relay has for a check, end its allocations, close everything

	running  atomic.Int32 // how many there are, so that observe costs nothing while there is none
	stopping chan struct{}
	wait     sync.WaitGroup

	mu        sync.Mutex
	stopped   bool
	byID      map[string]*check
	byClient  map[netip.Addr][]*check
	begun     map[netip.Addr][]time.Time  // within the last minute
	swept     time.Time                   // when begun last lost who is in it no longer
	unclaimed [maxUnclaimed]unclaimedItem // the latest
	next      int                         // in unclaimed
}

type unclaimedItem struct {
	turn.Observed
	at time.Time
}

// check is one of them.
type check struct {
	// fixed after construction
	id     string
	client netip.Addr
	at     time.Time // when it began
	ttl    time.Duration
	late   chan struct{} // has an element when something came of its credential after finish

	// guarded by checks.mu
	finished bool // its client has done with it
	heard    map[turn.Listener]*heard
	events   []checkEvent
	proven   []netip.Addr // from which its credential was used
}

// heard is what came to one listener.
type heard struct {
	first    time.Time
	requests map[answered]int
}

type answered struct {
	method string
	code   int
}

func (c *check) user() string { return checkUser + c.id }

func newChecks(c config.Check, begin, free, end func(*check)) *checks {
	return &checks{config: c, begin: begin, free: free, end: end, stopping: make(chan struct{}), byID: map[string]*check{},
		byClient: map[netip.Addr][]*check{}, begun: map[netip.Addr][]time.Time{}}
}

// start begins a check, which ends by itself. Its errors are an *httpd.TooManyChecksError.
func (cs *checks) start(client netip.Addr, ttl time.Duration) (*check, error) {
	now, network := time.Now(), ingress.Network(client)
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if err := cs.refuseLocked(network, now); err != nil {
		return nil, err
	}
	c := &check{id: rand.Text(), client: client, at: now, ttl: ttl, late: make(chan struct{}, 1), heard: map[turn.Listener]*heard{}}
	cs.begun[network] = append(cs.begun[network], now)
	cs.byID[c.id] = c
	cs.byClient[client] = append(cs.byClient[client], c)
	cs.running.Add(1)
	cs.begin(c)
	cs.wait.Go(func() { cs.live(c) })
	return c, nil
}

// refuseLocked says why a client cannot begin another check now.
func (cs *checks) refuseLocked(network netip.Addr, now time.Time) error {
	if cs.stopped {
		return &httpd.TooManyChecksError{Wait: cs.config.TTL, Problem: "The daemon is shutting down; use another one."}
	}
	cs.sweepLocked(now)
	begun := slices.DeleteFunc(cs.begun[network], func(at time.Time) bool { return now.Sub(at) >= time.Minute })
	if delete(cs.begun, network); len(begun) > 0 {
		cs.begun[network] = begun
	}
	if n := cs.config.PerIP; n > 0 && len(begun) >= n {
		return &httpd.TooManyChecksError{Wait: time.Minute - now.Sub(begun[0]),
			Problem: "Too many checks were begun from your address within a minute; wait a little. The operator can raise check.per_ip."}
	}
	if len(cs.byID) < cs.config.Sessions {
		return nil
	}
	first := now
	for _, c := range cs.byID {
		if c.at.Before(first) {
			first = c.at
		}
	}
	return &httpd.TooManyChecksError{Wait: cs.config.TTL - now.Sub(first),
		Problem: "As many checks are running as this server takes at a time; wait a little. The operator can raise check.sessions."}
}

// sweepLocked forgets, once a minute, who has begun no check within the last one.
func (cs *checks) sweepLocked(now time.Time) {
	if now.Sub(cs.swept) < time.Minute {
		return
	}
	cs.swept = now
	maps.DeleteFunc(cs.begun, func(_ netip.Addr, begun []time.Time) bool {
		return now.Sub(begun[len(begun)-1]) >= time.Minute
	})
}

// live ends the check when its time is over, or the daemon stops.
func (cs *checks) live(c *check) {
	timer := time.NewTimer(time.Until(c.at.Add(c.ttl)))
	defer timer.Stop()
	for over := false; !over; {
		select {
		case <-c.late:
			cs.free(c)
		case <-timer.C:
			over = true
		case <-cs.stopping:
			over = true
		}
	}
	cs.end(c) // first: as long as its credential is good, mayReach knows the check
	cs.forget(c)
}

// finish ends the allocations of a check, and those that its credential makes from now on as soon as they are there. The check keeps its place until its time
// is over, so that whoever begins one after the other has no more than somebody who waits. It reports false when there is none.
func (cs *checks) finish(id string) bool {
	cs.mu.Lock()
	c := cs.byID[id]
	first := c != nil && !c.finished
	if first {
		c.finished = true
	}
	cs.mu.Unlock()
	if first { // once: it goes through all allocations that there are, and what comes later is live's
		cs.free(c)
	}
	return c != nil
}

func (cs *checks) forget(c *check) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.byID, c.id)
	rest := slices.DeleteFunc(cs.byClient[c.client], func(other *check) bool { return other == c })
	cs.byClient[c.client] = rest
	if len(rest) == 0 {
		delete(cs.byClient, c.client)
	}
	cs.running.Add(-1)
}

// stop ends all checks, has no other begin, and waits. It may be called again.
func (cs *checks) stop() {
	cs.mu.Lock()
	if !cs.stopped {
		cs.stopped = true
		close(cs.stopping)
	}
	cs.mu.Unlock()
	cs.wait.Wait()
}

// observe is turn.Config.Observe.
func (cs *checks) observe(e turn.Observed) {
	if cs.running.Load() == 0 {
		return
	}
	now := time.Now()
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if e.Username != "" {
		if c := cs.ofUserLocked(e.Username); c != nil {
			cs.claimLocked(c, e.Client)
			c.note(e, now)
			c.prove(e)
			c.refuseLate(e)
		}
		return
	}
	of := cs.byClient[e.Client.Addr()]
	for _, c := range of {
		c.note(e, now)
	}
	if len(of) == 0 {
		cs.unclaimed[cs.next] = unclaimedItem{e, now}
		cs.next = (cs.next + 1) % maxUnclaimed
	}
}

// prove notes an address from which the credential was used.
func (c *check) prove(e turn.Observed) {
	if e.Code == 0 && len(c.proven) < maxProven && !slices.Contains(c.proven, e.Client.Addr()) {
		c.proven = append(c.proven, e.Client.Addr())
	}
}

// refuseLate has what the credential of a finished check got ended.
func (c *check) refuseLate(e turn.Observed) {
	if !c.finished || e.Code != 0 {
		return
	}
	select {
	case c.late <- struct{}{}:
	default: // it is about to be
	}
}

// mayReach reports whether the user's allocations may send to ip. A check talks to itself: to the relay's own addresses, and to those that its client is
// known to have. For every other user it is true.
func (cs *checks) mayReach(user string, ip netip.Addr, own []netip.Addr) bool {
	id, ok := strings.CutPrefix(user, checkUser)
	if !ok {
		return true
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.byID[id]
	return c == nil || slices.Contains(own, ip) || slices.Contains(c.proven, ip)
}

func (cs *checks) ofUserLocked(username string) *check {
	_, user, err := credential.ParseUsername(username)
	if id, ok := strings.CutPrefix(user, checkUser); ok && err == nil {
		return cs.byID[id]
	}
	return nil
}

// claimLocked gives the check what its client sent from here before it showed the username.
func (cs *checks) claimLocked(c *check, client netip.AddrPort) {
	for i := range cs.unclaimed {
		item := &cs.unclaimed[(cs.next+i)%maxUnclaimed] // the oldest first
		if item.Client == client && !item.at.Before(c.at) {
			c.note(item.Observed, item.at)
			*item = unclaimedItem{}
		}
	}
}

func (c *check) note(e turn.Observed, at time.Time) {
	h := c.heard[e.Listener]
	if h == nil {
		h = &heard{first: at, requests: map[answered]int{}}
		c.heard[e.Listener] = h
	}
	if at.Before(h.first) {
		h.first = at
	}
	if e.Method != turn.Connect {
		h.requests[answered{e.Method, e.Code}]++
	}
	if len(c.events) < maxEvents {
		c.events = append(c.events, checkEvent{c.ms(at), e.Listener.Transport.String(), e.Client, e.Method, e.Code})
	}
}

// ms is how many milliseconds after its beginning that was.
func (c *check) ms(at time.Time) int64 { return at.Sub(c.at).Milliseconds() }

// checkReport is what GET /api/v1/check/{id} answers; docs/openapi.json describes it.
type checkReport struct {
	Client     netip.Addr       `json:"client"`
	AgeMS      int64            `json:"age_ms"`
	Transports []checkTransport `json:"transports"`
	Events     []checkEvent     `json:"events"`
}

type checkTransport struct {
	httpd.CheckListener
	Heard       bool           `json:"heard"`
	FirstMS     *int64         `json:"first_ms,omitempty"` // nil: never
	Requests    []checkRequest `json:"requests"`
	Allocations int            `json:"allocations"`
	Relayed     relay.Traffic  `json:"relayed"`
}

type checkRequest struct {
	Method string `json:"method"`
	Code   int    `json:"code"`
	Count  int    `json:"count"`
}

type checkEvent struct {
	AtMS      int64          `json:"at_ms"`
	Transport string         `json:"transport"`
	Client    netip.AddrPort `json:"client"`
	Method    string         `json:"method"`
	Code      int            `json:"code"`
}

// report tells what the server has seen of a check: told are the listeners that its client knows of; others follow where something came to
// them. It does not know the ports that clients know.
func (cs *checks) report(id string, told []turn.Listener, carried func(user string) map[turn.Listener]turn.Carried) (report checkReport, ports []turn.Listener, ok bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.byID[id]
	if c == nil {
		return report, nil, false
	}
	relayed := carried(c.user())
	all := slices.Clone(told)
	for _, l := range slices.SortedFunc(maps.Keys(c.heard), compareListeners) {
		if !slices.Contains(all, l) {
			all = append(all, l)
		}
	}
	report = checkReport{Client: c.client, AgeMS: c.ms(time.Now()), Events: slices.Clone(c.events), Transports: make([]checkTransport, len(all))}
	slices.SortStableFunc(report.Events, func(a, b checkEvent) int { return cmp.Compare(a.AtMS, b.AtMS) })
	if report.Events == nil {
		report.Events = []checkEvent{}
	}
	for i, l := range all {
		report.Transports[i] = c.transport(l, relayed[l])
	}
	return report, all, true
}

func compareListeners(a, b turn.Listener) int {
	return cmp.Or(cmp.Compare(a.Transport, b.Transport), cmp.Compare(a.Port, b.Port))
}

func (c *check) transport(l turn.Listener, carried turn.Carried) checkTransport {
	t := checkTransport{Requests: []checkRequest{}, Allocations: carried.Allocations, Relayed: carried.Traffic}
	h := c.heard[l]
	if h == nil {
		return t
	}
	first := c.ms(h.first)
	t.Heard, t.FirstMS = true, &first
	for r, n := range h.requests {
		t.Requests = append(t.Requests, checkRequest{r.method, r.code, n})
	}
	slices.SortFunc(t.Requests, func(a, b checkRequest) int {
		return cmp.Or(cmp.Compare(a.Method, b.Method), cmp.Compare(a.Code, b.Code))
	})
	return t
}

// startCheck is httpd.Config.StartCheck.
func (d *Daemon) startCheck(client netip.Addr, host string, atMost time.Duration) (httpd.Check, error) {
	_, urls := d.urls(host)
	if len(urls) == 0 {
		return httpd.Check{}, httpd.ErrNoTURN
	}
	ttl := d.config.Check.TTL
	if atMost > 0 {
		ttl = min(ttl, atMost)
	}
	c, err := d.checks.start(client, ttl)
	if err != nil {
		return httpd.Check{}, err
	}
	minted := d.authority.Mint(c.user(), ttl)
	out := httpd.Check{ID: c.id, ICEServers: httpd.ICEServers{ICEServers: d.servers(host, minted.Username, minted.Password), TTL: int64(ttl / time.Second)}}
	for _, l := range d.toldListeners(urls) {
		out.Listeners = append(out.Listeners, d.known(l))
	}
	return out, nil
}

// beginCheck, freeCheck and endCheck are what the relay has to do with a check.
func (d *Daemon) beginCheck(c *check) { d.turn.Keep(c.user()) }

func (d *Daemon) freeCheck(c *check) { d.turn.EndUser(c.user()) }

func (d *Daemon) endCheck(c *check) {
	// The credential itself lasts until the end of a second.
	d.authority.Revoke(c.user(), c.at.Add(c.ttl+time.Second), d.config.Signaling.Limits.Tokens)
	d.turn.EndUser(c.user())
}

// check is httpd.Config.Check.
func (d *Daemon) check(id string) (any, bool) {
	_, urls := d.urls("")
	report, listeners, ok := d.checks.report(id, d.toldListeners(urls), d.turn.Carried)
	for i, l := range listeners {
		report.Transports[i].CheckListener = d.known(l)
	}
	return report, ok
}

// known is a listener by the port that clients know.
func (d *Daemon) known(l turn.Listener) httpd.CheckListener {
	public := d.config.HTTPS.PublicPort
	if l.Transport == relay.TLS && public != 0 && l.Port == d.http.SecureAddr().Port() {
		l.Port = uint16(public)
	}
	return httpd.CheckListener{Transport: l.Transport.String(), Port: l.Port}
}

// toldListeners are those that TURN URLs lead to. Configured URLs may have ports that only whoever forwards them knows.
func (d *Daemon) toldListeners(urls []string) (told []turn.Listener) {
	open := d.listeners()
	for _, u := range urls {
		t := transportOf(u)
		var found turn.Listener
		for _, l := range open {
			if l.Transport == t && (found.Port == 0 || strings.Contains(u+"?", ":"+strconv.Itoa(int(d.known(l).Port))+"?")) {
				found = l
			}
		}
		if found.Port != 0 && !slices.Contains(told, found) {
			told = append(told, found)
		}
	}
	return told
}

// transportOf is how one speaks to the server of a TURN URL (RFC 7065 section 3.1).
func transportOf(url string) relay.Transport {
	secure, overUDP := strings.HasPrefix(url, "turns:"), strings.HasSuffix(url, "?transport=udp")
	switch {
	case secure && overUDP:
		return relay.DTLS
	case secure:
		return relay.TLS
	case strings.HasSuffix(url, "?transport=tcp"):
		return relay.TCP
	}
	return relay.UDP
}

// listeners are all that are open.
func (d *Daemon) listeners() (open []turn.Listener) {
	add := func(t relay.Transport, a netip.AddrPort, ok bool) {
		if ok {
			open = append(open, turn.Listener{Transport: t, Port: a.Port()})
		}
	}
	a, ok := d.turn.UDPAddr()
	add(relay.UDP, a, ok)
	a, ok = d.turn.TCPAddr()
	add(relay.TCP, a, ok)
	add(relay.TLS, d.http.SecureAddr(), d.http.SecureAddr().IsValid())
	a, ok = d.turn.TLSAddr()
	add(relay.TLS, a, ok)
	a, ok = d.turn.DTLSAddr()
	add(relay.DTLS, a, ok)
	return open
}
