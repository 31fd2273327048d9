package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/maitred/maitred/pkg/config"
)

func TestServerURLs(t *testing.T) {
	for _, tt := range []struct {
		name       string
		configured []string
		host       string
		ports      ports
		stun, turn []string
	}{
		{"UDP and TCP", nil, "call.example.com", ports{udp: 3478, tcp: 3479}, []string{"stun:call.example.com:3478"},
			[]string{"turn:call.example.com:3478?transport=udp", "turn:call.example.com:3479?transport=tcp"}},
		{"all, the best first", nil, "call.example.com", ports{udp: 1, tcp: 2, tls: 443, dtls: 3}, []string{"stun:call.example.com:1"},
			[]string{"turn:call.example.com:1?transport=udp", "turn:call.example.com:2?transport=tcp", "turns:tls.example.com:443?transport=tcp", "turns:tls.example.com:3?transport=udp"}},
		{"one port", nil, "call.example.com", ports{tls: 443}, nil, []string{"turns:tls.example.com:443?transport=tcp"}},
		{"UDP off", nil, "192.0.2.1", ports{tcp: 3478}, nil, []string{"turn:192.0.2.1:3478?transport=tcp"}},
		{"TCP off", nil, "192.0.2.1", ports{udp: 3478}, []string{"stun:192.0.2.1:3478"}, []string{"turn:192.0.2.1:3478?transport=udp"}},
		{"all off", nil, "192.0.2.1", ports{}, nil, nil},
		{"IPv6", nil, "2001:db8::1", ports{udp: 3478, tcp: 3478}, []string{"stun:[2001:db8::1]:3478"},
			[]string{"turn:[2001:db8::1]:3478?transport=udp", "turn:[2001:db8::1]:3478?transport=tcp"}},
		{"configured", []string{"turn:turn.example.com", "stun:stun.example.com", "turns:turn.example.com:443"}, "x", ports{udp: 1, tcp: 2, tls: 3},
			[]string{"stun:stun.example.com"}, []string{"turn:turn.example.com", "turns:turn.example.com:443"}},
		{"configured TURN alone", []string{"turn:turn.example.com"}, "x", ports{udp: 1, tcp: 2}, nil, []string{"turn:turn.example.com"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stun, turn := serverURLs(tt.configured, tt.host, "tls.example.com", tt.ports)
			if !slices.Equal(stun, tt.stun) || !slices.Equal(turn, tt.turn) {
				t.Errorf("got %q and %q, want %q and %q", stun, turn, tt.stun, tt.turn)
			}
		})
	}
}

