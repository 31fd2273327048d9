// Package httpd serves what the daemon says over HTTP: the call page, the
// API, health, and on a listener of its own the administrator's view. It has
// the port that HTTPS shares with TURN over TLS.
//
// It knows nothing of TURN or signaling; the daemon hands it functions.
package httpd

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/maitred/maitred/pkg/ingress"
)

const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	// A phone on a bad line still gets the page's largest file in this time.
	// WebSockets are not concerned: hijacking clears the deadlines.
	writeTimeout    = 2 * time.Minute
	idleTimeout     = 30 * time.Second
	maxHeaderBytes  = 16 << 10
	shutdownTimeout = 5 * time.Second
)

// Config is what the daemon decides. A nil function answers as if there were
// nothing to tell; nil Log and Metrics are valid.
type Config struct {
	// Listen, SecureListen and AdminListen are addresses as in the
	// configuration (http.listen, https.listen, admin.listen); "off" (or empty)
	// opens none.
	Listen, SecureListen, AdminListen string
	// PublicPort is the port of SecureListen as clients know it; 0: the same.
	PublicPort int
	// TLS is what SecureListen speaks.
	TLS *tls.Config
	// HandshakeTimeout is for the PROXY header, the TLS handshake and the first
	// byte together; 0 is 10 seconds.
	HandshakeTimeout time.Duration
	// TURN takes over the connections to SecureListen that carry TURN; without
	// it they are closed.
	TURN func(*ingress.Conn)
	// Domain is the name that the page has; "" is whatever name it is asked for.
	Domain string
	// Challenge answers what a certificate authority asks in clear (RFC 8555
	// section 8.3) and leaves the rest to the handler; nil: nothing is asked.
	Challenge func(http.Handler) http.Handler
	// Inherited is an open socket for a key and its address, or nil.
	Inherited func(key, address string) net.Listener
	// AdminToken is asked of everyone who does not come from this machine.
	AdminToken string
	// TrustedProxies are believed when they say who their client is, in a
	// header or by the PROXY protocol.
	TrustedProxies []netip.Prefix
	// APIKeys open the routes that hand out credentials; none closes them.
	APIKeys []string
	// ConnectionsPerIP bounds the open connections of one address that is no
	// trusted proxy; 0 is no bound.
	ConnectionsPerIP int

	// Signaling answers GET /ws.
	Signaling http.Handler
	// ICE mints ICE servers for user ("" for an anonymous one). ttl 0 means the
	// default. host is the host name of the request, without port or brackets,
	// "" when the request did not carry a usable one.
	ICE func(user string, ttl time.Duration, host string) ICEServers
	// REST mints the same in the form of the TURN REST draft.
	REST func(user, host string) RESTCredential
	// CheckToken opens POST /api/v1/ice-servers to whoever holds a join token
	// that is good now and was not revoked. user is whom the credential is for,
	// made of the token's id and of what the user of a request may have; left is
	// how long the token is good for, which the credential does not outlive.
	CheckToken func(client netip.Addr, token string) (user string, left time.Duration, ok bool)

	// StartCheck begins a check of this server for client, which knows it as host,
	// and ends it after atMost, unless that is 0, if it would not have ended
	// before. It returns ErrNoTURN or a *TooManyChecksError. Nil: nobody may.
	StartCheck func(client netip.Addr, host string, atMost time.Duration) (Check, error)
	// CheckNeedsToken closes StartCheck to whoever has no join token.
	CheckNeedsToken bool
	// Check is what the server has seen of a check, shown as JSON.
	Check func(id string) (report any, ok bool)
	// EndCheck ends the allocations of a check before its time; false when there is
	// none.
	EndCheck func(id string) bool

	// Ready says what keeps the daemon from serving, nil when nothing does.
	Ready func(context.Context) error
	// Connections counts what comes to SecureListen; may be nil.
	Connections *ingress.Metrics
	// Metrics is what GET /metrics shows.
	Metrics prometheus.Gatherer
	// Rooms and Allocations are shown as JSON to the administrator, lists.
	Rooms, Allocations func() any
	// Room is one of Rooms.
	Room func(name string) (room any, ok bool)
	// Traffic is shown as JSON to the administrator, an object.
	Traffic func() any
	// Kick removes a member, which gets to read reason, and reports whether it
	// was there.
	Kick func(room, member, reason string) bool
	// CloseRoom removes everybody and reports whether the room was there.
	CloseRoom func(room, reason string) bool
	// Message sends data, which is JSON, to a member, or to all of the room where
	// member is "". It returns ErrNoSuchRoom, ErrNoSuchMember or an *InvalidError.
	Message func(room, member string, data json.RawMessage) error
	// MintToken makes a join token. It returns ErrCannotSign or an *InvalidError.
	MintToken func(TokenRequest) (Token, error)

	Log *slog.Logger
}

// ICEServer is the W3C's RTCIceServer.
type ICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"`
}

// ICEServers answers POST /api/v1/ice-servers; TTL is in seconds.
type ICEServers struct {
	ICEServers []ICEServer `json:"iceServers"`
	TTL        int64       `json:"ttl"`
}

// RESTCredential answers GET /turn (draft-uberti-behave-turn-rest-00, section
// 2.2); TTL is in seconds.
type RESTCredential struct {
	Username string   `json:"username"`
	Password string   `json:"password"`
	TTL      int64    `json:"ttl"`
	URIs     []string `json:"uris"`
}

