package httpd

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/maitred/maitred/pkg/ingress"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// secureWays are the clients of the shared port that want HTTP.
var secureWays = []struct {
	name   string
	offers []string
	major  int
}{
	{"HTTP/2", []string{"h2", "http/1.1"}, 2},
	{"HTTP/1.1", []string{"http/1.1"}, 1},
	{"no ALPN", nil, 1},
}

// dialTLS connects to the shared port. The connection does not wait for ever.
func dialTLS(t *testing.T, s *Server, protocols ...string) *tls.Conn {
	t.Helper()
	dialer := &net.Dialer{Deadline: time.Now().Add(10 * time.Second)}
	c, err := tls.DialWithDialer(dialer, "tcp", s.SecureAddr().String(), clientTLS(protocols...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// wantEcho says something and wants it back.
func wantEcho(t *testing.T, c io.ReadWriter, says string) {
	t.Helper()
	if _, err := io.WriteString(c, says); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(says))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != says {
		t.Fatalf("got %q (%v), want %q", got[:n], err, says)
	}
}

// wantClosed reads until the server ends the connection.
func wantClosed(t *testing.T, c net.Conn) {
	t.Helper()
	_, err := io.Copy(io.Discard, c)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatal("the connection is still open")
	}
}

// next is the next connection for TURN.
func next(t *testing.T, taken <-chan *ingress.Conn) *ingress.Conn {
	t.Helper()
	select {
	case c := <-taken:
		return c
	case <-time.After(10 * time.Second):
		t.Fatal("no connection came")
		return nil
	}
}

// wantPortClosed dials until nobody listens.
func wantPortClosed(t *testing.T, address netip.AddrPort) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		c, err := net.Dial("tcp", address.String())
		if err != nil {
			return
		}
		c.Close()
		if time.Now().After(deadline) {
			t.Fatal("still accepting")
		}
	}
}

func TestPageOverHTTPS(t *testing.T) {
	cfg := publicConfig()
	cfg.SecureListen, cfg.Listen = "127.0.0.1:0", "off"
	s := run(t, cfg)
	for _, way := range secureWays {
		t.Run(way.name, func(t *testing.T) {
			for _, test := range []struct {
				method, path, body string
				status             int
				contains           string
			}{
				{"GET", "/", "", 200, "lobby"},
				{"GET", "/r/tea-room", "", 200, "call"},
				{"GET", "/assets/style.css", "", 200, "a{}"},
				{"GET", "/ws", "", 200, "signaling"},
				{"POST", "/api/v1/ice-servers", `{"user":"alice"}`, 200, `"username":"1:alice"`},
				{"GET", "/healthz", "", 200, `"ok"`},
				{"GET", "/nonsense", "", 404, "not_found"},
				{"DELETE", "/", "", 405, "GET, HEAD"},
			} {
				got := askThrough(t, over(way.offers...), test.method, s.secureURL(test.path), test.body, key)
				if got.status != test.status || got.major != way.major || !strings.Contains(got.body, test.contains) {
					t.Errorf("%s %s: HTTP/%d %d %q, want %d with %q", test.method, test.path, got.major, got.status, got.body, test.status, test.contains)
				}
				checkHeaders(t, got)
			}
		})
	}
}

// TestTransportSecurity is RFC 6797 section 7.2: only what came encrypted is
// told to stay so, and only where a domain has a certificate.
func TestTransportSecurity(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for _, domain := range []string{"", testDomain} {
		for _, https := range []string{"off", "127.0.0.1:0"} {
			direct := run(t, Config{Domain: domain, SecureListen: https, TrustedProxies: proxies})
			proxied := run(t, Config{Domain: domain, SecureListen: https, TrustedProxies: loopback})
			for _, test := range []struct {
				name   string
				s      *Server
				header string
				want   bool
			}{
				{"in clear", direct, "Accept: */*", false},
				{"somebody says https", direct, "X-Forwarded-Proto: https", false},
				{"a proxy says https", proxied, "X-Forwarded-Proto: https", true},
				{"a proxy says wss", proxied, "Forwarded: proto=wss", true},
				{"a proxy says http", proxied, "X-Forwarded-Proto: http", false},
				{"a proxy says nothing", proxied, "X-Forwarded-For: 198.51.100.1", false},
			} {
				t.Run(strings.Join([]string{domain, https, test.name}, "/"), func(t *testing.T) {
					wantTransportSecurity(t, ask(t, "GET", test.s.url("/"), "", test.header), test.want && domain != "")
				})
			}
			if https == "off" {
				continue
			}
			for _, way := range secureWays {
				for _, s := range []*Server{direct, proxied} {
					for _, path := range []string{"/", "/nonsense"} {
						t.Run(strings.Join([]string{domain, way.name, path}, "/"), func(t *testing.T) {
							got := askThrough(t, over(way.offers...), "GET", s.secureURL(path), "", "X-Forwarded-Proto: http")
							wantTransportSecurity(t, got, domain != "")
						})
					}
				}
			}
		}
	}
}

