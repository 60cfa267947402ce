package admin

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Door is where a request comes in.
type Door string

// Doors.
const (
	DoorAPI     Door = "api"
	DoorConsole Door = "console"
)

// Metrics count what is asked of the API and the console. A nil Metrics counts nothing.
// Labels are bounded by the routes: nothing that a caller sends is one.
type Metrics struct {
	requests *prometheus.CounterVec   // by door, method, route and status class
	seconds  *prometheus.HistogramVec // by door
	logins   *prometheus.CounterVec   // by door
	open     *prometheus.GaugeVec     // by door
	follow   *prometheus.GaugeVec     // by door
}

// noRoute is the route of what is asked at a path that there is not.
const noRoute = "_none"

// NewMetrics makes the figures and registers them.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	const namespace, subsystem = "auditstream", "admin"
	door := []string{"door"}
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "requests_total",
			Help: "Requests that were answered, by door (api, console), method, route and class of the status: 2xx, 3xx, 4xx, 5xx. The route _none is every path that there is not.",
		}, []string{"door", "method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "request_duration_seconds",
			Help:    "Time from a request's head to the end of its answer, by door; without those that follow events, which last as long as the caller likes.",
			Buckets: []float64{.005, .025, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, door),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "login_failures_total",
			Help: "Tokens that nobody has, by door.",
		}, door),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "requests_open",
			Help: "Requests that are being answered, by door.",
		}, door),
		follow: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "followers",
			Help: "Requests that follow events as they are published, by door.",
		}, door),
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.logins, m.open, m.follow} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	for _, d := range []string{string(DoorAPI), string(DoorConsole)} {
		m.seconds.WithLabelValues(d)
		m.logins.WithLabelValues(d)
		m.open.WithLabelValues(d)
		m.follow.WithLabelValues(d)
	}
	return m, nil
}

// Begin notes that a request is being answered. The returned function says how it ended:
// by which pattern of a mux it was found, and with which status.
func (m *Metrics) Begin(d Door, method string) func(route string, status int) {
	if m == nil {
		return func(string, int) {}
	}
	began, open := time.Now(), m.open.WithLabelValues(string(d))
	open.Inc()
	return func(route string, status int) {
		open.Dec()
		if _, path, found := strings.Cut(route, " "); found {
			route = path
		}
		if route == "" {
			route = noRoute
		}
		m.requests.WithLabelValues(string(d), knownMethod(method), route, statusClass(status)).Inc()
		if !follows(route) {
			m.seconds.WithLabelValues(string(d)).Observe(time.Since(began).Seconds())
		}
	}
}

// LoginFailed notes a token that nobody has.
func (m *Metrics) LoginFailed(d Door) {
	if m != nil {
		m.logins.WithLabelValues(string(d)).Inc()
	}
}

// Follow notes that somebody follows events. The returned function notes that they have gone.
func (m *Metrics) Follow(d Door) func() {
	if m == nil {
		return func() {}
	}
	g := m.follow.WithLabelValues(string(d))
	g.Inc()
	return g.Dec
}

// follows says whether the requests of a route last as long as their caller likes.
func follows(route string) bool { return route == "/v1/tail" || route == "/tail/events" }

// knownMethod is a method as a label: there is no end to those that callers can make up.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// statusClass is 2xx of 204. An answer that never began is a mistake of ours.
func statusClass(status int) string {
	if status < 100 || status > 599 {
		return "5xx"
	}
	return strconv.Itoa(status/100) + "xx"
}
