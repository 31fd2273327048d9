package httpd

import (
	"fmt"
	"math"
	"net/http"
	"time"
	"unicode/utf8"
)

const (
	usualTokenTTL = time.Hour
	minTokenTTL   = time.Second
	maxTokenTTL   = 366 * 24 * time.Hour
	maxRoomName   = 64
	maxName       = 64
	maxUses       = math.MaxInt32
)

// TokenRequest is what a join token is to say. Its times are whole seconds.
type TokenRequest struct {
	Room      string
	Name      string // "": the member chooses
	Role      string // "moderator" or "member"
	NotBefore time.Time
	Expires   time.Time
	MaxUses   int // 0: as often as one likes
}

// Token is a join token as it was minted.
type Token struct {
	Token   string    `json:"token"`
	ID      string    `json:"id"`
	Expires time.Time `json:"expires"`
}

// tokenBody is the body of POST /api/v1/tokens.
type tokenBody struct {
	Room      string  `json:"room"`
	Name      string  `json:"name"`
	Role      string  `json:"role"`
	TTL       *int64  `json:"ttl"` // seconds
	NotBefore *string `json:"not_before"`
	MaxUses   *int64  `json:"max_uses"`
}

const likeToken = `{"room":"blue-otter","name":"Ann","role":"moderator","ttl":3600}`

func (s *Server) mintToken(w http.ResponseWriter, r *http.Request) {
	var body tokenBody
	if !readObject(w, r, maxBody, likeToken, &body) {
		return
	}
	request, err := body.request(time.Now())
	if err != nil {
		badRequest(w, err.Error())
		return
	}
	if s.cfg.MintToken == nil {
		cannotSign(w)
		return
	}
	token, err := s.cfg.MintToken(request)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	writeJSONStatus(w, http.StatusCreated, token)
}

// request checks the body. A token that is good from a later moment on lasts
// its ttl from then.
func (b *tokenBody) request(now time.Time) (TokenRequest, error) {
	q := TokenRequest{Room: b.Room, Name: b.Name, Role: b.Role}
	if q.Role == "" {
		q.Role = "member"
	}
	switch {
	case !isRoomName(q.Room):
		return q, fmt.Errorf("room must be 1 to %d of the characters A-Z a-z 0-9 - _", maxRoomName)
	case utf8.RuneCountInString(q.Name) > maxName:
		return q, fmt.Errorf("name may have at most %d characters", maxName)
	case q.Role != "moderator" && q.Role != "member":
		return q, fmt.Errorf(`role must be "moderator" or "member", not %q`, q.Role)
	}
	var err error
	if q.NotBefore, q.Expires, err = b.times(now); err != nil {
		return q, err
	}
	if b.MaxUses != nil {
		if *b.MaxUses < 1 || *b.MaxUses > maxUses {
			return q, fmt.Errorf("max_uses must be between 1 and %d; leave it out for a token that can be used any number of times", maxUses)
		}
		q.MaxUses = int(*b.MaxUses)
	}
	return q, nil
}

func (b *tokenBody) times(now time.Time) (notBefore, expires time.Time, err error) {
	begin, ttl := now.UTC().Truncate(time.Second), usualTokenTTL
	if b.NotBefore != nil {
		notBefore, err = time.Parse(time.RFC3339, *b.NotBefore)
		if err != nil || notBefore.After(now.Add(maxTokenTTL)) {
			return notBefore, expires, fmt.Errorf(`not_before must be a time within the next %d days, such as "%s"`,
				maxTokenTTL/(24*time.Hour), begin.Add(usualTokenTTL).Format(time.RFC3339))
		}
		if notBefore = notBefore.UTC().Truncate(time.Second); notBefore.After(begin) {
			begin = notBefore
		}
	}
	if b.TTL != nil {
		if *b.TTL < int64(minTokenTTL/time.Second) || *b.TTL > int64(maxTokenTTL/time.Second) {
			return notBefore, expires, fmt.Errorf("ttl must be between %d and %d seconds", minTokenTTL/time.Second, maxTokenTTL/time.Second)
		}
		ttl = time.Duration(*b.TTL) * time.Second
	}
	return notBefore, begin.Add(ttl), nil
}

func isRoomName(s string) bool {
	if s == "" || len(s) > maxRoomName {
		return false
	}
	for _, c := range []byte(s) {
		if !isAlphanumeric(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func cannotSign(w http.ResponseWriter) {
	writeProblem(w, http.StatusServiceUnavailable, "no_signing_key",
		"This daemon has no key that signs join tokens; add one to signaling.token_keys (maitred token --generate-key HS256 makes one).")
}
