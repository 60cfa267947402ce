package producer

import (
	"errors"
	"time"

	"github.com/auditstream/auditstream/schema"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the figures of publishing. Clients that register with the same registry share
// them.
type metrics struct {
	events   *prometheus.CounterVec // by outcome
	took     prometheus.Histogram
	buffered prometheus.Gauge
}

// Outcomes of an event.
const (
	outcomeAccepted  = "accepted"
	outcomeRefused   = "refused"
	outcomeTooLarge  = "too_large"
	outcomeFailed    = "failed"
	outcomeUncertain = "uncertain"
)

// newMetrics registers the figures; without a registry there are none.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	if reg == nil {
		return nil, nil
	}
	m := &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "auditstream", Subsystem: "producer", Name: "events_total",
			Help: "Events that were published, by outcome: accepted, refused (not valid), too_large, failed (not in Kafka), uncertain (perhaps in Kafka).",
		}, []string{"outcome"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "auditstream", Subsystem: "producer", Name: "publish_seconds",
			Help:    "Time from the call to the acknowledgement of an event that was accepted.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		buffered: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "auditstream", Subsystem: "producer", Name: "buffered_bytes",
			Help: "Memory of events that Kafka has not acknowledged yet; Config.MaxBufferedBytes bounds it.",
		}),
	}
	var err error
	m.events, err = registered(reg, m.events, err)
	m.took, err = registered(reg, m.took, err)
	m.buffered, err = registered(reg, m.buffered, err)
	if err != nil {
		return nil, err
	}
	for _, outcome := range []string{outcomeAccepted, outcomeRefused, outcomeTooLarge, outcomeFailed, outcomeUncertain} {
		m.events.WithLabelValues(outcome)
	}
	return m, nil
}

// registered registers c, or returns the one that another client has registered.
func registered[C prometheus.Collector](reg prometheus.Registerer, c C, before error) (C, error) {
	err := reg.Register(c)
	if there, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if same, ok := there.ExistingCollector.(C); ok {
			return same, before
		}
	}
	return c, errors.Join(before, err)
}

// counted has finish count the event as well.
func (m *metrics) counted(finish func(error)) func(error) {
	if m == nil {
		return finish
	}
	began := time.Now()
	return func(err error) {
		m.events.WithLabelValues(outcomeOf(err)).Inc()
		if err == nil {
			m.took.Observe(time.Since(began).Seconds())
		}
		finish(err)
	}
}

// holds counts memory that is taken, or given back.
func (m *metrics) holds(bytes int64) {
	if m != nil {
		m.buffered.Add(float64(bytes))
	}
}

func outcomeOf(err error) string {
	_, invalid := errors.AsType[schema.Violations](err)
	_, large := errors.AsType[*TooLargeError](err)
	switch {
	case err == nil:
		return outcomeAccepted
	case invalid:
		return outcomeRefused
	case large:
		return outcomeTooLarge
	case Uncertain(err):
		return outcomeUncertain
	}
	return outcomeFailed
}
