package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/maitred/maitred/test/harness"
)

// TestOneTLSPort is the promise that one open port is enough: nothing listens
// but HTTPS (and the administrator's loopback), there are no relay ports, and
// two browsers that really verify the certificate have a call.
func TestOneTLSPort(t *testing.T) {
	ca := harness.NewAuthority(t)
	cert, key := ca.Issue(t.TempDir(), "localhost")
	d := harness.Start(t, "MAITRED_HTTP_LISTEN=off", "MAITRED_HTTPS_LISTEN=127.0.0.1:0", "MAITRED_TURN_UDP=off", "MAITRED_TURN_TCP=off",
		"MAITRED_TURN_RELAY_PORTS=none", "MAITRED_TLS_CERT_FILE="+cert, "MAITRED_TLS_KEY_FILE="+key)
	b := startTrusting(t, ca)
	base := d.SecurePage("localhost", "")
	ann := b.personAt(base, "tea", "Ann", true)
	bob := b.personAt(base, "tea", "Bob", true)
	for _, p := range []*tab{ann, bob} {
		p.phase("call")
		p.sees(1)
		p.talks(1, relayed("tls"))
		p.badge("relay-tls")
	}
	ann.say("can you hear me?")
	bob.hears("can you hear me?")
	ann.screenshot("call-relay-tls")
	if n := d.Metric(`maitred_turn_allocations{transport="tls"`); n < 2 {
		t.Errorf("%v allocations over TLS", n)
	}

	// The certificate is replaced under the call; who comes then sees the new one.
	ca.Issue(filepath.Dir(cert), "localhost")
	harness.Within(t, 20*time.Second, "the new certificate is taken over", func() (bool, any) {
		return strings.Count(d.Log.String(), `"msg":"certificate loaded from its files"`) > 1, d.Log
	})
	ann.say("still there?")
	bob.hears("still there?")
	cay := b.personAt(base, "tea", "Cay", true)
	cay.phase("call")
	cay.sees(2)

	for _, p := range []*tab{cay, bob, ann} {
		p.click("#hangup")
		p.phase("left")
	}
	d.WaitForNoAllocations()
}

// TestTransportOrder: with everything open and the direct path taken away, the
// call goes over UDP, although TLS is offered too.
func TestTransportOrder(t *testing.T) {
	ca := harness.NewAuthority(t)
	cert, key := ca.Issue(t.TempDir(), "localhost")
	d := harness.Start(t, "MAITRED_HTTP_LISTEN=off", "MAITRED_HTTPS_LISTEN=127.0.0.1:0", "MAITRED_TLS_CERT_FILE="+cert, "MAITRED_TLS_KEY_FILE="+key)
	b := startTrusting(t, ca)
	ann := b.personAt(d.SecurePage("localhost", ""), "tea", "Ann", true)
	bob := b.personAt(d.SecurePage("localhost", ""), "tea", "Bob", true)
	for _, p := range []*tab{ann, bob} {
		p.phase("call")
		p.sees(1)
		p.talks(1, relayed("udp"))
	}
}

// startTrusting starts a browser that has the test's CA in its store.
func startTrusting(t *testing.T, ca *harness.Authority) *browser {
	t.Helper()
	home := t.TempDir()
	store := filepath.Join(home, ".pki", "nssdb")
	if err := os.MkdirAll(store, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, arguments := range [][]string{{"-N", "--empty-password"}, {"-A", "-n", "e2e", "-t", "C,,", "-i", ca.File}} {
		if output, err := exec.Command("certutil", append([]string{"-d", "sql:" + store}, arguments...)...).CombinedOutput(); err != nil {
			t.Fatalf("certutil %q: %v\n%s", arguments, err, output)
		}
	}
	return startBrowserWith(t, headlessShell, []chromedp.ExecAllocatorOption{chromedp.Env("HOME=" + home)})
}
