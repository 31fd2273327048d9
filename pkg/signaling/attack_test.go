package signaling

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/maitred/maitred/pkg/token"
)

// manyFields is a message of a known type with as many more fields as fit into so many bytes.
func manyFields(typ string, size int) []byte {
	b := []byte(`{"type":"` + typ + `"`)
	for i := 0; len(b) < size-16; i++ {
		b = fmt.Appendf(b, `,"%d":1`, i)
	}
	return append(b, '}')
}

// TestFieldsAreBounded has messages that the server refuses, with the connection as it was: the next message is answered.
func TestFieldsAreBounded(t *testing.T) {
	atMost := `{"type":"ice"` + strings.Repeat(`,"a":1`, maxFields-1) + `}`
	tooLarge := strings.Repeat(`"x",`, maxCommand/4)
	s := newServer(t, Options{})
	for _, tt := range []struct{ name, raw, request, text string }{
		{"as many as may be", atMost, "ice", `"a"`},
		{"one more", strings.Replace(atMost, "}", `,"b":1}`, 1), "", "16 fields"},
		{"thousands", string(manyFields("ice", maxRelayed)), "", "16 fields"},
		{"thousands, and no type", string(manyFields("", maxRelayed)[len(`{"type":"",`):]), "", ""},
		{"unknown", `{"type":"ice","a":1}`, "ice", `"a"`},
		{"twice", `{"type":"broadcast","data":1,"data":2}`, "broadcast", `twice: "data"`},
		{"twice the same", `{"type":"broadcast","data":1,"data":1}`, "broadcast", `twice: "data"`},
		{"twice, once escaped", `{"type":"broadcast","data":1,"\u0064ata":2}`, "broadcast", `twice: "data"`},
		{"type twice", `{"type":"ice","type":"leave"}`, "ice", `twice: "type"`},
		{"optional one twice", `{"type":"join","room":"r","name":"n","token":"a","token":"b"}`, "join", `twice: "token"`},
		{"longer than its type may be", `{"type":"ice","a":[` + tooLarge + `1]}`, "ice", "2048 bytes"},
		{"longer, the type behind", `{"a":[` + tooLarge + `1],"type":"ice"}`, "ice", "2048 bytes"},
		{"longer, and no JSON", `{"type":"ice","a":[` + tooLarge + `wrong]}`, "ice", "2048 bytes"},
		{"longer, too long a string", `{"type":"kick","member":"` + strings.Repeat(`\u0041`, maxCommand/6) + `"}`, "kick", "2048 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.raw[0] != '{' {
				tt.raw, tt.text = "{"+tt.raw, "16 fields"
			}
			p := s.join("r", "n")
			p.t = t
			p.write(websocket.MessageText, []byte(tt.raw))
			e := expect[*Error](p)
			if e.Code != CodeBadMessage || e.Request != tt.request || !strings.Contains(e.Message, tt.text) {
				t.Errorf("%+v, want request %q and %q", e, tt.request, tt.text)
			}
			quiet(p)
			leave(p)
		})
	}
}

// TestNoJSONIsFatal has what a scan for brackets and strings takes for an object, and a decoder does not.
func TestNoJSONIsFatal(t *testing.T) {
	for _, raw := range []string{
		`{"type":"ice" "a":1}`, `{"type":"ice",}`, `{"type":"ice","a":tru}`, `{"type":"broadcast","data":[}`, `{"type":"broadcast","data":{"a" 1}}`,
		`{"type":"broadcast","data":"` + "\n" + `"}`, `{"type":"broadcast","data":01}`, `{"type":"broadcast","data":"\x"}`, `{"type":"broadcast","data":1:2}`,
	} {
		m, request, err := decodeClient([]byte(raw))
		if answer, code := wireError(err, request); err == nil || answer.Code != CodeBadMessage || code != CloseBadMessage {
			t.Errorf("%s: %+v, %v", raw, m, err)
		}
	}
}

