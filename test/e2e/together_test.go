package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"github.com/maitred/maitred/test/harness"
)

// soon is the time for what a click brings about, on a busy machine.
const soon = 15 * time.Second

// TestTogether is about what people do together in a call: talk in writing, raise hands, throw emoji, play tones, and what a moderator may do
// to the others.
func TestTogether(t *testing.T) {
	d := harness.Start(t)
	b := startBrowser(t, headlessShell, "use-fake-device-for-media-stream", "device-count=1,fps=5")
	ann := b.frugal(d, "Ann")
	ann.phase("call")
	bob := b.frugal(d, "Bob")
	for _, p := range []*tab{ann, bob} {
		p.phase("call")
		p.canChat()
	}
	ann.say("Tea is served.")
	value[bool](ann, `(document.querySelector("#chat-input").value = "See\nhttps://tea.example/menu.", true)`)
	ann.click("#chat-send")
	bob.hears("tea.example/menu.")
	bob.say("I come at once 🎉")
	ann.hears("at once 🎉")
	cay := b.frugal(d, "Cay")
	cay.phase("call")

	t.Run("chat", func(t *testing.T) { chatHistory(t, ann, bob, cay) })
	t.Run("hands", func(t *testing.T) { raisedHands(ann, bob, cay) })
	t.Run("reactions", func(t *testing.T) { thrownEmoji(ann, bob) })
	t.Run("keypad", func(t *testing.T) { playedTones(t, ann, bob) })
	t.Run("muting", func(t *testing.T) { mutedByModerator(t, ann, bob, cay) })
	t.Run("looks", func(t *testing.T) { ann.looksTogether() })
	t.Run("access", func(t *testing.T) { ann.accessibleTogether(cay) })
	t.Run("door", func(t *testing.T) { doorControls(t, d, b, ann, bob) })
	t.Run("kick", func(t *testing.T) { kickedByControls(ann, cay) })
	t.Run("promotion", func(t *testing.T) {
		ann.click("#hangup")
		bob.reads("You are the moderator now.")
		bob.waitFor(soon, `document.querySelector("#room-settings .room-controls").checkVisibility()`)
	})
}

// frugal is a person in the room tea whose pictures cost little.
func (b *browser) frugal(d *harness.Daemon, name string) *tab {
	b.t.Helper()
	p := b.open(name, d.Page("/r/tea?relay=1&quality=low&name="+name))
	p.phase("lobby")
	p.click("#join")
	return p
}

// chatHistory has Cay, who came last, read what was said before, once, and write what comes after it.
func chatHistory(t *testing.T, ann, bob, cay *tab) {
	t.Helper()
	cay.hears("I come at once 🎉")
	cay.waitFor(soon, `document.querySelector(".chat-earlier .chat-notice").textContent.includes("as Ann has it")`)
	if title := value[string](cay, `document.title`); title != "tea · maitred" {
		t.Errorf("what was said before is no news, and the title is %q", title)
	}
	// The log knows nothing of time: what comes later is below.
	ann.say("And there is cake.")
	cay.waitFor(soon, `document.title === "(1) tea · maitred" && document.querySelector("#chat-toggle .unread")?.textContent === "1"`)
	cay.reads("Ann: And there is cake.")
	cay.say("Cake!")
	for _, p := range []*tab{ann, bob} {
		p.hears("Cake!")
	}
	said := value[[]string](cay, `[...document.querySelectorAll("#chat-log .chat-text")].map((it) => it.innerText)`)
	want := []string{"Tea is served.", "See\nhttps://tea.example/menu.", "I come at once 🎉", "And there is cake.", "Cake!"}
	if fmt.Sprint(said) != fmt.Sprint(want) {
		t.Errorf("Cay reads %q, want %q", said, want)
	}
	if title := value[string](cay, `document.title`); title != "tea · maitred" {
		t.Errorf("all is read, and the title is %q", title)
	}
	link := value[string](cay, `document.querySelector(".chat-earlier a").href`)
	if link != "https://tea.example/menu" {
		t.Errorf("the link leads to %s", link)
	}
	// From the keyboard alone: one emoji at the place of the cursor.
	cay.write("#chat-input", "ab")
	value[bool](cay, `(document.querySelector("#chat-input").setSelectionRange(1, 1), document.querySelector("#chat-emoji").focus(), true)`)
	cay.press(kb.Enter)
	cay.waitFor(soon, `document.activeElement.closest("#chat-emoji-choice") !== null`)
	cay.press(kb.Enter)
	cay.waitFor(soon, `document.querySelector("#chat-input").value === "a😀b"`)
	cay.press(kb.Escape)
	cay.waitFor(soon, `document.activeElement.id === "chat-emoji" && !document.querySelector("#chat-emoji-choice").checkVisibility()`)
	cay.click("#chat-close")
}

