package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/maitred/maitred/test/harness"
)

// axeRun is a function of the page: what axe-core finds. Gradients are taken away, or it could not tell the contrast of what is written on
// them; where it can not, as on a picture or in a dialog, readable does. No stream of a call has subtitles.
const axeRun = `async () => {
	const plain = new CSSStyleSheet();
	plain.replaceSync("*, ::before, ::after { background-image: none !important; }");
	document.adoptedStyleSheets.push(plain);
	const { violations, incomplete } = await axe.run(document, {
		preload: false, elementRef: true,
		resultTypes: ["violations", "incomplete"],
		rules: { "target-size": { enabled: true }, "video-caption": { enabled: false } },
	});
	const readable = ` + readable + `;
	const findings = violations.map(({ id, impact, help, nodes }) => ({ id, impact, help,
		nodes: nodes.map(({ target, failureSummary }) => target.join(" ") + ": " + failureSummary.replaceAll(/\s+/g, " ")) }));
	for (const { id, help, nodes } of incomplete) {
		const decided = id === "color-contrast";
		const doubtful = nodes.filter(({ element }) => !decided || !readable(element)).map(({ target }) => target.join(" "));
		if (doubtful.length > 0) findings.push({ id, impact: decided ? "serious" : "undecided", help, nodes: doubtful });
	}
	document.adoptedStyleSheets.pop();
	return findings;
}`

// readable is a function of the page: whether an element's text has the contrast that WCAG 2.2 asks for in 1.4.3 (AA), on the surfaces that
// it lies in. On somebody's picture it must have it be the picture black or white.
const readable = `(() => {
	const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
	const rgba = (colour) => {
		context.clearRect(0, 0, 1, 1);
		context.fillStyle = colour;
		context.fillRect(0, 0, 1, 1);
		const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
		return [r, g, b, a / 255];
	};
	const over = ([r, g, b, a], [x, y, z]) => [r * a + x * (1 - a), g * a + y * (1 - a), b * a + z * (1 - a), 1];
	const luminance = (colour) => colour.slice(0, 3).map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
		.reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
	return (element) => {
		const { color, fontSize, fontWeight } = getComputedStyle(element);
		const large = parseFloat(fontSize) >= 24 || parseFloat(fontSize) >= 18.66 && Number(fontWeight) >= 700;
		const surfaces = [];
		let bases = [rgba("white")];
		for (let it = element; it; it = it.parentElement) {
			const surface = rgba(getComputedStyle(it).backgroundColor);
			surfaces.unshift(surface);
			if (surface[3] === 1) break;
			if (it.querySelector(":scope > video")) {
				bases = [rgba("white"), rgba("black")];
				break;
			}
		}
		return bases.every((base) => {
			const under = surfaces.reduce((below, surface) => over(surface, below), base);
			const [dark, light] = [luminance(under), luminance(over(rgba(color), under))].sort((a, b) => a - b);
			return (light + 0.05) / (dark + 0.05) >= (large ? 3 : 4.5);
		});
	};
})()`

type axeFinding struct {
	ID, Impact, Help string
	Nodes            []string
}

func (f axeFinding) String() string {
	return strings.Join(append([]string{fmt.Sprintf("%s (%s): %s", f.ID, f.Impact, f.Help)}, f.Nodes...), "\n\t")
}

// accessible has axe-core look at the page as it is now, dark and light: nothing serious or critical may be found. what says in failures
// what is on view. Lesser and undecided findings are logged.
func (p *tab) accessible(what string) {
	p.t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		p.prefer("prefers-color-scheme", scheme)
		for _, finding := range p.axe() {
			message := fmt.Sprintf("%s, %s: %s", what, scheme, finding)
			if finding.Impact == "serious" || finding.Impact == "critical" {
				p.t.Error(message)
			} else {
				p.t.Log(message)
			}
		}
	}
}

