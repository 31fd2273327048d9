package ingress

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

const (
	stunBinding  = "\x00\x01\x00\x00\x21\x12\xA4\x42abcdefghijkl"
	stunResponse = "\x01\x01\x00\x00\x21\x12\xA4\x42abcdefghijkl"
	httpRequest  = "GET /r/tea?x=1 HTTP/1.1\r\nHost: call.example.com\r\n\r\n"
)

var routeTests = []struct {
	name     string
	protocol string // "" for a client that does not speak ALPN
	says     string
	want     Protocol
	ahead    string
}{
	{"HTTP/2", "h2", "", HTTP, ""},
	{"HTTP/1.1", "http/1.1", httpRequest, HTTP, ""},
	{"TURN", "stun.turn", stunBinding, TURN, ""},
	{"STUN", "stun.nat-discovery", stunBinding, TURN, ""},
	{"TURN by name, HTTP in fact", "stun.turn", httpRequest, TURN, ""},
	{"a Binding request", "", stunBinding, TURN, "\x00"},
	{"a method of the registry's upper half", "", stunResponse, TURN, "\x01"},
	{"a letter", "", httpRequest, HTTP, "G"},
	{"a small letter", "", "get / HTTP/1.1\r\n\r\n", HTTP, "g"},
	{"ChannelData", "", "\x40\x00\x00\x04abcd", HTTP, "\x40"},
	{"the byte after the last of STUN", "", "\x02", HTTP, "\x02"},
	{"a high byte", "", "\xff\xff", HTTP, "\xff"},
}

func TestRouting(t *testing.T) {
	r := start(t, shared())
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, test := range routeTests {
			t.Run(tls.VersionName(version)+"/"+test.name, func(t *testing.T) {
				config := clientTLS()
				config.MinVersion, config.MaxVersion = version, version
				if test.protocol != "" {
					config.NextProtos = []string{test.protocol}
				}
				client := r.dialTLS(config)
				send(t, client, test.says)
				got := r.next()
				state := got.TLS.ConnectionState()
				if got.For != test.want || string(got.Ahead) != test.ahead || !state.HandshakeComplete || state.Version != version {
					t.Errorf("for %d with %q ahead, TLS %#x; want %d, %q", got.For, got.Ahead, state.Version, test.want, test.ahead)
				}
				if local := client.LocalAddr().String(); got.Wire.Client().String() != local || got.Wire.RemoteAddr().String() != local {
					t.Errorf("the client is %v and %v, want %s", got.Wire.Client(), got.Wire.RemoteAddr(), local)
				}
				wantBytes(t, got.TLS, strings.TrimPrefix(test.says, test.ahead))
				wantEcho(t, client, got.TLS)
			})
		}
	}
	r.wantTally(map[string]int{resultHTTP: 14, resultTURN: 10})
}

// TestPreference has clients that speak several protocols: the server's order counts.
func TestPreference(t *testing.T) {
	r := start(t, Config{TLS: serverTLS(SharedProtocols...), Shared: true})
	for _, test := range []struct {
		offers []string
		wanted string
		is     Protocol
	}{
		{[]string{"http/1.1", "h2"}, "h2", HTTP},
		{[]string{"http/1.1", "stun.turn"}, "stun.turn", TURN},
		{[]string{"stun.nat-discovery", "stun.turn"}, "stun.turn", TURN},
		{[]string{"spdy/3", "stun.nat-discovery"}, "stun.nat-discovery", TURN},
	} {
		c := r.dialTLS(clientTLS(test.offers...))
		if got := r.next(); got.For != test.is || c.ConnectionState().NegotiatedProtocol != test.wanted {
			t.Errorf("%q: %q, for %d", test.offers, c.ConnectionState().NegotiatedProtocol, got.For)
		}
	}
}

