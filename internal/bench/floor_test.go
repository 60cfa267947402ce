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
		name         string
		gzip         bool
		streams      int
		destinations int
	}{
		{"one stream, gzip", true, 1, 1},
		{"one stream, not compressed", false, 1, 1},
		{"a stream for each organization", true, organizations, 1},
		{"streams for half of the organizations", true, organizations / 2, 1},
		{"two streams for each organization", true, 2 * organizations, 1},
		{"each with an address of its own", true, organizations, organizations},
		{"addresses that streams share", false, organizations, 3},
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
			address := serve(t, endpoint, tt.destinations)
			reader := newTestClient(t, broker, FloorOptions(topics.Events(), "floor")...)
			err = Floor(t.Context(), FloorConfig{
				Client: reader, URL: address, Token: "secret", Gzip: tt.gzip, BatchBytes: 100_000, Linger: 100 * time.Millisecond,
				Deliveries: want, Fanout: fanout, Destinations: tt.destinations, Timeout: time.Minute,
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
			if sum != events {
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
		URL:    server.URL, Token: "wrong", BatchBytes: 1000, Linger: time.Second,
		Deliveries: 100, Fanout: NewFanout(1, 5), Destinations: 1, Timeout: time.Minute,
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

// serve has several addresses lead to one endpoint, where the system has them.
func serve(t *testing.T, endpoint *Endpoint, destinations int) string {
	t.Helper()
	listener, err := ListenDestinations(t.Context(), destinations)
	if err != nil {
		t.Skip(err)
	}
	server := httptest.NewUnstartedServer(endpoint)
	if err := server.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return FirstDestination(listener)
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
