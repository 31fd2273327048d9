package token

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Keys is an immutable set of keys. It is safe for concurrent use.
type Keys struct {
	keys []Key // one at least, in the order of NewKeys
}

// NewKeys makes a set of keys whose kids differ. An empty set is a mistake of the caller.
func NewKeys(keys []Key) (*Keys, error) {
	if len(keys) == 0 {
		return nil, errors.New("no key to verify join tokens with")
	}
	own := &Keys{}
	for _, k := range keys {
		if k.key == nil {
			return nil, errors.New("the zero Key is no key")
		}
		if _, ok := own.named(k.kid); ok {
			return nil, errors.New("two keys have the same kid: tokens could not say which one they mean")
		}
		own.keys = append(own.keys, k)
	}
	return own, nil
}

// ParseKeys makes a set of lines as ParseKey reads them. Its error names every line that is wrong by its number, from 1.
func ParseKeys(lines []string) (*Keys, error) {
	var keys []Key
	var errs []error
	for i, line := range lines {
		k, err := ParseKey(line)
		if err != nil {
			errs = append(errs, fmt.Errorf("key %d: %w", i+1, err))
			continue
		}
		keys = append(keys, k)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return NewKeys(keys)
}

func (k *Keys) named(kid string) (Key, bool) {
	for _, one := range k.keys {
		if one.kid == kid {
			return one, true
		}
	}
	return Key{}, false
}

// String is the kids and algorithms.
func (k Keys) String() string {
	texts := make([]string, len(k.keys))
	for i, one := range k.keys {
		texts[i] = one.String()
	}
	return strings.Join(texts, ", ")
}

// Format prints String, whatever the verb is.
func (k Keys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is String.
func (k Keys) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Mint makes a token of c with the first key that can sign. Times are cut to whole seconds, and a NotBefore that has passed is left out. It gives a
// random jti where there is none (NewID makes one for who wants to know it), and returns ErrCannotSign, or what wraps ErrClaims for a token that Verify
// would never accept.
func (k *Keys) Mint(c Claims, now time.Time) (string, error) {
	if c.ID == "" {
		c.ID = NewID()
	}
	if c.Role == "" {
		c.Role = RoleMember
	}
	if err := c.check(); err != nil {
		return "", err
	}
	claims := jwt.MapClaims{"room": c.Room, "role": c.Role, "jti": c.ID, "iat": now.Unix(), "exp": c.Expires.Unix()}
	starts := now
	if c.NotBefore.After(now) {
		starts = c.NotBefore
		claims["nbf"] = starts.Unix()
	}
	if c.Expires.Unix() <= starts.Unix() || c.Expires.Unix() > lastSecond {
		return "", fmt.Errorf("%w: exp must be later than now and than nbf, and before the year 10000", ErrClaims)
	}
	if c.Name != "" {
		claims["name"] = c.Name
	}
	if c.MaxUses > 0 {
		claims["max_uses"] = c.MaxUses
	}
	for _, one := range k.keys {
		if one.sign != nil {
			t := jwt.NewWithClaims(one.method, claims)
			t.Header["kid"] = one.kid
			raw, err := t.SignedString(one.sign)
			if err != nil {
				return "", fmt.Errorf("sign the token with %v: %w", one, err)
			}
			return raw, nil
		}
	}
	return "", ErrCannotSign
}

// parser checks form and signature. The claims are ours to check.
var parser = jwt.NewParser(jwt.WithValidMethods([]string{HS256, ES256, EdDSA}), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())

// payload keeps the claims as they were signed, until the signature is known to be right. The embedded type only makes it a jwt.Claims.
type payload struct {
	jwt.RegisteredClaims
	raw []byte
}

func (p *payload) UnmarshalJSON(b []byte) error {
	p.raw = append(p.raw[:0], b...)
	return nil
}

// Verify returns what the token says if it is signed with one of the keys and valid now. A token without kid is verified with the only key; with several
// keys it is refused with ErrUnknownKey. The token ends at exp; nbf and iat may be 10 seconds ahead of now.
func (k *Keys) Verify(raw string, now time.Time) (Claims, error) {
	if len(raw) > maxLength {
		return Claims{}, fmt.Errorf("%w: it has more than %d bytes", ErrMalformed, maxLength)
	}
	// The standard library's base64 skips line breaks: the same token would have many spellings.
	if !only(raw, func(c byte) bool { return isBase64URL(c) || c == '.' }) {
		return Claims{}, fmt.Errorf("%w: it has other characters than base64url and dots", ErrMalformed)
	}
	var p payload
	reason := ErrAlgorithm // before it asks for the key, the parser looks at form and algorithm
	_, err := parser.ParseWithClaims(raw, &p, func(t *jwt.Token) (any, error) {
		found, err := k.find(t)
		if reason = err; err != nil {
			return nil, err
		}
		reason = ErrSignature
		return found.verify, nil
	})
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return Claims{}, ErrMalformed // the parser's words have pieces of the token in them
	case err != nil:
		return Claims{}, reason
	}
	c, err := parseClaims(p.raw, now)
	if err == nil && c.ID == "" {
		sum := sha256.Sum256([]byte(raw[:strings.LastIndexByte(raw, '.')]))
		c.ID = "sha256:" + base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return c, err
}

// find returns the key that the header names, if it is for the header's algorithm.
func (k *Keys) find(t *jwt.Token) (Key, error) {
	segment, _, _ := strings.Cut(t.Raw, ".")
	raw, err := parser.DecodeSegment(segment)
	if err != nil {
		return Key{}, ErrMalformed
	}
	header, err := members(raw)
	if err != nil {
		return Key{}, err
	}
	if _, ok := header["crit"]; ok { // RFC 7515 section 4.1.11
		return Key{}, fmt.Errorf("%w: crit asks for extensions, and none is known", ErrMalformed)
	}
	found, err := k.meant(header["kid"])
	if err == nil && t.Method.Alg() != found.method.Alg() {
		return Key{}, ErrAlgorithm
	}
	return found, err
}

// meant is the key of the header's kid.
func (k *Keys) meant(kid json.RawMessage) (Key, error) {
	if kid == nil {
		if len(k.keys) > 1 {
			return Key{}, fmt.Errorf("%w: with several keys a token needs a kid", ErrUnknownKey)
		}
		return k.keys[0], nil
	}
	name, ok := text(kid)
	if !ok {
		return Key{}, fmt.Errorf("%w: kid must be a string", ErrMalformed)
	}
	found, ok := k.named(name)
	if !ok {
		return Key{}, ErrUnknownKey
	}
	return found, nil
}
