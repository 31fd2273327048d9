package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
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
			return nil, fmt.Errorf("%w: %w", ingress.ErrNoCertificate, err)
		}
		return pair, nil
	}
	return c
}

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