// axe returns what axe-core finds in the page.
func (p *tab) axe() []axeFinding {
	p.t.Helper()
	p.settle()
	if !value[bool](p, `"axe" in window`) {
		// The page's own policy lets no such script in; what the debugger evaluates is not bound by it.
		source, err := os.ReadFile(filepath.Join("..", "..", "web", "node_modules", "axe-core", "axe.min.js"))
		if err != nil {
			p.t.Fatalf("run npm ci in web: %v", err)
		}
		value[bool](p, string(source)+"; true")
	}
	var findings []axeFinding
	text := value[string](p, `(`+axeRun+`)().then(JSON.stringify)`)
	if err := json.Unmarshal([]byte(text), &findings); err != nil {
		p.t.Fatalf("axe-core: %v", err)
	}
	return findings
}

// prefer sets a media feature of the page, as a person does in the system's settings.
func (p *tab) prefer(feature, value string) {
	p.t.Helper()
	devtools(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: feature, Value: value}}})
}

// devtools sends a command of the DevTools protocol to the page.
func devtools[P, R any](p *tab, method cdp.Command[P, R], params P) R {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
	defer cancel()
	result, err := chromedp.Call(ctx, method, params)
	if err != nil {
		p.t.Fatalf("%s: %s: %v", p.name, method.Method, err)
	}
	return result
}

// TestAccessible walks through every page of a call's life with axe-core.
func TestAccessible(t *testing.T) {
	d := harness.Start(t)
	b := startBrowser(t, headlessShell)
	start := b.open("start page", d.Page("/"))
	start.phase("lobby")
	start.accessible("start page")

	ann := b.open("Ann", d.Page("/r/tea?relay=1"))
	ann.phase("lobby")
	ann.accessible("invitation")
	ann.write("#name", "Ann")
	ann.click("#join")
	ann.phase("call")
	ann.accessible("call, alone")
	bob := b.person(d, "tea", "Bob", true)
	bob.phase("call")
	for _, p := range []*tab{ann, bob} {
		p.sees(1)
		p.canChat()
	}
	ann.accessible("call, with two")
	ann.say("good evening")
	bob.say("have a look at https://example.com/")
	ann.hears("example.com")
	ann.accessible("call, chat open")
	ann.screenshot("accessible-chat")

	ann.moderate(`setPassword("seven herons")`)
	dan := b.person(d, "tea", "Dan", true)
	dan.phase("password")
	dan.accessible("password page")
	dan.click("#join")
	dan.complains("#password-error", "Type the password")
	dan.accessible("password page with an error")
	ann.moderate(`setPassword()`)
	ann.moderate(`lock({ locked: true, knock: true })`)
	cleo := b.person(d, "tea", "Cleo", true)
	cleo.phase("waiting")
	cleo.accessible("waiting page")
	ann.waitFor(5*time.Second, `document.querySelectorAll(".knock").length === 1`)
	ann.accessible("call, somebody knocks")

	bob.click("#hangup")
	bob.phase("left")
	bob.accessible("end page")
	lost := b.open("lost", d.Page("/r/not%20a%20room"))
	lost.phase("error")
	lost.accessible("error page")
}

// TestAccessibleCheck is the same for the page that checks the connection, while it works and when it has ended.
func TestAccessibleCheck(t *testing.T) {
	d := harness.Start(t)
	p := startBrowser(t, headlessShell).open("check", d.Page("/check"))
	p.waitFor(20*time.Second, `document.documentElement.dataset.phase === "measuring"`)
	p.accessible("check, working")
	p.click("#stop")
	p.waitFor(10*time.Second, `document.documentElement.dataset.phase === "stopped"`)
	p.accessible("check, ended")
}

