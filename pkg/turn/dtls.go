package turn

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/maitred/maitred/pkg/ingress"
	"github.com/maitred/maitred/pkg/relay"
	"github.com/maitred/maitred/pkg/udpio"
	"github.com/pion/dtls/v3"
	"github.com/pion/logging"
	"github.com/pion/transport/v5/deadline"
	"golang.org/x/time/rate"
)

// dtlsFront are the sockets of TURN over DTLS (RFC 7350). Each client's datagrams go through a queue of its own to Pion's DTLS, which decrypts
// them for the connection's reader. Browsers do not speak it, and it is for the few clients that do: no event loop takes part.
type dtlsFront struct {
	// fixed after construction
	server   *Server
	sockets  []udpio.Socket
	options  []dtls.ServerOption
	failures rate.Sometimes

	mu         sync.Mutex
	clients    map[netip.AddrPort]*dtlsClient // handshakes, and open connections: both have a limit
	handshakes int
	perIP      map[netip.Addr]int // handshakes
	closed     bool
	wait       sync.WaitGroup
}

// dtlsShare is the part of the handshakes that one address may have.
const dtlsShare = 8

// dtlsQueue is how many datagrams of one client may wait for it to be scheduled.
const dtlsQueue = 64

// Sizes in bytes.
const (
	maxDatagram    = 8192     // what Pion's DTLS reads at once
	maxDTLSMessage = 1 << 14  // what a record can carry (RFC 6347 section 4.1)
	maxUnsettled   = 64 << 10 // all that one client may send before its handshake is done, and handshake records after that
)

func (s *Server) newDTLSFront() (*dtlsFront, error) {
	f := &dtlsFront{server: s, clients: map[netip.AddrPort]*dtlsClient{}, perIP: map[netip.Addr]int{}, failures: rate.Sometimes{Interval: time.Minute}}
	f.options = []dtls.ServerOption{
		dtls.WithGetCertificate(func(hello *dtls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.config.TLSConfig.GetCertificate(&tls.ClientHelloInfo{ServerName: hello.ServerName})
		}),
		dtls.WithExtendedMasterSecret(dtls.RequestExtendedMasterSecret),
		// What Pion logs is a line for each client that goes wrong; the front says what matters.
		dtls.WithLoggerFactory(&logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}),
	}
	bind, err := bindAddress(s.config.DTLS)
	if err != nil {
		return nil, fmt.Errorf("turn.dtls: %w", err)
	}
	if f.sockets, err = s.network.OpenShared(bind, f); err != nil {
		return nil, ingress.BindError("turn.dtls", s.config.DTLS, err)
	}
	return f, nil
}

// Packet implements udpio.Handler.
func (f *dtlsFront) Packet(_ udpio.Batch, s udpio.Socket, p *udpio.Packet) {
	f.mu.Lock()
	c := f.clients[p.From]
	if c == nil {
		c = f.acceptLocked(s, p)
	}
	var b []byte
	if c != nil && len(p.Payload()) <= maxDatagram {
		b = c.acceptable(p.Payload())
	}
	f.mu.Unlock()
	if len(b) == 0 {
		f.server.relay.Drop(relay.DropUnexpected)
		return
	}
	select {
	case c.in <- b:
	default:
		f.server.relay.Drop(relay.DropQueueFull)
	}
}

// acceptLocked begins a handshake where a client greets. It costs memory before the client has proven its address, so there are only so many,
// and fewer from one address. It returns nil when there is none to begin.
func (f *dtlsFront) acceptLocked(s udpio.Socket, p *udpio.Packet) *dtlsClient {
	most, ip := f.server.config.DTLSHandshakes, ingress.Network(p.From.Addr())
	if f.closed || !isClientHello(p.Payload()) || f.handshakes >= most || f.perIP[ip] >= max(1, most/dtlsShare) {
		return nil
	}
	c := &dtlsClient{front: f, socket: s, addr: p.From, in: make(chan []byte, dtlsQueue), done: make(chan struct{}), reading: deadline.New()}
	f.clients[c.addr] = c
	f.handshakes++
	f.perIP[ip]++
	f.wait.Go(func() { f.shake(c) })
	return c
}

// isClientHello tells whether a datagram begins with the record of an unencrypted ClientHello (RFC 6347 sections 4.1 and 4.2.2).
func isClientHello(b []byte) bool {
	const clientHello = 1
	return len(b) > recordHeader && b[0] == handshakeRecord && b[1] == 0xfe && b[3] == 0 && b[4] == 0 && b[recordHeader] == clientHello
}

// Content types of records (RFC 5246 section 6.2.1).
const (
	changeCipherRecord = 20
	alertRecord        = 21
	handshakeRecord    = 22
)

