package certificate

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
)

// alpnACME is the protocol of TLS-ALPN-01 (RFC 8737 section 6.2).
const alpnACME = "acme-tls/1"

// suites are what TLS 1.2 may use: forward secrecy and authenticated encryption only, which is also what HTTP/2 wants (RFC 9113
// section 9.2.2). Those of TLS 1.3 are all good and cannot be chosen.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// TLSConfig is for a listener that speaks protocols (ALPN names, RFC 7301). Where HTTP is among them, challenges of the CA are
// answered as well when TLS-ALPN-01 is on: such a connection has negotiated "acme-tls/1", has served its purpose when the
// handshake is done, and is to be closed then.
func (m *Manager) TLSConfig(protocols ...string) *tls.Config {
	next := slices.Clone(protocols)
	if m.acme != nil && m.acme.config.TLSPort != 0 && (slices.Contains(next, "h2") || slices.Contains(next, "http/1.1")) {
		next = append(next, alpnACME)
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		CipherSuites:   slices.Clone(suites),
		NextProtos:     next,
		GetCertificate: m.GetCertificate,
	}
}

// GetCertificate is for tls.Config. Clients that ask for another name, or for none, get the one certificate there is. Without any
// the handshake fails, and the error says why there is none.
func (m *Manager) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	// RFC 8737 section 3: the CA offers this one protocol and no other.
	if m.acme != nil && len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == alpnACME {
		return m.acme.challenges.certificate(hello.ServerName)
	}
	if s := m.current.Load(); s != nil {
		return &s.pair, nil
	}
	return nil, m.missing()
}

func (m *Manager) missing() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		return errors.New("there is no certificate yet: the CA has not answered so far")
	}
	return fmt.Errorf("there is no certificate yet: %w", m.err)
}
