package token

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// der encodes a key of the standard library.
func der(t testing.TB, marshal func(any) ([]byte, error), key any, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	b, err := marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseKey(t *testing.T) {
	secret := bytes.Repeat([]byte{0xfb, 0xff, 0x01}, 11) // 33 bytes with + and / in base64, or - and _
	ec := der(t, x509.MarshalPKCS8PrivateKey, parse(t, rfcEC).sign, nil)
	for _, tt := range []struct {
		name, line, shows string
		signs             bool
	}{
		{"URL alphabet", "k:HS256:" + base64.RawURLEncoding.EncodeToString(secret), "k (HS256)", true},
		{"standard alphabet", "k:HS256:" + base64.RawStdEncoding.EncodeToString(secret), "k (HS256)", true},
		{"32 bytes", "k:HS256:" + base64.RawURLEncoding.EncodeToString(secret[:32]), "k (HS256)", true},
		{"URL alphabet, padded", "k:HS256:" + base64.URLEncoding.EncodeToString(secret[:32]), "k (HS256)", true},
		{"standard alphabet, padded", "k:HS256:" + base64.StdEncoding.EncodeToString(secret[:32]), "k (HS256)", true},
		{"kid with everything", "2026-02_a.B:HS256:" + base64.StdEncoding.EncodeToString(secret), "2026-02_a.B (HS256)", true},
		{"longest kid", strings.Repeat("k", 64) + ":HS256:" + base64.StdEncoding.EncodeToString(secret), strings.Repeat("k", 64) + " (HS256)", true},
		{"EC", rfcEC, "k (ES256)", true},
		{"EC, padded", "k:ES256:" + base64.StdEncoding.EncodeToString(ec), "k (ES256)", true},
		{"EC, public", rfcECPublic, "k (ES256)", false},
		{"Ed25519", rfcEdDSA, "k (EdDSA)", true},
		{"Ed25519, public", rfcEdDSAPublic, "k (EdDSA)", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := ParseKey(tt.line)
			if err != nil || k.String() != tt.shows || (k.sign != nil) != tt.signs || k.verify == nil {
				t.Errorf("%v, %v, signs: %v", k, err, k.sign != nil)
			}
		})
	}
}

func TestParseKeyRefuses(t *testing.T) {
	secret := base64.RawURLEncoding.EncodeToString([]byte("a-secret-of-32-bytes-or-of-more-than-that"))
	line := func(alg string, material []byte) string { return "k:" + alg + ":" + encode(material) }
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p384Private, p384Public := der(t, x509.MarshalPKCS8PrivateKey, p384, err), der(t, x509.MarshalPKIXPublicKey, p384.Public(), nil)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	rsaPublic := der(t, x509.MarshalPKIXPublicKey, rsaKey.Public(), err)
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	x25519Private := der(t, x509.MarshalPKCS8PrivateKey, x25519, err)
	ec, ed := parse(t, rfcEC), parse(t, rfcEdDSA)
	ecPublic, ecPrivate := der(t, x509.MarshalPKIXPublicKey, ec.verify, nil), der(t, x509.MarshalPKCS8PrivateKey, ec.sign, nil)
	edPrivate := der(t, x509.MarshalPKCS8PrivateKey, ed.sign, nil)
	sec1, err := x509.MarshalECPrivateKey(ec.sign.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	ecPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: ecPublic})
	notOnCurve := bytes.Clone(ecPublic)
	notOnCurve[len(notOnCurve)-1] ^= 1
	const form, algorithm, base, p256, ed25519Only = "<kid>:<algorithm>:<base64>", "must be HS256, ES256 or EdDSA", "not base64", "curve P-256", "must be an Ed25519 key"
	for _, tt := range []struct{ name, line, says string }{
		{"empty", "", form},
		{"secret alone", secret, form},
		{"two parts", "k:" + secret, form},
		{"no kid", ":HS256:" + secret, form},
		{"long kid", strings.Repeat("k", 65) + ":HS256:" + secret, form},
		{"kid with a blank", "my key:HS256:" + secret, form},
		{"kid beyond ASCII", "schlüssel:HS256:" + secret, form},
		{"blank in front", " k:HS256:" + secret, form},
		{"too long", "k:HS256:" + strings.Repeat("A", maxLine), form},
		{"no algorithm", "k::" + secret, algorithm},
		{"none", "k:none:" + secret, algorithm},
		{"small letters", "k:hs256:" + secret, algorithm},
		{"RS256", line("RS256", rsaPublic), algorithm},
		{"secret in the wrong place", "k:" + secret + ":HS256", algorithm},
		{"secret first", secret + ":HS256:k", base}, // one letter holds less than a byte
		{"not base64", "k:HS256:!!!!" + secret, base},
		{"one part too many", "k:HS256:" + secret + ":x", base},
		{"line break", "k:HS256:" + secret + "\n", base},
		{"line break inside", "k:HS256:" + secret[:8] + "\r\n" + secret[8:], base},
		{"padding that does not belong", "k:HS256:" + encode(bytes.Repeat([]byte("x"), 33)) + "=", base},
		{"padding in the middle", "k:HS256:QQ==" + secret, base},
		{"bits behind the last byte", "k:HS256:" + secret[:len(secret)-1] + "1", base},
		{"no secret", "k:HS256:", "32 bytes at least"},
		{"31 bytes", line("HS256", make([]byte, 31)), "32 bytes at least"},
		{"a public key as a secret", line("HS256", ecPublic), "is a public key"},
		{"PEM as a secret", line("HS256", ecPEM), "a PEM file"},
		{"P-384 as ES256", line("ES256", p384Private), p256},
		{"P-384 as ES256, public", line("ES256", p384Public), p256},
		{"RSA as ES256", line("ES256", rsaPublic), p256},
		{"Ed25519 as ES256", line("ES256", edPrivate), p256},
		{"SEC 1 form", line("ES256", sec1), p256},
		{"PEM as ES256", line("ES256", ecPEM), p256},
		{"point beside the curve", line("ES256", notOnCurve), p256},
		{"truncated", line("ES256", ecPrivate[:len(ecPrivate)-1]), p256},
		{"bytes behind a public key", line("ES256", append(bytes.Clone(ecPublic), 0)), p256},
		{"nothing for ES256", "k:ES256:", p256},
		{"secret for ES256", "k:ES256:" + secret, p256},
		{"EC as EdDSA", line("EdDSA", ecPrivate), ed25519Only},
		{"X25519 as EdDSA", line("EdDSA", x25519Private), ed25519Only},
		{"32 bytes alone as EdDSA", line("EdDSA", ed.publicBytes()), ed25519Only},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := ParseKey(tt.line)
			if err == nil || k != (Key{}) || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("%v, %v; want %q", k, err, tt.says)
			}
			if strings.Contains(err.Error(), secret[:6]) {
				t.Errorf("the secret is in %q", err)
			}
		})
	}
}