// shake takes a client through its handshake and has it served.
func (f *dtlsFront) shake(c *dtlsClient) {
	secured, err := f.handshake(c)
	ip := ingress.Network(c.addr.Addr())
	f.mu.Lock()
	f.handshakes--
	if f.perIP[ip]--; f.perIP[ip] == 0 {
		delete(f.perIP, ip)
	}
	c.established = err == nil
	closed := f.closed
	f.mu.Unlock()
	switch {
	case err != nil:
		_ = c.Close()
		f.server.log.Debug("DTLS handshake failed", "client", c.addr, "error", err)
		if errors.Is(err, ingress.ErrNoCertificate) {
			f.failures.Do(func() {
				f.server.log.Warn("DTLS connections are refused (repeated lines are left out)", "error", err)
			})
		}
		return
	case closed:
		_ = secured.Close()
		return
	}
	f.server.begin(&conn{server: f.server, transport: relay.DTLS, net: secured, addr: c.addr, out: newOutQueue(strangerQueue, nil)}, &datagrams{conn: secured})
}

func (f *dtlsFront) handshake(c *dtlsClient) (*dtls.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), f.server.config.HandshakeTimeout)
	defer cancel()
	conn, err := dtls.ServerWithOptions(c, net.UDPAddrFromAddrPort(c.addr), f.options...)
	if err != nil {
		return nil, err
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // it is of no use any more
		return nil, err
	}
	return conn, nil
}

// close ends the sockets and the handshakes under way, and waits for them. Connections end with the others.
func (f *dtlsFront) close() (err error) {
	f.mu.Lock()
	f.closed = true
	var open []*dtlsClient
	for _, c := range f.clients {
		open = append(open, c)
	}
	f.mu.Unlock()
	for _, c := range open {
		_ = c.Close()
	}
	for _, s := range f.sockets {
		err = errors.Join(err, s.Close())
	}
	f.wait.Wait()
	return err
}

// dtlsClient is the net.PacketConn between the sockets and the DTLS of one client.
type dtlsClient struct {
	front   *dtlsFront
	socket  udpio.Socket
	addr    netip.AddrPort
	in      chan []byte
	reading *deadline.Deadline

	// guarded by the front's mu
	established bool
	budget      int // bytes of what maxUnsettled bounds

	closing sync.Once
	done    chan struct{}
}

// recordHeader is the size of the header of a record (RFC 6347 section 4.1): type, version, epoch, number, length.
const recordHeader = 13

// acceptable copies the records of a datagram that Pion may see. Pion lets records without protection, and any change of cipher, end a connection that
// has been established, so that whoever knows its address could do that. And it keeps what comes before its time, and fragments of handshakes as
// long as the connection lives.
func (c *dtlsClient) acceptable(b []byte) (kept []byte) {
	for len(b) >= recordHeader {
		n := recordHeader + int(binary.BigEndian.Uint16(b[11:]))
		if n > len(b) {
			break
		}
		record := b[:n]
		b = b[n:]
		if !c.expects(record) {
			continue
		}
		if !c.established || record[0] == handshakeRecord {
			if c.budget += n; c.budget > maxUnsettled {
				continue
			}
		}
		kept = append(kept, record...)
	}
	return kept
}

// expects tells whether a record of that type and epoch has a place in the connection.
func (c *dtlsClient) expects(record []byte) bool {
	protected := record[3] != 0 || record[4] != 0 // epoch 0 is without
	switch kind := record[0]; {
	case c.established:
		return protected && kind != changeCipherRecord
	case !protected:
		return kind == handshakeRecord || kind == changeCipherRecord || kind == alertRecord
	}
	return true
}

// ReadFrom implements net.PacketConn.
func (c *dtlsClient) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-c.in:
		return copy(b, p), net.UDPAddrFromAddrPort(c.addr), nil
	case <-c.done:
		return 0, nil, net.ErrClosed
	case <-c.reading.Done():
		return 0, nil, context.DeadlineExceeded
	}
}

// WriteTo implements net.PacketConn. What the kernel refuses is lost, as on the way: it ends nothing.
func (c *dtlsClient) WriteTo(b []byte, _ net.Addr) (int, error) {
	err := c.socket.WriteTo(b, c.addr)
	if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) {
		return 0, err
	}
	if err != nil {
		c.front.server.relay.Drop(relay.DropSendToClient)
	}
	return len(b), nil
}

// Close implements net.PacketConn.
func (c *dtlsClient) Close() error {
	c.closing.Do(func() {
		close(c.done)
		c.front.mu.Lock()
		delete(c.front.clients, c.addr)
		c.front.mu.Unlock()
	})
	return nil
}

// LocalAddr implements net.PacketConn.
func (c *dtlsClient) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.socket.LocalAddr()) }

// SetDeadline implements net.PacketConn.
func (c *dtlsClient) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (c *dtlsClient) SetReadDeadline(t time.Time) error { c.reading.Set(t); return nil }

// SetWriteDeadline implements net.PacketConn: writing never waits.
func (c *dtlsClient) SetWriteDeadline(time.Time) error { return nil }

// datagrams are the messages of a client over DTLS: one in each record.
type datagrams struct {
	conn *dtls.Conn
	buf  [maxDatagram]byte
}

// next implements messageReader. A longer message than the client may send is thrown away, as over UDP.
func (d *datagrams) next(limit int) ([]byte, error) {
	for {
		n, err := d.conn.Read(d.buf[:])
		if err != nil || n <= limit {
			return d.buf[:n], err
		}
	}
}

// ready implements messageReader.
func (d *datagrams) ready() bool { return false }
