package interop

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/maitred/maitred/test/harness"
)

// TestSocketActivation gives the daemon sockets as systemd does.
func TestSocketActivation(t *testing.T) {
	page, turn := listenFile(t), listenFile(t)
	early := connect(t, page.address.String())
	if _, err := io.WriteString(early, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	d := startWith(t, []inherited{page, turn}, "MAITRED_HTTP_LISTEN="+page.address.String(), "MAITRED_TURN_TCP="+turn.address.String())

	// Nobody else could listen there: our own sockets are open as well.
	if http, tcp := d.Listening("http"), d.Listening("turn-tcp"); http != page.address.String() || tcp != turn.address.String() {
		t.Errorf("HTTP listens at %s and TURN at %s, want %v and %v", http, tcp, page.address, turn.address)
	}
	response, err := http.ReadResponse(bufio.NewReader(early), nil)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("a client that came before the daemon: %v %v", response, err)
	}
	conn := connect(t, turn.address.String())
	wantMapped(t, conn, conn.LocalAddr())
}

// TestSocketForNobody gives it a socket where nothing is configured to listen.
func TestSocketForNobody(t *testing.T) {
	stray := listenFile(t)
	line := append(activation(t, []inherited{stray}), harness.Binary, "serve")
	command := exec.Command(line[0], line[1:]...)
	state := t.TempDir()
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + state, "MAITRED_STATE_DIR=" + state, "MAITRED_HTTP_LISTEN=127.0.0.1:0",
		"MAITRED_ADMIN_LISTEN=off", "MAITRED_TURN_UDP=127.0.0.1:0", "MAITRED_TURN_TCP=off", "MAITRED_TURN_EXTERNAL_IP=127.0.0.1"}
	output, err := command.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("the daemon ended with %v, want exit code 1", err)
	}
	for _, want := range []string{"socket at " + stray.address.String(), "nothing is configured to listen", "ListenStream="} {
		if !strings.Contains(string(output), want) {
			t.Errorf("it does not say %q:\n%s", want, output)
		}
	}
}

// TestSocketUnit compares the addresses in maitred.socket with those where the daemon listens when it has a domain.
func TestSocketUnit(t *testing.T) {
	unit := read(t, filepath.Join(top, "deploy"), "maitred.socket")
	command := exec.Command(harness.Binary, "config")
	command.Env = []string{"HOME=" + t.TempDir(), "MAITRED_DOMAIN=" + site}
	effective, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	configured := map[string]string{}
	for _, match := range regexp.MustCompile(`(?m)^([a-z.]+) +:(\d+) `).FindAllStringSubmatch(string(effective), -1) {
		configured[match[2]] = match[1]
	}
	streams := regexp.MustCompile(`(?m)^#?ListenStream=(.*)$`).FindAllStringSubmatch(unit, -1)
	if len(streams) != 3 {
		t.Errorf("%d sockets in\n%s", len(streams), unit)
	}
	for _, stream := range streams {
		if configured[stream[1]] == "" {
			t.Errorf("%s is for no listener of %v", stream[0], configured)
		}
	}
}

// startWith starts a daemon that is given sockets, which listen where its settings say that it listens.
func startWith(t *testing.T, sockets []inherited, settings ...string) *harness.Daemon {
	t.Helper()
	return harness.StartUnder(t, activation(t, sockets), settings...)
}

// activation is a command that executes another one as systemd would: the sockets are its descriptors from 3 up, and LISTEN_PID is itself.
func activation(t *testing.T, sockets []inherited) []string {
	t.Helper()
	// Whoever starts it has descriptors of its own from 3 up.
	const above = 100
	moves := ""
	for i, socket := range sockets {
		passed, err := unix.FcntlInt(socket.file.Fd(), unix.F_DUPFD, above) // not closed on exec
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(passed) })
		moves += fmt.Sprintf("exec %d<&%d %d<&-; ", 3+i, passed, passed)
	}
	script := fmt.Sprintf(`%sexport LISTEN_FDS=%d LISTEN_PID=$$; exec "$@"`, moves, len(sockets))
	return []string{"bash", "-c", script, "activation"}
}
