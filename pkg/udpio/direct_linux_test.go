//go:build !386 && !arm && !mips && !mipsle

package udpio

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// tellingConn tells before it closes its descriptor.
type tellingConn struct {
	*net.TCPConn
	once  sync.Once
	close func()
}

func (c *tellingConn) WhenClosed(f func()) { c.close = f }

func (c *tellingConn) Close() error {
	c.once.Do(c.close)
	return c.TCPConn.Close()
}

// bothKinds runs a test with a connection that tells before it closes its descriptor, and with one that Go guards.
func bothKinds(t *testing.T, test func(t *testing.T, tells bool)) {
	t.Run("tells", func(t *testing.T) { test(t, true) })
	t.Run("guarded", func(t *testing.T) { test(t, false) })
}

// TestDirect reads and writes until it would have to wait.
func TestDirect(t *testing.T) { bothKinds(t, testDirect) }

func testDirect(t *testing.T, tells bool) {
	a, b, direct := connected(t, tells)
	buf := make([]byte, 64<<10)
	if n, err := direct.Read(buf); n != 0 || err != ErrWouldBlock {
		t.Errorf("read %d, %v of nothing", n, err)
	}
	written, n := 0, 1
	for n > 0 {
		n = direct.Write(buf)
		written += n
	}
	a.Close()
	if n := direct.Write(buf); n != 0 {
		t.Errorf("wrote %d bytes to a closed connection", n)
	}
	if _, err := direct.Read(buf); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading a closed connection: %v", err)
	}
	if got, err := io.Copy(io.Discard, b); got != int64(written) || err != nil {
		t.Errorf("%d bytes arrived of %d, %v", got, written, err)
	}
	if NewDirect(&net.UnixConn{}) != nil {
		t.Error("what is no open socket is none to read from")
	}
	if direct := NewDirect(a); direct != nil && direct.Write(buf) != 0 {
		t.Error("wrote to a connection that had been closed before")
	}
}

// TestDirectLeavesTheNextAlone closes connections that others read and write without a pause, and opens others, which get their descriptors.
func TestDirectLeavesTheNextAlone(t *testing.T) { bothKinds(t, testDirectLeavesTheNextAlone) }

func testDirectLeavesTheNextAlone(t *testing.T, tells bool) {
	const rounds = 30
	for range rounds {
		a, _, direct := connected(t, tells)
		var over atomic.Bool
		var using sync.WaitGroup
		var begun sync.WaitGroup
		begun.Add(2)
		using.Go(func() {
			begun.Done()
			for !over.Load() {
				direct.Write([]byte("stray"))
			}
		})
		using.Go(func() {
			begun.Done()
			for buf := make([]byte, 16); !over.Load(); {
				direct.Read(buf)
			}
		})
		begun.Wait()
		a.Close()
		next, peer, _ := connected(t, tells)
		message := []byte("for the next one alone")
		peer.Write(message)
		got := make([]byte, len(message))
		_, err := io.ReadFull(next, got)
		next.Close()
		if err != nil || !bytes.Equal(got, message) {
			t.Errorf("got %q, %v", got, err)
		}
		if stray, err := io.ReadAll(peer); len(stray) > 0 || err != nil {
			t.Errorf("the other end got %q, %v", stray, err)
		}
		over.Store(true)
		using.Wait()
	}
}

// TestDirectHoldsTheDescriptor: it stays open while it is in use.
func TestDirectHoldsTheDescriptor(t *testing.T) {
	a, b, direct := connected(t, true)
	direct.use.RLock()
	closed := make(chan struct{})
	go func() {
		a.Close()
		close(closed)
	}()
	for direct.use.TryRLock() { // until the closer waits
		direct.use.RUnlock()
		runtime.Gosched()
	}
	if n := sendNow(uintptr(direct.fd), []byte("still open")); n == 0 {
		t.Error("the descriptor is closed")
	}
	direct.use.RUnlock()
	<-closed
	if got, err := io.ReadAll(b); string(got) != "still open" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
