package turn

import (
	"net/netip"
	"strings"
	"testing"
)

func TestNonceBinder(t *testing.T) {
	n, stranger, a, b := newNonceBinder(), newNonceBinder(), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	first, second := "0000019abcde0001"+strings.Repeat("a", 64), "0000019abcde0002"+strings.Repeat("a", 64)
	bound := string(n.bind([]byte(first), a))
	if got := n.unbind(bound, a); got != first {
		t.Errorf("unbound to %q", got)
	}
	mark := bound[len(first):]
	for name, forged := range map[string]string{
		"of another address":   string(n.bind([]byte(first), b)),
		"the mark on a newer":  second + mark,
		"without a mark":       first,
		"nothing":              "",
		"another server's":     string(stranger.bind([]byte(first), a)),
		"one digit is another": bound[:len(bound)-1] + string(bound[len(bound)-1]^1),
	} {
		if got := n.unbind(forged, a); got != "" {
			t.Errorf("%s: unbound to %q", name, got)
		}
	}
}
