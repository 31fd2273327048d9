// Package turn is the TURN and STUN server: its listeners, the framing of streams, the checks on every control request, peer policy
// and quotas, with Pion's server behind one adaptor as the engine that keeps allocations (engine.go).
//
// A packet goes from its listener into package relay, which answers what carries media. What is left are control requests; they
// wait in a bounded queue for the control loop, so that media never waits for them:
//
//	listener -> relay.Input -> (ChannelData, Send, Binding: dealt with)
//	                        -> queue -> control loop -> checks -> engine -> routes of the session, response to the client
package turn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maitred/maitred/pkg/credential"
	"github.com/maitred/maitred/pkg/ingress"
	"github.com/maitred/maitred/pkg/relay"
	"github.com/maitred/maitred/pkg/udpio"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
)

// Off is the address of a listener that is not opened.
const Off = "off"

// Config is what a server needs to know.
type Config struct {
	UDP, TCP   string          // addresses to listen on, or Off
	TLS, DTLS  string          // the same over TLS; empty is Off, too
	TLSConfig  *tls.Config     // for TLS and DTLS; its GetCertificate must be set
	External   []netip.Addr    // what relayed addresses carry, at most one of each family
	RelayPorts relay.PortRange // zero: virtual relayed addresses
	Authority  *credential.Authority
	Quota      Quota
	Bandwidth  Bandwidth
	Peers      Peers
	// MemberMay tells whether the user may have a permission for ip, which Peers allows. The control loop waits for it. Nil: always.
	MemberMay func(user string, ip netip.Addr) bool

	UnauthenticatedPerIP int                                    // 401 answers a second; 0: no limit
	ConnectionsPerIP     int                                    // open stream connections; 0: no limit
	PeersPerAllocation   int                                    // permissions
	DTLSHandshakes       int                                    // at the same time
	StreamQueue          int                                    // bytes that a stream client may be behind
	HandshakeTimeout     time.Duration                          // for TLS and DTLS, the PROXY header included
	TrustedProxies       []netip.Prefix                         // may say in a PROXY header who their client is
	Inherited            func(key, address string) net.Listener // an open socket for the key, or nil; may be nil

	// Observe is told of every control request that is answered, before its client has the answer, and of every connection that is taken on. The
	// control loop waits for it. Nil: nobody is.
	Observe func(Observed)

	// IdleTimeout is how long a connection without an allocation may stay silent. One with an allocation that stays silent ends
	// when that expires.
	IdleTimeout time.Duration

	Network udpio.Network // nil: the best there is on this system

	Metrics *ingress.Metrics // of TLS; may be nil
	Log     *slog.Logger
}

// Quota bounds allocations: 486 beyond it. 0 is no quota.
type Quota struct{ PerUser, PerIP, Total int }

// Bandwidth bounds what is relayed, in bits of payload a second; what is over it is dropped. 0 is no limit.
type Bandwidth struct {
	PerAllocation int64 // in each direction
	Total         int64 // every packet counts once
}

// Peers says whom clients may reach beyond, or short of, the default.
type Peers struct{ Allow, Deny []netip.Prefix }

// Server is the TURN server. New binds its listeners, Run serves them.
type Server struct {
	// fixed after construction
	config    Config
	log       *slog.Logger
	network   udpio.Network
	relay     *relay.Relay
	engine    *engine
	front     *relay.Front
	udp       []udpio.Socket    // one for each of the network's goroutines; none when off
	dtls      *dtlsFront        // nil when off
	tcp, tls  *ingress.Listener // nil when off
	newDirect func(net.Conn) *udpio.Direct
	stopping  chan struct{} // closed when Run's context has ended
	known     chan *request // control requests of clients that have an allocation
	strangers chan *request // and of those that have none
	buffers   sync.Pool     // *[maxControlFrame]byte
	inbounds  inbounds
	metrics   metrics
	nonces    nonceBinder

	policy       atomic.Pointer[policy]
	policyChange sync.Mutex // held by writers of policy
	quota        atomic.Pointer[Quota]
	draining     atomic.Bool
	live         allocations
	usage        usage
	conns        conns

	unprovenUDP, unprovenStream *addressLimiter // the control loop allows
	unauthorized                unauthorized    // owned by the control loop

	authLog, quotaLog, relayLog, acceptLog, policyLog rate.Sometimes // what could fill the log says one line a second
}

