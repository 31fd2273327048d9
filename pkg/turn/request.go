package turn

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/maitred/maitred/pkg/relay"
	"github.com/pion/stun"
)

// Lifetimes of RFC 8656 sections 7.2, 9 and 12. Allocations expire here, not in the engine (see engine.forget), which is always
// asked for the longest lifetime that it grants: less than an hour, since it takes one hour for "not given".
const (
	defaultLifetime    = 10 * time.Minute
	maxLifetime        = 55 * time.Minute
	engineLifetime     = 59 * time.Minute
	permissionLifetime = 5 * time.Minute
	channelLifetime    = 10 * time.Minute
)

// query is a control request as it was understood.
type query struct {
	id      [stun.TransactionIDSize]byte
	method  stun.Method
	message *stun.Message // attributes behind MESSAGE-INTEGRITY are cut off: they are not protected (RFC 8489 section 14.5)

	signed                 bool // has a MESSAGE-INTEGRITY
	username, realm, nonce string

	key        []byte      // set by authenticate
	user       string      // set by authenticate: the id inside the username, what quotas are counted by
	allocation *allocation // set by authenticate: the client's present one
}

var errFingerprint = errors.New("the FINGERPRINT does not belong to the message")

// parseQuery reads a request that the packet path has found well-formed.
func parseQuery(b []byte) (*query, error) {
	m := &stun.Message{Raw: b}
	if err := m.Decode(); err != nil {
		return nil, err
	}
	if n := len(m.Attributes); n > 0 && m.Attributes[n-1].Type == stun.AttrFingerprint && stun.Fingerprint.Check(m) != nil {
		return nil, errFingerprint
	}
	q := &query{id: m.TransactionID, method: m.Type.Method, message: m}
	for i, a := range m.Attributes {
		if a.Type == stun.AttrMessageIntegrity {
			q.signed = len(a.Value) == 20
			m.Attributes, m.Length = m.Attributes[:i+1], lengthUntil(m.Attributes[:i+1])
			break
		}
	}
	q.username, q.realm, q.nonce = q.text(stun.AttrUsername), q.text(stun.AttrRealm), q.text(stun.AttrNonce)
	return q, nil
}

// isSigned tells whether a request that the packet path has found well-formed has a MESSAGE-INTEGRITY.
func isSigned(b []byte) bool {
	const header, attribute = 20, 4
	for b = b[header:]; len(b) >= attribute; {
		if stun.AttrType(binary.BigEndian.Uint16(b)) == stun.AttrMessageIntegrity {
			return true
		}
		b = b[min(len(b), attribute+(int(binary.BigEndian.Uint16(b[2:]))+3)&^3):]
	}
	return false
}

// lengthUntil is the length field of a message that ends with these attributes.
func lengthUntil(attributes stun.Attributes) (n uint32) {
	for _, a := range attributes {
		n += 4 + (uint32(a.Length)+3)&^3
	}
	return n
}

// signedWith checks the MESSAGE-INTEGRITY, in constant time.
func (q *query) signedWith(key []byte) bool {
	return stun.MessageIntegrity(key).Check(q.message) == nil
}

// understood are the comprehension-required attributes that have a meaning here. DONT-FRAGMENT is not among them: a server that
// cannot set the bit treats it as unknown (RFC 8656 section 7.2).
var understood = map[stun.AttrType]bool{
	stun.AttrUsername: true, stun.AttrMessageIntegrity: true, stun.AttrRealm: true, stun.AttrNonce: true,
	stun.AttrLifetime: true, stun.AttrRequestedTransport: true, stun.AttrRequestedAddressFamily: true, stun.AttrEvenPort: true,
	stun.AttrReservationToken: true, stun.AttrXORPeerAddress: true, stun.AttrChannelNumber: true,
}

// unknown lists the attributes that must be understood and are not (RFC 8489 section 6.3.1).
func (q *query) unknown() (types stun.UnknownAttributes) {
	for _, a := range q.message.Attributes {
		if a.Type < 0x8000 && !understood[a.Type] {
			types = append(types, a.Type)
		}
	}
	return types
}

// text returns the first attribute of that type (RFC 8489 section 14), "" when there is none.
func (q *query) text(t stun.AttrType) string {
	v, err := q.message.Get(t)
	if err != nil {
		return ""
	}
	return string(v)
}

func (q *query) has(t stun.AttrType) bool { return q.message.Contains(t) }

// value returns the attribute when it is there and size bytes long.
func (q *query) value(t stun.AttrType, size int) ([]byte, bool) {
	v, err := q.message.Get(t)
	return v, err == nil && len(v) == size
}

// lifetime is what the client gets (RFC 8656 sections 7.2 and 8.2): what it asks for between the default and the maximum; zero
// stays zero.
func (q *query) lifetime() time.Duration {
	v, ok := q.value(stun.AttrLifetime, 4)
	if !ok {
		return defaultLifetime
	}
	want := time.Duration(binary.BigEndian.Uint32(v)) * time.Second
	if want == 0 {
		return 0
	}
	return min(max(want, defaultLifetime), maxLifetime)
}

// peers reads every XOR-PEER-ADDRESS; false when there is none or one is malformed.
func (q *query) peers() (peers []netip.AddrPort, ok bool) {
	for _, a := range q.message.Attributes {
		if a.Type != stun.AttrXORPeerAddress {
			continue
		}
		p, ok := relay.ParseXORAddress(a.Value, q.id[:])
		if !ok {
			return nil, false
		}
		peers = append(peers, p)
	}
	return peers, len(peers) > 0
}

// wantsIPv6 reads REQUESTED-ADDRESS-FAMILY (RFC 8656 section 18.8); false when its value is neither family.
func (q *query) wantsIPv6() (ipv6, ok bool) {
	if !q.has(stun.AttrRequestedAddressFamily) {
		return false, true
	}
	v, ok := q.value(stun.AttrRequestedAddressFamily, 4)
	return ok && v[0] == 2, ok && (v[0] == 1 || v[0] == 2)
}

// forEngine rebuilds the request with nothing in it but what the engine needs, and signs it.
func (q *query) forEngine(attributes ...stun.RawAttribute) []byte {
	m := &stun.Message{TransactionID: q.id, Type: stun.NewType(q.method, stun.ClassRequest)}
	m.WriteHeader()
	for _, a := range attributes {
		m.Add(a.Type, a.Value)
	}
	m.Add(stun.AttrUsername, []byte(q.username))
	m.Add(stun.AttrRealm, []byte(q.realm))
	m.Add(stun.AttrNonce, []byte(q.nonce))
	mustSign(m, q.key)
	return m.Raw
}

// unsigned is a request that makes the engine answer with a fresh nonce.
func (q *query) unsigned() []byte {
	m := &stun.Message{TransactionID: q.id, Type: stun.NewType(stun.MethodAllocate, stun.ClassRequest)}
	m.WriteHeader()
	return m.Raw
}

func mustSign(m *stun.Message, key []byte) {
	if err := stun.MessageIntegrity(key).AddTo(m); err != nil {
		panic(err) // only behind a FINGERPRINT, which is always added last
	}
}

func lifetimeAttribute(d time.Duration) stun.RawAttribute {
	v := make([]byte, 4)
	binary.BigEndian.PutUint32(v, uint32(d/time.Second))
	return stun.RawAttribute{Type: stun.AttrLifetime, Value: v}
}
