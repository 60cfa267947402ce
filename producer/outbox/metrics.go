package outbox

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the figures of one table. Relays that register with the same registry share
// them. A nil one counts nothing.
type metrics struct {
	published, aside, retried prometheus.Counter
	failures                  prometheus.Counter
	waiting, asideNow, age    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, table string) (*metrics, error) {
	if reg == nil {
		return nil, nil
	}
	const namespace, subsystem = "auditstream", "outbox"
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, append([]string{"table"}, labels...))
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, []string{"table"})
	}
	relayed := counter("events_total", "Events that this relay took from the outbox, by outcome: published, set_aside (cannot be published), retried (failed, and is tried again).", "outcome")
	failures := counter("database_failures_total", "Batches that ended because the database failed; their events are relayed again.")
	waiting := gauge("waiting_events", "Events in the outbox that wait to be published; 1000000 stands for that many or more. Measured every 15 s.")
	asideNow := gauge("set_aside_events", "Events in the outbox that cannot be published and wait for somebody to decide; bounded likewise.")
	age := gauge("oldest_waiting_seconds", "Age of the oldest event that waits.")
	var err error
	relayed, err = registered(reg, relayed, err)
	failures, err = registered(reg, failures, err)
	waiting, err = registered(reg, waiting, err)
	asideNow, err = registered(reg, asideNow, err)
	age, err = registered(reg, age, err)
	if err != nil {
		return nil, err
	}
	return &metrics{
		published: relayed.WithLabelValues(table, "published"),
		aside:     relayed.WithLabelValues(table, "set_aside"),
		retried:   relayed.WithLabelValues(table, "retried"),
		failures:  failures.WithLabelValues(table),
		waiting:   waiting.WithLabelValues(table),
		asideNow:  asideNow.WithLabelValues(table),
		age:       age.WithLabelValues(table),
	}, nil
}

// registered registers c, or returns the one that another relay has registered.
func registered[C prometheus.Collector](reg prometheus.Registerer, c C, before error) (C, error) {
	err := reg.Register(c)
	if there, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if same, ok := there.ExistingCollector.(C); ok {
			return same, before
		}
	}
	return c, errors.Join(before, err)
}

func (m *metrics) relayed(done outcome) {
	if m != nil {
		m.published.Add(float64(len(done.published)))
		m.aside.Add(float64(len(done.aside)))
		m.retried.Add(float64(done.failures))
	}
}

func (m *metrics) failed() {
	if m != nil {
		m.failures.Inc()
	}
}

func (m *metrics) measured(waiting, aside int64, age float64) {
	m.waiting.Set(float64(waiting))
	m.asideNow.Set(float64(aside))
	m.age.Set(age)
}
