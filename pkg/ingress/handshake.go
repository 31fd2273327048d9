package ingress

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
)

// ErrNoCertificate is what GetCertificate of a Config.TLS wraps when there is none yet.
var ErrNoCertificate = errNoCertificate

var (
	errNoCertificate = errors.New("there is no certificate")
	errNotTLS        = errors.New("the client does not speak TLS")
	errSilent        = errors.New("the client said nothing in time")
)

// Bytes that a connection begins with: a TLS handshake record (RFC 8446 section 5.1), the letters of an HTTP method.
const tlsHandshake = 0x16

func isMethod(b byte) bool { return 'A' <= b && b <= 'Z' }

// forTURN has everybody but HTTP clients spoken to as TURN clients want it. They get no session tickets: a TURN connection lasts for a call and is
// not resumed. A message of a kilobyte stays in one record, which HTTP's way to begin with small records would cut in two.
func forTURN(config *tls.Config) *tls.Config {
	config, plain := config.Clone(), config.Clone()
	plain.SessionTicketsDisabled, plain.DynamicRecordSizingDisabled = true, true
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		offers := func(protocol string) bool { return slices.Contains(hello.SupportedProtos, protocol) }
		if (offers("h2") || offers("http/1.1")) && !offers(alpnTURN) && !offers(alpnSTUN) {
			return nil, nil // the config itself
		}
		return plain, nil
	}
	return config
}

// first are the buffers that a connection's first bytes are read into; a ClientHello fits.
var first = sync.Pool{New: func() any { return new([4 << 10]byte) }}

// handshake speaks TLS with a client that speaks it, and finds out what for. A request in clear goes on as such, so that somebody can
// answer it in words.
func (l *Listener) handshake(w *Wire) (*Conn, error) {
	buf := first.Get().(*[4 << 10]byte)
	defer first.Put(buf)
	n, err := w.Read(buf[:])
	switch {
	case n == 0 && err == io.EOF:
		return nil, nil // a port scan, or a health check
	case n == 0:
		return nil, inTime(err)
	case isMethod(buf[0]):
		w.ahead = append(bytes.Clone(buf[:n]), w.ahead...)
		l.config.Metrics.count(resultClear)
		return &Conn{Wire: w, For: ClearHTTP}, nil
	case buf[0] != tlsHandshake:
		return nil, errNotTLS
	}
	w.ahead = append(buf[:n:n], w.ahead...) // the handshake reads all of it: nothing of the buffer is left in use
	c := tls.Server(w, l.config.TLS)
	if err := c.Handshake(); err != nil {
		w.ahead = nil
		return nil, fmt.Errorf("TLS handshake: %w", inTime(err))
	}
	w.ahead = bytes.Clone(w.ahead)
	return l.route(c, w)
}

// route decides by ALPN, and without that by the first decrypted byte.
func (l *Listener) route(c *tls.Conn, w *Wire) (*Conn, error) {
	out := &Conn{Wire: w, TLS: c, For: l.config.For}
	switch protocol := c.ConnectionState().NegotiatedProtocol; {
	case protocol == alpnACME:
		l.config.Metrics.count(resultACME)
		return nil, nil
	case !l.config.Shared:
	case protocol == alpnTURN || protocol == alpnSTUN:
		out.For = TURN
	case protocol != "":
		out.For = HTTP
	default:
		var b [1]byte
		if _, err := io.ReadFull(c, b[:]); err != nil {
			return nil, inTime(err)
		}
		out.Ahead = b[:]
		out.For = byFirstByte(b[0])
	}
	l.config.Metrics.count(resultOfProtocol(out.For))
	return out, nil
}

// byFirstByte tells STUN from HTTP. A client without an allocation can only begin with a STUN message, whose method is one of the first 128
// of the registry, so its first byte is 0 or 1 (RFC 8489 section 5); HTTP begins with a letter. What is neither gets HTTP's answer.
func byFirstByte(b byte) Protocol {
	if b <= 1 {
		return TURN
	}
	return HTTP
}

// inTime replaces the error of a deadline that has passed.
func inTime(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errSilent
	}
	return err
}

// HTTPConn is what an HTTP server reads from and writes to. http.Server knows a connection over TLS by its ConnectionState method.
func (c *Conn) HTTPConn() net.Conn {
	switch {
	case c.TLS == nil:
		return c.Wire
	case len(c.Ahead) == 0:
		return c.TLS
	}
	return &aheadConn{Conn: c.TLS, ahead: c.Ahead}
}

// aheadConn is a TLS connection of which something has been read already.
type aheadConn struct {
	*tls.Conn
	ahead []byte
}

func (c *aheadConn) Read(b []byte) (int, error) {
	if len(c.ahead) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.ahead)
	c.ahead = c.ahead[n:]
	return n, nil
}
