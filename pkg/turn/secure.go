package turn

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"

	"github.com/maitred/maitred/pkg/ingress"
	"github.com/maitred/maitred/pkg/udpio"
)

// secure is the TLS of a connection that packets go through. crypto/tls knows reading and writing that wait. So it gets, in place of the
// socket, a reader that says udpio.ErrWouldBlock while the event loop reads (TLS then goes on where it was), and a writer that only collects records,
// for the queue to send.
type secure struct {
	conn *tls.Conn
	in   aheadReader

	taken *record // what seal returned; owned by who writes

	mu      sync.Mutex
	sealing bool
	sealed  []byte // records that nobody has taken yet
}

// ownRecords bounds, in bytes, what TLS may write by itself while nothing goes to the client.
const ownRecords = 4 << 10

var errOwnRecords = errors.New("the client asks for new keys again and again")

// record is a buffer for records that are on their way to the kernel. Connections that have none to send hold none.
type record struct{ b []byte }

// records are the buffers that nobody uses now.
var records = sync.Pool{New: func() any { return &record{b: make([]byte, 0, keepBuffer)} }}

func newSecure(c *tls.Conn, w *ingress.Wire, socket net.Conn, d *udpio.Direct) *secure {
	s := &secure{conn: c, in: aheadReader{net: socket, direct: d, wait: true}}
	w.Divert(&s.in, s)
	return s
}

// seal implements sealer. Each message gets a record of its own, as there are clients, coturn's among them, that take what one read of TLS
// returns for one message. Records that TLS wrote by itself, such as the answer to a KeyUpdate (RFC 8446 section 4.6.3), go with them.
func (s *secure) seal(b []byte) ([]byte, error) {
	s.taken = records.Get().(*record)
	s.mu.Lock()
	s.sealing, s.sealed = true, append(s.taken.b, s.sealed...)
	s.mu.Unlock()
	var err error
	for len(b) > 0 && err == nil {
		_, padded, _ := frameSize(b) // put has checked it
		_, err = s.conn.Write(b[:padded])
		b = b[padded:]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken.b, s.sealing, s.sealed = s.sealed, false, nil
	return s.taken.b, err
}

// done implements sealer.
func (s *secure) done() {
	if r := s.taken; cap(r.b) <= 4*keepBuffer {
		r.b = r.b[:0]
		records.Put(r)
	}
	s.taken = nil
}

// Write takes a record from TLS.
func (s *secure) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.sealing && len(s.sealed)+len(b) > ownRecords {
		return 0, errOwnRecords
	}
	s.sealed = append(s.sealed, b...)
	return len(b), nil
}

// aheadReader reads the socket for TLS, which asks for little at a time: the header of a record, then the rest. In the event loop it asks
// the kernel once in a round, for as much as there is; the loop comes again when there is more.
type aheadReader struct {
	net    net.Conn
	direct *udpio.Direct // nil: always waits
	wait   bool
	asked  bool // in this round

	got        *readAhead // nil while nothing has been read ahead
	start, end int
}

// readAhead is what is read at once. Connections that wait hold none.
type readAhead [fastBuffer]byte

var readAheads = sync.Pool{New: func() any { return new(readAhead) }}

// begin begins a round of the event loop.
func (r *aheadReader) begin() { r.asked = false }

// Read implements io.Reader.
func (r *aheadReader) Read(b []byte) (int, error) {
	if r.got == nil {
		if r.wait {
			return r.net.Read(b)
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(b, r.got[r.start:r.end])
	if r.start += n; r.start == r.end {
		readAheads.Put(r.got)
		r.got = nil
	}
	return n, nil
}

func (r *aheadReader) fill() error {
	if r.asked {
		return udpio.ErrWouldBlock
	}
	r.asked = true
	into := readAheads.Get().(*readAhead)
	n, err := r.direct.Read(into[:])
	if n == 0 {
		readAheads.Put(into)
		return err
	}
	r.got, r.start, r.end = into, 0, n
	return nil
}
