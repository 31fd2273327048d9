package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"github.com/maitred/maitred/test/harness"
)

// menu opens "More" and chooses an entry.
func (p *tab) menu(selector string) {
	p.t.Helper()
	p.click("#more")
	p.click(selector)
}

// closeDialog closes the dialog that is open.
func (p *tab) closeDialog() {
	p.t.Helper()
	p.click("dialog[open] header button")
	p.waitFor(5*time.Second, `!document.querySelector("dialog[open]")`)
}

// safetyCode waits until the dialog that is open has a code with a member, and returns the signs with their names.
func (p *tab) safetyCode(member string) string {
	p.t.Helper()
	card := `document.querySelector(".safety-card[data-member='` + member + `']")`
	p.waitFor(30*time.Second, `(() => {
		const signs = [...`+card+`?.querySelectorAll(".safety-code li") ?? []];
		return signs.length === 6 && signs.every((it) => it.checkVisibility());
	})()`)
	return value[string](p, `[...`+card+`.querySelectorAll(".safety-code li")].map((it) => it.textContent).join(" ")`)
}

// standing waits until the tile of a member says so of its safety code.
func (p *tab) standing(member, want string) {
	p.t.Helper()
	p.waitFor(30*time.Second, `document.querySelector(".tile[data-member='`+member+`']").dataset.safety === `+strconv.Quote(want))
}

// TestTrustSafetyCode: the code is the same at both ends, another for another pair, and has to be compared anew after the connection was replaced.
func TestTrustSafetyCode(t *testing.T) {
	d := harness.Start(t)
	b := startBrowser(t, headlessShell)
	ann, bob, cay := b.person(d, "tea", "Ann", true), b.person(d, "tea", "Bob", true), b.person(d, "tea", "Cay", true)
	for _, p := range []*tab{ann, bob, cay} {
		p.phase("call")
		p.sees(2)
		p.canChat()
		p.menu("#safety-codes")
	}
	a, bo, c := ann.self(), bob.self(), cay.self()
	annBob, annCay, bobCay := ann.safetyCode(bo), ann.safetyCode(c), bob.safetyCode(c)
	for _, same := range [][2]string{{annBob, bob.safetyCode(a)}, {annCay, cay.safetyCode(a)}, {bobCay, cay.safetyCode(bo)}} {
		if same[0] != same[1] {
			t.Errorf("the ends see %q and %q", same[0], same[1])
		}
	}
	if annBob == annCay || annBob == bobCay || annCay == bobCay {
		t.Errorf("codes of different pairs: %q, %q, %q", annBob, annCay, bobCay)
	}
	ann.closeDialog()

	// A tile's own button leads to its code; comparing shows on the tile.
	value[bool](ann, fmt.Sprintf(`(document.querySelector(".tile[data-member='%s'] .tile-safety").focus(), true)`, bo))
	ann.press(kb.Enter)
	if code := ann.safetyCode(bo); code != annBob || value[int](ann, `document.querySelectorAll(".safety-card").length`) != 1 {
		t.Errorf("by the tile's button the code is %q, not %q", code, annBob)
	}
	ann.click(".safety-compare")
	ann.standing(bo, "compared")
	ann.standing(c, "open")
	ann.waitFor(5*time.Second, fmt.Sprintf(`document.querySelector(".tile[data-member='%s'] .tile-compared").checkVisibility()`, bo))

	value[bool](ann, `(() => {
		window.notes = "";
		new MutationObserver((all) => all.forEach((it) => it.addedNodes.forEach((node) => { window.notes += node.textContent; }))).observe(document.querySelector("#toasts"), { childList: true });
		return true;
	})()`)
	value[bool](bob, `(window.maitred.room.peers.get(`+strconv.Quote(a)+`).renew(), true)`)
	ann.waitFor(30*time.Second, `window.notes.includes("compare the safety code again")`)
	ann.standing(bo, "replaced")
	if code := ann.safetyCode(bo); code == annBob || code != bob.safetyCode(a) {
		t.Errorf("after the replacement Ann sees %q, Bob %q, before it was %q", code, bob.safetyCode(a), annBob)
	}
}

// sameSafetyCode compares what two people see of each other, and has them look at the numbers.
func sameSafetyCode(one, other *tab) {
	one.t.Helper()
	for _, p := range []*tab{one, other} {
		p.menu("#safety-codes")
	}
	here, there := one.safetyCode(other.self()), other.safetyCode(one.self())
	if here != there {
		one.t.Errorf("%s sees %q, %s %q", one.name, here, other.name, there)
	}
	for _, p := range []*tab{one, other} {
		p.closeDialog()
		p.menu("#numbers")
		p.numbersRun()
		p.screenshot("trust-numbers-" + p.name)
	}
}

// proof waits until the badge of the only other tile says what the server knows of its path.
func (p *tab) proof(want string) {
	p.t.Helper()
	p.waitFor(20*time.Second, `document.querySelector(".tile[data-member]:not(.self)").dataset.proof === `+strconv.Quote(want))
}

