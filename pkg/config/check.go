package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// check finds values that are valid alone and wrong together. Keys whose own value was wrong have their default here.
func (l *loader) check(cfg *Config) {
	l.checkExternalIP(cfg)
	l.checkRelayPorts(cfg)
	l.checkListeners(cfg)
	l.checkTLS(cfg)
	l.checkSecretRotation(cfg)
	l.checkTokenKeys(cfg)
	l.checkWebhooks(cfg)
	l.checkAdmin(cfg)
	l.checkStrength(cfg)
}

// blame returns the origin of the first of the keys that somebody set, and that key.
func (l *loader) blame(keys ...string) (from origin, key string) {
	for _, k := range keys {
		if l.origins[k].kind != fromDefault {
			return l.origins[k], k
		}
	}
	return l.origins[keys[0]], keys[0]
}

func (l *loader) checkExternalIP(cfg *Config) {
	families := map[bool]netip.Addr{}
	for _, ip := range cfg.TURN.ExternalIP {
		if first, ok := families[ip.Is4()]; ok {
			l.mistake(&Mistake{Origin: l.origins["turn.external_ip"].String(), Key: "turn.external_ip", Value: strconv.Quote(ip.String()),
				Problem: "is the second address of its family after " + first.String(), Valid: find("turn.external_ip").Valid})
			continue
		}
		families[ip.Is4()] = ip
	}
}

// checkRelayPorts finds a listening UDP port among the relay ports.
func (l *loader) checkRelayPorts(cfg *Config) {
	for _, a := range []listener{{"turn.udp", cfg.TURN.UDP}, {"turn.dtls", cfg.TURN.DTLS}} {
		_, port, err := splitListen(a.address)
		if a.address == Off || err != nil || !cfg.TURN.RelayPorts.Contains(port) {
			continue
		}
		from, key := l.blame("turn.relay_ports", a.key)
		problem := "holds the port of " + a.key + " (" + a.address + ")"
		if key == a.key {
			problem = "is a port of turn.relay_ports (" + cfg.TURN.RelayPorts.String() + ")"
		}
		l.mistake(&Mistake{Origin: from.String(), Key: key, Value: strconv.Quote(find(key).show(cfg)), Problem: problem,
			Valid: "a listening port outside of the relay ports"})
	}
}

// listener is a key with the address that it has.
type listener struct{ key, address string }

// checkListeners finds two listeners on one address, and a daemon that would not listen at all.
func (l *loader) checkListeners(cfg *Config) {
	http, https := listener{"http.listen", cfg.HTTP.Listen}, listener{"https.listen", cfg.HTTPS.Listen}
	udp, dtls := listener{"turn.udp", cfg.TURN.UDP}, listener{"turn.dtls", cfg.TURN.DTLS}
	tcp, tls := listener{"turn.tcp", cfg.TURN.TCP}, listener{"turn.tls", cfg.TURN.TLS}
	l.checkApart([]listener{{"admin.listen", cfg.Admin.Listen}, tls, tcp, https, http})
	l.checkApart([]listener{dtls, udp})
	public := []listener{http, udp, tcp, https, tls, dtls}
	if slices.ContainsFunc(public, func(a listener) bool { return a.address != Off }) {
		return
	}
	keys := make([]string, len(public))
	for i, a := range public {
		keys[i] = a.key
	}
	from, key := l.blame(keys...)
	l.mistake(&Mistake{Origin: from.String(), Key: key, Problem: "http.listen, turn.udp and turn.tcp are all off, and so is everything else: there is nothing to serve"})
}

// checkApart blames, of two listeners on one address, the one that comes first, unless only the other one was set.
func (l *loader) checkApart(all []listener) {
	for i, a := range all {
		for _, b := range all[i+1:] {
			if !overlap(a.address, b.address) {
				continue
			}
			from, key := l.blame(a.key, b.key)
			own, other := a, b
			if key == b.key {
				own, other = b, a
			}
			l.mistake(&Mistake{Origin: from.String(), Key: key, Value: strconv.Quote(own.address),
				Problem: fmt.Sprintf("is also the address of %s (%s)", other.key, other.address), Valid: "another port, or off"})
		}
	}
}

// checkTLS finds a certificate that is only half there or comes from two sides, and listeners that have none.
func (l *loader) checkTLS(cfg *Config) {
	wrong := func(key, value, problem, valid string) {
		l.mistake(&Mistake{Origin: l.origins[key].String(), Key: key, Value: value, Problem: problem, Valid: valid})
	}
	files := cfg.TLS.CertFile != "" || cfg.TLS.KeyFile != ""
	switch {
	case cfg.TLS.CertFile != "" && cfg.TLS.KeyFile == "":
		wrong("tls.cert_file", "", "needs tls.key_file, the file with its private key", "")
	case cfg.TLS.KeyFile != "" && cfg.TLS.CertFile == "":
		wrong("tls.key_file", "", "needs tls.cert_file, the file with the certificate", "")
	case cfg.TLS.SelfSigned && files:
		wrong("tls.self_signed", "", "is on, and tls.cert_file names a certificate", "one of both")
	case cfg.TLS.SelfSigned && cfg.Domain != "":
		wrong("tls.self_signed", "", "is on, and domain asks for a public certificate", "one of both")
	case cfg.Domain != "" && !files && cfg.HTTP.Listen == Off && cfg.HTTPS.Listen == Off:
		wrong("domain", strconv.Quote(cfg.Domain), "asks for a certificate, and http.listen and https.listen are both off, where the authority would look for this machine",
			"one of them on, or tls.cert_file with tls.key_file")
	}
	if cfg.Certificate() || files {
		return
	}
	for _, a := range []listener{{"https.listen", cfg.HTTPS.Listen}, {"turn.tls", cfg.TURN.TLS}, {"turn.dtls", cfg.TURN.DTLS}} {
		if a.address != Off {
			wrong(a.key, strconv.Quote(a.address), "needs a certificate", "set domain, tls.cert_file with tls.key_file, or tls.self_signed; or off")
		}
	}
}

