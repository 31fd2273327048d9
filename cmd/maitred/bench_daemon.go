package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ownDaemon is a daemon on loopback that runs as a child process.
type ownDaemon struct {
	command *exec.Cmd
	secret  string
	state   string
	log     *daemonLog
	ended   chan struct{} // closed when the process has ended and err may be read
	err     error
}

const (
	keptLines   = 100              // of the daemon's log
	maxLine     = 64 << 10         // longer ones are cut
	startWithin = 20 * time.Second // it listens
	stopWithin  = 10 * time.Second // it has ended
)

var errDaemonEnded = errors.New("the daemon ended during the measurement")

// startDaemon runs `maitred serve` with flags over settings of its own, among them those of what is measured. The context is ctx as long as
// the daemon runs. Whoever gets the daemon stops it.
func startDaemon(ctx context.Context, settings, flags []string) (*ownDaemon, context.Context, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	state, err := os.MkdirTemp("", "maitred-bench-")
	if err != nil {
		return nil, nil, err
	}
	d := &ownDaemon{secret: rand.Text(), state: state, log: &daemonLog{changed: make(chan struct{}), services: map[string]netip.AddrPort{}}, ended: make(chan struct{})}
	d.command = exec.Command(self, append([]string{"serve"}, flags...)...)
	d.command.Env = append(daemonEnvironment(state, d.secret), settings...)
	d.command.Stdout, d.command.Stderr = d.log, d.log // one pipe, so that the order is kept
	d.command.SysProcAttr = endsWithParent()
	alive, cancel := context.WithCancelCause(ctx)
	started := make(chan error, 1)
	go d.run(started, cancel)
	if err := <-started; err != nil {
		return nil, nil, errors.Join(fmt.Errorf("start a daemon: %w", err), os.RemoveAll(state))
	}
	return d, alive, nil
}

// onDaemon lets measure load a daemon that is started for it, at the address of a service, and stops the daemon.
func onDaemon[R any](ctx context.Context, errOut io.Writer, settings, flags []string, service string,
	measure func(ctx context.Context, d *ownDaemon, at netip.AddrPort) (*R, error)) (*R, error) {
	d, alive, err := startDaemon(ctx, settings, flags)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(errOut, "maitred: started a daemon to measure: process %d\n", d.command.Process.Pid)
	at, err := d.listening(ctx, service)
	if err == nil {
		var report *R
		if report, err = measure(alive, d, at); err == nil {
			return report, d.stop()
		}
	}
	return nil, d.explain(errors.Join(err, d.stop()))
}

// run starts the process, tells started, and waits for its end. What the kernel takes for the parent is not the process but the thread
// that starts a child, so that thread must live as long.
func (d *ownDaemon) run(started chan<- error, cancel context.CancelCauseFunc) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(d.ended)
	defer cancel(errDaemonEnded)
	err := d.command.Start()
	started <- err
	if err == nil {
		d.err = d.command.Wait()
	}
}

// daemonEnvironment opens nothing but loopback and has no limit that a load would meet.
func daemonEnvironment(state, secret string) []string {
	var environment []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "MAITRED_") { // the settings of another daemon
			environment = append(environment, entry)
		}
	}
	return append(environment,
		"MAITRED_STATE_DIR="+state, "MAITRED_TURN_SECRETS="+secret, "MAITRED_LOG_FORMAT=json", "MAITRED_LOG_LEVEL=info", "MAITRED_DRAIN_TIMEOUT=0s",
		"MAITRED_HTTP_LISTEN=127.0.0.1:0", "MAITRED_ADMIN_LISTEN=127.0.0.1:0",
		"MAITRED_TURN_UDP=127.0.0.1:0", "MAITRED_TURN_TCP=127.0.0.1:0",
		"MAITRED_TURN_EXTERNAL_IP=127.0.0.1", "MAITRED_TURN_ALLOW_PEERS=127.0.0.0/8",
		"MAITRED_TURN_QUOTA_PER_USER=0", "MAITRED_TURN_QUOTA_PER_IP=0", "MAITRED_TURN_QUOTA_TOTAL=0",
		"MAITRED_TURN_LIMITS_UNAUTHENTICATED_PER_IP=0", "MAITRED_TURN_LIMITS_CONNECTIONS_PER_IP=0")
}