// TestAsClientsWantIt resumes the connections of HTTP clients only, and writes a message to the others as one record.
func TestAsClientsWantIt(t *testing.T) {
	message := strings.Repeat("m", 4000)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, test := range []struct {
			name   string
			offers []string
			http   bool
		}{
			{"HTTP", []string{"h2", "http/1.1"}, true},
			{"HTTP/1.1", []string{"http/1.1"}, true},
			{"TURN", []string{"stun.turn"}, false},
			{"STUN or HTTP", []string{"http/1.1", "stun.nat-discovery"}, false},
			{"no ALPN", nil, false},
		} {
			t.Run(tls.VersionName(version)+"/"+test.name, func(t *testing.T) {
				r := start(t, Config{TLS: serverTLS(SharedProtocols...), Shared: true})
				config := clientTLS(test.offers...)
				config.MinVersion, config.MaxVersion, config.ClientSessionCache = version, version, tls.NewLRUClientSessionCache(1)
				for again := range 2 {
					c := r.dialTLS(config)
					send(t, c, stunBinding)
					got := r.next()
					send(t, got.TLS, message)
					first := make([]byte, 2*len(message))
					if n, err := c.Read(first); err != nil || (n == len(message)) == test.http {
						t.Errorf("the first record has %d bytes of %d (%v)", n, len(message), err)
					}
					if resumed := got.TLS.ConnectionState().DidResume; resumed != (test.http && again == 1) {
						t.Errorf("resumed: %v, in connection %d", resumed, again)
					}
				}
			})
		}
	}
}

// TestACMEChallenge is over when the handshake is (RFC 8737 section 3).
func TestACMEChallenge(t *testing.T) {
	r := start(t, shared())
	c := r.dialTLS(clientTLS(alpnACME))
	if got := c.ConnectionState().NegotiatedProtocol; got != alpnACME {
		t.Errorf("negotiated %q", got)
	}
	if before := wantClosed(t, c); len(before) > 0 {
		t.Errorf("read %q", before)
	}
	r.wantTally(map[string]int{resultACME: 1})
	r.wantServed()
}

// TestOneProtocol is a listener for TURN alone: nothing is waited for after the handshake.
func TestOneProtocol(t *testing.T) {
	r := start(t, Config{Key: "turn.tls", TLS: serverTLS(TURNProtocols...), For: TURN})
	for _, offers := range [][]string{nil, {"stun.turn"}, {"stun.nat-discovery"}} {
		c := r.dialTLS(clientTLS(offers...))
		got := r.next()
		if got.For != TURN || len(got.Ahead) > 0 {
			t.Errorf("%q: for %d, %q ahead", offers, got.For, got.Ahead)
		}
		wantEcho(t, c, got.TLS)
	}
	r.wantTally(map[string]int{resultTURN: 3})
}

// TestRefusedHandshakes are those that TLS refuses in its own words.
func TestRefusedHandshakes(t *testing.T) {
	other := clientTLS("imap", "spdy/3")
	old := clientTLS()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	careful := clientTLS()
	careful.InsecureSkipVerify = false
	for _, test := range []struct {
		name        string
		config      *tls.Config
		alert, tell string
	}{
		{"a protocol that nobody speaks", other, "no application protocol", "unsupported application protocols"},
		{"TLS 1.1", old, "protocol version not supported", "unsupported versions"},
		{"a client that does not trust the certificate", careful, "certificate signed by unknown authority", "bad certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := start(t, shared())
			c := tls.Client(r.dial(), test.config)
			if err := c.Handshake(); err == nil || !strings.Contains(err.Error(), test.alert) {
				t.Errorf("the client learns %v, want %q", err, test.alert)
			}
			if why := r.refused(c); !strings.Contains(why, "TLS handshake: ") || !strings.Contains(why, test.tell) {
				t.Errorf("the log says %s", why)
			}
			r.wantServed()
			r.wantTally(map[string]int{resultFailed: 1, resultHTTP: 1})
		})
	}
}

// TestAnyName asks for another host, for an address, and for none.
func TestAnyName(t *testing.T) {
	r := start(t, shared())
	for _, name := range []string{"wrong.example.org", "192.0.2.1", ""} {
		config := clientTLS("http/1.1")
		config.ServerName = name
		c := r.dialTLS(config)
		wantEcho(t, c, r.next().TLS)
	}
	r.wantTally(map[string]int{resultHTTP: 3})
}

