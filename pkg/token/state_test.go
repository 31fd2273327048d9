package token

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestLoadOrCreateKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	var wg sync.WaitGroup
	got := make([]string, 8)
	for i := range got {
		wg.Go(func() {
			var err error
			if got[i], err = LoadOrCreateKey(dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, line := range got {
		if line != got[0] {
			t.Fatal("processes that started together have different keys")
		}
	}
	if _, err := set(t, parse(t, got[0])).Mint(Claims{Room: "tea", Expires: now.Add(time.Hour)}, now); err != nil {
		t.Errorf("the key that was made: %v", err)
	}
	info, err := os.Stat(filepath.Join(dir, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" { // whose files have no such bits
		t.Errorf("key file: %v", info.Mode())
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("temporary files stay behind: %v, %v", entries, err)
	}
	again, err := LoadOrCreateKey(dir)
	if err != nil || again != got[0] {
		t.Errorf("another start: another key, %v", err)
	}
}

func TestLoadOrCreateKeyRefuses(t *testing.T) {
	for _, tt := range []struct{ name, content string }{
		{"empty", "\n"}, {"not a key", "a-secret-of-another-kind\n"}, {"cut short", rfcSecret[:30]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, keyFile)
			if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			line, err := LoadOrCreateKey(dir)
			if err == nil || line != "" || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "delete it") || strings.Contains(err.Error(), "another-kind") {
				t.Errorf("%q, %v", line, err)
			}
			if content, err := os.ReadFile(path); err != nil || string(content) != tt.content {
				t.Errorf("the file was changed to %q, %v", content, err)
			}
		})
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if line, err := LoadOrCreateKey(file); err == nil || line != "" || !strings.Contains(err.Error(), file) {
		t.Errorf("a state directory that is a file: %q, %v", line, err)
	}
}
