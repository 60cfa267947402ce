package consumer

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/auditstream/auditstream/sinks"
)

// Metrics are delivery's figures. One set serves all groups of a process. Labels are
// bounded: streams by MetricsConfig.MaxStreams, everything else by what the operator
// configures; an organization is never one. docs/metrics.md lists them.
type Metrics struct {
	cfg   MetricsConfig
	shown *shown

	deliveredTotal    *prometheus.CounterVec
	attemptsTotal     *prometheus.CounterVec // by stream and outcome
	retriedTotal      *prometheus.CounterVec
	rejectedTotal     *prometheus.CounterVec
	deadLetteredTotal *prometheus.CounterVec // by stream and reason
	expiredTotal      *prometheus.CounterVec
	filteredTotal     *prometheus.CounterVec
	resentTotal       *prometheus.CounterVec
	notedTotal        *prometheus.CounterVec   // by stream and what
	checkpointsTotal  *prometheus.CounterVec   // by stream, where it was taken, and outcome
	age               *prometheus.HistogramVec // by stream
	requests          *prometheus.HistogramVec // by kind
	commitsTotal      *prometheus.CounterVec   // by kind and outcome
	recordsTotal      *prometheus.CounterVec   // by kind and outcome

	gauges gauges

	mu     sync.Mutex
	groups []*Group // guarded by mu
}

// MetricsConfig is what Metrics need.
type MetricsConfig struct {
	MaxStreams int     // with figures of their own; those above it share the ones of [OtherStreams]
	Budget     *Budget // of the process
	InFlight   *Slots  // of the process; nil: no figures of requests under way
}

// DefaultMaxStreams bounds the figures: each stream with its own has about fifty.
const DefaultMaxStreams = 2000

// Outcomes of an attempt.
const (
	outcomeTaken   = "taken"
	outcomePending = "pending" // taken in, to be confirmed
)

// NewMetrics makes the figures and registers them.
func NewMetrics(reg prometheus.Registerer, cfg MetricsConfig) (*Metrics, error) {
	counter := func(subsystem, name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "auditstream", Subsystem: subsystem, Name: name, Help: help}, labels)
	}
	stream := func(name, help string, labels ...string) *prometheus.CounterVec {
		return counter("stream", name, help, append([]string{"stream"}, labels...)...)
	}
	m := &Metrics{
		cfg: cfg, shown: newShown(cfg.MaxStreams),
		deliveredTotal:    stream("delivered_total", "Events that the destination has durably taken."),
		attemptsTotal:     stream("attempts_total", "Attempts to deliver a batch, by outcome: taken, pending (taken in, to be confirmed), unavailable, rejected, misconfigured.", "outcome"),
		retriedTotal:      stream("retried_total", "Attempts that failed and are made again."),
		rejectedTotal:     stream("rejected_total", "Events that the destination refuses for ever."),
		deadLetteredTotal: stream("dead_lettered_total", "Events whose dead letter is acknowledged, by reason: rejected (by the destination), invalid (no valid event; of the stream _invalid), expiring (Kafka was about to forget them).", "reason"),
		expiredTotal:      stream("expired_total", "Offsets that Kafka's retention took before delivery: lost events."),
		filteredTotal:     stream("filtered_total", "Events that the stream's expression did not let through, each time that they were read."),
		resentTotal:       stream("resent_total", "Events sent again because the destination did not confirm them: they may be there twice."),
		notedTotal:        stream("noted_total", "Delivered events of which the destination's kind notes something: outdated, their time is one that it does not take.", "what"),
		checkpointsTotal:  stream("checkpoints_total", "Signed checkpoints of the stream's feeds, by where they were taken (topic: made, and written to Kafka; feed: to the destination; archive: to integrity.archive; digests: the hourly digests beside the events were made, where the destination has any) and outcome: ok, failed.", "to", "outcome"),
		age: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "auditstream", Subsystem: "stream", Name: "event_age_seconds",
			Help:    "Age of the oldest event of each delivered batch at its acknowledgement, since it was appended to Kafka.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 3600, 86400},
		}, []string{"stream"}),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "auditstream", Subsystem: "delivery", Name: "attempt_duration_seconds",
			Help:    "Time that an attempt to deliver a batch takes at its destination, without the wait for a slot.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"kind"}),
		commitsTotal: counter("delivery", "commits_total", "Rounds of saving progress and committing offsets, by outcome: ok, failed.", "kind", "outcome"),
		recordsTotal: counter("delivery", "progress_records_total", "Records of progress that were written to Kafka, by outcome: ok, failed.", "kind", "outcome"),
		gauges:       newGauges(),
	}
	for _, c := range append(m.vectors(), m.requests, m.commitsTotal, m.recordsTotal, m) {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// vectors are the figures by stream.
func (m *Metrics) vectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.deliveredTotal, m.attemptsTotal, m.retriedTotal, m.rejectedTotal, m.deadLetteredTotal, m.expiredTotal, m.filteredTotal, m.resentTotal, m.notedTotal, m.checkpointsTotal, m.age,
	}
}

