package certificate

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// challengePath is where a CA asks over HTTP (RFC 8555 section 8.3).
const challengePath = "/.well-known/acme-challenge/"

// challenges are the answers that the CA may ask for at the moment: one for each order under way.
type challenges struct {
	mu   sync.RWMutex
	http map[string]string           // key authorization, by token
	tls  map[string]*tls.Certificate // by host name
}

func (c *challenges) authorization(token string) (string, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	answer, ok := c.http[token]
	return answer, ok
}

func (c *challenges) certificate(host string) (*tls.Certificate, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if answer := c.tls[strings.ToLower(host)]; answer != nil {
		return answer, nil
	}
	return nil, fmt.Errorf("no order that would be validated by TLS-ALPN-01 is under way for %q", host)
}

// ChallengeHandler answers a CA that validates by HTTP-01 and passes everything else to next. It belongs on port 80.
func (m *Manager) ChallengeHandler(next http.Handler) http.Handler {
	if m.acme == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.URL.Path, challengePath)
		if ok && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			if answer, ok := m.acme.challenges.authorization(token); ok {
				w.Header().Set("Content-Type", "application/octet-stream")
				w.Header().Set("X-Content-Type-Options", "nosniff")
				_, _ = io.WriteString(w, answer) // a CA that has gone away asks again
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// httpSolver has HTTP-01 challenges answered by our own handler.
type httpSolver struct{ challenges *challenges }

// Present implements acmez.Solver.
func (s httpSolver) Present(_ context.Context, c acme.Challenge) error {
	s.challenges.mu.Lock()
	defer s.challenges.mu.Unlock()
	if s.challenges.http == nil {
		s.challenges.http = map[string]string{}
	}
	s.challenges.http[c.Token] = c.KeyAuthorization
	return nil
}

// CleanUp implements acmez.Solver.
func (s httpSolver) CleanUp(_ context.Context, c acme.Challenge) error {
	s.challenges.mu.Lock()
	defer s.challenges.mu.Unlock()
	delete(s.challenges.http, c.Token)
	return nil
}

// tlsSolver has TLS-ALPN-01 challenges answered by our own listeners (RFC 8737).
type tlsSolver struct{ challenges *challenges }

// Present implements acmez.Solver.
func (s tlsSolver) Present(_ context.Context, c acme.Challenge) error {
	answer, err := acmez.TLSALPN01ChallengeCert(c)
	if err != nil {
		return fmt.Errorf("answer TLS-ALPN-01: %w", err)
	}
	s.challenges.mu.Lock()
	defer s.challenges.mu.Unlock()
	if s.challenges.tls == nil {
		s.challenges.tls = map[string]*tls.Certificate{}
	}
	s.challenges.tls[strings.ToLower(c.Identifier.Value)] = answer
	return nil
}

// CleanUp implements acmez.Solver.
func (s tlsSolver) CleanUp(_ context.Context, c acme.Challenge) error {
	s.challenges.mu.Lock()
	defer s.challenges.mu.Unlock()
	delete(s.challenges.tls, strings.ToLower(c.Identifier.Value))
	return nil
}
