package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/maitred/maitred/pkg/bench"
	"github.com/maitred/maitred/pkg/bench/signaling"
)

// signalingFlags are the flags of `maitred bench signaling`.
type signalingFlags struct {
	*pflag.FlagSet
	load       signaling.Config
	server     string
	tokens     []string
	tokenFile  string
	pids       []string // lists of them
	remote     bool
	asJSON     bool
	daemonArgs []string // behind --
}

func newSignalingFlags(out io.Writer) *signalingFlags {
	f := &signalingFlags{FlagSet: newFlags("bench signaling", `bench signaling [flags] [-- FLAGS OF SERVE]

Fills rooms, lets their members send each other messages, and measures how long that takes and what it costs the server. Without --server a daemon
is started for it on loopback, without limits and with the flags behind --.`, out)}
	c := &f.load
	f.IntVar(&c.Rooms, "rooms", 50, "rooms (default with --token: one for each token)")
	f.IntVar(&c.Members, "members", 2, "members of each room")
	f.IntVar(&c.Joins, "joins", 100, "members that join in a second until all are there")
	f.DurationVar(&c.Settle, "settle", 2*time.Second, "how long all are idle before memory is read")
	f.IntVar(&c.Messages, "messages", 1000, "messages that all members together send in a second; 0: none, only the joins and memory are measured")
	f.IntVar(&c.Size, "size", 300, "data of a message in bytes")
	f.BoolVar(&c.FanOut, "fan-out", false, "each message goes to all others of the room instead of one: how long until the last one has it?")
	f.IntVar(&c.Flood, "flood", 0, "members of one more room who send as fast as the server lets them, while the rest is measured once more")
	f.DurationVar(&c.Tick, "tick", 200*time.Microsecond, "the messages that are due within this time are sent at once")
	f.DurationVar(&c.Duration, "duration", 5*time.Second, "how long is measured")
	f.DurationVar(&c.WarmUp, "warm-up", 500*time.Millisecond, "load before that, which is not counted")
	f.StringVar(&c.Protocol, "protocol", "maitred", "of the server: "+strings.Join(signaling.Protocols(), " or "))
	f.StringVar(&f.server, "server", "", "`URL` of the server, ws://, wss://, http:// or https:// (default a daemon of its own)")
	f.StringVar(&f.tokenFile, "token-file", "", "`FILE` of join tokens, one in a line, each for another room; with --flood the last one is for its room")
	f.StringArrayVar(&f.tokens, "token", nil, "a join token itself, for every user of this machine to see; several flags for several rooms")
	f.StringArrayVar(&f.pids, "pid", nil, "the server's process `ID`s, to tell what it costs (Linux)")
	f.BoolVar(&f.remote, "remote", false, "the server is mine although its address is not a loopback or private one")
	f.BoolVar(&f.asJSON, "json", false, "print JSON")
	return f
}

func benchSignaling(args []string, out, errOut io.Writer) error {
	f := newSignalingFlags(out)
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
		err = writeSignaling(out, report)
	}
	if err == nil && report.FirstError != nil {
		err = fmt.Errorf("%d of %d members could not join, and there were %d errors in all, first this one: %w",
			report.Failed, report.Failed+report.Joined, errorsIn(report), report.FirstError)
	}
	return err
}

func errorsIn(r *signaling.Report) (n uint64) {
	for _, count := range r.Errors {
		n += count
	}
	return n
}

// run measures the server that was named, or a daemon that lives as long.
func (f *signalingFlags) run(ctx context.Context, errOut io.Writer) (*signaling.Report, error) {
	if f.Changed("token") {
		fmt.Fprint(errOut, "maitred: warning: flag --token: every user of this machine can see a token on a command line; use --token-file\n")
	}
	if err := f.load.CheckDescriptors(); err != nil {
		return nil, err
	}
	show := progressOn(errOut)
	f.load.Progress = show.signaling
	defer show.clear()
	if f.server != "" {
		return signaling.Run(ctx, f.load)
	}
	return onDaemon(ctx, errOut, signalingEnvironment(f.load.Flood > 0), f.daemonArgs, "http",
		func(ctx context.Context, d *ownDaemon, at netip.AddrPort) (*signaling.Report, error) {
			f.load.Server, f.load.PIDs = at, []int{d.command.Process.Pid}
			f.load.URL = &url.URL{Scheme: "ws", Host: at.String(), Path: signaling.Path(f.load.Protocol)}
			return signaling.Run(ctx, f.load)
		})
}

