package signaling

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestDecodeClientRefuses(t *testing.T) {
	for _, tt := range badMessages {
		t.Run(tt.name, func(t *testing.T) {
			m, request, err := decodeClient([]byte(tt.raw))
			if err == nil {
				t.Fatalf("decoded as %+v", m)
			}
			answer, code := wireError(err, request)
			if answer == nil || answer.Code != CodeBadMessage || request != tt.request || (code == CloseBadMessage) != tt.fatal {
				t.Errorf("%+v, close %d, request %q", answer, code, request)
			}
			if n := len(answer.Message); n == 0 || n > 150 || !utf8.ValidString(answer.Message) {
				t.Errorf("text of %d bytes: %q", n, answer.Message)
			}
		})
	}
}

func TestDecodeClient(t *testing.T) {
	tests := []struct {
		name, raw string
		want      ClientMessage
	}{
		{"join", `{"type":"join","room":"A-z_9","name":" Zoë 👩‍💻 "}`, &Join{Room: "A-z_9", Name: "Zoë 👩‍💻"}},
		{"join with everything", `{"name":"n","resume":"s","password":"p","token":"t","room":"r","type":"join"}`,
			&Join{Room: "r", Name: "n", Token: "t", Password: "p", Resume: "s"}},
		{"longest room", `{"type":"join","room":"` + strings.Repeat("r", 64) + `","name":"n"}`, &Join{Room: strings.Repeat("r", 64), Name: "n"}},
		{"longest name", `{"type":"join","room":"r","name":"` + strings.Repeat("ä", 64) + `"}`, &Join{Room: "r", Name: strings.Repeat("ä", 64)}},
		{"space around", " \r\n\t{ \"type\" : \"ice\" } ", &ICE{}},
		{"brackets in a string", `{"type":"broadcast","data":"` + strings.Repeat("[", 100) + `\""}`,
			&Broadcast{Data: json.RawMessage(`"` + strings.Repeat("[", 100) + `\""`)}},
		{"deepest data", `{"type":"broadcast","data":` + strings.Repeat("[", MaxDepth-1) + strings.Repeat("]", MaxDepth-1) + `}`,
			&Broadcast{Data: json.RawMessage(strings.Repeat("[", MaxDepth-1) + strings.Repeat("]", MaxDepth-1))}},
		{"null data", `{"type":"signal","to":"x","data":null}`, &Signal{To: "x", Data: json.RawMessage("null")}},
		{"update", `{"type":"update","state":{}}`, &Update{State: json.RawMessage("{}")}},
		{"leave", `{"type":"leave"}`, &Leave{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, typ, err := decodeClient([]byte(tt.raw))
			if err != nil {
				t.Fatal(err)
			}
			if typ != tt.want.Type() || !reflect.DeepEqual(m, tt.want) {
				t.Errorf("got %s %+v, want %+v", typ, m, tt.want)
			}
		})
	}
}

func TestTablesKnowTheirTypes(t *testing.T) {
	for typ, known := range clientMessages {
		if got := known.make().Type(); got != typ {
			t.Errorf("%q is listed as %q", got, typ)
		}
	}
	for typ, newMessage := range serverMessages {
		if got := newMessage().Type(); got != typ {
			t.Errorf("%q is listed as %q", got, typ)
		}
	}
}

func TestClientMessagesAreEncodedAsTheyAreDecoded(t *testing.T) {
	for _, want := range []ClientMessage{
		&Join{Room: "r", Name: "n", Token: "t", Password: "p", Resume: "s"}, &Signal{To: "m", Data: json.RawMessage("1")},
		&Join{Room: "r", Name: "n", Resume: "s", Received: new(uint64)},
		&Broadcast{Data: json.RawMessage("{}")}, &Update{State: json.RawMessage("{}")}, &ICE{}, &Leave{},
		&Kick{Member: "m", Reason: "r"}, &Kick{Member: "m"}, &Lock{Locked: true, Knock: true}, &Lock{Locked: true}, &Lock{},
		&Admit{Member: "m"}, &Deny{Member: "m"}, &Password{Password: "p"}, &Password{}, &Limit{MaxMembers: 4}, &Limit{},
	} {
		raw, err := Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := decodeClient(raw); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s came back as %+v, %v", raw, got, err)
		}
	}
}

