package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Key describes one configuration key.
type Key struct {
	Name    string // turn.external_ip
	Default string // as one would write it; a list is comma-separated
	Empty   string // what an empty value means, when it is not simply "none"
	Doc     string // one line
	Valid   string // what a value looks like
	Secret  bool
	List    bool
	Bool    bool

	parse func(items []string) (any, []fault)
	store func(*Config, any)
	show  func(*Config) string
}

// fault is what is wrong with a value or one item of it.
type fault struct {
	value, problem string
}

// Env is the key's environment variable.
func (k *Key) Env() string { return envPrefix + strings.ToUpper(strings.ReplaceAll(k.Name, ".", "_")) }

// Flag is the key's flag without the dashes: the key itself, but for those that people type often.
func (k *Key) Flag() string {
	if name, ok := shortFlags[k.Name]; ok {
		return name
	}
	return k.Name
}

var shortFlags = map[string]string{"turn.external_ip": "external-ip"}

// Keys returns every key in the order of configs/maitred.yaml.
func Keys() []Key { return slices.Clone(table) }

// find returns the key of that name or nil.
func find(name string) *Key {
	i := slices.IndexFunc(table, func(k Key) bool { return k.Name == name })
	if i < 0 {
		return nil
	}
	return &table[i]
}

// isSection reports whether name is the front part of a key in this or in a later version.
func isSection(name string) bool {
	prefix := name + "."
	for key := range planned {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return slices.ContainsFunc(table, func(k Key) bool { return strings.HasPrefix(k.Name, prefix) })
}

// planned holds the keys of features that this version does not have yet.
var planned = map[string]string{
	"cluster.nats": "rooms on several nodes",
}

// table is the one description of every key.
var table = []Key{
	one("domain", "", domainName(), func(c *Config) *string { return &c.Domain },
		"Public host name: a certificate by ACME, HTTPS on port 443, and port 80 redirects there."),

	one("http.listen", ":8080", listenAddress(), func(c *Config) *string { return &c.HTTP.Listen },
		"Address of the page, the WebSocket and the API, in clear: for localhost or behind a proxy; :80 with a domain. Where there is HTTPS, it redirects there."),
	many("http.trusted_proxies", "", cidr(), func(c *Config) *[]netip.Prefix { return &c.HTTP.TrustedProxies },
		"CIDRs of the proxies whose X-Forwarded-For or Forwarded, and PROXY header on any TCP listener, is believed."),
	one("http.limits.connections_per_ip", "256", amount(), func(c *Config) *int { return &c.HTTP.ConnectionsPerIP },
		"Open HTTP and HTTPS connections, WebSockets among them, from one IP address that is no trusted proxy; 0: no limit."),

	one("https.listen", "", listenOr(), func(c *Config) *string { return &c.HTTPS.Listen },
		"Address of the page, the WebSocket, the API and TURN over TLS, all on one port.").
		empty(":443 with domain or tls.cert_file, :8443 with tls.self_signed, else off"),
	one("https.public_port", "0", number(0, 65535, "; 0 means the port of https.listen"), func(c *Config) *int { return &c.HTTPS.PublicPort },
		"Port that clients reach https.listen under, where a NAT or a proxy has another one; 0: the same."),

	one("tls.cert_file", "", fileName(), func(c *Config) *string { return &c.TLS.CertFile },
		"PEM file with the certificate and those of its issuers; read again when it changes."),
	one("tls.key_file", "", fileName(), func(c *Config) *string { return &c.TLS.KeyFile },
		"PEM file with the certificate's private key."),
	one("tls.self_signed", "false", boolean(), func(c *Config) *bool { return &c.TLS.SelfSigned },
		"For a LAN: a certificate of our own making for this machine's names and addresses, kept in state_dir."),
	one("tls.handshake_timeout", "10s", duration(time.Second, 5*time.Minute), func(c *Config) *time.Duration { return &c.TLS.HandshakeTimeout },
		"How long a client may take for the PROXY header, the TLS or DTLS handshake and its first byte together."),
	one("tls.acme.directory_url", "", httpsURL(), func(c *Config) *string { return &c.TLS.ACME.DirectoryURL },
		"ACME directory of the certificate authority.").empty("Let's Encrypt"),
	one("tls.acme.ca_file", "", fileName(), func(c *Config) *string { return &c.TLS.ACME.CAFile },
		"PEM file with the roots that the ACME directory's own certificate is checked with.").empty("those of the system"),
	one("tls.acme.email", "", email(), func(c *Config) *string { return &c.TLS.ACME.Email },
		"Address that the certificate authority may write to."),
	one("tls.acme.check_interval", "10m", duration(time.Second, 24*time.Hour), func(c *Config) *time.Duration { return &c.TLS.ACME.CheckInterval },
		"How often is looked whether the certificate has to be renewed."),

	many("api.keys", "", secretText(), func(c *Config) *[]string { return &c.API.Keys },
		"Keys that other applications show to get ICE credentials (POST /api/v1/ice-servers, GET /turn).").
		secret().empty("none, those routes are closed"),

	one("turn.realm", "maitred", realm(), func(c *Config) *string { return &c.TURN.Realm },
		"Realm of the TURN credentials."),
	one("turn.udp", ":3478", listenAddress(), func(c *Config) *string { return &c.TURN.UDP },
		"Address of STUN and TURN over UDP."),
	one("turn.tcp", ":3478", listenAddress(), func(c *Config) *string { return &c.TURN.TCP },
		"Address of STUN and TURN over TCP."),
	one("turn.tls", "off", listenAddress(), func(c *Config) *string { return &c.TURN.TLS },
		"An extra address of STUN and TURN over TLS, usually :5349; https.listen has them, too."),
	one("turn.dtls", "off", listenAddress(), func(c *Config) *string { return &c.TURN.DTLS },
		"Address of STUN and TURN over DTLS, usually :5349."),
	many("turn.external_ip", "auto", ipAddress(), func(c *Config) *[]netip.Addr { return &c.TURN.ExternalIP },
		"The address that relayed addresses carry; with IPv6 both, comma-separated.").auto(),
	one("turn.relay_ports", "49152-65535", relayPorts(), func(c *Config) *PortRange { return &c.TURN.RelayPorts },
		"UDP ports of relayed addresses, or none: only calls whose ends are both relayed here, nothing to open."),
	many("turn.urls", "", iceURL(), func(c *Config) *[]string { return &c.TURN.URLs },
		"URLs that browsers are told instead of the derived ones.").empty("derived from the listeners"),
	many("turn.secrets", "", secretText(), func(c *Config) *[]string { return &c.TURN.Secrets },
		"Shared secrets of the credentials: the first mints, all verify (coturn's static-auth-secret).").
		secret().empty("generated, kept in state_dir"),
	one("turn.credential_ttl", "12h", duration(time.Minute, 365*24*time.Hour), func(c *Config) *time.Duration { return &c.TURN.CredentialTTL },
		"How long a credential can open new allocations."),
	one("turn.secret_rotation", "168h", secretRotation(), func(c *Config) *time.Duration { return &c.TURN.SecretRotation },
		"How often the generated secret is replaced; not sooner than turn.credential_ttl; 0: never. Those of turn.secrets are yours to replace."),
	many("turn.allow_peers", "", cidr(), func(c *Config) *[]netip.Prefix { return &c.TURN.AllowPeers },
		"CIDRs that are relayed to although they are private or special, which are denied."),
	many("turn.deny_peers", "", cidr(), func(c *Config) *[]netip.Prefix { return &c.TURN.DenyPeers },
		"CIDRs that are never relayed to."),
	one("turn.room_permissions", "false", boolean(), func(c *Config) *bool { return &c.TURN.RoomPermissions },
		"Room members reach only addresses that others of their room have signalled to them as ICE candidates."),
	one("turn.quota.per_user", "20", amount(), func(c *Config) *int { return &c.TURN.Quota.PerUser },
		"Allocations of one user (one member of a room); 0: no quota."),
	one("turn.quota.per_ip", "200", amount(), func(c *Config) *int { return &c.TURN.Quota.PerIP },
		"Allocations from one IP address; 0: no quota."),
	one("turn.quota.total", "0", amount(), func(c *Config) *int { return &c.TURN.Quota.Total },
		"Allocations altogether; 0: no quota."),
	one("turn.bandwidth.per_allocation", "0", bitRate(), func(c *Config) *BitRate { return &c.TURN.Bandwidth.PerAllocation },
		"Bits a second of one allocation in each direction, such as 8M; the rest is dropped; 0: no limit."),
	one("turn.bandwidth.total", "0", bitRate(), func(c *Config) *BitRate { return &c.TURN.Bandwidth.Total },
		"Bits a second of all allocations together, every packet counted once; 0: no limit."),
	one("turn.limits.unauthenticated_per_ip", "50", amount(), func(c *Config) *int { return &c.TURN.Limits.UnauthenticatedPerIP },
		"401 answers a second to one IP address, loopback too; 0: no limit."),
	one("turn.limits.connections_per_ip", "100", amount(), func(c *Config) *int { return &c.TURN.Limits.ConnectionsPerIP },
		"Open TURN connections over TCP, TLS or DTLS from one IP address, loopback too; 0: no limit."),
	one("turn.limits.dtls_handshakes", "128", number(1, 65536, ""), func(c *Config) *int { return &c.TURN.Limits.DTLSHandshakes },
		"DTLS handshakes at the same time, an eighth of them from one IP address; clients beyond them try again."),
	one("turn.limits.peers_per_allocation", "256", number(1, 65535, ""), func(c *Config) *int { return &c.TURN.Limits.PeersPerAllocation },
		"Peers that one allocation can have permissions, and channels, for."),
	one("turn.limits.addresses_per_member", "64", number(1, 256, ""), func(c *Config) *int { return &c.TURN.Limits.AddressesPerMember },
		"Addresses remembered of what one member signals, for turn.room_permissions; the oldest gives way."),
	one("turn.limits.stream_queue", "512KiB", byteSize(128*kib, 64*mib), func(c *Config) *ByteSize { return &c.TURN.Limits.StreamQueue },
		"What a client over TCP, TLS or DTLS may be behind before its oldest media is dropped."),
	one("turn.limits.idle_timeout", "30s", duration(time.Second, time.Hour), func(c *Config) *time.Duration { return &c.TURN.Limits.IdleTimeout },
		"How long a TURN connection over TCP, TLS or DTLS without an allocation may stay silent."),

	one("signaling.auth", "open", oneOf("open", "token"), func(c *Config) *string { return &c.Signaling.Auth },
		"Who may join a room: everybody (open), or those with a join token only (token)."),
	many("signaling.token_keys", "", tokenKey(), func(c *Config) *[]string { return &c.Signaling.TokenKeys },
		"Keys of the join tokens: the first that can sign mints, all verify. maitred token --generate-key makes one.").
		secret().empty("generated, kept in state_dir"),
	many("signaling.allowed_origins", "", originPattern(), func(c *Config) *[]string { return &c.Signaling.AllowedOrigins },
		"Other origins whose pages may open the WebSocket.").empty("same origin"),
	one("signaling.max_members", "16", number(2, 1000, ""), func(c *Config) *int { return &c.Signaling.MaxMembers },
		"Members of one room."),
	one("signaling.max_rooms", "10000", number(1, 10_000_000, ""), func(c *Config) *int { return &c.Signaling.MaxRooms },
		"Rooms at the same time."),
	one("signaling.resume", "15s", duration(0, time.Hour), func(c *Config) *time.Duration { return &c.Signaling.Resume },
		"How long a lost connection keeps its seat in the room."),
	one("signaling.knock_timeout", "10m", duration(time.Second, 24*time.Hour), func(c *Config) *time.Duration { return &c.Signaling.KnockTimeout },
		"How long somebody may wait in a room's waiting room."),
	one("signaling.limits.connections_per_ip", "100", amount(), func(c *Config) *int { return &c.Signaling.Limits.ConnectionsPerIP },
		"Open WebSockets from one IP address; 0: no limit."),
	one("signaling.limits.joins_per_ip", "20", amount(), func(c *Config) *int { return &c.Signaling.Limits.JoinsPerIP },
		"Joins a second from one IP address; 0: no limit."),
	one("signaling.limits.failed_passwords_per_ip", "10", amount(), func(c *Config) *int { return &c.Signaling.Limits.FailedPasswordsPerIP },
		"Wrong room passwords a minute from one IP address; 0: no limit."),
	one("signaling.limits.failed_tokens_per_ip", "10", amount(), func(c *Config) *int { return &c.Signaling.Limits.FailedTokensPerIP },
		"Bad join tokens a minute from one IP address; 0: no limit."),
	one("signaling.limits.attempts", "5", number(1, 1000, ""), func(c *Config) *int { return &c.Signaling.Limits.Attempts },
		"Wrong room passwords on one connection before it is closed."),
	one("signaling.limits.waiting", "16", number(1, 1000, ""), func(c *Config) *int { return &c.Signaling.Limits.Waiting },
		"Connections that wait at the door of one room at the same time."),
	one("signaling.limits.tokens", "100000", number(1, 10_000_000, ""), func(c *Config) *int { return &c.Signaling.Limits.Tokens },
		"Join tokens that are remembered until they expire: how often they were used, and that their holder was kicked."),
	one("signaling.limits.messages", "100", amount(), func(c *Config) *int { return &c.Signaling.Limits.Messages },
		"Messages a second on one connection; 0: no limit."),
	one("signaling.limits.messages_per_ip", "2000", amount(), func(c *Config) *int { return &c.Signaling.Limits.MessagesPerIP },
		"Messages a second from one IP address, over all its connections; 0: no limit."),
	one("signaling.limits.message_size", "72KiB", byteSize(66*kib, mib), func(c *Config) *ByteSize { return &c.Signaling.MaxMessage },
		"Size of one message: 64 KiB of data and what is around it must fit."),
	one("signaling.limits.queue", "256", number(8, 65536, ""), func(c *Config) *int { return &c.Signaling.Queue },
		"Messages that a slow member may lag behind before it is disconnected."),

	one("check.enabled", "true", boolean(), func(c *Config) *bool { return &c.Check.Enabled },
		"The page /check gets a credential to test this server with, and learns what of its packets arrived here."),
	one("check.ttl", "2m", duration(10*time.Second, time.Hour), func(c *Config) *time.Duration { return &c.Check.TTL },
		"How long such a check lasts: its credential and allocations end then."),
	one("check.per_ip", "6", amount(), func(c *Config) *int { return &c.Check.PerIP },
		"Checks begun a minute from one IP address; 0: no limit."),
	one("check.sessions", "256", number(1, 65536, ""), func(c *Config) *int { return &c.Check.Sessions },
		"Checks at the same time."),

	one("webhooks.url", "", webhookURL(), func(c *Config) *string { return &c.Webhooks.URL },
		"Where events of rooms and members are sent to, by POST."),
	one("webhooks.secret", "", webhookSecret(), func(c *Config) *string { return &c.Webhooks.Secret },
		"Secret that webhooks are signed with; one that begins with whsec_ is base64 behind that, as Standard Webhooks has it.").secret(),
	one("webhooks.queue", "1000", number(1, 1_000_000, ""), func(c *Config) *int { return &c.Webhooks.Queue },
		"Events that may wait to be delivered; those beyond them are dropped and counted."),
	one("webhooks.timeout", "5s", duration(100*time.Millisecond, time.Minute), func(c *Config) *time.Duration { return &c.Webhooks.Timeout },
		"How long one attempt to deliver an event may take."),
	one("webhooks.retry_for", "10m", duration(0, 24*time.Hour), func(c *Config) *time.Duration { return &c.Webhooks.RetryFor },
		"How long an event that could not be delivered is tried again; 0: it is tried once."),

	one("admin.listen", "127.0.0.1:9090", listenAddress(), func(c *Config) *string { return &c.Admin.Listen },
		"Address of metrics, profiles and the admin API; one that is not loopback needs admin.token."),
	one("admin.token", "", secretText(), func(c *Config) *string { return &c.Admin.Token },
		"Bearer token of the admin routes.").secret().empty("none, loopback only"),

	one("log.level", "info", logLevel(), func(c *Config) *slog.Level { return &c.Log.Level },
		"What is logged: debug, info, warn or error."),
	one("log.format", "text", oneOf("text", "json"), func(c *Config) *string { return &c.Log.Format },
		"Form of the log: text or json."),

	one("state_dir", "", path(), func(c *Config) *string { return &c.StateDir },
		"Where generated secrets are kept.").
		empty("the XDG state directory (~/.local/state/maitred), /var/lib/maitred as a service"),
	one("drain_timeout", "10s", duration(0, time.Hour), func(c *Config) *time.Duration { return &c.DrainTimeout },
		"How long a stopping daemon lets calls go on after it told everyone."),
}

// one makes a key with a single value.
func one[T any](name, def string, k kind[T], field func(*Config) *T, doc string) Key {
	_, isBool := any(*new(T)).(bool)
	return Key{
		Name: name, Default: def, Doc: doc, Valid: k.valid, Bool: isBool,
		parse: func(items []string) (any, []fault) {
			value, err := k.parse(items[0])
			if err != nil {
				return value, []fault{{items[0], err.Error()}}
			}
			return value, nil
		},
		store: func(c *Config, value any) { *field(c) = value.(T) },
		show:  func(c *Config) string { return k.show(*field(c)) },
	}
}

// many makes a key with a list of values.
func many[T comparable](name, def string, k kind[T], field func(*Config) *[]T, doc string) Key {
	return Key{
		Name: name, Default: def, Doc: doc, Valid: k.valid, List: true,
		parse: func(items []string) (any, []fault) {
			var values []T
			var faults []fault
			for _, item := range items {
				value, err := k.parse(item)
				switch {
				case item == "":
					faults = append(faults, fault{item, "is an empty item"})
				case err != nil:
					faults = append(faults, fault{item, err.Error()})
				case slices.Contains(values, value):
					faults = append(faults, fault{item, "is there twice"})
				default:
					values = append(values, value)
				}
			}
			return values, faults
		},
		store: func(c *Config, value any) { *field(c) = value.([]T) },
		show: func(c *Config) string {
			texts := make([]string, len(*field(c)))
			for i, value := range *field(c) {
				texts[i] = k.show(value)
			}
			return strings.Join(texts, ", ")
		},
	}
}

func (k Key) secret() Key { k.Secret = true; return k }

func (k Key) empty(meaning string) Key { k.Empty = meaning; return k }

// auto lets the word "auto" stand for the empty list.
func (k Key) auto() Key {
	k.Empty = "auto"
	parse := k.parse
	k.parse = func(items []string) (any, []fault) {
		if len(items) == 1 && items[0] == "auto" {
			items = nil
		}
		return parse(items)
	}
	return k
}

// quote shows an offending value; a secret stays hidden.
func (k *Key) quote(value string) string {
	if k.Secret {
		return "(hidden)"
	}
	return shorten(value)
}

func shorten(value string) string {
	const most = 60
	if runes := []rune(value); len(runes) > most {
		value = string(runes[:most]) + "…"
	}
	return fmt.Sprintf("%q", value)
}
