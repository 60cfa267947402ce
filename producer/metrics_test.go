package producer_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/auditstream/auditstream/producer"
)

func TestEventsAreCountedByOutcome(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	k := startKafka(t)
	setLimit(t, k, "1000")
	c := to(k)
	c.Metrics = registry
	first, second := newProducer(t, c), newProducer(t, c) // they share the figures
	if err := errors.Join(first.Publish(t.Context(), signIn("")), second.Publish(t.Context(), signIn(""), signIn(""))); err != nil {
		t.Fatal(err)
	}
	invalid := signIn("")
	invalid.Action = ""
	large := signIn("")
	large.Metadata = map[string]any{"k": strings.Repeat("x", 500), "l": strings.Repeat("x", 500)}
	if first.Publish(t.Context(), invalid, large) == nil {
		t.Fatal("an event without action is accepted, and one that does not fit")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if first.Publish(gone, signIn("")) == nil {
		t.Fatal("an event is accepted although the caller was gone")
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	want := map[string]float64{
		"auditstream_producer_events_total accepted":  3,
		"auditstream_producer_events_total refused":   1,
		"auditstream_producer_events_total too_large": 1,
		"auditstream_producer_events_total failed":    1,
		"auditstream_producer_events_total uncertain": 0,
		"auditstream_producer_publish_seconds":        3,
		"auditstream_producer_buffered_bytes":         0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestARegistryThatIsTakenByOthersIsAnError(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "auditstream_producer_events_total", Help: "of somebody else"}))
	c := producer.Config{Brokers: []string{"127.0.0.1:1"}, Metrics: registry}
	if _, err := producer.New(c); err == nil || !strings.Contains(err.Error(), "producer.Config.Metrics") {
		t.Errorf("New says %v", err)
	}
}