// Server holds the bound listeners. Create it with New, then Run it; one that
// is not run must be closed.
type Server struct {
	// Fixed after construction.
	cfg       Config
	log       *slog.Logger
	site      *site
	documents *site
	ready     *readiness
	public    *front       // nil when off
	secure    *front       // nil when off
	strays    *handover    // requests in clear to the port of secure
	admin     net.Listener // nil when off

	draining atomic.Bool
	secrets  atomic.Pointer[secrets]
}

// secrets can change while the server runs.
type secrets struct {
	adminToken string
	apiKeys    []string
}

// New binds the listeners, so that a port in use is known at once. Its errors
// name the configuration key and say what to do.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, log: cfg.Log, ready: &readiness{check: cfg.Ready, fresh: readyFresh}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.SetSecrets(cfg.AdminToken, cfg.APIKeys)
	var err error
	if s.site, err = loadSite(); err != nil {
		return nil, err
	}
	if s.documents, err = loadDocuments(); err != nil {
		return nil, err
	}
	if err = s.listen(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if s.admin != nil && cfg.AdminToken == "" && !s.AdminAddr().Addr().IsLoopback() {
		err = fmt.Errorf("admin.listen: %s can be reached from other machines but admin.token is empty; "+
			"set admin.token (MAITRED_ADMIN_TOKEN) or listen on 127.0.0.1", cfg.AdminListen)
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) listen() (err error) {
	if isOn(s.cfg.Listen) {
		if s.public, err = s.open(ingress.Config{Key: "http.listen", Address: s.cfg.Listen}); err != nil {
			return err
		}
	}
	if isOn(s.cfg.SecureListen) {
		if s.secure, err = s.open(ingress.Config{Key: "https.listen", Address: s.cfg.SecureListen, TLS: s.cfg.TLS, Shared: true}); err != nil {
			return err
		}
		s.strays = newHandover(s.secure.listener.Addr())
	}
	if isOn(s.cfg.AdminListen) {
		if s.admin = s.inherited("admin.listen", s.cfg.AdminListen); s.admin != nil {
			return nil
		}
		if s.admin, err = net.Listen("tcp", s.cfg.AdminListen); err != nil {
			s.admin = nil
			return ingress.BindError("admin.listen", s.cfg.AdminListen, err)
		}
	}
	return nil
}

func isOn(address string) bool { return address != "" && address != "off" }

func (s *Server) inherited(key, address string) net.Listener {
	if s.cfg.Inherited == nil {
		return nil
	}
	return s.cfg.Inherited(key, address)
}

// SetSecrets replaces the administrator's token and the API keys for requests
// from now on. The token must not become empty on a listener that others reach.
func (s *Server) SetSecrets(adminToken string, apiKeys []string) {
	s.secrets.Store(&secrets{adminToken, apiKeys})
}

// Addr is where the page is served in clear, zero when that is off.
func (s *Server) Addr() netip.AddrPort { return s.public.addr() }

// SecureAddr is where the page is served over TLS, zero when that is off.
func (s *Server) SecureAddr() netip.AddrPort { return s.secure.addr() }

// AdminAddr is where the administrator's listener is, zero when that is off.
func (s *Server) AdminAddr() netip.AddrPort {
	if s.admin == nil {
		return netip.AddrPort{}
	}
	a := s.admin.Addr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// SetDraining makes /readyz answer 503, so that balancers look elsewhere.
func (s *Server) SetDraining() { s.draining.Store(true) }

// Close closes the listeners of a server that was never run.
func (s *Server) Close() error {
	var errs []error
	for _, f := range []*front{s.public, s.secure} {
		if f != nil {
			errs = append(errs, f.listener.Close())
		}
	}
	if s.admin != nil {
		errs = append(errs, s.admin.Close())
	}
	return errors.Join(errs...)
}

// Run serves until ctx ends, then lets running requests finish for a few
// seconds. WebSockets are not waited for: signaling closes its own.
func (s *Server) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	if s.public != nil {
		s.serveFront(ctx, group, s.public, s.clearHandler())
	}
	if s.secure != nil {
		s.serveFront(ctx, group, s.secure, s.served("https", s.publicHandler()))
		s.serve(ctx, group, s.strays, s.strayHandler(), writeTimeout).SetKeepAlivesEnabled(false)
	}
	if s.admin != nil {
		// Profiles are written for as long as the administrator asks.
		s.serve(ctx, group, s.admin, s.adminHandler(), 0)
	}
	return group.Wait()
}

func (s *Server) serveFront(ctx context.Context, group *errgroup.Group, f *front, h http.Handler) {
	s.serve(ctx, group, f.http, h, writeTimeout)
	group.Go(func() error { return f.listener.Run(ctx) })
}

// maxStreams is how many requests one HTTP/2 connection has under way: the page
// has about two dozen files.
const maxStreams = 100

func (s *Server) serve(ctx context.Context, group *errgroup.Group, l net.Listener, h http.Handler, write time.Duration) *http.Server {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      write,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		// Broken clients are not the operator's business.
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	group.Go(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve http on %s: %w", l.Addr(), err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		fresh, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if err := server.Shutdown(fresh); err != nil {
			s.log.Warn("requests were still running at shutdown and were cut off", "addr", l.Addr().String())
			return server.Close()
		}
		return nil
	})
	return server
}
