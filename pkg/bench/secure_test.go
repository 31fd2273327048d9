package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	dtlsnet "github.com/pion/dtls/v3/pkg/net"
	"github.com/pion/stun"
	"golang.org/x/sync/errgroup"
)

// secureStreams connects a client and a server over TLS on loopback.
func secureStreams(t *testing.T) (client, server *tls.Conn) {
	t.Helper()
	c, s := connectedStreams(t)
	return shakeHands(t, c, s, &Config{}, &tls.Config{Certificates: []tls.Certificate{certificate()}})
}

func shakeHands(t *testing.T, clientSocket, serverSocket net.Conn, c *Config, s *tls.Config) (client, server *tls.Conn) {
	t.Helper()
	server = tls.Server(serverSocket, s)
	var both errgroup.Group
	both.Go(func() error { return server.HandshakeContext(t.Context()) })
	client, err := secureStream(t.Context(), clientSocket, c)
	if err != nil {
		serverSocket.Close()
	}
	if err := errors.Join(err, both.Wait()); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// secureConnections connects a client and a server over DTLS on loopback.
func secureConnections(t *testing.T) (client, server net.Conn) {
	t.Helper()
	a, b, err := connectedPair()
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := dtls.ServerWithOptions(dtlsnet.PacketConnFromConn(b), b.RemoteAddr(), dtls.WithCertificates(certificate()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepted.Close() })
	var both errgroup.Group
	both.Go(func() error { return accepted.HandshakeContext(t.Context()) })
	connected, err := securePackets(t.Context(), a, &Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connected.Close() })
	if err := both.Wait(); err != nil {
		t.Fatal(err)
	}
	return connected, accepted
}

// TestEncryption is what the client offers and no more, and the report names it.
func TestEncryption(t *testing.T) {
	grant := func(m *stun.Message) *stun.Message { return success(m, netip.AddrPort{}, "") }
	for _, tt := range []struct {
		name, transport, version string
		want                     string
	}{
		{"newest TLS", "tls", "", "TLS 1.3, TLS_AES_128_GCM_SHA256, X25519, ECDSA"},
		{"TLS 1.3", "tls", "1.3", "TLS 1.3, TLS_AES_128_GCM_SHA256, X25519, ECDSA"},
		{"TLS 1.2", "tls", "1.2", "TLS 1.2, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, X25519, ECDSA"},
		{"DTLS", "dtls", "", "DTLS 1.2, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, ECDSA"},
		{"TCP", "tcp", "", ""},
		{"UDP", "udp", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := fakeServer(t, tt.transport, grant)
			c.TLSVersion = tt.version
			client, err := dial(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer client.close()
			if err := client.ping(t.Context()); err != nil {
				t.Error(err)
			}
			// Without AES instructions both sides prefer another cipher in TLS 1.3.
			got := strings.Replace(client.encryption(), "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256", 1)
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
			if conn, ok := client.conn.(*tls.Conn); ok && conn.ConnectionState().NegotiatedProtocol != "stun.turn" {
				t.Errorf("negotiated protocol %q", conn.ConnectionState().NegotiatedProtocol)
			}
		})
	}
}

// TestServerName is asked for where there is a name.
func TestServerName(t *testing.T) {
	for name, want := range map[string]string{"turn.example.com": "turn.example.com", "127.0.0.1": "", "": ""} {
		t.Run(name, func(t *testing.T) {
			c, s := connectedStreams(t)
			asked := make(chan string, 1)
			shakeHands(t, c, s, &Config{ServerName: name}, &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
				asked <- hello.ServerName
				made := certificate()
				return &made, nil
			}})
			if got := <-asked; got != want {
				t.Errorf("asked for %q, want %q", got, want)
			}
		})
	}
}

// TestNoHandshake says what is wrong with the server, and that it is the wrong one.
func TestNoHandshake(t *testing.T) {
	old := func(conn net.Conn) {
		_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate()}, MaxVersion: tls.VersionTLS12}).Handshake() // its client says why
	}
	for _, tt := range []struct {
		name, transport string
		serve           func(net.Conn) // nil: nobody listens
		says            string
	}{
		{"another protocol", "tls", func(conn net.Conn) { _, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n") }, "does not speak TLS; is it the port for TLS?"},
		{"silence", "tls", func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, "no answer from 127.0.0.1:"},
		{"an older version", "tls", old, "refuses TLS 1.3 alone; leave out --tls-version"},
		{"the end", "tls", func(net.Conn) {}, "TLS handshake: "},
		{"nobody", "tls", nil, " over tls; does the server run"},
		{"nobody", "dtls", nil, " over dtls; does the server run"},
	} {
		t.Run(tt.name+"/"+tt.transport, func(t *testing.T) {
			l := listen(t, "tcp")
			defer l.Close()
			c := &Config{Server: netip.MustParseAddrPort(l.Addr().String()), Transport: tt.transport, TLSVersion: "1.3", answerWithin: 500 * time.Millisecond}
			var serving errgroup.Group
			if tt.serve == nil {
				l.Close()
			} else {
				serving.Go(func() error {
					conn, err := l.Accept()
					if err == nil {
						tt.serve(conn)
						conn.Close()
					}
					return err
				})
			}
			if client, err := dial(t.Context(), c); err == nil {
				client.close()
				t.Error("connected")
			} else if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v, want %q", err, tt.says)
			}
			if err := serving.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSilentDTLS ends with the patience of the client.
func TestSilentDTLS(t *testing.T) {
	c := fakeServer(t, "udp", func(*stun.Message) *stun.Message { return nil }) // what is no STUN ends it, and its socket stays
	c.Transport, c.answerWithin = "dtls", 300*time.Millisecond
	if _, err := dial(t.Context(), c); err == nil || !strings.Contains(err.Error(), "over dtls within 300ms") {
		t.Error(err)
	}
}

// TestServerEnds is no silent end of a load over DTLS.
func TestServerEnds(t *testing.T) {
	client, server := secureConnections(t)
	ended := make(chan error, 1)
	go func() {
		ended <- newPortableEnd(client, shape{burst: 1, size: 100, framed: true}).receive(newMeter())
	}()
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		if err != io.EOF {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(patience):
		client.Close()
		<-ended
		t.Error("the end of the connection does not end it")
	}
}

// stuck is a connection that takes nothing more once it is told to.
type stuck struct {
	net.Conn
	now    atomic.Bool
	closed chan struct{}
	once   sync.Once
}

func (s *stuck) Write(b []byte) (int, error) {
	if s.now.Load() {
		<-s.closed
		return 0, net.ErrClosed
	}
	return s.Conn.Write(b)
}

func (s *stuck) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Conn.Close()
}

// TestCloseWithin does not wait for a server that does not read: TLS says goodbye first.
func TestCloseWithin(t *testing.T) {
	c, s := connectedStreams(t)
	socket := &stuck{Conn: c, closed: make(chan struct{})}
	conn, _ := shakeHands(t, socket, s, &Config{}, &tls.Config{Certificates: []tls.Certificate{certificate()}})
	socket.now.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		(&client{conn: conn, socket: socket}).closeWithin(ctx)
	}()
	cancel()
	select {
	case <-ended:
	case <-time.After(patience):
		socket.Close()
		<-ended
		t.Error("the end of the context does not end it")
	}
}
