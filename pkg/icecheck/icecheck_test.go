package icecheck

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun"
)

// responder is what a fakeServer does instead of what it should.
type responder = func(n int, m *stun.Message, from netip.AddrPort) ([][]byte, bool)

func reply(b ...[]byte) ([][]byte, bool) { return b, true }

// instead answers requests of one method, with or without a credential, in its own way.
func instead(method stun.Method, signed bool, answer func(m *stun.Message) []byte) responder {
	return func(_ int, m *stun.Message, _ netip.AddrPort) ([][]byte, bool) {
		if m.Type.Method == method && m.Contains(stun.AttrMessageIntegrity) == signed {
			return reply(answer(m))
		}
		return nil, false
	}
}

func code(n int) func(m *stun.Message) []byte {
	return func(m *stun.Message) []byte { return failure(m, n) }
}

var relayChecks = []struct {
	name     string
	password string
	respond  responder
	requests []string // that the server sees
	says     string   // the error; empty: success
}{
	{"allocates and gives up", testPassword, nil, []string{"Allocate", "Allocate", "Allocate+", "Refresh+"}, ""},
	{"stale nonce", testPassword, staleOnce, []string{"Allocate", "Allocate", "Allocate+", "Allocate+", "Refresh+"}, ""},
	{"nonce that is always stale", testPassword, instead(stun.MethodAllocate, true, func(m *stun.Message) []byte { return challenge(m, 438, "again") }),
		[]string{"Allocate", "Allocate", "Allocate+", "Allocate+", "Allocate+"}, "error 438 Reason"},
	{"wrong password", "guess", nil, []string{"Allocate", "Allocate", "Allocate+"}, "error 401 Reason: the server does not accept the credential"},
	{"no credential", "", nil, []string{"Allocate"}, "the server asks for a credential: give a username and a password"},
	{"open relay", testPassword, instead(stun.MethodAllocate, false, func(m *stun.Message) []byte { return success(m) }), []string{"Allocate"}, "the server relays for everybody"},
	{"quota", testPassword, instead(stun.MethodAllocate, true, code(486)), []string{"Allocate", "Allocate", "Allocate+"}, "error 486 Reason: the quota of allocations is used up"},
	{"no ports", testPassword, instead(stun.MethodAllocate, true, code(508)), []string{"Allocate", "Allocate", "Allocate+"}, "error 508 Reason: the server has no relay port to give"},
	{"refused before the challenge", testPassword, instead(stun.MethodAllocate, false, code(403)), []string{"Allocate"}, "error 403 Reason: forbidden by the server's policy"},
	{"a code without advice", testPassword, instead(stun.MethodAllocate, true, code(500)), []string{"Allocate", "Allocate", "Allocate+"}, "error 500 Reason"},
	{"error without a code", testPassword, instead(stun.MethodAllocate, true, code(0)), []string{"Allocate", "Allocate", "Allocate+"}, "an error response without a code"},
	{"challenge without a nonce", testPassword, instead(stun.MethodAllocate, false, code(401)), []string{"Allocate", "Allocate"}, "a challenge without realm or nonce"},
	{"no mapped address", testPassword, instead(stun.MethodAllocate, true, func(m *stun.Message) []byte { return success(m) }),
		[]string{"Allocate", "Allocate", "Allocate+"}, "the answer holds no mapped address"},
	{"no relayed address", testPassword, instead(stun.MethodAllocate, true, func(m *stun.Message) []byte {
		return success(m, stun.RawAttribute{Type: stun.AttrXORMappedAddress, Value: xorValue(m, testRelayed)})
	}), []string{"Allocate", "Allocate", "Allocate+"}, "the server allocated, but told no relayed address"},
	{"does not give up", testPassword, instead(stun.MethodRefresh, true, code(437)), []string{"Allocate", "Allocate", "Allocate+", "Refresh+"},
		"the server allocated, but the allocation could not be given up: error 437 Reason: the server believes"},
}

// staleOnce takes the second nonce only.
func staleOnce(_ int, m *stun.Message, _ netip.AddrPort) ([][]byte, bool) {
	if m.Contains(stun.AttrMessageIntegrity) && nonceOf(m) != "nonce-2" {
		return reply(challenge(m, 438, "nonce-2"))
	}
	return nil, false
}

func TestCheckRelay(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		for _, tt := range relayChecks {
			t.Run(network+"/"+tt.name, func(t *testing.T) {
				s := &fakeServer{respond: tt.respond}
				target := Target{URL: "turn:" + s.start(t, network, "127.0.0.1") + "?transport=" + network, Username: testUser, Password: tt.password}
				if tt.password == "" {
					target.Username = ""
				}
				r := Check(t.Context(), target)
				wantError(t, r.Err, tt.says)
				if r.URL != target.URL || r.Took <= 0 {
					t.Errorf("URL %q took %v", r.URL, r.Took)
				}
				requests, lifetime := s.seen()
				if tt.says == "" && (r.Relayed != testRelayed || !r.Mapped.Addr().IsLoopback() || !slices.Equal(lifetime, make([]byte, 4))) {
					t.Errorf("mapped %v, relayed %v, last lifetime %x", r.Mapped, r.Relayed, lifetime)
				}
				if !slices.Equal(requests, tt.requests) {
					t.Errorf("requests %v, want %v", requests, tt.requests)
				}
			})
		}
	}
}

// wantError checks for an error that begins so; none for "".
func wantError(t *testing.T, err error, says string) {
	t.Helper()
	if says == "" && err != nil || says != "" && (err == nil || !strings.HasPrefix(err.Error(), says)) {
		t.Errorf("error %v, want %q", err, says)
	}
}

