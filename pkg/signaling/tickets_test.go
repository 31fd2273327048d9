package signaling

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/maitred/maitred/pkg/token"
)

// mint makes join tokens with a key of its own.
type mint struct {
	t    testing.TB
	keys *token.Keys
}

func newMint(t testing.TB) *mint {
	t.Helper()
	line, err := token.Generate(token.HS256, "test")
	if err != nil {
		t.Fatal(err)
	}
	return newMintOf(t, line)
}

func newMintOf(t testing.TB, lines ...string) *mint {
	t.Helper()
	keys, err := token.ParseKeys(lines)
	if err != nil {
		t.Fatal(err)
	}
	return &mint{t, keys}
}

// token makes a token that is good for an hour if nothing else is said.
func (m *mint) token(c token.Claims) string { return m.tokenAt(c, time.Now()) }

func (m *mint) tokenAt(c token.Claims, now time.Time) string {
	m.t.Helper()
	if c.Expires.IsZero() {
		c.Expires = now.Add(time.Hour)
	}
	raw, err := m.keys.Mint(c, now)
	if err != nil {
		m.t.Fatal(err)
	}
	return raw
}

func TestTokenSaysWhoOneIs(t *testing.T) {
	m := newMint(t)
	s := newServer(t, Options{Tokens: m.keys, TokensOnly: true})
	for _, tt := range []struct {
		claims token.Claims
		want   Member
	}{
		{token.Claims{Role: token.RoleModerator, Name: "Ann of the Token"}, Member{Name: "Ann of the Token", Role: RoleModerator}},
		{token.Claims{Role: token.RoleMember}, Member{Name: "given", Role: RoleMember}},
		{token.Claims{}, Member{Name: "given", Role: RoleMember}},
	} {
		tt.claims.Room = "r"
		got := s.dial().join(&Join{Room: "r", Name: "given", Token: m.token(tt.claims)}).self.Self
		if got.Name != tt.want.Name || got.Role != tt.want.Role {
			t.Errorf("%+v joined as %+v", tt.claims, got)
		}
	}
}

// TestRefusedTokens shows that whatever is wrong with a token, the answer says nothing of it, nor of the room.
func TestRefusedTokens(t *testing.T) {
	m, stranger := newMint(t), newMint(t)
	hour := time.Hour
	good := m.token(token.Claims{Room: "full"})
	parts := strings.Split(good, ".")
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT","kid":"test"}`)) + "." + parts[1] + "."
	kicked := m.token(token.Claims{Room: "full", ID: "kicked"})
	tokens := map[string]string{
		"wrong key":                stranger.token(token.Claims{Room: "full"}),
		"alg none":                 unsigned,
		"alg none, signed":         unsigned + parts[2],
		"no signature":             parts[0] + "." + parts[1] + ".",
		"other claims":             parts[0] + "." + strings.Split(m.token(token.Claims{Room: "empty"}), ".")[1] + "." + parts[2],
		"expired":                  m.tokenAt(token.Claims{Room: "full"}, time.Now().Add(-hour-time.Second)),
		"not yet":                  m.token(token.Claims{Room: "full", NotBefore: time.Now().Add(hour), Expires: time.Now().Add(2 * hour)}),
		"for another room":         m.token(token.Claims{Room: "elsewhere"}),
		"for one in another case":  m.token(token.Claims{Room: "Full"}),
		"no token at all":          "sesame",
		"long":                     strings.Repeat("x", MaxTokenLength),
		"name that shows nothing":  m.token(token.Claims{Room: "full", Name: "\u202e"}),
		"of one that was kicked":   kicked,
		"for a moderator, expired": m.tokenAt(token.Claims{Room: "full", Role: token.RoleModerator}, time.Now().Add(-2*hour)),
	}
	servers := map[string]*server{}
	for name, opts := range map[string]Options{"open": {Tokens: m.keys}, "tokens only": {Tokens: m.keys, TokensOnly: true}} {
		opts.FailedTokensPerIP, opts.ConnectionsPerIP, opts.MaxMembers, opts.MaxRooms = -1, -1, 2, 1
		s := newServer(t, opts)
		moderator := s.dial().join(&Join{Room: "full", Name: "n", Token: m.token(token.Claims{Room: "full", Role: token.RoleModerator})})
		victim := s.dial().join(&Join{Room: "full", Name: "n", Token: kicked})
		moderator.send(&Kick{Member: victim.id()})
		victim.expectClose(CloseKicked)
		for _, msg := range []ClientMessage{&Lock{Locked: true}, &Limit{MaxMembers: 1}, &Password{Password: "p"}} {
			moderator.send(msg)
		}
		expect[*MemberJoined](moderator)
		expect[*MemberLeft](moderator)
		for range 3 {
			expect[*RoomChanged](moderator)
		}
		servers[name] = s
	}
	var want string
	refuse := func(s *server, room, raw string) {
		t.Helper()
		p := s.dial()
		p.send(&Join{Room: room, Name: "n", Token: raw})
		got, err := p.readRaw()
		if err != nil {
			t.Fatal(err)
		}
		if want == "" {
			want = string(got)
			if msg, err := DecodeServer(got); err != nil || !same(msg, &Error{Code: CodeUnauthorized, Request: "join"}) {
				t.Errorf("refused with %s", got)
			}
		}
		if string(got) != want {
			t.Errorf("refused with %s, others with %s", got, want)
		}
		p.expectClose(CloseUnauthorized)
	}
	for mode, s := range servers {
		for name, raw := range tokens {
			t.Run(mode+" "+name, func(t *testing.T) {
				refuse(s, "full", raw)
				if name != "of one that was kicked" && !strings.Contains(name, "room") && !strings.Contains(name, "case") {
					refuse(s, "nonexistent", raw)
				}
			})
		}
	}
	noKeys := newServer(t, Options{FailedTokensPerIP: -1})
	t.Run("no keys", func(t *testing.T) { refuse(noKeys, "full", good) })
	t.Run("without a token", func(t *testing.T) {
		var answers []string
		for _, room := range []string{"full", "nonexistent"} {
			p := servers["tokens only"].dial()
			p.send(&Join{Room: room, Name: "n", Password: "p"})
			raw, err := p.readRaw()
			if err != nil {
				t.Fatal(err)
			}
			answers = append(answers, string(raw))
			p.expectClose(CloseUnauthorized)
		}
		if answers[0] != answers[1] {
			t.Errorf("a room that is there answers %s, one that is not %s", answers[0], answers[1])
		}
	})
}

