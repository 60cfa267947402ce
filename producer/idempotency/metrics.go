package idempotency

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Outcomes of a claim.
const (
	outcomeNew      = "new"
	outcomeRepeated = "repeated"
	outcomeConflict = "conflict"
	outcomeBusy     = "busy"
)

// Outcomes of a note.
const (
	noteWritten = "written"
	noteFailed  = "failed"
	noteDropped = "dropped"
	noteRead    = "read"
	noteUnread  = "unreadable"
)

// metrics are what is counted. Its methods do nothing without a registry.
type metrics struct {
	claims *prometheus.CounterVec // by outcome
	waited prometheus.Counter
	notes  *prometheus.CounterVec // by outcome
	loaded prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, t *table) (*metrics, error) {
	if reg == nil {
		return nil, nil
	}
	const namespace, subsystem = "auditstream", "idempotency"
	m := &metrics{
		claims: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "claims_total",
			Help: "Events by what was known about them: new, repeated (accepted before: answered with success, not published), conflict (same key, other content), busy (the same was under way for too long).",
		}, []string{"outcome"}),
		waited: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "waits_total",
			Help: "Times that an event waited for the outcome of the same event in another request.",
		}),
		notes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "notes_total",
			Help: "Notes about accepted events by what became of them: written, failed and dropped (no other process learns of the event), read (of all processes), unreadable.",
		}, []string{"outcome"}),
		loaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "loaded",
			Help: "1 when the notes of the last 24 hours that were there at the start are read.",
		}),
	}
	for _, outcome := range []string{outcomeNew, outcomeRepeated, outcomeConflict, outcomeBusy} {
		m.claims.WithLabelValues(outcome)
	}
	for _, outcome := range []string{noteWritten, noteFailed, noteDropped, noteRead, noteUnread} {
		m.notes.WithLabelValues(outcome)
	}
	for _, c := range []prometheus.Collector{m.claims, m.waited, m.notes, m.loaded, newLooker(t)} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) claimed(outcome string) {
	if m != nil {
		m.claims.WithLabelValues(outcome).Inc()
	}
}

func (m *metrics) waits() {
	if m != nil {
		m.waited.Inc()
	}
}

func (m *metrics) noted(outcome string) {
	if m != nil {
		m.notes.WithLabelValues(outcome).Inc()
	}
}

func (m *metrics) isLoaded() {
	if m != nil {
		m.loaded.Set(1)
	}
}

// looker reads the table when somebody asks.
type looker struct {
	table                              *table
	entries, room, bytes, early, reach *prometheus.Desc
}

func newLooker(t *table) *looker {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("auditstream_idempotency_"+name, help, nil, nil)
	}
	return &looker{
		table:   t,
		entries: desc("entries", "Accepted events that are remembered."),
		room:    desc("entries_max", "Accepted events that fit in the memory."),
		bytes:   desc("bytes", "Memory of the accepted events that are remembered."),
		early:   desc("forgotten_early_total", "Accepted events that were forgotten before their 24 hours were over, because the memory was full."),
		reach:   desc("horizon_seconds", "How long ago an event may have been accepted and is surely remembered; 86400 unless the memory is full. Whether what was before the start is read says auditstream_idempotency_loaded."),
	}
}

// Describe implements prometheus.Collector.
func (l *looker) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{l.entries, l.room, l.bytes, l.early, l.reach} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (l *looker) Collect(ch chan<- prometheus.Metric) {
	f := l.table.look(time.Now())
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	gauge(l.entries, float64(f.entries))
	gauge(l.room, float64(f.room))
	gauge(l.bytes, float64(f.bytes))
	gauge(l.reach, f.reach.Seconds())
	ch <- prometheus.MustNewConstMetric(l.early, prometheus.CounterValue, float64(f.early))
}
