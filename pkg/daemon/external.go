package daemon

import (
	"net"
	"net/netip"
)

// externalAddresses returns the addresses that relayed addresses carry. Where none are configured they are those that the default
// routes use, and loopback on a machine without a route.
func externalAddresses(configured []netip.Addr) []netip.Addr {
	if len(configured) > 0 {
		return configured
	}
	var found []netip.Addr
	// Documentation addresses (RFC 5737, RFC 3849): connecting a UDP socket only asks for the route, nothing is sent.
	if a, ok := routeSource("udp4", "192.0.2.1:9"); ok {
		found = append(found, a)
	}
	if a, ok := routeSource("udp6", "[2001:db8::1]:9"); ok && a.IsGlobalUnicast() && !a.IsPrivate() {
		found = append(found, a)
	}
	if len(found) == 0 {
		found = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	return found
}

// logExternal says what it means when an address that was found, not configured, is not public.
func (d *Daemon) logExternal() {
	if len(d.config.TURN.ExternalIP) > 0 {
		return
	}
	for _, a := range d.external {
		switch {
		case a.IsLoopback():
			d.log.Warn("this machine has no route to a network: relayed addresses are on loopback, and only calls on this machine work; set turn.external_ip otherwise", "external_ip", a)
		case a.IsPrivate():
			d.log.Info("relayed addresses are private: calls within this network work; for calls from the Internet set turn.external_ip to the public address", "external_ip", a)
		}
	}
}

func routeSource(network, to string) (netip.Addr, bool) {
	c, err := net.Dial(network, to)
	if err != nil {
		return netip.Addr{}, false // no route of that family
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone(""), true
}
