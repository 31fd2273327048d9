package ingress

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestNetwork(t *testing.T) {
	for _, test := range []struct{ ip, want string }{
		{"192.0.2.1", "192.0.2.1"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
		{"2001:db8:1:2::", "2001:db8:1:2::"},
		{"2001:db8:1:3::", "2001:db8:1:3::"},
		{"::1", "::"},
	} {
		if got := Network(netip.MustParseAddr(test.ip)); got.String() != test.want {
			t.Errorf("%s counts as %v, want %s", test.ip, got, test.want)
		}
	}
}

// wantFree shows that every place was given back.
func (r *running) wantFree() {
	r.t.Helper()
	r.counts.mu.Lock()
	defer r.counts.mu.Unlock()
	if len(r.counts.open) > 0 {
		r.t.Errorf("still counted: %v", r.counts.open)
	}
}

// limited lets one address have n connections.
func limited(n int, config Config) Config {
	config.PerIP, config.PerIPIs = n, "http.limits.connections_per_ip"
	return config
}

func TestPerIP(t *testing.T) {
	r := start(t, limited(2, Config{Key: "http.listen", For: HTTP}))
	var open []*Conn
	for range 2 {
		r.dial()
		open = append(open, r.next())
	}
	for range 3 {
		if before := wantClosed(t, r.dial()); len(before) > 0 {
			t.Errorf("read %q", before)
		}
	}
	if warned := r.log.matching("level=WARN", "http.limits.connections_per_ip", "client=127.0.0.1"); len(warned) != 1 {
		t.Errorf("warned %q", warned)
	}
	open[0].Wire.Close()
	open[0].Wire.Close() // gives back one place all the same
	r.dial()
	last := r.next()
	wantClosed(t, r.dial())
	open[1].Wire.Socket().Close()
	last.Wire.Close()
	r.wantFree()
	r.wantTally(nil)
}

// TestPlacesOfFailedHandshakes has room for one connection: whoever fails leaves it to the next.
func TestPlacesOfFailedHandshakes(t *testing.T) {
	config := limited(1, shared())
	config.Trusted = loopback
	r := start(t, config)
	hello := clientHello(t)
	for _, says := range []string{"\x16rubbish", stunBinding, hello[:20], "", hello} {
		for range 2 {
			c := r.dial()
			send(t, c, proxyLine+says)
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			wantClosed(t, c)
			r.wantFree()
		}
	}
	c := r.dial()
	send(t, c, proxyLine+httpRequest)
	got := r.next()
	over := r.dial()
	send(t, over, proxyLine+httpRequest)
	wantClosed(t, over)
	got.Wire.Close()
	r.wantFree()
}

// TestPlacesWhileShakingHands counts connections whose handshake is not done.
func TestPlacesWhileShakingHands(t *testing.T) {
	r := start(t, limited(1, shared()))
	c := r.dial()
	hello := clientHello(t)
	send(t, c, hello)
	wantBytes(t, c, "\x16\x03\x03") // it has been counted: the server answers
	wantClosed(t, r.dial())
	c.Close()
	r.refused(c)
	r.wantServed()
}

// TestPerIPBehindProxies counts the clients that trusted proxies tell, and not the proxies.
func TestPerIPBehindProxies(t *testing.T) {
	config := limited(1, Config{Key: "http.listen", For: HTTP})
	config.Trusted = loopback
	r := start(t, config)
	for _, test := range []struct {
		name, header string
		served       bool
	}{
		{"the first", proxyLine, true},
		{"the same", strings.Replace(proxyLine, "5000", "5001", 1), false},
		{"another", strings.Replace(proxyLine, "192.0.2.1", "192.0.2.2", 1), true},
		{"mapped", version2(0x21, 0x21, addr16("::ffff:192.0.2.1")+addr16("::ffff:198.51.100.1")+"\x13\x88\x01\xbb"), false},
		{"IPv6", "PROXY TCP6 2001:db8:0:1::1 2001:db8::2 5000 443\r\n", true},
		{"IPv6, the same network", "PROXY TCP6 2001:db8:0:1:ffff::1 2001:db8::2 5000 443\r\n", false},
		{"IPv6, the next network", "PROXY TCP6 2001:db8:0:2::1 2001:db8::2 5000 443\r\n", true},
		{"the proxy", "", true},
		{"the proxy again", "PROXY UNKNOWN\r\n", true},
		{"the proxy a third time", version2(0x20, 0, ""), true},
		{"another proxy behind it", "PROXY TCP4 127.0.0.9 198.51.100.1 5000 443\r\n", true},
		{"the other proxy again", "PROXY TCP4 127.0.0.9 198.51.100.1 5001 443\r\n", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := r.dial() // open until the end of its test, the server's end for longer
			send(t, c, test.header+httpRequest)
			if !test.served {
				wantClosed(t, c)
				return
			}
			wantBytes(t, r.next().Wire, httpRequest)
		})
	}
}

