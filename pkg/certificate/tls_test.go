package certificate

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// selfSignedManager is the easiest one to have.
func selfSignedManager(t *testing.T) *Manager {
	t.Helper()
	m, err := New(Config{SelfSigned: true, StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// withoutCertificate is one of ACME whose Run has not begun.
func withoutCertificate(t *testing.T, ports ...int) *Manager {
	t.Helper()
	m, err := New(Config{Domain: "call.example.com", StateDir: t.TempDir(), ACME: ACME{HTTPPort: ports[0], TLSPort: ports[1]}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestVersionsAndSuites(t *testing.T) {
	m := selfSignedManager(t)
	for _, test := range []struct {
		name   string
		client *tls.Config
		want   uint16 // version; 0: refused
	}{
		{"TLS 1.3", &tls.Config{}, tls.VersionTLS13},
		{"TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, tls.VersionTLS12},
		{"TLS 1.1", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, 0},
		{"CBC", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, 0},
		{"no forward secrecy", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}}, 0},
		{"AES-GCM", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}, tls.VersionTLS12},
		{"ChaCha20", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}}, tls.VersionTLS12},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.client.InsecureSkipVerify = true
			state, err := handshake(t, m, test.client)
			if (err == nil) != (test.want != 0) || state.Version != test.want {
				t.Errorf("version %#x, %v", state.Version, err)
			}
		})
	}
	if got := m.TLSConfig().MinVersion; got != tls.VersionTLS12 {
		t.Errorf("MinVersion %#x", got)
	}
	for _, s := range suites {
		if slices.ContainsFunc(tls.InsecureCipherSuites(), func(bad *tls.CipherSuite) bool { return bad.ID == s }) {
			t.Errorf("%s is insecure", tls.CipherSuiteName(s))
		}
	}
}

func TestProtocols(t *testing.T) {
	files, acme, httpOnly := selfSignedManager(t), withoutCertificate(t, 80, 443), withoutCertificate(t, 80, 0)
	for _, test := range []struct {
		name            string
		manager         *Manager
		protocols, want []string
	}{
		{"HTTP", files, []string{"h2", "http/1.1"}, []string{"h2", "http/1.1"}},
		{"HTTP with ACME", acme, []string{"h2", "http/1.1", "stun.turn"}, []string{"h2", "http/1.1", "stun.turn", "acme-tls/1"}},
		{"HTTP/1.1 with ACME", acme, []string{"http/1.1"}, []string{"http/1.1", "acme-tls/1"}},
		{"TURN with ACME", acme, []string{"stun.turn"}, []string{"stun.turn"}},
		{"nothing with ACME", acme, nil, nil},
		{"HTTP with ACME by HTTP-01", httpOnly, []string{"h2"}, []string{"h2"}},
	} {
		if got := test.manager.TLSConfig(test.protocols...).NextProtos; !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	if state, err := handshake(t, files, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"stun.turn", "h2"}}, "h2", "stun.turn"); err != nil ||
		state.NegotiatedProtocol != "h2" {
		t.Errorf("negotiated %q, %v", state.NegotiatedProtocol, err)
	}
}

