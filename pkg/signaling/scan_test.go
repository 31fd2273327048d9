package signaling

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// accepted is what split and its checks say.
func accepted(raw []byte) (*fields, bool) {
	f, err := split(raw)
	return f, err == nil && json.Valid(raw)
}

func compareScan(t *testing.T, raw []byte) {
	t.Helper()
	var got fields
	ok := scan(&got, raw)
	want, valid := accepted(raw)
	if ok != valid {
		t.Fatalf("%q: scanned %v, accepted %v", raw, ok, valid)
	}
	if ok && !reflect.DeepEqual(got.list, want.list) {
		t.Errorf("%q: %q instead of %q", raw, got.list, want.list)
	}
}

var scanned = []string{
	``, ` `, `{}`, ` { } `, `{"a":1}`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`, `{"a":1 "b":2}`, `{"a":1,"b":2}`, `{"a":1}x`, `{"a":1} `, `[1]`, `"a"`, `{a:1}`,
	`{"a":"\u00e4\"\\\/\b\f\n\r\t"}`, `{"a":"\u00g0"}`, `{"a":"\u00e"}`, `{"a":"\x"}`, `{"a":"\`, `{"a":"` + "\n" + `"}`, `{"a":"` + "\x7f" + `"}`, `{"\u0061":1,"b":2}`,
	`{"a":"ä🦦"}`, "{\"a\":\"\xff\"}", "{\"a\":\"\xed\xa0\x80\"}", "{\"a\":\"\xc3\"}", "{\"\xc3\":1}", "\xef\xbb\xbf{}", "{}\xff",
	`{"a":0}`, `{"a":-0}`, `{"a":01}`, `{"a":-}`, `{"a":1.}`, `{"a":.5}`, `{"a":1.5e+3}`, `{"a":1e}`, `{"a":1E-}`, `{"a":1E05}`, `{"a":+1}`, `{"a":0x1}`, `{"a":1.5.2}`, `{"a":1-2}`,
	`{"a":true,"b":false,"c":null}`, `{"a":tru}`, `{"a":truex}`, `{"a":nul}`, `{"a":[]}`, `{"a":[1,]}`, `{"a":[,1]}`, `{"a":[1 2]}`, `{"a":[1,[2,{"b":[]}]]}`, `{"a":{"b":1,}}`,
	`{"a":{"b" 1}}`, `{"a":{1:2}}`, `{"a":{}}`, `{"a":{"b":{}}}`, `{"a":[}`, `{"a":{]}`, `{"a":[1}`, `{"a":`, `{"a":[`, `{"a":[1`, `{"a":{"b"`, `{"a":{"b":`, `{"a":{"b":1`, `{"a":1`,
	"{\"a\"\t:\r\n[ 1 , 2 ] , \"b\" : { \"c\" : 1 } }", "{\"a\":\v1}", `{"a":1,"a":2}`, `{"":""}`,
}

func TestScan(t *testing.T) {
	for _, raw := range scanned {
		compareScan(t, []byte(raw))
	}
	for depth := MaxDepth - 2; depth <= MaxDepth+1; depth++ {
		compareScan(t, []byte(strings.Repeat(`{"a":`, depth)+"1"+strings.Repeat("}", depth)))
		compareScan(t, []byte(`{"a":`+strings.Repeat("[", depth-1)+strings.Repeat("]", depth-1)+"}"))
	}
	// What ends or spoils a string, at every place among characters that are looked at together.
	for _, special := range []string{`"`, `\\`, `\"`, `\u00e4`, `\x`, "\x1f", "\x00", " ", "!", "#", "[", "]", "\x7f", "ä", "\xff", "🦦"} {
		for before := range 18 {
			compareScan(t, []byte(`{"a":"`+strings.Repeat("a", before)+special+strings.Repeat("z", 9)+`"}`))
		}
	}
	for n := maxFields - 1; n <= maxFields+1; n++ {
		compareScan(t, []byte(`{"a":1`+strings.Repeat(`,"b":2`, n-1)+"}"))
	}
}

// FuzzScan: both ways to take a message apart agree on what is valid and on its parts.
func FuzzScan(f *testing.F) {
	for _, raw := range scanned {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { compareScan(t, bytes.Clone(raw)) })
}
