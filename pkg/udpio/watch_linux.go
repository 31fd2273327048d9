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
	byFD []watchedBy // as long as the highest descriptor that was watched
}

// watched is in an event's data beside the descriptor of a watched connection; other descriptors have 0 there.
const watched = 1

// watchedBy has what an event leads to beside the watch that it is for, so that the loop need not look there.
type watchedBy struct {
	watch  *watch
	reader Reader
}

func (w *watches) set(fd int32, to *watch, reader Reader) {
	for int(fd) >= len(w.byFD) {
		w.byFD = append(w.byFD, watchedBy{})
	}
	w.byFD[fd] = watchedBy{to, reader}
}

type watch struct {
	loop *loop
	raw  syscall.RawConn
	fd   int32
}

// Watch implements Watcher.
func (ns *Loops) Watch(connection *Direct, near Socket, reader Reader) (stop func(), err error) {
	l, raw := ns.loopOf(near), connection.raw
	w := &watch{loop: l, raw: raw}
	l.watches.mu.Lock()
	defer l.watches.mu.Unlock()
	controlErr := raw.Control(func(fd uintptr) {
		w.fd = int32(fd)
		event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: w.fd, Pad: watched}
		err = os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, int(fd), &event))
	})
	if controlErr != nil {
		return nil, controlErr
	}
	if err != nil {
		return nil, err
	}
	l.watches.set(w.fd, w, reader)
	return w.stop, nil
}

// stop ends the watch. A connection that has been closed meanwhile has left the set by itself, and its descriptor may be another's.
func (w *watch) stop() {
	w.loop.watches.mu.Lock()
	defer w.loop.watches.mu.Unlock()
	if w.loop.watches.byFD[w.fd].watch == w {
		w.loop.watches.byFD[w.fd] = watchedBy{}
	}
	_ = w.raw.Control(func(fd uintptr) { _ = unix.EpollCtl(w.loop.epoll, unix.EPOLL_CTL_DEL, int(fd), nil) })
}

// notify tells whoever watches fd, if anybody still does.
func (w *watches) notify(fd int32, b Batch) {
	w.mu.Lock()
	reader := w.byFD[fd].reader
	w.mu.Unlock()
	if reader != nil {
		reader.Readable(b)
	}
}