func TestNewKeys(t *testing.T) {
	a, b := generate(t, HS256, "a"), generate(t, ES256, "b")
	for _, tt := range []struct {
		name string
		keys []Key
		says string
	}{
		{"none", nil, "no key"},
		{"zero", []Key{a, {}}, "no key"},
		{"the same kid", []Key{a, b, generate(t, EdDSA, "a")}, "same kid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if k, err := NewKeys(tt.keys); err == nil || k != nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v, %v", k, err)
			}
		})
	}
	keys := []Key{a, b}
	all := set(t, keys...)
	keys[0] = b // the set is a copy
	if got := all.String(); got != "a (HS256), b (ES256)" {
		t.Errorf("keys %q", got)
	}
}

func TestParseKeys(t *testing.T) {
	all, err := ParseKeys([]string{rfcSecret, strings.Replace(rfcEC, "k:", "k2:", 1)})
	if err != nil || all.String() != "k (HS256), k2 (ES256)" {
		t.Errorf("%v, %v", all, err)
	}
	_, err = ParseKeys([]string{"k:HS256:", rfcSecret, "x"})
	if err == nil || !strings.HasPrefix(err.Error(), "key 1: the secret of") || !strings.Contains(err.Error(), "\nkey 3: a key is") || strings.Contains(err.Error(), "key 2") {
		t.Errorf("%v", err)
	}
	if all, err := ParseKeys(nil); err == nil || all != nil {
		t.Errorf("no lines: %v, %v", all, err)
	}
}

// TestRotation: tokens of the old key are good as long as it is in the list, and of no use after that.
func TestRotation(t *testing.T) {
	older, newer := generate(t, ES256, "2025"), generate(t, ES256, "2026")
	raw, err := set(t, older).Mint(Claims{Room: "tea", Expires: now.Add(time.Hour)}, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set(t, newer, older).Verify(raw, now); err != nil {
		t.Errorf("with both: %v", err)
	}
	if _, err := set(t, newer).Verify(raw, now); err == nil {
		t.Error("the old key is gone, its token is not")
	}
}

func TestGenerate(t *testing.T) {
	for _, alg := range []string{HS256, ES256, EdDSA} {
		t.Run(alg, func(t *testing.T) {
			line, err := Generate(alg, "")
			if err != nil {
				t.Fatal(err)
			}
			other, err := Generate(alg, "k1")
			if err != nil || !strings.HasPrefix(other, "k1:"+alg+":") {
				t.Errorf("%v: %s", err, other)
			}
			k := parse(t, line)
			if len(k.kid) != 8 || k.method.Alg() != alg || k.sign == nil || line[8:] == other[2:] {
				t.Errorf("made %v", k)
			}
			public, err := PublicLine(line)
			if alg == HS256 {
				if err == nil || public != "" || strings.Contains(err.Error(), line[15:25]) {
					t.Errorf("public half %q, %v", public, err)
				}
				return
			}
			p := parse(t, public)
			again, err := PublicLine(public)
			if p.sign != nil || p.String() != k.String() || err != nil || again != public {
				t.Errorf("public half %v, %v; of itself %q", p, err, again)
			}
		})
	}
	for _, tt := range []struct{ name, alg, kid, says string }{
		{"RS256", "RS256", "k", "must be HS256, ES256 or EdDSA"}, {"none", "none", "k", "must be"}, {"empty", "", "", "must be"},
		{"kid with a colon", HS256, "a:b", "<kid>:"}, {"long kid", HS256, strings.Repeat("k", 65), "<kid>:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if line, err := Generate(tt.alg, tt.kid); err == nil || line != "" || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%q, %v", line, err)
			}
		})
	}
	if public, err := PublicLine("k:ES256:AAAA"); err == nil || public != "" {
		t.Errorf("public half of no key: %q, %v", public, err)
	}
}

