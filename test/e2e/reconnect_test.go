package e2e

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/maitred/maitred/test/harness"
)

// cutter forwards TCP connections until it is told to drop them.
type cutter struct {
	listener net.Listener
	target   string
	all      sync.WaitGroup

	mu       sync.Mutex
	open     map[net.Conn]bool
	accepted int
	refusing bool
}

func startCutter(t *testing.T, target string) *cutter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: listener, target: target, open: map[net.Conn]bool{}}
	c.all.Go(c.accept)
	t.Cleanup(func() {
		listener.Close()
		c.cut(true)
		c.all.Wait()
	})
	return c
}

func (c *cutter) accept() {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", c.target)
		if err != nil || !c.keep(client, server) {
			client.Close()
			if server != nil {
				server.Close()
			}
			continue
		}
		c.all.Go(func() { c.pump(client, server) })
		c.all.Go(func() { c.pump(server, client) })
	}
}

func (c *cutter) keep(both ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refusing {
		return false
	}
	c.accepted++
	for _, conn := range both {
		c.open[conn] = true
	}
	return true
}

func (c *cutter) pump(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	to.Close()
	from.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, to)
	delete(c.open, from)
}

// cut resets what is open; refuse keeps new connections out as well.
func (c *cutter) cut(refuse bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refusing = refuse
	for conn := range c.open {
		// No orderly goodbye: this is how a changing network looks.
		_ = conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
}

func (c *cutter) allow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refusing = false
}

func (c *cutter) connections() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.accepted
}

// TestReconnect cuts Ann's WebSocket in a call: media goes on, she comes back
// as the same member, and the room works as before.
func TestReconnect(t *testing.T) {
	t.Parallel() // it waits more than it works
	d := harness.Start(t)
	proxy := startCutter(t, d.Listening("http"))
	b := startBrowser(t, headlessShell)
	ann := b.personAt("http://"+proxy.listener.Addr().String(), "tea", "Ann", true)
	bob := b.person(d, "tea", "Bob", true)
	for _, p := range []*tab{ann, bob} {
		p.phase("call")
		p.talks(1, relayed())
	}
	before, peers := ann.self(), value[string](bob, `[...window.maitred.peers().keys()].join()`)

	proxy.cut(true)
	grow(t, 90, ann, bob)
	connections := proxy.connections()
	proxy.allow()
	harness.Within(t, 15*time.Second, "the page connects again", func() (bool, any) {
		return proxy.connections() > connections, proxy.connections()
	})

	// Only who is really back is told of a new face.
	cay := b.person(d, "tea", "Cay", true)
	cay.phase("call")
	for _, p := range []*tab{ann, bob, cay} {
		p.sees(2)
		p.talks(2, relayed())
	}
	if after := ann.self(); after != before {
		t.Errorf("Ann was %s and came back as %s", before, after)
	}
	if now := value[string](bob, `[...window.maitred.peers().keys()][0]`); now != peers {
		t.Errorf("Bob's connection to %s was replaced by one to %s", peers, now)
	}
}

// grow waits until every picture of every page has advanced by so many frames.
func grow(t *testing.T, frames int, pages ...*tab) {
	t.Helper()
	before := make([]map[string]peerStats, len(pages))
	for i, p := range pages {
		var err error
		if before[i], err = p.stats(); err != nil || len(before[i]) == 0 {
			t.Fatalf("%s: %v %v", p.name, before[i], err)
		}
	}
	for i, p := range pages {
		harness.Within(t, 20*time.Second, p.name+": pictures go on", func() (bool, any) {
			now, err := p.stats()
			for member, s := range before[i] {
				if err != nil || now[member].FramesDecoded < s.FramesDecoded+frames {
					return false, fmt.Sprintf("%+v before, %+v now %v", before[i], now, err)
				}
			}
			return true, nil
		})
	}
}
