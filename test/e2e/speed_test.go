package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/maitred/maitred/test/harness"
)

// What takes a person's time, for test/scripts/page-speed.sh: benchmarks, since a figure of one machine is no reason to fail on another.

// fast4G is what DevTools call "Fast 4G": 9 Mbit/s down and 1.5 Mbit/s up, of which a tenth is lost to overhead, and 165 ms until an
// answer begins. It holds for each request, and does not make the connection's own handshakes slower.
var fast4G = network.Conditions{Latency: 165, DownloadThroughput: 9e6 / 8 * 0.9, UploadThroughput: 1.5e6 / 8 * 0.9}

// BenchmarkReady measures the time until one can join, with an empty cache on an emulated 4G network.
func BenchmarkReady(b *testing.B) {
	ca := harness.NewAuthority(b)
	cert, key := ca.Issue(b.TempDir(), "localhost")
	d := harness.Start(b, "MAITRED_HTTPS_LISTEN=127.0.0.1:0", "MAITRED_TLS_CERT_FILE="+cert, "MAITRED_TLS_KEY_FILE="+key)
	chromium := startBrowser(b, headlessShell, "ignore-certificate-errors", "true")
	for _, of := range []struct{ name, url string }{
		{"start-page/http2", d.SecurePage("localhost", "/")},
		{"start-page/http1", d.Page("/")},
		{"invitation/http2", d.SecurePage("localhost", "/r/tea")},
		{"invitation/http1", d.Page("/r/tea")},
	} {
		b.Run(of.name, func(b *testing.B) {
			var times []float64
			for b.Loop() {
				p := chromium.open("lobby", "about:blank")
				p.emptyCache()
				devtools(p, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{&fast4G}})
				p.script(noteReady)
				p.do("open "+of.url, chromedp.Navigate(of.url))
				p.waitFor(20*time.Second, `window.readyAt > 0`)
				times = append(times, value[float64](p, `readyAt`))
				p.close()
			}
			report(b, times)
		})
	}
}

// report shows the median and the extremes of times in milliseconds instead of the time of the whole loop.
func report(b *testing.B, times []float64) {
	slices.Sort(times)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(times[len(times)/2], "ms-median")
	b.ReportMetric(times[0], "ms-min")
	b.ReportMetric(times[len(times)-1], "ms-max")
}

// noteFirstFrame is a script of the page: firstFrame becomes the time in milliseconds from the click on joinButton until a picture that
// came over a connection has been put on the screen.
const noteFirstFrame = `(() => {
	const remote = new Set();
	const Native = RTCPeerConnection;
	window.RTCPeerConnection = class extends Native {
		constructor(...args) {
			super(...args);
			this.addEventListener("track", ({ track }) => track.kind === "video" && remote.add(track));
		}
	};
	window.joinWith = (button) => {
		let clicked = 0;
		const watched = new WeakSet();
		document.querySelector(button).addEventListener("click", (event) => { clicked = event.timeStamp; }, { capture: true });
		const search = setInterval(() => {
			for (const video of document.querySelectorAll("video")) {
				if (watched.has(video) || !video.srcObject?.getVideoTracks().some((track) => remote.has(track))) continue;
				watched.add(video);
				video.requestVideoFrameCallback((now) => {
					window.firstFrame ??= now - clicked;
					clearInterval(search);
				});
			}
		}, 2);
		return true;
	};
})();`

// callServer is where a room can be entered by a page of its own.
type callServer struct {
	name, url  string
	ready      string // an expression: the form can be filled in
	nameField  string
	choose     string // what else is to be clicked in the form, "" for nothing
	join       string // the button
	inCall     string // an expression: one is in the room, alone
	hasCompany string // an expression: somebody else is there, too
}

func maitredServer(name, url string) callServer {
	others := `document.querySelectorAll(".tile[data-member]:not(.self)").length`
	return callServer{
		// Whoever has seen how the connection is going to be has read the page, too.
		name: name, url: url, ready: `document.querySelector("#join:enabled") && document.querySelector("video")?.videoWidth > 0 && document.querySelector("#precheck[data-verdict]")`,
		nameField: "#name", join: "#join",
		inCall: `document.documentElement.dataset.phase === "call" && ` + others + ` === 0`, hasCompany: others + ` === 1`,
	}
}

// startGalene runs Galène with one group in which everybody may present: program beside its directory "static".
func startGalene(b *testing.B, program string) callServer {
	b.Helper()
	home := b.TempDir()
	group := filepath.Join(home, "groups", "tea.json")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		err = errors.Join(listener.Close(), os.MkdirAll(filepath.Dir(group), 0o700),
			os.WriteFile(group, []byte(`{"wildcard-user": {"password": {"type": "wildcard"}, "permissions": "present"}}`), 0o600))
	}
	if err != nil {
		b.Fatal(err)
	}
	address := listener.Addr().String()
	var output bytes.Buffer
	command := exec.Command(program, "-insecure", "-http", address, "-static", filepath.Join(filepath.Dir(program), "static"),
		"-groups", filepath.Dir(group), "-data", home, "-recordings", home, "-turn", "")
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = command.Process.Kill() // it has nothing to save
		_ = command.Wait()         // says that it was killed
		if b.Failed() {
			b.Logf("Galène said:\n%s", &output)
		}
	})
	url := "http://" + address + "/group/tea/"
	harness.Within(b, 10*time.Second, "Galène answers", func() (bool, any) {
		status, body := harness.Get(url)
		return status == http.StatusOK, body
	})
	company := `document.querySelectorAll(".peer video").length`
	return callServer{
		name: "galene", url: url, ready: `document.querySelector("#connectbutton")?.checkVisibility()`, nameField: "#username", join: "#connectbutton",
		choose: "label[for=presentboth]",
		inCall: company + ` === 1`, hasCompany: company + ` === 2`,
	}
}

