package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/maitred/maitred/test/harness"
)

// pageMemory is what a page may take while a file goes through it, in bytes, whatever its size.
const pageMemory = 100e6

// TestFiles sends a file that is larger than what a page may take from one page to another, cuts the connection in the middle and saves what
// has arrived; then what is declined, cancelled and dropped. MAITRED_FILE_MB is the size in MB, 150 by default.
func TestFiles(t *testing.T) {
	size := int64(1.5 * pageMemory)
	if megabytes, err := strconv.ParseFloat(os.Getenv("MAITRED_FILE_MB"), 64); err == nil {
		size = int64(megabytes * 1e6)
	}
	d := harness.Start(t)
	b := startBrowser(t, headlessShell)
	downloads := b.downloads()
	ann, bob := b.person(d, "tea", "Ann", false), b.person(d, "tea", "Bob", false)
	for _, p := range []*tab{ann, bob} {
		p.phase("call")
		p.sees(1)
		p.canChat()
		// Pictures only take the time of the processors.
		p.click("#camera")
	}
	directory := t.TempDir()
	large, small := filepath.Join(directory, "large.bin"), filepath.Join(directory, "note.txt")
	sum := writeRandom(t, large, size)
	if err := os.WriteFile(small, []byte("one line\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	arrivesInPieces(t, b, ann, bob, large, size)
	bob.savesFile("large.bin")
	downloads.holds(t, "large.bin", size, sum)
	ann.sendsFiles(small)
	ann.file("note.txt", "offered")
	bob.accessible("a file is offered")
	bob.answers("note.txt", "decline")
	ann.file("note.txt", "ended")
	ann.waitFor(5*time.Second, `document.querySelector("`+fileRow("note.txt")+`").textContent.includes("Bob declined it")`)
	pausedAndCancelled(ann, bob, large)
	ann.drops("dropped.txt", "dropped onto Bob")
	bob.answers("dropped.txt", "accept")
	bob.file("dropped.txt", "done")
	bob.accessible("files")
	bob.savesFile("dropped.txt")
	downloads.holds(t, "dropped.txt", 16, sha256.Sum256([]byte("dropped onto Bob")))
	bob.keeps(1)
	leftWhileReceiving(ann, bob)
}

// arrivesInPieces sends the large file while its connection is replaced and its channel closed.
func arrivesInPieces(t *testing.T, b *browser, ann, bob *tab, large string, size int64) {
	t.Helper()
	ann.sendsFiles(large)
	ann.file("large.bin", "offered")
	bob.screenshot("files-offer")
	started := time.Now()
	bob.answers("large.bin", "accept")
	watch := b.watchMemory(ann, bob)
	bob.fileMoves("large.bin", 0.3)
	ann.renews()
	bob.fileMoves("large.bin", 0.6)
	bob.screenshot("files-running")
	ann.closesChannel()
	for _, p := range []*tab{ann, bob} {
		p.fileWithin("large.bin", "done", 30*time.Second+time.Duration(size/1e6)*time.Second)
	}
	t.Logf("%d MB with two interruptions in %.1f s; %s", size/1e6, time.Since(started).Seconds(), watch())
	bob.screenshot("files-done")
}

// pausedAndCancelled sends the large file again: Bob pauses it, and Ann gives it up.
func pausedAndCancelled(ann, bob *tab, large string) {
	ann.removesFile("large.bin")
	ann.sendsFiles(large)
	bob.removesFile("large.bin")
	bob.answers("large.bin", "accept")
	bob.fileMoves("large.bin", 0.05)
	bob.click(fileRow("large.bin") + " [data-action=pause]")
	ann.waitFor(10*time.Second, `document.querySelector("`+fileRow("large.bin")+` .file-words").textContent.startsWith("Paused by Bob")`)
	bob.click(fileRow("large.bin") + " [data-action=resume]")
	bob.fileMoves("large.bin", 0.15)
	ann.click(fileRow("large.bin") + " [data-action=cancel]")
	bob.file("large.bin", "ended")
	bob.keeps(0)
}

// leftWhileReceiving has Bob leave with a file half there, after a question, come back, and be offered it anew.
func leftWhileReceiving(ann, bob *tab) {
	bob.removesFile("large.bin")
	ann.click(fileRow("large.bin") + " [data-action=again]")
	bob.answers("large.bin", "accept")
	bob.fileMoves("large.bin", 0.05)
	// It must not be complete before he has left.
	bob.click(fileRow("large.bin") + " [data-action=pause]")
	bob.click("#hangup")
	bob.accessible("files would be lost")
	bob.click("#leave-stay")
	bob.waitFor(5*time.Second, `!document.querySelector("#leave-dialog")`)
	bob.file("large.bin", "waiting")
	bob.click("#hangup")
	bob.click("#leave-confirm")
	bob.phase("left")
	bob.keeps(0)
	ann.file("large.bin", "ended")
	bob.click(".end-buttons .primary")
	bob.phase("call")
	ann.sees(1)
	ann.click(fileRow("large.bin") + " [data-action=again]")
	bob.answers("large.bin", "decline")
	ann.file("large.bin", "ended")
}

// keeps waits until the page has so many files in its private file system.
func (p *tab) keeps(files int) {
	p.t.Helper()
	p.waitFor(10*time.Second, fmt.Sprintf(`(async () => {
		const count = async (directory) => {
			let n = 0;
			for await (const entry of directory.values()) n += entry.kind === "file" ? 1 : await count(entry);
			return n;
		};
		return await count(await navigator.storage.getDirectory()) === %d;
	})()`, files))
}

// writeRandom makes a file that no two pieces of are the same, and gives its SHA-256.
func writeRandom(t *testing.T, path string, size int64) (sum [sha256.Size]byte) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.New()
	_, err = io.CopyN(io.MultiWriter(f, hash), rand.NewChaCha8([32]byte{6}), size)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		t.Fatal(err)
	}
	hash.Sum(sum[:0])
	return sum
}

