package e2e

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/maitred/maitred/test/harness"
)

// The program itself, not Debian's shell script around it.
const firefoxESR = "/usr/lib/firefox-esr/firefox-esr"

// firefoxPrefs let a call happen without hardware, hands and the world: fake devices that need no permission, WebRTC on loopback, sound
// without a click. The rest are services that would look for their servers.
const firefoxPrefs = `
user_pref("media.navigator.streams.fake", true);
user_pref("media.navigator.permission.disabled", true);
user_pref("media.peerconnection.ice.loopback", true);
user_pref("media.peerconnection.ice.obfuscate_host_addresses", false);
user_pref("media.autoplay.default", 0);
user_pref("media.autoplay.blocking_policy", 0);
user_pref("network.manage-offline-status", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("browser.safebrowsing.phishing.enabled", false);
user_pref("browser.safebrowsing.downloads.enabled", false);
user_pref("toolkit.telemetry.enabled", false);
user_pref("toolkit.telemetry.server", "");
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("media.gmp-manager.url", "");
user_pref("media.gmp-provider.enabled", false);
user_pref("app.normandy.enabled", false);
user_pref("dom.push.connection.enabled", false);
user_pref("app.update.auto", false);
user_pref("extensions.update.enabled", false);
user_pref("services.settings.server", "data:,");
user_pref("intl.accept_languages", "en");
`

// firefox is one Firefox process with a fresh profile, driven over WebDriver BiDi.
type firefox struct {
	t       testing.TB
	session *bidi
	command *exec.Cmd
	log     *harness.Transcript // what the process wrote
	exited  chan struct{}       // closed when the process has been waited for

	mu       sync.Mutex
	consoles map[string]*harness.Transcript // by browsing context
}

// startFirefox starts Firefox; the end of the test ends it and its children.
func startFirefox(t testing.TB) *firefox {
	t.Helper()
	home := t.TempDir()
	profile := filepath.Join(home, "profile")
	if err := os.Mkdir(profile, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(firefoxPrefs), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &firefox{t: t, log: &harness.Transcript{}, exited: make(chan struct{}), consoles: map[string]*harness.Transcript{}}
	f.command = exec.Command(firefoxESR, "--headless", "--no-remote", "--profile", profile,
		"--remote-debugging-port=0", "about:blank")
	f.command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "MOZ_CRASHREPORTER_DISABLE=1", "LANG=C.UTF-8"}
	// A group of its own, so that its children can be told from everybody else's.
	f.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	f.command.Stdout, f.command.Stderr = writer, writer
	started, address := make(chan error), make(chan string, 1)
	go f.run(reader, started, address)
	err = <-started
	writer.Close()
	if err != nil {
		t.Fatalf("start Firefox: %v", err)
	}
	t.Cleanup(f.finish)
	f.connect(address)
	return f
}

// run keeps the thread on which Firefox is started, with which it would be killed, until Firefox has ended.
func (f *firefox) run(output io.ReadCloser, started chan<- error, address chan<- string) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(f.exited)
	defer output.Close()
	err := f.command.Start()
	started <- err
	if err != nil {
		return
	}
	listening := regexp.MustCompile(`WebDriver BiDi listening on (ws://\S+)`)
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		f.log.Add(lines.Text())
		if match := listening.FindStringSubmatch(lines.Text()); match != nil {
			address <- match[1]
		}
	}
	if err := f.command.Wait(); err != nil {
		f.log.Add(err.Error())
	}
}

func (f *firefox) connect(address <-chan string) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	select {
	case url := <-address:
		session, err := dialBiDi(ctx, url, f.event)
		if err != nil {
			f.t.Fatalf("Firefox: %v", err)
		}
		f.session = session
	case <-f.exited:
		f.t.Fatalf("Firefox ended:\n%s", f.log)
	case <-ctx.Done():
		f.t.Fatalf("Firefox does not listen:\n%s", f.log)
	}
	if err := f.session.call(ctx, "session.subscribe", map[string]any{"events": []string{"log.entryAdded"}}, nil); err != nil {
		f.t.Fatalf("Firefox: %v", err)
	}
}

// event collects what the pages' consoles show.
func (f *firefox) event(method string, params json.RawMessage) {
	var entry struct {
		Level  string
		Text   string
		Source struct{ Context string }
	}
	if method != "log.entryAdded" || json.Unmarshal(params, &entry) != nil {
		return
	}
	f.console(entry.Source.Context).Add(entry.Level + ": " + entry.Text)
}

// console of a browsing context.
func (f *firefox) console(browsingContext string) *harness.Transcript {
	f.mu.Lock()
	defer f.mu.Unlock()
	console := f.consoles[browsingContext]
	if console == nil {
		console = &harness.Transcript{}
		f.consoles[browsingContext] = console
	}
	return console
}

// finish asks Firefox to close, kills what is left of it after a while, and waits until nothing is.
func (f *firefox) finish() {
	if f.session != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		// The connection may end before the answer to this.
		if err := f.session.call(ctx, "browser.close", map[string]any{}, nil); err != nil {
			f.log.Add(err.Error())
		}
	}
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	select {
	case <-f.exited:
	case <-limit.C:
		f.t.Errorf("Firefox did not close within 10 s")
	}
	group := f.command.Process.Pid
	_ = syscall.Kill(-group, syscall.SIGKILL) // ESRCH: it is gone with all its children
	<-f.exited
	if f.session != nil {
		f.session.close()
	}
	if f.t.Failed() {
		f.t.Logf("Firefox said:\n%s", f.log)
	}
	harness.Within(f.t, 5*time.Second, "Firefox's children have ended", func() (bool, any) {
		err := syscall.Kill(-group, 0)
		return errors.Is(err, syscall.ESRCH), err
	})
}

