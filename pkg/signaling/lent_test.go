package signaling

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/maitred/maitred/pkg/udpio"
)

// portable has the tests' servers read with goroutines alone, as on systems without event loops.
const portable = "MAITRED_TEST_PORTABLE"

func testNetwork() udpio.Network {
	if os.Getenv(portable) != "" {
		return udpio.NewPortable()
	}
	return nil
}

// TestWithoutLoops runs the tests of this package again, with a goroutine for each connection.
func TestWithoutLoops(t *testing.T) {
	if new(loops).watcher(Options{Network: udpio.NewPortable()}) != nil {
		t.Fatal("the portable network watches connections")
	}
	if os.Getenv(portable) != "" {
		return
	}
	c := exec.Command(os.Args[0], "-test.count=1", "-test.timeout=5m")
	c.Env = append(os.Environ(), portable+"=1")
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// masked is a frame with a key.
func masked(first byte, key uint32, payload []byte) []byte {
	b := header(first, uint64(len(payload)))
	at := len(b) - 4
	binary.BigEndian.PutUint32(b[at:], key)
	for i, c := range payload {
		b = append(b, c^b[at+i%4])
	}
	return b
}

// TestPiecesOfAStream sends all kinds of frames in pieces of many sizes, so that an event loop gets whole ones, beginnings, and ends.
func TestPiecesOfAStream(t *testing.T) {
	s := newServer(t, Options{MessagesPerSecond: -1})
	long := strings.Repeat("x", 20_000)
	var stream []byte
	var want []string
	broadcast := func(data string) []byte {
		want = append(want, data)
		return fmt.Appendf(nil, `{"type":"broadcast","data":%s}`, data)
	}
	for i := range 40 {
		key := uint32(i) * 0x9e3779b9
		stream = append(stream, masked(fin|opText, key, broadcast(fmt.Sprintf(`{"n":%d,"of":"%s"}`, i, long[:i])))...)
		switch i % 8 {
		case 1:
			stream = append(stream, masked(fin|opPong, key, []byte("nobody asked"))...)
		case 2:
			stream = append(stream, masked(fin|opPing, key, []byte("ping"))...)
		case 3:
			stream = append(stream, masked(fin|opText, key, broadcast(`"`+long+`"`))...)
		case 4:
			raw := broadcast(`"in pieces"`)
			stream = append(stream, masked(opText, key, raw[:5])...)
			stream = append(stream, masked(opMore, key+1, nil)...)
			stream = append(stream, masked(fin|opPing, key, nil)...)
			stream = append(stream, masked(fin|opMore, key+2, raw[5:])...)
		case 5:
			stream = append(stream, masked(fin|opText, key, []byte(`{"type":"ice"}`))...)
		case 6:
			stream = append(stream, masked(fin|opText, key, []byte(`{"type":"signal","to":"nobody","data":1}`))...)
		case 7:
			stream = append(stream, masked(fin|opText, key, []byte(`{"type":"kick","member":"nobody"}`))...)
		}
	}
	for _, size := range []int{7, 100, 1460, 16 << 10, 64 << 10, len(stream)} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			room := fmt.Sprint("r", size)
			listener, sender := s.join(room, "listener"), s.joinRaw(room)
			expect[*MemberJoined](listener)
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				sender.closeCode() // what comes back must be read
			}()
			for rest := stream; len(rest) > 0; {
				n := min(size, len(rest))
				sender.write(rest[:n])
				rest = rest[n:]
			}
			for i, data := range want {
				if got := expect[*BroadcastFrom](listener); string(got.Data) != data {
					t.Fatalf("message %d: got %.60s, want %.60s", i, got.Data, data)
				}
			}
			sender.write(frame(fin|opText, []byte(`{"type":"leave"}`)))
			expect[*MemberLeft](listener)
			<-closed
		})
	}
}

// TestQuietMembersHaveNoGoroutine lets members talk, and counts who reads when they are quiet.
func TestQuietMembersHaveNoGoroutine(t *testing.T) {
	s := newServer(t, Options{MaxMembers: 50})
	if s.hub.loops.watcher(s.hub.opts) == nil {
		return // here they have
	}
	var peers []*peer
	for range 50 {
		p := s.join("r", "n")
		for _, other := range peers {
			expect[*MemberJoined](other)
		}
		peers = append(peers, p)
	}
	for _, p := range peers {
		p.send(&Broadcast{Data: []byte(`1`)})
		for _, other := range peers {
			if other != p {
				expect[*BroadcastFrom](other)
			}
		}
	}
	readers := func() int {
		stacks := make([]byte, 1<<20)
		return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "signaling.(*conn).run(")
	}
	for deadline := time.Now().Add(patience); readers() > 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines read for %d quiet members", readers(), len(peers))
		}
	}
}

func TestUnmask(t *testing.T) {
	for n := range 40 {
		payload := []byte(strings.Repeat("abcdefg ", 5)[:n])
		raw := masked(fin|opText, 0x01fe03fc, payload)
		f, size := cutFrame(append(raw, "more"...))
		if size != len(raw) || !f.text {
			t.Fatalf("%d bytes: %d of %d cut", n, size, len(raw))
		}
		masked := string(f.payload)
		f.unmask()
		if string(f.payload) != string(payload) {
			t.Errorf("%q instead of %q", f.payload, payload)
		}
		if f.unmask(); string(f.payload) != masked {
			t.Errorf("%d bytes are not as they were", n)
		}
	}
}

// TestCutFrame has the frames that an event loop leaves to a goroutine.
func TestCutFrame(t *testing.T) {
	text := masked(fin|opText, 1, []byte("text"))
	medium := masked(fin|opText, 1, make([]byte, 126))
	unmasked := append([]byte{}, text...)
	unmasked[1] &^= 0x80
	for name, b := range map[string][]byte{
		"nothing": nil, "one byte": text[:1], "the header": text[:6], "all but a byte": text[:len(text)-1], "half a length": medium[:3], "half a key": medium[:7],
		"fragment": masked(opText, 1, nil), "continuation": masked(fin|opMore, 1, nil), "binary": masked(fin|2, 1, nil), "ping": masked(fin|opPing, 1, nil), "close": masked(fin|opClose, 1, nil),
		"compressed": masked(fin|rsv1|opText, 1, nil), "not masked": unmasked, "long": masked(fin|opText, 1, make([]byte, 1<<16)), "long pong": masked(fin|opPong, 1, make([]byte, 126)),
	} {
		if _, size := cutFrame(b); size != 0 {
			t.Errorf("%s: %d bytes are cut", name, size)
		}
	}
	if f, size := cutFrame(masked(fin|opPong, 1, make([]byte, 8))); size != 14 || f.text {
		t.Errorf("pong: %d bytes, %+v", size, f)
	}
}
