package relay

import (
	"net/netip"
	"sync"
	"testing"
)

func newTable() *table {
	t := new(table)
	t.init()
	return t
}

// key is the n-th of as many different addresses as a test wants, of both families.
func key(n int) netip.AddrPort {
	port := uint16(n%60000 + 1)
	if n%2 == 0 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)}), port)
}

func TestTableGrowsAndEmpties(t *testing.T) {
	const n = 5000
	table, sessions := newTable(), make([]Session, n)
	for i := range sessions {
		if table.get(key(i)) != nil {
			t.Fatalf("%v is there before it was put", key(i))
		}
		table.put(key(i), &sessions[i])
	}
	buckets := *table.buckets.Load()
	if len(buckets) < n/2 || table.size != n || len(table.all()) != n {
		t.Errorf("%d buckets for %d sessions, %d listed", len(buckets), table.size, len(table.all()))
	}
	for i := range sessions {
		if table.get(key(i)) != &sessions[i] {
			t.Fatalf("%v is lost", key(i))
		}
	}
	for i := range sessions {
		table.remove(key(i), &sessions[(i+1)%n]) // another one's: stays
		if table.get(key(i)) != &sessions[i] {
			t.Fatalf("%v was removed for another session", key(i))
		}
		table.remove(key(i), &sessions[i])
		table.remove(key(i), &sessions[i]) // again: nothing to do
		if table.get(key(i)) != nil {
			t.Fatalf("%v is there after it was removed", key(i))
		}
	}
	if table.size != 0 || len(table.all()) != 0 {
		t.Errorf("%d sessions, %d listed", table.size, len(table.all()))
	}
}

// TestTableSpreads keys as they are in life: one address with many ports, and one port at many addresses.
func TestTableSpreads(t *testing.T) {
	one := netip.MustParseAddr("203.0.113.5")
	for _, tt := range []struct {
		name string
		key  func(int) netip.AddrPort
	}{
		{"relayed addresses", func(n int) netip.AddrPort { return netip.AddrPortFrom(own4, uint16(49152+n)) }},
		{"clients behind one NAT", func(n int) netip.AddrPort { return netip.AddrPortFrom(one, uint16(2*n+1)) }},
		{"one port everywhere", func(n int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{100, 1, byte(n >> 8), byte(n)}), 40000)
		}},
		{"IPv6 hosts of one network", func(n int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 14: byte(n >> 8), 15: byte(n)}), 40000)
		}},
		{"IPv6 networks", func(n int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 6: byte(n >> 8), 7: byte(n), 15: 1}), 40000)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table, s := newTable(), new(Session)
			for i := range 16000 {
				table.put(tt.key(i), s)
			}
			longest := 0
			buckets := *table.buckets.Load()
			for i := range buckets {
				n := 0
				for node := buckets[i].Load(); node != nil; node = node.next {
					n++
				}
				longest = max(longest, n)
			}
			if longest > 30 { // at a load of two, a chain of 15 is already one in a million
				t.Errorf("a bucket of %d among %d for 16,000 sessions", longest, len(buckets))
			}
		})
	}
}

// TestTableConcurrently has writers on keys of their own beside readers of keys that stay.
func TestTableConcurrently(t *testing.T) {
	const stay, workers, each = 100, 4, 500
	table, sessions := newTable(), make([]Session, stay+workers*each)
	for i := range stay {
		table.put(key(i), &sessions[i])
	}
	var g sync.WaitGroup
	for w := range workers {
		g.Go(func() {
			for n := range each {
				i := stay + w*each + n
				table.put(key(i), &sessions[i])
				if table.get(key(i)) != &sessions[i] {
					t.Errorf("%v is not there right after put", key(i))
				}
				if n%2 == 0 {
					table.remove(key(i), &sessions[i])
					if table.get(key(i)) != nil {
						t.Errorf("%v is there right after remove", key(i))
					}
				}
			}
		})
		g.Go(func() {
			for n := range 20 * stay {
				if table.get(key(n%stay)) != &sessions[n%stay] {
					t.Errorf("%v is lost for a moment", key(n%stay))
				}
			}
			if n := len(table.all()); n < stay {
				t.Errorf("only %d listed", n)
			}
		})
	}
	g.Wait()
	if want := stay + workers*each/2; table.size != want || len(table.all()) != want {
		t.Errorf("%d sessions, %d listed, want %d", table.size, len(table.all()), want)
	}
}
