//go:build !linux || 386 || arm || mips || mipsle

package udpio

// New returns the network that is best on this system.
func New() (Network, error) { return NewPortable(), nil }
