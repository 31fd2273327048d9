package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maitred/maitred/test/harness"
)

// collectStats is a function of the page: what getStats says of each peer.
const collectStats = `async () => {
	const peers = {};
	for (const [member, pc] of window.maitred?.peers?.() ?? []) {
		const report = new Map();
		(await pc.getStats()).forEach((entry) => report.set(entry.id, entry));
		const s = {connection: pc.connectionState, ice: pc.iceConnectionState, signaling: pc.signalingState, sctp: pc.sctp?.state ?? "", framesDecoded: 0,
			totalSamplesReceived: 0, totalAudioEnergy: 0, localType: "", remoteType: "", relayProtocol: "", candidates: [], remoteCandidates: [], pairs: [], channels: []};
		for (const entry of report.values()) {
			if (entry.type === "inbound-rtp") {
				s.framesDecoded += entry.framesDecoded ?? 0;
				s.totalSamplesReceived += entry.totalSamplesReceived ?? 0;
				s.totalAudioEnergy += entry.totalAudioEnergy ?? 0;
			}
			const address = (c) => [c.candidateType, c.protocol, c.relayProtocol, c.address + ":" + c.port].join(" ");
			if (entry.type === "local-candidate") s.candidates.push(address(entry));
			if (entry.type === "remote-candidate") s.remoteCandidates.push(address(entry));
			if (entry.type === "candidate-pair") s.pairs.push([entry.state, entry.nominated, entry.bytesSent, entry.bytesReceived].join(" "));
			if (entry.type === "data-channel") s.channels.push([entry.label, entry.state, entry.messagesSent, entry.messagesReceived].join(" "));
			if (entry.type === "transport" && report.has(entry.selectedCandidatePairId)) {
				const pair = report.get(entry.selectedCandidatePairId);
				const local = report.get(pair.localCandidateId), remote = report.get(pair.remoteCandidateId);
				s.localType = local?.candidateType ?? "";
				s.relayProtocol = local?.relayProtocol ?? "";
				s.remoteType = remote?.candidateType ?? "";
			}
		}
		peers[member] = s;
	}
	return peers;
}`

type peerStats struct {
	Connection           string   `json:"connection"`
	FramesDecoded        int      `json:"framesDecoded"`
	TotalSamplesReceived int      `json:"totalSamplesReceived"`
	TotalAudioEnergy     float64  `json:"totalAudioEnergy"`
	LocalType            string   `json:"localType"`
	RemoteType           string   `json:"remoteType"`
	RelayProtocol        string   `json:"relayProtocol"`
	Candidates           []string `json:"candidates"`
}

// stats of every peer by member id.
func (p *tab) stats() (map[string]peerStats, error) {
	text, err := evaluate[string](p, `(async () => JSON.stringify(await (`+collectStats+`)()))()`)
	if err != nil {
		return nil, err
	}
	var peers map[string]peerStats
	return peers, json.Unmarshal([]byte(text), &peers)
}

// person opens the link of a room, says who it is and joins.
func (b *browser) person(d *harness.Daemon, room, name string, relay bool) *tab {
	b.t.Helper()
	return b.personAt(d.Page(""), room, name, relay)
}

func (b *browser) personAt(base, room, name string, relay bool) *tab {
	b.t.Helper()
	link := base + "/r/" + room
	if relay {
		link += "?relay=1"
	}
	p := b.open(name, link)
	p.phase("lobby")
	p.write("#name", name)
	p.click("#join")
	return p
}

// phase waits until the page is in a phase of its life.
func (p *tab) phase(want string) {
	p.t.Helper()
	p.waitFor(30*time.Second, `document.documentElement.dataset.phase === `+strconv.Quote(want))
}

// self is this page's member id.
func (p *tab) self() string {
	p.t.Helper()
	p.waitFor(20*time.Second, `!!document.querySelector(".tile.self")?.dataset.member`)
	return value[string](p, `document.querySelector(".tile.self").dataset.member`)
}

// sees waits until exactly so many other people have tiles.
func (p *tab) sees(others int) {
	p.t.Helper()
	p.waitFor(30*time.Second, fmt.Sprintf(`document.querySelectorAll(".tile[data-member]:not(.self)").length === %d`, others))
}

// talks waits until sound and pictures of so many peers have come in, and check
// is content with how.
func (p *tab) talks(peers int, check func(peerStats) bool) {
	p.t.Helper()
	harness.Within(p.t, 30*time.Second, p.name+": sound and pictures flow as they should", func() (bool, any) {
		stats, err := p.stats()
		if err != nil || len(stats) != peers {
			return false, fmt.Sprintf("%+v %v", stats, err)
		}
		for _, s := range stats {
			if s.FramesDecoded < 30 || s.TotalSamplesReceived <= 48000 || s.TotalAudioEnergy <= 0 || !check(s) {
				return false, fmt.Sprintf("%+v", stats)
			}
		}
		return true, nil
	})
}

// relayed accepts a connection whose end here is relayed by our server, over one of transports, all of them if none is named. The other end's
// candidate is peer-reflexive where its check was faster than the message that tells of it; that it is relayed is seen there.
func relayed(transports ...string) func(peerStats) bool {
	if len(transports) == 0 {
		// Where both are offered the faster one of this moment wins.
		transports = []string{"udp", "tcp"}
	}
	return func(s peerStats) bool {
		for _, candidate := range s.Candidates {
			if !strings.HasPrefix(candidate, "relay ") {
				return false
			}
		}
		return s.LocalType == "relay" && (s.RemoteType == "relay" || s.RemoteType == "prflx") && slices.Contains(transports, s.RelayProtocol)
	}
}

// badge waits until every other tile shows a path that starts so.
func (p *tab) badge(path string) {
	p.t.Helper()
	p.waitFor(15*time.Second, `(() => {
		const tiles = [...document.querySelectorAll(".tile[data-member]:not(.self)")];
		return tiles.length > 0 && tiles.every((tile) => tile.dataset.path.startsWith(`+strconv.Quote(path)+`));
	})()`)
}

// canChat waits until the data channels to all peers are up.
func (p *tab) canChat() {
	p.t.Helper()
	p.waitFor(15*time.Second, `(() => {
		const peers = [...window.maitred.peers().values()];
		return peers.length > 0 && peers.every((pc) => pc.connectionState === "connected" && pc.sctp?.state === "connected");
	})()`)
}

// say writes into the chat.
func (p *tab) say(text string) {
	p.t.Helper()
	if !value[bool](p, `document.querySelector("#chat-input")?.checkVisibility() ?? false`) {
		p.click("#chat-toggle")
	}
	p.write("#chat-input", text)
	p.click("#chat-send")
}

// hears waits until the chat shows text.
func (p *tab) hears(text string) {
	p.t.Helper()
	p.waitFor(15*time.Second, `document.querySelector("#chat-log").textContent.includes(`+strconv.Quote(text)+`)`)
}
