package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/mail"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// PortRange is an inclusive range of UDP ports; the zero value means no ports at all.
type PortRange struct {
	Min, Max uint16
}

// None reports whether relay addresses are virtual.
func (p PortRange) None() bool { return p == PortRange{} }

// Contains reports whether the range holds port.
func (p PortRange) Contains(port uint16) bool { return !p.None() && p.Min <= port && port <= p.Max }

func (p PortRange) String() string {
	if p.None() {
		return "none"
	}
	return fmt.Sprintf("%d-%d", p.Min, p.Max)
}

// ByteSize is a number of bytes.
type ByteSize int64

const (
	kib ByteSize = 1 << 10
	mib ByteSize = 1 << 20
)

func (b ByteSize) String() string {
	switch {
	case b != 0 && b%mib == 0:
		return fmt.Sprintf("%dMiB", b/mib)
	case b != 0 && b%kib == 0:
		return fmt.Sprintf("%dKiB", b/kib)
	}
	return strconv.FormatInt(int64(b), 10)
}

// BitRate is a number of bits per second.
type BitRate int64

// The units are decimal, as everywhere where bits per second are counted.
const (
	kilobit BitRate = 1000
	megabit         = 1000 * kilobit
	gigabit         = 1000 * megabit
)

// What a limit can be. Below the least an audio call with its overhead does not fit; the most is more than any machine relays.
const (
	minBitRate = 64 * kilobit
	maxBitRate = 100 * gigabit
)

func (b BitRate) String() string {
	switch {
	case b == 0:
		return "0"
	case b%gigabit == 0:
		return fmt.Sprintf("%dG", b/gigabit)
	case b%megabit == 0:
		return fmt.Sprintf("%dM", b/megabit)
	case b%kilobit == 0:
		return fmt.Sprintf("%dk", b/kilobit)
	}
	return strconv.FormatInt(int64(b), 10)
}

// kind is how the text of one value is read and written. The text of a parse error says what is wrong; valid says what
// would be right.
type kind[T any] struct {
	valid string
	parse func(text string) (T, error)
	show  func(T) string
}

func itself(s string) string { return s }

// checked is a text that must pass a check.
func checked(valid string, check func(string) error) kind[string] {
	return kind[string]{valid, func(s string) (string, error) { return s, check(s) }, itself}
}

// number is a whole number in decimal digits from low to high.
func number(low, high int, note string) kind[int] {
	valid := fmt.Sprintf("a whole number from %d to %d%s", low, high, note)
	return kind[int]{valid, func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		switch {
		case errors.Is(err, strconv.ErrRange):
			return 0, errors.New("is out of range")
		case err != nil:
			return 0, errors.New("is not a whole number")
		case n < 0:
			return 0, errors.New("is negative")
		case n < low:
			return 0, errors.New("is too small")
		case n > high:
			return 0, errors.New("is too large")
		}
		return n, nil
	}, strconv.Itoa}
}

func boolean() kind[bool] {
	return kind[bool]{"true or false", func(s string) (bool, error) {
		if s != "true" && s != "false" {
			return false, errors.New("is neither true nor false")
		}
		return s == "true", nil
	}, strconv.FormatBool}
}

// amount is a number of which 0 means none.
func amount() kind[int] { return number(0, math.MaxInt32, "; 0 means no limit") }

func duration(low, high time.Duration) kind[time.Duration] {
	valid := fmt.Sprintf("a number with a unit such as 15s, 10m or 12h, from %s to %s", shortDuration(low), shortDuration(high))
	return kind[time.Duration]{valid, func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		_, notNumber := strconv.ParseFloat(s, 64)
		switch {
		case err != nil && notNumber == nil:
			return 0, errors.New("has no unit")
		case err != nil:
			return 0, errors.New("is not a duration")
		case d < 0:
			return 0, errors.New("is negative")
		case d < low:
			return 0, errors.New("is too short")
		case d > high:
			return 0, errors.New("is too long")
		}
		return d, nil
	}, shortDuration}
}

