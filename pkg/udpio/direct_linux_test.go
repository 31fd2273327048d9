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
	"time"
)

// tellingConn tells one before it closes its descriptor.
type tellingConn struct {
	*net.TCPConn
	once sync.Once
	told func()
}

func (c *tellingConn) WhenClosed(f func()) { c.told = f }

func (c *tellingConn) Close() error {
	c.once.Do(func() {
		if c.told != nil {
			c.told()
		}
	})
	return c.TCPConn.Close()
}

// TestDirect reads and writes until it would have to wait.
func TestDirect(t *testing.T) {
	a, b, direct := connected(t)
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
}

// TestNoDirect: only an open socket can be used without waiting, and only if it tells when it is closed.
func TestNoDirect(t *testing.T) {
	a, b, _ := connected(t)
	a.Close()
	for name, c := range map[string]net.Conn{"closed": a, "no socket": &tellingConn{TCPConn: &net.TCPConn{}}, "tells nothing": b} {
		if NewDirect(c) != nil {
			t.Error(name)
		}
	}
}

// TestDirectLeavesTheNextAlone closes connections that others read and write without a pause, and opens others, of which one end gets the descriptor.
func TestDirectLeavesTheNextAlone(t *testing.T) {
	for range 30 {
		leaveTheNextAlone(t)
	}
}

func leaveTheNextAlone(t *testing.T) {
	a, _, direct := connected(t)
	var over atomic.Bool
	var begun, using sync.WaitGroup
	defer using.Wait()
	defer over.Store(true)
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
	one, other, _ := connected(t)
	wantAlone(t, one, other)
	wantAlone(t, other, one)
	one.Close()
	if stray, err := io.ReadAll(other); len(stray) > 0 || err != nil {
		t.Fatalf("%q, %v came from nobody", stray, err)
	}
}

// wantAlone shows that what one writes the other gets, and nothing else.
func wantAlone(t *testing.T, one, other net.Conn) {
	t.Helper()
	message := []byte("for the other end alone")
	for range 20 {
		if _, err := one.Write(message); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(message))
		other.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadFull(other, got); err != nil || !bytes.Equal(got, message) {
			t.Fatalf("got %q, %v", got, err)
		}
	}
}

// TestDirectHoldsTheDescriptor: it stays open while it is in use.
func TestDirectHoldsTheDescriptor(t *testing.T) {
	a, b, direct := connected(t)
	direct.use.RLock()
	closed := make(chan struct{})
	go func() {
		a.Close()
		close(closed)
	}()
	for direct.use.TryRLock() { // until the closer waits
		direct.use.RUnlock()
		select {
		case <-closed:
			t.Fatal("closed while it is in use")
		default:
			runtime.Gosched()
		}
	}
	if err := direct.raw.Control(func(uintptr) {}); err != nil {
		t.Errorf("the descriptor is closed: %v", err)
	}
	direct.use.RUnlock()
	<-closed
	if _, err := b.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("still open: %v", err)
	}
}
