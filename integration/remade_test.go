//go:build integration

package integration

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/producer"
)

// Topics that are deleted and made anew under a process that delivers: it notices, delivers
// everything in a new events topic, and repeats nothing of a former one.
func TestTopicsMadeAnewWhileDeliveryRuns(t *testing.T) {
	const slice = 5000
	broker := servers.StartKafka(t, 1)
	makeTopics(t, broker.Addrs)
	admin := newAdmin(t, broker.Addrs)
	topics := kafka.Topics{}
	to := startDestinations(t)
	p := delivery{binary: servers.BuildBinary(t), brokers: broker.Addrs, replication: 1, destinations: to}.start(t, "a")
	f := newFeed(newRand(t), 4*slice, 50)
	client := newProducer(t, producer.Config{Brokers: broker.Addrs})
	f.publish(t, client, slice)
	to.awaitAll(t, f)

	remake := func(topic string) {
		t.Helper()
		if _, err := admin.DeleteTopic(t.Context(), topic); err != nil {
			t.Fatal(err)
		}
		servers.Await(t, time.Minute, topic+" is gone", func() bool {
			details, err := admin.ListTopics(t.Context(), topic)
			return err == nil && !details.Has(topic)
		})
		makeTopics(t, broker.Addrs)
		t.Logf("%s is made anew", topic)
	}
	// As many events as the former topic had, so that none of its offsets is out of range here.
	remake(topics.Events())
	f.publish(t, newProducer(t, producer.Config{Brokers: broker.Addrs}), slice)
	to.awaitAll(t, f)
	p.Running(t)

	for _, topic := range []string{topics.Progress(), topics.Streams(), topics.DeadLetters()} {
		remake(topic)
	}
	f.publish(t, newProducer(t, producer.Config{Brokers: broker.Addrs}), slice)
	to.awaitAll(t, f)
	servers.Await(t, time.Minute, "the new topics have streams and progress", func() bool {
		p.Running(t)
		return records(t, admin, topics.Progress()) > 0 && records(t, admin, topics.Streams()) > 0
	})
	p.end(t)

	p = delivery{binary: servers.BuildBinary(t), brokers: broker.Addrs, replication: 1, destinations: to}.start(t, "a")
	f.publish(t, newProducer(t, producer.Config{Brokers: broker.Addrs}), slice)
	to.awaitAll(t, f)
	p.end(t)
	// What objects are called does not say which topic was first, so nothing is asked of the
	// order in S3.
	to.archive.refresh(t)
	if ids := to.archive.ids(); len(ids) != f.published || unique(ids) != f.published {
		t.Errorf("S3 has %d events, %d different ones; want each of %d once", len(ids), unique(ids), f.published)
	}
	to.archive.judgeChains(t)
	for destination, ids := range map[string][]string{inSplunk: to.splunkIDs(t), inDatadog: to.datadogIDs(t)} {
		if v := f.judge(t, destination, ids); v.duplicates > 0 {
			t.Errorf("%s has %d events twice, want none", destination, v.duplicates)
		}
	}
}

// records is about how many a topic has.
func records(t *testing.T, admin *kadm.Client, topic string) (n int64) {
	t.Helper()
	ends, err := admin.ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n
}
