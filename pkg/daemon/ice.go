package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

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

// Revoke implements signaling.Releaser for the credentials of POST /api/v1/ice-servers.
func (d *Daemon) Revoke(token string, expires time.Time) {
	user := tokenUser(token)
	d.authority.Revoke(user, expires, d.config.Signaling.Limits.Tokens)
	d.turn.EndUser(user)
}

// Relayed implements signaling.RelayObserver. The client's address stays here: relays are there to hide it from the others.
func (d *Daemon) Relayed(member string) []signaling.RelayAllocation {
	var out []signaling.RelayAllocation
	for _, a := range d.turn.AllocationsOf(d.authority.MemberID(member)) {
		bytes := a.Traffic.Up.Bytes + a.Traffic.Down.Bytes + a.Traffic.ShortCircuit.Bytes
		out = append(out, signaling.RelayAllocation{Transport: a.Transport, Relayed: a.Relayed.String(), Bytes: bytes})
	}
	return out
}

// memberMay is turn.Config.MemberMay: rooms know what was signalled, which matters to members only, and checks what they need.
func (d *Daemon) memberMay(user string, ip netip.Addr) bool {
	if !credential.Reserved(user) {
		return d.checks.mayReach(user, ip, d.external)
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

// ready makes an allocation as a client would, over each transport that there is. A full quota is not ready either: new calls go
// elsewhere where there is an elsewhere. A certificate that is missing or has expired is the log's and the metrics' business: whoever passes
// the CA's questions on to ready daemons only must not wait for it.
func (d *Daemon) ready(ctx context.Context) error {
	c := d.authority.Mint("self-check", time.Minute)
	var errs []error
	for _, url := range d.localURLs() {
		r := icecheck.Check(ctx, icecheck.Target{URL: url, Username: c.Username, Password: c.Password, TLS: anyCertificate()})
		if r.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", url, r.Err))
		}
	}
	return errors.Join(errs...)
}
