package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/maitred/maitred/test/harness"
)

// TestBlockedWebSocket puts a proxy in between that knows nothing of the
// upgrade: the page says so, and joins once somebody has mended it.
func TestBlockedWebSocket(t *testing.T) {
	d := harness.Start(t)
	target, err := url.Parse(d.Page(""))
	if err != nil {
		t.Fatal(err)
	}
	mended := make(chan struct{})
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
		select {
		case <-mended:
		default:
			r.Out.Header.Del("Upgrade")
			r.Out.Header.Del("Connection")
		}
	}}
	proxy := httptest.NewServer(http.HandlerFunc(forward.ServeHTTP))
	t.Cleanup(proxy.Close)

	ann := startBrowser(t, headlessShell).personAt(proxy.URL, "tea", "Ann", true)
	ann.phase("joining")
	ann.waitFor(15*time.Second, `document.body.innerText.includes("blocks WebSockets")`)
	ann.shows(`a[href="/check"][target=_blank]`, "Check the connection")
	ann.screenshot("join-blocked")
	close(mended)
	ann.phase("call")
}