func wantTransportSecurity(t *testing.T, got answer, want bool) {
	t.Helper()
	value := ""
	if want {
		value = "max-age=63072000"
	}
	if have := got.header.Get("Strict-Transport-Security"); have != value {
		t.Errorf("status %d with Strict-Transport-Security %q, want %q", got.status, have, value)
	}
}

// TestTURN hands the connections on that carry TURN, and none that do not.
func TestTURN(t *testing.T) {
	taken := make(chan *ingress.Conn, 10)
	s := run(t, Config{SecureListen: "127.0.0.1:0", TURN: func(c *ingress.Conn) { taken <- c }})
	const binding = "\x00\x01\x00\x00\x21\x12\xA4\x42abcdefghijkl"
	for _, test := range []struct {
		name   string
		offers []string
		ahead  string
	}{
		{"TURN", []string{"stun.turn"}, ""},
		{"STUN", []string{"stun.nat-discovery"}, ""},
		{"no ALPN", nil, "\x00"},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := dialTLS(t, s, test.offers...)
			if _, err := io.WriteString(client, binding); err != nil {
				t.Fatal(err)
			}
			got := next(t, taken)
			defer got.Wire.Close()
			if got.For != ingress.TURN || string(got.Ahead) != test.ahead || got.Wire.Client().String() != client.LocalAddr().String() {
				t.Errorf("%+v", got)
			}
			rest := make([]byte, len(binding)-len(test.ahead))
			if _, err := io.ReadFull(got.TLS, rest); err != nil || test.ahead+string(rest) != binding {
				t.Errorf("read %q (%v)", rest, err)
			}
			if _, err := got.TLS.Write(rest); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(client, rest); err != nil {
				t.Error(err)
			}
		})
	}
	for _, way := range secureWays {
		if got := askThrough(t, over(way.offers...), "GET", s.secureURL("/"), ""); got.status != 200 {
			t.Errorf("%s beside TURN: %d", way.name, got.status)
		}
	}
	if len(taken) > 0 {
		t.Errorf("%d connections for TURN that are none", len(taken))
	}
}

func TestWithoutTURN(t *testing.T) {
	s := run(t, Config{SecureListen: "127.0.0.1:0"})
	wantClosed(t, dialTLS(t, s, "stun.turn"))
	c := dialTLS(t, s)
	if _, err := c.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	wantClosed(t, c)
	if got := askThrough(t, over("h2"), "GET", s.secureURL("/"), ""); got.status != 200 {
		t.Errorf("page: %d", got.status)
	}
}

// TestHijackOverTLS is what a WebSocket needs: the connection, and what the
// client has sent already.
func TestHijackOverTLS(t *testing.T) {
	s := run(t, Config{SecureListen: "127.0.0.1:0", Signaling: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		defer conn.Close()
		secure := strconv.FormatBool(Secure(r, nil))
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\nSecure: "+secure+"\r\n\r\n")
		_, _ = io.Copy(conn, buffered) // until the client goes
	})})
	for _, way := range secureWays[1:] {
		t.Run(way.name, func(t *testing.T) {
			c := dialTLS(t, s, way.offers...)
			_, err := io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: call.example.com\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nearly")
			if err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(c)
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Secure") != "true" {
				t.Errorf("%d %v", res.StatusCode, res.Header)
			}
			early := make([]byte, len("early"))
			if _, err := io.ReadFull(r, early); err != nil || string(early) != "early" {
				t.Errorf("%q (%v)", early, err)
			}
			wantEcho(t, struct {
				io.Reader
				io.Writer
			}{r, c}, strings.Repeat("message", 10000))
		})
	}
}

