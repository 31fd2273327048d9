package signaling

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// BenchmarkSignal relays one signal of the size of an SDP from one member to another, waiting for each to arrive.
func BenchmarkSignal(b *testing.B) {
	s := newServer(b, Options{MessagesPerSecond: -1})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	expect[*MemberJoined](ann)
	raw, err := Encode(&Signal{To: bob.id(), Data: []byte(`{"sdp":"` + strings.Repeat(`a=candidate\r\n`, 150) + `"}`)})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if err := ann.ws.Write(ctx, websocket.MessageText, raw); err != nil {
			b.Fatal(err)
		}
		_, got, err := bob.ws.Read(ctx)
		if err != nil || !bytes.HasPrefix(got, []byte(`{"type":"signal"`)) {
			b.Fatal(string(got), err)
		}
	}
}

// BenchmarkRelay is the same without the network: decode, room, inbox.
func BenchmarkRelay(b *testing.B) {
	s := newServer(b, Options{MessagesPerSecond: -1})
	ann, bob := s.join("r", "Ann"), s.join("r", "Bob")
	raw, err := Encode(&Signal{To: "TO", Data: []byte(`{"sdp":"` + strings.Repeat(`a=candidate\r\n`, 150) + `"}`)})
	if err != nil {
		b.Fatal(err)
	}
	bob.cut()
	s.waitAway(bob)
	s.hub.mu.Lock()
	r := s.hub.rooms["r"]
	s.hub.mu.Unlock()
	r.mu.Lock()
	from, to := r.byIDLocked(ann.id()), r.byIDLocked(bob.id())
	r.mu.Unlock()
	raw = bytes.Replace(raw, []byte("TO"), []byte(to.id), 1)
	b.ReportAllocs()
	for b.Loop() {
		m, _, err := decodeClient(raw)
		if err != nil {
			b.Fatal(err)
		}
		if err := r.signal(from, m.(*Signal)); err != nil {
			b.Fatal(err)
		}
		if _, n, _ := to.inbox.next(nil); n == 0 {
			b.Fatal("nothing arrived")
		}
		to.inbox.wrote(1)
		to.inbox.confirm(to.inbox.sent())
	}
}
