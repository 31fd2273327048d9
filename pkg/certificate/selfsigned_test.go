package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// lan is the self-signed source in a state directory, for a machine of the test's making.
type lan struct {
	state string
	now   time.Time
	who   identity
	log   *transcript
}

func newLAN(t *testing.T) *lan {
	t.Helper()
	return &lan{state: t.TempDir(), now: time.Now(), who: identity{
		names:     []string{"desk", "desk.local", "localhost"},
		addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.168.1.5")},
		roaming:   []netip.Addr{netip.MustParseAddr("2001:db8:1:2::5")},
	}}
}

// start is what a start of the daemon does.
func (l *lan) start() (*Manager, error) {
	transcript, logger := newTranscript()
	l.log = transcript
	m := &Manager{name: "self_signed", log: logger}
	s := &selfSigned{manager: m, directory: filepath.Join(l.state, "self-signed"), interval: 10 * time.Millisecond,
		identity: func() identity { return l.who }}
	m.source = s
	return m, s.refresh(l.now)
}

func (l *lan) mustStart(t *testing.T) *Manager {
	t.Helper()
	m, err := l.start()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func publicKey(t *testing.T, m *Manager) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(m.current.Load().pair.Leaf.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(der)
}

func TestSelfSigned(t *testing.T) {
	log, logger := newTranscript()
	state := filepath.Join(t.TempDir(), "not", "there", "yet")
	extra := netip.MustParseAddr("203.0.113.7")
	m, err := New(Config{SelfSigned: true, Domain: "call.example.com", Addresses: []netip.Addr{extra}, StateDir: state, Log: logger})
	if err != nil {
		t.Fatal(err)
	}
	leaf := m.current.Load().pair.Leaf
	if leaf.Subject.CommonName != "maitred self-signed" || leaf.IsCA || leaf.NotAfter.Sub(leaf.NotBefore) != 397*day {
		t.Errorf("%s, CA %v, from %v to %v", leaf.Subject, leaf.IsCA, leaf.NotBefore, leaf.NotAfter)
	}
	names := []string{"localhost", "127.0.0.1", "::1", "[::1]", "call.example.com", extra.String()}
	if host, err := os.Hostname(); err == nil {
		names = append(names, hostNames(host)...)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	for _, name := range names {
		if !m.ValidFor(name) {
			t.Errorf("not for %s but %q", name, m.Status().Names)
		}
	}
	if m.ValidFor("203.0.113.8") || m.ValidFor("example.com") {
		t.Error("it is for everything")
	}
	if _, err := handshake(t, m, &tls.Config{ServerName: "call.example.com", RootCAs: pool}); err != nil {
		t.Errorf("who trusts it: %v", err)
	}
	if status := m.Status(); status.Source != "self_signed" || len(log.matching("level=INFO", "self-signed certificate made", status.SHA256)) != 1 {
		t.Errorf("%+v\n%s", status, log)
	}
	if runtime.GOOS != "windows" {
		for name, mode := range map[string]os.FileMode{"": 0o700, "key.pem": 0o600, "certificate.pem": 0o600} {
			info, err := os.Stat(filepath.Join(state, "self-signed", name))
			if err != nil || info.Mode().Perm() != mode {
				t.Errorf("%q: %v %v, want mode %o", name, info, err, mode)
			}
		}
	}
	start(t, m)()
}

func TestSelfSignedIsKeptOrRemade(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(l *lan)
		kept   bool
		why    string // it is remade
	}{
		{name: "restart", change: func(*lan) {}, kept: true},
		{name: "an address has gone", change: func(l *lan) { l.who.addresses = l.who.addresses[:1] }, kept: true},
		{name: "another temporary address", change: func(l *lan) { l.who.roaming = append(l.who.roaming, netip.MustParseAddr("2001:db8:1:2::77")) }, kept: true},
		{name: "31 days left", change: func(l *lan) { l.now = l.now.Add(366*day - 2*time.Hour) }, kept: true},
		{name: "30 days left", change: func(l *lan) { l.now = l.now.Add(367 * day) }, why: "ends soon"},
		{name: "expired", change: func(l *lan) { l.now = l.now.Add(500 * day) }, why: "ends soon"},
		{name: "clock set back", change: func(l *lan) { l.now = l.now.Add(-10 * day) }, why: "not valid yet"},
		{name: "another address", change: func(l *lan) { l.who.addresses = append(l.who.addresses, netip.MustParseAddr("10.0.0.9")) }, why: "not for 10.0.0.9"},
		{name: "another network", change: func(l *lan) { l.who.roaming = []netip.Addr{netip.MustParseAddr("2001:db8:1:3::5")} }, why: "not for 2001:db8:1:3::5"},
		{name: "another name", change: func(l *lan) { l.who.names = append(l.who.names, "call.example.com") }, why: "not for call.example.com"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLAN(t)
			first := l.mustStart(t)
			test.change(l)
			second := l.mustStart(t)
			if kept := first.Status().SHA256 == second.Status().SHA256; kept != test.kept {
				t.Errorf("kept: %v\n%s", kept, l.log)
			}
			if publicKey(t, first) != publicKey(t, second) {
				t.Error("the key is another one")
			}
			if !test.kept && len(l.log.matching("self-signed certificate made", test.why)) != 1 {
				t.Errorf("it is not said why:\n%s", l.log)
			}
			if !test.kept && len(l.log.matching("level=WARN", "another fingerprint", first.Status().SHA256, second.Status().SHA256)) != 1 {
				t.Errorf("the other fingerprint is not told:\n%s", l.log)
			}
			third := l.mustStart(t)
			if third.Status().SHA256 != second.Status().SHA256 {
				t.Errorf("remade once more:\n%s", l.log)
			}
		})
	}
}

