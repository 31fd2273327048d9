package turn

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun"
)

// FuzzRequest takes whatever passes for a STUN request through the checks and the engine of a server that nobody can log in to.
func FuzzRequest(f *testing.F) {
	c := &client{username: "1:u", key: []byte("k"), realm: "maitred", nonce: "n"}
	for _, method := range []stun.Method{stun.MethodAllocate, stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind, stun.MethodConnect} {
		f.Add(c.build(method, nil, overUDP).Raw)
		f.Add(c.build(method, c.key, overUDP, channelNumber(0x4000), peer(netip.MustParseAddrPort("192.0.2.1:1")), lifetimeAttribute(time.Hour), attr(0x17, 2, 0, 0, 0)).Raw)
	}
	f.Add([]byte{0, 3, 0, 4, 0x21, 0x12, 0xA4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := parseQuery(append([]byte(nil), b...))
		if err != nil {
			return
		}
		if q.signed && !isSigned(b) {
			t.Error("a signed request passes for an unsigned one")
		}
		q.key = []byte("key")
		q.unknown()
		q.peers()
		q.wantsIPv6()
		if l := q.lifetime(); l != 0 && (l < defaultLifetime || l > maxLifetime) {
			t.Errorf("lifetime %v", l)
		}
		if q.signed && q.signedWith(q.key) {
			t.Fatal("an HMAC was guessed")
		}
		m := &stun.Message{Raw: q.forEngine(requestedUDP)}
		if err := m.Decode(); err != nil || !m.Contains(stun.AttrMessageIntegrity) {
			t.Errorf("the engine would get %x: %v", m.Raw, err)
		}
		refuse(stun.CodeBadRequest).encode(q)
	})
}
