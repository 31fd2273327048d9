// Package relay is the data plane: it carries packets between TURN clients and their peers.
//
// A packet from a client enters through Relay.Input (a Front does that for a UDP socket, the stream listener for a connection).
// ChannelData, Send indications and Binding requests are dealt with right there; everything else is a control request and goes
// back to the caller. A packet from a peer enters through the socket of the session that owns the relayed address. What control
// requests grant is written into a session's routes, an immutable snapshot that packets read without a lock:
//
//	client -> Front -> Input -> Session -> relay socket -> peer
//	client <- Client <- Session <- relay socket <- peer
//	client -> Front -> Input -> Session -> other Session -> Client -> other client   (both ends relayed here)
//
// The package knows nothing of credentials, rooms or the TURN control protocol.
package relay

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maitred/maitred/pkg/udpio"
)

// Why no relayed address could be given out.
var (
	ErrNoAddress     = errors.New("no relayed address of the requested family is configured")
	ErrNoPorts       = errors.New("every relay port is in use")
	ErrNoReservation = errors.New("the reservation is unknown, used or has expired")
	ErrClosed        = errors.New("the relay is closed")
)

// Transport is how a client reaches the relay.
type Transport uint8

// The transports, in the order of their metrics.
const (
	UDP Transport = iota
	TCP
	TLS
	DTLS
	Transports // how many there are
)

// String returns the transport's name in metrics and URLs.
func (t Transport) String() string { return [...]string{"udp", "tcp", "tls", "dtls"}[t] }

// Client is the way to one TURN client.
type Client interface {
	// Write sends or queues one complete STUN or ChannelData message; what it sends it sends through batch. It never blocks.
	// The result is DropNone or the reason why the message was thrown away.
	Write(batch udpio.Batch, b []byte) Drop
	// Addr is the client's address as the relay sees it.
	Addr() netip.AddrPort
	Transport() Transport
}

// Address is an address that relayed addresses carry.
type Address struct {
	Advertised netip.Addr // what clients and peers are told
	Bind       netip.Addr // what the relay sockets are bound to: the same, or the wildcard behind a NAT
}

// PortRange is an inclusive range of ports. The zero range makes relayed addresses virtual: they have no socket, and only
// clients of this relay can reach them.
type PortRange struct{ Min, Max uint16 }

// Virtual tells whether relayed addresses have no socket.
func (p PortRange) Virtual() bool { return p.Min == 0 }

// virtualPorts is what virtual addresses are numbered from (RFC 8656 section 7.2's range).
var virtualPorts = PortRange{49152, 65535}

// Config is what a relay needs to know.
type Config struct {
	Network   udpio.Network
	Addresses []Address // at most one for each family
	Ports     PortRange
}

// Relay owns the sessions. It is safe for concurrent use.
type Relay struct {
	config Config
	start  time.Time
	clock  atomic.Int64 // nanoseconds since start, refreshed by Run: exact to clockTick
	drops  [dropReasons]atomic.Uint64

	byRelayed table // sessions by relayed address
	forbidden atomic.Pointer[map[uint16]bool]
	ports     ports
	limits    atomic.Pointer[limits] // nil: none
	retired   retired
	total     bucket // last, away from what packets only read: all goroutines write it
}

// retired is the traffic of sessions that have ended.
type retired struct {
	mu      sync.Mutex
	traffic Traffic
}

// clockTick is the resolution of deadlines. Permissions and channels last minutes.
const clockTick = 100 * time.Millisecond

// New returns a relay without sessions.
func New(config Config) *Relay {
	r := &Relay{config: config, start: time.Now()}
	r.byRelayed.init()
	r.ports.init()
	r.forbidden.Store(&map[uint16]bool{})
	return r
}

// Run keeps the clock and ends reservations that nobody claimed, until ctx ends; then it closes every session.
func (r *Relay) Run(ctx context.Context) error {
	tick := time.NewTicker(clockTick)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.clock.Store(int64(time.Since(r.start)))
			r.expireReservations()
		case <-ctx.Done():
			r.close()
			return nil
		}
	}
}

func (r *Relay) close() {
	r.ports.close()
	for _, s := range r.byRelayed.all() {
		s.Close()
	}
}

// ForbidOwnPorts names the UDP ports of this process's own listeners, which no session may send to.
func (r *Relay) ForbidOwnPorts(ports ...uint16) {
	m := make(map[uint16]bool, len(ports))
	for _, p := range ports {
		m[p] = true
	}
	r.forbidden.Store(&m)
}

// IsRelayed tells whether a is an address that relayed addresses carry.
func (r *Relay) IsRelayed(a netip.Addr) bool {
	for _, own := range r.config.Addresses {
		if own.Advertised == a {
			return true
		}
	}
	return false
}

// HasFamily tells whether relayed addresses of the family exist.
func (r *Relay) HasFamily(ipv6 bool) bool { _, ok := r.address(ipv6); return ok }

func (r *Relay) address(ipv6 bool) (Address, bool) {
	for _, a := range r.config.Addresses {
		if a.Advertised.Is6() == ipv6 {
			return a, true
		}
	}
	return Address{}, false
}
