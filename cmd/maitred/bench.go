package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/maitred/maitred/pkg/bench"
	"github.com/maitred/maitred/pkg/config"
	"github.com/maitred/maitred/pkg/credential"
)

func benchmark(args []string, out, errOut io.Writer) error {
	const relay = "relay"
	switch {
	case len(args) == 0:
		return usageError("what is to be measured? `maitred bench %s --help` lists the flags", relay)
	case args[0] == relay:
		return benchRelay(args[1:], out, errOut)
	case args[0] == "-h" || args[0] == "--help":
		_, err := fmt.Fprintf(out, "Usage: maitred bench %s [flags]\n\n`maitred bench %s --help` lists the flags.\n", relay, relay)
		return err
	}
	return usageError("there is no benchmark %q; did you mean %q?", args[0], config.Nearest(args[0], []string{relay}))
}

// relayFlags are the flags of `maitred bench relay`.
type relayFlags struct {
	*pflag.FlagSet
	load           bench.Config
	server, secret string
	remote, asJSON bool
	daemonArgs     []string // behind --
}

func newRelayFlags(out io.Writer) *relayFlags {
	f := &relayFlags{FlagSet: newFlags("bench relay", `bench relay [flags] [-- FLAGS OF SERVE]

Loads a relay and measures what a packet costs it and how long it takes. Without --server a daemon is started for it on loopback,
with the flags behind --.`, out)}
	c := &f.load
	f.IntVar(&c.Sessions, "sessions", 20, "allocations")
	f.IntVar(&c.Size, "size", 1000, "payload of a packet in bytes")
	f.IntVar(&c.Rate, "rate", 40000, "packets offered in a second, over all sessions and both directions")
	f.IntVar(&c.Burst, "burst", 8, "packets that a session sends at once")
	f.DurationVar(&c.Tick, "tick", bench.MinTick, "the sessions' packets that are due within this time are sent at once")
	f.StringVar(&c.Transport, "transport", "udp", "between client and server: "+strings.Join(bench.Transports(), " or "))
	f.BoolVar(&c.Pair, "pair", false, "both ends are relayed: client, relay, client")
	f.DurationVar(&c.Duration, "duration", 5*time.Second, "how long is measured")
	f.DurationVar(&c.WarmUp, "warm-up", 500*time.Millisecond, "load before that, which is not counted")
	f.BoolVar(&c.AllocateOnly, "allocate-only", false, "no load: what an allocation costs")
	f.IntVar(&c.Flood, "flood", 0, "Allocate requests a second beside the load that the server must refuse")
	f.BoolVar(&c.Baseline, "baseline", true, "measure without a relay first, to tell the latency that the relay adds")
	f.StringVar(&f.server, "server", "", "`HOST:PORT` of the TURN server, of any make (default a daemon of its own)")
	f.StringVar(&f.secret, "secret", "", "the server's shared secret: turn.secrets, static-auth-secret")
	f.StringVar(&c.Username, "username", "", "TURN username, where there is no shared secret")
	f.StringVar(&c.Password, "password", "", "TURN password")
	f.IntSliceVar(&c.PIDs, "pid", nil, "the server's process `ID`s, to tell what it costs (Linux)")
	f.BoolVar(&f.remote, "remote", false, "the server is mine although it is not on a loopback or private address")
	f.BoolVar(&f.asJSON, "json", false, "print JSON")
	return f
}

