package signaling

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/maitred/maitred/pkg/token"
)

// example is a fenced block of docs/protocol.md.
type example struct {
	direction string
	raw       string
}

const (
	toServer = "client→server"
	toClient = "server→client"
)

var fence = regexp.MustCompile("(?ms)^```json (\\S+)\n(.*?)^```$")

func protocolDoc(t testing.TB) string {
	doc, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

func examples(t testing.TB) []example {
	var all []example
	for _, m := range fence.FindAllStringSubmatch(protocolDoc(t), -1) {
		all = append(all, example{m[1], m[2]})
	}
	if len(all) == 0 {
		t.Fatal("docs/protocol.md has no examples")
	}
	return all
}

func TestProtocolExamples(t *testing.T) {
	shown := map[string]bool{}
	for _, e := range examples(t) {
		f, err := split([]byte(e.raw))
		if err != nil {
			t.Fatalf("%v in\n%s", err, e.raw)
		}
		typ := f.string("type")
		values := map[string]json.RawMessage{}
		for _, v := range f.list {
			values[v.name] = v.value
		}
		switch e.direction {
		case toServer:
			_, _, err = decodeClient([]byte(e.raw))
		case toClient:
			err = decodeServerStrict(typ, values)
		default:
			t.Errorf("example is marked %q, want %s or %s", e.direction, toServer, toClient)
		}
		if err != nil {
			t.Errorf("%v in\n%s", err, e.raw)
		}
		shown[e.direction+typ] = true
	}
	for typ := range clientMessages {
		if !shown[toServer+typ] {
			t.Errorf("no example of %s %s", toServer, typ)
		}
	}
	for typ := range serverMessages {
		if !shown[toClient+typ] {
			t.Errorf("no example of %s %s", toClient, typ)
		}
	}
}

// decodeServerStrict wants every field known, and every one that is not optional there.
func decodeServerStrict(typ string, values map[string]json.RawMessage) error {
	newMessage := serverMessages[typ]
	if newMessage == nil {
		return fmt.Errorf("unknown type %q", typ)
	}
	raw, err := json.Marshal(values)
	if err != nil {
		return err
	}
	m := newMessage()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(m); err != nil {
		return err
	}
	again, err := json.Marshal(m)
	if err != nil {
		return err
	}
	for _, field := range regexp.MustCompile(`"(\w+)":`).FindAllStringSubmatch(string(again), -1) {
		if !strings.Contains(string(raw), field[0]) {
			return fmt.Errorf("the example of %s lacks %q", typ, field[1])
		}
	}
	return nil
}

// tableRows returns the cells of the table with this header, row by row.
func tableRows(t *testing.T, doc, header string) (rows [][]string) {
	t.Helper()
	_, after, ok := strings.Cut(doc, "\n"+header+"\n")
	if !ok {
		t.Fatalf("docs/protocol.md has no table %s", header)
	}
	lines := strings.Split(after, "\n")
	for _, line := range lines[1:] { // the first is |---|
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	if len(rows) == 0 {
		t.Fatalf("the table %s of docs/protocol.md is empty", header)
	}
	return rows
}

// column returns what the first cells of a table say, each once, without backticks, sorted.
func column(rows [][]string) (cells []string) {
	for _, row := range rows {
		cells = append(cells, strings.Trim(row[0], "`"))
	}
	slices.Sort(cells)
	return slices.Compact(cells)
}

// sources are the package's files without its tests.
func sources(t *testing.T) (files []*ast.File) {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(gotoken.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// constants returns the values of the exported constants that are declared with this type, sorted.
func constants(t *testing.T, typ string) []string {
	t.Helper()
	return slices.Sorted(maps.Values(namedConstants(t, typ)))
}

// namedConstants returns them by name.
func namedConstants(t *testing.T, typ string) map[string]string {
	t.Helper()
	values := map[string]string{}
	for _, file := range sources(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || spec.Type == nil || typeName(spec.Type) != typ || len(spec.Values) != 1 || !spec.Names[0].IsExported() {
				return true
			}
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
				values[spec.Names[0].Name] = strings.Trim(lit.Value, `"`)
			}
			return true
		})
	}
	if len(values) == 0 {
		t.Fatalf("found no constants of type %s", typ)
	}
	return values
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return typeName(e.X) + "." + e.Sel.Name
	}
	return ""
}

// standardCloses are the close codes of RFC 6455 section 7.4.1 by their names in package websocket.
var standardCloses = map[string]websocket.StatusCode{
	"StatusNormalClosure":   websocket.StatusNormalClosure,
	"StatusGoingAway":       websocket.StatusGoingAway,
	"StatusPolicyViolation": websocket.StatusPolicyViolation,
	"StatusMessageTooBig":   websocket.StatusMessageTooBig,
	"StatusInternalError":   websocket.StatusInternalError,
	"StatusServiceRestart":  websocket.StatusServiceRestart,
	"StatusTryAgainLater":   websocket.StatusTryAgainLater,
}

// closeCodes are all that the package can close a connection with, and the library's 1002.
func closeCodes(t *testing.T) []string {
	codes := append(constants(t, "websocket.StatusCode"), strconv.Itoa(int(websocket.StatusProtocolError)), "none")
	for _, file := range sources(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && strings.HasPrefix(typeName(sel), "websocket.Status") && sel.Sel.Name != "StatusCode" {
				code, ok := standardCloses[sel.Sel.Name]
				if !ok {
					t.Errorf("%s is not in the table of this test", sel.Sel.Name)
				}
				codes = append(codes, strconv.Itoa(int(code)))
			}
			return true
		})
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

