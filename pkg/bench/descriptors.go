package bench

import "fmt"

// spareDescriptors are for what is open beside the sockets of sessions: a flood, timers, the files and pipes of the process.
const spareDescriptors = 64

// CheckDescriptors tells whether the process may open as many files as the sessions need.
func (c *Config) CheckDescriptors() error {
	need := c.Sessions
	if !c.Pair && !c.ConnectOnly {
		need *= 2 // a peer for each client
	}
	return NeedDescriptors(need, fmt.Sprintf("%d sessions", c.Sessions))
}

// NeedDescriptors tells whether the process may open n sockets for what, beside the files that it has. The runtime has raised the soft
// limit to the hard one.
func NeedDescriptors(n int, what string) error {
	need := uint64(n) + spareDescriptors
	if limit := descriptorLimit(); need > limit {
		return fmt.Errorf("%s need %d open files, and the limit is %d: raise it with `ulimit -n %d`, which the server needs as well, or use fewer", what, need, limit, need)
	}
	return nil
}
