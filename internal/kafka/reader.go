package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Reader reads ranges of a topic by single Fetch requests, outside of any group.
// Unlike a consumer it says exactly which offsets an answer covers, records or not:
// offsets have gaps (control records, aborted transactions, compaction), and whoever
// must know that nothing is left in a range cannot learn it from records alone.
// It is safe for concurrent use and keeps nothing between calls but the metadata.
type Reader struct {
	Client *kgo.Client // any client of the cluster

	// IDs are those that topics must have, by name, as [TopicID] spells them. A topic that is
	// not listed may be any of its name. It is not changed once the reader is used.
	IDs map[string]string
}

// ErrRemade says that a topic was deleted and made anew: an offset of the former one says
// nothing about this one.
var ErrRemade = errors.New("the topic was deleted and made anew")

// Span is what one read found.
type Span struct {
	Records []*kgo.Record // committed records of [from, Next), without control records
	Next    int64         // every offset below it has been covered
	Start   int64         // first offset that the log still has
	Stable  int64         // last stable offset: no committed record is at or above it
}

// maxWait is how long a broker holds a Fetch that finds nothing.
const maxWait = 500 * time.Millisecond

// Read reads committed records of a partition from offset from on, about maxBytes of
// compressed batches, but at least one batch. It returns an empty Span with Next ==
// from when nothing is there yet. kerr.OffsetOutOfRange is returned as it is.
func (r *Reader) Read(ctx context.Context, topic string, partition int32, from int64, maxBytes int32) (Span, error) {
	var last error
	for range 3 {
		span, err := r.read(ctx, topic, partition, from, maxBytes, last != nil)
		if errors.Is(err, kerr.OffsetOutOfRange) {
			err = r.outOfRange(ctx, topic, partition, from, err)
		}
		if err == nil || !errors.Is(err, errStale) && !kerr.IsRetriable(err) && !kgo.IsRetryableBrokerErr(err) {
			return span, err
		}
		last = err // leadership moved, or the leader went away: ask anew who leads
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return Span{}, err
		}
	}
	return Span{}, last
}

// errStale marks an answer of a broker that does not know the whole log.
var errStale = errors.New("a broker that lags behind the leader")

// outOfRange asks the leader whether an offset is out of range before anybody counts
// events as lost. A broker that no longer leads, or is about to, serves consumers too
// (KIP-392) and takes an offset that it has not copied yet for one out of range.
func (r *Reader) outOfRange(ctx context.Context, topic string, partition int32, from int64, outOfRange error) error {
	admin := kadm.NewClient(r.Client)
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return fmt.Errorf("start of %s: %w", topic, err)
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return fmt.Errorf("end of %s: %w", topic, err)
	}
	start, ok1 := starts.Lookup(topic, partition)
	end, ok2 := ends.Lookup(topic, partition)
	if !ok1 || !ok2 {
		return kerr.UnknownTopicOrPartition
	}
	if err := errors.Join(start.Err, end.Err); err != nil {
		return fmt.Errorf("range of %s[%d]: %w", topic, partition, err)
	}
	if from < start.Offset || from > end.Offset {
		return outOfRange
	}
	return fmt.Errorf("fetch %s[%d] at %d: %w", topic, partition, from, errStale)
}

func (r *Reader) read(ctx context.Context, topic string, partition int32, from int64, maxBytes int32, fresh bool) (Span, error) {
	leader, epoch, id, err := r.leader(ctx, topic, partition, fresh)
	if err != nil {
		return Span{}, err
	}
	if want := r.IDs[topic]; want != "" && want != TopicID(id) {
		return Span{}, fmt.Errorf("fetch %s[%d] at %d: %w", topic, partition, from, ErrRemade)
	}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis = int32(maxWait / time.Millisecond)
	req.MinBytes = 1
	// The partition's bound is the bound. At the whole answer's the embedded broker leaves out
	// which transactions were aborted, and their records would pass for committed ones.
	req.MaxBytes = math.MaxInt32
	req.IsolationLevel = 1 // read committed
	req.SessionEpoch = -1  // no fetch session
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = topic, id
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = partition, from, maxBytes
	rp.CurrentLeaderEpoch = epoch // a broker that leads no more says so, instead of serving what it has
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)

	answer, err := r.Client.Broker(int(leader)).RetriableRequest(ctx, req)
	if err != nil {
		return Span{}, fmt.Errorf("fetch %s[%d] at %d: %w", topic, partition, from, err)
	}
	resp, ok := answer.(*kmsg.FetchResponse)
	if !ok || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		if ok && resp.ErrorCode != 0 {
			return Span{}, kerr.ErrorForCode(resp.ErrorCode)
		}
		return Span{}, fmt.Errorf("fetch %s[%d] at %d: the answer does not hold the partition", topic, partition, from)
	}
	part := &resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(part.ErrorCode); err != nil {
		return Span{}, err
	}
	fp, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset:         from,
		IsolationLevel: kgo.ReadCommitted(),
		Topic:          topic,
		Partition:      partition,
	}, part, kgo.DefaultDecompressor(), nil)
	if fp.Err != nil {
		return Span{}, fmt.Errorf("fetch %s[%d] at %d: %w", topic, partition, from, fp.Err)
	}
	return Span{Records: fp.Records, Next: max(next, from), Start: part.LogStartOffset, Stable: part.LastStableOffset}, nil
}

