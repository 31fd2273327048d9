package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maitred/maitred/test/harness"
)

// TestNetwork has Ann and Bob in a call, each on a laptop of its own, and does to their networks what happens to networks. Nobody is
// told that somebody left, what is said meanwhile arrives once, and the call goes on. Lee and Mia, whose network is fine, notice nothing but
// a second credential.
func TestNetwork(t *testing.T) {
	d := startLab(t, "MAITRED_SIGNALING_RESUME=1m", "MAITRED_TURN_CREDENTIAL_TTL=1m")
	hers, his := newLaptop(t, 1), newLaptop(t, 2)
	lee, mia := undisturbed(t, d, newLaptop(t, 3))
	ann, bob := callBetween(t, d, hers, his)
	reconnecting := `seen.states.at(-1) === "reconnecting"`
	apart := `seen.status.at(-1) === "reconnecting"`

	t.Run("refused on both sides", func(t *testing.T) {
		resumes(t, ann, bob, func() {
			hers.filter(netRefuses)
			his.filter(netRefuses)
		}, func() {
			for _, p := range []*tab{ann, bob} {
				p.waitFor(30*time.Second, reconnecting+" && "+apart)
			}
			hers.filter(netOpen)
			his.filter(netOpen)
		})
	})

	t.Run("silent on one side", func(t *testing.T) {
		// The server asks every 20 seconds whether somebody is there, and from here on again.
		value[bool](ann, `(seen.joined = [], window.maitred.room.reconnect(), true)`)
		ann.waitFor(10*time.Second, `seen.joined.length === 1`)
		harness.Within(t, 15*time.Second, "of all connections only the newest four are left", func() (bool, any) {
			n := d.Metric(`maitred_signaling_messages_total{type="join"`) - d.Metric("maitred_signaling_closed_total")
			return n == 4, n
		})
		replaced := d.Metric(`maitred_signaling_closed_total{reason="replaced"`)
		resumes(t, ann, bob, func() { hers.filter(netSilent) }, func() {
			ann.waitFor(30*time.Second, reconnecting)
			bob.waitFor(30*time.Second, apart)
			hers.filter(netForgot)
		})
		harness.Within(t, 10*time.Second, "the server ends the connection of which it did not know that it was dead", func() (bool, any) {
			n := d.Metric(`maitred_signaling_closed_total{reason="replaced"`)
			return n == replaced+1, n
		})
	})

	t.Run("another network", func(t *testing.T) {
		hers.filter(netOpen)
		resumes(t, ann, bob, func() { hers.unplug(0) }, func() {
			ann.waitFor(10*time.Second, `!navigator.onLine`)
			hers.plug(1)
		})
		if clients := allocationsOf(t, d, ann.self()); !slices.ContainsFunc(clients, func(client string) bool { return strings.HasPrefix(client, hers.address(1, 2)+":") }) {
			t.Errorf("Ann is on %s, and the relay knows her at %q", hers.address(1, 2), clients)
		}
	})

	t.Run("none of it elsewhere", func(t *testing.T) {
		for _, p := range []*tab{lee, mia} {
			// Pushed when half of the first one's time is over, and the server asks whether somebody is there.
			p.waitFor(60*time.Second, `heard["ice-servers"].length > 0`)
			p.staysUp(t)
			if seen := p.gather(value[string](p, `JSON.stringify(peer().connection.getConfiguration().iceServers)`)); len(seen.Candidates) == 0 || len(seen.Errors) != 0 {
				t.Errorf("%s: the second credential: %+v", p.name, seen)
			}
		}
	})
}

// undisturbed is a call of two who have the laptop for themselves.
func undisturbed(t *testing.T, d *harness.Daemon, l *laptop) (lee, mia *tab) {
	t.Helper()
	b, base := l.browse(d)
	options := `{ relayOnly: true, kinds: ["video"], stream: ` + colour + ` }`
	lee, mia = b.withSDK(base, "garden", "Lee", options), b.withSDK(base, "garden", "Mia", options)
	for _, p := range []*tab{lee, mia} {
		p.waitFor(20*time.Second, `peer()?.status === "connected" && peer().connection.signalingState === "stable"`)
		value[bool](p, `(() => {
			window.credential = () => peer().connection.getConfiguration().iceServers.find(({ username }) => username).username;
			window.fragment = () => /ice-ufrag:(\S+)/.exec(peer().connection.localDescription.sdp)[1];
			window.before = { credential: credential(), fragment: fragment() };
			for (const list of Object.values(heard)) list.length = 0;
			return true;
		})()`)
	}
	grow(t, 10, lee, mia)
	return lee, mia
}

// staysUp checks that a connection has taken a second credential and has done nothing else about it.
func (p *tab) staysUp(t *testing.T) {
	t.Helper()
	grow(t, 10, p)
	if value[bool](p, `credential() === before.credential`) {
		t.Errorf("%s: the connection has the credential that it began with", p.name)
	}
	if value[bool](p, `fragment() !== before.fragment`) {
		t.Errorf("%s: there was an ICE restart", p.name)
	}
	for _, event := range []string{"negotiation", "status", "state", "joined", "error"} {
		if n := value[int](p, fmt.Sprintf(`heard[%q].length`, event)); n > 0 {
			t.Errorf("%s: %d times %s", p.name, n, event)
		}
	}
}

