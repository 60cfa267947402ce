package kafka

import (
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Metrics are the figures of a process's Kafka clients, of all of them together: clients
// come and go with the groups. (The library's own plug-in for Prometheus registers a set for
// each client, and never takes one back.) Labels are bounded by the kinds of requests and
// the topics.
type Metrics struct {
	connects    *prometheus.CounterVec // by outcome
	disconnects prometheus.Counter
	requests    *prometheus.HistogramVec // by request
	failures    *prometheus.CounterVec   // by request
	bytes       *prometheus.CounterVec   // by direction
	throttled   prometheus.Counter
	records     *prometheus.CounterVec // by topic and direction
	errors      prometheus.Counter
}

// NewMetrics makes the figures and registers them.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "auditstream", Subsystem: "kafka", Name: name, Help: help}
	}
	m := &Metrics{
		connects:    prometheus.NewCounterVec(counter("connects_total", "Connections to brokers that were opened, by outcome: ok, failed."), []string{"outcome"}),
		disconnects: prometheus.NewCounter(counter("disconnects_total", "Connections to brokers that were closed, by either side.")),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "auditstream", Subsystem: "kafka", Name: "request_duration_seconds",
			Help:    "Time from the start of writing a request to the end of reading its answer, by kind of request. A Fetch waits at the broker for something to read.",
			Buckets: []float64{.005, .025, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"request"}),
		failures:  prometheus.NewCounterVec(counter("request_failures_total", "Requests that could not be written, or whose answer could not be read."), []string{"request"}),
		bytes:     prometheus.NewCounterVec(counter("bytes_total", "Bytes on connections to brokers, by direction: read, written."), []string{"direction"}),
		throttled: prometheus.NewCounter(counter("throttled_seconds_total", "Time for which brokers have asked the clients to hold back.")),
		records:   prometheus.NewCounterVec(counter("records_total", "Records in batches that were read or written, by topic and direction: read, written."), []string{"topic", "direction"}),
		errors:    prometheus.NewCounter(counter("group_errors_total", "Errors that ended a session in a consumer group; the clients join again by themselves.")),
	}
	for _, c := range []prometheus.Collector{m.connects, m.disconnects, m.requests, m.failures, m.bytes, m.throttled, m.records, m.errors} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	for _, outcome := range []string{"ok", "failed"} {
		m.connects.WithLabelValues(outcome)
	}
	for _, direction := range []string{"read", "written"} {
		m.bytes.WithLabelValues(direction)
	}
	return m, nil
}

// Option has a client counted.
func (m *Metrics) Option() kgo.Opt { return kgo.WithHooks(m) }

// OnBrokerConnect is part of [kgo.HookBrokerConnect].
func (m *Metrics) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "failed"
	}
	m.connects.WithLabelValues(outcome).Inc()
}

// OnBrokerDisconnect is part of [kgo.HookBrokerDisconnect].
func (m *Metrics) OnBrokerDisconnect(kgo.BrokerMetadata, net.Conn) { m.disconnects.Inc() }

// OnBrokerE2E is part of [kgo.HookBrokerE2E].
func (m *Metrics) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, took kgo.BrokerE2E) {
	m.bytes.WithLabelValues("written").Add(float64(took.BytesWritten))
	m.bytes.WithLabelValues("read").Add(float64(took.BytesRead))
	name := kmsg.NameForKey(key)
	if took.Err() != nil {
		m.failures.WithLabelValues(name).Inc()
		return
	}
	m.requests.WithLabelValues(name).Observe(took.DurationE2E().Seconds())
}

// OnBrokerThrottle is part of [kgo.HookBrokerThrottle].
func (m *Metrics) OnBrokerThrottle(_ kgo.BrokerMetadata, asked time.Duration, _ bool) {
	m.throttled.Add(asked.Seconds())
}

// OnGroupManageError is part of [kgo.HookGroupManageError].
func (m *Metrics) OnGroupManageError(error) { m.errors.Inc() }

// OnFetchBatchRead is part of [kgo.HookFetchBatchRead].
func (m *Metrics) OnFetchBatchRead(_ kgo.BrokerMetadata, topic string, _ int32, batch kgo.FetchBatchMetrics) {
	m.records.WithLabelValues(topic, "read").Add(float64(batch.NumRecords))
}

// OnProduceBatchWritten is part of [kgo.HookProduceBatchWritten].
func (m *Metrics) OnProduceBatchWritten(_ kgo.BrokerMetadata, topic string, _ int32, batch kgo.ProduceBatchMetrics) {
	m.records.WithLabelValues(topic, "written").Add(float64(batch.NumRecords))
}
