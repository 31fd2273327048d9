package signaling

import (
	"net/netip"
	"strconv"
	"sync"
	"testing"
)

// floods are messages that have limit addresses each, none of them in two of the messages.
func floods(t testing.TB, limit int) [][]byte {
	t.Helper()
	messages := make([][]byte, 4)
	for i := range messages {
		var lines []string
		for k := range limit {
			lines = append(lines, host(netip.AddrFrom4([4]byte{198, 18, byte(i), byte(k)}).String()))
		}
		messages[i] = []byte(encoded(t, lines))
	}
	return messages
}

// BenchmarkLearn notes as many new addresses as are remembered of a member that has signalled as many before.
func BenchmarkLearn(b *testing.B) {
	for _, limit := range []int{64, 256} {
		b.Run(strconv.Itoa(limit), func(b *testing.B) {
			told, r, messages := newTold(true, limit), &room{}, floods(b, limit)
			told.enter(r, "from")
			told.enter(r, "to")
			told.learn("from", "to", messages[len(messages)-1])
			b.SetBytes(int64(len(messages[0])))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				told.learn("from", "to", messages[i%len(messages)])
			}
		})
	}
}

// BenchmarkMaySend asks while the members of a room signal new addresses as fast as they can.
func BenchmarkMaySend(b *testing.B) {
	for _, asks := range []string{"mate", "stranger"} {
		for _, flooders := range []int{0, 1, 8} {
			b.Run(asks+"/"+strconv.Itoa(flooders), func(b *testing.B) {
				const limit = 64
				told, flooded, messages := newTold(true, limit), &room{}, floods(b, limit)
				told.enter(flooded, "mate")
				told.enter(&room{}, "stranger")
				stop := make(chan struct{})
				var all sync.WaitGroup
				for i := range flooders {
					id := strconv.Itoa(i)
					told.enter(flooded, id)
					all.Go(func() {
						for n := i; ; n++ {
							select {
							case <-stop:
								return
							default:
								told.learn(id, "", messages[n%len(messages)])
							}
						}
					})
				}
				ip := netip.MustParseAddr("192.0.2.1")
				for b.Loop() {
					told.maySend(asks, ip)
				}
				close(stop)
				all.Wait()
			})
		}
	}
}
