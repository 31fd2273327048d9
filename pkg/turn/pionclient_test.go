package turn

import (
	"net"
	"testing"
	"time"

	"github.com/pion/logging"
	pion "github.com/pion/turn/v2"
)

// TestPionClient has two of Pion's clients talk through their relayed addresses, as any application built on it would.
func TestPionClient(t *testing.T) {
	for _, network := range transports {
		t.Run(network, func(t *testing.T) {
			s := start(t, nil)
			a, b := s.pionRelay(t, network), s.pionRelay(t, network)
			// Each end opens the way for the other with its first packet; this one arrives or not, depending on who is first.
			if _, err := a.WriteTo([]byte("open"), b.LocalAddr()); err != nil {
				t.Fatal(err)
			}
			for i, text := range []string{"first", "second", "third"} {
				from, to := a, b
				if i%2 == 0 {
					from, to = b, a
				}
				if _, err := from.WriteTo([]byte(text), to.LocalAddr()); err != nil {
					t.Fatal(err)
				}
				to.SetReadDeadline(time.Now().Add(patience))
				buf := make([]byte, 100)
				n, addr, err := to.ReadFrom(buf)
				if string(buf[:n]) == "open" {
					n, addr, err = to.ReadFrom(buf)
				}
				if err != nil || string(buf[:n]) != text || addr.String() != from.LocalAddr().String() {
					t.Fatalf("got %q from %v, %v", buf[:n], addr, err)
				}
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			s.wantAllocations(t, 0)
		})
	}
}

// pionRelay allocates with Pion's client.
func (s *testServer) pionRelay(t *testing.T, network string) net.PacketConn {
	t.Helper()
	addr, _ := s.UDPAddr()
	var conn net.PacketConn
	var err error
	if network == "tcp" {
		addr, _ = s.TCPAddr()
		stream, dialErr := net.Dial("tcp", addr.String())
		if dialErr != nil {
			t.Fatal(dialErr)
		}
		conn = pion.NewSTUNConn(stream)
	} else if conn, err = net.ListenPacket("udp4", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	credential := s.authority.Mint("", time.Hour)
	c, err := pion.NewClient(&pion.ClientConfig{STUNServerAddr: addr.String(), TURNServerAddr: addr.String(), Conn: conn,
		Username: credential.Username, Password: credential.Password, Realm: "maitred", LoggerFactory: logging.NewDefaultLoggerFactory()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); conn.Close() })
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	relayed, err := c.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	return relayed
}
