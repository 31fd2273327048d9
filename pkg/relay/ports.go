package relay

import (
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/maitred/maitred/pkg/udpio"
)

// reservationLifetime is how long the port behind a RESERVATION-TOKEN is held (RFC 8656 section 7.2).
const reservationLifetime = 30 * time.Second

// ports are the relayed addresses that were promised but not yet claimed.
type ports struct {
	mu       sync.Mutex
	reserved map[[8]byte]reservation // bounded: one for each allocation at most
	closed   bool
}

type reservation struct {
	session  *Session
	deadline int64
}

func (p *ports) init() { p.reserved = map[[8]byte]reservation{} }

// Request says what relayed address a client wants (RFC 8656 section 7.2).
type Request struct {
	Client  Client
	Front   *Front       // where the client's packets come in; nil when it is on a stream
	Near    udpio.Socket // the socket that they come in through; nil when it is on a stream
	IPv6    bool
	Even    bool     // EVEN-PORT: the port is even
	Reserve bool     // EVEN-PORT with the R bit: the next port is held for a later request
	Token   *[8]byte // RESERVATION-TOKEN: the port that was held
}

// Open makes a session. With Reserve it returns the token under which the next port is held.
//
// The errors are ErrNoAddress, ErrNoPorts, ErrNoReservation, ErrClosed, and what the system says when it refuses a socket for
// another reason than a port in use (out of file descriptors, for example).
func (r *Relay) Open(req Request) (s *Session, token [8]byte, err error) {
	r.ports.mu.Lock()
	defer r.ports.mu.Unlock()
	if r.ports.closed {
		return nil, token, ErrClosed
	}
	if req.Token != nil {
		held, ok := r.ports.reserved[*req.Token]
		if !ok || held.deadline <= r.clock.Load() {
			return nil, token, ErrNoReservation
		}
		delete(r.ports.reserved, *req.Token)
		held.session.claim(req)
		return held.session, token, nil
	}
	s, next, err := r.openPort(req)
	if err != nil {
		return nil, token, err
	}
	if next != nil {
		rand.Read(token[:]) // never fails, see its documentation
		r.ports.reserved[token] = reservation{next, r.clock.Load() + int64(reservationLifetime)}
	}
	s.claim(req)
	return s, token, nil
}

// claim hands the session to its client.
func (s *Session) claim(req Request) {
	s.client, s.front = req.Client, req.Front
	if req.Front != nil {
		req.Front.sessions.put(req.Client.Addr(), s)
	}
}

// openPort walks through the range from a random port on: random, so that nobody can guess the next relayed address (RFC 8656
// section 7.2), and then in order, so that the last free port is found.
func (r *Relay) openPort(req Request) (s, next *Session, err error) {
	address, ok := r.address(req.IPv6)
	if !ok {
		return nil, nil, ErrNoAddress
	}
	span := r.config.Ports
	if span.Virtual() {
		span = virtualPorts
	}
	n := int(span.Max-span.Min) + 1
	start := mathrand.IntN(n)
	for i := range n {
		port := span.Min + uint16((start+i)%n)
		if req.Even && port%2 != 0 || req.Reserve && port == span.Max {
			continue
		}
		s, next, err := r.tryPort(address, port, req)
		if s != nil || err != nil {
			return s, next, err
		}
	}
	return nil, nil, ErrNoPorts
}

// tryPort opens the port, and the next one where that is to be reserved. Ports in use give neither session nor error.
func (r *Relay) tryPort(a Address, port uint16, req Request) (s, next *Session, err error) {
	if s, err = r.openSession(a, port, req.Near); s == nil || !req.Reserve {
		return s, nil, err
	}
	if next, err = r.openSession(a, port+1, req.Near); next == nil {
		s.Close()
		return nil, nil, err
	}
	return s, next, nil
}

// wsaEADDRINUSE is what Windows says; syscall.EADDRINUSE is not it there.
const wsaEADDRINUSE = syscall.Errno(10048)

func (r *Relay) openSession(a Address, port uint16, near udpio.Socket) (*Session, error) {
	s := &Session{relay: r, relayed: netip.AddrPortFrom(a.Advertised, port)}
	if r.byRelayed.get(s.relayed) != nil {
		return nil, nil
	}
	s.routes.Store(&noRoutes)
	if !r.config.Ports.Virtual() {
		var err error
		s.socket, err = r.config.Network.Open(netip.AddrPortFrom(a.Bind, port), s, near)
		if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, wsaEADDRINUSE) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("open a relay socket: %w", err)
		}
	}
	r.byRelayed.put(s.relayed, s)
	return s, nil
}

// Unreserve closes the port behind the token, unless it has been claimed: a reservation ends with the allocation that it was made
// with, so that reservations are bounded as allocations are.
func (r *Relay) Unreserve(token [8]byte) {
	r.ports.mu.Lock()
	held, ok := r.ports.reserved[token]
	delete(r.ports.reserved, token)
	r.ports.mu.Unlock()
	if ok {
		held.session.Close()
	}
}

// expireReservations closes the ports that nobody claimed in time.
func (r *Relay) expireReservations() {
	now := r.clock.Load()
	r.ports.mu.Lock()
	defer r.ports.mu.Unlock()
	for token, held := range r.ports.reserved {
		if held.deadline <= now {
			delete(r.ports.reserved, token)
			held.session.Close()
		}
	}
}

func (p *ports) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	clear(p.reserved) // the sessions are closed with all others
}
