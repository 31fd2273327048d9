// Package token mints and verifies the join tokens that let people into rooms.
//
// A join token is a JSON Web Token (RFC 7519) in compact form, signed with HS256, ES256 (RFC 7518) or EdDSA (RFC 8037). Whoever has a key mints
// tokens, in any language; the server has the same secret, or the public key, and asks nobody. The claims are
//
//	room      required: 1 to 64 of the characters A-Z a-z 0-9 - _
//	exp       required: when the token ends
//	nbf, iat  when it begins, when it was made; neither may be more than 10 seconds ahead of the server's clock
//	name      at most 64 characters; goes before the name that the client gives
//	role      "moderator" or "member"; member where there is none
//	jti       1 to 128 bytes: tells tokens apart
//	max_uses  1 or more, how often the token lets in; needs a jti
//	aud       "maitred" must be in it where there is one
//
// and others are ignored. The header has alg, and kid where the server has several keys; crit is refused, since no extension is known.
//
// Verification follows RFC 8725: the key says which algorithm it is for, whatever the token says, and what two readers of a token could
// understand differently is refused.
package token

import (
	"errors"
	"time"
)

// Why a token is not accepted, for the log and the metrics. Errors wrap one of these and add words of this package, never any of the token or of a key.
var (
	ErrMalformed   = errors.New("the token is no JWT that can be read in one way only")
	ErrAlgorithm   = errors.New("the token's algorithm is not that of its key")
	ErrUnknownKey  = errors.New("the token's kid is that of no key")
	ErrSignature   = errors.New("the token's signature is wrong")
	ErrExpired     = errors.New("the token has expired")
	ErrNotYetValid = errors.New("the token is not valid yet")
	ErrClaims      = errors.New("the token's claims are not valid")
)

// ErrCannotSign is returned by Mint when all keys are public ones.
var ErrCannotSign = errors.New("none of the keys can sign: they are public keys")

// The roles that a token can give.
const (
	RoleModerator = "moderator"
	RoleMember    = "member"
)

// Claims are what a token says.
type Claims struct {
	// ID is the claim jti. Where a token has none, Verify makes one of what was signed: it is the same whenever the token comes again, even
	// with another signature, which anybody can make of a valid one with ES256.
	ID        string
	Room      string
	Name      string    // empty: the one that the client gives
	Role      string    // RoleModerator or RoleMember; Mint takes empty for RoleMember
	NotBefore time.Time // zero: at once
	Expires   time.Time
	MaxUses   int // 0: no limit
}

// What a token can be. With the limits of check, no token that Mint makes is longer.
const (
	maxLength = 4 << 10 // bytes; signaling.MaxTokenLength
	maxRoom   = 64      // characters A-Z a-z 0-9 - _
	maxName   = 64      // characters
	maxID     = 128     // bytes
	// leeway is how far nbf and iat may be ahead, for clocks that differ (RFC 7519 section 4.1.5). exp has none: nobody waits for it.
	leeway = 10 * time.Second
	// audience is who we are in the claim aud (RFC 7519 section 4.1.3: who is not named in it must refuse the token).
	audience = "maitred"
)
