package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/maitred/maitred/test/harness"
)

// shows waits until a part of the page is seen with all of these words in it.
func (p *tab) shows(selector string, words ...string) {
	p.t.Helper()
	for _, it := range words {
		p.waitFor(20*time.Second, fmt.Sprintf(`[...document.querySelectorAll(%q)].some((it) => it.checkVisibility() && it.innerText.includes(%q))`, selector, it))
	}
}

// TestFailureDevices opens the lobby where camera and microphone fail in each of their ways: what happened, what to do about it, and that one can join
// all the same.
func TestFailureDevices(t *testing.T) {
	d := harness.Start(t, "MAITRED_CHECK_ENABLED=false")
	port := d.Page("")[strings.LastIndex(d.Page(""), ":"):]
	b := startBrowser(t, headlessShell, "host-resolver-rules", "MAP plain.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1")
	const joinAnyway = "You can join without"

	t.Run("insecure origin", func(t *testing.T) {
		p := b.open("plain", "http://plain.test"+port+"/r/tea")
		p.shows(".notice", "only to pages opened with https://", "Open this page with https://", joinAnyway)
		p.screenshot("failure-insecure")
		p.close()
	})

	for _, c := range []struct{ name, error, happened, action string }{
		{"in use", `"", "NotReadableError"`, "another program may be using it", "Close that program"},
		{"denied by the system", `"Permission denied by system", "NotAllowedError"`, "operating system blocks", "privacy settings"},
		{"no device", `"", "NotFoundError"`, "No camera and no microphone found", "Plug one in"},
	} {
		t.Run(c.name, func(t *testing.T) {
			// What the browser cannot be made to do with its fake devices.
			p := b.open("stubbed", "about:blank")
			p.onEveryPage(`navigator.mediaDevices && (navigator.mediaDevices.getUserMedia = async () => { throw new DOMException(` + c.error + `); })`)
			p.do("open", chromedp.Navigate(d.Page("/r/tea")))
			p.shows(".notice", c.happened, c.action, joinAnyway)
			p.close()
		})
	}
}

// onEveryPage runs a script before the scripts of each page that this tab opens from now on.
func (p *tab) onEveryPage(script string) {
	p.t.Helper()
	devtools(p, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: script})
}

// front is what stands before the server: it leads to another one after a restart, and may let nothing through.
type front struct {
	target  atomic.Pointer[url.URL]
	blocked atomic.Bool // no WebSocket
	down    atomic.Bool // nothing new at all
	http    *httptest.Server
}

func startFront(t *testing.T, d *harness.Daemon) *front {
	t.Helper()
	f := &front{}
	f.lead(t, d)
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(f.target.Load())
			r.Out.Host = r.In.Host
			if f.blocked.Load() {
				r.Out.Header.Del("Upgrade")
				r.Out.Header.Del("Connection")
			}
		},
		// While there is none.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	f.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.down.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(f.http.Close)
	return f
}

func (f *front) lead(t *testing.T, d *harness.Daemon) {
	t.Helper()
	target, err := url.Parse(d.Page(""))
	if err != nil {
		t.Fatal(err)
	}
	f.target.Store(target)
}

// TestFailureServer takes the server from somebody in a call in every way that can be told apart: the words are the right ones, and the page
// comes back without a click.
func TestFailureServer(t *testing.T) {
	t.Parallel() // it waits more than it works
	d := harness.Start(t, "MAITRED_CHECK_ENABLED=false", "MAITRED_DRAIN_TIMEOUT=2s")
	f := startFront(t, d)
	ann := startBrowser(t, headlessShell).personAt(f.http.URL, "tea", "Ann", false)
	ann.phase("call")
	value[bool](ann, `(() => {
		window.joined = 0;
		window.maitred.room.on("joined", () => joined++);
		window.click = 0;
		addEventListener("click", () => click++, true);
		return true;
	})()`)
	back := func(t *testing.T, joins int) {
		t.Helper()
		ann.waitFor(20*time.Second, `joined >= `+strconv.Itoa(joins)+` && maitred.room.state === "joined" && !document.querySelector(".banner:not(.sound)").checkVisibility()`)
	}

	t.Run("offline", func(t *testing.T) {
		f.down.Store(true)
		ann.offline(true)
		ann.shows(".banner", "This device is offline", "Connect it to a network", "comes back by itself")
		ann.screenshot("failure-offline")
		f.down.Store(false)
		ann.offline(false)
		back(t, 1)
	})

	t.Run("WebSocket blocked", func(t *testing.T) {
		f.blocked.Store(true)
		value[bool](ann, `(maitred.room.reconnect(), true)`)
		ann.shows(".banner", "blocks WebSockets", "Still trying", "Try another network")
		f.blocked.Store(false)
		back(t, 2)
	})

	t.Run("sleep", func(t *testing.T) {
		// As a computer that was shut for a minute: the timers come late, by the clock.
		value[bool](ann, `(() => {
			const now = Date.now;
			Date.now = () => now() + 60_000;
			return true;
		})()`)
		back(t, 3)
	})

	t.Run("restart", func(t *testing.T) {
		d.Terminate()
		ann.shows(".banner", "about to restart", "comes back by itself")
		ann.shows(".banner", "The server is restarting", "Wait a moment")
		f.lead(t, harness.Start(t, "MAITRED_CHECK_ENABLED=false"))
		back(t, 4)
	})
	if n := value[int](ann, `click`); n != 0 {
		t.Errorf("there were %d clicks", n)
	}
}

// offline has the page believe that it has no network, or one again. With loopback alone browsers believe to be offline from the start, and their
// DevTools cannot talk them out of it; TestNetwork pulls real cables.
func (p *tab) offline(offline bool) {
	p.t.Helper()
	value[bool](p, fmt.Sprintf(`(Object.defineProperty(navigator, "onLine", { value: %t, configurable: true }), dispatchEvent(new Event(%q)))`,
		!offline, map[bool]string{true: "offline", false: "online"}[offline]))
}

// TestFailureRelay has a relay that gives out one allocation, and two people who may use nothing else: whoever comes second is told
// that it is the quota, the other that nothing comes through, and both that the page goes on trying.
func TestFailureRelay(t *testing.T) {
	t.Parallel() // it waits more than it works
	d := harness.Start(t, "MAITRED_CHECK_ENABLED=false", "MAITRED_TURN_TCP=off", "MAITRED_TURN_QUOTA_PER_IP=1")
	b := startBrowser(t, headlessShell)
	ann := b.person(d, "tea", "Ann", true)
	ann.phase("call")
	bob := b.person(d, "tea", "Bob", true)
	bob.phase("call")
	var refused *tab
	harness.Within(t, 30*time.Second, "one of them is told of the quota", func() (bool, any) {
		for _, p := range []*tab{ann, bob} {
			if told, err := evaluate[bool](p, `document.querySelector(".tile:not(.self) .tile-cover")?.innerText.includes("quota") ?? false`); err == nil && told {
				refused = p
			}
		}
		return refused != nil, nil
	})
	other, name := ann, "Ann"
	if refused == ann {
		other, name = bob, "Bob"
	}
	refused.shows(".tile-cover", "No connection to "+name, "quota is used up (486)", "Leave other calls", "keeps trying by itself")
	refused.screenshot("failure-quota")
	other.shows(".tile-cover", "not even by way of the relay", "Try another network", "keeps trying by itself")
	if link := value[string](refused, `document.querySelector(".tile-cover a").getAttribute("href") + document.querySelector(".tile-cover a").target`); link != "/check_blank" {
		t.Errorf("the tile leads to %q", link)
	}
}
