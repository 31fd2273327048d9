//go:build !386 && !arm && !mips && !mipsle

package udpio

import (
	"errors"
	"net"
	"slices"
	"testing"
	"time"
)

// connected returns both ends of a TCP connection, and the first one's socket.
func connected(t *testing.T) (a, b net.Conn, direct *Direct) {
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
	a = &tellingConn{TCPConn: a.(*net.TCPConn)}
	t.Cleanup(func() { a.Close() })
	if direct = NewDirect(a); direct == nil {
		t.Fatal("a TCP connection is a socket")
	}
	return a, b, direct
}

type readerFunc func(Batch)

func (f readerFunc) Readable(b Batch) { f(b) }

// watching returns a loop that watches a connection for nothing, and what ends the watch.
func watching(t *testing.T) (ns *Loops, a net.Conn, direct *Direct, stop func()) {
	t.Helper()
	ns, err := NewLoops(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ns.Wait)
	a, _, direct = connected(t)
	if stop, err = ns.Watch(direct, nil, readerFunc(func(Batch) {})); err != nil {
		t.Fatal(err)
	}
	return ns, a, direct, stop
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
	a, b, direct := connected(t)
	for range 3 {
		got := make(chan string, 16)
		stop, err := ns.Watch(direct, near, readerFunc(func(Batch) {
			buf := make([]byte, 16)
			n, err := direct.Read(buf)
			if n > 0 || err == nil {
				got <- string(buf[:n])
			}
		}))
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
	_, b, direct := connected(t)
	ended, stopper := make(chan string), make(chan func(), 1)
	stop, err := ns.Watch(direct, nil, readerFunc(func(Batch) {
		(<-stopper)()
		ended <- "ended"
	}))
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
	ns, a, direct, stop := watching(t)
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
	if _, err := ns.Watch(direct, nil, readerFunc(func(Batch) {})); !errors.Is(err, net.ErrClosed) {
		t.Errorf("watching a closed connection: %v", err)
	}
}

// TestWatchOfTheNext: to stop a watch whose connection has been closed leaves alone who watches the next file of that number.
func TestWatchOfTheNext(t *testing.T) {
	ns, a, _, stop := watching(t)
	watches := &ns.loops[0].watches
	next := &watch{loop: ns.loops[0]}
	watches.mu.Lock()
	fd := int32(slices.IndexFunc(watches.byFD, func(by watchedBy) bool { return by.watch != nil }))
	a.Close()
	watches.set(fd, next, readerFunc(func(Batch) {}))
	watches.mu.Unlock()
	stop()
	watches.mu.Lock()
	defer watches.mu.Unlock()
	if watches.byFD[fd].watch != next {
		t.Error("the next one is not watched any more")
	}
}

// TestWatchLater: what a watch asks for is done after it, by the loop.
func TestWatchLater(t *testing.T) {
	ns, err := NewLoops(1)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Wait()
	_, b, direct := connected(t)
	order := make(chan string, 2)
	stop, err := ns.Watch(direct, nil, readerFunc(func(batch Batch) {
		buf := make([]byte, 16)
		if n, _ := direct.Read(buf); n > 0 {
			batch.Later(toldLater(order))
			order <- "ready"
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	b.Write([]byte("hello"))
	if first, second := wait(t, order), wait(t, order); first != "ready" || second != "flushed" {
		t.Errorf("%s, then %s", first, second)
	}
}

type toldLater chan string

func (f toldLater) Flush() { f <- "flushed" }
