//go:build !386 && !arm && !mips && !mipsle

package udpio

import (
	"io"
	"net"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Direct reads from and writes to a connection without waiting, and heeds no deadline. One goroutine at
// a time reads, one writes, and none while another does so in the ordinary way.
type Direct struct {
	raw syscall.RawConn // for Watch; and the connection is not collected, nor its descriptor closed, while Direct is there

	use    sync.RWMutex // held for reading by whoever uses fd
	fd     int32        // fixed after construction
	closed bool         // guarded by use; fd may be another file's then
}

// closeTeller is a connection that calls f once: before it closes its descriptor, or at once if it has closed it already.
type closeTeller interface {
	syscall.Conn
	WhenClosed(f func())
}

// NewDirect returns nil for a connection that is no open socket itself, such as one over TLS, or that does not tell when it is closed
// (WhenClosed): Go would have to guard each use of its descriptor, which is dear where there are many, as what it looks at is in other
// memory for each.
func NewDirect(c net.Conn) *Direct {
	t, ok := c.(closeTeller)
	if !ok {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return nil
	}
	d := &Direct{raw: raw}
	if raw.Control(func(fd uintptr) { d.fd = int32(fd) }) != nil {
		return nil
	}
	t.WhenClosed(d.retire)
	return d
}

// retire waits until nobody uses the descriptor.
func (d *Direct) retire() {
	d.use.Lock()
	defer d.use.Unlock()
	d.closed = true
}

// Write takes as much as the kernel does at once and returns how much that was. An error counts as nothing: it comes up again
// when one writes in the ordinary way.
func (d *Direct) Write(b []byte) int {
	d.use.RLock()
	defer d.use.RUnlock()
	if d.closed {
		return 0
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(d.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// Read implements io.Reader. It returns ErrWouldBlock where an ordinary Read would wait.
func (d *Direct) Read(b []byte) (int, error) {
	d.use.RLock()
	defer d.use.RUnlock()
	if d.closed {
		return 0, net.ErrClosed
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(d.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return 0, ErrWouldBlock
	case errno != 0:
		return 0, errno
	case n == 0:
		return 0, io.EOF
	}
	return int(n), nil
}
