package certificate

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// requestTimeout bounds one request to the CA.
const requestTimeout = 30 * time.Second

// issuer orders certificates from a CA (RFC 8555). It is a certmagic.Issuer in place of certmagic's own, which opens listeners
// itself where it can, asks a terminal for an e-mail address, and starts goroutines that never end.
type issuer struct {
	config  ACME
	key     string // names the CA in the storage
	client  *http.Client
	storage storage
	solvers map[string]acmez.Solver
	log     *slog.Logger

	// Owned by the goroutine that orders.
	account  acme.Account      // no Location: not known yet
	replaces *x509.Certificate // what the next certificate is to replace (RFC 9773 section 5); nil: nothing
}

func newIssuer(a *acmeSource) (*issuer, error) {
	directory, err := url.Parse(a.config.DirectoryURL)
	if err != nil || directory.Scheme != "https" || directory.Host == "" {
		return nil, fmt.Errorf("tls.acme.directory_url: %q is no https:// URL of an ACME directory: the CA's documentation names it", a.config.DirectoryURL)
	}
	roots, err := readRoots(a.config.CAFile)
	if err != nil {
		return nil, err
	}
	i := &issuer{config: a.config, storage: a.storage, log: slog.New(debugHandler{a.log.Handler()}), solvers: map[string]acmez.Solver{}}
	i.key = directory.Host + strings.ReplaceAll(strings.TrimRight(directory.Path, "/"), "/", "-")
	i.client = &http.Client{Timeout: requestTimeout, Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: requestTimeout}).DialContext,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: requestTimeout,
		IdleConnTimeout:     time.Minute,
		ForceAttemptHTTP2:   true,
	}}
	if a.config.HTTPPort != 0 {
		i.solvers[acme.ChallengeTypeHTTP01] = httpSolver{&a.challenges}
	}
	if a.config.TLSPort != 0 {
		i.solvers[acme.ChallengeTypeTLSALPN01] = tlsSolver{&a.challenges}
	}
	return i, nil
}

// readRoots reads tls.acme.ca_file; nil are the system's roots.
func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("tls.acme.ca_file: %w: name a file with the root certificate of the ACME server", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("tls.acme.ca_file: %s holds no certificate in PEM: name a file with the root certificate of the ACME server", file)
	}
	return roots, nil
}

// IssuerKey implements certmagic.Issuer.
func (i *issuer) IssuerKey() string { return i.key }

// Issue implements certmagic.Issuer. Its errors tell certmagic not to try again: that is decided in one place.
func (i *issuer) Issue(ctx context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	chain, err := i.order(ctx, csr)
	var problem acme.Problem
	if errors.As(err, &problem) && problem.Type == acme.ProblemTypeAccountDoesNotExist {
		i.account = acme.Account{} // the CA has forgotten it
		chain, err = i.order(ctx, csr)
	}
	if err != nil {
		return nil, certmagic.ErrNoRetry{Err: err}
	}
	return &certmagic.IssuedCertificate{Certificate: chain.ChainPEM, Metadata: chain}, nil
}

func (i *issuer) order(ctx context.Context, csr *x509.CertificateRequest) (acme.Certificate, error) {
	client := i.newClient()
	if err := i.register(ctx, client); err != nil {
		return acme.Certificate{}, err
	}
	parameters, err := acmez.OrderParametersFromCSR(i.account, csr)
	if err != nil {
		return acme.Certificate{}, err
	}
	parameters.Replaces = i.replaces
	chains, err := client.ObtainCertificate(ctx, parameters)
	if err != nil {
		return acme.Certificate{}, err
	}
	if len(chains) == 0 {
		return acme.Certificate{}, errors.New("the CA sent no certificate")
	}
	return chains[0], nil
}

// GetRenewalInfo implements certmagic.RenewalInfoGetter: when the CA would like the certificate to be renewed (RFC 9773).
func (i *issuer) GetRenewalInfo(ctx context.Context, c certmagic.Certificate) (acme.RenewalInfo, error) {
	return i.newClient().GetRenewalInfo(ctx, c.Leaf)
}

func (i *issuer) newClient() *acmez.Client {
	return &acmez.Client{
		Client:           &acme.Client{Directory: i.config.DirectoryURL, HTTPClient: i.client, UserAgent: "maitred", Logger: i.log},
		ChallengeSolvers: i.solvers,
	}
}

// register finds the account of our key or makes one, which is one request to the CA (RFC 8555 section 7.3.1). The key is all that
// has to be kept.
func (i *issuer) register(ctx context.Context, client *acmez.Client) error {
	if i.account.Location != "" {
		return nil
	}
	key, err := i.accountKey(ctx)
	if err != nil {
		return err
	}
	var contact []string
	if i.config.Email != "" {
		contact = []string{"mailto:" + i.config.Email}
	}
	account, err := client.NewAccount(ctx, acme.Account{Contact: contact, TermsOfServiceAgreed: true, PrivateKey: key})
	if err != nil {
		return fmt.Errorf("register an account: %w", err)
	}
	i.account = account
	return nil
}

// accountName is where the storage has the account's key.
func (i *issuer) accountName() string {
	return "accounts/" + certmagic.StorageKeys.Safe(i.key) + ".key"
}

// accountKey loads the account's key or makes it.
func (i *issuer) accountKey(ctx context.Context) (crypto.Signer, error) {
	name := i.accountName()
	data, err := i.storage.Load(ctx, name)
	if err == nil {
		key, err := certmagic.PEMDecodePrivateKey(data)
		if err != nil {
			return nil, fmt.Errorf("%s is damaged: remove it and a new account is made: %w", i.storage.Filename(name), err)
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the key of the account with the CA: %w", err)
	}
	key, err := certmagic.StandardKeyGenerator{KeyType: certmagic.P256}.GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("make a key for an account with the CA: %w", err)
	}
	data, err = certmagic.PEMEncodePrivateKey(key)
	if err == nil {
		err = i.storage.Store(ctx, name, data)
	}
	if err != nil {
		return nil, fmt.Errorf("keep the key of the account with the CA: %w", err)
	}
	return key.(crypto.Signer), nil
}
