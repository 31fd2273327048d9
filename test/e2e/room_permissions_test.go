package e2e

import (
	"strings"
	"testing"

	"github.com/maitred/maitred/test/harness"
)

// TestRoomPermissions calls where members may reach only what others of their room have signalled: the page's own signals are enough,
// for candidates inside of the description and for those that trickle, and nothing is refused on the way.
func TestRoomPermissions(t *testing.T) {
	for _, tt := range []struct {
		name, transport string
		settings        []string
	}{
		{"relay ports", "", nil},
		{"no relay ports over UDP", "udp", []string{"MAITRED_TURN_RELAY_PORTS=none", "MAITRED_TURN_TCP=off"}},
		{"no relay ports over TCP", "tcp", []string{"MAITRED_TURN_RELAY_PORTS=none", "MAITRED_TURN_UDP=off"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := harness.Start(t, append(tt.settings, "MAITRED_TURN_ROOM_PERMISSIONS=true")...)
			ann, bob := twoPeople(t, d, startBrowser(t, headlessShell), tt.transport)
			if log := d.Log.String(); strings.Contains(log, "turn.room_permissions") {
				t.Error("the page asked for an address that nobody had signalled")
			}
			bob.click("#hangup")
			ann.sees(0)
			ann.click("#hangup")
			d.WaitForNoAllocations()
		})
	}
}
