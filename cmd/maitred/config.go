package main

import (
	"io"

	"github.com/maitred/maitred/pkg/token"
)

func showConfig(args []string, out, errOut io.Writer) error {
	flags := newConfigFlags("config", "config [--config FILE] [--KEY VALUE …]", out)
	c, report, err := flags.load(args, errOut)
	if err != nil {
		return err
	}
	if err := noArguments(flags.FlagSet); err != nil {
		return err
	}
	if keys := c.Signaling.TokenKeys; len(keys) > 0 {
		if _, err := token.ParseKeys(keys); err != nil {
			return usageError("signaling.token_keys: %w", err)
		}
	}
	return report.Write(out)
}
