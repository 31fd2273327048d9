package turn

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/maitred/maitred/pkg/credential"
	"github.com/maitred/maitred/pkg/ingress"
	"github.com/maitred/maitred/pkg/relay"
	"github.com/maitred/maitred/pkg/udpio"
	"github.com/pion/stun"
)

// request is a control request on its way from the packet path to the control loop.
type request struct {
	from    netip.AddrPort
	socket  udpio.Socket   // where a UDP client's request came in
	conn    *conn          // the connection of a stream client; nil over UDP
	session *relay.Session // of a UDP client that has one
	bytes   []byte         // from the server's pool
}

// key tells clients apart: the 5-tuple, and for streams the connection, since a port may be used again at once.
func (r *request) key() clientKey {
	if r.conn != nil {
		return clientKey{r.from, r.conn.id}
	}
	return clientKey{addr: r.from}
}

func (s *Server) client(r *request) relay.Client {
	if r.conn != nil {
		return r.conn
	}
	return s.relay.UDPClient(r.socket, r.from)
}

// handle answers one request and takes its buffer back.
func (s *Server) handle(r *request) {
	defer s.recycle(r)
	q, err := parseQuery(r.bytes)
	if err != nil {
		s.relay.Drop(relay.DropMalformed)
		return
	}
	q.nonce = s.nonces.unbind(q.nonce, r.from.Addr())
	answer := s.serve(r, q)
	if answer == nil {
		return
	}
	answer.edit(stun.AttrNonce, func(nonce []byte) []byte { return s.nonces.bind(nonce, r.from.Addr()) })
	s.metrics.requests.WithLabelValues(methodName(q.method), codeName(answer.code)).Inc()
	s.observe(r, q, answer)
	s.relay.Drop(s.client(r).Write(udpio.Immediate, answer.encode(q)))
}

// serve takes a request through the checks in the order of RFC 8489 section 9.2.4 and RFC 8656; nil means no answer.
func (s *Server) serve(r *request, q *query) *reply {
	var work func(*request, *query) *reply
	switch q.method {
	case stun.MethodAllocate:
		work = s.allocate
	case stun.MethodRefresh:
		work = s.refresh
	case stun.MethodCreatePermission:
		work = s.createPermission
	case stun.MethodChannelBind:
		work = s.channelBind
	default:
		return s.unproven(r, func() *reply { return refuse(stun.CodeBadRequest) })
	}
	q.allocation = s.find(r.key())
	if refused, ok := s.authenticate(r, q); !ok {
		return refused
	}
	answer := s.authenticated(r, q, work)
	if answer != nil && answer.code != stun.CodeStaleNonce {
		answer.key = q.key
	}
	return answer
}

func (s *Server) authenticated(r *request, q *query, work func(*request, *query) *reply) *reply {
	switch unknown := q.unknown(); {
	case len(unknown) > 0:
		return refuse(stun.CodeUnknownAttribute, unknown)
	case q.allocation != nil && q.allocation.username != q.username && q.method != stun.MethodAllocate:
		return refuse(stun.CodeWrongCredentials)
	case q.allocation == nil && q.method != stun.MethodAllocate:
		return refuse(stun.CodeAllocMismatch)
	}
	return work(r, q)
}

// authenticate checks the long-term credential and sets key and user. An allocation vouches for the credential that it was made
// with: it outlives the expiry (only Allocate checks that, as in coturn).
func (s *Server) authenticate(r *request, q *query) (refused *reply, ok bool) {
	switch {
	case !q.signed:
		return s.challenge(r, q), false
	case !q.has(stun.AttrUsername) || !q.has(stun.AttrRealm) || !q.has(stun.AttrNonce):
		return s.unproven(r, func() *reply { return refuse(stun.CodeBadRequest) }), false
	}
	if a := q.allocation; a != nil && a.username == q.username {
		q.key, q.user = a.key, a.user
		if q.signedWith(a.key) {
			return nil, true
		}
		s.refused(r, a.user, credential.ErrWrongPassword)
		return s.challenge(r, q), false
	}
	user, key, err := s.config.Authority.Verify(q.username, time.Now(), q.signedWith)
	if err == nil && q.realm != s.config.Authority.Realm() {
		err = errRealm
	}
	if err != nil {
		s.refused(r, user, err)
		return s.challenge(r, q), false
	}
	if user == "" {
		user = q.username
	}
	q.key, q.user = key, user
	return nil, true
}

var errRealm = errors.New("the request names another realm")

// challenge is a 401 with realm and nonce, the same for every cause, so that it tells a guesser nothing.
func (s *Server) challenge(r *request, q *query) *reply {
	return s.unproven(r, func() *reply {
		return s.unauthorized.get(time.Now(), func() *reply { return s.engineCall(&call{request: q.unsigned()}) })
	})
}

// unauthorized is the engine's latest 401, which serves every client for a while: each gets its nonce bound to its address (nonce.go).
// It belongs to the control loop.
type unauthorized struct {
	answer *reply
	asked  time.Time
}

// unauthorizedAge is short against the hour that the engine takes its nonces for.
const unauthorizedAge = time.Minute

