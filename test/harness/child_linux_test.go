package harness

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"
)

// starter is set in the process that TestChildEndsWithUs kills.
const starter = "MAITRED_TEST_STARTER"

// TestChildEndsWithUs kills a process that has started another one. The pipe that both write to ends when both have.
func TestChildEndsWithUs(t *testing.T) {
	if os.Getenv(starter) != "" {
		startAndWait(t)
		return
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	parent := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$")
	parent.Env, parent.Stdout = append(os.Environ(), starter+"=1"), writer
	err = parent.Start()
	writer.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(reader)
	line, err := lines.ReadString('\n')
	_ = parent.Process.Kill()
	_ = parent.Wait()
	if err != nil || line != "started\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if rest, err := io.ReadAll(lines); err != nil || len(rest) != 0 {
		t.Errorf("the child goes on after the end of who started it: %q, %v", rest, err)
	}
}

func startAndWait(t *testing.T) {
	runtime.LockOSThread()
	child := exec.Command("sleep", "60")
	child.Stdout = os.Stdout
	endWithUs(child)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stdout.WriteString("started\n"); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
}
