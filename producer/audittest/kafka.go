package audittest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

// partitions of the topic: some, so that a test meets what more than one means.
const partitions = 6

// Kafka is a broker in the test's own process, on a loopback port, in memory, with the
// topic producer.DefaultTopic.
type Kafka struct {
	cluster *kfake.Cluster
	topic   string
}

// StartKafka starts a broker; it ends with the test. It behaves as Kafka does towards a
// producer, and is no substitute for it elsewhere.
func StartKafka(tb testing.TB) *Kafka {
	tb.Helper()
	k := &Kafka{topic: producer.DefaultTopic}
	var err error
	if k.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, k.topic)); err != nil {
		tb.Fatalf("start a Kafka: %v", err)
	}
	tb.Cleanup(k.cluster.Close)
	return k
}

// Brokers is what producer.Config.Brokers needs.
func (k *Kafka) Brokers() []string { return k.cluster.ListenAddrs() }

// Events are the events that Kafka has, those of one organization in their order.
func (k *Kafka) Events(tb testing.TB) []*schema.Event {
	tb.Helper()
	client := k.client(tb)
	defer client.Close()
	ctx, cancel := context.WithTimeout(tb.Context(), Patience)
	defer cancel()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, k.topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		tb.Fatalf("ask Kafka how many events there are: %v", err)
	}
	left := 0
	ends.Each(func(o kadm.ListedOffset) { left += int(o.Offset) })
	return k.read(ctx, tb, left)
}

// Await returns n or more events as soon as Kafka has as many, those of one organization in
// their order. It fails the test if that takes longer than Patience.
func (k *Kafka) Await(tb testing.TB, n int) []*schema.Event {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), Patience)
	defer cancel()
	return k.read(ctx, tb, n)
}

// read reads from the beginning until there are n events.
func (k *Kafka) read(ctx context.Context, tb testing.TB, n int) []*schema.Event {
	tb.Helper()
	reader := k.client(tb, kgo.ConsumeTopics(k.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer reader.Close()
	var records []*kgo.Record
	for len(records) < n {
		fetches := reader.PollFetches(ctx)
		if ctx.Err() != nil {
			tb.Fatalf("%d events are in Kafka after %s, want %d", len(records), Patience, n)
		}
		if err := fetches.Err(); err != nil {
			tb.Fatalf("read from Kafka: %v", err)
		}
		records = append(records, fetches.Records()...)
	}
	// The order in which they were published, as far as the clock can tell.
	slices.SortStableFunc(records, func(a, b *kgo.Record) int { return a.Timestamp.Compare(b.Timestamp) })
	events := make([]*schema.Event, 0, len(records))
	for _, r := range records {
		e, err := schema.Decode(r.Value)
		if err != nil {
			tb.Fatalf("partition %d, offset %d: %v", r.Partition, r.Offset, err)
		}
		events = append(events, e)
	}
	return events
}

func (k *Kafka) client(tb testing.TB, opts ...kgo.Opt) *kgo.Client {
	tb.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(k.Brokers()...), kgo.DialTimeout(10*time.Second))...)
	if err != nil {
		tb.Fatal(err)
	}
	return client
}