// firefoxPage makes a tab work in Firefox what it otherwise does by chromedp.
type firefoxPage struct {
	firefox *firefox
	context string
}

// open gives a new tab with url, called name in failures.
func (f *firefox) open(name, url string) *tab {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var created struct{ Context string }
	page := firefoxPage{firefox: f}
	// A window each: pages in the background are slowed down.
	if err := f.session.call(ctx, "browsingContext.create", map[string]any{"type": "window"}, &created); err != nil {
		cancel()
		f.t.Fatalf("%s: open a window: %v", name, err)
	}
	page.context = created.Context
	p := &tab{t: f.t, name: name, ctx: ctx, close: func() { page.close(ctx); cancel() }, console: f.console(page.context), firefox: &page}
	f.t.Cleanup(func() {
		if f.t.Failed() && ctx.Err() == nil {
			p.dump()
		}
		p.close()
	})
	limited, done := context.WithTimeout(ctx, 20*time.Second)
	defer done()
	if err := f.session.call(limited, "browsingContext.navigate", map[string]any{"context": page.context, "url": url, "wait": "complete"}, nil); err != nil {
		f.t.Fatalf("%s: open %s: %v", name, url, err)
	}
	return p
}

// person is browser.person in Firefox.
func (f *firefox) person(d *harness.Daemon, room, name string) *tab {
	f.t.Helper()
	p := f.open(name, d.Page("/r/"+room+"?relay=1"))
	p.phase("lobby")
	p.write("#name", name)
	p.click("#join")
	return p
}

func (p *firefoxPage) close(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	limited, done := context.WithTimeout(ctx, 5*time.Second)
	defer done()
	if err := p.firefox.session.call(limited, "browsingContext.close", map[string]any{"context": p.context}, nil); err != nil {
		p.firefox.log.Add(err.Error())
	}
}

func (p *firefoxPage) evaluate(ctx context.Context, expression string) (json.RawMessage, error) {
	return p.firefox.session.evaluate(ctx, p.context, expression)
}

func (p *firefoxPage) click(ctx context.Context, selector string) error {
	return p.firefox.session.click(ctx, p.context, selector)
}

func (p *firefoxPage) typeText(ctx context.Context, text string) error {
	return p.firefox.session.typeText(ctx, p.context, text)
}

// screenshot returns a picture of the window as PNG.
func (p *firefoxPage) screenshot(ctx context.Context) ([]byte, error) {
	var answer struct{ Data string }
	if err := p.firefox.session.call(ctx, "browsingContext.captureScreenshot", map[string]any{"context": p.context}, &answer); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(answer.Data)
}

// TestFirefoxLobby opens both ways into a call in Firefox: the page has nothing to complain of.
func TestFirefoxLobby(t *testing.T) {
	d := harness.Start(t)
	f := startFirefox(t)
	for name, path := range map[string]string{"start page": "/", "invitation": "/r/tea"} {
		p := f.open(name, d.Page(path))
		p.phase("lobby")
		p.waitFor(15*time.Second, `document.querySelector("video").videoWidth > 0 && document.querySelector("video").currentTime > 0`)
		p.screenshot("firefox-" + strings.ReplaceAll(name, " ", "-"))
		for _, line := range p.console.Lines() {
			if strings.HasPrefix(line, "error: ") || strings.HasPrefix(line, "warn: ") {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}

// TestFirefoxRelay is a call between two windows of Firefox through the relay, over UDP and over TCP.
func TestFirefoxRelay(t *testing.T) {
	f := startFirefox(t)
	for transport, without := range map[string]string{"udp": "MAITRED_TURN_TCP=off", "tcp": "MAITRED_TURN_UDP=off"} {
		t.Run(transport, func(t *testing.T) {
			d := harness.Start(t, without)
			people := []*tab{f.person(d, "tea", "Ann"), f.person(d, "tea", "Bob")}
			for _, p := range people {
				p.phase("call")
				p.sees(1)
				p.talks(1, relayed(transport))
				p.badge("relay-" + transport)
			}
			people[0].screenshot("firefox-call-" + transport)
			for _, p := range people {
				p.click("#hangup")
				p.phase("left")
				p.close()
			}
			d.WaitForNoAllocations()
		})
	}
}

// TestFirefoxWithChromium is a call between the two browsers: sound, pictures and words both ways, whoever came first, the same safety code, and numbers.
func TestFirefoxWithChromium(t *testing.T) {
	d := harness.Start(t)
	f, b := startFirefox(t), startBrowser(t, headlessShell)
	for _, room := range []string{"fox-first", "chrome-first"} {
		t.Run(room, func(t *testing.T) {
			var fox, chrome *tab
			if room == "fox-first" {
				fox = f.person(d, room, "Fox")
				fox.phase("call")
				chrome = b.person(d, room, "Chrome", true)
			} else {
				chrome = b.person(d, room, "Chrome", true)
				chrome.phase("call")
				fox = f.person(d, room, "Fox")
			}
			for _, p := range []*tab{fox, chrome} {
				p.phase("call")
				p.sees(1)
				p.talks(1, relayed())
				p.canChat()
			}
			fox.say("what does the chrome say?")
			chrome.hears("what does the chrome say?")
			chrome.say("what does the fox say?")
			fox.hears("what does the fox say?")
			if room == "chrome-first" {
				sameSafetyCode(fox, chrome)
			}
			for _, p := range []*tab{fox, chrome} {
				p.click("#hangup")
				p.phase("left")
				p.close()
			}
		})
	}
}
