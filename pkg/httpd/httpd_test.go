package httpd

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestListenErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	for _, test := range []struct {
		name, want string
		cfg        Config
	}{
		{"page port taken", "http.listen: " + address + " is already in use: stop the other program or set http.listen to another address",
			Config{Listen: address}},
		{"admin port taken", "admin.listen: " + address + " is already in use: stop the other program or set admin.listen to another address",
			Config{Listen: "127.0.0.1:0", AdminListen: address}},
		{"not ours", "http.listen: 192.0.2.1:80 is not an address of this machine; set http.listen to another address",
			Config{Listen: "192.0.2.1:80"}},
		{"nonsense", "http.listen: cannot listen on nonsense", Config{Listen: "nonsense"}},
		{"open admin", "admin.listen: 0.0.0.0:0 can be reached from other machines but admin.token is empty; set admin.token (MAITRED_ADMIN_TOKEN) or listen on 127.0.0.1",
			Config{Listen: "127.0.0.1:0", AdminListen: "0.0.0.0:0"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := New(test.cfg)
			if err == nil {
				s.Close()
				t.Fatal("no error")
			}
			if !strings.HasPrefix(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got  %s\nwant %s", err, test.want)
			}
		})
	}
}

func TestOff(t *testing.T) {
	s := run(t, Config{Listen: "off", AdminListen: "off"})
	if s.Addr().IsValid() || s.AdminAddr().IsValid() {
		t.Errorf("%v %v", s.Addr(), s.AdminAddr())
	}
}

func TestCloseFreesThePort(t *testing.T) {
	s, err := New(Config{Listen: "127.0.0.1:0", AdminListen: "0.0.0.0:0", AdminToken: testToken})
	if err != nil {
		t.Fatal(err)
	}
	address := s.Addr().String()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := New(Config{Listen: address})
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestShutdownLetsRequestsFinish(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s, err := New(Config{Listen: "127.0.0.1:0", Signaling: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = w.Write([]byte("finished"))
	})})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	got := make(chan answer, 1)
	go func() { got <- ask(t, "GET", s.url("/ws"), "") }()
	<-entered
	cancel()
	// The port closes first, the request ends after that.
	for deadline := time.Now().Add(5 * time.Second); ; {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			break
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("still accepting")
		}
	}
	close(release)
	if a := <-got; a.body != "finished" {
		t.Errorf("got %d %q", a.status, a.body)
	}
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

func TestReadyz(t *testing.T) {
	var fail atomic.Bool
	fail.Store(true)
	s := run(t, Config{Ready: func(ctx context.Context) error {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("the check has no deadline")
		}
		if fail.Load() {
			return errors.New("turn.udp: no answer to Allocate")
		}
		return nil
	}})
	got := ask(t, "GET", s.url("/readyz"), "")
	if got.status != 503 || !strings.Contains(got.body, "no answer to Allocate") || !strings.Contains(got.body, "not_ready") {
		t.Errorf("failing: %d %s", got.status, got.body)
	}
	fail.Store(false)
	deadline := time.Now().Add(5 * time.Second)
	for got.status != 200 && time.Now().Before(deadline) {
		got = ask(t, "GET", s.url("/readyz"), "")
	}
	if got.status != 200 {
		t.Errorf("recovered: %d %s", got.status, got.body)
	}
	s.SetDraining()
	if got := ask(t, "GET", s.url("/readyz"), ""); got.status != 503 || !strings.Contains(got.body, "draining") {
		t.Errorf("draining: %d %s", got.status, got.body)
	}
	if got := ask(t, "GET", s.url("/healthz"), ""); got.status != 200 {
		t.Errorf("alive while draining: %d %s", got.status, got.body)
	}
}

func TestReadinessIsShared(t *testing.T) {
	var checks atomic.Int32
	release := make(chan struct{})
	r := &readiness{fresh: time.Hour, check: func(ctx context.Context) error {
		checks.Add(1)
		<-release
		return ctx.Err()
	}}
	gone, cancel := context.WithCancel(context.Background())
	cancel() // the asker that runs the check has left; the others must not notice
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { _ = r.ask(context.Background()) })
	}
	all.Go(func() { _ = r.ask(gone) })
	close(release)
	all.Wait()
	if err := r.ask(context.Background()); err != nil || checks.Load() != 1 {
		t.Errorf("%d checks, answer %v", checks.Load(), err)
	}
}

func TestReadinessSurvivesAPanic(t *testing.T) {
	r := &readiness{fresh: time.Hour, check: func(context.Context) error { panic("x") }}
	func() {
		defer func() { _ = recover() }()
		_ = r.ask(context.Background())
	}()
	if err := r.ask(context.Background()); err == nil {
		t.Error("ready after a panic")
	}
}
