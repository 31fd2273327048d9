package credential

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// lookEvery is how often the file with the generated secrets is looked at; see notice.
const lookEvery = time.Minute

// Rotator gives an authority its secrets for as long as Run runs: generated ones are replaced as they age, also by another process that
// uses the same directory. Nothing that runs ends by it: credentials of the old secret open allocations until they expire, and
// allocations are never asked for their secret again.
type Rotator struct {
	authority *Authority
	log       *slog.Logger

	mu        sync.Mutex // held while the file is read or written, so that a look does not undo a SetSource; no credential waits for it
	source    Source
	minting   string // the secret that minted at the last look
	complaint string // what was wrong then
}

// NewRotator returns a rotator for an authority that was made with the secrets of source.
func NewRotator(a *Authority, source Source, log *slog.Logger) *Rotator {
	return &Rotator{authority: a, source: source, log: log}
}

// SetSource replaces the source and gives its secrets to the authority at once. After an error everything is as it was.
func (r *Rotator) SetSource(s Source) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	secrets, err := s.Load()
	if err != nil {
		return err
	}
	if err := r.authority.SetSecrets(secrets); err != nil {
		return err
	}
	r.source, r.minting = s, secrets[0]
	return nil
}

// Run looks after the secrets until ctx ends. It returns nil: with a file that cannot be read or written the authority goes on with what
// it has, and the log says so.
func (r *Rotator) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			timer.Reset(r.look(time.Now()))
		}
	}
}

// look brings file and authority up to date and returns when to look again.
func (r *Rotator) look(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.source.Configured) > 0 {
		return lookEvery
	}
	list, err := r.source.rotate(now)
	if len(list) == 0 {
		r.complain(err)
		return lookEvery
	}
	secrets := inOrder(list, now)
	r.complain(errors.Join(err, r.authority.SetSecrets(secrets)))
	if r.minting != "" && r.minting != secrets[0] {
		r.log.Info("the generated TURN secret was replaced; credentials of the old one are good until they expire", "secrets", len(secrets))
	}
	r.minting = secrets[0]
	if wait := list[0].since.Sub(now); wait > 0 {
		return min(wait, lookEvery)
	}
	return lookEvery
}

// complain tells once what is wrong, and that it is over.
func (r *Rotator) complain(err error) {
	switch {
	case err == nil && r.complaint != "":
		r.complaint = ""
		r.log.Info("the generated TURN secrets can be kept again")
	case err != nil && r.complaint != err.Error():
		r.complaint = err.Error()
		r.log.Warn("cannot replace the generated TURN secret, the old one stays in use: see that state_dir can be written", "error", err)
	}
}
