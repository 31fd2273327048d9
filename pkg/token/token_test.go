package token

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

// now is the server's clock in the tests.
var now = time.Unix(1_800_000_000, 0).UTC()

// The keys of RFC 7515 appendix A.1 (HS256) and A.3 (ES256), and of RFC 8037 appendix A (EdDSA).
const (
	rfcSecret      = "k:HS256:AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
	rfcEC          = "k:ES256:MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LKhRANCAAR_zc4ncPbEXUGDy-5v20t7WAczNXvp7xO6z248e9FURcfxRM0bvZt-hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt"
	rfcECPublic    = "k:ES256:MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72bfocs3-257rn0s2ldbqkLJK2KRiMohYjlrQ"
	rfcEdDSA       = "k:EdDSA:MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v_VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g"
	rfcEdDSAPublic = "k:EdDSA:MCowBQYDK2VwAyEA11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
)

func parse(t testing.TB, line string) Key {
	t.Helper()
	k, err := ParseKey(line)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func set(t testing.TB, keys ...Key) *Keys {
	t.Helper()
	k, err := NewKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// generate makes a key of its own.
func generate(t testing.TB, alg, kid string) Key {
	t.Helper()
	line, err := Generate(alg, kid)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, line)
}

// encode is base64url without padding.
func encode[T string | []byte](b T) string { return base64.RawURLEncoding.EncodeToString([]byte(b)) }

// sign makes a token of any header and payload, with a right signature of k.
func sign(t testing.TB, k Key, header, payload string) string {
	t.Helper()
	input := encode(header) + "." + encode(payload)
	signature, err := k.method.Sign(input, k.sign)
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + encode(signature)
}

// fine are claims that are valid now.
const fine = `{"room":"tea","exp":1800000060}`

// TestOthers verifies what this code did not make: the signatures of RFC 7515, and tokens that Node's crypto signed with the keys of the RFCs.
func TestOthers(t *testing.T) {
	// The RFC's tokens have no room in them; that is told after the signature has been found right.
	const claims = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
	const ours = "eyJyb29tIjoidGVhIiwibmFtZSI6Ilpvw6siLCJyb2xlIjoibW9kZXJhdG9yIiwianRpIjoiMSIsIm1heF91c2VzIjozLCJpYXQiOjE3OTk5OTkwMDAsIm5iZiI6MTc5OTk5OTAwMCwiZXhwIjoxODAwMDAwMDYwfQ"
	for _, tt := range []struct {
		name, key, raw string
		err            error
	}{
		{"RFC 7515 A.1", rfcSecret, "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + claims + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", ErrClaims},
		{"RFC 7515 A.3", rfcECPublic, "eyJhbGciOiJFUzI1NiJ9." + claims + ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q", ErrClaims},
		{"HS256", rfcSecret, "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImsifQ." + ours + ".ztpvnKawRaZNuHITBJLOVH2kd_qE4Fl13AjRicsNwBE", nil},
		{"ES256", rfcECPublic, "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImsifQ." + ours + ".QC8ROUNiK7ugyR9ujxxfE5Be4GUL2bAZEDY8yYvdapH1ahnpqdtbiBC8T7l2N04SMGiwkdeVSIWqzC1wJZiHtQ", nil},
		{"EdDSA", rfcEdDSAPublic, "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCIsImtpZCI6ImsifQ." + ours + ".Q5cdNfxf7Yadnqo9F9elLjL8zAoCC-TivPGurFDvWZeiKSbN61t6frXF9pEXp6oevy-2zMVMea090rntDptjBg", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keys := set(t, parse(t, tt.key))
			got, err := keys.Verify(tt.raw, now)
			want := Claims{}
			if tt.err == nil {
				want = Claims{ID: "1", Room: "tea", Name: "Zoë", Role: RoleModerator, MaxUses: 3, NotBefore: time.Unix(1_799_999_000, 0).UTC(), Expires: now.Add(time.Minute)}
			}
			if !errors.Is(err, tt.err) || got != want {
				t.Errorf("%+v, %v", got, err)
			}
			forged := strings.Replace(tt.raw, ".e", ".f", 1) // another first letter of the claims
			if got, err := keys.Verify(forged, now); err == nil || got != (Claims{}) {
				t.Errorf("forged: %+v, %v", got, err)
			}
			at := len(tt.raw) - 43 // in the signature
			other := "A"
			if tt.raw[at] == 'A' {
				other = "B"
			}
			altered := tt.raw[:at] + other + tt.raw[at+1:]
			if got, err := keys.Verify(altered, now); !errors.Is(err, ErrSignature) || got != (Claims{}) {
				t.Errorf("another signature: %+v, %v", got, err)
			}
		})
	}
}

// TestAttacks are those of RFC 8725 section 2 and RFC 7515 section 10, and what else has let strangers in elsewhere.
func TestAttacks(t *testing.T) {
	secret, ec, ed, other := generate(t, HS256, "hs"), generate(t, ES256, "es"), generate(t, EdDSA, "ed"), generate(t, HS256, "other")
	keys := set(t, secret, ec, ed, other)
	stranger := generate(t, HS256, "hs")
	publicDER, err := x509.MarshalPKIXPublicKey(ec.verify)
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER})
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	raw := func(header, payload string, signature []byte) string {
		return encode(header) + "." + encode(payload) + "." + encode(signature)
	}
	hmacOf := func(header string, secret []byte) string {
		m := hmac.New(sha256.New, secret)
		m.Write([]byte(encode(header) + "." + encode(fine)))
		return raw(header, fine, m.Sum(nil))
	}
	rs256 := func(header string) string {
		sum := sha256.Sum256([]byte(encode(header) + "." + encode(fine)))
		signature, err := rsa.SignPKCS1v15(nil, rsaKey, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return raw(header, fine, signature)
	}
	valid := sign(t, secret, `{"alg":"HS256","kid":"hs"}`, fine)
	validEC := sign(t, ec, `{"alg":"ES256","kid":"es"}`, fine)
	validEd := sign(t, ed, `{"alg":"EdDSA","kid":"ed"}`, fine)
	for _, raw := range []string{valid, validEC, validEd} {
		if _, err := keys.Verify(raw, now); err != nil {
			t.Fatalf("before any attack: %v", err)
		}
	}
	unsigned := valid[:strings.LastIndexByte(valid, '.')]
	unsignedEC := validEC[:strings.LastIndexByte(validEC, '.')]
	segments := strings.Split(validEC, ".")
	signatureEC, err := base64.RawURLEncoding.DecodeString(segments[2])
	if err != nil {
		t.Fatal(err)
	}
	der, err := ecdsa.SignASN1(rand.Reader, ec.sign.(*ecdsa.PrivateKey), digest(unsignedEC))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, raw string
		want      error
	}{
		{"alg none without a signature", raw(`{"alg":"none"}`, fine, nil), ErrAlgorithm},
		{"alg none with a kid", raw(`{"alg":"none","kid":"hs"}`, fine, nil), ErrAlgorithm},
		{"alg none with the signature", raw(`{"alg":"none","kid":"es"}`, fine, signatureEC), ErrAlgorithm},
		{"alg None", raw(`{"alg":"None","kid":"hs"}`, fine, nil), ErrAlgorithm},
		{"alg empty", raw(`{"alg":"","kid":"hs"}`, fine, nil), ErrAlgorithm},
		{"no alg", raw(`{"kid":"hs"}`, fine, nil), ErrAlgorithm},
		{"alg null", raw(`{"alg":null,"kid":"hs"}`, fine, nil), ErrAlgorithm},
		{"alg an array", raw(`{"alg":["HS256"],"kid":"hs"}`, fine, nil), ErrAlgorithm},
		{"alg in small letters", sign(t, secret, `{"alg":"hs256","kid":"hs"}`, fine), ErrAlgorithm},
		{"Alg for alg", sign(t, secret, `{"Alg":"HS256","kid":"hs"}`, fine), ErrAlgorithm},
		{"unknown alg", sign(t, secret, `{"alg":"HS999","kid":"hs"}`, fine), ErrAlgorithm},
		{"HS384", sign(t, secret, `{"alg":"HS384","kid":"hs"}`, fine), ErrAlgorithm},
		{"ES384", sign(t, ec, `{"alg":"ES384","kid":"es"}`, fine), ErrAlgorithm},
		{"RS256", rs256(`{"alg":"RS256","kid":"es"}`), ErrAlgorithm},
		{"RS256 without a kid", rs256(`{"alg":"RS256"}`), ErrAlgorithm},
		{"RSA signature as ES256", rs256(`{"alg":"ES256","kid":"es"}`), ErrSignature},
		{"public key's DER as HMAC secret", hmacOf(`{"alg":"HS256","kid":"es"}`, publicDER), ErrAlgorithm},
		{"public key's PEM as HMAC secret", hmacOf(`{"alg":"HS256","kid":"es"}`, publicPEM), ErrAlgorithm},
		{"public key's text as HMAC secret", hmacOf(`{"alg":"HS256","kid":"es"}`, []byte(encode(publicDER))), ErrAlgorithm},
		{"Ed25519 public key as HMAC secret", hmacOf(`{"alg":"HS256","kid":"ed"}`, ed.publicBytes()), ErrAlgorithm},
		{"HMAC with the public key under an HMAC key's kid", hmacOf(`{"alg":"HS256","kid":"hs"}`, publicDER), ErrSignature},
		{"HMAC called ES256", sign(t, secret, `{"alg":"ES256","kid":"hs"}`, fine), ErrAlgorithm},
		{"HMAC with no secret", hmacOf(`{"alg":"HS256","kid":"hs"}`, nil), ErrSignature},
		{"EdDSA called ES256", sign(t, ed, `{"alg":"ES256","kid":"es"}`, fine), ErrSignature},

		{"stranger's key", sign(t, stranger, `{"alg":"HS256","kid":"hs"}`, fine), ErrSignature},
		{"kid of another key", sign(t, secret, `{"alg":"HS256","kid":"other"}`, fine), ErrSignature},
		{"kid of another algorithm's key", sign(t, secret, `{"alg":"HS256","kid":"es"}`, fine), ErrAlgorithm},
		{"unknown kid", sign(t, secret, `{"alg":"HS256","kid":"hs2"}`, fine), ErrUnknownKey},
		{"kid in capitals", sign(t, secret, `{"alg":"HS256","kid":"HS"}`, fine), ErrUnknownKey},
		{"empty kid", sign(t, secret, `{"alg":"HS256","kid":""}`, fine), ErrUnknownKey},
		{"no kid", sign(t, secret, `{"alg":"HS256"}`, fine), ErrUnknownKey},
		{"kid that is a path", sign(t, secret, `{"alg":"HS256","kid":"../../dev/null"}`, fine), ErrUnknownKey},
		{"kid null", sign(t, secret, `{"alg":"HS256","kid":null}`, fine), ErrMalformed},
		{"kid a number", sign(t, secret, `{"alg":"HS256","kid":1}`, fine), ErrMalformed},
		{"kid an array", sign(t, secret, `{"alg":"HS256","kid":["hs"]}`, fine), ErrMalformed},
		{"key in the header", sign(t, stranger, `{"alg":"HS256","kid":"hs","jwk":{"kty":"oct","k":"`+encode(stranger.sign.([]byte))+`"}}`, fine), ErrSignature},
		{"address of a key in the header", sign(t, stranger, `{"alg":"HS256","kid":"hs","jku":"https://example.com/k","x5u":"https://example.com/c"}`, fine), ErrSignature},

		{"crit", sign(t, secret, `{"alg":"HS256","kid":"hs","crit":["exp"],"exp":1800000060}`, fine), ErrMalformed},
		{"crit b64", sign(t, secret, `{"alg":"HS256","kid":"hs","crit":["b64"],"b64":true}`, fine), ErrMalformed},
		{"crit empty", sign(t, secret, `{"alg":"HS256","kid":"hs","crit":[]}`, fine), ErrMalformed},
		{"crit null", sign(t, secret, `{"alg":"HS256","kid":"hs","crit":null}`, fine), ErrMalformed},
		{"alg twice", sign(t, secret, `{"alg":"none","kid":"hs","alg":"HS256"}`, fine), ErrMalformed},
		{"kid twice", sign(t, secret, `{"alg":"HS256","kid":"other","kid":"hs"}`, fine), ErrMalformed},
		{"kid twice, once escaped", sign(t, secret, `{"alg":"HS256","kid":"other","\u006bid":"hs"}`, fine), ErrMalformed},
		{"header not UTF-8", sign(t, secret, "{\"alg\":\"HS256\",\"kid\":\"hs\",\"x\":\"\xff\"}", fine), ErrMalformed},
		{"header an array", sign(t, secret, `["HS256"]`, fine), ErrMalformed},
		{"header null", sign(t, secret, `null`, fine), ErrAlgorithm},
		{"header empty", "." + encode(fine) + ".AAAA", ErrMalformed},
		{"two headers", sign(t, secret, `{"alg":"HS256","kid":"hs"}{}`, fine), ErrMalformed},

		{"empty signature", unsigned + ".", ErrSignature},
		{"empty ES256 signature", unsignedEC + ".", ErrSignature},
		{"r and s 0", unsignedEC + "." + encode(make([]byte, 64)), ErrSignature},
		{"r 0", unsignedEC + "." + encode(append(make([]byte, 32), signatureEC[32:]...)), ErrSignature},
		{"r and s of the group's order", unsignedEC + "." + encode(bytes.Repeat(elliptic.P256().Params().N.Bytes(), 2)), ErrSignature},
		{"one byte less", unsignedEC + "." + encode(signatureEC[:63]), ErrSignature},
		{"one byte more", unsignedEC + "." + encode(append(bytes.Clone(signatureEC), 0)), ErrSignature},
		{"ES256 signature in DER", unsignedEC + "." + encode(der), ErrSignature},
		{"Ed25519 of zeros", validEd[:strings.LastIndexByte(validEd, '.')+1] + encode(make([]byte, 64)), ErrSignature},
		{"signature of another token", unsigned + sign(t, secret, `{"alg":"HS256","kid":"hs"}`, `{}`)[strings.LastIndexByte(sign(t, secret, `{"alg":"HS256","kid":"hs"}`, `{}`), '.'):], ErrSignature},
		{"truncated signature", valid[:len(valid)-3], ErrSignature},

		{"empty", "", ErrMalformed},
		{"dots", "..", ErrMalformed},
		{"no signature", unsigned, ErrMalformed},
		{"header only", strings.Split(valid, ".")[0], ErrMalformed},
		{"four parts", valid + ".", ErrMalformed},
		{"five parts, as JWE has", valid + ".a.b", ErrMalformed},
		{"JSON form", `{"payload":"` + segments[1] + `","signatures":[]}`, ErrMalformed},
		{"Bearer in front", "Bearer " + valid, ErrMalformed},
		{"blank at the end", valid + " ", ErrMalformed},
		{"line break at the end", valid + "\n", ErrMalformed},
		{"line break in the signature", valid[:len(valid)-8] + "\r\n" + valid[len(valid)-8:], ErrMalformed},
		{"padding", valid + "=", ErrMalformed},
		{"standard alphabet", unsigned + ".++//", ErrMalformed},
		{"bits behind the signature", valid[:len(valid)-1] + next(valid[len(valid)-1]), ErrMalformed},
		{"NUL", "\x00" + valid, ErrMalformed},
		{"letters beyond ASCII", "é" + valid, ErrMalformed},
		{"4 KiB and a byte", valid + strings.Repeat("A", maxLength+1-len(valid)), ErrMalformed},
		{"4 KiB of dots", strings.Repeat(".", maxLength), ErrMalformed},
		{"a megabyte", strings.Repeat("A", 1<<20), ErrMalformed},
		{"deep nesting", sign(t, secret, `{"alg":"HS256","kid":"hs"}`, strings.Repeat("[", 2500)), ErrMalformed},

		{"claims an array", sign(t, secret, `{"alg":"HS256","kid":"hs"}`, `["tea"]`), ErrMalformed},
		{"claims a string", sign(t, secret, `{"alg":"HS256","kid":"hs"}`, `"tea"`), ErrMalformed},
		{"claims null", sign(t, secret, `{"alg":"HS256","kid":"hs"}`, `null`), ErrMalformed},
		{"no claims", sign(t, secret, `{"alg":"HS256","kid":"hs"}`, ``), ErrMalformed},
		{"a token in the token", sign(t, secret, `{"alg":"HS256","kid":"hs","cty":"JWT"}`, valid), ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := keys.Verify(tt.raw, now)
			if !errors.Is(err, tt.want) || c != (Claims{}) {
				t.Fatalf("%+v, %v; want %v", c, err, tt.want)
			}
			wantQuiet(t, err, tt.raw)
		})
	}
}

