package daemon

import (
	"bytes"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maitred/maitred/test/harness"
)

// TestSelfSigned is the LAN's set-up: every listener answers, browsers are told what they will get on with, people what to open.
func TestSelfSigned(t *testing.T) {
	r := start(t, "tls.self_signed", "true", "https.listen", "127.0.0.1:0", "turn.tls", "127.0.0.1:0", "turn.dtls", "127.0.0.1:0")
	if urls := r.localURLs(); len(urls) != 4 {
		t.Errorf("checked are %q, want UDP, TCP, HTTPS's port and TLS", urls)
	}
	if err := r.ready(t.Context()); err != nil {
		t.Error(err)
	}
	if _, turn := r.urls("localhost"); len(turn) != 2 || strings.Contains(strings.Join(turn, " "), "turns:") {
		t.Errorf("handed out are %q, want UDP and TCP", turn)
	}
	var b bytes.Buffer
	if err := r.WriteGuide(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"https://127.0.0.1:", r.certificate.Status().SHA256, "browsers warn once", "█", "http://localhost:", "?transport=udp (browsers do not speak it)"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the guide lacks %q:\n%s", want, &b)
		}
	}
}

// TestOnlyTLS has nothing else to hand out, so it is handed out.
func TestOnlyTLS(t *testing.T) {
	r := start(t, "tls.self_signed", "true", "https.listen", "127.0.0.1:0", "turn.udp", "off", "turn.tcp", "off", "http.listen", "off")
	if stun, turn := r.urls("localhost"); len(stun) != 0 || len(turn) != 1 || !strings.HasPrefix(turn[0], "turns:localhost:") {
		t.Errorf("handed out are %q and %q", stun, turn)
	}
}

// TestCertificateFiles: the name in turns: URLs is one that the certificate has, and a reload takes new files over.
func TestCertificateFiles(t *testing.T) {
	ca := harness.NewAuthority(t)
	cert, key := ca.Issue(t.TempDir(), "*.wild.example.com", "call.example.com", "127.0.0.1")
	r := start(t, "tls.cert_file", cert, "tls.key_file", key, "https.listen", "127.0.0.1:0")
	for host, want := range map[string]string{
		"call.example.com": "turns:call.example.com:", "a.wild.example.com": "turns:a.wild.example.com:", "127.0.0.1": "turns:127.0.0.1:",
		"192.0.2.1": "turns:call.example.com:", "other.example.com": "turns:call.example.com:",
	} {
		_, turn := r.urls(host)
		if last := turn[len(turn)-1]; len(turn) != 3 || !strings.HasPrefix(last, want) {
			t.Errorf("for %s: %q, want the last to begin with %s", host, turn, want)
		}
	}
	before := r.certificate.Status().SHA256
	other, otherKey := ca.Issue(t.TempDir(), "other.example.com")
	c := load(t, "tls.cert_file", other, "tls.key_file", otherKey, "https.listen", "127.0.0.1:0")
	if err := r.Reload(c); err != nil {
		t.Fatal(err)
	}
	if s := r.certificate.Status(); s.SHA256 == before || !slices.Equal(s.Names, []string{"other.example.com"}) {
		t.Errorf("after the reload: %+v", s)
	}
}

// TestExpiredCertificate: whoever sends the CA's questions to ready daemons only must not keep this one from renewing.
func TestExpiredCertificate(t *testing.T) {
	ca := harness.NewAuthority(t)
	cert, key := ca.IssueFor(t.TempDir(), -time.Hour, "call.example.com")
	r := start(t, "domain", "call.example.com", "tls.cert_file", cert, "tls.key_file", key, "https.listen", "127.0.0.1:0", "http.listen", "127.0.0.1:0")
	if err := r.ready(t.Context()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(r.log.String(), "has expired") {
		t.Error("the log does not say so")
	}
}

// TestDomainWithoutCertificate: nobody waits for the CA.
func TestDomainWithoutCertificate(t *testing.T) {
	nobody := harness.FreePort(t)
	r := start(t, "domain", "call.example.com", "https.listen", harness.FreePort(t), "https.public_port", "443", "tls.acme.directory_url", "https://"+nobody+"/dir")
	if err := r.ready(t.Context()); err != nil {
		t.Error(err)
	}
	var b bytes.Buffer
	if err := r.WriteGuide(&b); err != nil {
		t.Fatal(err)
	}
	if text := b.String(); !strings.Contains(text, "https://call.example.com/") || !strings.Contains(text, "as soon as there is a certificate") || strings.Contains(text, "█") {
		t.Errorf("the guide says:\n%s", text)
	}
	if _, turn := r.urls("192.0.2.1"); turn[len(turn)-1] != "turns:call.example.com:443?transport=tcp" {
		t.Errorf("handed out are %q", turn)
	}
}

// TestAskReady asks in clear, over TLS, a daemon that drains, and none.
func TestAskReady(t *testing.T) {
	for _, settings := range [][]string{
		{"http.listen", harness.FreePort(t)},
		{"http.listen", "off", "admin.listen", "off", "tls.self_signed", "true", "https.listen", harness.FreePort(t)},
		{"http.listen", "off", "admin.listen", harness.FreePort(t), "domain", "call.example.com", "https.listen", harness.FreePort(t), "tls.acme.directory_url", "https://" + harness.FreePort(t)},
	} {
		r := start(t, settings...)
		if err := AskReady(t.Context(), r.config); err != nil {
			t.Errorf("%q: %v", settings, err)
		}
		r.http.SetDraining()
		if err := AskReady(t.Context(), r.config); err == nil || !strings.Contains(err.Error(), "not ready: The daemon is shutting down") {
			t.Errorf("draining: %v", err)
		}
	}
	if err := AskReady(t.Context(), load(t, "http.listen", harness.FreePort(t))); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("nobody there: %v", err)
	}
	if err := AskReady(t.Context(), load(t, "http.listen", "off", "admin.listen", "off")); err == nil || !strings.Contains(err.Error(), "none to ask") {
		t.Errorf("no listener: %v", err)
	}
}

func TestBadCertificateFiles(t *testing.T) {
	_, err := New(load(t, "tls.cert_file", "/nowhere/cert.pem", "tls.key_file", "/nowhere/key.pem", "https.listen", "127.0.0.1:0"), Build{}, nil)
	if err == nil || !strings.Contains(err.Error(), "tls.cert_file") {
		t.Errorf("error %v", err)
	}
}

func TestValidNow(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	leaf := func(from, to time.Duration) *x509.Certificate {
		return &x509.Certificate{NotBefore: now.Add(from), NotAfter: now.Add(to), DNSNames: []string{"call.example.com"}}
	}
	for _, tt := range []struct {
		name   string
		leaf   *x509.Certificate
		domain string
		want   func(error) bool
	}{
		{"valid", leaf(-time.Hour, time.Hour), "call.example.com", func(err error) bool { return err == nil }},
		{"no domain", leaf(-time.Hour, time.Hour), "", func(err error) bool { return err == nil }},
		{"expired", leaf(-2*time.Hour, -time.Hour), "", func(err error) bool { return errors.Is(err, errOutOfDate) }},
		{"not yet", leaf(time.Hour, 2*time.Hour), "", func(err error) bool { return errors.Is(err, errOutOfDate) }},
		{"another name", leaf(-time.Hour, time.Hour), "other.example.com", func(err error) bool { return err != nil && !errors.Is(err, errOutOfDate) }},
	} {
		if err := validNow(tt.leaf, tt.domain, now); !tt.want(err) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
