package signaling

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// relay is a RelayObserver with the allocations that a test gives to members.
type relay struct {
	mu    sync.Mutex
	of    map[string][]RelayAllocation
	asked []string
}

func (r *relay) Relayed(id string) []RelayAllocation {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, id)
	return r.of[id]
}

func (r *relay) give(id string, list ...RelayAllocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		r.of = map[string][]RelayAllocation{}
	}
	r.of[id] = list
}

// askedFor are the members that anybody was told of, each once.
func (r *relay) askedFor() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := slices.Sorted(slices.Values(r.asked))
	return slices.Compact(ids)
}

func wantReport(p *peer, want ...MemberRelay) {
	p.t.Helper()
	if got := expect[*RelayReport](p).Members; !reflect.DeepEqual(got, want) {
		p.t.Errorf("relay %+v, want %+v", got, want)
	}
}

func TestRelay(t *testing.T) {
	tls, udp := RelayAllocation{"tls", "192.0.2.1:50000", 7}, RelayAllocation{"udp", "192.0.2.1:50002", 1 << 40}
	watch := &relay{}
	s := newServer(t, Options{Relay: watch})
	ann, bob, eve := s.join("r", "Ann"), s.join("r", "Bob"), s.join("other", "Eve")
	expect[*MemberJoined](ann)
	watch.give(bob.id(), tls, udp)
	watch.give(eve.id(), udp)
	for _, p := range []*peer{ann, bob} { // nobody is told of what the other has asked for
		p.send(&Relay{})
		wantReport(p, MemberRelay{ann.id(), []RelayAllocation{}}, MemberRelay{bob.id(), []RelayAllocation{tls, udp}})
	}
	if want := slices.Sorted(slices.Values([]string{ann.id(), bob.id()})); !slices.Equal(watch.askedFor(), want) {
		t.Errorf("the relay was asked for %q, want the room's %q", watch.askedFor(), want)
	}
	bob.send(&Leave{})
	expect[*MemberLeft](ann)
	ann.send(&Relay{})
	wantReport(ann, MemberRelay{ann.id(), []RelayAllocation{}})
}

func TestRelayWithoutAnObserver(t *testing.T) {
	s := newServer(t, Options{})
	ann := s.join("r", "Ann")
	ann.write(websocket.MessageText, []byte(`{"type":"relay"}`))
	raw, err := ann.readRaw()
	if want := `{"type":"relay","members":[{"member":"` + ann.id() + `","allocations":[]}]}`; err != nil || string(raw) != want {
		t.Errorf("%s (%v), want %s", raw, err, want)
	}
}

// TestRelayIsForMembers keeps it from who is in no room yet, and from who waits at the door.
func TestRelayIsForMembers(t *testing.T) {
	watch := &relay{}
	s := newServer(t, Options{Relay: watch})
	ann := s.join("r", "Ann")
	waitingRoom(ann)
	for name, p := range map[string]*peer{"outside": s.dial(), "at the door": func() *peer { p, _ := s.knock(ann, "Cid"); return p }()} {
		t.Run(name, func(t *testing.T) {
			p.send(&Relay{})
			p.expectError(CodeNotAllowed, "relay")
		})
	}
	if asked := watch.askedFor(); len(asked) > 0 {
		t.Errorf("the relay was asked for %q", asked)
	}
}

// TestRelayIsToldOnceASecond counts for the seat: another connection is no way around it, and the others are not concerned.
func TestRelayIsToldOnceASecond(t *testing.T) {
	s := newServer(t, Options{Resume: time.Minute})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	expect[*MemberJoined](ann)
	const tries = 20
	for _, tt := range []struct {
		name  string
		peer  *peer
		again func(*peer) *peer
	}{
		{"on one connection", bob, func(p *peer) *peer { return p }},
		{"on a new one each time", ann, s.resume},
	} {
		t.Run(tt.name, func(t *testing.T) {
			began, told, p := time.Now(), 0, tt.peer
			for range tries {
				p.send(&Relay{})
				if e, refused := next(p).(*Error); !refused {
					told++
				} else if e.Code != CodeRateLimited || e.Request != "relay" {
					t.Fatalf("refused with %+v", e)
				}
				p = tt.again(p)
			}
			passed := time.Since(began)
			if most := 2 + int(passed/time.Second) + 1; told < 2 || told > most {
				t.Errorf("%d of %d were answered within %v", told, tries, passed)
			}
		})
	}
}

// TestRelayReportIsBounded has far more allocations than a report may have: everybody's newest are told.
func TestRelayReportIsBounded(t *testing.T) {
	watch := &relay{}
	s := newServer(t, Options{Relay: watch, MaxMembers: 100})
	var many []RelayAllocation
	for i := range maxReported {
		many = append(many, RelayAllocation{"udp", fmt.Sprint("192.0.2.1:", i), 0})
	}
	var room []*peer
	const members = 3
	for range members {
		p := s.join("r", "n")
		watch.give(p.id(), many...)
		room = append(room, p)
	}
	last := room[members-1]
	last.send(&Relay{})
	for i, m := range expect[*RelayReport](last).Members {
		if m.Member != room[i].id() || !slices.Equal(m.Allocations, many[:maxReported/members]) {
			t.Errorf("member %d is told with %d allocations", i, len(m.Allocations))
		}
	}
}
