package relay

import (
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"

	"github.com/maitred/maitred/pkg/udpio"
)

// TestXORAddress pins the attribute to the examples of RFC 5769 sections 2.2 and 2.3.
func TestXORAddress(t *testing.T) {
	for _, tt := range []struct{ name, address, value string }{
		{"IPv4", "192.0.2.1:32853", "0001a147e112a643"},
		{"IPv6", "[2001:db8:1234:5678:11:2233:4455:6677]:32853", "0002a1470113a9faa5d3f179bc25f4b5bed2b9d9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			address := netip.MustParseAddrPort(tt.address)
			v := XORAddress(address, []byte(testID))
			if got := hex.EncodeToString(v); got != tt.value {
				t.Errorf("value = %s, want %s", got, tt.value)
			}
			if got, ok := ParseXORAddress(v, []byte(testID)); !ok || got != address {
				t.Errorf("parsed as %v, %v", got, ok)
			}
		})
	}
}

func TestParseXORAddressRefuses(t *testing.T) {
	for _, tt := range []struct{ name, value string }{
		{"empty", ""},
		{"cut short", "0001a147e112a6"},
		{"no family", "0000a147e112a643"},
		{"unknown family", "0003a147e112a643"},
		{"IPv4 with the length of IPv6", "0001a1470113a9faa5d3f179bc25f4b5bed2b9d9"},
		{"IPv6 with the length of IPv4", "0002a147e112a643"},
		{"one byte too long", "0001a147e112a64300"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := hex.DecodeString(tt.value)
			if err != nil {
				t.Fatal(err)
			}
			if a, ok := ParseXORAddress(v, []byte(testID)); ok {
				t.Errorf("parsed as %v", a)
			}
		})
	}
}

// tail is what finish appends to the response b: SOFTWARE and FINGERPRINT over everything before it (RFC 8489 section 14.7).
func tail(b string) string {
	b += "\x80\x22\x00\x07maitred\x00"
	sum := crc32.ChecksumIEEE([]byte(b)) ^ 0x5354554e
	return b + "\x80\x28\x00\x04" + string([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
}

func TestBinding(t *testing.T) {
	const id = "\x21\x12\xa4\x42" + testID
	v6 := netip.MustParseAddrPort("[2001:db8:1234:5678:11:2233:4455:6677]:32853")
	v4 := netip.MustParseAddrPort("192.0.2.1:32853")
	mapped4 := tail("\x01\x01\x00\x20" + id + "\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43")
	for _, tt := range []struct {
		name    string
		from    netip.AddrPort
		request string
		want    string
	}{
		{"IPv4", v4, message(typeBindingRequest), mapped4},
		{"IPv6", v6, message(typeBindingRequest), tail("\x01\x01\x00\x2c" + id +
			"\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9")},
		{"what ICE sends", v4, message(typeBindingRequest, attr{0x0006, "user:name"}, attr{0x0024, "prio"}, attr{0x8029, "tiebreak"},
			attr{0x0025, ""}, attr{0x0008, strings.Repeat("m", 20)}, attr{0x8028, "fing"}), mapped4},
		{"optional attribute", v4, message(typeBindingRequest, attr{0x8000, ""}, attr{0xC057, "????"}), mapped4},
		{"one unknown", v4, message(typeBindingRequest, attr{0x0003, "\x00\x00\x00\x06"}),
			tail("\x01\x11\x00\x24" + id + "\x00\x09\x00\x04\x00\x00\x04\x14" + "\x00\x0a\x00\x02\x00\x03\x00\x00")},
		{"two unknown", v4, message(typeBindingRequest, attr{0x0003, "1234"}, attr{0x0006, "known"}, attr{0x7fff, ""}),
			tail("\x01\x11\x00\x24" + id + "\x00\x09\x00\x04\x00\x00\x04\x14" + "\x00\x0a\x00\x04\x00\x03\x7f\xff")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, testPorts)
			p := packet(tt.from, tt.request)
			if v := b.Input(udpio.Immediate, p, nil); v != Reply {
				t.Fatalf("verdict %d", v)
			}
			if got := string(p.Payload()); got != tt.want {
				t.Errorf("response\n%x, want\n%x", got, tt.want)
			}
			b.wantDrops(t, nil)
		})
	}
}

// TestBindingBoundsItsAnswer shows that a request of many unknown attributes is not amplified.
func TestBindingBoundsItsAnswer(t *testing.T) {
	var many []attr
	for i := range 300 {
		many = append(many, attr{uint16(0x1000 + i), ""})
	}
	b := newBed(t, testPorts)
	p := packet(clientA, message(typeBindingRequest, many...))
	if v := b.Input(udpio.Immediate, p, nil); v != Reply {
		t.Fatalf("verdict %d", v)
	}
	want := message(typeBindingError, attr{attrErrorCode, "\x00\x00\x04\x14"}, attr{attrUnknownAttributes,
		"\x10\x00\x10\x01\x10\x02\x10\x03\x10\x04\x10\x05\x10\x06\x10\x07"}, attr{attrSoftware, "maitred"}, attr{attrFingerprint, "????"})
	if got := string(p.Payload()); len(got) != len(want) || got[:len(got)-4] != want[:len(want)-4] {
		t.Errorf("response %x", got)
	}
	if len(want) > udpio.MinSpace {
		t.Errorf("the longest answer has %d bytes, a short request's packet has room for %d", len(want), udpio.MinSpace)
	}
}

// TestFrontAnswersBinding goes through the socket that clients talk to.
func TestFrontAnswersBinding(t *testing.T) {
	b := newBed(t, testPorts)
	var control []string
	front := b.NewFront(func(_ udpio.Socket, from netip.AddrPort, _ *Session, request []byte) {
		control = append(control, fmt.Sprint(from, " ", string(request)))
	})
	s := &fakeSocket{network: b.network, handler: front}
	s.receive(clientA, message(typeBindingRequest))
	if len(s.out) != 1 || s.out[0].to != clientA {
		t.Fatalf("sent %q", s.out)
	}
	allocate := message(0x0003, attr{0x0019, "\x11\x00\x00\x00"})
	s.receive(clientB, allocate)
	if want := fmt.Sprint(clientB, " ", allocate); len(control) != 1 || control[0] != want {
		t.Errorf("control requests %q, want %q", control, want)
	}
	s.err = fmt.Errorf("no buffer space")
	s.receive(clientA, message(typeBindingRequest))
	b.wantDrops(t, map[Drop]uint64{DropSendToClient: 1})
}