func TestEscapesInNames(t *testing.T) {
	for _, tt := range []struct {
		raw  string
		want ClientMessage
	}{
		{`{"\u0074ype":"\u0069ce"}`, &ICE{}},
		{`{"t\u0079pe":"join","r\u006fom":"\u0072","n\u0061me":"A\"\\\/\u00e4\ud83e\udda6"}`, &Join{Room: "r", Name: `A"\/ä🦦`}},
		{`{"type":"kick","member":"\"},{\"","reason":"\u007b}\\"}`, &Kick{Member: `"},{"`, Reason: `{}\`}},
		{`{"type":"password","password":"\\\""}`, &Password{Password: `\"`}},
		{`{"type":"signal","t\u006f":"m","d\u0061ta":{"\u0061":"\u0062]}\\"}}`, &Signal{To: "m", Data: json.RawMessage(`{"\u0061":"\u0062]}\\"}`)}},
	} {
		if m, _, err := decodeClient([]byte(tt.raw)); err != nil || !reflect.DeepEqual(m, tt.want) {
			t.Errorf("%s: %+v, %v", tt.raw, m, err)
		}
	}
}

// refusedAtOnce are messages that the server must not decode to find out that it does not take them.
func refusedAtOnce() map[string][]byte {
	return map[string][]byte{
		"ice of 72 KiB with thousands of fields": manyFields("ice", maxRelayed),
		"ice of 72 KiB with thousands of values": []byte(`{"type":"ice","a":[` + strings.Repeat(`"x",`, (maxRelayed-32)/4) + `1]}`),
		"ice of 72 KiB in one string":            []byte(`{"type":"ice","a":"` + strings.Repeat(`x`, maxRelayed-32) + `"}`),
	}
}

// TestRefusedMessagesAreNotDecoded counts what it allocates to refuse one: names and values of the fields that there may be, and the error.
func TestRefusedMessagesAreNotDecoded(t *testing.T) {
	for name, raw := range refusedAtOnce() {
		var err error
		allocs := testing.AllocsPerRun(10, func() { _, _, err = decodeClient(raw) })
		if err == nil || allocs > 4*maxFields {
			t.Errorf("%s: %v after %v allocations", name, err, allocs)
		}
	}
}

// BenchmarkDecode is what a message costs before anything is done with it, taken or refused.
func BenchmarkDecode(b *testing.B) {
	signal := func(size int) []byte {
		raw := []byte(`{"type":"signal","to":"5VKJ2BHXSEAUXDXA2EIC2MZMNJ","data":{"description":{"type":"offer","sdp":"`)
		return append(append(raw, bytes.Repeat([]byte(`a=x\r\n`), (size-len(raw))/7)...), `"}}}`...)
	}
	messages := refusedAtOnce()
	messages["signal of 300 B"], messages["signal of 3 kB"] = signal(300), signal(3000)
	for name, raw := range messages {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := decodeClient(raw); (err == nil) != strings.Contains(string(raw[:20]), "signal") {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestCostOfMessages takes messages of several sizes out of a bucket.
func TestCostOfMessages(t *testing.T) {
	for _, tt := range []struct{ size, bucket, cost int }{
		{0, 40, 1}, {1, 40, 1}, {costUnit - 1, 40, 1}, {costUnit, 40, 2}, {2*costUnit - 1, 40, 2}, {2 * costUnit, 40, 3}, {maxRelayed, 40, 19},
		{maxRelayed, 19, 19}, {maxRelayed, 18, 18}, {maxRelayed, 1, 1}, {1 << 30, 40, 40}, // as much as there is at most
	} {
		l := rate.NewLimiter(rate.Every(time.Hour), tt.bucket)
		if !allow(l, time.Now(), tt.size) {
			t.Errorf("%d bytes do not fit into a bucket of %d", tt.size, tt.bucket)
			continue
		}
		left := 0
		for allow(l, time.Now(), 0) {
			left++
		}
		if got := tt.bucket - left; got != tt.cost {
			t.Errorf("%d bytes cost %d of %d, want %d", tt.size, got, tt.bucket, tt.cost)
		}
		if allow(l, time.Now(), tt.size) {
			t.Errorf("%d bytes fit into an empty bucket of %d", tt.size, tt.bucket)
		}
	}
	if !allow(forMessages(-1), time.Now(), math.MaxInt) {
		t.Error("refused where there is no limit")
	}
}

// TestLargeMessagesCountMore floods with the largest messages, on the connection's bucket and on the address's.
func TestLargeMessagesCountMore(t *testing.T) {
	const perSecond, messages = 200, 60
	flood := bytes.Repeat(frame(fin|opText, []byte(`{"type":"broadcast","data":"`+strings.Repeat("x", MaxDataSize-2)+`"}`)), messages)
	const cost = 1 + MaxDataSize/costUnit
	for name, opts := range map[string]Options{
		"of a connection": {MessagesPerSecond: perSecond},
		"of an address":   {MessagesPerSecond: -1, MessagesPerIP: perSecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits more than it works
			s := newServer(t, opts)
			began := time.Now()
			p := s.joinRaw("r")
			p.write(flood)
			s.wait("all to be seen", func() bool { return s.count("broadcast")+s.count(typeDropped) == messages })
			if got, least, most := s.count("broadcast"), (2*perSecond-1)/cost, atMost(perSecond, began)/cost; got < least || got > most {
				t.Errorf("%d large messages were handled, want %d to %d", got, least, most)
			}
			p.reset()
		})
	}
}

// TestLargerThanTheBucket has a message that costs more than the bucket holds: it passes when the bucket is full.
func TestLargerThanTheBucket(t *testing.T) {
	s := newServer(t, Options{MessagesPerSecond: 5})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	r := s.hub.find("r")
	r.mu.Lock()
	limiter := r.byIDLocked(ann.id()).conn.limiter
	r.mu.Unlock()
	s.wait("full bucket", func() bool { return full(limiter) })
	ann.send(&Broadcast{Data: []byte(`"` + strings.Repeat("x", MaxDataSize-2) + `"`)})
	expect[*BroadcastFrom](bob)
}

// expectTurnedAway reads what one hears at the door whom nobody lets in, to the end.
func (p *peer) expectTurnedAway() {
	p.t.Helper()
	p.expectError(CodeNotAllowed, "join")
	p.expectClose(CloseKicked)
}

// expectRefusedToken shows a token that opens nothing any more.
func (s *server) expectRefusedToken(raw string) {
	s.t.Helper()
	p := s.dial()
	p.send(&Join{Room: "r", Name: "again", Token: raw})
	p.expectError(CodeUnauthorized, "join")
	p.expectClose(CloseUnauthorized)
}

// TestKickedTokenAtTheDoor kicks a member whose token waits at the door, too, with another connection.
func TestKickedTokenAtTheDoor(t *testing.T) {
	m := newMint(t)
	for name, jti := range map[string]string{"without a jti": "", "with a jti": "invite"} {
		for by, kick := range map[string]func(s *server, ann *peer, id string){
			"by a moderator":     func(_ *server, ann *peer, id string) { ann.send(&Kick{Member: id}) },
			"by the application": func(s *server, _ *peer, id string) { s.hub.Kick("r", id, "") },
		} {
			t.Run(name+" "+by, func(t *testing.T) {
				book := newLedger(t)
				s := newServer(t, Options{Tokens: m.keys, ICE: book, Releaser: book})
				ann := s.join("r", "Ann")
				raw, other := m.token(token.Claims{Room: "r", ID: jti}), m.token(token.Claims{Room: "r", ID: jti + "2"})
				bob := s.dial().join(&Join{Room: "r", Name: "Bob", Token: raw})
				expect[*MemberJoined](ann)
				waitingRoom(ann, bob)
				come := func(raw string) (*peer, string) {
					p := s.dial()
					p.send(&Join{Room: "r", Name: "n", Token: raw})
					expect[*Waiting](p)
					return p, expect[*Knock](ann).Member.ID
				}
				_, _ = s.knock(ann, "without a token")
				again, id := come(raw)
				third, thirdID := come(raw)
				stays, staysID := come(other)
				kick(s, ann, bob.id())
				bob.expectClose(CloseKicked)
				again.expectTurnedAway()
				third.expectTurnedAway()
				ann.hear(&MemberLeft{Member: id, Reason: ReasonDenied}, &MemberLeft{Member: thirdID, Reason: ReasonDenied},
					&MemberLeft{Member: bob.id(), Reason: ReasonKicked})
				s.expectRefusedToken(raw)
				ann.send(&Admit{Member: staysID}) // another token is not concerned
				expect[*Joined](stays)
				if n := s.hub.metrics.waiting.Load(); n != 1 || len(book.revoked) != 1 {
					t.Errorf("%d wait, revoked %v", n, book.revoked)
				}
			})
		}
	}
}

// TestTokensAtAClosedDoor has the server API send away those who wait: their tokens open nothing afterwards.
func TestTokensAtAClosedDoor(t *testing.T) {
	m := newMint(t)
	for name, remove := range map[string]func(s *server, ann *peer, id string, p *peer){
		"room closed": func(s *server, ann *peer, _ string, p *peer) {
			if !s.hub.CloseRoom("r", "over") {
				t.Error("no room")
			}
			ann.expectClose(CloseKicked)
			p.hear(&Kicked{Reason: "over"})
			p.expectClose(CloseKicked)
		},
		"kicked": func(s *server, ann *peer, id string, p *peer) {
			if !s.hub.Kick("r", id, "no") {
				t.Error("nobody waits")
			}
			p.expectTurnedAway()
			ann.hear(&MemberLeft{Member: id, Reason: ReasonDenied})
			ann.send(&Lock{})
			expect[*RoomChanged](ann)
			quiet(ann)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, Options{Tokens: m.keys})
			ann := s.join("r", "Ann")
			waitingRoom(ann)
			raw := m.token(token.Claims{Room: "r"})
			p := s.dial()
			p.send(&Join{Room: "r", Name: "n", Token: raw})
			expect[*Waiting](p)
			remove(s, ann, expect[*Knock](ann).Member.ID, p)
			s.expectRefusedToken(raw)
			s.join("r", "without a token")
		})
	}
}

// TestClosedDoorRevokes has what the holder of a token was given elsewhere end with its place at the door.
func TestClosedDoorRevokes(t *testing.T) {
	m, book := newMint(t), newLedger(t)
	s := newServer(t, Options{Tokens: m.keys, Releaser: book})
	ann := s.join("r", "Ann")
	waitingRoom(ann)
	p := s.dial()
	p.send(&Join{Room: "r", Name: "n", Token: m.token(token.Claims{Room: "r", ID: "invite"})})
	expect[*Waiting](p)
	expect[*Knock](ann)
	s.hub.CloseRoom("r", "")
	p.expectClose(CloseKicked)
	if _, ok := book.revoked["invite"]; !ok {
		t.Errorf("revoked: %v", book.revoked)
	}
}

// TestLostModeratorHearsWhoWaits has people come and go at the door while the moderator's connection is lost, and others who stay.
func TestLostModeratorHearsWhoWaits(t *testing.T) {
	for name, counts := range map[string]bool{"with received": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, Options{Resume: time.Minute})
			ann := s.join("r", "Ann")
			waitingRoom(ann)
			come := func(name string) (*peer, *Knock) {
				p := s.ask("r", name)
				expect[*Waiting](p)
				info, _ := s.hub.Room("r")
				w := info.Waiting[len(info.Waiting)-1]
				return p, &Knock{Member: Member{ID: w.ID, Name: w.Name, Role: RoleMember, State: json.RawMessage("{}")}}
			}
			known, knownID := come("was there before")
			stays, staysKnock := come("was there before, and stays")
			ann.hear(knownID, staysKnock)
			ann.cut()
			s.waitAway(ann)
			leave(known)
			unheard, _ := come("comes and goes")
			leave(unheard)
			_, first := come("first")
			_, second := come("second")
			want := []ServerMessage{&MemberLeft{Member: knownID.Member.ID, Reason: ReasonLeft}}
			if !counts {
				want = append(want, staysKnock)
				back := s.resume(ann)
				back.got += ann.got // it had got all that was written
				ann = back
			} else {
				ann = s.resumeFrom(ann, ann.got)
			}
			ann.hear(append(want, first, second)...)
			quiet(ann)
			leave(stays) // it is known, however the moderator has come back
			ann.hear(&MemberLeft{Member: staysKnock.Member.ID, Reason: ReasonLeft})
			_, third := come("third")
			ann.hear(third)
			ann.cut()
			s.waitAway(ann)
			ann = s.resumeFrom(ann, ann.got)
			quiet(ann)
		})
	}
}

