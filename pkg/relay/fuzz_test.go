package relay

import (
	"github.com/maitred/maitred/pkg/udpio"
	"hash/crc32"
	"strings"
	"testing"
)

// FuzzInput sends anything to a client's entrance, with a session that has a channel and a permission for the network and for
// another session here, and without one.
func FuzzInput(f *testing.F) {
	for _, m := range []string{
		"", "\x40", "\x16\xfe\xff", "\x00\x01\x00\x00\x21\x12\xa4\x42", strings.Repeat("\xff", 100), strings.Repeat("\x00", 100),
		channelData(0x4000, "hello"), channelData(0x4000, ""), channelData(0x4001, "hello"), channelData(0x4002, "?"), "\x40\x00\xff\xffx",
		channelData(0x4000, "hello") + "\x00\x00\x00",
		message(typeBindingRequest), message(typeBindingRequest, attr{0x0003, "1234"}), message(typeBindingRequest, attr{0x8028, "1234"}),
		message(typeBindingRequest, attr{1, ""}, attr{2, ""}, attr{3, "x"}, attr{4, ""}, attr{5, ""}, attr{7, ""}, attr{9, ""}, attr{10, ""}, attr{11, ""}),
		message(typeBindingRequest, attr{0x8000, ""})[:22] + "\x00\x04",
		message(typeBindingIndication), message(typeBindingSuccess), message(typeDataIndication, attr{attrData, "x"}), message(0x0003, attr{0x0019, "\x11\x00\x00\x00"}),
		sendIndication(peer4, "hello"), sendIndication(peer4, ""), sendIndication(other4, "x"), sendIndication(peer6, "x"),
		message(typeSendIndication), message(typeSendIndication, attr{attrData, "x"}), message(typeSendIndication, attr{attrXORPeerAddress, "\x00\x01"}, attr{attrData, "x"}),
	} {
		f.Add([]byte(m), true)
		f.Add([]byte(m), false)
	}
	f.Fuzz(func(t *testing.T, m []byte, allocated bool) {
		if len(m) > 65507 {
			return
		}
		checkInput(t, string(m), allocated)
	})
}

func checkInput(t *testing.T, m string, allocated bool) {
	b := newBed(t, testPorts)
	s, _ := b.session(t, clientA, false)
	target, c := b.session(t, clientB, false)
	s.Bind(0x4000, peer4, ReachNetwork, minute, minute)
	s.Bind(0x4001, target.Relayed(), ReachRelayed, minute, minute)
	target.Permit(s.Relayed().Addr(), ReachRelayed, minute)
	session := s
	if !allocated {
		session = nil
	}
	p := packet(clientA, m)
	verdict, dropped := b.Input(udpio.Immediate, p, session), uint64(0)
	for _, n := range b.Stats().Dropped {
		dropped += n
	}
	out, relayed := socketOf(s).out, len(socketOf(s).out)+len(c.got)
	switch {
	case verdict == Reply:
		checkReply(t, m, string(p.Payload()))
	case verdict == Control && string(p.Payload()) != m:
		t.Errorf("a control request of %d bytes was changed", len(m))
	case verdict == Done && relayed == 0 && dropped != 1 && !(len(m) >= headerSize && m[:2] == "\x00\x11"):
		t.Errorf("nothing came of %x, %d drops", m, dropped)
	}
	if verdict != Done && (relayed > 0 || dropped > 0) || relayed+int(dropped) > 1 || relayed > 0 && !allocated {
		t.Errorf("verdict %d, %d relayed, %d dropped", verdict, relayed, dropped)
	}
	if len(out) == 1 && (out[0].to.Addr() != peer4.Addr() || !strings.Contains(m, out[0].payload)) {
		t.Errorf("%q left, which was not in %x", out, m)
	}
	if len(c.got) == 1 {
		checkIndication(t, m, c.got[0], s)
	}
}

// checkReply checks that a reply answers a Binding request and is whole, small and has its FINGERPRINT.
func checkReply(t *testing.T, request, reply string) {
	n := len(reply) - 8
	if request[:2] != "\x00\x01" || len(reply) > 128 || !wellFormed([]byte(reply)) || reply[4:headerSize] != request[4:headerSize] {
		t.Fatalf("%x is answered by %x", request, reply)
	}
	sum := crc32.ChecksumIEEE([]byte(reply[:n])) ^ fingerprintXOR
	if want := string([]byte{0x80, 0x28, 0, 4, byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}); reply[n:] != want {
		t.Errorf("FINGERPRINT %x, want %x", reply[n:], want)
	}
}

// checkIndication checks what the other session's client got.
func checkIndication(t *testing.T, m, got string, s *Session) {
	const before = headerSize + 12 + 4
	if len(got) < before || !wellFormed([]byte(got)) {
		t.Fatalf("client got %x", got)
	}
	_, v, _, ok := attribute([]byte(got)[before-4:])
	if !ok || !strings.Contains(m, string(v)) || got != dataIndication(got, s.Relayed(), string(v)) {
		t.Errorf("client got %x of %x", got, m)
	}
}