// downloads is where the browser saves files.
type downloads string

func (b *browser) downloads() downloads {
	b.t.Helper()
	directory := b.t.TempDir()
	_, err := chromedp.CallBrowser(b.ctx, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{
		Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow, DownloadPath: directory,
	})
	if err != nil {
		b.t.Fatalf("allow downloads: %v", err)
	}
	return downloads(directory)
}

// holds waits until a file has been saved, and looks at every byte of it.
func (d downloads) holds(t *testing.T, name string, size int64, sum [sha256.Size]byte) {
	t.Helper()
	path := filepath.Join(string(d), name)
	harness.Within(t, 60*time.Second, name+" is saved", func() (bool, any) {
		info, err := os.Stat(path)
		return err == nil && info.Size() == size, err
	})
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		t.Fatal(err)
	}
	if got := [sha256.Size]byte(hash.Sum(nil)); got != sum {
		t.Errorf("%s has the SHA-256 %x, want %x", name, got, sum)
	}
}

func fileRow(name string) string { return `.file[data-file='` + name + `']` }

// sendsFiles chooses files for everybody.
func (p *tab) sendsFiles(paths ...string) {
	p.t.Helper()
	p.do("choose files", chromedp.SetUploadFiles(chromedp.CSS("#files-input"), paths))
}

// answers accepts or declines what is offered.
func (p *tab) answers(name, action string) {
	p.t.Helper()
	p.waitFor(10*time.Second, `!!document.querySelector("#file-offers `+fileRow(name)+`")`)
	p.click("#file-offers " + fileRow(name) + " [data-action=" + action + "]")
}

func (p *tab) file(name, status string) {
	p.t.Helper()
	p.fileWithin(name, status, 20*time.Second)
}

// fileWithin waits for the status of a transfer in the list.
func (p *tab) fileWithin(name, status string, limit time.Duration) {
	p.t.Helper()
	row := `document.querySelector("#files-list ` + fileRow(name) + `")`
	harness.Within(p.t, limit, p.name+": "+name+" is "+status, func() (bool, any) {
		text, err := evaluate[string](p, `(`+row+`?.dataset.status ?? "") + " " + (`+row+`?.innerText ?? "")`)
		return strings.HasPrefix(text, status+" "), fmt.Sprintf("%q %v", text, err)
	})
}

// fileMoves waits until a part of a file is there.
func (p *tab) fileMoves(name string, part float64) {
	p.t.Helper()
	progress := `document.querySelector("` + fileRow(name) + ` progress")?.value`
	harness.Within(p.t, 120*time.Second, fmt.Sprintf("%s: %.0f %% of %s", p.name, 100*part, name), func() (bool, any) {
		done, err := evaluate[float64](p, progress+` ?? 0`)
		return done >= part, fmt.Sprintf("%v %v", done, err)
	})
}

// renews replaces the connection to the other.
func (p *tab) renews() {
	p.t.Helper()
	value[bool](p, `([...maitred.room.peers.values()][0].renew(), true)`)
}

// closesChannel closes the data channel of the files, and nothing else.
func (p *tab) closesChannel() {
	p.t.Helper()
	value[bool](p, `([...maitred.room.peers.values()][0].channel("files").raw.close(), true)`)
}

func (p *tab) savesFile(name string) {
	p.t.Helper()
	p.click("#files-list " + fileRow(name) + " [data-action=save]")
}

func (p *tab) removesFile(name string) {
	p.t.Helper()
	p.click("#files-list " + fileRow(name) + " [data-action=remove]")
}

// drops has a file dragged over the call and let go over the other's tile.
func (p *tab) drops(name, content string) {
	p.t.Helper()
	value[bool](p, fmt.Sprintf(`(() => {
		const tile = document.querySelector(".tile[data-member]:not(.self)"), dataTransfer = new DataTransfer();
		dataTransfer.items.add(new File([%q], %q));
		const note = document.querySelector("#file-drop");
		const drag = (type) => tile.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer }));
		drag("dragover");
		if (note.hidden || !note.textContent.includes("Bob")) throw new Error("the page does not say where it goes: " + note.textContent);
		if (drag("drop")) throw new Error("the browser opens the file in place of the call");
		if (!note.hidden) throw new Error("the page still shows where it goes");
		return true;
	})()`, content, name))
}

