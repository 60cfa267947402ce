package bench

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/kafka"
)

func TestFloorDeliversEveryEventOfTheTopic(t *testing.T) {
	const organizations, events = 20, 3000
	tests := []struct {
		name    string
		gzip    bool
		streams int
	}{
		{"one stream, gzip", true, 1},
		{"one stream, not compressed", false, 1},
		{"a stream for each organization", true, organizations},
		{"streams for half of the organizations", true, organizations / 2},
		{"two streams for each organization", true, 2 * organizations},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			broker := startBroker(t)
			topics := kafka.Topics{Partitions: 6, Replication: 1}
			writer := newTestClient(t, broker, PreloadOptions()...)
			if err := kafka.EnsureTopics(t.Context(), kadm.NewClient(writer), topics, zap.NewNop()); err != nil {
				t.Fatal(err)
			}
			g := NewGenerator(GeneratorConfig{Seed: 1, Organizations: organizations, Start: time.Now()})
			told := 0
			counts, err := Preload(t.Context(), writer, topics.Events(), events, g, func(done int) { told = done })
			if err != nil {
				t.Fatal(err)
			}
			if told != events {
				t.Errorf("the last progress told was %d, want %d", told, events)
			}
			fanout := NewFanout(tt.streams, organizations)
			want := fanout.Deliveries(counts)
			if fromStreams := countByStream(fanout, counts); want != fromStreams {
				t.Fatalf("%d deliveries, but the streams want %d", want, fromStreams)
			}

			endpoint := NewEndpoint("secret")
			server := httptest.NewServer(endpoint)
			defer server.Close()
			reader := newTestClient(t, broker, FloorOptions(topics.Events(), "floor")...)
			err = Floor(t.Context(), FloorConfig{
				Client: reader, URL: server.URL + "/services/collector/event", Token: "secret",
				Gzip: tt.gzip, BatchBytes: 100_000, Deliveries: want, Fanout: fanout, Timeout: time.Minute,
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := endpoint.Counts(); got.Events != want {
				t.Errorf("the endpoint has %d events, want %d", got.Events, want)
			}
			reader.Close() // commits what is marked
			committed, err := kadm.NewClient(writer).FetchOffsetsForTopics(context.WithoutCancel(t.Context()), "floor", topics.Events())
			if err != nil {
				t.Fatal(err)
			}
			var sum int64
			committed.Each(func(o kadm.OffsetResponse) { sum += max(0, o.At) })
			if tt.streams == 1 && sum != events {
				t.Errorf("the group has committed %d events, want %d", sum, events)
			}
		})
	}
}

func TestFloorEndsWithTheEndpointsRefusal(t *testing.T) {
	broker := startBroker(t)
	topics := kafka.Topics{Partitions: 2, Replication: 1}
	writer := newTestClient(t, broker, PreloadOptions()...)
	if err := kafka.EnsureTopics(t.Context(), kadm.NewClient(writer), topics, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	g := NewGenerator(GeneratorConfig{Seed: 1, Organizations: 5, Start: time.Now()})
	if _, err := Preload(t.Context(), writer, topics.Events(), 100, g, nil); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(NewEndpoint("secret"))
	defer server.Close()
	err := Floor(t.Context(), FloorConfig{
		Client: newTestClient(t, broker, FloorOptions(topics.Events(), "floor")...),
		URL:    server.URL + "/services/collector/event", Token: "wrong",
		BatchBytes: 1000, Deliveries: 100, Fanout: NewFanout(1, 5), Timeout: time.Minute,
	})
	if err == nil {
		t.Fatal("no error although the token is wrong")
	}
}

// countByStream counts deliveries the other way round: what each stream wants.
func countByStream(f Fanout, events []int64) int64 {
	var n int64
	for _, organization := range f.Streams() {
		for i, count := range events {
			if organization == "*" || organization == OrganizationID(i) {
				n += count
			}
		}
	}
	return n
}

func newTestClient(t *testing.T, broker string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	connect, err := kafka.Config{Brokers: []string{broker}}.Options(zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(append(connect, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func startBroker(t *testing.T) (address string) {
	t.Helper()
	broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := broker.Close(); err != nil {
			t.Error(err)
		}
	})
	return broker.Addr()
}
