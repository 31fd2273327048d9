package httpd

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestConnectionsPerAddress(t *testing.T) {
	for _, tt := range []struct {
		name    string
		trusted []netip.Prefix
		taken   int
	}{{"counted", nil, 2}, {"trusted proxy", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 4}} {
		t.Run(tt.name, func(t *testing.T) {
			s := run(t, Config{ConnectionsPerIP: 2, TrustedProxies: tt.trusted})
			var open []net.Conn
			taken := 0
			for range 4 {
				c, err := net.Dial("tcp", s.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				open = append(open, c)
				if answers(c) {
					taken++
				}
			}
			if taken != tt.taken {
				t.Fatalf("%d connections were taken, want %d", taken, tt.taken)
			}
			open[0].Close()
			for deadline := time.Now().Add(10 * time.Second); ; {
				c, err := net.Dial("tcp", s.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				ok := answers(c)
				c.Close()
				if ok {
					return
				}
				if time.Now().After(deadline) {
					t.Fatal("a closed connection still counts")
				}
			}
		})
	}
}

// answers asks for /healthz and keeps the connection open.
func answers(c net.Conn) bool {
	_, err := c.Write([]byte("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))
	if err != nil {
		return false
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 1024)
	n, _ := c.Read(b)
	return strings.HasPrefix(string(b[:n]), "HTTP/1.1 200")
}

// TestKeysReplaced takes new keys in while the server runs.
func TestKeysReplaced(t *testing.T) {
	s := run(t, Config{APIKeys: []string{"old"}, ICE: func(string, time.Duration, string) ICEServers { return ICEServers{} }})
	ask := func(key string) int {
		r, err := http.NewRequest(http.MethodPost, "http://"+s.Addr().String()+"/api/v1/ice-servers", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+key)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	if old, next := ask("old"), ask("new"); old != 200 || next != 401 {
		t.Fatalf("before: %d and %d", old, next)
	}
	s.SetSecrets("", []string{"new"})
	if old, next := ask("old"), ask("new"); old != 401 || next != 200 {
		t.Errorf("after: %d and %d", old, next)
	}
	http.DefaultClient.CloseIdleConnections()
}
