package harness

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Daemon is one running maitred with a state directory and ports of its own.
type Daemon struct {
	// Log has everything it wrote.
	Log *Transcript

	t           testing.TB
	command     *exec.Cmd
	environment []string
	exited      chan struct{} // closed when exitErr may be read
	exitErr     error
}

// Transcript collects lines from one goroutine for others.
type Transcript struct {
	mu    sync.Mutex
	lines []string
}

// Add appends a line.
func (l *Transcript) Add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

// Lines so far.
func (l *Transcript) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines[:len(l.lines):len(l.lines)]
}

func (l *Transcript) String() string { return strings.Join(l.Lines(), "\n") }

// Start runs "maitred serve" with settings ("MAITRED_…=value") over the
// harness's own and returns when it is ready. The end of the test stops it,
// and fails when it raced, panicked or did not end well.
func Start(t testing.TB, settings ...string) *Daemon {
	t.Helper()
	return StartUnder(t, nil, settings...)
}

// StartUnder is Start by way of another command, which gets the daemon's
// command line as arguments and executes it in its own place, as prlimit does.
func StartUnder(t testing.TB, wrapper []string, settings ...string) *Daemon {
	t.Helper()
	state := t.TempDir()
	d := &Daemon{t: t, Log: &Transcript{}, exited: make(chan struct{}), environment: append([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + state,
		"GORACE=atexit_sleep_ms=50", // its second of waiting at every exit adds up
		"MAITRED_STATE_DIR=" + state,
		"MAITRED_HTTP_LISTEN=127.0.0.1:0",
		"MAITRED_ADMIN_LISTEN=127.0.0.1:0",
		"MAITRED_TURN_UDP=127.0.0.1:0",
		"MAITRED_TURN_TCP=127.0.0.1:0",
		"MAITRED_TURN_EXTERNAL_IP=127.0.0.1",
		"MAITRED_DRAIN_TIMEOUT=1s",
		"MAITRED_LOG_FORMAT=json",
		"MAITRED_LOG_LEVEL=debug",
	}, settings...)}
	line := append(append([]string(nil), wrapper...), Binary, "serve")
	d.command = exec.Command(line[0], line[1:]...)
	d.command.Env = d.environment
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	d.command.Stdout, d.command.Stderr = writer, writer
	endWithUs(d.command)
	started := make(chan error)
	go d.run(reader, started)
	err = <-started
	writer.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.finish)
	d.waitReady()
	return d
}

// run keeps the thread on which the daemon is started, see endWithUs, until the daemon has ended.
func (d *Daemon) run(output io.ReadCloser, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(d.exited)
	defer output.Close()
	err := d.command.Start()
	started <- err
	if err != nil {
		return
	}
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		d.Log.Add(lines.Text())
	}
	d.exitErr = d.command.Wait()
}

func (d *Daemon) waitReady() {
	d.t.Helper()
	Within(d.t, 20*time.Second, "the daemon is ready", func() (bool, any) {
		select {
		case <-d.exited:
			d.t.Fatalf("the daemon ended: %v\n%s", d.exitErr, d.Log)
		default:
		}
		if d.Page("") == "" || d.Listening("admin") == "" {
			return false, "no address logged yet"
		}
		status, body := Get(d.Page("/readyz"))
		return status == http.StatusOK, fmt.Sprint(status, " ", body)
	})
}

