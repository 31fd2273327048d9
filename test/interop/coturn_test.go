package interop

import (
	"context"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maitred/maitred/test/harness"
)

const secret = "known-to-coturns-client-as-well"

// TestCoturnClient lets turnutils_uclient allocate with the REST secret and
// count what comes back.
func TestCoturnClient(t *testing.T) {
	d := harness.Start(t, "MAITRED_TURN_SECRETS="+secret, "MAITRED_TURN_ALLOW_PEERS=127.0.0.0/8",
		"MAITRED_TURN_LIMITS_UNAUTHENTICATED_PER_IP=1000", "MAITRED_TURN_QUOTA_PER_USER=0")
	peer := startPeer(t)
	t.Run("runs", func(t *testing.T) {
		for _, test := range []struct {
			name, service string
			options       []string
		}{
			{"channels between clients over UDP", "turn-udp", []string{"-y", "-c"}},
			{"indications between clients over UDP", "turn-udp", []string{"-y", "-c", "-s"}},
			{"channels to a peer over UDP", "turn-udp", []string{"-c", "-e", "127.0.0.1", "-r", peer}},
			{"indications to a peer over UDP", "turn-udp", []string{"-c", "-s", "-e", "127.0.0.1", "-r", peer}},
			{"channels between clients over TCP", "turn-tcp", []string{"-t", "-y", "-c"}},
			{"channels to a peer over TCP", "turn-tcp", []string{"-t", "-c", "-e", "127.0.0.1", "-r", peer}},
			{"RTP and RTCP ports side by side", "turn-udp", []string{"-y"}},
		} {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				runClient(t, d, test.service, test.options...)
			})
		}
	})
	// Over UDP the client abandons allocations on purpose now and then; nobody
	// can tell before they expire. A connection's end tells.
	harness.Within(t, 10*time.Second, "no allocation over TCP is left", func() (bool, any) {
		count, evidence := d.Allocations()
		return count >= 0 && !strings.Contains(evidence, `"tcp"`), evidence
	})
}

var (
	sentAndReceived = regexp.MustCompile(`start_mclient: tot_send_msgs=(\d+), tot_recv_msgs=(\d+)`)
	lost            = regexp.MustCompile(`Total lost packets (\d+) .*total send dropped (\d+) `)
)

// runClient has 4 clients send 50 messages each.
func runClient(t *testing.T, d *harness.Daemon, service string, options ...string) {
	t.Helper()
	host, port, err := net.SplitHostPort(d.Listening(service))
	if err != nil {
		t.Fatalf("%s does not listen: %v", service, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	options = append(options, "-u", "user", "-W", secret, "-m", "4", "-n", "50", "-l", "170", "-p", port, host)
	output, err := exec.CommandContext(ctx, "turnutils_uclient", options...).CombinedOutput()
	counts := sentAndReceived.FindAllStringSubmatch(string(output), -1)
	losses := lost.FindStringSubmatch(string(output))
	if err != nil || len(counts) == 0 || losses == nil {
		t.Fatalf("turnutils_uclient %s: %v\n%s", strings.Join(options, " "), err, output)
	}
	last := counts[len(counts)-1]
	if last[1] != "200" || last[2] != "200" || losses[1] != "0" || losses[2] != "0" {
		t.Errorf("sent %s, received %s, lost %s, dropped %s:\n%s", last[1], last[2], losses[1], losses[2], output)
	}
}

// startPeer runs coturn's echo and returns its port.
func startPeer(t *testing.T) (port string) {
	t.Helper()
	// The program takes no port 0, so it is given one that was free just now.
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.LocalAddr().(*net.UDPAddr)
	free.Close()
	port = strconv.Itoa(address.Port)
	peer := exec.Command("turnutils_peer", "-L", "127.0.0.1", "-p", port)
	if err := peer.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = peer.Process.Kill()
		_ = peer.Wait()
	})
	probe, err := net.DialUDP("udp", nil, address)
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	harness.Within(t, 10*time.Second, "turnutils_peer echoes", func() (bool, any) {
		echo := make([]byte, 16)
		_, _ = probe.Write([]byte("hello"))
		_ = probe.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, err := probe.Read(echo)
		return string(echo[:n]) == "hello", err
	})
	return port
}
