package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Follower reads the only partition of a compacted topic on to its end, whenever it is asked
// to: what was written before the question is known after it. It is used by one goroutine at
// a time.
type Follower struct {
	Client *kgo.Client
	Topic  string

	id   string // of the topic, empty before the first read
	next int64  // first offset that was not read
}

// followBytes is what is read at once, in compressed bytes.
const followBytes = 1 << 20

// Read hands every record that is new to take. forget comes first where what was read before
// says nothing any more: at the first time, and when the topic was made anew.
func (f *Follower) Read(ctx context.Context, forget func(), take func(*kgo.Record)) error {
	for range 3 {
		err := f.read(ctx, forget, take)
		if !errors.Is(err, ErrRemade) && !errors.Is(err, kerr.OffsetOutOfRange) {
			return err
		}
		f.id = ""
	}
	return fmt.Errorf("read %s: it is being made anew", f.Topic)
}

func (f *Follower) read(ctx context.Context, forget func(), take func(*kgo.Record)) error {
	admin := kadm.NewClient(f.Client)
	if f.id == "" {
		ids, err := TopicIDs(ctx, admin, f.Topic)
		if err != nil {
			return err
		}
		start, err := admin.ListStartOffsets(ctx, f.Topic)
		if err = errors.Join(err, start.Error()); err != nil {
			return fmt.Errorf("start of %s: %w", f.Topic, err)
		}
		at, ok := start.Lookup(f.Topic, 0)
		if !ok {
			return kerr.UnknownTopicOrPartition
		}
		forget()
		f.id, f.next = ids[f.Topic], at.Offset
	}
	ends, err := admin.ListCommittedOffsets(ctx, f.Topic)
	if err = errors.Join(err, ends.Error()); err != nil {
		return fmt.Errorf("end of %s: %w", f.Topic, err)
	}
	end, ok := ends.Lookup(f.Topic, 0)
	switch {
	case !ok:
		return kerr.UnknownTopicOrPartition
	case end.Offset < f.next:
		return ErrRemade
	}
	reader := &Reader{Client: f.Client, IDs: map[string]string{f.Topic: f.id}}
	for f.next < end.Offset {
		span, err := reader.Read(ctx, f.Topic, 0, f.next, followBytes)
		if err != nil {
			return err
		}
		for _, r := range span.Records {
			take(r)
		}
		f.next = span.Next
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}
