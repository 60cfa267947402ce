//go:build integration

package integration

import (
	"fmt"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/producer"
)

// A client that shares no code with ours finds what we published, where it would have put
// it itself: services in any language can publish beside our library, and an
// organization's events stay in one partition.
func TestAnotherClientAgreesOnThePartitions(t *testing.T) {
	const events, organizations, partitions = 2000, 100, 12
	broker := servers.StartKafka(t, 1)
	topics := kafka.Topics{Partitions: partitions, Replication: 1}
	if err := kafka.EnsureTopics(t.Context(), newAdmin(t, broker.Addrs), topics, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	f := newFeed(newRand(t), events, organizations)
	f.publish(t, newProducer(t, producer.Config{Brokers: broker.Addrs, Topic: topics.Events()}), events)

	var all []int
	for p := range partitions {
		all = append(all, p)
	}
	balancer := kafkago.Murmur2Balancer{Consistent: true}
	var ids []string
	used := map[int]bool{}
	for _, p := range all {
		for _, m := range readPartition(t, broker.Addrs[0], topics.Events(), p) {
			if want := balancer.Balance(kafkago.Message{Key: m.Key}, all...); m.Partition != want {
				t.Errorf("an event of %s is in partition %d, kafka-go would put it into %d", m.Key, m.Partition, want)
			}
			id := idOf(t, m.Value)
			if organization := f.events[f.position[id]].OrganizationID; string(m.Key) != organization {
				t.Errorf("event %s of %s has the key %s", id, organization, m.Key)
			}
			headers := map[string]string{}
			for _, h := range m.Headers {
				headers[h.Key] = string(h.Value)
			}
			if headers["encoding"] != "jcs" || headers["version"] != "1" {
				t.Errorf("event %s has the headers %v", id, headers)
			}
			ids = append(ids, id)
			used[p] = true
		}
	}
	if v := f.judge(t, "the topic, as kafka-go reads it,", ids); v.duplicates > 0 {
		t.Errorf("%d events are in the topic more than once", v.duplicates)
	}
	if len(used) < partitions/2 {
		t.Errorf("only %d of %d partitions are used", len(used), partitions)
	}
}

// readPartition reads a partition with kafka-go from its beginning to its present end.
func readPartition(t *testing.T, broker, topic string, partition int) []kafkago.Message {
	t.Helper()
	conn, err := kafkago.DialLeader(t.Context(), "tcp", broker, topic, partition)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // read to its end
	end, err := conn.ReadLastOffset()
	if err != nil {
		t.Fatal(err)
	}
	reader := kafkago.NewReader(kafkago.ReaderConfig{
		Brokers: []string{broker}, Topic: topic, Partition: partition,
		MinBytes: 1, MaxBytes: 1 << 20, MaxWait: 100 * time.Millisecond,
	})
	defer reader.Close() //nolint:errcheck // read to its end
	var messages []kafkago.Message
	for int64(len(messages)) < end {
		m, err := reader.ReadMessage(t.Context())
		if err != nil {
			t.Fatal(fmt.Errorf("partition %d after %d messages: %w", partition, len(messages), err))
		}
		messages = append(messages, m)
	}
	return messages
}
