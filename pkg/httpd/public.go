package httpd

import (
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// The page may load what it brings along and talk to where it came from,
// nothing else. connect-src 'self' covers the WebSocket too: CSP level 3 lets
// 'self' match ws: and wss: of the same host (Safari since 15.4).
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self'; manifest-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

const permissionsPolicy = "camera=(self), microphone=(self), display-capture=(self), " +
	"geolocation=(), payment=(), usb=(), serial=(), hid=(), midi=()"

// transportSecurity has browsers come by HTTPS only, for two years (RFC 6797).
const transportSecurity = "max-age=63072000"

// publicHandler is the page and what belongs to it; served adds the log and
// the headers of every answer.
func (s *Server) publicHandler() http.Handler {
	return s.onlyHTTPS(explained(muxOf(s.publicRoutes())))
}

func (s *Server) publicRoutes() []route {
	routes := []route{
		{"GET /{$}", s.site.page("index.html")},
		{"GET /r/{room}", s.site.page("call.html")},
		{"GET /r/{room}/qr.svg", s.roomQR},
		{"GET /check", s.site.page("check.html")},
		{"GET /assets/{path...}", s.site.asset},
		{"GET /sdk/{path...}", s.site.sdk},
		{"POST /api/v1/ice-servers", s.iceServers},
		{"POST /api/v1/check", s.startCheck},
		{"GET /api/v1/check/{id}", s.check},
		{"DELETE /api/v1/check/{id}", s.endCheck},
		{"GET /api/v1/openapi.json", s.document("openapi.json")},
		{"GET /api/v1/protocol.schema.json", s.document("protocol.schema.json")},
		{"GET /api/v1/protocol.md", s.document("protocol.md")},
		{"GET /turn", s.turnREST},
		{"GET /healthz", healthz},
		{"GET /readyz", s.readyz},
	}
	if s.cfg.Signaling != nil {
		routes = append(routes, route{"GET /ws", s.cfg.Signaling.ServeHTTP})
	}
	return routes
}

func (s *Server) served(service string, h http.Handler) http.Handler {
	return s.accessLog(service, secured(h))
}

// onlyHTTPS says so to browsers, where the domain has a certificate that they
// accept.
func (s *Server) onlyHTTPS(next http.Handler) http.Handler {
	if s.cfg.Domain == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if Secure(r, s.cfg.TrustedProxies) {
			w.Header().Set("Strict-Transport-Security", transportSecurity)
		}
		next.ServeHTTP(w, r)
	})
}

// secured puts the headers on every answer, errors and pages alike.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentSecurityPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Permissions-Policy", permissionsPolicy)
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		// Right for credentials and states; files say otherwise.
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// accessLog tells developers about requests. Never the query string, which
// may hold a key, and never a room's name, which is all it takes to enter.
func (s *Server) accessLog(service string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.log.Enabled(r.Context(), slog.LevelDebug) {
			next.ServeHTTP(w, r)
			return
		}
		begin := time.Now()
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(seen, r)
		path := r.URL.Path
		if strings.Contains(r.Pattern, "{room}") {
			path = r.Pattern
		} else if strings.HasPrefix(path, "/r/") {
			path = "/r/…"
		}
		s.log.Debug("request", "service", service, "method", r.Method, "path", path, "status", seen.status,
			"client", ClientIP(r, s.cfg.TrustedProxies).String(), "secure", Secure(r, s.cfg.TrustedProxies), "took", time.Since(begin))
	})
}

// statusWriter remembers the status. Unwrap keeps hijacking possible.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
