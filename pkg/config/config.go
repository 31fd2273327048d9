// Package config turns defaults, a YAML file, the environment and the command line (later wins) into one validated struct.
//
// One table (keys.go) describes every key. The names of environment variables and flags, the defaults, the report of
// `maitred config`, the check of configs/maitred.yaml and the "nearest valid key" of an error all derive from it.
package config

import (
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/viper"
)

// Config is a complete configuration: every field is set and within its valid range.
type Config struct {
	Domain    string // empty: none
	HTTP      HTTP
	HTTPS     HTTPS
	TLS       TLS
	API       API
	TURN      TURN
	Signaling Signaling
	Check     Check
	Webhooks  Webhooks
	Admin     Admin
	Log       Log

	StateDir     string
	DrainTimeout time.Duration
}

// HTTP is where the page, the WebSocket and the API are served in clear.
type HTTP struct {
	Listen         string // host:port or Off
	TrustedProxies []netip.Prefix
	// ConnectionsPerIP is http.limits.connections_per_ip; 0 means no limit.
	ConnectionsPerIP int
}

// HTTPS is where page, WebSocket, API and TURN over TLS are served on one port.
type HTTPS struct {
	Listen     string // host:port or Off
	PublicPort int    // 0: that of Listen
}

// TLS is where the certificate comes from: of files, our own making, or ACME for the domain. Without any of them there is none.
type TLS struct {
	CertFile, KeyFile string // both or none
	SelfSigned        bool
	HandshakeTimeout  time.Duration
	ACME              ACME
}

// ACME is how a certificate for the domain is had.
type ACME struct {
	DirectoryURL  string // empty: Let's Encrypt
	CAFile        string // empty: the system's roots
	Email         string
	CheckInterval time.Duration
}

// Certificate tells whether there is to be one.
func (c *Config) Certificate() bool {
	return c.Domain != "" || c.TLS.CertFile != "" || c.TLS.SelfSigned
}

// API guards the routes that hand out ICE credentials to other applications.
type API struct {
	Keys []string // empty: those routes are closed
}

// TURN is the relay.
type TURN struct {
	Realm         string
	UDP, TCP      string       // host:port or Off
	TLS, DTLS     string       // the same
	ExternalIP    []netip.Addr // at most one per family; empty: find out
	RelayPorts    PortRange
	URLs          []string // empty: derived from the listeners
	Secrets       []string // the first mints, all verify; empty: generated, kept in StateDir
	CredentialTTL time.Duration
	// SecretRotation is how often the generated secret is replaced, at least CredentialTTL; 0: never.
	SecretRotation time.Duration

	AllowPeers, DenyPeers []netip.Prefix
	RoomPermissions       bool

	Quota     TURNQuota
	Bandwidth TURNBandwidth
	Limits    TURNLimits
}

// TURNQuota counts allocations; 0 means no quota.
type TURNQuota struct {
	PerUser, PerIP, Total int
}

// TURNBandwidth bounds what is relayed; 0 means no limit.
type TURNBandwidth struct {
	PerAllocation BitRate // in each direction
	Total         BitRate // every packet counts once
}

// TURNLimits bounds what one client can take; 0 means no limit, except for the last five, which are always bounded.
type TURNLimits struct {
	UnauthenticatedPerIP int // 401 answers a second
	ConnectionsPerIP     int // open TCP, TLS and DTLS connections
	DTLSHandshakes       int // at the same time
	PeersPerAllocation   int // permissions, and channels, of one allocation
	AddressesPerMember   int // remembered for RoomPermissions of what one member signals
	StreamQueue          ByteSize
	IdleTimeout          time.Duration // of a connection without an allocation
}

// Signaling is the WebSocket hub.
type Signaling struct {
	Auth                 string   // "open" or "token"
	TokenKeys            []string // <kid>:<alg>:<base64>; empty: generated, kept in StateDir
	AllowedOrigins       []string // empty: the page's own origin
	MaxMembers, MaxRooms int
	Resume               time.Duration
	KnockTimeout         time.Duration // in the waiting room
	MaxMessage           ByteSize      // signaling.limits.message_size: of one WebSocket message
	Queue                int           // signaling.limits.queue: messages that a member may lag behind
	Limits               SignalingLimits
}

// SignalingLimits bounds what one client can ask for; 0 means no limit, except for the last three, which are always bounded.
type SignalingLimits struct {
	ConnectionsPerIP     int // open at the same time
	JoinsPerIP           int // a second
	Messages             int // a second, per connection
	MessagesPerIP        int // a second
	FailedPasswordsPerIP int // a minute
	FailedTokensPerIP    int // a minute
	Attempts             int // wrong passwords of one connection
	Waiting              int // connections at the door of one room
	Tokens               int // remembered: uses and kicks
}

// Check lets the page /check test this server.
type Check struct {
	Enabled  bool
	TTL      time.Duration // of one check
	PerIP    int           // begun a minute; 0: no limit
	Sessions int           // at the same time
}

// Webhooks tells an application's server what happens in rooms.
type Webhooks struct {
	URL      string // empty: nobody is told
	Secret   string // not empty with a URL
	Queue    int    // events
	Timeout  time.Duration
	RetryFor time.Duration // 0: one attempt
}

// Admin is the operator's listener.
type Admin struct {
	Listen, Token string
}

// Log says how much is logged and in which form ("text" or "json").
type Log struct {
	Level  slog.Level
	Format string
}

// Off is the address of a listener that is not opened.
const Off = "off"