func digest(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

// publicBytes are the bytes of an Ed25519 public key.
func (k Key) publicBytes() []byte {
	der, err := x509.MarshalPKIXPublicKey(k.verify)
	if err != nil {
		panic(err)
	}
	return der[len(der)-32:]
}

// next is the letter after c in the base64url alphabet: of the last letter of 32 bytes, the two lowest bits mean nothing.
func next(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)+1])
}

// wantQuiet checks that an error tells nothing of the token: no piece of it, and nothing of what is in its parts.
func wantQuiet(t *testing.T, err error, raw string) {
	t.Helper()
	for _, part := range strings.Split(raw, ".") {
		decoded, _ := base64.RawURLEncoding.DecodeString(part)
		for _, piece := range []string{part, string(decoded)} {
			if len(piece) > 5 && strings.Contains(err.Error(), piece[:6]) || len(err.Error()) > 200 {
				t.Errorf("%q is in the error %q", piece, err)
			}
		}
	}
}

// TestSpellings: what was signed has one id, although an ES256 signature (r, s) has a twin (r, -s) that anybody can work out.
func TestSpellings(t *testing.T) {
	ec := generate(t, ES256, "es")
	keys := set(t, ec)
	raw := sign(t, ec, `{"alg":"ES256"}`, fine)
	cut := strings.LastIndexByte(raw, '.') + 1
	signature, err := base64.RawURLEncoding.DecodeString(raw[cut:])
	if err != nil {
		t.Fatal(err)
	}
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(signature[32:])
	twin := raw[:cut] + encode(signature)
	a, err := keys.Verify(raw, now)
	if err != nil {
		t.Fatal(err)
	}
	b, err := keys.Verify(twin, now)
	if err != nil || twin == raw || a.ID == "" || a.ID != b.ID {
		t.Errorf("%q and its twin %q, %v", a.ID, b.ID, err)
	}
	c, err := keys.Verify(sign(t, ec, `{"alg":"ES256"}`, fine+" "), now)
	if err != nil || c.ID == a.ID {
		t.Errorf("another token: %q, %v", c.ID, err)
	}
}

