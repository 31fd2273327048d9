//go:build !windows

package credential

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// tryLock locks a file, which it makes where there is none, against other callers of it here and in other processes. unlock is nil when one of
// them has it. The lock ends with the process, whatever ends that.
func tryLock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
		case err == nil:
			return f.Close, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return nil, f.Close()
		case !errors.Is(err, unix.EINTR):
			return nil, errors.Join(err, f.Close())
		}
	}
}
