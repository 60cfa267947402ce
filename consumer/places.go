package consumer

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/internal/kafka"
)

// Count reads the log and counts the events of a stream in a range. What retention took is
// not counted. With an error, such as that of ctx, it returns what it has counted before.
func (s Survey) Count(ctx context.Context, spec Spec, r Range) (int64, error) {
	one := spec.Selection().router
	check := checker{validator: s.Validator, topicID: s.IDs.Events}
	return countIn(ctx, &kafka.Reader{Client: s.Client}, clusterOffsets{s.Client}, s.Topics.Events, r, func(rec *kgo.Record) bool {
		event, _ := check.check(rec)
		return event != nil && one.wants(&check)
	}, nil)
}

// Ends are the ends of the partitions.
func (s Survey) Ends(ctx context.Context) (map[int32]int64, error) {
	topic, err := s.bounds(ctx)
	if err != nil {
		return nil, err
	}
	ends := map[int32]int64{}
	for _, number := range topic.numbers {
		end, _ := topic.ends.Lookup(s.Topics.Events, number)
		ends[number] = end.Offset
	}
	return ends, nil
}

// Places are the offsets in every partition at which events begin that were appended at a
// spec's start or later.
func (s Survey) Places(ctx context.Context, spec Spec) (map[int32]int64, error) {
	topic, err := s.bounds(ctx)
	if err != nil {
		return nil, err
	}
	places := map[int32]int64{}
	after := s.after(ctx)
	for _, number := range topic.numbers {
		start, _ := topic.starts.Lookup(s.Topics.Events, number)
		end, _ := topic.ends.Lookup(s.Topics.Events, number)
		if places[number], err = spec.In(number).begins(s.IDs.Events, start.Offset, end.Offset, after(number, end.Offset)); err != nil {
			return nil, err
		}
	}
	return places, nil
}