// controlQueue is how many control requests may wait in each queue; the engine does tens of thousands a second.
const controlQueue = 1024

const (
	sessionQueue = 32 // of those, how many of one client with an allocation: a browser that restarts ICE sends about ten at once
	knownInARow  = 16 // requests of clients with an allocation that go before everything else has a turn
)

// New opens the listeners. Its errors name the key of the address at fault.
func New(config Config) (*Server, error) {
	s := &Server{
		config: config, log: config.Log, metrics: newMetrics(), nonces: newNonceBinder(),
		inbounds: newInbounds(), newDirect: udpio.NewDirect, stopping: make(chan struct{}),
		known: make(chan *request, controlQueue), strangers: make(chan *request, controlQueue),
		live:           allocations{byKey: map[clientKey]*allocation{}, perUser: map[string]int{}, perIP: map[netip.Addr]int{}},
		conns:          conns{open: map[*conn]struct{}{}, perIP: map[netip.Addr]int{}},
		unprovenUDP:    newAddressLimiter(config.UnauthenticatedPerIP),
		unprovenStream: newAddressLimiter(config.UnauthenticatedPerIP),
		authLog:        rate.Sometimes{Interval: time.Second},
		quotaLog:       rate.Sometimes{Interval: time.Second},
		relayLog:       rate.Sometimes{Interval: time.Second},
		acceptLog:      rate.Sometimes{Interval: time.Second},
		policyLog:      rate.Sometimes{Interval: time.Second},
	}
	s.buffers.New = func() any { return new([maxControlFrame]byte) }
	var err error
	if s.network = config.Network; s.network == nil {
		if s.network, err = udpio.New(); err != nil {
			return nil, fmt.Errorf("start the event loops: %w", err)
		}
	}
	host, err := hostAddresses()
	if err != nil {
		s.network.Wait()
		return nil, fmt.Errorf("list this machine's addresses: %w", err)
	}
	s.relay = relay.New(relay.Config{Network: s.network, Addresses: relayAddresses(config.External, host), Ports: config.RelayPorts})
	s.front = s.relay.NewFront(s.controlUDP)
	s.SetQuota(config.Quota)
	s.SetBandwidth(config.Bandwidth)
	s.policy.Store(&policy{allow: config.Peers.Allow, deny: config.Peers.Deny, relayed: s.relay.IsRelayed, host: host})
	if err := s.listen(); err != nil {
		return nil, errors.Join(err, s.abandon())
	}
	if s.engine, err = newEngine(config.Authority.Realm()); err != nil {
		return nil, errors.Join(fmt.Errorf("start the TURN engine: %w", err), s.abandon())
	}
	return s, nil
}

// relayAddresses binds relay sockets to the advertised address where this machine has it, and to the wildcard behind a NAT.
func relayAddresses(external []netip.Addr, host map[netip.Addr]bool) (out []relay.Address) {
	for _, a := range external {
		bind := a
		switch {
		case host[a] || a.IsLoopback():
		case a.Is4():
			bind = netip.IPv4Unspecified()
		default:
			bind = netip.IPv6Unspecified()
		}
		out = append(out, relay.Address{Advertised: a, Bind: bind})
	}
	return out
}

func (s *Server) listen() (err error) {
	if s.config.UDP != Off {
		bind, err := bindAddress(s.config.UDP)
		if err != nil {
			return fmt.Errorf("turn.udp: %w", err)
		}
		if s.udp, err = s.network.OpenShared(bind, s.front); err != nil {
			return ingress.BindError("turn.udp", s.config.UDP, err)
		}
	}
	if isOn(s.config.DTLS) {
		if s.dtls, err = s.newDTLSFront(); err != nil {
			return err
		}
	}
	s.relay.ForbidOwnPorts(s.ownPorts()...)
	if isOn(s.config.TCP) {
		if s.tcp, err = s.listenStream("turn.tcp", s.config.TCP, nil); err != nil {
			return err
		}
	}
	if isOn(s.config.TLS) {
		if s.tls, err = s.listenStream("turn.tls", s.config.TLS, s.config.TLSConfig); err != nil {
			return err
		}
	}
	return nil
}

func isOn(address string) bool { return address != Off && address != "" }

