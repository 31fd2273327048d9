package signaling

import (
	"maps"
	"sync"
	"time"
)

// banned are the resume tokens of members that were removed while their connection was lost. Without it the client's next attempt
// to resume would quietly become a fresh join. It is as large as the number of removals in so much time as a ban lasts.
type banned struct {
	mu      sync.Mutex
	until   map[string]time.Time
	sweepAt time.Time // not before: all of them are looked at
}

// minBan is for clients that try to resume where no seats are kept.
const minBan = time.Minute

// add bans a token for as long as a client tries to resume with it, twice over.
func (b *banned) add(token string, resume time.Duration) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.After(b.sweepAt) {
		maps.DeleteFunc(b.until, func(_ string, until time.Time) bool { return until.Before(now) })
		b.sweepAt = now.Add(time.Second)
	}
	if b.until == nil {
		b.until = map[string]time.Time{}
	}
	b.until[token] = now.Add(max(minBan, 2*resume))
}

func (b *banned) has(token string) bool {
	if token == "" {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	until, ok := b.until[token]
	return ok && time.Now().Before(until)
}