// get returns the 401 for the caller to edit. It asks for another one when the last is too old.
func (u *unauthorized) get(now time.Time, ask func() *reply) *reply {
	if u.answer == nil || now.Sub(u.asked) >= unauthorizedAge {
		answer := ask()
		if answer == nil || answer.code != stun.CodeUnauthorized {
			return answer
		}
		u.answer, u.asked = answer, now
	}
	return &reply{code: u.answer.code, attributes: slices.Clone(u.answer.attributes)}
}

// unproven answers a sender that has not proven its address, or has not come in: only so many times a second for each address.
// Streams are counted apart, since whoever forges UDP packets must not use up the answers of clients that he is not.
func (s *Server) unproven(r *request, answer func() *reply) *reply {
	limiter := s.unprovenUDP
	if r.conn != nil {
		limiter = s.unprovenStream
	}
	if !limiter.allow(r.from.Addr(), time.Now()) {
		s.relay.Drop(relay.DropUnauthorized)
		return nil
	}
	return answer()
}

// refused tells the operator why somebody was not let in.
func (s *Server) refused(r *request, user string, why error) {
	s.authLog.Do(func() {
		s.log.Info("credential refused (repeated lines are left out)", "client", r.from, "user", user, "why", why)
	})
}

// engineCall runs a call and takes its response over; nil when there is none.
func (s *Server) engineCall(c *call) *reply {
	s.engine.do(c)
	if c.gone {
		return refuse(stun.CodeAllocMismatch)
	}
	if c.response == nil {
		s.relay.Drop(relay.DropEngine)
		return nil
	}
	answer, err := engineReply(c.response)
	if err != nil {
		s.log.Error("the TURN engine answered with something that is no response", "error", err)
		s.relay.Drop(relay.DropEngine)
		return nil
	}
	return answer
}

// allocate is RFC 8656 section 7.2.
func (s *Server) allocate(r *request, q *query) *reply {
	if a := q.allocation; a != nil {
		// Another user's too: a NAT has given the port of a client that vanished to the next one.
		if a.transaction != q.id || a.username != q.username {
			return refuse(stun.CodeAllocMismatch)
		}
		return s.finishAllocate(a, s.engineCall(&call{client: a.id, key: q.key, request: q.forEngine(requestedUDP)}))
	}
	want, refused := s.wanted(q)
	if refused != nil {
		return refused
	}
	s.makeRoom(q.user, time.Now())
	a, refused := s.reserve(r, q)
	if refused != nil {
		return refused
	}
	want.Client = s.client(r)
	if r.conn == nil {
		want.Front, want.Near = s.front, r.socket
	}
	var failed error
	c := &call{client: a.id, key: q.key, request: q.forEngine(requestedUDP, lifetimeAttribute(engineLifetime)),
		released: func() { s.ended(a) },
		open: func() (relayed netip.AddrPort, err error) {
			if a.session, a.token, failed = s.relay.Open(want); failed != nil {
				return relayed, failed
			}
			return a.session.Relayed(), nil
		}}
	answer := s.engineCall(c)
	switch {
	case failed != nil:
		s.cancel(a)
		return s.noRelay(r, failed)
	case a.session == nil:
		s.cancel(a)
		return answer
	case !s.admit(r, a):
		return refuse(stun.CodeWrongCredentials)
	}
	s.log.Debug("allocation made", "client", a.client, "user", a.user, "relayed", a.session.Relayed())
	return s.finishAllocate(a, answer)
}

var requestedUDP = stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}

// wanted reads what relayed address the client asks for.
func (s *Server) wanted(q *query) (want relay.Request, refused *reply) {
	transport, ok := q.value(stun.AttrRequestedTransport, 4)
	even, hasEven := q.value(stun.AttrEvenPort, 1)
	token, hasToken := q.value(stun.AttrReservationToken, 8)
	ipv6, familyOK := q.wantsIPv6()
	switch {
	case !ok:
		return want, refuse(stun.CodeBadRequest)
	case transport[0] != 17:
		return want, refuse(stun.CodeUnsupportedTransProto)
	case q.has(stun.AttrEvenPort) != hasEven || q.has(stun.AttrReservationToken) != hasToken:
		return want, refuse(stun.CodeBadRequest)
	case hasToken && (hasEven || q.has(stun.AttrRequestedAddressFamily)):
		return want, refuse(stun.CodeBadRequest)
	case !familyOK || !hasToken && !s.relay.HasFamily(ipv6):
		return want, refuse(stun.CodeAddrFamilyNotSupported)
	}
	want = relay.Request{IPv6: ipv6, Even: hasEven, Reserve: hasEven && even[0]&0x80 != 0}
	if hasToken {
		want.Token = (*[8]byte)(token)
	}
	return want, nil
}

// noRelay says why there is no relayed address: to the client with 508, to the operator in words.
func (s *Server) noRelay(r *request, err error) *reply {
	if !errors.Is(err, relay.ErrNoReservation) {
		s.relayLog.Do(func() {
			s.log.Warn("no relayed address to give (repeated lines are left out)", "client", r.from, "error", ingress.Advise(err))
		})
	}
	return refuse(stun.CodeInsufficientCapacity)
}

