package certificate

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
)

// watchInterval is how often the files are looked at. A look is two system calls, and unlike a file system event it also sees a
// symbolic link that now points elsewhere, which is how certbot and Kubernetes put a new pair in place.
const watchInterval = 2 * time.Second

// maxFile bounds what is read of a file that should be a few kilobytes.
const maxFile = 1 << 20

// files is the source that somebody else renews.
type files struct {
	manager  *Manager
	domain   string
	interval time.Duration

	mu        sync.Mutex // of a Reload during a look
	cert, key string
	seen      [2]fs.FileInfo // the files when they were last read; nil where there was none
	wrong     string         // with what was read then; "": nothing
	told      bool           // that something was wrong
	expiry    reminder
}

func newFiles(m *Manager, c Config) (*files, error) {
	f := &files{manager: m, domain: c.Domain, interval: watchInterval, cert: c.CertFile, key: c.KeyFile}
	f.seen = f.stat()
	loaded, err := loadFiles(f.cert, f.key)
	if err != nil {
		return nil, err
	}
	f.use(loaded)
	return f, nil
}

func (f *files) run(ctx context.Context) {
	tick := time.NewTicker(f.interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f.look()
		case <-ctx.Done():
			return
		}
	}
}

func (f *files) reload(cert, key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cert, f.key = cert, key
	f.seen = f.stat()
	f.read(true)
}

// look reads the files when they have changed. It reads bad ones at every look, since what is wrong may be permissions, whose change
// the files do not show.
func (f *files) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.stat()
	changed := !same(f.seen[0], now[0]) || !same(f.seen[1], now[1])
	f.seen = now
	if changed || f.wrong != "" {
		f.read(false)
	}
	f.remind(time.Now())
}

func (f *files) stat() (info [2]fs.FileInfo) {
	for i, name := range []string{f.cert, f.key} {
		if found, err := os.Stat(name); err == nil {
			info[i] = found
		}
	}
	return info
}

func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// read takes the files over or keeps the old certificate. What is wrong is told at once to who asked for it. To nobody in particular
// it is told one time, when it is still wrong at the next look: a certificate is there a moment before its key.
func (f *files) read(atOnce bool) {
	loaded, err := loadFiles(f.cert, f.key)
	if err == nil {
		err = f.worse(loaded, time.Now())
	}
	if err == nil {
		f.use(loaded)
		return
	}
	lasting := f.wrong == err.Error()
	if !lasting {
		f.wrong, f.told = err.Error(), false
	}
	if !atOnce && (f.told || !lasting) {
		return
	}
	f.told = true
	f.manager.failed(err)
	f.manager.log.Error("the changed certificate files are not taken over, the old certificate stays in use", "error", err)
}

// worse is why clients would refuse next although they accept what is in use.
func (f *files) worse(next *served, now time.Time) error {
	good := func(leaf *x509.Certificate) bool {
		return (expiryOf(leaf, now) != over && expiryOf(leaf, now) != early) && (f.domain == "" || leaf.VerifyHostname(f.domain) == nil)
	}
	if !good(f.manager.current.Load().pair.Leaf) || good(next.pair.Leaf) {
		return nil
	}
	return fmt.Errorf("tls.cert_file: %s has a certificate for %s from %s to %s, which clients would refuse now: put one that is valid into it",
		f.cert, strings.Join(namesOf(next.pair.Leaf), ", "), next.pair.Leaf.NotBefore.Format(time.DateTime), next.pair.Leaf.NotAfter.Format(time.DateTime))
}

func (f *files) use(loaded *served) {
	log, leaf := f.manager.log, loaded.pair.Leaf
	f.wrong, f.told = "", false
	f.manager.publish(loaded)
	log.Info("certificate loaded from its files", loaded.attributes()...)
	if runtime.GOOS != "windows" && f.seen[1] != nil && f.seen[1].Mode().Perm()&0o004 != 0 {
		log.Warn("every user of this machine can read the TLS key: run chmod o-r "+f.key, "tls.key_file", f.key)
	}
	if f.domain != "" && leaf.VerifyHostname(f.domain) != nil {
		log.Warn("the certificate is not for the domain of this server, browsers will refuse it: get one that is, or correct domain",
			"domain", f.domain, "names", namesOf(leaf), "tls.cert_file", f.cert)
	}
	f.expiry = reminder{}
	f.remind(time.Now())
}

// remind says daily what the certificate's dates ask for.
func (f *files) remind(now time.Time) {
	leaf := f.manager.current.Load().pair.Leaf
	state := expiryOf(leaf, now)
	if !f.expiry.due(state, now) {
		return
	}
	level, text := slog.LevelError, "the certificate has expired, clients refuse it: put a renewed one and its key into the files"
	switch state {
	case early:
		text = "the certificate is not valid yet, clients refuse it: check this machine's clock, or put one that is valid into the files"
	case soon:
		level, text = slog.LevelWarn, "the certificate ends soon: renew it and put the new one and its key into the files"
	case verySoon:
		text = "the certificate is about to end: renew it now and put the new one and its key into the files"
	}
	f.manager.log.Log(context.Background(), level, text,
		"tls.cert_file", f.cert, "not_before", leaf.NotBefore, "not_after", leaf.NotAfter, "days_left", daysLeft(leaf, now))
}

