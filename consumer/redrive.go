package consumer

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/sinks"
)

// Letters is what a redrive reads in place of the events topic: the open dead letters of
// its stream, each as the record that it is about, at the letter's partition and offset.
type Letters interface {
	// Read reads like [kafka.Reader.Read]; offsets without an open letter hold no record.
	Read(ctx context.Context, partition int32, from int64, maxBytes int32) (kafka.Span, error)
	// Origin is where the record that Read has returned stands, or stood, in the events
	// topic.
	Origin(r *kgo.Record) (topicID string, partition int32, offset int64)
	// Mark puts the mark on letters that their event was redriven, and returns when all
	// replicas have it. To mark a letter twice does no harm.
	Mark(ctx context.Context, partition int32, offsets []int64) error
}

// letterSource is Letters as what a group reads from.
type letterSource struct {
	source // everything else
	topic  string
	from   Letters
}

func (s letterSource) Read(ctx context.Context, topic string, partition int32, from int64, maxBytes int32) (kafka.Span, error) {
	if topic != s.topic {
		return s.source.Read(ctx, topic, partition, from, maxBytes)
	}
	return s.from.Read(ctx, partition, from, maxBytes)
}

// redriven marks the letters of events that the destination has taken. Only then may the
// cursor move: a crash in between sends the events again, and never leaves one that was not
// sent marked as if it were. While the mark cannot be written the lane holds.
func (l *lane) redriven(ctx context.Context, events []sinks.Entry) error {
	letters := l.p.g.letters
	if letters == nil || len(events) == 0 {
		return nil
	}
	offsets := make([]int64, len(events))
	for i, e := range events {
		offsets[i] = e.Offset
	}
	for n := 1; ; n++ {
		err := letters.Mark(ctx, l.p.number, offsets)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := l.wait(ctx, StateError, err, l.p.g.cfg.Retry.wait(n, 0)); err != nil {
			return err
		}
	}
}

// unwanted is why a letter's event is not sent: the stream's organization or actions were
// changed since the letter was written. To send it might show one tenant's event to another.
func unwanted() cause {
	now := time.Now()
	return cause{
		class: classUnwanted, attempts: 1, first: now, last: now,
		reason: "the stream takes no such events any more: its organization or its actions were changed since the letter was written",
	}
}
