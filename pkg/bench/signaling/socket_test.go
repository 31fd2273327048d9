package signaling

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

func TestMask(t *testing.T) {
	const key = 0x04030201
	for n := range 40 {
		b := bytes.Repeat([]byte{0xa5}, n)
		mask(b, key)
		for i, got := range b {
			if want := 0xa5 ^ byte(i%4+1); got != want {
				t.Fatalf("byte %d of %d is %#x, want %#x", i, n, got, want)
			}
		}
	}
}

// connect opens a WebSocket to a handler of a library that is not ours.
func connect(t *testing.T, serve func(*websocket.Conn)) *socket {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"x"}})
		if err != nil {
			t.Error(err)
			return
		}
		defer ws.CloseNow()
		ws.SetReadLimit(-1)
		serve(ws)
	}))
	t.Cleanup(server.Close)
	s, err := dialTo(t, server.URL, "x")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

func dialTo(t *testing.T, address, subprotocol string) (*socket, error) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Scheme = "ws"
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return dial(ctx, netip.Addr{}, netip.MustParseAddrPort(u.Host), u, subprotocol)
}

// TestSocketEchoes messages of every form of length, both ways.
func TestSocketEchoes(t *testing.T) {
	s := connect(t, func(ws *websocket.Conn) {
		for {
			typ, b, err := ws.Read(context.Background())
			if err != nil || ws.Write(context.Background(), typ, b) != nil {
				return
			}
		}
	})
	for _, size := range []int{0, 1, 125, 126, 300, readBuffer, 65535, 65536, longestMessage} {
		message := bytes.Repeat([]byte("x"), size)
		if err := s.send(appendFrame(nil, opText, 0x9e3779b9, message)); err != nil {
			t.Fatal(err)
		}
		if err := s.next(func(got []byte) error {
			if !bytes.Equal(got, message) {
				t.Errorf("%d bytes came back as %d", size, len(got))
			}
			return nil
		}); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
	}
}

// TestSocketAnswersPings while it waits for a message.
func TestSocketAnswersPings(t *testing.T) {
	pinged := make(chan error, 1)
	s := connect(t, func(ws *websocket.Conn) {
		ctx, cancel := context.WithTimeout(ws.CloseRead(context.Background()), patience)
		defer cancel()
		pinged <- ws.Ping(ctx)
		_ = ws.Write(ctx, websocket.MessageText, []byte("after"))
	})
	if err := s.next(func([]byte) error { return nil }); err != nil {
		t.Error(err)
	}
	if err := <-pinged; err != nil {
		t.Error(err)
	}
}

