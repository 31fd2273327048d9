package certificate

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	selfSignedName     = "maitred self-signed"
	selfSignedValidity = 397 * day // the longest that Apple's systems take
	selfSignedRenewal  = 30 * day  // before the end
	selfSignedInterval = time.Minute

	// maxAddresses keeps the certificate, and so every handshake, small on a machine with very many addresses.
	maxAddresses = 100
)

// selfSigned is the source for a LAN. Its key stays the same as long as the state directory does.
type selfSigned struct {
	manager   *Manager
	directory string
	identity  func() identity
	interval  time.Duration
	told      string // what was wrong last
}

// identity is what the certificate is to be for.
type identity struct {
	names     []string
	addresses []netip.Addr

	// roaming are IPv6 addresses of this machine. Temporary ones (RFC 8981) come and go every day, so that one missing is no reason
	// for another certificate as long as it has one of the same network.
	roaming []netip.Addr
}

func newSelfSigned(m *Manager, c Config) (*selfSigned, error) {
	s := &selfSigned{manager: m, directory: filepath.Join(c.StateDir, "self-signed"), interval: selfSignedInterval,
		identity: func() identity { return machine(c.Domain, c.Addresses) }}
	if err := s.refresh(time.Now()); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *selfSigned) run(ctx context.Context) {
	tick := time.NewTicker(s.interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		err := s.refresh(time.Now())
		if err == nil {
			s.told = ""
			s.manager.fine()
		} else if s.told != err.Error() {
			s.told = err.Error()
			s.manager.failed(err)
			s.manager.log.Error("the self-signed certificate cannot be kept up to date, the old one stays in use", "error", err)
		}
	}
}

// machine is what this machine is called in its network. What the system does not tell is left out.
func machine(domain string, extra []netip.Addr) identity {
	id := identity{names: []string{"localhost"}, addresses: []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}}
	if domain != "" {
		id.names = append(id.names, domain)
	}
	if host, err := os.Hostname(); err == nil {
		id.names = append(id.names, hostNames(host)...)
	}
	for _, a := range extra {
		id.addresses = append(id.addresses, a.Unmap().WithZone(""))
	}
	interfaces, _ := net.InterfaceAddrs()
	for _, a := range interfaces {
		network, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(network.IP)
		ip = ip.Unmap()
		switch {
		case !ok || ip.IsLinkLocalUnicast() || ip.IsMulticast():
		case ip.Is4() || ip.IsLoopback():
			id.addresses = append(id.addresses, ip)
		default:
			id.roaming = append(id.roaming, ip)
		}
	}
	id.bound()
	return id
}

// hostNames are the names under which a LAN may know the host: its own, and the one of multicast DNS (RFC 6762).
func hostNames(host string) []string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	label, _, _ := strings.Cut(host, ".")
	for _, c := range []byte(host) {
		if c != '.' && c != '-' && c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return nil
		}
	}
	if label == "" || host == "localhost" {
		return nil
	}
	return []string{host, label + ".local"}
}

func (id *identity) bound() {
	slices.Sort(id.names)
	id.names = slices.Compact(id.names)
	for _, list := range []*[]netip.Addr{&id.addresses, &id.roaming} {
		// IPv4 first, so that what is left out are IPv6 addresses.
		slices.SortFunc(*list, netip.Addr.Compare)
		*list = slices.Compact(*list)
		*list = (*list)[:min(len(*list), maxAddresses)]
	}
}

// missing is a name or an address that leaf should be for and is not; "" when there is none.
func (id identity) missing(leaf *x509.Certificate) string {
	for _, name := range id.names {
		if !slices.Contains(leaf.DNSNames, name) {
			return name
		}
	}
	for _, a := range id.addresses {
		if !slices.ContainsFunc(leaf.IPAddresses, func(ip net.IP) bool { return ip.Equal(a.AsSlice()) }) {
			return a.String()
		}
	}
	for _, a := range id.roaming {
		network := netip.PrefixFrom(a, 64)
		if !slices.ContainsFunc(leaf.IPAddresses, func(ip net.IP) bool {
			known, ok := netip.AddrFromSlice(ip)
			return ok && network.Contains(known)
		}) {
			return a.String()
		}
	}
	return ""
}

