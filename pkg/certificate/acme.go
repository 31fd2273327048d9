package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

const (
	defaultCheckInterval = 10 * time.Minute
	firstRetry           = 30 * time.Second
	longestRetry         = time.Hour

	// refusedRetry is for a CA that did not find us, or was asked too often. It counts validations that fail, and each attempt is one for each
	// challenge: Let's Encrypt allows five an hour, and some more at first.
	refusedRetry = 20 * time.Minute

	// renewalAlarm is how long before the certificate's end a failing renewal is an error and no mere warning.
	renewalAlarm = 3 * day
)

// acmeSource asks a CA. certmagic keeps what the CA gave, decides when to renew (a third of the lifetime before the end, or when
// the CA says so, RFC 9773) and staples OCSP answers. When it does so, and how often after a failure, is decided here, so that
// failures can be told with their cause.
type acmeSource struct {
	manager    *Manager
	domain     string
	config     ACME
	directory  string // of the state
	issuer     *issuer
	storage    storage
	challenges challenges
	log        *slog.Logger

	// Owned by run.
	cache    *certmagic.Cache
	magic    *certmagic.Config
	retry    retry
	failures int           // since the last success
	wake     chan struct{} // has an element when somebody wants an attempt now
}

// retry says how long to wait after failures: the first one, many, and where the CA was reached and refused.
type retry struct{ first, longest, refused time.Duration }

// storage is certmagic's, in files. Its locks between processes would need goroutines that outlive them; two daemons cannot share a
// state directory anyway, and here one goroutine orders certificates.
type storage struct{ *certmagic.FileStorage }

func (storage) Lock(context.Context, string) error            { return nil }
func (storage) TryLock(context.Context, string) (bool, error) { return true, nil }
func (storage) Unlock(context.Context, string) error          { return nil }

func newACME(m *Manager, c Config) (*acmeSource, error) {
	if c.ACME.HTTPPort == 0 && c.ACME.TLSPort == 0 {
		return nil, errors.New("domain: a certificate by ACME needs a port on which the CA can reach this server: open https.listen, or set tls.cert_file and tls.key_file")
	}
	if c.ACME.DirectoryURL == "" {
		c.ACME.DirectoryURL = certmagic.LetsEncryptProductionCA
	}
	if c.ACME.CheckInterval <= 0 {
		c.ACME.CheckInterval = defaultCheckInterval
	}
	a := &acmeSource{manager: m, domain: c.Domain, config: c.ACME, directory: filepath.Join(c.StateDir, "acme"), log: m.log,
		retry: retry{firstRetry, longestRetry, refusedRetry}, wake: make(chan struct{}, 1)}
	if err := os.MkdirAll(a.directory, 0o700); err != nil {
		return nil, fmt.Errorf("keep the certificates of %s: %w: make state_dir a directory that the daemon may write to", a.domain, err)
	}
	a.storage = storage{&certmagic.FileStorage{Path: a.directory}}
	var err error
	if a.issuer, err = newIssuer(a); err != nil {
		return nil, err
	}
	stored, err := a.stored(context.Background())
	switch {
	case err == nil:
		m.publish(stored)
		a.log.Info("certificate loaded from the state directory", stored.attributes()...)
		if state := expiryOf(stored.pair.Leaf, time.Now()); state == over || state == early {
			a.log.Warn("this certificate is not valid now, it is served until the CA has given another one", "domain", a.domain)
		}
	case !errors.Is(err, fs.ErrNotExist):
		a.log.Warn("the certificate in the state directory cannot be used, another one is obtained", "error", err)
	}
	return a, nil
}

// errDamaged is of files that were read and make no certificate.
var errDamaged = errors.New("damaged")

// stored is what the state directory has: the certificate, its key, and certmagic's notes on it.
func (a *acmeSource) stored(ctx context.Context) (*served, error) {
	keys, files := certmagic.StorageKeys, [3][]byte{}
	for i, name := range []string{keys.SiteCert(a.issuer.key, a.domain), keys.SitePrivateKey(a.issuer.key, a.domain), keys.SiteMeta(a.issuer.key, a.domain)} {
		var err error
		if files[i], err = a.storage.Load(ctx, name); err != nil {
			return nil, err
		}
	}
	pair, err := tls.X509KeyPair(files[0], files[1])
	if err == nil && !json.Valid(files[2]) {
		err = errors.New("the notes are no JSON")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", a.storage.Filename(a.site()), errDamaged, err)
	}
	return newServed(pair), nil
}

// site is the storage's directory of our certificate.
func (a *acmeSource) site() string {
	return certmagic.StorageKeys.CertsSitePrefix(a.issuer.key, a.domain)
}

