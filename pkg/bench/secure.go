package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/elliptic"
	dtlsnet "github.com/pion/dtls/v3/pkg/net"
)

// The certificate of the server is not verified, over TLS nor over DTLS: the load is put on a server of one's own, which need not have one that this
// machine trusts. What proves the server is that it signs its answers with the password (client.verify); where there is no allocation, nothing does.
// Every handshake is a full one.

// applicationProtocol is what TURN is called in ALPN (RFC 7443).
const applicationProtocol = "stun.turn"

// TLSVersions are the ones that there are over TLS. Over DTLS it is always 1.2.
func TLSVersions() []string { return []string{"1.2", "1.3"} }

// secureStream is a TLS client that has shaken hands. It offers the curves and ciphers that every server has, so that all do the same work; what
// TLS 1.3 encrypts with is the server's choice. It sends a burst in as few records as it fits.
func secureStream(ctx context.Context, socket net.Conn, c *Config) (*tls.Conn, error) {
	oldest, newest := uint16(tls.VersionTLS12), uint16(tls.VersionTLS13)
	switch c.TLSVersion {
	case "1.2":
		newest = oldest
	case "1.3":
		oldest = newest
	}
	conn := tls.Client(socket, &tls.Config{
		InsecureSkipVerify:          true, // see above
		ServerName:                  c.ServerName,
		NextProtos:                  []string{applicationProtocol},
		MinVersion:                  oldest,
		MaxVersion:                  newest,
		CurvePreferences:            []tls.CurveID{tls.X25519, tls.CurveP256},
		CipherSuites:                []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
		DynamicRecordSizingDisabled: true,
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return conn, nil
}

// securePackets is a DTLS client that has shaken hands.
func securePackets(ctx context.Context, socket *net.UDPConn, c *Config) (*dtls.Conn, error) {
	conn, err := dtls.ClientWithOptions(dtlsnet.PacketConnFromConn(socket), socket.RemoteAddr(),
		dtls.WithInsecureSkipVerify(true), // see above
		dtls.WithServerName(c.ServerName),
		dtls.WithSupportedProtocols(applicationProtocol),
		dtls.WithCipherSuites(dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, dtls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
		dtls.WithEllipticCurves(elliptic.X25519, elliptic.P256))
	if err != nil {
		return nil, err
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the error is that of the handshake
		return nil, fmt.Errorf("DTLS handshake: %w", err)
	}
	return conn, nil
}

// encryption is what was negotiated: version, cipher suite, group where it is known, kind of the server's key. It is empty in clear.
func (t *client) encryption() string {
	var parts []string
	var certificate *x509.Certificate
	switch conn := t.conn.(type) {
	case *tls.Conn:
		state := conn.ConnectionState()
		parts = []string{tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), state.CurveID.String()}
		certificate = state.PeerCertificates[0]
	case *dtls.Conn:
		state, ok := conn.ConnectionState()
		if !ok || len(state.PeerCertificates) == 0 {
			return "DTLS 1.2"
		}
		parts = []string{"DTLS 1.2", dtls.CipherSuiteName(state.CipherSuiteID)}
		certificate, _ = x509.ParseCertificate(state.PeerCertificates[0]) // one that cannot be read is left out
	}
	if certificate != nil {
		parts = append(parts, certificate.PublicKeyAlgorithm.String())
	}
	return strings.Join(parts, ", ")
}
