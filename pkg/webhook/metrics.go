package webhook

import "github.com/prometheus/client_golang/prometheus"

var (
	totalDesc = prometheus.NewDesc("maitred_webhooks_total",
		"Events by what became of them: delivered, failed (refused or given up), dropped (the queue was full, or the daemon stopped).", []string{"result"}, nil)
	queuedDesc = prometheus.NewDesc("maitred_webhooks_queued", "Events that wait to be delivered or are under way.", nil, nil)
)

// Describe implements prometheus.Collector.
func (s *Sender) Describe(ch chan<- *prometheus.Desc) {
	ch <- totalDesc
	ch <- queuedDesc
}

// Collect implements prometheus.Collector.
func (s *Sender) Collect(ch chan<- prometheus.Metric) {
	for result, n := range map[string]uint64{"delivered": s.delivered.Load(), "failed": s.failed.Load(), "dropped": s.dropped.Load()} {
		ch <- prometheus.MustNewConstMetric(totalDesc, prometheus.CounterValue, float64(n), result)
	}
	ch <- prometheus.MustNewConstMetric(queuedDesc, prometheus.GaugeValue, float64(s.queue.len()))
}
