package spool

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Outcomes of events.
const (
	outcomeSpooled = "spooled"
	outcomeDrained = "drained"
	outcomeRetried = "retried"
	outcomeRefused = "refused"
	outcomeFailed  = "failed"
	outcomeLost    = "lost"
)

// metrics are what is counted. Its methods do nothing without a registry.
type metrics struct {
	events  *prometheus.CounterVec // by outcome
	damaged prometheus.Counter
	sync    prometheus.Histogram
	failed  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	if reg == nil {
		return nil, nil
	}
	const namespace, subsystem = "auditstream", "spool"
	m := &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "events_total",
			Help: "Events by what became of them: spooled (on disk), drained (in Kafka), retried (times that Kafka did not take an organization's next event), refused (by Kafka, for ever: kept in refused.ndjson), failed (not on disk: answered with an error), lost (the disk does not give them back).",
		}, []string{"outcome"}),
		damaged: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "damaged_bytes_total",
			Help: "Bytes on disk that could not be read; a copy is kept. After a crash what was half written counts, too.",
		}),
		sync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "commit_seconds",
			Help:    "Time to write and sync what requests have brought together.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "disk_failures_total",
			Help: "Writes and syncs of events that the disk failed; probes do not count.",
		}),
	}
	for _, outcome := range []string{outcomeSpooled, outcomeDrained, outcomeRetried, outcomeRefused, outcomeFailed, outcomeLost} {
		m.events.WithLabelValues(outcome)
	}
	for _, c := range []prometheus.Collector{m.events, m.damaged, m.sync, m.failed} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) count(outcome string, n int) {
	if m != nil {
		m.events.WithLabelValues(outcome).Add(float64(n))
	}
}

func (m *metrics) lose(n int) { m.count(outcomeLost, n) }

func (m *metrics) damage(bytes int64) {
	if m != nil {
		m.damaged.Add(float64(bytes))
	}
}

// synced counts a commit.
func (m *metrics) synced(began time.Time, err error) {
	switch {
	case m == nil:
	case err != nil:
		m.failed.Inc()
	default:
		m.sync.Observe(time.Since(began).Seconds())
	}
}

// looker reads the queue when somebody asks.
type looker struct {
	spool                                          *Spool
	bytes, most, events, oldest, full, fails, away *prometheus.Desc
}

func newLooker(s *Spool) *looker {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("auditstream_spool_"+name, help, nil, nil)
	}
	return &looker{
		spool:  s,
		bytes:  desc("bytes", "Bytes that the spool takes on disk."),
		most:   desc("max_bytes", "Bytes that it may take: gateway.spool.max."),
		events: desc("events", "Events that wait on disk for Kafka."),
		oldest: desc("oldest_seconds", "Age of the oldest event that waits on disk, since it was accepted; 0 when none waits."),
		full:   desc("full", "1 while events are refused because the spool is full."),
		fails:  desc("failing", "1 while the disk does not take events: the last write or sync failed, or one has been under way for ten seconds. While it fails it is probed, so the figure goes back without an event."),
		away:   desc("away", "1 while Kafka takes nothing: it has not taken an event of a sender in time, or anything of what waits on disk, and none since."),
	}
}

// Describe implements prometheus.Collector.
func (l *looker) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{l.bytes, l.most, l.events, l.oldest, l.full, l.fails, l.away} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (l *looker) Collect(ch chan<- prometheus.Metric) {
	q := l.spool.queue
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	flag := map[bool]float64{true: 1}
	q.mu.Lock()
	bytes, left, oldest, full, failure := q.bytes, q.left, q.oldest, q.full, q.health.err()
	q.mu.Unlock()
	age := 0.0
	if !oldest.IsZero() {
		age = max(time.Since(oldest).Seconds(), 0)
	}
	gauge(l.bytes, float64(bytes))
	gauge(l.most, float64(q.most))
	gauge(l.events, float64(left))
	gauge(l.oldest, age)
	gauge(l.full, flag[full])
	gauge(l.fails, flag[failure != nil])
	gauge(l.away, flag[l.spool.silent() && left > 0])
}
