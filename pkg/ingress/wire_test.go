package ingress

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	proxyLine      = "PROXY TCP4 192.0.2.1 198.51.100.1 5000 443\r\n"
	// proxyBinary is the same in version 2.
	proxyBinary = proxySignature + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x01\x13\x88\x01\xbb"
)

// version2 is a header with a command, a family, and what its length counts.
func version2(command, family byte, rest string) string {
	b := append([]byte(proxySignature), command, family)
	return string(binary.BigEndian.AppendUint16(b, uint16(len(rest)))) + rest
}

// Addresses of version 2, from source to destination, with ports 5000 and 443.
var (
	proxyIPv4 = proxyBinary[16:]
	proxyIPv6 = addr16("2001:db8::1") + addr16("2001:db8::2") + "\x13\x88\x01\xbb"
	proxyUnix = strings.Repeat("/", 216)
	// proxyTLVs are an authority and a no-op (PP2_TYPE_AUTHORITY, PP2_TYPE_NOOP).
	proxyTLVs = "\x02\x00\x04a.io\x04\x00\x02xx"
)

func addr16(s string) string {
	a := netip.MustParseAddr(s).As16()
	return string(a[:])
}

// proxyTests have the client's address, or "" for the proxy's own.
var proxyTests = []struct{ name, header, want string }{
	{"none", "", ""},
	{"1, TCP4", proxyLine, "192.0.2.1:5000"},
	{"1, TCP6", "PROXY TCP6 2001:db8::1 2001:db8::2 5000 443\r\n", "[2001:db8::1]:5000"},
	{"1, TCP6 with mapped addresses", "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.1 5000 443\r\n", "192.0.2.1:5000"},
	{"1, UNKNOWN", "PROXY UNKNOWN\r\n", ""},
	{"1, UNKNOWN with addresses", "PROXY UNKNOWN ffff:f:f:f:f:f:f:f ffff:f:f:f:f:f:f:f 65535 65535\r\n", ""},
	{"1, as long as can be", "PROXY UNKNOWN " + strings.Repeat("f", 91) + "\r\n", ""},
	{"2, TCP4", proxyBinary, "192.0.2.1:5000"},
	{"2, TCP6", version2(0x21, 0x21, proxyIPv6), "[2001:db8::1]:5000"},
	{"2, TCP6 with mapped addresses", version2(0x21, 0x21, addr16("::ffff:192.0.2.1")+addr16("::ffff:198.51.100.1")+"\x13\x88\x01\xbb"), "192.0.2.1:5000"},
	{"2, TCP4 with TLVs", version2(0x21, 0x11, proxyIPv4+proxyTLVs), "192.0.2.1:5000"},
	{"2, TCP6 with TLVs", version2(0x21, 0x21, proxyIPv6+proxyTLVs), "[2001:db8::1]:5000"},
	{"2, LOCAL", version2(0x20, 0x00, ""), ""},
	{"2, LOCAL with TLVs", version2(0x20, 0x00, proxyTLVs), ""},
	{"2, LOCAL with addresses", version2(0x20, 0x11, proxyIPv4+proxyTLVs), ""},
	{"2, UDP4", version2(0x21, 0x12, proxyIPv4), ""},
	{"2, UDP6", version2(0x21, 0x22, proxyIPv6), ""},
	{"2, UNIX", version2(0x21, 0x31, proxyUnix), ""},
	{"2, large TLVs", version2(0x21, 0x11, proxyIPv4+"\x04\x0f\x00"+strings.Repeat("x", 0xf00)), "192.0.2.1:5000"},
}

