// Package icecheck tries STUN and TURN servers from outside, as a client: it sends what a browser sends first and says in words what
// came back.
package icecheck

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/stun"
)

// Target is a server to try. Username and Password are for turn: and turns: URLs.
type Target struct {
	URL                string // stun:, turn: or turns:, as in an RTCIceServer (RFC 7064, RFC 7065)
	Username, Password string
	// TLS is for turns: and stuns: URLs; nil: the certificate is verified for the URL's host, as a browser does it.
	TLS *tls.Config
}

// Result is what came of one target.
type Result struct {
	URL     string         `json:"url"`
	Mapped  netip.AddrPort `json:"mapped,omitzero"`  // the address that the server saw
	Relayed netip.AddrPort `json:"relayed,omitzero"` // the address that it allocated; only for turn: and turns:
	Took    time.Duration  `json:"took"`             // from the first byte sent, in nanoseconds
	Err     error          `json:"-"`
}

// Timeout bounds one check when its context does not: as long as a STUN client waits (RFC 8489 section 6.2.1), shortened to what a
// person waits.
const Timeout = 10 * time.Second

// CodeError is an error response.
type CodeError struct {
	Code   int
	Reason string // the server's words
}

func (e *CodeError) Error() string {
	advice := map[int]string{
		300: "the server sends its clients to another one, because it is busy or about to stop",
		400: "the server takes the request for malformed",
		401: "the server does not accept the credential: wrong password, expired, or another secret",
		403: "forbidden by the server's policy",
		437: "the server believes that this address has an allocation already",
		441: "the credential differs from the one that the allocation was made with",
		420: "the server does not know something that the request asks for",
		438: "the server keeps refusing its own nonces: its nodes may not share them",
		440: "the server has no relayed address of this family (IPv4 or IPv6)",
		442: "the server does not relay the transport that was asked for",
		443: "the peer's address is of the other family (IPv4 or IPv6) than the relayed one",
		486: "the quota of allocations is used up",
		508: "the server has no relay port to give, or is about to stop",
	}[e.Code]
	if advice == "" {
		return fmt.Sprintf("error %d %s", e.Code, e.Reason)
	}
	return fmt.Sprintf("error %d %s: %s", e.Code, e.Reason, advice)
}

// Check tries one target: a Binding request for stun:, an allocation that is given up at once for turn: and turns:.
func Check(ctx context.Context, t Target) Result {
	r := Result{URL: t.URL}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	u, err := parseURL(t.URL)
	if err != nil {
		r.Err = err
		return r
	}
	start := time.Now()
	c, err := dial(ctx, u, t.TLS)
	if err != nil {
		r.Err = fmt.Errorf("cannot reach the server: %w", err)
		return r
	}
	defer c.close()
	if u.relay {
		var a allocation
		if a, r.Err = c.allocate(ctx, t.Username, t.Password); r.Err == nil {
			r.Err = a.giveUp(ctx)
		}
		r.Mapped, r.Relayed = a.mapped, a.relayed
	} else {
		r.Mapped, r.Err = c.bind(ctx)
	}
	r.Took = time.Since(start)
	r.Err = inTime(r.Err)
	return r
}

// inTime says in words that time was up.
func inTime(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer: the server is down, or a firewall lets nothing through")
	}
	return err
}

// bind asks for the address that the server sees.
func (c *client) bind(ctx context.Context) (mapped netip.AddrPort, err error) {
	m, err := c.exchange(ctx, stun.MethodBinding, nil)
	if err != nil {
		return mapped, err
	}
	return mappedAddress(m)
}

// allocation is one that the server has made for a client.
type allocation struct {
	*client
	auth            *auth
	mapped, relayed netip.AddrPort
}

// requestedUDP asks for a relayed address of UDP (RFC 8656 section 18.7).
var requestedUDP = stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}

// allocate takes the long-term credential mechanism through its two steps (RFC 8489 section 9.2, RFC 8656 section 7). What the server told until
// an error is in the allocation.
func (c *client) allocate(ctx context.Context, username, password string) (a allocation, err error) {
	a = allocation{client: c, auth: &auth{username: username, password: password}}
	_, err = c.exchange(ctx, stun.MethodAllocate, nil, requestedUDP)
	var refused *CodeError
	switch {
	case err == nil:
		return a, errors.New("the server relays for everybody: it asked for no credential")
	case !errors.As(err, &refused) || refused.Code != 401:
		return a, err
	case username == "":
		return a, errors.New("the server asks for a credential: give a username and a password")
	}
	m, err := c.exchange(ctx, stun.MethodAllocate, a.auth, requestedUDP)
	if err != nil {
		return a, err
	}
	if a.mapped, err = mappedAddress(m); err != nil {
		return a, err
	}
	var x stun.XORMappedAddress
	if err := x.GetFromAs(m, stun.AttrXORRelayedAddress); err != nil {
		return a, fmt.Errorf("the server allocated, but told no relayed address: %w", err)
	}
	a.relayed = addrPort(x)
	return a, nil
}

// giveUp ends the allocation (RFC 8656 section 8).
func (a *allocation) giveUp(ctx context.Context) error {
	_, err := a.exchange(ctx, stun.MethodRefresh, a.auth, stun.RawAttribute{Type: stun.AttrLifetime, Value: make([]byte, 4)})
	if err != nil {
		return fmt.Errorf("the server allocated, but the allocation could not be given up: %w", err)
	}
	return nil
}

func mappedAddress(m *stun.Message) (netip.AddrPort, error) {
	var x stun.XORMappedAddress
	if err := x.GetFrom(m); err != nil {
		return netip.AddrPort{}, fmt.Errorf("the answer holds no mapped address: %w", err)
	}
	return addrPort(x), nil
}

func addrPort(x stun.XORMappedAddress) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(x.IP) // the attribute's decoder made it 4 or 16 bytes
	return netip.AddrPortFrom(ip.Unmap(), uint16(x.Port))
}