// TestLostModeratorIsPromoted has a moderator that became one while its connection was lost.
func TestLostModeratorIsPromoted(t *testing.T) {
	s := newServer(t, Options{Resume: time.Minute})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	expect[*MemberJoined](ann)
	waitingRoom(ann, bob)
	bob.cut()
	s.waitAway(bob)
	_, id := s.knock(ann, "Cid")
	leave(ann)
	bob = s.resumeFrom(bob, bob.got)
	expect[*MemberLeft](bob)
	expect[*MemberUpdated](bob)
	if got := expect[*Knock](bob).Member.ID; got != id {
		t.Errorf("heard of %s, want %s", got, id)
	}
	quiet(bob)
}

// TestStrangersDoNotCostASeat has a stranger knock and go again and again while the moderator's connection is lost.
func TestStrangersDoNotCostASeat(t *testing.T) {
	s := newServer(t, Options{Resume: time.Minute, Queue: 64})
	ann := s.join("r", "Ann")
	waitingRoom(ann)
	ann.cut()
	s.waitAway(ann)
	for range 500 {
		p := s.ask("r", "stranger")
		expect[*Waiting](p)
		leave(p)
	}
	back := s.resumeFrom(ann, ann.got)
	if !back.self.Resumed || back.id() != ann.id() || back.self.Self.Role != RoleModerator {
		t.Errorf("back as %+v", back.self)
	}
	quiet(back)
	s.knock(back, "somebody")
}