// enter opens the page, fills in the form and presses the button.
func (s callServer) enter(chromium *browser, name string) *tab {
	chromium.t.Helper()
	p := chromium.open(name, "about:blank")
	p.script(noteFirstFrame)
	p.do("open "+s.url, chromedp.Navigate(s.url))
	p.waitFor(20*time.Second, `!!(`+s.ready+`)`)
	p.write(s.nameField, name)
	if s.choose != "" {
		p.click(s.choose)
	}
	value[bool](p, `joinWith("`+s.join+`")`)
	p.pointAt(s.join)
	p.click(s.join)
	return p
}

// aim is how long the pointer is on a button before somebody presses it, at least.
const aim = 150 * time.Millisecond

// pointAt moves the pointer onto an element, as a person does before a click.
func (p *tab) pointAt(selector string) {
	p.t.Helper()
	at := value[[2]float64](p, `(({left, top, width, height}) => [left + width / 2, top + height / 2])(document.querySelector("`+selector+`").getBoundingClientRect())`)
	devtools(p, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMouseMoved, X: at[0], Y: at[1]})
	time.Sleep(aim)
}

// BenchmarkFirstFrame measures the time from the click on "join" until the picture of somebody who is waiting in the room is seen: directly,
// through the relay, and, where MAITRED_GALENE names its program, in Galène.
func BenchmarkFirstFrame(b *testing.B) {
	d := harness.Start(b, "MAITRED_CHECK_PER_IP=1000")
	servers := []callServer{maitredServer("direct", d.Page("/r/tea")), maitredServer("relayed", d.Page("/r/tee?relay=1"))}
	if program := os.Getenv("MAITRED_GALENE"); program != "" {
		servers = append(servers, startGalene(b, program))
	}
	chromium := startBrowser(b, headlessShell)
	for _, server := range servers {
		b.Run(server.name, func(b *testing.B) {
			waiting := server.enter(chromium, "waiting")
			waiting.waitFor(20*time.Second, server.inCall)
			var times []float64
			for b.Loop() {
				p := server.enter(chromium, "joining")
				p.waitFor(20*time.Second, `window.firstFrame > 0`)
				times = append(times, value[float64](p, `firstFrame`))
				waiting.waitFor(20*time.Second, server.hasCompany)
				p.do("leave", chromedp.Navigate("about:blank"))
				p.close()
				waiting.waitFor(20*time.Second, server.inCall)
			}
			waiting.close()
			report(b, times)
		})
	}
}

// BenchmarkSix measures a call of six people in one browser, who send and see each other: pictures per second of each of the others, how many lines
// they have, and how long the page takes to do something, for as many seconds as -benchtime says.
func BenchmarkSix(b *testing.B) {
	const people = 6
	d := harness.Start(b, "MAITRED_CHECK_PER_IP=1000")
	server := maitredServer("six", d.Page("/r/six"))
	server.inCall = `document.documentElement.dataset.phase === "call"`
	chromium := startBrowser(b, headlessShell)
	var tabs []*tab
	for i := range people {
		p := server.enter(chromium, fmt.Sprintf("person %d", i+1))
		p.waitFor(30*time.Second, server.inCall)
		tabs = append(tabs, p)
	}
	const others = `[...document.querySelectorAll(".tile[data-member]:not(.self) video")]`
	for _, p := range tabs {
		p.waitFor(60*time.Second, others+fmt.Sprintf(`.filter((it) => it.getVideoPlaybackQuality().totalVideoFrames > 0).length === %d`, people-1))
	}
	var rates, lines, answers []float64
	for b.Loop() {
		for _, p := range tabs {
			value[bool](p, `(window.before = `+others+`.map((it) => [it, performance.now(), it.getVideoPlaybackQuality().totalVideoFrames])).length > 0`)
		}
		for _, p := range tabs {
			p.waitFor(30*time.Second, `performance.now() - before[0][1] >= 1000`)
			rates = append(rates, value[[]float64](p, `before.map(([it, since, frames]) => 1000 * (it.getVideoPlaybackQuality().totalVideoFrames - frames) / (performance.now() - since))`)...)
			lines = append(lines, value[[]float64](p, `before.map(([it]) => it.videoHeight)`)...)
			began := time.Now()
			value[float64](p, `new Promise(requestAnimationFrame)`)
			answers = append(answers, float64(time.Since(began).Milliseconds()))
		}
	}
	b.ReportMetric(0, "ns/op")
	for unit, values := range map[string][]float64{"frames/s": rates, "lines": lines, "ms-to-answer": answers} {
		slices.Sort(values)
		b.ReportMetric(values[len(values)/2], unit+"-median")
		b.ReportMetric(values[0], unit+"-min")
		b.ReportMetric(values[len(values)-1], unit+"-max")
	}
}