// TestNoCertificate warns once of what concerns every client.
func TestNoCertificate(t *testing.T) {
	config := shared()
	config.TLS.Certificates = nil
	config.TLS.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return nil, fmt.Errorf("%w yet: the CA does not answer", ErrNoCertificate)
	}
	r := start(t, config)
	for range 3 {
		c := tls.Client(r.dial(), clientTLS())
		if err := c.Handshake(); err == nil {
			t.Fatal("a handshake without a certificate")
		}
		r.refused(c)
	}
	r.wantTally(map[string]int{resultNoCertificate: 3})
	if warned := r.log.matching("level=WARN"); len(warned) != 1 || !strings.Contains(warned[0], "listener=https.listen") ||
		!strings.Contains(warned[0], "there is no certificate yet: the CA does not answer") {
		t.Errorf("warned %q", warned)
	}
	if every := r.certificateLog.Interval; every != time.Minute {
		t.Errorf("warns every %v", every)
	}
}

// byByte writes every byte by itself.
type byByte struct{ net.Conn }

func (c byByte) Write(b []byte) (int, error) {
	for i := range b {
		if n, err := c.Conn.Write(b[i : i+1]); err != nil {
			return i + n, err
		}
	}
	return len(b), nil
}

// inRecords writes the first TLS record, a ClientHello, as records with one byte, with the next one, and with the rest.
type inRecords struct {
	net.Conn
	done bool
}

func (c *inRecords) Write(b []byte) (int, error) {
	if c.done {
		return c.Conn.Write(b)
	}
	c.done = true
	var out []byte
	head, body := b[:3], b[5:]
	for _, part := range [][]byte{body[:1], body[1:2], body[2:]} {
		out = append(out, head...)
		out = binary.BigEndian.AppendUint16(out, uint16(len(part)))
		out = append(out, part...)
	}
	if _, err := c.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

// TestInPieces has clients whose segments end anywhere.
func TestInPieces(t *testing.T) {
	config := shared()
	config.Trusted = loopback
	r := start(t, config)
	whole := func(c net.Conn) net.Conn { return c }
	for _, test := range []struct {
		name    string
		header  string
		pieces  func(net.Conn) net.Conn
		version uint16
	}{
		{"TLS 1.2, bytes", "", func(c net.Conn) net.Conn { return byByte{c} }, tls.VersionTLS12},
		{"TLS 1.3, bytes", "", func(c net.Conn) net.Conn { return byByte{c} }, tls.VersionTLS13},
		{"TLS 1.2, records", "", func(c net.Conn) net.Conn { return &inRecords{Conn: c} }, tls.VersionTLS12},
		{"TLS 1.3, records", "", func(c net.Conn) net.Conn { return &inRecords{Conn: c} }, tls.VersionTLS13},
		{"records in bytes", "", func(c net.Conn) net.Conn { return &inRecords{Conn: byByte{c}} }, tls.VersionTLS13},
		{"PROXY version 1", proxyLine, whole, tls.VersionTLS13},
		{"PROXY version 2", proxyBinary, whole, tls.VersionTLS13},
		{"all in bytes", proxyLine, func(c net.Conn) net.Conn { return byByte{c} }, tls.VersionTLS13},
		{"all in bytes, version 2", proxyBinary, func(c net.Conn) net.Conn { return byByte{c} }, tls.VersionTLS12},
	} {
		t.Run(test.name, func(t *testing.T) {
			socket := r.dial()
			send(t, byByte{socket}, test.header)
			config := clientTLS()
			config.MinVersion, config.MaxVersion = test.version, test.version
			c := tls.Client(test.pieces(socket), config)
			if err := c.Handshake(); err != nil {
				t.Fatal(err, r.log)
			}
			send(t, byByte{c}, stunBinding) // each byte in a record of its own
			got := r.next()
			want := socket.LocalAddr().String()
			if test.header != "" {
				want = "192.0.2.1:5000"
			}
			if got.For != TURN || got.Wire.Client().String() != want {
				t.Errorf("for %d, from %v, want %s", got.For, got.Wire.Client(), want)
			}
			wantBytes(t, io.MultiReader(strings.NewReader(string(got.Ahead)), got.TLS), stunBinding)
			wantEcho(t, c, got.TLS)
		})
	}
}

// TestReadByByte has a server that gets each byte by itself, which TCP only makes likely.
func TestReadByByte(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			r := start(t, Config{}) // whose wires are taken in by hand
			socket := r.dial()
			w := r.next().Wire
			w.Divert(iotest.OneByteReader(w.Socket()), nil)
			type result struct {
				conn *Conn
				err  error
			}
			done := make(chan result, 1)
			l := &Listener{config: Config{TLS: serverTLS(SharedProtocols...), Shared: true, Timeout: patience, Metrics: NewMetrics()}}
			go func() {
				c, err := l.prepare(w, true)
				done <- result{c, err}
			}()
			send(t, socket, proxyLine)
			config := clientTLS()
			config.MinVersion, config.MaxVersion = version, version
			c := tls.Client(socket, config)
			if _, err := io.WriteString(c, httpRequest); err != nil {
				t.Fatal(err)
			}
			got := <-done
			if got.err != nil || got.conn.For != HTTP || string(got.conn.Ahead) != "G" || w.Client().String() != "192.0.2.1:5000" {
				t.Fatalf("%+v, %v", got, w.Client())
			}
			wantBytes(t, got.conn.TLS, httpRequest[1:])
		})
	}
}

