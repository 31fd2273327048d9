package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/maitred/maitred/pkg/daemon"
)

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.b.Reset()
	return l.b.String()
}

// TestReload edits the file of a running daemon.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "maitred.yaml")
	base := "http: {listen: '127.0.0.1:0'}\nadmin: {listen: 'off'}\nstate_dir: " + dir + "\n"
	write := func(rest string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(base+rest), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	turn := "turn: {udp: '127.0.0.1:0', tcp: 'off', external_ip: 127.0.0.1%s}\n"
	write(strings.Replace(turn, "%s", "", 1))
	flags := newConfigFlags("serve", "", &bytes.Buffer{})
	c, report, err := flags.load([]string{"--config", file}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	log, level := &lockedBuffer{}, &slog.LevelVar{}
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: level}))
	d, err := daemon.New(c, daemon.Build{}, logger)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	r := &reloader{daemon: d, flags: flags, level: level, log: logger, report: report}
	for _, tt := range []struct {
		name, file string
		says       []string
		level      slog.Level
	}{
		{"taken over", strings.Replace(turn, "%s", ", quota: {per_user: 3}, deny_peers: [8.8.8.8/32], secrets: [0123456789abcdef]", 1) +
			"api: {keys: [0123456789abcdef]}\nlog: {level: debug}\n", []string{"configuration reloaded"}, slog.LevelDebug},
		{"a mistake keeps the old one", strings.Replace(turn, "%s", ", quota: {per_user: x}", 1),
			[]string{"not taken over", "turn.quota.per_user"}, slog.LevelDebug},
		{"for the next start", strings.Replace(turn, "%s", ", realm: elsewhere", 1),
			[]string{"next start only", "turn.realm", "configuration reloaded"}, slog.LevelInfo},
	} {
		log.take()
		write(tt.file)
		r.reload()
		got := log.take()
		for _, want := range tt.says {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q is not in\n%s", tt.name, want, got)
			}
		}
		if strings.Contains(got, "0123456789abcdef") {
			t.Errorf("%s: a secret is in\n%s", tt.name, got)
		}
		if level.Level() != tt.level {
			t.Errorf("%s: log level %v, want %v", tt.name, level.Level(), tt.level)
		}
	}
}

// TestWatch notices a file that is written again and a symbolic link that points elsewhere.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	one, two, link := filepath.Join(dir, "one"), filepath.Join(dir, "two"), filepath.Join(dir, "link")
	for _, f := range []string{one, two} {
		if err := os.WriteFile(f, []byte("a: 1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(one, link); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	seen := look(link)
	changed, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		watch(ctx, link, seen, changed)
	}()
	notice := func(what string) {
		t.Helper()
		select {
		case <-changed:
		case <-time.After(5 * watchInterval):
			t.Fatalf("%s went unnoticed", what)
		}
	}
	if err := os.Rename(two, one); err != nil {
		t.Fatal(err)
	}
	notice("another file behind the link")
	if err := os.WriteFile(one, []byte("a: longer\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	notice("a file that was written again")
	cancel()
	<-ended
}
