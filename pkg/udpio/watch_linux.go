//go:build !386 && !arm && !mips && !mipsle

package udpio

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// watches are the connections that a loop watches beside its sockets.
type watches struct {
	mu   sync.Mutex
	byFD map[int32]*watch // bounded by who calls Watch
}

type watch struct {
	loop  *loop
	raw   syscall.RawConn
	fd    int32
	ready func(Batch)
}

// Watch implements Watcher.
func (ns *Loops) Watch(connection *Direct, near Socket, ready func(Batch)) (stop func(), err error) {
	l, raw := ns.loopOf(near), connection.raw
	w := &watch{loop: l, raw: raw, ready: ready}
	l.watches.mu.Lock()
	defer l.watches.mu.Unlock()
	controlErr := raw.Control(func(fd uintptr) {
		w.fd = int32(fd)
		event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: w.fd}
		err = os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, int(fd), &event))
	})
	if controlErr != nil {
		return nil, controlErr
	}
	if err != nil {
		return nil, err
	}
	l.watches.byFD[w.fd] = w
	return w.stop, nil
}

// stop ends the watch. A connection that has been closed meanwhile has left the set by itself, and its descriptor may be another's.
func (w *watch) stop() {
	w.loop.watches.mu.Lock()
	defer w.loop.watches.mu.Unlock()
	if w.loop.watches.byFD[w.fd] == w {
		delete(w.loop.watches.byFD, w.fd)
	}
	_ = w.raw.Control(func(fd uintptr) { _ = unix.EpollCtl(w.loop.epoll, unix.EPOLL_CTL_DEL, int(fd), nil) })
}

// notify tells whoever watches fd; false when nobody does.
func (w *watches) notify(fd int32, b Batch) bool {
	w.mu.Lock()
	watched := w.byFD[fd]
	w.mu.Unlock()
	if watched == nil {
		return false
	}
	watched.ready(b)
	return true
}
