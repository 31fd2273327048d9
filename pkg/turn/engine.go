package turn

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun"
	pion "github.com/pion/turn/v2"
)

// engineMTU is the longest request in bytes that the engine takes.
const engineMTU = 4096

// engine makes a function of Pion's TURN server: one request in, at most one response out. Pion reads its PacketConn, handles the
// datagram, writes the response and reads again, all in one goroutine; the engine is that PacketConn, and the next read tells it
// that the request before is done. Pion keeps the nonces, the allocations with their lifetimes and the channel bindings. It sees
// neither the network nor the bytes of a client: requests come normalised (request.go), each client under an address that stands
// for its allocation, and the relay socket that Pion believes it has is a handle that only tells when Pion lets go of it.
//
// This file is all there is of Pion's server; another version of it changes this file only.
type engine struct {
	server *pion.Server
	calls  chan *call
	idle   chan struct{} // one for each call that is done
	done   chan struct{} // closed by Close
	exited chan struct{} // closed when Pion's loop has been told to end

	serial sync.Mutex // one call at a time
	nonce  []byte     // of the engine's own requests; guarded by serial

	current *call // owned by Pion's goroutine from calls to idle

	handles handles
}

// handles are the relay sockets that Pion holds.
type handles struct {
	mu      sync.Mutex
	open    map[uint64]*handle
	readers sync.WaitGroup
}

// call is one request to the engine and what comes of it.
type call struct {
	client   uint64 // stands for the client's allocation; never used for another one; 0 where none is meant
	request  []byte
	key      []byte                         // of the MESSAGE-INTEGRITY in request
	open     func() (netip.AddrPort, error) // makes the relayed address; only for Allocate
	released func()                         // called once when Pion lets go of the relayed address: expired, deleted or closed
	response []byte                         // nil when Pion did not answer
	gone     bool                           // Pion was not asked: the allocation that the call is about has ended
}

func newEngine(realm string) (*engine, error) {
	e := &engine{calls: make(chan *call), idle: make(chan struct{}, 1), done: make(chan struct{}), exited: make(chan struct{}),
		handles: handles{open: map[uint64]*handle{}}}
	// What Pion logs is a line for each request that it refuses; the caller sees those as responses and counts them.
	quiet := &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}
	server, err := pion.NewServer(pion.ServerConfig{
		Realm:             realm,
		AuthHandler:       func(string, string, net.Addr) ([]byte, bool) { return e.current.key, true },
		PacketConnConfigs: []pion.PacketConnConfig{{PacketConn: e, RelayAddressGenerator: e}},
		LoggerFactory:     quiet,
		InboundMTU:        engineMTU,
	})
	e.server = server
	return e, err
}

// do runs c; when it returns, c.response or c.gone is set. After close there is no response.
func (e *engine) do(c *call) {
	e.serial.Lock()
	defer e.serial.Unlock()
	e.runLocked(c)
}

func (e *engine) runLocked(c *call) {
	if c.gone = c.client != 0 && c.open == nil && e.handles.of(c.client) == nil; c.gone {
		return
	}
	select {
	case e.calls <- c:
		<-e.idle
	case <-e.done:
	}
}

func (h *handles) of(client uint64) *handle {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open[client]
}

// ownKey signs the engine's own requests, which only Pion sees, for it to find them signed.
var ownKey = []byte("maitred")

// forget makes Pion drop the client's allocation, by a Refresh with a lifetime of zero (RFC 8656 section 8.2) in the client's place.
// released has been called when forget returns.
//
// Pion itself drops an allocation when reading the relay socket fails, in the goroutine that reads. That would be a goroutine for
// each allocation, and it could drop one that a request is just working on, which Pion does not survive: it puts a permission into
// its map before the permission has its timer, and whoever drops the allocation then stops a timer that is not there.
func (e *engine) forget(client uint64) {
	e.serial.Lock()
	defer e.serial.Unlock()
	h := e.handles.of(client)
	if h == nil {
		return
	}
	// The first attempt has no nonce, the second may have one that is too old in the meantime.
	for attempt := 0; attempt < 3 && e.handles.of(client) != nil; attempt++ {
		c := &call{client: client, key: ownKey, request: e.farewell()}
		e.runLocked(c)
		if r, err := engineReply(c.response); err == nil && r.code != 0 {
			r.edit(stun.AttrNonce, func(nonce []byte) []byte { e.nonce = nonce; return nonce })
		}
	}
	h.Close() // after close nothing answers, and the handle still has to tell its owner
}

