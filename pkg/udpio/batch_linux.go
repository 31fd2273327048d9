//go:build !386 && !arm && !mips && !mipsle

package udpio

import (
	"encoding/binary"
	"net/netip"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchSize is how many datagrams one system call reads or sends at most.
const batchSize = 64

// header is struct mmsghdr.
type header struct {
	unix.Msghdr
	n uint32
	_ [4]byte
}

// name is room for an address of either family.
type name = unix.RawSockaddrInet6

// inbox is what a loop receives into, made once. Its packets fill up from socket to socket, so that what comes in through many of them
// and goes out through one goes out together.
type inbox struct {
	used    int    // packets since the last flush of the outbox
	memory  []byte // of the packets; not of Go's heap, where it would only keep the collector from running in time
	packets [batchSize]Packet
	headers [batchSize]header
	vectors [batchSize]unix.Iovec
	names   [batchSize]name

	// What the kernel has put together from datagrams of one sender (UDP_GRO) is cut up again into packets of their own, since each
	// gets another header in front.
	merged   [batchSize]mergedControl
	segments []byte // memory for those packets
	cut      int    // bytes of it in use
	segment  Packet // the one at hand
}

// mergedControl is a control message with the size of the datagrams that were put together.
type mergedControl struct {
	unix.Cmsghdr
	size int32
	_    [4]byte
}

// segmentMemory is what segments holds in bytes: more than one read can be cut into at the usual sizes.
const segmentMemory = 256 << 10

func (in *inbox) init() (err error) {
	const size = Headroom + MaxPayload + tailroom
	if in.memory, err = unix.Mmap(-1, 0, batchSize*size+segmentMemory, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE); err != nil {
		return os.NewSyscallError("mmap", err)
	}
	in.segments = in.memory[batchSize*size:]
	for i := range in.packets {
		in.packets[i] = Packet{buf: in.memory[i*size : (i+1)*size : (i+1)*size], off: Headroom, end: Headroom}
		space := in.packets[i].Space()
		in.vectors[i].Base = &space[0]
		in.vectors[i].SetLen(len(space))
		h := &in.headers[i].Msghdr
		h.Name = (*byte)(unsafe.Pointer(&in.names[i]))
		h.Iov = &in.vectors[i]
		h.SetIovlen(1)
		h.Control = (*byte)(unsafe.Pointer(&in.merged[i]))
	}
	return nil
}

func (in *inbox) close() error { return os.NewSyscallError("munmap", unix.Munmap(in.memory)) }

// read receives what there is behind the packets in use, and returns it. Errors that a socket reports for a packet sent earlier are taken
// off it, and that is all.
func (in *inbox) read(fd int) []Packet {
	headers := in.headers[in.used:]
	for i := range headers {
		headers[i].Namelen = unix.SizeofSockaddrInet6
		headers[i].SetControllen(int(unsafe.Sizeof(mergedControl{})))
	}
	for range batchSize {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&headers[0])), uintptr(len(headers)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			packets := in.packets[in.used : in.used+int(n)]
			for i := range packets {
				packets[i].From = addrPort(&in.names[in.used+i])
				packets[i].Reset(int(headers[i].n))
			}
			in.used += int(n)
			return packets
		case unix.EAGAIN:
			return nil
		}
	}
	return nil
}

// segmentSize is the size of the datagrams that the packet was put together from, 0 for a single one.
func (in *inbox) segmentSize(i int) int {
	if m := &in.merged[i]; in.headers[i].Controllen > 0 && m.Level == unix.IPPROTO_UDP && m.Type == unix.UDP_GRO {
		return int(m.size)
	}
	return 0
}

// take makes b a packet of its own; false when there is no memory for it at the moment.
func (in *inbox) take(from netip.AddrPort, b []byte) bool {
	end := in.cut + Headroom + max(len(b), MinSpace) + tailroom
	if end > len(in.segments) {
		return false
	}
	in.segment = Packet{From: from, buf: in.segments[in.cut:end:end]}
	in.segment.Reset(copy(in.segment.Space(), b))
	in.cut = end
	return true
}

// addrPort reads an address that the kernel wrote.
func addrPort(n *name) netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&n.Port))[:])
	if n.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(n)).Addr), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(n.Addr).Unmap(), port)
}

// set writes an address for the kernel and returns its length.
func set(n *name, to netip.AddrPort, ipv6 bool) uint32 {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&n.Port))[:], to.Port())
	if ipv6 {
		n.Family, n.Addr, n.Flowinfo, n.Scope_id = unix.AF_INET6, to.Addr().As16(), 0, 0
		return unix.SizeofSockaddrInet6
	}
	n.Family = unix.AF_INET
	v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(n))
	v4.Addr, v4.Zero = to.Addr().As4(), [8]byte{}
	return unix.SizeofSockaddrInet4
}

// Limits of one UDP_SEGMENT send: the kernel's number of segments (older kernels have 64), and the size of an IP packet.
const (
	maxSegments    = 64
	maxSegmented   = 65000
	maxSegmentSize = 1472 // larger datagrams do not fit the usual path in one piece, so that the kernel would refuse
)

// outbox gathers what handlers send while one batch is handled.
type outbox struct {
	loop    *loop     // whose sockets need no lock; nil when the outbox is no loop's
	waiting []sending // in order; capacity batchSize
	later   []Flusher // capacity batchSize

	vectors  [batchSize]unix.Iovec
	headers  [batchSize]header
	names    [batchSize]name
	controls [batchSize]control
	groups   [batchSize]group
}

// sending is a datagram that waits.
type sending struct {
	socket *loopSocket // nil once it has been taken into a system call
	b      []byte
	to     netip.AddrPort
	lost   *atomic.Uint64
}