// secretRotation is 0 for never, or long enough that few secrets verify at the same time.
func secretRotation() kind[time.Duration] {
	const shortest = 24 * time.Hour
	k := duration(0, 10*365*24*time.Hour)
	return kind[time.Duration]{"a number with a unit, 24h or more, or 0 for never", func(s string) (time.Duration, error) {
		d, err := k.parse(s)
		if err == nil && d != 0 && d < shortest {
			return 0, errors.New("is too short")
		}
		return d, err
	}, k.show}
}

// shortDuration writes 12h where time.Duration writes 12h0m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func byteSize(low, high ByteSize) kind[ByteSize] {
	valid := fmt.Sprintf("a number of bytes such as 73728, 72KiB or 1MiB, from %s to %s", low, high)
	return kind[ByteSize]{valid, func(s string) (ByteSize, error) {
		digits, unit := s, ByteSize(1)
		if d, ok := strings.CutSuffix(s, "KiB"); ok {
			digits, unit = d, kib
		} else if d, ok := strings.CutSuffix(s, "MiB"); ok {
			digits, unit = d, mib
		}
		n, err := strconv.ParseInt(strings.TrimRight(digits, " "), 10, 64)
		switch {
		case err != nil:
			return 0, errors.New("is not a number of bytes")
		case n < 0:
			return 0, errors.New("is negative")
		case n > int64(high/unit):
			return 0, errors.New("is too large")
		case ByteSize(n)*unit < low:
			return 0, errors.New("is too small")
		}
		return ByteSize(n) * unit, nil
	}, ByteSize.String}
}

var bitRateUnits = map[string]BitRate{"": 1, "k": kilobit, "M": megabit, "G": gigabit}

// bitRate is 0 for none, or a rate that a call fits into.
func bitRate() kind[BitRate] {
	valid := fmt.Sprintf("a number of bits per second such as 8000000, 8M or 1.5M, from %s to %s, or 0 for no limit", minBitRate, maxBitRate)
	return kind[BitRate]{valid, func(s string) (BitRate, error) {
		unit := strings.TrimLeft(s, "0123456789.") // so that the number has no sign, exponent or other base
		n, err := strconv.ParseFloat(strings.TrimSuffix(s, unit), 64)
		factor, known := bitRateUnits[strings.TrimSpace(unit)]
		rate := n * float64(factor)
		switch {
		case strings.HasPrefix(s, "-"):
			return 0, errors.New("is negative")
		case err != nil && !errors.Is(err, strconv.ErrRange):
			return 0, errors.New("is not a bit rate")
		case !known:
			return 0, errors.New("has a unit that is none of k, M and G")
		case rate > float64(maxBitRate):
			return 0, errors.New("is too large")
		case rate != 0 && rate < float64(minBitRate):
			return 0, errors.New("is too small")
		}
		return BitRate(math.Round(rate)), nil
	}, BitRate.String}
}

func oneOf(words ...string) kind[string] {
	return checked(strings.Join(words, " or "), func(s string) error {
		for _, w := range words {
			if s == w {
				return nil
			}
		}
		return errors.New("is not one of the words")
	})
}

var levels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

func logLevel() kind[slog.Level] {
	return kind[slog.Level]{"debug, info, warn or error", func(s string) (slog.Level, error) {
		level, ok := levels[strings.ToLower(s)]
		if !ok {
			return 0, errors.New("is not a log level")
		}
		return level, nil
	}, func(l slog.Level) string { return strings.ToLower(l.String()) }}
}

// listenAddress is host:port or Off. Port 0 lets the system choose.
func listenAddress() kind[string] {
	return checked("host:port, [IPv6]:port, :port for every address, or off", func(s string) error {
		if s == Off {
			return nil
		}
		_, _, err := splitListen(s)
		if _, notPort := parsePort(s); notPort == nil {
			return fmt.Errorf("has no colon; write :%s", s)
		}
		return err
	})
}