// watch adds a group's lanes to what is collected.
func (m *Metrics) watch(g *Group) {
	kind := g.cfg.Kind.Name
	for _, outcome := range []string{"ok", "failed"} {
		m.commitsTotal.WithLabelValues(kind, outcome)
		m.recordsTotal.WithLabelValues(kind, outcome)
	}
	m.deadLetteredTotal.WithLabelValues(invalidUID, classInvalid)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.groups = append(m.groups, g)
}

// unwatch takes them out again.
func (m *Metrics) unwatch(g *Group) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.groups = slices.DeleteFunc(slices.Clone(m.groups), func(have *Group) bool { return have == g })
}

// know makes the counters of streams, so that a rate can be told from a first event.
func (m *Metrics) know(streams []*stream) {
	for _, s := range streams {
		label := m.shown.add(s.spec.ID)
		if s.omitted == nil { // else the stream is in use
			s.omitted = m.filteredTotal.WithLabelValues(label)
		}
		for _, c := range []*prometheus.CounterVec{m.deliveredTotal, m.retriedTotal, m.rejectedTotal, m.expiredTotal, m.resentTotal} {
			c.WithLabelValues(label)
		}
		for _, reason := range []string{classRejected, classExpiring} {
			m.deadLetteredTotal.WithLabelValues(label, reason)
		}
		for _, outcome := range []string{outcomeTaken, sinks.Unavailable.String(), sinks.Rejected.String(), sinks.Misconfigured.String()} {
			m.attemptsTotal.WithLabelValues(label, outcome)
		}
	}
}

// forget drops the figures of a stream that is gone: labels must not grow for ever.
func (m *Metrics) forget(id string) {
	if !m.shown.remove(id) {
		return
	}
	of := prometheus.Labels{"stream": id}
	for _, c := range []*prometheus.CounterVec{m.deliveredTotal, m.attemptsTotal, m.retriedTotal, m.rejectedTotal, m.deadLetteredTotal, m.expiredTotal, m.filteredTotal, m.resentTotal, m.notedTotal, m.checkpointsTotal} {
		c.DeletePartialMatch(of)
	}
	m.age.DeletePartialMatch(of)
}

func (m *Metrics) delivered(stream string, n int, age time.Duration) {
	stream = m.shown.label(stream)
	m.deliveredTotal.WithLabelValues(stream).Add(float64(n))
	m.age.WithLabelValues(stream).Observe(age.Seconds())
}

// attempted counts an attempt. One that a shutdown has cut off is none.
func (m *Metrics) attempted(ctx context.Context, kind, stream string, receipt sinks.Receipt, err error, took time.Duration) {
	outcome := outcomeTaken
	switch {
	case err != nil && ctx.Err() != nil:
		return
	case err != nil:
		outcome = sinks.ClassOf(err).String()
	case receipt.Pending != "":
		outcome = outcomePending
	}
	m.attemptsTotal.WithLabelValues(m.shown.label(stream), outcome).Inc()
	m.requests.WithLabelValues(kind).Observe(took.Seconds())
}

func (m *Metrics) retried(stream string) {
	m.retriedTotal.WithLabelValues(m.shown.label(stream)).Inc()
}

func (m *Metrics) rejected(stream string) {
	m.rejectedTotal.WithLabelValues(m.shown.label(stream)).Inc()
}

func (m *Metrics) deadLettered(stream, reason string, n int) {
	m.deadLetteredTotal.WithLabelValues(m.shown.label(stream), reason).Add(float64(n))
}

func (m *Metrics) expired(stream string, n int64) {
	m.expiredTotal.WithLabelValues(m.shown.label(stream)).Add(float64(n))
}

func (m *Metrics) noted(stream, what string, n int) {
	m.notedTotal.WithLabelValues(m.shown.label(stream), what).Add(float64(n))
}

// checkpoint counts one that was taken somewhere, or could not be.
func (m *Metrics) checkpoint(stream, to string, err error) {
	m.checkpointsTotal.WithLabelValues(m.shown.label(stream), to, outcomeOf(err)).Inc()
}

func (m *Metrics) resent(stream string, n int) {
	m.resentTotal.WithLabelValues(m.shown.label(stream)).Add(float64(n))
}

func (m *Metrics) committed(kind string, err error) {
	m.commitsTotal.WithLabelValues(kind, outcomeOf(err)).Inc()
}

func (m *Metrics) recorded(kind string, err error) {
	m.recordsTotal.WithLabelValues(kind, outcomeOf(err)).Inc()
}

func outcomeOf(err error) string {
	if err != nil {
		return "failed"
	}
	return "ok"
}
