package daemon

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/maitred/maitred/pkg/certificate"
)

// logListeners logs one line for each address that was opened.
func (d *Daemon) logListeners() {
	log := func(service string, a netip.AddrPort, ok bool) {
		if ok {
			d.log.Info("listening", "service", service, "addr", a)
		}
	}
	log("http", d.http.Addr(), d.http.Addr().IsValid())
	log("https", d.http.SecureAddr(), d.http.SecureAddr().IsValid())
	log("admin", d.http.AdminAddr(), d.http.AdminAddr().IsValid())
	for _, l := range []struct {
		service string
		addr    func() (netip.AddrPort, bool)
	}{{"turn-udp", d.turn.UDPAddr}, {"turn-tcp", d.turn.TCPAddr}, {"turn-tls", d.turn.TLSAddr}, {"turn-dtls", d.turn.DTLSAddr}} {
		addr, ok := l.addr()
		log(l.service, addr, ok)
	}
}

// WriteGuide prints what a person needs next: what to open, what to hand out, which ports to let through.
func (d *Daemon) WriteGuide(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	line := func(what, value string) { fmt.Fprintf(t, "  %s\t%s\n", what, value) } // errors surface in Flush
	fmt.Fprint(t, "maitred is ready.\n\n")
	d.pageLines(line)
	stun, turn := d.urls(d.config.Domain)
	for _, u := range stun {
		line("STUN", u)
	}
	for _, u := range turn {
		line("TURN", u)
	}
	if a, ok := d.turn.DTLSAddr(); ok {
		line("TURN, DTLS", transport(overDTLS).url(d.tlsHost(d.hostFor(d.config.Domain)), a.Port())+" (browsers do not speak it)")
	}
	line("Credential", "maitred credentials")
	line("Ports to open", d.ports())
	fmt.Fprintln(t)
	if err := t.Flush(); err != nil {
		return err
	}
	return d.writeQR(w)
}

// pageLines say where the page is, and what a browser will think of the certificate.
func (d *Daemon) pageLines(line func(what, value string)) {
	clear := ""
	if a := d.http.Addr(); a.IsValid() {
		clear = "http://" + net.JoinHostPort(pageHost(a), strconv.Itoa(int(a.Port()))) + "/"
	}
	open := "Open in two tabs"
	if d.config.Signaling.Auth == authToken {
		open = "Page"
		line("Invite somebody", "maitred token --room NAME --link (nobody enters without a token: signaling.auth)")
	}
	if d.certificate == nil {
		if clear != "" {
			line(open, clear)
			line("", "(from other machines browsers give camera and microphone only to https pages: set domain or tls.self_signed, or put a proxy with TLS in front)")
		}
		return
	}
	if !d.http.SecureAddr().IsValid() {
		if clear != "" {
			line("Open", clear)
		}
		return
	}
	line("Open", d.securePage())
	switch c := d.certificate.Status(); {
	case c.NotAfter.IsZero():
		line("", "(as soon as there is a certificate; the log says how that goes)")
	case d.config.TLS.SelfSigned:
		line("", "(browsers warn once: the certificate is of this machine's own making; compare its fingerprint)")
		line("SHA-256", c.SHA256)
		if clear != "" {
			line("On this machine", clear)
		}
	}
}

// securePage is the page's URL over TLS.
func (d *Daemon) securePage() string {
	a := d.http.SecureAddr()
	host := d.tlsHost(d.external[0].String())
	if ip := a.Addr(); !ip.IsUnspecified() && d.config.Domain == "" && d.certificate.ValidFor(ip.String()) {
		host = ip.String()
	}
	port := d.config.HTTPS.PublicPort
	if port == 0 {
		port = int(a.Port())
	}
	if port != 443 {
		host = net.JoinHostPort(host, strconv.Itoa(port))
	} else if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() {
		host = "[" + host + "]"
	}
	return "https://" + host + "/"
}

// writeQR shows the page's URL to a phone in the same network, where nobody wants to type the address.
func (d *Daemon) writeQR(w io.Writer) error {
	if !d.config.TLS.SelfSigned || !d.http.SecureAddr().IsValid() {
		return nil
	}
	code, err := certificate.QRCode(d.securePage())
	if err != nil {
		return err
	}
	if isTerminal(w) { // white on black whatever its colours are: phones want the dark parts dark
		code = "\x1b[97;40m" + strings.ReplaceAll(strings.TrimSuffix(code, "\n"), "\n", "\x1b[0m\n\x1b[97;40m") + "\x1b[0m\n"
	}
	_, err = fmt.Fprintf(w, "Open it on a phone in this network:\n\n%s\n", code)
	return err
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
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
	// Where there is HTTPS, only a domain needs the port in clear, to lead people there.
	if a := d.http.Addr(); a.IsValid() && !a.Addr().IsLoopback() && (d.config.Domain != "" || !d.http.SecureAddr().IsValid()) {
		add(fmt.Sprintf("%d/tcp", a.Port()))
	}
	if a := d.http.SecureAddr(); a.IsValid() && !a.Addr().IsLoopback() {
		add(fmt.Sprintf("%d/tcp", a.Port()))
	}
	for _, l := range []struct {
		addr    func() (netip.AddrPort, bool)
		network string
	}{{d.turn.UDPAddr, "udp"}, {d.turn.TCPAddr, "tcp"}, {d.turn.TLSAddr, "tcp"}, {d.turn.DTLSAddr, "udp"}} {
		if a, ok := l.addr(); ok && !a.Addr().Unmap().IsLoopback() {
			add(fmt.Sprintf("%d/%s", a.Port(), l.network))
		}
	}
	if r := d.config.TURN.RelayPorts; !r.None() {
		add(fmt.Sprintf("%d-%d/udp", r.Min, r.Max))
	}
	if list == "" {
		return "none: everything listens on loopback"
	}
	return list
}
