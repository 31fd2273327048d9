package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/maitred/maitred/test/harness"
)

// stageSizes are what the call is looked at in.
var stageSizes = []screen{
	screens[0], screens[1],
	{"phone-on-its-side", 844, 390, []chromedp.EmulateViewportOption{chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulateLandscape}},
}

// TestStage is what one can do about who is seen how large, with pointer and keys.
func TestStage(t *testing.T) {
	d := harness.Start(t)
	b := startBrowser(t, headlessShell)
	ann := b.person(d, "tea", "Ann", true)
	bob := b.person(d, "tea", "Bob", true)
	cay := b.person(d, "tea", "Cay", true)
	for _, p := range []*tab{ann, bob, cay} {
		p.phase("call")
		p.talks(2, relayed())
	}
	large := func(member string) string {
		return `(() => {
			const areas = [...document.querySelectorAll(".tile")].map((it) => [it.offsetWidth * it.offsetHeight, it]).sort(([a], [b]) => b - a);
			return areas[0][0] > 2 * areas[1][0] && areas[0][1].dataset.member === ` + fmt.Sprintf("%q", member) + `;
		})()`
	}
	const grid = `document.querySelector(".grid-scroller").dataset.layout === "grid"`
	cayID := cay.self()

	ann.waitFor(5*time.Second, grid)
	value[bool](ann, fmt.Sprintf(`(document.querySelector(".tile[data-member='%s'] .tile-pin").focus(), true)`, cayID))
	ann.press(kb.Enter)
	ann.waitFor(5*time.Second, large(cayID)+` && document.querySelector(".tile.pinned").dataset.member === `+fmt.Sprintf("%q", cayID))
	ann.press(kb.Enter)
	ann.waitFor(5*time.Second, grid+` && !document.querySelector(".tile.pinned")`)

	// The fake microphone beeps: whoever is heard has the floor, and never oneself.
	ann.press("g")
	ann.waitFor(10*time.Second, `document.querySelector(".grid-scroller").dataset.layout === "stage" && !`+large(ann.self()))
	ann.press("g")
	ann.waitFor(5*time.Second, grid)

	cay.click("#hangup")
	ann.sees(1)
	ann.waitFor(5*time.Second, `!document.querySelector(".tile.floating")`)
	ann.floats()
	ann.hides()
	ann.explains()
	ann.opensLittleWindow()
}

// press types keys, wherever the focus is.
func (p *tab) press(keys string) {
	p.t.Helper()
	p.do("press "+keys, chromedp.KeyEvent(keys))
}

// floats has one's own picture float, and sends it to a corner by keys.
func (p *tab) floats() {
	p.t.Helper()
	value[bool](p, `(document.querySelector(".tile.self .tile-dock").focus(), true)`)
	p.press(kb.Enter)
	corner := func(left, top bool) {
		p.t.Helper()
		p.settle()
		p.waitFor(5*time.Second, fmt.Sprintf(`(() => {
			const own = document.querySelector(".tile.self.floating"), area = document.querySelector(".grid");
			return own && (own.offsetLeft < area.clientWidth / 2) === %t && (own.offsetTop < area.clientHeight / 2) === %t;
		})()`, left, top))
	}
	corner(false, false)
	value[bool](p, `(document.querySelector(".tile.self").focus(), true)`)
	p.press(kb.ArrowUp)
	corner(false, true)
	p.press(kb.ArrowLeft)
	corner(true, true)
	// By the pointer, to the corner on the right.
	p.drag(".tile.self", 900, 0)
	corner(false, true)
	p.waitFor(5*time.Second, `document.querySelector(".tile.self video").readyState >= 2 && !document.querySelector(".tile.self video").paused`)
}

// drag moves what is there by the pointer.
func (p *tab) drag(selector string, across, down float64) {
	p.t.Helper()
	box := value[[]float64](p, fmt.Sprintf(`(() => { const { x, y, width, height } = document.querySelector(%q).getBoundingClientRect(); return [x + width / 2, y + height / 2]; })()`, selector))
	p.do("drag "+selector,
		chromedp.MouseEvent("mousePressed", box[0], box[1], chromedp.ButtonLeft),
		chromedp.MouseEvent("mouseMoved", box[0]+across/2, box[1]+down/2, chromedp.ButtonLeft),
		chromedp.MouseEvent("mouseMoved", box[0]+across, box[1]+down, chromedp.ButtonLeft),
		chromedp.MouseEvent("mouseReleased", box[0]+across, box[1]+down, chromedp.ButtonLeft))
}