// TestSocketClosed says with which code, and answers so that the server's handshake ends.
func TestSocketClosed(t *testing.T) {
	ended := make(chan error, 1)
	s := connect(t, func(ws *websocket.Conn) { ended <- ws.Close(4008, "too slow") })
	err := s.next(func([]byte) error { return nil })
	var c *closed
	if !errors.As(err, &c) || c.code != 4008 || c.reason != "too slow" || kindOf(err) != "closed_4008" {
		t.Errorf("%v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestFrames reads what a server may send and says what it may not.
func TestFrames(t *testing.T) {
	long := func(size uint64) string {
		return "\x81\x7f" + string(binary.BigEndian.AppendUint64(nil, size))
	}
	for _, tt := range []struct {
		name string
		raw  string
		want []string
		says string
	}{
		{"two messages", "\x81\x02ab\x81\x01c", []string{"ab", "c"}, "EOF"},
		{"binary", "\x82\x01b", []string{"b"}, "EOF"},
		{"in parts", "\x01\x01a\x00\x01b\x80\x01c", []string{"abc"}, "EOF"},
		{"a pong between the parts", "\x01\x01a\x8a\x01x\x80\x01c", []string{"ac"}, "EOF"},
		{"an empty message", "\x81\x00", []string{""}, "EOF"},
		{"cut off in the header", "\x81", nil, "EOF"},
		{"cut off in the length", "\x81\x7e\x00", nil, "EOF"},
		{"cut off in the payload", "\x81\x05ab", nil, "unexpected EOF"},
		{"a part of nothing", "\x80\x01a", nil, "opcode 0 where none may be"},
		{"a message in a message", "\x01\x01a\x81\x01b", nil, "opcode 1 where none may be"},
		{"an unknown opcode", "\x83\x01a", nil, "opcode 3 where none may be"},
		{"masked", "\x81\x81abcde", nil, "masked"},
		{"compressed", "\xc1\x01a", nil, "with an extension"},
		{"a long ping", "\x89\x7e\x00\x7e" + strings.Repeat("x", 126), nil, "a control frame of 126 bytes"},
		{"a ping in parts", "\x09\x00", nil, "or in parts"},
		{"too long", long(longestMessage + 1), nil, "a message of more than"},
		{"far too long", long(1 << 63), nil, "a message of more than"},
		{"too long in parts", "\x01\x01a" + "\x80" + long(longestMessage)[1:], nil, "a message of more than"},
		{"closed without a code", "\x88\x00", nil, "closed the connection: 0"},
		{"closed", "\x88\x04\x0f\xa8no", nil, "closed the connection: 4008 no"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer ours.Close()
			go func() {
				defer theirs.Close()
				go func() { _, _ = io.Copy(io.Discard, theirs) }() // until ours is closed
				_, _ = io.WriteString(theirs, tt.raw)
			}()
			s := &socket{conn: ours, in: bufio.NewReaderSize(ours, readBuffer)}
			var got []string
			for {
				err := s.next(func(message []byte) error {
					got = append(got, string(message))
					return nil
				})
				if err == nil {
					continue
				}
				if !strings.Contains(err.Error(), tt.says) {
					t.Errorf("ended with %v", err)
				}
				break
			}
			if strings.Join(got, "|") != strings.Join(tt.want, "|") || len(got) != len(tt.want) {
				t.Errorf("%q", got)
			}
		})
	}
}

// TestHandshake says why there is no WebSocket.
func TestHandshake(t *testing.T) {
	upgrade := func(headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n"+strings.Join(append(headers, ""), "\r\n")+
				"Sec-WebSocket-Accept: "+accept(r.Header.Get("Sec-WebSocket-Key"))+"\r\n\r\n")
		}
	}
	for _, tt := range []struct {
		name  string
		serve http.HandlerFunc
		kind  string
		says  string
	}{
		{"fine", upgrade("Sec-WebSocket-Protocol: x"), "", ""},
		{"refused with a reason", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"status":403,"detail":"not from there"}`)
		}, "http_403", "403 Forbidden: not from there"},
		{"not found", http.NotFound, "http_404", "404 Not Found"},
		{"no such subprotocol", upgrade(), "handshake", `speaks the subprotocol "", not "x"`},
		{"a stale answer", upgrade("Sec-WebSocket-Accept: AAAA"), "handshake", "but not this one"},
		{"no HTTP", func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "SSH-2.0\r\n\r\n")
				conn.Close()
			}
		}, "lost", "read the answer to the WebSocket handshake"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(tt.serve)
			defer server.Close()
			s, err := dialTo(t, server.URL, "x")
			if err == nil {
				s.close()
			}
			if (err == nil) != (tt.kind == "") || err != nil && (kindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestAccept is the example of RFC 6455 section 1.3.
func TestAccept(t *testing.T) {
	if got := accept("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Error(got)
	}
}

// TestSecure needs a certificate that is good.
func TestSecure(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Scheme = "wss"
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := dial(ctx, netip.Addr{}, netip.MustParseAddrPort(u.Host), u, ""); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v", err)
	}
}

// TestDialEnds with its context, however far it is.
func TestDialEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // accepts, and never answers
	for _, scheme := range []string{"ws", "wss"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := dial(ctx, netip.Addr{}, netip.MustParseAddrPort(l.Addr().String()), &url.URL{Scheme: scheme, Host: l.Addr().String(), Path: "/"}, "")
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", scheme, err)
		}
	}
}
