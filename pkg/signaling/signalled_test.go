package signaling

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// tells signals a candidate with this address, and waits until the other one has it.
func (p *peer) tells(other *peer, ip string) {
	p.t.Helper()
	p.send(&Signal{To: other.id(), Data: json.RawMessage(`{"candidate":"` + host(ip) + `"}`)})
	expect[*SignalFrom](other)
}

// reaches fails unless exactly these addresses out of all that the tests use are open to the member.
func (s *server) reaches(p *peer, want ...string) {
	s.t.Helper()
	for _, ip := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"} {
		if got := s.hub.MaySend(p.id(), netip.MustParseAddr(ip)); got != slices.Contains(want, ip) {
			s.t.Errorf("may send to %s: %v, want %v to be all", ip, got, want)
		}
	}
}

// remembered is how many addresses are kept of what the member signalled.
func (t *told) remembered(tb testing.TB, id string) int {
	tb.Helper()
	s := t.seat(id)
	s.told.mu.Lock()
	defer s.told.mu.Unlock()
	if s.order.Len() != len(s.addresses) {
		tb.Errorf("%d addresses in order, %d to look up", s.order.Len(), len(s.addresses))
	}
	return len(s.addresses)
}

// three members of a room with room permissions, and one of another room; every roster message has been read.
func three(s *server) (ann, bob, cid, stranger *peer) {
	s.t.Helper()
	ann = s.join("r", "Ann")
	bob = s.join("r", "Bob")
	cid = s.join("r", "Cid")
	expect[*MemberJoined](ann)
	expect[*MemberJoined](ann)
	expect[*MemberJoined](bob)
	return ann, bob, cid, s.join("other", "Eve")
}

func TestMaySend(t *testing.T) {
	s := newServer(t, Options{RoomPermissions: true})
	ann, bob, cid, eve := three(s)
	for _, p := range []*peer{ann, bob, cid, eve} {
		s.reaches(p)
	}
	ann.tells(bob, "192.0.2.1")
	s.reaches(bob, "192.0.2.1")
	s.reaches(ann) // not what it signalled itself
	s.reaches(cid) // nor what others were told
	if !s.hub.MaySend(bob.id(), netip.MustParseAddr("::ffff:192.0.2.1")) {
		t.Error("the same address in its IPv6 form is another one")
	}

	ann.send(&Broadcast{Data: json.RawMessage(`"a=` + host("2001:db8::1") + `\r\n"`)})
	expect[*BroadcastFrom](bob)
	expect[*BroadcastFrom](cid)
	s.reaches(bob, "192.0.2.1", "2001:db8::1")
	s.reaches(cid, "2001:db8::1")
	s.reaches(ann)
	s.reaches(eve)

	eve.send(&Signal{To: bob.id(), Data: json.RawMessage(`"` + host("192.0.2.3") + `"`)})
	eve.expectError(CodeNoSuchMember, "signal")
	bob.send(&Signal{To: bob.id(), Data: json.RawMessage(`"` + host("192.0.2.3") + `"`)})
	bob.expectError(CodeNoSuchMember, "signal")
	s.reaches(bob, "192.0.2.1", "2001:db8::1")
	if n := s.hub.told.remembered(t, eve.id()) + s.hub.told.remembered(t, bob.id()); n != 0 {
		t.Errorf("%d addresses are remembered that were told nobody", n)
	}
	if s.hub.MaySend("nobody", netip.MustParseAddr("192.0.2.1")) {
		t.Error("who is no member may send")
	}
}

// TestBroadcastsCountForLaterMembers, and signals to others do not, nor what a member broadcast that has left.
func TestBroadcastsCountForLaterMembers(t *testing.T) {
	s := newServer(t, Options{RoomPermissions: true})
	ann, bob, cid, _ := three(s)
	ann.tells(bob, "192.0.2.1")
	ann.tells(bob, "192.0.2.2") // first to one member, then to everybody
	ann.send(&Broadcast{Data: json.RawMessage(`["` + host("2001:db8::1") + `","` + host("192.0.2.2") + `"]`)})
	expect[*BroadcastFrom](bob)
	ann.tells(bob, "2001:db8::1") // the other way round
	bob.send(&Leave{})
	expect[*MemberLeft](ann)
	dan := s.join("r", "Dan")
	expect[*MemberJoined](ann)
	s.reaches(dan, "192.0.2.2", "2001:db8::1")
	s.reaches(ann)
	ann.send(&Leave{})
	expect[*MemberLeft](dan)
	s.reaches(dan)
	s.reaches(cid)
}

func TestMaySendWithoutTheOption(t *testing.T) {
	s := newServer(t, Options{})
	ann, bob, _, _ := three(s)
	ann.tells(bob, "192.0.2.1")
	s.reaches(bob, "192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1")
	if s.hub.told.remembered(t, ann.id()) != 0 {
		t.Error("addresses are remembered that nobody asks for")
	}
}

