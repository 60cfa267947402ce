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

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/integrity"
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

	Until map[int32]int64 // by partition: letters and marks below it say which letters are meant; absent: its end
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

// Redrive reads the letters of a selection that were open below its end as the records that
// they are about, says how they stand, and marks them. How they stand is found out once for
// each partition, when it is first read: letters written or discarded after that change
// nothing. It refuses a partition with
// records of a newer version, which may be marks: a letter must not be redriven twice. It
// is safe for concurrent use.
type Redrive struct {
	topic     *Topic
	selection Selection

	mu   sync.Mutex
	open map[int32]*selected  // by partition; guarded by mu
	seen map[Position]*Letter // what marks need of the letters that were read last; guarded by mu
}

// maxSeen bounds the letters that are kept for their marks. Others are read again.
const maxSeen = 1 << 15

// Redrive makes a reader of the letters of a selection.
func (t *Topic) Redrive(s Selection) *Redrive {
	return &Redrive{topic: t, selection: s, open: map[int32]*selected{}, seen: map[Position]*Letter{}}
}

// selected are letters of a selection.
type selected struct {
	openLetters                                 // that were open
	standing    map[int64]consumer.LetterOrigin // by offset: how those stand that are not open any more
}

// find finds the letters of a partition.
func (d *Redrive) find(ctx context.Context, partition int32) (*selected, error) {
	r, err := d.topic.extent(ctx, partition)
	if err != nil {
		return nil, err
	}
	until, ok := d.selection.Until[partition]
	if !ok {
		until = r.to
	}
	o := &selected{openLetters: newOpenLetters(r), standing: map[int64]consumer.LetterOrigin{}}
	unread, err := d.topic.foldWith(ctx, partition, r, earlier{at: until, reason: d.selection.Reason}, d.selection.match, func(s *standing) {
		if s.then < 0 {
			return
		}
		o.add(s.then)
		switch {
		case s.ours:
			o.standing[s.then] = consumer.LetterOrigin{Standing: consumer.LetterRedriven, In: s.in}
		case s.state != Open || s.first != s.then:
			o.standing[s.then] = consumer.LetterOrigin{Standing: consumer.LetterDecided}
		}
	})
	if err == nil && unread.Newer != nil {
		err = unread.Newer
	}
	return o, err
}

// letters are those of a partition.
func (d *Redrive) letters(ctx context.Context, partition int32) (*selected, error) {
	d.mu.Lock()
	o := d.open[partition]
	d.mu.Unlock()
	if o != nil {
		return o, nil
	}
	o, err := d.find(ctx, partition)
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
// left that are letters of the selection, each as the record that it is about: key, value, headers and
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
			Partition: partition, Offset: r.Offset, Context: context.WithValue(context.Background(), originKey{}, originOf(l, open.standing[r.Offset])),
		})
	}
	return span, nil
}

// originOf is what is known of a letter that stands so.
func originOf(l *Letter, o consumer.LetterOrigin) consumer.LetterOrigin {
	o.TopicID, o.Partition, o.Offset = l.Source.TopicID, l.Source.Partition, l.Source.Offset
	if s := l.Streams[0]; s.Feed != "" && s.Number > 0 {
		o.Original = integrity.Original{Feed: s.Feed, Number: s.Number}
	}
	return o
}

// Origin is what is known of a record that Read has returned.
func (d *Redrive) Origin(r *kgo.Record) consumer.LetterOrigin {
	o, _ := r.Context.Value(originKey{}).(consumer.LetterOrigin)
	return o
}

// Mark marks letters as redriven and returns when all in-sync replicas have that on record.
func (d *Redrive) Mark(ctx context.Context, partition int32, offsets []int64, feed string) error {
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
	if err := d.topic.mark(ctx, Mark{State: Redriven, Reason: d.selection.Reason, Feed: feed}, letters...); err != nil {
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
