package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/maitred/maitred/pkg/config"
	"github.com/maitred/maitred/pkg/daemon"
	"github.com/maitred/maitred/pkg/token"
)

// maxTokenTTL also bounds how far ahead a token may begin.
const maxTokenTTL = 366 * 24 * time.Hour

// tokenFlags are the flags of `maitred token` beside those of the configuration.
type tokenFlags struct {
	room, name, role string
	notBefore        string
	ttl              time.Duration
	maxUses          int
	link, json       bool
	url              string

	algorithm, kid string // to make a key
}

// mintedToken is what --json prints.
type mintedToken struct {
	Token   string    `json:"token"`
	ID      string    `json:"id"`
	Expires time.Time `json:"expires"`
	Link    string    `json:"link,omitempty"`
}

func joinToken(args []string, out, errOut io.Writer) error {
	flags := newConfigFlags("token", "token --room ROOM [--name NAME] [--role moderator|member] [--ttl 1h] [--link] [--json] [--config FILE] [--KEY VALUE …]\n"+
		"       maitred token --generate-key HS256|ES256|EdDSA [--kid ID]", out)
	var f tokenFlags
	f.define(flags)
	c, _, err := flags.load(args, errOut)
	if err != nil {
		return err
	}
	if err := noArguments(flags.FlagSet); err != nil {
		return err
	}
	if flags.Changed("generate-key") {
		return f.generateKey(flags, out)
	}
	claims, err := f.claims(flags, time.Now())
	if err != nil {
		return err
	}
	return f.mint(c, claims, out, errOut)
}

func (f *tokenFlags) define(flags *configFlags) {
	flags.StringVar(&f.room, "room", "", "`ROOM` that the token lets into")
	flags.StringVar(&f.name, "name", "", "`NAME` of the member (default: whoever has the token chooses)")
	flags.StringVar(&f.role, "role", token.RoleMember, "`ROLE` of the member: moderator or member")
	flags.DurationVar(&f.ttl, "ttl", time.Hour, "how long the token lets in, counted from --not-before if there is one")
	flags.StringVar(&f.notBefore, "not-before", "", "`TIME` from which on it does: 2026-03-01T15:00:00Z, or from now on 30m")
	flags.IntVar(&f.maxUses, "max-uses", 0, "how often it lets in (default: any number of times)")
	flags.BoolVar(&f.link, "link", false, "print the address of the room's page with the token in it")
	flags.StringVar(&f.url, "url", "", "`BASE` of that address (default https:// and the domain, or http://localhost)")
	flags.BoolVar(&f.json, "json", false, "print JSON")
	flags.StringVar(&f.algorithm, "generate-key", "", "make a key for signaling.token_keys instead: HS256, ES256 or EdDSA (`ALG`)")
	flags.StringVar(&f.kid, "kid", "", "`ID` of that key (default a random one)")
}

// generateKey prints a key, and what of it a server needs that only verifies.
func (f *tokenFlags) generateKey(flags *configFlags, out io.Writer) error {
	for _, name := range []string{"room", "name", "role", "ttl", "not-before", "max-uses", "link", "url", "json"} {
		if flags.Changed(name) {
			return usageError("--%s belongs to a token; --generate-key makes a key", name)
		}
	}
	line, err := token.Generate(f.algorithm, f.kid)
	if err != nil {
		return usageError("--generate-key: %w", err)
	}
	public := ""
	if f.algorithm != token.HS256 {
		if public, err = token.PublicLine(line); err != nil {
			return err
		}
		public = "public: " + public + "\n"
	}
	_, err = fmt.Fprint(out, line+"\n"+public)
	return err
}

