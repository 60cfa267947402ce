package kafka_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/kafka"
)

// Clients come and go: their figures are one set, and go on where the last one left them.
func TestFiguresOfClientsAddUp(t *testing.T) {
	broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close() //nolint:errcheck // in memory
	registry := prometheus.NewRegistry()
	metrics, err := kafka.NewMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	value := func(name string, labels map[string]string) float64 {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
		metrics:
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if want, ok := labels[l.GetName()]; ok && want != l.GetValue() {
						continue metrics
					}
				}
				if f.GetName() == name {
					return m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
				}
			}
		}
		return 0
	}
	comesTo := func(want float64, name string, labels map[string]string) {
		t.Helper()
		got := value(name, labels)
		for deadline := time.Now().Add(time.Minute); got < want && time.Now().Before(deadline); got = value(name, labels) {
			time.Sleep(time.Millisecond)
		}
		if got != want {
			t.Errorf("%s%v is %v, not %v", name, labels, got, want)
		}
	}
	const topic = "figures"
	for n := 1; n <= 2; n++ {
		opts, err := kafka.Config{Brokers: []string{broker.Addr()}}.Options(zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		client, err := kgo.NewClient(append(opts, metrics.Option())...)
		if err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, topic); err != nil {
				t.Fatal(err)
			}
		}
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		client.Close()
		// The client counts a batch after it has kept the record's promise.
		comesTo(float64(n), "auditstream_kafka_records_total", map[string]string{"topic": topic, "direction": "written"})
		comesTo(float64(n), "auditstream_kafka_request_duration_seconds", map[string]string{"request": "Produce"})
	}
	for _, direction := range []string{"read", "written"} {
		if value("auditstream_kafka_bytes_total", map[string]string{"direction": direction}) == 0 {
			t.Errorf("no bytes were %s", direction)
		}
	}
	if value("auditstream_kafka_connects_total", map[string]string{"outcome": "ok"}) < 2 {
		t.Error("two clients have not connected twice")
	}
}
