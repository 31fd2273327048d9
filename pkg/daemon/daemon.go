// Package daemon builds the parts of maitred, starts them, and stops them in order. It is the only package that knows them all:
//
//	config -> credential.Authority ---------------+----------------------+
//	                                              v                      v
//	browser -> httpd -> /ws -> signaling.Hub -> ice.go (mint, release) -> turn.Server -> relay
//	                -> /api, /metrics, /readyz -> this package
//	                -> TURN over TLS on the port of HTTPS ----------------> turn.Server
//	signaling.Hub -> events.go -> webhook.Sender -> the application's server
//
// Read New for what there is, Run for its life, ice.go for how a room and the relay know of each other, urls.go for what browsers are told,
// tls.go for the certificate, tokens.go for join tokens and the server API, events.go for webhooks, traffic.go for what was relayed for whom, check.go for
// the tests that the page /check makes.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/maitred/maitred/pkg/certificate"
	"github.com/maitred/maitred/pkg/config"
	"github.com/maitred/maitred/pkg/credential"
	"github.com/maitred/maitred/pkg/httpd"
	"github.com/maitred/maitred/pkg/ingress"
	"github.com/maitred/maitred/pkg/relay"
	"github.com/maitred/maitred/pkg/signaling"
	"github.com/maitred/maitred/pkg/token"
	"github.com/maitred/maitred/pkg/turn"
	"github.com/maitred/maitred/pkg/webhook"
)

// Build is what the binary knows of itself.
type Build struct{ Version, Commit, Go string }

// Daemon is a whole server.
type Daemon struct {
	// fixed after construction
	config      *config.Config
	log         *slog.Logger
	authority   *credential.Authority
	secrets     *credential.Rotator
	tokens      atomic.Pointer[token.Keys] // nil: no join token is good
	external    []netip.Addr
	certificate *certificate.Manager // nil: there is no TLS
	connections *ingress.Metrics
	sockets     *ingress.Sockets // that the service manager has opened
	turn        *turn.Server
	webhooks    *webhook.Sender // nil: nobody is told
	hub         *signaling.Hub
	checks      *checks
	http        *httpd.Server

	hurry     chan struct{} // closed by Hurry
	hurryOnce sync.Once
}

