package main

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/maitred/maitred/pkg/config"
	"github.com/maitred/maitred/pkg/daemon"
)

// reloader reads the configuration again for a running daemon.
type reloader struct {
	daemon *daemon.Daemon
	flags  *configFlags
	level  *slog.LevelVar
	log    *slog.Logger
	report *config.Report // of the configuration in effect
}

// reload takes the new configuration over, or says what is wrong with it and keeps the old one.
func (r *reloader) reload() {
	c, report, err := r.flags.read()
	if err == nil {
		err = r.daemon.Reload(c)
	}
	if err != nil {
		r.log.Error("the changed configuration is not taken over", "error", err)
		return
	}
	r.level.Set(c.Log.Level)
	for _, v := range report.Changed(r.report) {
		if !daemon.Reloadable(v.Key) {
			r.log.Warn("a changed value takes effect with the next start only", "key", v.Key, "value", v.Text)
		}
	}
	r.report = report
	r.log.Info("configuration reloaded")
}

// watchInterval is how often the configuration file is looked at. A look is one system call, and unlike a file system event it
// also sees a symbolic link that now points elsewhere.
const watchInterval = 2 * time.Second

// look is what the file is now; nil when there is none, so that any that appears is a change.
func look(file string) fs.FileInfo {
	info, err := os.Stat(file)
	if err != nil {
		return nil
	}
	return info
}

// watch sends whenever the file has changed since last, until ctx ends.
func watch(ctx context.Context, file string, last fs.FileInfo, changed chan<- struct{}) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := look(file)
		if now == nil || same(last, now) {
			continue
		}
		last = now
		select {
		case changed <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
}

func same(a, b fs.FileInfo) bool {
	return a != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
