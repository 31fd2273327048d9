package icecheck

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun"
)

// shortly is long enough for a few packets of each kind.
const shortly = 200 * time.Millisecond

func target(s *fakeServer, t *testing.T, network string) Target {
	t.Helper()
	return Target{URL: "turn:" + s.start(t, network, "127.0.0.1") + "?transport=" + network, Username: testUser, Password: testPassword}
}

func TestMeasureLoop(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			relay := newFakeRelay()
			s := &fakeServer{relay: relay, respond: relay.respond}
			l, err := MeasureLoop(t.Context(), target(s, t, network), shortly)
			if err != nil {
				t.Fatal(err)
			}
			if l.Sent < 1 || l.Lost != 0 || l.Loss() != 0 || l.BulkSent < 1 || l.BulkLost != 0 || l.RTT50 <= 0 || l.RTT99 < l.RTT50 || l.Jitter < 0 || l.Offered <= 0 || l.Throughput <= 0 {
				t.Errorf("%+v", l)
			}
			if requests, lifetime := s.seen(); !slices.Equal(requests[len(requests)-4:], []string{"ChannelBind+", "ChannelBind+", "Refresh+", "Refresh+"}) || !slices.Equal(lifetime, make([]byte, 4)) {
				t.Errorf("requests %v, last lifetime %x", requests, lifetime)
			}
		})
	}
}

// TestMeasureLoopLoses: every second small packet and three quarters of the large ones do not come through.
func TestMeasureLoopLoses(t *testing.T) {
	relay := newFakeRelay()
	relay.pass = func(b []byte) bool {
		n := b[channelHeader+payloadHead-1]
		return b[channelHeader] == probePacket && n%2 == 0 || b[channelHeader] == bulkPacket && n%4 == 0
	}
	s := &fakeServer{relay: relay, respond: relay.respond}
	l, err := MeasureLoop(t.Context(), target(s, t, "udp"), 2*shortly)
	if err != nil || l.Sent < 2 || l.Lost != l.Sent/2 || l.BulkSent-l.BulkLost != (l.BulkSent+3)/4 {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestMeasureLoopFails(t *testing.T) {
	for _, tt := range []struct {
		name, network string
		respond       func(relay *fakeRelay) responder // nil: the relay's
		pass          func([]byte) bool
		says          string
		gaveUp        int
	}{
		{"nothing comes through", "udp", nil, func([]byte) bool { return false }, "the server allocated, but nothing comes through between two of its relayed addresses", 2},
		{"no loops", "udp", func(r *fakeRelay) responder {
			return first(instead(stun.MethodChannelBind, true, code(403)), r.respond)
		}, nil,
			"the server does not let its relayed addresses reach each other: error 403 Reason: forbidden by the server's policy", 2},
		{"one each", "tcp", func(r *fakeRelay) responder {
			return first(func(n int, m *stun.Message, _ netip.AddrPort) ([][]byte, bool) {
				if n > 3 && m.Type.Method == stun.MethodAllocate && m.Contains(stun.AttrMessageIntegrity) {
					return reply(failure(m, 486))
				}
				return nil, false
			}, r.respond)
		}, nil, "one allocation works, a second one beside it does not: error 486 Reason: the quota of allocations is used up", 1},
		{"does not give up", "udp", func(r *fakeRelay) responder { return first(instead(stun.MethodRefresh, true, code(437)), r.respond) }, nil,
			"the server allocated, but the allocation could not be given up: error 437", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			relay := newFakeRelay()
			relay.pass = tt.pass
			s := &fakeServer{relay: relay, respond: relay.respond}
			if tt.respond != nil {
				s.respond = tt.respond(relay)
			}
			_, err := MeasureLoop(t.Context(), target(s, t, tt.network), shortly)
			wantError(t, err, tt.says)
			requests, _ := s.seen()
			if n := len(slices.DeleteFunc(slices.Clone(requests), func(r string) bool { return r != "Refresh+" })); n != tt.gaveUp {
				t.Errorf("%d allocations were given up, want %d: %v", n, tt.gaveUp, requests)
			}
		})
	}
}

// first asks one responder, then the other.
func first(a, b responder) responder {
	return func(n int, m *stun.Message, from netip.AddrPort) ([][]byte, bool) {
		if packets, ok := a(n, m, from); ok {
			return packets, true
		}
		return b(n, m, from)
	}
}

func TestMeasureLoopRefuses(t *testing.T) {
	for url, says := range map[string]string{"stun:127.0.0.1": `"stun:127.0.0.1" is no turn: or turns: URL`, "example.com": `"example.com" is no STUN or TURN URL`} {
		_, err := MeasureLoop(t.Context(), Target{URL: url}, shortly)
		wantError(t, err, says)
	}
}

// TestMeasureLoopEndsWithItsContext cancels in the middle of the packets.
func TestMeasureLoopEndsWithItsContext(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		relay := newFakeRelay()
		relay.pass = func([]byte) bool { cancel(); return true }
		s := &fakeServer{relay: relay, respond: relay.respond}
		if _, err := MeasureLoop(ctx, target(s, t, network), time.Hour); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", network, err)
		}
	}
}

// TestMeasureLoopBreaksOff: the server sends something on the connection that is no TURN.
func TestMeasureLoopBreaksOff(t *testing.T) {
	relay := newFakeRelay()
	relay.pass = func(b []byte) bool { copy(b, "HTTP"); return true }
	s := &fakeServer{relay: relay, respond: relay.respond}
	_, err := MeasureLoop(t.Context(), target(s, t, "tcp"), time.Hour)
	wantError(t, err, "relaying broke off: the server does not speak STUN")
}
