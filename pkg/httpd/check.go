package httpd

import (
	"errors"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// Check answers POST /api/v1/check: what the page needs to test this server
// with. TTL is how many seconds the check lasts.
type Check struct {
	ID string `json:"id"`
	ICEServers
	// Listeners are those that the URLs lead to, by the ports that clients know.
	Listeners []CheckListener `json:"listeners"`
}

// CheckListener is where TURN is spoken: udp, tcp, tls or dtls.
type CheckListener struct {
	Transport string `json:"transport"`
	Port      uint16 `json:"port"`
}

// ErrNoTURN is returned by Config.StartCheck: no TURN listener is open.
var ErrNoTURN = errors.New("no TURN listener is open")

// TooManyChecksError is returned by Config.StartCheck.
type TooManyChecksError struct {
	Wait    time.Duration // until there may be room for another one
	Problem string
}

func (e *TooManyChecksError) Error() string { return e.Problem }

// startCheck is for pages of this server only: a foreign one must not use up
// what its visitors may begin.
func (s *Server) startCheck(w http.ResponseWriter, r *http.Request) {
	client := ClientIP(r, s.cfg.TrustedProxies)
	switch {
	case s.draining.Load():
		writeProblem(w, http.StatusServiceUnavailable, "draining", "The daemon is shutting down; use another one.")
		return
	case s.cfg.StartCheck == nil:
		writeProblem(w, http.StatusNotFound, "check_disabled", "This daemon lets nobody test it from the page; check.enabled is false.")
		return
	case http.NewCrossOriginProtection().Check(r) != nil:
		writeProblem(w, http.StatusForbidden, "cross_origin", "Pages of other sites may not ask this.")
		return
	}
	var left time.Duration
	if s.cfg.CheckNeedsToken {
		var ok bool
		if left, ok = s.holdsToken(w, client, bearer(r)); !ok {
			return
		}
	}
	check, err := s.cfg.StartCheck(client, HostName(r.Host), left)
	var tooMany *TooManyChecksError
	switch {
	case errors.As(err, &tooMany):
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(tooMany.Wait.Seconds())))))
		writeProblem(w, http.StatusTooManyRequests, "too_many_checks", tooMany.Problem)
	case errors.Is(err, ErrNoTURN):
		noTURN(w)
	case err != nil:
		s.refuse(w, r, err)
	default:
		writeJSON(w, check)
	}
}

// holdsToken tells how long the join token is good, and answers the request
// itself when it is none that is good now.
func (s *Server) holdsToken(w http.ResponseWriter, client netip.Addr, given string) (left time.Duration, ok bool) {
	if given == "" {
		unauthorized(w, `Only holders of a join token may test this server: send it in the header "Authorization: Bearer <token>".`)
		return 0, false
	}
	if s.cfg.CheckToken != nil {
		if _, left, ok = s.cfg.CheckToken(client, given); ok {
			return left, true
		}
	}
	unauthorized(w, "This is no join token that is good now, or there were too many wrong ones from your address within a minute.")
	return 0, false
}

func (s *Server) check(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Check != nil {
		if report, ok := s.cfg.Check(r.PathValue("id")); ok {
			writeJSON(w, report)
			return
		}
	}
	noSuchCheck(w)
}

// endCheck is for whoever began the check: nobody else knows the id.
func (s *Server) endCheck(w http.ResponseWriter, r *http.Request) {
	if s.cfg.EndCheck == nil || !s.cfg.EndCheck(r.PathValue("id")) {
		noSuchCheck(w)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func noSuchCheck(w http.ResponseWriter) {
	writeProblem(w, http.StatusNotFound, "no_such_check", "There is no such check, or its time is over; POST /api/v1/check begins one.")
}

func noTURN(w http.ResponseWriter) {
	writeProblem(w, http.StatusServiceUnavailable, "no_turn", "This daemon relays nothing: no TURN listener is open.")
}
