package turn

import (
	"testing"
	"time"

	"github.com/pion/stun"
	"golang.org/x/sys/unix"
)

// TestMergedRequests sends short Binding requests that reach the server in one piece: each has room for an answer that is longer.
func TestMergedRequests(t *testing.T) {
	s := start(t, nil)
	addr, _ := s.UDPAddr()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	wait := unix.NsecToTimeval(int64(patience))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		t.Fatal(err)
	}
	var requests []byte
	ids := map[[stun.TransactionIDSize]byte]bool{}
	for range 4 {
		m := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
		requests, ids[m.TransactionID] = append(requests, m.Raw...), true
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, len(requests)/4); err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendto(fd, requests, 0, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); len(ids) > 0 && time.Now().Before(end); {
		b := make([]byte, 2000)
		n, _, err := unix.Recvfrom(fd, b, 0)
		if err != nil {
			t.Fatal(err)
		}
		m := &stun.Message{Raw: b[:n]}
		if err := m.Decode(); err != nil || m.Type != stun.BindingSuccess || !ids[m.TransactionID] {
			t.Fatalf("%v, %v", m, err)
		}
		delete(ids, m.TransactionID)
	}
}
