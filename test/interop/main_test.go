// Package interop runs the daemon against programs that we did not write:
// coturn's client, nginx, HAProxy and an ACME server, and builds it the way the
// image does.
package interop

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/maitred/maitred/test/harness"
)

var top = filepath.Join("..", "..")

func TestMain(m *testing.M) { os.Exit(harness.Main(m, top)) }
