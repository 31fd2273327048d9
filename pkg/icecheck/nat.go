package icecheck

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/pion/stun"
)

// Mapping is how a NAT on the way chooses the public address of a socket (RFC 4787 section 4.1).
type Mapping string

// The mappings that servers can tell apart.
const (
	// MappingNone: there is no NAT.
	MappingNone Mapping = "none"
	// MappingIndependent: the same address towards everybody, as far as was seen.
	MappingIndependent Mapping = "endpoint_independent"
	// MappingDependent: another address or port towards each destination, also known as symmetric.
	MappingDependent Mapping = "dependent"
	// MappingUnknown: there is a NAT, and only one destination that could tell.
	MappingUnknown Mapping = "unknown"
)

// NAT is what servers tell of the NATs between here and them.
type NAT struct {
	Mapping Mapping `json:"mapping"`
	Views   []View  `json:"views"`
}

// View is how one destination sees the socket.
type View struct {
	By    netip.AddrPort `json:"by"`    // the destination
	Local netip.AddrPort `json:"local"` // the socket's address on the way there
	As    netip.AddrPort `json:"as"`    // the address that it saw
}

const (
	// natViews is how many servers are asked.
	natViews = 8
	// natPatience is how long each of them has for its answer.
	natPatience = 2 * time.Second
	// natTries is how many packets are sent to a relayed address, one each natAgain.
	natTries = 5
	natAgain = 200 * time.Millisecond
)

// ErrNoUDP is returned by FindNAT: what is not UDP says nothing about NATs.
var ErrNoUDP = errors.New("no server was given that answers over UDP")

// FindNAT sends from one UDP socket to all targets that are reached over plain UDP and compares the addresses that they see (RFC 5780 section 4.3,
// with the destinations that there are in place of a server with two addresses). Where they leave it open, a relayed address of one of them is
// another destination: the relay tells where packets to it come from. That fails where relayed addresses are not reachable from here or the
// relay's policy denies this address, and then the result is what the servers alone say.
func FindNAT(ctx context.Context, targets []Target) (NAT, error) {
	found, network, err := destinations(ctx, targets)
	if err != nil {
		return NAT{}, err
	}
	socket, err := net.ListenUDP(network, nil)
	if err != nil {
		return NAT{}, err
	}
	defer socket.Close()
	var views []View
	var relay *Target
	for _, d := range found {
		v, err := ask(ctx, socket, network, d.addr)
		if err != nil {
			continue // Check says what is wrong with it
		}
		views = append(views, v)
		if relay == nil && d.relay {
			relay = &d.target
		}
	}
	if len(views) == 0 {
		return NAT{}, ErrNoUDP
	}
	mapping := classify(views)
	if mapping == MappingUnknown && relay != nil {
		if v, err := askRelay(ctx, socket, network, *relay, views[0].As); err == nil {
			views = append(views, v)
		}
	}
	return NAT{classify(views), views}, nil
}

// classify compares views of different destinations.
func classify(views []View) Mapping {
	var behind []netip.AddrPort
	for _, v := range views {
		if v.As != v.Local {
			behind = append(behind, v.As)
		}
	}
	different := slices.ContainsFunc(behind, func(a netip.AddrPort) bool { return a != behind[0] })
	switch {
	case len(behind) == 0:
		return MappingNone
	case different:
		return MappingDependent
	case len(behind) == 1:
		return MappingUnknown
	}
	return MappingIndependent
}

// destination is a target with its address.
type destination struct {
	addr   netip.AddrPort
	relay  bool
	target Target
}

// destinations are the different addresses of the targets over UDP: those of IPv4, where NATs are, or else of IPv6.
func destinations(ctx context.Context, targets []Target) (found []destination, network string, err error) {
	for _, network = range []string{"udp4", "udp6"} {
		for _, t := range targets {
			u, err := parseURL(t.URL)
			if err != nil || u.network != "udp" || u.tls || len(found) == natViews {
				continue
			}
			a, err := resolve(ctx, network, u)
			if err != nil {
				continue // it has no address of this family, or none at all, which Check tells
			}
			i := slices.IndexFunc(found, func(d destination) bool { return d.addr == a })
			switch {
			case i < 0:
				found = append(found, destination{a, u.relay, t})
			case u.relay && !found[i].relay:
				found[i].relay, found[i].target = true, t
			}
		}
		if len(found) > 0 {
			return found, network, nil
		}
	}
	return nil, "", ErrNoUDP
}