// overlap reports whether two listening addresses cannot both be opened.
func overlap(a, b string) bool {
	if a == Off || b == Off {
		return false
	}
	hostA, portA, errA := splitListen(a)
	hostB, portB, errB := splitListen(b)
	if errA != nil || errB != nil || portA != portB || portA == 0 {
		return false
	}
	return hostA == hostB || anyAddress(hostA) || anyAddress(hostB)
}

func anyAddress(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

// checkSecretRotation finds a secret that would be replaced while the first credential made under it is good. Each secret verifies until its last
// credential has expired, so shorter rotations would only make more secrets to try.
func (l *loader) checkSecretRotation(cfg *Config) {
	rotation, ttl := cfg.TURN.SecretRotation, cfg.TURN.CredentialTTL
	if rotation == 0 || l.origins["turn.secret_rotation"].kind == fromDefault {
		return
	}
	if len(cfg.TURN.Secrets) > 0 {
		l.warn(fmt.Sprintf("%s: turn.secret_rotation replaces the generated secret only; those of turn.secrets stay until you change them", l.origins["turn.secret_rotation"]))
		return
	}
	if rotation < ttl {
		l.mistake(&Mistake{Origin: l.origins["turn.secret_rotation"].String(), Key: "turn.secret_rotation", Value: strconv.Quote(shortDuration(rotation)),
			Problem: "is shorter than turn.credential_ttl (" + shortDuration(ttl) + ")", Valid: "at least that, a shorter turn.credential_ttl, or 0 for never"})
	}
}

// checkTokenKeys finds two keys of one name: a token names its key by that.
func (l *loader) checkTokenKeys(cfg *Config) {
	seen := map[string]bool{}
	for _, key := range cfg.Signaling.TokenKeys {
		kid, _, _ := strings.Cut(key, ":")
		if seen[kid] {
			l.mistake(&Mistake{Origin: l.origins["signaling.token_keys"].String(), Key: "signaling.token_keys",
				Problem: "has two keys named " + strconv.Quote(kid), Valid: "a name of its own for each key"})
		}
		seen[kid] = true
	}
}

func (l *loader) checkWebhooks(cfg *Config) {
	if cfg.Webhooks.URL != "" && cfg.Webhooks.Secret == "" {
		l.mistake(&Mistake{Origin: l.origins["webhooks.url"].String(), Key: "webhooks.url",
			Problem: "needs webhooks.secret, by which its receiver knows who sent them; `openssl rand -hex 24` makes one"})
	}
}

func (l *loader) checkAdmin(cfg *Config) {
	if cfg.Admin.Listen == Off || cfg.Admin.Token != "" {
		return
	}
	host, _, err := splitListen(cfg.Admin.Listen)
	ip, notIP := netip.ParseAddr(host)
	if err != nil || host == "localhost" || notIP == nil && ip.IsLoopback() {
		return
	}
	from, key := l.blame("admin.listen")
	l.mistake(&Mistake{Origin: from.String(), Key: key, Value: strconv.Quote(cfg.Admin.Listen),
		Problem: "can be reached from other machines, which needs an admin.token", Valid: "an address such as 127.0.0.1:9090, or a token"})
}

// checkStrength warns of what works but leaves a door open.
func (l *loader) checkStrength(cfg *Config) {
	const shortest = 16
	for _, s := range []struct {
		key    string
		values []string
	}{{"api.keys", cfg.API.Keys}, {"turn.secrets", cfg.TURN.Secrets}, {"admin.token", []string{cfg.Admin.Token}}} {
		for _, v := range s.values {
			if v != "" && len(v) < shortest {
				l.warn(fmt.Sprintf("%s: %s has fewer than %d characters and can be guessed; `openssl rand -hex 24` makes a better one", l.origins[s.key], s.key, shortest))
				break
			}
		}
	}
	for _, p := range cfg.HTTP.TrustedProxies {
		if p.Bits() == 0 {
			l.warn(fmt.Sprintf("%s: http.trusted_proxies holds %s: every client can pretend to be any address", l.origins["http.trusted_proxies"], p))
		}
	}
	for _, p := range cfg.TURN.AllowPeers {
		if p.Bits() == 0 {
			l.warn(fmt.Sprintf("%s: turn.allow_peers holds %s: clients can reach your private networks and this machine through the relay",
				l.origins["turn.allow_peers"], p))
		}
	}
}
