package signaling

import (
	"sync"
	"time"
)

// lease orders the credentials of one member: none is minted before it has its seat, or after it was released.
type lease struct {
	mu    sync.Mutex
	begun bool
	ended bool
	renew time.Time // when the newest credential has lived half of its time; zero where there is none
}

func (l *lease) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun = true
}

// mint asks the provider for ICE servers. It returns none unless the lease goes on.
func (l *lease) mint(p ICEProvider, memberID, host string) ([]ICEServer, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p == nil || !l.begun || l.ended {
		return []ICEServer{}, 0
	}
	servers, ttl := p.ICEServers(memberID, host)
	l.renew = time.Now().Add(ttl / 2)
	if servers == nil {
		servers = []ICEServer{} // [] in JSON, not null
	}
	return servers, ttl
}

// due reports whether the member should get a new credential.
func (l *lease) due() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.ended && !l.renew.IsZero() && time.Now().After(l.renew)
}

// end reports true the first time.
func (l *lease) end() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := !l.ended
	l.ended = true
	return first
}
