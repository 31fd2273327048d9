//go:build !386 && !arm && !mips && !mipsle

package udpio

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Loops is a network of event loops. A socket belongs to one loop for life; its handler runs there and nowhere else.
type Loops struct {
	loops []*loop
	next  atomic.Uint32
	ended sync.WaitGroup
}

// New returns the network that is best on this system.
func New() (Network, error) { return NewLoops(runtime.GOMAXPROCS(0)) }

// NewLoops starts n loops.
func NewLoops(n int) (*Loops, error) {
	ns := &Loops{}
	for range n {
		l, err := newLoop()
		if err != nil {
			for _, l := range ns.loops {
				err = errors.Join(err, l.close())
			}
			return nil, err
		}
		ns.loops = append(ns.loops, l)
	}
	host := ns.loops[0]
	for _, l := range ns.loops[1:] {
		l.host = host
		host.lending.guests[int32(l.epoll)] = l
	}
	for _, l := range ns.loops {
		ns.ended.Go(func() {
			if err := l.run(); err != nil {
				panic(err) // the descriptors are ours and open: a bug, and no packet would be relayed any more
			}
		})
	}
	return ns, nil
}

// Wait implements Network.
func (ns *Loops) Wait() {
	for _, l := range ns.loops {
		l.open.Wait()
		l.submit(command{stop: true})
	}
	ns.ended.Wait()
}

// Open implements Network.
func (ns *Loops) Open(bind netip.AddrPort, handler Handler, near Socket) (Socket, error) {
	return ns.loopOf(near).openSocket(bind, handler, false)
}

func (ns *Loops) loopOf(near Socket) *loop {
	if s, ok := near.(*loopSocket); ok {
		return s.loop
	}
	return ns.loops[int(ns.next.Add(1))%len(ns.loops)]
}

// OpenShared implements Network with one socket for each loop (SO_REUSEPORT), and for the wildcard with as many more for each
// address that this machine has now: what arrives at an address must be answered from it, and a socket bound to the wildcard answers
// from whichever address the route back has.
func (ns *Loops) OpenShared(bind netip.AddrPort, handler Handler) ([]Socket, error) {
	// SO_REUSEPORT would also let a second daemon of the same user in, which then gets half of the packets. A socket without it
	// tells whether the port is free, and which one it is when any will do.
	probe, local, err := bindSocket(bind, false)
	if err != nil {
		return nil, err
	}
	if err := unix.Close(probe); err != nil {
		return nil, os.NewSyscallError("close", err)
	}
	addresses := []netip.Addr{bind.Addr()}
	if bind.Addr().IsUnspecified() {
		addresses = append(addresses, ownAddresses(bind.Addr().Is6())...)
	}
	var sockets []Socket
	for i, a := range addresses {
		for _, l := range ns.loops {
			s, err := l.openSocket(netip.AddrPortFrom(a, local.Port()), handler, true)
			if i > 0 && errors.Is(err, unix.EADDRNOTAVAIL) {
				break // gone since it was listed; the wildcard is there for it
			}
			if err != nil {
				for _, s := range sockets {
					err = errors.Join(err, s.Close())
				}
				return nil, err
			}
			sockets = append(sockets, s)
		}
	}
	return sockets, nil
}

// maxOwnAddresses bounds the sockets on a machine with very many addresses.
const maxOwnAddresses = 64

// ownAddresses lists the unicast addresses of this machine, of IPv4 alone or of both families. Link-local ones are left to the
// wildcard: they mean something on one interface only.
func ownAddresses(ipv6 bool) (own []netip.Addr) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil // the wildcard serves them, as well as it can
	}
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || len(own) == maxOwnAddresses {
			continue
		}
		ip, _ := netip.AddrFromSlice(n.IP)
		if ip = ip.Unmap(); ip.IsValid() && !ip.IsLinkLocalUnicast() && (ipv6 || ip.Is4()) {
			own = append(own, ip)
		}
	}
	return own
}

// loop serves its sockets from one goroutine. The descriptors of the sockets are in an epoll set of the loop's; that set is a
// descriptor in turn, on which the goroutine waits in Go's own poller. To wait in epoll_wait itself would take a thread, which Go's
// scheduler has to notice and to make up for at every wait: measured, that costs more than all other work on a packet.
type loop struct {
	// fixed after construction
	epoll int
	file  *os.File // epoll for Go's poller
	wake  int      // an eventfd in the set
	in    inbox
	out   outbox
	host  *loop // nil for the host itself

	lending  lending       // the host's
	lent     atomic.Bool   // the host runs this loop
	returned chan struct{} // has an element when the host has given the loop back

	// owned by run, or by the host while the loop is lent
	sockets map[int32]*loopSocket
	events  [64]unix.EpollEvent
	ready   int // how many events there are
	rounds  int // since the loop ran dry
	meter   meter
	stopped bool

	open    sync.WaitGroup // sockets that are not closed yet
	watches watches

	mu       sync.Mutex
	commands []command // guarded by mu; bounded by the sockets that are opened and closed at the time
}