// TestStop ends Run in both ways.
func TestStop(t *testing.T) {
	for _, test := range []struct {
		name string
		stop func(*running)
	}{
		{"context", func(r *running) { r.stop() }},
		{"Close", func(r *running) {
			if err := errors.Join(r.Close(), r.Close()); err != nil {
				r.t.Error(err)
			}
			r.stop()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := shared()
			config.Trusted = loopback
			config.Timeout = time.Hour
			r := start(t, config)
			hello := clientHello(t)
			var pending []net.Conn
			for _, says := range []string{"", hello[:1], hello[:len(hello)-1], proxyLine[:9], proxyBinary + hello[:100]} {
				c := r.dial()
				send(t, c, says)
				pending = append(pending, c)
			}
			pending = append(pending, r.dialTLS(clientTLS())) // and no byte
			served := r.dialTLS(clientTLS("h2"))              // which the others do not delay
			got := r.next()
			test.stop(r)
			for i, c := range pending {
				if before := wantClosed(t, c); len(before) > 0 {
					t.Errorf("%d read %q", i, before)
				}
			}
			r.mu.Lock()
			if len(r.pending) > 0 {
				t.Errorf("%d connections are left behind", len(r.pending))
			}
			r.mu.Unlock()
			wantEcho(t, served, got.TLS)
			if c, err := net.Dial("tcp", r.Addr().String()); err == nil {
				c.Close()
				t.Error("the port is still open")
			}
		})
	}
}

// TestTimeoutIsOver has connections served that go on for longer than they may take to begin.
func TestTimeoutIsOver(t *testing.T) {
	config := shared()
	config.Trusted, config.Timeout = loopback, 300*time.Millisecond
	secure := start(t, config)
	clear := start(t, Config{Key: "http.listen", Trusted: loopback, Timeout: config.Timeout, For: HTTP})
	over := secure.dialTLS(clientTLS("h2"))
	plain := clear.dial()
	send(t, plain, proxyLine)
	fromTLS, fromClear := secure.next(), clear.next()
	wantClosed(t, secure.dial()) // who came last has had the time that the others have
	for _, way := range [][2]net.Conn{{over, fromTLS.TLS}, {fromTLS.TLS, over}, {plain, fromClear.Wire}, {fromClear.Wire, plain}} {
		wantBytes(t, way[1], send(t, way[0], "still here"))
	}
}

// TestStoppedMeanwhile has connections that come, or are ready, when nobody listens any more.
func TestStoppedMeanwhile(t *testing.T) {
	l := given(t, "tcp", "127.0.0.1:0")
	for _, test := range []struct {
		name   string
		config Config
		late   func(*Listener, *net.TCPConn)
	}{
		{"accepted", shared(), func(l *Listener, c *net.TCPConn) { l.accepted(c) }},
		{"ready", Config{Key: "http.listen", For: HTTP}, func(l *Listener, c *net.TCPConn) { l.admit(newWire(c), false) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := start(t, test.config)
			r.stop()
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			late, err := l.AcceptTCP()
			if err != nil {
				t.Fatal(err)
			}
			test.late(r.Listener, late)
			_ = c.SetDeadline(time.Now().Add(patience))
			wantClosed(t, c)
			if len(r.served) > 0 {
				t.Error("served")
			}
		})
	}
}

