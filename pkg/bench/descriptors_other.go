//go:build !unix

package bench

import "math"

// descriptorLimit is no limit: this system names none.
func descriptorLimit() uint64 { return math.MaxUint64 }