// TestHalfOfTheDoorForOneAddress fills the door from one address: others still find a place.
func TestHalfOfTheDoorForOneAddress(t *testing.T) {
	for _, tt := range []struct{ places, one int }{{1, 1}, {2, 1}, {3, 2}, {5, 3}, {16, 8}} {
		t.Run(fmt.Sprint(tt.places), func(t *testing.T) {
			s := newServer(t, Options{WaitingPerRoom: tt.places, ClientIP: headerIP})
			ann := s.dialFrom("192.0.2.1").join(&Join{Room: "r", Name: "Ann"})
			waitingRoom(ann)
			come := func(addr string) *peer {
				p := s.dialFrom(addr)
				p.send(&Join{Room: "r", Name: "n"})
				return p
			}
			first := come("2001:db8::1")
			expect[*Waiting](first)
			for i := range tt.one - 1 {
				expect[*Waiting](come(fmt.Sprintf("2001:db8::%d", i+2))) // IPv6 of one customer
			}
			refused := come("2001:db8::ffff")
			refused.expectError(CodeRoomFull, "join")
			for i := range tt.places - tt.one {
				expect[*Waiting](come(fmt.Sprintf("192.0.2.%d", i+2)))
			}
			come("198.51.100.1").expectError(CodeRoomFull, "join")
			leave(first)
			refused.send(&Join{Room: "r", Name: "n"})
			expect[*Waiting](refused)
		})
	}
}

