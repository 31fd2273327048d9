//go:build !386 && !arm && !mips && !mipsle

package bench

import (
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// received is how many datagrams one system call reads at most; of each only the beginning is wanted.
const (
	received    = 64
	wantedBytes = channelHeader + markSize
)

// header is struct mmsghdr.
type header struct {
	unix.Msghdr
	n uint32
	_ [4]byte
}

// batchEnd is a connected UDP socket that sends a burst with one system call, as separate datagrams, and reads many with one.
type batchEnd struct {
	conn *net.UDPConn
	raw  syscall.RawConn

	// owned by send
	number  uint64
	out     *frames
	headers []header
	vectors []unix.Iovec
	sent    int
	write   func(fd uintptr) bool // e.writeAll, made once: a method value allocates

	// owned by receive
	prefix int // bytes in front of a payload
	got    int
	in     [received]header
	spaces [received][wantedBytes]byte
	into   [received]unix.Iovec
}

func newPacketEnd(conn *net.UDPConn, s shape) (endpoint, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	e := &batchEnd{conn: conn, raw: raw, prefix: s.header(), out: newFrames(s.burst, s.size, s.framed, false),
		headers: make([]header, s.burst), vectors: make([]unix.Iovec, s.burst)}
	for i := range e.headers {
		aim(&e.headers[i], &e.vectors[i], e.out.packet(i))
	}
	for i := range e.in {
		aim(&e.in[i], &e.into[i], e.spaces[i][:])
	}
	e.write = e.writeAll
	return e, nil
}

// aim makes a header read into or send b.
func aim(h *header, v *unix.Iovec, b []byte) {
	v.Base = &b[0]
	v.SetLen(len(b))
	h.Iov = v
	h.SetIovlen(1)
}

func (e *batchEnd) send(tag uint64) {
	e.out.stamp(tag, e.number)
	e.number += uint64(e.out.count)
	e.sent = 0
	_ = e.raw.Write(e.write) // fails only when the socket is closed; the burst counts as lost
}

// writeAll reports false where the socket's buffer is full: the caller is called again when it is not. A datagram that the kernel
// refuses for another reason is lost.
func (e *batchEnd) writeAll(fd uintptr) bool {
	for e.sent < len(e.headers) {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&e.headers[e.sent])), uintptr(len(e.headers)-e.sent), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			e.sent += int(n)
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			e.sent++
		}
	}
	return true
}

func (e *batchEnd) receive(m *meter) error {
	in := flow{m: m}
	defer in.end()
	read := e.read
	for {
		if e.raw.Read(read) != nil {
			return nil // stopped
		}
		now := Clock()
		for i := range e.got {
			if int(e.in[i].n) == e.out.size {
				in.arrived(e.spaces[i][e.prefix:], now)
			}
		}
	}
}

// read reports false where nothing has arrived. Errors belong to packets that were sent earlier. With MSG_TRUNC the kernel
// tells how long a datagram was although it copies no more than there is space for.
func (e *batchEnd) read(fd uintptr) bool {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&e.in[0])), received, unix.MSG_DONTWAIT|unix.MSG_TRUNC, 0, 0)
	if e.got = int(n); errno != 0 {
		e.got = 0
	}
	return errno != unix.EAGAIN
}

func (e *batchEnd) stop() { _ = e.conn.SetReadDeadline(longAgo) }
