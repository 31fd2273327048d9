//go:build !386 && !arm && !mips && !mipsle

package udpio

import (
	"io"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Direct reads from and writes to a connection without waiting. It goes through Control, which heeds no deadline. One goroutine at
// a time reads, one writes, and none while another does so in the ordinary way.
type Direct struct {
	raw syscall.RawConn

	// made once: method values allocate
	send, receive func(fd uintptr)

	out     []byte
	written int

	in      []byte
	got     int
	readErr error
}

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
	d.send, d.receive = d.sendTo, d.receiveFrom
	return d
}

// Write takes as much as the kernel does at once and returns how much that was. An error counts as nothing: it comes up again
// when one writes in the ordinary way.
func (d *Direct) Write(b []byte) int {
	d.out, d.written = b, 0
	_ = d.raw.Control(d.send) // fails when the connection has been closed: nothing is taken
	d.out = nil
	return d.written
}

func (d *Direct) sendTo(fd uintptr) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(d.out))), uintptr(len(d.out)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno == 0 {
		d.written = int(n)
	}
}

// Read implements io.Reader. It returns ErrWouldBlock where an ordinary Read would wait.
func (d *Direct) Read(b []byte) (int, error) {
	d.in = b
	if err := d.raw.Control(d.receive); err != nil {
		d.got, d.readErr = 0, err
	}
	d.in = nil
	return d.got, d.readErr
}

func (d *Direct) receiveFrom(fd uintptr) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(d.in))), uintptr(len(d.in)), unix.MSG_DONTWAIT, 0, 0)
	d.got, d.readErr = int(n), nil
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		d.got, d.readErr = 0, ErrWouldBlock
	case errno != 0:
		d.got, d.readErr = 0, errno
	case n == 0:
		d.readErr = io.EOF
	}
}
