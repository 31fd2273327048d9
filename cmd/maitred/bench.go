package main

import (
	"bufio"
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
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/spf13/pflag"

	"github.com/maitred/maitred/pkg/bench"
	"github.com/maitred/maitred/pkg/config"
	"github.com/maitred/maitred/pkg/credential"
)

func benchmark(args []string, out, errOut io.Writer) error {
	const relay, signaling = "relay", "signaling"
	switch {
	case len(args) == 0:
		return usageError("what is to be measured? `maitred bench %s --help` and `maitred bench %s --help` list the flags", relay, signaling)
	case args[0] == relay:
		return benchRelay(args[1:], out, errOut)
	case args[0] == signaling:
		return benchSignaling(args[1:], out, errOut)
	case args[0] == "-h" || args[0] == "--help":
		_, err := fmt.Fprintf(out, "Usage: maitred bench %s|%s [flags]\n\n`maitred bench %s --help` and `maitred bench %s --help` list the flags.\n", relay, signaling, relay, signaling)
		return err
	}
	return usageError("there is no benchmark %q; did you mean %q?", args[0], config.Nearest(args[0], []string{relay, signaling}))
}

// relayFlags are the flags of `maitred bench relay`.
type relayFlags struct {
	*pflag.FlagSet
	load                     bench.Config
	server, secret           string
	secretFile, passwordFile string
	pids                     []string // lists of them
	asJSON                   bool
	daemonArgs               []string // behind --
}

func newRelayFlags(out io.Writer) *relayFlags {
	f := &relayFlags{FlagSet: newFlags("bench relay", `bench relay [flags] [-- FLAGS OF SERVE]

Loads a relay and measures what a packet costs it and how long it takes. Without --server a daemon is started for it on loopback,
with the flags behind --.

Over tls and dtls the server's certificate is not verified: the server is yours. That it knows the shared secret or password is checked for each allocation;
with --connect-only there is none, and nothing is checked.`, out)}
	c := &f.load
	f.IntVar(&c.Sessions, "sessions", 20, "allocations")
	f.IntVar(&c.Size, "size", 1000, "payload of a packet in bytes")
	f.IntVar(&c.Rate, "rate", 40000, "packets offered in a second, over all sessions and both directions")
	f.IntVar(&c.Burst, "burst", 8, "packets that a session sends at once")
	f.DurationVar(&c.Tick, "tick", bench.MinTick, "the sessions' packets that are due within this time are sent at once")
	f.StringVar(&c.Transport, "transport", "udp", "between client and server: "+strings.Join(bench.Transports(), " or "))
	f.StringVar(&c.TLSVersion, "tls-version", "", "with --transport tls: only "+strings.Join(bench.TLSVersions(), " or ")+" (default the newest that the server has)")
	f.BoolVar(&c.Pair, "pair", false, "both ends are relayed: client, relay, client")
	f.DurationVar(&c.Duration, "duration", 5*time.Second, "how long is measured")
	f.DurationVar(&c.WarmUp, "warm-up", 500*time.Millisecond, "load before that, which is not counted")
	f.BoolVar(&c.AllocateOnly, "allocate-only", false, "no load: what an allocation costs")
	f.BoolVar(&c.ConnectOnly, "connect-only", false, "no allocations: what a connection costs to open, and to hold idle for --duration")
	f.IntVar(&c.Flood, "flood", 0, "Allocate requests a second beside the load that the server must refuse")
	f.BoolVar(&c.Baseline, "baseline", true, "measure without a relay first, to tell the latency that the relay adds")
	f.StringVar(&f.server, "server", "", "`HOST:PORT` of the TURN server, of any make (default a daemon of its own)")
	f.StringVar(&f.secretFile, "secret-file", "", "`FILE` whose first line is the server's shared secret: turn.secrets, static-auth-secret")
	f.StringVar(&f.secret, "secret", "", "the shared secret itself, for every user of this machine to see")
	f.StringVar(&c.Username, "username", "", "TURN username, where there is no shared secret")
	f.StringVar(&f.passwordFile, "password-file", "", "`FILE` whose first line is the TURN password")
	f.StringVar(&c.Password, "password", "", "the TURN password itself, for every user of this machine to see")
	f.StringArrayVar(&f.pids, "pid", nil, "the server's process `ID`s, to tell what it costs (Linux)")
	f.BoolVar(&c.Remote, "remote", false, "the server and its relayed addresses are mine although they are not loopback or private ones")
	f.BoolVar(&f.asJSON, "json", false, "print JSON")
	return f
}

func benchRelay(args []string, out, errOut io.Writer) error {
	f := newRelayFlags(out)
	if err := f.read(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), endings()...)
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