// read parses and checks the flags and resolves the server.
func (f *signalingFlags) read(args []string) (err error) {
	if err := parse(f.FlagSet, args); err != nil {
		return err
	}
	if f.daemonArgs, err = behindDashes(f.FlagSet); err != nil {
		return err
	}
	if !slices.Contains(signaling.Protocols(), f.load.Protocol) {
		return usageError("--protocol %q: valid: %s", f.load.Protocol, strings.Join(signaling.Protocols(), ", "))
	}
	if err := f.readTokens(); err != nil {
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

// The bounds of numbers: what one machine can do.
const (
	mostConnections = 1_000_000
	longestRun      = time.Hour
)

func (f *signalingFlags) checkLoad() error {
	c := &f.load
	for _, n := range []struct {
		name               string
		value, least, most int
	}{
		{"rooms", c.Rooms, 1, mostConnections}, {"members", c.Members, 1, 1000}, {"joins", c.Joins, 1, 1_000_000}, {"messages", c.Messages, 0, 10_000_000},
		{"size", c.Size, signaling.MinSize, signaling.MaxSize}, {"flood", c.Flood, 0, 1000},
	} {
		if n.value < n.least || n.value > n.most {
			return usageError("--%s %d: valid: %d to %d", n.name, n.value, n.least, n.most)
		}
	}
	switch {
	case c.Rooms*c.Members > mostConnections:
		return usageError("--rooms %d with --members %d: valid: %d members in all", c.Rooms, c.Members, mostConnections)
	case c.Tick < bench.MinTick || c.Tick > time.Second:
		return usageError("--tick %v: valid: %v to 1s", c.Tick, bench.MinTick)
	case c.Duration < 10*time.Millisecond || c.WarmUp < 0 || c.Settle < 0 || max(c.Duration, c.WarmUp, c.Settle) > longestRun:
		return usageError("--duration %v, --warm-up %v and --settle %v: valid: 10ms, 0 and 0 to %v", c.Duration, c.WarmUp, c.Settle, longestRun)
	case c.Messages > 0 && c.Members < 2:
		return usageError("--members %d: nobody is there to send to; valid: 2 or more, or --messages 0", c.Members)
	case c.Messages == 0 && c.Flood > 0:
		return usageError("--flood is beside a load, and --messages 0 is none")
	case c.Messages == 0 && c.FanOut:
		return usageError("--fan-out is of messages, and --messages 0 is none")
	case c.Flood == 1:
		return usageError("--flood 1: nobody is there to send to; valid: 2 or more, or 0")
	}
	return f.checkProtocol()
}

func (f *signalingFlags) checkProtocol() error {
	c := &f.load
	switch {
	case c.Protocol == "maitred":
		return nil
	case len(c.Tokens) > 0:
		return usageError("--token and --token-file are for join tokens of maitred; %s has none", c.Protocol)
	case !f.Changed("server"):
		return usageError("--protocol %s goes with --server; the daemon that is started here speaks maitred", c.Protocol)
	}
	return nil
}

// checkDaemon checks the flags where there is no --server.
func (f *signalingFlags) checkDaemon() error {
	for _, name := range []string{"pid", "remote"} {
		if f.Changed(name) {
			return usageError("--%s goes with --server; the daemon that is started here needs none", name)
		}
	}
	return checkDaemonArgs(f.daemonArgs)
}

// checkServer checks the flags of --server and resolves the address.
func (f *signalingFlags) checkServer() (err error) {
	switch {
	case f.server == "":
		return usageError("--server is empty; is the variable set that it comes from?")
	case len(f.daemonArgs) > 0:
		return usageError("%q: flags for a daemon, but --server names one that runs", f.daemonArgs[0])
	}
	c := &f.load
	if c.PIDs, err = readPIDs(f.pids); err != nil {
		return err
	}
	if c.URL, err = webSocketURL(f.server, c.Protocol); err != nil {
		return usageError("--server %q: valid: a URL as http://127.0.0.1:8080 or wss://call.example.com (%w)", f.server, err)
	}
	resolved, err := net.ResolveTCPAddr("tcp", c.URL.Host)
	if err != nil || resolved.IP == nil || resolved.Port == 0 {
		return usageError("--server %q: its host cannot be found (%v)", f.server, err)
	}
	c.Server = netip.AddrPortFrom(resolved.AddrPort().Addr().Unmap(), uint16(resolved.Port))
	return mayLoad(f.server, c.Server.Addr(), f.remote)
}

// webSocketURL is where the WebSockets of a server are: ws or wss, with a port and a path.
func webSocketURL(server, protocol string) (*url.URL, error) {
	if !strings.Contains(server, "://") {
		server = "ws://" + server
	}
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	ports := map[string]string{"ws": "80", "wss": "443"}
	u.Scheme = strings.Replace(u.Scheme, "http", "ws", 1)
	switch {
	case ports[u.Scheme] == "":
		return nil, fmt.Errorf("%s:// is not for WebSockets", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("it has no host")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("it has more than a host, a port and a path")
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), ports[u.Scheme])
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = signaling.Path(protocol)
	}
	return u, nil
}

// longestTokenFile bounds a file of tokens, in bytes.
const longestTokenFile = 64 << 20

// readTokens takes the join tokens, whose number is that of the rooms if nothing else was said.
func (f *signalingFlags) readTokens() error {
	c := &f.load
	c.Tokens = f.tokens
	if f.Changed("token-file") {
		if f.Changed("token") {
			return usageError("--token and --token-file: give one of them")
		}
		lines, err := linesOf(f.tokenFile)
		if err != nil {
			return usageError("--token-file: %w", err)
		}
		c.Tokens = lines
	}
	if !f.Changed("token-file") && !f.Changed("token") {
		return nil
	}
	seen := map[string]bool{}
	for i, t := range c.Tokens {
		room, err := signaling.RoomOf(t)
		if err != nil {
			return usageError("join token %d is none: %w", i+1, err)
		}
		if seen[room] {
			return usageError("join token %d is for room %q, as one before it; each must be for another room", i+1, room)
		}
		seen[room] = true
	}
	extra := min(c.Flood, 1) // the room of the flood
	if !f.Changed("rooms") {
		c.Rooms = max(len(c.Tokens)-extra, 1)
	}
	if len(c.Tokens) < c.Rooms+extra {
		return usageError("%d join tokens for %d rooms; each room needs one of its own, and that of --flood another one", len(c.Tokens), c.Rooms)
	}
	return nil
}

// linesOf are the lines of a file that are not blank.
func linesOf(file string) (lines []string, err error) {
	r, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, longestTokenFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > longestTokenFile {
		return nil, fmt.Errorf("%s has more than %d bytes", file, longestTokenFile)
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("%s has no line with a token", file)
	}
	return lines, nil
}
