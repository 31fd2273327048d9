package turn

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun"
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

// TestUnauthorized asks the engine once a minute, and nobody's edit shows in the answer of another.
func TestUnauthorized(t *testing.T) {
	var u unauthorized
	asked, start := 0, time.Now()
	ask := func() *reply {
		asked++
		r := refuse(stun.CodeUnauthorized)
		r.replace(stun.AttrNonce, []byte(fmt.Sprint("nonce ", asked)))
		return r
	}
	for _, tt := range []struct {
		after time.Duration
		nonce string
	}{{0, "nonce 1"}, {time.Second, "nonce 1"}, {unauthorizedAge - 1, "nonce 1"}, {unauthorizedAge, "nonce 2"}, {unauthorizedAge + time.Second, "nonce 2"}} {
		found := u.get(start.Add(tt.after), ask).edit(stun.AttrNonce, func(nonce []byte) []byte {
			if string(nonce) != tt.nonce {
				t.Errorf("after %v: %q, want %q", tt.after, nonce, tt.nonce)
			}
			return append(nonce, " for somebody"...)
		})
		if !found {
			t.Errorf("after %v: no nonce", tt.after)
		}
	}
	var none unauthorized
	if r := none.get(start, func() *reply { return nil }); r != nil || none.answer != nil {
		t.Errorf("no answer of the engine became %+v", r)
	}
}