// bindAddress resolves host:port; without a host it is the wildcard of both families.
func bindAddress(address string) (netip.AddrPort, error) {
	addr, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if addr.IP == nil {
		return netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(addr.Port)), nil
	}
	bind := addr.AddrPort()
	return netip.AddrPortFrom(bind.Addr().Unmap(), bind.Port()), nil
}

func (s *Server) listenStream(key, address string, config *tls.Config) (*ingress.Listener, error) {
	c := ingress.Config{Key: key, Address: address, Trusted: s.config.TrustedProxies, TLS: config, For: ingress.TURN, Timeout: s.config.HandshakeTimeout,
		Serve: s.serveStream, Metrics: s.config.Metrics, Log: s.log}
	if config != nil {
		// Handshakes count, too; in clear, connections are counted as soon as they are there.
		c.PerIP, c.PerIPIs = s.config.ConnectionsPerIP, "turn.limits.connections_per_ip"
	}
	if s.config.Inherited != nil {
		c.Inherited = s.config.Inherited(key, address)
	}
	return ingress.Listen(c)
}

// serveStream takes what came to a listener of TURN's own.
func (s *Server) serveStream(c *ingress.Conn) {
	if c.For == ingress.ClearHTTP { // a browser, by mistake
		_ = c.Wire.Close()
		return
	}
	s.ServeConn(c)
}

// ownPorts are those of the UDP listeners.
func (s *Server) ownPorts() (ports []uint16) {
	for _, l := range []func() (netip.AddrPort, bool){s.UDPAddr, s.DTLSAddr} {
		if a, ok := l(); ok {
			ports = append(ports, a.Port())
		}
	}
	return ports
}

// UDPAddr is the address that the UDP listener is bound to; false when there is none.
func (s *Server) UDPAddr() (netip.AddrPort, bool) {
	if len(s.udp) == 0 {
		return netip.AddrPort{}, false
	}
	return s.udp[0].LocalAddr(), true
}

// DTLSAddr is the same for DTLS.
func (s *Server) DTLSAddr() (netip.AddrPort, bool) {
	if s.dtls == nil {
		return netip.AddrPort{}, false
	}
	return s.dtls.sockets[0].LocalAddr(), true
}

// TCPAddr is the same for TCP.
func (s *Server) TCPAddr() (netip.AddrPort, bool) { return streamAddr(s.tcp) }

// TLSAddr is the same for TLS, as far as this server listens for it itself.
func (s *Server) TLSAddr() (netip.AddrPort, bool) { return streamAddr(s.tls) }

func streamAddr(l *ingress.Listener) (netip.AddrPort, bool) {
	if l == nil {
		return netip.AddrPort{}, false
	}
	return l.Addr(), true
}

// Drain refuses new allocations with 508; those alive go on.
func (s *Server) Drain() { s.draining.Store(true) }

// SetQuota replaces the quotas. Allocations beyond a smaller quota stay.
func (s *Server) SetQuota(q Quota) { s.quota.Store(&q) }

// SetBandwidth replaces the bandwidth limits, for allocations that there are too.
func (s *Server) SetBandwidth(b Bandwidth) { s.relay.SetBandwidth(b.PerAllocation, b.Total) }

// SetPeers replaces the peer lists for permissions from now on.
func (s *Server) SetPeers(p Peers) {
	s.changePolicy(func(next *policy) { next.allow, next.deny = p.Allow, p.Deny })
}

func (s *Server) changePolicy(change func(*policy)) {
	s.policyChange.Lock()
	defer s.policyChange.Unlock()
	next := *s.policy.Load()
	change(&next)
	s.policy.Store(&next)
}

// Run serves until ctx ends; then it closes listeners, connections and allocations, in this order, and waits for all of them.
func (s *Server) Run(ctx context.Context) error {
	relayCtx, stopRelay := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRelay()
	var g, loops errgroup.Group
	g.Go(func() error { return s.relay.Run(relayCtx) })
	loops.Go(func() error { s.controlLoop(ctx); return nil })
	for _, l := range s.streams() {
		loops.Go(func() error { return l.Run(ctx) })
	}
	<-ctx.Done()
	close(s.stopping)
	err := s.closeListeners()
	s.conns.closeAll()
	err = errors.Join(err, loops.Wait())
	s.endAll(&endShutdown, func(*allocation) bool { return true })
	err = errors.Join(err, s.engine.close())
	stopRelay()
	err = errors.Join(err, g.Wait())
	s.network.Wait()
	return err
}

