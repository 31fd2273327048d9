package signaling

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schema is docs/protocol.schema.json.
type schema struct {
	t              *testing.T
	defs           map[string]any
	document       map[string]any
	client, server *jsonschema.Schema
	compile        func(def string) *jsonschema.Schema
}

func loadSchema(t *testing.T) *schema {
	t.Helper()
	raw, err := os.ReadFile("../../docs/protocol.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	document, ok := parseJSON(t, raw).(map[string]any)
	if !ok {
		t.Fatal("the schema is no object")
	}
	const url = "urn:maitred:protocol:maitred.v1"
	if document["$id"] != url {
		t.Fatalf("$id is %v, want %s", document["$id"], url)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(url, document); err != nil {
		t.Fatal(err)
	}
	s := &schema{t: t, document: document, defs: document["$defs"].(map[string]any)}
	s.compile = func(def string) *jsonschema.Schema {
		compiled, err := c.Compile(url + "#/$defs/" + def)
		if err != nil {
			t.Fatal(err)
		}
		return compiled
	}
	s.client, s.server = s.compile("ClientMessage"), s.compile("ServerMessage")
	return s
}

// at returns what is at a path below $defs, such as "Join/properties/room".
func (s *schema) at(pointer string) map[string]any {
	s.t.Helper()
	node := s.defs
	for name := range strings.SplitSeq(pointer, "/") {
		next, ok := node[name].(map[string]any)
		if !ok {
			s.t.Fatalf("the schema has no %s", pointer)
		}
		node = next
	}
	return node
}

func (s *schema) refused(schema *jsonschema.Schema, raw string) error {
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(raw))
	if err != nil {
		return err
	}
	return schema.Validate(v)
}

func TestSchemaTakesTheExamples(t *testing.T) {
	s := loadSchema(t)
	for _, e := range examples(t) {
		schema, other := s.client, s.server
		if e.direction == toClient {
			schema, other = other, schema
		}
		if err := s.refused(schema, e.raw); err != nil {
			t.Errorf("%v in\n%s", err, e.raw)
		}
		if s.refused(other, e.raw) == nil {
			t.Errorf("%s, but the schema takes the other direction, too:\n%s", e.direction, e.raw)
		}
	}
}

// TestSchemaIsOpenForServers shows what clients must be able to ignore, and what servers may not leave out.
func TestSchemaIsOpenForServers(t *testing.T) {
	s := loadSchema(t)
	for raw, want := range map[string]bool{
		`{"type":"draining","new":1}`:                                                                             true,
		`{"type":"error","code":"from_the_future","message":"m"}`:                                                 true,
		`{"type":"member-left","member":"m","reason":"from_the_future","new":[]}`:                                 true,
		`{"type":"room","room":{"id":"r","locked":false,"knock":false,"password":false,"maxMembers":2,"new":{}}}`: true,
		`{"type":"room","room":{"id":"r","locked":false,"knock":false,"password":"p","maxMembers":2}}`:            false,
		`{"type":"error","code":"bad_message"}`:                                                                   false,
		`{"type":"member-left","reason":"left"}`:                                                                  false,
		`{"type":"ice-servers","iceServers":[{}],"ttl":1}`:                                                        false,
		`{"type":"ice-servers","iceServers":[],"ttl":-1}`:                                                         false,
		`{"type":"signal","to":"m","data":1}`:                                                                     false,
	} {
		if err := s.refused(s.server, raw); (err == nil) != want {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

// TestSchemaHasTheTypes compares the schema with the Go types of messages, both ways.
func TestSchemaHasTheTypes(t *testing.T) {
	s := loadSchema(t)
	structs := map[string]reflect.Type{}
	for name, table := range map[string]map[string]Message{"ClientMessage": allClientMessages(), "ServerMessage": allServerMessages()} {
		var refs, want []string
		for _, one := range s.at(name)["oneOf"].([]any) {
			refs = append(refs, path.Base(one.(map[string]any)["$ref"].(string)))
		}
		for typ, m := range table {
			goType := reflect.TypeOf(m).Elem()
			want = append(want, goType.Name())
			structs[goType.Name()] = goType
			s.checkFields(goType, typ)
		}
		slices.Sort(refs)
		slices.Sort(want)
		if !slices.Equal(refs, want) {
			t.Errorf("%s is one of %q, the package has %q", name, refs, want)
		}
	}
	for _, part := range []any{Member{}, Room{}, ICEServer{}, MemberRelay{}, RelayAllocation{}} {
		goType := reflect.TypeOf(part)
		structs[goType.Name()] = goType
		s.checkFields(goType, "")
	}
	for name := range s.defs {
		if _, isObject := s.at(name)["properties"]; isObject && structs[name] == nil {
			t.Errorf("the schema has %s, the package has no such type", name)
		}
	}
}

func allClientMessages() map[string]Message {
	all := map[string]Message{}
	for typ, known := range clientMessages {
		all[typ] = known.make()
	}
	return all
}

func allServerMessages() map[string]Message {
	all := map[string]Message{}
	for typ, newMessage := range serverMessages {
		all[typ] = newMessage()
	}
	return all
}

// checkFields compares names, kinds and presence of the JSON fields of a struct with its definition. typ is empty for parts of messages.
func (s *schema) checkFields(goType reflect.Type, typ string) {
	s.t.Helper()
	name := goType.Name()
	shapes, required := map[string]string{}, []string{}
	if typ != "" {
		shapes["type"], required = "const "+typ, []string{"type"}
	}
	for i := range goType.NumField() {
		field := goType.Field(i)
		jsonName, omit, _ := strings.Cut(field.Tag.Get("json"), ",")
		shapes[jsonName] = goShape(jsonName, field.Type)
		if omit == "" {
			required = append(required, jsonName)
		}
	}
	got := map[string]string{}
	for property := range s.at(name + "/properties") {
		got[property] = s.shape(s.at(name + "/properties/" + property))
	}
	if !maps.Equal(got, shapes) {
		s.t.Errorf("%s: the schema has %q,\nthe Go type %q", name, got, shapes)
	}
	var must []string
	for _, one := range s.at(name)["required"].([]any) {
		must = append(must, one.(string))
	}
	slices.Sort(must)
	slices.Sort(required)
	if !slices.Equal(must, required) {
		s.t.Errorf("%s: the schema requires %q, the Go type %q", name, must, required)
	}
	closed := s.at(name)["additionalProperties"] == false
	if want := reflect.PointerTo(goType).Implements(fromClient); closed != want {
		s.t.Errorf("%s: closed is %v, want %v", name, closed, want)
	}
}

var fromClient = reflect.TypeFor[ClientMessage]()

// goShape is the kind of JSON that a Go type becomes.
func goShape(name string, goType reflect.Type) string {
	switch kind := goType.Kind(); {
	case goType == reflect.TypeFor[json.RawMessage]() && name == "state":
		return "object"
	case goType == reflect.TypeFor[json.RawMessage]():
		return "any"
	case kind == reflect.Pointer:
		return goShape(name, goType.Elem())
	case kind == reflect.Slice:
		return "array of " + goShape(name, goType.Elem())
	case kind == reflect.Struct:
		return goType.Name()
	case kind == reflect.String:
		return "string"
	case kind == reflect.Bool:
		return "boolean"
	case kind == reflect.Int, kind == reflect.Uint64:
		return "integer"
	}
	return "unknown " + goType.String()
}

// shape is the kind of JSON that a schema describes.
func (s *schema) shape(node map[string]any) string {
	ref, hasRef := node["$ref"].(string)
	kind, hasType := node["type"].(string)
	def := path.Base(ref)
	switch {
	case node["const"] != nil:
		return fmt.Sprint("const ", node["const"])
	case kind == "array":
		return "array of " + s.shape(node["items"].(map[string]any))
	case hasType:
		return kind
	case hasRef && s.at(def)["properties"] != nil:
		return def
	case hasRef:
		return s.shape(s.at(def))
	}
	return "any"
}

func TestSchemaLimits(t *testing.T) {
	s := loadSchema(t)
	want := map[string]int{
		"RoomName": MaxRoomLength, "MemberName": MaxNameLength, "Kick/properties/reason": MaxReason,
		"Join/properties/token": MaxTokenLength, "Join/properties/password": MaxTokenLength, "Join/properties/resume": MaxTokenLength,
		"Password/properties/password": MaxTokenLength,
	}
	got := map[string]int{}
	collectLengths(s.defs, "", got)
	if !maps.Equal(got, want) {
		t.Errorf("maxLength: the schema has %v,\nthe package %v", got, want)
	}
	for pointer, n := range map[string]int{
		"Data": MaxDataSize, "State": MaxStateSize, "Join/properties/token": MaxTokenLength, "Join/properties/password": MaxTokenLength,
		"Join/properties/resume": MaxTokenLength, "Password/properties/password": MaxTokenLength,
	} {
		if text := fmt.Sprint(s.at(pointer)["description"]); !strings.Contains(strings.ToLower(text), fmt.Sprintf("at most %d bytes", n)) {
			t.Errorf("%s: %q says nothing of %d bytes", pointer, text, n)
		}
	}
	if text := fmt.Sprint(s.document["description"]); !strings.Contains(text, fmt.Sprintf("nested at most %d deep", MaxDepth)) {
		t.Errorf("the description says nothing of %d levels", MaxDepth)
	}
}

// collectLengths finds every maxLength below node.
func collectLengths(node any, pointer string, found map[string]int) {
	object, _ := node.(map[string]any)
	for name, value := range object {
		if name != "maxLength" {
			collectLengths(value, strings.TrimPrefix(pointer+"/"+name, "/"), found)
		} else if n, err := value.(json.Number).Int64(); err == nil {
			found[pointer] = int(n)
		}
	}
}

func TestSchemaWords(t *testing.T) {
	s := loadSchema(t)
	for def, want := range map[string][]string{
		"Code/examples": constants(t, "Code"), "Reason/examples": constants(t, "Reason"), "Role/enum": constants(t, "Role"),
	} {
		var got []string
		for _, word := range s.at(path.Dir(def))[path.Base(def)].([]any) {
			got = append(got, word.(string))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the schema has %q, the package %q", def, got, want)
		}
	}
}

// TestSchemaAgreesWithDecoder sends the same messages through both.
func TestSchemaAgreesWithDecoder(t *testing.T) {
	s := loadSchema(t)
	join := func(fields string) string { return `{"type":"join","room":"r","name":"n"` + fields + `}` }
	text := func(n int) string { return strings.Repeat("x", n) }
	for _, tt := range []struct {
		name, raw       string
		schema, decoder bool
	}{
		{"smallest join", join(""), true, true},
		{"join with everything", join(`,"token":"","password":"","resume":"s","received":0`), true, true},
		{"longest room", `{"type":"join","room":"` + text(MaxRoomLength) + `","name":"n"}`, true, true},
		{"room too long", `{"type":"join","room":"` + text(MaxRoomLength+1) + `","name":"n"}`, false, false},
		{"empty room", `{"type":"join","room":"","name":"n"}`, false, false},
		{"room with a dot", `{"type":"join","room":"a.b","name":"n"}`, false, false},
		{"room with a line break", `{"type":"join","room":"r\n","name":"n"}`, false, false},
		{"no room", `{"type":"join","name":"n"}`, false, false},
		{"room a number", `{"type":"join","room":1,"name":"n"}`, false, false},
		{"room null", `{"type":"join","room":null,"name":"n"}`, false, false},
		{"longest name", `{"type":"join","room":"r","name":"` + strings.Repeat("😀", MaxNameLength) + `"}`, true, true},
		{"name too long", `{"type":"join","room":"r","name":"` + strings.Repeat("ä", MaxNameLength+1) + `"}`, false, false},
		{"blank name", `{"type":"join","room":"r","name":" \u3000"}`, false, false},
		{"no name", `{"type":"join","room":"r"}`, false, false},
		{"longest token", join(`,"token":"` + text(MaxTokenLength) + `"`), true, true},
		{"token too long", join(`,"token":"` + text(MaxTokenLength+1) + `"`), false, false},
		{"password too long", join(`,"password":"` + text(MaxTokenLength+1) + `"`), false, false},
		{"resume too long", join(`,"resume":"` + text(MaxTokenLength+1) + `"`), false, false},
		{"token null", join(`,"token":null`), false, false},
		{"received alone", join(`,"received":0`), false, false},
		{"received with empty resume", join(`,"resume":"","received":0`), false, false},
		{"received negative", join(`,"resume":"s","received":-1`), false, false},
		{"received with a fraction", join(`,"resume":"s","received":1.5`), false, false},
		{"received a string", join(`,"resume":"s","received":"1"`), false, false},
		{"received null", join(`,"resume":"s","received":null`), false, false},
		{"most received", join(`,"resume":"s","received":18446744073709551615`), true, true},
		{"too much received", join(`,"resume":"s","received":18446744073709551616`), false, false},
		{"unknown field", join(`,"nick":"n"`), false, false},
		{"field in another case", `{"type":"join","Room":"r","name":"n"}`, false, false},
		{"signal", `{"type":"signal","to":"m","data":null}`, true, true},
		{"signal without to", `{"type":"signal","data":1}`, false, false},
		{"signal to nobody", `{"type":"signal","to":"","data":1}`, false, false},
		{"signal without data", `{"type":"signal","to":"m"}`, false, false},
		{"signal as it arrives", `{"type":"signal","from":"m","data":1}`, false, false},
		{"broadcast", `{"type":"broadcast","data":[1,{"a":"b"}]}`, true, true},
		{"broadcast to one", `{"type":"broadcast","to":"m","data":1}`, false, false},
		{"broadcast without data", `{"type":"broadcast"}`, false, false},
		{"update", `{"type":"update","state":{}}`, true, true},
		{"update without state", `{"type":"update"}`, false, false},
		{"state an array", `{"type":"update","state":[]}`, false, false},
		{"state null", `{"type":"update","state":null}`, false, false},
		{"ice", `{"type":"ice"}`, true, true},
		{"ice with a field", `{"type":"ice","ttl":1}`, false, false},
		{"relay", `{"type":"relay"}`, true, true},
		{"relay of one member", `{"type":"relay","member":"m"}`, false, false},
		{"relay as it arrives", `{"type":"relay","members":[]}`, false, false},
		{"leave", `{"type":"leave"}`, true, true},
		{"leave with a reason", `{"type":"leave","reason":"r"}`, false, false},
		{"kick", `{"type":"kick","member":"m"}`, true, true},
		{"kick for no reason", `{"type":"kick","member":"m","reason":""}`, true, true},
		{"longest reason", `{"type":"kick","member":"m","reason":"` + strings.Repeat("ä", MaxReason) + `"}`, true, true},
		{"reason too long", `{"type":"kick","member":"m","reason":"` + text(MaxReason+1) + `"}`, false, false},
		{"reason in two lines", `{"type":"kick","member":"m","reason":"a\nb"}`, false, false},
		{"blank reason", `{"type":"kick","member":"m","reason":" "}`, false, false},
		{"kick nobody", `{"type":"kick"}`, false, false},
		{"kick the empty id", `{"type":"kick","member":""}`, false, false},
		{"lock", `{"type":"lock","locked":true}`, true, true},
		{"waiting room", `{"type":"lock","locked":true,"knock":true}`, true, true},
		{"unlock", `{"type":"lock","locked":false,"knock":false}`, true, true},
		{"open waiting room", `{"type":"lock","locked":false,"knock":true}`, false, false},
		{"knock alone", `{"type":"lock","knock":true}`, false, false},
		{"locked a string", `{"type":"lock","locked":"true"}`, false, false},
		{"locked null", `{"type":"lock","locked":null}`, false, false},
		{"knock null", `{"type":"lock","locked":true,"knock":null}`, false, false},
		{"admit", `{"type":"admit","member":"m"}`, true, true},
		{"admit nobody", `{"type":"admit"}`, false, false},
		{"admit two", `{"type":"admit","member":["a","b"]}`, false, false},
		{"deny", `{"type":"deny","member":"m"}`, true, true},
		{"deny for a reason", `{"type":"deny","member":"m","reason":"r"}`, false, false},
		{"password", `{"type":"password","password":"` + text(MaxTokenLength) + `"}`, true, true},
		{"no password", `{"type":"password","password":""}`, true, true},
		{"password missing", `{"type":"password"}`, false, false},
		{"password of the room too long", `{"type":"password","password":"` + text(MaxTokenLength+1) + `"}`, false, false},
		{"limit", `{"type":"limit","maxMembers":0}`, true, true},
		{"large limit", `{"type":"limit","maxMembers":18446744073709551615}`, true, true},
		{"limit missing", `{"type":"limit"}`, false, false},
		{"limit below nothing", `{"type":"limit","maxMembers":-1}`, false, false},
		{"limit a string", `{"type":"limit","maxMembers":"8"}`, false, false},
		{"no type", `{"room":"r","name":"n"}`, false, false},
		{"unknown type", `{"type":"sing"}`, false, false},
		{"type null", `{"type":null}`, false, false},
		{"the server's type", `{"type":"waiting"}`, false, false},
		{"an array", `[{"type":"ice"}]`, false, false},
		{"two messages", `{"type":"ice"}{"type":"ice"}`, false, false},

		// What the schema's description says that it cannot.
		{"invalid UTF-8", "{\"type\":\"broadcast\",\"data\":\"\xff\"}", true, false},
		{"too deep", `{"type":"broadcast","data":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + `}`, true, false},
		{"data too long", `{"type":"broadcast","data":"` + text(MaxDataSize) + `"}`, true, false},
		{"state too long", `{"type":"update","state":{"a":"` + text(MaxStateSize) + `"}}`, true, false},
		{"token of too many bytes", join(`,"token":"` + strings.Repeat("ä", MaxTokenLength-1) + `"`), true, false},
		{"too much space around", `{"type":"ice"` + strings.Repeat(" ", maxCommand) + `}`, true, false},
		{"whole number with a point", join(`,"resume":"s","received":1.0`), true, false},
		{"space around a name", `{"type":"join","room":"r","name":"\t` + text(MaxNameLength) + ` "}`, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := s.refused(s.client, tt.raw); (err == nil) != tt.schema {
				t.Errorf("schema: %v, want taken: %v", err, tt.schema)
			}
			if _, _, err := decodeClient([]byte(tt.raw)); (err == nil) != tt.decoder {
				t.Errorf("decoder: %v, want taken: %v", err, tt.decoder)
			}
		})
	}
}

// TestSchemaAgreesOnCharacters tries names around every border between the kinds of characters that matter.
func TestSchemaAgreesOnCharacters(t *testing.T) {
	name := loadSchema(t).compile("MemberName")
	tried := 0
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) || kind(r) == kind(r-1) && kind(r) == kind(r+1) {
			continue
		}
		tried++
		for _, s := range []string{"a" + string(r) + "b", strings.TrimSpace(string(r))} {
			if got, want := name.Validate(s) == nil, validName(s); got != want {
				t.Errorf("%U in %q: schema %v, server %v", r, s, got, want)
			}
		}
	}
	if tried < 100 {
		t.Errorf("only %d characters tried", tried)
	}
}

func kind(r rune) (k [8]bool) {
	for i, table := range []*unicode.RangeTable{unicode.Cc, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp, unicode.Z, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point} {
		k[i] = unicode.Is(table, r)
	}
	return k
}
