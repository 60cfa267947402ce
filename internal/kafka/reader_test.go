package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/internal/kafka"
)

// readable is a topic of one partition with ten records, ten aborted ones, ten committed
// ones and their markers:
//
//	0-9 plain, 10-19 aborted, 20 its marker, 21-30 in a transaction, 31 its marker
func readable(t *testing.T) (*kafka.Reader, string) {
	t.Helper()
	const topic = "readable"
	addr := startBroker(t, kafka.EmbeddedConfig{}).Addr()
	client := newClient(t, addr)
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	record := func(i int) *kgo.Record { return &kgo.Record{Topic: topic, Value: fmt.Append(nil, i)} }
	for i := range 10 {
		if err := client.ProduceSync(t.Context(), record(i)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	txn := newClient(t, addr, kgo.TransactionalID("reader-test"))
	for n, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		if err := txn.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			if err := txn.ProduceSync(t.Context(), record(10+11*n+i)).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := txn.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	return &kafka.Reader{Client: client}, topic
}

// readAll reads from offset on until nothing is left below end.
func readAll(t *testing.T, r *kafka.Reader, topic string, from, end int64, maxBytes int32) []int64 {
	t.Helper()
	var got []int64
	for from < end {
		span, err := r.Read(t.Context(), topic, 0, from, maxBytes)
		if err != nil {
			t.Fatal(err)
		}
		if span.Next <= from {
			t.Fatalf("a read from %d covers nothing although the log ends at %d", from, end)
		}
		for _, rec := range span.Records {
			if rec.Offset < from || rec.Offset >= span.Next {
				t.Errorf("record %d in a span of [%d, %d)", rec.Offset, from, span.Next)
			}
			if string(rec.Value) != fmt.Sprint(rec.Offset) {
				t.Errorf("record %d holds %q", rec.Offset, rec.Value)
			}
			got = append(got, rec.Offset)
		}
		from = span.Next
	}
	return got
}

func offsets(ranges ...[2]int64) []int64 {
	var out []int64
	for _, r := range ranges {
		for i := r[0]; i < r[1]; i++ {
			out = append(out, i)
		}
	}
	return out
}

func TestReaderCoversEveryOffsetAndReturnsOnlyCommittedRecords(t *testing.T) {
	r, topic := readable(t)
	tests := map[string]struct {
		from     int64
		maxBytes int32
		want     []int64
	}{
		"everything":                          {0, 1 << 20, offsets([2]int64{0, 10}, [2]int64{21, 31})},
		"at least one batch a read":           {0, 1, offsets([2]int64{0, 10}, [2]int64{21, 31})},
		"from the midst":                      {5, 1 << 20, offsets([2]int64{5, 10}, [2]int64{21, 31})},
		"from the midst of an aborted batch":  {15, 1, offsets([2]int64{21, 31})},
		"from the midst of a committed batch": {25, 1, offsets([2]int64{25, 31})},
		"from a marker":                       {20, 1, offsets([2]int64{21, 31})},
		"a marker at the end, and nothing":    {31, 1 << 20, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, readAll(t, r, topic, test.from, 32, test.maxBytes)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestReaderAtTheEndFindsNothingYet(t *testing.T) {
	r, topic := readable(t)
	span, err := r.Read(t.Context(), topic, 0, 32, 1<<20)
	if err != nil || len(span.Records) != 0 || span.Next != 32 || span.Stable != 32 || span.Start != 0 {
		t.Errorf("%+v, %v; want an empty span of [32, 32) in a log of [0, 32)", span, err)
	}
}

func TestReaderOutsideOfTheLogIsToldSo(t *testing.T) {
	r, topic := readable(t)
	if _, err := r.Read(t.Context(), topic, 0, 33, 1); !errors.Is(err, kerr.OffsetOutOfRange) {
		t.Errorf("above the end: %v", err)
	}
	var cut kadm.Offsets
	cut.Add(kadm.Offset{Topic: topic, At: 25})
	if _, err := kadm.NewClient(r.Client).DeleteRecords(t.Context(), cut); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(t.Context(), topic, 0, 24, 1); !errors.Is(err, kerr.OffsetOutOfRange) {
		t.Errorf("below the start: %v", err)
	}
	span, err := r.Read(t.Context(), topic, 0, 25, 1<<20)
	if err != nil || span.Start != 25 || len(span.Records) == 0 || span.Records[0].Offset != 25 {
		t.Errorf("at the start: %+v, %v", span, err)
	}
}

func TestReaderOfWhatDoesNotExistIsTold(t *testing.T) {
	r, topic := readable(t)
	if _, err := r.Read(t.Context(), "nowhere", 0, 0, 1); err == nil {
		t.Error("a topic that does not exist was read")
	}
	if _, err := r.Read(t.Context(), topic, 1, 0, 1); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("a partition that does not exist: %v", err)
	}
}

func TestReadRecord(t *testing.T) {
	r, topic := readable(t)
	for offset, exists := range map[int64]bool{0: true, 9: true, 10: false, 20: false, 21: true, 30: true, 31: false} {
		rec, err := r.ReadRecord(t.Context(), topic, 0, offset)
		if exists != (err == nil) || exists && (rec.Offset != offset || string(rec.Value) != fmt.Sprint(offset)) {
			t.Errorf("offset %d: %v, %v; want a record: %t", offset, rec, err, exists)
		}
	}
	if _, err := r.ReadRecord(t.Context(), topic, 0, 50); !errors.Is(err, kerr.OffsetOutOfRange) {
		t.Errorf("above the end: %v", err)
	}
}

func TestReadToEnd(t *testing.T) {
	r, topic := readable(t)
	var got []int64
	end, err := r.ReadToEnd(t.Context(), topic, 0, func(rec *kgo.Record) { got = append(got, rec.Offset) })
	if err != nil || end != 32 {
		t.Fatalf("the end is %d, %v; want 32", end, err)
	}
	if diff := cmp.Diff(offsets([2]int64{0, 10}, [2]int64{21, 31}), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.ReadToEnd(ctx, topic, 0, func(*kgo.Record) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("after its context's end: %v", err)
	}
	if _, err := r.ReadToEnd(t.Context(), topic, 1, func(*kgo.Record) {}); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("a partition that does not exist: %v", err)
	}
}
