package workos

import (
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// States of the poller, as those of streams.
const (
	stateActive  = "active"
	stateError   = "error"   // tried again by itself
	stateInvalid = "invalid" // WorkOS refuses the key or the request: somebody has to look
)

func stateOf(err error) string {
	if status, ok := errors.AsType[*statusError](err); ok && (status.invalid() || status.refused()) {
		return stateInvalid
	}
	if _, ok := errors.AsType[*keyError](err); ok {
		return stateInvalid
	}
	return stateError
}

// pollMetrics are the figures of the poller.
type pollMetrics struct {
	active   prometheus.Gauge
	states   *prometheus.GaugeVec // by state
	requests *prometheus.CounterVec
	latest   prometheus.Gauge
	caughtUp prometheus.Gauge
	gaps     prometheus.Counter
	newestAt time.Time
}

func newPollMetrics(reg prometheus.Registerer) (*pollMetrics, error) {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "auditstream", Subsystem: "workos_poll", Name: name, Help: help}
	}
	m := &pollMetrics{
		active:   prometheus.NewGauge(prometheus.GaugeOpts(opts("active", "1 in the process that reads the Events API of WorkOS, 0 in those that stand by."))),
		states:   prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("state", "1 for the state that reading is in, of the process that reads: active, error (tried again by itself), invalid (WorkOS refuses the key or the request).")), []string{"state"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts(opts("requests_total", "Requests to the Events API by outcome: ok, limited (429), invalid (the key was refused), refused (the request was), failed.")), []string{"outcome"}),
		latest:   prometheus.NewGauge(prometheus.GaugeOpts(opts("newest_event_timestamp_seconds", "When the newest Event was created that was read, in seconds since 1970."))),
		caughtUp: prometheus.NewGauge(prometheus.GaugeOpts(opts("caught_up_timestamp_seconds", "When the end of what the API gives was reached last, or this process began, in seconds since 1970."))),
		gaps:     prometheus.NewCounter(prometheus.CounterOpts(opts("gaps_total", "Times that the cursor was older than what the API still gives."))),
	}
	m.caughtUp.SetToCurrentTime() // who has just begun is not late
	for _, outcome := range []string{"ok", "limited", "invalid", "refused", "failed"} {
		m.requests.WithLabelValues(outcome)
	}
	for _, state := range []string{stateActive, stateError, stateInvalid} {
		m.states.WithLabelValues(state)
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.active, m.states, m.requests, m.latest, m.caughtUp, m.gaps} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *pollMetrics) state(now string) {
	for _, s := range []string{stateActive, stateError, stateInvalid} {
		v := 0.0
		if s == now {
			v = 1
		}
		m.states.WithLabelValues(s).Set(v)
	}
}

func (m *pollMetrics) asked(err error) {
	outcome := "ok"
	if err != nil {
		outcome = "failed"
		if status, ok := errors.AsType[*statusError](err); ok {
			switch {
			case status.status == http.StatusTooManyRequests:
				outcome = "limited"
			case status.invalid():
				outcome = "invalid"
			case status.refused():
				outcome = "refused"
			}
		}
	}
	m.requests.WithLabelValues(outcome).Inc()
}

func (m *pollMetrics) newest(created time.Time) {
	if created.After(m.newestAt) {
		m.newestAt = created
		m.latest.Set(float64(created.UnixMilli()) / 1000)
	}
}
