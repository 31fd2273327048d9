package credential

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// tryLock locks a file, which it makes where there is none, against other callers of it here and in other processes. unlock is nil when one of
// them has it. The lock ends with the process, whatever ends that.
func tryLock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
	switch {
	case err == nil:
		return f.Close, nil
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION):
		return nil, f.Close()
	}
	return nil, errors.Join(err, f.Close())
}