func TestProtocolTables(t *testing.T) {
	doc := protocolDoc(t)
	for _, tt := range []struct {
		name, header string
		want         []string
	}{
		{"error codes", "| `code` | when | the connection |", constants(t, "Code")},
		{"reasons", "| `reason` | |", constants(t, "Reason")},
		{"close codes", "| close code | meaning | the seat | should the client come back? |", closeCodes(t)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := column(tableRows(t, doc, tt.header)); !slices.Equal(got, tt.want) {
				t.Errorf("docs/protocol.md has %q,\nthe package %q", got, tt.want)
			}
		})
	}
}

// TestProtocolErrorsClose compares what the table of error codes says about the connection with what the errors do.
func TestProtocolErrorsClose(t *testing.T) {
	want := map[string]bool{}
	names := namedConstants(t, "Code")
	closes := namedConstants(t, "websocket.StatusCode")
	for name, code := range standardCloses {
		closes[name] = strconv.Itoa(int(code))
	}
	for _, file := range sources(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			var parts []ast.Expr
			switch n := n.(type) {
			case *ast.CompositeLit:
				if typeName(n.Type) == "clientError" {
					parts = n.Elts
				}
			case *ast.CallExpr:
				if typeName(n.Fun) == "turnedAway" {
					parts = n.Args
				}
			}
			code, what := "", "stays"
			for _, part := range parts {
				if pair, ok := part.(*ast.KeyValueExpr); ok {
					part = pair.Value
				}
				name := strings.TrimPrefix(typeName(part), "websocket.")
				code += names[name]
				if closes[name] != "" {
					what = "closes with " + closes[name]
				}
			}
			if code != "" {
				want[code+" "+what] = true
			}
			return true
		})
	}
	got := map[string]bool{}
	for _, row := range tableRows(t, protocolDoc(t), "| `code` | when | the connection |") {
		got[strings.Trim(row[0], "`")+" "+row[2]] = true
	}
	if !maps.Equal(got, want) {
		t.Errorf("docs/protocol.md has %q,\nthe package %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

func TestProtocolFixedLimits(t *testing.T) {
	size := func(n int) string { return fmt.Sprintf("%d KiB", n/1024) }
	characters := func(n int) string { return fmt.Sprintf("%d characters", n) }
	opts := Options{}.withDefaults()
	want := map[string]string{
		"a message before `joined` or `waiting`": size(maxJoin),
		"a `signal` or `broadcast`, whole":       size(maxRelayed),
		"a `join`, whole":                        size(maxJoin),
		"a `password`, whole":                    size(maxPassword),
		"an `update`, whole":                     size(maxUpdate),
		"every other message, whole":             size(maxCommand),
		"`data`":                                 size(MaxDataSize),
		"`state`":                                size(MaxStateSize),
		"`token`, `password`, `resume`, each":    size(MaxTokenLength),
		"`room`":                                 characters(MaxRoomLength),
		"`name`":                                 characters(MaxNameLength),
		"`reason`":                               characters(MaxReason),
		"objects and arrays within each other, the message included":      strconv.Itoa(MaxDepth),
		"reports on the relay a second per member, twice as many at once": strconv.Itoa(reportsPerSecond),
		"allocations in a report on the relay":                            strconv.Itoa(maxReported),
		"time from the connection to `joined` or `waiting`":               seconds(opts.JoinTimeout),
		"time from a message's first byte to its last":                    seconds(opts.ReadTimeout),
		"time from a ping to its pong":                                    seconds(opts.PongTimeout),
	}
	got := map[string]string{}
	for _, row := range tableRows(t, protocolDoc(t), "| limit | | beyond it |") {
		got[row[0]] = row[1]
	}
	if !maps.Equal(got, want) {
		t.Errorf("docs/protocol.md has %q,\nthe package %q", got, want)
	}
	inTable := map[int]bool{maxRelayed: true, maxJoin: true, maxPassword: true, maxUpdate: true, maxCommand: true}
	for typ, known := range clientMessages {
		if !inTable[known.limit] {
			t.Errorf("the limit of %s is not in the table", typ)
		}
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%d s", d/time.Second) }

// TestProtocolToken takes the join token of the document apart and verifies it.
func TestProtocolToken(t *testing.T) {
	_, section, ok := strings.Cut(protocolDoc(t), "\n## Join tokens\n")
	if !ok {
		t.Fatal("docs/protocol.md says nothing about join tokens")
	}
	blocks := regexp.MustCompile("(?ms)^```(?:text|json)\n(.*?)\n```$").FindAllStringSubmatch(section, 4)
	if len(blocks) != 4 {
		t.Fatalf("%d blocks, want token, header, claims and key", len(blocks))
	}
	raw, header, claims, key := blocks[0][1], blocks[1][1], blocks[2][1], blocks[3][1]
	keys, err := token.ParseKeys([]string{key})
	if err != nil {
		t.Fatal(err)
	}
	got, err := keys.Verify(raw, time.Unix(1767222000, 0))
	if err != nil {
		t.Fatal(err)
	}
	want := token.Claims{ID: "invite-17", Room: "blue-otter", Name: "Ann", Role: "moderator", Expires: time.Unix(1767225600, 0).UTC(), MaxUses: 1}
	if got != want {
		t.Errorf("the token says %+v, want %+v", got, want)
	}
	parts := strings.Split(raw, ".")
	for i, text := range []string{header, claims} {
		decoded, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(parseJSON(t, decoded), parseJSON(t, []byte(text))) {
			t.Errorf("part %d is %s, the document says %s", i+1, decoded, text)
		}
	}
	if !strings.Contains(section, `"token": "`+raw+`"}`) {
		t.Error("the example of join has another token")
	}
}

func parseJSON(t *testing.T, raw []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return v
}
