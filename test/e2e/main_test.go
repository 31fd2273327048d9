// Package e2e makes calls between real browsers through the real daemon. It is
// a module of its own so that the daemon's go.mod does not grow a browser.
package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/maitred/maitred/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m, filepath.Join("..", ".."))) }
