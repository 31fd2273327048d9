package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestBenchKilled takes its daemon along although it cannot say so. The temporary files stay.
func TestBenchKilled(t *testing.T) {
	temporaryFiles(t)
	admin := freePort(t)
	command, daemon, lines := startBench(t, append(relayForAMinute, "--baseline=false", "--", "--admin.listen", admin)...)
	waitForSessions(t, admin) // a daemon that still has something to print ends when nobody reads it, without help
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadAll(lines)
	_ = command.Wait()
	for end := time.Now().Add(patience); runs(daemon.Pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("process %d still runs", daemon.Pid)
			_ = daemon.Kill()
			return
		}
	}
}

// waitForSessions waits until the daemon has the two of startBench.
func waitForSessions(t *testing.T, admin string) {
	t.Helper()
	var last []byte
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		response, err := http.Get("http://" + admin + "/metrics")
		if err != nil {
			continue // it starts
		}
		last, _ = io.ReadAll(response.Body)
		response.Body.Close()
		if bytes.Contains(last, []byte("maitred_turn_allocations{transport=\"udp\"} 2\n")) {
			http.DefaultClient.CloseIdleConnections()
			return
		}
	}
	t.Fatalf("no sessions: %s", last)
}

// runs tells whether a process runs. One that nobody has waited for has ended as well.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, fields, ok := bytes.Cut(stat, []byte(") ")) // behind its name
	return err == nil && ok && fields[0] != 'Z' && fields[0] != 'X'
}

// TestBenchDescriptors says at once that there are too few.
func TestBenchDescriptors(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"enough", []string{"relay", "--sessions", "20", "--allocate-only"}, 0, ""},
		{"too few", []string{"relay", "--sessions", "100", "--allocate-only"}, 1, "100 sessions need 264 open files, and the limit is 120: raise it with `ulimit -n 264`"},
		{"fewer without peers", []string{"relay", "--sessions", "100", "--connect-only", "--transport", "tcp"}, 1, "100 sessions need 164 open files"},
		{"fewer in pairs", []string{"relay", "--sessions", "100", "--pair"}, 1, "100 sessions need 164 open files"},
		{"one for each member", []string{"signaling", "--rooms", "50"}, 1, "100 members need 164 open files, and the limit is 120"},
		{"and for those who flood", []string{"signaling", "--rooms", "40", "--flood", "20"}, 1, "100 members need 164 open files"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			command := exec.Command("sh", "-c", `ulimit -n 120 && exec "$0" bench "$@"`, self)
			command.Args = append(command.Args, tt.args...)
			out, err := command.CombinedOutput()
			if command.ProcessState.ExitCode() != tt.code || !strings.Contains(string(out), tt.says) {
				t.Errorf("%v, %q", err, out)
			}
			if tt.code != 0 && strings.Contains(string(out), "started a daemon") {
				t.Errorf("a daemon was started first: %q", out)
			}
		})
	}
}
