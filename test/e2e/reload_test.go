package e2e

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/maitred/maitred/test/harness"
)

// TestReload reloads the page in a call: Ann is in the call again without a
// click, as she was, and once. Whoever hangs up stays out.
func TestReload(t *testing.T) {
	d := harness.Start(t)
	b := startBrowser(t, headlessShell)
	ann, bob := twoPeople(t, d, b, "")
	ann.click("#mute")
	ann.click("#camera")
	ann.devices(false, false)
	before := ann.self()

	ann.do("reload", chromedp.Reload())
	ann.phase("call")
	ann.devices(false, false)
	if ann.self() == before {
		t.Error("the page was not loaded again")
	}
	bob.waitFor(10*time.Second, `!document.querySelector(".tile[data-member='`+before+`']")`)
	for _, p := range []*tab{ann, bob} {
		p.sees(1)
		p.canChat()
	}
	ann.talks(1, relayed())
	ann.say("here I am again")
	bob.hears("here I am again")

	ann.click("#hangup")
	ann.phase("left")
	bob.sees(0)
	ann.do("reload", chromedp.Reload())
	ann.phase("lobby")
}

// TestLinkAsksFirst: no link puts anybody into a call without a click.
func TestLinkAsksFirst(t *testing.T) {
	d := harness.Start(t)
	b := startBrowser(t, headlessShell)
	ann := b.open("ann", d.Page("/r/tea?autojoin=1&name=Ann"))
	ann.phase("lobby")
	ann.click("#join")
	ann.phase("call")
	// Gone and back by the same link is no reload, and a reload after that is none of the call.
	ann.do("leave", chromedp.Navigate(d.Page("/healthz")))
	ann.do("come back", chromedp.Navigate(d.Page("/r/tea")))
	ann.phase("lobby")
	ann.do("reload", chromedp.Reload())
	ann.phase("lobby")
}

// devices waits until microphone and camera are on or off.
func (p *tab) devices(microphone, camera bool) {
	p.t.Helper()
	for selector, on := range map[string]bool{"#mute": microphone, "#camera": camera} {
		want := `true`
		if on {
			want = `false`
		}
		p.waitFor(10*time.Second, `document.querySelector("`+selector+`")?.classList.contains("off") === `+want)
	}
}