// raisedHands has two raise their hands: everybody sees in which order.
func raisedHands(ann, bob, cay *tab) {
	ann.click("#people-toggle")
	bob.unfocus()
	bob.press("h")
	ann.reads("Bob raises a hand")
	bob.waitFor(soon, `document.querySelector("#hand").getAttribute("aria-pressed") === "true"`)
	ann.hand(bob, "1")
	cay.click("#hand")
	ann.hand(cay, "2")
	bob.press("h")
	ann.hand(bob, "")
	ann.hand(cay, "1")
	cay.click("#hand")
	ann.hand(cay, "")
}

// hand waits until the list of people shows the place of somebody's raised hand; "" for none.
func (p *tab) hand(of *tab, place string) {
	p.t.Helper()
	p.waitFor(soon, fmt.Sprintf(`(() => {
		const hand = document.querySelector(%q);
		return (hand.checkVisibility() ? hand.textContent : "") === %q;
	})()`, "#people-list ."+personOf(of)+" .person-hand", place))
}

// personOf selects somebody's row in the list of people.
func personOf(p *tab) string {
	p.t.Helper()
	return fmt.Sprintf(`person[data-member="%s"]`, p.self())
}

// thrownEmoji throws an emoji with the keyboard, and a whole bucket of them past the page: the surplus is dropped.
func thrownEmoji(ann, bob *tab) {
	value[bool](ann, `(window.thrown = [], new MutationObserver((records) => {
		for (const { addedNodes } of records) for (const it of addedNodes) if (it.matches?.(".reaction")) thrown.push(it.dataset.member + it.innerText);
	}).observe(document.querySelector(".layer"), { childList: true }), true)`)
	bob.press("r")
	bob.waitFor(soon, `document.activeElement.closest("#reactions") !== null`)
	bob.press(kb.ArrowRight)
	bob.press(kb.ArrowRight)
	bob.press(kb.Enter)
	ann.waitFor(soon, fmt.Sprintf(`thrown.includes(%q)`, bob.self()+"👏"))
	ann.waitFor(soon, `[...document.querySelectorAll(".layer [role=status]")].some((it) => it.textContent === "Bob: applause")`)
	bob.press(kb.Escape)
	bob.waitFor(soon, `document.activeElement.id === "react" && !document.querySelector("#reactions").checkVisibility()`)
	value[bool](bob, `(() => {
		for (let i = 0; i < 50; i++) window.maitred.room.send({ type: "reaction", emoji: "🙏" });
		for (const emoji of ["🍕", "<b>x</b>", 7]) window.maitred.room.send({ type: "reaction", emoji });
		return true;
	})()`)
	bob.say("That was a flood.")
	ann.hears("That was a flood.")
	got := value[[]string](ann, `thrown`)
	if len(got) < 2 || len(got) > 10 {
		ann.t.Errorf("of 54 reactions %d came through: %q", len(got), got)
	}
	for _, it := range got {
		if it != bob.self()+"👏" && it != bob.self()+"🙏" {
			ann.t.Errorf("the reaction %q was shown", it)
		}
	}
	ann.waitFor(soon, `document.querySelector(".reaction") === null`)
}

