package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/maitred/maitred/test/harness"
)

// TestPassword gives a room a password: whoever comes is asked for it, until it is right.
func TestPassword(t *testing.T) {
	d := harness.Start(t)
	b := startBrowser(t, headlessShell)
	ann := b.person(d, "tea", "Ann", true)
	ann.phase("call")
	ann.moderate(`setPassword("seven herons")`)
	bob := b.person(d, "tea", "Bob", true)
	bob.phase("password")
	bob.waitFor(5*time.Second, `document.activeElement.id === "password" && !document.querySelector("#password-error").checkVisibility()`)
	bob.click("#join")
	bob.complains("#password-error", "Type the password")
	bob.write("#password", "seven swans")
	bob.click("#join")
	bob.complains("#password-error", "not the password")
	bob.write("#password", "seven herons")
	bob.click("#join")
	bob.phase("call")
	ann.sees(1)
	// Who has it is not asked again.
	bob.do("reload", chromedp.Reload())
	bob.phase("call")
	bob.sees(1)
}

// TestWaitingRoom has people knock: a moderator sees who it is, lets in or turns away, and the door can be closed for everybody.
func TestWaitingRoom(t *testing.T) {
	d := harness.Start(t)
	b := startBrowser(t, headlessShell)
	ann := b.person(d, "tea", "Ann", true)
	ann.phase("call")
	ann.moderate(`lock({ locked: true, knock: true })`)

	bob := b.person(d, "tea", "Bob", true)
	bob.phase("waiting")
	bob.reads("Somebody in tea has to let you in.")
	ann.waitFor(5*time.Second, `document.querySelector(".knock")?.checkVisibility() && document.querySelector(".knock").innerText.includes("Bob would like to come in")`)
	ann.sees(0)
	ann.click(".knock .admit")
	for _, p := range []*tab{ann, bob} {
		p.phase("call")
		p.sees(1)
		p.talks(1, relayed())
	}
	ann.waitFor(5*time.Second, `!document.querySelector("#knocks").checkVisibility()`)

	cay := b.person(d, "tea", "Cay", true)
	cay.phase("waiting")
	if value[bool](bob, `document.querySelector("#knocks").checkVisibility()`) {
		t.Error("Bob is no moderator and is asked about Cay")
	}
	ann.click(".knock .deny")
	cay.phase("error")
	cay.reads("You were not let into this room.")
	ann.waitFor(5*time.Second, `!document.querySelector("#knocks").checkVisibility()`)

	ann.moderate(`lock({ locked: true })`)
	dan := b.person(d, "tea", "Dan", true)
	dan.phase("error")
	dan.reads("This room is locked.")
	ann.moderate(`lock({ locked: false })`)
	dan.click(".end-buttons .primary")
	dan.phase("call")
	ann.sees(2)

	value[bool](ann, fmt.Sprintf(`(window.maitred.room.kick(%q, "too loud"), true)`, dan.self()))
	dan.phase("error")
	dan.reads("You have been removed from the room: too loud")
	ann.sees(1)
}

// TestInvitation lets in holders of a token only, which comes in the link and does not stay in the address.
func TestInvitation(t *testing.T) {
	d := harness.Start(t, "MAITRED_SIGNALING_AUTH=token")
	b := startBrowser(t, headlessShell)
	link := strings.TrimSpace(string(d.Run("token", "--room", "tea", "--name", "Zoe", "--role", "moderator", "--link", "--url", d.Page(""))))
	zoe := b.open("Zoe", link)
	zoe.phase("lobby")
	if address := value[string](zoe, `location.href`); address != d.Page("/r/tea") {
		t.Errorf("the address is %s", address)
	}
	zoe.do("reload", chromedp.Reload())
	zoe.phase("lobby")
	zoe.click("#join")
	zoe.phase("call")
	zoe.do("reload", chromedp.Reload())
	zoe.phase("call")
	if who := value[string](zoe, `window.maitred.room.self.name + ", " + window.maitred.room.self.role`); who != "Zoe, moderator" {
		t.Errorf("the token makes a moderator of Zoe, and not %s", who)
	}

	bob := b.person(d, "tea", "Bob", true)
	bob.phase("error")
	bob.reads("This room takes valid invitations only.")
	// One that is pasted into the same tab.
	value[string](bob, `location.hash = new URL(`+strconv.Quote(link)+`).hash`)
	bob.phase("lobby")
	bob.click("#join")
	bob.phase("call")
	zoe.sees(1)
}

// moderate changes a setting of this page's room, once the page may, and waits until the room has it.
func (p *tab) moderate(what string) {
	p.t.Helper()
	p.waitFor(5*time.Second, `window.maitred.room.self.role === "moderator"`)
	value[bool](p, `new Promise((done) => {
		window.maitred.room.addEventListener("room", () => done(true), { once: true });
		window.maitred.room.`+what+`;
	})`)
}

// reads waits until the page shows text.
func (p *tab) reads(text string) {
	p.t.Helper()
	p.waitFor(5*time.Second, `document.body.innerText.includes(`+strconv.Quote(text)+`)`)
}

// complains waits until a visible element says text, and the field that it belongs to is empty for another try.
func (p *tab) complains(selector, text string) {
	p.t.Helper()
	p.waitFor(10*time.Second, fmt.Sprintf(`(() => {
		const element = document.querySelector(%q);
		return !!element?.checkVisibility() && element.innerText.includes(%q) && document.querySelector("#password").value === "";
	})()`, selector, text))
}
