package interop

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/maitred/maitred/test/harness"
)

const secret = "known-to-coturns-client-as-well"

// variant is one way to run turnutils_uclient. Every one says how many clients
// (-m) send how many messages (-n).
type variant struct {
	name    string
	options string // to4 and to6 stand for coturn's echo of that family
	clients int
	refused string // what the client reports instead of messages
	service string // that it goes to; "": turn-udp or turn-tcp
}

// variants4 go to a listener on IPv4, variants6 to one on IPv6. Both daemons
// have relayed addresses of both families.
var (
	variants4 = []variant{
		{name: "channels between clients over UDP", options: "-y -c -l 170", clients: 4},
		{name: "indications between clients over UDP", options: "-y -c -s -l 170", clients: 4},
		{name: "channels to a peer over UDP", options: "-c to4 -l 170", clients: 4},
		{name: "indications to a peer over UDP", options: "-c -s to4 -l 170", clients: 4},
		{name: "channels between clients over TCP", options: "-t -y -c -l 170", clients: 4},
		{name: "indications between clients over TCP", options: "-t -y -c -s", clients: 4},
		{name: "channels to a peer over TCP", options: "-t -c to4 -l 170", clients: 4},
		{name: "indications to a peer over TCP", options: "-t -c -s to4 -l 1400", clients: 4},

		{name: "RTP and RTCP ports side by side", options: "-y", clients: 4},
		{name: "RTP and RTCP to a peer", options: "to4", clients: 4},
		{name: "RTP and RTCP over TCP", options: "-t -y", clients: 4},
		{name: "RTP and RTCP with indications over TCP", options: "-t -y -s", clients: 4},

		{name: "1 byte", options: "-c to4 -l 1", clients: 2},
		{name: "20 bytes", options: "-c to4 -l 20", clients: 2},
		{name: "101 bytes with padding over UDP", options: "-c -D to4 -l 101", clients: 2},
		{name: "101 bytes over TCP", options: "-t -c to4 -l 101", clients: 2},
		{name: "1,000 bytes", options: "-c to4 -l 1000", clients: 2},
		{name: "1,400 bytes", options: "-c to4 -l 1400", clients: 2},
		{name: "1,400 bytes in indications", options: "-c -s to4 -l 1400", clients: 2},
		{name: "8,000 bytes over UDP", options: "-c to4 -l 8000", clients: 2},
		{name: "8,000 bytes over TCP", options: "-t -c to4 -l 8000", clients: 2},

		{name: "20 clients over UDP", options: "-y -c", clients: 20},
		{name: "20 clients with indications over UDP", options: "-c -s to4", clients: 20},
		{name: "20 clients over TCP", options: "-t -y", clients: 20},

		{name: "IPv6 relay", options: "-x -c to6", clients: 4},
		{name: "IPv6 relay with indications", options: "-x -c -s to6", clients: 4},
		{name: "IPv6 relay over TCP", options: "-x -t -c to6", clients: 4},
		{name: "IPv6 relays between clients", options: "-x -y", clients: 4},
		{name: "IPv4 relay asked for", options: "-X -c to4", clients: 4},

		{name: "more permissions and channels than needed", options: "-G -c to4", clients: 2},
		{name: "mobility asked for", options: "-M -c to4", clients: 2},
		{name: "no permissions made", options: "-I -c to4", clients: 2},
		{name: "bandwidth asked for", options: "-a 10000 -c to4", clients: 2},
		{name: "an origin named", options: "-o http://localhost -c to4", clients: 2},
		{name: "disconnected and back", options: "-B -c to4", clients: 2},

		{name: "channels between clients over TLS", options: "-S -t -y -c -l 170", clients: 4, service: "turn-tls"},
		{name: "indications between clients over TLS", options: "-S -t -y -c -s", clients: 4, service: "turn-tls"},
		{name: "channels to a peer over TLS", options: "-S -t -c to4 -l 1000", clients: 4, service: "turn-tls"},
		{name: "RTP and RTCP over TLS", options: "-S -t -y", clients: 4, service: "turn-tls"},
		{name: "8,000 bytes over TLS", options: "-S -t -c to4 -l 8000", clients: 2, service: "turn-tls"},
		{name: "IPv6 relay over TLS", options: "-S -t -x -c to6", clients: 4, service: "turn-tls"},
		{name: "channels between clients over HTTPS's port", options: "-S -t -y -c -l 170", clients: 4, service: "https"},
		{name: "indications to a peer over HTTPS's port", options: "-S -t -c -s to4 -l 1400", clients: 4, service: "https"},
		{name: "20 clients over HTTPS's port", options: "-S -t -y", clients: 20, service: "https"},
		{name: "channels between clients over DTLS", options: "-S -y -c -l 170", clients: 4, service: "turn-dtls"},
		{name: "indications between clients over DTLS", options: "-S -y -c -s", clients: 4, service: "turn-dtls"},
		{name: "channels to a peer over DTLS", options: "-S -c to4 -l 1000", clients: 4, service: "turn-dtls"},
		{name: "RTP and RTCP over DTLS", options: "-S -y", clients: 4, service: "turn-dtls"},
		{name: "IPv6 relay over DTLS", options: "-S -x -c to6", clients: 4, service: "turn-dtls"},

		{name: "DONT-FRAGMENT", options: "-g -c to4", refused: "error 420"},
		{name: "TCP relay", options: "-T", refused: "error 442"},
		{name: "TCP relay, passive", options: "-P", refused: "error 442"},
		{name: "a second channel for one peer", options: "-N -c to4", refused: "channel bind: error 400"},
	}
	variants6 = []variant{
		{name: "channels between clients, IPv6 relay", options: "-x -y -c", clients: 4},
		{name: "channels between clients, IPv4 relay", options: "-y -c", clients: 4},
		{name: "channels to a peer, IPv6 relay", options: "-x -c to6", clients: 4},
		{name: "indications to a peer, IPv6 relay", options: "-x -c -s to6 -l 1400", clients: 4},
		{name: "channels to a peer, IPv4 relay", options: "-X -c to4", clients: 4},
		{name: "RTP and RTCP over IPv6 alone", options: "-x -y", clients: 4},
		{name: "TCP and IPv6 alone", options: "-x -t -c to6 -l 1000", clients: 4},
		{name: "TCP between clients", options: "-x -t -y -s", clients: 4},
	}
)

