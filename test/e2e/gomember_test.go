package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/maitred/maitred/test/harness"
)

// gopher is docs/examples/gomember as a member of a room.
type gopher struct {
	t   *testing.T
	log harness.Transcript
}

// gomember is the program, MAITRED_GOMEMBER where that is set.
func gomember(t *testing.T) string {
	t.Helper()
	if program := os.Getenv("MAITRED_GOMEMBER"); program != "" {
		return program
	}
	program := filepath.Join(t.TempDir(), "gomember")
	build := exec.Command("go", "-C", filepath.Join("..", "..", "docs", "examples", "gomember"), "build", "-race", "-o", program, ".")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build gomember: %v\n%s", err, output)
	}
	return program
}

// startGopher joins. The end of the test has it leave.
func startGopher(t *testing.T, d *harness.Daemon, room string, arguments ...string) *gopher {
	t.Helper()
	g := &gopher{t: t}
	url := strings.Replace(d.Page("/ws"), "http", "ws", 1)
	command := exec.Command(gomember(t), append([]string{"-url", url, "-room", room}, arguments...)...)
	output, err := command.StderrPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			g.log.Add(lines.Text())
		}
	}()
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM) // it may have ended already
		<-read
		if err := command.Wait(); err != nil || strings.Contains(g.log.String(), "DATA RACE") {
			t.Errorf("gomember: %v", err)
		}
		if t.Failed() {
			t.Logf("gomember said:\n%s", &g.log)
		}
	})
	return g
}

// logs waits for so many lines that have all of words.
func (g *gopher) logs(count int, words ...string) {
	g.t.Helper()
	harness.Within(g.t, 40*time.Second, fmt.Sprintf("gomember logs %d times %q", count, words), func() (bool, any) {
		n := 0
		for _, line := range g.log.Lines() {
			has := true
			for _, word := range words {
				has = has && strings.Contains(line, word)
			}
			if has {
				n++
			}
		}
		return n >= count, n
	})
}

// hearsTone waits until the program's tone has come in for another second.
func (p *tab) hearsTone() {
	p.t.Helper()
	before := -1
	harness.Within(p.t, 40*time.Second, p.name+": the tone comes in", func() (bool, any) {
		stats, err := p.stats()
		for _, s := range stats {
			if before < 0 {
				before = s.TotalSamplesReceived
			}
			if s.TotalSamplesReceived > before+48000 && s.TotalAudioEnergy > 0 && s.Connection == "connected" {
				return true, nil
			}
		}
		return false, fmt.Sprintf("%+v %v", stats, err)
	})
}

// TestGoMember has a call between the page and the Go example, whoever comes first: sound both ways, pictures to the program, text, and in one of
// them an ICE restart and a new connection that the page asks for.
func TestGoMember(t *testing.T) {
	t.Parallel() // it waits more than it works
	for _, first := range []string{"page", "program"} {
		t.Run(first+" first", func(t *testing.T) {
			t.Parallel()
			d := harness.Start(t)
			b := startBrowser(t, headlessShell)
			var ann *tab
			var g *gopher
			if first == "page" {
				ann = b.person(d, "tea", "Ann", true)
				ann.phase("call")
				g = startGopher(t, d, "tea", "-relay")
			} else {
				g = startGopher(t, d, "tea", "-relay")
				g.logs(1, "in the room")
				ann = b.person(d, "tea", "Ann", true)
				ann.phase("call")
			}
			ann.sees(1)
			ann.hearsTone()
			g.logs(1, "receives", "from=Ann", "audio/opus")
			g.logs(1, "receives", "from=Ann", "video/")
			g.logs(1, "status=connected", `path="relay to relay"`)
			ann.say("hello, program")
			ann.hears("You said: hello, program")
			if first == "page" {
				changesConnection(ann, g)
			}
			ann.click("#hangup")
			g.logs(1, "went", "reason=left")
		})
	}
}

// changesConnection restarts ICE, and then has the connection made anew.
func changesConnection(ann *tab, g *gopher) {
	const ufrag = `[...window.maitred.peers().values()][0].remoteDescription.sdp.match(/ice-ufrag:(\S+)/)[1]`
	before := value[string](ann, ufrag)
	value[bool](ann, `(async () => { for (const id of window.maitred.room.peers.keys()) await window.maitred.room.restart(id); return true; })()`)
	ann.waitFor(20*time.Second, ufrag+` !== `+strconv.Quote(before))
	ann.hearsTone()

	value[bool](ann, `(async () => { await window.maitred.room.setRelayOnly(false); return true; })()`)
	g.logs(2, "status=connecting")
	g.logs(2, "receives", "from=Ann", "audio/opus")
	ann.hearsTone()
	ann.say("still there?")
	ann.hears("You said: still there?")
}
