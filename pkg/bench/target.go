package bench

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// Reachable tells whether a can be the address of one machine.
func Reachable(a netip.Addr) bool {
	broadcast := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && a != broadcast
}

// Near tells whether a is a loopback, private or link-local address: one that nobody else's machine has.
func Near(a netip.Addr) bool { return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() }

// mayLoad tells why no load may be sent to a relayed address. The server names it, and it need not be the server's own.
func (c *Config) mayLoad(relayed netip.AddrPort) error {
	a := relayed.Addr()
	switch {
	case !Reachable(a) || relayed.Port() == 0:
		return fmt.Errorf("the relayed address is %v, where nobody can be; configure the server's external address (turn.external_ip of maitred, external-ip of coturn)", relayed)
	case !c.Remote && !Near(a) && a != c.Server.Addr():
		return fmt.Errorf("the relayed address is %v, and the load would go there: a public address other than the server's, %v; add --remote if both are yours to load", relayed, c.Server.Addr())
	}
	return nil
}

// errUnanswered marks a session for which the whole time was waited.
var errUnanswered = errors.New("no answer")

func (c *Config) unanswered() error {
	return fmt.Errorf("%w from %v over %s within %v; is it a TURN server, and does it limit requests per address?", errUnanswered, c.Server, c.Transport, c.patience())
}

// explain says what to do about an address at which nobody listens, or nobody who speaks TLS.
func (c *Config) explain(err error) error {
	var header tls.RecordHeaderError
	var remote *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nobody listens at %v over %s; does the server run, and on that port and transport? (%w)", c.Server, c.Transport, err)
	case errors.As(err, &header):
		return fmt.Errorf("the server at %v does not speak TLS; is it the port for TLS? (%w)", c.Server, err)
	case c.TLSVersion != "" && errors.As(err, &remote) && remote.Op == "remote error": // crypto/tls has no other name for an alert
		return fmt.Errorf("the server at %v refuses TLS %s alone; leave out --tls-version (%w)", c.Server, c.TLSVersion, err)
	}
	return err
}

// patience is how long the server may take for an answer.
func (c *Config) patience() time.Duration {
	if c.answerWithin > 0 {
		return c.answerWithin
	}
	return answerWithin
}
