package deadletter

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// maxMarks bounds the marks of a Standing.
const maxMarks = 20

// Standing is how a letter stands.
type Standing struct {
	State   State  `json:"state"`
	Written int    `json:"written"`         // records of the letter, from the one asked about on
	Marks   []Mark `json:"marks,omitempty"` // the last 20, the newest last
}

// Standings says how each letter stands now, by its id. It reads every partition concerned
// once, from the first of the letters in it on, and refuses one with records of a newer
// version behind it, which may be marks.
func (t *Topic) Standings(ctx context.Context, letters ...*Letter) (map[string]*Standing, error) {
	extents, err := t.extents(ctx, time.Time{})
	if err != nil {
		return nil, err
	}
	out := make(map[string]*Standing, len(letters))
	from := map[int32]int64{}
	for _, l := range letters {
		out[l.ID] = &Standing{State: Open}
		p := l.Position
		if first, ok := from[p.Partition]; !ok || p.Offset < first {
			from[p.Partition] = p.Offset
		}
	}
	for partition, first := range from {
		err := t.scan(ctx, partition, offsets{first, extents[partition].to}, func(r *kgo.Record) error {
			l, m, err := decode(r)
			switch {
			case errors.Is(err, errNewer): // perhaps a mark of one of them
				return fmt.Errorf("record %s: %w", Position{r.Partition, r.Offset}, err)
			case l != nil && out[l.ID] != nil:
				s := out[l.ID]
				if reopens(s.State, l.Class) {
					s.State = Open
				}
				s.Written++
			case m != nil && out[m.Letter] != nil:
				s := out[m.Letter]
				s.State = m.State
				s.Marks = append(s.Marks[max(0, len(s.Marks)-maxMarks+1):], *m)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// OpenLetters are the open letters about a stream in one partition, in the order in which
// they were written, which for one organization is the order of its events; of a letter
// that was written several times it is the first since it became open. An empty uid means
// letters about no stream: invalid records.
//
// It is what stood in the partition when the iteration began: letters written, or marked,
// meanwhile change nothing in it. An error ends it. It refuses a partition with records
// of a newer version, which may be marks: a letter must not be redriven twice.
//
// One bit for each offset of the partition is in memory, besides a fetch.
func (t *Topic) OpenLetters(ctx context.Context, partition int32, uid string) iter.Seq2[*Letter, error] {
	match := func(l *Letter) bool { return l.Of(uid) || uid == "" && len(l.Streams) == 0 }
	return func(yield func(*Letter, error) bool) {
		open, err := t.openLetters(ctx, partition, match)
		if err != nil {
			yield(nil, err)
			return
		}
		err = t.scan(ctx, partition, open.offsets, func(rec *kgo.Record) error {
			if !open.has(rec.Offset) {
				return nil
			}
			l, _, err := decode(rec)
			if err != nil {
				return err
			}
			if !yield(l, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && err != errStop { //nolint:errorlint // it is never wrapped
			yield(nil, err)
		}
	}
}

// openLetters is which offsets of a range are those of open letters.
type openLetters struct {
	offsets
	bits []uint64
}

func newOpenLetters(r offsets) openLetters {
	return openLetters{offsets: r, bits: make([]uint64, (r.to-r.from+63)/64)}
}

func (o *openLetters) add(offset int64) {
	i := offset - o.from
	o.bits[i/64] |= 1 << (i % 64)
}

func (o *openLetters) has(offset int64) bool {
	i := offset - o.from
	return offset >= o.from && offset < o.to && o.bits[i/64]&(1<<(i%64)) != 0
}

// openLetters finds those of a partition for which match holds, as they stand now.
func (t *Topic) openLetters(ctx context.Context, partition int32, match func(*Letter) bool) (*openLetters, error) {
	r, err := t.extent(ctx, partition)
	if err != nil {
		return nil, err
	}
	open := newOpenLetters(r)
	unread, err := t.fold(ctx, partition, r, match, func(s *standing) {
		if s.state == Open {
			open.add(s.first)
		}
	})
	if err == nil && unread.Newer != nil {
		err = unread.Newer
	}
	return &open, err
}

// extent is what a partition holds now.
func (t *Topic) extent(ctx context.Context, partition int32) (offsets, error) {
	extents, err := t.extents(ctx, time.Time{})
	r, ok := extents[partition]
	if err == nil && !ok {
		err = fmt.Errorf("%s has no partition %d", t.name, partition)
	}
	return r, err
}
