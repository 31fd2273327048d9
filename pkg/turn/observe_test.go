package turn

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/maitred/maitred/pkg/relay"
	"github.com/pion/stun"
)

// observer remembers what it was told.
type observer struct {
	mu   sync.Mutex
	seen []Observed
}

func (o *observer) observe(e Observed) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = append(o.seen, e)
}

// of are the events of one client, as "method code username".
func (o *observer) of(client netip.AddrPort) (events []string, listener Listener) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range o.seen {
		if e.Client == client {
			events, listener = append(events, fmt.Sprintf("%s %d %s", e.Method, e.Code, e.Username)), e.Listener
		}
	}
	return events, listener
}

func (c *client) local() netip.AddrPort { return netip.MustParseAddrPort(c.conn.LocalAddr().String()) }

// TestObserve: what was answered has been told when the answer is there, with the listener that the client came to.
func TestObserve(t *testing.T) {
	o := &observer{}
	s := start(t, func(c *Config) { c.Observe = o.observe })
	ports := map[string]func() (netip.AddrPort, bool){"udp": s.UDPAddr, "tcp": s.TCPAddr, "tls": s.TLSAddr, "dtls": s.DTLSAddr}
	for i, network := range transports {
		t.Run(network, func(t *testing.T) {
			c := s.dial(t, network)
			c.allocate()
			c.wantCode(c.request(stun.MethodRefresh, lifetimeAttribute(0)), 0)
			c.wantCode(c.request(stun.MethodRefresh), 437)
			events, listener := o.of(c.local())
			want := []string{"allocate 401 ", "allocate 0 " + c.username, "refresh 0 " + c.username, "refresh 437 " + c.username}
			if network != "udp" {
				want = slices.Insert(want, 0, "connect 0 ")
			}
			if !slices.Equal(events, want) {
				t.Errorf("told of %q, want %q", events, want)
			}
			addr, _ := ports[network]()
			if want := (Listener{relay.Transport(i), addr.Port()}); listener != want {
				t.Errorf("at %v, want %v", listener, want)
			}
		})
	}
}

// TestObserveRefused: a connection beyond the limit was not opened, and an answer that was not given is none.
func TestObserveRefused(t *testing.T) {
	o := &observer{}
	s := start(t, func(c *Config) { c.Observe, c.ConnectionsPerIP, c.UnauthenticatedPerIP = o.observe, 1, 1 })
	first := s.dial(t, "tcp")
	first.send(first.build(stun.MethodAllocate, nil, overUDP).Raw)
	first.receive()
	second := s.dial(t, "tcp")
	second.conn.SetReadDeadline(time.Now().Add(patience))
	if n, err := second.conn.Read(make([]byte, 1)); err == nil {
		t.Fatalf("%d bytes on a connection too many", n)
	}
	first.send(first.build(stun.MethodAllocate, nil, overUDP).Raw)
	s.wantDrop(t, relay.DropUnauthorized, 1)
	if events, _ := o.of(first.local()); !slices.Equal(events, []string{"connect 0 ", "allocate 401 "}) {
		t.Errorf("the first: %q", events)
	}
	if events, _ := o.of(second.local()); len(events) != 0 {
		t.Errorf("the second: %q", events)
	}
}

// TestCarried keeps an account by listener, also of allocations that have ended.
func TestCarried(t *testing.T) {
	s := start(t, nil)
	if got := s.Carried("app"); got != nil {
		t.Errorf("before Keep: %v", got)
	}
	s.Keep("app")
	if got := s.Carried("app"); got == nil || len(got) != 0 {
		t.Errorf("at the beginning: %v", got)
	}
	app := s.authority.Mint("app", time.Hour)
	peer := s.dial(t, "udp")
	peer.allocate()
	udpAddr, _ := s.UDPAddr()
	tcpAddr, _ := s.TCPAddr()
	udp, tcp := Listener{relay.UDP, udpAddr.Port()}, Listener{relay.TCP, tcpAddr.Port()}
	want := func(when string, onUDP, onTCP Carried) {
		t.Helper()
		eventually(t, when, func() bool {
			got := s.Carried("app")
			return len(got) == 2 && got[udp] == onUDP && got[tcp] == onTCP
		})
	}
	first, second, third := s.dialAs(t, "udp", app.Username, app.Password), s.dialAs(t, "tcp", app.Username, app.Password), s.dialAs(t, "udp", app.Username, app.Password)
	first.allocate()
	second.allocate()
	chat(first, peer, 3, 100)
	chat(second, peer, 2, 10)
	want("two are alive", Carried{1, short(3, 300)}, Carried{1, short(2, 20)})
	first.hangUp()
	want("one has ended", Carried{1, short(3, 300)}, Carried{1, short(2, 20)})
	third.allocate()
	chat(third, peer, 1, 7)
	want("another one", Carried{2, short(4, 307)}, Carried{1, short(2, 20)})
	s.authority.Revoke("app", time.Now().Add(time.Hour), 1)
	if n, used := s.EndUser("app"); n != 2 || used != short(6, 327) {
		t.Errorf("%d ended, %+v", n, used)
	}
	if got := s.Carried("app"); got != nil {
		t.Errorf("after the end: %v", got)
	}
}