// command is what other goroutines want from a loop.
type command struct {
	add, remove *loopSocket
	stop        bool
}

func newLoop() (*loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(epoll, true); err != nil { // says to os.NewFile that it can be polled
		return nil, errors.Join(os.NewSyscallError("fcntl", err), unix.Close(epoll))
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(os.NewSyscallError("eventfd", err), unix.Close(epoll))
	}
	l := &loop{epoll: epoll, file: os.NewFile(uintptr(epoll), "epoll"), wake: wake, sockets: map[int32]*loopSocket{},
		lending:  lending{guests: map[int32]*loop{}, since: time.Now().Add(-2 * guestWindow)},
		returned: make(chan struct{}, 1), meter: meter{since: time.Now()}}
	if err := l.in.init(); err != nil {
		return nil, errors.Join(err, unix.Close(wake), l.file.Close())
	}
	l.out.init(l)
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(wake)}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, wake, &event); err != nil {
		return nil, errors.Join(os.NewSyscallError("epoll_ctl", err), l.close())
	}
	return l, nil
}

func (l *loop) close() error { return errors.Join(unix.Close(l.wake), l.file.Close(), l.in.close()) }

// note hands a command to the loop for when it needs to know.
func (l *loop) note(c command) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commands = append(l.commands, c)
}

// submit hands a command to the loop and wakes it.
func (l *loop) submit(c command) {
	l.note(c)
	one := [8]byte{7: 1}              // any number that is not zero wakes it
	_, _ = unix.Write(l.wake, one[:]) // fails only when the counter is full, and then the loop is about to wake
}

// maxRounds bounds how long a loop that never runs dry keeps a processor from control requests and signaling.
const maxRounds = 64

// run serves sockets and commands until it is told to stop.
func (l *loop) run() error {
	set, err := l.file.SyscallConn()
	if err != nil {
		return err
	}
	poll := l.poll // made once: a method value allocates
	l.lend()
	for !l.stopped {
		if err := set.Read(poll); err != nil {
			return err
		}
		began := time.Now()
		if err := l.serve(); err != nil {
			return err
		}
		if l.rounds++; l.rounds == maxRounds {
			l.rounds = 0
			runtime.Gosched()
		}
		if err := l.balance(began); err != nil {
			return err
		}
	}
	return errors.Join(l.dismiss(), l.close())
}

// poll takes the events that there are; false when there are none to take.
func (l *loop) poll(epoll uintptr) bool {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, epoll, uintptr(unsafe.Pointer(&l.events[0])), uintptr(len(l.events)), 0, 0, 0)
	if l.ready = int(n); errno != 0 || n == 0 {
		l.ready, l.rounds = 0, 0
	}
	return l.ready > 0
}

// serve deals with the events that poll took.
func (l *loop) serve() error {
	for _, e := range l.events[:l.ready] {
		if e.Pad == watched {
			l.watches.notify(e.Fd, &l.out)
		} else if e.Fd == int32(l.wake) {
			var counter [8]byte
			_, _ = unix.Read(l.wake, counter[:])
			l.obey()
		} else if s := l.socket(e.Fd); s != nil {
			l.receive(s)
		} else if guest := l.lending.guests[e.Fd]; guest != nil {
			if err := l.serveGuest(guest); err != nil {
				return err
			}
		}
	}
	l.flush()
	return nil
}

// socket finds the socket of that descriptor. A new one is still among the commands when its first packet arrives.
func (l *loop) socket(fd int32) *loopSocket {
	if s := l.sockets[fd]; s != nil || l.lending.guests[fd] != nil {
		return s
	}
	l.obey()
	return l.sockets[fd]
}

func (l *loop) obey() {
	l.mu.Lock()
	commands := l.commands
	l.commands = nil
	l.mu.Unlock()
	l.flush() // a descriptor that is closed now may be another file's the next moment
	for _, c := range commands {
		switch {
		case c.add != nil:
			l.sockets[int32(c.add.fd)] = c.add
		case c.remove != nil:
			delete(l.sockets, int32(c.remove.fd))
			c.remove.release()
			l.open.Done()
		case c.stop:
			l.stopped = true
		}
	}
}

// datagramsAtOnce bounds how long one busy socket keeps the others of its loop waiting; what one read brought is always handled.
const datagramsAtOnce = 4 * batchSize

// roomToRead is how many free packets a read is worth.
const roomToRead = 16