// TestShutdownOverHTTPS lets a request of each kind finish.
func TestShutdownOverHTTPS(t *testing.T) {
	for _, way := range secureWays {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			entered, release := make(chan struct{}), make(chan struct{})
			s, err := New(Config{SecureListen: "127.0.0.1:0", TLS: serverTLS(), Signaling: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				close(entered)
				<-release
				_, _ = w.Write([]byte("finished"))
			})})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			ran := make(chan error, 1)
			go func() { ran <- s.Run(ctx) }()
			got := make(chan answer, 1)
			go func() { got <- askThrough(t, over(way.offers...), "GET", s.secureURL("/ws"), "") }()
			<-entered
			silent := dialTLS(t, s) // a handshake under way does not hold anybody up
			cancel()
			wantClosed(t, silent)
			wantPortClosed(t, s.SecureAddr())
			close(release)
			if a := <-got; a.body != "finished" || a.major != way.major {
				t.Errorf("HTTP/%d %d %q", a.major, a.status, a.body)
			}
			if err := <-ran; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestConnectionsPerAddressOverHTTPS counts whatever comes to the port, and no
// more once it has gone.
func TestConnectionsPerAddressOverHTTPS(t *testing.T) {
	for _, way := range secureWays[1:] {
		t.Run(way.name, func(t *testing.T) {
			taken := make(chan *ingress.Conn, 1)
			s := run(t, Config{SecureListen: "127.0.0.1:0", ConnectionsPerIP: 2, TURN: func(c *ingress.Conn) { taken <- c }})
			dialTLS(t, s, "stun.turn")
			turn := next(t, taken)
			page := dialTLS(t, s, way.offers...)
			if !answers(page) {
				t.Fatal("the second connection was refused")
			}
			full := func() bool {
				c, err := tls.Dial("tcp", s.SecureAddr().String(), clientTLS(way.offers...))
				if err != nil {
					return true
				}
				defer c.Close()
				return !answers(c)
			}
			if !full() {
				t.Fatal("a third connection was taken")
			}
			for _, leave := range []io.Closer{page, turn.Wire} {
				leave.Close()
				for deadline := time.Now().Add(10 * time.Second); full(); {
					if time.Now().After(deadline) {
						t.Fatal("a closed connection still counts")
					}
				}
			}
		})
	}
}

// TestSlowHeaders has clients that never end their request, one silent and one
// that always says a little more.
func TestSlowHeaders(t *testing.T) {
	const timeout = 200 * time.Millisecond
	s, err := New(Config{SecureListen: "127.0.0.1:0", TLS: serverTLS()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	group, ctx := errgroup.WithContext(ctx)
	server := s.serve(ctx, group, s.secure.http, s.served("https", s.publicHandler()), writeTimeout)
	if server.ReadHeaderTimeout != readHeaderTimeout || readHeaderTimeout > 10*time.Second {
		t.Errorf("headers may take %v", server.ReadHeaderTimeout)
	}
	server.ReadHeaderTimeout = timeout // there is no connection yet that it concerns
	group.Go(func() error { return s.secure.listener.Run(ctx) })
	defer func() {
		cancel()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
	}()
	for _, way := range secureWays[1:] {
		for _, talks := range []bool{false, true} {
			begin := time.Now()
			c := dialTLS(t, s, way.offers...)
			if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: call.example.com\r\nX-Slow: "); err != nil {
				t.Fatal(err)
			}
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				_, _ = io.Copy(io.Discard, c)
			}()
			tick := time.NewTicker(timeout / 10)
			for open := true; open; {
				select {
				case <-tick.C:
					if talks {
						_, _ = c.Write([]byte("x")) // fails when the server has closed
					}
				case <-closed:
					open = false
				}
			}
			tick.Stop()
			if took := time.Since(begin); took < timeout || took > 20*timeout {
				t.Errorf("%s, talks: %v: closed after %v", way.name, talks, took)
			}
		}
	}
}

