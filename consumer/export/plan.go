package export

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/internal/kafka"
)

// Plan fixes which offsets a pending export looks through: of every partition, since an
// organization's events stand in other ones as well where the topic has grown, or another
// program has published. They end with what is committed now.
func (s *Source) Plan(ctx context.Context, e *Export) error {
	admin := kadm.NewClient(s.Client)
	ids, err := kafka.TopicIDs(ctx, admin, s.Topic)
	if err != nil {
		return err
	}
	starts, err := admin.ListStartOffsets(ctx, s.Topic)
	if err = errors.Join(err, starts.Error()); err != nil {
		return fmt.Errorf("start of %s: %w", s.Topic, err)
	}
	ends, err := admin.ListCommittedOffsets(ctx, s.Topic)
	if err = errors.Join(err, ends.Error()); err != nil {
		return fmt.Errorf("end of %s: %w", s.Topic, err)
	}
	since, err := admin.ListOffsetsAfterMilli(ctx, max(e.AppendedSince().UnixMilli(), 0), s.Topic)
	if err = errors.Join(err, since.Error()); err != nil {
		return fmt.Errorf("offsets of %s: %w", s.Topic, err)
	}
	firsts, err := admin.ListOffsetsAfterMilli(ctx, 0, s.Topic) // with their times
	if err = errors.Join(err, firsts.Error()); err != nil {
		return fmt.Errorf("first events of %s: %w", s.Topic, err)
	}
	if len(ends[s.Topic]) == 0 {
		return kerr.UnknownTopicOrPartition
	}
	e.TopicID, e.Ranges, e.Beginning = ids[s.Topic], nil, nil
	own := partitionOf(e.OrganizationID, len(ends[s.Topic]))
	for number, end := range ends[s.Topic] {
		start, ok := starts.Lookup(s.Topic, number)
		if !ok {
			return kerr.UnknownTopicOrPartition
		}
		r := Range{Partition: number, From: start.Offset, To: end.Offset}
		if at, ok := since.Lookup(s.Topic, number); ok && at.Offset >= 0 {
			r.From = min(max(at.Offset, start.Offset), max(end.Offset, start.Offset))
		}
		if number == own && start.Offset > 0 && r.From == start.Offset {
			e.Beginning = beginning(firsts, s.Topic, number, end.Offset)
		}
		if r.From < r.To {
			e.Ranges = append(e.Ranges, r)
		}
	}
	slices.SortFunc(e.Ranges, func(a, b Range) int { return int(a.Partition) - int(b.Partition) })
	e.Offsets = Offsets{Total: total(e.Ranges)}
	return nil
}

// beginning is the append time of a partition's first event; that of this moment if there is none.
func beginning(firsts kadm.ListedOffsets, topic string, partition int32, end int64) *time.Time {
	now := time.Now().UTC()
	if first, ok := firsts.Lookup(topic, partition); ok && first.Timestamp > 0 && first.Offset < end {
		now = time.UnixMilli(first.Timestamp).UTC()
	}
	return &now
}

// partitionOf is where every Kafka client puts a key.
func partitionOf(key string, partitions int) int32 {
	return int32(kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: []byte(key)}, partitions))
}

// Check returns ErrGone if Kafka does not have all events of a ready export any more.
func (s *Source) Check(ctx context.Context, e *Export) error {
	admin := kadm.NewClient(s.Client)
	ids, err := kafka.TopicIDs(ctx, admin, s.Topic)
	if errors.Is(err, kerr.UnknownTopicOrPartition) || err == nil && ids[s.Topic] != e.TopicID {
		return fmt.Errorf("topic %s was made anew: %w", s.Topic, ErrGone)
	}
	if err != nil {
		return err
	}
	starts, err := admin.ListStartOffsets(ctx, s.Topic)
	if err = errors.Join(err, starts.Error()); err != nil {
		return fmt.Errorf("start of %s: %w", s.Topic, err)
	}
	for _, r := range e.Ranges {
		if start, ok := starts.Lookup(s.Topic, r.Partition); !ok || start.Offset > r.From {
			return fmt.Errorf("%s[%d] begins behind offset %d: %w", s.Topic, r.Partition, r.From, ErrGone)
		}
	}
	return nil
}