// Close ends a server that was never run.
func (s *Server) Close() error {
	return errors.Join(s.engine.close(), s.abandon())
}

// abandon closes what New opened.
func (s *Server) abandon() error {
	err := s.closeListeners()
	s.network.Wait()
	return err
}

func (s *Server) closeListeners() (err error) {
	for _, u := range s.udp {
		err = errors.Join(err, u.Close())
	}
	for _, l := range s.streams() {
		err = errors.Join(err, l.Close())
	}
	if s.dtls != nil {
		err = errors.Join(err, s.dtls.close())
	}
	return err
}

// streams are the listeners for TCP and TLS that there are.
func (s *Server) streams() (open []*ingress.Listener) {
	for _, l := range []*ingress.Listener{s.tcp, s.tls} {
		if l != nil {
			open = append(open, l)
		}
	}
	return open
}

// controlUDP queues a control request that came over UDP. When the queue is full the request is dropped: its client repeats it
// (RFC 8489 section 6.2.1), and media must not wait. Nobody fills a queue alone: neither a client with an allocation, or who forges
// its address, nor an address without one that has had all the 401 answers of this second.
func (s *Server) controlUDP(socket udpio.Socket, from netip.AddrPort, session *relay.Session, b []byte) {
	queue := s.known
	if session == nil {
		queue = s.strangers
		if s.unprovenUDP.spent(from.Addr(), time.Now()) && (!isSigned(b) || len(queue) > controlQueue/2) {
			s.relay.Drop(relay.DropUnauthorized)
			return
		}
	} else if session.Waiting.Load() >= sessionQueue {
		s.relay.Drop(relay.DropControlBusy)
		return
	}
	r, ok := s.copyRequest(&request{from: from, socket: socket, session: session, bytes: b})
	if !ok {
		return
	}
	select {
	case queue <- r:
	default:
		s.relay.Drop(relay.DropControlBusy)
		s.recycle(r)
	}
}

// submit queues a control request and waits for a place.
func (s *Server) submit(r *request) {
	r, ok := s.copyRequest(r)
	if !ok {
		return
	}
	queue := s.strangers
	if r.conn.present() != nil {
		queue = s.known
	}
	select {
	case queue <- r:
	case <-s.stopping:
		s.relay.Drop(relay.DropClosed)
		s.recycle(r)
	}
}

func (s *Server) copyRequest(r *request) (*request, bool) {
	if len(r.bytes) > maxControlFrame {
		s.relay.Drop(relay.DropControlBig)
		return nil, false
	}
	if r.session != nil {
		r.session.Waiting.Add(1)
	}
	buf := s.buffers.Get().(*[maxControlFrame]byte)
	r.bytes = buf[:copy(buf[:], r.bytes)]
	return r, true
}

func (s *Server) recycle(r *request) {
	if r.session != nil {
		r.session.Waiting.Add(-1)
	}
	s.buffers.Put((*[maxControlFrame]byte)(r.bytes[:maxControlFrame]))
}

// controlLoop answers control requests, one at a time, and ends allocations whose time is over, until ctx ends. Clients with an
// allocation go first, but never so that nothing else gets its turn.
func (s *Server) controlLoop(ctx context.Context) {
	second, minute := time.NewTicker(time.Second), time.NewTicker(time.Minute)
	defer second.Stop()
	defer minute.Stop()
	for inARow := 0; ; {
		if inARow < knownInARow {
			select {
			case r := <-s.known:
				s.handle(r)
				inARow++
				continue
			default:
			}
		}
		inARow = 0
		select {
		case r := <-s.known:
			s.handle(r)
		case r := <-s.strangers:
			s.handle(r)
		case now := <-second.C:
			s.watch(now)
			s.expire(now)
		case <-minute.C:
			s.refreshHost()
		case <-ctx.Done():
			return
		}
	}
}

// refreshHost takes over addresses that this machine has got since, so that nobody is relayed to them.
func (s *Server) refreshHost() {
	host, err := hostAddresses()
	if err != nil {
		s.log.Warn("this machine's addresses cannot be listed; those known remain denied to clients", "error", err)
		return
	}
	s.changePolicy(func(p *policy) { p.host = host })
}