func TestTokenKeysAreReplaced(t *testing.T) {
	old, fresh := newMint(t), newMint(t)
	s := newServer(t, Options{Tokens: old.keys})
	claims := token.Claims{Room: "r"}
	s.dial().join(&Join{Room: "r", Name: "n", Token: old.token(claims)})
	s.hub.SetTokenKeys(fresh.keys)
	s.dial().join(&Join{Room: "r", Name: "n", Token: fresh.token(claims)})
	p := s.dial()
	p.send(&Join{Room: "r", Name: "n", Token: old.token(claims)})
	p.expectError(CodeUnauthorized, "join")
}

func TestMaxUses(t *testing.T) {
	m := newMint(t)
	s := newServer(t, Options{Tokens: m.keys, Resume: time.Minute, MaxMembers: 3, FailedTokensPerIP: -1})
	ann := s.join("r", "Ann")
	raw := m.token(token.Claims{Room: "r", ID: "invite", MaxUses: 2})
	try := func(p *peer) { p.send(&Join{Room: "r", Name: "n", Token: raw}) }

	// Nothing that is refused is a use.
	ann.send(&Lock{Locked: true})
	expect[*RoomChanged](ann)
	for range 3 {
		p := s.dial()
		try(p)
		p.expectError(CodeRoomLocked, "join")
	}
	ann.send(&Limit{MaxMembers: 1})
	expect[*RoomChanged](ann)
	for range 3 {
		p := s.dial()
		try(p)
		p.expectError(CodeRoomFull, "join")
	}
	for _, msg := range []ClientMessage{&Limit{}, &Lock{}} {
		ann.send(msg)
		expect[*RoomChanged](ann)
	}

	first := s.dial()
	try(first)
	expect[*Joined](first)
	for range 3 { // nor is taking a seat back
		first.cut()
		s.waitAway(first)
		first = s.dial().join(&Join{Room: "r", Name: "n", Token: raw, Resume: first.self.Resume})
		if !first.self.Resumed {
			t.Fatal("not resumed")
		}
	}
	second := s.dial()
	try(second)
	expect[*Joined](second)
	leave(second)
	third := s.dial()
	try(third)
	third.expectError(CodeUnauthorized, "join")
	third.expectClose(CloseUnauthorized)
}

