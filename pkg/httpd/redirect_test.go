package httpd

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// elsewhere is a Host header that does not make the client one of this machine.
const elsewhere = "Host: meet.example.org:8080"

// clearTests ask http.listen where there is HTTPS. PORT is that of HTTPS.
var clearTests = []struct {
	name, method, path string
	headers            []string
	trusted            bool
	status             int
	location           string // with a domain
	named              string // without; "" is location
	contains           string
}{
	{name: "page", path: "/", headers: []string{elsewhere}, status: 308,
		location: "https://call.example.com:PORT/", named: "https://meet.example.org:PORT/"},
	{name: "path and query", path: "/r/tea%2Froom?x=1&y=%20#f", headers: []string{elsewhere}, status: 308,
		location: "https://call.example.com:PORT/r/tea%2Froom?x=1&y=%20", named: "https://meet.example.org:PORT/r/tea%2Froom?x=1&y=%20"},
	{name: "HEAD", method: "HEAD", path: "/x", headers: []string{elsewhere}, status: 308,
		location: "https://call.example.com:PORT/x", named: "https://meet.example.org:PORT/x"},
	{name: "IPv6", path: "/", headers: []string{"Host: [2001:db8::1]:8080"}, status: 308,
		location: "https://call.example.com:PORT/", named: "https://[2001:db8::1]:PORT/"},
	{name: "IPv4", path: "/", headers: []string{"Host: 192.0.2.1"}, status: 308,
		location: "https://call.example.com:PORT/", named: "https://192.0.2.1:PORT/"},
	{name: "something sent", method: "POST", path: "/api/v1/ice-servers", headers: []string{elsewhere, key}, status: 403, contains: "https_required"},
	{name: "something deleted", method: "DELETE", path: "/x", headers: []string{elsewhere}, status: 403, contains: "https_required"},
	{name: "WebSocket", path: "/ws", headers: []string{elsewhere, "Connection: Upgrade", "Upgrade: websocket"}, status: 403, contains: "https_required"},

	{name: "alive", path: "/healthz", headers: []string{elsewhere}, status: 200, contains: `"ok"`},
	{name: "ready", path: "/readyz", headers: []string{elsewhere}, status: 200, contains: `"ready"`},
	{name: "below alive", path: "/healthz/x", headers: []string{elsewhere}, status: 308,
		location: "https://call.example.com:PORT/healthz/x", named: "https://meet.example.org:PORT/healthz/x"},
	{name: "this machine", path: "/", headers: []string{"Host: localhost:8080"}, status: 200, contains: "lobby"},
	{name: "this machine's address", path: "/", status: 200, contains: "lobby"},
	{name: "this machine's API", method: "POST", path: "/api/v1/ice-servers", headers: []string{key}, status: 200, contains: "iceServers"},
	{name: "this machine for somebody else", path: "/", headers: []string{"Host: localhost:8080", "X-Forwarded-For: 192.0.2.1"}, status: 308,
		location: "https://call.example.com:PORT/", named: "https://localhost:PORT/"},

	{name: "a proxy with HTTPS", trusted: true, path: "/", headers: []string{elsewhere, "X-Forwarded-Proto: https"}, status: 200, contains: "lobby"},
	{name: "a proxy with WSS", trusted: true, path: "/", headers: []string{elsewhere, "X-Forwarded-Proto: wss"}, status: 200, contains: "lobby"},
	{name: "a proxy with Forwarded", trusted: true, path: "/", headers: []string{elsewhere, "Forwarded: for=192.0.2.1;proto=https"}, status: 200, contains: "lobby"},
	{name: "a proxy that does not say", trusted: true, path: "/", headers: []string{elsewhere, "X-Forwarded-For: 192.0.2.1"}, status: 200, contains: "lobby"},
	{name: "a proxy's API", trusted: true, method: "POST", path: "/api/v1/ice-servers", headers: []string{elsewhere, key, "X-Forwarded-Proto: https"},
		status: 200, contains: "iceServers"},
	{name: "a proxy with HTTP", trusted: true, path: "/", headers: []string{elsewhere, "X-Forwarded-Proto: http"}, status: 308,
		location: "https://call.example.com:PORT/", named: "https://meet.example.org:PORT/"},
	{name: "a proxy with HTTP by Forwarded", trusted: true, path: "/", headers: []string{elsewhere, "Forwarded: for=192.0.2.1;proto=http"}, status: 308,
		location: "https://call.example.com:PORT/", named: "https://meet.example.org:PORT/"},
	{name: "a proxy on this machine with HTTP", trusted: true, path: "/", headers: []string{"Host: localhost", "X-Forwarded-Proto: http"}, status: 308,
		location: "https://call.example.com:PORT/", named: "https://localhost:PORT/"},
	{name: "somebody who says HTTPS", path: "/", headers: []string{elsewhere, "X-Forwarded-Proto: https"}, status: 308,
		location: "https://call.example.com:PORT/", named: "https://meet.example.org:PORT/"},
	{name: "somebody who says nothing", path: "/", headers: []string{elsewhere, "X-Forwarded-For: 192.0.2.1"}, status: 308,
		location: "https://call.example.com:PORT/", named: "https://meet.example.org:PORT/"},
}