// finishAllocate puts into the response what is ours: the client's address, the lifetime, the reservation where there is one.
func (s *Server) finishAllocate(a *allocation, answer *reply) *reply {
	if answer == nil || answer.code != 0 {
		return answer
	}
	answer.replace(stun.AttrXORMappedAddress, relay.XORAddress(a.client, a.transaction[:]))
	answer.replace(stun.AttrLifetime, lifetimeAttribute(a.granted).Value)
	if a.token != ([8]byte{}) {
		answer.replace(stun.AttrReservationToken, a.token[:])
	}
	return answer
}

// refresh is RFC 8656 section 8.2.
func (s *Server) refresh(_ *request, q *query) *reply {
	a, lifetime := q.allocation, q.lifetime()
	if ipv6, ok := q.wantsIPv6(); q.has(stun.AttrRequestedAddressFamily) && (!ok || ipv6 != a.ipv6()) {
		return refuse(stun.CodePeerAddrFamilyMismatch)
	}
	if lifetime == 0 {
		a.reason.CompareAndSwap(nil, &endDeleted)
	}
	answer := s.engineCall(&call{client: a.id, key: q.key, request: q.forEngine(lifetimeAttribute(min(lifetime, 1) * engineLifetime))})
	if answer == nil || answer.code != 0 {
		a.reason.CompareAndSwap(&endDeleted, nil)
		return answer
	}
	a.extend(lifetime)
	answer.replace(stun.AttrLifetime, lifetimeAttribute(lifetime).Value)
	return answer
}

// createPermission is RFC 8656 section 9.2: all peers or none.
func (s *Server) createPermission(_ *request, q *query) *reply {
	a := q.allocation
	peers, ok := q.peers()
	if !ok {
		return refuse(stun.CodeBadRequest)
	}
	reach, refused := s.reachable(a, peers)
	if refused != nil {
		return refused
	}
	attributes := make([]stun.RawAttribute, len(peers))
	for i, p := range peers {
		attributes[i] = peerAttribute(p, q.id)
	}
	answer := s.engineCall(&call{client: a.id, key: q.key, request: q.forEngine(attributes...)})
	if answer != nil && answer.code == 0 {
		for i, p := range peers {
			a.session.Permit(p.Addr(), reach[i], permissionLifetime)
		}
	}
	return answer
}

// channelBind is RFC 8656 section 12.2. Numbers up to 0x7FFF are taken, as RFC 5766 had it.
func (s *Server) channelBind(_ *request, q *query) *reply {
	a := q.allocation
	number, ok := q.value(stun.AttrChannelNumber, 4)
	peers, okPeer := q.peers()
	if !ok || !okPeer || len(peers) != 1 || number[0]>>6 != 1 {
		return refuse(stun.CodeBadRequest)
	}
	reach, refused := s.reachable(a, peers)
	switch n := binary.BigEndian.Uint16(number); {
	case refused != nil:
		return refused
	case !a.session.Bound(n) && a.session.Channels() >= s.config.PeersPerAllocation:
		return refuse(stun.CodeInsufficientCapacity)
	}
	answer := s.engineCall(&call{client: a.id, key: q.key,
		request: q.forEngine(stun.RawAttribute{Type: stun.AttrChannelNumber, Value: number}, peerAttribute(peers[0], q.id))})
	if answer != nil && answer.code == 0 {
		a.session.Bind(binary.BigEndian.Uint16(number), peers[0], reach[0], channelLifetime, permissionLifetime)
	}
	return answer
}

// reachable decides for each peer whether and how far the client may reach it: 443 for the wrong family, 403 where the policy
// says no, 508 when the allocation has as many peers as it may.
func (s *Server) reachable(a *allocation, peers []netip.AddrPort) ([]relay.Reach, *reply) {
	reach := make([]relay.Reach, len(peers))
	added := map[netip.Addr]bool{}
	for i, p := range peers {
		if p.Addr().Is6() != a.ipv6() {
			return nil, refuse(stun.CodePeerAddrFamilyMismatch)
		}
		var ok bool
		if reach[i], ok = s.policy.Load().check(p.Addr()); !ok {
			s.policyLog.Do(func() {
				s.log.Info("peer denied by policy, see turn.allow_peers (repeated lines are left out)", "client", a.client, "user", a.user, "peer", p.Addr())
			})
			return nil, refuse(stun.CodeForbidden)
		}
		if !s.memberMay(a, p.Addr()) {
			return nil, refuse(stun.CodeForbidden)
		}
		if !a.session.Permitted(p.Addr()) {
			added[p.Addr()] = true
		}
	}
	if n := len(added); n > 0 && a.session.Peers()+n > s.config.PeersPerAllocation {
		return nil, refuse(stun.CodeInsufficientCapacity)
	}
	return reach, nil
}

func peerAttribute(p netip.AddrPort, id [stun.TransactionIDSize]byte) stun.RawAttribute {
	return stun.RawAttribute{Type: stun.AttrXORPeerAddress, Value: relay.XORAddress(p, id[:])}
}
