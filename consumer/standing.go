package consumer

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// gauges are the figures that are looked up when they are asked for.
type gauges struct {
	lagEvents, lagSeconds, lanes, catchingUp, retention, unconfirmed, checkpoint *prometheus.Desc // by stream
	streams, aggregated                                                          *prometheus.Desc
	held, memory, inFlight, waiting                                              *prometheus.Desc
	partitions, interval                                                         *prometheus.Desc // by kind
	high, stable, position, stuck                                                *prometheus.Desc // by kind and partition
}

func newGauges() gauges {
	stream := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("auditstream_stream_"+name, help, append([]string{"stream"}, labels...), nil)
	}
	partition := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("auditstream_partition_"+name, help, []string{"kind", "partition"}, nil)
	}
	return gauges{
		lagEvents:   stream("lag_events", "Events that wait for the stream in the partitions that this process owns; offsets that nobody has looked at yet count as events."),
		lagSeconds:  stream("lag_seconds", "Age of the oldest event that is not settled for the stream in the partitions that this process owns; 0 when none waits; absent while that is not known, as it may be for a moment after a start."),
		lanes:       stream("lanes", "Lanes of the stream in this process, by state: active, error, invalid, paused.", "state"),
		catchingUp:  stream("lanes_catching_up", "Lanes of the stream in this process that are behind the live reader and read from Kafka again."),
		retention:   stream("retention_used_ratio", "Age of the stream's oldest event that is not settled, in the partitions that this process owns, as a share of the events topic's retention: at 1 Kafka forgets it."),
		unconfirmed: stream("unconfirmed_events", "Events that the destination has taken in and not yet confirmed as durable, from the partitions that this process owns."),
		checkpoint:  stream("checkpoint_age_seconds", "Time since the last checkpoint of that feed of the stream, among those in this process, which has been without one for longest. Absent without integrity.key, and of streams whose events are not chained."),
		streams:     prometheus.NewDesc("auditstream_streams", "Streams that this process delivers.", nil, nil),
		aggregated:  prometheus.NewDesc("auditstream_streams_aggregated", "Streams beyond observe.max_streams, whose figures are added up under stream=\"_other\" (of ages and shares the largest counts).", nil, nil),
		held:        prometheus.NewDesc("auditstream_held_bytes", "Bytes of events that wait in memory.", nil, nil),
		memory:      prometheus.NewDesc("auditstream_held_limit_bytes", "Bytes of events that may wait in memory: delivery.memory.", nil, nil),
		partitions:  prometheus.NewDesc("auditstream_delivery_partitions", "Partitions that the events topic has, owned by this process or another one, as last heard.", []string{"kind"}, nil),
		interval:    prometheus.NewDesc("auditstream_checkpoint_interval_seconds", "Time between two checkpoints of a feed: integrity.interval. Absent without integrity.key.", []string{"kind"}, nil),
		inFlight:    prometheus.NewDesc("auditstream_requests_in_flight", "Requests under way to destinations, by slots: usual, or slow for those that take more than a second.", []string{"slots"}, nil),
		waiting:     prometheus.NewDesc("auditstream_streams_waiting_for_slots", "Streams that have a batch to send and no slot for its request.", nil, nil),
		high:        partition("high_watermark", "End of the partition of the events topic, as an offset, as last heard."),
		stable:      partition("last_stable_offset", "Offset up to which the partition can be read: below every open transaction."),
		position:    partition("position", "Offset up to which the live reader has handed the partition to the streams of a kind."),
		stuck:       partition("unstable_seconds", "How long the last stable offset has not moved although the partition goes on behind it: a transaction that hangs keeps what follows from all streams. 0 while it moves."),
	}
}

func (d gauges) all() []*prometheus.Desc {
	return []*prometheus.Desc{
		d.lagEvents, d.lagSeconds, d.lanes, d.catchingUp, d.retention, d.unconfirmed, d.checkpoint, d.streams, d.aggregated,
		d.held, d.memory, d.partitions, d.interval, d.inFlight, d.waiting, d.high, d.stable, d.position, d.stuck,
	}
}

// Describe is part of [prometheus.Collector].
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range m.gauges.all() {
		ch <- d
	}
}