func TestRedirects(t *testing.T) {
	for _, domain := range []string{testDomain, ""} {
		servers := map[bool]*Server{}
		for trusted, proxies := range map[bool][]netip.Prefix{true: loopback, false: {netip.MustParsePrefix("192.0.2.0/24")}} {
			cfg := publicConfig()
			cfg.SecureListen, cfg.Domain, cfg.TrustedProxies = "127.0.0.1:0", domain, proxies
			servers[trusted] = run(t, cfg)
		}
		for _, test := range clearTests {
			t.Run(domain+"/"+test.name, func(t *testing.T) {
				s := servers[test.trusted]
				location, status := test.location, test.status
				if domain == "" && location != "" {
					location, status = test.named, 307
				}
				if test.method == "" {
					test.method = "GET"
				}
				got := ask(t, test.method, s.url(test.path), "", test.headers...)
				wantAnswer(t, s, got, status, location, test.contains)
			})
		}
	}
}

// wantAnswer checks an answer to a request in clear.
func wantAnswer(t *testing.T, s *Server, got answer, status int, location, contains string) {
	t.Helper()
	port := strconv.Itoa(int(s.SecureAddr().Port()))
	location = strings.ReplaceAll(location, "PORT", port)
	if have := got.header.Get("Location"); got.status != status || have != location || !strings.Contains(got.body, contains) {
		t.Errorf("got %d %q %q, want %d %q with %q", got.status, have, got.body, status, location, contains)
	}
	checkHeaders(t, got)
	if where := `"detail":"Send this to https://`; status == http.StatusForbidden && !(strings.Contains(got.body, where) && strings.Contains(got.body, ":"+port+".")) {
		t.Errorf("%s does not say where", got.body)
	}
	if status >= 300 {
		wantTransportSecurity(t, got, false) // RFC 6797 section 7.2: not in clear
	}
}

// led is an answer that leads to a location; "" is one that refuses.
type led struct {
	status   int
	location string
}

// strayTests ask the port where TLS is spoken, in clear.
var strayTests = []struct {
	name, request   string
	domain, without led // with a domain, and without one; PORT is that of HTTPS
	contains        string
}{
	{"page", "GET / HTTP/1.1\r\nHost: meet.example.org:443\r\n\r\n",
		led{308, "https://call.example.com:PORT/"}, led{307, "https://meet.example.org:PORT/"}, ""},
	{"path and query", "GET /r/tea?a=%2F&b HTTP/1.1\r\nHost: meet.example.org\r\n\r\n",
		led{308, "https://call.example.com:PORT/r/tea?a=%2F&b"}, led{307, "https://meet.example.org:PORT/r/tea?a=%2F&b"}, ""},
	{"HEAD", "HEAD /x HTTP/1.1\r\nHost: meet.example.org\r\n\r\n",
		led{308, "https://call.example.com:PORT/x"}, led{307, "https://meet.example.org:PORT/x"}, ""},
	{"HTTP/1.0", "GET /x HTTP/1.0\r\nHost: meet.example.org\r\n\r\n",
		led{308, "https://call.example.com:PORT/x"}, led{307, "https://meet.example.org:PORT/x"}, ""},
	{"IPv6", "GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\n\r\n",
		led{308, "https://call.example.com:PORT/"}, led{307, "https://[2001:db8::1]:PORT/"}, ""},
	{"this machine", "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n",
		led{308, "https://call.example.com:PORT/x"}, led{307, "https://localhost:PORT/x"}, ""},
	{"alive", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
		led{308, "https://call.example.com:PORT/healthz"}, led{307, "https://localhost:PORT/healthz"}, ""},
	{"a proxy's word", "GET / HTTP/1.1\r\nHost: meet.example.org\r\nX-Forwarded-Proto: https\r\n\r\n",
		led{308, "https://call.example.com:PORT/"}, led{307, "https://meet.example.org:PORT/"}, ""},
	{"something sent", "POST /api/v1/ice-servers HTTP/1.1\r\nHost: meet.example.org\r\nContent-Length: 2\r\n\r\n{}", led{403, ""}, led{403, ""}, "https_required"},
	{"much sent", "PUT / HTTP/1.1\r\nHost: meet.example.org\r\nContent-Length: 9000\r\n\r\n" + strings.Repeat("x", 9000), led{403, ""}, led{403, ""}, "https_required"},
	{"WebSocket", "GET /ws HTTP/1.1\r\nHost: meet.example.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", led{403, ""}, led{403, ""}, "https_required"},
	{"preflight", "OPTIONS /turn HTTP/1.1\r\nHost: meet.example.org\r\n\r\n", led{403, ""}, led{403, ""}, "https_required"},
	{"no host", "GET / HTTP/1.0\r\n\r\n", led{308, "https://call.example.com:PORT/"}, led{400, ""}, "bad_host"},
	{"empty host", "GET / HTTP/1.1\r\nHost: \r\n\r\n", led{308, "https://call.example.com:PORT/"}, led{400, ""}, "bad_host"},
	{"no host name", "GET / HTTP/1.1\r\nHost: a..b\r\n\r\n", led{308, "https://call.example.com:PORT/"}, led{400, ""}, "bad_host"},
}