// watchMemory looks at what pages and browser take until its result is called, which says how much that was at most.
func (b *browser) watchMemory(pages ...*tab) (stop func() string) {
	done, result := make(chan struct{}), make(chan string)
	start := b.residentBytes()
	go func() {
		var page, all float64
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				result <- fmt.Sprintf("a page took at most %.1f MB, the browser %.0f MB (%.0f MB before)", page/1e6, all/1e6, start/1e6)
				return
			case <-tick.C:
				for _, p := range pages {
					held, err := p.heldBytes()
					if err != nil || held > pageMemory {
						b.t.Errorf("%s takes %.1f MB: %v", p.name, held/1e6, err)
					}
					page = max(page, held)
				}
				all = max(all, b.residentBytes())
			}
		}
	}()
	return func() string {
		close(done)
		return <-result
	}
}

// heldBytes are the objects, the buffers and the document of a page.
func (p *tab) heldBytes() (float64, error) {
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	use, err := chromedp.Call(ctx, runtime.GetHeapUsage, cdp.Empty{})
	return use.UsedSize + use.BackingStorageSize + use.EmbedderHeapUsedSize, err
}

// residentBytes is the memory of all the browser's processes; what they share counts for each.
func (b *browser) residentBytes() (sum float64) {
	family := map[string]bool{strconv.Itoa(chromedp.FromContext(b.ctx).Browser.Process().Pid): true}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	// Children have higher numbers than their parents, nearly always: twice is enough for the rest.
	for range 2 {
		for _, path := range stats {
			if content, err := os.ReadFile(path); err == nil {
				fields := strings.Fields(string(content[strings.LastIndexByte(string(content), ')')+1:]))
				if family[fields[1]] {
					family[filepath.Base(filepath.Dir(path))] = true
				}
			}
		}
	}
	for pid := range family {
		content, err := os.ReadFile("/proc/" + pid + "/statm")
		if err != nil {
			continue // It has ended.
		}
		pages, _ := strconv.ParseFloat(strings.Fields(string(content))[1], 64)
		sum += pages * float64(os.Getpagesize())
	}
	return sum
}

// TestFilesAcrossBrowsers sends a file from Chromium to Firefox and another one back, through the relay, with a replaced connection on the way.
func TestFilesAcrossBrowsers(t *testing.T) {
	const megabytes = 16
	d := harness.Start(t)
	ann := startBrowser(t, headlessShell).person(d, "tea", "Ann", true)
	ann.phase("call")
	fay := startFirefox(t).person(d, "tea", "Fay")
	for _, p := range []*tab{ann, fay} {
		p.phase("call")
		p.sees(1)
		p.canChat()
	}
	for _, way := range []struct {
		from, to *tab
		name     string
	}{{ann, fay, "there.bin"}, {fay, ann, "back.bin"}} {
		sum := way.from.sendsMade(way.name, megabytes<<20)
		way.to.answers(way.name, "accept")
		way.to.fileMoves(way.name, 0.2)
		ann.renews()
		for _, p := range []*tab{way.from, way.to} {
			p.fileWithin(way.name, "done", 2*time.Minute)
		}
		if got := way.to.sumOfKept(); got != sum {
			t.Errorf("%s has the SHA-256 %s at %s, want %s", way.name, got, way.to.name, sum)
		}
	}
}

// sumOfFile is a function of the page: the SHA-256 of a small file.
const sumOfFile = `async (file) => {
	const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
	return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}`

// sendsMade sends a file of chance that is made in the page, and gives its SHA-256.
func (p *tab) sendsMade(name string, size int) string {
	p.t.Helper()
	return value[string](p, fmt.Sprintf(`(async () => {
		const parts = [], transfer = new DataTransfer(), input = document.querySelector("#files-input");
		for (let left = %d; left > 0; left -= 65536) parts.push(crypto.getRandomValues(new Uint8Array(Math.min(65536, left))));
		const file = new File(parts, %q);
		transfer.items.add(file);
		input.files = transfer.files;
		input.dispatchEvent(new Event("change"));
		return (%s)(file);
	})()`, size, name, sumOfFile))
}

// sumOfKept is the SHA-256 of the one file in the page's private file system.
func (p *tab) sumOfKept() string {
	p.t.Helper()
	return value[string](p, `(async () => {
		const files = [];
		const look = async (directory) => {
			for await (const entry of directory.values()) entry.kind === "file" ? files.push(await entry.getFile()) : await look(entry);
		};
		await look(await navigator.storage.getDirectory());
		return files.length === 1 ? (`+sumOfFile+`)(files[0]) : files.length + " files";
	})()`)
}
