package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/maitred/maitred/docs"
	"github.com/maitred/maitred/test/harness"
)

// TestHello runs docs/hello.html in two tabs that see each other: as it is, on the server's own host, and on a page of another origin with
// the address that its comment speaks of.
func TestHello(t *testing.T) {
	raw, err := docs.Files.ReadFile("hello.html")
	if err != nil {
		t.Fatal(err)
	}
	hello := string(raw)
	if n := strings.Count(hello, "\n"); n > 15 || !strings.HasSuffix(hello, "\n") {
		t.Errorf("hello.html has %d lines: want 15 at most", n)
	}
	b := startBrowser(t, headlessShell)

	t.Run("same host", func(t *testing.T) {
		target, err := url.Parse(harness.Start(t).Page(""))
		if err != nil {
			t.Fatal(err)
		}
		host := httptest.NewServer(serving(hello, &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		}}))
		t.Cleanup(host.Close)
		greet(t, b, host.URL)
	})

	t.Run("another origin", func(t *testing.T) {
		site := httptest.NewUnstartedServer(nil)
		t.Cleanup(site.Close)
		d := harness.Start(t, "MAITRED_SIGNALING_ALLOWED_ORIGINS=http://"+site.Listener.Addr().String())
		page := strings.Replace(hello, "'/sdk/maitred.js'", "'"+d.Page("/sdk/maitred.js")+"'", 1)
		if page == hello {
			t.Fatal("hello.html imports something else than /sdk/maitred.js")
		}
		site.Config.Handler = serving(page, http.NotFoundHandler())
		site.Start()
		greet(t, b, site.URL)
	})
}

// serving answers / with a page and leaves everything else to others.
func serving(page string, others http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			others.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, page) // a browser that has gone needs none
	}
}

// greet opens the page twice, and closes one.
func greet(t *testing.T, b *browser, url string) {
	t.Helper()
	one, two := b.open("one", url), b.open("two", url)
	for _, p := range []*tab{one, two} {
		p.waitFor(20*time.Second, `document.querySelectorAll("video").length === 2 && [...document.querySelectorAll("video")].every((it) => it.videoWidth > 0 && it.currentTime > 0)`)
	}
	one.screenshot("hello")
	two.close()
	one.waitFor(20*time.Second, `document.querySelectorAll("video").length === 1`)
	one.close()
}
