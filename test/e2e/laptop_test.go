package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/maitred/maitred/test/harness"
)

// serverIP is an address of ours that laptops reach over their networks.
const serverIP = "10.9.0.1"

// What the networks of a laptop let through, as rules of nft for both directions.
var (
	// The mark of connections is kept, and no one has one.
	netOpen = []string{"ct state established accept"}
	// A failure that both ends notice as soon as they say something.
	netRefuses = []string{"tcp flags & rst != 0 accept", "meta l4proto tcp reject with tcp reset", "drop"}
	// One that nobody notices but by silence. What was open then is marked.
	netSilent = []string{"ct mark set 1", "drop"}
	// What is marked stays lost, as behind a NAT that has started anew.
	netForgot = []string{"ct mark 1 drop"}
)

// laptop is a network namespace for one browser. It is wired to us over two networks and uses one of them at a time.
type laptop struct {
	t      *testing.T
	name   string
	number int
	holder int // the process that the namespace belongs to
}

// startLab starts a daemon for laptops.
func startLab(t *testing.T, settings ...string) *harness.Daemon {
	t.Helper()
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range interfaces {
		if it.Flags&net.FlagUp != 0 && it.Flags&net.FlagLoopback == 0 && !strings.HasPrefix(it.Name, "laptop") {
			t.Fatalf("here is %s: this test cuts networks, and does so only in a namespace of its own; run it with -exec test/scripts/netns.sh, as root or where user namespaces are allowed", it.Name)
		}
	}
	command(t, "", "ip", "addr", "replace", serverIP+"/32", "dev", "lo")
	return harness.Start(t, append([]string{
		"MAITRED_HTTP_LISTEN=" + serverIP + ":0",
		"MAITRED_TURN_UDP=" + serverIP + ":0",
		"MAITRED_TURN_TCP=" + serverIP + ":0",
		"MAITRED_TURN_EXTERNAL_IP=" + serverIP,
	}, settings...)...)
}

// newLaptop gives a laptop in its first network. Each of a test has another number.
func newLaptop(t *testing.T, number int) *laptop {
	t.Helper()
	l := &laptop{t: t, name: "laptop" + strconv.Itoa(number), number: number}
	// It ends when its input does, with us at the latest, and the namespace goes with it.
	holder := exec.Command("unshare", "-n", "sh", "-c", "ip link set lo up && echo ready && exec cat")
	input, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		if err := holder.Wait(); err != nil {
			t.Errorf("%s: %v", l.name, err)
		}
	})
	if text, err := bufio.NewReader(output).ReadString('\n'); err != nil {
		t.Fatalf("%s: %q %v", l.name, text, err)
	}
	l.holder = holder.Process.Pid
	// The kernel takes its time to clear a namespace away, and the next browser would see the wires go.
	t.Cleanup(func() {
		command(t, "", "nft", "delete", "table", "inet", l.name)
		for network := range 2 {
			command(t, "", "ip", "link", "del", l.name+"-"+strconv.Itoa(network))
		}
	})
	for network := range 2 {
		ours, theirs := l.name+"-"+strconv.Itoa(network), "net"+strconv.Itoa(network)
		command(t, "", "ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", strconv.Itoa(l.holder))
		command(t, "", "ip", "addr", "add", l.address(network, 1)+"/24", "dev", ours)
		command(t, "", "ip", "link", "set", ours, "addrgenmode", "none", "up")
		l.command("ip", "link", "set", theirs, "addrgenmode", "none") // a late IPv6 address would be one more change of networks
	}
	l.plug(0)
	l.filter(netOpen)
	return l
}

func (l *laptop) address(network, host int) string {
	return fmt.Sprintf("10.9.%d.%d", 10*l.number+network, host)
}

// plug connects it to a network, unplug takes it off.
func (l *laptop) plug(network int) {
	l.t.Helper()
	name := "net" + strconv.Itoa(network)
	l.command("ip", "addr", "add", l.address(network, 2)+"/24", "dev", name)
	l.command("ip", "link", "set", name, "up")
	l.command("ip", "route", "add", "default", "via", l.address(network, 1))
}

func (l *laptop) unplug(network int) {
	l.t.Helper()
	name := "net" + strconv.Itoa(network)
	l.command("ip", "addr", "flush", "dev", name)
	l.command("ip", "link", "set", name, "down")
}

// filter says what both networks let through from now on.
func (l *laptop) filter(rules []string) {
	l.t.Helper()
	chain := func(hook, direction string) string {
		text := "chain " + hook + " { type filter hook " + hook + " priority 0;\n"
		for _, rule := range rules {
			text += direction + ` "` + l.name + `-*" ` + rule + "\n"
		}
		return text + "}\n"
	}
	table := "table inet " + l.name
	command(l.t, table+" {}\ndelete "+table+"\n"+table+" {\n"+chain("input", "iifname")+chain("output", "oifname")+"}\n", "nft", "-f", "-")
}

// browse starts a browser on the laptop. The daemon is its localhost: only there, or over TLS, pages get a camera.
func (l *laptop) browse(d *harness.Daemon) (b *browser, base string) {
	l.t.Helper()
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		l.t.Fatal(err)
	}
	b = startBrowserWith(l.t, headlessShell, []chromedp.ExecAllocatorOption{
		chromedp.ModifyCmdFunc(func(browser *exec.Cmd) {
			browser.Args = append([]string{nsenter, "-t", strconv.Itoa(l.holder), "-n", browser.Path}, browser.Args[1:]...)
			browser.Path = nsenter
		}),
		chromedp.Flag("allow-loopback-in-peer-connection", false),
		chromedp.Flag("host-resolver-rules", "MAP localhost "+serverIP+", MAP localhost. "+serverIP+", MAP * ~NOTFOUND, EXCLUDE "+serverIP),
	})
	base = strings.Replace(d.Page(""), serverIP, "localhost", 1)
	// A browser that has just started takes a moment to see its network, and then calls that a change.
	first := b.open("first", base+"/healthz")
	first.waitFor(10*time.Second, `navigator.onLine`)
	first.close()
	return b, base
}

func (l *laptop) command(line ...string) {
	l.t.Helper()
	command(l.t, "", append([]string{"nsenter", "-t", strconv.Itoa(l.holder), "-n"}, line...)...)
}

// command gives input to a program of the system, which must succeed.
func command(t *testing.T, input string, line ...string) {
	t.Helper()
	program := exec.Command(line[0], line[1:]...)
	program.Stdin = strings.NewReader(input)
	if output, err := program.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(line, " "), err, output, input)
	}
}