// TestSizeByType has each type at its largest, and one byte larger.
func TestSizeByType(t *testing.T) {
	for typ, known := range clientMessages {
		small := map[string]string{
			"join": `"room":"r","name":"n"`, "signal": `"to":"m","data":1`, "broadcast": `"data":1`, "update": `"state":{}`,
			"kick": `"member":"m"`, "lock": `"locked":true`, "admit": `"member":"m"`, "deny": `"member":"m"`, "password": `"password":""`, "limit": `"maxMembers":1`,
		}[typ]
		if small != "" {
			small = "," + small
		}
		small = `{"type":"` + typ + `"` + small + "}"
		largest := small + strings.Repeat(" ", known.limit-len(small))
		if _, _, err := decodeClient([]byte(largest)); err != nil {
			t.Errorf("%s of %d bytes: %v", typ, len(largest), err)
		}
		_, request, err := decodeClient([]byte(largest + " "))
		if answer, code := wireError(err, request); err == nil || answer.Code != CodeBadMessage || request != typ || code != 0 {
			t.Errorf("%s of one byte more: %v", typ, err)
		}
	}
}

// TestLongestFields has each string at its longest, in one message.
func TestLongestFields(t *testing.T) {
	secret := strings.Repeat("x", MaxTokenLength)
	for _, m := range []ClientMessage{
		&Join{Room: strings.Repeat("r", MaxRoomLength), Name: strings.Repeat("🦦", MaxNameLength), Token: secret, Password: secret, Resume: secret, Received: new(uint64)},
		&Kick{Member: strings.Repeat("m", 64), Reason: strings.Repeat("🦦", MaxReason)},
		&Password{Password: secret},
		&Signal{To: strings.Repeat("m", 64), Data: json.RawMessage(`"` + strings.Repeat("x", MaxDataSize-2) + `"`)},
		&Update{State: json.RawMessage(`{"a":"` + strings.Repeat("x", MaxStateSize-8) + `"}`)},
	} {
		raw, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := decodeClient(raw); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s of %d bytes: %v", m.Type(), len(raw), err)
		}
	}
}

func TestEncode(t *testing.T) {
	member := Member{ID: "m", Name: "<Zoë>", Role: RoleMember, State: json.RawMessage(`{"a":1}`)}
	for _, m := range []ServerMessage{
		&Joined{Self: member, Room: Room{ID: "r"}, Members: []Member{member}, ICEServers: []ICEServer{{URLs: []string{"stun:x"}}}, TTL: 1, Resume: "s"},
		&MemberJoined{Member: member}, &MemberUpdated{Member: member}, &MemberLeft{Member: "m", Reason: ReasonLeft},
		&Waiting{}, &Knock{Member: member}, &RoomChanged{Room: Room{ID: "r", Locked: true, Knock: true, Password: true, MaxMembers: 3}},
		&ServerData{Data: json.RawMessage(`{"<":"&"}`)}, &SignalFrom{From: "m", Data: json.RawMessage(`{"<":"&"}`)}, &BroadcastFrom{From: "m", Data: json.RawMessage("1")},
		&ICEServers{ICEServers: []ICEServer{}, TTL: 2}, &Kicked{Reason: "x"}, &Draining{}, &Error{Code: CodeRoomFull, Message: "m", Request: "join"},
	} {
		raw, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeServer(raw)
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if !reflect.DeepEqual(got, m) {
			t.Errorf("%s came back as %+v", raw, got)
		}
	}
	data := json.RawMessage(`{ "<" : "&" }`)
	got, err := DecodeServer(encodeRelay("broadcast", "m", data))
	if err != nil || !reflect.DeepEqual(got, ServerMessage(&BroadcastFrom{From: "m", Data: data})) {
		t.Errorf("relayed: %+v, %v", got, err)
	}
	if _, err := Encode(&Broadcast{Data: json.RawMessage("{")}); err == nil {
		t.Error("encoded what is no JSON")
	}
}

func TestDecodeServer(t *testing.T) {
	if _, err := DecodeServer([]byte(`{"type":"sing"}`)); !errors.Is(err, ErrUnknownType) {
		t.Errorf("unknown type: %v", err)
	}
	if m, err := DecodeServer([]byte(`{"type":"draining","new":1}`)); err != nil || m.Type() != "draining" {
		t.Errorf("unknown field: %v, %v", m, err)
	}
	for _, raw := range []string{``, `[]`, `{"type":1}`, `{"type":"error","code":1}`} {
		if m, err := DecodeServer([]byte(raw)); err == nil || errors.Is(err, ErrUnknownType) {
			t.Errorf("%q decoded as %+v, %v", raw, m, err)
		}
	}
}

func TestInternalErrorsAreNotForClients(t *testing.T) {
	if answer, code := wireError(errors.New("password of the database"), "join"); answer != nil || code != 1011 {
		t.Errorf("%+v, close %d", answer, code)
	}
}

