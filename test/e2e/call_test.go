package e2e

import (
	"testing"
	"time"

	"github.com/maitred/maitred/test/harness"
)

// TestRelayUDP is the main promise: lobby, join, a call through our own relay,
// text, and nothing left behind when it is over.
func TestRelayUDP(t *testing.T) {
	d := harness.Start(t, "MAITRED_TURN_TCP=off")
	b := startBrowser(t, headlessShell)
	ann := b.open("ann", d.Page("/"))
	ann.phase("lobby")
	ann.write("#name", "Ann")
	ann.write("#room", "tea")
	if !value[bool](ann, `document.querySelector("#force-relay").checked`) {
		ann.click("#force-relay")
	}
	ann.click("#join")
	ann.phase("call")
	bob := b.person(d, "tea", "Bob", true)
	bob.phase("call")
	for _, p := range []*tab{ann, bob} {
		p.sees(1)
		p.talks(1, relayed("udp"))
		p.badge("relay-udp")
	}
	ann.say("good evening")
	bob.hears("good evening")
	bob.say("and to you")
	ann.hears("and to you")
	ann.screenshot("call-relay-udp")

	bob.click("#hangup")
	bob.phase("left")
	ann.sees(0)
	ann.click("#hangup")
	ann.phase("left")
	d.WaitForNoAllocations()
}

// twoPeople calls with relay forced and checks the way the media takes:
// transport is "udp", "tcp" or "" for either.
func twoPeople(t *testing.T, d *harness.Daemon, b *browser, transport string) (ann, bob *tab) {
	t.Helper()
	allowed := relayed()
	if transport != "" {
		allowed = relayed(transport)
	}
	ann = b.person(d, "tea", "Ann", true)
	bob = b.person(d, "tea", "Bob", true)
	for _, p := range []*tab{ann, bob} {
		p.phase("call")
		p.sees(1)
		p.talks(1, allowed)
		p.badge("relay-" + transport)
	}
	ann.say("can you hear me?")
	bob.hears("can you hear me?")
	return ann, bob
}

// TestRelayTCP has no UDP listener at all.
func TestRelayTCP(t *testing.T) {
	d := harness.Start(t, "MAITRED_TURN_UDP=off")
	ann, bob := twoPeople(t, d, startBrowser(t, headlessShell), "tcp")
	// A tab that dies says no goodbye: its TCP connections do.
	bob.close()
	ann.sees(0)
	ann.click("#hangup")
	ann.phase("left")
	d.WaitForNoAllocations()
}

// TestBrowserWithoutUDP is the same from the other side: a browser that is told
// to use nothing but TCP.
func TestBrowserWithoutUDP(t *testing.T) {
	d := harness.Start(t)
	// The shell knows the flag by its first name, the full browser by its second.
	b := startBrowser(t, headlessShell, "force-webrtc-ip-handling-policy", "disable_non_proxied_udp",
		"webrtc-ip-handling-policy", "disable_non_proxied_udp")
	twoPeople(t, d, b, "tcp")
}

// TestVirtualRelay has no relay ports: only the short-circuit delivers.
func TestVirtualRelay(t *testing.T) {
	d := harness.Start(t, "MAITRED_TURN_RELAY_PORTS=none", "MAITRED_TURN_TCP=off")
	twoPeople(t, d, startBrowser(t, headlessShell), "udp")
}

// TestOnePort leaves TCP and virtual relay addresses: one port for everything
// the relay does.
func TestOnePort(t *testing.T) {
	d := harness.Start(t, "MAITRED_TURN_RELAY_PORTS=none", "MAITRED_TURN_UDP=off")
	twoPeople(t, d, startBrowser(t, headlessShell), "tcp")
}

// TestFullChromium is the browser that people have, not the shell for tests.
func TestFullChromium(t *testing.T) {
	d := harness.Start(t)
	twoPeople(t, d, startBrowser(t, fullChromium), "")
}

// TestDirect lets ICE choose, which prefers no relay.
func TestDirect(t *testing.T) {
	d := harness.Start(t)
	b := startBrowser(t, headlessShell)
	ann := b.person(d, "tea", "Ann", false)
	bob := b.person(d, "tea", "Bob", false)
	for _, p := range []*tab{ann, bob} {
		p.phase("call")
		p.talks(1, func(s peerStats) bool { return s.LocalType != "relay" && s.RemoteType != "relay" })
		p.badge("direct")
	}
}

func TestThreePeople(t *testing.T) {
	d := harness.Start(t)
	b := startBrowser(t, headlessShell)
	people := []*tab{b.person(d, "tea", "Ann", true), b.person(d, "tea", "Bob", true), b.person(d, "tea", "Cay", true)}
	for _, p := range people {
		p.phase("call")
		p.sees(2)
		p.talks(2, relayed())
	}
	people[0].say("hello, both")
	people[1].hears("hello, both")
	people[2].hears("hello, both")
	people[2].click("#hangup")
	people[0].sees(1)
	people[1].sees(1)
}

// TestCameraRefused: words instead of a picture, and a call all the same.
func TestCameraRefused(t *testing.T) {
	d := harness.Start(t)
	b := startBrowser(t, headlessShell, "use-fake-ui-for-media-stream", "deny")
	ann := b.open("ann", d.Page("/"))
	ann.phase("lobby")
	ann.waitFor(15*time.Second, `/camera|microphone/i.test(document.body.innerText) && /refus|denied|block|allow|permission/i.test(document.body.innerText)`)
	ann.shows(".notice", "blocked for this page", "Allow them with the icon beside the address", "You can join without")
	ann.screenshot("lobby-camera-refused")
	ann.write("#name", "Ann")
	ann.write("#room", "tea")
	ann.click("#join")
	ann.phase("call")
	ann.waitFor(5*time.Second, `document.querySelector(".tile.self .tile-problem").checkVisibility()`)
	ann.screenshot("call-alone-camera-refused")
	bob := b.person(d, "tea", "Bob", true)
	bob.phase("call")
	ann.sees(1)
	bob.sees(1)
	// What is missing stays in sight, longer than a note that goes by.
	ann.waitFor(15*time.Second, `document.querySelector("#toasts").childElementCount === 0 && !document.querySelector(".tile.self .tile-problem").hidden`)
	ann.screenshot("call-camera-refused")
	ann.canChat()
	bob.canChat()
	ann.say("can you read this?")
	bob.hears("can you read this?")
}
