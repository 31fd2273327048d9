package main

import (
	"fmt"
	"io"
	"runtime"
)

func showVersion(_ []string, out, _ io.Writer) error {
	_, err := fmt.Fprintf(out, "maitred %s (commit %s, %s)\n", version, commit, runtime.Version())
	return err
}