// listenOr is the same, or nothing for a default that depends on other keys.
func listenOr() kind[string] {
	k := listenAddress()
	return checked(k.valid, func(s string) error {
		if s == "" {
			return nil
		}
		_, err := k.parse(s)
		return err
	})
}

// splitListen takes a listening address apart; an empty host means every address.
func splitListen(s string) (host string, port uint16, err error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", 0, errors.New("has no port")
	}
	host, portText := s[:i], s[i+1:]
	if port, err = parsePort(portText); err != nil {
		return "", 0, err
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		ip, err := netip.ParseAddr(inner)
		if !closed || err != nil || !ip.Is6() {
			return "", 0, errors.New("has no valid IPv6 address in its brackets")
		}
		return inner, port, nil
	}
	if strings.Contains(host, ":") {
		return "", 0, errors.New("needs brackets around its IPv6 address")
	}
	return host, port, checkHost(host)
}

func parsePort(s string) (uint16, error) {
	if s == "" {
		return 0, errors.New("has no port")
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, errors.New("has a port that is not a number")
		}
	}
	port, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, errors.New("has a port above 65535")
	}
	return uint16(port), nil
}

// checkHost accepts nothing, an IPv4 address or a host name.
func checkHost(host string) error {
	if host == "" {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is4() {
		return nil
	}
	letters := false
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return errors.New("has no valid host")
		}
		for _, c := range label {
			letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
			if !letter && c != '-' && (c < '0' || c > '9') {
				return errors.New("has no valid host")
			}
			letters = letters || letter
		}
	}
	if !letters { // 300.1.2.3 would otherwise pass as a name
		return errors.New("has no valid IP address")
	}
	return nil
}

func relayPorts() kind[PortRange] {
	return kind[PortRange]{"FIRST-LAST with ports from 1024 to 65535, or none", func(s string) (PortRange, error) {
		if s == "none" {
			return PortRange{}, nil
		}
		first, last, ok := strings.Cut(s, "-")
		if !ok {
			return PortRange{}, errors.New("is not a range")
		}
		low, err := parsePort(first)
		if err != nil {
			return PortRange{}, err
		}
		high, err := parsePort(last)
		switch {
		case err != nil:
			return PortRange{}, err
		case low > high:
			return PortRange{}, errors.New("ends before it begins")
		case low < 1024:
			return PortRange{}, errors.New("holds ports below 1024")
		}
		return PortRange{low, high}, nil
	}, PortRange.String}
}

func ipAddress() kind[netip.Addr] {
	return kind[netip.Addr]{"auto, or an IP address, or one IPv4 and one IPv6 address", func(s string) (netip.Addr, error) {
		ip, err := netip.ParseAddr(s)
		switch {
		case err != nil:
			return netip.Addr{}, errors.New("is not an IP address")
		case ip.Zone() != "":
			return netip.Addr{}, errors.New("has a zone")
		case ip.IsUnspecified() || ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			return netip.Addr{}, errors.New("is not the address of a machine")
		}
		return ip.Unmap(), nil
	}, netip.Addr.String}
}

func cidr() kind[netip.Prefix] {
	return kind[netip.Prefix]{"CIDRs such as 10.0.0.0/8 or 2001:db8::/32", func(s string) (netip.Prefix, error) {
		if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
			ip = ip.Unmap()
			return netip.Prefix{}, fmt.Errorf("has no length; write %s", netip.PrefixFrom(ip, ip.BitLen()))
		}
		p, err := netip.ParsePrefix(s)
		switch {
		case err != nil:
			return netip.Prefix{}, errors.New("is not a CIDR")
		case p.Addr().Is4In6():
			return netip.Prefix{}, errors.New("is an IPv4 network in IPv6 form")
		case p != p.Masked():
			return netip.Prefix{}, fmt.Errorf("has bits set beyond its length; write %s", p.Masked())
		}
		return p, nil
	}, netip.Prefix.String}
}

