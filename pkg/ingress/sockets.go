package ingress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
)

// Sockets are listening TCP sockets that the service manager has opened for this process (systemd's socket activation). They are for whoever is
// configured to listen on their address.
type Sockets struct{ open []*net.TCPListener }

// Inherited takes over what the process was given. Only the first call finds something.
func Inherited() (*Sockets, error) {
	s := &Sockets{}
	for _, f := range activation.Files(true) {
		l, err := net.FileListener(f)
		_ = f.Close() // the listener has a descriptor of its own
		tcp, ok := l.(*net.TCPListener)
		switch {
		case err != nil:
			return nil, errors.Join(fmt.Errorf("the service manager gave a socket that is no listening one (in maitred.socket only ListenStream= is of use): %w", err), s.Close())
		case !ok:
			return nil, errors.Join(fmt.Errorf("the service manager gave a socket at %s, which is not TCP", l.Addr()), l.Close(), s.Close())
		}
		s.open = append(s.open, tcp)
	}
	return s, nil
}

// Take returns the socket for a configured address, or nil. It is the caller's then.
func (s *Sockets) Take(_, address string) net.Listener {
	want, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil
	}
	for i, l := range s.open {
		have := l.Addr().(*net.TCPAddr)
		if have.Port == want.Port && sameHost(have.IP, want.IP) {
			s.open = append(s.open[:i:i], s.open[i+1:]...)
			return l
		}
	}
	return nil
}

// sameHost compares addresses; none, and the unspecified ones of both families, are the same.
func sameHost(a, b net.IP) bool {
	x, _ := netip.AddrFromSlice(a)
	y, _ := netip.AddrFromSlice(b)
	x, y = x.Unmap(), y.Unmap()
	wild := func(ip netip.Addr) bool { return !ip.IsValid() || ip.IsUnspecified() }
	return wild(x) && wild(y) || x == y
}

// Unused is an error when a socket is left that nobody took.
func (s *Sockets) Unused() error {
	if len(s.open) == 0 {
		return nil
	}
	var addresses []string
	for _, l := range s.open {
		addresses = append(addresses, l.Addr().String())
	}
	return fmt.Errorf("the service manager gave a socket at %s, where nothing is configured to listen: "+
		"let ListenStream= in maitred.socket name the address of http.listen, https.listen, turn.tcp, turn.tls or admin.listen", strings.Join(addresses, " and "))
}

// Close closes the sockets that nobody took.
func (s *Sockets) Close() error {
	var errs []error
	for _, l := range s.open {
		errs = append(errs, l.Close())
	}
	s.open = nil
	return errors.Join(errs...)
}