// TestWhoWaitsInheritsTheRoom has the last member leave an open room with somebody at the door, for whom there was no seat.
func TestWhoWaitsInheritsTheRoom(t *testing.T) {
	m := newMint(t)
	for name, tokensOnly := range map[string]bool{"open": false, "tokens only": true} {
		t.Run(name, func(t *testing.T) {
			book, seen := newLedger(t), newRecorder(t)
			s := newServer(t, Options{Tokens: m.keys, TokensOnly: tokensOnly, ICE: book, Releaser: book, Observer: seen})
			join := func(role string) *Join {
				return &Join{Room: "r", Name: role, Token: m.token(token.Claims{Room: "r", Role: role})}
			}
			ann := s.dial().join(join(token.RoleModerator))
			waitingRoom(ann)
			bob, cid := s.dial(), s.dial()
			for _, p := range []*peer{bob, cid} {
				p.send(join(token.RoleMember))
				expect[*Waiting](p)
				expect[*Knock](ann)
			}
			ann.send(&Limit{MaxMembers: 1})
			ann.send(&Lock{})
			expect[*RoomChanged](ann)
			expect[*RoomChanged](ann)
			leave(ann)
			want := map[bool]Role{false: RoleModerator, true: RoleMember}[tokensOnly]
			got := expect[*Joined](bob)
			if got.Self.Role != want || len(got.Members) != 0 || got.Room != (Room{ID: "r", MaxMembers: 1}) {
				t.Errorf("joined %+v", got)
			}
			if want == RoleModerator {
				expect[*Knock](bob)
			}
			quiet(bob)
			leave(bob)
			if got := expect[*Joined](cid); got.Self.Role != want {
				t.Errorf("joined %+v", got)
			}
			leave(cid)
			book.waitReleased(3)
			seen.check("room_started", "member_joined", "member_joined", "member_left", "member_joined", "member_left", "member_left", "room_ended")
		})
	}
}

