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
	raw  syscall.RawConn
	slow *viaControl // nil where the connection tells before it closes its descriptor

	use    sync.RWMutex // held for reading by whoever uses fd
	fd     int32
	closed bool // guarded by use; fd may be another file's then
}

// closeTeller is a connection that calls f before it closes its descriptor, or at once if it has closed it already. Others may be closed at any
// moment, and only Go's own guard knows, which is dear where there are many connections: it is in other memory for each.
type closeTeller interface{ WhenClosed(f func()) }

// NewDirect returns nil for a connection that is no socket itself, such as one over TLS.
func NewDirect(c net.Conn) *Direct {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	d := &Direct{raw: raw}
	t, ok := c.(closeTeller)
	if !ok {
		d.slow = newViaControl(raw)
		return d
	}
	if raw.Control(func(fd uintptr) { d.fd = int32(fd) }) != nil {
		d.closed = true
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
	if d.slow != nil {
		return d.slow.write(b)
	}
	d.use.RLock()
	defer d.use.RUnlock()
	if d.closed {
		return 0
	}
	return sendNow(uintptr(d.fd), b)
}

// Read implements io.Reader. It returns ErrWouldBlock where an ordinary Read would wait.
func (d *Direct) Read(b []byte) (int, error) {
	if d.slow != nil {
		return d.slow.read(b)
	}
	d.use.RLock()
	defer d.use.RUnlock()
	if d.closed {
		return 0, net.ErrClosed
	}
	return receiveNow(uintptr(d.fd), b)
}

func sendNow(fd uintptr, b []byte) int {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

func receiveNow(fd uintptr, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
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

// viaControl does the same with a descriptor that Go guards.
type viaControl struct {
	raw syscall.RawConn

	// made once: method values allocate
	send, receive func(fd uintptr)

	out     []byte
	written int

	in      []byte
	got     int
	readErr error
}

func newViaControl(raw syscall.RawConn) *viaControl {
	v := &viaControl{raw: raw}
	v.send = func(fd uintptr) { v.written = sendNow(fd, v.out) }
	v.receive = func(fd uintptr) { v.got, v.readErr = receiveNow(fd, v.in) }
	return v
}

func (v *viaControl) write(b []byte) int {
	v.out, v.written = b, 0
	_ = v.raw.Control(v.send) // fails when the connection has been closed: nothing is taken
	v.out = nil
	return v.written
}

func (v *viaControl) read(b []byte) (int, error) {
	v.in = b
	if err := v.raw.Control(v.receive); err != nil {
		v.got, v.readErr = 0, err
	}
	v.in = nil
	return v.got, v.readErr
}