// hides takes one's own picture away, and it stays away when one comes back.
func (p *tab) hides() {
	p.t.Helper()
	p.press("o")
	p.waitFor(5*time.Second, `document.querySelector(".tile.self").hidden`)
	p.do("reload", chromedp.Reload())
	p.phase("call")
	p.sees(1)
	p.waitFor(5*time.Second, `document.querySelector(".tile.self").hidden`)
	p.click("#more")
	p.waitFor(5*time.Second, `document.querySelector("#view-self").getAttribute("aria-checked") === "false"`)
	p.click("#view-self")
	p.waitFor(5*time.Second, `document.querySelector(".tile.self").checkVisibility() && document.querySelector("#more-menu").hidden`)
}

// explains opens the list of keys, and looks whether the menu has what this
// browser can do, and nothing else.
func (p *tab) explains() {
	p.t.Helper()
	p.press("?")
	p.waitFor(5*time.Second, `document.querySelector("#shortcuts[open] .keys").children.length > 8`)
	p.press(kb.Escape)
	p.waitFor(5*time.Second, `!document.querySelector("#shortcuts")`)
	p.waitFor(5*time.Second, `document.querySelector("#view-pip").hidden !== (!!window.documentPictureInPicture || document.pictureInPictureEnabled)`)
	p.waitFor(5*time.Second, `document.querySelector("#view-full").hidden !== document.fullscreenEnabled`)
	p.click("#more")
	p.click("#open-settings")
	p.waitFor(5*time.Second, `document.querySelector("#call-settings[open] #camera-select")?.options.length > 0`)
	p.press(kb.Escape)
	p.waitFor(5*time.Second, `!document.querySelector("#call-settings") && document.activeElement.id === "more"`)
}

// TestStagePresenter shares a screen: the others see it large and whole, with
// whoever shares it beside it; the sharer sees it small. It goes to those who
// come later, too, and through a connection that is made anew.
func TestStagePresenter(t *testing.T) {
	d := harness.Start(t)
	b := startBrowser(t, headlessShell)
	ann := b.person(d, "tea", "Ann", true)
	bob := b.person(d, "tea", "Bob", true)
	for _, p := range []*tab{ann, bob} {
		p.phase("call")
		p.talks(1, relayed())
	}
	ann.click("#screen")
	sees := func(p *tab) {
		t.Helper()
		p.waitFor(20*time.Second, `(() => {
			const screen = document.querySelector(".tile.screen:not(.own)"), person = document.querySelector(".tile[data-member='`+ann.self()+`']");
			const moves = (tile) => { const video = tile.querySelector("video"); return video.videoWidth > 0 && !video.paused && video.readyState >= 2; };
			return screen && moves(screen) && moves(person) && !person.classList.contains("no-picture")
				&& document.querySelector(".grid-scroller").dataset.layout === "stage" && screen.offsetWidth > 2 * person.offsetWidth
				&& getComputedStyle(screen.querySelector("video")).objectFit === "contain";
		})()`)
	}
	sees(bob)
	ann.waitFor(5*time.Second, `document.querySelector(".tile.screen.own") && document.querySelector(".grid-scroller").dataset.layout === "grid"
		&& document.querySelector("#screen").getAttribute("aria-label").startsWith("Stop")`)
	cay := b.person(d, "tea", "Cay", true)
	cay.phase("call")
	sees(cay)
	bob.click("#force-relay")
	bob.waitFor(20*time.Second, `[...window.maitred.peers().values()].every((pc) => pc.connectionState === "connected")`)
	sees(bob)

	ann.click("#screen")
	for _, p := range []*tab{bob, cay} {
		p.waitFor(10*time.Second, `!document.querySelector(".tile.screen") && document.querySelector(".grid-scroller").dataset.layout === "grid"`)
		p.waitFor(5*time.Second, `[...document.querySelectorAll(".tile:not(.self) video")].every((video) => video.readyState >= 2 && !video.paused)`)
		p.talks(2, func(peerStats) bool { return true })
	}
	ann.waitFor(5*time.Second, `!document.querySelector(".tile.screen")`)
}

