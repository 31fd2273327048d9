package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Readable tells whether this system says what a process costs: on Linux, in /proc.
const Readable = runtime.GOOS == "linux"

// Usage is what processes have used so far.
type Usage struct {
	CPU time.Duration // all threads, to the nanosecond
	RSS int64         // bytes in memory now
}

// UsageOf sums over processes. There must be one at least.
func UsageOf(pids []int) (u Usage, err error) {
	for _, pid := range pids {
		dir := filepath.Join("/proc", strconv.Itoa(pid))
		threads, err := filepath.Glob(filepath.Join(dir, "task", "*", "schedstat"))
		if err != nil {
			return u, err
		}
		memory, err := numbersIn(filepath.Join(dir, "statm"))
		if err == nil && (len(memory) < 2 || len(threads) == 0) {
			err = errors.New("its files in /proc are not complete")
		}
		if err != nil {
			return u, fmt.Errorf("what process %d costs cannot be read; does it run? (%w)", pid, err)
		}
		u.RSS += memory[1] * int64(os.Getpagesize())
		for _, thread := range threads {
			times, err := numbersIn(thread)
			if err == nil && len(times) > 0 { // else the thread has just ended
				u.CPU += time.Duration(times[0])
			}
		}
	}
	return u, nil
}

func numbersIn(file string) (numbers []int64, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for _, field := range strings.Fields(string(b)) {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}