// TestEverybodyAtOnce has clients of all kinds come together.
func TestEverybodyAtOnce(t *testing.T) {
	const each = 20
	r := start(t, limited(6*each, shared()))
	var clients sync.WaitGroup
	for _, kind := range []struct {
		says   string
		offers []string
		secure bool
	}{
		{httpRequest, []string{"h2"}, true},
		{stunBinding, []string{alpnTURN}, true},
		{stunBinding, nil, true},
		{httpRequest, nil, false},
		{stunBinding, nil, false},
		{clientHello(t)[:100], nil, false},
	} {
		for range each {
			socket := r.dial()
			clients.Go(func() {
				var c net.Conn = socket
				if kind.secure {
					c = tls.Client(socket, clientTLS(kind.offers...))
				}
				_, err := io.WriteString(c, kind.says)
				if err := errors.Join(err, socket.CloseWrite()); err != nil {
					t.Error(err)
				}
				_, _ = io.Copy(io.Discard, c) // until the server has had enough
			})
		}
	}
	for range 4 * each {
		c := r.next()
		want, from := httpRequest, io.Reader(c.Wire)
		if c.For == TURN {
			want = stunBinding
		}
		if c.TLS != nil {
			from = io.MultiReader(bytes.NewReader(c.Ahead), c.TLS)
		}
		wantBytes(t, from, want)
		c.Wire.Close()
	}
	clients.Wait()
	r.log.waitFor(t, 2*each, "connection refused")
	r.wantFree()
	r.wantTally(map[string]int{resultHTTP: each, resultTURN: 2 * each, resultClear: each, resultNotTLS: each, resultFailed: each})
}

func TestCloseWithoutRun(t *testing.T) {
	l, err := Listen(Config{Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr()
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	again, err := Listen(Config{Address: address.String()})
	if err != nil {
		t.Fatal(err)
	}
	if again.Addr() != address {
		t.Errorf("bound to %v", again.Addr())
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// TestAddr is unmapped, whatever the socket says.
func TestAddr(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0", ":0"} {
		l, err := Listen(Config{Address: address})
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Addr(); got.Addr().Is4In6() || got.Port() == 0 {
			t.Errorf("%s: %v", address, got)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// troubled is a socket whose first accepts fail.
type troubled struct {
	net.Listener
	errs []error // owned by who accepts
}

func (l *troubled) Accept() (net.Conn, error) {
	if len(l.errs) == 0 {
		return l.Listener.Accept()
	}
	err := l.errs[0]
	l.errs = l.errs[1:]
	return nil, err
}

// TestFailingAccepts is a time without descriptors, on a socket that was inherited.
func TestFailingAccepts(t *testing.T) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	none := &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	config := shared()
	config.Inherited, config.Address = &troubled{socket, []error{none, none, none}}, "192.0.2.1:1"
	r := start(t, config)
	r.wantServed()
	if warned := r.log.matching("level=WARN", "cannot accept a connection", "raise the limit on open files"); len(warned) != 1 {
		t.Errorf("warned %q in %s", warned, r.log)
	}
}

// TestStopWhilePausing has more failures to come than there is patience for.
func TestStopWhilePausing(t *testing.T) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	errs := make([]error, 30)
	for i := range errs {
		errs[i] = errors.New("out of order")
	}
	config := shared()
	config.Inherited = &troubled{socket, errs}
	r := start(t, config)
	r.log.wait(t, "cannot accept a connection", "out of order")
	r.stop()
}

// TestEndedBefore starts Run after the context has ended.
func TestEndedBefore(t *testing.T) {
	l, err := Listen(Config{Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestBindError(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	listen := func(address string) error {
		_, err := Listen(Config{Key: "https.listen", Address: address})
		return err
	}
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"taken", listen(address), "https.listen: " + address + " is already in use: stop the other program or set https.listen to another address"},
		{"not ours", listen("192.0.2.1:443"), "https.listen: 192.0.2.1:443 is not an address of this machine; set https.listen to another address"},
		{"nonsense", listen("nonsense"), "https.listen: cannot listen on nonsense: "},
		{"a low port", BindError("https.listen", ":443", os.NewSyscallError("bind", syscall.EACCES)),
			"https.listen: no permission to listen on :443: ports below 1024 need CAP_NET_BIND_SERVICE, or set https.listen to another address"},
		{"taken, on Windows", BindError("turn.tls", ":5349", os.NewSyscallError("bind", wsaEADDRINUSE)), "turn.tls: :5349 is already in use"},
	} {
		if test.err == nil || !strings.HasPrefix(test.err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, test.err, test.want)
		}
	}
}

func TestAdvise(t *testing.T) {
	for _, cause := range []error{syscall.EMFILE, syscall.ENFILE} {
		if err := Advise(os.NewSyscallError("accept", cause)); !errors.Is(err, cause) || !strings.Contains(err.Error(), "LimitNOFILE=") {
			t.Errorf("%v: %v", cause, err)
		}
	}
	if err := Advise(io.EOF); err != io.EOF {
		t.Errorf("%v", err)
	}
}