func TestCheckBinding(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		for _, network := range []string{"udp", "tcp"} {
			t.Run(network+" on "+host, func(t *testing.T) {
				s := &fakeServer{}
				r := Check(t.Context(), Target{URL: "stun:" + s.start(t, network, host) + "?transport=" + network})
				if r.Err != nil || r.Mapped.Addr() != netip.MustParseAddr(host) || r.Mapped.Port() == 0 || r.Relayed.IsValid() {
					t.Errorf("%+v", r)
				}
			})
		}
	}
}

func TestCheckOddAnswers(t *testing.T) {
	other := func(m *stun.Message) *stun.Message {
		c := *m
		c.TransactionID[0]++
		return &c
	}
	for _, tt := range []struct {
		name, network string
		respond       responder
		says          string
	}{
		{"garbage before the answer", "udp", func(_ int, m *stun.Message, from netip.AddrPort) ([][]byte, bool) {
			return reply([]byte("garbage"), nil, make([]byte, 1400), proper(other(m), from), proper(m, from))
		}, ""},
		{"another transaction's answer first", "tcp", func(_ int, m *stun.Message, from netip.AddrPort) ([][]byte, bool) {
			return reply(failure(other(m), 400), proper(m, from))
		}, ""},
		{"lost datagram", "udp", func(n int, _ *stun.Message, _ netip.AddrPort) ([][]byte, bool) { return nil, n == 1 }, ""},
		{"a web server", "tcp", func(int, *stun.Message, netip.AddrPort) ([][]byte, bool) {
			return reply([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
		}, "the server does not speak STUN"},
		{"hangs up", "tcp", func(int, *stun.Message, netip.AddrPort) ([][]byte, bool) { return reply(nil) }, "EOF"},
		{"hangs up inside the answer", "tcp", func(_ int, m *stun.Message, from netip.AddrPort) ([][]byte, bool) {
			return reply(proper(m, from)[:24], nil)
		}, "unexpected EOF"},
		{"echo", "udp", func(_ int, m *stun.Message, _ netip.AddrPort) ([][]byte, bool) { return reply(m.Raw) }, "an error response without a code"},
		{"success without an address", "udp", func(_ int, m *stun.Message, _ netip.AddrPort) ([][]byte, bool) { return reply(success(m)) }, "the answer holds no mapped address"},
		{"refused", "udp", func(_ int, m *stun.Message, _ netip.AddrPort) ([][]byte, bool) { return reply(failure(m, 420)) }, "error 420 Reason"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &fakeServer{respond: tt.respond}
			r := Check(t.Context(), Target{URL: "stun:" + s.start(t, tt.network, "127.0.0.1") + "?transport=" + tt.network})
			wantError(t, r.Err, tt.says)
			if tt.says == "" && !r.Mapped.IsValid() {
				t.Error("no mapped address")
			}
		})
	}
}

// TestCheckSilence is a server that takes everything and says nothing, or nothing that makes sense.
func TestCheckSilence(t *testing.T) {
	for _, tt := range []struct {
		name, network string
		answer        [][]byte
	}{
		{"silence", "udp", nil}, {"silence", "tcp", nil},
		{"garbage", "udp", [][]byte{[]byte("garbage"), make([]byte, 20)}},
		{"zeros", "tcp", [][]byte{make([]byte, 200)}},
	} {
		t.Run(tt.network+"/"+tt.name, func(t *testing.T) {
			s := &fakeServer{respond: func(int, *stun.Message, netip.AddrPort) ([][]byte, bool) { return tt.answer, true }}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			r := Check(ctx, Target{URL: "stun:" + s.start(t, tt.network, "127.0.0.1") + "?transport=" + tt.network})
			wantError(t, r.Err, "no answer: the server is down, or a firewall lets nothing through")
		})
	}
}

// TestCheckEndsWithItsContext cancels while the server is silent.
func TestCheckEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &fakeServer{respond: func(int, *stun.Message, netip.AddrPort) ([][]byte, bool) { cancel(); return nil, true }}
	r := Check(ctx, Target{URL: "stun:" + s.start(t, "udp", "127.0.0.1")})
	if !errors.Is(r.Err, context.Canceled) {
		t.Errorf("error %v", r.Err)
	}
}

// TestCheckNobody is a port that was closed a moment ago.
func TestCheckNobody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	r := Check(t.Context(), Target{URL: "turn:" + l.Addr().String() + "?transport=tcp", Username: "u", Password: "p"})
	wantError(t, r.Err, "cannot reach the server: ")
	if r = Check(t.Context(), Target{URL: "turn:"}); r.Err == nil || r.Took != 0 {
		t.Errorf("a broken URL: %+v", r)
	}
}

func TestCheckTLS(t *testing.T) {
	certificate := selfSigned(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeServer{}
	s.serveStreams(t, l)
	plain := s.start(t, "tcp", "127.0.0.1")
	for _, tt := range []struct{ name, address, says string }{
		{"self-signed certificate", l.Addr().String(), "cannot reach the server: TLS: tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		{"no TLS there", plain, "cannot reach the server: TLS: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			wantError(t, Check(ctx, Target{URL: "turns:" + tt.address, Username: testUser, Password: testPassword}).Err, tt.says)
		})
	}
	if requests, _ := s.seen(); len(requests) != 0 {
		t.Errorf("a request went to a server that is not trusted: %v", requests)
	}
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
