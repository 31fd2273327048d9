package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maitred/maitred/pkg/config"
	"github.com/maitred/maitred/pkg/httpd"
	"github.com/maitred/maitred/pkg/icecheck"
	"github.com/maitred/maitred/pkg/relay"
	"github.com/maitred/maitred/pkg/turn"
	"github.com/maitred/maitred/test/harness"
)

// begin starts a check as the page does.
func (r *running) beginCheck() httpd.Check {
	r.t.Helper()
	status, body := request(r.t, http.MethodPost, r.page("/api/v1/check"), "", "")
	var c httpd.Check
	if err := json.Unmarshal([]byte(body), &c); err != nil || status != http.StatusOK {
		r.t.Fatalf("%d %s: %v", status, body, err)
	}
	return c
}

func (r *running) report(id string) checkReport {
	r.t.Helper()
	status, body := request(r.t, http.MethodGet, r.page("/api/v1/check/"+id), "", "")
	var report checkReport
	if err := json.Unmarshal([]byte(body), &report); err != nil || status != http.StatusOK {
		r.t.Fatalf("%d %s: %v", status, body, err)
	}
	return report
}

// targets are all TURN URLs of a check.
func targets(c httpd.Check) (out []icecheck.Target) {
	for _, s := range c.ICEServers.ICEServers {
		for _, u := range s.URLs {
			if s.Credential != "" {
				out = append(out, icecheck.Target{URL: u, Username: s.Username, Password: s.Credential, TLS: anyCertificate()})
			}
		}
	}
	return out
}

// TestCheck is a whole check: loops over every transport that browsers are told, and what the server has seen of them.
func TestCheck(t *testing.T) {
	r := start(t, "tls.self_signed", "true", "https.listen", "127.0.0.1:0", "https.public_port", "4443", "turn.dtls", "127.0.0.1:0", "turn.tls", "127.0.0.1:0")
	c := r.beginCheck()
	all := targets(c)
	if len(all) != 2 || c.TTL != 120 || !strings.Contains(all[0].Username, ":check-"+c.ID) || len(c.Listeners) != 2 {
		t.Fatalf("the check is %+v", c)
	}
	for _, u := range r.localURLs()[2:] { // TLS, which browsers are not told where the certificate is self-signed
		all = append(all, icecheck.Target{URL: u, Username: all[0].Username, Password: all[0].Password, TLS: anyCertificate()})
	}
	dtls, _ := r.turn.DTLSAddr()
	all = append(all, icecheck.Target{URL: transport(overDTLS).url("127.0.0.1", dtls.Port()), Username: all[0].Username, Password: all[0].Password, TLS: anyCertificate()})
	for _, target := range all {
		loop, err := icecheck.MeasureLoop(t.Context(), target, 200*time.Millisecond)
		if err != nil || loop.Sent == 0 || loop.Lost != 0 || loop.RTT50 <= 0 || loop.RTT99 < loop.RTT50 || loop.Throughput <= 0 {
			t.Errorf("%s: %+v, %v", target.URL, loop, err)
		}
	}
	report := r.report(c.ID)
	var transports []string
	for _, tr := range report.Transports {
		transports = append(transports, tr.Transport)
		// Each end is challenged twice: once to see whether the server does so, once for the nonce.
		requests := []checkRequest{{"allocate", 0, 2}, {"allocate", 401, 4}, {"channel_bind", 0, 2}, {"refresh", 0, 2}}
		if !tr.Heard || tr.FirstMS == nil || *tr.FirstMS < 0 || *tr.FirstMS > report.AgeMS || tr.Allocations != 2 || !slices.Equal(tr.Requests, requests) {
			t.Errorf("%+v, want the requests %+v", tr, requests)
		}
		// Short-circuited packets count once, at the sender: those there and the small ones back.
		if n := tr.Relayed.ShortCircuit; n.Packets < 10 || n.Bytes < 5000 || tr.Relayed.Up.Packets != 0 || tr.Relayed.Down.Packets != 0 {
			t.Errorf("%s: relayed %+v", tr.Transport, tr.Relayed)
		}
	}
	if want := []string{"udp", "tcp", "tls", "tls", "dtls"}; !slices.Equal(transports, want) {
		t.Errorf("transports %q, want %q", transports, want)
	}
	if !slices.ContainsFunc(report.Transports, func(tr checkTransport) bool { return tr.Transport == "tls" && tr.Port == 4443 }) {
		t.Errorf("HTTPS's port is not the public one: %+v", report.Transports)
	}
	if report.Client != netip.MustParseAddr("127.0.0.1") || len(report.Events) != maxEvents && len(report.Events) < 20 {
		t.Errorf("client %v, %d events", report.Client, len(report.Events))
	}
	if !slices.ContainsFunc(report.Events, func(e checkEvent) bool { return e.Method == turn.Connect && e.Transport == "tcp" }) {
		t.Errorf("no connection among %+v", report.Events)
	}
	if strings.Contains(r.log.String(), all[0].Password) {
		t.Error("the log tells the credential")
	}
}