// TestHTTPInClear comes with every byte that was read.
func TestHTTPInClear(t *testing.T) {
	r := start(t, shared())
	long := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("0123456789", 2000)
	for _, test := range []struct {
		name string
		says []string
	}{
		{"at once", []string{httpRequest}},
		{"more than the first read takes", []string{long}},
		{"a letter first", []string{"P", long[1:]}},
		{"a PROXY header from somebody", []string{proxyLine + httpRequest}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := r.dial()
			for _, s := range test.says {
				send(t, c, s)
			}
			got := r.next()
			if got.For != ClearHTTP || got.TLS != nil || len(got.Ahead) > 0 || got.HTTPConn() != net.Conn(got.Wire) {
				t.Errorf("%+v", got)
			}
			wantBytes(t, got.HTTPConn(), strings.Join(test.says, ""))
			wantEcho(t, c, got.HTTPConn())
		})
	}
	r.wantTally(map[string]int{resultClear: 4})
}

// TestNotTLS is garbage, and other protocols where TLS is spoken.
func TestNotTLS(t *testing.T) {
	hello := clientHello(t)
	for _, test := range []struct {
		name, says, want string
	}{
		{"a record of rubbish", "\x16rubbish rubbish rubbish", resultFailed},
		{"a record of handshake that is none", "\x16\x03\x01\x00\x05\xff\xff\xff\xff\xff", resultFailed},
		{"a record that is too long", "\x16\x03\x01\xff\xff" + strings.Repeat("x", 1000), resultFailed},
		{"a ClientHello of zeros", "\x16\x03\x01\x00\x44\x01\x00\x00\x40" + strings.Repeat("\x00", 64), resultFailed},
		{"a hello that ends early", hello[:len(hello)/2], resultFailed},
		{"a hello of one byte", hello[:1], resultFailed},
		{"a hello and no more", hello, resultFailed},
		{"rubbish", "\x8f\x03\xd1\x77\x00\x99", resultNotTLS},
		{"an alert", "\x15\x03\x01\x00\x02\x02\x28", resultNotTLS},
		{"SSL 2.0", "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x07\x00\xc0" + strings.Repeat("x", 34), resultNotTLS},
		{"STUN in clear", stunBinding, resultNotTLS},
		{"SSH", "ssh-2.0-x\r\n", resultNotTLS},
		{"PROXY version 2 from somebody", proxyBinary + hello, resultNotTLS},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := start(t, shared())
			c := r.dial()
			send(t, c, test.says)
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			wantClosed(t, c)
			r.refused(c)
			r.wantTally(map[string]int{test.want: 1})
			r.wantServed()
		})
	}
}

