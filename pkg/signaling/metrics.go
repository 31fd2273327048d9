package signaling

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what the hub does. The label values are a fixed set, so no client can make it grow.
type metrics struct {
	rooms, members, waiting atomic.Int64
	messages                map[string]prometheus.Counter // by type of client message, or what became of it
	closed                  map[string]prometheus.Counter // by cause.metric
	refused                 *prometheus.CounterVec        // by Code

	collectors []prometheus.Collector
}

// Messages whose type does not count.
const (
	typeInvalid = "invalid"      // answered with bad_message
	typeDropped = "rate_limited" // not looked at
)

func newMetrics() *metrics {
	m := &metrics{messages: make(map[string]prometheus.Counter), closed: make(map[string]prometheus.Counter)}
	messages := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "maitred_signaling_messages_total", Help: "Messages from clients by type.",
	}, []string{"type"})
	closed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "maitred_signaling_closed_total", Help: "Signaling connections that ended, by reason.",
	}, []string{"reason"})
	m.refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "maitred_signaling_errors_total", Help: "Errors that clients were answered with, by code.",
	}, []string{"code"})
	for _, code := range codes {
		m.refused.WithLabelValues(string(code))
	}
	for typ := range clientMessages {
		m.messages[typ] = messages.WithLabelValues(typ)
	}
	for _, typ := range []string{typeInvalid, typeDropped} {
		m.messages[typ] = messages.WithLabelValues(typ)
	}
	for _, reason := range closedReasons {
		m.closed[reason] = closed.WithLabelValues(reason)
	}
	gauge := func(name, help string, v *atomic.Int64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(v.Load()) })
	}
	m.collectors = []prometheus.Collector{
		gauge("maitred_rooms", "Rooms with members.", &m.rooms),
		gauge("maitred_members", "Members of all rooms, those whose connection is lost included.", &m.members),
		gauge("maitred_signaling_waiting", "Clients that wait to be let into a room.", &m.waiting),
		messages, closed, m.refused,
	}
	return m
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.collectors {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.collectors {
		c.Collect(ch)
	}
}