// TestCheckUnheard: a check that sends nothing has a line for every listener.
func TestCheckUnheard(t *testing.T) {
	r := start(t)
	c := r.beginCheck()
	_, body := request(t, http.MethodGet, r.page("/api/v1/check/"+c.ID), "", "")
	for _, want := range []string{`"events":[]`, `"transport":"udp"`, `"transport":"tcp"`, `"heard":false,"requests":[],"allocations":0,"relayed":{"up":{"packets":0,`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s lacks %s", body, want)
		}
	}
	if strings.Contains(body, "first_ms") {
		t.Errorf("%s tells when nothing came", body)
	}
}

// TestCheckEnds: when the daemon stops, or the time is over, the credential is refused and its allocations have ended.
func TestCheckEnds(t *testing.T) {
	r := start(t, "drain_timeout", "10s")
	c := r.beginCheck()
	all := targets(c)
	for _, target := range all {
		hold(t, []string{target.URL}, target.Username, target.Password)
	}
	if n := r.allocations(); n != 2 {
		t.Fatalf("%d allocations, want 2", n)
	}
	r.checks.stop()
	if n := r.allocations(); n != 0 {
		t.Errorf("%d allocations are left", n)
	}
	wantRefused(t, []string{all[0].URL, all[1].URL}, all[0].Username, all[0].Password)
	if status, body := request(t, http.MethodGet, r.page("/api/v1/check/"+c.ID), "", ""); status != http.StatusNotFound || !strings.Contains(body, "no_such_check") {
		t.Errorf("%d %s", status, body)
	}
	if users := r.turn.Usage().Users; len(users) != 0 {
		t.Errorf("accounts are left: %v", users)
	}
	if status, body := request(t, http.MethodPost, r.page("/api/v1/check"), "", ""); status != http.StatusTooManyRequests {
		t.Errorf("another one: %d %s", status, body)
	}
}

// TestCheckFinished: whoever has done with a check has no allocations any more, and none that come too late to be given up. It is of no use to end
// checks to begin more of them.
func TestCheckFinished(t *testing.T) {
	r := start(t, "check.per_ip", "2")
	c, other := r.beginCheck(), r.beginCheck()
	target, kept := targets(c)[0], targets(other)[0]
	hold(t, []string{target.URL}, target.Username, target.Password)
	hold(t, []string{kept.URL}, kept.Username, kept.Password)
	finish := func() int {
		status, _ := request(t, http.MethodDelete, r.page("/api/v1/check/"+c.ID), "", "")
		return status
	}
	for range 2 {
		if status := finish(); status != http.StatusNoContent {
			t.Fatalf("answered with %d", status)
		}
		if n := r.allocations(); n != 1 {
			t.Fatalf("%d allocations, want the other check's one", n)
		}
	}
	hold(t, []string{target.URL}, target.Username, target.Password)
	eventually(t, "only the other check's allocation is left", func() bool { return r.allocations() == 1 })
	if status, body := request(t, http.MethodPost, r.page("/api/v1/check"), "", ""); status != http.StatusTooManyRequests {
		t.Errorf("one more: %d %s", status, body)
	}
	r.checks.stop()
	if status := finish(); status != http.StatusNotFound {
		t.Errorf("after its time: %d", status)
	}
}

// TestCheckOverWhenDraining: an open page /check does not hold a stop up.
func TestCheckOverWhenDraining(t *testing.T) {
	r := start(t, "drain_timeout", "1h")
	target := targets(r.beginCheck())[0]
	hold(t, []string{target.URL}, target.Username, target.Password)
	r.stop()
	if err := r.wait(); err != nil {
		t.Error(err)
	}
}

