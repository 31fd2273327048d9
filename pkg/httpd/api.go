package httpd

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// MaxTTL is the longest life of a credential of POST /api/v1/ice-servers.
const MaxTTL = 24 * time.Hour

const (
	maxBody    = 4 << 10
	minTTL     = time.Minute
	maxUser    = 64
	maxHostLen = 253
)

// iceRequest is the optional body of POST /api/v1/ice-servers.
type iceRequest struct {
	TTL  *int64 `json:"ttl"` // seconds
	User string `json:"user"`
}

const likeICE = `{"ttl":3600,"user":"alice"}`

func (s *Server) iceServers(w http.ResponseWriter, r *http.Request) {
	holder, ok := s.asker(w, r)
	if !ok {
		return
	}
	user, ttl, err := parseICERequest(http.MaxBytesReader(w, r.Body, maxBody))
	switch {
	case err != nil:
		refuseBody(w, maxBody, err)
	case holder != nil && user != "":
		badRequest(w, "With a join token the credential is for the token's holder: leave user out.")
	case s.cfg.ICE == nil:
		noTURN(w)
	case holder != nil:
		writeJSON(w, s.iceServersFor(holder, ttl, HostName(r.Host)))
	default:
		writeJSON(w, s.cfg.ICE(user, ttl, HostName(r.Host)))
	}
}

// tokenHolder is who asks with a join token.
type tokenHolder struct {
	user string
	left time.Duration // whole seconds, at least one
}

// asker finds out who asks for ICE servers: the holder of a join token, or nil
// for an API key, which asks on behalf of others. It answers the request itself
// when it is neither.
func (s *Server) asker(w http.ResponseWriter, r *http.Request) (*tokenHolder, bool) {
	given := bearer(r)
	if s.cfg.CheckToken == nil || given != "" && anyEqual(given, s.secrets.Load().apiKeys) {
		return nil, s.authorized(w, given, `the header "Authorization: Bearer <key>"`)
	}
	if given == "" {
		unauthorized(w, `Send an API key or a join token in the header "Authorization: Bearer <key>".`)
		return nil, false
	}
	user, left, ok := s.cfg.CheckToken(ClientIP(r, s.cfg.TrustedProxies), given)
	if left = left.Truncate(time.Second); !ok || left <= 0 {
		unauthorized(w, "This is neither one of api.keys nor a join token that is good now, or there were too many wrong ones from your address within a minute.")
		return nil, false
	}
	return &tokenHolder{user, left}, true
}

// iceServersFor mints a credential that ends with the token at the latest.
func (s *Server) iceServersFor(h *tokenHolder, ttl time.Duration, host string) ICEServers {
	answer := s.cfg.ICE(h.user, ttl, host)
	if answer.TTL > int64(h.left/time.Second) {
		return s.cfg.ICE(h.user, h.left, host)
	}
	return answer
}

// parseICERequest reads the body: empty, or one JSON object with no unknown
// fields and nothing behind it. ttl 0 means that none was asked for.
func parseICERequest(body io.Reader) (user string, ttl time.Duration, err error) {
	var req iceRequest
	if err := decodeObject(body, likeICE, &req); errors.Is(err, errNoBody) {
		return "", 0, nil
	} else if err != nil {
		return "", 0, err
	}
	if err := checkUser(req.User); err != nil {
		return "", 0, err
	}
	if req.TTL != nil {
		if *req.TTL < int64(minTTL/time.Second) || *req.TTL > int64(MaxTTL/time.Second) {
			return "", 0, fmt.Errorf("ttl must be between %d and %d seconds", minTTL/time.Second, MaxTTL/time.Second)
		}
		ttl = time.Duration(*req.TTL) * time.Second
	}
	return req.User, ttl, nil
}

// checkUser keeps ids printable and free of the colon that separates them
// from the expiry in a TURN username. An empty one is an anonymous user.
func checkUser(user string) error {
	if len(user) > maxUser {
		return fmt.Errorf("user may have at most %d characters", maxUser)
	}
	for _, c := range []byte(user) {
		if !isAlphanumeric(c) && !strings.ContainsRune("-._~@+", rune(c)) {
			return errors.New("user may only have letters, digits and any of - . _ ~ @ +")
		}
	}
	return nil
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// turnREST answers as draft-uberti-behave-turn-rest-00 section 2 writes.
func (s *Server) turnREST(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if !s.authorized(w, query.Get("key"), "key=<key> in the query") {
		return
	}
	if service := query.Get("service"); service != "turn" {
		badRequest(w, "Add service=turn to the query; no other service is known.")
		return
	}
	user := query.Get("username")
	if err := checkUser(user); err != nil {
		badRequest(w, err.Error())
		return
	}
	if s.cfg.REST == nil {
		noTURN(w)
		return
	}
	writeJSON(w, s.cfg.REST(user, HostName(r.Host)))
}

// authorized answers the request itself when key is not one of ours.
func (s *Server) authorized(w http.ResponseWriter, key, where string) bool {
	keys := s.secrets.Load().apiKeys
	switch {
	case len(keys) == 0:
		writeProblem(w, http.StatusForbidden, "no_api_keys",
			"This daemon has no API keys, so nobody may ask. Set api.keys (MAITRED_API_KEYS).")
	case key == "":
		unauthorized(w, "Send an API key as "+where+".")
	case !anyEqual(key, keys):
		unauthorized(w, "This API key is not one of api.keys.")
	default:
		return true
	}
	return false
}

func unauthorized(w http.ResponseWriter, detail string) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="maitred"`)
	writeProblem(w, http.StatusUnauthorized, "unauthorized", detail)
}

// anyEqual compares with every key, in a time that tells nothing about them.
// Hashing first hides the lengths.
func anyEqual(given string, keys []string) bool {
	sum := sha256.Sum256([]byte(given))
	found := 0
	for _, key := range keys {
		want := sha256.Sum256([]byte(key))
		found |= subtle.ConstantTimeCompare(sum[:], want[:])
	}
	return found == 1
}

// bearer is the token of the Authorization header, "" without one.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// HostName is the host of a Host header, bare, or "" when it is not a name
// that could stand in a turn: URL.
func HostName(header string) string {
	host := bareHost(header)
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.Zone() != "" {
			return ""
		}
		return host
	}
	if len(host) > maxHostLen {
		return ""
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if !isLabel(label) {
			return ""
		}
	}
	return host
}

// isLabel reports whether s is a part of a host name (RFC 1123 section 2.1,
// with the underscore that people use in private networks).
func isLabel(s string) bool {
	if s == "" || !isAlphanumeric(s[0]) || !isAlphanumeric(s[len(s)-1]) {
		return false
	}
	for _, c := range []byte(s) {
		if !isAlphanumeric(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// bareHost strips the port and the brackets of an IPv6 literal.
func bareHost(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
}
