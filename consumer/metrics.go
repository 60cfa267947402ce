package consumer

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are delivery's figures, by stream: there are as many as the operator
// configures. One set serves all groups of a process.
type Metrics struct {
	deliveredTotal    *prometheus.CounterVec
	retriedTotal      *prometheus.CounterVec
	rejectedTotal     *prometheus.CounterVec
	deadLetteredTotal *prometheus.CounterVec
	expiredTotal      *prometheus.CounterVec
	resentTotal       *prometheus.CounterVec
	notedTotal        *prometheus.CounterVec // by stream and what
	age               *prometheus.HistogramVec

	lagEvents  *prometheus.Desc
	lagSeconds *prometheus.Desc
	state      *prometheus.Desc
	retention  *prometheus.Desc
	held       *prometheus.Desc
	waiting    *prometheus.Desc

	mu     sync.Mutex
	groups []*Group // guarded by mu
	budget *Budget  // guarded by mu
}

// NewMetrics makes the figures and registers them.
func NewMetrics(reg prometheus.Registerer, budget *Budget) (*Metrics, error) {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "auditstream", Subsystem: "stream", Name: name, Help: help}, []string{"stream"})
	}
	m := &Metrics{
		deliveredTotal:    counter("delivered_total", "Events that the destination has durably taken."),
		retriedTotal:      counter("retried_total", "Attempts that failed and are made again."),
		rejectedTotal:     counter("rejected_total", "Events that the destination refuses for ever."),
		deadLetteredTotal: counter("dead_lettered_total", "Events whose dead letter is acknowledged."),
		expiredTotal:      counter("expired_total", "Offsets that Kafka's retention took before delivery: lost events."),
		resentTotal:       counter("resent_total", "Events sent again because the destination did not confirm them: they may be there twice."),
		notedTotal: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "auditstream", Subsystem: "stream", Name: "noted_total",
			Help: "Delivered events of which the destination's kind notes something: outdated, their time is one that it does not take.",
		}, []string{"stream", "what"}),
		age: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "auditstream", Subsystem: "stream", Name: "event_age_seconds",
			Help:    "Age of the oldest event of each delivered batch at its acknowledgement, since it was appended to Kafka.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 3600, 86400},
		}, []string{"stream"}),
		lagEvents:  prometheus.NewDesc("auditstream_stream_lag_events", "Offsets between the stream's cursors and the ends of the partitions that this process owns: an upper bound of the events that wait.", []string{"stream"}, nil),
		lagSeconds: prometheus.NewDesc("auditstream_stream_lag_seconds", "Age of the oldest event that waits for the stream in the partitions that this process owns; 0 when none does; absent while that is not known, as it may be for a moment after a start.", []string{"stream"}, nil),
		state:      prometheus.NewDesc("auditstream_stream_lanes", "Lanes of the stream in this process, by state.", []string{"stream", "state"}, nil),
		retention:  prometheus.NewDesc("auditstream_stream_retention_used_ratio", "Age of the stream's oldest event that is not settled, in the partitions that this process owns, as a share of the events topic's retention: at 1 Kafka forgets it.", []string{"stream"}, nil),
		held:       prometheus.NewDesc("auditstream_held_bytes", "Bytes of events that wait in memory.", nil, nil),
		waiting:    prometheus.NewDesc("auditstream_stream_unconfirmed_events", "Events that the destination has taken in and not yet confirmed as durable, from the partitions that this process owns.", []string{"stream"}, nil),
		budget:     budget,
	}
	for _, c := range []prometheus.Collector{m.deliveredTotal, m.retriedTotal, m.rejectedTotal, m.deadLetteredTotal, m.expiredTotal, m.resentTotal, m.notedTotal, m.age, m} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// watch adds a group's lanes to what is collected.
func (m *Metrics) watch(g *Group) {
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
		for _, c := range m.counters() {
			c.WithLabelValues(s.spec.ID)
		}
	}
}

// forget drops the figures of a stream that is gone: labels must not grow for ever.
func (m *Metrics) forget(id string) {
	for _, c := range m.counters() {
		c.DeleteLabelValues(id)
	}
	m.notedTotal.DeletePartialMatch(prometheus.Labels{"stream": id})
	m.age.DeleteLabelValues(id)
}

