package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/maitred/maitred/test/harness"
)

// checked waits until a check has come to its end. Several loops of six
// seconds each go before it.
func (p *tab) checked(level string) {
	p.t.Helper()
	p.waitFor(90*time.Second, `["done", "stopped", "failed"].includes(document.documentElement.dataset.phase)`)
	if got := value[string](p, `document.querySelector("#verdict").dataset.level`); got != level {
		p.t.Fatalf("%s: the verdict is %q, not %q:\n%s", p.name, got, level, value[string](p, `document.body.innerText`))
	}
}

// figure is a number that was measured over a transport.
func (p *tab) figure(transport, name string) float64 {
	p.t.Helper()
	return value[float64](p, fmt.Sprintf(`parseFloat(document.querySelector('.check-path[data-kind=turn][data-transport=%s] [data-figure=%s] dd').textContent)`, transport, name))
}

// TestCheckPage opens /check as a person would: it runs by itself, measures a
// loop over UDP and over TCP, and the server says that it heard both. A server
// entered by hand with a wrong password is told as what it is.
func TestCheckPage(t *testing.T) {
	d := harness.Start(t)
	page := startBrowser(t, headlessShell).open("check", d.Page("/check"))
	page.waitFor(20*time.Second, `document.documentElement.dataset.phase === "measuring"`)
	page.screenshot("check-running-desktop-en")
	page.checked("good")
	for _, transport := range []string{"udp", "tcp"} {
		for name, limit := range map[string]float64{"round-trip": 200, "rate": 100_000} {
			if measured := page.figure(transport, name); !(measured > 0 && measured < limit) {
				t.Errorf("%s over %s: %v", name, transport, measured)
			}
		}
		if loss := page.figure(transport, "loss"); !(loss >= 0 && loss < 5) {
			t.Errorf("loss over %s: %v %%", transport, loss)
		}
	}
	if heard := value[int](page, `document.querySelectorAll('#server-side .check-story [data-tone=good]').length`); heard < 2 {
		t.Errorf("the server heard %d transports:\n%s", heard, value[string](page, `document.querySelector("#server-side").innerText`))
	}
	if kind := value[string](page, `document.querySelector("#nat").dataset.kind`); kind != "none" {
		t.Errorf("loopback has a NAT: %s", kind)
	}
	page.names()
	page.accessible("check")
	page.lookedAt("check-good")
	page.reportsWithoutCredential()
	page.refusesWrongPassword(d)
	d.WaitForNoAllocations()
}

// TestCheckPageInvitation is a server that checks for holders of a token only:
// the page says so, and takes the token out of the address that it came in.
func TestCheckPageInvitation(t *testing.T) {
	d := harness.Start(t, "MAITRED_SIGNALING_AUTH=token")
	page := startBrowser(t, headlessShell).open("check", d.Page("/check"))
	page.checked("unknown")
	page.tells("#verdict", "invitation")
	page.accessible("check without an invitation")
	value[bool](page, fmt.Sprintf(`(location.hash = "token=" + %q, true)`, joinToken(d, "Ann")))
	page.waitFor(20*time.Second, `document.documentElement.dataset.phase === "measuring"`)
	if address := value[string](page, `location.href`); strings.Contains(address, "#") {
		t.Errorf("the token stays in the address: %s", address)
	}
	page.click("#stop")
	page.checked("unknown")
	page.tells("#verdict", "stopped")
	d.WaitForNoAllocations()
}

