package signaling

import (
	"sync"
	"time"
)

// banned are the resume tokens of members that were removed while their connection was lost. Without it the client's next attempt
// to resume would quietly become a fresh join. It is as large as the number of removals in so much time as a ban lasts.
type banned struct {
	mu    sync.Mutex
	until map[string]time.Time
}

// minBan is for clients that try to resume where no seats are kept.
const minBan = time.Minute

// add bans a token for as long as a client tries to resume with it, twice over.
func (b *banned) add(token string, resume time.Duration) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for t, until := range b.until {
		if until.Before(now) {
			delete(b.until, t)
		}
	}
	if b.until == nil {
		b.until = map[string]time.Time{}
	}
	b.until[token] = now.Add(max(minBan, 2*resume))
}

func (b *banned) has(token string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	until, ok := b.until[token]
	return ok && time.Now().Before(until)
}
