package daemon

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/pion/stun"
)

// dropped is what the metrics say of a reason.
func (r *running) dropped(reason string) int {
	r.t.Helper()
	status, body := request(r.t, http.MethodGet, r.admin("/metrics"), "", "")
	match := regexp.MustCompile(`(?m)^maitred_turn_dropped_packets_total\{reason="` + reason + `"\} (\d+)$`).FindStringSubmatch(body)
	if status != http.StatusOK || match == nil {
		r.t.Fatalf("status %d, no count of %s in\n%s", status, reason, body)
	}
	n, err := strconv.Atoi(match[1])
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// pair are two members of a room who may send to each other through the relay.
func (r *running) pair(room string) (from, to *turnClient) {
	r.t.Helper()
	a, b := r.guest(room, "udp"), r.guest(room, "udp")
	a.wantPermission(b.turn.relayed, 0)
	b.wantPermission(a.turn.relayed, 0)
	return a.turn, b.turn
}

// TestBandwidthReloaded goes from no limit to the lowest that can be configured, and back. That limit has a burst of 64 KiB and
// relays 8,000 bytes a second.
func TestBandwidthReloaded(t *testing.T) {
	payload := strings.Repeat("x", 1200)
	const packets = 100 // far more than the burst; they take a fraction of a second
	for _, key := range []string{"turn.bandwidth.per_allocation", "turn.bandwidth.total"} {
		t.Run(key, func(t *testing.T) {
			r := start(t)
			reload := func(value string) {
				t.Helper()
				if err := r.Reload(load(t, "turn.secrets", "0123456789abcdef", key, value)); err != nil || !Reloadable(key) {
					t.Fatal(err)
				}
			}
			free := func(room string) {
				t.Helper()
				from, to := r.pair(room)
				for range packets {
					from.sendTo(to, payload)
				}
			}
			free("before")
			reload("64k")
			from, to := r.pair("limited")
			data := stun.RawAttribute{Type: stun.AttrData, Value: []byte(payload)}
			m := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), peerAddress(to.relayed), data)
			eventually(t, "packets over the limit are dropped", func() bool {
				for range packets {
					if _, err := from.conn.Write(m.Raw); err != nil {
						t.Fatal(err)
					}
				}
				return r.dropped("bandwidth") > 0
			})
			reload("0")
			free("after")
		})
	}
}

// TestBandwidthAtTheStart is the same limit from the beginning.
func TestBandwidthAtTheStart(t *testing.T) {
	r := start(t, "turn.bandwidth.per_allocation", "64k", "turn.bandwidth.total", "1.5G")
	if got := r.turnConfig().Bandwidth; got.PerAllocation != 64_000 || got.Total != 1_500_000_000 {
		t.Errorf("the relay is given %+v", got)
	}
	from, to := r.pair("blue")
	from.sendTo(to, "hello")
	if n := r.dropped("bandwidth"); n != 0 {
		t.Errorf("%d packets dropped", n)
	}
}
