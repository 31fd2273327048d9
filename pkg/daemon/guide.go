package daemon

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"text/tabwriter"
)

// logListeners logs one line for each address that was opened.
func (d *Daemon) logListeners() {
	log := func(service string, a netip.AddrPort, ok bool) {
		if ok {
			d.log.Info("listening", "service", service, "addr", a)
		}
	}
	udp, hasUDP := d.turn.UDPAddr()
	tcp, hasTCP := d.turn.TCPAddr()
	log("http", d.http.Addr(), d.http.Addr().IsValid())
	log("admin", d.http.AdminAddr(), d.http.AdminAddr().IsValid())
	log("turn-udp", udp, hasUDP)
	log("turn-tcp", tcp, hasTCP)
}

// WriteGuide prints what a person needs next: what to open, what to hand out, which ports to let through.
func (d *Daemon) WriteGuide(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	line := func(what, value string) { fmt.Fprintf(t, "  %s\t%s\n", what, value) } // errors surface in Flush
	fmt.Fprint(t, "maitred is ready.\n\n")
	if a := d.http.Addr(); a.IsValid() {
		line("Open in two tabs", "http://"+net.JoinHostPort(pageHost(a), strconv.Itoa(int(a.Port())))+"/")
		line("", "(from other machines browsers give camera and microphone only to https pages: put a proxy with TLS in front)")
	}
	stun, turn := d.urls("")
	for _, u := range stun {
		line("STUN", u)
	}
	for _, u := range turn {
		line("TURN", u)
	}
	line("Credential", "maitred credentials")
	line("Ports to open", d.ports())
	fmt.Fprintln(t)
	return t.Flush()
}

// pageHost is the name to open the page under on this machine: browsers take http://localhost for a secure origin.
func pageHost(a netip.AddrPort) string {
	if ip := a.Addr().Unmap(); !ip.IsUnspecified() && !ip.IsLoopback() {
		return ip.String()
	}
	return "localhost"
}

// ports lists what a firewall must let in.
func (d *Daemon) ports() string {
	var list string
	add := func(p string) {
		if list != "" {
			list += ", "
		}
		list += p
	}
	if a := d.http.Addr(); a.IsValid() {
		add(fmt.Sprintf("%d/tcp", a.Port()))
	}
	if a, ok := d.turn.UDPAddr(); ok {
		add(fmt.Sprintf("%d/udp", a.Port()))
	}
	if a, ok := d.turn.TCPAddr(); ok {
		add(fmt.Sprintf("%d/tcp", a.Port()))
	}
	if r := d.config.TURN.RelayPorts; !r.None() {
		add(fmt.Sprintf("%d-%d/udp", r.Min, r.Max))
	}
	return list
}