func TestClaims(t *testing.T) {
	k := generate(t, HS256, "hs")
	keys := set(t, k)
	long := strings.Repeat("r", 64)
	minute := now.Add(time.Minute)
	for _, tt := range []struct {
		name, payload string
		want          Claims
	}{
		{"least", fine, Claims{Room: "tea", Role: RoleMember, Expires: minute}},
		{"all", `{"room":"A-z_9","name":"Zoë","role":"moderator","exp":1800000060,"nbf":1799999999,"iat":1799999999,"jti":"x","max_uses":1}`,
			Claims{ID: "x", Room: "A-z_9", Name: "Zoë", Role: RoleModerator, NotBefore: now.Add(-time.Second), Expires: minute, MaxUses: 1}},
		{"role member", `{"room":"tea","exp":1800000060,"role":"member"}`, Claims{Room: "tea", Role: RoleMember, Expires: minute}},
		{"empty name", `{"room":"tea","exp":1800000060,"name":""}`, Claims{Room: "tea", Role: RoleMember, Expires: minute}},
		{"longest", `{"room":"` + long + `","exp":1800000060,"name":"` + strings.Repeat("ä", 64) + `","jti":"` + strings.Repeat("j", 128) + `","max_uses":2147483647}`,
			Claims{ID: strings.Repeat("j", 128), Room: long, Name: strings.Repeat("ä", 64), Role: RoleMember, Expires: minute, MaxUses: 1<<31 - 1}},
		{"last second", `{"room":"tea","exp":1800000001}`, Claims{Room: "tea", Role: RoleMember, Expires: now.Add(time.Second)}},
		{"exp with a fraction", `{"room":"tea","exp":1800000000.5}`, Claims{Room: "tea", Role: RoleMember, Expires: now.Add(time.Second / 2)}},
		{"exp with an exponent", `{"room":"tea","exp":1.80000006e9}`, Claims{Room: "tea", Role: RoleMember, Expires: minute}},
		{"end of the year 9999", `{"room":"tea","exp":253402300799}`, Claims{Room: "tea", Role: RoleMember, Expires: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}},
		{"nbf within the leeway", `{"room":"tea","exp":1800000060,"nbf":1800000010}`, Claims{Room: "tea", Role: RoleMember, NotBefore: now.Add(10 * time.Second), Expires: minute}},
		{"iat within the leeway", `{"room":"tea","exp":1800000060,"iat":1800000010}`, Claims{Room: "tea", Role: RoleMember, Expires: minute}},
		{"aud", `{"room":"tea","exp":1800000060,"aud":"maitred"}`, Claims{Room: "tea", Role: RoleMember, Expires: minute}},
		{"aud of several", `{"room":"tea","exp":1800000060,"aud":["https://example.com","maitred"]}`, Claims{Room: "tea", Role: RoleMember, Expires: minute}},
		{"others", `{"room":"tea","exp":1800000060,"iss":1,"sub":["x"],"Room":"milk","ROLE":"moderator","x":{"a":1,"a":2}}`, Claims{Room: "tea", Role: RoleMember, Expires: minute}},
		{"blanks", " {\r\n\t\"room\" : \"tea\" , \"exp\" : 1800000060 , \"max_uses\" : 2 , \"jti\" : \"x\" } \n", Claims{ID: "x", Room: "tea", Role: RoleMember, Expires: minute, MaxUses: 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := keys.Verify(sign(t, k, `{"alg":"HS256"}`, tt.payload), now)
			if tt.want.ID == "" && strings.HasPrefix(got.ID, "sha256:") {
				got.ID = ""
			}
			if err != nil || got != tt.want {
				t.Errorf("%+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

func TestClaimsRefused(t *testing.T) {
	k := generate(t, HS256, "hs")
	keys := set(t, k)
	with := func(members string) string { return `{"room":"tea","exp":1800000060,` + members + `}` }
	for _, tt := range []struct {
		name, payload string
		want          error
		says          string
	}{
		{"no room", `{"exp":1800000060}`, ErrClaims, "room must be"},
		{"empty room", `{"room":"","exp":1800000060}`, ErrClaims, "room must be 1 to 64 of the characters A-Z a-z 0-9 - _"},
		{"long room", `{"room":"` + strings.Repeat("r", 65) + `","exp":1800000060}`, ErrClaims, "room must be"},
		{"room with a blank", `{"room":"te a","exp":1800000060}`, ErrClaims, "room must be"},
		{"room with a slash", `{"room":"../tea","exp":1800000060}`, ErrClaims, "room must be"},
		{"room beyond ASCII", `{"room":"thé","exp":1800000060}`, ErrClaims, "room must be"},
		{"room null", `{"room":null,"exp":1800000060}`, ErrClaims, "room must be a string"},
		{"room a number", `{"room":1,"exp":1800000060}`, ErrClaims, "room must be a string"},
		{"room an array", `{"room":["tea"],"exp":1800000060}`, ErrClaims, "room must be a string"},
		{"Room for room", `{"Room":"tea","exp":1800000060}`, ErrClaims, "room must be"},
		{"room twice", `{"room":"tea","exp":1800000060,"room":"milk"}`, ErrMalformed, "there twice"},
		{"room twice, once escaped", `{"room":"tea","exp":1800000060,"ro\u006fm":"milk"}`, ErrMalformed, "there twice"},
		{"unknown claim twice", with(`"x":1,"x":2`), ErrMalformed, "there twice"},
		{"not UTF-8", with("\"x\":\"\xff\""), ErrMalformed, "UTF-8"},
		{"long name", with(`"name":"` + strings.Repeat("ä", 65) + `"`), ErrClaims, "name must be at most 64 characters"},
		{"name a number", with(`"name":7`), ErrClaims, "name must be a string"},
		{"name null", with(`"name":null`), ErrClaims, "name must be a string"},
		{"unknown role", with(`"role":"admin"`), ErrClaims, "role must be moderator or member"},
		{"empty role", with(`"role":""`), ErrClaims, "role must be moderator or member"},
		{"role in capitals", with(`"role":"Moderator"`), ErrClaims, "role must be moderator or member"},
		{"role an array", with(`"role":["moderator"]`), ErrClaims, "role must be a string"},
		{"no exp", `{"room":"tea"}`, ErrClaims, "exp is missing"},
		{"exp null", `{"room":"tea","exp":null}`, ErrClaims, "exp must be a number of seconds"},
		{"exp a string", `{"room":"tea","exp":"1800000060"}`, ErrClaims, "exp must be a number of seconds"},
		{"exp true", `{"room":"tea","exp":true}`, ErrClaims, "exp must be a number of seconds"},
		{"exp an array", `{"room":"tea","exp":[1800000060]}`, ErrClaims, "exp must be a number of seconds"},
		{"exp negative", `{"room":"tea","exp":-1}`, ErrClaims, "exp must be a number of seconds"},
		{"exp in milliseconds", `{"room":"tea","exp":1800000060000}`, ErrClaims, "exp must be a number of seconds"},
		{"exp huge", `{"room":"tea","exp":1e300}`, ErrClaims, "exp must be a number of seconds"},
		{"exp beyond floats", `{"room":"tea","exp":1e999}`, ErrClaims, "exp must be a number of seconds"},
		{"exp of 1,000 digits", `{"room":"tea","exp":` + strings.Repeat("9", 1000) + `}`, ErrClaims, "exp must be a number of seconds"},
		{"exp 0", `{"room":"tea","exp":0}`, ErrExpired, ""},
		{"expired", `{"room":"tea","exp":1799999999}`, ErrExpired, ""},
		{"expires now", `{"room":"tea","exp":1800000000}`, ErrExpired, ""},
		{"expired a moment ago", `{"room":"tea","exp":1799999999.9}`, ErrExpired, ""},
		{"expired and not yet valid", `{"room":"tea","exp":1,"nbf":1900000000}`, ErrExpired, ""},
		{"nbf ahead", with(`"nbf":1800000011`), ErrNotYetValid, ""},
		{"nbf a string", with(`"nbf":"now"`), ErrClaims, "nbf must be a number of seconds"},
		{"nbf far ahead", with(`"nbf":253402300799`), ErrNotYetValid, ""},
		{"iat ahead", with(`"iat":1800000011`), ErrNotYetValid, ""},
		{"iat negative", with(`"iat":-1`), ErrClaims, "iat must be a number of seconds"},
		{"long jti", with(`"jti":"` + strings.Repeat("j", 129) + `"`), ErrClaims, "jti must be at most 128 bytes"},
		{"long jti of few characters", with(`"jti":"` + strings.Repeat("ä", 65) + `"`), ErrClaims, "jti must be at most 128 bytes"},
		{"empty jti", with(`"jti":""`), ErrClaims, "jti is empty"},
		{"jti a number", with(`"jti":5`), ErrClaims, "jti must be a string"},
		{"max_uses without jti", with(`"max_uses":1`), ErrClaims, "max_uses needs a jti"},
		{"max_uses 0", with(`"jti":"x","max_uses":0`), ErrClaims, "max_uses must be a whole number"},
		{"max_uses negative", with(`"jti":"x","max_uses":-1`), ErrClaims, "max_uses must be a whole number"},
		{"max_uses with a fraction", with(`"jti":"x","max_uses":1.5`), ErrClaims, "max_uses must be a whole number"},
		{"max_uses with an exponent", with(`"jti":"x","max_uses":1e2`), ErrClaims, "max_uses must be a whole number"},
		{"max_uses huge", with(`"jti":"x","max_uses":2147483648`), ErrClaims, "max_uses must be a whole number"},
		{"max_uses a string", with(`"jti":"x","max_uses":"1"`), ErrClaims, "max_uses must be a whole number"},
		{"max_uses null", with(`"jti":"x","max_uses":null`), ErrClaims, "max_uses must be a whole number"},
		{"aud of others", with(`"aud":"https://example.com"`), ErrClaims, "aud does not name maitred"},
		{"aud in capitals", with(`"aud":"Maitred"`), ErrClaims, "aud does not name maitred"},
		{"aud several others", with(`"aud":["a","b"]`), ErrClaims, "aud does not name maitred"},
		{"aud nobody", with(`"aud":[]`), ErrClaims, "aud does not name maitred"},
		{"aud null", with(`"aud":null`), ErrClaims, "aud does not name maitred"},
		{"aud a number", with(`"aud":1`), ErrClaims, "aud must be a string or an array"},
		{"aud with a number", with(`"aud":["maitred",1]`), ErrClaims, "aud must be a string or an array"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := sign(t, k, `{"alg":"HS256"}`, tt.payload)
			c, err := keys.Verify(raw, now)
			if !errors.Is(err, tt.want) || c != (Claims{}) || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("%+v, %v; want %v: %s", c, err, tt.want, tt.says)
			}
			wantQuiet(t, err, raw)
		})
	}
}

func TestMint(t *testing.T) {
	for _, alg := range []string{HS256, ES256, EdDSA} {
		t.Run(alg, func(t *testing.T) {
			line, err := Generate(alg, "k1")
			if err != nil {
				t.Fatal(err)
			}
			minting := set(t, parse(t, line))
			verifying := minting
			if alg != HS256 {
				public, err := PublicLine(line)
				if err != nil {
					t.Fatal(err)
				}
				verifying = set(t, generate(t, HS256, "k0"), parse(t, public))
			}
			want := Claims{ID: "x", Room: "tea", Name: "Zoë <b>", Role: RoleModerator, NotBefore: now.Add(5 * time.Second), Expires: now.Add(time.Hour), MaxUses: 2}
			raw, err := minting.Mint(want, now)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := verifying.Verify(raw, now); err != nil || got != want {
				t.Errorf("%+v, %v", got, err)
			}
			if strings.Contains(raw, "=") || len(raw) > 512 {
				t.Errorf("a token of %d bytes: %s", len(raw), raw)
			}
		})
	}
}

func TestMintFillsIn(t *testing.T) {
	keys := set(t, generate(t, HS256, "k"))
	ids := map[string]bool{}
	for range 2 {
		raw, err := keys.Mint(Claims{Room: "tea", NotBefore: now.Add(-time.Hour), Expires: now.Add(1500 * time.Millisecond)}, now)
		if err != nil {
			t.Fatal(err)
		}
		got, err := keys.Verify(raw, now)
		if err != nil || got.Role != RoleMember || !got.NotBefore.IsZero() || !got.Expires.Equal(now.Add(time.Second)) || len(got.ID) != 24 {
			t.Errorf("%+v, %v", got, err)
		}
		ids[got.ID] = true
	}
	if len(ids) != 2 {
		t.Errorf("two tokens have the ids %v", ids)
	}
	if a, b := NewID(), NewID(); a == b || len(a) != 24 {
		t.Errorf("ids %q, %q", a, b)
	}
}

func TestMintChoosesTheFirstThatCanSign(t *testing.T) {
	line, err := Generate(ES256, "public")
	if err != nil {
		t.Fatal(err)
	}
	public, err := PublicLine(line)
	if err != nil {
		t.Fatal(err)
	}
	first, second := generate(t, EdDSA, "first"), generate(t, HS256, "second")
	raw, err := set(t, parse(t, public), first, second).Mint(Claims{Room: "tea", Expires: now.Add(time.Hour)}, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set(t, first).Verify(raw, now); err != nil {
		t.Errorf("not minted with the first key that can sign: %v", err)
	}
	if raw, err := set(t, parse(t, public)).Mint(Claims{Room: "tea", Expires: now.Add(time.Hour)}, now); raw != "" || !errors.Is(err, ErrCannotSign) {
		t.Errorf("public keys only: %q, %v", raw, err)
	}
}

func TestMintRefuses(t *testing.T) {
	keys := set(t, generate(t, HS256, "k"))
	hour := now.Add(time.Hour)
	for _, tt := range []struct {
		name string
		c    Claims
		says string
	}{
		{"no room", Claims{Expires: hour}, "room must be"},
		{"bad room", Claims{Room: "a b", Expires: hour}, "room must be"},
		{"long name", Claims{Room: "tea", Name: strings.Repeat("n", 65), Expires: hour}, "name must be"},
		{"name not UTF-8", Claims{Room: "tea", Name: "\xff", Expires: hour}, "name must be"},
		{"role", Claims{Room: "tea", Role: "admin", Expires: hour}, "role must be"},
		{"long id", Claims{ID: strings.Repeat("j", 129), Room: "tea", Expires: hour}, "jti must be"},
		{"negative uses", Claims{Room: "tea", MaxUses: -1, Expires: hour}, "max_uses must be"},
		{"no end", Claims{Room: "tea"}, "exp must be"},
		{"ends now", Claims{Room: "tea", Expires: now}, "exp must be"},
		{"ends within this second", Claims{Room: "tea", Expires: now.Add(time.Second - 1)}, "exp must be"},
		{"ends before it begins", Claims{Room: "tea", NotBefore: now.Add(2 * time.Hour), Expires: hour}, "exp must be"},
		{"ends when it begins", Claims{Room: "tea", NotBefore: hour, Expires: hour}, "exp must be"},
		{"year 10000", Claims{Room: "tea", Expires: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, "exp must be"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw, err := keys.Mint(tt.c, now)
			if raw != "" || !errors.Is(err, ErrClaims) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%q, %v", raw, err)
			}
		})
	}
}

// TestLongest: what can be minted can be shown to the hub.
func TestLongest(t *testing.T) {
	k := generate(t, ES256, strings.Repeat("k", maxKID))
	c := Claims{
		ID: strings.Repeat("\x01", maxID), Room: strings.Repeat("r", maxRoom), Name: strings.Repeat("\u2028", maxName), Role: RoleModerator,
		NotBefore: time.Unix(lastSecond-1, 0).UTC(), Expires: time.Unix(lastSecond, 0).UTC(), MaxUses: 1<<31 - 1,
	}
	raw, err := set(t, k).Mint(c, now)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := set(t, k).Verify(raw, c.NotBefore); err != nil || got != c || len(raw) > maxLength {
		t.Errorf("%d bytes: %+v, %v", len(raw), got, err)
	}
}

// FuzzVerify: bytes of strangers are refused with one of the reasons, and never enter.
func FuzzVerify(f *testing.F) {
	var keys []Key
	for _, alg := range []string{HS256, ES256, EdDSA} {
		k := generate(f, alg, alg)
		keys = append(keys, k)
		f.Add(sign(f, generate(f, alg, alg), `{"alg":"`+alg+`","kid":"`+alg+`"}`, fine)) // of a stranger's key
	}
	for _, s := range []string{"", "..", "a.b.c", encode(`{"alg":"none"}`) + "." + encode(fine) + ".", encode(`{"alg":"HS256","kid":"HS256","crit":[]}`) + ".bnVsbA.AAAA"} {
		f.Add(s)
	}
	all := set(f, keys...)
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := all.Verify(raw, now)
		if !reasoned(err) || c != (Claims{}) {
			t.Errorf("%q: %+v, %v", raw, c, err)
		}
	})
}

func reasoned(err error) bool {
	for _, reason := range []error{ErrMalformed, ErrAlgorithm, ErrUnknownKey, ErrSignature, ErrExpired, ErrNotYetValid, ErrClaims} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

// FuzzClaims signs whatever header and claims: those that are let through keep every limit, and read the same in Go's own way of reading JSON.
func FuzzClaims(f *testing.F) {
	k := generate(f, HS256, "k")
	keys := set(f, k)
	for _, payload := range []string{fine, `{}`, `null`, `{"room":"tea","exp":1e99,"nbf":-1,"jti":"","max_uses":1.5,"aud":["maitred"],"role":"moderator","name":"\ud800"}`, `{"room":"a","room":"b"}`} {
		f.Add(`{"alg":"HS256","kid":"k"}`, payload)
	}
	f.Fuzz(func(t *testing.T, header, payload string) {
		c, err := keys.Verify(sign(t, k, header, payload), now)
		if err != nil {
			if !reasoned(err) || c != (Claims{}) {
				t.Fatalf("%+v, %v", c, err)
			}
			return
		}
		var plain map[string]any
		if err := json.Unmarshal([]byte(payload), &plain); err != nil {
			t.Fatal(err)
		}
		if c.check() != nil || c.ID == "" || !now.Before(c.Expires) || c.NotBefore.After(now.Add(leeway)) || plain["room"] != c.Room || c.Name != "" && plain["name"] != c.Name {
			t.Errorf("%s\nwas read as %+v", payload, c)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, alg := range []string{HS256, ES256, EdDSA} {
		keys := set(b, generate(b, alg, "k"))
		raw, err := keys.Mint(Claims{Room: "tea", Name: "Zoë", Expires: now.Add(time.Hour), MaxUses: 1}, now)
		if err != nil {
			b.Fatal(err)
		}
		for _, tt := range []struct {
			name, raw string
			fails     error
		}{{"valid", raw, nil}, {"forged", raw[:strings.LastIndexByte(raw, '.')+1] + encode(make([]byte, 64)), ErrSignature}} {
			b.Run(fmt.Sprintf("%s/%s", alg, tt.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := keys.Verify(tt.raw, now); !errors.Is(err, tt.fails) {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// TestMembers: what is behind, or missing from, an object makes it none.
func TestMembers(t *testing.T) {
	for _, raw := range []string{"", "{", `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{"a" 1}`, `{a:1}`, `{1:1}`, `{}{}`, `{} x`, `{}]`, `[]`, `1`, `"a"`, `null`} {
		if values, err := members([]byte(raw)); !errors.Is(err, ErrMalformed) || values != nil {
			t.Errorf("%q: %v, %v", raw, values, err)
		}
	}
	values, err := members([]byte(` { "a" : [1, 2] , "b":"c" } `))
	if err != nil || len(values) != 2 || string(values["a"]) != "[1, 2]" || string(values["b"]) != `"c"` {
		t.Errorf("%s, %v", values, err)
	}
}
