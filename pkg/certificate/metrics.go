package certificate

import "github.com/prometheus/client_golang/prometheus"

var (
	expiresDesc = prometheus.NewDesc("maitred_tls_certificate_expires_seconds",
		"When the certificate in use ends, in seconds since 1970; absent while there is none.", nil, nil)
	failuresDesc = prometheus.NewDesc("maitred_tls_certificate_failures_total",
		"Attempts to load, obtain or renew the certificate that failed.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m *Manager) Describe(ch chan<- *prometheus.Desc) {
	ch <- expiresDesc
	ch <- failuresDesc
}

// Collect implements prometheus.Collector.
func (m *Manager) Collect(ch chan<- prometheus.Metric) {
	if s := m.current.Load(); s != nil {
		ch <- prometheus.MustNewConstMetric(expiresDesc, prometheus.GaugeValue, float64(s.pair.Leaf.NotAfter.Unix()))
	}
	ch <- prometheus.MustNewConstMetric(failuresDesc, prometheus.CounterValue, float64(m.failures.Load()))
}
