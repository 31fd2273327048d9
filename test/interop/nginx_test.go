package interop

import (
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maitred/maitred/test/harness"
)

// TestNginx puts the real nginx with our site file in front of the daemon.
func TestNginx(t *testing.T) {
	d := harness.Start(t, "MAITRED_HTTP_TRUSTED_PROXIES=127.0.0.1/32", "MAITRED_API_KEYS=key-that-came-through-a-proxy")
	directory, plain, secure := t.TempDir(), listenFile(t), listenFile(t)
	roots := certificate(t, directory, site)
	startNginx(t, directory, []inherited{plain, secure}, "", deployed(t, "nginx.conf", [][2]string{
		{`listen \[::\]:\d+( ssl http2)?;`, ""},
		{`listen 80;`, "listen " + plain.address.String() + ";"},
		{`listen 443 ssl http2;`, "listen " + secure.address.String() + " ssl http2;"},
		{`server 127\.0\.0\.1:8080;`, "server " + d.Listening("http") + ";"},
		{`/etc/letsencrypt/live/` + regexp.QuoteMeta(site), directory},
		{`/var/log/nginx`, directory},
	}))
	p := newProxy(plain, secure, roots)

	t.Run("page", p.page)
	t.Run("redirect", p.redirect)
	t.Run("HTTP/2", func(t *testing.T) {
		transport := p.client.Transport.(*http.Transport).Clone()
		transport.ForceAttemptHTTP2 = true
		// The daemon draws the name that it was asked by.
		response, body := get(t, &http.Client{Transport: transport, Timeout: 10 * time.Second}, p.url("https", site, "/r/tea/qr.svg"))
		if response.ProtoMajor != 2 || response.StatusCode != http.StatusOK {
			t.Errorf("%s %s: %s", response.Proto, response.Status, body)
		}
	})
	t.Run("join", func(t *testing.T) { p.join(t, "turn:"+site+":") })
	t.Run("what nginx saw counts", func(t *testing.T) {
		p.get(t, p.url("https", site, "/healthz"))
		wantRequest(t, d, "/healthz", "http", self.String(), true)
	})
	lies := []string{"X-Forwarded-For: " + madeUp, "X-Forwarded-Proto: http", "Forwarded: for=" + madeUp + ";proto=http"}
	t.Run("what a client says of itself does not", func(t *testing.T) {
		p.get(t, p.url("https", site, "/through"), lies...)
		wantRequest(t, d, "/through", "http", self.String(), true)
		p.get(t, p.url("https", site, "/standard"), lies[2])
		wantRequest(t, d, "/standard", "http", self.String(), true)
	})
	t.Run("nor past nginx", func(t *testing.T) {
		past := newProxy(inherited{address: tcpAddress(t, d.Listening("http"))}, secure, roots)
		past.get(t, past.url("http", site, "/past"), "X-Forwarded-For: "+madeUp, "X-Forwarded-Proto: https", "Forwarded: for="+madeUp+";proto=https")
		wantRequest(t, d, "/past", "http", self.String(), false)
	})
	t.Run("nothing secret in the log", func(t *testing.T) {
		p.get(t, p.url("https", site, "/r/secret-room"))
		p.get(t, p.url("https", site, "/turn?service=turn&key=key-that-came-through-a-proxy"))
		logs := func() string { return read(t, directory, "maitred.log") + read(t, directory, "maitred-error.log") }
		harness.Within(t, 5*time.Second, "nginx logs", func() (bool, any) {
			text := logs()
			return strings.Contains(text, `"GET /turn"`), text
		})
		if text := logs(); strings.Contains(text, "secret-room") || strings.Contains(text, "key-that-came-through-a-proxy") {
			t.Errorf("logged:\n%s", text)
		}
	})
}

// TestNginxStream has nginx share its port 443 between a site of its own and the daemon, which gets its certificate through it (TLS-ALPN-01).
func TestNginxStream(t *testing.T) {
	directory, plain, secure, others, own := t.TempDir(), listenFile(t), listenFile(t), listenFile(t), listenFile(t)
	authority := harness.StartPebble(t, top, plain.port(), secure.port(), 24*time.Hour)
	roots := certificate(t, directory, other)
	// The authority can only come this way: a port of the system's choice is none that the daemon expects it at.
	d := startWithDomain(t, authority, own, "MAITRED_HTTPS_LISTEN="+own.address.String(), "MAITRED_HTTP_LISTEN=127.0.0.1:0")
	stream := deployed(t, "nginx-stream.conf", [][2]string{
		{`listen \[::\]:443;`, ""},
		{`listen 443;`, "listen " + secure.address.String() + ";"},
		{`server 127\.0\.0\.1:8443;`, "server " + d.Listening("https") + ";"},
		{`server 127\.0\.0\.1:8444;`, "server " + others.address.String() + ";"},
	})
	startNginx(t, directory, []inherited{plain, secure, others}, "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n"+stream,
		deployed(t, "nginx-stream-http.conf", [][2]string{
			{`listen \[::\]:80;`, ""},
			{`listen 80;`, "listen " + plain.address.String() + ";"},
			{`proxy_pass http://127\.0\.0\.1:8080;`, "proxy_pass http://" + d.Listening("http") + ";"},
			{`/var/log/nginx`, directory},
		})+"server {\nlisten "+others.address.String()+" ssl proxy_protocol;\nssl_certificate fullchain.pem;\nssl_certificate_key privkey.pem;\n"+
			"return 200 \"another site for $remote_addr\";\n}\n")
	waitForCertificate(t, d, authority, roots)
	p := newProxy(plain, secure, roots)
	p.sharesPort(t, d)
	t.Run("HTTP-01 would arrive", func(t *testing.T) { p.challengeArrives(t, d) })
	t.Run("nobody else is believed", func(t *testing.T) { believesNobody(t, d) })
}

// startNginx runs nginx with what a distribution's nginx.conf has around a site, and outside of it.
func startNginx(t *testing.T, directory string, sockets []inherited, outside, sites string) {
	t.Helper()
	conf := "pid nginx.pid;\n" + outside + "events {}\nhttp {\n"
	if os.Geteuid() == 0 {
		// A worker of lesser rights could not enter the test's directory.
		conf = "user root;\n" + conf
	}
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "scgi", "uwsgi"} {
		conf += kind + "_temp_path temp_" + kind + ";\n"
	}
	write(t, directory, "nginx.conf", conf+sites+"}\n")
	// nginx takes over listeners that a previous one hands it, which saves us
	// from guessing free ports.
	variable := "NGINX="
	for i := range sockets {
		variable += strconv.Itoa(3+i) + ";"
	}
	run(t, sockets, []string{variable}, "nginx", "-p", directory, "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off;")
}