// TestStageFits looks at calls of one to eight people and at a shared screen,
// on a desk and on a phone, upright and on its side: every tile inside, none
// over another, the controls within reach. MAITRED_SHOTS=DIR keeps pictures,
// also of what is between the sizes that say most.
func TestStageFits(t *testing.T) {
	d := harness.Start(t)
	b := startBrowser(t, headlessShell)
	ann := b.person(d, "tea", "Ann", true)
	ann.phase("call")
	between := func(name string) {
		t.Helper()
		if keepsPictures() {
			ann.looks(name)
		}
	}
	between("1")
	join := func(name, state string) *tab {
		t.Helper()
		return b.withSDK(d.Page(""), "tea", name, `{ kinds: ["video"], relayOnly: true, stream: `+colour+`, state: `+state+` }`)
	}
	bob := join("Bob", `{ video: true, audio: false, hand: 7 }`)
	ann.connected(1)
	ann.looks("2")
	join("Maximilian Alexander von und zu Hohenstein-Langenfeld", `{ video: true, audio: true }`)
	ann.connected(2)
	between("3")
	for i, name := range []string{"Dan", "Eve", "Fay"} {
		join(name, fmt.Sprintf(`{ video: %t, hand: %d }`, i != 1, i*9))
	}
	ann.connected(5)
	ann.looks("6")
	ann.press("g")
	ann.looks("6-speaker")
	ann.press("g")
	share := `(async () => { const stream = ` + colour + `; room.update({ video: true, screen: true, screenStream: stream.id }); room.addTrack(stream.getVideoTracks()[0], stream); return true; })()`
	value[bool](bob, share)
	ann.waitFor(15*time.Second, `document.querySelector(".tile.screen video")?.videoWidth > 0`)
	ann.looks("6-screen")
	for _, name := range []string{"Gil", "Hal"} {
		join(name, `{ video: false }`)
	}
	ann.connected(7)
	between("8-screen")
	ann.speak("zh")
	ann.prefer("prefers-color-scheme", "dark")
	ann.looks("8-screen-zh-dark")
	ann.click("#more")
	ann.settle()
	ann.reach("#view-speaker", "#view-self", "#view-keys")
	ann.screenshot("stage-menu")
	ann.press(kb.Escape)
	ann.do("resize", chromedp.EmulateViewport(1280, 800))
	ann.press("?")
	ann.settle()
	ann.screenshot("stage-keys")
}

// connected waits for so many connections that stand.
func (p *tab) connected(peers int) {
	p.t.Helper()
	p.waitFor(30*time.Second, fmt.Sprintf(`(() => {
		const tiles = [...document.querySelectorAll(".tile[data-member]:not(.self)")];
		return tiles.length === %d && tiles.every((tile) => tile.dataset.status === "connected");
	})()`, peers))
}

// looks goes through the sizes.
func (p *tab) looks(name string) {
	p.t.Helper()
	for _, size := range stageSizes {
		p.do("resize", chromedp.EmulateViewport(size.width, size.height, size.options...))
		p.settle()
		p.waitFor(5*time.Second, `(() => {
			const area = document.querySelector(".grid").getBoundingClientRect();
			const boxes = [...document.querySelectorAll(".grid-inner .tile")].filter((it) => !it.hidden).map((it) => it.getBoundingClientRect());
			const scrolls = document.querySelector(".scroll-x, .scroll-y") !== null;
			const inside = (box) => box.left >= area.left - 1 && box.top >= area.top - 1 && box.right <= area.right + 1 && box.bottom <= area.bottom + 1;
			const over = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
			return (scrolls || boxes.every(inside)) && !boxes.some((a, i) => boxes.some((b, j) => i < j && over(a, b)));
		})()`)
		p.waitFor(5*time.Second, `document.documentElement.scrollWidth <= document.documentElement.clientWidth`)
		p.waitFor(5*time.Second, `(() => {
			const shown = [...document.querySelectorAll(".controls .control")].filter((it) => it.checkVisibility());
			return shown.length >= 5 && (innerWidth > 640 || shown.length <= 6) && shown.every((it) => it.offsetWidth >= 44 && it.offsetHeight >= 44 && it.getBoundingClientRect().right <= innerWidth);
		})()`)
		p.reach("#mute", "#camera", "#chat-toggle", "#more", "#hangup")
		p.screenshot("stage-" + name + "-" + size.name)
	}
}

// opensLittleWindow has the call over all windows, mutes in there, and closes it.
func (p *tab) opensLittleWindow() {
	p.t.Helper()
	const inside = `documentPictureInPicture.window?.document`
	p.press("i")
	p.waitFor(10*time.Second, inside+`?.querySelector(".pip video")?.videoWidth > 0 && document.querySelector("#view-pip").getAttribute("aria-checked") === "true"`)
	value[bool](p, `(`+inside+`.querySelector(".pip-controls button").click(), true)`)
	p.waitFor(5*time.Second, `!!`+inside+`.querySelector(".pip-controls .off") && !!document.querySelector("#mute.off")`)
	p.press("i")
	p.waitFor(5*time.Second, `!documentPictureInPicture.window && document.querySelector("#view-pip").getAttribute("aria-checked") === "false"`)
}