// TestHandshakeTimeout is the configured one.
func TestHandshakeTimeout(t *testing.T) {
	s := run(t, Config{SecureListen: "127.0.0.1:0", HandshakeTimeout: 100 * time.Millisecond})
	c, err := net.Dial("tcp", s.SecureAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(handshakeTimeout / 2))
	wantClosed(t, c)
}

// TestPROXYOverHTTPS has the client's address reach the handlers.
func TestPROXYOverHTTPS(t *testing.T) {
	whoAsks := func(trusted []netip.Prefix) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, ClientIP(r, trusted).String()) })
	}
	proxied := run(t, Config{SecureListen: "127.0.0.1:0", TrustedProxies: loopback, Signaling: whoAsks(loopback)})
	direct := run(t, Config{SecureListen: "127.0.0.1:0", Signaling: whoAsks(nil)})
	const header = "PROXY TCP4 192.0.2.7 198.51.100.1 5000 443\r\n"
	for _, way := range secureWays {
		// The client may claim what it likes: it is no proxy.
		got := askThrough(t, behind(header, way.offers), "GET", proxied.secureURL("/ws"), "", "X-Forwarded-For: 203.0.113.9")
		if got.body != "192.0.2.7" || got.major != way.major {
			t.Errorf("%s: HTTP/%d, client %q", way.name, got.major, got.body)
		}
	}
	c, err := net.Dial("tcp", direct.SecureAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if got := say(t, c, header); got.status != http.StatusBadRequest {
		t.Errorf("a header of somebody's: %d %s", got.status, got.body)
	}
}

// behind is over with a header in front of everything.
func behind(header string, offers []string) *http.Transport {
	transport := over(offers...)
	transport.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		secure := tls.Client(c, clientTLS(offers...))
		if _, err = io.WriteString(c, header); err == nil {
			err = secure.HandshakeContext(ctx)
		}
		if err != nil {
			_ = c.Close()
			return nil, err
		}
		return secure, nil
	}
	return transport
}

// say writes a request as it is and reads the answer.
func say(t *testing.T, c net.Conn, request string) answer {
	t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.ProtoMajor, res.StatusCode, res.Header, string(body)}
}

// TestInherited takes sockets that are open already.
func TestInherited(t *testing.T) {
	var sockets []net.Listener
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		sockets = append(sockets, l)
	}
	var asked []string
	s := run(t, Config{Listen: "192.0.2.1:80", SecureListen: "192.0.2.1:443", AdminListen: "off", Inherited: func(key, address string) net.Listener {
		asked = append(asked, key+" "+address)
		return sockets[len(asked)-1]
	}})
	if want := []string{"http.listen 192.0.2.1:80", "https.listen 192.0.2.1:443"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q", asked)
	}
	if s.Addr().String() != sockets[0].Addr().String() || s.SecureAddr().String() != sockets[1].Addr().String() {
		t.Errorf("listens on %v and %v", s.Addr(), s.SecureAddr())
	}
	if got := askThrough(t, over("h2"), "GET", s.secureURL("/"), ""); got.status != 200 {
		t.Errorf("HTTPS: %d", got.status)
	}
	if got := ask(t, "GET", s.url("/"), ""); got.status != 200 {
		t.Errorf("HTTP: %d", got.status)
	}
}

// TestHandover closes what comes when the server has stopped.
func TestHandover(t *testing.T) {
	at := netip.MustParseAddrPort("192.0.2.1:443")
	h := newHandover(at)
	if h.Addr().String() != at.String() {
		t.Errorf("at %v", h.Addr())
	}
	early, other := net.Pipe()
	defer other.Close()
	var giving sync.WaitGroup
	giving.Go(func() { h.give(early) })
	if got, err := h.Accept(); got != early || err != nil {
		t.Errorf("accepted %v, %v", got, err)
	}
	giving.Wait()
	if err := errors.Join(early.Close(), h.Close(), h.Close()); err != nil {
		t.Error(err)
	}
	late, client := net.Pipe()
	defer client.Close()
	_ = client.SetDeadline(time.Now().Add(10 * time.Second))
	h.give(late)
	if n, err := client.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read %d, %v", n, err)
	}
	if c, err := h.Accept(); c != nil || !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("accepted %v, %v", c, err)
	}
}