// receive reads batches from s and has them handled. What comes of them goes out when the inbox is full, or at the end of the round.
func (l *loop) receive(s *loopSocket) {
	for handled := 0; handled < datagramsAtOnce; {
		room := batchSize - l.in.used
		if room < roomToRead {
			l.flush()
			room = batchSize
		}
		first := l.in.used
		packets := l.in.read(s.fd)
		for i := range packets {
			if size := l.in.segmentSize(first + i); size > 0 {
				handled += l.cut(s, &packets[i], size)
			} else {
				s.handler.Packet(&l.out, s, &packets[i])
				handled++
			}
		}
		if len(packets) < room {
			return
		}
	}
}

// cut has the datagrams that p was put together from handled one by one, and returns how many they were. The last may be shorter.
func (l *loop) cut(s *loopSocket, p *Packet, size int) (handled int) {
	for rest := p.Payload(); len(rest) > 0; {
		n := min(size, len(rest))
		if !l.in.take(p.From, rest[:n]) {
			l.out.flush()
			l.in.cut = 0
			continue
		}
		s.handler.Packet(&l.out, s, &l.in.segment)
		rest = rest[n:]
		handled++
	}
	return handled
}

// flush sends what has been gathered; the packets that it was made of are free then.
func (l *loop) flush() {
	l.out.flush()
	l.in.used, l.in.cut = 0, 0
}

// loopSocket is a socket of a loop.
type loopSocket struct {
	// fixed after construction
	loop    *loop
	fd      int
	local   netip.AddrPort
	ipv6    bool // the socket's family: IPv4 addresses are written in their mapped form
	handler Handler

	segment atomic.Bool // the kernel takes UDP_SEGMENT

	use    sync.RWMutex // held for reading by whoever uses fd outside of the loop
	closed bool         // guarded by use; fd may be another file's then

	once sync.Once
}

// openSocket binds a socket and puts it under the loop's care.
func (l *loop) openSocket(bind netip.AddrPort, handler Handler, shared bool) (Socket, error) {
	fd, local, err := bindSocket(bind, shared)
	if err != nil {
		return nil, err
	}
	s := &loopSocket{loop: l, fd: fd, local: local, ipv6: bind.Addr().Is6(), handler: handler}
	s.segment.Store(true)
	if family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err == nil {
		s.ipv6 = family == unix.AF_INET6
	}
	l.open.Add(1)
	l.note(command{add: s})
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return nil, errors.Join(os.NewSyscallError("epoll_ctl", err), s.Close())
	}
	return s, nil
}

// LocalAddr implements Socket.
func (s *loopSocket) LocalAddr() netip.AddrPort { return s.local }

// WriteTo implements Socket.
func (s *loopSocket) WriteTo(b []byte, to netip.AddrPort) error {
	s.use.RLock()
	defer s.use.RUnlock()
	if s.closed {
		return os.ErrClosed
	}
	var name unix.Sockaddr
	if s.ipv6 {
		name = &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	} else {
		name = &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	return unix.Sendto(s.fd, b, unix.MSG_DONTWAIT, name)
}

// Close implements Socket. The loop closes the descriptor, so that it never reads one that has become another file's.
func (s *loopSocket) Close() error {
	s.once.Do(func() { s.loop.submit(command{remove: s}) })
	return nil
}

// release closes the descriptor, in the loop.
func (s *loopSocket) release() {
	s.use.Lock()
	defer s.use.Unlock()
	s.closed = true
	unix.Close(s.fd)
}

// bindSocket makes a bound, non-blocking UDP socket. The IPv6 wildcard takes IPv4 too, and is IPv4's on a system without IPv6.
func bindSocket(bind netip.AddrPort, shared bool) (fd int, local netip.AddrPort, err error) {
	domain := unix.AF_INET
	if bind.Addr().Is6() {
		domain = unix.AF_INET6
	}
	fd, err = unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) && bind.Addr() == netip.IPv6Unspecified() {
		return bindSocket(netip.AddrPortFrom(netip.IPv4Unspecified(), bind.Port()), shared)
	}
	if err != nil {
		return -1, local, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	var name unix.Sockaddr
	if domain == unix.AF_INET {
		name = &unix.SockaddrInet4{Port: int(bind.Port()), Addr: bind.Addr().As4()}
	} else {
		name = &unix.SockaddrInet6{Port: int(bind.Port()), Addr: bind.Addr().As16()}
		if err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
			return -1, local, os.NewSyscallError("setsockopt IPV6_V6ONLY", err)
		}
	}
	if shared {
		if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return -1, local, os.NewSyscallError("setsockopt SO_REUSEPORT", err)
		}
	}
	// A smaller buffer than asked for costs packets under load, not correctness.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, socketBuffer)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, socketBuffer)
	// Kernels before 5.0 refuse, and hand over every datagram on its own.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	if err = unix.Bind(fd, name); err != nil {
		return -1, local, os.NewSyscallError("bind", err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return -1, local, os.NewSyscallError("getsockname", err)
	}
	switch a := bound.(type) {
	case *unix.SockaddrInet4:
		local = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		local = netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return fd, local, nil
}
