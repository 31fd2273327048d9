//go:build !386 && !arm && !mips && !mipsle

package udpio

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A processor that wakes up for a few packets spends more on waking than on the packets. So one loop, the host, serves the others
// too while there is little to do: their epoll sets are in its own. A loop that is lent sleeps; when the host gets busy it gives
// loops back, and when a loop that runs on its own gets quiet it lends itself again.
const (
	hostWindow  = 10 * time.Millisecond  // over which the host measures how busy it is
	guestWindow = 100 * time.Millisecond // over which a loop on its own does
	busyShare   = 50                     // per cent of a window: the host gives a loop back above it
	quietShare  = 10                     // per cent: a loop lends itself below it
)

// lending is the host's side.
type lending struct {
	guests map[int32]*loop // by the descriptor of their epoll set; fixed after construction
	since  time.Time       // some moment before the host began; fixed after construction
	busy   atomic.Int64    // nanoseconds since then: the end of the last window in which the host had enough to do

	mu     sync.Mutex
	closed bool // guarded by mu; the host has ended and takes nobody on
}

// meter measures how much of its time a loop works. It belongs to the loop.
type meter struct {
	since time.Time // the start of the window
	busy  time.Duration
}

// add counts work from began until now. When the window is over it returns its share in per cent and begins another.
func (m *meter) add(began, now time.Time, window time.Duration) (share int64, over bool) {
	m.busy += now.Sub(began)
	elapsed := now.Sub(m.since)
	if elapsed < window {
		return 0, false
	}
	share = int64(100 * m.busy / elapsed)
	m.since, m.busy = now, 0
	return share, true
}

// lend hands the loop to its host and waits until it comes back, if the host takes it.
func (l *loop) lend() {
	if l.host != nil && l.host.take(l) {
		<-l.returned
		l.meter = meter{since: time.Now()}
	}
}

// take makes the host serve l from now on. It does not when it has enough to do, or when the system has no memory for it.
func (h *loop) take(l *loop) bool {
	h.lending.mu.Lock()
	defer h.lending.mu.Unlock()
	lately := int64(time.Since(h.lending.since) - guestWindow)
	if h.lending.closed || h.lending.busy.Load() > lately {
		return false
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(l.epoll)}
	if unix.EpollCtl(h.epoll, unix.EPOLL_CTL_ADD, l.epoll, &event) != nil {
		return false
	}
	l.lent.Store(true) // only now: the host gives back what is lent. Until then it leaves events of the loop alone, and sees them again.
	return true
}

// serveGuest does l's work in the host's goroutine.
func (h *loop) serveGuest(l *loop) error {
	if !l.lent.Load() || !l.poll(uintptr(l.epoll)) {
		return nil
	}
	if err := l.serve(); err != nil {
		return err
	}
	if l.stopped {
		return h.giveBack(l)
	}
	return nil
}

// giveBack lets l run on its own again.
func (h *loop) giveBack(l *loop) error {
	if err := unix.EpollCtl(h.epoll, unix.EPOLL_CTL_DEL, l.epoll, nil); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	l.lent.Store(false)
	l.returned <- struct{}{}
	return nil
}

// balance acts on what the meter says when a window is over.
func (l *loop) balance(began time.Time) error {
	if l.host != nil {
		if share, over := l.meter.add(began, time.Now(), guestWindow); over && share < quietShare {
			l.lend()
		}
		return nil
	}
	now := time.Now()
	share, over := l.meter.add(began, now, hostWindow)
	if !over {
		return nil
	}
	if share > busyShare/2 {
		l.lending.busy.Store(int64(now.Sub(l.lending.since)))
	}
	if share > busyShare {
		for _, guest := range l.lending.guests {
			if guest.lent.Load() {
				return l.giveBack(guest) // one at a time: the next window tells whether that was enough
			}
		}
	}
	return nil
}

// dismiss gives every guest back, for good.
func (h *loop) dismiss() (err error) {
	h.lending.mu.Lock()
	h.lending.closed = true
	h.lending.mu.Unlock()
	for _, guest := range h.lending.guests {
		if guest.lent.Load() {
			err = errors.Join(err, h.giveBack(guest))
		}
	}
	return err
}
