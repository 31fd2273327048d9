package credential

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Source is where the secrets of an authority come from: the configuration, or a file that holds generated ones.
type Source struct {
	Configured []string // the first mints, all verify; where there are any, nothing else counts

	Dir      string        // of the file with the generated secrets
	Rotation time.Duration // how long a generated secret mints, at least Keep; 0: for good
	Keep     time.Duration // how long it verifies after that: the longest life of a credential
}

// Load returns the secrets, the one that mints first. It makes the file where there is none, readable by the owner only, and never changes one
// that is there: a process that only mints must not have a secret that the daemon beside it has not read yet. Processes that start at
// the same time end up with the same secret.
func (s Source) Load() ([]string, error) {
	if len(s.Configured) > 0 {
		return slices.Clone(s.Configured), nil
	}
	now := time.Now()
	list, err := s.read()
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.create(now); err == nil {
			list, err = s.read()
		}
	}
	if err != nil {
		return nil, err
	}
	return inOrder(list, now), nil
}

const (
	secretFile    = "turn-secret"      // where generated secrets live below the state directory
	lockFile      = "turn-secret.lock" // locked by who replaces that file
	maxSecretFile = 64 << 10           // bytes
)

// notice is how long before it mints a secret is in the file. Whoever looks at the file more often than that (lookEvery) verifies with it by then,
// and so several daemons can share one directory.
const notice = 5 * time.Minute

// generated is one line of the file: RFC 3339 time, blank, secret. The newest is first.
type generated struct {
	since  time.Time // when it begins to mint, in whole seconds; zero in a file of the time before secrets rotated
	secret string
}

// inOrder returns the secrets with the one that mints at now first: the newest whose time has come.
func inOrder(list []generated, now time.Time) []string {
	current := slices.IndexFunc(list, func(g generated) bool { return !g.since.After(now) })
	if current < 0 { // the clock was set back
		current = len(list) - 1
	}
	secrets := []string{list[current].secret}
	for i, g := range list {
		if i != current {
			secrets = append(secrets, g.secret)
		}
	}
	return secrets
}

// advance returns what the file has to hold from now on. Since a secret mints for as long as its credentials live, or longer, these are at most
// four secrets: the current one, the one before it, for minutes the one before that, and for minutes the next one.
func (s Source) advance(list []generated, now time.Time) []generated {
	now = now.UTC().Truncate(time.Second)
	next := slices.Clone(list)
	for i, g := range next {
		if g.since.After(now.Add(notice)) { // made when the clock was wrong
			next[i].since = now.Add(notice)
		}
	}
	if s.Rotation > 0 && next[0].since.IsZero() {
		next[0].since = now
	}
	for len(next) > 1 && now.After(next[len(next)-2].since.Add(s.Keep+notice)) {
		next = next[:len(next)-1]
	}
	due := next[0].since.Add(max(s.Rotation, s.Keep))
	if s.Rotation > 0 && !now.Add(notice).Before(due) {
		next = slices.Insert(next, 0, generated{now.Add(notice), randomID(25)})
	}
	return next
}

// rotate brings the file up to date and returns what it holds. Only one process does that at a time; another one that finds it busy goes on with
// what it has read, and sees the rest when it looks again.
func (s Source) rotate(now time.Time) (list []generated, err error) {
	list, err = s.read()
	if err != nil || slices.Equal(s.advance(list, now), list) {
		return list, err
	}
	unlock, err := tryLock(filepath.Join(s.Dir, lockFile))
	if err != nil {
		return list, fmt.Errorf("lock the generated secrets: %w", err)
	}
	if unlock == nil {
		return list, nil
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if list, err = s.read(); err != nil {
		return list, err
	}
	next := s.advance(list, now)
	if slices.Equal(next, list) {
		return list, nil
	}
	if err := s.replace(next); err != nil {
		return list, err // nobody else knows the new secret
	}
	return next, nil
}

func (s Source) path() string { return filepath.Join(s.Dir, secretFile) }

func (s Source) read() ([]generated, error) {
	f, err := os.Open(s.path())
	if err != nil {
		return nil, fmt.Errorf("read the generated secrets: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the generated secrets: %w", err)
	}
	list, err := parseSecrets(text)
	if err != nil {
		return nil, fmt.Errorf("%s %w: restore it, or delete it and a new secret is made", s.path(), err)
	}
	return list, nil
}

// parseSecrets reads the file, or that of a version before secrets rotated, which was one secret alone. No error shows a part of it.
func parseSecrets(text []byte) ([]generated, error) {
	if len(text) > maxSecretFile {
		return nil, fmt.Errorf("is longer than %d bytes", maxSecretFile)
	}
	var list []generated
	n := 0
	for line := range bytes.Lines(text) {
		n++
		switch fields := strings.Fields(string(line)); len(fields) {
		case 0:
		case 1:
			list = append(list, generated{secret: fields[0]})
		case 2:
			since, err := time.Parse(time.RFC3339, fields[0])
			if err != nil {
				return nil, fmt.Errorf("has no time at the beginning of line %d", n)
			}
			list = append(list, generated{since.UTC().Truncate(time.Second), fields[1]})
		default:
			return nil, fmt.Errorf("has more than a time and a secret on line %d", n)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("is empty")
	}
	slices.SortStableFunc(list, func(a, b generated) int { return b.since.Compare(a.since) })
	return list, nil
}

// create makes the file, unless another process has just done so.
func (s Source) create(now time.Time) error {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fmt.Errorf("make the state directory for the generated secret: %w", err)
	}
	tmp, err := s.write([]generated{{now, randomID(25)}})
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	// A hard link, unlike a rename, never replaces the secret that another process has just put there.
	if err := os.Link(tmp, s.path()); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("keep the generated secret: %w", err)
	}
	return nil
}

// replace puts the list in the place of the file. Should power fail before the directory is on the disk, the old file is back: it lacks a secret
// that has not minted yet.
func (s Source) replace(list []generated) error {
	tmp, err := s.write(list)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, s.path()); err != nil {
		return errors.Join(fmt.Errorf("keep the generated secrets: %w", err), os.Remove(tmp))
	}
	return nil
}

// write puts the list into a temporary file beside the real one, mode 0600.
func (s Source) write(list []generated) (name string, err error) {
	tmp, err := os.CreateTemp(s.Dir, secretFile+".*")
	if err != nil {
		return "", fmt.Errorf("keep the generated secrets in the state directory: %w", err)
	}
	var text strings.Builder
	for _, g := range list {
		fmt.Fprintf(&text, "%s %s\n", g.since.UTC().Format(time.RFC3339), g.secret)
	}
	_, err = tmp.WriteString(text.String())
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("write the generated secrets: %w", err), os.Remove(tmp.Name()))
	}
	return tmp.Name(), nil
}
