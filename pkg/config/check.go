package config

import (
	"fmt"
	"net/netip"
	"strconv"
)

// check finds values that are valid alone and wrong together. Keys whose own value was wrong have their default here.
func (l *loader) check(cfg *Config) {
	l.checkExternalIP(cfg)
	l.checkRelayPorts(cfg)
	l.checkListeners(cfg)
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

func (l *loader) checkRelayPorts(cfg *Config) {
	if cfg.TURN.UDP == Off {
		return
	}
	_, port, err := splitListen(cfg.TURN.UDP)
	if err != nil || !cfg.TURN.RelayPorts.Contains(port) {
		return
	}
	from, key := l.blame("turn.relay_ports", "turn.udp")
	other := "turn.udp (" + cfg.TURN.UDP + ")"
	problem := "holds the port of " + other
	if key == "turn.udp" {
		problem = "is a port of turn.relay_ports (" + cfg.TURN.RelayPorts.String() + ")"
	}
	l.mistake(&Mistake{Origin: from.String(), Key: key, Value: strconv.Quote(find(key).show(cfg)), Problem: problem,
		Valid: "a listening port outside of the relay ports"})
}

// checkListeners finds two TCP listeners on one address, and a daemon that would not listen at all.
func (l *loader) checkListeners(cfg *Config) {
	addresses := map[string]string{"http.listen": cfg.HTTP.Listen, "turn.tcp": cfg.TURN.TCP, "admin.listen": cfg.Admin.Listen}
	for _, pair := range [][2]string{{"turn.tcp", "http.listen"}, {"admin.listen", "http.listen"}, {"admin.listen", "turn.tcp"}} {
		if !overlap(addresses[pair[0]], addresses[pair[1]]) {
			continue
		}
		from, key := l.blame(pair[0], pair[1])
		other := pair[0]
		if other == key {
			other = pair[1]
		}
		l.mistake(&Mistake{Origin: from.String(), Key: key, Value: strconv.Quote(addresses[key]),
			Problem: fmt.Sprintf("is also the address of %s (%s)", other, addresses[other]), Valid: "another port, or off"})
	}
	if cfg.HTTP.Listen == Off && cfg.TURN.UDP == Off && cfg.TURN.TCP == Off {
		from, key := l.blame("http.listen", "turn.udp", "turn.tcp")
		l.mistake(&Mistake{Origin: from.String(), Key: key, Problem: "http.listen, turn.udp and turn.tcp are all off: there is nothing to serve"})
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
