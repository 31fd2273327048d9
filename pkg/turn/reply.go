package turn

import (
	"github.com/maitred/maitred/pkg/relay"
	"github.com/pion/stun"
)

// reply is a response before it is written down.
type reply struct {
	code       stun.ErrorCode // 0: success
	attributes []stun.RawAttribute
	key        []byte // nil: not signed
}

// refuse is an error response. Its reason phrase is the standard's.
func refuse(code stun.ErrorCode, attributes ...stun.Setter) *reply {
	m := new(stun.Message)
	m.WriteHeader()
	for _, a := range append([]stun.Setter{code}, attributes...) {
		if err := a.AddTo(m); err != nil {
			panic(err) // a code without a reason phrase, or an attribute that is too long: constants of this package
		}
	}
	return &reply{code: code, attributes: m.Attributes}
}

// engineReply takes the engine's response over: all of it but what encode adds itself.
func engineReply(b []byte) (*reply, error) {
	m := &stun.Message{Raw: b}
	if err := m.Decode(); err != nil {
		return nil, err
	}
	r := &reply{}
	if m.Type.Class == stun.ClassErrorResponse {
		var code stun.ErrorCodeAttribute
		if err := code.GetFrom(m); err != nil {
			return nil, err
		}
		r = refuse(code.Code)
	}
	for _, a := range m.Attributes {
		switch a.Type {
		case stun.AttrErrorCode, stun.AttrMessageIntegrity, stun.AttrFingerprint, stun.AttrSoftware:
		default:
			r.attributes = append(r.attributes, a)
		}
	}
	return r, nil
}

// edit changes the value of the attribute of that type, and tells whether there is one.
func (r *reply) edit(t stun.AttrType, f func(value []byte) []byte) bool {
	for i := range r.attributes {
		if r.attributes[i].Type == t {
			r.attributes[i].Value = f(r.attributes[i].Value)
			return true
		}
	}
	return false
}

// replace sets the value of the attribute of that type.
func (r *reply) replace(t stun.AttrType, value []byte) {
	if r.edit(t, func([]byte) []byte { return value }) {
		return
	}
	r.attributes = append(r.attributes, stun.RawAttribute{Type: t, Value: value})
}

// encode writes the response to q with SOFTWARE, MESSAGE-INTEGRITY where the request was authenticated, and FINGERPRINT
// (RFC 8489 sections 9.2.4, 14.5, 14.7 and 14.14).
func (r *reply) encode(q *query) []byte {
	class := stun.ClassSuccessResponse
	if r.code != 0 {
		class = stun.ClassErrorResponse
	}
	m := &stun.Message{TransactionID: q.id, Type: stun.NewType(q.method, class)}
	m.WriteHeader()
	for _, a := range r.attributes {
		m.Add(a.Type, a.Value)
	}
	m.Add(stun.AttrSoftware, []byte(relay.Software))
	if r.key != nil {
		mustSign(m, r.key)
	}
	if err := stun.Fingerprint.AddTo(m); err != nil {
		panic(err) // never: it only computes
	}
	return m.Raw
}