// Options says where the configuration comes from.
type Options struct {
	File  string            // a YAML file; empty: none
	Env   []string          // in the form of os.Environ
	Flags map[string]string // flag or key name -> value, from the command line
}

// Load reads all sources. The error joins every mistake (each one a *Mistake) in all of them; the Config is nil then.
// The Report is never nil: its warnings are worth showing also when there are mistakes.
func Load(opts Options) (*Config, *Report, error) {
	return load(opts, os.Getuid())
}

func load(opts Options, uid int) (*Config, *Report, error) {
	l := newLoader(opts, uid)
	l.readDefaults()
	if opts.File != "" {
		l.readFile(opts.File)
	}
	l.readEnvironment()
	l.readFlags(opts.Flags)
	return l.finish()
}

// loader gathers the layers. Values enter viper already parsed; viper decides which layer wins.
type loader struct {
	viper    *viper.Viper
	env      map[string]string
	uid      int
	origins  map[string]origin // key -> where the winning value came from
	mistakes []error
	warnings []string
	unlisted int // mistakes beyond maxMistakes
}

// maxMistakes bounds the work and the output for a file that is not a configuration at all.
const maxMistakes = 50

func newLoader(opts Options, uid int) *loader {
	l := &loader{viper: viper.New(), env: map[string]string{}, uid: uid, origins: map[string]origin{}}
	for _, entry := range opts.Env {
		if name, value, ok := strings.Cut(entry, "="); ok {
			l.env[name] = value
		}
	}
	return l
}

func (l *loader) finish() (*Config, *Report, error) {
	cfg := &Config{}
	for _, k := range table {
		k.store(cfg, l.viper.Get(k.Name))
	}
	cfg.StateDir = l.expandHome(cfg.StateDir)
	l.derive(cfg)
	l.check(cfg)
	report := l.report(cfg)
	if len(l.mistakes) > 0 {
		if l.unlisted > 0 {
			l.mistakes = append(l.mistakes, &Mistake{Problem: "there are more mistakes; these are the first ones"})
		}
		return nil, report, errors.Join(l.mistakes...)
	}
	return cfg, report, nil
}

// derive fills in the defaults that depend on other keys.
func (l *loader) derive(cfg *Config) {
	byDefault := func(key string) bool { return l.origins[key].kind == fromDefault }
	if cfg.Domain != "" && byDefault("http.listen") {
		cfg.HTTP.Listen = ":80"
	}
	if byDefault("turn.secret_rotation") {
		cfg.TURN.SecretRotation = max(cfg.TURN.SecretRotation, cfg.TURN.CredentialTTL)
	}
	if cfg.HTTPS.Listen != "" {
		return
	}
	switch {
	case cfg.Domain != "" || cfg.TLS.CertFile != "":
		cfg.HTTPS.Listen = ":443"
	case cfg.TLS.SelfSigned:
		cfg.HTTPS.Listen = ":8443"
	default:
		cfg.HTTPS.Listen = Off
	}
}

func (l *loader) readDefaults() {
	for _, k := range table {
		items := []string{k.Default}
		switch {
		case k.Name == "state_dir":
			items[0] = l.defaultStateDir()
		case k.List:
			items = splitList(k.Default)
		}
		value, faults := k.parse(items)
		for _, f := range faults { // only a strange environment can do this, to state_dir
			l.mistake(&Mistake{Key: k.Name, Value: k.quote(f.value), Problem: f.problem, Valid: k.Valid, Origin: origin{}.String()})
		}
		l.viper.SetDefault(k.Name, value)
		l.origins[k.Name] = origin{kind: fromDefault}
	}
}

// accept parses one value of one source and, when it is valid, lets set put it into the source's layer.
func (l *loader) accept(k *Key, from origin, items []string, set func(value any)) {
	value, faults := k.parse(items)
	for _, f := range faults {
		l.mistake(&Mistake{Key: k.Name, Value: k.quote(f.value), Problem: f.problem, Valid: k.Valid, Origin: from.String()})
	}
	if len(faults) == 0 {
		set(value)
		l.origins[k.Name] = from
	}
}

func (l *loader) mistake(m *Mistake) {
	if l.full() {
		l.unlisted++
		return
	}
	l.mistakes = append(l.mistakes, m)
}

func (l *loader) full() bool { return len(l.mistakes) >= maxMistakes }

func (l *loader) warn(text string) {
	if len(l.warnings) < maxMistakes {
		l.warnings = append(l.warnings, text)
	}
}

// defaultStateDir is systemd's StateDirectory=, else the XDG state directory of a person, else the place of a service.
func (l *loader) defaultStateDir() string {
	const service = "/var/lib/maitred"
	if dir, _, _ := strings.Cut(l.env["STATE_DIRECTORY"], ":"); dir != "" {
		return dir
	}
	// The XDG base directory specification: a relative path is invalid and must be ignored.
	if dir := l.env["XDG_STATE_HOME"]; strings.HasPrefix(dir, "/") {
		return strings.TrimRight(dir, "/") + "/maitred"
	}
	if home := l.home(); home != "" {
		return home + "/.local/state/maitred"
	}
	return service
}

func (l *loader) home() string {
	home := l.env["HOME"]
	if home == "" && runtime.GOOS == "windows" {
		home = l.env["USERPROFILE"]
	}
	if l.uid == 0 && home == "/" { // init systems that start a service with HOME=/
		return ""
	}
	return strings.TrimRight(home, "/")
}

func (l *loader) expandHome(dir string) string {
	if rest, ok := strings.CutPrefix(dir, "~/"); ok && l.home() != "" {
		return l.home() + "/" + rest
	}
	return dir
}
