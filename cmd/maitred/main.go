// Command maitred is a STUN/TURN relay, a signaling server and a call page in one process.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/maitred/maitred/pkg/config"
)

// Set by the linker, see the Makefile.
var (
	version = "dev"
	commit  = "unknown"
)

// command is one of maitred's subcommands.
type command struct {
	name, summary string
	run           func(args []string, out, errOut io.Writer) error
}

func commands() []command {
	return []command{
		{"serve", "run the daemon until SIGINT or SIGTERM, then drain", serve},
		{"check", "test STUN/TURN servers from outside", check},
		{"credentials", "mint an ICE credential", credentials},
		{"token", "mint a join token, or make a key for them (`maitred token --generate-key`)", joinToken},
		{"config", "validate the configuration and show where each value came from", showConfig},
		{"bench", "load a relay or a signaling server of one's own and measure it (`maitred bench relay`)", benchmark},
		{"version", "show version, commit and Go version", showVersion},
	}
}

// exitError ends the process with a code. Its text has been shown when err is nil.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

// usageError is a mistake on the command line: exit code 2, as for an invalid configuration.
func usageError(format string, args ...any) error {
	return &exitError{2, fmt.Errorf(format, args...)}
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errOut io.Writer) int {
	err := dispatch(args, out, errOut)
	if err == nil {
		return 0
	}
	exit := &exitError{1, err}
	errors.As(err, &exit)
	if exit.err != nil {
		fmt.Fprintf(errOut, "maitred: %v\n", exit.err)
	}
	return exit.code
}

func dispatch(args []string, out, errOut io.Writer) error {
	if len(args) == 0 {
		usage(errOut)
		return &exitError{code: 2}
	}
	names := []string{"help"}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(args[1:], out, errOut)
		}
		names = append(names, c.name)
	}
	switch args[0] {
	case "help", "-h", "--help":
		usage(out)
		return nil
	case "-v", "--version":
		return showVersion(nil, out, errOut)
	}
	return usageError("there is no command %q; did you mean %q? `maitred help` lists all", args[0], config.Nearest(args[0], names))
}

func usage(w io.Writer) {
	fmt.Fprint(w, "maitred: TURN relay, signaling server and call page in one process\n\nUsage: maitred COMMAND [flags]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-12s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\n`maitred COMMAND --help` lists the flags of a command.\n")
}
