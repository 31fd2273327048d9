//go:build unix

package certificate

import (
	"os"
	"path/filepath"
	"testing"
)

// link points name elsewhere in one step.
func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name+".next"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".next", name); err != nil {
		t.Fatal(err)
	}
}

// TestSymlinkSwap puts a new pair in place as Kubernetes does, the files behind a link to their directory, and as certbot does, each
// behind a link of its own.
func TestSymlinkSwap(t *testing.T) {
	store := t.TempDir()
	pairs := []pair{good("call.example.com"), good("call.example.com")}
	for i, name := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(store, name), 0o700); err != nil {
			t.Fatal(err)
		}
		pairs[i].place(t, filepath.Join(store, name))
	}
	for name, layout := range map[string]struct{ links, targets []string }{
		"directory": {[]string{"..data"}, []string{""}},
		"each file": {[]string{"cert.pem", "key.pem"}, []string{"cert.pem", "key.pem"}},
	} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			lead := func(version string) {
				for i := range layout.links {
					link(t, filepath.Join(store, version, layout.targets[i]), filepath.Join(directory, layout.links[i]))
				}
			}
			lead("one")
			if layout.links[0] == "..data" {
				link(t, filepath.Join("..data", "cert.pem"), filepath.Join(directory, "cert.pem"))
				link(t, filepath.Join("..data", "key.pem"), filepath.Join(directory, "key.pem"))
			}
			m, log := watched(t, filepath.Join(directory, "cert.pem"), filepath.Join(directory, "key.pem"))
			if got := m.Status().SHA256; got != pairs[0].sha256(t) {
				t.Fatalf("started with %s", got)
			}
			n := log.length()
			lead("two")
			log.wait(t, n, loaded, pairs[1].sha256(t))
		})
	}
}
