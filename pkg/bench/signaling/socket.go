package signaling

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"
)

const (
	// readBuffer is what a connection reads at once, in bytes; an ordinary message fits several times.
	readBuffer = 2048
	// longestMessage bounds what a server may send in one message, in bytes.
	longestMessage = 1 << 20
	// longestControl is that of a ping, pong or close frame (RFC 6455 section 5.5).
	longestControl = 125
)

// Opcodes of frames (RFC 6455 section 5.2).
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

// socket is the client's end of a WebSocket (RFC 6455), with what a load needs and no more: it spends little on a message, and holds no buffer of
// its own for one. One goroutine reads it; any may write whole frames.
type socket struct {
	conn net.Conn
	in   *bufio.Reader
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// dial opens a WebSocket at the address to, which is that of the host in target. from is this end's address; the zero value leaves it to the
// system. ctx bounds the handshake.
func dial(ctx context.Context, from netip.Addr, to netip.AddrPort, target *url.URL, subprotocol string) (*socket, error) {
	var dialer net.Dialer
	if from.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	conn, err := dialer.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, &failure{"connect", err}
	}
	s := &socket{conn: conn}
	if target.Scheme == "wss" {
		secure := tls.Client(conn, &tls.Config{ServerName: target.Hostname(), NextProtos: []string{"http/1.1"}})
		s.conn = secure
		err = secure.HandshakeContext(ctx)
	}
	s.in = bufio.NewReaderSize(s.conn, readBuffer)
	release := s.bound(ctx)
	if err == nil {
		err = s.handshake(target, subprotocol)
	}
	if err = release(err); err != nil {
		_ = conn.Close() // the error is that of the handshake
		return nil, err
	}
	return s, nil
}

// bound makes everything on the socket fail once ctx has ended. release undoes it and says why, where that is what happened.
func (s *socket) bound(ctx context.Context) (release func(error) error) {
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetDeadline(longAgo) })
	return func(err error) error {
		if !stop() {
			return context.Cause(ctx)
		}
		return err
	}
}

// handshake asks for the upgrade and checks the answer (RFC 6455 section 4.1).
func (s *socket) handshake(target *url.URL, subprotocol string) error {
	var nonce [16]byte
	rand.Read(nonce[:]) // never fails
	key := base64.StdEncoding.EncodeToString(nonce[:])
	request := "GET " + target.RequestURI() + " HTTP/1.1\r\nHost: " + target.Host +
		"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\n"
	if subprotocol != "" {
		request += "Sec-WebSocket-Protocol: " + subprotocol + "\r\n"
	}
	if _, err := io.WriteString(s.conn, request+"\r\n"); err != nil {
		return err
	}
	answer, err := http.ReadResponse(s.in, nil)
	if err != nil {
		return fmt.Errorf("read the answer to the WebSocket handshake: %w", err)
	}
	defer answer.Body.Close()
	switch {
	case answer.StatusCode != http.StatusSwitchingProtocols:
		return refusedUpgrade(answer)
	case answer.Header.Get("Sec-WebSocket-Accept") != accept(key):
		return &failure{"handshake", errors.New("the server answers a WebSocket handshake, but not this one")}
	case answer.Header.Get("Sec-WebSocket-Protocol") != subprotocol:
		return &failure{"handshake", fmt.Errorf("the server speaks the subprotocol %q, not %q", answer.Header.Get("Sec-WebSocket-Protocol"), subprotocol)}
	}
	return nil
}

// accept is what proves that a server has read a key.
func accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// refusedUpgrade is what an answer without a WebSocket says.
func refusedUpgrade(answer *http.Response) error {
	const enough = 1024
	body, _ := io.ReadAll(io.LimitReader(answer.Body, enough)) // a part will do
	var problem struct{ Detail string }                        // RFC 9457
	text := ""
	if json.Unmarshal(body, &problem) == nil && problem.Detail != "" {
		text = ": " + problem.Detail
	}
	return &failure{fmt.Sprintf("http_%d", answer.StatusCode), fmt.Errorf("the server answers the WebSocket handshake with %s%s", answer.Status, text)}
}

// buffers hold messages while they are looked at. A connection that is idle has none.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// closed is how the server ended a connection.
type closed struct {
	code   uint16 // 0: it gave none
	reason string
}

func (c *closed) Error() string {
	return fmt.Sprintf("the server closed the connection: %d %s", c.code, c.reason)
}