func (m *Metrics) counters() []*prometheus.CounterVec {
	return []*prometheus.CounterVec{m.deliveredTotal, m.retriedTotal, m.rejectedTotal, m.deadLetteredTotal, m.expiredTotal, m.resentTotal}
}

func (m *Metrics) delivered(stream string, n int, age time.Duration) {
	m.deliveredTotal.WithLabelValues(stream).Add(float64(n))
	m.age.WithLabelValues(stream).Observe(age.Seconds())
}

func (m *Metrics) retried(stream string)      { m.retriedTotal.WithLabelValues(stream).Inc() }
func (m *Metrics) rejected(stream string)     { m.rejectedTotal.WithLabelValues(stream).Inc() }
func (m *Metrics) deadLettered(stream string) { m.deadLetteredTotal.WithLabelValues(stream).Inc() }
func (m *Metrics) expired(stream string, n int64) {
	m.expiredTotal.WithLabelValues(stream).Add(float64(n))
}

func (m *Metrics) noted(stream, what string, n int) {
	m.notedTotal.WithLabelValues(stream, what).Add(float64(n))
}

func (m *Metrics) resent(stream string, n int) {
	m.resentTotal.WithLabelValues(stream).Add(float64(n))
}

// Describe is part of [prometheus.Collector].
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.lagEvents, m.lagSeconds, m.state, m.retention, m.held, m.waiting} {
		ch <- d
	}
}

// Collect is part of [prometheus.Collector].
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	groups := m.groups
	m.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(m.held, prometheus.GaugeValue, float64(m.budget.Used()))
	for _, g := range groups {
		for id, st := range g.standings() {
			ch <- prometheus.MustNewConstMetric(m.lagEvents, prometheus.GaugeValue, float64(st.lag), id)
			if st.age > 0 || !st.ageless {
				ch <- prometheus.MustNewConstMetric(m.lagSeconds, prometheus.GaugeValue, st.age.Seconds(), id)
			}
			ch <- prometheus.MustNewConstMetric(m.retention, prometheus.GaugeValue, st.used, id)
			ch <- prometheus.MustNewConstMetric(m.waiting, prometheus.GaugeValue, float64(st.unconfirmed), id)
			for state, n := range st.lanes {
				ch <- prometheus.MustNewConstMetric(m.state, prometheus.GaugeValue, float64(n), id, state)
			}
		}
	}
}

// standing is where a stream stands in the partitions of this process.
type standing struct {
	lag     int64
	age     time.Duration
	ageless bool    // something waits, and nobody knows for how long
	used    float64 // share of the retention
	lanes   map[string]int

	unconfirmed int // events
}

func (g *Group) standings() map[string]*standing {
	now := time.Now()
	g.mu.Lock()
	streams := g.router.streams
	g.mu.Unlock()
	out := make(map[string]*standing, len(streams))
	for _, s := range streams {
		out[s.spec.ID] = &standing{lanes: map[string]int{StateActive: 0, StateError: 0, StateInvalid: 0, StatePaused: 0}}
	}
	for _, p := range g.owned() {
		p.mu.Lock()
		end := p.end.Load()
		for _, s := range streams {
			if s.index >= len(p.lanes) || p.streams[s.index] != s {
				continue // it is just being learnt
			}
			st, l := out[s.spec.ID], p.lanes[s.index]
			if l == nil && p.from[s.index] == later {
				continue
			}
			if l == nil {
				st.lag += max(0, end-max(p.position.Load(), p.from[s.index]))
				continue
			}
			l.mu.Lock()
			st.lag += max(0, end-l.cursor())
			st.lanes[l.health.state]++
			st.used = max(st.used, l.used(now))
			l.waits(func(_ *chunk, p *part) { st.unconfirmed += p.to - p.from })
			switch oldest := l.oldest(); {
			case !oldest.IsZero():
				st.age = max(st.age, now.Sub(oldest))
			case l.live || l.seekAt == l.next: // a record was looked for, and none found
			case !l.leftAt.IsZero():
				st.age = max(st.age, now.Sub(l.leftAt))
			case l.next < p.position.Load():
				st.ageless = true
			}
			l.mu.Unlock()
		}
		p.mu.Unlock()
	}
	return out
}
