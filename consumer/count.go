package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/internal/kafka"
)

// Count reads the ranges and says of each how many events the job would send. Of a redrive
// all open letters count, also those that the stream does not take any more. told, which may
// be nil, hears how many offsets each read has passed. It is called before Run.
func (j *Job) Count(ctx context.Context, told func(offsets int64)) ([]int64, error) {
	out, err := j.connect()
	if err != nil {
		return nil, err
	}
	defer out.Close()
	counts := make([]int64, len(j.task.Ranges))
	for i, r := range j.task.Ranges {
		if counts[i], err = j.count(ctx, r, told); err != nil {
			return nil, fmt.Errorf("count %s[%d]: %w", j.task.Topic, r.Partition, err)
		}
	}
	return counts, nil
}

const (
	countWindow = 4 << 20 // bytes of compressed batches that one request asks for
	countIdle   = 20      // answers in a row that hold nothing, each waited for half a second
)

func (j *Job) count(ctx context.Context, r Range, told func(int64)) (int64, error) {
	check := checker{validator: j.g.cfg.Validator, topicID: j.g.cfg.IDs.Events, letters: j.g.letters}
	return countIn(ctx, j.g.reader, j.g.offsets, j.task.Topic, r, func(rec *kgo.Record) bool { return j.matches(&check, rec) }, told)
}

// countIn counts the records of a range that are wanted. With an error it returns what it
// has counted before. What retention took is not counted.
func countIn(ctx context.Context, reader source, ends offsets, topic string, r Range, wanted func(*kgo.Record) bool, told func(int64)) (int64, error) {
	n, idle := int64(0), 0
	for at := r.From; at < r.To; {
		span, err := reader.Read(ctx, topic, r.Partition, at, countWindow)
		if errors.Is(err, kerr.OffsetOutOfRange) {
			start, _, bounded := ends.Bounds(ctx, topic, r.Partition)
			if bounded == nil && start > at {
				span.Next, err = min(start, r.To), nil // retention was faster
			}
		}
		if err == nil && span.Next <= at {
			if idle++; idle == countIdle {
				err = fmt.Errorf("no answer holds offset %d although the range reaches to %d", at, r.To)
			}
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return n, err
		}
		for _, rec := range span.Records {
			if rec.Offset < r.To && wanted(rec) {
				n++
			}
		}
		if next := min(span.Next, r.To); next > at {
			if told != nil {
				told(next - at)
			}
			at, idle = next, 0
		}
	}
	return n, nil
}

// matches says whether the job would send a record, or refuse it.
func (j *Job) matches(check *checker, r *kgo.Record) bool {
	if j.g.letters != nil {
		return true
	}
	event, _ := check.check(r)
	return event != nil && j.g.router.wants(check)
}

// Scan hands every record of a range of the events topic to each, in order. What retention
// takes meanwhile is passed over. told, which may be nil, hears how many offsets each read
// has passed.
func (s Survey) Scan(ctx context.Context, r Range, each func(*kgo.Record), told func(offsets int64)) error {
	_, err := countIn(ctx, &kafka.Reader{Client: s.Client}, clusterOffsets{s.Client}, s.Topics.Events, r, func(rec *kgo.Record) bool {
		each(rec)
		return false
	}, told)
	return err
}
