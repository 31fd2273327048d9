package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"github.com/maitred/maitred/test/harness"
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(checked{m}, filepath.Join("..", "..", "..")))
}

// checked also wants all goroutines to have ended.
type checked struct{ *testing.M }

func (c checked) Run() int {
	code := c.M.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

const patience = 40 * time.Second

// proxy forwards TCP connections to where it is told, and cuts them as a network does that changes.
type proxy struct {
	t        *testing.T
	listener net.Listener
	all      sync.WaitGroup

	mu     sync.Mutex
	target string // "" refuses
	open   map[net.Conn]bool
}

func startProxy(t *testing.T) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, listener: listener, open: map[net.Conn]bool{}}
	p.all.Go(p.accept)
	t.Cleanup(func() {
		listener.Close()
		p.pointAt("")
		p.cut()
		p.all.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// pointAt says where new connections go.
func (p *proxy) pointAt(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// cut resets what is open.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		_ = conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.forward(client)
	}
}

func (p *proxy) forward(client net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.target == "" {
		client.Close()
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		client.Close()
		return
	}
	p.open[client], p.open[server] = true, true
	p.all.Go(func() { p.pump(client, server) })
	p.all.Go(func() { p.pump(server, client) })
}

func (p *proxy) pump(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	to.Close()
	from.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, to)
	delete(p.open, from)
}

// running is the program as a member, with what it logs.
type running struct {
	*member
	t     *testing.T
	log   harness.Transcript
	leave func()
}

// Write takes a line of the log.
func (r *running) Write(line []byte) (int, error) {
	r.log.Add(strings.TrimSuffix(string(line), "\n"))
	return len(line), nil
}

func join(t *testing.T, c config) *running {
	t.Helper()
	r := &running{t: t}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m, err := newMember(ctx, c, slog.New(slog.NewTextHandler(r, nil)))
	if err != nil {
		t.Fatal(err)
	}
	r.member = m
	ctx, leave := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.run(ctx) }()
	r.leave = sync.OnceFunc(func() {
		leave()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	})
	t.Cleanup(func() {
		r.leave()
		if t.Failed() {
			t.Logf("%s said:\n%s", c.name, &r.log)
		}
	})
	return r
}

// logs waits until so many lines have all of words.
func (r *running) logs(count int, words ...string) {
	r.t.Helper()
	harness.Within(r.t, patience, fmt.Sprintf("%s logs %d times %q", r.name, count, words), func() (bool, any) {
		n := 0
		for _, line := range r.log.Lines() {
			all := true
			for _, word := range words {
				all = all && strings.Contains(line, word)
			}
			if all {
				n++
			}
		}
		return n >= count, n
	})
}

// hears waits until the tone of the other one has gone on for a second, over the relay at both ends.
func (r *running) hears(other *running) *webrtc.PeerConnection {
	r.t.Helper()
	var c *call
	harness.Within(r.t, patience, r.name+" has a call", func() (bool, any) {
		c = r.with(other.room.Self().ID)
		return c != nil, nil
	})
	before := c.packets.Load()
	harness.Within(r.t, patience, r.name+" hears "+other.name, func() (bool, any) {
		now := r.with(other.room.Self().ID)
		return now == c && c.packets.Load() > before+50, fmt.Sprintf("%d packets, the same call: %v", c.packets.Load(), now == c)
	})
	if path, err := c.path(); path != "relay to relay" || err != nil {
		r.t.Errorf("%s: %s, %v", r.name, path, err)
	}
	return c.PeerConnection
}

// TestCall has two of the programs in a room, through the relay only, and breaks one thing after the other.
func TestCall(t *testing.T) {
	annsWeb, bobsWeb, turn := startProxy(t), startProxy(t), startProxy(t)
	start := func() *harness.Daemon {
		d := harness.Start(t, "MAITRED_TURN_URLS=turn:"+turn.address()+"?transport=tcp", "MAITRED_TURN_UDP=off")
		annsWeb.pointAt(d.Listening("http"))
		bobsWeb.pointAt(d.Listening("http"))
		turn.pointAt(d.Listening("turn-tcp"))
		return d
	}
	d := start()
	ann := join(t, config{url: "ws://" + annsWeb.address() + "/ws", room: "tea", name: "ann", policy: webrtc.ICETransportPolicyRelay})
	bob := join(t, config{url: "ws://" + bobsWeb.address() + "/ws", room: "tea", name: "bob", policy: webrtc.ICETransportPolicyRelay})
	anns, bobs := ann.hears(bob), bob.hears(ann)
	ann.logs(1, "msg=call", "with=bob", "status=connected", `path="relay to relay"`)
	bob.says(ann, "hello")

	t.Log("ann's connection to the server breaks: she resumes, and the call goes on")
	self := ann.room.Self().ID
	annsWeb.cut()
	ann.logs(1, "resumed=true")
	if ann.room.Self().ID != self || ann.hears(bob) != anns || bob.hears(ann) != bobs {
		t.Error("not the same seat and connections as before")
	}
	bob.says(ann, "still there?")

	t.Log("the connections to the relay break: ICE restarts, on the same connections")
	turn.cut()
	ann.logs(2, "msg=call", "status=connected")
	bob.logs(2, "msg=call", "status=connected")
	if ann.hears(bob) != anns || bob.hears(ann) != bobs {
		t.Error("not the same connections as before")
	}
	bob.says(ann, "once more")

	t.Log("the server stops: both come back at another one, with new seats and connections")
	other := start()
	d.Stop(20 * time.Second)
	ann.logs(2, "resumed=false")
	bob.logs(2, "resumed=false")
	if ann.hears(bob) == anns || bob.hears(ann) == bobs || ann.room.Self().ID == self {
		t.Error("the same seat and connections as before")
	}
	bob.says(ann, "and again")

	bob.leave()
	ann.logs(1, "msg=went", "reason=left")
	ann.leave()
	other.WaitForNoAllocations()
}

// says has the other one repeat what r says.
func (r *running) says(other *running, text string) {
	r.t.Helper()
	if err := r.with(other.room.Self().ID).say(text); err != nil {
		r.t.Fatal(err)
	}
	r.logs(1, "msg=chat", "from="+other.name, fmt.Sprintf("text=%q", echo+text))
}

// TestMuLaw decodes again what was encoded: the error is at most half a step of the segment (ITU-T G.711 table 2a).
func TestMuLaw(t *testing.T) {
	for sample := -20000; sample <= 20000; sample++ {
		code := ^muLaw(int16(sample))
		exponent, mantissa := int(code>>4&7), int(code&15)
		got := (mantissa<<3+0x84)<<exponent - 0x84
		if code&0x80 != 0 {
			got = -got
		}
		if off := got - sample; off < -4<<exponent || off > 4<<exponent {
			t.Fatalf("%d becomes %#x, which is %d", sample, ^code, got)
		}
	}
	if got := muLaw(0); got != 0xff {
		t.Errorf("silence is %#x", got)
	}
}