// TestSeatLost cuts Ann off for longer than her seat is kept: Bob is told that she left, and both are in a call again once she is back.
func TestSeatLost(t *testing.T) {
	d := startLab(t, "MAITRED_SIGNALING_RESUME=1s")
	hers, his := newLaptop(t, 1), newLaptop(t, 2)
	ann, bob := callBetween(t, d, hers, his)
	before := ann.self()

	hers.filter(netRefuses)
	for _, p := range []*tab{ann, bob} {
		value[bool](p, `window.maitred.room.broadcast("are you there?")`)
	}
	bob.waitFor(45*time.Second, `seen.left.join() === "Ann timeout" && seen.notes.some((it) => it.startsWith("Ann is gone"))`)
	bob.sees(0)
	ann.waitFor(10*time.Second, `seen.states.at(-1) === "reconnecting"`)
	hers.filter(netOpen)

	ann.waitFor(30*time.Second, `seen.joined.length > 0`)
	for _, p := range []*tab{ann, bob} {
		p.sees(1)
		p.talks(1, relayed())
		p.canChat()
	}
	if told := value[string](ann, `JSON.stringify([seen.joined, seen.left, seen.notes.filter((it) => /left/.test(it)), seen.heard])`); told != `[[false],["Bob reconnected"],[],[]]` {
		t.Errorf("Ann was told %s", told)
	}
	if now := ann.self(); now == before {
		t.Error("Ann is still the member that left")
	}
	// What was said in a seat that is gone is not said again.
	if told := value[string](bob, `JSON.stringify([seen.left, seen.heard])`); told != `[["Ann timeout"],[]]` {
		t.Errorf("Bob was told %s", told)
	}
	ann.say("here I am again")
	bob.hears("here I am again")
}

// callBetween has two people talk to each other, and notes from then on what happens.
func callBetween(t *testing.T, d *harness.Daemon, hers, his *laptop) (ann, bob *tab) {
	t.Helper()
	ann, bob = hers.person(d, "Ann"), his.person(d, "Bob")
	for _, p := range []*tab{ann, bob} {
		p.phase("call")
		p.sees(1)
		p.talks(1, relayed())
		p.canChat()
		p.note()
	}
	return ann, bob
}

// person joins the call from the laptop.
func (l *laptop) person(d *harness.Daemon, name string) *tab {
	l.t.Helper()
	b, base := l.browse(d)
	return b.personAt(base, "tea", name, true)
}

// note has the page write into window.seen what its room tells it and what it tells people.
func (p *tab) note() {
	p.t.Helper()
	value[bool](p, `(() => {
		const { room } = window.maitred;
		window.seen = { joined: [], states: [], status: [], left: [], heard: [], notes: [] };
		window.connections = [...window.maitred.peers().values()];
		room.on("joined", ({ resumed }) => seen.joined.push(resumed));
		room.on("state", ({ state }) => seen.states.push(state));
		room.on("status", ({ status }) => seen.status.push(status));
		room.on("member-left", ({ member, reason }) => seen.left.push(member.name + " " + reason));
		room.on("broadcast", ({ data }) => seen.heard.push(data));
		new MutationObserver((all) => all.forEach(({ addedNodes }) => addedNodes.forEach((it) => seen.notes.push(it.textContent))))
			.observe(document.querySelector("#toasts"), { childList: true });
		return true;
	})()`)
}

// resumes breaks a call and mends it, and checks that it is the same call.
func resumes(t *testing.T, ann, bob *tab, damage, mend func()) {
	t.Helper()
	for _, p := range []*tab{ann, bob} {
		value[bool](p, `(seen.notes = [], seen.joined = [], seen.heard = [], true)`)
	}
	members := value[string](ann, `[window.maitred.room.self.id, ...window.maitred.room.peers.keys()].join()`)
	chat := t.Name()
	damage()
	ann.say("from Ann: " + chat)
	bob.say("from Bob: " + chat)
	for _, p := range []*tab{ann, bob} {
		value[bool](p, `[1, 2, 3].every((n) => window.maitred.room.broadcast(n))`)
	}
	mend()

	ann.waitFor(30*time.Second, `seen.joined.length > 0`)
	for _, p := range []*tab{ann, bob} {
		p.waitFor(30*time.Second, `window.maitred.room.state === "joined" && [...window.maitred.room.peers.values()].every(({ status }) => status === "connected")`)
	}
	grow(t, 30, ann, bob)
	messages := fmt.Sprintf(`document.querySelector("#chat-log").textContent.split(%q).length - 1`, chat)
	for _, p := range []*tab{ann, bob} {
		// Data channels try again with pauses that double.
		p.waitFor(time.Minute, messages+` >= 2`)
		p.waitFor(10*time.Second, `seen.heard.join() === "1,2,3"`)
	}
	for _, p := range []*tab{ann, bob} {
		if n := value[int](p, messages); n != 2 {
			t.Errorf("%s: the chat has %d of two messages", p.name, n)
		}
		if told := value[string](p, `JSON.stringify([seen.joined.filter((resumed) => !resumed), seen.left, seen.notes.filter((it) => /left|joined/.test(it))])`); told != `[[],[],[]]` {
			t.Errorf("%s: somebody is said to be new, or gone: %s", p.name, told)
		}
		if !value[bool](p, `connections.length === 1 && [...window.maitred.peers().values()][0] === connections[0]`) {
			t.Errorf("%s: the connection was replaced", p.name)
		}
	}
	if now := value[string](ann, `[window.maitred.room.self.id, ...window.maitred.room.peers.keys()].join()`); now != members {
		t.Errorf("the members were %s and are %s", members, now)
	}
}
