package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/maitred/maitred/pkg/config"
	"github.com/maitred/maitred/pkg/daemon"
	"github.com/maitred/maitred/pkg/icecheck"
)

// checked is what came of one server; its JSON is a line of --json.
type checked struct {
	icecheck.Result
	Error string         `json:"error,omitempty"`
	Loop  *icecheck.Loop `json:"loop,omitempty"` // nil where none was made
	NAT   *icecheck.NAT  `json:"nat,omitempty"`  // the same for all; nil where nothing tells
}

// longestLoop keeps a slip of the finger from making load for hours.
const longestLoop = time.Minute

func check(args []string, out, errOut io.Writer) error {
	flags := newConfigFlags("check", "check [URL…] [--username U --password P] [--duration 2s] [--json] [--ready] [--config FILE]\n\n"+
		"Without URLs the running daemon of this configuration is tested.\nRelays are measured one after the other, each with up to 4 Mbit/s between two allocations on it.", out)
	username := flags.String("username", "", "TURN username")
	password := flags.String("password", "", "TURN password")
	duration := flags.Duration("duration", 2*time.Second, "how long each relay is measured; 0: not at all")
	asJSON := flags.Bool("json", false, "print JSON, one object for each server")
	ready := flags.Bool("ready", false, "only ask the running daemon of this configuration whether it is ready, as GET /readyz does")
	c, _, err := flags.load(args, errOut)
	if err != nil {
		return err
	}
	urls := flags.Args()
	switch {
	case *ready && (len(urls) > 0 || *asJSON || flags.Changed("username") || flags.Changed("password") || flags.Changed("duration")):
		return usageError("--ready asks the daemon of this configuration and says nothing but what is wrong: it goes with no URL, --json, --duration or credential")
	case *ready:
		return daemon.AskReady(context.Background(), c)
	case *duration < 0 || *duration > longestLoop:
		return usageError("--duration must be between 0 and %v, not %v", longestLoop, *duration)
	}
	var own *tls.Config
	if len(urls) == 0 {
		own = daemon.OwnTLS(c)
		if urls, *username, *password, err = ownServer(c, *duration); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	targets := make([]icecheck.Target, len(urls))
	for i, u := range urls {
		targets[i] = icecheck.Target{URL: u, Username: *username, Password: *password, TLS: own}
	}
	return report(checkAll(ctx, targets, *duration), *asJSON, out)
}

// checkAll tries all servers at once and measures those that relay one after the other, so that they do not disturb each other.
func checkAll(ctx context.Context, targets []icecheck.Target, duration time.Duration) []checked {
	results := make([]checked, len(targets))
	var nat *icecheck.NAT
	var g errgroup.Group
	for i, t := range targets {
		g.Go(func() error { results[i].Result = icecheck.Check(ctx, t); return nil })
	}
	g.Go(func() error {
		if found, err := icecheck.FindNAT(ctx, targets); err == nil { // else nothing answers over UDP, and those lines say so
			nat = &found
		}
		return nil
	})
	_ = g.Wait() // the results carry their errors
	for i, t := range targets {
		r := &results[i]
		r.NAT = nat
		if r.Err == nil && r.Relayed.IsValid() && duration > 0 {
			var loop icecheck.Loop
			if loop, r.Err = icecheck.MeasureLoop(ctx, t, duration); r.Err == nil {
				r.Loop = &loop
			}
		}
		if r.Err != nil {
			r.Error = r.Err.Error()
		}
	}
	return results
}

// ownServer is the daemon of this configuration with a credential that it accepts for as long as the tests take.
func ownServer(c *config.Config, duration time.Duration) (urls []string, username, password string, err error) {
	authority, err := daemon.NewAuthority(c)
	if err != nil {
		return nil, "", "", err
	}
	if urls, err = daemon.ConfiguredURLs(c, true); err != nil {
		return nil, "", "", err
	}
	if len(urls) == 0 {
		return nil, "", "", errors.New("this configuration has no TURN listener with a port of its own to test; give the URL")
	}
	credential := authority.Mint("check", time.Minute+time.Duration(len(urls))*(icecheck.Timeout+duration))
	return urls, credential.Username, credential.Password, nil
}

func report(results []checked, asJSON bool, out io.Writer) error {
	failed := 0
	for _, r := range results {
		if r.Err != nil {
			failed++
		}
	}
	write := reportWords
	if asJSON {
		write = reportJSON
	}
	if err := write(results, out); err != nil {
		return err
	}
	if failed > 0 {
		return &exitError{1, fmt.Errorf("%d of %d servers failed", failed, len(results))}
	}
	return nil
}

func reportJSON(results []checked, out io.Writer) error {
	encoder := json.NewEncoder(out)
	for _, r := range results {
		if err := encoder.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

func reportWords(results []checked, out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0) // errors surface in Flush
	for _, line := range verdict(results) {
		fmt.Fprintln(table, line)
	}
	fmt.Fprintln(table)
	for _, r := range results {
		took := r.Took.Round(10 * time.Microsecond)
		switch {
		case r.Err != nil:
			fmt.Fprintf(table, "%s\tFAILED\t\t%s\t\n", r.URL, r.Error)
		case r.Relayed.IsValid():
			fmt.Fprintf(table, "%s\tok\t%v\tseen as %v\trelayed at %v\n", r.URL, took, r.Mapped, r.Relayed)
		default:
			fmt.Fprintf(table, "%s\tok\t%v\tseen as %v\t\n", r.URL, took, r.Mapped)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return reportLoops(results, out)
}

// reportLoops is a second table, of the relays that were measured.
func reportLoops(results []checked, out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	header := "\nBetween two allocations, there and back\tround trip\tp99\tjitter\tlost\tthroughput\n"
	for _, r := range results {
		if l := r.Loop; l != nil {
			fmt.Fprintf(table, "%s%s\t%v\t%v\t%v\t%.1f %%\t%.1f of %.1f Mbit/s\n", header, r.URL, l.RTT50.Round(10*time.Microsecond), l.RTT99.Round(10*time.Microsecond),
				l.Jitter.Round(10*time.Microsecond), 100*l.Loss(), megabits(l.Throughput), megabits(l.Offered))
			header = ""
		}
	}
	return table.Flush()
}

func megabits(bits int64) float64 { return float64(bits) / 1e6 }

const (
	muchLoss     = 0.02 // of the small packets: voices begin to break up
	muchBulkLoss = 0.2  // of the large ones: no 4 Mbit/s get through
)

// verdict is what all of it means, in plain words: how the servers are, and what is between here and them.
func verdict(results []checked) (lines []string) {
	var failed, poor []string
	over := map[string]bool{}
	for _, r := range results {
		switch l := r.Loop; {
		case r.Err != nil:
			failed = append(failed, r.URL)
			continue
		case l != nil && (l.Loss() > muchLoss || l.BulkLoss() > muchBulkLoss):
			poor = append(poor, r.URL)
		}
		if r.Relayed.IsValid() {
			over[protocol(r.URL)] = true
		}
	}
	switch {
	case len(failed) == len(results):
		lines = append(lines, "NOTHING WORKS: "+counted(len(failed), "the server fails", "all %d servers fail")+".")
	case len(failed) > 0:
		lines = append(lines, fmt.Sprintf("PARTLY BROKEN: %d of %d servers fail.", len(failed), len(results)))
	case len(poor) > 0:
		lines = append(lines, "WORKS BADLY: packets get lost on the way through "+strings.Join(poor, " and ")+"; calls through there stutter.")
	default:
		lines = append(lines, "ALL WELL: "+counted(len(results), "the server works", "all %d servers work")+".")
	}
	if len(over) > 0 {
		lines = append(lines, "Calls are relayed over "+strings.Join(slices.Sorted(maps.Keys(over)), ", ")+".")
	}
	if nat := results[0].NAT; nat != nil {
		lines = append(lines, explainNAT(nat))
	}
	return lines
}

func counted(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return fmt.Sprintf(many, n)
}

// protocol is how one speaks to the server of a TURN URL.
func protocol(url string) string {
	secure, overUDP, overTCP := strings.HasPrefix(url, "turns:"), strings.HasSuffix(url, "?transport=udp"), strings.HasSuffix(url, "?transport=tcp")
	switch {
	case secure && overUDP:
		return "DTLS"
	case secure:
		return "TLS"
	case overTCP:
		return "TCP"
	}
	return "UDP"
}

func explainNAT(nat *icecheck.NAT) string {
	switch nat.Mapping {
	case icecheck.MappingNone:
		return "There is no NAT between here and the servers over UDP."
	case icecheck.MappingIndependent:
		return "There is a NAT here that keeps one public address for a socket, as far as these servers can tell: most calls get through directly."
	case icecheck.MappingDependent:
		return "There is a NAT here that takes another public address for each destination (a symmetric one): many calls need a relay."
	}
	return "There is a NAT here; of what kind, one destination cannot tell."
}
