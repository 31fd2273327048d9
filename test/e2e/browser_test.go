package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/maitred/maitred/test/harness"
)

// Debian's programs themselves, not the shell script around them.
const (
	headlessShell = "/usr/lib/chromium/chromium-headless-shell"
	fullChromium  = "/usr/lib/chromium/chromium"
)

// browser is one browser process with a fresh profile.
type browser struct {
	t   testing.TB
	ctx context.Context
	log *harness.Transcript
}

// startBrowser takes flags beyond the ones every test needs, as name, value.
func startBrowser(t testing.TB, executable string, flags ...string) *browser {
	t.Helper()
	return startBrowserWith(t, executable, nil, flags...)
}

// startBrowserWith also takes options of chromedp's, over those of every test.
func startBrowserWith(t testing.TB, executable string, more []chromedp.ExecAllocatorOption, flags ...string) *browser {
	t.Helper()
	home := t.TempDir()
	options := append(chromedp.DefaultExecAllocatorOptions[:len(chromedp.DefaultExecAllocatorOptions):len(chromedp.DefaultExecAllocatorOptions)],
		chromedp.ExecPath(executable),
		chromedp.UserDataDir(filepath.Join(home, "profile")),
		chromedp.Env("HOME="+home),
		chromedp.WindowSize(1280, 800),
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("use-fake-device-for-media-stream", "device-count=1,fps=20"),
		chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		// Only loopback exists here; without this a relay-only gathering never ends.
		chromedp.Flag("allow-loopback-in-peer-connection", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE localhost., EXCLUDE 127.0.0.1"),
		chromedp.Flag("lang", "en"),
	)
	for i := 0; i+1 < len(flags); i += 2 {
		options = append(options, chromedp.Flag(flags[i], flags[i+1]))
	}
	options = append(options, more...)
	b := &browser{t: t, log: &harness.Transcript{}}
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	b.ctx = ctx
	t.Cleanup(func() {
		limited, done := context.WithTimeout(ctx, 10*time.Second)
		defer done()
		if err := chromedp.Cancel(limited); err != nil {
			t.Logf("close the browser: %v", err)
		}
		cancel()
		cancelAllocator()
	})
	// The browser lives as long as the context of its first use: no timeout here.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", executable, err)
	}
	b.permit("camera", "microphone")
	return b
}

// permit grants what a person would have been asked for. Beyond the devices it
// decides which network interfaces WebRTC may look at.
func (b *browser) permit(names ...string) {
	b.t.Helper()
	for _, name := range names {
		_, err := chromedp.CallBrowser(b.ctx, cdpbrowser.SetPermission, cdpbrowser.SetPermissionParams{
			Permission: &cdpbrowser.PermissionDescriptor{Name: name},
			Setting:    cdpbrowser.PermissionSettingGranted,
		})
		if err != nil {
			b.t.Fatalf("permit %s: %v", name, err)
		}
	}
}

// tab is one page in the browser.
type tab struct {
	t       testing.TB
	name    string
	ctx     context.Context
	close   context.CancelFunc
	console *harness.Transcript
	// firefox drives the page where it is not chromedp.
	firefox *firefoxPage
}

// open gives a new tab with url, called name in failures.
func (b *browser) open(name, url string) *tab {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	p := &tab{t: b.t, name: name, ctx: ctx, close: cancel, console: &harness.Transcript{}}
	if err := chromedp.Do(ctx); err != nil {
		b.t.Fatalf("%s: open a tab: %v", name, err)
	}
	messages := chromedp.Console(ctx)
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		for message, err := range messages {
			if err != nil {
				return
			}
			p.console.Add(message.String())
		}
	}()
	b.t.Cleanup(func() {
		if b.t.Failed() && ctx.Err() == nil {
			p.dump()
		}
		cancel()
		<-collected
	})
	p.do("open "+url, chromedp.Navigate(url))
	return p
}

func (p *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%s: %s: %v", p.name, what, err)
	}
}

func (p *tab) click(selector string) {
	p.t.Helper()
	if p.firefox == nil {
		p.do("click "+selector, chromedp.Click(chromedp.CSS(selector)))
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	if err := p.firefox.click(ctx, selector); err != nil {
		p.t.Fatalf("%s: click %s: %v", p.name, selector, err)
	}
}

// write replaces what is in a field, by keys.
func (p *tab) write(selector, text string) {
	p.t.Helper()
	// A field that is still sliding into place is missed by the first click.
	harness.Within(p.t, 10*time.Second, p.name+": "+selector+" takes the focus", func() (bool, any) {
		p.click(selector)
		focused, err := evaluate[bool](p, `document.activeElement.matches(`+strconv.Quote(selector)+`) && (document.activeElement.select(), true)`)
		return focused, err
	})
	if p.firefox == nil {
		p.do("write into "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	if err := p.firefox.typeText(ctx, text); err != nil {
		p.t.Fatalf("%s: write into %s: %v", p.name, selector, err)
	}
}

// evaluate returns the value of a JavaScript expression, awaited.
func evaluate[T any](p *tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
	defer cancel()
	if p.firefox == nil {
		return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	}
	var v T
	text, err := p.firefox.evaluate(ctx, expression)
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	return v, err
}

// value is evaluate where failure ends the test.
func value[T any](p *tab, expression string) T {
	p.t.Helper()
	v, err := evaluate[T](p, expression)
	if err != nil {
		p.t.Fatalf("%s: evaluate %s: %v", p.name, expression, err)
	}
	return v
}

// waitFor polls a boolean JavaScript expression.
func (p *tab) waitFor(limit time.Duration, expression string) {
	p.t.Helper()
	harness.Within(p.t, limit, p.name+": "+expression, func() (bool, any) {
		ok, err := evaluate[bool](p, expression)
		return ok, err
	})
}

// screenshot saves what the page looks like when MAITRED_SHOTS names a place.
func (p *tab) screenshot(name string) {
	directory := os.Getenv("MAITRED_SHOTS")
	if directory == "" {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
	defer cancel()
	var image []byte
	var err error
	if p.firefox == nil {
		image, err = chromedp.Run(ctx, chromedp.CaptureScreenshot())
	} else {
		image, err = p.firefox.screenshot(ctx)
	}
	if err == nil {
		err = os.MkdirAll(directory, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(directory, name+".png"), image, 0o644)
	}
	if err != nil {
		p.t.Logf("screenshot %s: %v", name, err)
	}
}

// dump logs all that a failure may need.
func (p *tab) dump() {
	p.screenshot("failed-" + strings.ReplaceAll(p.t.Name(), "/", "-") + "-" + p.name)
	text, _ := evaluate[string](p, `document.documentElement.dataset.phase + "\n" + document.body.innerText`)
	stats, err := evaluate[string](p, `(async () => JSON.stringify(await (`+collectStats+`)(), null, 1))()`)
	if err != nil {
		stats = err.Error()
	}
	p.t.Logf("page %s shows:\n%s\nits connections:\n%s\nits console:\n%s", p.name, text, stats, p.console)
}
