package e2e

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/maitred/maitred/test/harness"
)

// withSDK is a page of one's own: it takes the options of join beside room and name, and notes what its room tells it. colour is a picture
// that costs nothing.
const withSDK = `async (room, name, options) => {
	const { join } = await import("/sdk/maitred.js");
	window.heard = { negotiation: [] };
	const on = {};
	for (const type of ["state", "joined", "status", "track", "data", "channel", "broadcast", "member-left", "ice-servers", "error"]) {
		heard[type] = [];
		on[type] = (detail) => heard[type].push(detail);
	}
	const createConnection = (configuration) => {
		const pc = new RTCPeerConnection(configuration);
		pc.addEventListener("signalingstatechange", () => heard.negotiation.push(pc.signalingState));
		return pc;
	};
	window.room = await join({ room, name, createConnection, on, ...options });
	window.peer = () => [...window.room.peers.values()][0];
	window.maitred = { peers: () => new Map([...window.room.peers].map(([id, { connection }]) => [id, connection])) };
	return true;
}`

const colour = `(() => {
	const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
	setInterval(() => {
		context.fillStyle = "hsl(" + performance.now() / 10 + " 90% 50%)";
		context.fillRect(0, 0, canvas.width, canvas.height);
	}, 100);
	return canvas.captureStream(10);
})()`

// withSDK opens such a page, in the room.
func (b *browser) withSDK(base, room, name, options string) *tab {
	b.t.Helper()
	p := b.open(name, base+"/healthz")
	value[bool](p, fmt.Sprintf(`(%s)(%q, %q, %s)`, withSDK, room, name, options))
	return p
}

// TestMessages cuts the connections of two who talk through the server, again and again: each hears everything that the other said, once and in order.
func TestMessages(t *testing.T) {
	const all, cuts = 600, 6
	proxy := startCutter(t, harness.Start(t).Listening("http"))
	b := startBrowser(t, headlessShell)
	base := "http://" + proxy.listener.Addr().String()
	pages := []*tab{b.withSDK(base, "tea", "Ann", `{ kinds: [] }`), b.withSDK(base, "tea", "Bob", `{ kinds: [] }`)}
	for _, p := range pages {
		value[bool](p, fmt.Sprintf(`(window.said = 0, setInterval(() => { if (said < %d && room.broadcast(said + 1)) said++; }, 15), true)`, all))
	}
	for i := range cuts {
		pages[i%2].waitFor(20*time.Second, fmt.Sprintf(`said > %d`, (i+1)*all/(cuts+1)))
		proxy.cut(false)
	}
	for _, p := range pages {
		p.waitFor(30*time.Second, fmt.Sprintf(`heard.broadcast.length >= %d`, all))
		if text := value[string](p, `heard.broadcast.map(({ data }, i) => data === i + 1 ? "" : "message " + (i + 1) + " is " + data).filter(Boolean).slice(0, 5).join()`); text != "" {
			t.Errorf("%s heard wrong: %s", p.name, text)
		}
		if got := value[string](p, `JSON.stringify([heard.broadcast.length, heard.error, heard["member-left"].length, heard.joined.map(({ resumed }) => resumed).includes(false, 1)])`); got != fmt.Sprintf(`[%d,[],0,false]`, all) {
			t.Errorf("%s: %s", p.name, got)
		}
		if n := value[int](p, `heard.joined.length`); n < 2 {
			t.Errorf("%s came back %d times: nothing was cut", p.name, n-1)
		}
	}
}

// TestTracksAndChannels does with both ends at once what they may do: open a channel of one name, show a screen beside the camera, and then one
// of them renews the connection.
func TestTracksAndChannels(t *testing.T) {
	d := harness.Start(t)
	b := startBrowser(t, headlessShell)
	options := `{ kinds: ["video"], stream: ` + colour + ` }`
	ann, bob := b.withSDK(d.Page(""), "tea", "Ann", options), b.withSDK(d.Page(""), "tea", "Bob", options)
	both := func(expression string) {
		t.Helper()
		for _, p := range []*tab{ann, bob} {
			p.waitFor(20*time.Second, expression)
		}
	}
	connected := `peer()?.status === "connected" && peer().connection.signalingState === "stable"`
	both(connected + ` && heard.track.length === 1`)

	atOnce(t, `window.messages = []; window.files = peer().channel("files");
		files.on("message", ({ data }) => messages.push(data.byteLength ?? data)); files.send("hello"); files.send(new Uint8Array(3)); room.send({ x: 1 })`, ann, bob)
	both(`messages.join() === "hello,3" && JSON.stringify(heard.data.map(({ data }) => data)) === '[{"x":1}]' && heard.channel.length === 0`)

	atOnce(t, `window.screen2 = `+colour+`.getVideoTracks()[0]; room.addTrack(screen2)`, ann, bob)
	both(connected + ` && heard.track.length === 2 && heard.track[1].stream !== heard.track[0].stream`)
	value[bool](ann, `(room.removeTrack(screen2), true)`)
	bob.waitFor(10*time.Second, `heard.track[1].track.readyState === "ended"`)

	for _, p := range []*tab{ann, bob} {
		value[bool](p, `(heard.track = [], messages.length = 0, true)`)
	}
	value[bool](ann, `(room.setRelayOnly(true), files.send("again"), true)`)
	ann.waitFor(20*time.Second, `heard.track.length === 2`)
	bob.waitFor(20*time.Second, `heard.track.length === 1 && messages.join() === "again"`)
	both(connected + ` && heard.error.length === 0`)
	grow(t, 10, ann, bob)
}

// atOnce has pages do something in the same moment.
func atOnce(t *testing.T, what string, pages ...*tab) {
	t.Helper()
	moment := strconv.FormatInt(time.Now().Add(time.Second).UnixMilli(), 10)
	for _, p := range pages {
		value[bool](p, `(setTimeout(() => { `+what+`; window.done = `+moment+`; }, `+moment+` - Date.now()), true)`)
	}
	for _, p := range pages {
		p.waitFor(5*time.Second, `window.done === `+moment)
	}
}
