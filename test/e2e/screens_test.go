package e2e

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/maitred/maitred/test/harness"
)

type screen struct {
	name          string
	width, height int64
	options       []chromedp.EmulateViewportOption
}

// screens are the sizes that the pages are looked at in.
var screens = []screen{
	{"desktop", 1280, 800, nil},
	{"phone", 390, 844, []chromedp.EmulateViewportOption{chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulatePortrait}},
	{"small-phone", 320, 568, []chromedp.EmulateViewportOption{chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulatePortrait}},
}

// view is how somebody looks at a page.
type view struct {
	screen
	language, scheme string
}

func (v view) String() string { return v.name + "-" + v.language + "-" + v.scheme }

// keepsPictures is whether somebody wants to see more than whether it is right.
func keepsPictures() bool { return os.Getenv("MAITRED_SHOTS") != "" }

// views are all that there are when pictures are kept. Otherwise three stand for them: every size, both languages, dark and light.
func views() (all []view) {
	if !keepsPictures() {
		return []view{{screens[0], "en", "light"}, {screens[1], "zh", "dark"}, {screens[2], "en", "light"}}
	}
	for _, language := range []string{"zh", "en"} {
		for _, scheme := range []string{"dark", "light"} {
			for _, s := range screens {
				all = append(all, view{s, language, scheme})
			}
		}
	}
	return all
}

// viewed has the page look so.
func (p *tab) viewed(v view) {
	p.t.Helper()
	p.speak(v.language)
	p.prefer("prefers-color-scheme", v.scheme)
	p.do("resize", chromedp.EmulateViewport(v.width, v.height, v.options...))
	p.settle()
}

// TestScreens looks at lobby, call and the door on a desk and on phones, in
// English and Chinese: nothing sticks out, every control can be reached, the
// language is the one asked for. MAITRED_SHOTS=DIR keeps the pictures.
func TestScreens(t *testing.T) {
	d := harness.Start(t)
	b := startBrowser(t, headlessShell)
	lobby := b.open("lobby", d.Page("/"))
	lobby.phase("lobby")
	ann := b.person(d, "tea", "Ann", true)
	bob := b.person(d, "tea", "Bob", true)
	for _, p := range []*tab{ann, bob} {
		p.phase("call")
		p.talks(1, relayed())
	}
	bob.say("The tea is served on the terrace.")
	ann.hears("terrace")
	ann.moderate(`setPassword("seven herons")`)
	password := b.person(d, "tea", "Dan", true)
	password.phase("password")
	password.write("#password", "seven swans")
	password.click("#join")
	password.complains("#password-error", "not the password")
	ann.moderate(`setPassword()`)
	ann.moderate(`lock({ locked: true, knock: true })`)
	waiting := b.person(d, "tea", "Cleo", true)
	waiting.phase("waiting")
	b.person(d, "tea", "Maximilian Alexander von und zu Hohenstein-Langenfeld", true).phase("waiting")
	ann.waitFor(5*time.Second, `document.querySelectorAll(".knock").length === 2`)
	for _, language := range []string{"en", "zh"} {
		pages := []*tab{lobby, ann, password, waiting}
		for _, p := range pages {
			p.speak(language)
		}
		for _, screen := range screens {
			for _, p := range pages {
				p.do("resize", chromedp.EmulateViewport(screen.width, screen.height, screen.options...))
				p.settle()
				p.fits()
				p.names()
				p.screenshot(fmt.Sprintf("%s-%s-%s", p.name, screen.name, language))
			}
			ann.reach("#mute", "#camera", "#hangup", "#chat-toggle", ".knock .admit", ".knock .deny", "#lang")
			password.reach("#password", "#join", "#lang")
			waiting.reach(".card button", "#lang")
		}
	}
	// On a phone the chat covers the call, but not who wants to come in.
	ann.click("#chat-toggle")
	ann.settle()
	ann.reach(".knock .admit", ".knock .deny", "#chat-close", "#chat-input", "#chat-send")
	ann.screenshot("Ann-small-phone-chat")
}

// speak puts the page into a language by its own control.
func (p *tab) speak(language string) {
	p.t.Helper()
	p.waitFor(10*time.Second, fmt.Sprintf(`(() => {
		if (document.documentElement.lang.startsWith(%[1]q)) return true;
		const control = document.querySelector("#lang");
		if (control.tagName !== "SELECT") { control.click(); return false; }
		control.value = [...control.options].find((option) => option.value.startsWith(%[1]q)).value;
		control.dispatchEvent(new Event("change", {bubbles: true}));
		return false;
	})()`, language))
	chinese := value[bool](p, `/[\u4e00-\u9fff]/.test(document.body.innerText)`)
	if language == "zh" && !chinese {
		p.t.Errorf("%s: the page has no Chinese text", p.name)
	}
}

// settle waits until nothing moves but what always does.
func (p *tab) settle() {
	p.t.Helper()
	p.waitFor(10*time.Second, `document.getAnimations().every((a) => a.playState === "finished" || a.effect.getTiming().iterations === Infinity)`)
}

// fits checks that nothing is wider than the window and no picture sticks out.
func (p *tab) fits() {
	p.t.Helper()
	p.waitFor(5*time.Second, `[...document.querySelectorAll(".tile")].every((tile) => {
		const box = tile.getBoundingClientRect();
		return box.left >= 0 && box.top >= 0 && box.right <= innerWidth && box.bottom <= innerHeight;
	})`)
	p.waitFor(5*time.Second, `document.documentElement.scrollWidth <= document.documentElement.clientWidth`)
}

// names checks that what a control is called begins with what is written on
// it: people who speak to their computer say what they see.
func (p *tab) names() {
	p.t.Helper()
	wrong := value[string](p, `[...document.querySelectorAll("button[aria-label], a[aria-label]")]
		.map((control) => [control.innerText.trim().split("\n")[0], control.getAttribute("aria-label")])
		.filter(([seen, called]) => !called.startsWith(seen)).join("; ")`)
	if wrong != "" {
		p.t.Errorf("%s: controls are not called by their words: %s", p.name, wrong)
	}
}

// reach checks that controls lie inside the window, nothing over them.
func (p *tab) reach(selectors ...string) {
	p.t.Helper()
	for _, selector := range selectors {
		p.waitFor(5*time.Second, fmt.Sprintf(`(() => {
			const control = document.querySelector(%q), box = control.getBoundingClientRect();
			const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
			return box.width >= 24 && box.height >= 24 && box.bottom <= innerHeight && (control === top || control.contains(top));
		})()`, selector))
	}
}
