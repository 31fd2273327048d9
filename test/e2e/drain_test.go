package e2e

import (
	"testing"
	"time"

	"github.com/maitred/maitred/test/harness"
)

// TestDrain ends the daemon in the middle of a call: the pages say why, and the
// process is gone in time with exit code 0.
func TestDrain(t *testing.T) {
	d := harness.Start(t, "MAITRED_DRAIN_TIMEOUT=5s")
	ann, bob := twoPeople(t, d, startBrowser(t, headlessShell), "")
	d.Terminate()
	for _, p := range []*tab{ann, bob} {
		p.waitFor(5*time.Second, `/shut(s|ting)? down|restart|going away|maintenance/i.test(document.body.innerText)`)
	}
	ann.screenshot("call-draining")
	d.Stop(10 * time.Second)
}
