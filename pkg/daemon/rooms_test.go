package daemon

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	roomclient "github.com/maitred/maitred/pkg/client"
	"github.com/maitred/maitred/pkg/relay"
	"github.com/maitred/maitred/pkg/signaling"
)

// guest is a member by the Go client, with an allocation by the credential that the room gave it.
type guest struct {
	*roomclient.Room
	t    *testing.T
	turn *turnClient
}

// guest joins and allocates over the first of the room's URLs with this transport.
func (r *running) guest(room, transport string) *guest {
	r.t.Helper()
	web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	joined, err := roomclient.Join(r.t.Context(), "ws://"+r.http.Addr().String()+"/ws", room, "Ann", &roomclient.Options{HTTPClient: web})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = joined.Leave(r.t.Context()) // it may have left before
		for range joined.Events() {
		}
	})
	g := &guest{Room: joined, t: r.t}
	for _, s := range expectEvent[*signaling.Joined](g).ICEServers {
		for _, url := range s.URLs {
			if g.turn == nil && s.Credential != "" && strings.HasSuffix(url, "="+transport) {
				g.turn = dialTURN(r.t, url)
				if code := g.turn.allocate(s.Username, s.Credential); code != 0 {
					r.t.Fatalf("the room's credential is refused: %d", code)
				}
			}
		}
	}
	return g
}

// expectEvent skips what comes before.
func expectEvent[T signaling.ServerMessage](g *guest) T {
	g.t.Helper()
	for m := range g.Events() {
		if m, ok := m.(T); ok {
			return m
		}
	}
	g.t.Fatalf("the seat ended before there was a %T: %v", *new(T), g.Err())
	panic("not reached")
}

func (g *guest) wantPermission(peer netip.AddrPort, code int) {
	g.t.Helper()
	if got := g.turn.permit(peer); got != code {
		g.t.Fatalf("a permission for %v: %d, want %d", peer, got, code)
	}
}

// offers signals the relayed address as a browser does.
func (g *guest) offers(other *guest) {
	g.t.Helper()
	data := map[string]any{"candidate": map[string]any{"candidate": candidate(g.turn.relayed), "sdpMid": "0"}}
	if err := g.Signal(g.t.Context(), other.Self().ID, data); err != nil {
		g.t.Fatal(err)
	}
	expectEvent[*signaling.SignalFrom](other)
}

func candidate(at netip.AddrPort) string {
	return "candidate:1 1 udp 1 " + at.Addr().String() + " 40000 typ relay raddr 0.0.0.0 rport 0"
}

func TestRoomPermissions(t *testing.T) {
	for _, ports := range []string{"none", "30000-39999"} {
		t.Run("relay ports "+ports, func(t *testing.T) {
			r := start(t, "turn.room_permissions", "true", "turn.relay_ports", ports, "turn.allow_peers", "127.1.0.0/16")
			ann, bob := r.guest("blue", "udp"), r.guest("blue", "tcp")
			stranger := r.guest("red", "udp")
			ann.wantPermission(bob.turn.relayed, 403)
			bob.offers(ann)
			ann.wantPermission(bob.turn.relayed, 0)
			stranger.wantPermission(bob.turn.relayed, 403)
			bob.wantPermission(ann.turn.relayed, 403)
			ann.offers(bob)
			bob.wantPermission(ann.turn.relayed, 0)
			ann.turn.sendTo(bob.turn, "hello")
			bob.turn.sendTo(ann.turn, "and to you")

			outside := netip.MustParseAddrPort("127.1.0.1:9")
			ann.wantPermission(outside, 403)
			if err := bob.Broadcast(t.Context(), map[string]string{"sdp": "v=0\r\na=" + candidate(outside) + "\r\n"}); err != nil {
				t.Fatal(err)
			}
			expectEvent[*signaling.BroadcastFrom](ann)
			ann.wantPermission(outside, 0)
			bob.wantPermission(outside, 403)
			private := netip.MustParseAddrPort("10.0.0.1:9")
			if err := bob.Broadcast(t.Context(), candidate(private)); err != nil {
				t.Fatal(err)
			}
			expectEvent[*signaling.BroadcastFrom](ann)
			ann.wantPermission(private, 403) // the ordinary policy applies as well

			free := r.authority.Mint("app", r.config.TURN.CredentialTTL)
			app := dialTURN(t, r.localURLs()[0])
			if code := app.allocate(free.Username, free.Password); code != 0 {
				t.Fatal(code)
			}
			if code := app.permit(outside); code != 0 {
				t.Errorf("who is no member is restricted: %d", code)
			}
		})
	}
}

// TestRoomPermissionsEndWithWhoSignalled: a permission is not renewed when the room-mate that asked for it is gone.
func TestRoomPermissionsEndWithWhoSignalled(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(r *running, g *guest)
	}{
		{"leaves", func(_ *running, g *guest) {
			if err := g.Leave(g.t.Context()); err != nil {
				g.t.Error(err)
			}
		}},
		{"is kicked", func(r *running, g *guest) { r.hub.Kick("blue", g.Self().ID, "enough") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, "turn.room_permissions", "true")
			ann, bob := r.guest("blue", "udp"), r.guest("blue", "udp")
			bob.offers(ann)
			ann.wantPermission(bob.turn.relayed, 0)
			tt.end(r, bob)
			expectEvent[*signaling.MemberLeft](ann)
			ann.wantPermission(bob.turn.relayed, 403)
		})
	}
}