// TestSelfSignedWhileRunning moves the machine into another network.
func TestSelfSignedWhileRunning(t *testing.T) {
	l := newLAN(t)
	m := l.mustStart(t)
	before := m.Status()
	l.who.addresses = append(slices.Clone(l.who.addresses), netip.MustParseAddr("10.0.0.9")) // before Run reads it
	start(t, m)
	line := l.log.wait(t, 0, "another fingerprint", before.SHA256)
	after := m.Status()
	if !strings.Contains(line, "level=WARN") || !strings.Contains(line, after.SHA256) || !m.ValidFor("10.0.0.9") {
		t.Errorf("%s\n%+v", line, after)
	}
	// The state directory breaks: the certificate stays, it is told once, and all is well when it is mended.
	file := filepath.Join(l.state, "self-signed", "certificate.pem")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n := l.log.length()
	put(t, file, []byte("garbage"))
	l.log.wait(t, n, "level=ERROR", "certificate.pem is damaged")
	if status := m.Status(); status.SHA256 != after.SHA256 || status.Err == nil {
		t.Errorf("%+v", status)
	}
	s := m.source.(*selfSigned)
	for range 3 {
		if s.refresh(time.Now()) == nil {
			t.Error("a damaged file was taken")
		}
	}
	put(t, file, content)
	deadline := time.Now().Add(patience)
	for m.Status().Err != nil {
		if time.Now().After(deadline) {
			t.Fatalf("still %v", m.Status().Err)
		}
		runtime.Gosched()
	}
	if got := len(l.log.matching("level=ERROR")); got > 2 { // the file may have been read while it was written
		t.Errorf("told %d times:\n%s", got, l.log)
	}
}

func TestDamagedState(t *testing.T) {
	otherKey, err := os.ReadFile(put(t, filepath.Join(t.TempDir(), "k"), encodeKey(newRSA(t))))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, file string
		content    []byte
		want       []string
	}{
		{"key is text", "key.pem", []byte("hello"), []string{"key.pem is damaged", "remove it and a new one is made"}},
		{"key is empty", "key.pem", nil, []string{"key.pem is damaged", "remove it"}},
		{"key is cut", "key.pem", encode("PRIVATE KEY", []byte{48}), []string{"key.pem is damaged", "remove it"}},
		{"key of another kind", "key.pem", otherKey, []string{"key.pem holds a key of another kind", "remove it"}},
		{"certificate is text", "certificate.pem", []byte("hello"), []string{"certificate.pem is damaged", "remove it"}},
		{"certificate is cut", "certificate.pem", encode("CERTIFICATE", []byte{48}), []string{"certificate.pem is damaged", "remove it"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLAN(t)
			l.mustStart(t)
			file := put(t, filepath.Join(l.state, "self-signed", test.file), test.content)
			_, err := l.start()
			if err == nil || !has(err.Error(), append(test.want, file)) {
				t.Fatalf("%v\nwant %q", err, test.want)
			}
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			l.mustStart(t) // as the message says
		})
	}
}

// TestInterruptedWrite has a key and the certificate of another one, as after a crash between the two.
func TestInterruptedWrite(t *testing.T) {
	l := newLAN(t)
	l.mustStart(t)
	put(t, filepath.Join(l.state, "self-signed", "key.pem"), encodeKey(newKey()))
	m := l.mustStart(t)
	if len(l.log.matching("because=", "of another key")) != 1 {
		t.Errorf("it is not said why:\n%s", l.log)
	}
	if _, err := handshake(t, m, &tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Error(err)
	}
}

func TestNoStateDirectory(t *testing.T) {
	file := put(t, filepath.Join(t.TempDir(), "file"), nil)
	for name, c := range map[string]Config{
		"self-signed": {SelfSigned: true, StateDir: file},
		"ACME":        {Domain: "call.example.com", StateDir: file, ACME: ACME{HTTPPort: 80}},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), "make state_dir a directory that the daemon may write to") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHostNames(t *testing.T) {
	for host, want := range map[string][]string{
		"desk":              {"desk", "desk.local"},
		"Desk.Example.Com":  {"desk.example.com", "desk.local"},
		"desk.local":        {"desk.local", "desk.local"},
		"desk.example.com.": {"desk.example.com", "desk.local"},
		"localhost":         nil,
		"":                  nil,
		"schön":             nil,
		"a b":               nil,
	} {
		if got := hostNames(host); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
}

// TestMachineIsBounded keeps handshakes small.
func TestMachineIsBounded(t *testing.T) {
	var many []netip.Addr
	for i := range 300 {
		many = append(many, netip.AddrFrom4([4]byte{10, 1, byte(i / 256), byte(i)}))
	}
	id := machine("", append(many, many...))
	if len(id.addresses) != maxAddresses || len(id.roaming) > maxAddresses {
		t.Errorf("%d and %d addresses", len(id.addresses), len(id.roaming))
	}
	for _, a := range id.roaming {
		if a.Is4() || a.IsLinkLocalUnicast() {
			t.Errorf("%s is no IPv6 address of a network", a)
		}
	}
}
