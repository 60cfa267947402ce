package app

import (
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/producer/gateway"
	"github.com/auditstream/auditstream/producer/gateway/access"
	"github.com/auditstream/auditstream/producer/idempotency"
	"github.com/auditstream/auditstream/producer/spool"
	"github.com/auditstream/auditstream/producer/workos"
)

var update = flag.Bool("update", false, "write the tables of docs/metrics.md anew")

const (
	metricsPage  = "../../docs/metrics.md"
	tableBegins  = "<!-- metrics: made by go test ./internal/app -run Page -update -->"
	tableEnds    = "<!-- end of metrics -->"
	ownNamespace = "auditstream_"
)

// collected is a registerer that keeps what is registered.
type collected struct {
	prometheus.Registerer
	all []prometheus.Collector
}

func (c *collected) Register(x prometheus.Collector) error {
	c.all = append(c.all, x)
	return c.Registerer.Register(x)
}

// metric is what a figure says of itself.
type metric struct{ name, labels, kind, help string }

// description is how package prometheus writes one down.
var description = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "((?:[^"\\]|\\.)*)", (?:unit: "[^"]*", )?constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}`)

// metricsOf lists the figures of a collector.
func metricsOf(t *testing.T, c prometheus.Collector) []metric {
	t.Helper()
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		c.Describe(descs)
	}()
	var out []metric
	for d := range descs {
		m := description.FindStringSubmatch(d.String())
		if m == nil {
			t.Errorf("what is this: %s", d)
			continue
		}
		var labels []string
		for l := range strings.SplitSeq(m[3]+","+m[4], ",") {
			if l, _, _ = strings.Cut(l, "="); l != "" {
				labels = append(labels, l)
			}
		}
		slices.Sort(labels)
		kind := "gauge"
		if strings.HasSuffix(m[1], "_total") {
			kind = "counter"
		}
		switch c.(type) {
		case *prometheus.CounterVec, prometheus.Counter:
			kind = "counter"
		case *prometheus.HistogramVec, prometheus.Histogram:
			kind = "histogram"
		}
		if _, gauge := c.(prometheus.Gauge); gauge {
			kind = "gauge"
		}
		out = append(out, metric{m[1], strings.Join(labels, ", "), kind, strings.ReplaceAll(m[2], `\"`, `"`)})
	}
	return out
}

// allMetrics are all figures of a process that delivers, takes events in and serves the API.
func allMetrics(t *testing.T) []metric {
	t.Helper()
	registry := newRegistry("test")
	reg := &collected{Registerer: registry}
	if _, err := admin.NewMetrics(reg); err != nil {
		t.Fatal(err)
	}
	if _, err := newJobMetrics(reg); err != nil {
		t.Fatal(err)
	}
	if _, err := kafka.NewMetrics(reg); err != nil {
		t.Fatal(err)
	}
	if _, err := newCrew(Delivery{Config: config.Defaults(), Log: zap.NewNop()}, nil, reg, &readiness{}); err != nil {
		t.Fatal(err)
	}
	if _, err := gateway.NewServer(gateway.Config{Metrics: reg}); err != nil {
		t.Fatal(err)
	}
	if _, err := workos.NewIntake(workos.IntakeConfig{Metrics: reg}); err != nil {
		t.Fatal(err)
	}
	if _, err := workos.NewWebhook(t.Context(), workos.WebhookConfig{Metrics: reg, Secrets: func(context.Context) ([]string, error) { return []string{"secret"}, nil }}); err != nil {
		t.Fatal(err)
	}
	if _, err := workos.NewPoller(workos.PollConfig{Metrics: reg}); err != nil {
		t.Fatal(err)
	}
	keyed := config.Defaults()
	keyed.Gateway.Keys = []config.GatewayKey{{Name: "one", Hash: access.HashOf(access.NewKey())}}
	if _, err := (Gateway{Config: keyed}).keys(t.Context(), reg, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	if _, err := connectionFigures(reg); err != nil {
		t.Fatal(err)
	}
	if _, err := idempotency.New(idempotency.Config{Metrics: reg}); err != nil {
		t.Fatal(err)
	}
	disk, err := spool.Open(spool.Config{Dir: t.TempDir(), Kafka: struct{ spool.Producer }{}, Metrics: reg})
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close() //nolint:errcheck // nothing is in it
	var out []metric
	for _, c := range reg.all {
		out = append(out, metricsOf(t, c)...)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, m := range out {
		known[m.name] = true
	}
	for _, f := range families { // what newRegistry itself has registered
		if !known[f.GetName()] {
			out = append(out, metric{name: f.GetName(), labels: labelsOf(f.GetMetric()[0]), kind: strings.ToLower(f.GetType().String()), help: f.GetHelp()})
		}
	}
	slices.SortFunc(out, func(a, b metric) int { return strings.Compare(a.name, b.name) })
	return out
}

// TestMetricsPage keeps the page and the code equal.
func TestMetricsPage(t *testing.T) {
	var table strings.Builder
	table.WriteString("\n| Metric | Type | Labels | Unit | Meaning |\n| --- | --- | --- | --- | --- |\n")
	for _, m := range allMetrics(t) {
		if !strings.HasPrefix(m.name, ownNamespace) {
			continue
		}
		if m.help == "" {
			t.Errorf("%s says nothing", m.name)
		}
		if strings.Contains(m.labels, "organization") {
			t.Errorf("%s has an organization for a label: there may be any number", m.name)
		}
		if total := strings.HasSuffix(m.name, "_total"); total != (m.kind == "counter") {
			t.Errorf("%s is a %s", m.name, m.kind)
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s | %s |\n", m.name, m.kind, m.labels, unitOf(m.name), strings.ReplaceAll(m.help, "|", `\|`))
	}
	table.WriteString("\n")
	page, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(page), tableBegins)
	have, after, ok2 := strings.Cut(rest, tableEnds)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no table between %s and %s", metricsPage, tableBegins, tableEnds)
	}
	if have == table.String() {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the code registers: go test ./internal/app -run Page -update writes it", metricsPage)
	}
	if err := os.WriteFile(metricsPage, []byte(before+tableBegins+table.String()+tableEnds+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// unitOf is the unit that a name says, as Prometheus has it.
func unitOf(name string) string {
	name = strings.TrimSuffix(name, "_total")
	for suffix, unit := range map[string]string{
		"_seconds": "seconds", "_bytes": "bytes", "_ratio": "share, 0 to 1", "_offset": "offset", "_watermark": "offset", "_position": "offset", "_info": "–",
	} {
		if strings.HasSuffix(name, suffix) || name == "auditstream_kafka"+suffix {
			return unit
		}
	}
	return "number"
}

func labelsOf(m *dto.Metric) string {
	var labels []string
	for _, l := range m.GetLabel() {
		labels = append(labels, l.GetName())
	}
	slices.Sort(labels)
	return strings.Join(labels, ", ")
}