// playedTones plays tones to one person and hears from the browser that they went out.
func playedTones(t *testing.T, ann, bob *tab) {
	t.Helper()
	value[bool](ann, `(window.tones = {}, [...window.maitred.room.peers.values()].map(({ member, connection }) => {
		tones[member.name] = "";
		const { dtmf } = connection.getSenders().find((it) => it.dtmf);
		dtmf.addEventListener("tonechange", ({ tone }) => { tones[member.name] += tone || "."; });
	}), true)`)
	ann.click("#more")
	ann.click("#keypad")
	ann.waitFor(soon, `document.querySelector("#keypad-dialog").open && document.querySelectorAll("#keypad-target option").length === 3`)
	value[bool](ann, fmt.Sprintf(`(() => {
		const target = document.querySelector("#keypad-target");
		target.value = %q;
		return true;
	})()`, bob.self()))
	ann.press("5")
	ann.click(`.keypad-key[data-tone="#"]`)
	ann.waitFor(soon, `tones.Bob === "5#." && tones.Cay === ""`)
	if shown := value[string](ann, `document.querySelector("#keypad-sent").textContent`); shown != "5#" {
		t.Errorf("the keypad shows %q", shown)
	}
	ann.press(kb.Escape)
	ann.waitFor(soon, `document.querySelector("#keypad-dialog") === null`)
}

// mutedByModerator: the page mutes for a moderator, and for nobody else, and there is a way back.
func mutedByModerator(t *testing.T, ann, bob, cay *tab) {
	t.Helper()
	const silent = `[...window.maitred.peers().values()].every((pc) => pc.getSenders().filter(({ track }) => track?.kind === "audio").every(({ track }) => !track.enabled))`
	value[bool](cay, `(window.maitred.room.send({ type: "mute-please" }), true)`)
	// What was sent before has arrived before.
	cay.say("I tried to mute you.")
	bob.hears("I tried to mute you.")
	if value[bool](bob, silent) {
		t.Error("Cay is no moderator and has muted Bob")
	}
	if value[bool](cay, `[...document.querySelectorAll(".mute-person, .remove-person, .room-controls")].some((it) => it.checkVisibility())`) {
		t.Error("Cay is no moderator and has a moderator's controls")
	}
	ann.click("#people-list ." + personOf(bob) + " .mute-person")
	bob.waitFor(soon, `document.querySelector("#muted-note").checkVisibility() && document.querySelector("#muted-note").innerText.includes("Ann has muted you.")`)
	bob.waitFor(soon, silent)
	ann.waitFor(soon, fmt.Sprintf(`!document.querySelector(%q).checkVisibility()`, "#people-list ."+personOf(bob)+" .mute-person"))
	bob.screenshot("together-muted")
	bob.click("#unmute")
	bob.waitFor(soon, `!document.querySelector("#muted-note").checkVisibility() && !(`+silent+`)`)
	ann.click("#mute-all")
	for _, p := range []*tab{bob, cay} {
		p.waitFor(soon, silent)
		p.click("#unmute")
	}
}

