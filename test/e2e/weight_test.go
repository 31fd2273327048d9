package e2e

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/maitred/maitred/test/harness"
)

// pageWeightLimit is how many bytes, headers included, may come over the network until one can join.
const pageWeightLimit = 150_000

// joinable is an expression of the page: one can join.
const joinable = `document.querySelector("#join:enabled")?.checkVisibility() ?? false`

// noteReady is a script of the page: readyAt becomes the moment, in milliseconds from the start of the navigation, from which one can join.
const noteReady = `setInterval(() => { window.readyAt ??= (` + joinable + `) ? performance.now() : undefined; }, 2);`

// traffic is what a page has asked the network for.
type traffic struct {
	mu       sync.Mutex
	requests []*request
	pending  map[network.RequestID]*request
}

type request struct {
	url     string
	begin   float64 // milliseconds since 1970
	bytes   float64 // with headers, as they were on the wire
	problem string  // why nothing has come, "" otherwise
}

// openWatched loads a page with an empty cache and sees everything that it asks for. The page has noteReady.
func (b *browser) openWatched(name, url string) (*tab, *traffic) {
	b.t.Helper()
	p := b.open(name, "about:blank")
	seen := &traffic{pending: map[network.RequestID]*request{}}
	if err := chromedp.Listen(p.ctx, seen.add); err != nil {
		b.t.Fatal(err)
	}
	p.emptyCache()
	p.script(noteReady)
	p.do("open "+url, chromedp.Navigate(url))
	return p, seen
}

// emptyCache has the page load everything from the network.
func (p *tab) emptyCache() {
	p.t.Helper()
	devtools(p, network.Enable, network.EnableParams{})
	devtools(p, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true})
}

// script has every document that the page loads from now on begin with this source.
func (p *tab) script(source string) {
	p.t.Helper()
	devtools(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: source})
}

func (s *traffic) add(event any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch it := event.(type) {
	case *network.EventRequestWillBeSent:
		sent := &request{url: it.Request.URL, begin: float64(it.WallTime) * 1000}
		s.requests = append(s.requests, sent)
		s.pending[it.RequestID] = sent
	case *network.EventWebSocketCreated:
		s.requests = append(s.requests, &request{url: it.URL})
	case *network.EventLoadingFinished:
		if sent := s.pending[it.RequestID]; sent != nil {
			sent.bytes = it.EncodedDataLength
		}
		delete(s.pending, it.RequestID)
	case *network.EventLoadingFailed:
		if sent := s.pending[it.RequestID]; sent != nil {
			sent.problem = it.ErrorText
		}
		delete(s.pending, it.RequestID)
	}
}

// finished waits until nothing is under way, and returns all requests.
func (s *traffic) finished(t *testing.T) []*request {
	t.Helper()
	harness.Within(t, 10*time.Second, "the page has all that it asks for", func() (bool, any) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.requests) > 0 && len(s.pending) == 0, fmt.Sprint(s.pending)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// TestWeight: the page is light until one can join, and asks nobody but its own server, then or later.
func TestWeight(t *testing.T) {
	d := harness.Start(t)
	b := startBrowser(t, headlessShell)
	for _, path := range []string{"/", "/r/tea"} {
		t.Run(path, func(t *testing.T) {
			p, seen := b.openWatched("lobby", d.Page(path))
			p.waitFor(10*time.Second, `window.readyAt > 0`)
			ready := value[float64](p, `performance.timeOrigin + readyAt`)
			total, lines := 0.0, []string(nil)
			for _, it := range seen.finished(t) {
				if it.problem != "" {
					t.Errorf("%s: %s", it.url, it.problem)
				}
				address, err := url.Parse(it.url)
				if err != nil || address.Host != "" && address.Host != d.Listening("http") {
					t.Errorf("the page asks %s", it.url)
				}
				if it.begin < ready {
					total += it.bytes
					lines = append(lines, fmt.Sprintf("%7.0f %s", it.bytes, strings.TrimPrefix(it.url, d.Page(""))))
				}
			}
			slices.Sort(lines)
			slices.Reverse(lines)
			t.Logf("%.0f bytes in %d requests:\n%s", total, len(lines), strings.Join(lines, "\n"))
			if total == 0 || total > pageWeightLimit {
				t.Errorf("%.0f bytes until one can join: want %d at most", total, pageWeightLimit)
			}
		})
	}
}