// spellings are the ways in which fmt or a person could write these bytes.
func spellings(b []byte) []string {
	b = b[:12]
	list := []string{hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)), encode(b), base64.StdEncoding.EncodeToString(b), string(b)}
	for _, verb := range []string{"%d", "%v", "%x", "% x", "%#v", "%o", "%b", "%q"} {
		list = append(list, strings.Trim(fmt.Sprintf(verb, b), "[]\"{}byte"))
	}
	return list
}

// TestSecretsDoNotShow, however a key is printed or logged.
func TestSecretsDoNotShow(t *testing.T) {
	secret, ec, ed := parse(t, rfcSecret), parse(t, rfcEC), parse(t, rfcEdDSA)
	d, err := ec.sign.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	hidden := map[string][]byte{"HS256": secret.sign.([]byte), "ES256": d, "EdDSA": ed.sign.(ed25519.PrivateKey).Seed()}
	for name, b := range hidden {
		if n := leaks(fmt.Sprint(b), b); n == "" {
			t.Fatalf("this test would not see the %s key in %v", name, b)
		}
	}
	for _, k := range []Key{secret, ec, ed} {
		keys := set(t, k)
		bytes := hidden[k.method.Alg()]
		for _, v := range []any{k, &k, keys, *keys, []Key{k}, map[string]Key{"x": k}, struct{ K Key }{k}, struct{ k Key }{k}, &struct{ k Key }{k},
			struct{ k *Keys }{keys}, struct{ k Keys }{*keys}, []any{k}, struct{ k any }{k}} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%U", "%b", "%o", "%e", "%g", "%08.3f", "%w", "%p", "%T", "%!"} {
				if text := fmt.Sprintf(verb, v); leaks(text, bytes) != "" {
					t.Errorf("%s of %T shows %s", verb, v, text)
				}
			}
			text, err := json.Marshal(v)
			if err == nil && leaks(string(text), bytes) != "" {
				t.Errorf("JSON of %T shows %s", v, text)
			}
			logged := logs(v)
			if leaks(logged, bytes) != "" {
				t.Errorf("the log of %T shows %s", v, logged)
			}
		}
		for _, text := range []string{k.String(), keys.String(), fmt.Sprintf("%v", k), fmt.Sprintf("%+v", &k), fmt.Sprintf("%#v", keys), fmt.Sprintf("%d", k)} {
			if text != "k ("+k.method.Alg()+")" {
				t.Errorf("printed as %q", text)
			}
		}
		if text := logs(k) + logs(keys); strings.Count(text, "k ("+k.method.Alg()+")") != 4 {
			t.Errorf("logged as %s", text)
		}
	}
	if text := fmt.Sprintf("%v %#v %s", Key{}, Key{}, logs(Key{})); strings.Count(text, "no key") != 4 {
		t.Errorf("the zero Key is printed as %q", text)
	}
}

func leaks(text string, secret []byte) string {
	for _, s := range spellings(secret) {
		if strings.Contains(text, s) {
			return s
		}
	}
	return ""
}

// logs is v in both forms of the log.
func logs(v any) string {
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", v)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", v)
	return out.String()
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"", "::", "k:HS256:", rfcSecret, rfcEC, rfcECPublic, rfcEdDSA, rfcEdDSAPublic, "k:HS256:QQ==\n", "k:none:AAAA"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParseKey(s)
		if err != nil {
			if k != (Key{}) || len(err.Error()) > 200 || len(s) > 20 && strings.Contains(err.Error(), s) {
				t.Errorf("%v, %v", k, err)
			}
			return
		}
		keys := set(t, k)
		if k.sign == nil {
			return
		}
		raw, err := keys.Mint(Claims{Room: "tea", Expires: now.Add(time.Hour)}, now)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := keys.Verify(raw, now); err != nil {
			t.Errorf("the key does not verify what it signs: %v", err)
		}
	})
}