// TestSendsAsItIsAdmitted has a client that does not wait for joined: what it sends before is refused and does not count, what it sends after
// counts, on both sides.
func TestSendsAsItIsAdmitted(t *testing.T) {
	const rounds, messages = 20, 40
	s := newServer(t, Options{Resume: time.Minute, MessagesPerSecond: -1, Queue: 4 * messages})
	ann := s.join("r", "Ann")
	waitingRoom(ann)
	pair := append(frame(fin|opText, []byte(`{"type":"signal","to":"nobody","data":1}`)), frame(fin|opText, []byte(`{"type":"ice"}`))...)
	half := bytes.Repeat(pair, messages/4) // each is answered
	early := 0
	for range rounds {
		cid := s.dialRaw()
		cid.send(&Join{Room: "r", Name: "Cid"})
		if m := cid.read(); m.Type() != "waiting" {
			t.Fatalf("%+v", m)
		}
		id := expect[*Knock](ann).Member.ID
		cid.write(half)
		ann.send(&Admit{Member: id})
		cid.write(half)
		refused, got := 0, 0
		var joined *Joined
		for refused+got < messages {
			switch m := cid.read().(type) {
			case *Joined:
				joined = m
			case *ICEServers:
				got++
			case *Error:
				if joined != nil {
					got++
				} else {
					refused++
				}
				if want := map[bool]Code{true: CodeNoSuchMember, false: CodeNotAllowed}[joined != nil]; m.Code != want {
					t.Errorf("%+v, want %s", m, want)
				}
			default:
				t.Errorf("%+v", m)
			}
		}
		expect[*MemberJoined](ann)
		if joined == nil {
			if joined, _ = cid.read().(*Joined); joined == nil {
				t.Fatal("not admitted")
			}
		}
		early += refused
		received := uint64(got)
		cid.reset()
		back := s.dial().join(&Join{Room: "r", Name: "x", Resume: joined.Resume, Received: &received})
		if !back.self.Resumed || back.id() != id || back.self.Received != uint64(messages-refused) {
			t.Errorf("%d of %d messages were refused, then back as %+v", refused, messages, back.self)
		}
		quiet(back) // it had got all that was written
		leave(back)
		expect[*MemberLeft](ann)
	}
	t.Logf("%d of %d messages came too early", early, rounds*messages)
}

