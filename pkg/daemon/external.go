package daemon

import (
	"log/slog"
	"net"
	"net/netip"
)

// externalAddresses returns the addresses that relayed addresses carry. Where none are configured they are those that the default
// routes use. A nil log is valid.
func externalAddresses(configured []netip.Addr, log *slog.Logger) []netip.Addr {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
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
	for _, a := range found {
		switch {
		case a.IsLoopback():
			log.Warn("this machine has no route to a network: relayed addresses are on loopback, and only calls on this machine work; set turn.external_ip otherwise", "external_ip", a)
		case a.IsPrivate():
			log.Info("relayed addresses are private: calls within this network work; for calls from the Internet set turn.external_ip to the public address", "external_ip", a)
		}
	}
	return found
}

func routeSource(network, to string) (netip.Addr, bool) {
	c, err := net.Dial(network, to)
	if err != nil {
		return netip.Addr{}, false // no route of that family
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone(""), true
}
