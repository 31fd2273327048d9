package signaling

import (
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/time/rate"

	"github.com/maitred/maitred/pkg/cluster"
	"github.com/maitred/maitred/pkg/token"
	"github.com/maitred/maitred/pkg/udpio"
)

// Options sets a Hub up. The zero value is safe: every limit that is 0 takes its default. A negative number means
// no limit; a negative Resume keeps no seats.
type Options struct {
	// AllowedOrigins are patterns (path.Match) of web origins that may connect besides the one the hub is served
	// from: "app.example.com", "*.example.com" or with a scheme "https://app.example.com". "*" lets any web page
	// on the internet use this server in the name of its visitors' addresses.
	AllowedOrigins []string

	MaxMembers int           // members of a room; default 16
	MaxRooms   int           // rooms; default 10,000
	Resume     time.Duration // how long a lost connection keeps its seat; default 15 s

	MessageSize int64 // bytes of a message from a client; default 72 KiB
	Queue       int   // messages that a member may lag behind; default 256
	QueueBytes  int   // bytes that a member may lag behind; default 1 MiB

	ConnectionsPerIP     int // open connections of an address (IPv6: of a /64); default 100
	JoinsPerIP           int // joins a second of an address, and at once; default 20
	MessagesPerSecond    int // messages a second of a connection, and twice as many at once; default 100
	MessagesPerIP        int // messages a second of an address, and twice as many at once; default 2,000
	FailedPasswordsPerIP int // wrong room passwords a minute of an address, and at once; default 10
	FailedTokensPerIP    int // refused join tokens a minute of an address, and at once; default 10
	Attempts             int // wrong room passwords of a connection, the last of which ends it; default 5

	Tokens           *token.Keys // verify join tokens; nil: all are refused
	TokensOnly       bool        // nobody enters without a join token
	RememberedTokens int         // join tokens whose uses or ban must be remembered; default 100,000

	KnockTimeout   time.Duration // how long one waits to be let in; default 10 minutes
	WaitingPerRoom int           // who wait to be let in; default 16

	// RoomPermissions makes MaySend restrict a member to the addresses that the others of its room have signalled.
	RoomPermissions    bool
	AddressesPerMember int // addresses remembered of what a member signals; default 64

	JoinTimeout  time.Duration // from the connection to a successful join; default 10 s
	PingInterval time.Duration // between two pings of a connection; default 20 s
	PongTimeout  time.Duration // until a ping must be answered; default 10 s
	WriteTimeout time.Duration // until the network must take a write; default 10 s
	ReadTimeout  time.Duration // from the first bytes of a message to its last; default 10 s
	CloseTimeout time.Duration // for the closing handshake, then the connection is cut; default 10 s

	// ClientIP returns the address that the per-address limits count; default: the connection's.
	ClientIP func(*http.Request) netip.Addr
	ICE      ICEProvider   // nil: members get no ICE servers
	Releaser Releaser      // nil: nobody is told
	Relay    RelayObserver // nil: the relay does nothing for anybody
	Observer Observer      // nil: nobody is told
	Bus      cluster.Bus   // nil: this process alone
	Network  udpio.Network // whose goroutines read connections in clear, if it is a udpio.Watcher; nil: the best there is on this system
	Log      *slog.Logger
}

func (o Options) withDefaults() Options {
	orDefault(&o.MaxMembers, 16, math.MaxInt)
	orDefault(&o.MaxRooms, 10_000, math.MaxInt)
	orDefault(&o.Resume, 15*time.Second, 0)
	orDefault(&o.MessageSize, 72<<10, -1) // as SetReadLimit has it
	orDefault(&o.Queue, 256, math.MaxInt)
	orDefault(&o.QueueBytes, 1<<20, math.MaxInt)
	orDefault(&o.ConnectionsPerIP, 100, -1)
	orDefault(&o.JoinsPerIP, 20, -1)
	orDefault(&o.MessagesPerSecond, 100, -1)
	orDefault(&o.MessagesPerIP, 2000, -1)
	orDefault(&o.FailedPasswordsPerIP, 10, -1)
	orDefault(&o.FailedTokensPerIP, 10, -1)
	orDefault(&o.Attempts, 5, math.MaxInt)
	orDefault(&o.RememberedTokens, 100_000, math.MaxInt)
	orDefault(&o.WaitingPerRoom, 16, math.MaxInt)
	orDefault(&o.AddressesPerMember, 64, math.MaxInt)
	const never = time.Duration(math.MaxInt64)
	orDefault(&o.KnockTimeout, 10*time.Minute, never)
	orDefault(&o.JoinTimeout, 10*time.Second, never)
	orDefault(&o.PingInterval, 20*time.Second, never)
	orDefault(&o.PongTimeout, 10*time.Second, never)
	orDefault(&o.WriteTimeout, 10*time.Second, never)
	orDefault(&o.ReadTimeout, 10*time.Second, never)
	orDefault(&o.CloseTimeout, 10*time.Second, never)
	if o.ClientIP == nil {
		o.ClientIP = remoteIP
	}
	if o.Bus == nil {
		o.Bus = cluster.NewMemory()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func orDefault[T int | int64 | time.Duration](v *T, byDefault, none T) {
	switch {
	case *v == 0:
		*v = byDefault
	case *v < 0:
		*v = none
	}
}

// perSecond returns a limiter of n events a second of which burst may come at once; n < 0 is no limit.
func perSecond(n, burst int) *rate.Limiter {
	if n < 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	return rate.NewLimiter(rate.Limit(n), burst)
}

// forMessages returns the limiter of n messages a second, or nil for no limit: that is asked for each message.
func forMessages(n int) *rate.Limiter {
	if n < 0 {
		return nil
	}
	return perSecond(n, 2*n)
}

func remoteIP(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
