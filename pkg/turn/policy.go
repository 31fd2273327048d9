package turn

import (
	"net"
	"net/netip"

	"github.com/maitred/maitred/pkg/relay"
)

// special are the addresses that a relay on the public Internet has no business with: the IANA special-purpose registries
// (RFC 6890 and its updates), multicast, and the metadata services of clouds that live outside of those. Forms that embed an IPv4
// address are denied as a whole, except for NAT64, where the embedded address decides.
var special = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"168.63.129.16/32",           // Azure's platform address
	"::/96",                      // unspecified, loopback, IPv4-compatible
	"::ffff:0:0/96",              // IPv4-mapped
	"::ffff:0:0:0/96",            // IPv4-translated
	"64:ff9b:1::/48",             // local-use NAT64
	"100::/64", "100:0:0:1::/64", // discard-only, dummy
	"2001::/23",     // protocol assignments, with Teredo and ORCHID
	"2001:db8::/32", // documentation
	"2002::/16",     // 6to4
	"3fff::/20",     // documentation
	"5f00::/16",     // segment routing
	"fc00::/7",      // unique local, with fd00:ec2::254
	"fe80::/10",     // link-local
	"fec0::/10",     // site-local
	"ff00::/8",      // multicast
)

// Prefixes whose addresses embed an IPv4 address: RFC 6052 has it in the last four bytes, RFC 3056 in those behind the prefix.
var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// policy decides whom clients may send to. It is immutable.
type policy struct {
	allow, deny []netip.Prefix
	relayed     func(netip.Addr) bool // addresses that relayed addresses carry
	host        map[netip.Addr]bool   // addresses of this machine
}

// check tells whether a permission for ip may be installed and how far it reaches.
//
// Relayed addresses of ours are always allowed, inside the process. Everything else that is this machine, special or denied is
// refused; allow lifts the first two.
func (p *policy) check(ip netip.Addr) (relay.Reach, bool) {
	if ip.Is4In6() {
		return 0, false // no peer has such an address; the socket would send to the IPv4 one behind all other rules
	}
	embedded := embeddedIPv4(ip)
	allowed := contains(p.allow, ip) || contains(p.allow, embedded)
	denied := contains(p.deny, ip) || contains(p.deny, embedded)
	own := p.host[ip] || p.host[embedded] || embedded.IsLoopback() || embedded.IsUnspecified()
	switch {
	case p.relayed(ip) && (denied || !allowed):
		return relay.ReachRelayed, true
	case denied:
		return 0, false
	case allowed && (own || p.relayed(ip)):
		return relay.ReachHost, true
	case allowed:
		return relay.ReachNetwork, true
	case own || contains(special, ip) || contains(special, embedded):
		return 0, false
	}
	return relay.ReachNetwork, true
}

// embeddedIPv4 is the IPv4 address that a packet to ip ends up at, or ip itself.
func embeddedIPv4(ip netip.Addr) netip.Addr {
	b := ip.As16()
	switch {
	case nat64.Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:]))
	case sixToFour.Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return ip
}

func contains(list []netip.Prefix, ip netip.Addr) bool {
	for _, p := range list {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// hostAddresses are the addresses of this machine's interfaces.
func hostAddresses() (map[netip.Addr]bool, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	out := make(map[netip.Addr]bool, len(addrs))
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				out[ip.Unmap()] = true
			}
		}
	}
	return out, nil
}
