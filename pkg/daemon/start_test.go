package daemon

import (
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// listenerKeys are the keys that name an address, with their network.
var listenerKeys = []struct{ key, network string }{{"http.listen", "tcp"}, {"admin.listen", "tcp"}, {"turn.udp", "udp"}, {"turn.tcp", "tcp"}}

// apart is a loopback address that other programs have no ports on, where there is one: a port that the test frees stays free.
var apart = map[bool]string{true: "127.0.0.77", false: "127.0.0.1"}[runtime.GOOS == "linux"]

// occupy opens a listener and returns its address.
func occupy(t *testing.T, network, address string) (string, io.Closer) {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket("udp", address)
		if err != nil {
			t.Fatal(err)
		}
		return c.LocalAddr().String(), c
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l.Addr().String(), l
}

// TestPortInUse names the key and the address, and leaves nothing open.
func TestPortInUse(t *testing.T) {
	for _, tt := range listenerKeys {
		t.Run(tt.key, func(t *testing.T) {
			var settings []string
			free := map[string]string{} // addresses of the other listeners
			for _, l := range listenerKeys {
				address, c := occupy(t, l.network, net.JoinHostPort(apart, "0"))
				settings = append(settings, l.key, address)
				if l.key == tt.key {
					t.Cleanup(func() { c.Close() })
					continue
				}
				c.Close()
				free[address] = l.network
			}
			_, err := New(load(t, settings...), Build{}, quiet)
			if err == nil {
				t.Fatal("a second listener was opened")
			}
			address := settings[2*indexOf(tt.key)+1]
			if text := err.Error(); !strings.HasPrefix(text, tt.key+": "+address) || !strings.Contains(text, "in use") || strings.Contains(text, "\n") {
				t.Errorf("error %q", text)
			}
			for address, network := range free {
				_, c := occupy(t, network, address)
				c.Close()
			}
		})
	}
}

func indexOf(key string) int {
	for i, l := range listenerKeys {
		if l.key == key {
			return i
		}
	}
	panic(key)
}

func TestAddressOfAnotherMachine(t *testing.T) {
	for _, tt := range listenerKeys {
		t.Run(tt.key, func(t *testing.T) {
			_, err := New(load(t, tt.key, "192.0.2.1:9999", "admin.token", "0123456789abcdef"), Build{}, quiet)
			if err == nil || !strings.HasPrefix(err.Error(), tt.key+": ") || !strings.Contains(err.Error(), "192.0.2.1:9999") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestStateDir is where the secret comes from when none is configured.
func TestStateDir(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, dir string }{{"a file", file}, {"below a file", filepath.Join(file, "maitred")}} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(load(t, "state_dir", tt.dir), Build{}, quiet)
			if err == nil || !strings.HasPrefix(err.Error(), "state_dir: ") || !strings.Contains(err.Error(), file) {
				t.Errorf("error %v", err)
			}
			start(t, "state_dir", tt.dir, "turn.secrets", "0123456789abcdef") // needs no state
		})
	}
}

// TestSecretIsKept makes two authorities of one state directory that take each other's credentials.
func TestSecretIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	a, err := NewAuthority(load(t, "state_dir", dir))
	if err != nil {
		t.Fatal(err)
	}
	c := a.Mint("ann", 60e9)
	r := start(t, "state_dir", dir)
	_, turn := r.urls("")
	hold(t, turn, c.Username, c.Password)
}
