package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/maitred/maitred/pkg/bench"
	"github.com/maitred/maitred/pkg/bench/signaling"
)

// progress is one line on a terminal that is written over and over; elsewhere it is nothing.
type progress struct {
	terminal *os.File
}

func progressOn(w io.Writer) progress {
	f, ok := w.(*os.File)
	if !ok {
		return progress{}
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return progress{}
	}
	return progress{f}
}

const eraseLine = "\r\x1b[K"

func (p progress) relay(s bench.Progress) {
	if s.Got == 0 {
		p.line("%s …", s.Phase)
	} else {
		p.line("%s: %.0f packets/s offered, %.0f arrive, %.2f %% lost, p99 %v", s.Phase, s.Offered, s.Got, s.Loss, s.P99.Round(time.Microsecond))
	}
}

func (p progress) signaling(s signaling.Progress) {
	if s.Delivered == 0 {
		p.line("%s … %d members", s.Phase, s.Joined)
	} else {
		p.line("%s: %d members, %.0f messages/s sent, %.0f delivered, %d lost or under way, p99 %v",
			s.Phase, s.Joined, s.Sent, s.Delivered, s.Lost, s.P99.Round(time.Microsecond))
	}
}

func (p progress) line(format string, args ...any) {
	if p.terminal != nil {
		fmt.Fprintf(p.terminal, eraseLine+format, args...)
	}
}

func (p progress) clear() {
	if p.terminal != nil {
		fmt.Fprint(p.terminal, eraseLine)
	}
}

// writeReport prints tables.
func writeReport(out io.Writer, r *bench.Report) error {
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0) // its errors surface in Flush
	fmt.Fprintf(t, "Server\t%s (%s)\n", r.Server, r.Transport)
	if r.Encryption != "" {
		fmt.Fprintf(t, "Encryption\t%s\n", r.Encryption)
	}
	if r.Connect != nil {
		writeConnections(t, r)
	} else {
		writeSessions(t, r)
	}
	if r.RSS != nil {
		fmt.Fprintf(t, "Memory\t%.1f MB resident\n", float64(*r.RSS)/1e6)
	}
	if r.Traffic != nil {
		writeTraffic(t, r)
	}
	if r.Flood != nil {
		fmt.Fprintf(t, "Flood\t%.0f requests/s, %.0f of them answered\n", r.Flood.Offered, r.Flood.Answered)
	}
	if r.RSS == nil {
		fmt.Fprintf(t, "Cost\tnot measured: %s\n", unmeasured())
	}
	if err := t.Flush(); err != nil || r.Traffic == nil {
		return err
	}
	return writeLatency(out, r.Traffic)
}

func writeSessions(t io.Writer, r *bench.Report) {
	kind := "sessions"
	if r.Pair {
		kind = "sessions in pairs"
	}
	fmt.Fprintf(t, "Sessions\t%d %s, %d failed; %.0f set up in a second\n", r.Sessions, kind, r.Failed, r.Allocate.PerSecond)
	if r.Allocate.CPU != nil {
		fmt.Fprintf(t, "Each session\t%.0f µs CPU to set up, %.1f kB of memory\n", *r.Allocate.CPU, float64(*r.Allocate.Memory)/1e3)
	}
}

func writeConnections(t io.Writer, r *bench.Report) {
	fmt.Fprintf(t, "Connections\t%d idle, %d failed; %.0f opened in a second\n", r.Sessions, r.Failed, r.Connect.PerSecond)
	if r.Connect.CPU != nil {
		fmt.Fprintf(t, "Each connection\t%.0f µs CPU to open (%.0f a second on one processor), %.1f kB of memory\n", *r.Connect.CPU, *r.Connect.PerCoreSecond, float64(*r.Connect.Memory)/1e3)
	}
}

func unmeasured() string {
	if bench.Readable {
		return "--pid names the server's processes"
	}
	return "this system does not tell what a process costs; Linux does"
}

func writeTraffic(t io.Writer, r *bench.Report) {
	fmt.Fprintf(t, "Packets\t%d bytes, %d at once\n", r.Size, r.Burst)
	fmt.Fprintf(t, "Offered\t%.0f packets/s\n", r.Offered)
	fmt.Fprintf(t, "Relayed\t%.0f packets/s, %.3f %% lost, %d out of order\n", r.Relayed, r.Loss, r.Reordered)
	if r.CPUPerPacket != nil {
		fmt.Fprintf(t, "Server CPU\t%.2f µs per packet, %.2f cores\n", *r.CPUPerPacket, *r.CPUCores)
	}
}

