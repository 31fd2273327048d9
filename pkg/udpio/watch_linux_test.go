//go:build !386 && !arm && !mips && !mipsle

package udpio

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

// connected returns both ends of a TCP connection, and the first one's descriptor.
func connected(t *testing.T) (a, b net.Conn, raw syscall.RawConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if b, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	if a, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	if raw, err = a.(*net.TCPConn).SyscallConn(); err != nil {
		t.Fatal(err)
	}
	return a, b, raw
}

func wait(t *testing.T, c <-chan string) string {
	t.Helper()
	select {
	case s := <-c:
		return s
	case <-time.After(10 * time.Second):
		t.Fatal("nobody was called")
		panic("unreachable")
	}
}

// TestWatch has a loop tell of what arrives on a connection, until the watch is stopped, and again in another one.
func TestWatch(t *testing.T) {
	ns, err := NewLoops(2)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Wait()
	near, _ := open(t, ns, "127.0.0.1:0")
	defer near.Close()
	a, b, raw := connected(t)
	for range 3 {
		got := make(chan string, 16)
		stop, err := ns.Watch(raw, near, func() {
			buf := make([]byte, 16)
			_ = raw.Control(func(fd uintptr) {
				n, err := syscall.Read(int(fd), buf)
				if n > 0 || err == nil {
					got <- string(buf[:n])
				}
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"one", "two"} {
			b.Write([]byte(text))
			if s := wait(t, got); s != text {
				t.Errorf("got %q, want %q", s, text)
			}
		}
		stop()
		stop()
		b.Write([]byte("later"))
		buf := make([]byte, 16)
		a.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := a.Read(buf); err != nil || string(buf[:n]) != "later" {
			t.Errorf("after the watch the reader got %q, %v", buf[:n], err)
		}
	}
}

// TestWatchTellsTheEnd stops from within the call, as a reader does that has seen the end.
func TestWatchTellsTheEnd(t *testing.T) {
	ns, err := NewLoops(1)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Wait()
	_, b, raw := connected(t)
	ended, stopper := make(chan string), make(chan func(), 1)
	stop, err := ns.Watch(raw, nil, func() {
		(<-stopper)()
		ended <- "ended"
	})
	if err != nil {
		t.Fatal(err)
	}
	stopper <- stop
	b.Close()
	wait(t, ended)
}

// TestWatchClosed: a connection that has been closed cannot be watched, and one that is closed while it is watched can be let go,
// also when its descriptor has become another's.
func TestWatchClosed(t *testing.T) {
	ns, err := NewLoops(1)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Wait()
	a, _, raw := connected(t)
	stop, err := ns.Watch(raw, nil, func() {})
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	s, arrived := open(t, ns, "127.0.0.1:0") // takes the lowest descriptor that is free
	defer s.Close()
	if _, err := dial(t, s).Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if r := arrived.next(t); string(r.payload) != "hello" {
		t.Errorf("got %q", r.payload)
	}
	stop()
	if _, err := dial(t, s).Write([]byte("again")); err != nil {
		t.Fatal(err)
	}
	if r := arrived.next(t); string(r.payload) != "again" {
		t.Errorf("got %q", r.payload)
	}
	if _, err := ns.Watch(raw, nil, func() {}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("watching a closed connection: %v", err)
	}
}
