package signaling

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"sync"
)

// failure is an error of a kind that reports count under its name.
type failure struct {
	kind string
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// kindOf is under which name an error is counted.
func kindOf(err error) string {
	var known *failure
	var end *closed
	var network net.Error
	switch {
	case errors.As(err, &known):
		return known.kind
	case errors.As(err, &end):
		return fmt.Sprintf("closed_%d", end.code)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "timeout"
	}
	return "lost" // the connection broke
}

// mostKinds bounds the names, of which a server can make some up.
const mostKinds = 32

// failures counts errors by kind and keeps the first. It is safe for concurrent use; its zero value is empty.
type failures struct {
	mu    sync.Mutex
	first error
	kinds map[string]uint64
}

func (f *failures) add(err error) {
	kind := kindOf(err)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.first == nil {
		f.first, f.kinds = err, map[string]uint64{}
	}
	if _, ok := f.kinds[kind]; !ok && len(f.kinds) >= mostKinds {
		kind = "other"
	}
	f.kinds[kind]++
}

// all are the counts so far, and the first error, if any.
func (f *failures) all() (kinds map[string]uint64, first error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.kinds), f.first
}
