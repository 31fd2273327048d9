package bench

import "fmt"

// spareDescriptors are for what is open beside the sockets of sessions: a flood, timers, the files and pipes of the process.
const spareDescriptors = 64

// CheckDescriptors tells whether the process may open as many files as the sessions need. The runtime has raised the soft limit to the
// hard one.
func (c *Config) CheckDescriptors() error {
	need := uint64(c.Sessions)
	if !c.Pair && !c.ConnectOnly {
		need *= 2 // a peer for each client
	}
	need += spareDescriptors
	if limit := descriptorLimit(); need > limit {
		return fmt.Errorf("%d sessions need %d open files, and the limit is %d: raise it with `ulimit -n %d`, which the server needs as well, or use fewer sessions", c.Sessions, need, limit, need)
	}
	return nil
}