func TestProxyHeader(t *testing.T) {
	clear := start(t, Config{Key: "http.listen", Trusted: loopback, For: HTTP})
	config := shared()
	config.Trusted = loopback
	secure := start(t, config)
	for _, test := range proxyTests {
		t.Run(test.name, func(t *testing.T) {
			c := clear.dial()
			want := test.want
			if want == "" {
				want = c.LocalAddr().String()
			}
			send(t, c, test.header+httpRequest)
			got := clear.next()
			if got.For != HTTP || got.TLS != nil || got.Wire.Client().String() != want || got.Wire.RemoteAddr().String() != want {
				t.Errorf("client %v, want %s", got.Wire.Client(), want)
			}
			wantBytes(t, got.Wire, httpRequest)
			wantEcho(t, c, got.Wire)
		})
		t.Run(test.name+", TLS", func(t *testing.T) {
			c := secure.dial()
			send(t, c, test.header)
			over := tls.Client(c, clientTLS("h2"))
			if err := over.Handshake(); err != nil {
				t.Fatal(err)
			}
			got := secure.next()
			want := test.want
			if want == "" {
				want = c.LocalAddr().String()
			}
			if got.Wire.Client().String() != want || got.TLS.RemoteAddr().String() != want {
				t.Errorf("client %v, want %s", got.Wire.Client(), want)
			}
			wantEcho(t, over, got.TLS)
		})
	}
	clear.wantTally(nil)
}

var badProxyTests = []struct{ name, header string }{
	{"1, no family", "PROXY \r\n"},
	{"1, nothing", "PROXY\r\n"},
	{"1, another word", "PROXYING TCP4 192.0.2.1 198.51.100.1 5000 443\r\n"},
	{"1, unknown family", "PROXY TCP5 192.0.2.1 198.51.100.1 5000 443\r\n"},
	{"1, a name", "PROXY TCP4 localhost 198.51.100.1 5000 443\r\n"},
	{"1, other family", "PROXY TCP4 2001:db8::1 2001:db8::2 5000 443\r\n"},
	{"1, port too high", "PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n"},
	{"1, no port", "PROXY TCP4 192.0.2.1 198.51.100.1 5000\r\n"},
	{"1, more behind", "PROXY TCP4 192.0.2.1 198.51.100.1 5000 443 9\r\n"},
	{"1, two blanks", "PROXY  TCP4 192.0.2.1 198.51.100.1 5000 443\r\n"},
	{"1, LF only", "PROXY TCP4 192.0.2.1 198.51.100.1 5000 443\n"},
	{"1, too long", "PROXY UNKNOWN " + strings.Repeat("f", 92) + "\r\n"},
	{"1, never ends", "PROXY " + strings.Repeat("f", 1000)},
	{"2, version 3", version2(0x31, 0x11, proxyIPv4)},
	{"2, another command", version2(0x22, 0x11, proxyIPv4)},
	{"2, no family", version2(0x21, 0x00, "")},
	{"2, no such transport", version2(0x21, 0x13, proxyIPv4)},
	{"2, too short for IPv4", version2(0x21, 0x11, proxyIPv4[:11])},
	{"2, too short for IPv6", version2(0x21, 0x21, proxyIPv4)},
	{"2, too large", version2(0x21, 0x11, proxyIPv4+strings.Repeat("x", 65000))},
}

// TestBadProxyHeader is what a trusted proxy must not say.
func TestBadProxyHeader(t *testing.T) {
	for _, test := range badProxyTests {
		t.Run(test.name, func(t *testing.T) {
			config := shared()
			config.Trusted = loopback
			r := start(t, config)
			c := r.dial()
			_, _ = io.WriteString(c, test.header) // fails when the server has closed
			wantClosed(t, c)
			if why := r.refused(c); !strings.Contains(why, errBadProxyHeader.Error()) {
				t.Errorf("the log says %s", why)
			}
			r.wantTally(map[string]int{resultProxy: 1})
			r.wantServed()
		})
	}
}

// TestBadProxyHeaderInClear is no matter of TLS, and not counted as such.
func TestBadProxyHeaderInClear(t *testing.T) {
	r := start(t, Config{Key: "http.listen", Trusted: loopback, For: HTTP})
	c := r.dial()
	send(t, c, "PROXY \r\n"+httpRequest)
	wantClosed(t, c)
	if why := r.refused(c); !strings.Contains(why, "listener=http.listen") || !strings.Contains(why, errBadProxyHeader.Error()) {
		t.Errorf("the log says %s", why)
	}
	r.wantTally(nil)
	send(t, r.dial(), proxyLine+httpRequest)
	wantBytes(t, r.next().Wire, httpRequest)
}

