package credential

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const day = 24 * time.Hour

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// sourceIn is what the default configuration makes, with the text in the file.
func sourceIn(t *testing.T, text string) Source {
	t.Helper()
	s := Source{Dir: t.TempDir(), Rotation: 7 * day, Keep: day}
	if err := os.WriteFile(s.path(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func fileOf(t *testing.T, s Source) string {
	t.Helper()
	text, err := os.ReadFile(s.path())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestLoadMakesOneSecret(t *testing.T) {
	s := Source{Dir: filepath.Join(t.TempDir(), "state")}
	var wg sync.WaitGroup
	got := make([][]string, 8)
	for i := range got {
		wg.Go(func() {
			var err error
			if got[i], err = s.Load(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, secrets := range got {
		if len(secrets) != 1 || len(secrets[0]) != 40 || secrets[0] != got[0][0] {
			t.Fatalf("processes that started together have the secrets %q", got)
		}
	}
	info, err := os.Stat(s.path())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("secret file: %v, %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(s.Dir); err != nil || len(entries) != 1 {
		t.Errorf("temporary files stay behind: %v, %v", entries, err)
	}
}

func TestLoadConfigured(t *testing.T) {
	s := Source{Configured: []string{"a", "b"}, Dir: filepath.Join(t.TempDir(), "state")}
	got, err := s.Load()
	if err != nil || !slices.Equal(got, s.Configured) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := os.Stat(s.Dir); !os.IsNotExist(err) {
		t.Errorf("the state directory was made: %v", err)
	}
}

// TestLoadNeverRotates: a secret that is overdue mints on until a daemon replaces it.
func TestLoadNeverRotates(t *testing.T) {
	const text = "2001-01-01T00:00:00Z current\n2000-12-01T00:00:00Z previous\n"
	s := sourceIn(t, "2999-01-01T00:00:00Z next\n"+text)
	got, err := s.Load()
	if err != nil || !slices.Equal(got, []string{"current", "next", "previous"}) {
		t.Errorf("%q, %v", got, err)
	}
	if fileOf(t, s) != "2999-01-01T00:00:00Z next\n"+text {
		t.Errorf("the file was changed to %q", fileOf(t, s))
	}
}

func TestParseSecrets(t *testing.T) {
	for _, test := range []struct {
		name, text, want string // want: the secrets, newest first, or what the error says
	}{
		{"of a version before", "hunter2\n", "hunter2"},
		{"blanks around it", "\n hunter2 \r\n\n", "hunter2"},
		{"no end of line", "2026-03-01T12:00:00Z hunter2", "hunter2"},
		{"several", "2026-03-01T12:00:00Z b\n2026-02-22T12:00:00Z a\n", "b a"},
		{"in another order and another zone", "2026-02-22T12:00:00Z a\n2026-03-01T12:00:00+02:00 b\nold\n", "b a old"},
		{"empty", "", "is empty"},
		{"blank", " \n\n", "is empty"},
		{"no time", "hunter2 hunter2\n", "has no time at the beginning of line 1"},
		{"a third word", "2026-03-01T12:00:00Z a\n2026-03-01T12:00:00Z hunter2 hunter2\n", "has more than a time and a secret on line 2"},
		{"too long", strings.Repeat("hunter2\n", 10_000), "is longer than 65536 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := sourceIn(t, test.text)
			list, err := s.read()
			var secrets []string
			for _, g := range list {
				secrets = append(secrets, g.secret)
			}
			got := strings.Join(secrets, " ")
			if err == nil && got != test.want {
				t.Errorf("secrets %q, want %q", got, test.want)
			}
			if err == nil {
				return
			}
			if !strings.Contains(err.Error(), s.path()+" "+test.want+": restore it, or delete it") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %q, want %q", err, test.want)
			}
		})
	}
}

func TestAdvance(t *testing.T) {
	at := func(since time.Time, secret string) generated { return generated{since, secret} }
	fresh := func(since time.Time) generated { return generated{since, ""} } // any secret that is not in the list before
	old := at(noon.Add(-7*day), "old")
	for _, test := range []struct {
		name     string
		rotation time.Duration
		list     []generated
		want     []generated
	}{
		{"young", 7 * day, []generated{at(noon.Add(-6*day), "a")}, []generated{at(noon.Add(-6*day), "a")}},
		{"a second too early", 7 * day, []generated{at(noon.Add(-7*day+notice+time.Second), "a")}, []generated{at(noon.Add(-7*day+notice+time.Second), "a")}},
		{"due, with notice", 7 * day, []generated{at(noon.Add(-7*day+notice), "a")}, []generated{fresh(noon.Add(notice)), at(noon.Add(-7*day+notice), "a")}},
		{"overdue", 7 * day, []generated{at(noon.Add(-90*day), "a")}, []generated{fresh(noon.Add(notice)), at(noon.Add(-90*day), "a")}},
		{"the next one is there", 7 * day, []generated{at(noon.Add(notice), "b"), old}, []generated{at(noon.Add(notice), "b"), old}},
		{"never", 0, []generated{at(noon.Add(-900*day), "a")}, []generated{at(noon.Add(-900*day), "a")}},
		{"of a version before", 7 * day, []generated{{secret: "a"}}, []generated{at(noon, "a")}},
		{"of a version before, never", 0, []generated{{secret: "a"}}, []generated{{secret: "a"}}},
		{"an old one that may verify", 7 * day, []generated{at(noon.Add(-day-notice), "b"), old}, []generated{at(noon.Add(-day-notice), "b"), old}},
		{"an old one that may not", 7 * day, []generated{at(noon.Add(-day-notice-time.Second), "b"), old}, []generated{at(noon.Add(-day-notice-time.Second), "b")}},
		{"old ones, never", 0, []generated{at(noon.Add(-2*day), "c"), old, {secret: "a"}}, []generated{at(noon.Add(-2*day), "c")}},
		{"more often than credentials end", time.Hour, []generated{at(noon.Add(-2*time.Hour), "a")}, []generated{at(noon.Add(-2*time.Hour), "a")}},
		{"made when the clock was wrong", 7 * day, []generated{at(noon.Add(90*365*day), "b"), old}, []generated{at(noon.Add(notice), "b"), old}},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := slices.Clone(test.list)
			got := Source{Rotation: test.rotation, Keep: day}.advance(test.list, noon.Add(time.Millisecond))
			if len(got) != len(test.want) {
				t.Fatalf("%v, want %v", got, test.want)
			}
			for i, want := range test.want {
				known := slices.ContainsFunc(before, func(g generated) bool { return g.secret == got[i].secret })
				if got[i].since != want.since || known != (want.secret != "") || known && got[i].secret != want.secret || len(got[i].secret) == 0 {
					t.Errorf("secret %d is %v, want %v", i, got[i], want)
				}
			}
			if !slices.Equal(test.list, before) {
				t.Errorf("the list given was changed to %v", test.list)
			}
		})
	}
}

func TestInOrder(t *testing.T) {
	list := []generated{{noon.Add(time.Hour), "c"}, {noon, "b"}, {noon.Add(-time.Hour), "a"}}
	for _, test := range []struct {
		name string
		now  time.Time
		want []string
	}{
		{"the newest is for later", noon, []string{"b", "c", "a"}},
		{"a second before", noon.Add(-time.Second), []string{"a", "c", "b"}},
		{"all have begun", noon.Add(time.Hour), []string{"c", "b", "a"}},
		{"none has begun", noon.Add(-day), []string{"a", "c", "b"}},
	} {
		if got := inOrder(list, test.now); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// TestRotateTogether has daemons of one directory find the secret due at the same time.
func TestRotateTogether(t *testing.T) {
	s := sourceIn(t, "2001-01-01T00:00:00Z old\n")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			list, err := s.rotate(noon)
			if err != nil || list[len(list)-1].secret != "old" {
				t.Errorf("%v, %v", list, err)
			}
		})
	}
	wg.Wait()
	list, err := s.read()
	if err != nil || len(list) != 2 || list[0].since != noon.Add(notice) || len(list[0].secret) != 40 {
		t.Errorf("the file has %v, %v", list, err)
	}
	info, err := os.Stat(s.path())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("secret file: %v, %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(s.path() + ".[0-9]*"); err != nil || len(left) != 0 {
		t.Errorf("temporary files stay behind: %v, %v", left, err)
	}
}

func TestRotateLeavesABusyFileAlone(t *testing.T) {
	s := sourceIn(t, "2001-01-01T00:00:00Z old\n")
	unlock, err := tryLock(filepath.Join(s.Dir, lockFile))
	if err != nil || unlock == nil {
		t.Fatalf("lock: %v", err)
	}
	list, err := s.rotate(noon)
	if err != nil || len(list) != 1 || fileOf(t, s) != "2001-01-01T00:00:00Z old\n" {
		t.Errorf("while another one has the lock: %v, %v, file %q", list, err, fileOf(t, s))
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if list, err = s.rotate(noon); err != nil || len(list) != 2 {
		t.Errorf("after that: %v, %v", list, err)
	}
}

// TestRotateFails: a secret that could not be kept must not mint.
func TestRotateFails(t *testing.T) {
	s := sourceIn(t, "2001-01-01T00:00:00Z old\n")
	if err := os.Mkdir(filepath.Join(s.Dir, lockFile), 0o700); err != nil {
		t.Fatal(err)
	}
	list, err := s.rotate(noon)
	if err == nil || len(list) != 1 || list[0].secret != "old" {
		t.Errorf("%v, %v; want the old secret and an error", list, err)
	}
	if err := os.Remove(s.path()); err != nil {
		t.Fatal(err)
	}
	if list, err = s.rotate(noon); !errors.Is(err, fs.ErrNotExist) || list != nil {
		t.Errorf("without a file: %v, %v", list, err)
	}
}