// TestAnyName asks for other names, and for none.
func TestAnyName(t *testing.T) {
	m := selfSignedManager(t)
	for _, name := range []string{"", "other.example.org", "10.0.0.1"} {
		state, err := handshake(t, m, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err != nil || fingerprint(state.PeerCertificates[0]) != m.Status().SHA256 {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestNoCertificateYet(t *testing.T) {
	m := withoutCertificate(t, 80, 443)
	if _, err := m.GetCertificate(&tls.ClientHelloInfo{}); err == nil || !strings.Contains(err.Error(), "there is no certificate yet") {
		t.Error(err)
	}
	if _, err := handshake(t, m, &tls.Config{InsecureSkipVerify: true}); err == nil {
		t.Error("a handshake without a certificate")
	}
	if status := m.Status(); status.Source != "acme" || status.SHA256 != "" || !status.NotAfter.IsZero() || m.ValidFor("call.example.com") {
		t.Errorf("%+v", status)
	}
	m.failed(context.DeadlineExceeded)
	if _, err := m.GetCertificate(&tls.ClientHelloInfo{}); err == nil || !strings.Contains(err.Error(), "yet: context deadline exceeded") {
		t.Errorf("the reason is missing: %v", err)
	}
	if _, err := m.GetCertificate(&tls.ClientHelloInfo{ServerName: "call.example.com", SupportedProtos: []string{alpnACME}}); err == nil ||
		!strings.Contains(err.Error(), "TLS-ALPN-01") {
		t.Errorf("a challenge that nobody asked for: %v", err)
	}
}

// TestGetCertificateAllocatesNothing holds with the race detector and without.
func TestGetCertificateAllocatesNothing(t *testing.T) {
	acme := withoutCertificate(t, 80, 443)
	self := selfSignedManager(t)
	acme.publish(self.current.Load())
	hello := &tls.ClientHelloInfo{ServerName: "call.example.com", SupportedProtos: []string{"h2", "http/1.1"}}
	for name, m := range map[string]*Manager{"acme": acme, "self-signed": self} {
		if n := testing.AllocsPerRun(100, func() {
			if c, err := m.GetCertificate(hello); c == nil || err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestFingerprint(t *testing.T) {
	if got := selfSignedManager(t).Status().SHA256; !regexp.MustCompile(`^([0-9A-F]{2}:){31}[0-9A-F]{2}$`).MatchString(got) {
		t.Error(got)
	}
}

func TestNothingConfigured(t *testing.T) {
	for _, test := range []struct {
		name   string
		config Config
		want   string
	}{
		{"nothing", Config{}, "set domain, tls.cert_file and tls.key_file, or tls.self_signed"},
		{"no challenge", Config{Domain: "call.example.com"}, "open https.listen, or set tls.cert_file and tls.key_file"},
		{"plain directory", Config{Domain: "call.example.com", ACME: ACME{HTTPPort: 80, DirectoryURL: "http://ca.example.com/dir"}}, "tls.acme.directory_url: "},
		{"no directory", Config{Domain: "call.example.com", ACME: ACME{HTTPPort: 80, DirectoryURL: "ca.example.com"}}, "tls.acme.directory_url: "},
		{"no roots", Config{Domain: "call.example.com", ACME: ACME{HTTPPort: 80, CAFile: "no-such-file"}}, "tls.acme.ca_file: "},
		{"bad roots", Config{Domain: "call.example.com", ACME: ACME{HTTPPort: 80, CAFile: put(t, filepath.Join(t.TempDir(), "x"), []byte("x"))}}, "holds no certificate in PEM"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.config.StateDir = t.TempDir()
			if _, err := New(test.config); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	read := func(m *Manager) map[string]float64 {
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(m)
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]float64{}
		for _, f := range families {
			values[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue()
		}
		return values
	}
	m := withoutCertificate(t, 80, 443)
	m.failed(context.Canceled)
	values := read(m)
	if _, ok := values["maitred_tls_certificate_expires_seconds"]; ok || values["maitred_tls_certificate_failures_total"] != 1 {
		t.Errorf("without a certificate: %v", values)
	}
	m = selfSignedManager(t)
	values = read(m)
	if got := time.Unix(int64(values["maitred_tls_certificate_expires_seconds"]), 0); !got.Equal(m.Status().NotAfter) {
		t.Errorf("ends at %v: %v", m.Status().NotAfter, values)
	}
}

// TestOtherSourcesPassRequestsOn has a path of ACME as any other.
func TestOtherSourcesPassRequestsOn(t *testing.T) {
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for name, m := range map[string]*Manager{"self-signed": selfSignedManager(t), "ACME": withoutCertificate(t, 80, 0)} {
		w := httptest.NewRecorder()
		m.ChallengeHandler(next).ServeHTTP(w, httptest.NewRequest(http.MethodGet, challengePath+"token", nil))
		if w.Code != http.StatusTeapot {
			t.Errorf("%s: status %d", name, w.Code)
		}
	}
}

// TestReloadOfOtherSources does nothing.
func TestReloadOfOtherSources(t *testing.T) {
	m := selfSignedManager(t)
	before := m.Status()
	m.Reload("no", "file")
	if after := m.Status(); after.SHA256 != before.SHA256 || after.Err != nil {
		t.Errorf("%+v", after)
	}
}
