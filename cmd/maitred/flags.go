package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/maitred/maitred/pkg/config"
)

// configFlags are --config and a flag for every configuration key.
type configFlags struct {
	*pflag.FlagSet
	file string
}

func newFlags(name, usage string, out io.Writer) *pflag.FlagSet {
	f := pflag.NewFlagSet(name, pflag.ContinueOnError)
	f.SortFlags = false
	f.SetOutput(out)
	f.Usage = func() { fmt.Fprintf(out, "Usage: maitred %s\n\n%s", usage, f.FlagUsages()) }
	return f
}

func newConfigFlags(name, usage string, out io.Writer) *configFlags {
	f := &configFlags{FlagSet: newFlags(name, usage, out)}
	f.StringVar(&f.file, "config", "", "configuration `FILE` (YAML)")
	for _, k := range config.Keys() {
		f.String(k.Flag(), "", k.Doc+" (default "+shown(k)+")")
		f.Lookup(k.Flag()).DefValue = ""
	}
	return f
}

func shown(k config.Key) string {
	if k.Default != "" {
		return k.Default
	}
	if k.Empty != "" {
		return k.Empty
	}
	return "none"
}

// parse reads args. An unknown flag is named with the one that was probably meant.
func parse(f *pflag.FlagSet, args []string) error {
	err := f.Parse(args)
	var unknown *pflag.NotExistError
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return &exitError{code: 0}
	case errors.As(err, &unknown):
		if feature := config.Planned(unknown.GetSpecifiedName()); feature != "" {
			return usageError("--%s belongs to a feature that this version does not have yet: %s", unknown.GetSpecifiedName(), feature)
		}
		var names []string
		f.VisitAll(func(flag *pflag.Flag) { names = append(names, flag.Name) })
		return usageError("there is no flag --%s; did you mean --%s?", unknown.GetSpecifiedName(), config.Nearest(unknown.GetSpecifiedName(), names))
	case err != nil:
		return usageError("%w", err)
	}
	return nil
}

// load parses args and loads the configuration. Warnings go to errOut.
func (f *configFlags) load(args []string, errOut io.Writer) (*config.Config, *config.Report, error) {
	if err := parse(f.FlagSet, args); err != nil {
		return nil, nil, err
	}
	c, report, err := f.read()
	for _, w := range report.Warnings {
		fmt.Fprintf(errOut, "maitred: warning: %s\n", w)
	}
	if err != nil {
		separator := " " // one mistake is one line
		if strings.Contains(err.Error(), "\n") {
			separator = "\n"
		}
		return nil, report, &exitError{2, fmt.Errorf("the configuration is not valid:%s%w", separator, err)}
	}
	return c, report, nil
}

// read loads the configuration with the flags that were parsed.
func (f *configFlags) read() (*config.Config, *config.Report, error) {
	given := map[string]string{}
	f.Visit(func(flag *pflag.Flag) {
		if flag.Name != "config" && isKey(flag.Name) {
			given[flag.Name] = flag.Value.String()
		}
	})
	return config.Load(config.Options{File: f.file, Env: os.Environ(), Flags: given})
}

func isKey(flag string) bool {
	for _, k := range config.Keys() {
		if k.Flag() == flag {
			return true
		}
	}
	return false
}

// noArguments refuses what is left behind the flags.
func noArguments(f *pflag.FlagSet) error {
	if f.NArg() > 0 {
		return usageError("%q is no flag; `maitred %s` takes flags only", f.Arg(0), f.Name())
	}
	return nil
}