// doorControls uses every control of the room that a moderator has, and looks at them from outside.
func doorControls(t *testing.T, d *harness.Daemon, b *browser, ann, bob *tab) {
	t.Helper()
	bob.click("#people-toggle")
	const settings = `document.querySelector("#room-settings").innerText`
	ann.click("#door-waiting")
	bob.waitFor(soon, settings+`.includes("A moderator lets people in.")`)
	dan := b.frugal(d, "Dan")
	dan.phase("waiting")
	ann.waitFor(soon, `document.querySelector(".people-door .person").innerText.includes("Dan") && document.querySelectorAll("#knocks .knock").length === 1`)
	ann.screenshot("together-door")
	ann.click(".people-door .admit")
	dan.phase("call")
	ann.waitFor(soon, `!document.querySelector(".people-door").checkVisibility() && !document.querySelector("#knocks").checkVisibility()`)
	dan.click("#hangup")

	ann.click("#door-locked")
	bob.reads("The room is locked: nobody comes in any more.")
	eve := b.frugal(d, "Eve")
	eve.phase("error")
	eve.reads("This room is locked.")
	ann.click("#door-open")
	bob.waitFor(soon, settings+`.includes("Whoever has the link comes in.")`)

	ann.write("#room-password", "seven herons")
	ann.click("#room-password-set")
	bob.waitFor(soon, settings+`.includes("Whoever comes is asked for a password.")`)
	eve.click(".end-buttons .primary")
	eve.phase("password")
	eve.write("#password", "seven herons")
	eve.click("#join")
	eve.phase("call")
	eve.click("#hangup")
	ann.click("#room-password-clear")
	bob.waitFor(soon, settings+`.includes("No password.")`)

	ann.write("#room-limit", "3\r")
	bob.waitFor(soon, settings+`.includes("Room for 3 people.")`)
	value[bool](bob, `(window.maitred.room.lock({ locked: true }), true)`)
	bob.reads("You are not allowed to do that here.")
	if value[bool](ann, `window.maitred.room.settings.locked`) {
		t.Error("Bob is no moderator and has locked the room")
	}
}

// kickedByControls removes Cay, with the waiting room turned on at the same time.
func kickedByControls(ann, cay *tab) {
	ann.click("#people-list ." + personOf(cay) + " .remove-person")
	ann.write("#kick-reason", "too much cake")
	ann.click("#kick-door")
	ann.settle()
	ann.screenshot("together-kick")
	ann.click("#kick-confirm")
	cay.phase("error")
	cay.reads("You have been removed from the room: too much cake")
	ann.sees(1)
	ann.waitFor(soon, `window.maitred.room.settings.knock && document.querySelector("#kick-dialog") === null`)
}

// looksTogether checks panels and dialogs on a desk and on phones, in both languages, dark and light.
func (p *tab) looksTogether() {
	p.t.Helper()
	for _, v := range views() {
		p.viewed(v)
		picture := func(what string) {
			p.t.Helper()
			p.settle()
			p.fits()
			p.names()
			p.screenshot("together-" + what + "-" + v.String())
		}
		picture("people")
		p.click("#people-panel-close")
		p.click("#chat-toggle")
		p.click("#chat-emoji")
		picture("chat")
		p.reach("#chat-emoji", "#chat-input", "#chat-send", "#chat-emoji-choice .emoji:last-child")
		p.press(kb.Escape)
		p.click("#chat-close")
		p.unfocus()
		p.press("r")
		p.press(kb.Enter)
		p.reach("#reactions .emoji:first-child", "#reactions .emoji:last-child")
		p.screenshot("together-reactions-" + v.String())
		p.press(kb.Escape)
		p.click("#more")
		p.click("#keypad")
		picture("keypad")
		p.reach(`.keypad-key[data-tone="1"]`, `.keypad-key[data-tone="#"]`)
		p.press(kb.Escape)
		p.unfocus()
		p.press("p")
		p.waitFor(soon, `document.querySelector("#people-list").checkVisibility()`)
	}
	p.viewed(view{screens[0], "en", "light"})
}

// accessibleTogether has axe-core look at the panels and dialogs.
func (p *tab) accessibleTogether(other *tab) {
	p.t.Helper()
	p.accessible("people")
	p.click("#people-list ." + personOf(other) + " .remove-person")
	p.accessible("removing somebody")
	p.click("#kick-cancel")
	p.click("#react")
	p.accessible("reactions")
	p.press(kb.Escape)
	p.click("#more")
	p.click("#keypad")
	p.accessible("keypad")
	p.press(kb.Escape)
	p.click("#chat-toggle")
	p.click("#chat-emoji")
	p.accessible("chat with emoji")
	p.click("#people-toggle")
}

// unfocus takes the focus out of a field, where a letter would be written.
func (p *tab) unfocus() {
	p.t.Helper()
	value[bool](p, `(document.activeElement.blur(), true)`)
}
