package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/auditstream/auditstream/internal/kafka"
)

// Following is what surveys have read of the progress topic: each goes on where the one
// before it stopped, instead of reading everything again. The zero value has read nothing.
// It is safe for concurrent use; surveys that share one take turns.
type Following struct {
	mu    sync.Mutex
	id    string              // of the topic; guarded by mu
	parts map[int32]*followed // guarded by mu
}

// followed is what was read of one partition.
type followed struct {
	next  int64 // first offset that was not read
	byUID map[string]table
	bad   map[string]error // by key: records that cannot be understood; only the last one of a key counts
	names map[string]string
}

func newFollowed() *followed {
	return &followed{byUID: map[string]table{}, bad: map[string]error{}, names: map[string]string{}}
}

// take takes a record in.
func (f *followed) take(r *kgo.Record) {
	delete(f.bad, string(r.Key))
	key, err := parseProgressKey(r.Key)
	if err != nil {
		f.bad[string(r.Key)] = err
		return
	}
	of := f.byUID[key.uid]
	if of == nil {
		of = table{}
		f.byUID[key.uid] = of
	}
	if err := of.add(r); err != nil {
		f.bad[string(r.Key)] = err
	}
	for key, p := range of {
		p.UID, p.Stream, p.TopicID = key.uid, f.name(p.Stream), f.name(p.TopicID)
	}
	if len(of) == 0 {
		delete(f.byUID, key.uid)
	}
}

// name is the one copy of a text that stands in thousands of records.
func (f *followed) name(text string) string {
	if have, ok := f.names[text]; ok {
		return have
	}
	f.names[text] = text
	return text
}

// read reads on to the ends of partitions. The caller holds mu while it uses what it gets.
func (f *Following) read(ctx context.Context, client *kgo.Client, topic, id string, numbers []int32) (map[int32]*followed, error) {
	if f.id != id || f.parts == nil {
		f.id, f.parts = id, map[int32]*followed{}
	}
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("start of %s: %w", topic, err)
	}
	ends, err := admin.ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("end of %s: %w", topic, err)
	}
	reader := &kafka.Reader{Client: client}
	if id != "" {
		reader.IDs = map[string]string{topic: id}
	}
	reading, within := errgroup.WithContext(ctx)
	reading.SetLimit(8)
	parts := make(map[int32]*followed, len(numbers))
	for _, number := range numbers {
		start, ok1 := starts.Lookup(topic, number)
		end, ok2 := ends.Lookup(topic, number)
		p := f.parts[number]
		// A log that ends below what was read has lost records, or is another one.
		if p == nil || end.Offset < p.next || start.Offset > p.next {
			p = newFollowed()
			p.next = start.Offset
			f.parts[number] = p
		}
		parts[number] = p
		if !ok1 || !ok2 {
			continue // the events topic has just grown
		}
		reading.Go(func() error { return p.readTo(within, reader, topic, number, end.Offset) })
	}
	if err := reading.Wait(); err != nil {
		return nil, err
	}
	var bad error
	for _, number := range numbers {
		bad = errors.Join(bad, errors.Join(slices.Collect(maps.Values(parts[number].bad))...))
	}
	return parts, bad
}

func (f *followed) readTo(ctx context.Context, reader *kafka.Reader, topic string, number int32, end int64) error {
	for f.next < end {
		span, err := reader.Read(ctx, topic, number, f.next, 4<<20)
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s[%d] at %d: %w", topic, number, f.next, err)
		}
		for _, r := range span.Records {
			f.take(r)
		}
		f.next = span.Next
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}