// Collect is part of [prometheus.Collector].
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	m.mu.Lock()
	groups := m.groups
	m.mu.Unlock()
	now := time.Now()
	d := m.gauges
	standings, intervals := map[string]*standing{}, map[string]time.Duration{}
	for _, g := range groups {
		if c := g.cfg.Checkpoints; c != nil {
			intervals[g.cfg.Kind.Name] = c.Interval
		}
		g.standings(standings, m.shown, now)
		if n := g.topicPartitions.Load(); n > 0 {
			gauge(d.partitions, float64(n), g.cfg.Kind.Name)
		}
		for _, p := range g.owned() {
			labels := []string{g.cfg.Kind.Name, strconv.Itoa(int(p.number))}
			gauge(d.position, float64(p.position.Load()), labels...)
			if ends, stuck, ok := p.ends.now(now); ok {
				gauge(d.high, float64(max(ends.high, p.end.Load())), labels...)
				gauge(d.stable, float64(ends.stable), labels...)
				gauge(d.stuck, stuck.Seconds(), labels...)
			}
		}
	}
	for kind, interval := range intervals {
		gauge(d.interval, interval.Seconds(), kind)
	}
	for label, st := range standings {
		gauge(d.lagEvents, float64(st.lag), label)
		if st.age > 0 || !st.ageless {
			gauge(d.lagSeconds, st.age.Seconds(), label)
		}
		gauge(d.retention, st.used, label)
		gauge(d.unconfirmed, float64(st.unconfirmed), label)
		if st.vouched {
			gauge(d.checkpoint, st.checkpoint.Seconds(), label)
		}
		gauge(d.catchingUp, float64(st.catchingUp), label)
		for state, n := range st.lanes {
			gauge(d.lanes, float64(n), label, state)
		}
	}
	all, others := m.shown.count()
	gauge(d.streams, float64(all))
	gauge(d.aggregated, float64(others))
	gauge(d.held, float64(m.cfg.Budget.Used()))
	gauge(d.memory, float64(m.cfg.Budget.max))
	if m.cfg.InFlight != nil {
		usual, slow, waiting := m.cfg.InFlight.usage()
		gauge(d.inFlight, float64(usual), "usual")
		gauge(d.inFlight, float64(slow), "slow")
		gauge(d.waiting, float64(waiting))
	}
}

// standing is where a stream, or several under one label, stand in the partitions of this
// process.
type standing struct {
	lag     int64
	age     time.Duration
	ageless bool    // something waits, and nobody knows for how long
	used    float64 // share of the retention
	lanes   map[string]int

	catchingUp  int // lanes
	unconfirmed int // events

	vouched    bool          // there are feeds that get checkpoints
	checkpoint time.Duration // since the last one, of the feed that has been without for longest
}

// standings adds where the group's streams stand to out, by label.
func (g *Group) standings(out map[string]*standing, labels *shown, now time.Time) {
	g.mu.Lock()
	streams := g.router.streams
	g.mu.Unlock()
	of := make([]*standing, len(streams))
	for i, s := range streams {
		label := labels.label(s.spec.ID)
		if out[label] == nil {
			out[label] = &standing{lanes: map[string]int{StateActive: 0, StateError: 0, StateInvalid: 0, StatePaused: 0}}
		}
		of[i] = out[label]
	}
	for _, p := range g.owned() {
		p.mu.Lock()
		end := p.end.Load()
		for i, s := range streams {
			if s.index >= len(p.lanes) || p.streams[s.index] != s {
				continue // it is just being learnt
			}
			st, l := of[i], p.lanes[s.index]
			if l == nil && p.from[s.index] == later {
				continue
			}
			if l == nil {
				st.lag += max(0, end-max(p.position.Load(), p.from[s.index])) // none of them was looked at
				continue
			}
			l.mu.Lock()
			l.stands(st, end, now)
			l.mu.Unlock()
		}
		p.mu.Unlock()
	}
}

// stands adds where the lane stands, in a partition with that end. The caller holds mu, and
// the partition's.
func (l *lane) stands(st *standing, end int64, now time.Time) {
	st.lag += min(max(0, l.tally.matched-l.counts.accounted())+max(0, end-l.countedTo()), max(0, end-l.cursor()))
	st.lanes[l.health.state]++
	st.used = max(st.used, l.used(now))
	l.waits(func(_ *chunk, p *part) { st.unconfirmed += p.to - p.from })
	if !l.live {
		st.catchingUp++
	}
	if age, ok := l.sinceCheckpoint(l.p.g.began, now); ok && l.p.g.cfg.Checkpoints != nil {
		st.vouched, st.checkpoint = true, max(st.checkpoint, age)
	}
	switch oldest := l.oldest(); {
	case !oldest.IsZero():
		st.age = max(st.age, now.Sub(oldest))
	case l.live || l.seekAt == l.next: // a record was looked for, and none found
	case !l.leftAt.IsZero():
		st.age = max(st.age, now.Sub(l.leftAt))
	case l.next < l.p.position.Load():
		st.ageless = true
	}
}

// usage is how many requests are under way, those of them in slots for slow streams apart,
// and how many streams wait for a slot.
func (s *Slots) usage() (usual, slow, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.waiting {
		waiting += len(s.waiting[i].patrons)
	}
	return s.held[live] + s.held[catchingUp], s.slow, waiting
}
