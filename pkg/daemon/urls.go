package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/maitred/maitred/pkg/config"
)

// ports are where clients reach STUN and TURN, by transport; 0: they do not.
type ports struct{ udp, tcp, tls, dtls uint16 }

// transport is a field of ports.
type transport func(*ports) *uint16

func overUDP(p *ports) *uint16  { return &p.udp }
func overTCP(p *ports) *uint16  { return &p.tcp }
func overTLS(p *ports) *uint16  { return &p.tls }
func overDTLS(p *ports) *uint16 { return &p.dtls }

// url is the URL of one port, which is not 0.
func (t transport) url(host string, port uint16) string {
	var p ports
	*t(&p) = port
	_, turn := serverURLs(nil, host, host, p)
	return turn[0]
}

// urls are this daemon's servers for a client that knows it as host, the best path first.
func (d *Daemon) urls(host string) (stun, turn []string) {
	host = d.hostFor(host)
	return serverURLs(d.config.TURN.URLs, host, d.tlsHost(host), d.advertised())
}

// hostFor is the name in the URLs: the one that the client itself used, else the external address.
func (d *Daemon) hostFor(host string) string {
	if host != "" {
		return host
	}
	return d.external[0].String()
}

// tlsHost is the name in turns: URLs, for which the certificate must be good: host if it can be.
func (d *Daemon) tlsHost(host string) string {
	switch {
	case d.config.Domain != "":
		return d.config.Domain
	case d.certificate == nil || d.certificate.ValidFor(host):
		return host
	}
	for _, name := range d.certificate.Status().Names {
		if _, notIP := netip.ParseAddr(name); notIP != nil && !strings.Contains(name, "*") {
			return name
		}
	}
	return host
}

// advertised are the ports that browsers are told. HTTPS's comes before the extra one for TLS: it is the one that firewalls let through. No browser
// speaks DTLS to a TURN server, and browsers that were told to trust a self-signed page do not trust its TURN server: there, TLS is only for
// the want of anything else.
func (d *Daemon) advertised() ports {
	p := ports{udp: port(d.turn.UDPAddr()), tcp: port(d.turn.TCPAddr())}
	https := d.http.SecureAddr()
	switch {
	case d.config.TLS.SelfSigned && (p.udp != 0 || p.tcp != 0):
	case https.IsValid() && d.config.HTTPS.PublicPort != 0:
		p.tls = uint16(d.config.HTTPS.PublicPort)
	case https.IsValid():
		p.tls = https.Port()
	default:
		p.tls = port(d.turn.TLSAddr())
	}
	return p
}

func port(a netip.AddrPort, ok bool) uint16 {
	if !ok {
		return 0
	}
	return a.Port()
}

// serverURLs derives the URLs from the ports unless they are configured.
func serverURLs(configured []string, host, tlsHost string, p ports) (stun, turn []string) {
	for _, u := range configured {
		if isSTUN(u) {
			stun = append(stun, u)
		} else {
			turn = append(turn, u)
		}
	}
	if len(configured) > 0 {
		return stun, turn
	}
	at := func(host string, port uint16) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }
	if p.udp != 0 {
		stun = append(stun, "stun:"+at(host, p.udp))
		turn = append(turn, "turn:"+at(host, p.udp)+"?transport=udp")
	}
	if p.tcp != 0 {
		turn = append(turn, "turn:"+at(host, p.tcp)+"?transport=tcp")
	}
	if p.tls != 0 {
		turn = append(turn, "turns:"+at(tlsHost, p.tls)+"?transport=tcp")
	}
	if p.dtls != 0 {
		turn = append(turn, "turns:"+at(tlsHost, p.dtls)+"?transport=udp")
	}
	return stun, turn
}

func isSTUN(url string) bool { return strings.HasPrefix(url, "stun") }

// localURLs reach the listeners from this machine, those over TLS as soon as there is a certificate. DTLS is not among them: strangers can use up
// its handshakes, which are limited, and that is no reason to take everything else for not ready.
func (d *Daemon) localURLs() (urls []string) {
	add := func(t transport, a netip.AddrPort, ok bool) {
		if ok {
			a = reachable(a)
			urls = append(urls, t.url(a.Addr().String(), a.Port()))
		}
	}
	addr, ok := d.turn.UDPAddr()
	add(overUDP, addr, ok)
	addr, ok = d.turn.TCPAddr()
	add(overTCP, addr, ok)
	if d.certificate == nil || d.certificate.Status().NotAfter.IsZero() {
		return urls
	}
	add(overTLS, d.http.SecureAddr(), d.http.SecureAddr().IsValid())
	addr, ok = d.turn.TLSAddr()
	add(overTLS, addr, ok)
	return urls
}

// reachable replaces the wildcard, or no address, by the loopback address.
func reachable(a netip.AddrPort) netip.AddrPort {
	ip := a.Addr().Unmap()
	if !ip.IsValid() || ip.IsUnspecified() {
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.AddrPortFrom(ip, a.Port())
}

// ConfiguredURLs are the TURN URLs of a daemon with this configuration as it is reached from this machine (local) or from outside.
func ConfiguredURLs(c *config.Config, local bool) ([]string, error) {
	var all ports
	var urls []string
	var errs []error
	for _, l := range []struct {
		key, address string
		transport    transport
	}{
		{"turn.udp", c.TURN.UDP, overUDP}, {"turn.tcp", c.TURN.TCP, overTCP}, {"turn.tls", c.TURN.TLS, overTLS}, {"https.listen", c.HTTPS.Listen, overTLS}, {"turn.dtls", c.TURN.DTLS, overDTLS},
	} {
		if l.address == config.Off {
			continue
		}
		a, err := net.ResolveUDPAddr("udp", l.address)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.key, err))
		}
		if err != nil || a.Port == 0 { // which port the system chooses, only the daemon knows
			continue
		}
		host := "127.0.0.1"
		if a.IP != nil && !a.IP.IsUnspecified() {
			host = a.IP.String()
		}
		*l.transport(&all) = uint16(a.Port)
		urls = append(urls, l.transport.url(host, uint16(a.Port)))
	}
	if err := errors.Join(errs...); err != nil || local {
		return urls, err
	}
	if c.HTTPS.PublicPort != 0 && c.HTTPS.Listen != config.Off {
		all.tls = uint16(c.HTTPS.PublicPort)
	}
	host := c.Domain
	if host == "" {
		host = externalAddresses(c.TURN.ExternalIP)[0].String()
	}
	_, turn := serverURLs(c.TURN.URLs, host, host, all)
	return turn, nil
}
