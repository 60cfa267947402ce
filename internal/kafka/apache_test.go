package kafka_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// testBrokers names an Apache Kafka to run these tests against, as host:port,host:port.
const testBrokers = "AUDITSTREAM_TEST_BROKERS"

func TestEnsureTopicsOnApacheKafka(t *testing.T) {
	brokers := os.Getenv(testBrokers)
	if brokers == "" {
		t.Skip("set " + testBrokers + " to run this against Apache Kafka")
	}
	addr, _, _ := strings.Cut(brokers, ",")
	adm := newAdmin(t, addr)
	md, err := adm.BrokerMetadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	replication := int16(min(len(md.Brokers), 3))
	topics := kafka.Topics{Prefix: fmt.Sprintf("check%d", time.Now().UnixNano()), Partitions: 3, Replication: replication}
	t.Cleanup(func() {
		_, _ = adm.DeleteTopics(context.WithoutCancel(t.Context()), topics.Names()...)
	})

	tooMany := topics
	tooMany.Replication = int16(len(md.Brokers) + 1)
	if err := kafka.EnsureTopics(t.Context(), adm, tooMany, zap.NewNop()); err == nil || !strings.Contains(err.Error(), "set topics.replication to") {
		t.Errorf("more replicas than brokers: got %v", err)
	}

	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		adm := newAdmin(t, addr)
		wg.Go(func() { errs[i] = kafka.EnsureTopics(t.Context(), adm, topics, zap.NewNop()) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("process %d: %v", i, err)
		}
	}
	isr := fmt.Sprint(max(1, replication-1))
	want := map[string]created{
		topics.Events(): {3, map[string]string{
			"cleanup.policy": "delete", "retention.ms": "604800000", "message.timestamp.type": "LogAppendTime",
			"min.insync.replicas": isr, "max.message.bytes": "1048588",
		}},
		topics.Progress():    {3, map[string]string{"cleanup.policy": "compact", "min.insync.replicas": isr}},
		topics.Streams():     {1, map[string]string{"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime"}},
		topics.DeadLetters(): {3, map[string]string{"cleanup.policy": "delete", "retention.ms": "2592000000", "max.message.bytes": "2097176"}},
		topics.Schemas():     {1, map[string]string{"cleanup.policy": "compact", "message.timestamp.type": "CreateTime"}},
		topics.Jobs():        {1, map[string]string{"cleanup.policy": "compact", "message.timestamp.type": "CreateTime"}},
	}
	if diff := cmp.Diff(want, settingsOf(t, adm, want)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	// The broker's clock counts, whatever the producer's says.
	client := newClient(t, addr)
	old := &kgo.Record{Topic: topics.Events(), Value: []byte("{}"), Timestamp: time.Unix(1, 0)}
	if err := client.ProduceSync(t.Context(), old).FirstErr(); err != nil {
		t.Fatal(err)
	}
	reader := newClient(t, addr, kgo.ConsumeTopics(topics.Events()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	fetches := reader.PollFetches(t.Context())
	if err := fetches.Err(); err != nil {
		t.Fatal(err)
	}
	for r := range fetches.RecordsAll() {
		if r.Timestamp.Equal(time.Unix(1, 0)) || r.Attrs.TimestampType() != 1 {
			t.Errorf("record has time %s of type %d, want append time", r.Timestamp, r.Attrs.TimestampType())
		}
	}

	// An existing topic that grew, and one that was altered.
	if _, err := adm.UpdatePartitions(t.Context(), 5, topics.Events()); err != nil {
		t.Fatal(err)
	}
	if err := alter(t, adm, topics.Events(), "message.timestamp.type", "CreateTime"); err != nil {
		t.Fatal(err)
	}
	var got []string
	for len(got) < 2 { // altered topics are known a moment later; until the test's own time-out
		ps, _ := problems(kafka.EnsureTopics(t.Context(), newAdmin(t, addr), topics, zap.NewNop()))
		got = got[:0]
		for _, p := range ps {
			got = append(got, p.Topic+" "+p.Setting+" "+p.Found)
		}
	}
	if want := []string{topics.Events() + " message.timestamp.type CreateTime", topics.Progress() + " partitions 3"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if id, err := kafka.ClusterID(t.Context(), adm); err != nil || id == "" {
		t.Errorf("cluster id: %q, %v", id, err)
	}
	if ids, err := kafka.TopicIDs(t.Context(), adm, topics.Events()); err != nil || len(ids[topics.Events()]) != 22 {
		t.Errorf("topic ids: %v, %v", ids, err)
	}
}
