package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/memory"
	"github.com/chromedp/cdproto/runtime"
	"github.com/maitred/maitred/test/harness"
)

// memoryUse is what a page holds on to after garbage has been collected.
type memoryUse struct {
	Heap             float64 // bytes of JavaScript's objects
	Nodes, Listeners int64   // of the document, in it or out of it
}

func (p *tab) memoryUse() memoryUse {
	p.t.Helper()
	// Notes that go by, and what moves, are gone before one looks.
	p.waitFor(15*time.Second, `document.querySelector("#toasts").childElementCount === 0`)
	p.settle()
	// What is freed by one round may have held something else.
	for range 3 {
		devtools(p, heapprofiler.CollectGarbage, cdp.Empty{})
	}
	heap := devtools(p, runtime.GetHeapUsage, cdp.Empty{})
	counters := devtools(p, memory.GetDOMCounters, cdp.Empty{})
	return memoryUse{Heap: heap.UsedSize, Nodes: counters.Nodes, Listeners: counters.JsEventListeners}
}

// watches waits until so many more pictures of others have been decoded.
func (p *tab) watches(frames int) {
	p.t.Helper()
	sum := func() (n int, evidence any) {
		stats, err := p.stats()
		for _, s := range stats {
			n += s.FramesDecoded
		}
		return n, fmt.Sprintf("%+v %v", stats, err)
	}
	before, _ := sum()
	harness.Within(p.t, 30*time.Second, fmt.Sprintf("%s: %d more pictures", p.name, frames), func() (bool, any) {
		n, evidence := sum()
		return n >= before+frames, evidence
	})
}

// TestHeap is a long call in short: what a page holds on to does not grow while two people look at each other, nor with people who come
// and go.
func TestHeap(t *testing.T) {
	d := harness.Start(t)
	b := startBrowser(t, headlessShell)
	link := d.Page("/r/tea?quality=low")
	enter := func(name string) *tab {
		p := b.open(name, link)
		p.phase("lobby")
		p.write("#name", name)
		p.click("#join")
		p.phase("call")
		return p
	}
	ann, bob := enter("Ann"), enter("Bob")
	bob.watches(1)
	ann.staysFlat("watching", func() { ann.watches(30) })
	ann.staysFlat("people who come and go", func() {
		cay := enter("Cay")
		ann.sees(2)
		cay.watches(1)
		cay.click("#hangup")
		cay.phase("left")
		cay.close()
		ann.sees(1)
	})
}

// staysFlat has something happen again and again: from the second time on the page may not hold on to more.
func (p *tab) staysFlat(what string, round func()) {
	p.t.Helper()
	const heapGrowth, nodeGrowth = 150_000, 20 // beyond noise; a tile that stays has more nodes
	var uses []memoryUse
	for range 3 {
		round()
		uses = append(uses, p.memoryUse())
	}
	p.t.Logf("%s: %+v", what, uses)
	middle, end := uses[1], uses[2]
	if end.Heap > middle.Heap+heapGrowth || end.Nodes > middle.Nodes+nodeGrowth || end.Listeners > middle.Listeners+nodeGrowth {
		p.t.Errorf("%s: the page holds on to more and more: %+v", what, uses)
	}
}
