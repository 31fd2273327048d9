package ingress

import (
	"bufio"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The ways for a TLS connection to come to its server, and the ALPN that its client offers.
var benchWays = []struct {
	name   string
	offers []string
	shared bool
}{
	{"tls", []string{"http/1.1"}, false}, // crypto/tls alone, to compare with
	{"alpn", []string{"http/1.1"}, true},
	{"first byte", nil, true},
}

// conns is the listener of a server that gets its connections from somewhere else.
type conns struct {
	net.Listener
	taken chan net.Conn
	done  chan struct{}
}

func (l *conns) Accept() (net.Conn, error) {
	select {
	case c := <-l.taken:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *conns) Close() error { close(l.done); return nil }

// benchListener gives TLS connections of a port on loopback: those of crypto/tls, or those that were taken in here.
func benchListener(b *testing.B, taken bool) net.Listener {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	config := serverTLS("http/1.1", alpnTURN, alpnSTUN)
	if !taken {
		return tls.NewListener(socket, config)
	}
	out := &conns{Listener: socket, taken: make(chan net.Conn), done: make(chan struct{})}
	l, err := Listen(Config{Key: "https.listen", Inherited: socket, TLS: config, Shared: true, PerIP: 100, Timeout: 10 * time.Second,
		Log: slog.New(slog.DiscardHandler), Serve: func(c *Conn) { out.taken <- c.HTTPConn() }})
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- l.Run(b.Context()) }()
	b.Cleanup(func() {
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	return out
}

// serveHTTP answers every request with 1,000 bytes.
func serveHTTP(b *testing.B, l net.Listener) {
	body := []byte(strings.Repeat("x", 1000))
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	b.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
}

func benchDial(b *testing.B, l net.Listener, offers []string) *tls.Conn {
	c, err := tls.Dial("tcp", l.Addr().String(), clientTLS(offers...))
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func benchRequest(b *testing.B, c net.Conn, r *bufio.Reader) {
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: call.example.com\r\n\r\n"); err != nil {
		b.Fatal(err)
	}
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		b.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, answer.Body); n != 1000 || err != nil {
		b.Fatal(n, err)
	}
	_ = answer.Body.Close()
}

// BenchmarkHTTPRequest is a request on a connection that is there, and one with a connection of its own.
func BenchmarkHTTPRequest(b *testing.B) {
	for _, way := range benchWays {
		b.Run("kept/"+way.name, func(b *testing.B) {
			l := benchListener(b, way.shared)
			serveHTTP(b, l)
			c := benchDial(b, l, way.offers)
			defer c.Close()
			r := bufio.NewReader(c)
			b.ReportAllocs()
			for b.Loop() {
				benchRequest(b, c, r)
			}
		})
	}
	for _, way := range benchWays {
		b.Run("new/"+way.name, func(b *testing.B) {
			l := benchListener(b, way.shared)
			serveHTTP(b, l)
			b.ReportAllocs()
			for b.Loop() {
				c := benchDial(b, l, way.offers)
				benchRequest(b, c, bufio.NewReader(c))
				_ = c.Close()
			}
		})
	}
}

// BenchmarkPacket sends a packet of 1,000 bytes there and back over a connection that is there, as TURN does.
func BenchmarkPacket(b *testing.B) {
	for _, way := range benchWays {
		if way.offers != nil {
			way.offers = []string{alpnTURN}
		}
		b.Run(way.name, func(b *testing.B) {
			l := benchListener(b, way.shared)
			ended := make(chan error, 1)
			go func() {
				c, err := l.Accept()
				if err == nil {
					_, err = io.Copy(c, c)
					_ = c.Close()
				}
				ended <- err
			}()
			c := benchDial(b, l, way.offers)
			packet := make([]byte, 1000)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(packet); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(c, packet); err != nil {
					b.Fatal(err)
				}
			}
			_ = c.Close()
			if err := <-ended; err != nil {
				b.Error(err)
			}
			_ = l.Close()
		})
	}
}
