package interop

import (
	"encoding/csv"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maitred/maitred/test/harness"
)

// TestHAProxy puts the real HAProxy with our file in front of the daemon, which gets its certificate through it (HTTP-01).
func TestHAProxy(t *testing.T) {
	directory, plain, secure, turn, others, own := t.TempDir(), listenFile(t), listenFile(t), listenFile(t), listenFile(t), listenFile(t)
	authority := harness.StartPebble(t, top, plain.port(), secure.port(), 24*time.Hour)
	roots := certificate(t, directory, other)
	// The authority can only come this way: a port of the system's choice is none that the daemon expects it at.
	d := startWithDomain(t, authority, own, "MAITRED_HTTP_LISTEN="+own.address.String(), "MAITRED_HTTPS_LISTEN=127.0.0.1:0")
	_, health, _ := net.SplitHostPort(d.Listening("http"))
	control := filepath.Join(directory, "control")
	pem := write(t, directory, "both.pem", read(t, directory, "fullchain.pem")+read(t, directory, "privkey.pem"))
	conf := write(t, directory, "haproxy.cfg", "global\n stats socket "+control+" level user\n"+deployed(t, "haproxy.cfg", [][2]string{
		{`bind \[::\]:\d+ v6only\n`, "\n"},
		{`bind :80\n`, "bind fd@3\n"},
		{`bind :443\n`, "bind fd@4\n"},
		{`bind :3478\n`, "bind fd@5\n"},
		{`127\.0\.0\.1:8080 `, d.Listening("http") + " "},
		{`127\.0\.0\.1:8443 `, d.Listening("https") + " "},
		{`127\.0\.0\.1:8444 `, others.address.String() + " "},
		{`127\.0\.0\.1:3479 `, d.Listening("turn-tcp") + " "},
		{`check port 8080\n`, "check port " + health + "\n"},
	})+"frontend other_site\n mode http\n timeout client 10s\n bind fd@6 accept-proxy ssl crt "+pem+
		"\n http-request return status 200 content-type text/plain lf-string \"another site for %[src]\"\n")
	run(t, []inherited{plain, secure, turn, others}, nil, "haproxy", "-db", "-f", conf)
	waitForCertificate(t, d, authority, roots)
	p := newProxy(plain, secure, roots)
	p.sharesPort(t, d)
	t.Run("a challenge of others does not arrive", func(t *testing.T) {
		p.get(t, p.url("http", other, "/.well-known/acme-challenge/of-others"))
		p.challengeArrives(t, d)
		if got := requests(d, "/.well-known/acme-challenge/of-others"); len(got) != 0 {
			t.Errorf("the daemon saw %v", got)
		}
	})
	t.Run("plain TURN", func(t *testing.T) {
		conn := connect(t, turn.address.String())
		wantMapped(t, conn, conn.LocalAddr())
		wantAllocation(t, d, conn, conn.LocalAddr())
	})
	t.Run("a PROXY header of the client's own", func(t *testing.T) {
		conn := connect(t, turn.address.String())
		if _, err := io.WriteString(conn, "PROXY TCP4 "+madeUp+" 127.0.0.1 40000 3478\r\n"); err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write(message(bindingRequest)) // the daemon may have hung up
		if answer := readAll(t, conn); answer != "" {
			t.Errorf("answered with %q", answer)
		}
	})
	t.Run("health", func(t *testing.T) {
		harness.Within(t, 10*time.Second, "both servers are ready", func() (bool, any) {
			states := states(t, control)
			return states["maitred"] == "UP 200" && states["maitred_turn"] == "UP 200", states
		})
	})
	t.Run("nobody else is believed", func(t *testing.T) { believesNobody(t, d) })
}

// states are status and status code of the last check of each backend's server.
func states(t *testing.T, control string) map[string]string {
	t.Helper()
	conn, err := net.Dial("unix", control)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "show stat\n"); err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(readAll(t, conn), "# "))).ReadAll()
	if err != nil || len(records) == 0 {
		t.Fatalf("%v: %v", err, records)
	}
	all := map[string]string{}
	for _, record := range records[1:] {
		row := map[string]string{}
		for i, name := range records[0] {
			row[name] = record[i]
		}
		if row["svname"] == "maitred" {
			all[row["pxname"]] = row["status"] + " " + row["check_code"]
		}
	}
	return all
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