func benchRelay(args []string, out, errOut io.Writer) error {
	f := newRelayFlags(out)
	if err := f.read(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	report, err := f.run(ctx, errOut)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if err != nil {
		return err
	}
	if f.asJSON {
		err = json.NewEncoder(out).Encode(report)
	} else {
		err = writeReport(out, report)
	}
	if err == nil && report.Failed > 0 {
		err = fmt.Errorf("%d of %d sessions failed: %w", report.Failed, report.Failed+report.Sessions, report.FirstError)
	}
	return err
}

// run measures the server that was named, or a daemon that lives as long.
func (f *relayFlags) run(ctx context.Context, errOut io.Writer) (*bench.Report, error) {
	show := progressOn(errOut)
	f.load.Progress = show.line
	defer show.clear()
	if f.server != "" {
		return bench.Run(ctx, f.load)
	}
	d, alive, err := startDaemon(ctx, f.daemonArgs)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(errOut, "maitred: started a daemon to measure: process %d\n", d.command.Process.Pid)
	if f.load.Server, err = d.listening(ctx, "turn-"+f.load.Transport); err == nil {
		f.load.PIDs = []int{d.command.Process.Pid}
		f.mint(d.secret)
		var report *bench.Report
		if report, err = bench.Run(alive, f.load); err == nil {
			return report, d.stop()
		}
	}
	return nil, d.explain(errors.Join(err, d.stop()))
}

// read parses and checks the flags and resolves the server.
func (f *relayFlags) read(args []string) error {
	if err := parse(f.FlagSet, args); err != nil {
		return err
	}
	if n := f.ArgsLenAtDash(); n == 0 {
		f.daemonArgs = f.Args()
	} else if err := noArguments(f.FlagSet); err != nil {
		return err
	}
	if err := f.checkLoad(); err != nil {
		return err
	}
	return f.checkServer()
}

// The bounds of numbers: what one machine can do, and what fits a UDP datagram on loopback.
func (f *relayFlags) checkLoad() error {
	c := &f.load
	for _, n := range []struct {
		name               string
		value, least, most int
	}{
		{"sessions", c.Sessions, 1, 20_000}, {"size", c.Size, bench.MinSize, 65_000}, {"rate", c.Rate, 1, 10_000_000},
		{"burst", c.Burst, 1, 256}, {"flood", c.Flood, 0, 1_000_000},
	} {
		if n.value < n.least || n.value > n.most {
			return usageError("--%s %d: valid: %d to %d", n.name, n.value, n.least, n.most)
		}
	}
	switch {
	case !slices.Contains(bench.Transports(), c.Transport):
		return usageError("--transport %q: valid: %s", c.Transport, strings.Join(bench.Transports(), ", "))
	case c.Pair && c.Sessions%2 != 0:
		return usageError("--sessions %d: with --pair an even number, two make a pair", c.Sessions)
	case c.Tick < bench.MinTick || c.Tick > time.Second:
		return usageError("--tick %v: valid: %v to 1s", c.Tick, bench.MinTick)
	case c.Duration < 10*time.Millisecond || c.WarmUp < 0 || c.Duration+c.WarmUp > bench.MaxDuration:
		return usageError("--duration %v and --warm-up %v: valid: 10ms or more and 0 or more, at most %v together", c.Duration, c.WarmUp, bench.MaxDuration)
	case c.AllocateOnly && c.Flood > 0:
		return usageError("--flood is beside a load, and --allocate-only has none")
	}
	return nil
}

func (f *relayFlags) checkServer() (err error) {
	c := &f.load
	for _, name := range []string{"secret", "username", "password", "pid", "remote"} {
		if f.server == "" && f.Changed(name) {
			return usageError("--%s goes with --server; the daemon that is started here needs none", name)
		}
	}
	switch {
	case f.server == "":
		return nil
	case len(f.daemonArgs) > 0:
		return usageError("%q: flags for a daemon, but --server names one that runs", f.daemonArgs[0])
	case (f.secret == "") == (c.Username == "") || (c.Username == "") != (c.Password == ""):
		return usageError("--server needs --secret, or --username and --password")
	}
	for _, pid := range c.PIDs {
		if pid < 1 {
			return usageError("--pid %d is no process ID", pid)
		}
	}
	if f.secret != "" {
		f.mint(f.secret)
	}
	resolved, err := net.ResolveUDPAddr("udp", f.server)
	if err != nil || resolved.Port == 0 || resolved.IP == nil {
		return usageError("--server %q: valid: host:port of a TURN server (%v)", f.server, err)
	}
	c.Server = netip.AddrPortFrom(resolved.AddrPort().Addr().Unmap(), uint16(resolved.Port))
	if a := c.Server.Addr(); !f.remote && !a.IsLoopback() && !a.IsPrivate() && !a.IsLinkLocalUnicast() {
		return usageError("--server %s: %v is a public address, and this is a load generator; add --remote if the server and the way to it are yours to load", f.server, a)
	}
	return nil
}

// mint makes the credential of the clients.
func (f *relayFlags) mint(secret string) {
	authority, err := credential.New("", []string{secret}) // the realm is the server's to name
	if err != nil {
		panic(err) // there is a secret
	}
	made := authority.Mint("bench", time.Hour)
	f.load.Username, f.load.Password = made.Username, made.Password
}
