package main

import "io"

func showConfig(args []string, out, errOut io.Writer) error {
	flags := newConfigFlags("config", "config [--config FILE] [--KEY VALUE …]", out)
	_, report, err := flags.load(args, errOut)
	if err != nil {
		return err
	}
	if err := noArguments(flags.FlagSet); err != nil {
		return err
	}
	return report.Write(out)
}
