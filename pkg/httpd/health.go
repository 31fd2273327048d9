package httpd

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

const (
	readyTimeout = 3 * time.Second
	// Anyone may ask /readyz and each check works the relay, so answers are
	// shared for this long.
	readyFresh = time.Second
)

func healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]string{"status": "ok"})
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		writeProblem(w, http.StatusServiceUnavailable, "draining", "The daemon is shutting down; use another one.")
		return
	}
	if err := s.ready.ask(r.Context()); err != nil {
		writeProblem(w, http.StatusServiceUnavailable, "not_ready", err.Error())
		return
	}
	writeJSON(w, map[string]string{"status": "ready"})
}

// readiness runs one check at a time and shares its answer.
type readiness struct {
	check func(context.Context) error // may be nil
	fresh time.Duration               // how long an answer is shared

	mu      sync.Mutex
	at      time.Time
	answer  error
	running chan struct{} // closed when the running check ends, nil when none runs
}

func (r *readiness) ask(ctx context.Context) error {
	if r.check == nil {
		return nil
	}
	for {
		r.mu.Lock()
		if time.Since(r.at) < r.fresh {
			defer r.mu.Unlock()
			return r.answer
		}
		wait := r.running
		if wait == nil {
			r.running = make(chan struct{})
			r.mu.Unlock()
			return r.run(ctx)
		}
		r.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *readiness) run(ctx context.Context) error {
	// Others wait for this answer: it must not fail because its asker left.
	fresh, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout)
	defer cancel()
	err := errors.New("the readiness check panicked")
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.at, r.answer = time.Now(), err
		close(r.running)
		r.running = nil
	}()
	err = r.check(fresh)
	return err
}