// realm follows RFC 8489 section 14.9: UTF-8, fewer than 128 characters, at most 763 bytes. It travels as a quoted string.
func realm() kind[string] {
	return checked("1 to 127 characters without control characters, quotes or backslashes", func(s string) error {
		switch {
		case s == "":
			return errors.New("is empty")
		case !utf8.ValidString(s):
			return errors.New("is not UTF-8")
		case len(s) > 763 || utf8.RuneCountInString(s) > 127:
			return errors.New("is too long")
		case strings.ContainsFunc(s, unicode.IsControl) || strings.ContainsAny(s, `"\`):
			return errors.New("holds a character that a realm cannot have")
		}
		return nil
	})
}

// secretText is what a person or an HTTP header can carry.
func secretText() kind[string] {
	return checked("printable ASCII characters without spaces", func(s string) error {
		for _, c := range s {
			if c <= ' ' || c > '~' {
				return errors.New("holds a space or a character that is not printable ASCII")
			}
		}
		return nil
	})
}

func path() kind[string] {
	return checked("a directory", func(s string) error {
		if s == "" {
			return errors.New("is empty")
		}
		return checkPath(s)
	})
}

// fileName is the name of a file, or nothing.
func fileName() kind[string] { return checked("a file", checkPath) }

func checkPath(s string) error {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return errors.New("holds control characters")
	}
	return nil
}

// domainName is a name that a public certificate can be had for, or nothing. It is kept as certificates and DNS have it: in lower case and ASCII
// (RFC 5890), without the dot at its end.
func domainName() kind[string] {
	return kind[string]{"a public host name such as call.example.com", func(s string) (string, error) {
		bare := strings.TrimSuffix(s, ".")
		name, err := idna.Lookup.ToASCII(strings.ToLower(bare))
		switch {
		case s == "":
			return "", nil
		case isIP(bare) || isIP(name):
			return "", errors.New("is an IP address; tls.self_signed makes a certificate for one")
		case strings.Contains(s, "*"):
			return "", errors.New("has a wildcard, which no page can be opened under")
		case strings.ContainsAny(s, ":/"):
			return "", errors.New("is more than a host name: leave out scheme, port and path")
		case err != nil || !strings.Contains(name, ".") || strings.Contains(name, "_") || len(name) > 253:
			return "", errors.New("is not the name of a host on the Internet")
		}
		return name, checkHost(name)
	}, itself}
}

func isIP(s string) bool { _, err := netip.ParseAddr(s); return err == nil }

func httpsURL() kind[string] {
	return checked("a URL that begins with https://", func(s string) error {
		if s == "" {
			return nil
		}
		u, err := url.Parse(s)
		switch {
		case err != nil || u.Host == "":
			return errors.New("is not a URL")
		case u.Scheme != "https":
			return errors.New("does not begin with https://")
		case u.User != nil:
			return errors.New("has a user in it")
		}
		return nil
	})
}

// webhookURL is where events are sent to, or nothing. What stands before the @ of a URL would be shown with the configuration; its query, which
// may be a secret as well, is not.
func webhookURL() kind[string] {
	return checked("a URL that begins with https:// or http://", func(s string) error {
		if s == "" {
			return nil
		}
		u, err := url.Parse(s)
		switch {
		case err != nil || !strings.Contains(s, "://"):
			return errors.New("is not a URL")
		case u.Scheme != "https" && u.Scheme != "http":
			return errors.New("begins with neither https:// nor http://")
		case u.Hostname() == "":
			return errors.New("has no host")
		case u.User != nil:
			return errors.New("has a user in it; the receiver knows the sender by webhooks.secret")
		case u.Fragment != "":
			return errors.New("has a fragment, which is never sent")
		}
		return nil
	})
}

// How long a secret of webhooks must be. Standard Webhooks asks for 24 random bytes at least; what is typed is measured by eye.
const (
	minWebhookSecret = 16 // characters
	minWebhookKey    = 24 // bytes behind whsec_
)

func webhookSecret() kind[string] {
	valid := fmt.Sprintf("at least %d printable ASCII characters without spaces, or whsec_ and at least %d bytes in base64", minWebhookSecret, minWebhookKey)
	return checked(valid, func(s string) error {
		encoded, standard := strings.CutPrefix(s, "whsec_")
		switch {
		case s == "":
			return nil
		case standard:
			key, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil {
				return errors.New("is not base64 behind whsec_")
			}
			if len(key) < minWebhookKey {
				return errors.New("is too short")
			}
		case len(s) < minWebhookSecret:
			return errors.New("is too short")
		}
		_, err := secretText().parse(s)
		return err
	})
}

// tokenKey looks at the form only; whether there is a key in it is found out by who uses it.
func tokenKey() kind[string] {
	return checked("NAME:ALGORITHM:KEY with a name of letters, digits, dots, dashes and underscores (64 at most), HS256, ES256 or EdDSA, and the key in base64", func(s string) error {
		kid, rest, _ := strings.Cut(s, ":")
		algorithm, encoded, complete := strings.Cut(rest, ":")
		key, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(encoded), "="))
		switch {
		case !complete:
			return errors.New("does not have three parts with colons between them")
		case kid == "" || len(kid) > 64 || strings.Trim(kid, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") != "":
			return errors.New("has a name that a key cannot have")
		case algorithm != "HS256" && algorithm != "ES256" && algorithm != "EdDSA":
			return errors.New("has an algorithm that is none of HS256, ES256 and EdDSA")
		case err != nil || len(key) == 0:
			return errors.New("has a key that is not base64")
		case algorithm == "HS256" && len(key) < 32:
			return errors.New("has a secret of fewer than 32 bytes")
		}
		return nil
	})
}

func email() kind[string] {
	return checked("an address such as ops@example.com", func(s string) error {
		if s == "" {
			return nil
		}
		if a, err := mail.ParseAddress(s); err != nil || a.Address != s {
			return errors.New("is not an e-mail address")
		}
		return nil
	})
}

// iceURL follows RFC 7064 and RFC 7065: scheme:host[:port], and ?transport= for TURN only.
func iceURL() kind[string] {
	return checked("stun:HOST[:PORT], or turn:HOST[:PORT] or turns:HOST[:PORT] with an optional ?transport=udp or ?transport=tcp", func(s string) error {
		scheme, rest, _ := strings.Cut(s, ":")
		if scheme != "stun" && scheme != "turn" && scheme != "turns" {
			return errors.New("does not begin with stun:, turn: or turns: as it must")
		}
		if strings.HasPrefix(rest, "//") {
			return errors.New("must not have // after the colon")
		}
		rest, query, hasQuery := strings.Cut(rest, "?")
		if hasQuery && (scheme == "stun" || query != "transport=udp" && query != "transport=tcp") {
			return errors.New("has a query that it cannot have")
		}
		return checkHostPort(rest)
	})
}

// checkHostPort checks a remote endpoint: the host is required, the port is not.
func checkHostPort(s string) error {
	address := s
	if strings.HasSuffix(s, "]") || !strings.Contains(s, ":") {
		address += ":1"
	}
	host, port, err := splitListen(address)
	switch {
	case err != nil:
		return err
	case host == "":
		return errors.New("has no host")
	case port == 0:
		return errors.New("has port 0")
	}
	return nil
}

// originPattern is an origin as browsers send it, or only its host; * stands for any part of the host.
func originPattern() kind[string] {
	return checked("origins such as https://app.example.com or https://*.example.com, or * for any", func(s string) error {
		host := s
		if scheme, rest, ok := strings.Cut(s, "://"); ok {
			if scheme != "http" && scheme != "https" {
				return errors.New("has a scheme that is neither http nor https")
			}
			host = rest
		}
		if strings.ContainsAny(host, "/?#@") {
			return errors.New("is more than an origin: leave out what follows the host and port")
		}
		// A * is checked as the letter x: it may stand wherever a letter may. Brackets have a meaning in patterns.
		if strings.Contains(host, "[") {
			return errors.New("has an IPv6 address, which cannot be matched")
		}
		return checkHostPort(strings.ReplaceAll(host, "*", "x"))
	})
}