// TestMaxUsesAtOnce has many come with one token at the same moment.
func TestMaxUsesAtOnce(t *testing.T) {
	const people, uses = 24, 7
	m := newMint(t)
	s := newServer(t, Options{Tokens: m.keys, TokensOnly: true, MaxMembers: people, FailedTokensPerIP: -1})
	raw := m.token(token.Claims{Room: "r", MaxUses: uses})
	var crowd sync.WaitGroup
	joined := make(chan bool, people)
	for range people {
		p := s.dial()
		crowd.Go(func() {
			p.send(&Join{Room: "r", Name: "n", Token: raw})
			m, err := p.read()
			if err != nil {
				t.Error(err)
			}
			_, ok := m.(*Joined)
			joined <- ok
		})
	}
	crowd.Wait()
	in := 0
	for range people {
		if <-joined {
			in++
		}
	}
	if in != uses {
		t.Errorf("%d came in, want %d", in, uses)
	}
}

func TestKickedTokenStaysOut(t *testing.T) {
	line, err := token.Generate(token.ES256, "es")
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]*mint{"HS256": newMint(t), "ES256": newMintOf(t, line)} {
		for _, jti := range []string{"", "with a jti"} {
			t.Run(name+" "+jti, func(t *testing.T) {
				book := newLedger(t)
				s := newServer(t, Options{Tokens: m.keys, ICE: book, Releaser: book})
				ann := s.join("r", "Ann")
				raw := m.token(token.Claims{Room: "r", ID: jti, Role: token.RoleModerator})
				bob := s.dial().join(&Join{Room: "r", Name: "Bob", Token: raw})
				claims, err := s.hub.CheckToken(netip.MustParseAddr("192.0.2.1"), raw)
				if err != nil {
					t.Error(err)
				}
				ann.send(&Kick{Member: bob.id()})
				bob.expectClose(CloseKicked)
				if before, ok := book.revoked[claims.ID]; !ok || before != 0 || len(book.revoked) != 1 {
					t.Errorf("revoked %v, want %q before its holder was released", book.revoked, claims.ID)
				}
				for _, resume := range []string{"", "nonsense"} {
					again := s.dial()
					again.send(&Join{Room: "r", Name: "Bob", Token: raw, Resume: resume})
					again.expectError(CodeUnauthorized, "join")
					again.expectClose(CloseUnauthorized)
				}
				if c, err := s.hub.CheckToken(netip.MustParseAddr("192.0.2.1"), raw); err == nil {
					t.Errorf("the token of one that was kicked is good for %+v", c)
				}
				leave(s.dial().join(&Join{Room: "r", Name: "Bob", Token: m.token(token.Claims{Room: "r"})})) // another one is
				if len(book.revoked) != 1 {
					t.Errorf("the token of one who left was revoked: %v", book.revoked)
				}
			})
		}
	}
}

func TestFailedTokensPerIP(t *testing.T) {
	m := newMint(t)
	s := newServer(t, Options{Tokens: m.keys, FailedTokensPerIP: 2, ClientIP: headerIP})
	good := &Join{Room: "r", Name: "n", Token: m.token(token.Claims{Room: "r"})}
	for range 4 { // a good one uses nothing up
		s.dialFrom("192.0.2.1").join(good)
	}
	for range 2 {
		p := s.dialFrom("192.0.2.1")
		p.send(&Join{Room: "r", Name: "n", Token: "nonsense"})
		p.expectError(CodeUnauthorized, "join")
		p.expectClose(CloseUnauthorized)
	}
	p := s.dialFrom("192.0.2.1")
	p.send(good)
	p.expectError(CodeRateLimited, "join")
	p.expectClose(websocket.StatusTryAgainLater)
	s.dialFrom("192.0.2.2").join(good)
	s.dialFrom("192.0.2.1").join(&Join{Room: "r", Name: "n"}) // without a token
}

// TestGoodOnesAtOnce has many of one address show what is good at the same moment: none is mistaken for a guess.
func TestGoodOnesAtOnce(t *testing.T) {
	const people = 50
	a := newAddresses(addressLimits{failedPasswords: 1, failedTokens: 1})
	ip := netip.MustParseAddr("192.0.2.1")
	for name, may := range map[string]func() bool{"password": func() bool { return a.mayTryPassword(ip) }, "token": func() bool { return a.mayTryToken(ip) }} {
		for range people { // all have been let try, and none has been judged
			if !may() {
				t.Errorf("%s: one had to wait for another", name)
			}
		}
	}
	a.failedToken(ip)
	if a.mayTryToken(ip) || !a.mayTryPassword(ip) {
		t.Error("a token that failed does not count as one")
	}
	a.failedPassword(ip)
	if a.mayTryPassword(ip) {
		t.Error("a wrong password does not count")
	}
}

