// Package certificate owns the daemon's TLS certificate and says how TLS is spoken with it. The certificate comes from one of three
// sources: PEM files, a CA that is asked by ACME (RFC 8555), or this machine itself. Whatever happens to the source, the last good
// certificate stays in use.
package certificate

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config says where the certificate comes from: CertFile and KeyFile when they are set, else the machine itself when SelfSigned is,
// else a CA that is asked for Domain.
type Config struct {
	Domain            string // public host name, in ASCII and lower case
	CertFile, KeyFile string // PEM; the certificate's file holds its chain as well, the server's own first
	SelfSigned        bool
	Addresses         []netip.Addr // what the self-signed certificate is for besides this machine's own addresses
	StateDir          string       // ACME keeps its account and certificates in acme below it, the self-signed pair is in self-signed
	ACME              ACME
	Log               *slog.Logger // nil: nothing is logged
}

// ACME is the CA and how it reaches us. The zero value is Let's Encrypt and no way to reach us, which is an error.
type ACME struct {
	DirectoryURL string // "": Let's Encrypt
	CAFile       string // PEM roots that the directory's own certificate is verified with; "": the system's
	Email        string // of the operator, told to the CA when the account is made; may be empty

	// HTTPPort and TLSPort are where our own listeners answer HTTP-01 (RFC 8555 section 8.3) by ChallengeHandler and TLS-ALPN-01
	// (RFC 8737) by TLSConfig. The CA itself always asks ports 80 and 443. 0: that challenge is not offered.
	HTTPPort, TLSPort int

	CheckInterval time.Duration // how often renewal is considered; 0: 10 minutes
}

// Manager has the certificate. Its methods may be called concurrently, before, during and after Run.
type Manager struct {
	source source
	name   string
	acme   *acmeSource // nil for other sources
	log    *slog.Logger

	current  atomic.Pointer[served] // nil: there is none
	failures atomic.Uint64
	mu       sync.Mutex
	err      error // why there is none, or what went wrong last; guarded by mu
}

// source is where a certificate comes from. It publishes what it has and reports what failed to its Manager.
type source interface {
	// run keeps the certificate good until ctx ends.
	run(ctx context.Context)
}

// served is a certificate as it is handed out. It is immutable.
type served struct {
	pair   tls.Certificate // with Leaf
	sha256 string
}

func newServed(pair tls.Certificate) *served { return &served{pair, fingerprint(pair.Leaf)} }

func fingerprint(leaf *x509.Certificate) string {
	sum := sha256.Sum256(leaf.Raw)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

// attributes are what the log says of a certificate.
func (s *served) attributes() []any {
	return []any{"names", namesOf(s.pair.Leaf), "not_after", s.pair.Leaf.NotAfter, "sha256", s.sha256}
}

func namesOf(leaf *x509.Certificate) []string {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// New takes the certificate from its source: it reads the files, makes the self-signed pair or loads it, or loads what ACME has left
// in the state directory. It waits for no network: with ACME there may be no certificate yet, which is no error. Errors name the
// configuration's key or the file that is wrong, and what to do.
func New(c Config) (*Manager, error) {
	m := &Manager{log: c.Log}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	var err error
	switch {
	case c.CertFile != "" || c.KeyFile != "":
		m.name = "files"
		m.source, err = newFiles(m, c)
	case c.SelfSigned:
		m.name = "self_signed"
		m.source, err = newSelfSigned(m, c)
	case c.Domain != "":
		m.name = "acme"
		m.acme, err = newACME(m, c)
		m.source = m.acme
	default:
		err = errors.New("there is nothing to make a certificate from: set domain, tls.cert_file and tls.key_file, or tls.self_signed")
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Run keeps the certificate good: it watches the files, renews the self-signed certificate, obtains and renews by ACME. It returns
// nil when ctx has ended and with it everything that Run started; an answer of an OCSP server that is on its way is waited for, 30
// seconds at most.
func (m *Manager) Run(ctx context.Context) error {
	m.source.run(ctx)
	return nil
}

// Reload looks at the files now, which may be others than before. A CA that is waited with after a failure is asked again at once.
func (m *Manager) Reload(certFile, keyFile string) {
	switch source := m.source.(type) {
	case *files:
		source.reload(certFile, keyFile)
	case *acmeSource:
		source.hurry()
	}
}

// publish has s used from now on and forgets what went wrong.
func (m *Manager) publish(s *served) {
	m.current.Store(s)
	m.fine()
}

func (m *Manager) fine() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = nil
}

// failed keeps err for Status and counts it.
func (m *Manager) failed(err error) {
	m.failures.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// Status describes the present certificate. Without one, only Source and Err are set.
type Status struct {
	Source              string // "acme", "files" or "self_signed"
	Names               []string
	NotBefore, NotAfter time.Time
	SHA256              string // fingerprint of the certificate: 32 bytes in upper-case hexadecimal with colons between
	Err                 error  // why there is no certificate, or why the last attempt to load or renew it failed; nil: all is well
}

// Status of the present certificate.
func (m *Manager) Status() Status {
	m.mu.Lock()
	status := Status{Source: m.name, Err: m.err}
	m.mu.Unlock()
	if s := m.current.Load(); s != nil {
		leaf := s.pair.Leaf
		status.Names, status.NotBefore, status.NotAfter, status.SHA256 = namesOf(leaf), leaf.NotBefore, leaf.NotAfter, s.sha256
	}
	return status
}

// ValidFor tells whether the present certificate is valid today for host, a name or an IP address. Whether clients trust whoever
// signed it is another question.
func (m *Manager) ValidFor(host string) bool {
	s := m.current.Load()
	if s == nil {
		return false
	}
	now, leaf := time.Now(), s.pair.Leaf
	return leaf.VerifyHostname(host) == nil && !now.Before(leaf.NotBefore) && !now.After(leaf.NotAfter)
}
