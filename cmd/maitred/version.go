package main

import (
	"fmt"
	"io"
	"runtime"
)

func showVersion(args []string, out, _ io.Writer) error {
	if len(args) > 0 {
		return usageError("%q: `maitred version` takes no arguments", args[0])
	}
	_, err := fmt.Fprintf(out, "maitred %s (commit %s, %s)\n", version, commit, runtime.Version())
	return err
}