func (r *Reader) leader(ctx context.Context, topic string, partition int32, fresh bool) (leader, epoch int32, id [16]byte, err error) {
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = new(topic)
	req.Topics = append(req.Topics, rt)
	age := time.Minute
	if fresh {
		age = 50 * time.Millisecond
	}
	resp, err := r.Client.RequestCachedMetadata(ctx, req, age)
	if err != nil {
		return 0, 0, id, fmt.Errorf("metadata of %s: %w", topic, err)
	}
	for _, t := range resp.Topics {
		if t.Topic == nil || *t.Topic != topic {
			continue
		}
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return 0, 0, id, err
		}
		for _, p := range t.Partitions {
			if p.Partition == partition {
				if p.Leader < 0 {
					return 0, 0, id, kerr.LeaderNotAvailable
				}
				return p.Leader, p.LeaderEpoch, t.TopicID, kerr.ErrorForCode(p.ErrorCode)
			}
		}
	}
	return 0, 0, id, kerr.UnknownTopicOrPartition
}

// ReadRecord returns the one record at offset. An offset that holds none is an error.
func (r *Reader) ReadRecord(ctx context.Context, topic string, partition int32, offset int64) (*kgo.Record, error) {
	span, err := r.Read(ctx, topic, partition, offset, 1)
	if err != nil {
		return nil, err
	}
	for _, rec := range span.Records {
		if rec.Offset == offset {
			return rec, nil
		}
	}
	return nil, fmt.Errorf("%s[%d]: no record at offset %d", topic, partition, offset)
}

// ReadToEnd hands every committed record of a partition to f, from the first that is
// kept to the last that is stable now, and returns the offset after it.
func (r *Reader) ReadToEnd(ctx context.Context, topic string, partition int32, f func(*kgo.Record)) (int64, error) {
	return r.readOn(ctx, topic, partition, -1, f)
}

// ReadOn is ReadToEnd from an offset on, where an earlier reading has stopped. An offset that
// the partition does not reach, or has forgotten, is kerr.OffsetOutOfRange.
func (r *Reader) ReadOn(ctx context.Context, topic string, partition int32, from int64, f func(*kgo.Record)) (int64, error) {
	return r.readOn(ctx, topic, partition, from, f)
}

// readOn reads from an offset on; a negative one is the first that is kept.
func (r *Reader) readOn(ctx context.Context, topic string, partition int32, from int64, f func(*kgo.Record)) (int64, error) {
	admin := kadm.NewClient(r.Client)
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err = errors.Join(err, starts.Error()); err != nil {
		return 0, fmt.Errorf("start of %s: %w", topic, err)
	}
	ends, err := admin.ListCommittedOffsets(ctx, topic)
	if err = errors.Join(err, ends.Error()); err != nil {
		return 0, fmt.Errorf("end of %s: %w", topic, err)
	}
	start, ok := starts.Lookup(topic, partition)
	end, ok2 := ends.Lookup(topic, partition)
	if !ok || !ok2 {
		return 0, fmt.Errorf("%s[%d]: %w", topic, partition, kerr.UnknownTopicOrPartition)
	}
	switch {
	case from < 0:
		from = start.Offset
	case from < start.Offset, from > end.Offset:
		return 0, fmt.Errorf("read %s[%d] at %d: %w", topic, partition, from, kerr.OffsetOutOfRange)
	}
	for at := from; at < end.Offset; {
		span, err := r.Read(ctx, topic, partition, at, 4<<20)
		if err != nil {
			return 0, fmt.Errorf("read %s[%d] at %d: %w", topic, partition, at, err)
		}
		for _, rec := range span.Records {
			if rec.Offset < end.Offset {
				f(rec)
			}
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		at = span.Next
	}
	return end.Offset, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