func writeLatency(out io.Writer, r *bench.Traffic) error {
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\nLatency in µs, one way\tp50\tp99\tp99.9\tmax\t\n")
	fmt.Fprintf(t, "relayed\t%.0f\t%.0f\t%.0f\t%.0f\t\n", r.Latency.P50, r.Latency.P99, r.Latency.P999, r.Latency.Max)
	if r.Added != nil {
		fmt.Fprintf(t, "without a relay\t%.0f\t%.0f\t%.0f\t%.0f\t\n", r.Baseline.P50, r.Baseline.P99, r.Baseline.P999, r.Baseline.Max)
		fmt.Fprintf(t, "added by the relay\t%.0f\t%.0f\t%.0f\t\t\n", r.Added.P50, r.Added.P99, r.Added.P999)
	}
	return t.Flush()
}

// writeSignaling prints tables.
func writeSignaling(out io.Writer, r *signaling.Report) error {
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0) // its errors surface in Flush
	fmt.Fprintf(t, "Server\t%s (%s)\n", r.Server, r.Protocol)
	fmt.Fprintf(t, "Members\t%d in %d rooms of %d, %d failed; %.0f joined in a second\n", r.Joined, r.Rooms, r.Members, r.Failed, r.Join.PerSecond)
	if r.Join.CPU != nil {
		fmt.Fprintf(t, "Each join\t%.0f µs CPU\n", *r.Join.CPU)
	}
	if r.Idle != nil {
		fmt.Fprintf(t, "Each connection\t%.1f kB of memory while it is idle, %.1f MB resident in all\n", float64(r.Idle.Memory)/1e3, float64(r.Idle.RSS)/1e6)
	}
	if r.Messages != nil {
		writeMessages(t, "Messages", r, r.Messages)
	}
	if f := r.Flood; f != nil {
		fmt.Fprintf(t, "Flood\t%d members, %.0f messages/s taken from them, %d connections closed\n", f.Members, f.Sent, f.Closed)
		writeMessages(t, "Beside it", r, f.Messages)
	}
	if r.RSS != nil {
		fmt.Fprintf(t, "Memory\t%.1f MB resident in the end\n", float64(*r.RSS)/1e6)
	} else if r.Idle == nil {
		fmt.Fprintf(t, "Cost\tnot measured: %s\n", unmeasured())
	}
	if len(r.Errors) > 0 {
		var kinds []string
		for _, kind := range slices.Sorted(maps.Keys(r.Errors)) {
			kinds = append(kinds, fmt.Sprintf("%d %s", r.Errors[kind], kind))
		}
		fmt.Fprintf(t, "Errors\t%s\n", strings.Join(kinds, ", "))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return writeSignalingLatency(out, r)
}

func writeMessages(t io.Writer, label string, r *signaling.Report, m *signaling.Messages) {
	fmt.Fprintf(t, "%s\t%d bytes, %.0f/s sent, %.0f/s delivered, %d lost (%.3f %%)\n", label, r.Size, m.Sent, m.Delivered, m.Lost, m.Loss)
	if m.CPU != nil {
		fmt.Fprintf(t, "\t%.1f µs of the server's CPU for each delivered one, %.2f cores; this side used %.2f\n", *m.CPU, *m.Cores, *m.Generator.Cores)
	}
}

func writeSignalingLatency(out io.Writer, r *signaling.Report) error {
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\nLatency in µs\tp50\tp99\tp99.9\tmax\t\n")
	row := func(label string, l bench.Latency) {
		fmt.Fprintf(t, "%s\t%.0f\t%.0f\t%.0f\t%.0f\t\n", label, l.P50, l.P99, l.P999, l.Max)
	}
	messages := func(beside string, m *signaling.Messages) {
		row("message"+beside, m.Latency)
		if m.FanOut != nil {
			row("to the last of the room"+beside, *m.FanOut)
		}
		row("of that, sent late"+beside, m.Generator.Late)
	}
	row("join", r.Join.Latency)
	if r.Messages != nil {
		messages("", r.Messages)
	}
	if r.Flood != nil {
		messages(" beside the flood", r.Flood.Messages)
	}
	return t.Flush()
}