// TestProxyHeaderOfStrangers is content like any other.
func TestProxyHeaderOfStrangers(t *testing.T) {
	r := start(t, Config{Key: "http.listen", Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, For: HTTP})
	for _, test := range []struct{ name, header string }{{"1", proxyLine}, {"2", proxyBinary}, {"malformed", "PROXY \r\n"}} {
		t.Run(test.name, func(t *testing.T) {
			c := r.dial()
			send(t, c, test.header+httpRequest)
			got := r.next()
			if got.Wire.Client().String() != c.LocalAddr().String() {
				t.Errorf("client %v, want %v", got.Wire.Client(), c.LocalAddr())
			}
			wantBytes(t, got.Wire, test.header+httpRequest)
		})
	}
}

// TestShortOfAHeader ends after a few bytes that could become one.
func TestShortOfAHeader(t *testing.T) {
	r := start(t, Config{Key: "http.listen", Trusted: loopback, For: HTTP})
	for _, says := range []string{"", "P", "PROX", "\r", "\r\n\r\n\x00\r\nQUI"} {
		c := r.dial()
		send(t, c, says)
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r.next().Wire); string(got) != says || err != nil {
			t.Errorf("%q became %q (%v)", says, got, err)
		}
	}
}

// FuzzProxyHeader reads headers at once and byte by byte: the result is the same, and of what is behind the header no byte is lost.
func FuzzProxyHeader(f *testing.F) {
	for _, test := range proxyTests {
		f.Add([]byte(test.header + httpRequest))
	}
	for _, test := range badProxyTests {
		f.Add([]byte(test.header))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		own := netip.MustParseAddrPort("203.0.113.1:1")
		read := func(r io.Reader) (netip.AddrPort, string, error) {
			w := &Wire{client: own, in: r}
			if err := w.readProxyHeader(); err != nil {
				return own, "", err
			}
			rest, err := io.ReadAll(w)
			if err != nil {
				t.Fatal(err)
			}
			return w.Client(), string(rest), nil
		}
		client, rest, err := read(bytes.NewReader(data))
		client2, rest2, err2 := read(iotest.OneByteReader(bytes.NewReader(data)))
		if client != client2 || rest != rest2 || (err == nil) != (err2 == nil) {
			t.Fatalf("at once %v, %q, %v; byte by byte %v, %q, %v", client, rest, err, client2, rest2, err2)
		}
		if err != nil {
			if !errors.Is(err, errBadProxyHeader) {
				t.Fatal(err)
			}
			return
		}
		if !client.IsValid() || client.Addr().Is4In6() || client.Addr().Zone() != "" {
			t.Fatalf("client %v", client)
		}
		header, ok := strings.CutSuffix(string(data), rest)
		if !ok || !isHeader(header) || header == "" && (client != own || isHeaderBegun(rest)) {
			t.Fatalf("%q was taken for a header, and %q left", header, rest)
		}
	})
}

func isHeader(s string) bool {
	switch {
	case s == "":
		return true
	case strings.HasPrefix(s, proxySignature):
		return len(s) >= 16 && len(s) == 16+int(binary.BigEndian.Uint16([]byte(s[14:])))
	}
	return strings.HasPrefix(s, "PROXY ") && len(s) <= maxProxyLine && strings.Index(s, "\n") == len(s)-1 && strings.HasSuffix(s, "\r\n")
}

func isHeaderBegun(s string) bool {
	return strings.HasPrefix(s, "PROXY") || strings.HasPrefix(s, proxySignature)
}

// TestDivert reads what was read ahead, then the replacement, then the socket again.
func TestDivert(t *testing.T) {
	r := start(t, Config{For: TURN})
	c := r.dial()
	w := r.next().Wire
	var out bytes.Buffer
	w.ahead = []byte("ahead")
	w.Divert(strings.NewReader("instead"), &out)
	wantBytes(t, w, "aheadinstead")
	if n, err := w.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read %d, %v where the replacement ends", n, err)
	}
	if send(t, w, "written"); out.String() != "written" {
		t.Errorf("the replacement got %q", out.String())
	}
	wantEcho(t, c, w.Socket())
	w.Divert(nil, nil)
	wantEcho(t, c, w)
	if out.String() != "written" {
		t.Errorf("the replacement got %q at last", out.String())
	}
}