func TestStrays(t *testing.T) {
	for _, domain := range []string{testDomain, ""} {
		s := run(t, Config{SecureListen: "127.0.0.1:0", Domain: domain, TrustedProxies: loopback,
			Signaling: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request in clear came through") })})
		for _, test := range strayTests {
			t.Run(domain+"/"+test.name, func(t *testing.T) {
				want := test.without
				if domain != "" {
					want = test.domain
				}
				if want.location != "" {
					test.contains = ""
				}
				c := dialClear(t, s.SecureAddr())
				wantAnswer(t, s, say(t, c, test.request), want.status, want.location, test.contains)
				wantClosed(t, c) // one answer is enough
			})
		}
	}
}

// dialClear connects without TLS. The connection does not wait for ever.
func dialClear(t *testing.T, address netip.AddrPort) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestNoOpenRedirect tries to be led to a host that the request does not name.
func TestNoOpenRedirect(t *testing.T) {
	const host = "meet.example.org"
	for _, domain := range []string{testDomain, ""} {
		s := run(t, Config{SecureListen: "127.0.0.1:0", Domain: domain})
		own := domain
		if own == "" {
			own = host
		}
		for _, target := range []string{
			"//evil.example/x", "///evil.example/x", "////evil.example", `/\evil.example`, `\\evil.example`, `//\/evil.example`, "/%2fevil.example",
			"/%5cevil.example", "//evil.example:443@x/", "//@evil.example", "/..//evil.example", "/.//evil.example", "/;@evil.example",
			"@evil.example/", ".evil.example/", ":443@evil.example/", "evil.example", "?@evil.example", "/?x=//evil.example", "/#@evil.example",
			"/%0d%0aLocation:%20https://evil.example", "/%0d%0a%0d%0a<script>", "/\tx", "/\x00", "*", "javascript:alert(1)", "https:evil.example",
			"http://" + host + "//evil.example/", "https://" + host + "/x", "ftp://" + host + "/",
		} {
			wantLedTo(t, s, own, "GET "+target+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		}
		// RFC 9112 section 3.2.2: the host of such a target is what counts, not
		// the header. No page can have a browser send that.
		named := "evil.example"
		if domain != "" {
			named = domain
		}
		wantLedTo(t, s, named, "GET http://evil.example/x HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		for _, header := range []string{
			"user@evil.example", host + "@evil.example", host + ":80@evil.example", "evil.example/" + host, "evil.example#" + host, "evil.example?" + host,
			`evil.example\` + host, "evil.example " + host, "evil.example,x", "%65vil.example", "evil..example", "-evil.example", "::1]x", "[fe80::1%25eth0]",
			"evil.example:80:90", "//evil.example", "https://evil.example", strings.Repeat("a", 300), "evil.example\r\nHost: " + host,
		} {
			wantLedTo(t, s, domain, "GET / HTTP/1.1\r\nHost: "+header+"\r\n\r\n")
		}
	}
}

// wantLedTo asks in clear at both ports: the answer leads to host, or nowhere.
func wantLedTo(t *testing.T, s *Server, host, request string) {
	t.Helper()
	for _, address := range []netip.AddrPort{s.Addr(), s.SecureAddr()} {
		got := say(t, dialClear(t, address), request)
		location := got.header.Get("Location")
		if location == "" && got.status >= 400 && got.status < 500 {
			continue
		}
		u, err := url.Parse(location)
		if err != nil || host == "" || u.Host != s.secureHost(host) || u.User != nil || !strings.HasPrefix(location, "https://"+s.secureHost(host)+"/") ||
			len(got.header.Values("Location")) != 1 {
			t.Errorf("%q leads to %q with %d (%v)", request, got.header.Values("Location"), got.status, err)
		}
	}
}

// usual is a socket that says it has the usual port.
type usual struct{ net.Listener }

func (usual) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

// TestPorts has the usual port, which is not written down, and one that clients
// know by another number.
func TestPorts(t *testing.T) {
	listen := func(key, _ string) net.Listener {
		if key != "https.listen" {
			return nil
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return usual{l}
	}
	for _, test := range []struct {
		name, domain, host string
		public             int
		inherited          func(key, address string) net.Listener
		want               string
	}{
		{"usual", testDomain, "meet.example.org", 0, listen, "https://call.example.com/x?y"},
		{"usual, no domain", "", "meet.example.org:8080", 0, listen, "https://meet.example.org/x?y"},
		{"usual, IPv6", "", "[2001:db8::1]:8080", 0, listen, "https://[2001:db8::1]/x?y"},
		{"usual, IPv6 without brackets", "", "2001:db8::1", 0, listen, "https://[2001:db8::1]/x?y"},
		{"usual, listening on another", testDomain, "meet.example.org", 443, nil, "https://call.example.com/x?y"},
		{"another, listening on the usual", testDomain, "meet.example.org", 8443, listen, "https://call.example.com:8443/x?y"},
		{"another, listening on a third", "", "[2001:db8::1]:8080", 8443, nil, "https://[2001:db8::1]:8443/x?y"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := run(t, Config{SecureListen: "127.0.0.1:0", PublicPort: test.public, Domain: test.domain, Inherited: test.inherited})
			got := say(t, dialClear(t, s.Addr()), "GET /x?y HTTP/1.1\r\nHost: "+test.host+"\r\n\r\n")
			if location := got.header.Get("Location"); location != test.want {
				t.Errorf("led to %q, want %q", location, test.want)
			}
		})
	}
}

// TestChallengeFirst has the CA answered in clear, and everybody else led to
// HTTPS where that is on.
func TestChallengeFirst(t *testing.T) {
	const path = "/.well-known/acme-challenge/token"
	challenge := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == path && r.Host == testDomain {
				_, _ = io.WriteString(w, "token.thumbprint")
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	for _, test := range []struct {
		name, https  string
		page, others int // status
	}{{"HTTPS", "127.0.0.1:0", 308, 308}, {"HTTP only", "off", 200, 404}} {
		t.Run(test.name, func(t *testing.T) {
			s := run(t, Config{SecureListen: test.https, Domain: testDomain, Challenge: challenge})
			got := ask(t, "GET", s.url(path), "", "Host: "+testDomain)
			if got.status != 200 || got.body != "token.thumbprint" {
				t.Errorf("the challenge: %d %q", got.status, got.body)
			}
			checkHeaders(t, got)
			for path, status := range map[string]int{"/": test.page, path + "s": test.others} {
				if got := ask(t, "GET", s.url(path), "", "Host: "+testDomain); got.status != status {
					t.Errorf("%s: %d %q, want %d", path, got.status, got.body, status)
				}
			}
			if s.secure == nil {
				return
			}
			if got := askThrough(t, over("h2"), "GET", s.secureURL(path), "", "Host: "+testDomain); got.status != 404 {
				t.Errorf("over HTTPS: %d %q", got.status, got.body)
			}
		})
	}
}

// TestNothingToLeadTo has HTTP alone: everybody gets the page.
func TestNothingToLeadTo(t *testing.T) {
	s := run(t, Config{Domain: testDomain})
	if got := ask(t, "GET", s.url("/"), "", elsewhere); got.status != 200 || !strings.Contains(got.body, "lobby") {
		t.Errorf("%d %q", got.status, got.body)
	}
	if s.SecureAddr().IsValid() {
		t.Errorf("HTTPS at %v", s.SecureAddr())
	}
}
