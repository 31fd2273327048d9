package signaling

import (
	"sync"
	"time"
)

// alarm is a timer whose owner can wait for its function to end: tasks counts an alarm that is set or running.
type alarm struct {
	tasks *sync.WaitGroup

	mu    sync.Mutex
	timer *time.Timer
	off   bool
}

// set runs f after d, instead of what was set before. After stop it does nothing.
func (a *alarm) set(d time.Duration, f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.off {
		return
	}
	a.clearLocked()
	a.tasks.Add(1)
	a.timer = time.AfterFunc(d, func() {
		defer a.tasks.Done()
		f()
	})
}

// clear forgets what was set, unless it runs already.
func (a *alarm) clear() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clearLocked()
}

// stop is clear for good.
func (a *alarm) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.off = true
	a.clearLocked()
}

func (a *alarm) clearLocked() {
	if a.timer != nil && a.timer.Stop() {
		a.tasks.Done()
	}
	a.timer = nil
}
