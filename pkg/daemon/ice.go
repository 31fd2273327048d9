package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/maitred/maitred/pkg/config"
	"github.com/maitred/maitred/pkg/credential"
	"github.com/maitred/maitred/pkg/httpd"
	"github.com/maitred/maitred/pkg/icecheck"
	"github.com/maitred/maitred/pkg/signaling"
)

// ICEServers implements signaling.ICEProvider: a fresh credential that ends with the membership.
func (d *Daemon) ICEServers(member, host string) ([]signaling.ICEServer, time.Duration) {
	ttl := d.config.TURN.CredentialTTL
	c := d.authority.MintMember(member, ttl)
	var out []signaling.ICEServer
	for _, s := range d.servers(httpd.HostName(host), c.Username, c.Password) {
		out = append(out, signaling.ICEServer(s))
	}
	return out, ttl
}

// Release implements signaling.Releaser: first nothing new can be allocated, then what there is ends.
func (d *Daemon) Release(member string) signaling.Traffic {
	d.authority.Release(member)
	n, used := d.turn.EndUser(d.authority.MemberID(member))
	if n > 0 {
		d.log.Debug("allocations ended with the membership", "member", member, "allocations", n)
	}
	return toSignaling(used)
}

// memberMay is turn.Config.MemberMay: rooms know what was signalled, and only to members it matters.
func (d *Daemon) memberMay(user string, ip netip.Addr) bool {
	if !credential.Reserved(user) {
		return true
	}
	member, ok := d.authority.Member(user)
	return ok && d.hub.MaySend(member, ip)
}

func (d *Daemon) apiICEServers(user string, ttl time.Duration, host string) httpd.ICEServers {
	if ttl == 0 {
		ttl = d.config.TURN.CredentialTTL
	}
	c := d.authority.Mint(user, ttl)
	return httpd.ICEServers{ICEServers: d.servers(host, c.Username, c.Password), TTL: int64(ttl / time.Second)}
}

func (d *Daemon) apiREST(user, host string) httpd.RESTCredential {
	ttl := d.config.TURN.CredentialTTL
	c := d.authority.Mint(user, ttl)
	_, turn := d.urls(host)
	return httpd.RESTCredential{Username: c.Username, Password: c.Password, TTL: int64(ttl / time.Second), URIs: turn}
}

func (d *Daemon) servers(host, username, password string) []httpd.ICEServer {
	stun, turn := d.urls(host)
	var out []httpd.ICEServer
	if len(stun) > 0 {
		out = append(out, httpd.ICEServer{URLs: stun})
	}
	if len(turn) > 0 {
		out = append(out, httpd.ICEServer{URLs: turn, Username: username, Credential: password})
	}
	return out
}

// urls are this daemon's servers for a client that knows it as host, the best path first.
func (d *Daemon) urls(host string) (stun, turn []string) {
	udp, hasUDP := d.turn.UDPAddr()
	tcp, hasTCP := d.turn.TCPAddr()
	return serverURLs(d.config.TURN.URLs, d.hostFor(host), port(udp, hasUDP), port(tcp, hasTCP))
}

// hostFor is the name in the URLs: the one that the client itself used, else the external address.
func (d *Daemon) hostFor(host string) string {
	if host != "" {
		return host
	}
	return d.external[0].String()
}

func port(a netip.AddrPort, ok bool) uint16 {
	if !ok {
		return 0
	}
	return a.Port()
}

// serverURLs derives the URLs from the ports (0: no such listener) unless they are configured.
func serverURLs(configured []string, host string, udp, tcp uint16) (stun, turn []string) {
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
	at := func(port uint16) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }
	if udp != 0 {
		stun = append(stun, "stun:"+at(udp))
		turn = append(turn, "turn:"+at(udp)+"?transport=udp")
	}
	if tcp != 0 {
		turn = append(turn, "turn:"+at(tcp)+"?transport=tcp")
	}
	return stun, turn
}

func isSTUN(url string) bool { return len(url) > 4 && url[:4] == "stun" }

// ready makes an allocation as a client would, over each transport that there is. A full quota is not ready either: new calls go
// elsewhere where there is an elsewhere.
func (d *Daemon) ready(ctx context.Context) error {
	c := d.authority.Mint("self-check", time.Minute)
	var errs []error
	for _, url := range d.localURLs() {
		r := icecheck.Check(ctx, icecheck.Target{URL: url, Username: c.Username, Password: c.Password})
		if r.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", url, r.Err))
		}
	}
	return errors.Join(errs...)
}

// localURLs reach the listeners from this machine.
func (d *Daemon) localURLs() (urls []string) {
	if a, ok := d.turn.UDPAddr(); ok {
		urls = append(urls, "turn:"+reachable(a).String()+"?transport=udp")
	}
	if a, ok := d.turn.TCPAddr(); ok {
		urls = append(urls, "turn:"+reachable(a).String()+"?transport=tcp")
	}
	return urls
}

// reachable replaces the wildcard by the loopback address.
func reachable(a netip.AddrPort) netip.AddrPort {
	ip := a.Addr().Unmap()
	if ip.IsUnspecified() {
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.AddrPortFrom(ip, a.Port())
}

// ConfiguredURLs are the TURN URLs of a daemon with this configuration as it is reached from this machine (local) or from outside.
func ConfiguredURLs(c *config.Config, local bool) ([]string, error) {
	portOf := func(key, addr string) (string, uint16, error) {
		if addr == config.Off {
			return "", 0, nil
		}
		a, err := net.ResolveUDPAddr("udp", addr)
		if err != nil {
			return "", 0, fmt.Errorf("%s: %w", key, err)
		}
		host := "127.0.0.1"
		if a.IP != nil && !a.IP.IsUnspecified() {
			host = a.IP.String()
		}
		return host, uint16(a.Port), nil
	}
	udpHost, udp, err := portOf("turn.udp", c.TURN.UDP)
	tcpHost, tcp, err2 := portOf("turn.tcp", c.TURN.TCP)
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	if local {
		_, a := serverURLs(nil, udpHost, udp, 0)
		_, b := serverURLs(nil, tcpHost, 0, tcp)
		return append(a, b...), nil
	}
	external := externalAddresses(c.TURN.ExternalIP)
	_, turn := serverURLs(c.TURN.URLs, external[0].String(), udp, tcp)
	return turn, nil
}