// TestRoomPermissionsReloaded: members from before stay free, those who come later are not, and off is off for all.
func TestRoomPermissionsReloaded(t *testing.T) {
	r := start(t)
	reload := func(value string) {
		t.Helper()
		if err := r.Reload(load(t, "turn.room_permissions", value)); err != nil || !Reloadable("turn.room_permissions") {
			t.Fatal(err)
		}
	}
	ann := r.guest("blue", "udp")
	reload("true")
	bob := r.guest("blue", "udp")
	ann.wantPermission(bob.turn.relayed, 0)
	bob.wantPermission(ann.turn.relayed, 403)
	reload("false")
	bob.wantPermission(ann.turn.relayed, 0)
}

// rollup is the answer of GET /api/v1/traffic as its documentation has it.
type rollup struct {
	Total      relay.Traffic
	Transports map[string]relay.Traffic
	Rooms      map[string]struct {
		Members int
		relay.Traffic
	}
	Users map[string]struct {
		Allocations  int
		Room, Member string
		relay.Traffic
	}
}

func (r *running) rollup() (out rollup) {
	r.t.Helper()
	status, body := request(r.t, http.MethodGet, r.admin("/api/v1/traffic"), "", "")
	decoder := json.NewDecoder(strings.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&out); err != nil || status != http.StatusOK {
		r.t.Fatalf("status %d, %v: %s", status, err, body)
	}
	return out
}

func short(packets, bytes uint64) relay.Traffic {
	return relay.Traffic{ShortCircuit: relay.Count{Packets: packets, Bytes: bytes}}
}

// TestTraffic rolls up what two members of one room send each other, before and after one of them leaves.
func TestTraffic(t *testing.T) {
	r := start(t)
	ann, bob, idle := r.guest("blue", "udp"), r.guest("blue", "tcp"), r.guest("red", "udp")
	ann.wantPermission(bob.turn.relayed, 0)
	bob.wantPermission(ann.turn.relayed, 0)
	ann.turn.sendTo(bob.turn, "hello")
	bob.turn.sendTo(ann.turn, "and to you")
	eventually(t, "the last packet is counted", func() bool { return r.rollup().Total == short(2, 15) })
	all := r.rollup()
	if got := all.Transports; len(got) != 4 || got["udp"] != short(1, 5) || got["tcp"] != short(1, 10) {
		t.Errorf("transports: %+v", got)
	}
	if blue := all.Rooms["blue"]; len(all.Rooms) != 2 || blue.Members != 2 || blue.Traffic != short(2, 15) || all.Rooms["red"].Members != 1 {
		t.Errorf("rooms: %+v", all.Rooms)
	}
	annID, bobID := r.authority.MemberID(ann.Self().ID), r.authority.MemberID(bob.Self().ID)
	if u := all.Users[annID]; len(all.Users) != 3 || u.Allocations != 1 || u.Room != "blue" || u.Member != ann.Self().ID || u.Traffic != short(1, 5) {
		t.Errorf("users: %+v", all.Users)
	}

	if err := bob.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the room keeps what its former member relayed", func() bool {
		blue := r.rollup().Rooms["blue"]
		return blue.Members == 1 && blue.Traffic == short(2, 15)
	})
	all = r.rollup()
	if _, there := all.Users[bobID]; there || len(all.Users) != 2 || all.Total != short(2, 15) {
		t.Errorf("after bob left: %+v", all)
	}
	eventually(t, "the log says what bob relayed", func() bool {
		lines := slices.Collect(strings.Lines(r.log.String()))
		return slices.ContainsFunc(lines, func(l string) bool {
			return strings.Contains(l, `msg="member left" room=blue member=`+bob.Self().ID) && strings.Contains(l, "lasted=") && strings.Contains(l, "short_circuit_bytes=10")
		})
	})
	for _, g := range []*guest{ann, idle} {
		if err := g.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "nothing but the sums is left", func() bool {
		all := r.rollup()
		return len(all.Rooms) == 0 && len(all.Users) == 0 && all.Total == short(2, 15)
	})
}

// TestAllocationsNameTheirRoom where they have one.
func TestAllocationsNameTheirRoom(t *testing.T) {
	r := start(t)
	ann := r.guest("blue", "udp")
	free := r.authority.Mint("app", r.config.TURN.CredentialTTL)
	if code := dialTURN(t, r.localURLs()[0]).allocate(free.Username, free.Password); code != 0 {
		t.Fatal(code)
	}
	_, body := request(t, http.MethodGet, r.admin("/api/v1/allocations"), "", "")
	var list struct{ Allocations []map[string]any }
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Allocations) != 2 {
		t.Fatalf("%v: %s", err, body)
	}
	for _, a := range list.Allocations {
		fields := slices.Sorted(maps.Keys(a))
		switch a["user"] {
		case "app":
			if slices.Contains(fields, "room") || slices.Contains(fields, "member") {
				t.Errorf("%v", a)
			}
		default:
			if a["room"] != "blue" || a["member"] != ann.Self().ID || a["relayed"] != ann.turn.relayed.String() {
				t.Errorf("%v", a)
			}
		}
	}
}