func TestCheckLimits(t *testing.T) {
	r := start(t, "check.per_ip", "2")
	r.beginCheck()
	r.beginCheck()
	if status, body := request(t, http.MethodPost, r.page("/api/v1/check"), "", ""); status != http.StatusTooManyRequests || !strings.Contains(body, "check.per_ip") {
		t.Errorf("%d %s", status, body)
	}
	off := start(t, "check.enabled", "false")
	if status, body := request(t, http.MethodPost, off.page("/api/v1/check"), "", ""); status != http.StatusNotFound || !strings.Contains(body, "check_disabled") {
		t.Errorf("%d %s", status, body)
	}
	deaf := start(t, "turn.udp", "off", "turn.tcp", "off")
	if status, body := request(t, http.MethodPost, deaf.page("/api/v1/check"), "", ""); status != http.StatusServiceUnavailable || !strings.Contains(body, "no_turn") {
		t.Errorf("%d %s", status, body)
	}
}

func TestCheckNeedsToken(t *testing.T) {
	r := start(t, "signaling.auth", "token")
	if status, body := request(t, http.MethodPost, r.page("/api/v1/check"), "", ""); status != http.StatusUnauthorized {
		t.Errorf("%d %s", status, body)
	}
	if status, body := request(t, http.MethodPost, r.page("/api/v1/check"), r.mint(`{"room":"blue"}`), ""); status != http.StatusOK || !strings.Contains(body, `"ttl":120`) {
		t.Errorf("%d %s", status, body)
	}
	// The check ends with the token.
	if status, body := request(t, http.MethodPost, r.page("/api/v1/check"), r.mint(`{"room":"blue","ttl":60}`), ""); status != http.StatusOK || !strings.Contains(body, `"ttl":59`) && !strings.Contains(body, `"ttl":60`) {
		t.Errorf("%d %s", status, body)
	}
}

// fakeChecks begin and end nothing.
func fakeChecks(t *testing.T, c config.Check) (cs *checks, ended chan *check) {
	t.Helper()
	ended = make(chan *check, 100)
	cs = newChecks(c, func(*check) {}, func(*check) {}, func(c *check) { ended <- c })
	t.Cleanup(cs.stop)
	return cs, ended
}

