package icecheck

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/pion/stun"
)

func TestClassify(t *testing.T) {
	local, a, b := netip.MustParseAddrPort("192.168.1.2:5000"), netip.MustParseAddrPort("203.0.113.7:5000"), netip.MustParseAddrPort("203.0.113.7:5001")
	other := netip.MustParseAddrPort("10.0.0.2:5000")
	direct := View{Local: other, As: other}
	for _, tt := range []struct {
		name  string
		views []View
		want  Mapping
	}{
		{"nothing between", []View{{Local: local, As: local}, direct}, MappingNone},
		{"one destination", []View{{Local: local, As: a}}, MappingUnknown},
		{"one beyond the NAT", []View{direct, {Local: local, As: a}}, MappingUnknown},
		{"the same to both", []View{{Local: local, As: a}, {Local: local, As: a}}, MappingIndependent},
		{"another port", []View{{Local: local, As: a}, direct, {Local: local, As: b}}, MappingDependent},
	} {
		if got := classify(tt.views); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

var public = netip.MustParseAddrPort("203.0.113.7:5000")

// sees is a server behind a NAT that shows clients under another address.
func sees(as netip.AddrPort) *fakeServer {
	return &fakeServer{respond: instead(stun.MethodBinding, false, func(m *stun.Message) []byte {
		return success(m, stun.RawAttribute{Type: stun.AttrXORMappedAddress, Value: xorValue(m, as)})
	})}
}

func TestFindNAT(t *testing.T) {
	otherPort := netip.AddrPortFrom(public.Addr(), 5001)
	for _, tt := range []struct {
		name    string
		servers []*fakeServer
		want    Mapping
	}{
		{"no NAT", []*fakeServer{{}, {}}, MappingNone},
		{"one server", []*fakeServer{sees(public)}, MappingUnknown},
		{"same address", []*fakeServer{sees(public), sees(public)}, MappingIndependent},
		{"another port each", []*fakeServer{sees(public), sees(otherPort)}, MappingDependent},
		{"one that answers nonsense", []*fakeServer{{respond: func(int, *stun.Message, netip.AddrPort) ([][]byte, bool) { return reply() }}, sees(public), sees(public)}, MappingIndependent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var targets []Target
			for _, s := range tt.servers {
				url := "stun:" + s.start(t, "udp", "127.0.0.1")
				targets = append(targets, Target{URL: url}, Target{URL: url}) // twice is no other destination
			}
			got, err := FindNAT(t.Context(), targets)
			if err != nil || got.Mapping != tt.want {
				t.Errorf("%+v, %v, want %s", got, err, tt.want)
			}
			for _, v := range got.Views {
				if v.Local.Addr() != netip.MustParseAddr("127.0.0.1") || v.Local.Port() == 0 || tt.want != MappingNone && v.As.Addr() != public.Addr() {
					t.Errorf("view %+v", v)
				}
			}
		})
	}
}

// TestFindNATOverRelay has one server, whose relayed address is the second destination.
func TestFindNATOverRelay(t *testing.T) {
	otherPort := netip.AddrPortFrom(public.Addr(), 5001)
	for _, tt := range []struct {
		name string
		as   netip.AddrPort // how the relayed address sees the socket
		want Mapping
	}{
		{"the same", public, MappingIndependent},
		{"another port", otherPort, MappingDependent},
		{"another address, which has no permission", netip.MustParseAddrPort("203.0.113.8:5000"), MappingUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			relay := newFakeRelay()
			relay.given = []netip.AddrPort{relay.listen(t, func(netip.AddrPort) netip.AddrPort { return tt.as })}
			s := &fakeServer{relay: relay, respond: first(sees(public).respond, relay.respond)}
			at := s.start(t, "udp", "127.0.0.1")
			got, err := FindNAT(t.Context(), []Target{{URL: "stun:" + at}, {URL: "turn:" + at, Username: testUser, Password: testPassword}})
			if err != nil || got.Mapping != tt.want {
				t.Errorf("%+v, %v, want %s", got, err, tt.want)
			}
			if requests, _ := s.seen(); requests[len(requests)-1] != "Refresh+" {
				t.Errorf("the allocation was not given up: %v", requests)
			}
		})
	}
}

func TestFindNATWithoutUDP(t *testing.T) {
	for _, urls := range [][]string{nil, {"turn:127.0.0.1?transport=tcp"}, {"turns:127.0.0.1:5349?transport=udp"}, {"nonsense"}} {
		var targets []Target
		for _, u := range urls {
			targets = append(targets, Target{URL: u})
		}
		if got, err := FindNAT(t.Context(), targets); !errors.Is(err, ErrNoUDP) {
			t.Errorf("%q: %+v, %v", urls, got, err)
		}
	}
}

// TestFindNATOverIPv6 where there is nothing else.
func TestFindNATOverIPv6(t *testing.T) {
	got, err := FindNAT(t.Context(), []Target{{URL: "stun:" + (&fakeServer{}).start(t, "udp", "::1")}})
	if err != nil || got.Mapping != MappingNone || len(got.Views) != 1 || !got.Views[0].As.Addr().Is6() {
		t.Errorf("%+v, %v", got, err)
	}
}
