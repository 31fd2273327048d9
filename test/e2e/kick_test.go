package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maitred/maitred/test/harness"
)

// stubborn is a page that knows the protocol but not when to go: its connections stay open, whoever is kicked. The function takes name and token.
const stubborn = `async (name, token) => {
	const connections = new Map(), stream = await navigator.mediaDevices.getUserMedia(
		{ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false }, video: { width: 160, height: 120, frameRate: 10 } });
	const packets = async (id) => {
		let sum = 0;
		for (const entry of (await connections.get(id).getStats()).values()) if (entry.type === "inbound-rtp") sum += entry.packetsReceived;
		return sum;
	};
	const all = async () => Object.fromEntries(await Promise.all([...connections.keys()].map(async (id) => [id, await packets(id)])));
	window.maitred = { peers: () => connections };
	window.it = { token, left: {}, packets, all };
	const socket = new WebSocket("/ws", "maitred.v1");
	const signal = (to, data) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify({ type: "signal", to, data }));
	const connect = (id) => {
		const pc = new RTCPeerConnection({ iceServers: it.joined.iceServers, iceTransportPolicy: "relay" });
		connections.set(id, pc);
		stream.getTracks().forEach((track) => pc.addTrack(track, stream));
		pc.onicecandidate = ({ candidate }) => candidate && signal(id, { candidate });
		pc.ontrack = ({ track }) => {
			const player = document.body.appendChild(document.createElement(track.kind));
			Object.assign(player, { srcObject: new MediaStream([track]), autoplay: true });
		};
		return pc;
	};
	const describe = async (id) => {
		const pc = connections.get(id);
		await pc.setLocalDescription();
		signal(id, { description: pc.localDescription });
	};
	const receive = async ({ type, ...message }) => {
		if (type === "joined") {
			it.joined = message;
			for (const { id } of message.members) {
				connect(id);
				await describe(id);
			}
		} else if (type === "signal") {
			const { from, data } = message, pc = connections.get(from) ?? connect(from);
			if (data.candidate) await pc.addIceCandidate(data.candidate);
			else if (data.description) await pc.setRemoteDescription(data.description);
			if (data.description?.type === "offer") await describe(from);
		} else if (type === "member-left") {
			it.left[message.member] = { reason: message.reason, packets: await packets(message.member) };
		} else if (type === "kicked") {
			it.kicked = { reason: message.reason, packets: await all() };
		}
	};
	let done = Promise.resolve();
	socket.onopen = () => socket.send(JSON.stringify({ type: "join", room: "tea", name, token }));
	socket.onmessage = ({ data }) => { done = done.then(() => receive(JSON.parse(data))).catch((error) => console.error(String(error))); };
	socket.onclose = ({ code }) => { it.closed = code; };
	return true;
}`

// TestKick removes members who do not want to go, first by a moderator's page, then by the server API: from that moment on their relay
// carries nothing, neither way, although both ends go on sending, and they do not come back.
func TestKick(t *testing.T) {
	d := harness.Start(t, "MAITRED_SIGNALING_AUTH=token")
	b := startBrowser(t, headlessShell)
	ann := b.open("Ann", d.Page("/r/tea?relay=1#token="+joinToken(d, "Ann", "--role", "moderator")))
	ann.phase("lobby")
	ann.click("#join")
	ann.phase("call")
	cay, bob, dan := b.stubborn(d, "Cay"), b.stubborn(d, "Bob"), b.stubborn(d, "Dan")
	for _, p := range []*tab{cay, bob, dan} {
		p.hasPackets(3)
	}

	t.Run("by a moderator", func(t *testing.T) {
		kicked(t, d, bob, cay, "too loud", func(id string) {
			value[bool](ann, fmt.Sprintf(`(window.maitred.room.kick(%q, "too loud"), true)`, id))
		})
	})
	t.Run("by the server API", func(t *testing.T) {
		kicked(t, d, dan, cay, "the exam is over", func(id string) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, d.Admin("/api/v1/rooms/tea/members/"+id+"?reason=the+exam+is+over"), nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != http.StatusNoContent {
				t.Fatalf("the server API answered %s", answer.Status)
			}
		})
	})
	ann.talks(1, relayed())
}

// stubborn opens such a page, in the room.
func (b *browser) stubborn(d *harness.Daemon, name string) *tab {
	b.t.Helper()
	p := b.open(name, d.Page("/healthz"))
	value[bool](p, fmt.Sprintf(`(%s)(%q, %q)`, stubborn, name, joinToken(d, name)))
	p.waitFor(10*time.Second, `!!it.joined`)
	return p
}

// joinToken is a token for the room tea from the command line.
func joinToken(d *harness.Daemon, name string, more ...string) string {
	return strings.TrimSpace(string(d.Run(append([]string{"token", "--room", "tea", "--name", name}, more...)...)))
}