// TestDivertedTLS speaks TLS through the replacements.
func TestDivertedTLS(t *testing.T) {
	r := start(t, shared())
	c := r.dialTLS(clientTLS("stun.turn"))
	got := r.next()
	socket := got.Wire.Socket()
	var out bytes.Buffer
	got.Wire.Divert(socket, &out)
	send(t, c, stunBinding)
	wantBytes(t, got.TLS, stunBinding)
	send(t, got.TLS, stunResponse)
	if out.Len() <= len(stunResponse) {
		t.Fatalf("%d bytes of records", out.Len())
	}
	send(t, socket, out.String())
	wantBytes(t, c, stunResponse)
}

func TestTakeAhead(t *testing.T) {
	w := &Wire{in: strings.NewReader("more"), ahead: []byte("abc")}
	wantBytes(t, w, "a")
	if got := w.TakeAhead(); string(got) != "bc" {
		t.Errorf("took %q", got)
	}
	wantBytes(t, w, "more")
	if got := w.TakeAhead(); got != nil {
		t.Errorf("took %q of nothing", got)
	}
}

// TestWhenClosed counts the calls: there is one, whoever closes, and however often.
func TestWhenClosed(t *testing.T) {
	for _, test := range []struct {
		name  string
		close func(*Wire) io.Closer
	}{
		{"wire", func(w *Wire) io.Closer { return w }},
		{"socket", func(w *Wire) io.Closer { return w.Socket() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := start(t, Config{})
			c := r.dial()
			w := r.next().Wire
			calls := 0
			w.WhenClosed(func() { calls++ })
			if err := test.close(w).Close(); err != nil || calls != 1 {
				t.Errorf("%d calls, %v", calls, err)
			}
			wantClosed(t, c)
			if err := test.close(w).Close(); !errors.Is(err, net.ErrClosed) || calls != 1 {
				t.Errorf("%d calls when closed again, %v", calls, err)
			}
			if w.WhenClosed(func() { calls++ }); calls != 2 {
				t.Errorf("%d calls, want one at once where the wire is closed", calls)
			}
		})
	}
}

// TestCloseWaitsForTheTold: the socket is open until all have been told, whoever closes at the same time.
func TestCloseWaitsForTheTold(t *testing.T) {
	r := start(t, Config{})
	r.dial()
	w := r.next().Wire
	telling, told := make(chan struct{}), make(chan struct{})
	w.WhenClosed(func() {
		close(telling)
		<-told
		if err := w.tcp.SetNoDelay(true); err != nil {
			t.Errorf("the socket is closed: %v", err)
		}
	})
	var closers sync.WaitGroup
	closers.Go(func() { w.Close() })
	<-telling
	second := make(chan struct{})
	closers.Go(func() {
		close(second)
		w.Close()
	})
	<-second
	for range 1000 { // the second has all the time it needs to close too early
		runtime.Gosched()
	}
	close(told)
	closers.Wait()
	if err := w.tcp.SetNoDelay(true); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the socket is open: %v", err)
	}
}

// TestCloseWrite lets the other side still answer.
func TestCloseWrite(t *testing.T) {
	r := start(t, Config{})
	c := r.dial()
	w := r.next().Wire
	send(t, w, "last")
	if err := w.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := wantClosed(t, c); string(got) != "last" {
		t.Errorf("read %q", got)
	}
	send(t, c, "thanks")
	wantBytes(t, w, "thanks")
}

func TestUnmapped(t *testing.T) {
	for _, test := range []struct {
		in   net.TCPAddr
		want string
	}{
		{net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}, "192.0.2.1:1"},
		{net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.1").To16(), Port: 1}, "192.0.2.1:1"},
		{net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 1, Zone: "eth0"}, "[fe80::1]:1"},
	} {
		if got := unmapped(&test.in); got.String() != test.want {
			t.Errorf("%v: %v, want %s", &test.in, got, test.want)
		}
	}
}