// TestAddressesAreForgotten with the membership of who signalled them, however it ends, and not with its connection.
func TestAddressesAreForgotten(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(s *server, p *peer)
	}{
		{"leaves", func(_ *server, p *peer) { p.send(&Leave{}) }},
		{"kicked", func(s *server, p *peer) { s.hub.Kick("r", p.id(), "enough") }},
		{"sends nonsense", func(_ *server, p *peer) { p.write(websocket.MessageText, []byte("nonsense")) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			book := newLedger(t)
			s := newServer(t, Options{RoomPermissions: true, Releaser: book})
			ann, bob, cid, eve := three(s)
			ann.tells(cid, "192.0.2.2")
			bob.tells(cid, "192.0.2.1")
			cid.tells(ann, "192.0.2.3")
			tt.end(s, bob)
			expect[*MemberLeft](cid)
			s.reaches(cid, "192.0.2.2")
			s.reaches(bob)
			cid.send(&Leave{}) // what it was told is of no use any more
			expect[*MemberLeft](ann)
			expect[*MemberLeft](ann)
			if n := s.hub.told.remembered(t, ann.id()); n != 0 {
				t.Errorf("%d addresses are still kept for members that have left", n)
			}
			ann.send(&Leave{})
			eve.send(&Leave{})
			book.waitReleased(4)
			s.hub.told.mu.Lock()
			defer s.hub.told.mu.Unlock()
			if told := s.hub.told; len(told.seats) != 0 || len(told.rooms) != 0 {
				t.Errorf("still there: %v, %v", told.seats, told.rooms)
			}
		})
	}
}

func TestAddressesOutliveTheConnection(t *testing.T) {
	s := newServer(t, Options{RoomPermissions: true, Resume: time.Minute})
	ann, bob, _, _ := three(s)
	ann.tells(bob, "192.0.2.1")
	for _, p := range []*peer{ann, bob} {
		p.cut()
		s.waitAway(p)
	}
	s.reaches(bob, "192.0.2.1")
	ann, bob = s.resume(ann), s.resume(bob)
	s.reaches(bob, "192.0.2.1")
	bob.tells(ann, "192.0.2.2")
	s.reaches(ann, "192.0.2.2")
}

// TestAddressesAreBounded: the one told longest ago makes room.
func TestAddressesAreBounded(t *testing.T) {
	s := newServer(t, Options{RoomPermissions: true, AddressesPerMember: 2})
	ann, bob, cid, _ := three(s)
	ann.tells(bob, "192.0.2.1")
	ann.tells(cid, "192.0.2.2")
	ann.tells(cid, "192.0.2.1") // told again: no new address, and the newest
	ann.tells(cid, "192.0.2.3")
	s.reaches(bob, "192.0.2.1")
	s.reaches(cid, "192.0.2.1", "192.0.2.3")
	bob.tells(cid, "192.0.2.2") // another's addresses are another matter
	s.reaches(cid, "192.0.2.1", "192.0.2.2", "192.0.2.3")

	var flood []string
	for i := range 1000 {
		flood = append(flood, host("198.51.100."+strconv.Itoa(i%250)))
	}
	ann.send(&Signal{To: bob.id(), Data: json.RawMessage(encoded(t, flood))})
	expect[*SignalFrom](bob)
	if n := s.hub.told.remembered(t, ann.id()); n != 2 {
		t.Errorf("%d addresses are remembered, want 2", n)
	}
}

// TestRoomPermissionsAreSwitched: on for who comes later, off at once.
func TestRoomPermissionsAreSwitched(t *testing.T) {
	s := newServer(t, Options{})
	ann, bob, _, _ := three(s)
	s.hub.SetRoomPermissions(true)
	all := []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"}
	s.reaches(ann, all...)
	dan := s.join("r", "Dan")
	expect[*MemberJoined](bob)
	s.reaches(dan)
	bob.tells(dan, "192.0.2.1")
	s.hub.SetRoomPermissions(true) // again, as every reload does
	s.reaches(dan, "192.0.2.1")
	s.hub.SetRoomPermissions(false)
	s.reaches(dan, all...)
	s.hub.SetRoomPermissions(true)
	s.reaches(dan, all...) // nobody noted what it was told in between
}

// TestToldByMany has members come, tell, ask and go at the same time as the option is switched.
func TestToldByMany(t *testing.T) {
	const limit = 4
	told, rooms := newTold(true, limit), []*room{{name: "a"}, {name: "b"}}
	var members sync.WaitGroup
	for i := range 16 {
		members.Go(func() {
			id, r := strconv.Itoa(i), rooms[i%len(rooms)]
			for n := range 50 {
				told.enter(r, id)
				for k := range 2 * limit {
					ip := netip.AddrFrom4([4]byte{192, 0, 2, byte(k)})
					data := []byte(encoded(t, host(ip.String())))
					told.learn(id, strconv.Itoa((i+n)%16), data)
					told.learn(id, "", data)
					told.maySend(id, ip)
				}
				if i == 0 {
					told.set(n%2 == 1)
				}
				told.leave(id)
			}
		})
	}
	members.Wait()
	if len(told.seats) != 0 || len(told.rooms) != 0 {
		t.Errorf("still there: %v, %v", told.seats, told.rooms)
	}
}

