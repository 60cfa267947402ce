//go:build integration

package integration

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/consumer/deadletter"
	"github.com/auditstream/auditstream/integration/servers"
	"github.com/auditstream/auditstream/internal/kafka"
)

// TestDeadLetters decides about letters where offsets have gaps (transactions leave
// control records), retention takes the front, and the topic gets partitions between a
// letter and its mark.
func TestDeadLetters(t *testing.T) {
	broker := servers.StartKafka(t, 1)
	admin := newAdmin(t, broker.Addrs)
	topics := kafka.Topics{Partitions: 1, Replication: 1}
	if err := kafka.EnsureTopics(t.Context(), admin, topics, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	client := newClient(t, kgo.SeedBrokers(broker.Addrs...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("letters"))
	began := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	write := func(commit kgo.TransactionEndTry, numbers ...int) {
		t.Helper()
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for _, n := range numbers {
			r := deadLetter(n)
			r.Topic, r.Timestamp = topics.DeadLetters(), began.Add(time.Duration(n)*time.Second)
			if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := client.EndTransaction(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
	}
	write(kgo.TryCommit, 0, 1, 2) // offsets 0 to 2, control record 3
	write(kgo.TryAbort, 3)        // 4 and 5 are never seen
	write(kgo.TryCommit, 4, 5)    // 6 and 7, control record 8
	if _, err := admin.CreatePartitions(t.Context(), 2, topics.DeadLetters()); err != nil {
		t.Fatal(err)
	}

	letters, err := deadletter.Connect(deadletter.Config{Kafka: []kgo.Opt{kgo.SeedBrokers(broker.Addrs...)}, Topic: topics.DeadLetters(), By: "ops"})
	if err != nil {
		t.Fatal(err)
	}
	defer letters.Close()
	open := func(partition int32) []string {
		t.Helper()
		var at []string
		for l, err := range letters.OpenLetters(t.Context(), partition, "str_a") {
			if err != nil {
				t.Fatal(err)
			}
			at = append(at, l.Position.String())
		}
		return at
	}
	list := func(q deadletter.Query) []string {
		t.Helper()
		q.Limit = 10
		got, err := letters.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, l := range got.Letters {
			lines = append(lines, fmt.Sprint(l.Position, " ", l.State))
		}
		return lines
	}
	equal := func(what string, want, got []string) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	equal("open at first", []string{"0:0", "0:1", "0:2", "0:6", "0:7"}, open(0))
	equal("open in the new partition", nil, open(1))

	for _, n := range []int64{1, 6} {
		l, err := letters.Letter(t.Context(), deadletter.Position{Offset: n})
		if err != nil {
			t.Fatal(err)
		}
		if err := letters.Mark(t.Context(), deadletter.Discarded, "of no use", l); err != nil {
			t.Fatal(err)
		}
	}
	equal("open after marks", []string{"0:0", "0:2", "0:7"}, open(0))
	equal("discarded", []string{"0:6 discarded", "0:1 discarded"}, list(deadletter.Query{State: deadletter.Discarded}))
	equal("since the fourth", []string{"0:7 open", "0:6 discarded"}, list(deadletter.Query{Since: began.Add(4 * time.Second)}))
	for _, gap := range []int64{3, 4} {
		if _, err := letters.Letter(t.Context(), deadletter.Position{Offset: gap}); err == nil || err.Error() != fmt.Sprintf("no letter at 0:%d: the offset holds no record", gap) {
			t.Errorf("offset %d: %v", gap, err)
		}
	}

	before := kadm.Offsets{}
	before.AddOffset(topics.DeadLetters(), 0, 2, -1)
	if _, err := admin.DeleteRecords(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	equal("what retention left", []string{"0:7 open", "0:6 discarded", "0:2 open"}, list(deadletter.Query{}))
}

// deadLetter is a letter about the event at offset n.
func deadLetter(n int) *kgo.Record {
	r := &kgo.Record{Key: []byte("org_01JAAAAAAAAAAAAAAAAAAAAAAA"), Value: []byte(`{"action":"user.signed_in"}`)}
	for _, h := range [][2]string{
		{"version", "1"},
		{"id", fmt.Sprintf("T.0.%d.str_a.rejected", n)},
		{"class", "rejected"},
		{"reason", "refused"},
		{"streams", `[{"id":"a","uid":"str_a","epoch":1,"revision":1}]`},
		{"kind", "splunk"},
		{"attempts", "1"},
		{"first_failure", "2026-11-22T11:59:58Z"},
		{"last_failure", "2026-11-22T11:59:59Z"},
		{"topic", "audit.events"},
		{"topic_id", "T"},
		{"partition", "0"},
		{"offset", fmt.Sprint(n)},
		{"timestamp", "1795343400123"},
	} {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: "auditstream.letter." + h[0], Value: []byte(h[1])})
	}
	return r
}
