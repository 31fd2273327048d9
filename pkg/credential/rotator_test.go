package credential

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// transcript is a log that can be read while it is written.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *transcript) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// rotating runs a rotator on a directory for the rest of a bubble, whose clock stands still while anything works.
func rotating(t *testing.T, source Source) (*Authority, *Rotator, *transcript) {
	t.Helper()
	secrets, err := source.Load()
	if err != nil {
		t.Fatal(err)
	}
	log := &transcript{}
	a := authority(t, secrets...)
	r := NewRotator(a, source, slog.New(slog.NewTextHandler(log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	synctest.Wait()
	return a, r, log
}

// pass lets time go by.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// good tells whether a credential opens allocations now.
func good(a *Authority, c Credential) bool {
	_, _, err := a.Verify(c.Username, time.Now(), accepts(c.Username, c.Password))
	return err == nil
}

// mintingSecret is the secret that mints now.
func mintingSecret(a *Authority) string { return (*a.secrets.Load())[0] }

// TestRotation follows the daemon, and another process that only mints, over a week.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := Source{Dir: filepath.Join(t.TempDir(), "state"), Rotation: 2 * day, Keep: day}
		a, _, log := rotating(t, source)
		secrets := []string{mintingSecret(a)} // that have minted
		var minted []Credential               // of the last 24 hours, one an hour, each with the longest life
		for hour := range 24 * 7 {
			other, err := source.Load()
			if err != nil || other[0] != mintingSecret(a) {
				t.Fatalf("after %d hours another process mints with another secret: %v", hour, err)
			}
			minted = append(minted, a.Mint("x", day))
			pass(time.Hour - time.Second)
			if len(minted) == 24 {
				if !good(a, minted[0]) {
					t.Fatalf("after %d hours: a credential ends before its expiry", hour)
				}
				minted = minted[1:]
			}
			pass(time.Second)
			if n := len(*a.secrets.Load()); n > 3 {
				t.Fatalf("after %d hours %d secrets verify", hour, n)
			}
			if s := mintingSecret(a); s != secrets[len(secrets)-1] {
				secrets = append(secrets, s)
			}
		}
		if got := strings.Count(log.String(), "secret was replaced"); len(secrets) != 4 || got != 3 {
			t.Errorf("in 7 days %d secrets have minted, and the log has\n%s", len(secrets), log)
		}
		for _, secret := range secrets {
			if strings.Contains(log.String(), secret) {
				t.Error("a secret is in the log")
			}
		}
	})
}

// TestOldSecretEnds: who has got hold of a secret can mint with it until the last honest credential of it has expired, and no longer.
func TestOldSecretEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _, _ := rotating(t, Source{Dir: t.TempDir(), Rotation: 2 * day, Keep: day})
		stolen := authority(t, mintingSecret(a))
		pass(2*day + time.Hour)
		if !good(a, stolen.Mint("x", day)) {
			t.Error("the old secret does not verify after an hour")
		}
		pass(day + time.Hour)
		if good(a, stolen.Mint("x", day)) {
			t.Error("the old secret verifies after its last credential has expired")
		}
	})
}

// TestTwoDaemons of one directory, which want other rotations, take each other's credentials at any time.
func TestTwoDaemons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		a, _, _ := rotating(t, Source{Dir: dir, Rotation: 2 * day, Keep: day})
		pass(30 * time.Second) // they do not look at the same time
		b, _, _ := rotating(t, Source{Dir: dir, Rotation: 7 * day, Keep: day})
		first := mintingSecret(a)
		for range 24 * 60 * 3 {
			if !good(a, b.Mint("x", time.Hour)) || !good(b, a.Mint("x", time.Hour)) {
				t.Fatalf("refused at %v", time.Now())
			}
			pass(time.Minute)
		}
		if mintingSecret(a) == first || mintingSecret(a) != mintingSecret(b) {
			t.Error("they do not mint with one new secret")
		}
	})
}

// TestSetSource: configured secrets take the place of the generated one and give it back.
func TestSetSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		generated := Source{Dir: filepath.Join(t.TempDir(), "state"), Rotation: 2 * day, Keep: day}
		a, r, log := rotating(t, Source{Configured: []string{"mine", "other"}})
		c := authority(t, "other").Mint("x", 90*day)
		pass(3 * day)
		if !good(a, c) || mintingSecret(a) != "mine" {
			t.Error("configured secrets do not stay")
		}
		if err := r.SetSource(generated); err != nil {
			t.Fatal(err)
		}
		first := mintingSecret(a)
		if good(a, c) || len(first) != 40 {
			t.Errorf("the generated secret is not in use")
		}
		pass(3 * day)
		if mintingSecret(a) == first {
			t.Error("it does not rotate")
		}
		if err := r.SetSource(Source{Dir: os.DevNull}); err == nil {
			t.Error("a source without a file is taken")
		}
		if err := r.SetSource(Source{Configured: []string{""}}); err == nil {
			t.Error("an empty secret is taken")
		}
		before := mintingSecret(a)
		pass(3 * day)
		if mintingSecret(a) == before {
			t.Error("after an error it does not rotate any more")
		}
		if lines, replaced := strings.Count(log.String(), "\n"), strings.Count(log.String(), "was replaced"); lines != 3 || replaced != 3 {
			t.Errorf("the log has\n%s", log)
		}
	})
}

// TestRotationFails: the old secret stays until the new one can be kept, and the log says each once.
func TestRotationFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := Source{Dir: t.TempDir(), Rotation: 2 * day, Keep: day}
		obstacle := filepath.Join(source.Dir, lockFile)
		a, _, log := rotating(t, source)
		first := mintingSecret(a)
		if err := os.Mkdir(obstacle, 0o700); err != nil {
			t.Fatal(err)
		}
		pass(3 * day)
		if mintingSecret(a) != first || strings.Count(log.String(), "level=WARN") != 1 || strings.Count(log.String(), "\n") != 1 {
			t.Errorf("while the file cannot be written the log has\n%s", log)
		}
		if err := os.Remove(obstacle); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		if mintingSecret(a) == first || !strings.Contains(log.String(), "can be kept again") || !strings.Contains(log.String(), "was replaced") {
			t.Errorf("after that the log has\n%s", log)
		}
		if err := os.Remove(source.path()); err != nil {
			t.Fatal(err)
		}
		second := mintingSecret(a)
		pass(3 * day)
		if mintingSecret(a) != second || strings.Count(log.String(), "level=WARN") != 2 {
			t.Errorf("without the file the log has\n%s", log)
		}
	})
}