// New opens every listener. Its errors say which configuration key is at fault and what to do; nothing stays open then.
func New(c *config.Config, build Build, log *slog.Logger) (*Daemon, error) {
	d := &Daemon{config: c, log: log, connections: ingress.NewMetrics(), hurry: make(chan struct{})}
	var err error
	if d.authority, err = NewAuthority(c); err != nil {
		return nil, err
	}
	d.secrets = credential.NewRotator(d.authority, secretSource(c), log)
	keys, err := d.tokenKeys(c)
	if err != nil {
		return nil, err
	}
	d.tokens.Store(keys)
	d.external = externalAddresses(c.TURN.ExternalIP)
	if d.certificate, err = d.newCertificate(); err != nil {
		return nil, err
	}
	if d.sockets, err = ingress.Inherited(); err != nil {
		return nil, err
	}
	d.checks = newChecks(c.Check, d.beginCheck, d.freeCheck, d.endCheck)
	if d.turn, err = turn.New(d.turnConfig()); err != nil {
		return nil, errors.Join(err, d.sockets.Close())
	}
	if w := c.Webhooks; w.URL != "" {
		d.webhooks = webhook.New(webhook.Config{URL: w.URL, Secret: w.Secret, Queue: w.Queue, Timeout: w.Timeout, RetryFor: w.RetryFor, Log: log})
	}
	d.hub = signaling.New(d.signalingOptions())
	registry := prometheus.NewRegistry()
	registry.MustRegister(d.turn, d.hub.Metrics(), buildInfo(build), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if d.certificate != nil {
		registry.MustRegister(d.certificate, d.connections)
	}
	if d.webhooks != nil {
		registry.MustRegister(d.webhooks)
	}
	if d.http, err = httpd.New(d.httpConfig(registry)); err != nil {
		return nil, errors.Join(err, d.turn.Close(), d.sockets.Close())
	}
	if err := d.sockets.Unused(); err != nil {
		return nil, errors.Join(err, d.http.Close(), d.turn.Close(), d.sockets.Close())
	}
	d.logListeners()
	d.logExternal()
	return d, nil
}

// NewAuthority makes the authority that a daemon with this configuration has. It makes and keeps a secret where none is configured.
func NewAuthority(c *config.Config) (*credential.Authority, error) {
	secrets, err := secretSource(c).Load()
	if err != nil {
		return nil, explainSecrets(err)
	}
	return credential.New(c.TURN.Realm, secrets)
}

// longestCredential is the longest life that the API gives a credential, whatever turn.credential_ttl is.
const longestCredential = httpd.MaxTTL

func secretSource(c *config.Config) credential.Source {
	t := c.TURN
	return credential.Source{Configured: t.Secrets, Dir: c.StateDir, Rotation: t.SecretRotation, Keep: max(t.CredentialTTL, longestCredential)}
}

// SecretKept is how long the daemon verifies credentials under a secret that it has replaced by itself, as long as can be where it replaces none.
func SecretKept(c *config.Config) time.Duration {
	source := secretSource(c)
	if len(source.Configured) > 0 || source.Rotation == 0 {
		return math.MaxInt64
	}
	return source.Keep
}

func explainSecrets(err error) error {
	return fmt.Errorf("state_dir: %w (set state_dir to a directory that can be written, or turn.secrets)", err)
}

// Reload takes over what can change while calls go on: secrets, keys, certificate files, peer lists, room permissions, quotas, bandwidths
// and origins. Everything else of c is for the next start.
func (d *Daemon) Reload(c *config.Config) error {
	keys, err := d.tokenKeys(c)
	if err != nil {
		return err // before anything has changed
	}
	secrets := secretSource(c)
	secrets.Keep = max(secrets.Keep, d.config.TURN.CredentialTTL) // which stays in use
	if err := d.secrets.SetSource(secrets); err != nil {
		return explainSecrets(err)
	}
	d.tokens.Store(keys)
	d.hub.SetTokenKeys(keys)
	d.turn.SetPeers(turn.Peers{Allow: c.TURN.AllowPeers, Deny: c.TURN.DenyPeers})
	d.turn.SetQuota(turn.Quota(c.TURN.Quota))
	d.turn.SetBandwidth(bandwidthOf(c))
	d.hub.SetRoomPermissions(c.TURN.RoomPermissions)
	d.hub.SetAllowedOrigins(c.Signaling.AllowedOrigins)
	d.http.SetSecrets(c.Admin.Token, c.API.Keys)
	if d.certificate != nil {
		d.certificate.Reload(c.TLS.CertFile, c.TLS.KeyFile)
	}
	return nil
}

// Reloadable tells whether Reload, or the caller for the log level, takes a changed value of the key over.
func Reloadable(key string) bool {
	switch key {
	case "tls.cert_file", "tls.key_file", "turn.secrets", "turn.secret_rotation", "turn.allow_peers", "turn.deny_peers", "turn.room_permissions", "turn.quota.per_user", "turn.quota.per_ip", "turn.quota.total",
		"turn.bandwidth.per_allocation", "turn.bandwidth.total", "signaling.allowed_origins", "signaling.token_keys", "api.keys", "admin.token", "log.level":
		return true
	}
	return false
}

func (d *Daemon) turnConfig() turn.Config {
	t := d.config.TURN
	return turn.Config{
		UDP: t.UDP, TCP: t.TCP, TLS: t.TLS, DTLS: t.DTLS,
		TLSConfig: d.tlsConfig(ingress.TURNProtocols), HandshakeTimeout: d.config.TLS.HandshakeTimeout,
		TrustedProxies: d.config.HTTP.TrustedProxies, Inherited: d.sockets.Take,
		External: d.external, RelayPorts: relay.PortRange{Min: t.RelayPorts.Min, Max: t.RelayPorts.Max},
		Authority:            d.authority,
		Quota:                turn.Quota(t.Quota),
		Bandwidth:            bandwidthOf(d.config),
		Peers:                turn.Peers{Allow: t.AllowPeers, Deny: t.DenyPeers},
		MemberMay:            d.memberMay,
		Observe:              d.checks.observe,
		UnauthenticatedPerIP: t.Limits.UnauthenticatedPerIP,
		ConnectionsPerIP:     t.Limits.ConnectionsPerIP,
		DTLSHandshakes:       t.Limits.DTLSHandshakes,
		PeersPerAllocation:   t.Limits.PeersPerAllocation,
		StreamQueue:          int(t.Limits.StreamQueue),
		IdleTimeout:          t.Limits.IdleTimeout,
		Metrics:              d.connections,
		Log:                  d.log,
	}
}

func bandwidthOf(c *config.Config) turn.Bandwidth {
	b := c.TURN.Bandwidth
	return turn.Bandwidth{PerAllocation: int64(b.PerAllocation), Total: int64(b.Total)}
}

func (d *Daemon) signalingOptions() signaling.Options {
	s := d.config.Signaling
	return signaling.Options{
		AllowedOrigins: s.AllowedOrigins, MaxMembers: s.MaxMembers, MaxRooms: s.MaxRooms,
		Resume:      noneIfZero(s.Resume),
		MessageSize: int64(s.MaxMessage), Queue: s.Queue,
		ConnectionsPerIP:     noneIfZero(s.Limits.ConnectionsPerIP),
		JoinsPerIP:           noneIfZero(s.Limits.JoinsPerIP),
		MessagesPerSecond:    noneIfZero(s.Limits.Messages),
		MessagesPerIP:        noneIfZero(s.Limits.MessagesPerIP),
		FailedPasswordsPerIP: noneIfZero(s.Limits.FailedPasswordsPerIP),
		FailedTokensPerIP:    noneIfZero(s.Limits.FailedTokensPerIP),
		Attempts:             s.Limits.Attempts,
		Tokens:               d.tokens.Load(), TokensOnly: s.Auth == authToken, RememberedTokens: s.Limits.Tokens,
		KnockTimeout: s.KnockTimeout, WaitingPerRoom: s.Limits.Waiting,
		ClientIP: func(r *http.Request) netip.Addr { return httpd.ClientIP(r, d.config.HTTP.TrustedProxies) },
		ICE:      d, Releaser: d, Relay: d, Observer: d.observer(),
		RoomPermissions:    d.config.TURN.RoomPermissions,
		AddressesPerMember: d.config.TURN.Limits.AddressesPerMember,
		Log:                d.log,
	}
}

// noneIfZero translates "0 means none" of the configuration to the options where a negative number does.
func noneIfZero[T int | time.Duration](v T) T {
	if v == 0 {
		return -1
	}
	return v
}

func (d *Daemon) httpConfig(metrics prometheus.Gatherer) httpd.Config {
	c := httpd.Config{
		Listen: d.config.HTTP.Listen, SecureListen: d.config.HTTPS.Listen, PublicPort: d.config.HTTPS.PublicPort, AdminListen: d.config.Admin.Listen, AdminToken: d.config.Admin.Token,
		TLS: d.tlsConfig(ingress.SharedProtocols), HandshakeTimeout: d.config.TLS.HandshakeTimeout, TURN: d.turn.ServeConn,
		Domain: d.config.Domain, Inherited: d.sockets.Take, Connections: d.connections,
		TrustedProxies: d.config.HTTP.TrustedProxies, APIKeys: d.config.API.Keys, ConnectionsPerIP: d.config.HTTP.ConnectionsPerIP,
		Signaling: d.hub,
		ICE:       d.apiICEServers, REST: d.apiREST,
		Ready: d.ready, Metrics: metrics,
		Rooms:       func() any { return d.hub.Rooms() },
		Allocations: func() any { return d.allocations() },
		Traffic:     func() any { return d.traffic() },
		Room:        func(name string) (any, bool) { return d.hub.Room(name) },
		Kick:        d.hub.Kick, CloseRoom: d.hub.CloseRoom, Message: d.message,
		CheckToken: d.checkToken, MintToken: d.mintToken,
		Log: d.log,
	}
	if d.config.Check.Enabled {
		c.StartCheck, c.Check, c.EndCheck = d.startCheck, d.check, d.checks.finish
		c.CheckNeedsToken = d.config.Signaling.Auth == authToken
	}
	if d.certificate != nil {
		c.Challenge = d.certificate.ChallengeHandler
	}
	return c
}

func buildInfo(b Build) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "maitred_build_info", Help: "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": b.Version, "commit": b.Commit, "go": b.Go}})
	g.Set(1)
	return g
}

