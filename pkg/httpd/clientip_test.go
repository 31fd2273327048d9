package httpd

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

var testProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("fe80::/10")}

func TestClientIP(t *testing.T) {
	for _, test := range []struct {
		name, remote string
		forwarded    []string
		want         string
	}{
		{"direct", "192.0.2.1:1000", nil, "192.0.2.1"},
		{"direct, claims to be a proxy", "192.0.2.1:1000", []string{"198.51.100.1"}, "192.0.2.1"},
		{"mapped", "[::ffff:192.0.2.1]:1000", nil, "192.0.2.1"},
		{"zone", "[fe80::1%eth0]:1000", nil, "fe80::1"},
		{"one proxy", "10.0.0.1:1000", []string{"198.51.100.1"}, "198.51.100.1"},
		{"proxy with a mapped address", "[::ffff:10.0.0.1]:1000", []string{"198.51.100.1"}, "198.51.100.1"},
		{"zoned proxy", "[fe80::1%eth0]:1000", []string{"198.51.100.1"}, "198.51.100.1"},
		{"forged left end", "10.0.0.1:1000", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.0.0.1:1000", []string{"198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"two headers", "10.0.0.1:1000", []string{"203.0.113.9", "198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"proxies only", "10.0.0.1:1000", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"no header", "10.0.0.1:1000", nil, "10.0.0.1"},
		{"nonsense", "10.0.0.1:1000", []string{"unknown"}, "10.0.0.1"},
		{"nonsense behind a hop", "10.0.0.1:1000", []string{"unknown, 10.0.0.2"}, "10.0.0.2"},
		{"empty", "10.0.0.1:1000", []string{""}, "10.0.0.1"},
		{"empty element", "10.0.0.1:1000", []string{"198.51.100.1, , 10.0.0.2"}, "10.0.0.2"},
		{"with ports", "10.0.0.1:1000", []string{"[2001:db8::7]:99, 10.0.0.2:80"}, "2001:db8::7"},
		{"half a bracket", "10.0.0.1:1000", []string{"[2001:db8::7"}, "10.0.0.1"},
		{"quote left open", "10.0.0.1:1000", []string{`"203.0.113.9, 198.51.100.1`}, "198.51.100.1"},
		{"IPv6 proxy, mapped client", "[::1]:1000", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"no address", "@", []string{"198.51.100.1"}, "invalid IP"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: test.remote, Header: http.Header{"X-Forwarded-For": test.forwarded}}
			if got := ClientIP(r, testProxies).String(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestForwarded is RFC 7239 sections 4 and 6, asked by the proxy 10.0.0.1.
// forwardedLines say with which address a request ends that a trusted proxy at 10.0.0.1 passes on.
var forwardedLines = []struct {
	name  string
	lines []string
	want  string
}{
	{"address", []string{"for=198.51.100.1"}, "198.51.100.1"},
	{"parameter in another case", []string{"FOR=198.51.100.1"}, "198.51.100.1"},
	{"quoted", []string{`For="198.51.100.1"`}, "198.51.100.1"},
	{"port", []string{`for="198.51.100.1:4711"`}, "198.51.100.1"},
	{"port without quotes", []string{`for=198.51.100.1:4711`}, "198.51.100.1"},
	{"hidden port", []string{`for="198.51.100.1:_http"`}, "198.51.100.1"},
	{"IPv6", []string{`for="[2001:db8::7]"`}, "2001:db8::7"},
	{"IPv6 with port", []string{`for="[2001:db8::7]:4711"`}, "2001:db8::7"},
	{"IPv6 with hidden port", []string{`for="[2001:db8::7]:_web-1"`}, "2001:db8::7"},
	{"IPv6 without quotes", []string{`for=[2001:db8::7]:4711`}, "2001:db8::7"},
	{"IPv4-mapped", []string{`for="[::ffff:198.51.100.1]:4711"`}, "198.51.100.1"},
	{"mapped hop", []string{`for=198.51.100.1, for="[::ffff:10.0.0.2]"`}, "198.51.100.1"},
	{"zone", []string{`for="[fe80::7%eth0]:4711"`}, "fe80::7"},
	{"zoned hop", []string{`for=198.51.100.1, for="[fe80::7%eth0]"`}, "198.51.100.1"},
	{"escaped for no reason", []string{`for="\1\9\8.51.100.1"`}, "198.51.100.1"},
	{"among others", []string{`by=203.0.113.43;host="call.example.com";for=198.51.100.1;proto=https`}, "198.51.100.1"},
	{"space and empty pairs", []string{` ; for=198.51.100.1 ;; proto=https ; `}, "198.51.100.1"},
	{"comma in quotes", []string{`for=198.51.100.1;ext="a, b;for=203.0.113.9"`}, "198.51.100.1"},
	{"escaped quotes", []string{`for=198.51.100.1, for=10.0.0.2;ext="\", for=203.0.113.9, \\\""`}, "198.51.100.1"},
	{"escaped backslash", []string{`for=198.51.100.1, ext="\\";for=10.0.0.2`}, "198.51.100.1"},
	{"hops", []string{"for=198.51.100.1, for=10.0.0.3,for=10.0.0.2"}, "198.51.100.1"},
	{"hops in lines", []string{"for=198.51.100.1", `for=10.0.0.3;proto=http, for="10.0.0.2:80"`}, "198.51.100.1"},
	{"proxies only", []string{"for=10.0.0.3, for=10.0.0.2"}, "10.0.0.3"},

	{"made-up left part", []string{"for=203.0.113.9, for=198.51.100.1, for=10.0.0.2"}, "198.51.100.1"},
	{"made-up line", []string{"for=203.0.113.9", "for=198.51.100.1"}, "198.51.100.1"},
	{"quote left open in the made-up part", []string{`for=203.0.113.9;ext=", for=198.51.100.1`}, "198.51.100.1"},
	{"quote left open before quotes", []string{`for=203.0.113.9;ext=", for="[2001:db8::7]:80"`}, "2001:db8::7"},
	{"escape left open", []string{`for=203.0.113.9;ext="\, for="[2001:db8::7]:80"`}, "2001:db8::7"},
	{"quote left open in a made-up line", []string{`for="203.0.113.9`, "for=198.51.100.1"}, "198.51.100.1"},
	{"proxy that is not ours", []string{`for=203.0.113.9, for=198.51.100.1;by=10.0.0.2`}, "198.51.100.1"},

	{"unknown", []string{"for=unknown"}, "10.0.0.1"},
	{"unknown behind a hop", []string{"for=198.51.100.1, for=unknown, for=10.0.0.2"}, "10.0.0.2"},
	{"unknown with port", []string{`for="unknown:4711"`}, "10.0.0.1"},
	{"hidden", []string{"for=_gazonk"}, "10.0.0.1"},
	{"hidden behind a hop", []string{`for=198.51.100.1, for="_SEVKISEK", for=10.0.0.2`}, "10.0.0.2"},
	{"hidden, like an address", []string{"for=_198.51.100.1"}, "10.0.0.1"},
	{"says nothing of the client", []string{"proto=https;by=10.0.0.1"}, "10.0.0.1"},
	{"says it twice", []string{"for=198.51.100.1;for=203.0.113.9"}, "10.0.0.1"},
	{"empty", []string{""}, "10.0.0.1"},
	{"commas", []string{",,"}, "10.0.0.1"},
	{"no value", []string{"for="}, "10.0.0.1"},
	{"empty quotes", []string{`for=""`}, "10.0.0.1"},
	{"no name", []string{"=198.51.100.1"}, "10.0.0.1"},
	{"no pair", []string{"198.51.100.1"}, "10.0.0.1"},
	{"colon for equals", []string{"for:198.51.100.1"}, "10.0.0.1"},
	{"space around equals", []string{"for = 198.51.100.1"}, "10.0.0.1"},
	{"longer name", []string{"fork=198.51.100.1"}, "10.0.0.1"},
	{"name in quotes", []string{`"for"=198.51.100.1`}, "10.0.0.1"},
	{"half a quote", []string{`for="198.51.100.1`}, "10.0.0.1"},
	{"other half", []string{`for=198.51.100.1"`}, "10.0.0.1"},
	{"escape at the end", []string{`for="198.51.100.1\"`}, "10.0.0.1"},
	{"text behind the quotes", []string{`for="198.51.100.1"x`}, "10.0.0.1"},
	{"pair behind the quotes", []string{`for="198.51.100.1" proto=https`}, "10.0.0.1"},
	{"single quotes", []string{`for='198.51.100.1'`}, "10.0.0.1"},
	{"half a bracket", []string{`for="[2001:db8::7"`}, "10.0.0.1"},
	{"other bracket", []string{`for="2001:db8::7]"`}, "10.0.0.1"},
	{"no value beside it", []string{"for=198.51.100.1;proto"}, "10.0.0.1"},
	{"empty value beside it", []string{"for=198.51.100.1;proto="}, "10.0.0.1"},
	{"two words beside it", []string{"for=198.51.100.1;proto=https http"}, "10.0.0.1"},
	{"empty name beside it", []string{"for=198.51.100.1;=https"}, "10.0.0.1"},
	{"name of two words beside it", []string{"for=198.51.100.1;pro to=https"}, "10.0.0.1"},
	{"malformed behind a hop", []string{`for=198.51.100.1, for=", for=10.0.0.2`}, "10.0.0.2"},
}

func TestForwarded(t *testing.T) {
	for _, test := range forwardedLines {
		t.Run(test.name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: "10.0.0.1:1000", Header: http.Header{"Forwarded": test.lines}}
			if got := ClientIP(r, testProxies).String(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			r.RemoteAddr = "192.0.2.1:1000"
			if got := ClientIP(r, testProxies).String(); got != "192.0.2.1" {
				t.Errorf("from a peer that is no proxy: got %s", got)
			}
		})
	}
}

func TestBothHeaders(t *testing.T) {
	for _, test := range []struct{ name, xForwardedFor, want string }{
		{"X-Forwarded-For wins", "198.51.100.1", "198.51.100.1"},
		{"though it says nothing", "unknown", "10.0.0.1"},
		{"though it is empty", "", "10.0.0.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: "10.0.0.1:1000", Header: http.Header{
				"X-Forwarded-For": {test.xForwardedFor}, "Forwarded": {"for=203.0.113.9"}}}
			if got := ClientIP(r, testProxies).String(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestMaxHops(t *testing.T) {
	for header, hop := range map[string]string{"X-Forwarded-For": "10.0.0.", "Forwarded": "for=10.0.0."} {
		for name, lines := range map[string][]string{
			"one line":  {hop + "9" + strings.Repeat(", "+hop+"8", maxHops-1)},
			"two lines": {hop + "9" + strings.Repeat(", "+hop+"8", 9), hop + "8" + strings.Repeat(", "+hop+"8", maxHops-11)},
		} {
			r := &http.Request{RemoteAddr: "10.0.0.1:1000", Header: http.Header{header: lines}}
			if got := ClientIP(r, testProxies).String(); got != "10.0.0.9" {
				t.Errorf("%s, %s: the last of %d hops is %s", header, name, maxHops, got)
			}
			r.Header[header] = append([]string{hop + "7"}, lines...)
			if got := ClientIP(r, testProxies).String(); got != "10.0.0.9" {
				t.Errorf("%s, %s: one more hop is looked at: %s", header, name, got)
			}
		}
	}
}

func TestSecure(t *testing.T) {
	const proxy, stranger = "10.0.0.1:1000", "192.0.2.1:1000"
	xProto := func(lines ...string) http.Header { return http.Header{"X-Forwarded-Proto": lines} }
	forwarded := func(lines ...string) http.Header { return http.Header{"Forwarded": lines} }
	for _, test := range []struct {
		name, remote string
		header       http.Header
		want         bool
	}{
		{"in clear", stranger, nil, false},
		{"proxy that says nothing", proxy, nil, false},
		{"https", proxy, xProto("https"), true},
		{"wss in another case", proxy, xProto("WSS"), true},
		{"http", proxy, xProto("http"), false},
		{"neither", proxy, xProto("httpsx"), false},
		{"empty", proxy, xProto(""), false},
		{"nearest proxy took https", proxy, xProto("http, https"), true},
		{"nearest proxy took http", proxy, xProto("https, http"), false},
		{"nearest proxy wrote a line", proxy, xProto("http", " https "), true},
		{"made-up line", proxy, xProto("https", "http"), false},
		{"stranger's claim", stranger, xProto("https"), false},
		{"no address", "@", xProto("https"), false},
		{"mapped proxy", "[::ffff:10.0.0.1]:1000", xProto("https"), true},
		{"Forwarded", proxy, forwarded("for=198.51.100.1;Proto=HTTPS"), true},
		{"Forwarded, quoted", proxy, forwarded(`for=_hidden;proto="wss"`), true},
		{"Forwarded, http", proxy, forwarded("proto=http"), false},
		{"Forwarded, nearest", proxy, forwarded("proto=http", "proto=http, for=10.0.0.2;proto=https"), true},
		{"Forwarded, made-up left part", proxy, forwarded(`proto=https;ext=", for=198.51.100.1;proto=http`), false},
		{"Forwarded, nearest says nothing", proxy, forwarded("proto=https, for=10.0.0.2"), false},
		{"Forwarded, malformed", proxy, forwarded(`proto=https;for="`), false},
		{"Forwarded, stranger's claim", stranger, forwarded("proto=https"), false},
		{"X-Forwarded-Proto wins", proxy, http.Header{"X-Forwarded-Proto": {"http"}, "Forwarded": {"proto=https"}}, false},
		{"X-Forwarded-Proto wins, https", proxy, http.Header{"X-Forwarded-Proto": {"https"}, "Forwarded": {"proto=http"}}, true},
		{"client's Forwarded through a proxy of the other kind", proxy,
			http.Header{"X-Forwarded-For": {"198.51.100.1"}, "Forwarded": {"proto=https"}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: test.remote, Header: test.header}
			if got := Secure(r, testProxies); got != test.want {
				t.Errorf("got %t", got)
			}
			r.TLS = &tls.ConnectionState{}
			if !Secure(r, testProxies) {
				t.Error("not secure over TLS")
			}
		})
	}
}

// FuzzForwarded: whatever the client made up, what our proxy appends is read as
// if it stood alone.
func FuzzForwarded(f *testing.F) {
	for _, seed := range []string{"", "for=198.51.100.1", `for="[2001:db8::7]:80";proto=https, for=unknown`, `for="`, `for="\`, `for=\"`, `"\\",`,
		`for=10.0.0.2;ext="\", \\", for=_x`, `for="[fe80::1%eth0]:_p"`, "for=10.0.0.2;;;=", ",,,", strings.Repeat("for=10.0.0.2,", 40),
		strings.Repeat(`\`, 99) + `"`, strings.Repeat(`",`, 99)} {
		f.Add(seed)
	}
	peer := netip.MustParseAddr("10.0.0.1")
	f.Fuzz(func(t *testing.T, line string) {
		r := &http.Request{RemoteAddr: "10.0.0.1:1000", Header: http.Header{"Forwarded": {line}}}
		if ip := ClientIP(r, testProxies); !ip.IsValid() || ip.Zone() != "" || ip.Is4In6() || ip != peer && line == "" {
			t.Errorf("%q: client %s", line, ip)
		}
		if ip := ClientIP(r, nil); ip != peer {
			t.Errorf("%q: %s is believed without trust", line, ip)
		}
		for appended, want := range map[string]string{
			"for=203.0.113.5;proto=https":                               "203.0.113.5",
			`for="[2001:db8::5]:80";ext="a\\\", b";proto=https`:         "2001:db8::5",
			`for=203.0.113.6;proto=http, for="10.0.0.2:80";proto=https`: "203.0.113.6",
		} {
			for _, lines := range [][]string{{line + ", " + appended}, {line, appended}} {
				r.Header["Forwarded"] = lines
				if ip := ClientIP(r, testProxies); ip.String() != want || !Secure(r, testProxies) {
					t.Errorf("%q: client %s, secure %t", lines, ip, Secure(r, testProxies))
				}
			}
		}
	})
}