// endings are the signals that end a benchmark in order. Under nohup the end of the terminal is none.
func endings() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// run measures the server that was named, or a daemon that lives as long.
func (f *relayFlags) run(ctx context.Context, errOut io.Writer) (*bench.Report, error) {
	for _, name := range []string{"secret", "password"} {
		if f.Changed(name) {
			fmt.Fprintf(errOut, "maitred: warning: flag --%s: every user of this machine can see a secret on a command line; use --%s-file\n", name, name)
		}
	}
	if err := f.load.CheckDescriptors(); err != nil {
		return nil, err
	}
	show := progressOn(errOut)
	f.load.Progress = show.relay
	defer show.clear()
	if f.server != "" {
		return bench.Run(ctx, f.load)
	}
	return onDaemon(ctx, errOut, relayEnvironment(f.load.Transport), f.daemonArgs, "turn-"+f.load.Transport,
		func(ctx context.Context, d *ownDaemon, at netip.AddrPort) (*bench.Report, error) {
			f.load.Server, f.load.PIDs = at, []int{d.command.Process.Pid}
			f.mint(d.secret)
			return bench.Run(ctx, f.load)
		})
}

// read parses and checks the flags and resolves the server.
func (f *relayFlags) read(args []string) error {
	if err := parse(f.FlagSet, args); err != nil {
		return err
	}
	var err error
	if f.daemonArgs, err = behindDashes(f.FlagSet); err != nil {
		return err
	}
	if err := f.checkLoad(); err != nil {
		return err
	}
	if f.Changed("server") {
		return f.checkServer()
	}
	return f.checkDaemon()
}

// behindDashes are the arguments behind --. There must be none in front of it.
func behindDashes(f *pflag.FlagSet) ([]string, error) {
	if f.ArgsLenAtDash() == 0 {
		return f.Args(), nil
	}
	if v := f.Arg(0); v == "true" || v == "false" {
		return nil, usageError("%q is no flag; write the value of a switch behind an equals sign: --FLAG=%s", v, v)
	}
	return nil, noArguments(f)
}

// The bounds of numbers: what one machine can do, and what fits a UDP datagram on loopback.
func (f *relayFlags) checkLoad() error {
	c := &f.load
	for _, n := range []struct {
		name               string
		value, least, most int
	}{
		{"sessions", c.Sessions, 1, 20_000}, {"size", c.Size, bench.MinSize, bench.MaxSize(c.Transport)}, {"rate", c.Rate, 1, 10_000_000},
		{"burst", c.Burst, 1, 256}, {"flood", c.Flood, 0, 1_000_000},
	} {
		if n.value < n.least || n.value > n.most {
			return usageError("--%s %d: valid: %d to %d", n.name, n.value, n.least, n.most)
		}
	}
	switch {
	case !slices.Contains(bench.Transports(), c.Transport):
		return usageError("--transport %q: valid: %s", c.Transport, strings.Join(bench.Transports(), ", "))
	case f.Changed("tls-version") && c.Transport != "tls":
		return usageError("--tls-version goes with --transport tls")
	case f.Changed("tls-version") && !slices.Contains(bench.TLSVersions(), c.TLSVersion):
		return usageError("--tls-version %q: valid: %s", c.TLSVersion, strings.Join(bench.TLSVersions(), ", "))
	case c.Pair && c.Sessions%2 != 0:
		return usageError("--sessions %d: with --pair an even number, two make a pair", c.Sessions)
	case c.Tick < bench.MinTick || c.Tick > time.Second:
		return usageError("--tick %v: valid: %v to 1s", c.Tick, bench.MinTick)
	case c.Duration < 10*time.Millisecond || c.WarmUp < 0 || c.Duration+c.WarmUp > bench.MaxDuration:
		return usageError("--duration %v and --warm-up %v: valid: 10ms or more and 0 or more, at most %v together", c.Duration, c.WarmUp, bench.MaxDuration)
	case c.AllocateOnly && c.Flood > 0:
		return usageError("--flood is beside a load, and --allocate-only has none")
	case c.ConnectOnly:
		return f.checkConnectOnly()
	}
	return nil
}

func (f *relayFlags) checkConnectOnly() error {
	switch c := &f.load; {
	case c.Transport == "udp":
		return usageError("--connect-only needs connections, and --transport udp has none; valid: %s", strings.Join(bench.Transports()[1:], ", "))
	case c.AllocateOnly:
		return usageError("--connect-only and --allocate-only: give one of them")
	case c.Pair:
		return usageError("--pair is of allocations, and --connect-only has none")
	case c.Flood > 0:
		return usageError("--flood is beside a load, and --connect-only has none")
	}
	return nil
}

// checkDaemon checks the flags where there is no --server.
func (f *relayFlags) checkDaemon() error {
	for _, name := range []string{"secret", "secret-file", "username", "password", "password-file", "pid", "remote"} {
		if f.Changed(name) {
			return usageError("--%s goes with --server; the daemon that is started here needs none", name)
		}
	}
	return checkDaemonArgs(f.daemonArgs)
}