// hasPackets waits until media of so many others has come in through the relay.
func (p *tab) hasPackets(others int) {
	p.t.Helper()
	harness.Within(p.t, 20*time.Second, fmt.Sprintf("%s gets media of %d others", p.name, others), func() (bool, any) {
		stats, err := p.stats()
		flowing := len(stats) == others
		for _, s := range stats {
			flowing = flowing && s.FramesDecoded >= 5 && s.TotalSamplesReceived > 0 && relayed()(s)
		}
		return flowing, fmt.Sprintf("%+v %v", stats, err)
	})
}

// inFlight is how many packets may be on the way, or not in the statistics yet, when a page hears of the end: a quarter of a second's.
const inFlight = 20

// kicked kicks outcast and looks at it from both sides; witness stays in the room, and keeps its connection to outcast.
func kicked(t *testing.T, d *harness.Daemon, outcast, witness *tab, reason string, kick func(id string)) {
	t.Helper()
	id, witnessID := value[string](outcast, `it.joined.self.id`), value[string](witness, `it.joined.self.id`)
	if len(allocationsOf(t, d, id)) == 0 {
		t.Fatalf("%s has no allocation", outcast.name)
	}
	kick(id)
	witness.waitFor(10*time.Second, fmt.Sprintf(`it.left[%q]?.reason === "kicked"`, id))
	if left := allocationsOf(t, d, id); len(left) > 0 {
		t.Errorf("%s is said to have left and has allocations: %q", outcast.name, left)
	}
	outcast.waitFor(10*time.Second, fmt.Sprintf(`it.kicked?.reason === %q && it.closed === 4003`, reason))
	if state := value[string](outcast, fmt.Sprintf(`maitred.peers().get(%q).signalingState`, witnessID)); state != "stable" {
		t.Errorf("the connection of %s is %s: this test shows nothing", outcast.name, state)
	}

	// Time passes, as the pictures of the others tell.
	witness.framesOfOthers(id, 40)
	if n := value[int](witness, fmt.Sprintf(`(async () => await it.packets(%[1]q) - it.left[%[1]q].packets)()`, id)); n > inFlight {
		t.Errorf("%d packets of %s were delivered after the kick", n, outcast.name)
	}
	if n := value[int](outcast, fmt.Sprintf(`(async () => await it.packets(%[1]q) - it.kicked.packets[%[1]q])()`, witnessID)); n > inFlight {
		t.Errorf("%d packets were delivered to %s after the kick", n, outcast.name)
	}
	comesBack(t, outcast)
}

// framesOfOthers waits until the pictures of everybody but one have advanced, where they still come.
func (p *tab) framesOfOthers(but string, frames int) {
	p.t.Helper()
	first, err := p.stats()
	if err != nil {
		p.t.Fatal(err)
	}
	harness.Within(p.t, 20*time.Second, p.name+": the others go on", func() (bool, any) {
		now, err := p.stats()
		for member, s := range first {
			if member != but && now[member].FramesDecoded >= s.FramesDecoded+frames {
				return true, nil
			}
		}
		return false, fmt.Sprintf("%+v %v", now, err)
	})
}

// comesBack tries every way in that a kicked page has.
func comesBack(t *testing.T, outcast *tab) {
	t.Helper()
	for _, tt := range []struct{ name, join, want string }{
		{"its token", `{ token: it.token }`, "unauthorized 4001"},
		{"its seat", `{ resume: it.joined.resume, received: 0 }`, "not_allowed 4003"},
		{"its seat and its token", `{ resume: it.joined.resume, token: it.token }`, "not_allowed 4003"},
		{"nothing", `{}`, "unauthorized 4001"},
	} {
		got := value[string](outcast, `new Promise((resolve) => {
			const socket = new WebSocket("/ws", "maitred.v1");
			let said = "";
			socket.onopen = () => socket.send(JSON.stringify({ type: "join", room: "tea", name: "Nobody", ...`+tt.join+` }));
			socket.onmessage = ({ data }) => { const { type, code } = JSON.parse(data); said += (code ?? type) + " "; };
			socket.onclose = ({ code }) => resolve(said + code);
		})`)
		if got != tt.want {
			t.Errorf("%s came with %s: %s, want %s", outcast.name, tt.name, got, tt.want)
		}
	}
	if seen := outcast.gather(value[string](outcast, `JSON.stringify(it.joined.iceServers)`)); !slices.Contains(seen.Errors, 401) || len(seen.Candidates) != 0 {
		t.Errorf("the relay takes the credential of %s: want 401, got %+v", outcast.name, seen)
	}
}

// allocationsOf is what the relay holds for a member: the addresses of its clients.
func allocationsOf(t *testing.T, d *harness.Daemon, member string) (clients []string) {
	t.Helper()
	status, body := harness.Get(d.Admin("/api/v1/allocations"))
	var answer struct {
		Allocations []struct{ Client, User string }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK {
		t.Fatalf("allocations: %d %v %s", status, err, body)
	}
	for _, it := range answer.Allocations {
		if strings.HasSuffix(it.User, "."+member) {
			clients = append(clients, it.Client)
		}
	}
	return clients
}