func (a *acmeSource) run(ctx context.Context) {
	logger := zap.New(zapCore{a.log})
	// The cache would renew on its own, in goroutines that nobody can wait for. Without a configuration it does not.
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) {
			return nil, errors.New("renewal is considered elsewhere")
		},
		RenewCheckInterval: a.config.CheckInterval,
		Logger:             logger,
	})
	defer a.cache.Stop()
	defer a.issuer.client.CloseIdleConnections()
	a.magic = certmagic.New(a.cache, certmagic.Config{
		Issuers:   []certmagic.Issuer{a.issuer},
		Storage:   a.storage,
		KeySource: certmagic.StandardKeyGenerator{KeyType: certmagic.P256},
		OCSP:      certmagic.OCSPConfig{HTTPProxy: http.ProxyFromEnvironment}, // also gives its requests a time limit
		Logger:    logger,
	})
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-a.wake:
		case <-ctx.Done():
			return
		}
		wait := a.round(ctx)
		if ctx.Err() != nil {
			return
		}
		timer.Reset(wait)
	}
}

// hurry has an attempt made now.
func (a *acmeSource) hurry() {
	select {
	case a.wake <- struct{}{}:
	default: // one is asked for already
	}
}

// round considers what there is to do, does it, and returns when to come back.
func (a *acmeSource) round(ctx context.Context) time.Duration {
	err := a.manage(ctx)
	if err == nil || ctx.Err() != nil {
		a.failures = 0
		a.manager.fine()
		a.log.Debug("the certificate needs nothing for now", "again_in", a.config.CheckInterval)
		return a.config.CheckInterval
	}
	a.failures++
	problem := explain(err, a)
	wait := backoff(a.retry.first, a.retry.longest, a.failures)
	if problem.refused {
		wait = max(wait, a.retry.refused)
	}
	wait = jitter(wait)
	a.manager.failed(problem)
	a.report(problem, wait)
	return wait
}

// manage obtains or renews when it is time, and publishes what there is then.
func (a *acmeSource) manage(ctx context.Context) error {
	_, err := a.stored(ctx)
	if errors.Is(err, errDamaged) {
		if err := a.storage.Delete(ctx, a.site()); err != nil {
			return fmt.Errorf("remove the damaged certificate: %w", err)
		}
	}
	a.issuer.replaces = nil
	// A CA may refuse to replace a certificate that it has forgotten, so only the first attempt asks for that.
	if s := a.manager.current.Load(); s != nil && a.failures == 0 && time.Now().Before(s.pair.Leaf.NotAfter) {
		a.issuer.replaces = s.pair.Leaf
	}
	err = a.magic.ManageSync(ctx, []string{a.domain})
	for _, c := range a.cache.AllMatchingCertificates(a.domain) {
		a.take(c.Certificate)
		a.cache.Remove([]string{c.Hash()})
	}
	return err
}

// take publishes a certificate, or the one in use with another OCSP answer.
func (a *acmeSource) take(pair tls.Certificate) {
	old := a.manager.current.Load()
	same := old != nil && old.pair.Leaf.Equal(pair.Leaf)
	if same && bytes.Equal(old.pair.OCSPStaple, pair.OCSPStaple) {
		return
	}
	next := newServed(pair)
	a.manager.publish(next)
	if !same {
		a.log.Info("certificate obtained from the CA", append(next.attributes(), "directory", a.config.DirectoryURL)...)
	}
}

// report tells of a failed attempt: what the CA says, what to do, and when it is tried again.
func (a *acmeSource) report(p *problem, wait time.Duration) {
	attributes := []any{"domain", a.domain, "directory", a.config.DirectoryURL, "reason", p.reason, "advice", p.advice,
		"again_in", wait.Round(time.Second / 10), "attempts", a.failures}
	s := a.manager.current.Load()
	if s == nil {
		a.log.Warn("there is no certificate yet: the CA gave none", attributes...)
		return
	}
	level, text, leaf := slog.LevelWarn, "the certificate could not be renewed, the old one stays in use", s.pair.Leaf
	now := time.Now()
	if leaf.NotAfter.Sub(now) < renewalAlarm {
		level = slog.LevelError
	}
	if now.After(leaf.NotAfter) {
		text = "the certificate has expired and could not be renewed, clients refuse it"
	}
	a.log.Log(context.Background(), level, text, append(attributes, "not_after", leaf.NotAfter, "days_left", daysLeft(leaf, now))...)
}

// backoff is the wait after so many failures. It grows fast, because CAs allow only some failed validations an hour.
func backoff(first, longest time.Duration, failures int) time.Duration {
	wait := first
	for n := 1; n < failures && wait < longest; n++ {
		wait *= 3
	}
	return min(wait, longest)
}

// jitter shortens by up to a tenth, so that many servers do not come back together.
func jitter(d time.Duration) time.Duration { return d - rand.N(d/10+1) }