// header is what a frame begins with.
type header struct {
	final  bool
	opcode byte
	size   int
}

// next reads one message and gives it to take, whose slice is good for the call only. Pings are answered meanwhile. The error is a *closed once the
// server has closed.
func (s *socket) next(take func(message []byte) error) error {
	var message *[]byte
	for {
		h, err := s.header()
		if err != nil {
			return err
		}
		if h.opcode >= opClose {
			if err := s.control(h); err != nil {
				return err
			}
			continue
		}
		if (h.opcode == opContinuation) != (message != nil) || h.opcode > opBinary {
			return &failure{"protocol", fmt.Errorf("the server sends a frame with opcode %d where none may be", h.opcode)}
		}
		if message == nil {
			message = buffers.Get().(*[]byte)
			defer buffers.Put(message)
			*message = (*message)[:0]
		}
		read := len(*message)
		if h.size > longestMessage-read {
			return &failure{"protocol", fmt.Errorf("the server sends a message of more than %d bytes", longestMessage)}
		}
		*message = slices.Grow(*message, h.size)[:read+h.size]
		if _, err := io.ReadFull(s.in, (*message)[read:]); err != nil {
			return err
		}
		if h.final {
			return take(*message)
		}
	}
}

// header reads that of the next frame.
func (s *socket) header() (h header, err error) {
	b, err := s.in.Peek(2)
	if err != nil {
		return h, err
	}
	const final, reserved, masked = 0x80, 0x70, 0x80
	h = header{final: b[0]&final != 0, opcode: b[0] & 0x0f, size: int(b[1] &^ masked)}
	if b[0]&reserved != 0 || b[1]&masked != 0 {
		return h, &failure{"protocol", fmt.Errorf("the server sends a frame that begins with %#x: masked, or with an extension", b)}
	}
	length := 2
	switch h.size {
	case 126:
		length += 2
	case 127:
		length += 8
	}
	if b, err = s.in.Peek(length); err != nil {
		return h, err
	}
	switch h.size {
	case 126:
		h.size = int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		h.size = int(min(binary.BigEndian.Uint64(b[2:]), longestMessage+1)) // that is too long already
	}
	_, err = s.in.Discard(length)
	return h, err
}

// control answers pings and close frames.
func (s *socket) control(h header) error {
	var space [longestControl]byte
	if h.size > longestControl || !h.final {
		return &failure{"protocol", fmt.Errorf("the server sends a control frame of %d bytes or in parts", h.size)}
	}
	payload := space[:h.size]
	if _, err := io.ReadFull(s.in, payload); err != nil {
		return err
	}
	switch h.opcode {
	case opPing:
		return s.send(appendFrame(nil, opPong, 0, payload))
	case opClose:
		_ = s.send(appendFrame(nil, opClose, 0, payload)) // the server may be gone
		c := &closed{}
		if len(payload) >= 2 {
			c.code, c.reason = binary.BigEndian.Uint16(payload), string(payload[2:])
		}
		return c
	}
	return nil
}

// hold bounds how many bytes the kernel keeps of what the server has not taken yet.
func (s *socket) hold(bytes int) {
	conn := s.conn
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	_ = conn.(*net.TCPConn).SetWriteBuffer(bytes) // with a larger one the figures say less, and are not wrong
}

// send writes whole frames.
func (s *socket) send(frames []byte) error {
	_, err := s.conn.Write(frames)
	return err
}

func (s *socket) close() { _ = s.conn.Close() } // nothing that counts is left to send

// appendFrame adds a final frame to b, masked with key (RFC 6455 section 5.3). The keys need not be hard to guess here: what they keep out is a
// page that speaks to a proxy through a browser.
func appendFrame(b []byte, opcode byte, key uint32, payload []byte) []byte {
	const final, masked = 0x80, 0x80
	b = append(b, final|opcode)
	switch n := len(payload); {
	case n < 126:
		b = append(b, masked|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, masked|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, masked|127), uint64(n))
	}
	b = binary.LittleEndian.AppendUint32(b, key)
	start := len(b)
	b = append(b, payload...)
	mask(b[start:], key)
	return b
}

func mask(b []byte, key uint32) {
	twice := uint64(key)<<32 | uint64(key)
	for ; len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^twice)
	}
	for i := range b {
		b[i] ^= byte(key >> (8 * i & 31))
	}
}
