//go:build integration

package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/internal/kafka"
)

func TestTopics(t *testing.T) {
	broker := servers.StartKafka(t, 1)
	admin := newAdmin(t, broker.Addrs)

	refused := []struct {
		name       string
		prefix     string
		topic      string // made beforehand as it should not be
		partitions int32
		settings   map[string]string
		want       []string // in the error
	}{
		{
			"events that are compacted", "compacted", "compacted.events", 3,
			map[string]string{"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime"},
			[]string{"compacted.events", "cleanup.policy=compact", "--add-config cleanup.policy=delete"},
		},
		{
			"events with the clients' timestamps", "clients", "clients.events", 3,
			map[string]string{"message.timestamp.type": "CreateTime"},
			[]string{"clients.events", "message.timestamp.type=CreateTime", "--add-config message.timestamp.type=LogAppendTime"},
		},
		{
			"progress that expires", "expires", "expires.progress", 3,
			map[string]string{"cleanup.policy": "delete"},
			[]string{"expires.progress", "cleanup.policy=delete", "--add-config cleanup.policy=compact"},
		},
		{
			"progress with fewer partitions than events", "fewer", "fewer.progress", 2,
			map[string]string{"cleanup.policy": "compact"},
			[]string{"fewer.progress", "partitions=2", "--alter --topic fewer.progress --partitions 3"},
		},
	}
	for _, tt := range refused {
		t.Run("refuses "+tt.name, func(t *testing.T) {
			createTopic(t, admin, tt.topic, tt.partitions, tt.settings)
			err := kafka.EnsureTopics(t.Context(), admin, kafka.Topics{Prefix: tt.prefix, Partitions: 3, Replication: 1}, zap.NewNop())
			if err == nil {
				t.Fatal("the topic was accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
		})
	}

	t.Run("accepts the topics that it made", func(t *testing.T) {
		topics := kafka.Topics{Prefix: "own", Partitions: 3, Replication: 1}
		for range 2 {
			if err := kafka.EnsureTopics(t.Context(), admin, topics, zap.NewNop()); err != nil {
				t.Fatal(err)
			}
		}
	})

	t.Run("gives an event the broker's time", func(t *testing.T) {
		topics := kafka.Topics{Prefix: "time", Partitions: 1, Replication: 1}
		if err := kafka.EnsureTopics(t.Context(), admin, topics, zap.NewNop()); err != nil {
			t.Fatal(err)
		}
		client := newClient(t, kgo.SeedBrokers(broker.Addrs...), kgo.ConsumeTopics(topics.Events()))
		before := time.Now()
		sent := &kgo.Record{Topic: topics.Events(), Value: []byte("{}"), Timestamp: before.AddDate(-1, 0, 0)}
		if err := client.ProduceSync(t.Context(), sent).FirstErr(); err != nil {
			t.Fatal(err)
		}
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		got := fetches.Records()[0]
		// Kafka counts in milliseconds, and it is the same clock.
		if early, late := before.Add(-time.Second), time.Now().Add(time.Second); got.Timestamp.Before(early) || got.Timestamp.After(late) {
			t.Errorf("sent with %s, the record has %s, want the time of its arrival, %s",
				sent.Timestamp, got.Timestamp, before)
		}
		if got.Attrs.TimestampType() != 1 {
			t.Errorf("the record's timestamp type is %d, want 1: log append time", got.Attrs.TimestampType())
		}
	})
}

func createTopic(t *testing.T, admin *kadm.Client, name string, partitions int32, settings map[string]string) {
	t.Helper()
	configs := map[string]*string{}
	for k, v := range settings {
		configs[k] = &v
	}
	if _, err := admin.CreateTopic(t.Context(), partitions, 1, configs, name); err != nil {
		t.Fatal(err)
	}
}