// TestAccessibleControls opens everything that the lobby and a call can open, one after the other. Escape closes it, and the focus is
// where it was.
func TestAccessibleControls(t *testing.T) {
	d := harness.Start(t)
	b := startBrowser(t, headlessShell)
	lobby := b.open("lobby", d.Page("/r/tea"))
	lobby.phase("lobby")
	lobby.click("#settings-toggle")
	lobby.accessible("settings")

	ann, bob := b.person(d, "tea", "Ann", true), b.person(d, "tea", "Bob", true)
	for _, p := range []*tab{ann, bob} {
		p.phase("call")
		p.sees(1)
		p.canChat()
	}
	ann.click("#more")
	ann.accessible("menu")
	entries := value[[]string](ann, `[...document.querySelectorAll("#more-menu [role^=menuitem]")].filter((it) => it.checkVisibility()).map(({ id }) => id)`)
	ann.press(kb.Escape)
	for _, id := range []string{"chat-toggle", "people-toggle", "react"} {
		ann.click("#" + id)
		ann.accessible(id)
		ann.closes(id)
	}
	for _, id := range entries {
		if id == "view-full" || id == "view-pip" {
			continue // what they show is not in the page
		}
		ann.click("#more")
		ann.click("#" + id)
		ann.accessible(id)
		ann.closes(id)
	}
}

// closes presses Escape: nothing is open then that lies over the call or beside it, and the focus is not lost.
func (p *tab) closes(what string) {
	p.t.Helper()
	p.press(kb.Escape)
	p.waitFor(5*time.Second, `![...document.querySelectorAll("dialog[open], .panel, [role=menu], [role=dialog]")].some((it) => it.checkVisibility())`)
	if value[bool](p, `document.activeElement === document.body`) {
		p.t.Errorf("%s: the focus is lost after Escape", what)
	}
}

// walkFocus is a function of the page: what the focus is on, and what is wrong with that. Elements where it has been are marked.
const walkFocus = `() => {
	const it = document.activeElement, box = it.getBoundingClientRect(), style = getComputedStyle(it);
	if (it === document.body) return "";
	(window.focused ??= new Set()).add(it);
	const name = it.id ? "#" + it.id : it.outerHTML.slice(0, 120);
	const shown = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 || style.boxShadow !== "none";
	if (!shown) return name + ": one does not see that it has the focus";
	if (box.bottom < 0 || box.right < 0 || box.top > innerHeight || box.left > innerWidth) return name + ": is out of the window with the focus";
	return "";
}`

// unfocused is an expression of the page: the controls that the focus has not been on.
const unfocused = `[...document.querySelectorAll("button, a[href], input, select, textarea, summary, [tabindex='0']")]
	.filter((it) => it.checkVisibility({ visibilityProperty: true }) && !it.disabled && it.tabIndex >= 0 && !window.focused?.has(it))
	.map((it) => it.id ? "#" + it.id : it.outerHTML.slice(0, 120))`

// TestKeyboard reaches every control with the Tab key alone, and sees where the focus is.
func TestKeyboard(t *testing.T) {
	d := harness.Start(t)
	b := startBrowser(t, headlessShell)
	lobby := b.open("lobby", d.Page("/"))
	lobby.phase("lobby")
	lobby.tabsThrough()
	ann, bob := b.person(d, "tea", "Ann", true), b.person(d, "tea", "Bob", true)
	for _, p := range []*tab{ann, bob} {
		p.phase("call")
		p.sees(1)
		p.canChat()
	}
	ann.tabsThrough()
	check := b.open("check", d.Page("/check"))
	check.waitFor(20*time.Second, `document.documentElement.dataset.phase === "measuring"`)
	check.click("#stop")
	check.waitFor(10*time.Second, `document.documentElement.dataset.phase === "stopped"`)
	check.tabsThrough()
}

// tabsThrough presses Tab until every control of the page has had the focus.
func (p *tab) tabsThrough() {
	p.t.Helper()
	value[bool](p, `(document.activeElement.blur(), window.focused = new Set(), true)`)
	all := value[[]string](p, unfocused)
	if len(all) < 3 {
		p.t.Fatalf("%s: controls are %q", p.name, all)
	}
	for range 2 * len(all) {
		p.press(kb.Tab)
		p.settle()
		if wrong := value[string](p, `(`+walkFocus+`)()`); wrong != "" {
			p.t.Errorf("%s: %s", p.name, wrong)
		}
		if len(value[[]string](p, unfocused)) == 0 {
			return
		}
	}
	p.t.Errorf("%s: Tab does not reach %q", p.name, value[[]string](p, unfocused))
}
