package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/maitred/maitred/pkg/config"
	"github.com/maitred/maitred/pkg/credential"
	"github.com/maitred/maitred/pkg/daemon"
)

// wantVerified checks that a daemon with this state directory accepts the credential.
func wantVerified(t *testing.T, state, username, password, user string) {
	t.Helper()
	c, _, err := config.Load(config.Options{Flags: map[string]string{"state_dir": state}})
	if err != nil {
		t.Fatal(err)
	}
	authority, err := daemon.NewAuthority(c)
	if err != nil {
		t.Fatal(err)
	}
	want := credential.Key(username, authority.Realm(), password)
	id, _, err := authority.Verify(username, time.Now(), func(key []byte) bool { return bytes.Equal(key, want) })
	if err != nil || user != "" && id != user {
		t.Errorf("%q of user %q: %v", username, id, err)
	}
}

func TestCredentialsJSON(t *testing.T) {
	state := filepath.Join(t.TempDir(), "new")
	var users []string
	for range 2 { // the second run finds the secret of the first
		code, out, errOut := maitred("credentials", "--json", "--ttl", "1h", "--state_dir", state, "--external-ip", "192.0.2.1")
		var m minted
		if err := json.Unmarshal([]byte(out), &m); err != nil || code != 0 || errOut != "" {
			t.Fatalf("exit code %d, %v, %q", code, err, errOut)
		}
		wantVerified(t, state, m.Username, m.Credential, "")
		urls := []string{"turn:192.0.2.1:3478?transport=udp", "turn:192.0.2.1:3478?transport=tcp"}
		if left := time.Until(m.Expires); m.TTL != 3600 || left > time.Hour || left < 59*time.Minute || !slices.Equal(m.URLs, urls) {
			t.Errorf("%+v", m)
		}
		users = append(users, m.Username)
	}
	if users[0] == users[1] {
		t.Errorf("two anonymous credentials are the same: %s", users[0])
	}
}

func TestCredentialsTable(t *testing.T) {
	state := t.TempDir()
	code, out, errOut := maitred("credentials", "--user", "ann", "--state_dir", state, "--turn.urls", "turn:turn.example.com,stun:stun.example.com")
	lines := regexp.MustCompile(`(?m)^(\w+) +(.+)$`).FindAllStringSubmatch(out, -1)
	if code != 0 || errOut != "" || len(lines) != 4 {
		t.Fatalf("exit code %d, %q, %q", code, out, errOut)
	}
	if lines[0][1] != "URL" || lines[0][2] != "turn:turn.example.com" || lines[1][1] != "Username" || lines[2][1] != "Password" || lines[3][1] != "Expires" {
		t.Errorf("table\n%s", out)
	}
	wantVerified(t, state, lines[1][2], lines[2][2], "ann")
	expires, err := time.ParseInLocation(time.RFC1123, lines[3][2], time.Local)
	if left := time.Until(expires); err != nil || left > 12*time.Hour || left < 12*time.Hour-time.Minute {
		t.Errorf("expires %q: %v", lines[3][2], err)
	}
}

func TestStateDirThatCannotBe(t *testing.T) {
	file := write(t, "")
	for _, command := range []string{"credentials", "check", "serve"} {
		code, out, errOut := maitred(command, "--state_dir", file)
		if code != 1 || out != "" {
			t.Errorf("%s: exit code %d, printed %q", command, code, out)
		}
		wantOneLine(t, errOut, "state_dir: ", file)
	}
}

// freePort is an address that nobody listens on at the moment.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// onLoopback are the flags of a daemon that disturbs nobody.
func onLoopback(state string) []string {
	return []string{"--http.listen", "127.0.0.1:0", "--admin.listen", "127.0.0.1:0", "--turn.udp", "127.0.0.1:0", "--turn.tcp", "127.0.0.1:0",
		"--external-ip", "127.0.0.1", "--turn.relay_ports", "none", "--state_dir", state}
}

// TestPortInUse ends at once with one line, whichever port it is.
func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	for key, address := range map[string]string{"http.listen": l.Addr().String(), "admin.listen": l.Addr().String(), "turn.tcp": l.Addr().String(), "turn.udp": u.LocalAddr().String()} {
		t.Run(key, func(t *testing.T) {
			code, out, errOut := maitred(append(append([]string{"serve"}, onLoopback(t.TempDir())...), "--"+key, address)...)
			if code != 1 || out != "" {
				t.Errorf("exit code %d, printed %q", code, out)
			}
			wantOneLine(t, errOut, "maitred: "+key+": "+address, "in use")
		})
	}
}

// TestServe runs the daemon, checks it with credentials of the same state directory, and ends it as an init system does.
func TestServe(t *testing.T) {
	state := t.TempDir()
	reader, writer := io.Pipe()
	var log bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- run(append([]string{"serve", "--log.format", "json"}, onLoopback(state)...), writer, &log)
		writer.Close()
	}()
	var urls []string
	guide := bufio.NewScanner(reader)
	for guide.Scan() && !strings.Contains(guide.Text(), "Ports to open") {
		if fields := strings.Fields(guide.Text()); len(fields) == 2 && fields[0] == "TURN" {
			urls = append(urls, fields[1])
		}
	}
	drained := make(chan struct{})
	go func() { defer close(drained); _, _ = io.Copy(io.Discard, reader) }()
	checkServing(t, state, urls)
	interrupt(t)
	select {
	case code := <-done:
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("SIGTERM does not end it")
	}
	<-drained
	for line := range strings.Lines(log.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("the log has the line %q", line)
		}
	}
	if !strings.Contains(log.String(), `"msg":"stopped"`) {
		t.Errorf("log\n%s", log.String())
	}
}

// interrupt sends this process a SIGTERM, which the daemon inside waits for.
func interrupt(t *testing.T) {
	t.Helper()
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}
