package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/maitred/maitred/pkg/config"
	"github.com/maitred/maitred/pkg/daemon"
	"github.com/maitred/maitred/pkg/icecheck"
)

func check(args []string, out, errOut io.Writer) error {
	flags := newConfigFlags("check", "check [URL…] [--username U --password P] [--json] [--ready] [--config FILE]\n\nWithout URLs the running daemon of this configuration is tested.", out)
	username := flags.String("username", "", "TURN username")
	password := flags.String("password", "", "TURN password")
	asJSON := flags.Bool("json", false, "print JSON, one object for each server")
	ready := flags.Bool("ready", false, "only ask the running daemon of this configuration whether it is ready, as GET /readyz does")
	c, _, err := flags.load(args, errOut)
	if err != nil {
		return err
	}
	urls := flags.Args()
	if *ready {
		if len(urls) > 0 || *asJSON || flags.Changed("username") || flags.Changed("password") {
			return usageError("--ready asks the daemon of this configuration and says nothing but what is wrong: it goes with no URL, --json or credential")
		}
		return daemon.AskReady(context.Background(), c)
	}
	var own *tls.Config
	if len(urls) == 0 {
		own = daemon.OwnTLS(c)
		if urls, *username, *password, err = ownServer(c); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	results := make([]icecheck.Result, len(urls))
	var g errgroup.Group
	for i, u := range urls {
		g.Go(func() error {
			results[i] = icecheck.Check(ctx, icecheck.Target{URL: u, Username: *username, Password: *password, TLS: own})
			return nil
		})
	}
	_ = g.Wait() // the results carry their errors
	return report(results, *asJSON, out)
}

// ownServer is the daemon of this configuration with a credential that it accepts.
func ownServer(c *config.Config) (urls []string, username, password string, err error) {
	authority, err := daemon.NewAuthority(c)
	if err != nil {
		return nil, "", "", err
	}
	credential := authority.Mint("check", time.Minute)
	urls, err = daemon.ConfiguredURLs(c, true)
	return urls, credential.Username, credential.Password, err
}

func report(results []icecheck.Result, asJSON bool, out io.Writer) error {
	failed := 0
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	encoder := json.NewEncoder(out)
	for _, r := range results {
		line := struct {
			icecheck.Result
			Error string `json:"error,omitempty"`
		}{Result: r}
		verdict := fmt.Sprintf("ok\t%v\tseen as %v\trelayed at %v", r.Took.Round(10*time.Microsecond), r.Mapped, r.Relayed)
		if !r.Relayed.IsValid() {
			verdict = fmt.Sprintf("ok\t%v\tseen as %v\t", r.Took.Round(10*time.Microsecond), r.Mapped)
		}
		if r.Err != nil {
			failed++
			line.Error = r.Err.Error()
			verdict = "FAILED\t\t" + line.Error + "\t"
		}
		if !asJSON {
			fmt.Fprintf(table, "%s\t%s\n", r.URL, verdict) // errors surface in Flush
		} else if err := encoder.Encode(line); err != nil {
			return err
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if failed > 0 {
		return &exitError{1, fmt.Errorf("%d of %d servers failed", failed, len(results))}
	}
	return nil
}