// clientHello is the first record of a client.
func clientHello(t *testing.T) string {
	t.Helper()
	client, server := net.Pipe()
	done := make(chan error, 1)
	go func() {
		defer client.Close()
		done <- tls.Client(client, clientTLS(SharedProtocols...)).Handshake()
	}()
	head := make([]byte, 5)
	if _, err := io.ReadFull(server, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(server, body); err != nil {
		t.Fatal(err)
	}
	server.Close()
	if err := <-done; err == nil {
		t.Fatal("a handshake without a server")
	}
	return string(head) + string(body)
}

// TestNothingSaid is a health check, or a port scan.
func TestNothingSaid(t *testing.T) {
	r := start(t, shared())
	c := r.dial()
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	wantClosed(t, c)
	r.stop()
	r.wantTally(nil)
	if lines := r.log.matching("connection refused"); len(lines) > 0 {
		t.Errorf("the log has %q", lines)
	}
}

// TestTooSlow are clients that keep a goroutine busy until the time is over, and no longer.
func TestTooSlow(t *testing.T) {
	const timeout = 500 * time.Millisecond
	hello := clientHello(t)
	for _, test := range []struct {
		name    string
		trusted bool
		says    string
		secure  bool // says it after a handshake
	}{
		{name: "says nothing"},
		{name: "the first byte of a ClientHello", says: hello[:1]},
		{name: "half a ClientHello", says: hello[:len(hello)/2]},
		{name: "a whole ClientHello and no more", says: hello},
		{name: "a handshake and no more", secure: true},
		{name: "a proxy that says nothing", trusted: true},
		{name: "the first letter of a PROXY header", trusted: true, says: proxyLine[:1]},
		{name: "half a PROXY header", trusted: true, says: proxyLine[:len(proxyLine)/2]},
		{name: "half a signature of version 2", trusted: true, says: proxyBinary[:6]},
		{name: "a signature of version 2", trusted: true, says: proxyBinary[:12]},
		{name: "half an address of version 2", trusted: true, says: proxyBinary[:18]},
		{name: "a PROXY header of version 1 and no more", trusted: true, says: proxyLine},
		{name: "a PROXY header of version 2 and half a ClientHello", trusted: true, says: proxyBinary + hello[:len(hello)/2]},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			config := shared()
			config.Timeout = timeout
			if test.trusted {
				config.Trusted = loopback
			}
			r := start(t, config)
			begin := time.Now()
			var c net.Conn
			if test.secure {
				c = r.dialTLS(clientTLS())
			} else {
				c = r.dial()
			}
			send(t, c, test.says)
			wantClosed(t, c)
			if took := time.Since(begin); took < timeout {
				t.Errorf("closed after %v", took)
			}
			r.log.wait(t, "connection refused", "the client said nothing in time")
			r.wantTally(map[string]int{resultTimeout: 1})
		})
	}
}

// TestTrickle has a client that always says a little more; there is one time limit for all of it.
func TestTrickle(t *testing.T) {
	for _, test := range []struct{ name, says string }{
		{"ClientHello", clientHello(t)},
		{"PROXY header", "PROXY UNKNOWN " + strings.Repeat("x", 90)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			config := shared()
			config.Trusted, config.Timeout = loopback, 300*time.Millisecond
			r := start(t, config)
			c := r.dial()
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				_, _ = io.Copy(io.Discard, c) // until the end, whatever it is; the log tells
			}()
			slowly := time.NewTicker(config.Timeout / 20)
			defer slowly.Stop()
			for i := 0; ; i++ {
				select {
				case <-slowly.C:
					if i == len(test.says) {
						t.Fatal("all of it was read")
					}
					_, _ = c.Write([]byte{test.says[i]}) // fails when the server has closed
					continue
				case <-closed:
				}
				break
			}
			r.refused(c)
			r.wantTally(map[string]int{resultTimeout: 1})
		})
	}
}

// TestHTTPConn is what HTTP servers get: the TLS connection itself, or one that net/http asks for its state all the same.
func TestHTTPConn(t *testing.T) {
	r := start(t, shared())
	r.dialTLS(clientTLS("http/1.1"))
	if got := r.next(); got.HTTPConn() != net.Conn(got.TLS) {
		t.Errorf("%T", got.HTTPConn())
	}
	client := r.dialTLS(clientTLS())
	send(t, client, httpRequest)
	got := r.next().HTTPConn()
	stater, ok := got.(interface{ ConnectionState() tls.ConnectionState })
	if !ok || !stater.ConnectionState().HandshakeComplete {
		t.Errorf("%T does not say that it is secure", got)
	}
	if n, err := got.Read(nil); n != 0 || err != nil {
		t.Errorf("read %d, %v into nothing", n, err)
	}
	wantBytes(t, got, httpRequest)
	wantEcho(t, client, got)
}