// Listening is the address that the daemon logged for a service: http, https,
// admin, turn-udp, turn-tcp, turn-tls or turn-dtls; "" when it has not.
func (d *Daemon) Listening(service string) string {
	for _, line := range d.Log.Lines() {
		var entry struct{ Msg, Service, Addr string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "listening" && entry.Service == service {
			return entry.Addr
		}
	}
	return ""
}

// Page is the URL of a path of the public listener: the one in clear where
// there is one; "" when none has been logged yet.
func (d *Daemon) Page(path string) string {
	if address := d.Listening("http"); address != "" {
		return "http://" + address + path
	}
	return d.SecurePage("127.0.0.1", path)
}

// SecurePage is the same over TLS, for a host name that leads to this machine.
func (d *Daemon) SecurePage(host, path string) string {
	_, port, err := net.SplitHostPort(d.Listening("https"))
	if err != nil {
		return ""
	}
	return "https://" + net.JoinHostPort(host, port) + path
}

// Admin is the URL of a path of the administrator's listener.
func (d *Daemon) Admin(path string) string { return "http://" + d.Listening("admin") + path }

// anyone asks a daemon whose certificate nobody has signed.
var anyone = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}

// Get returns status 0 and the error's text when there was no answer.
func Get(url string, headers ...string) (status int, body string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err.Error()
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Add(name, value)
	}
	response, err := anyone.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

// Metric is the sum of all series whose name and labels begin with series, as
// they are written on the metrics page: "name" or `name{label="value"`.
func (d *Daemon) Metric(series string) float64 {
	d.t.Helper()
	status, body := Get(d.Admin("/metrics"))
	if status != http.StatusOK {
		d.t.Fatalf("metrics: %d %s", status, body)
	}
	sum, found := 0.0, false
	for line := range strings.Lines(body) {
		rest, ok := strings.CutPrefix(line, series)
		if !ok || !strings.ContainsAny(rest[:1], " {,}") {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64)
		if err != nil {
			d.t.Fatalf("metrics: %q: %v", line, err)
		}
		sum, found = sum+value, true
	}
	if !found {
		d.t.Fatalf("no metric begins with %q", series)
	}
	return sum
}

// WaitForNoAllocations fails when the relay still holds something for somebody.
func (d *Daemon) WaitForNoAllocations() {
	d.t.Helper()
	Within(d.t, 10*time.Second, "no allocation is left", func() (bool, any) {
		count, evidence := d.Allocations()
		return count == 0, evidence
	})
}

// Allocations asks the administrator's API how many there are, -1 without an
// answer.
func (d *Daemon) Allocations() (count int, evidence string) {
	status, body := Get(d.Admin("/api/v1/allocations"))
	var answer struct {
		Allocations []json.RawMessage `json:"allocations"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK {
		return -1, fmt.Sprint(status, " ", body)
	}
	return len(answer.Allocations), body
}

// Run executes another subcommand with this daemon's configuration and returns
// its standard output.
func (d *Daemon) Run(arguments ...string) []byte {
	d.t.Helper()
	var stdout, stderr bytes.Buffer
	command := exec.Command(Binary, arguments...)
	command.Env = d.environment
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		d.t.Fatalf("maitred %s: %v\n%s%s", strings.Join(arguments, " "), err, &stdout, &stderr)
	}
	return stdout.Bytes()
}

// Terminate sends SIGTERM and returns at once.
func (d *Daemon) Terminate() { _ = d.command.Process.Signal(syscall.SIGTERM) }

// Stop terminates the daemon and expects exit code 0 within limit.
func (d *Daemon) Stop(limit time.Duration) {
	d.t.Helper()
	d.Terminate()
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-d.exited:
		if d.exitErr != nil {
			d.t.Errorf("the daemon ended with %v", d.exitErr)
		}
	case <-late.C:
		// Its goroutines say where it hangs.
		_ = d.command.Process.Signal(syscall.SIGQUIT)
		<-d.exited
		d.t.Errorf("the daemon was still running %v after SIGTERM", limit)
	}
}

func (d *Daemon) finish() {
	d.Stop(20 * time.Second)
	text := d.Log.String()
	for _, bad := range []string{"DATA RACE", "panic:", "panic serving"} {
		if strings.Contains(text, bad) {
			d.t.Errorf("the daemon's output has %q", bad)
		}
	}
	if d.t.Failed() {
		d.t.Logf("the daemon said:\n%s", text)
	}
}