func TestConfiguredURLs(t *testing.T) {
	for _, tt := range []struct {
		name     string
		settings []string
		local    bool
		want     []string
	}{
		{"default, local", []string{"turn.udp", ":3478", "turn.tcp", ":3478"}, true, []string{"turn:127.0.0.1:3478?transport=udp", "turn:127.0.0.1:3478?transport=tcp"}},
		{"default, outside", []string{"turn.udp", ":3478", "turn.tcp", ":3478", "turn.external_ip", "203.0.113.1"}, false,
			[]string{"turn:203.0.113.1:3478?transport=udp", "turn:203.0.113.1:3478?transport=tcp"}},
		{"IPv4 wildcard", []string{"turn.udp", "0.0.0.0:1", "turn.tcp", "off"}, true, []string{"turn:127.0.0.1:1?transport=udp"}},
		{"IPv6 loopback", []string{"turn.udp", "[::1]:3478", "turn.tcp", "off"}, true, []string{"turn:[::1]:3478?transport=udp"}},
		{"different addresses", []string{"turn.udp", "127.0.0.2:1", "turn.tcp", "127.0.0.3:2"}, true, []string{"turn:127.0.0.2:1?transport=udp", "turn:127.0.0.3:2?transport=tcp"}},
		{"configured, outside", []string{"turn.urls", "turn:t.example.com,stun:s.example.com"}, false, []string{"turn:t.example.com"}},
		{"configured, local", []string{"turn.udp", ":1", "turn.tcp", "off", "turn.urls", "turn:t.example.com"}, true, []string{"turn:127.0.0.1:1?transport=udp"}},
		{"off", []string{"turn.udp", "off", "turn.tcp", "off"}, true, nil},
		{"TLS and DTLS, local", []string{"turn.udp", "off", "turn.tcp", "off", "tls.self_signed", "true", "https.listen", "127.0.0.2:443", "turn.tls", ":5349", "turn.dtls", ":5349"}, true,
			[]string{"turns:127.0.0.1:5349?transport=tcp", "turns:127.0.0.2:443?transport=tcp", "turns:127.0.0.1:5349?transport=udp"}},
		{"domain, outside", []string{"turn.udp", ":3478", "turn.tcp", "off", "domain", "call.example.com", "turn.tls", ":5349"}, false,
			[]string{"turn:call.example.com:3478?transport=udp", "turns:call.example.com:443?transport=tcp"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ConfiguredURLs(load(t, tt.settings...), tt.local)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestConfiguredURLsRefuses(t *testing.T) {
	c := load(t)
	c.TURN.UDP, c.TURN.TCP = "no port", "no port either"
	if _, err := ConfiguredURLs(c, true); err == nil || !strings.HasPrefix(err.Error(), "turn.udp: ") || !strings.Contains(err.Error(), "\nturn.tcp: ") {
		t.Errorf("error %v", err)
	}
}

func TestReachable(t *testing.T) {
	for _, tt := range []struct{ bound, want string }{
		{"0.0.0.0:3478", "127.0.0.1:3478"},
		{"[::]:3478", "127.0.0.1:3478"},
		{"[::1]:3478", "[::1]:3478"},
		{"192.0.2.1:1", "192.0.2.1:1"},
		{"[::ffff:192.0.2.1]:1", "192.0.2.1:1"},
	} {
		if got := reachable(netip.MustParseAddrPort(tt.bound)); got != netip.MustParseAddrPort(tt.want) {
			t.Errorf("%s is reachable at %v, want %s", tt.bound, got, tt.want)
		}
	}
	if got := reachable(netip.AddrPortFrom(netip.Addr{}, 80)); got != netip.MustParseAddrPort("127.0.0.1:80") {
		t.Errorf(":80 is reachable at %v", got)
	}
}

func TestExternalAddresses(t *testing.T) {
	configured := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")}
	if got := externalAddresses(configured); !slices.Equal(got, configured) {
		t.Errorf("got %v", got)
	}
	found := externalAddresses(nil)
	for i, a := range found {
		if !a.IsValid() || a.IsUnspecified() || a.Is4In6() || a.Zone() != "" || i > 0 && a.Is4() {
			t.Errorf("found %v", found)
		}
	}
	if len(found) == 0 || len(found) > 2 {
		t.Errorf("found %v", found)
	}
}

// TestLogExternal: what was found and is not public is explained, what was configured is not.
func TestLogExternal(t *testing.T) {
	for _, tt := range []struct{ configured, found, want string }{
		{"", "127.0.0.1", "no route"},
		{"", "192.168.1.2", "are private"},
		{"", "198.51.100.7", ""},
		{"192.168.1.2", "192.168.1.2", ""},
	} {
		var log bytes.Buffer
		d := &Daemon{config: &config.Config{}, external: []netip.Addr{netip.MustParseAddr(tt.found)}, log: slog.New(slog.NewTextHandler(&log, nil))}
		if tt.configured != "" {
			d.config.TURN.ExternalIP = d.external
		}
		d.logExternal()
		if got := log.String(); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", tt.found, got, tt.want)
		}
	}
}

// TestHostInURLs is the name under which the client knows the server, the external address otherwise.
func TestHostInURLs(t *testing.T) {
	r := start(t, "turn.external_ip", "127.0.0.1,::1")
	udp, _ := r.turn.UDPAddr()
	for host, want := range map[string]string{"": "stun:127.0.0.1:%d", "call.example.com": "stun:call.example.com:%d", "2001:db8::1": "stun:[2001:db8::1]:%d"} {
		if stun, _ := r.urls(host); !slices.Equal(stun, []string{fmt.Sprintf(want, udp.Port())}) {
			t.Errorf("for %q: %q", host, stun)
		}
	}
}

func TestWriteGuide(t *testing.T) {
	r := start(t, "turn.relay_ports", "50000-50100", "http.listen", ":0", "turn.udp", ":0", "turn.tcp", ":0")
	udp, _ := r.turn.UDPAddr()
	tcp, _ := r.turn.TCPAddr()
	page := r.http.Addr().Port()
	var b bytes.Buffer
	if err := r.WriteGuide(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"maitred is ready.\n",
		fmt.Sprintf("Open in two tabs   http://localhost:%d/\n", page),
		fmt.Sprintf("STUN               stun:127.0.0.1:%d\n", udp.Port()),
		fmt.Sprintf("TURN               turn:127.0.0.1:%d?transport=udp\n", udp.Port()),
		fmt.Sprintf("TURN               turn:127.0.0.1:%d?transport=tcp\n", tcp.Port()),
		"Credential         maitred credentials\n",
		fmt.Sprintf("Ports to open      %d/tcp, %d/udp, %d/tcp, 50000-50100/udp\n", page, udp.Port(), tcp.Port()),
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
	if err := r.WriteGuide(brokenPipe{}); !errors.Is(err, errBroken) {
		t.Errorf("error %v", err)
	}
}

var errBroken = errors.New("broken pipe")

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errBroken }

// TestGuideNamesOnlyWhatIsOpen leaves out the page, a transport, the relay ports, and among the ports to open what other machines cannot reach.
func TestGuideNamesOnlyWhatIsOpen(t *testing.T) {
	r := start(t, "http.listen", "off", "turn.tcp", "off")
	udp, _ := r.turn.UDPAddr()
	var b bytes.Buffer
	if err := r.WriteGuide(&b); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	if strings.Contains(got, "two tabs") || strings.Contains(got, "transport=tcp") || !strings.Contains(got, fmt.Sprintf("stun:127.0.0.1:%d\n", udp.Port())) ||
		!strings.Contains(got, "Ports to open   none: everything listens on loopback\n") {
		t.Errorf("the guide says\n%s", got)
	}
}

func TestPageHost(t *testing.T) {
	for address, want := range map[string]string{"0.0.0.0:1": "localhost", "[::]:1": "localhost", "127.0.0.1:1": "localhost", "[::1]:1": "localhost",
		"192.0.2.1:1": "192.0.2.1", "[2001:db8::1]:1": "2001:db8::1"} {
		if got := pageHost(netip.MustParseAddrPort(address)); got != want {
			t.Errorf("%s is opened as %s, want %s", address, got, want)
		}
	}
}

// TestListenersAreLogged one by one.
func TestListenersAreLogged(t *testing.T) {
	r := start(t)
	for _, service := range []string{"http", "admin", "turn-udp", "turn-tcp"} {
		if n := strings.Count(r.log.String(), `msg=listening service=`+service+" addr=127.0.0.1:"); n != 1 {
			t.Errorf("%s is logged %d times", service, n)
		}
	}
}