// TestTrustRelay: the badge says through which server media goes, and that the server confirms it.
func TestTrustRelay(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			without := map[string]string{"udp": "MAITRED_TURN_TCP=off", "tcp": "MAITRED_TURN_UDP=off"}[transport]
			d := harness.Start(t, without)
			b := startBrowser(t, headlessShell)
			ann, bob := b.person(d, "tea", "Ann", true), b.person(d, "tea", "Bob", true)
			for _, p := range []*tab{ann, bob} {
				p.phase("call")
				p.badge("relay-" + transport)
				p.proof("confirmed")
				title := value[string](p, `document.querySelector(".tile[data-member]:not(.self) .badge").title`)
				for _, part := range []string{strings.ToUpper(transport), "127.0.0.1:", "confirmed by the server"} {
					if !strings.Contains(title, part) {
						t.Errorf("%s: the badge says %q, not %q", p.name, title, part)
					}
				}
			}
		})
	}
}

// numbersRun waits until the panel shows what flows both ways: rates, codecs, a round trip and a picture's size.
func (p *tab) numbersRun() {
	p.t.Helper()
	harness.Within(p.t, 20*time.Second, p.name+": numbers are shown", func() (bool, any) {
		shown, err := evaluate[string](p, `document.querySelector(".numbers-card")?.innerText ?? ""`)
		rates := strings.Count(shown, "kb/s") + strings.Count(shown, "Mb/s")
		codec := strings.Contains(strings.ToLower(shown), "opus") && (strings.Contains(shown, "VP8") || strings.Contains(shown, "VP9") || strings.Contains(shown, "H264") || strings.Contains(shown, "AV1"))
		return rates >= 6 && codec && strings.Contains(shown, "fps") && strings.Contains(shown, " ms"), fmt.Sprintf("%v\n%s", err, shown)
	})
}

// TestTrustNumbers: the panel measures once a second what flows, draws it, and forgets who has left.
func TestTrustNumbers(t *testing.T) {
	d := harness.Start(t)
	b := startBrowser(t, headlessShell)
	ann, bob := b.person(d, "tea", "Ann", true), b.person(d, "tea", "Bob", true)
	for _, p := range []*tab{ann, bob} {
		p.phase("call")
		p.talks(1, relayed())
	}
	ann.press("n")
	ann.numbersRun()
	ann.proof("confirmed")
	ann.waitFor(10*time.Second, `document.querySelector(".numbers-route").textContent.includes("confirmed by the server")`)
	ann.waitFor(10*time.Second, `(() => {
		const canvas = document.querySelector(".chart canvas");
		const colours = new Set(new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer));
		return colours.size > 4 && /\d/.test(canvas.getAttribute("aria-label"));
	})()`)
	asked := `(() => { const pc = [...window.maitred.peers().values()][0], get = pc.getStats; window.asked = 0; pc.getStats = (...all) => { window.asked++; return get.apply(pc, all); }; return true; })()`
	value[bool](ann, asked)
	ann.waitFor(10*time.Second, `window.asked >= 3`)
	ann.screenshot("trust-numbers")
	bob.click("#hangup")
	ann.sees(0)
	ann.waitFor(5*time.Second, `!document.querySelector(".numbers-card") && /nobody/.test(document.querySelector(".numbers-body").innerText)`)
	ann.press("n")
	ann.waitFor(5*time.Second, `!document.querySelector("#numbers-panel").checkVisibility()`)
}

// TestTrustScreens looks at all of it, on a desk and on a phone, in both languages, dark and light.
func TestTrustScreens(t *testing.T) {
	d := harness.Start(t)
	b := startBrowser(t, headlessShell)
	ann, bob := b.person(d, "tea", "Ann", true), b.person(d, "tea", "Bob", true)
	for _, p := range []*tab{ann, bob} {
		p.phase("call")
		p.talks(1, relayed())
		p.proof("confirmed")
	}
	member := bob.self()
	ann.menu("#safety-codes")
	ann.safetyCode(member)
	ann.click(".safety-compare")
	ann.click(".safety-details summary")
	ann.waitFor(5*time.Second, `document.querySelector(".safety-details code").checkVisibility()`)
	ann.screenshot("trust-compared")
	ann.closeDialog()
	value[bool](ann, `(document.querySelector(".tile-safety").focus(), true)`)
	ann.settle()
	ann.screenshot("trust-tile")
	ann.click("#more")
	ann.screenshot("trust-menu")
	ann.click("#more")
	value[bool](bob, `(window.maitred.room.peers.get(`+strconv.Quote(ann.self())+`).renew(), true)`)
	ann.standing(member, "replaced")
	for _, v := range views() {
		ann.viewed(v)
		ann.menu("#safety-codes")
		ann.safetyCode(member)
		ann.settle()
		ann.screenshot("trust-codes-" + v.String())
		value[bool](ann, `(document.querySelector(".safety-compare").scrollIntoView({ block: "end" }), true)`)
		ann.reach(".safety-compare", "dialog[open] header button")
		ann.closeDialog()
		ann.menu("#numbers")
		ann.waitFor(10*time.Second, `/\d/.test(document.querySelector(".numbers-table td span")?.textContent ?? "")`)
		ann.reach("#numbers-panel-close")
		ann.waitFor(5*time.Second, `document.documentElement.scrollWidth <= document.documentElement.clientWidth`)
		ann.settle()
		ann.screenshot("trust-numbers-" + v.String())
		ann.click("#numbers-panel-close")
	}
	ann.speak("en")
	ann.menu("#safety-codes")
	ann.safetyCode(member)
	ann.accessible("the safety codes")
	ann.closeDialog()
	ann.menu("#numbers")
	ann.accessible("the numbers")
	ann.names()
}
