package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"

	"github.com/maitred/maitred/pkg/config"
	"github.com/maitred/maitred/pkg/daemon"
)

func serve(args []string, out, errOut io.Writer) error {
	flags := newConfigFlags("serve", "serve [--config FILE] [--domain NAME] [--external-ip IP] [--KEY VALUE …]", out)
	c, report, err := flags.load(args, errOut)
	if err != nil {
		return err
	}
	seen := look(flags.file)
	if err := noArguments(flags.FlagSet); err != nil {
		return err
	}
	level := &slog.LevelVar{}
	level.Set(c.Log.Level)
	log := newLogger(c.Log, level, errOut)
	d, err := daemon.New(c, daemon.Build{Version: version, Commit: commit, Go: runtime.Version()}, log)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancel(context.Background())
	changed, done := make(chan struct{}), make(chan error, 1)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	if flags.file != "" {
		running.Go(func() { watch(ctx, flags.file, seen, changed) })
	}
	running.Go(func() { done <- d.Run(ctx) })
	if err := d.WriteGuide(out); err != nil {
		log.Warn("the start message could not be printed", "error", err)
	}
	r := &reloader{daemon: d, flags: flags, level: level, log: log, report: report}
	for {
		select {
		case s := <-signals:
			log.Info("signal received", "signal", s.String())
			switch {
			case s == syscall.SIGHUP:
				r.reload()
			case ctx.Err() == nil:
				cancel()
			default:
				d.Hurry()
			}
		case <-changed:
			r.reload()
		case err := <-done:
			return err
		}
	}
}

func newLogger(c config.Log, level slog.Leveler, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