// messages is what each client sends.
const messages = 20

// TestCoturnClient lets turnutils_uclient allocate with the REST secret and
// count what comes back.
func TestCoturnClient(t *testing.T) {
	settings := []string{"MAITRED_TURN_SECRETS=" + secret, "MAITRED_TURN_ALLOW_PEERS=127.0.0.0/8,::1/128", "MAITRED_TURN_EXTERNAL_IP=127.0.0.1,::1",
		"MAITRED_TURN_LIMITS_UNAUTHENTICATED_PER_IP=0", "MAITRED_TURN_LIMITS_CONNECTIONS_PER_IP=0", "MAITRED_TURN_QUOTA_PER_USER=0", "MAITRED_TURN_QUOTA_PER_IP=0"}
	d4 := harness.Start(t, append(settings, "MAITRED_TLS_SELF_SIGNED=true", "MAITRED_HTTPS_LISTEN=127.0.0.1:0", "MAITRED_HTTP_LIMITS_CONNECTIONS_PER_IP=0",
		"MAITRED_TURN_TLS=127.0.0.1:0", "MAITRED_TURN_DTLS=127.0.0.1:0")...)
	d6 := harness.Start(t, append(settings, "MAITRED_TURN_UDP=[::1]:0", "MAITRED_TURN_TCP=[::1]:0")...)
	peers := strings.NewReplacer("to4", "-e 127.0.0.1 -r "+startPeer(t, "127.0.0.1"), "to6", "-e ::1 -r "+startPeer(t, "::1"))
	// The clients wait for seconds at a time, so many run at once, more than
	// parallel tests would.
	var running errgroup.Group
	running.SetLimit(12)
	variants := append(slices.Clone(variants4), variants6...)
	output := make([]string, len(variants))
	for i, v := range variants {
		d := d6
		v.options = peers.Replace(v.options)
		if i < len(variants4) {
			d = d4
			// What one leaves behind is not in the way of another that gets the same port.
			v.options += fmt.Sprintf(" -L 127.0.1.%d", i+1)
		}
		running.Go(func() error {
			output[i] = v.run(d)
			return nil
		})
	}
	_ = running.Wait() // the output has the errors
	for i, v := range variants {
		t.Run(v.name, func(t *testing.T) { v.check(t, output[i]) })
	}
	// Over UDP the client abandons allocations on purpose now and then; nobody
	// can tell before they expire. A connection's end tells.
	for _, d := range []*harness.Daemon{d4, d6} {
		harness.Within(t, 10*time.Second, "no allocation over TCP or TLS is left", func() (bool, any) {
			count, evidence := d.Allocations()
			return count >= 0 && !strings.Contains(evidence, `"tcp"`) && !strings.Contains(evidence, `"tls"`), evidence
		})
	}
}

