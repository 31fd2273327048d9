package turn

import (
	"io"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// direct reads from and writes to a connection without waiting. It goes through Control, which heeds no deadline. One goroutine at
// a time reads, one writes, and none while another does so in the ordinary way.
type direct struct {
	raw syscall.RawConn

	// made once: method values allocate
	send, receive func(fd uintptr)

	out     []byte
	written int

	in      []byte
	got     int
	readErr error
}

// newDirect returns nil for a connection that is no socket itself.
func newDirect(c net.Conn) *direct {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	d := &direct{raw: raw}
	d.send, d.receive = d.sendTo, d.receiveFrom
	return d
}

// write takes as much as the kernel does at once and returns how much that was. An error counts as nothing: it comes up again
// when one writes in the ordinary way.
func (d *direct) write(b []byte) int {
	d.out, d.written = b, 0
	_ = d.raw.Control(d.send) // fails when the connection has been closed: nothing is taken
	d.out = nil
	return d.written
}

func (d *direct) sendTo(fd uintptr) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(d.out))), uintptr(len(d.out)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno == 0 {
		d.written = int(n)
	}
}

// Read returns errWouldBlock where an ordinary Read would wait.
func (d *direct) Read(b []byte) (int, error) {
	d.in = b
	if err := d.raw.Control(d.receive); err != nil {
		d.got, d.readErr = 0, err
	}
	d.in = nil
	return d.got, d.readErr
}

func (d *direct) receiveFrom(fd uintptr) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(d.in))), uintptr(len(d.in)), unix.MSG_DONTWAIT, 0, 0)
	d.got, d.readErr = int(n), nil
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		d.got, d.readErr = 0, errWouldBlock
	case errno != 0:
		d.got, d.readErr = 0, errno
	case n == 0:
		d.readErr = io.EOF
	}
}
