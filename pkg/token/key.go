package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// The algorithms, by their names in RFC 7518 section 3.1 and RFC 8037 section 3.1.
const (
	HS256 = "HS256"
	ES256 = "ES256"
	EdDSA = "EdDSA"
)

const (
	maxKID    = 64      // characters A-Z a-z 0-9 . _ -
	maxLine   = 4 << 10 // bytes
	minSecret = 32      // bytes, RFC 7518 section 3.2
)

// Key is one key for one algorithm. However it is printed, only its kid and algorithm show.
type Key struct{ *key }

type key struct {
	kid    string
	method jwt.SigningMethod
	// Behind a second pointer, since fmt calls no methods of a Key in an unexported field, and with a wrong verb follows one pointer.
	*material
}

type material struct {
	verify any // []byte, *ecdsa.PublicKey or ed25519.PublicKey
	sign   any // []byte, *ecdsa.PrivateKey or ed25519.PrivateKey; nil: it only verifies
}

var (
	errKeyForm   = errors.New("a key is <kid>:<algorithm>:<base64>, with a kid of 1 to 64 of the characters A-Z a-z 0-9 . _ -")
	errAlgorithm = errors.New("the algorithm of a key must be HS256, ES256 or EdDSA")
)

// ParseKey reads "<kid>:<alg>:<base64>". For HS256 the base64 is the secret, at least 32 bytes; for ES256 (P-256) and EdDSA (Ed25519) the DER of a PKIX
// public key, which only verifies, or of a PKCS#8 private key. Base64 is of the standard or the URL alphabet, padded or not. Errors say what
// is wrong and show nothing of s: what is in the wrong place may be the secret.
func ParseKey(s string) (Key, error) {
	kid, rest, _ := strings.Cut(s, ":")
	alg, encoded, ok := strings.Cut(rest, ":")
	if !ok || !validKID(kid) || len(s) > maxLine {
		return Key{}, errKeyForm
	}
	parse := map[string]func([]byte) (*material, error){HS256: parseSecret, ES256: parseECDSA, EdDSA: parseEd25519}[alg]
	if parse == nil {
		return Key{}, errAlgorithm
	}
	b, err := decodeBase64(encoded)
	if err != nil {
		return Key{}, err
	}
	m, err := parse(b)
	if err != nil {
		return Key{}, err
	}
	return Key{&key{kid, jwt.GetSigningMethod(alg), m}}, nil
}

func validKID(s string) bool { return 0 < len(s) && len(s) <= maxKID && only(s, isKIDByte) }

func isKIDByte(c byte) bool { return isBase64URL(c) || c == '.' }

// isBase64URL tells whether c is of the alphabet of RFC 4648 section 5, which is also that of room names.
func isBase64URL(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

func only(s string, is func(byte) bool) bool {
	for i := range len(s) {
		if !is(s[i]) {
			return false
		}
	}
	return true
}

// decodeBase64 takes both alphabets, padding where it belongs, and no line breaks, which the standard library would skip.
func decodeBase64(s string) ([]byte, error) {
	encoding := base64.RawURLEncoding
	if strings.HasSuffix(s, "=") {
		encoding = base64.URLEncoding
	}
	s = strings.NewReplacer("+", "-", "/", "_").Replace(s)
	b, err := encoding.Strict().DecodeString(s)
	if err != nil || !only(strings.TrimRight(s, "="), isBase64URL) {
		return nil, errors.New("the third part of a key is not base64")
	}
	return b, nil
}

// parseSecret refuses what its owner takes for something else: with a public key as the secret everybody could mint.
func parseSecret(secret []byte) (*material, error) {
	if _, err := x509.ParsePKIXPublicKey(secret); err == nil || strings.HasPrefix(string(secret), "-----BEGIN ") {
		return nil, errors.New("the secret of an HS256 key is a public key or a PEM file: random bytes were expected")
	}
	if len(secret) < minSecret {
		return nil, fmt.Errorf("the secret of an HS256 key must have %d bytes at least", minSecret)
	}
	return &material{verify: secret, sign: secret}, nil
}

func parseECDSA(der []byte) (*material, error) {
	m := &material{}
	public, private := parseDER(der)
	if p, ok := private.(*ecdsa.PrivateKey); ok {
		m.sign, public = p, &p.PublicKey
	}
	p, ok := public.(*ecdsa.PublicKey)
	if !ok || p.Curve != elliptic.P256() {
		return nil, errors.New("an ES256 key must be an EC key on the curve P-256, in DER: public as PKIX, private as PKCS#8")
	}
	m.verify = p
	return m, nil
}

func parseEd25519(der []byte) (*material, error) {
	m := &material{}
	public, private := parseDER(der)
	if p, ok := private.(ed25519.PrivateKey); ok {
		m.sign, public = p, p.Public()
	}
	p, ok := public.(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("an EdDSA key must be an Ed25519 key in DER: public as PKIX, private as PKCS#8")
	}
	m.verify = p
	return m, nil
}

// parseDER returns nil for what der is not.
func parseDER(der []byte) (public, private any) {
	if p, err := x509.ParsePKIXPublicKey(der); err == nil {
		return p, nil
	}
	if p, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return nil, p
	}
	return nil, nil
}

// String is the kid and the algorithm.
func (k Key) String() string {
	if k.key == nil {
		return "no key"
	}
	return k.kid + " (" + k.method.Alg() + ")"
}

// Format prints String, whatever the verb is.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is String.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Generate makes a key and returns it as a line that ParseKey reads, and that can mint. An empty kid becomes a random one.
func Generate(alg, kid string) (line string, err error) {
	if kid == "" {
		kid = randomID(5)
	}
	if !validKID(kid) {
		return "", errKeyForm
	}
	var b []byte
	switch alg {
	case HS256:
		b = make([]byte, minSecret)
		rand.Read(b) // never fails, see its documentation
	case ES256:
		var private *ecdsa.PrivateKey
		if private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
			b, err = x509.MarshalPKCS8PrivateKey(private)
		}
	case EdDSA:
		var private ed25519.PrivateKey
		if _, private, err = ed25519.GenerateKey(rand.Reader); err == nil {
			b, err = x509.MarshalPKCS8PrivateKey(private)
		}
	default:
		return "", errAlgorithm
	}
	if err != nil {
		return "", fmt.Errorf("make an %s key: %w", alg, err)
	}
	return format(kid, alg, b), nil
}

// PublicLine is the same key for who only verifies. HS256 keys have no such half.
func PublicLine(line string) (string, error) {
	k, err := ParseKey(line)
	if err != nil {
		return "", err
	}
	if k.method == jwt.SigningMethodHS256 {
		return "", errors.New("an HS256 key has no public half: who can verify with it can also mint")
	}
	der, err := x509.MarshalPKIXPublicKey(k.verify)
	if err != nil {
		return "", fmt.Errorf("encode the public key: %w", err)
	}
	return format(k.kid, k.method.Alg(), der), nil
}

func format(kid, alg string, b []byte) string {
	return kid + ":" + alg + ":" + base64.RawURLEncoding.EncodeToString(b)
}

// NewID returns a random jti.
func NewID() string { return randomID(15) }

// randomID returns n random bytes in lower-case base32.
func randomID(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails, see its documentation
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}
