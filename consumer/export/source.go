package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/schema"
)

// ErrGone says that Kafka does not have the events of an export any more: retention took
// them, or the topic was made anew.
var ErrGone = errors.New("the events are not in Kafka any more")

// Source reads the events of exports. It may be used by many goroutines at once.
type Source struct {
	Client   *kgo.Client
	Topic    string // of events
	Valid    schema.Validator
	Patience time.Duration // how long Kafka may be away in the middle of a file; 0: a minute
}

const (
	// readBytes is what is read at once, in compressed bytes. It bounds what an export holds in
	// memory: that, unpacked.
	readBytes = 1 << 20
	// readPause is the wait after a read that failed.
	readPause = 500 * time.Millisecond
	patience  = time.Minute
)

// visitor is told what is found in the ranges of an export, in their order.
type visitor struct {
	event      func(partition int32, offset int64, e *schema.Event) error
	unreadable func()
	passed     func(offsets int64) error
}

// visit goes through the ranges. The event is good until event returns.
func (s *Source) visit(ctx context.Context, e *Export, ranges []Range, v visitor) error {
	reader := &kafka.Reader{Client: s.Client, IDs: map[string]string{s.Topic: e.TopicID}}
	inspector := consumer.NewInspector(s.Valid, e.TopicID)
	organization := []byte(e.OrganizationID)
	for _, r := range ranges {
		for at := r.From; at < r.To; {
			span, err := s.read(ctx, reader, r.Partition, at)
			if err != nil {
				return err
			}
			for _, rec := range span.Records {
				if rec.Offset >= r.To || !bytes.Equal(rec.Key, organization) {
					continue
				}
				found, violations := inspector.Event(rec)
				if len(violations) > 0 {
					v.unreadable()
					continue
				}
				event, err := schema.Decode(found.Value)
				if err != nil {
					v.unreadable() // what no format could carry either
					continue
				}
				if !e.wanted(event, rec.Timestamp) {
					continue
				}
				if err := v.event(r.Partition, rec.Offset, event); err != nil {
					return err
				}
			}
			if err := v.passed(min(span.Next, r.To) - at); err != nil {
				return err
			}
			at = span.Next
		}
	}
	return nil
}

// read reads on from an offset below the end of a range, and waits for a Kafka that is away.
func (s *Source) read(ctx context.Context, reader *kafka.Reader, partition int32, at int64) (kafka.Span, error) {
	began := time.Now()
	for {
		span, err := reader.Read(ctx, s.Topic, partition, at, readBytes)
		switch {
		case err == nil && span.Next > at:
			return span, nil
		case err == nil: // the log was cut off since the export was made, or its leader is behind
			err = fmt.Errorf("%s[%d] has nothing at offset %d, which it had: %w", s.Topic, partition, at, ErrGone)
		case errors.Is(err, kerr.OffsetOutOfRange), errors.Is(err, kafka.ErrRemade):
			return span, fmt.Errorf("%s[%d] at offset %d: %w", s.Topic, partition, at, ErrGone)
		}
		limit := s.Patience
		if limit == 0 {
			limit = patience
		}
		if ctx.Err() != nil || time.Since(began) > limit {
			return span, err
		}
		again := time.NewTimer(readPause)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return span, ctx.Err()
		}
	}
}
