package certificate

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestBadFiles(t *testing.T) {
	first, second := good("call.example.com"), good("call.example.com")
	root, _ := authority()
	rootPEM := encode("CERTIFICATE", root.Raw)
	decoded, _ := pem.Decode(first.cert)
	keyBlock, _ := pem.Decode(first.key)
	encrypted := encode("ENCRYPTED PRIVATE KEY", keyBlock.Bytes)
	legacy := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte("x")})
	const missing, directory = "missing", "directory"
	for _, test := range []struct {
		name      string
		cert, key any // content, or missing or directory
		want      []string
	}{
		{"no certificate", missing, first.key, []string{"tls.cert_file: ", "cert.pem does not exist", "correct the path"}},
		{"no key", first.cert, missing, []string{"tls.key_file: ", "key.pem does not exist", "correct the path"}},
		{"certificate is a directory", directory, first.key, []string{"tls.cert_file: ", "cert.pem is a directory: name the PEM file in it"}},
		{"key is a directory", first.cert, directory, []string{"tls.key_file: ", "key.pem is a directory"}},
		{"empty certificate", []byte("\n"), first.key, []string{"tls.cert_file: ", "cert.pem is empty"}},
		{"empty key", first.cert, []byte{}, []string{"tls.key_file: ", "key.pem is empty"}},
		{"huge", bytes.Repeat([]byte("x"), maxFile+1), first.key, []string{"tls.cert_file: ", "has more than 1048576 bytes"}},
		{"DER certificate", decoded.Bytes, first.key, []string{"tls.cert_file: ", "is not PEM", "openssl x509 -inform der"}},
		{"DER key", first.cert, keyBlock.Bytes, []string{"tls.key_file: ", "is not PEM", "openssl pkey -inform der"}},
		{"exchanged", first.key, first.cert, []string{"tls.cert_file: ", "holds a private key and no certificate: are tls.cert_file and tls.key_file exchanged?"}},
		{"certificate twice", first.cert, first.cert, []string{"tls.key_file: ", "holds a certificate and no private key"}},
		{"request", encode("CERTIFICATE REQUEST", []byte("x")), first.key, []string{"tls.cert_file: ", "holds a CERTIFICATE REQUEST and no CERTIFICATE"}},
		{"public key", first.cert, encode("PUBLIC KEY", []byte("x")), []string{"tls.key_file: ", "holds a PUBLIC KEY and no private key"}},
		{"encrypted", first.cert, encrypted, []string{"tls.key_file: ", "is encrypted with a passphrase", "openssl pkey -in "}},
		{"encrypted as of old", first.cert, legacy, []string{"tls.key_file: ", "is encrypted with a passphrase"}},
		{"damaged certificate", encode("CERTIFICATE", decoded.Bytes[:50]), first.key, []string{"tls.cert_file: certificate number 1 in ", "is damaged"}},
		{"damaged chain", slices.Concat(first.cert, encode("CERTIFICATE", []byte("x"))), first.key, []string{"tls.cert_file: certificate number 2 in "}},
		{"damaged key", first.cert, encode("PRIVATE KEY", keyBlock.Bytes[:20]), []string{"tls.key_file: the key in ", "is damaged"}},
		{"mismatch", first.cert, second.key, []string{"tls.key_file: the key in ", "does not belong to the certificate in ", "of one pair"}},
		{"chain in the wrong order", slices.Concat(rootPEM, first.cert), first.key, []string{"tls.cert_file: in ", "own certificate is number 2: it must come first"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			names := [2]string{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
			for i, content := range []any{test.cert, test.key} {
				switch content := content.(type) {
				case []byte:
					put(t, names[i], content)
				case string:
					if content == directory {
						if err := os.Mkdir(names[i], 0o700); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			_, err := New(Config{CertFile: names[0], KeyFile: names[1]})
			if err == nil || !has(err.Error(), test.want) {
				t.Errorf("%v\nwant %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), string(first.key)) {
				t.Error("the error holds the key")
			}
		})
	}
}

func TestOneFileIsNotEnough(t *testing.T) {
	cert, key := good("call.example.com").place(t, t.TempDir())
	for option, c := range map[string]Config{"tls.key_file: is not set": {CertFile: cert}, "tls.cert_file: is not set": {KeyFile: key}} {
		if _, err := New(c); err == nil || !strings.HasPrefix(err.Error(), option) {
			t.Errorf("%v, want %q", err, option)
		}
	}
}

func TestGoodFiles(t *testing.T) {
	simple := good("call.example.com")
	root, rootKey := authority()
	rsaKey := newRSA(t)
	template := &x509.Certificate{SerialNumber: root.SerialNumber, DNSNames: []string{"call.example.com"}, NotBefore: root.NotBefore, NotAfter: root.NotAfter}
	rsaDER, err := x509.CreateCertificate(rand.Reader, template, root, rsaKey.Public(), rootKey)
	if err != nil {
		t.Fatal(err)
	}
	rsaCert := encode("CERTIFICATE", rsaDER)
	key, err := tls.X509KeyPair(simple.cert, simple.key)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(key.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name      string
		cert, key []byte
	}{
		{"PKCS #8", simple.cert, simple.key},
		{"with its chain", slices.Concat(simple.cert, encode("CERTIFICATE", root.Raw)), simple.key},
		{"both in both files", slices.Concat(simple.key, simple.cert), slices.Concat(simple.key, simple.cert)},
		{"text around", slices.Concat([]byte("Subject: x\n"), simple.cert, []byte("bye\n")), simple.key},
		{"PKCS #1", rsaCert, encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey))},
		{"SEC 1 with its parameters", simple.cert, slices.Concat(encode("EC PARAMETERS", []byte{6, 0}), encode("EC PRIVATE KEY", sec1))},
	} {
		t.Run(test.name, func(t *testing.T) {
			log, logger := newTranscript()
			cert, key := pair{test.cert, test.key}.place(t, t.TempDir())
			m, err := New(Config{CertFile: cert, KeyFile: key, Domain: "call.example.com", Log: logger})
			if err != nil {
				t.Fatal(err)
			}
			pool := x509.NewCertPool()
			pool.AddCert(root)
			if _, err := handshake(t, m, &tls.Config{ServerName: "call.example.com", RootCAs: pool}); err != nil {
				t.Error(err)
			}
			if status := m.Status(); status.Source != "files" || !slices.Equal(status.Names, []string{"call.example.com"}) || status.Err != nil {
				t.Errorf("%+v", status)
			}
			if worries := append(log.matching("level=WARN"), log.matching("level=ERROR")...); len(worries) != 0 {
				t.Errorf("logged %q", worries)
			}
		})
	}
}

// TestDatesOfFiles starts with certificates whose dates call for something.
func TestDatesOfFiles(t *testing.T) {
	for _, test := range []struct {
		name       string
		begin, end time.Duration
		want       []string
	}{
		{"expired", -90 * day, -day + time.Hour, []string{"level=ERROR", "the certificate has expired", "put a renewed one", "days_left=-1"}},
		{"not yet valid", 2 * day, 90 * day, []string{"level=ERROR", "not valid yet", "this machine's clock"}},
		{"about to end", -88 * day, 2*day + time.Hour, []string{"level=ERROR", "is about to end", "days_left=2"}},
		{"ends soon", -80 * day, 10*day + time.Hour, []string{"level=WARN", "ends soon", "days_left=10"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			log, logger := newTranscript()
			p := issue("call.example.com", test.begin, test.end)
			cert, key := p.place(t, t.TempDir())
			m, err := New(Config{CertFile: cert, KeyFile: key, Log: logger})
			if err != nil {
				t.Fatal(err)
			}
			leaf := m.current.Load().pair.Leaf
			if want := append(test.want, leaf.NotAfter.Format("2006-01-02"), cert); len(log.matching(want...)) != 1 {
				t.Errorf("no line with %q in\n%s", want, log)
			}
			if _, err := handshake(t, m, &tls.Config{InsecureSkipVerify: true}); err != nil {
				t.Errorf("it is not served: %v", err)
			}
			if m.ValidFor("call.example.com") != (test.begin < 0 && test.end > 0) {
				t.Error("ValidFor is wrong about its dates")
			}
			f := m.source.(*files)
			before := log.length()
			f.look()
			if log.length() != before {
				t.Errorf("told again at once:\n%s", log)
			}
			f.remind(time.Now().Add(day))
			if log.length() != before+1 {
				t.Errorf("not told again after a day:\n%s", log)
			}
		})
	}
}

func TestWarningsAboutFiles(t *testing.T) {
	log, logger := newTranscript()
	cert, key := good("other.example.com").place(t, t.TempDir())
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{CertFile: cert, KeyFile: key, Domain: "call.example.com", Log: logger}); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && len(log.matching("level=WARN", "every user of this machine can read the TLS key", "chmod o-r "+key)) != 1 {
		t.Errorf("no warning about the key's mode:\n%s", log)
	}
	if len(log.matching("level=WARN", "not for the domain", "domain=call.example.com", "other.example.com")) != 1 {
		t.Errorf("no warning about the name:\n%s", log)
	}

	log, logger = newTranscript()
	if err := os.Chmod(key, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{CertFile: cert, KeyFile: key, Domain: "OTHER.example.com", Log: logger}); err != nil {
		t.Fatal(err)
	}
	if worries := log.matching("level=WARN"); len(worries) != 0 {
		t.Errorf("a key for its group and another spelling of the name: %q", worries)
	}
}

// watched starts a Manager of files that looks at them often.
func watched(t *testing.T, cert, key string) (*Manager, *transcript) {
	t.Helper()
	log, logger := newTranscript()
	m, err := New(Config{CertFile: cert, KeyFile: key, Log: logger})
	if err != nil {
		t.Fatal(err)
	}
	m.source.(*files).interval = 20 * time.Millisecond
	start(t, m)
	return m, log
}

const loaded = "certificate loaded from its files"

func TestFilesAreReloaded(t *testing.T) {
	directory := t.TempDir()
	cert, key := good("call.example.com").place(t, directory)
	m, log := watched(t, cert, key)
	for name, swap := range map[string]func(p pair){
		"in place": func(p pair) { p.place(t, directory) },
		"renamed": func(p pair) {
			next := filepath.Join(directory, "next")
			if err := os.MkdirAll(next, 0o700); err != nil {
				t.Fatal(err)
			}
			newCert, newKey := p.place(t, next)
			for from, to := range map[string]string{newCert: cert, newKey: key} {
				if err := os.Rename(from, to); err != nil {
					t.Fatal(err)
				}
			}
		},
		"key first": func(p pair) {
			put(t, key, p.key)
			put(t, cert, p.cert)
		},
	} {
		n := log.length()
		p := good("call.example.com")
		swap(p)
		log.wait(t, n, loaded, p.sha256(t))
		if status := m.Status(); status.SHA256 != p.sha256(t) || status.Err != nil {
			t.Errorf("%s: %+v", name, status)
		}
	}
}

// TestBadPairKeepsTheOld replaces a pair with bad ones and then with a good one.
func TestBadPairKeepsTheOld(t *testing.T) {
	directory := t.TempDir()
	old := good("call.example.com")
	cert, key := old.place(t, directory)
	m, log := watched(t, cert, key)
	m.source.(*files).domain = "call.example.com"
	const refused = "the changed certificate files are not taken over"
	for _, test := range []struct {
		name, want string
		spoil      func()
	}{
		{"mismatch", "does not belong to the certificate", func() { put(t, cert, good("call.example.com").cert) }},
		{"expired", time.Now().UTC().Add(-day).Format("to 2006-01-02"), func() { issue("call.example.com", -2*day, -day).place(t, directory) }},
		{"from tomorrow", time.Now().UTC().Add(day).Format("from 2006-01-02"), func() { issue("call.example.com", day, 90*day).place(t, directory) }},
		{"another name", "for other.example.com", func() { good("other.example.com").place(t, directory) }},
		{"empty", "key.pem is empty", func() { put(t, key, nil) }},
		{"gone", "key.pem does not exist", func() {
			if err := os.Remove(key); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		n, failures := log.length(), m.failures.Load()
		test.spoil()
		log.wait(t, n, refused, test.want)
		if status := m.Status(); status.SHA256 != old.sha256(t) || status.Err == nil || !strings.Contains(status.Err.Error(), test.want) {
			t.Errorf("%s: %+v", test.name, status)
		}
		for range 5 {
			m.source.(*files).look() // and what Run does meanwhile
		}
		if got := len(log.matching(refused, test.want)); got != 1 {
			t.Errorf("%s: logged %d times:\n%s", test.name, got, log)
		}
		if got := m.failures.Load() - failures; got != 1 {
			t.Errorf("%s: counted %d times", test.name, got)
		}
	}
	n := log.length()
	next := good("call.example.com")
	next.place(t, directory)
	log.wait(t, n, loaded, next.sha256(t))
	if status := m.Status(); status.Err != nil {
		t.Errorf("after a good pair: %v", status.Err)
	}
}

// TestCertificateBeforeKey sees a pair of which only half is there: nothing is told unless it stays so.
func TestCertificateBeforeKey(t *testing.T) {
	log, logger := newTranscript()
	directory := t.TempDir()
	cert, key := good("call.example.com").place(t, directory)
	m, err := New(Config{CertFile: cert, KeyFile: key, Log: logger})
	if err != nil {
		t.Fatal(err)
	}
	next := good("call.example.com")
	f := m.source.(*files)
	put(t, cert, next.cert)
	f.look()
	put(t, key, next.key)
	f.look()
	if status := m.Status(); status.SHA256 != next.sha256(t) || status.Err != nil || m.failures.Load() != 0 {
		t.Errorf("%+v, %d failures", status, m.failures.Load())
	}
	if worries := log.matching("level=ERROR"); len(worries) != 0 {
		t.Errorf("logged %q", worries)
	}
}

// TestReadableAgain takes the files away and brings the same ones back, with the dates and sizes that they had.
func TestReadableAgain(t *testing.T) {
	outer := t.TempDir()
	directory := filepath.Join(outer, "live")
	if err := os.Mkdir(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	p := good("call.example.com")
	cert, key := p.place(t, directory)
	m, log := watched(t, cert, key)
	n := log.length()
	if err := os.Rename(directory, directory+".away"); err != nil {
		t.Fatal(err)
	}
	log.wait(t, n, "cert.pem does not exist")
	n = log.length()
	if err := os.Rename(directory+".away", directory); err != nil {
		t.Fatal(err)
	}
	log.wait(t, n, loaded)
	if status := m.Status(); status.Err != nil {
		t.Error(status.Err)
	}
}

func TestReload(t *testing.T) {
	log, logger := newTranscript()
	one, two := t.TempDir(), t.TempDir()
	first, second := good("call.example.com"), good("call.example.com")
	cert, key := first.place(t, one)
	m, err := New(Config{CertFile: cert, KeyFile: key, Log: logger})
	if err != nil {
		t.Fatal(err)
	}
	otherCert, otherKey := second.place(t, two)
	m.Reload(otherCert, otherKey)
	if got := m.Status().SHA256; got != second.sha256(t) {
		t.Errorf("other paths: %s", got)
	}
	m.Reload(filepath.Join(one, "no.pem"), key)
	if status := m.Status(); status.SHA256 != second.sha256(t) || status.Err == nil || len(log.matching("level=ERROR", "no.pem does not exist")) != 1 {
		t.Errorf("a path that leads nowhere: %+v\n%s", status, log)
	}
	m.Reload(filepath.Join(one, "no.pem"), key)
	if got := len(log.matching("level=ERROR", "no.pem does not exist")); got != 2 {
		t.Errorf("who asks twice is told %d times", got)
	}
	m.Reload(cert, key)
	if status := m.Status(); status.SHA256 != first.sha256(t) || status.Err != nil {
		t.Errorf("back again: %+v", status)
	}
}

func TestSame(t *testing.T) {
	directory := t.TempDir()
	name := put(t, filepath.Join(directory, "f"), []byte("1"))
	stat := func() fs.FileInfo {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	before := stat()
	if !same(before, stat()) || same(before, nil) || same(nil, before) || !same(nil, nil) {
		t.Error("an untouched file, or none")
	}
	if err := os.Chtimes(name, time.Now(), before.ModTime().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if same(before, stat()) {
		t.Error("another time of modification was not seen")
	}
	before = stat()
	put(t, name, []byte("22"))
	if err := os.Chtimes(name, time.Now(), before.ModTime()); err != nil {
		t.Fatal(err)
	}
	if same(before, stat()) {
		t.Error("another size was not seen")
	}
}