var (
	sentAndReceived = regexp.MustCompile(`start_mclient: tot_send_msgs=(\d+), tot_recv_msgs=(\d+)`)
	lost            = regexp.MustCompile(`Total lost packets (\d+) .*total send dropped (\d+) `)
)

// run returns what the client wrote, and how it ended.
func (v variant) run(d *harness.Daemon) string {
	service, options := v.service, strings.Fields(v.options)
	switch {
	case service != "":
	case slices.Contains(options, "-t") || slices.Contains(options, "-T") || slices.Contains(options, "-P"):
		service = "turn-tcp"
	default:
		service = "turn-udp"
	}
	host, port, err := net.SplitHostPort(d.Listening(service))
	if err != nil {
		return err.Error()
	}
	line := fmt.Sprintf("turnutils_uclient %s -u user -W %s -m %d -n %d -z 10 -p %s %s", v.options, secret, max(v.clients, 1), messages, port, host)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	words := strings.Fields(line)
	output, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput()
	return fmt.Sprintf("%s\n%s\nended: %v", line, output, err)
}

// check wants every message back, or the refusal.
func (v variant) check(t *testing.T, output string) {
	if v.refused != "" {
		if !strings.Contains(output, v.refused) {
			t.Errorf("want %q in:\n%s", v.refused, output)
		}
		return
	}
	counts, losses := sentAndReceived.FindAllStringSubmatch(output, -1), lost.FindStringSubmatch(output)
	if len(counts) == 0 || losses == nil || !strings.HasSuffix(output, "ended: <nil>") {
		t.Fatalf("no result:\n%s", output)
	}
	want, last := strconv.Itoa(v.clients*messages), counts[len(counts)-1]
	if last[1] != want || last[2] != want || losses[1] != "0" || losses[2] != "0" {
		t.Errorf("sent %s and received %s of %s, lost %s, dropped %s:\n%s", last[1], last[2], want, losses[1], losses[2], output)
	}
}

// startPeer runs coturn's echo at ip and returns its port; the next port up
// echoes too. The program takes no port 0, so it is given one that was free just
// now, and another one when that is gone.
func startPeer(t *testing.T, ip string) (port string) {
	t.Helper()
	var output bytes.Buffer
	for range 5 {
		address := freePair(t, ip)
		port = strconv.Itoa(address.Port)
		peer := exec.Command("turnutils_peer", "-v", "-L", ip, "-p", port)
		peer.Stdout, peer.Stderr = &output, &output
		if err := peer.Start(); err != nil {
			t.Fatal(err)
		}
		stop := func() {
			_ = peer.Process.Kill()
			_ = peer.Wait()
		}
		if echoes(t, address) {
			t.Cleanup(stop)
			return port
		}
		stop()
	}
	t.Fatalf("turnutils_peer does not echo:\n%s", &output)
	return ""
}

// freePair finds two ports in a row that are free.
func freePair(t *testing.T, ip string) *net.UDPAddr {
	t.Helper()
	for range 100 {
		first, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)})
		if err != nil {
			t.Fatal(err)
		}
		address := first.LocalAddr().(*net.UDPAddr)
		second, err := net.ListenUDP("udp", &net.UDPAddr{IP: address.IP, Port: address.Port + 1})
		first.Close()
		if err == nil {
			second.Close()
			return address
		}
	}
	t.Fatalf("no two ports in a row are free at %s", ip)
	return nil
}

// echoes tells whether address sends back what it is sent, within seconds.
func echoes(t *testing.T, address *net.UDPAddr) bool {
	t.Helper()
	probe, err := net.DialUDP("udp", nil, address)
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 100 {
		echo := make([]byte, 16)
		_, _ = probe.Write([]byte("hello"))
		_ = probe.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if n, err := probe.Read(echo); err == nil && string(echo[:n]) == "hello" {
			return true
		}
		<-tick.C
	}
	return false
}