// group is what one header sends: some waiting datagrams of equal size to one destination.
type group struct {
	first, n    int // in vectors
	size, total int // of a datagram, of all
	to          netip.AddrPort
	lost        *atomic.Uint64
	ended       bool // its last datagram is shorter
}

// control is a control message with the segment size.
type control struct {
	unix.Cmsghdr
	size uint16
	_    [6]byte
}

func (o *outbox) init(l *loop) {
	o.loop, o.waiting, o.later = l, make([]sending, 0, batchSize), make([]Flusher, 0, batchSize)
	for i := range o.controls {
		o.controls[i].Level, o.controls[i].Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		o.controls[i].SetLen(unix.CmsgLen(2))
	}
}

// Send implements Batch.
func (o *outbox) Send(s Socket, b []byte, to netip.AddrPort, lost *atomic.Uint64) {
	own, ok := s.(*loopSocket)
	if !ok {
		Immediate.Send(s, b, to, lost)
		return
	}
	if len(o.waiting) == batchSize {
		o.flush()
	}
	o.waiting = append(o.waiting, sending{own, b, to, lost})
}

// Later implements Batch.
func (o *outbox) Later(f Flusher) {
	if len(o.later) == batchSize {
		o.flush()
	}
	o.later = append(o.later, f)
}

// flush sends everything, with one system call for each socket, and flushes who asked for it.
func (o *outbox) flush() {
	for i := range o.waiting {
		if s := o.waiting[i].socket; s != nil {
			o.flushSocket(s, i)
		}
	}
	clear(o.waiting)
	o.waiting = o.waiting[:0]
	for _, f := range o.later {
		f.Flush()
	}
	clear(o.later)
	o.later = o.later[:0]
}

// flushSocket sends what waits for s, the first of it at index from.
func (o *outbox) flushSocket(s *loopSocket, from int) {
	if s.loop != o.loop {
		s.use.RLock()
		defer s.use.RUnlock()
	}
	if s.closed {
		o.discard(s, from)
		return
	}
	groups, vectors := 0, 0
	for i := from; i < len(o.waiting); i++ {
		w := &o.waiting[i]
		if w.socket != s {
			continue
		}
		w.socket = nil
		o.vectors[vectors].Base = unsafe.SliceData(w.b)
		o.vectors[vectors].SetLen(len(w.b))
		if groups == 0 || !s.segment.Load() || !o.groups[groups-1].take(w) {
			o.groups[groups] = group{first: vectors, n: 1, size: len(w.b), total: len(w.b), to: w.to, lost: w.lost}
			groups++
		}
		vectors++
	}
	o.sendGroups(s, groups)
}

func (o *outbox) discard(s *loopSocket, from int) {
	for i := from; i < len(o.waiting); i++ {
		if w := &o.waiting[i]; w.socket == s {
			w.socket = nil
			w.lost.Add(1)
		}
	}
}

// take adds a datagram to the group if it may follow: the same destination, as long as the others, or shorter and the last.
func (g *group) take(w *sending) bool {
	n := len(w.b)
	if g.ended || n == 0 || g.to != w.to || g.lost != w.lost || n > g.size || g.size > maxSegmentSize || g.n == maxSegments || g.total+n > maxSegmented {
		return false
	}
	g.n++
	g.total += n
	g.ended = n < g.size
	return true
}

// sendGroups writes the headers and calls the kernel until every group has been sent or refused.
func (o *outbox) sendGroups(s *loopSocket, groups int) {
	for i := range groups {
		g, h := &o.groups[i], &o.headers[i].Msghdr
		h.Name = (*byte)(unsafe.Pointer(&o.names[i]))
		h.Namelen = set(&o.names[i], g.to, s.ipv6)
		h.Iov = &o.vectors[g.first]
		h.SetIovlen(g.n)
		h.Control, h.Controllen = nil, 0
		if g.n > 1 {
			o.controls[i].size = uint16(g.size)
			h.Control = (*byte)(unsafe.Pointer(&o.controls[i]))
			h.SetControllen(unix.CmsgSpace(2))
		}
	}
	if groups == 1 && o.groups[0].n == 1 {
		h := &o.headers[0].Msghdr
		errno := unix.EINTR
		for errno == unix.EINTR {
			_, _, errno = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(h.Iov.Base)), uintptr(h.Iov.Len),
				unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(h.Name)), uintptr(h.Namelen))
		}
		if errno != 0 {
			o.groups[0].lost.Add(1)
		}
		return
	}
	for i := 0; i < groups; {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&o.headers[i])), uintptr(groups-i), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == 0:
			i += int(n)
		case errno == unix.EINTR:
		default:
			o.refused(s, &o.groups[i], errno)
			i++
		}
	}
}

// refused deals with a group that the kernel did not take: datagrams that were segments go out one by one. Where that helps it was the
// segments that the kernel or the device does not take, and no more are made for the socket; a route without a way gives the same
// errors, but for single datagrams too.
func (o *outbox) refused(s *loopSocket, g *group, errno unix.Errno) {
	if g.n == 1 || errno != unix.EINVAL && errno != unix.EIO && errno != unix.EMSGSIZE && errno != unix.EOPNOTSUPP {
		g.lost.Add(uint64(g.n))
		return
	}
	lost := 0
	var single header
	single.Namelen = set(&o.names[0], g.to, s.ipv6)
	single.Name = (*byte)(unsafe.Pointer(&o.names[0]))
	single.SetIovlen(1)
	for i := range g.n {
		single.Iov = &o.vectors[g.first+i]
		if _, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&single.Msghdr)), unix.MSG_DONTWAIT); errno != 0 {
			lost++
		}
	}
	if g.lost.Add(uint64(lost)); lost < g.n {
		s.segment.Store(false)
	}
}