// relayEnvironment opens what clients over a transport need beside UDP and TCP.
func relayEnvironment(transport string) []string {
	if transport == "tls" || transport == "dtls" {
		return []string{"MAITRED_TURN_TLS=127.0.0.1:0", "MAITRED_TURN_DTLS=127.0.0.1:0", "MAITRED_TLS_SELF_SIGNED=true", "MAITRED_HTTPS_LISTEN=off"}
	}
	return nil
}

// signalingEnvironment takes the limits off that a load of signaling would meet, except that of a connection's messages where a flood is to meet it.
func signalingEnvironment(flood bool) []string {
	environment := []string{"MAITRED_HTTP_LIMITS_CONNECTIONS_PER_IP=0", "MAITRED_SIGNALING_LIMITS_CONNECTIONS_PER_IP=0", "MAITRED_SIGNALING_LIMITS_JOINS_PER_IP=0", "MAITRED_SIGNALING_LIMITS_MESSAGES_PER_IP=0",
		"MAITRED_SIGNALING_MAX_ROOMS=10000000", "MAITRED_SIGNALING_MAX_MEMBERS=1000"}
	if !flood {
		environment = append(environment, "MAITRED_SIGNALING_LIMITS_MESSAGES=0")
	}
	return environment
}

// daemonLog takes what the daemon prints and finds in it where it listens.
type daemonLog struct {
	mu       sync.Mutex
	rest     []byte                    // of a line that is not complete
	lines    []string                  // the last ones
	services map[string]netip.AddrPort // by the names that the log has
	guide    bool                      // what follows the list of all listeners has begun
	changed  chan struct{}             // closed with the next line
}

func (l *daemonLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, b...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok && len(l.rest) < maxLine {
			return len(b), nil
		}
		l.addLocked(string(line))
		l.rest = bytes.Clone(rest)
	}
}

func (l *daemonLog) addLocked(line string) {
	if l.lines = append(l.lines, line); len(l.lines) > keptLines {
		l.lines = l.lines[1:]
	}
	var entry struct{ Msg, Service, Addr string }
	isLog := json.Unmarshal([]byte(line), &entry) == nil
	if isLog && entry.Msg == "listening" {
		if a, err := netip.ParseAddrPort(entry.Addr); err == nil {
			l.services[entry.Service] = a
		}
	}
	l.guide = l.guide || !isLog && len(l.services) > 0
	close(l.changed)
	l.changed = make(chan struct{})
}

// find is the address of a service, if it is known; done when no more will become known. changed is closed when that may be different.
func (l *daemonLog) find(service string) (address netip.AddrPort, ok, done bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	address, ok = l.services[service]
	return address, ok, l.guide, l.changed
}

// listening waits for the address of a service.
func (d *ownDaemon) listening(ctx context.Context, service string) (netip.AddrPort, error) {
	late := time.NewTimer(startWithin)
	defer late.Stop()
	for {
		address, ok, done, changed := d.log.find(service)
		switch {
		case ok:
			return address, nil
		case done:
			return address, fmt.Errorf("the daemon does not listen for %s; its flags turn that off", service)
		}
		select {
		case <-changed:
		case <-d.ended:
			return address, errors.New("the daemon did not start")
		case <-ctx.Done():
			return address, context.Cause(ctx)
		case <-late.C:
			return address, fmt.Errorf("the daemon does not say within %v where %s listens", startWithin, service)
		}
	}
}

// stop ends the daemon, as an init system does, and waits for it.
func (d *ownDaemon) stop() error {
	if d.command.Process.Signal(syscall.SIGTERM) != nil { // it has ended, or the system has no such signal
		_ = d.command.Process.Kill()
	}
	late := time.NewTimer(stopWithin)
	defer late.Stop()
	var err error
	select {
	case <-d.ended:
	case <-late.C:
		err = errors.Join(fmt.Errorf("the daemon did not end within %v", stopWithin), d.command.Process.Kill())
		<-d.ended
	}
	return errors.Join(err, os.RemoveAll(d.state))
}

// explain adds the log to what went wrong. The daemon must have ended.
func (d *ownDaemon) explain(err error) error {
	if d.err != nil {
		err = fmt.Errorf("%w (it ended with: %v)", err, d.err)
	}
	return fmt.Errorf("%w\nThe daemon said:\n  %s", err, strings.Join(d.log.lines, "\n  "))
}
