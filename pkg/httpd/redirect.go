package httpd

import (
	"net"
	"net/http"
	"strconv"
	"strings"
)

// clearHandler is for http.listen. Where there is HTTPS, it leads there, and
// serves only who is encrypted otherwise or needs no encryption.
func (s *Server) clearHandler() http.Handler {
	handler := s.publicHandler()
	if s.secure != nil {
		page := handler
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if s.mayBeClear(r) {
				page.ServeHTTP(w, r)
				return
			}
			s.toHTTPS(w, r)
		})
	}
	if s.cfg.Challenge != nil {
		handler = s.cfg.Challenge(handler)
	}
	return s.served("http", handler)
}

// mayBeClear tells whom the page is served to in clear although there is HTTPS:
// probes, a browser on this machine (to which localhost is a secure origin), and
// trusted proxies that do not say that their own client came in clear.
func (s *Server) mayBeClear(r *http.Request) bool {
	switch {
	case r.URL.Path == "/healthz" || r.URL.Path == "/readyz":
		return true
	case isTrusted(parseHop(r.RemoteAddr), s.cfg.TrustedProxies) && viaProxy(r):
		return Secure(r, s.cfg.TrustedProxies) || forwardedScheme(r.Header) == ""
	}
	return fromThisMachine(r)
}

// viaProxy tells whether a proxy has passed the request on.
func viaProxy(r *http.Request) bool {
	for _, header := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "Forwarded"} {
		if r.Header.Get(header) != "" {
			return true
		}
	}
	return false
}

// strayHandler is for requests in clear to the port where TLS is spoken.
func (s *Server) strayHandler() http.Handler {
	return s.served("https", http.HandlerFunc(s.toHTTPS))
}

// toHTTPS sends a person to the same page over HTTPS. Programs that have sent
// something, or want a WebSocket, are told instead: what they sent was in clear.
func (s *Server) toHTTPS(w http.ResponseWriter, r *http.Request) {
	host := s.cfg.Domain
	if host == "" {
		host = HostName(r.Host)
	}
	if host == "" {
		writeProblem(w, http.StatusBadRequest, "bad_host", "This port speaks HTTPS only, and the Host header names no host to lead you to.")
		return
	}
	base := "https://" + s.secureHost(host)
	if r.Method != http.MethodGet && r.Method != http.MethodHead || r.Header.Get("Upgrade") != "" {
		writeProblem(w, http.StatusForbidden, "https_required",
			"Send this to "+base+". It came in clear: if it held a key or a token, others may have read that.")
		return
	}
	status := http.StatusTemporaryRedirect
	if s.cfg.Domain != "" {
		status = http.StatusPermanentRedirect
	}
	// Nothing but the path and the query is the client's.
	http.Redirect(w, r, base+"/"+strings.TrimLeft(r.URL.RequestURI(), "/"), status)
}

// secureHost adds the port of HTTPS to host where it is not the usual one.
func (s *Server) secureHost(host string) string {
	port := s.cfg.PublicPort
	if port == 0 {
		port = int(s.SecureAddr().Port())
	}
	if port == 443 {
		if strings.Contains(host, ":") {
			return "[" + host + "]"
		}
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}