// loadFiles reads a pair. Its errors name the configuration's key, the file, what is wrong with it and what to do.
func loadFiles(certFile, keyFile string) (*served, error) {
	certPEM, err := readFile("tls.cert_file", certFile, "the certificate and its chain")
	if err != nil {
		return nil, err
	}
	keyPEM, err := readFile("tls.key_file", keyFile, "the certificate's private key")
	if err != nil {
		return nil, err
	}
	chain, err := certificatesIn(certFile, certPEM)
	if err != nil {
		return nil, err
	}
	if err := keyIn(keyFile, keyPEM); err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err == nil {
		return newServed(pair), nil
	}
	for i := range chain {
		if _, err := tls.X509KeyPair(pem.EncodeToMemory(chain[i]), keyPEM); err == nil {
			return nil, fmt.Errorf("tls.cert_file: in %s the server's own certificate is number %d: it must come first, the certificates of CAs follow",
				certFile, i+1)
		}
	}
	return nil, fmt.Errorf("tls.key_file: the key in %s does not belong to the certificate in %s: put both files of one pair in place",
		keyFile, certFile)
}

func readFile(option, name, what string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case name == "":
		return nil, fmt.Errorf("%s: is not set: tls.cert_file and tls.key_file go together", option)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %s does not exist: put %s there as PEM, or correct the path", option, name, what)
	case err != nil:
		return nil, fmt.Errorf("%s: %w: let the daemon's user enter the directories above it", option, err)
	case info.IsDir():
		return nil, fmt.Errorf("%s: %s is a directory: name the PEM file in it", option, name)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: %s is not a regular file: name a PEM file", option, name)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s: %s has more than %d bytes, so it is not %s: name another file", option, name, maxFile, what)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: let the daemon's user read it", option, err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", option, err)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, fmt.Errorf("%s: %s is empty: put %s there as PEM", option, name, what)
	}
	return data, nil
}

func blocksIn(data []byte) (blocks []*pem.Block) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		blocks = append(blocks, block)
	}
	return blocks
}

// certificatesIn are the certificates in a file, all of which can be read.
func certificatesIn(name string, data []byte) (chain []*pem.Block, err error) {
	other := ""
	for _, block := range blocksIn(data) {
		if block.Type != "CERTIFICATE" {
			other = block.Type
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, fmt.Errorf("tls.cert_file: certificate number %d in %s is damaged (%w): write the file anew", len(chain)+1, name, err)
		}
		chain = append(chain, block)
	}
	switch {
	case len(chain) > 0:
		return chain, nil
	case isKey(other):
		return nil, fmt.Errorf("tls.cert_file: %s holds a private key and no certificate: are tls.cert_file and tls.key_file exchanged?", name)
	case other != "":
		return nil, fmt.Errorf("tls.cert_file: %s holds a %s and no CERTIFICATE: name the file that the CA gave you", name, other)
	}
	return nil, fmt.Errorf("tls.cert_file: %s is not PEM: if it is DER, `openssl x509 -inform der -in %s -out FILE.pem` converts it", name, name)
}

func isKey(blockType string) bool {
	return blockType == "PRIVATE KEY" || len(blockType) > 12 && blockType[len(blockType)-12:] == " PRIVATE KEY"
}

// keyIn checks the first private key in a file, which is the one that counts.
func keyIn(name string, data []byte) error {
	other := ""
	for _, block := range blocksIn(data) {
		if !isKey(block.Type) {
			other = block.Type
			continue
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return fmt.Errorf("tls.key_file: the key in %s is encrypted with a passphrase: `openssl pkey -in %s -out FILE.pem` decrypts it", name, name)
		}
		if _, err := parseKey(block.Bytes); err != nil {
			return fmt.Errorf("tls.key_file: the key in %s is damaged (%w): write the file anew", name, err)
		}
		return nil
	}
	switch other {
	case "":
		return fmt.Errorf("tls.key_file: %s is not PEM: if it is DER, `openssl pkey -inform der -in %s -out FILE.pem` converts it", name, name)
	case "CERTIFICATE":
		return fmt.Errorf("tls.key_file: %s holds a certificate and no private key: are tls.cert_file and tls.key_file exchanged?", name)
	}
	return fmt.Errorf("tls.key_file: %s holds a %s and no private key: name the key's file", name, other)
}

// parseKey knows the three forms that a private key comes in; the first one's error is the one to show.
func parseKey(der []byte) (crypto.PrivateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	return nil, err
}