func TestTicketsAreBounded(t *testing.T) {
	const limit = 10
	ts := newTickets(limit)
	now := time.Now()
	ticketOf := func(id string, maxUses int, lasts time.Duration) *ticket {
		return &ticket{ID: id, MaxUses: maxUses, Expires: now.Add(lasts)}
	}
	use := func(want error, k *ticket) {
		t.Helper()
		if err := ts.use(k); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", k.ID, err, want)
		}
	}
	for i := range 1000 { // of those that may be used at will nothing is kept
		use(nil, ticketOf(fmt.Sprint("any", i), 0, time.Hour))
	}
	use(nil, nil)
	for i := range limit {
		use(nil, ticketOf(fmt.Sprint(i), 2, time.Hour))
	}
	use(errTokensFull, ticketOf("one more", 2, time.Hour))
	use(nil, ticketOf("3", 2, time.Hour)) // one that is known
	use(errTokenUsed, ticketOf("3", 2, time.Hour))
	use(nil, ticketOf("any", 0, time.Hour))

	// Bans come in all the same, and drive no other ban out while there is anything else.
	var bans []*ticket
	for i := range limit {
		bans = append(bans, ticketOf(fmt.Sprint("ban", i), 0, time.Duration(limit-i)*time.Minute))
		ts.ban(bans[i])
	}
	for _, b := range bans {
		use(errBadToken, b)
	}
	ts.ban(ticketOf("the last", 0, time.Hour))
	use(nil, bans[limit-1]) // it would have ended first
	use(errBadToken, bans[0])
	if n := len(ts.known); n != limit {
		t.Errorf("%d tokens are known, want %d", n, limit)
	}
	ts.ban(nil)
}

func TestBansAreSwept(t *testing.T) {
	var b banned
	for i := range 100 {
		b.add(fmt.Sprint("old", i), time.Second)
		b.until[fmt.Sprint("old", i)] = time.Now().Add(-time.Second)
	}
	b.sweepAt = time.Time{}
	b.add("new", time.Second)
	if len(b.until) != 1 || !b.has("new") || b.has("old99") {
		t.Errorf("banned: %v", b.until)
	}
}

func TestTicketsAreSwept(t *testing.T) {
	ts := newTickets(2)
	now := time.Now()
	once := func(id string, lasts time.Duration) *ticket {
		return &ticket{ID: id, MaxUses: 1, Expires: now.Add(lasts)}
	}
	ts.ban(once("kicked", -time.Second))
	for _, k := range []*ticket{once("a", -time.Second), once("b", time.Hour)} { // the first makes it full, the second finds room
		if err := ts.use(k); err != nil {
			t.Fatal(err)
		}
	}
	if len(ts.known) != 1 || ts.known["b"] == nil {
		t.Errorf("known: %v", ts.known)
	}
	ts.sweep()
	if err := ts.use(once("b", time.Hour)); !errors.Is(err, errTokenUsed) {
		t.Errorf("a use was forgotten before its token had expired: %v", err)
	}
	// A later token with the same jti keeps what is known of it.
	ts.ban(once("again", -time.Second))
	ts.ban(once("again", time.Hour))
	ts.sweep()
	if !ts.banned(once("again", time.Hour)) {
		t.Error("a ban was forgotten with the older of two tokens")
	}
}

// TestTicketsOfTheHub fills the hub's own memory of tokens.
func TestTicketsOfTheHub(t *testing.T) {
	m := newMint(t)
	s := newServer(t, Options{Tokens: m.keys, RememberedTokens: 1})
	join := func(claims token.Claims) *peer {
		claims.Room = "r"
		p := s.dial()
		p.send(&Join{Room: "r", Name: "n", Token: m.token(claims)})
		return p
	}
	ann := join(token.Claims{MaxUses: 1})
	expect[*Joined](ann)
	refused := join(token.Claims{MaxUses: 1})
	refused.expectError(CodeRateLimited, "join")
	bob := join(token.Claims{})
	expect[*Joined](bob)
	expect[*MemberJoined](ann)
	if !s.hub.Kick("r", bob.id(), "") {
		t.Fatal("not kicked")
	}
	bob.expectClose(CloseKicked)
}
