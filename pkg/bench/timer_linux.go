package bench

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// timer sleeps. Go's own timers are waited for in whole milliseconds while nothing else happens; the kernel's are exact, and a
// goroutine waits for one as for a socket.
type timer struct {
	fd   int
	file *os.File
}

func newTimer() (*timer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	return &timer{fd: fd, file: os.NewFile(uintptr(fd), "timer")}, nil
}

// sleep waits for d, which is more than 0.
func (t *timer) sleep(d time.Duration) error {
	if err := unix.TimerfdSettime(t.fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil); err != nil {
		return os.NewSyscallError("timerfd_settime", err)
	}
	var expirations [8]byte
	_, err := t.file.Read(expirations[:])
	return err
}

func (t *timer) close() error {
	return t.file.Close()
}
