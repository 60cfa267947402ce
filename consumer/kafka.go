package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/auditstream/auditstream/internal/kafka"
)

// What delivery asks of Kafka, poll loop and rebalances excepted. Everything that decides
// about a lane runs on these alone, so that the model can play Kafka and its failures.

// source reads topics outside of the group; see [kafka.Reader].
type source interface {
	Read(ctx context.Context, topic string, partition int32, from int64, maxBytes int32) (kafka.Span, error)
	ReadRecord(ctx context.Context, topic string, partition int32, offset int64) (*kgo.Record, error)
	ReadToEnd(ctx context.Context, topic string, partition int32, f func(*kgo.Record)) (int64, error)
}

// producer writes records, those of one partition in the order of the calls. The promise
// is called once, when all in-sync replicas have the record or when it has failed; a
// record that has failed may be written all the same.
type producer interface {
	TryProduce(ctx context.Context, r *kgo.Record, promise func(*kgo.Record, error))
}

// offsets knows a topic's offsets.
type offsets interface {
	// Bounds are the first offset that Kafka has of a partition and the last stable one.
	Bounds(ctx context.Context, topic string, number int32) (start, end int64, err error)
	// At is the first offset whose record was appended at t or later, in milliseconds; the
	// end of the partition without one.
	At(ctx context.Context, topic string, number int32, t time.Time) (int64, error)
	// EpochEnd is where the records of a leader epoch, and those of earlier ones, end in the
	// log as it is now; -1 if Kafka does not know.
	EpochEnd(ctx context.Context, topic string, number, epoch int32) (int64, error)
	// ID is a topic's id at this moment.
	ID(ctx context.Context, topic string) (string, error)
}

// membership is this process's place in the group.
type membership interface {
	// Commit commits group offsets with their metadata. An error may come after the offsets
	// were taken; a member that has lost its place is always refused.
	Commit(ctx context.Context, offsets map[int32]int64, metadata map[int32]string) error
	// Seek has the next fetch of a partition begin at offset.
	Seek(number int32, offset int64)
}

// turn is a lock that is held while Kafka is waited for. Whoever waits for it can give up,
// and so ends with its partition, not with Kafka's time-outs.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// take waits for the turn; it fails only when ctx has ended.
func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) give() { <-t }

// clusterOffsets asks the cluster.
type clusterOffsets struct{ client *kgo.Client }

// boundsTries bounds the tries to learn a partition's bounds. A leader that was just elected
// does not know its end for a moment (OFFSET_NOT_AVAILABLE), and a partition that is not
// opened for that costs a rebalance.
const boundsTries = 10

func (c clusterOffsets) Bounds(ctx context.Context, topic string, number int32) (start, end int64, err error) {
	for range boundsTries {
		if start, end, err = c.bounds(ctx, topic, number); err == nil || !kerr.IsRetriable(err) {
			break
		}
		if pause(ctx, 200*time.Millisecond) != nil {
			break
		}
	}
	return start, end, err
}

func (c clusterOffsets) bounds(ctx context.Context, topic string, number int32) (start, end int64, err error) {
	admin := kadm.NewClient(c.client)
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err = errors.Join(err, starts.Error()); err != nil {
		return 0, 0, fmt.Errorf("start of %s: %w", topic, err)
	}
	ends, err := admin.ListCommittedOffsets(ctx, topic)
	if err = errors.Join(err, ends.Error()); err != nil {
		return 0, 0, fmt.Errorf("end of %s: %w", topic, err)
	}
	s, ok1 := starts.Lookup(topic, number)
	e, ok2 := ends.Lookup(topic, number)
	if !ok1 || !ok2 {
		return 0, 0, fmt.Errorf("%s[%d]: %w", topic, number, kerr.UnknownTopicOrPartition)
	}
	return s.Offset, e.Offset, nil
}

func (c clusterOffsets) At(ctx context.Context, topic string, number int32, t time.Time) (int64, error) {
	listed, err := kadm.NewClient(c.client).ListOffsetsAfterMilli(ctx, t.UnixMilli(), topic)
	if err = errors.Join(err, listed.Error()); err != nil {
		return 0, fmt.Errorf("offset at %s: %w", t.Format(time.RFC3339), err)
	}
	o, ok := listed.Lookup(topic, number)
	if !ok {
		return 0, fmt.Errorf("%s[%d]: %w", topic, number, kerr.UnknownTopicOrPartition)
	}
	return o.Offset, nil
}

func (c clusterOffsets) EpochEnd(ctx context.Context, topic string, number, epoch int32) (int64, error) {
	var req kadm.OffsetForLeaderEpochRequest
	req.Add(topic, number, epoch)
	resp, err := kadm.NewClient(c.client).OffsetForLeaderEpoch(ctx, req)
	if err != nil {
		return -1, fmt.Errorf("end of leader epoch %d of %s[%d]: %w", epoch, topic, number, err)
	}
	found, ok := resp[topic][number]
	if !ok {
		return -1, fmt.Errorf("%s[%d]: %w", topic, number, kerr.UnknownTopicOrPartition)
	}
	if found.Err != nil {
		return -1, fmt.Errorf("end of leader epoch %d of %s[%d]: %w", epoch, topic, number, found.Err)
	}
	return found.EndOffset, nil
}

func (c clusterOffsets) ID(ctx context.Context, topic string) (string, error) {
	ids, err := kafka.TopicIDs(ctx, kadm.NewClient(c.client), topic)
	return ids[topic], err
}

// groupMember is the place of the group's consumer.
type groupMember struct {
	client *kgo.Client
	topic  string
}

func (m groupMember) Commit(ctx context.Context, offsets map[int32]int64, metadata map[int32]string) error {
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		for i := range req.Topics {
			for j := range req.Topics[i].Partitions {
				part := &req.Topics[i].Partitions[j]
				text := metadata[part.Partition]
				part.Metadata = &text
			}
		}
		return nil
	})
	at := make(map[int32]kgo.EpochOffset, len(offsets))
	for number, offset := range offsets {
		at[number] = kgo.EpochOffset{Epoch: -1, Offset: offset}
	}
	var failed error
	m.client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{m.topic: at},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
			if err != nil {
				failed = err
				return
			}
			failed = commitErrors(resp)
		})
	return failed
}

func (m groupMember) Seek(number int32, offset int64) {
	m.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{m.topic: {number: {Epoch: -1, Offset: offset}}})
}

// commitErrors is the first failure of a commit's answer.
func commitErrors(resp *kmsg.OffsetCommitResponse) error {
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("partition %d: %w", p.Partition, err)
			}
		}
	}
	return nil
}
