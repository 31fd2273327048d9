package ingress

import (
	"net"
	"strconv"
	"strings"
	"testing"
)

// given is what the service manager would hand over for address.
func given(t *testing.T, network, address string) *net.TCPListener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

func TestTake(t *testing.T) {
	for _, test := range []struct {
		name, network, open string
		want                string // host of the configuration
		found               bool
	}{
		{"the same", "tcp", "127.0.0.1", "127.0.0.1", true},
		{"by name", "tcp4", "127.0.0.1", "localhost", true},
		{"mapped", "tcp", "127.0.0.1", "::ffff:127.0.0.1", true},
		{"another address", "tcp", "127.0.0.1", "127.0.0.2", false},
		{"all of them configured, one open", "tcp", "127.0.0.1", "", false},
		{"one configured, all open", "tcp", "", "127.0.0.1", false},
		{"all, of both families", "tcp", "", "", true},
		{"all, written for IPv4", "tcp", "", "0.0.0.0", true},
		{"all, written for IPv6", "tcp", "", "::", true},
		{"all of IPv4, configured without a host", "tcp4", "0.0.0.0", "", true},
		{"all of IPv4, written for IPv6", "tcp4", "0.0.0.0", "::", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			other, l := given(t, "tcp", "127.0.0.1:0"), given(t, test.network, test.open+":0")
			s := &Sockets{open: []*net.TCPListener{other, l}}
			address := net.JoinHostPort(test.want, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
			switch got := s.Take("https.listen", address); {
			case !test.found && got != nil:
				t.Errorf("took %v for %s", got.Addr(), address)
			case test.found && got != net.Listener(l):
				t.Errorf("took %v for %s", got, address)
			case test.found && (s.Take("http.listen", address) != nil || len(s.open) != 1 || s.open[0] != other):
				t.Errorf("a socket was taken twice, or %v is not what is left", s.open)
			}
		})
	}
}

func TestTakeByPort(t *testing.T) {
	a, b := given(t, "tcp", "127.0.0.1:0"), given(t, "tcp", "127.0.0.1:0")
	s := &Sockets{open: []*net.TCPListener{a, b}}
	for _, address := range []string{"nonsense", "127.0.0.1", "127.0.0.1:port", "off", ""} {
		if got := s.Take("http.listen", address); got != nil {
			t.Errorf("took %v for %q", got.Addr(), address)
		}
	}
	if s.Take("x", b.Addr().String()) != net.Listener(b) || s.Take("x", a.Addr().String()) != net.Listener(a) {
		t.Error("the sockets were mixed up")
	}
	if err := s.Unused(); err != nil {
		t.Error(err)
	}
	if s.Close() != nil || a.Close() != nil {
		t.Error("what was taken is not the taker's")
	}
}

func TestUnused(t *testing.T) {
	a, b := given(t, "tcp", "127.0.0.1:0"), given(t, "tcp", "127.0.0.1:0")
	s := &Sockets{open: []*net.TCPListener{a, b}}
	err := s.Unused()
	if err == nil || !strings.Contains(err.Error(), "at "+a.Addr().String()+" and "+b.Addr().String()+", where nothing is configured to listen") {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if a.Close() == nil || b.Close() == nil {
		t.Error("still open")
	}
	if err := s.Unused(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error("closed again:", err)
	}
}

// TestNothingInherited is how a process starts that no service manager started.
func TestNothingInherited(t *testing.T) {
	s, err := Inherited()
	if err != nil {
		t.Fatal(err)
	}
	if s.Unused() != nil || s.Take("http.listen", ":8080") != nil || s.Close() != nil {
		t.Error("something was there")
	}
}