// TestRoomsDoNotWaitForEachOther: nothing that is done in one room needs what another one holds.
func TestRoomsDoNotWaitForEachOther(t *testing.T) {
	told, held, free := newTold(true, 4), &room{name: "held"}, &room{name: "free"}
	told.enter(held, "eve")
	told.enter(free, "ann")
	told.enter(free, "bob")
	in := told.seat("eve").told
	in.mu.Lock()
	waiting, done := make(chan struct{}), make(chan bool, 1)
	var all sync.WaitGroup
	defer all.Wait()
	defer in.mu.Unlock()
	all.Go(func() {
		close(waiting)
		told.leave("eve")
	})
	all.Go(func() { told.learn("eve", "", []byte(encoded(t, host("192.0.2.9")))) })
	<-waiting
	go func() {
		told.enter(free, "cid")
		told.learn("ann", "", []byte(encoded(t, host("192.0.2.1"))))
		may := told.maySend("cid", netip.MustParseAddr("192.0.2.1"))
		told.leave("bob")
		done <- may
	}()
	select {
	case may := <-done:
		if !may {
			t.Error("what was told in the free room is not known")
		}
	case <-time.After(10 * time.Second):
		t.Error("a room waits for another one")
	}
}

// TestFloodsAreBounded has members signal without end, among others that come, ask and go. What is true throughout stays true for
// those who ask, in this room and in another, and nothing is kept beyond the limit.
func TestFloodsAreBounded(t *testing.T) {
	const limit, rounds = 16, 200
	told, flooded, calm, messages := newTold(true, limit), &room{name: "flooded"}, &room{name: "calm"}, floods(t, limit)
	kept := netip.MustParseAddr("192.0.2.1")
	for id, r := range map[string]*room{"ann": calm, "bob": calm, "cid": flooded, "dan": flooded, "0": flooded, "1": flooded, "2": flooded} {
		told.enter(r, id)
	}
	told.learn("ann", "bob", []byte(encoded(t, host(kept.String()))))
	told.learn("cid", "dan", []byte(encoded(t, host(kept.String()))))
	var all sync.WaitGroup
	for i, to := range []string{"", "dan", "guest"} {
		all.Go(func() {
			for n := range rounds {
				told.learn(strconv.Itoa(i), to, messages[n%len(messages)])
			}
		})
	}
	all.Go(func() {
		for range rounds {
			told.enter(flooded, "guest")
			told.learn("guest", "", messages[0])
			told.leave("guest")
		}
	})
	all.Go(func() {
		for range rounds {
			if !told.maySend("bob", kept) || !told.maySend("dan", kept) || told.maySend("ann", kept) || told.maySend("0", kept) {
				t.Error("a flood has changed what others were told")
				return
			}
		}
	})
	all.Wait()
	for id, want := range map[string]int{"0": limit, "1": limit, "2": 0, "ann": 1, "cid": 1} {
		if n := told.remembered(t, id); n != want {
			t.Errorf("%d addresses of %s are remembered, want %d", n, id, want)
		}
	}
}

// TestTrafficOfMembers goes to the log with the member, and to the room.
func TestTrafficOfMembers(t *testing.T) {
	var log syncBuffer
	book := newLedger(t)
	book.used = Traffic{Up: Count{1, 10}, Down: Count{2, 20}, ShortCircuit: Count{3, 30}}
	s := newServer(t, Options{Releaser: book, Log: slog.New(slog.NewTextHandler(&log, nil))})
	ann, bob, cid, _ := three(s)
	bob.send(&Leave{})
	bob.expectClose(websocket.StatusNormalClosure)
	cid.send(&Leave{})
	cid.expectClose(websocket.StatusNormalClosure)
	rooms := s.hub.Rooms()
	if got, want := rooms[1].Departed, (Traffic{Up: Count{2, 20}, Down: Count{4, 40}, ShortCircuit: Count{6, 60}}); got != want || rooms[0].Departed != (Traffic{}) {
		t.Errorf("departed: %+v and %+v, want %+v and nothing", got, rooms[0].Departed, want)
	}
	left := ""
	for l := range strings.Lines(log.String()) {
		if strings.Contains(l, "member left") && strings.Contains(l, bob.id()) {
			left += l
		}
	}
	for _, want := range []string{"level=INFO", "room=r", "reason=left", "lasted=", "up_bytes=10", "down_bytes=20", "short_circuit_bytes=30"} {
		if strings.Count(left, want) != 1 {
			t.Errorf("not once %s in %q", want, left)
		}
	}
	book.mu.Lock()
	book.used = Traffic{}
	book.mu.Unlock()
	ann.send(&Leave{})
	ann.expectClose(websocket.StatusNormalClosure)
	if strings.Count(log.String(), "up_bytes") != 2 {
		t.Errorf("a member that relayed nothing has bytes in\n%s", log.String())
	}
}
