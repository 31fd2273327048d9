//go:build !386 && !arm && !mips && !mipsle

package udpio

// Gather is the batch of a reader that is no handler: what it sends goes out at Flush, or earlier when it is full. One goroutine
// uses it at a time.
type Gather struct{ outbox }

// NewGather returns an empty batch.
func NewGather() *Gather {
	g := &Gather{}
	g.init(nil)
	return g
}

// Flush sends what has been gathered; nothing of it is needed any more then.
func (g *Gather) Flush() { g.flush() }
