package gateway

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the figures of the gateway. Nil is none.
type metrics struct {
	requests *prometheus.CounterVec   // by route and status class
	took     *prometheus.HistogramVec // by route
	underWay prometheus.Gauge
	events   *prometheus.CounterVec // by outcome
	gone     *prometheus.CounterVec // likewise, of events whose caller did not wait for the answer
	refusals *prometheus.CounterVec // by code
	bytes    *prometheus.CounterVec // by encoding
}

// Outcomes of an event.
const (
	outcomeAccepted  = "accepted"
	outcomeRepeated  = "repeated"
	outcomeRefused   = "refused"
	outcomeFailed    = "failed"
	outcomeUncertain = "uncertain"
)

func outcomes() []string {
	return []string{outcomeAccepted, outcomeRepeated, outcomeRefused, outcomeFailed, outcomeUncertain}
}

// outcome is what became of an item.
func (it *item) outcome() string {
	switch {
	case it.err == nil && it.repeated:
		return outcomeRepeated
	case it.err == nil:
		return outcomeAccepted
	case it.err.Code == CodeUncertain:
		return outcomeUncertain
	case it.err.Status >= http.StatusInternalServerError:
		return outcomeFailed
	}
	return outcomeRefused
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	if reg == nil {
		return nil, nil //nolint:nilnil // there are no figures then
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "auditstream", Subsystem: "gateway", Name: name, Help: help}, labels)
	}
	m := &metrics{
		requests: counter("requests_total", "Requests, by route (empty: none) and class of the answer's status: 2xx, 4xx, 5xx.", "route", "status"),
		events:   counter("events_total", "Events that were sent, by outcome: accepted, repeated (accepted before, not published again), refused (by the caller's mistake, or a rate), failed (not in Kafka), uncertain (perhaps in Kafka).", "outcome"),
		gone:     counter("abandoned_events_total", "Events whose caller has gone before the answer, by outcome; they count among events_total too.", "outcome"),
		refusals: counter("refusals_total", "Requests, and items of batches, that were answered with an error, by its code.", "code"),
		bytes:    counter("received_bytes_total", "Bytes of bodies as they were sent, by Content-Encoding.", "encoding"),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "auditstream", Subsystem: "gateway", Name: "request_seconds", Help: "Time from a request's headers to the end of its answer, by route.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route"}),
		underWay: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "auditstream", Subsystem: "gateway", Name: "requests_under_way", Help: "Requests that are being served; gateway.requests bounds those of routes.",
		}),
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.requests, m.events, m.gone, m.refusals, m.bytes, m.took, m.underWay} {
		errs = append(errs, reg.Register(c))
	}
	for _, outcome := range outcomes() {
		m.events.WithLabelValues(outcome)
		m.gone.WithLabelValues(outcome)
	}
	for _, code := range Codes() {
		m.refusals.WithLabelValues(code)
	}
	return m, errors.Join(errs...)
}

func (m *metrics) begins() {
	if m != nil {
		m.underWay.Inc()
	}
}

func (m *metrics) ends(a *answer, took time.Duration) {
	if m == nil {
		return
	}
	m.underWay.Dec()
	m.requests.WithLabelValues(a.route, strconv.Itoa(a.Status/100)+"xx").Inc()
	if a.route != "" {
		m.took.WithLabelValues(a.route).Observe(took.Seconds())
	}
	if a.err != nil {
		m.refusal(a.err.Code)
	}
}

// refusal counts an error, of a request or of an item of a batch.
func (m *metrics) refusal(code string) {
	if m != nil {
		m.refusals.WithLabelValues(code).Inc()
	}
}

func (m *metrics) received(encoding string, bytes int64) {
	if m != nil {
		m.bytes.WithLabelValues(encoding).Add(float64(bytes))
	}
}

// refused counts events that could not be read.
func (m *metrics) refused(events int) {
	if m != nil {
		m.events.WithLabelValues(outcomeRefused).Add(float64(events))
	}
}

// settled counts items; gone says that their caller has gone.
func (m *metrics) settled(items []*item, gone bool) {
	if m == nil {
		return
	}
	for _, it := range items {
		m.events.WithLabelValues(it.outcome()).Inc()
		if gone {
			m.gone.WithLabelValues(it.outcome()).Inc()
		}
	}
}
