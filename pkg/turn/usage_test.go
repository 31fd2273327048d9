package turn

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/maitred/maitred/pkg/relay"
	"github.com/pion/stun"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// chat sends n packets of size bytes from a to b inside the relay, and waits for them.
func chat(a, b *client, n, size int) {
	a.t.Helper()
	a.permit(b.relayed)
	b.permit(a.relayed)
	payload := make([]byte, size)
	for range n {
		a.sendIndication(b.relayed, payload)
		b.wantData(a.relayed, payload)
	}
}

func short(packets, bytes uint64) relay.Traffic {
	return relay.Traffic{ShortCircuit: relay.Count{Packets: packets, Bytes: bytes}}
}

// wantUsage waits until the user's account says so: the last packet is counted when it has been handed over, and may be there before.
func (s *testServer) wantUsage(t *testing.T, user string, allocations int, traffic relay.Traffic) {
	t.Helper()
	eventually(t, "the account is right", func() bool {
		u := s.Usage().Users[user]
		return u.Allocations == allocations && u.Traffic == traffic
	})
}

func (c *client) hangUp() {
	c.t.Helper()
	c.wantCode(c.request(stun.MethodRefresh, lifetimeAttribute(0)), 0)
}

// TestUsage follows accounts through the ends of their allocations.
func TestUsage(t *testing.T) {
	s := start(t, nil)
	member := s.authority.MemberID("m")
	first, second := s.dialMember(t, "udp", "m"), s.dialMember(t, "tcp", "m")
	application := s.authority.Mint("app", time.Hour)
	other := s.dialAs(t, "udp", application.Username, application.Password)
	for _, c := range []*client{first, second, other} {
		c.allocate()
	}
	chat(first, other, 2, 100)
	chat(second, other, 1, 1000)
	s.wantUsage(t, member, 2, short(3, 1200))
	s.wantUsage(t, "app", 1, relay.Traffic{})
	chat(other, first, 3, 10)
	s.wantUsage(t, "app", 1, short(3, 30))

	first.hangUp()
	s.wantUsage(t, member, 1, short(3, 1200))
	second.hangUp()
	s.wantUsage(t, member, 0, short(3, 1200)) // still a member
	other.hangUp()
	s.wantAllocations(t, 0)
	if _, there := s.Usage().Users["app"]; there {
		t.Error("the account of a user without allocations is still there")
	}
	third := s.dialMember(t, "udp", "m")
	third.allocate()
	conn, to := remote(t, "127.0.0.1")
	third.permit(to)
	third.sendIndication(to, []byte("up"))
	wantDatagram(t, conn, third.relayed, []byte("up"))
	all := short(3, 1200)
	all.Up = relay.Count{Packets: 1, Bytes: 2}
	s.wantUsage(t, member, 1, all)

	s.authority.Release("m")
	ended, used := s.EndUser(member)
	if ended != 1 || used != all {
		t.Errorf("%d ended, %+v", ended, used)
	}
	if ended, used = s.EndUser(member); ended != 0 || used != (relay.Traffic{}) {
		t.Errorf("the second time: %d ended, %+v", ended, used)
	}
	usage := s.Usage()
	if len(usage.Users) != 0 {
		t.Errorf("accounts are left: %v", usage.Users)
	}
	udp := short(5, 230)
	udp.Up = all.Up
	if usage.Transports != [relay.Transports]relay.Traffic{relay.UDP: udp, relay.TCP: short(1, 1000)} {
		t.Errorf("transports: %+v", usage.Transports)
	}
	sum := usage.Transports[relay.UDP]
	sum.Add(usage.Transports[relay.TCP])
	if total := s.relay.Stats().Traffic; total != sum {
		t.Errorf("the relay counts %+v in total", total)
	}
	want := `# HELP maitred_turn_transport_bytes_total Payload bytes relayed on all paths, by the client's transport.
# TYPE maitred_turn_transport_bytes_total counter
maitred_turn_transport_bytes_total{transport="dtls"} 0
maitred_turn_transport_bytes_total{transport="tcp"} 1000
maitred_turn_transport_bytes_total{transport="tls"} 0
maitred_turn_transport_bytes_total{transport="udp"} 232
`
	if err := testutil.CollectAndCompare(s, strings.NewReader(want), "maitred_turn_transport_bytes_total"); err != nil {
		t.Error(err)
	}
}

// TestAccountsDoNotLeak ends members' allocations from three sides at once: the client, its connection and the room.
func TestAccountsDoNotLeak(t *testing.T) {
	s := start(t, nil)
	for i := range 60 {
		network := transports[i%len(transports)]
		a, b := s.dialMember(t, network, "m"), s.dial(t, network)
		a.allocate()
		b.allocate()
		a.send(a.build(stun.MethodRefresh, a.key, lifetimeAttribute(0)).Raw)
		a.conn.Close()
		b.send(b.build(stun.MethodRefresh, b.key, lifetimeAttribute(0)).Raw)
		s.authority.Release("m")
		s.EndUser(s.authority.MemberID("m"))
	}
	s.wantAllocations(t, 0)
	eventually(t, "no account is left", func() bool { return len(s.Usage().Users) == 0 })
}

// TestAccountOutlivedByAnAllocation closes an account while somebody else is still ending an allocation of it.
func TestAccountOutlivedByAnAllocation(t *testing.T) {
	u := &usage{}
	a := &allocation{user: "!member", session: &relay.Session{}}
	u.begin(a)
	u.close(a.user)
	if len(u.users) != 1 {
		t.Fatal("the account is gone before its allocation")
	}
	u.end(a)
	if len(u.users) != 0 {
		t.Errorf("accounts are left: %v", u.users)
	}
}

// TestUsageNeverRunsBackwards reads while allocations come, relay and go.
func TestUsageNeverRunsBackwards(t *testing.T) {
	s := start(t, nil)
	total := func() uint64 { return s.Usage().Transports[relay.UDP].ShortCircuit.Packets }
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for last := uint64(0); ; runtime.Gosched() {
			select {
			case <-stop:
				return
			default:
			}
			n := total()
			if n < last {
				t.Errorf("%d packets after %d", n, last)
				return
			}
			last = n
		}
	}()
	defer func() { close(stop); <-done }()
	application := s.authority.Mint("app", time.Hour)
	for range 40 {
		a, b := s.dialAs(t, "udp", application.Username, application.Password), s.dial(t, "udp")
		a.allocate()
		b.allocate()
		chat(a, b, 5, 10)
		s.wantUsage(t, "app", 1, short(5, 50))
		a.hangUp()
		b.hangUp()
	}
	if n := total(); n != 200 {
		t.Errorf("%d packets in all, want 200", n)
	}
}