// TestCheckPageDeadUDP is a relay whose UDP port is told, but leads nowhere.
func TestCheckPageDeadUDP(t *testing.T) {
	t.Parallel() // it waits more than it works
	nobody := harness.FreePort(t)
	tcp := harness.FreePort(t)
	d := harness.Start(t, "MAITRED_TURN_TCP="+tcp, fmt.Sprintf("MAITRED_TURN_URLS=turn:%s?transport=udp,turn:%s?transport=tcp", nobody, tcp))
	page := startBrowser(t, headlessShell).open("check", d.Page("/check"))
	page.checked("limited")
	page.tells("#verdict", "UDP does not get through")
	page.tells("#server-side", "the server never heard it")
	page.tells("#nat", "UDP is blocked")
	if rate := page.figure("tcp", "rate"); !(rate > 0) {
		t.Errorf("%v Mbit/s over TCP", rate)
	}
	page.lookedAt("check-limited")
}

// TestCheckPageFirefox is the same check in the other engine.
func TestCheckPageFirefox(t *testing.T) {
	d := harness.Start(t)
	page := startFirefox(t).open("check", d.Page("/check"))
	page.checked("good")
	for _, transport := range []string{"udp", "tcp"} {
		for _, name := range []string{"round-trip", "rate"} {
			if measured := page.figure(transport, name); !(measured > 0) {
				t.Errorf("%s over %s: %v", name, transport, measured)
			}
		}
	}
	d.WaitForNoAllocations()
}

// reportsWithoutCredential copies the report and reads it.
func (p *tab) reportsWithoutCredential() {
	p.t.Helper()
	value[bool](p, `(navigator.clipboard.writeText = async (text) => { window.copied = text; }, true)`)
	p.click("#copy-report")
	p.waitFor(5*time.Second, `typeof window.copied === "string"`)
	report := value[string](p, `window.copied`)
	for _, part := range []string{"turn:", "Mbit/s", "relay udp"} {
		if !strings.Contains(report, part) {
			p.t.Errorf("the report has no %q:\n%s", part, report)
		}
	}
	if strings.Contains(report, "check-") || strings.Contains(report, "credential\"") {
		p.t.Errorf("the report has a username in it:\n%s", report)
	}
}

// refusesWrongPassword enters servers by hand: first wrongly, then with a
// password that the relay refuses.
func (p *tab) refusesWrongPassword(d *harness.Daemon) {
	p.t.Helper()
	p.write("#custom-urls", "http://"+d.Listening("turn-udp"))
	p.click("#custom-run")
	p.tells("#custom-urls-error", "Line 1")
	p.write("#custom-urls", fmt.Sprintf("turn:%s?transport=udp", d.Listening("turn-udp")))
	p.write("#custom-username", "4102444800:nobody")
	p.click("#custom-run")
	p.tells("#custom-credential-error", "password")
	p.write("#custom-password", "wrong")
	p.click("#custom-run")
	p.waitFor(10*time.Second, `!document.querySelector("#stop").hidden`)
	p.checked("broken")
	p.tells(".check-errors", "401")
	p.tells("#verdict", "username and password")
	p.lookedAt("check-401")
	if stored := value[string](p, `JSON.stringify(localStorage)`); strings.Contains(stored, "wrong") {
		p.t.Errorf("the password is kept for good: %s", stored)
	}
}

// lookedAt checks the page in every view, and leaves pictures of it.
func (p *tab) lookedAt(name string) {
	p.t.Helper()
	for _, v := range views() {
		p.viewed(v)
		p.fits()
		p.wholePage(name + "-" + v.String())
	}
	p.viewed(view{screens[0], "en", "light"})
}

// wholePage is screenshot of all that one can scroll to.
func (p *tab) wholePage(name string) {
	if !keepsPictures() {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
	defer cancel()
	image, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(os.Getenv("MAITRED_SHOTS"), name+".png"), image, 0o644)
	}
	if err != nil {
		p.t.Errorf("screenshot %s: %v", name, err)
	}
}

// tells waits until a visible element says text.
func (p *tab) tells(selector, text string) {
	p.t.Helper()
	p.waitFor(10*time.Second, fmt.Sprintf(`(() => {
		const element = document.querySelector(%q);
		return !!element?.checkVisibility() && element.innerText.includes(%q);
	})()`, selector, text))
}
