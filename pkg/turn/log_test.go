package turn

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/maitred/maitred/pkg/relay"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// logBuffer keeps what the server logs.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// eventually polls a condition that no event announces.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("it never became true that %s", what)
		}
	}
}

func (s *testServer) dropped(d relay.Drop) uint64 { return s.relay.Stats().Dropped[d] }

// wantDrop waits until exactly n packets were dropped for that reason.
func (s *testServer) wantDrop(t *testing.T, d relay.Drop, n uint64) {
	t.Helper()
	eventually(t, d.String()+" packets are counted", func() bool { return s.dropped(d) >= n })
	if got := s.dropped(d); got != n {
		t.Errorf("%d packets dropped as %v, want %d", got, d, n)
	}
}

func (s *testServer) wantAllocations(t *testing.T, n int) {
	t.Helper()
	eventually(t, "the number of allocations is right", func() bool { return len(s.Allocations()) == n })
	gauge := testutil.ToFloat64(s.metrics.allocations.WithLabelValues("udp")) + testutil.ToFloat64(s.metrics.allocations.WithLabelValues("tcp"))
	if int(gauge) != n {
		t.Errorf("maitred_turn_allocations is %v, want %d", gauge, n)
	}
}