func resolve(ctx context.Context, network string, u serverURL) (netip.AddrPort, error) {
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip"+network[len(network)-1:], u.host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := strconv.ParseUint(u.port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(ips[0].Unmap(), uint16(port)), nil
}

// ask has a server tell the address that it sees the socket under.
func ask(ctx context.Context, socket *net.UDPConn, network string, to netip.AddrPort) (v View, err error) {
	ctx, cancel := context.WithTimeout(ctx, natPatience)
	defer cancel()
	v.By = to
	if v.Local, err = localAddress(ctx, socket, network, to); err != nil {
		return v, err
	}
	c := &client{conn: toward{socket, to}, packet: make([]byte, maxMessage)}
	interrupt := context.AfterFunc(ctx, func() { _ = socket.SetReadDeadline(time.Now()) }) // fails only on a closed one
	defer interrupt()
	v.As, err = c.bind(ctx)
	return v, err
}

// localAddress is the socket's on the way to a destination: the socket itself may be bound to all.
func localAddress(ctx context.Context, socket *net.UDPConn, network string, to netip.AddrPort) (netip.AddrPort, error) {
	route, err := new(net.Dialer).DialContext(ctx, network, to.String())
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer route.Close()
	ip := route.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
	return netip.AddrPortFrom(ip, socket.LocalAddr().(*net.UDPAddr).AddrPort().Port()), nil
}

// toward is a socket as a connection to one of several destinations.
type toward struct {
	*net.UDPConn
	to netip.AddrPort
}

// Write implements net.Conn.
func (t toward) Write(b []byte) (int, error) { return t.WriteToUDPAddrPort(b, t.to) }

// askRelay makes an allocation that lets mapped in, sends from the socket to the relayed address, and returns where the relay says that it came from.
func askRelay(ctx context.Context, socket *net.UDPConn, network string, t Target, mapped netip.AddrPort) (v View, err error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	a, err := allocateOn(ctx, t)
	if err != nil {
		return v, err
	}
	defer a.close()
	defer func() { err = errors.Join(err, a.giveUp(ctx)) }()
	v.By = a.relayed
	if v.Local, err = localAddress(ctx, socket, network, a.relayed); err != nil {
		return v, err
	}
	if _, err = a.exchange(ctx, stun.MethodCreatePermission, a.auth, peerAddress(mapped)); err != nil {
		return v, err
	}
	token := []byte(rand.Text())
	for range natTries {
		if _, err = socket.WriteToUDPAddrPort(token, a.relayed); err != nil {
			return v, err
		}
		if err = a.conn.SetReadDeadline(time.Now().Add(natAgain)); err != nil {
			return v, err
		}
		if v.As, err = a.sender(token); !timedOut(err) {
			return v, err
		}
	}
	return v, fmt.Errorf("nothing sent to the relayed address %v comes through: %w", a.relayed, err)
}

// sender reads Data indications (RFC 8656 section 11.4) until the one with this data, and returns whom it is from.
func (a *allocation) sender(data []byte) (netip.AddrPort, error) {
	for {
		b, err := a.readMessage()
		if err != nil {
			return netip.AddrPort{}, err
		}
		m := &stun.Message{Raw: b}
		if m.Decode() != nil || m.Type != stun.NewType(stun.MethodData, stun.ClassIndication) {
			continue
		}
		got, err := m.Get(stun.AttrData)
		if err != nil || !bytes.Equal(got, data) {
			continue
		}
		var from stun.XORMappedAddress
		if err := from.GetFromAs(m, stun.AttrXORPeerAddress); err != nil {
			return netip.AddrPort{}, fmt.Errorf("the relay does not tell whom a packet is from: %w", err)
		}
		return addrPort(from), nil
	}
}
