package daemon

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/maitred/maitred/pkg/signaling"
)

// reported is what the server tells a guest of the relay.
func (g *guest) reported() []signaling.MemberRelay {
	g.t.Helper()
	if err := g.AskRelay(g.t.Context()); err != nil {
		g.t.Fatal(err)
	}
	told := expectEvent[*signaling.RelayReport](g).Members
	if !reflect.DeepEqual(told, g.Relay()) {
		g.t.Errorf("told %+v, the view has %+v", told, g.Relay())
	}
	return told
}

// TestRelayIsAttested has two members on the relay, one over UDP and one over TCP, and a stranger in another room who is on it, too.
func TestRelayIsAttested(t *testing.T) {
	r := start(t)
	ann, bob, stranger := r.guest("blue", "udp"), r.guest("blue", "tcp"), r.guest("red", "udp")
	ann.wantPermission(bob.turn.relayed, 0)
	bob.wantPermission(ann.turn.relayed, 0)
	ann.turn.sendTo(bob.turn, strings.Repeat("x", 1000))
	of := func(g *guest, transport string, bytes uint64) signaling.MemberRelay {
		return signaling.MemberRelay{Member: g.Self().ID, Allocations: []signaling.RelayAllocation{{Transport: transport, Relayed: g.turn.relayed.String(), Bytes: bytes}}}
	}
	want := func(asker *guest, want ...signaling.MemberRelay) {
		t.Helper()
		got := fmt.Sprintf("%+v", asker.reported())
		if want := fmt.Sprintf("%+v", want); got != want {
			t.Errorf("told %s,\nwant %s", got, want)
		}
		if client := bob.turn.conn.LocalAddr().String(); strings.Contains(got, client) {
			t.Errorf("told a member's own address %s in %s", client, got)
		}
	}
	eventually(t, "what was sent is counted", func() bool {
		told := r.Relayed(ann.Self().ID)
		return len(told) == 1 && told[0].Bytes == 1000
	})
	want(ann, of(ann, "udp", 1000), of(bob, "tcp", 0))
	want(stranger, of(stranger, "udp", 0))
	if err := ann.Leave(context.Background()); err != nil {
		t.Fatal(err)
	}
	expectEvent[*signaling.MemberLeft](bob)
	want(bob, of(bob, "tcp", 0))
	if told := r.Relayed(ann.Self().ID); len(told) != 0 {
		t.Errorf("who has left still has %+v", told)
	}
}