// claims checks what the command line says of the token. What the token itself cannot be is left to Mint.
func (f *tokenFlags) claims(flags *configFlags, now time.Time) (token.Claims, error) {
	c := token.Claims{ID: token.NewID(), Room: f.room, Name: f.name, Role: f.role, MaxUses: f.maxUses}
	switch {
	case !flags.Changed("room"):
		return c, usageError("--room is missing: the room that the token is for")
	case flags.Changed("kid"):
		return c, usageError("--kid belongs to --generate-key; the first key of signaling.token_keys that can sign mints")
	case f.url != "" && !f.link:
		return c, usageError("--url belongs to --link")
	case f.ttl < time.Second || f.ttl > maxTokenTTL:
		return c, usageError("--ttl %v: a token lets in for one second at least and for %d days at most", f.ttl, maxTokenTTL/(24*time.Hour))
	case flags.Changed("max-uses") && f.maxUses < 1:
		return c, usageError("--max-uses %d: a token lets in once at least; leave it out for any number of times", f.maxUses)
	}
	begin := now
	if flags.Changed("not-before") {
		var err error
		if c.NotBefore, err = parseNotBefore(f.notBefore, now); err != nil {
			return c, err
		}
		if c.NotBefore.After(now) {
			begin = c.NotBefore
		}
	}
	c.Expires = begin.Add(f.ttl).UTC().Truncate(time.Second)
	return c, nil
}

func parseNotBefore(text string, now time.Time) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text)
	if d, notDuration := time.ParseDuration(text); notDuration == nil {
		if d < 0 {
			return at, usageError("--not-before %v: a token cannot begin in the past", d)
		}
		at, err = now.Add(d), nil
	}
	switch {
	case err != nil:
		return at, usageError("--not-before %q is neither a time such as 2026-03-01T15:00:00Z nor a duration such as 30m", text)
	case at.After(now.Add(maxTokenTTL)):
		return at, usageError("--not-before %s is more than %d days ahead", text, maxTokenTTL/(24*time.Hour))
	}
	return at, nil
}

// mint prints the token, or the link with it.
func (f *tokenFlags) mint(c *config.Config, claims token.Claims, out, errOut io.Writer) error {
	page := ""
	if f.link {
		var err error
		if page, err = pageURL(c, f.url); err != nil {
			return err
		}
	}
	keys, err := daemon.TokenKeys(c)
	if err != nil {
		return err
	}
	m := mintedToken{ID: claims.ID, Expires: claims.Expires}
	m.Token, err = keys.Mint(claims, time.Now())
	switch {
	case errors.Is(err, token.ErrClaims):
		return usageError("%w", err)
	case errors.Is(err, token.ErrCannotSign):
		return fmt.Errorf("signaling.token_keys: %w; `maitred token --generate-key` makes one that can", err)
	case err != nil:
		return err
	}
	if c.Signaling.Auth == "open" {
		fmt.Fprintln(errOut, "maitred: warning: signaling.auth is open: people enter without a token, too; this one gives role and name, and does for the room's password")
	}
	shown := m.Token
	if f.link {
		m.Link = page + "/r/" + claims.Room + "#token=" + m.Token
		shown = m.Link
		if strings.HasPrefix(page, "http://localhost:") && f.url == "" {
			fmt.Fprintln(errOut, "maitred: warning: the link opens on this machine only; --url gives it the address that others reach the page under")
		}
	}
	if f.json {
		return json.NewEncoder(out).Encode(m)
	}
	_, err = fmt.Fprintln(out, shown)
	return err
}

// pageURL is where people reach the page, without a slash at the end: base if there is one, else what the configuration tells.
func pageURL(c *config.Config, base string) (string, error) {
	if base != "" {
		u, err := url.Parse(base)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || strings.ContainsAny(base, "?#") {
			return "", usageError("--url %q is not the beginning of a page's address, such as https://call.example.com", base)
		}
		return strings.TrimRight(base, "/"), nil
	}
	if c.Domain != "" {
		port := strconv.Itoa(c.HTTPS.PublicPort)
		if port == "0" && c.HTTPS.Listen != config.Off {
			_, port = splitAddress(c.HTTPS.Listen)
		}
		if port == "0" || port == "443" { // no HTTPS of ours: a proxy has it
			return "https://" + c.Domain, nil
		}
		return "https://" + net.JoinHostPort(c.Domain, port), nil
	}
	host, port := splitAddress(c.HTTP.Listen)
	if port == "" || port == "0" {
		return "", usageError("--link needs --url BASE: neither domain nor http.listen says where the page is")
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && (ip.IsUnspecified() || ip.IsLoopback()) {
		host = "localhost" // for which browsers give camera and microphone without TLS
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

// splitAddress takes a listener's address apart; both are empty when it is off.
func splitAddress(listen string) (host, port string) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", ""
	}
	return host, port
}
