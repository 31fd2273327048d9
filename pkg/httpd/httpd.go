// Package httpd serves what the daemon says over HTTP: the call page, the
// API, health, and on a listener of its own the administrator's view.
//
// It knows nothing of TURN or signaling; the daemon hands it functions.
package httpd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
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
	// Listen and AdminListen are addresses as in the configuration; "off"
	// (or empty) opens none.
	Listen, AdminListen string
	// AdminToken is asked of everyone who does not come from this machine.
	AdminToken string
	// TrustedProxies are believed when they say who their client is.
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

	// Ready says what keeps the daemon from serving, nil when nothing does.
	Ready func(context.Context) error
	// Metrics is what GET /metrics shows.
	Metrics prometheus.Gatherer
	// Rooms and Allocations are shown as JSON to the administrator.
	Rooms, Allocations func() any
	// Traffic is shown as JSON to the administrator, an object.
	Traffic func() any
	// Kick removes a member and reports whether it was there.
	Kick func(room, member string) bool

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
	cfg           Config
	log           *slog.Logger
	site          *site
	ready         *readiness
	public, admin net.Listener // nil when off

	fullLog  rate.Sometimes
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
	s := &Server{cfg: cfg, log: cfg.Log, ready: &readiness{check: cfg.Ready, fresh: readyFresh}, fullLog: rate.Sometimes{Interval: time.Second}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.SetSecrets(cfg.AdminToken, cfg.APIKeys)
	var err error
	if s.site, err = loadSite(); err != nil {
		return nil, err
	}
	if s.public, err = listen("http.listen", "MAITRED_HTTP_LISTEN", cfg.Listen); err != nil {
		return nil, err
	}
	if s.public != nil {
		s.public = limit(s.public, cfg.ConnectionsPerIP, cfg.TrustedProxies, s.full)
	}
	if s.admin, err = listen("admin.listen", "MAITRED_ADMIN_LISTEN", cfg.AdminListen); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if s.admin != nil && cfg.AdminToken == "" && !s.AdminAddr().Addr().IsLoopback() {
		err = fmt.Errorf("admin.listen: %s can be reached from other machines but admin.token is empty; "+
			"set admin.token (MAITRED_ADMIN_TOKEN) or listen on 127.0.0.1", cfg.AdminListen)
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// SetSecrets replaces the administrator's token and the API keys for requests
// from now on. The token must not become empty on a listener that others reach.
func (s *Server) SetSecrets(adminToken string, apiKeys []string) {
	s.secrets.Store(&secrets{adminToken, apiKeys})
}

// full tells the operator that an address has too many connections.
func (s *Server) full(ip netip.Addr) {
	s.fullLog.Do(func() {
		s.log.Warn("too many HTTP connections from one address, see http.limits.connections_per_ip (repeated lines are left out)", "client", ip)
	})
}

// listen binds address, or returns nil for "off".
func listen(key, env, address string) (net.Listener, error) {
	if address == "" || address == "off" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", key, bindProblem(err, key, env, address))
	}
	return l, nil
}

// wsaEADDRINUSE is what Windows says; syscall.EADDRINUSE is not it there.
const wsaEADDRINUSE = syscall.Errno(10048)

func bindProblem(err error, key, env, address string) string {
	elsewhere := fmt.Sprintf("set %s (%s) to another address", key, env)
	switch {
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, wsaEADDRINUSE):
		return fmt.Sprintf("%s is already in use; stop the other program or %s", address, elsewhere)
	case errors.Is(err, syscall.EACCES):
		return fmt.Sprintf("%s needs more rights than this user has; grant CAP_NET_BIND_SERVICE or %s", address, elsewhere)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Sprintf("%s is not an address of this machine; %s", address, elsewhere)
	}
	return fmt.Sprintf("cannot listen on %s: %v; %s", address, err, elsewhere)
}

// Addr is where the page is served, zero when that is off.
func (s *Server) Addr() netip.AddrPort { return addrPort(s.public) }

// AdminAddr is where the administrator's listener is, zero when that is off.
func (s *Server) AdminAddr() netip.AddrPort { return addrPort(s.admin) }

func addrPort(l net.Listener) netip.AddrPort {
	if l == nil {
		return netip.AddrPort{}
	}
	a := l.Addr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// SetDraining makes /readyz answer 503, so that balancers look elsewhere.
func (s *Server) SetDraining() { s.draining.Store(true) }

// Close closes the listeners of a server that was never run.
func (s *Server) Close() error {
	var errs []error
	for _, l := range []net.Listener{s.public, s.admin} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// Run serves until ctx ends, then lets running requests finish for a few
// seconds. WebSockets are not waited for: signaling closes its own.
func (s *Server) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	if s.public != nil {
		s.serve(ctx, group, s.public, s.publicHandler(), writeTimeout)
	}
	if s.admin != nil {
		// Profiles are written for as long as the administrator asks.
		s.serve(ctx, group, s.admin, s.adminHandler(), 0)
	}
	return group.Wait()
}

func (s *Server) serve(ctx context.Context, group *errgroup.Group, l net.Listener, h http.Handler, write time.Duration) {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      write,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
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
}