// checkDaemonArgs checks the flags of a daemon that is started to be measured.
func checkDaemonArgs(args []string) error {
	serve := newConfigFlags("serve", "", io.Discard)
	if errors.Is(serve.Parse(args), pflag.ErrHelp) { // it tells its other mistakes itself
		return usageError("--help behind --: nothing would be measured; `maitred serve --help` lists the flags of the daemon")
	}
	for _, own := range []struct{ name, why string }{
		{"log.level", "where it listens is read in its log"}, {"log.format", "where it listens is read in its log"},
		{"turn.secrets", "it gets a secret of its own"},
	} {
		if serve.Changed(own.name) {
			return usageError("--%s cannot be set for the daemon that is measured: %s", own.name, own.why)
		}
	}
	return nil
}

// checkServer checks the flags of --server, reads the credential and resolves the address.
func (f *relayFlags) checkServer() error {
	c := &f.load
	switch {
	case f.server == "":
		return usageError("--server is empty; is the variable set that it comes from?")
	case len(f.daemonArgs) > 0:
		return usageError("%q: flags for a daemon, but --server names one that runs", f.daemonArgs[0])
	}
	err := errors.Join(f.takeLine(&f.secret, "secret", f.secretFile), f.takeLine(&c.Password, "password", f.passwordFile))
	switch {
	case err != nil:
		return err
	case c.ConnectOnly && f.secret == "" && c.Username == "" && c.Password == "": // nothing asks for it
	case (f.secret == "") == (c.Username == "") || (c.Username == "") != (c.Password == ""):
		return usageError("--server needs --secret-file, or --username and --password-file")
	}
	if c.PIDs, err = readPIDs(f.pids); err != nil {
		return err
	}
	if f.secret != "" {
		f.mint(f.secret)
	}
	return f.resolve()
}

// longestSecret bounds the first line of a file, in bytes.
const longestSecret = 4096

// takeLine reads a secret whose flag is --name-file from the first line of a file, if one was given.
func (f *relayFlags) takeLine(secret *string, name, file string) error {
	switch given := f.Changed(name + "-file"); {
	case !given:
		return nil
	case f.Changed(name):
		return usageError("--%s and --%s-file: give one of them", name, name)
	case file == "":
		return usageError("--%s-file is empty; is the variable set that it comes from?", name)
	}
	r, err := os.Open(file)
	if err != nil {
		return usageError("--%s-file: %w", name, err)
	}
	defer r.Close()
	line, err := bufio.NewReader(io.LimitReader(r, longestSecret+1)).ReadString('\n')
	if err != nil && err != io.EOF {
		return usageError("--%s-file: %w", name, err)
	}
	if *secret = strings.TrimSpace(line); *secret == "" || len(line) > longestSecret {
		return usageError("--%s-file %s: its first line must be the %s, in at most %d bytes", name, file, name, longestSecret)
	}
	return nil
}

// readPIDs takes lists with commas or blanks, as pidof prints them.
func readPIDs(lists []string) (pids []int, err error) {
	for _, list := range lists {
		all := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
		if len(all) == 0 {
			return nil, usageError("--pid is empty; does the server run?")
		}
		for _, text := range all {
			pid, err := strconv.Atoi(text)
			if err != nil || pid < 1 {
				return nil, usageError("--pid %s is no process ID", text)
			}
			if !slices.Contains(pids, pid) { // twice would cost twice
				pids = append(pids, pid)
			}
		}
	}
	return pids, nil
}

// resolve finds the server, which must be one that may be loaded.
func (f *relayFlags) resolve() error {
	resolved, err := net.ResolveUDPAddr("udp", f.server)
	if err != nil {
		return usageError("--server %q: valid: host:port of a TURN server (%w)", f.server, err)
	}
	if resolved.Port == 0 || resolved.IP == nil {
		return usageError("--server %q: valid: host:port of a TURN server, with both", f.server)
	}
	c := &f.load
	c.ServerName, _, _ = net.SplitHostPort(f.server) // it has just been parsed
	c.Server = netip.AddrPortFrom(resolved.AddrPort().Addr().Unmap(), uint16(resolved.Port))
	return mayLoad(f.server, c.Server.Addr(), c.Remote)
}

// mayLoad tells why a server may not be loaded.
func mayLoad(server string, a netip.Addr, remote bool) error {
	switch {
	case !bench.Reachable(a):
		return usageError("--server %s: %v is not the address of one machine; name one at which the server listens", server, a)
	case !remote && !bench.Near(a):
		return usageError("--server %s: %v is a public address, and this is a load generator; add --remote if the server and the way to it are yours to load", server, a)
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
