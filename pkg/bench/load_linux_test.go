package bench

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pion/stun"
)

// TestFloodCannotBegin and leaves no timer open.
func TestFloodCannotBegin(t *testing.T) {
	c := fakeServer(t, "udp", func(m *stun.Message) *stun.Message { return success(m, netip.MustParseAddrPort("127.0.0.1:50000"), "") })
	c.Flood, c.Tick, c.Burst, c.Size = 1, MinTick, 1, MinSize
	before := openTimers(t)
	err := new(Report).load(t.Context(), c, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "the server accepts a wrong password") {
		t.Error(err)
	}
	if after := openTimers(t); after != before {
		t.Errorf("%d timers, %d before", after, before)
	}
}

func openTimers(t *testing.T) (n int) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if target, err := os.Readlink(file); err == nil && strings.Contains(target, "timerfd") {
			n++
		}
	}
	return n
}
