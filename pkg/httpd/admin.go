package httpd

import (
	"bytes"
	"encoding/json"
	"html/template"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func (s *Server) adminHandler() http.Handler {
	return s.served("admin", s.adminOnly(explained(muxOf(s.adminRoutes()))))
}

func (s *Server) adminRoutes() []route {
	gatherer := s.cfg.Metrics
	if gatherer == nil {
		gatherer = prometheus.NewRegistry()
	}
	return []route{
		{"GET /{$}", s.statusPage},
		{"GET /status.css", statusStyle},
		{"GET /healthz", healthz},
		{"GET /readyz", s.readyz},
		{"GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{}).ServeHTTP},
		{"GET /debug/pprof/", pprof.Index},
		{"GET /debug/pprof/cmdline", pprof.Cmdline},
		{"GET /debug/pprof/profile", pprof.Profile},
		{"GET /debug/pprof/symbol", pprof.Symbol},
		{"GET /debug/pprof/trace", pprof.Trace},
		{"GET /api/v1/openapi.json", s.document("openapi.json")},
		{"GET /api/v1/rooms", s.listRooms},
		{"GET /api/v1/rooms/{room}", s.showRoom},
		{"DELETE /api/v1/rooms/{room}", s.closeRoom},
		{"DELETE /api/v1/rooms/{room}/members/{id}", s.kick},
		{"POST /api/v1/rooms/{room}/messages", s.message},
		{"POST /api/v1/tokens", s.mintToken},
		{"GET /api/v1/allocations", s.listAllocations},
		{"GET /api/v1/traffic", s.traffic},
	}
}

func (s *Server) listAllocations(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{"allocations": listOf(s.cfg.Allocations)})
}

func (s *Server) traffic(w http.ResponseWriter, _ *http.Request) {
	if s.cfg.Traffic == nil {
		writeJSON(w, struct{}{})
		return
	}
	writeJSON(w, s.cfg.Traffic())
}

// adminOnly lets in who holds the token or sits at this machine, and nobody
// through a web page of some other site.
func (s *Server) adminOnly(next http.Handler) http.Handler {
	csrf := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if csrf.Check(r) != nil || foreignPage(r) {
			writeProblem(w, http.StatusForbidden, "cross_origin", "Pages of other sites may not ask this.")
			return
		}
		token, want := bearer(r), s.secrets.Load().adminToken
		switch {
		case fromThisMachine(r):
		case want == "":
			writeProblem(w, http.StatusForbidden, "no_admin_token",
				"Without admin.token only this machine may ask, by the name localhost or a loopback address and through no proxy.")
			return
		case token == "" || !anyEqual(token, []string{want}):
			unauthorized(w, `Send admin.token in the header "Authorization: Bearer <token>".`)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// foreignPage reports reads on behalf of another site's page: it could not see
// the answer, but it could start profiles. Following a link to the status page
// is fine.
func foreignPage(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return (site == "cross-site" || site == "same-site") && r.URL.Path != "/"
}

// fromThisMachine asks for more than a loopback peer: a page may have pointed
// its own host name at 127.0.0.1 (DNS rebinding), and a proxy on this machine
// speaks for others.
func fromThisMachine(r *http.Request) bool {
	for _, header := range []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via"} {
		if r.Header.Get(header) != "" {
			return false
		}
	}
	host := bareHost(r.Host)
	if host != "localhost" {
		if ip, err := netip.ParseAddr(host); err != nil || !ip.Unmap().IsLoopback() {
			return false
		}
	}
	return parseHop(r.RemoteAddr).IsLoopback()
}

// listOf is what f returns, as JSON; nothing is an empty list, never null.
func listOf(f func() any) json.RawMessage {
	if f != nil {
		if list, err := json.Marshal(f()); err == nil && !bytes.Equal(list, []byte("null")) {
			return list
		}
	}
	return json.RawMessage("[]")
}

var statusTemplate = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="10"><link rel="stylesheet" href="/status.css">
<title>maitred: status</title>
<h1>maitred</h1>
<p>{{if .Problem}}Not ready: {{.Problem}}{{else}}Ready.{{end}} {{.Goroutines}} goroutines.
<a href="/metrics">Metrics</a>, <a href="/api/v1/traffic">traffic</a>, <a href="/debug/pprof/">profiles</a>.</p>
<h2>{{.Rooms.Count}} <a href="/api/v1/rooms">rooms</a></h2>
<pre>{{.Rooms.Text}}</pre>
<h2>{{.Allocations.Count}} <a href="/api/v1/allocations">allocations</a></h2>
<pre>{{.Allocations.Text}}</pre>
</html>
`))

type statusList struct {
	Count int
	Text  string
}

func (s *Server) statusPage(w http.ResponseWriter, r *http.Request) {
	var notReady string
	if s.draining.Load() {
		notReady = "draining"
	} else if err := s.ready.ask(r.Context()); err != nil {
		notReady = err.Error()
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = statusTemplate.Execute(w, map[string]any{
		"Problem":     notReady,
		"Goroutines":  runtime.NumGoroutine(),
		"Rooms":       listForPeople(s.cfg.Rooms),
		"Allocations": listForPeople(s.cfg.Allocations),
	})
}

// listForPeople shows one entry per line.
func listForPeople(f func() any) statusList {
	var entries []json.RawMessage
	if json.Unmarshal(listOf(f), &entries) != nil {
		return statusList{Text: string(listOf(f))}
	}
	return statusList{len(entries), string(bytes.Join(rawBytes(entries), []byte("\n")))}
}

func rawBytes(raw []json.RawMessage) [][]byte {
	lines := make([][]byte, len(raw))
	for i, r := range raw {
		lines[i] = r
	}
	return lines
}

func statusStyle(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", mimeTypes[".css"])
	_, _ = w.Write([]byte("body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}" +
		"pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:13px}\n"))
}
