package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/maitred/maitred/pkg/config"
	"github.com/maitred/maitred/pkg/daemon"
)

func serve(args []string, out, errOut io.Writer) error {
	flags := newConfigFlags("serve", "serve [--config FILE] [--external-ip IP] [--KEY VALUE …]", errOut)
	c, _, err := flags.load(args, errOut)
	if err != nil {
		return err
	}
	if err := noArguments(flags.FlagSet); err != nil {
		return err
	}
	log := newLogger(c.Log, errOut)
	d, err := daemon.New(c, daemon.Build{Version: version, Commit: commit, Go: runtime.Version()}, log)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	if err := d.WriteGuide(out); err != nil {
		log.Warn("the start message could not be printed", "error", err)
	}
	for {
		select {
		case s := <-signals:
			if ctx.Err() != nil {
				d.Hurry()
			}
			log.Info("signal received", "signal", s.String())
			cancel()
		case err := <-done:
			return err
		}
	}
}

func newLogger(c config.Log, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