// Run serves until ctx ends, drains and stops. It returns nil after an orderly stop, and the cause when a part fails on its own.
func (d *Daemon) Run(ctx context.Context) error {
	g, failed := errgroup.WithContext(context.WithoutCancel(ctx))
	httpCtx, stopHTTP := context.WithCancel(failed)
	turnCtx, stopTURN := context.WithCancel(failed)
	hubCtx, stopHub := context.WithCancel(failed)
	certificateCtx, stopCertificate := context.WithCancel(failed)
	defer stopHTTP()
	defer stopTURN()
	defer stopHub()
	defer stopCertificate()
	httpDone := make(chan struct{})
	g.Go(func() error { defer close(httpDone); return d.http.Run(httpCtx) })
	g.Go(func() error { return d.turn.Run(turnCtx) })
	g.Go(func() error { return d.secrets.Run(turnCtx) })
	g.Go(func() error { return d.hub.Run(hubCtx) })
	if d.webhooks != nil {
		g.Go(func() error { return d.webhooks.Run(hubCtx) })
	}
	if d.certificate != nil {
		g.Go(func() error { return d.certificate.Run(certificateCtx) })
	}
	g.Go(func() error {
		select {
		case <-ctx.Done():
			stopCertificate() // calls that go on need no other one; it takes time when a CA's answer is on its way
			d.drain(failed)
		case <-failed.Done():
		}
		d.closeHub()
		stopHub()
		stopHTTP()
		stopCertificate()
		<-httpDone
		d.checks.stop()
		stopTURN()
		return nil
	})
	err := g.Wait()
	d.log.Info("stopped")
	return err
}

// drainPoll is how often drain looks whether everybody has gone.
const drainPoll = 50 * time.Millisecond

// drain tells everybody and waits until they have gone, as long as the configuration gives them.
func (d *Daemon) drain(failed context.Context) {
	d.log.Info("draining: no new calls; a second signal stops at once", "timeout", d.config.DrainTimeout)
	d.http.SetDraining()
	d.turn.Drain()
	d.hub.Drain()
	d.checks.stop()
	ctx, cancel := context.WithTimeout(failed, d.config.DrainTimeout)
	defer cancel()
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for len(d.hub.Rooms()) > 0 || len(d.turn.Allocations()) > 0 {
		select {
		case <-tick.C:
		case <-d.hurry:
			return
		case <-ctx.Done():
			return
		}
	}
}

// closeTimeout is how long members' connections may take to close. It begins when draining has ended.
const closeTimeout = 5 * time.Second

func (d *Daemon) closeHub() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := d.hub.Close(ctx); err != nil {
		d.log.Warn("connections were cut that did not close in time", "error", err)
	}
}

// Hurry ends draining at once.
func (d *Daemon) Hurry() { d.hurryOnce.Do(func() { close(d.hurry) }) }
