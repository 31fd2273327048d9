package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pion/stun"
	"golang.org/x/sync/errgroup"
)

// atOnce is how many sessions are set up at the same time.
const atOnce = 16

// session is an allocation with its channel bound: to a socket of ours, or to the relayed address of its partner.
type session struct {
	client *client
	peer   *net.UDPConn // nil in a pair
	err    error        // why it is of no use
}

// tooManyUnanswered is how many sessions may stay without an answer before the rest is given up: each costs all of its time.
const tooManyUnanswered = 2 * atOnce

// openSessions allocates for all sessions and binds their channels, or only connects. Those that failed have an err; the error is
// that of ctx, or that too many of them had no answer.
func openSessions(ctx context.Context, c *Config) (sessions []*session, took time.Duration, err error) {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	var unanswered atomic.Int64
	count := func(err error) {
		if errors.Is(err, errUnanswered) && unanswered.Add(1) == tooManyUnanswered {
			giveUp(fmt.Errorf("given up after %d of %d sessions without an answer: %w", tooManyUnanswered, c.Sessions, err))
		}
	}
	sessions = make([]*session, c.Sessions)
	for i := range sessions {
		sessions[i] = &session{}
	}
	start := time.Now()
	each(sessions, func(_ int, s *session) {
		if c.ConnectOnly {
			s.err = s.connect(ctx, c)
		} else {
			s.err = s.allocate(ctx, c)
		}
		count(s.err)
	})
	each(sessions, func(i int, s *session) {
		if s.err != nil || c.ConnectOnly {
			return
		}
		if c.Pair {
			s.err = s.bindPartner(ctx, sessions[i^1])
		} else {
			s.err = s.bindPeer(ctx)
		}
		count(s.err)
	})
	took = time.Since(start)
	if ctx.Err() != nil {
		closeSessions(sessions)
		return nil, took, context.Cause(ctx)
	}
	return sessions, took, nil
}

func each(sessions []*session, do func(i int, s *session)) {
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i, s := range sessions {
		g.Go(func() error {
			do(i, s)
			return nil
		})
	}
	_ = g.Wait() // the sessions have their errors
}

// portsTried is how often a session is tried from another port where the server still remembers an earlier client of that one
// (437, RFC 8656 section 7.4).
const portsTried = 3

func (s *session) allocate(ctx context.Context, c *Config) (err error) {
	for range portsTried {
		if s.client, err = dial(ctx, c); err != nil {
			return err
		}
		err = s.client.allocate(ctx)
		var refused *refusal
		if !errors.As(err, &refused) || refused.code != int(stun.CodeAllocMismatch) {
			return err
		}
		s.client.close()
	}
	return err
}

func (s *session) bindPeer(ctx context.Context) (err error) {
	if s.peer, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.client.relayed)); err != nil {
		return fmt.Errorf("reach the relayed address: %w", err)
	}
	enlarge(s.peer)
	return s.client.bind(ctx, s.peer.LocalAddr().(*net.UDPAddr).AddrPort())
}

// errPartner marks the half of a pair whose other half has failed.
var errPartner = errors.New("the other half of the pair failed")

func (s *session) bindPartner(ctx context.Context, partner *session) error {
	if !partner.client.allocated() {
		return errPartner
	}
	return s.client.bind(ctx, partner.client.relayed)
}

func (t *client) allocated() bool { return t != nil && t.relayed.IsValid() }

// working leaves the sessions that are of use, in a pair together with their partners, and the first error.
func working(sessions []*session, pair bool) (live []*session, failed int, first error) {
	for i, s := range sessions {
		err := s.err
		if err == nil && pair && sessions[i^1].err != nil {
			err = errPartner
		}
		if err == nil {
			live = append(live, s)
			continue
		}
		failed++
		if first == nil || errors.Is(first, errPartner) {
			first = err
		}
	}
	return live, failed, first
}

// releaseWithin bounds how long allocations are given back; what is left then expires.
const releaseWithin = 2 * time.Second

// closeSessions gives every allocation back and closes all sockets. Over a stream the end of the connection does both.
func closeSessions(sessions []*session) {
	ctx, cancel := context.WithTimeout(context.Background(), releaseWithin)
	defer cancel()
	each(sessions, func(_ int, s *session) {
		if s.client.allocated() && s.client.r == nil {
			_ = s.client.release(ctx) // there is nothing else to do about it
		}
		if s.client != nil {
			s.client.closeWithin(ctx)
		}
		if s.peer != nil {
			_ = s.peer.Close()
		}
	})
}

// ends are both ends of every session's data path, or the clients of pairs.
func ends(sessions []*session, c *Config) (all []endpoint, err error) {
	for _, s := range sessions {
		e, err := s.client.end(shape{burst: c.Burst, size: c.Size, framed: true})
		if err != nil {
			return nil, err
		}
		all = append(all, e)
		if s.peer == nil {
			continue
		}
		if e, err = newPacketEnd(s.peer, shape{burst: c.Burst, size: c.Size}); err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// directEnds are as many ends, connected to each other without a relay.
func directEnds(c *Config) (all []endpoint, closeAll func(), err error) {
	var conns []*net.UDPConn
	closeAll = func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
	pairs := c.Sessions
	if c.Pair {
		pairs /= 2
	}
	for range pairs {
		a, b, err := connectedPair()
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		conns = append(conns, a, b)
	}
	for _, conn := range conns {
		e, err := newPacketEnd(conn, shape{burst: c.Burst, size: c.Size})
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		all = append(all, e)
	}
	return all, closeAll, nil
}

// connectedPair connects two sockets of this machine to each other.
func connectedPair() (a, b *net.UDPConn, err error) {
	loopback := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
	probe, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback))
	if err != nil {
		return nil, nil, err
	}
	port := probe.LocalAddr().(*net.UDPAddr)
	if a, err = net.DialUDP("udp4", net.UDPAddrFromAddrPort(loopback), port); err != nil {
		return nil, nil, errors.Join(err, probe.Close())
	}
	// Only a socket that is connected from the start costs the same as those of sessions, so the probe's port is used again.
	if err = probe.Close(); err == nil {
		b, err = net.DialUDP("udp4", port, a.LocalAddr().(*net.UDPAddr))
	}
	if err != nil {
		return nil, nil, errors.Join(err, a.Close())
	}
	enlarge(a)
	enlarge(b)
	return a, b, nil
}
