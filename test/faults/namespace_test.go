//go:build linux

package faults

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// The daemon's own public addresses, which the sites reach by way of us.
var (
	own4 = netip.MustParseAddr("45.0.0.1")
	own6 = netip.MustParseAddr("2a00:45::1")
)

// run executes a command line with spaces between its words.
func run(t testing.TB, line string) string {
	t.Helper()
	words := strings.Fields(line)
	output, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, output)
	}
	return string(output)
}

// hasIPv6 reports whether the kernel does: with ipv6.disable=1 it does not.
func hasIPv6() bool {
	_, err := os.Stat("/proc/sys/net/ipv6/conf")
	return err == nil
}

// ownAddresses gives this machine the daemon's public addresses.
func ownAddresses(t testing.TB) {
	t.Helper()
	addresses := []string{own4.String() + "/32"}
	if hasIPv6() {
		addresses = append(addresses, own6.String()+"/128")
	}
	for _, address := range addresses {
		run(t, "ip addr add "+address+" dev lo")
		t.Cleanup(func() { run(t, "ip addr del "+address+" dev lo") })
	}
}

// site is a network namespace with a cable to us and nothing else. We are its
// router.
type site struct {
	t      testing.TB
	name   string
	device string // our end of the cable
	ip4    netip.Addr
	ip6    netip.Addr
}

var sites atomic.Int32

// newSite makes a site with public addresses that no other one has.
func newSite(t testing.TB) *site {
	t.Helper()
	n := sites.Add(1)
	s := &site{t: t, name: fmt.Sprintf("site%d-%d", n, os.Getpid()), device: fmt.Sprintf("cable%d", n),
		ip4: netip.AddrFrom4([4]byte{45, byte(n), 0, 2}), ip6: netip.MustParseAddr(fmt.Sprintf("2a00:45:%x::2", n))}
	run(t, "ip netns add "+s.name)
	t.Cleanup(func() { run(t, "ip netns del "+s.name) }) // the cable goes with it
	s.inside(noDuplicateDetection)
	run(t, fmt.Sprintf("ip link add %s type veth peer name eth0 netns %s", s.device, s.name))
	run(t, fmt.Sprintf("ip addr add %v/24 dev %s", s.ip4.Prev(), s.device))
	run(t, "ip link set "+s.device+" up")
	lines := []string{"link set lo up", fmt.Sprintf("addr add %v/24 dev eth0", s.ip4), "link set eth0 up", fmt.Sprintf("route add default via %v", s.ip4.Prev())}
	if hasIPv6() {
		run(t, fmt.Sprintf("ip addr add %v/64 dev %s nodad", s.ip6.Prev(), s.device))
		lines = append(lines, fmt.Sprintf("addr add %v/64 dev eth0 nodad", s.ip6), fmt.Sprintf("-6 route add default via %v", s.ip6.Prev()))
	}
	for _, line := range lines {
		run(t, "ip -n "+s.name+" "+line)
	}
	return s
}

// inside runs f on a thread that is in the site: what it opens stays there.
func (s *site) inside(f func() error) {
	s.t.Helper()
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		result <- func() error {
			file, err := os.Open(filepath.Join("/run/netns", s.name))
			if err != nil {
				return err
			}
			defer file.Close()
			if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter %s: %w", s.name, err)
			}
			return f()
		}()
	}()
	if err := <-result; err != nil {
		s.t.Fatal(err)
	}
}

// dial makes a TURN client in the site.
func (s *site) dial(t testing.TB, network string, to netip.AddrPort) *client {
	t.Helper()
	var conn net.Conn
	s.inside(func() (err error) {
		conn, err = net.Dial(network, to.String())
		return err
	})
	return newClient(t, conn, "user")
}

// listen opens a socket of a peer in the site.
func (s *site) listen(t testing.TB, ip netip.Addr) *socket {
	t.Helper()
	var conn *net.UDPConn
	s.inside(func() (err error) {
		conn, err = net.ListenUDP("udp", &net.UDPAddr{IP: ip.AsSlice()})
		return err
	})
	return newSocket(t, conn)
}
