package signaling

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// line is a candidate with its fields in order.
func line(fields ...string) string { return "candidate:" + strings.Join(fields, " ") }

func host(ip string) string { return line("1", "1", "udp", "2130706431", ip, "40000", "typ", "host") }

func encoded(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCandidateAddresses(t *testing.T) {
	sdp := "v=0\r\nc=IN IP4 192.0.2.9\r\na=" + host("192.0.2.1") + " generation 0\r\na=" + host("2001:db8::1") +
		"\r\na=" + line("2", "1", "UDP", "1", "192.0.2.2", "9", "typ", "relay", "raddr", "192.0.2.3", "rport", "1") + "\r\na=end-of-candidates\r\n"
	trickled := map[string]any{"candidate": map[string]any{"candidate": host("192.0.2.1"), "sdpMid": "0"}}
	for _, tt := range []struct{ name, data, want string }{
		{"SDP", encoded(t, map[string]any{"description": map[string]any{"type": "offer", "sdp": sdp}}), "192.0.2.1 2001:db8::1 192.0.2.2"},
		{"trickled", encoded(t, trickled), "192.0.2.1"},
		{"a text alone", encoded(t, sdp), "192.0.2.1 2001:db8::1 192.0.2.2"},
		{"JSON in a text", encoded(t, encoded(t, trickled)), "192.0.2.1"},
		{"JSON in a text in a text", encoded(t, encoded(t, encoded(t, sdp))), "192.0.2.1 2001:db8::1 192.0.2.2"},
		{"the same twice", encoded(t, []string{host("192.0.2.1"), host("192.0.2.1")}), "192.0.2.1"},
		{"over TCP", `"` + line("1", "1", "tcp", "1", "192.0.2.1", "9", "typ", "host", "tcptype", "active") + `"`, "192.0.2.1"},
		{"longest fields", `"` + line(strings.Repeat("f", 32), "256", "udp", "4294967295", "192.0.2.1", "65535", "typ", "srflx") + `"`, "192.0.2.1"},
		{"escaped slash", `"` + line(`a\/b`, "1", "udp", "1", "192.0.2.1", "1", "typ", "host") + `"`, "192.0.2.1"},
		{"IPv4 in IPv6", `"` + host("::ffff:192.0.2.1") + `"`, "192.0.2.1"},
		{"a mark before it", `"candidate:candidate: ` + host("192.0.2.1") + `"`, "192.0.2.1"},

		{"nothing", `{"chat":"hello"}`, ""},
		{"a name", `"` + host("0b7c3a26-7e0d-4a3e-9ad5-7a1f0d2c8c8b.local") + `"`, ""},
		{"unspecified", `"` + host("0.0.0.0") + `"`, ""},
		{"unspecified IPv6", `"` + host("::") + `"`, ""},
		{"unspecified in IPv6", `"` + host("::ffff:0.0.0.0") + `"`, ""},
		{"zone", `"` + host("fe80::1%eth0") + `"`, ""},
		{"not an address", `"` + host("192.0.2.256") + `"`, ""},
		{"end of candidates", `{"candidate":""}`, ""},
		{"capitals", `"` + strings.ToUpper(host("192.0.2.1")) + `"`, ""},
		{"no type", `"` + line("1", "1", "udp", "1", "192.0.2.1", "1") + `"`, ""},
		{"no type after typ", `"` + line("1", "1", "udp", "1", "192.0.2.1", "1", "typ") + `"`, ""},
		{"another word than typ", `"` + line("1", "1", "udp", "1", "192.0.2.1", "1", "type", "host") + `"`, ""},
		{"two spaces", `"` + line("1", "1", "udp", "1", "", "192.0.2.1", "1", "typ", "host") + `"`, ""},
		{"no foundation", `"` + line("", "1", "udp", "1", "192.0.2.1", "1", "typ", "host") + `"`, ""},
		{"foundation too long", `"` + line(strings.Repeat("f", 65), "1", "udp", "1", "192.0.2.1", "1", "typ", "host") + `"`, ""},
		{"component is no number", `"` + line("1", "x", "udp", "1", "192.0.2.1", "1", "typ", "host") + `"`, ""},
		{"component too long", `"` + line("1", "1000", "udp", "1", "192.0.2.1", "1", "typ", "host") + `"`, ""},
		{"priority is no number", `"` + line("1", "1", "udp", "-1", "192.0.2.1", "1", "typ", "host") + `"`, ""},
		{"port too long", `"` + line("1", "1", "udp", "1", "192.0.2.1", "123456", "typ", "host") + `"`, ""},
		{"over two texts", `["candidate:1 1 udp 1","192.0.2.1 1 typ host"]`, ""},
		{"cut short", `"candidate:1 1 udp 1 192.0.2.1`, ""},
		{"empty", ``, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := texts(candidateAddresses([]byte(tt.data), 64)); got != tt.want {
				t.Errorf("got %q, want %q, in %s", got, tt.want, tt.data)
			}
		})
	}
}

func texts(ips []netip.Addr) string {
	var out []string
	for _, ip := range ips {
		out = append(out, ip.String())
	}
	return strings.Join(out, " ")
}

func TestCandidateAddressesAreBounded(t *testing.T) {
	var all []string
	for i := range 100 {
		all = append(all, host("192.0.2."+strconv.Itoa(i)))
	}
	if got := candidateAddresses([]byte(encoded(t, all)), 64); len(got) != 64 || got[63].String() != "192.0.2.63" {
		t.Errorf("%d addresses, %v", len(got), got)
	}
}

func FuzzCandidateAddresses(f *testing.F) {
	f.Add([]byte(`{"candidate":{"candidate":"` + host("192.0.2.1") + `"}}`))
	f.Add([]byte(`"v=0\r\na=` + host("2001:db8::1") + `\r\n"`))
	f.Add([]byte(`"candidate:candidate:candidate:1 1 udp"`))
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 3
		found := candidateAddresses(data, limit)
		if len(found) > limit {
			t.Fatalf("%d addresses", len(found))
		}
		for i, ip := range found {
			if !ip.IsValid() || ip.IsUnspecified() || ip.Is4In6() || ip.Zone() != "" || slices.Contains(found[:i], ip) {
				t.Errorf("%v in %v", ip, found)
			}
		}
		// Nothing that comes first hides a candidate, as long as it ends before that.
		marked := netip.MustParseAddr("203.0.113.77")
		data = append(slices.Clip(data), ' ')
		data = append(data, host(marked.String())...)
		if !slices.Contains(candidateAddresses(data, 1<<20), marked) {
			t.Errorf("the last candidate of %q was not seen", data)
		}
	})
}
