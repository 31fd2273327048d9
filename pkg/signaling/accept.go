package signaling

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/maitred/maitred/pkg/udpio"
)

// accept upgrades a request that may be upgraded; otherwise it has answered it with an error.
func (h *Hub) accept(w http.ResponseWriter, r *http.Request) (*conn, error) {
	if err := checkOrigin(r, *h.origins.Load()); err != nil {
		problem(w, http.StatusForbidden, err.Error())
		return nil, err
	}
	if !isUpgrade(r) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		problem(w, http.StatusUpgradeRequired, "this address is for WebSockets: see docs/protocol.md")
		return nil, errNoUpgrade
	}
	if !offers(r, Subprotocol) {
		err := fmt.Errorf("this server speaks the WebSocket subprotocol %s, which the client did not offer", Subprotocol)
		problem(w, http.StatusBadRequest, err.Error())
		return nil, err
	}
	c := newConn(h, h.opts.ClientIP(r), r.Host)
	hj := &hijacker{ResponseWriter: w, conn: &c.net}
	// Reading pauses for pings and pongs that come too fast, as it does for messages.
	control := perSecond(h.opts.MessagesPerSecond, 2*h.opts.MessagesPerSecond)
	ws, err := websocket.Accept(hj, r, &websocket.AcceptOptions{
		Subprotocols:       []string{Subprotocol},
		InsecureSkipVerify: true, // the origin is checked above
		CompressionMode:    websocket.CompressionDisabled,
		OnPingReceived:     func(ctx context.Context, _ []byte) bool { return control.Wait(ctx) == nil },
		OnPongReceived: func(ctx context.Context, payload []byte) {
			if !c.takePong(payload) {
				_ = control.Wait(ctx) // ctx only bounds the pause
			}
		},
	})
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(maxUnjoined)
	if h.opts.MessageSize >= 0 {
		ws.SetReadLimit(min(maxUnjoined, h.opts.MessageSize))
	}
	c.ws, c.buffered = ws, hj.reader
	if c.watcher = h.loops.watcher(h.opts); c.watcher != nil {
		c.direct = udpio.NewDirect(c.net.Conn)
	}
	return c, nil
}

var errNoUpgrade = errors.New("no WebSocket handshake")

// checkOrigin lets pass what is no browser, pages of the same origin, and origins that a pattern allows.
func checkOrigin(r *http.Request, allowed []string) error {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return nil
	}
	u, err := url.Parse(strings.ToLower(origin))
	if err != nil {
		u = &url.URL{}
	}
	if u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") && withoutPort(u.Host, u.Scheme) == withoutPort(strings.ToLower(r.Host), u.Scheme) {
		return nil
	}
	for _, pattern := range allowed {
		target := u.Host
		if strings.Contains(pattern, "://") {
			target = u.Scheme + "://" + u.Host
		}
		// A pattern that is not valid matches nothing.
		if ok, _ := path.Match(strings.ToLower(pattern), target); ok {
			return nil
		}
	}
	return fmt.Errorf("pages of %q may not connect to this server: its operator can allow it with signaling.allowed_origins", shorten(origin))
}

// withoutPort drops the scheme's default port, which browsers leave out of Origin and some proxies add to Host.
func withoutPort(host, scheme string) string {
	switch scheme {
	case "http":
		return strings.TrimSuffix(host, ":80")
	case "https":
		return strings.TrimSuffix(host, ":443")
	}
	return host
}

func isUpgrade(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

func offers(r *http.Request, subprotocol string) bool {
	for _, v := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(v, ",") {
			if strings.TrimSpace(p) == subprotocol {
				return true
			}
		}
	}
	return false
}

// problem answers with application/problem+json (RFC 9457).
func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	// The connection is all that can fail.
	_ = json.NewEncoder(w).Encode(map[string]any{"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": detail})
}

// hijacker hands websocket.Accept a connection of which every write is bounded in time, and keeps it: closing it is
// the one way to end a WebSocket at once, whatever it is doing.
type hijacker struct {
	http.ResponseWriter
	conn   *deadlineConn
	reader *bufio.Reader
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.conn.Conn = conn
	rw.Writer = bufio.NewWriterSize(h.conn, bufferSize)
	if rw.Reader.Buffered() == 0 { // otherwise a client has not waited for the answer, and what it sent is in there
		rw.Reader = bufio.NewReaderSize(h.conn, bufferSize)
	}
	h.reader = rw.Reader
	return h.conn, rw, nil
}

// bufferSize is what a connection reads and writes at once: most messages. net/http's own buffers of 4 KiB, two for each connection, would be a third
// of all memory where most members are quiet.
const bufferSize = 1024

// deadlineConn bounds in time what it does.
type deadlineConn struct {
	out sync.Mutex // held by who writes

	net.Conn
	timeout time.Duration // of each write

	within atomic.Int64 // nanoseconds from the first Read on until endRead; 0: no limit
	armed  atomic.Bool  // that time runs

	ahead []byte // comes before what the network has; owned by the reader
}

// hasRead reports whether something has been read that b, which reads from c, has not returned.
func (c *deadlineConn) hasRead(b *bufio.Reader) bool { return b.Buffered() > 0 || len(c.ahead) > 0 }

// beginRead bounds all reads until endRead together. A message that is in a buffer already, as nearly all are, costs no deadline.
func (c *deadlineConn) beginRead(within time.Duration) { c.within.Store(int64(within)) }

func (c *deadlineConn) endRead() error {
	c.within.Store(0)
	if c.armed.Swap(false) {
		return c.SetReadDeadline(time.Time{})
	}
	return nil
}

// Read implements net.Conn.
func (c *deadlineConn) Read(p []byte) (int, error) {
	if n := copy(p, c.ahead); n > 0 {
		if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
			c.ahead = nil
		}
		return n, nil
	}
	if within := c.within.Load(); within > 0 && !c.armed.Swap(true) {
		if err := c.SetReadDeadline(time.Now().Add(time.Duration(within))); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(p)
}

// Write implements net.Conn. The deadline is per call, so that an idle connection has none that passes.
func (c *deadlineConn) Write(p []byte) (int, error) {
	c.out.Lock()
	defer c.out.Unlock()
	return c.writeLocked(p)
}

func (c *deadlineConn) writeLocked(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