// TestOriginOfAnotherScheme has pages of the server's own host that are none of the web's: they need to be allowed by name.
func TestOriginOfAnotherScheme(t *testing.T) {
	for _, tt := range []struct {
		origin  string
		allowed []string
		want    bool
	}{
		{"http://call.example.com:8080", nil, true},
		{"HTTPS://Call.Example.com:8080", nil, true},
		{"ftp://call.example.com:8080", nil, false},
		{"chrome-extension://call.example.com:8080", nil, false},
		{"moz-extension://call.example.com:8080", nil, false},
		{"ws://call.example.com:8080", nil, false},
		{"file://call.example.com:8080", nil, false},
		{"//call.example.com:8080", nil, false},
		{"call.example.com:8080", nil, false},
		{"chrome-extension://call.example.com:8080", []string{"https://call.example.com:8080"}, false},
		{"chrome-extension://call.example.com:8080", []string{"chrome-extension://call.example.com:8080"}, true},
	} {
		r := httptest.NewRequest("GET", "http://call.example.com:8080/ws", nil)
		r.Header.Set("Origin", tt.origin)
		if err := checkOrigin(r, tt.allowed); (err == nil) != tt.want {
			t.Errorf("%s, allowed %q: %v", tt.origin, tt.allowed, err)
		}
	}
}

// TestDocumentsTellTheCost compares what no table of the documents holds with the package.
func TestDocumentsTellTheCost(t *testing.T) {
	doc := protocolDoc(t)
	for _, want := range []string{fmt.Sprintf("at most %d fields", maxFields), fmt.Sprintf("once more for each full %d KiB", costUnit>>10)} {
		if !strings.Contains(doc, want) {
			t.Errorf("docs/protocol.md does not say %q", want)
		}
	}
	s := loadSchema(t)
	if n := s.at("ClientMessage")["maxProperties"]; fmt.Sprint(n) != fmt.Sprint(maxFields) {
		t.Errorf("maxProperties of the schema is %v, want %d", n, maxFields)
	}
	for typ, m := range allClientMessages() {
		if n := reflect.TypeOf(m).Elem().NumField() + 1; n > maxFields {
			t.Errorf("%s has %d fields", typ, n)
		}
	}
}

// TestLargeMessagesGetThrough: after one that was too much, the reader pauses until the next one of its size may pass.
func TestLargeMessagesGetThrough(t *testing.T) {
	const rate, sent = 50, 14
	s := newServer(t, Options{MessagesPerSecond: rate})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	expect[*MemberJoined](ann)
	for n := range sent {
		ann.send(&Broadcast{Data: fmt.Appendf(nil, `"%02d%s"`, n, strings.Repeat("x", MaxDataSize-4))})
	}
	last, dropped := -1, 0
	for last < sent-2 {
		var n int
		if _, err := fmt.Sscanf(string(expect[*BroadcastFrom](bob).Data), `"%02d`, &n); err != nil {
			t.Fatal(err)
		}
		if n > last+2 {
			t.Errorf("%d and %d were dropped one after the other", last+1, last+2)
		}
		dropped += n - last - 1
		last = n
	}
	if dropped == 0 {
		t.Errorf("none of %d was dropped", sent)
	}
}

func TestKickedAtTheDoorRevokes(t *testing.T) {
	m, book := newMint(t), newLedger(t)
	s := newServer(t, Options{Tokens: m.keys, Releaser: book})
	ann := s.join("r", "Ann")
	waitingRoom(ann)
	p := s.dial()
	p.send(&Join{Room: "r", Name: "n", Token: m.token(token.Claims{Room: "r", ID: "invite"})})
	expect[*Waiting](p)
	s.hub.Kick("r", expect[*Knock](ann).Member.ID, "")
	p.expectTurnedAway()
	if _, ok := book.revoked["invite"]; !ok {
		t.Errorf("revoked: %v", book.revoked)
	}
}

func TestClosedDoorTellsAll(t *testing.T) {
	m := newMint(t)
	s := newServer(t, Options{Tokens: m.keys})
	ann := s.join("r", "Ann")
	waitingRoom(ann)
	raw := m.token(token.Claims{Room: "r"})
	var peers []*peer
	for range 2 {
		p := s.dial()
		p.send(&Join{Room: "r", Name: "n", Token: raw})
		expect[*Waiting](p)
		expect[*Knock](ann)
		peers = append(peers, p)
	}
	s.hub.CloseRoom("r", "over")
	for _, p := range peers {
		p.hear(&Kicked{Reason: "over"})
	}
}