func mustStart(t *testing.T, cs *checks, client string) *check {
	t.Helper()
	c, err := cs.start(netip.MustParseAddr(client), cs.config.TTL)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func wantTooMany(t *testing.T, cs *checks, client, says string, most time.Duration) {
	t.Helper()
	_, err := cs.start(netip.MustParseAddr(client), cs.config.TTL)
	var tooMany *httpd.TooManyChecksError
	if !errors.As(err, &tooMany) || !strings.Contains(tooMany.Problem, says) || tooMany.Wait <= 0 || tooMany.Wait > most {
		t.Errorf("%s: %+v, want %q", client, err, says)
	}
}

// TestChecksPerNetwork: an IPv6 subscriber is one address, and a minute later there is room again.
func TestChecksPerNetwork(t *testing.T) {
	cs, _ := fakeChecks(t, config.Check{TTL: time.Hour, PerIP: 2, Sessions: 9})
	mustStart(t, cs, "2001:db8::1")
	mustStart(t, cs, "2001:db8::2")
	mustStart(t, cs, "2001:db8:0:1::1")
	mustStart(t, cs, "192.0.2.1")
	wantTooMany(t, cs, "2001:db8::3", "check.per_ip", time.Minute)
	network := netip.MustParseAddr("2001:db8::")
	cs.begun[network][0] = time.Now().Add(-time.Minute)
	mustStart(t, cs, "2001:db8::3")
	wantTooMany(t, cs, "2001:db8::3", "check.per_ip", time.Minute)
	for ip, begun := range cs.begun {
		for i := range begun {
			cs.begun[ip][i] = time.Now().Add(-time.Minute)
		}
	}
	cs.swept = time.Now().Add(-time.Minute)
	mustStart(t, cs, "192.0.2.2")
	if len(cs.begun) != 1 {
		t.Errorf("remembered are %v", cs.begun)
	}
}

func TestChecksAtOnce(t *testing.T) {
	cs, ended := fakeChecks(t, config.Check{TTL: 50 * time.Millisecond, Sessions: 2})
	first := mustStart(t, cs, "192.0.2.1")
	second := mustStart(t, cs, "192.0.2.1")
	wantTooMany(t, cs, "192.0.2.2", "check.sessions", 50*time.Millisecond)
	if got := []*check{<-ended, <-ended}; !slices.Contains(got, first) || !slices.Contains(got, second) {
		t.Error("others have ended")
	}
	gone := func() bool { return cs.running.Load() == 0 }
	eventually(t, "there is room again", gone)
	mustStart(t, cs, "192.0.2.1")
	<-ended
	eventually(t, "it is forgotten", gone)
	if len(cs.byID) != 0 || len(cs.byClient) != 0 {
		t.Errorf("left are %v, %v", cs.byID, cs.byClient)
	}
	cs.stop()
	wantTooMany(t, cs, "192.0.2.1", "shutting down", 50*time.Millisecond)
}

var udpListener = turn.Listener{Transport: relay.UDP, Port: 3478}

func observed(client, username, method string, code int) turn.Observed {
	return turn.Observed{Client: netip.MustParseAddrPort(client), Listener: udpListener, Username: username, Method: method, Code: code}
}

// summary are the events of a check, as "client method code".
func summary(t *testing.T, cs *checks, c *check) (lines []string) {
	t.Helper()
	report, _, ok := cs.report(c.id, nil, func(string) map[turn.Listener]turn.Carried { return nil })
	if !ok {
		t.Fatal("there is no such check")
	}
	for _, e := range report.Events {
		lines = append(lines, e.Client.String()+" "+e.Method+" "+http.StatusText(e.Code))
	}
	return lines
}

// TestObserved tells whose a request is.
func TestObserved(t *testing.T) {
	cs, _ := fakeChecks(t, config.Check{TTL: time.Hour, Sessions: 9})
	cs.observe(observed("192.0.2.1:1", "", "allocate", 401)) // while nobody checks
	a, b := mustStart(t, cs, "192.0.2.1"), mustStart(t, cs, "2001:db8::1")
	if cs.unclaimed[0].Method != "" {
		t.Error("remembered while there was no check")
	}
	cs.observe(observed("192.0.2.1:1", "", "allocate", 401))
	cs.observe(observed("192.0.2.1:1", "1800000000:check-"+a.id, "allocate", 200))
	cs.observe(observed("192.0.2.1:2", "1800000000:!m.member", "allocate", 200))      // a call from the same house
	cs.observe(observed("192.0.2.1:2", "1800000000:check-XYZ", "allocate", 401))      // no check
	cs.observe(observed("192.0.2.1:2", "check", "allocate", 401))                     // no username of ours
	cs.observe(observed("203.0.113.1:3", "1800000000:check-"+a.id, "allocate", 401))  // with a wrong password, from elsewhere
	cs.observe(observed("[2001:db8::5]:4", "", turn.Connect, 200))                    // another address of the same network
	cs.observe(observed("198.51.100.7:5", "", "allocate", 401))                       // of b, as turns out, which has IPv4, too
	cs.observe(observed("198.51.100.7:6", "", "allocate", 401))                       // of somebody behind the same NAT
	cs.observe(observed("198.51.100.7:5", "1800000000:check-"+b.id, "allocate", 200)) // here
	cs.observe(observed("198.51.100.7:5", "1800000000:check-"+b.id, "refresh", 200))  // and what was claimed is claimed once
	for c, want := range map[*check][]string{
		a: {"192.0.2.1:1 allocate Unauthorized", "192.0.2.1:1 allocate OK", "203.0.113.1:3 allocate Unauthorized"},
		b: {"198.51.100.7:5 allocate Unauthorized", "198.51.100.7:5 allocate OK", "198.51.100.7:5 refresh OK"},
	} {
		if got := summary(t, cs, c); !slices.Equal(got, want) {
			t.Errorf("%v: %q, want %q", c.client, got, want)
		}
	}
	for range 2 * maxEvents {
		cs.observe(observed("192.0.2.1:1", "", "allocate", 401))
	}
	report, _, _ := cs.report(a.id, []turn.Listener{udpListener}, func(string) map[turn.Listener]turn.Carried { return nil })
	if tr := report.Transports[0]; len(report.Events) != maxEvents || tr.Requests[len(tr.Requests)-1] != (checkRequest{"allocate", 401, 2*maxEvents + 2}) {
		t.Errorf("%d events, %+v", len(report.Events), tr.Requests)
	}
}

// TestCheckTalksToItself: a check's credential is for nothing but the check.
func TestCheckTalksToItself(t *testing.T) {
	cs, _ := fakeChecks(t, config.Check{TTL: time.Hour, Sessions: 9})
	c := mustStart(t, cs, "2001:db8::1")
	cs.observe(observed("192.0.2.1:1", "1800000000:check-"+c.id, "allocate", 0))
	cs.observe(observed("192.0.2.2:1", "1800000000:check-"+c.id, "allocate", 401)) // anybody can say the username
	own := []netip.Addr{netip.MustParseAddr("198.51.100.1")}
	for _, tt := range []struct {
		user, ip string
		may      bool
	}{
		{c.user(), "198.51.100.1", true},
		{c.user(), "192.0.2.1", true},
		{c.user(), "192.0.2.2", false},
		{c.user(), "2001:db8::1", false}, // not over the relay
		{c.user(), "8.8.8.8", false},
		{"alice", "8.8.8.8", true},
		{"check-alice", "8.8.8.8", true}, // of an API key
	} {
		if may := cs.mayReach(tt.user, netip.MustParseAddr(tt.ip), own); may != tt.may {
			t.Errorf("%s to %s: %v", tt.user, tt.ip, may)
		}
	}
	for i := range 2 * maxProven {
		cs.observe(observed(fmt.Sprintf("192.0.2.%d:1", 10+i), "1800000000:check-"+c.id, "allocate", 0))
	}
	if len(c.proven) != maxProven {
		t.Errorf("%d addresses are remembered", len(c.proven))
	}
}

// TestUnclaimed: the memory for what may be somebody's is bounded, and older than no check.
func TestUnclaimed(t *testing.T) {
	cs, _ := fakeChecks(t, config.Check{TTL: time.Hour, Sessions: 9})
	mustStart(t, cs, "192.0.2.1")
	cs.observe(observed("198.51.100.7:5", "", "allocate", 401))
	late := mustStart(t, cs, "192.0.2.2")
	cs.observe(observed("198.51.100.7:5", "1800000000:check-"+late.id, "allocate", 200))
	if got := summary(t, cs, late); len(got) != 1 {
		t.Errorf("%q, of which the first was before the check", got)
	}
	for range maxUnclaimed {
		cs.observe(observed("198.51.100.8:5", "", "allocate", 401))
	}
	cs.observe(observed("198.51.100.8:5", "1800000000:check-"+late.id, "allocate", 200))
	if report, _, _ := cs.report(late.id, nil, func(string) map[turn.Listener]turn.Carried { return nil }); report.Transports[0].Requests[1].Count != maxUnclaimed {
		t.Errorf("%+v", report.Transports)
	}
}

// TestToldListeners are those that browsers are sent to, by derived and by configured URLs.
func TestToldListeners(t *testing.T) {
	cert, key := harness.NewAuthority(t).Issue(t.TempDir(), "localhost")
	r := start(t, "tls.cert_file", cert, "tls.key_file", key, "https.listen", "127.0.0.1:0", "turn.tls", "127.0.0.1:0", "turn.dtls", "127.0.0.1:0")
	tlsAddr, _ := r.turn.TLSAddr()
	dtlsAddr, _ := r.turn.DTLSAddr()
	udpAddr, _ := r.turn.UDPAddr()
	https := turn.Listener{Transport: relay.TLS, Port: r.http.SecureAddr().Port()}
	own := turn.Listener{Transport: relay.TLS, Port: tlsAddr.Port()}
	udp := turn.Listener{Transport: relay.UDP, Port: udpAddr.Port()}
	dtls := turn.Listener{Transport: relay.DTLS, Port: dtlsAddr.Port()}
	_, derived := r.urls("localhost")
	if got := r.toldListeners(derived); len(got) != 3 || got[0] != udp || got[1].Transport != relay.TCP || got[2] != https {
		t.Errorf("of %q: %v", derived, got)
	}
	for url, want := range map[string]turn.Listener{
		"turn:a.example":                                              udp,
		"turn:a.example:1":                                            udp,
		"turns:a.example?transport=tcp":                               https,
		"turns:a.example:443":                                         https,
		"turns:[2001:db8::1]?transport=udp":                           dtls,
		fmt.Sprintf("turns:a.example:%d", own.Port):                   own,
		fmt.Sprintf("turns:[2001:db8::1]:%d?transport=tcp", own.Port): own,
	} {
		if got := r.toldListeners([]string{url, url}); !slices.Equal(got, []turn.Listener{want}) {
			t.Errorf("%s: %v, want %v", url, got, want)
		}
	}
}
