//go:build linux

package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/maitred/maitred/test/harness"
)

// closedRouter makes us a router that lets nothing through and says so.
func closedRouter(t testing.TB) {
	t.Helper()
	for _, name := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
		if err := os.WriteFile(name, []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "nft add table inet router")
	t.Cleanup(func() { run(t, "nft delete table inet router") })
	run(t, "nft add chain inet router forward { type filter hook forward priority 0 ; }")
	run(t, "nft add rule inet router forward reject with icmpx type admin-prohibited")
}

// TestTwoSitesNeedTheRelay has clients in two networks that reach the daemon
// and not each other.
func TestTwoSitesNeedTheRelay(t *testing.T) {
	ownAddresses(t)
	closedRouter(t)
	a, b := newSite(t), newSite(t)
	for _, ips := range [][2]netip.Addr{{a.ip4, b.ip4}, {b.ip4, a.ip4}, {a.ip6, b.ip6}, {b.ip6, a.ip6}} {
		wantNoWay(t, map[netip.Addr]*site{a.ip4: a, b.ip4: b, a.ip6: a, b.ip6: b}, ips[0], ips[1])
	}
	for _, test := range []struct {
		name      string
		settings  []string
		transport []string
		ports     bool // relay ports have sockets
	}{
		{"relay ports", nil, []string{"udp", "tcp"}, true},
		{"no relay ports", []string{"MAITRED_TURN_RELAY_PORTS=none"}, []string{"udp", "tcp"}, false},
		{"one open TCP port", []string{"MAITRED_TURN_RELAY_PORTS=none", "MAITRED_TURN_UDP=off"}, []string{"tcp"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := harness.Start(t, append([]string{"MAITRED_TURN_SECRETS=" + secret, "MAITRED_TURN_UDP=:0", "MAITRED_TURN_TCP=:0",
				fmt.Sprintf("MAITRED_TURN_EXTERNAL_IP=%v,%v", own4, own6)}, test.settings...)...)
			for _, transport := range test.transport {
				for _, ip := range []netip.Addr{own4, own6} {
					at := listening(t, d, "turn-"+transport, ip)
					t.Run(fmt.Sprintf("%s to %v", transport, ip), func(t *testing.T) {
						bothRelayed(t, a.dial(t, transport, at), b.dial(t, transport, at), ip.Is6())
						if test.ports {
							oneRelayed(t, a.dial(t, transport, at), b.listen(t, map[bool]netip.Addr{false: b.ip4, true: b.ip6}[ip.Is6()]))
						}
						checkFrom(t, a, at, transport)
					})
				}
			}
			if test.ports {
				coturnAcross(t, a, b, listening(t, d, "turn-udp", own4))
			}
		})
	}
}

// listening is where a service that listens on the wildcard is found at ip.
func listening(t testing.TB, d *harness.Daemon, service string, ip netip.Addr) netip.AddrPort {
	t.Helper()
	at, err := netip.ParseAddrPort(d.Listening(service))
	if err != nil {
		t.Fatalf("%s: %v", service, err)
	}
	return netip.AddrPortFrom(ip, at.Port())
}

// wantNoWay sends a datagram from one site to another and expects the router's
// refusal.
func wantNoWay(t testing.TB, sites map[netip.Addr]*site, from, to netip.Addr) {
	t.Helper()
	target := sites[to].listen(t, to)
	var conn net.Conn
	sites[from].inside(func() (err error) {
		conn, err = net.Dial("udp", target.addr.String())
		return err
	})
	defer conn.Close()
	if _, err := conn.Write([]byte("directly")); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, unix.EHOSTUNREACH) && !errors.Is(err, unix.EACCES) {
		t.Fatalf("from %v to %v: %v, want the router's refusal", from, to, err)
	}
}

// bothRelayed is a call between two allocations, over channels and indications.
func bothRelayed(t *testing.T, a, b *client, ipv6 bool) {
	t.Helper()
	for _, c := range []*client{a, b} {
		if ipv6 {
			c.allocate(overIPv6)
		} else {
			c.allocate()
		}
	}
	a.permit(b.relayed)
	b.permit(a.relayed)
	talk(t, "indications", func(p []byte) { a.send(indication(b.relayed, p)) }, func(p []byte) { b.send(indication(a.relayed, p)) }, a.payload, b.payload)
	a.bind(0x4001, b.relayed)
	b.bind(0x4002, a.relayed)
	talk(t, "channels", func(p []byte) { a.send(channelData(0x4001, p)) }, func(p []byte) { b.send(channelData(0x4002, p)) }, a.payload, b.payload)
}

// oneRelayed is a call between an allocation and a socket that has none.
func oneRelayed(t *testing.T, a *client, b *socket) {
	t.Helper()
	if b.addr.Addr().Is6() {
		a.allocate(overIPv6)
	} else {
		a.allocate()
	}
	a.bind(0x4003, b.addr)
	talk(t, "one side relayed", func(p []byte) { a.send(channelData(0x4003, p)) }, func(p []byte) { b.sendTo(a.relayed, p) }, a.payload, b.payload)
}

// talk sends numbered packets both ways; each follows on the arrival of the one
// before.
func talk(t *testing.T, what string, sendA, sendB func([]byte), atA, atB func(time.Duration) []byte) {
	t.Helper()
	for i := range 20 {
		p := fmt.Appendf(nil, "%s %d", what, i)
		p = append(p, make([]byte, 40*i)...)
		delivers(t, what+" from A", func() { sendA(p) }, atB, p)
		delivers(t, what+" from B", func() { sendB(p) }, atA, p)
	}
}

// checkFrom runs "maitred check" in a site.
func checkFrom(t *testing.T, s *site, at netip.AddrPort, transport string) {
	t.Helper()
	username, password := credential("check")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, "ip", "netns", "exec", s.name, harness.Binary, "check",
		fmt.Sprintf("turn:%v?transport=%s", at, transport), "--username", username, "--password", password)
	command.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=50")
	output, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "relayed at") {
		t.Errorf("maitred check: %v\n%s", err, output)
	}
}

var nothingLost = regexp.MustCompile(`Total lost packets 0 .*total send dropped 0 `)

// coturnAcross has coturn's client in one site talk to its peer in the other.
func coturnAcross(t *testing.T, a, b *site, at netip.AddrPort) {
	t.Helper()
	const port = "3480"
	echo := exec.Command("ip", "netns", "exec", b.name, "turnutils_peer", "-L", b.ip4.String(), "-p", port)
	if err := echo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = echo.Process.Kill()
		_ = echo.Wait()
	})
	probe := b.listen(t, b.ip4)
	to := netip.MustParseAddrPort(b.ip4.String() + ":" + port)
	delivers(t, "turnutils_peer", func() { _, _ = probe.WriteToUDPAddrPort([]byte("hello"), to) }, probe.payload, []byte("hello"))
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	output, err := exec.CommandContext(ctx, "ip", "netns", "exec", a.name, "turnutils_uclient", "-c", "-u", "coturn", "-W", secret,
		"-m", "2", "-n", "50", "-z", "5", "-e", b.ip4.String(), "-r", port, "-p", fmt.Sprint(at.Port()), at.Addr().String()).CombinedOutput()
	if err != nil || !nothingLost.Match(output) {
		t.Errorf("turnutils_uclient: %v\n%s", err, output)
	}
}
