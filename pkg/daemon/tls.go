package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/maitred/maitred/pkg/certificate"
	"github.com/maitred/maitred/pkg/config"
	"github.com/maitred/maitred/pkg/ingress"
)

// newCertificate takes the certificate from where the configuration says; nil when there is to be none.
func (d *Daemon) newCertificate() (*certificate.Manager, error) {
	c := d.config
	if !c.Certificate() {
		return nil, nil
	}
	return certificate.New(certificate.Config{
		Domain: c.Domain, CertFile: c.TLS.CertFile, KeyFile: c.TLS.KeyFile, SelfSigned: c.TLS.SelfSigned,
		Addresses: d.external, StateDir: c.StateDir,
		ACME: certificate.ACME{DirectoryURL: c.TLS.ACME.DirectoryURL, CAFile: c.TLS.ACME.CAFile, Email: c.TLS.ACME.Email,
			HTTPPort: portOf(c.HTTP.Listen), TLSPort: portOf(c.HTTPS.Listen), CheckInterval: c.TLS.ACME.CheckInterval},
		Log: d.log,
	})
}

// portOf is the port of a listening address; 0 when it is off.
func portOf(address string) int {
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return 0
	}
	return a.Port
}

// tlsConfig is for a listener that speaks protocols; nil without a certificate.
func (d *Daemon) tlsConfig(protocols []string) *tls.Config {
	if d.certificate == nil {
		return nil
	}
	c := d.certificate.TLSConfig(protocols...)
	get := c.GetCertificate
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair, err := get(hello)
		if err != nil {
			return nil, noCertificate{err}
		}
		return pair, nil
	}
	return c
}

// noCertificate is an error of the certificate's source in a form that the listeners know.
type noCertificate struct{ error }

// Is tells errors.Is that this is ingress.ErrNoCertificate.
func (noCertificate) Is(target error) bool { return target == ingress.ErrNoCertificate }

func (e noCertificate) Unwrap() error { return e.error }

// anyCertificate is for asking this daemon whether it answers, whatever its certificate is.
func anyCertificate() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}
}

// OwnTLS is for a client of a daemon with this configuration on this machine. The certificate must be valid now, and for the domain if there is one;
// who signed it is another question: it may be the machine itself.
func OwnTLS(c *config.Config) *tls.Config {
	return &tls.Config{ServerName: c.Domain, MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
		return validNow(s.PeerCertificates[0], c.Domain, time.Now())
	}}
}

// readyTimeout bounds AskReady: a little more than the daemon itself takes for its checks.
const readyTimeout = 5 * time.Second

// AskReady asks a daemon with this configuration on this machine whether it is ready, where that takes no certificate if possible. The error says
// what keeps it from being.
func AskReady(ctx context.Context, c *config.Config) error {
	scheme, address := "http", c.HTTP.Listen
	if address == config.Off {
		address = c.Admin.Listen
	}
	if address == config.Off {
		scheme, address = "https", c.HTTPS.Listen
	}
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return fmt.Errorf("http.listen, admin.listen and https.listen: there is none to ask: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+reachable(a.AddrPort()).String()+"/readyz", nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: anyCertificate(), DisableKeepAlives: true}
	response, err := transport.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("the daemon does not answer: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	var problem struct{ Detail string }
	if err := json.NewDecoder(io.LimitReader(response.Body, 4<<10)).Decode(&problem); err != nil || problem.Detail == "" {
		problem.Detail = response.Status
	}
	return fmt.Errorf("the daemon is not ready: %s", problem.Detail)
}

var errOutOfDate = errors.New("the server's certificate is not valid now")

func validNow(leaf *x509.Certificate, domain string, now time.Time) error {
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return fmt.Errorf("%w: it is from %s to %s", errOutOfDate, leaf.NotBefore.Format(time.DateTime), leaf.NotAfter.Format(time.DateTime))
	}
	if domain == "" {
		return nil
	}
	return leaf.VerifyHostname(domain)
}