// farewell is the Refresh of forget.
func (e *engine) farewell() []byte {
	q := &query{id: stun.NewTransactionID(), method: stun.MethodRefresh, key: ownKey, username: "maitred", realm: "maitred", nonce: string(e.nonce)}
	return q.forEngine(lifetimeAttribute(0))
}

// close ends the engine, releases every allocation and waits for Pion's goroutines.
func (e *engine) close() error {
	err := e.server.Close()
	<-e.exited
	e.handles.readers.Wait()
	return err
}

// ReadFrom implements net.PacketConn: it hands Pion the next request. It fails only after Close, since any error ends Pion's loop.
func (e *engine) ReadFrom(p []byte) (int, net.Addr, error) {
	if e.current != nil {
		e.current = nil
		e.idle <- struct{}{}
	}
	select {
	case c := <-e.calls:
		e.current = c
		return copy(p, c.request), standIn(c.client), nil
	case <-e.done:
		close(e.exited)
		return 0, nil, net.ErrClosed
	}
}

// WriteTo implements net.PacketConn: it takes the response.
func (e *engine) WriteTo(p []byte, _ net.Addr) (int, error) {
	e.current.response = append([]byte(nil), p...)
	return len(p), nil
}

// AllocatePacketConn implements pion.RelayAddressGenerator. Network and port are Pion's guesses; the request decides.
func (e *engine) AllocatePacketConn(string, int) (net.PacketConn, net.Addr, error) {
	relayed, err := e.current.open()
	if err != nil {
		return nil, nil, err
	}
	h := &handle{client: e.current.client, owner: &e.handles, released: e.current.released}
	e.handles.mu.Lock()
	e.handles.open[h.client] = h
	e.handles.mu.Unlock()
	e.handles.readers.Add(1)
	return h, net.UDPAddrFromAddrPort(relayed), nil
}

// Close implements net.PacketConn.
func (e *engine) Close() error { close(e.done); return nil }

// standIn is the address under which Pion knows a client.
func standIn(client uint64) net.Addr {
	ip := make(net.IP, net.IPv6len)
	ip[0] = 0xfd // unique local: nobody mistakes it for a real client
	binary.BigEndian.PutUint64(ip[8:], client)
	return &net.UDPAddr{IP: ip, Port: 1}
}

var errNoTCPRelay = errors.New("TCP relays are not offered")

// LocalAddr implements net.PacketConn.
func (e *engine) LocalAddr() net.Addr { return standIn(0) }

// AllocateConn implements pion.RelayAddressGenerator; Pion 2.1.6 never calls it.
func (e *engine) AllocateConn(string, int) (net.Conn, net.Addr, error) {
	return nil, nil, errNoTCPRelay
}

// Validate implements pion.RelayAddressGenerator.
func (e *engine) Validate() error { return nil }

// SetDeadline implements net.PacketConn; Pion sets none.
func (e *engine) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.PacketConn.
func (e *engine) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.PacketConn.
func (e *engine) SetWriteDeadline(time.Time) error { return nil }

// handle stands for a relay socket towards Pion.
type handle struct {
	client   uint64
	owner    *handles
	once     sync.Once
	released func()
}

// ReadFrom ends the goroutine that Pion starts for each allocation to read its relay socket, and with it a stack and a buffer for
// as long as the allocation lives: packets do not come this way.
func (h *handle) ReadFrom([]byte) (int, net.Addr, error) {
	h.owner.readers.Done()
	runtime.Goexit()
	return 0, nil, nil
}

// Close is called by Pion when the allocation ends.
func (h *handle) Close() error {
	h.once.Do(func() {
		h.owner.mu.Lock()
		delete(h.owner.open, h.client)
		h.owner.mu.Unlock()
		h.released()
	})
	return nil
}

func (h *handle) WriteTo(p []byte, _ net.Addr) (int, error) { return len(p), nil }
func (h *handle) LocalAddr() net.Addr                       { return standIn(h.client) }
func (h *handle) SetDeadline(time.Time) error               { return nil }
func (h *handle) SetReadDeadline(time.Time) error           { return nil }
func (h *handle) SetWriteDeadline(time.Time) error          { return nil }
