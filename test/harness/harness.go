// Package harness runs the real daemon for the tests that look at it from
// outside: coturn's client, nginx and browsers.
package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Binary is the daemon under test, set by Main.
var Binary string

// Runner runs the tests of a package; a *testing.M is one.
type Runner interface{ Run() (exitCode int) }

// Main builds the daemon, unless MAITRED_BIN names one, and runs the tests.
// root is the way to the module's top.
func Main(m Runner, root string) int {
	if Binary = os.Getenv("MAITRED_BIN"); Binary != "" {
		return m.Run()
	}
	directory, err := os.MkdirTemp("", "maitred-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(directory)
	Binary = filepath.Join(directory, "maitred")
	// The daemon looks for its own races as well.
	command := exec.Command("go", "build", "-race", "-buildvcs=false", "-o", Binary, "./cmd/maitred")
	command.Dir = root
	if output, err := command.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the daemon: %v\n%s", err, output)
		return 1
	}
	return m.Run()
}

// Within polls until probe is satisfied. What probe returns besides is shown
// when time runs out.
func Within(t testing.TB, limit time.Duration, what string, probe func() (done bool, evidence any)) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		done, evidence := probe()
		if done {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("not within %v: %s\nlast seen: %+v", limit, what, evidence)
		case <-tick.C:
		}
	}
}
