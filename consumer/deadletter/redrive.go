package deadletter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/internal/kafka"
)

// Selection says which of a stream's open letters are sent again. What is zero does not
// restrict.
type Selection struct {
	UID          string // of the stream
	Class        string
	Organization string
	Since        time.Time // the letter was written then or later
	IDs          []string  // of letters
	Reason       string    // of the marks: who sends the letters again
}

// match says whether a letter is meant. One that is about several streams never is: the mark
// would speak for all of them. Nothing writes such letters today.
func (s *Selection) match(l *Letter) bool {
	return len(l.Streams) == 1 && l.Of(s.UID) &&
		(s.Class == "" || l.Class == s.Class) &&
		(s.Organization == "" || string(l.Key) == s.Organization) &&
		(s.Since.IsZero() || !l.Time.Before(s.Since)) &&
		(len(s.IDs) == 0 || slices.Contains(s.IDs, l.ID))
}

// Redrive reads the open letters of a selection as the records that they are about, and
// marks them. Which are open is found out once for each partition, when it is first read:
// letters written or discarded after that change nothing. It refuses a partition with
// records of a newer version, which may be marks: a letter must not be redriven twice. It
// is safe for concurrent use.
type Redrive struct {
	topic     *Topic
	selection Selection

	mu   sync.Mutex
	open map[int32]*openLetters // by partition; guarded by mu
	seen map[Position]*Letter   // what marks need of the letters that were read last; guarded by mu
}

// maxSeen bounds the letters that are kept for their marks. Others are read again.
const maxSeen = 1 << 15

// Redrive makes a reader of the letters of a selection.
func (t *Topic) Redrive(s Selection) *Redrive {
	return &Redrive{topic: t, selection: s, open: map[int32]*openLetters{}, seen: map[Position]*Letter{}}
}

// letters are those of a partition that are open.
func (d *Redrive) letters(ctx context.Context, partition int32) (*openLetters, error) {
	d.mu.Lock()
	o := d.open[partition]
	d.mu.Unlock()
	if o != nil {
		return o, nil
	}
	o, err := d.topic.openLetters(ctx, partition, d.selection.match)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[partition] = o
	return o, nil
}

type originKey struct{}

// Read reads a window of a partition like [kafka.Reader.Read]. Of its records those are
// left that are open letters, each as the record that it is about: key, value, headers and
// append time are that record's, partition and offset the letter's.
func (d *Redrive) Read(ctx context.Context, partition int32, from int64, maxBytes int32) (kafka.Span, error) {
	open, err := d.letters(ctx, partition)
	if err != nil {
		return kafka.Span{}, err
	}
	span, err := d.topic.reader.Read(ctx, d.topic.name, partition, from, maxBytes)
	if err != nil {
		return span, err
	}
	records := span.Records
	span.Records = nil
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.seen) > maxSeen {
		clear(d.seen)
	}
	for _, r := range records {
		if !open.has(r.Offset) {
			continue
		}
		l, _, err := decode(r)
		if err != nil || l == nil {
			return kafka.Span{}, fmt.Errorf("%s: what was a letter is none any more: the topic was made anew", Position{partition, r.Offset})
		}
		d.seen[l.Position] = &Letter{ID: l.ID, Position: l.Position, Key: bytes.Clone(l.Key)}
		span.Records = append(span.Records, &kgo.Record{
			Topic: l.Source.Topic, Key: l.Key, Value: l.Value, Headers: l.Headers, Timestamp: l.Source.Time,
			Partition: partition, Offset: r.Offset, Context: context.WithValue(context.Background(), originKey{}, l.Source),
		})
	}
	return span, nil
}

// Origin is where a record that Read has returned stands, or stood, in the events topic.
func (d *Redrive) Origin(r *kgo.Record) (topicID string, partition int32, offset int64) {
	s, _ := r.Context.Value(originKey{}).(Source)
	return s.TopicID, s.Partition, s.Offset
}

// Mark marks letters as redriven and returns when all in-sync replicas have that on record.
func (d *Redrive) Mark(ctx context.Context, partition int32, offsets []int64) error {
	letters := make([]*Letter, 0, len(offsets))
	var missing []Position
	d.mu.Lock()
	for _, o := range offsets {
		if l := d.seen[Position{partition, o}]; l != nil {
			letters = append(letters, l)
		} else {
			missing = append(missing, Position{partition, o})
		}
	}
	d.mu.Unlock()
	err := d.topic.Letters(ctx, missing, func(l *Letter) { letters = append(letters, l) })
	if _, gone := errors.AsType[*PositionError](err); err != nil && !gone {
		return err
	} // a letter that retention has taken needs no mark
	if err := d.topic.Mark(ctx, Redriven, d.selection.Reason, letters...); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range letters {
		delete(d.seen, l.Position)
	}
	return nil
}

// Bounds are the offsets [from, to) that each partition of the topic holds now.
func (t *Topic) Bounds(ctx context.Context) (map[int32][2]int64, error) {
	extents, err := t.extents(ctx, time.Time{})
	out := map[int32][2]int64{}
	for p, e := range extents {
		out[p] = [2]int64{e.from, e.to}
	}
	return out, err
}