// refresh loads the pair, and makes a certificate when there is none or the one there is will not do.
func (s *selfSigned) refresh(now time.Time) error {
	if err := os.MkdirAll(s.directory, 0o700); err != nil {
		return fmt.Errorf("keep the self-signed certificate: %w: make state_dir a directory that the daemon may write to", err)
	}
	key, err := s.loadKey()
	if err != nil {
		return err
	}
	old, err := s.loadCertificate()
	if err != nil {
		return err
	}
	id := s.identity()
	why := unfit(key, old, id, now)
	if why == "" {
		s.use(key, old, "self-signed certificate loaded")
		return nil
	}
	if key == nil {
		if key, err = s.makeKey(); err != nil {
			return err
		}
	}
	leaf, err := s.makeCertificate(key, id, now)
	if err != nil {
		return err
	}
	s.use(key, leaf, "self-signed certificate made", "because", why)
	if old != nil {
		s.manager.log.Warn("the self-signed certificate has another fingerprint now: browsers that had accepted the old one ask again",
			"old", fingerprint(old), "new", fingerprint(leaf))
	}
	return nil
}

// unfit is why another certificate is needed; "" when it is not.
func unfit(key *ecdsa.PrivateKey, leaf *x509.Certificate, id identity, now time.Time) string {
	switch {
	case key == nil:
		return "there is no key"
	case leaf == nil:
		return "there is no certificate"
	case !key.PublicKey.Equal(leaf.PublicKey):
		return "the certificate is of another key"
	case now.Before(leaf.NotBefore):
		return "the certificate is not valid yet"
	case leaf.NotAfter.Sub(now) < selfSignedRenewal:
		return "the certificate ends soon"
	}
	if missing := id.missing(leaf); missing != "" {
		return "the certificate is not for " + missing
	}
	return ""
}

// use publishes the certificate unless it is in use already.
func (s *selfSigned) use(key *ecdsa.PrivateKey, leaf *x509.Certificate, text string, attributes ...any) {
	if old := s.manager.current.Load(); old != nil && old.pair.Leaf.Equal(leaf) {
		return
	}
	next := newServed(tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf})
	s.manager.publish(next)
	s.manager.log.Info(text, append(next.attributes(), attributes...)...)
}

func (s *selfSigned) keyFile() string  { return filepath.Join(s.directory, "key.pem") }
func (s *selfSigned) certFile() string { return filepath.Join(s.directory, "certificate.pem") }

func (s *selfSigned) loadKey() (*ecdsa.PrivateKey, error) {
	der, err := s.load(s.keyFile(), "PRIVATE KEY")
	if der == nil || err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: remove it and a new key is made: %w", s.keyFile(), err)
	}
	ours, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds a key of another kind than the daemon makes: remove it and a new key is made", s.keyFile())
	}
	return ours, nil
}

func (s *selfSigned) loadCertificate() (*x509.Certificate, error) {
	der, err := s.load(s.certFile(), "CERTIFICATE")
	if der == nil || err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: remove it and a new certificate is made: %w", s.certFile(), err)
	}
	return leaf, nil
}

// load returns what is in a file of ours, nil when there is none.
func (s *selfSigned) load(name, blockType string) ([]byte, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the self-signed certificate: %w: let the daemon's user read it, or remove it and a new one is made", err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != blockType {
		return nil, fmt.Errorf("%s is damaged, it holds no %s: remove it and a new one is made", name, blockType)
	}
	return block.Bytes, nil
}

func (s *selfSigned) makeKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return key, write(s.keyFile(), &pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// makeCertificate makes one that is for this machine alone: it can sign no others.
func (s *selfSigned) makeCertificate(key *ecdsa.PrivateKey, id identity, now time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: selfSignedName},
		NotBefore:    now.Add(-time.Hour), // other clocks may be behind
		NotAfter:     now.Add(selfSignedValidity - time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     id.names,

		BasicConstraintsValid: true,
	}
	for _, a := range slices.Concat(id.addresses, id.roaming) {
		template.IPAddresses = append(template.IPAddresses, a.AsSlice())
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for %v: %w", id.names, err)
	}
	if err := write(s.certFile(), &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// write replaces a file by one that is complete at any time and that the owner alone reads.
func write(name string, block *pem.Block) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("keep the self-signed certificate: %w: let the daemon's user write to state_dir", err)
	}
	defer os.Remove(tmp.Name())
	err = errors.Join(pem.Encode(tmp, block), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("keep the self-signed certificate: %w", err)
	}
	return nil
}
