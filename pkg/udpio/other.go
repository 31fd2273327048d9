//go:build !linux || 386 || arm || mips || mipsle

package udpio

// New returns the network that is best on this system.
func New() (Network, error) { return NewPortable(), nil }

// Gather is the batch of a reader that is no handler: what it sends goes out at Flush at the latest. One goroutine uses it at a time.
type Gather struct {
	immediate
	later []Flusher
}

// maxLater bounds who waits for Flush.
const maxLater = 64

// NewGather returns an empty batch.
func NewGather() *Gather { return &Gather{later: make([]Flusher, 0, maxLater)} }

// Later implements Batch.
func (g *Gather) Later(f Flusher) {
	if len(g.later) == maxLater {
		g.Flush()
	}
	g.later = append(g.later, f)
}

// Flush sends what has been gathered; nothing of it is needed any more then.
func (g *Gather) Flush() {
	for _, f := range g.later {
		f.Flush()
	}
	clear(g.later)
	g.later = g.later[:0]
}
