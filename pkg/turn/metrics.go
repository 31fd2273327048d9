package turn

import (
	"strconv"

	"github.com/maitred/maitred/pkg/relay"
	"github.com/pion/stun"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the counters of the control half; those of the data half are read from the relay when they are asked for.
type metrics struct {
	allocations *prometheus.GaugeVec
	requests    *prometheus.CounterVec
}

func newMetrics() metrics {
	m := metrics{
		allocations: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "maitred_turn_allocations", Help: "Allocations alive, by the client's transport."}, []string{"transport"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "maitred_turn_requests_total",
			Help: "TURN requests answered, by method and by error code (0: success)."}, []string{"method", "code"}),
	}
	for t := range relay.Transports {
		m.allocations.WithLabelValues(t.String())
	}
	return m
}

func codeName(c stun.ErrorCode) string { return strconv.Itoa(int(c)) }

// methodName keeps the label's values few, whatever clients send.
func methodName(m stun.Method) string {
	switch m {
	case stun.MethodAllocate:
		return "allocate"
	case stun.MethodRefresh:
		return "refresh"
	case stun.MethodCreatePermission:
		return "create_permission"
	case stun.MethodChannelBind:
		return "channel_bind"
	}
	return "other"
}

var (
	packetsDesc = prometheus.NewDesc("maitred_turn_relayed_packets_total", "Packets relayed, by the path they took.", []string{"path"}, nil)
	bytesDesc   = prometheus.NewDesc("maitred_turn_relayed_bytes_total", "Payload bytes relayed, by the path they took.", []string{"path"}, nil)
	carriedDesc = prometheus.NewDesc("maitred_turn_transport_bytes_total", "Payload bytes relayed on all paths, by the client's transport.", []string{"transport"}, nil)
	droppedDesc = prometheus.NewDesc("maitred_turn_dropped_packets_total", "Packets thrown away, by reason.", []string{"reason"}, nil)
)

// Describe implements prometheus.Collector.
func (s *Server) Describe(ch chan<- *prometheus.Desc) {
	s.metrics.allocations.Describe(ch)
	s.metrics.requests.Describe(ch)
	ch <- packetsDesc
	ch <- bytesDesc
	ch <- carriedDesc
	ch <- droppedDesc
}

// Collect implements prometheus.Collector.
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	s.metrics.allocations.Collect(ch)
	s.metrics.requests.Collect(ch)
	stats := s.relay.Stats()
	for path, c := range map[string]relay.Count{"up": stats.Traffic.Up, "down": stats.Traffic.Down, "short_circuit": stats.Traffic.ShortCircuit} {
		ch <- prometheus.MustNewConstMetric(packetsDesc, prometheus.CounterValue, float64(c.Packets), path)
		ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.CounterValue, float64(c.Bytes), path)
	}
	for transport, t := range s.Usage().Transports {
		ch <- prometheus.MustNewConstMetric(carriedDesc, prometheus.CounterValue, float64(t.Up.Bytes+t.Down.Bytes+t.ShortCircuit.Bytes), relay.Transport(transport).String())
	}
	for reason, n := range stats.Dropped {
		ch <- prometheus.MustNewConstMetric(droppedDesc, prometheus.CounterValue, float64(n), reason.String())
	}
}