// FuzzDecodeClient checks that whatever is accepted obeys the limits and can be passed on.
func FuzzDecodeClient(f *testing.F) {
	for _, tt := range badMessages {
		f.Add([]byte(tt.raw))
	}
	for typ := range clientMessages {
		f.Add([]byte(`{"type":"` + typ + `","room":"r","name":"n","to":"x","data":[{"a":"\"\\"}],"state":{}}`))
	}
	for _, m := range append(commands("m"), &Kick{Member: "m", Reason: "r"}, &Join{Room: "r", Name: "n", Token: "t", Password: "p", Resume: "s", Received: new(uint64)}) {
		raw, err := Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	for _, example := range examples(f) {
		f.Add([]byte(example.raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, typ, err := decodeClient(raw)
		if err != nil {
			if answer, _ := wireError(err, typ); answer == nil || len(answer.Message) > 200 {
				t.Fatalf("error %v is not for the client", err)
			}
			return
		}
		var relayed []byte
		switch m := m.(type) {
		case *Join:
			if !validRoom(m.Room) || !validName(m.Name) || max(len(m.Token), len(m.Password), len(m.Resume)) > MaxTokenLength || m.Received != nil && m.Resume == "" {
				t.Errorf("accepted %+v", m)
			}
		case *Kick:
			relayed = mustEncode(&Kicked{Reason: m.Reason})
			if m.Member == "" || utf8.RuneCountInString(m.Reason) > MaxReason || strings.ContainsAny(m.Reason, "\n\r\u202e") {
				t.Errorf("accepted %+v", m)
			}
		case *Lock:
			if m.Knock && !m.Locked {
				t.Errorf("accepted %+v", m)
			}
		case *Admit:
			if m.Member == "" {
				t.Errorf("accepted %+v", m)
			}
		case *Deny:
			if m.Member == "" {
				t.Errorf("accepted %+v", m)
			}
		case *Password:
			if len(m.Password) > MaxTokenLength {
				t.Errorf("accepted %+v", m)
			}
		case *Limit:
			if m.MaxMembers < 0 || m.MaxMembers > math.MaxInt32 {
				t.Errorf("accepted %+v", m)
			}
		case *Signal:
			relayed = encodeRelay("signal", "m", m.Data)
		case *Broadcast:
			relayed = encodeRelay("broadcast", "m", m.Data)
		case *Update:
			relayed = mustEncode(&MemberUpdated{Member: Member{State: m.State}})
		}
		if relayed == nil {
			return
		}
		if _, err := DecodeServer(relayed); err != nil || !utf8.Valid(relayed) || tooDeep(relayed[1:], MaxDepth) {
			t.Errorf("passed on as %q: %v", relayed, err)
		}
	})
}

func TestNamesOfMembers(t *testing.T) {
	for name, want := range map[string]bool{
		"Ann":                            true,
		"Émile 王小明":                      true,
		"\u0646\u06cc\u200c\u06a9\u0627": true, // with a zero-width non-joiner
		"👨\u200d👩\u200d👧":                true,
		"A\U0001FAE9":                    true, // newer than this program's tables, perhaps
		"":                               false,
		" ":                              false,
		"\u200d":                         false,
		"\u3164":                         false, // letters that show nothing
		"\u2800":                         false,
		"a\nb":                           false,
		"a\u202eb":                       false, // turns the text around
		"a\u2028b":                       false,
		"\ue000":                         false,
	} {
		if got := validName(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// FuzzSplit compares with the standard library: the same fields with the same values, and nothing that it would refuse gets through decodeClient.
func FuzzSplit(f *testing.F) {
	for _, seed := range []string{
		`{"type":"ice"}`, `{ "type" : "signal" , "to":"m","data":{"a":[1,"]}",{"b":"\\\""}]} }`, `{"a":1,"b":-1.5e3,"c":null,"d":true}`, `{"\u0074ype":"ice"}`,
		`{}`, `[]`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{"a":1 "b":2}`, `{"a":1}}`, `{"a":"x`, `{"a":[}`, `{"a":{"b":1]}`, `"a"`, ``, ` {"a":1}x`, `{"a":1:2}`, `{"a":tru}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := split(raw)
		var want map[string]json.RawMessage
		object := json.Unmarshal(raw, &want) == nil && want != nil
		switch {
		case err == nil && object:
			seen := map[string]json.RawMessage{}
			for _, v := range got.list {
				seen[v.name] = v.value
			}
			if len(seen) != len(want) {
				t.Fatalf("%q has the fields %q, not %q", raw, want, seen)
			}
			for name, v := range want {
				if string(v) != string(seen[name]) {
					t.Errorf("%q: %q is %q, not %q", raw, name, v, seen[name])
				}
			}
		case err == nil:
			if m, _, err := decodeClient(raw); err == nil {
				t.Errorf("%q is no JSON object, and decoded as %+v", raw, m)
			}
		case object && len(want) <= maxFields && utf8.Valid(raw) && !tooDeep(raw, MaxDepth):
			var refused *clientError
			if n := strings.Count(string(raw), ":"); !errors.As(err, &refused) || refused.close != 0 || n <= maxFields { // the same field again and again
				t.Errorf("%q: %v", raw, err)
			}
		}
	})
}
