package ingress

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// What becomes of a connection where TLS is spoken.
const (
	resultHTTP          = "http"
	resultTURN          = "turn"
	resultACME          = "acme"
	resultClear         = "clear_http"
	resultNotTLS        = "not_tls"
	resultTimeout       = "timeout"
	resultNoCertificate = "no_certificate"
	resultProxy         = "bad_proxy_header"
	resultFailed        = "failed"
)

// Metrics counts for all listeners together.
type Metrics struct{ handshakes *prometheus.CounterVec }

// NewMetrics returns counters at zero.
func NewMetrics() *Metrics {
	m := &Metrics{prometheus.NewCounterVec(prometheus.CounterOpts{Name: "maitred_tls_handshakes_total",
		Help: "Connections to the TLS listeners, by what they turned out to be or why they ended."}, []string{"result"})}
	for _, r := range []string{resultHTTP, resultTURN, resultACME, resultClear, resultNotTLS, resultTimeout, resultNoCertificate, resultProxy, resultFailed} {
		m.handshakes.WithLabelValues(r)
	}
	return m
}

func (m *Metrics) count(result string) { m.handshakes.WithLabelValues(result).Inc() }

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) { m.handshakes.Describe(ch) }

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) { m.handshakes.Collect(ch) }

func resultOf(err error) string {
	switch {
	case errors.Is(err, errNotTLS):
		return resultNotTLS
	case errors.Is(err, errSilent):
		return resultTimeout
	case errors.Is(err, errNoCertificate):
		return resultNoCertificate
	case errors.Is(err, errBadProxyHeader):
		return resultProxy
	}
	return resultFailed
}

func resultOfProtocol(p Protocol) string {
	if p == TURN {
		return resultTURN
	}
	return resultHTTP
}
