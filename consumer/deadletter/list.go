package deadletter

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Query says which letters to list. What is zero does not restrict.
type Query struct {
	Stream       string // id or uid
	Class        string
	Organization string
	Since        time.Time // the letter was written then or later
	State        State
	Limit        int // how many, at least 1

	// Confined, unless nil, are the only organizations whose letters are listed, with the uids
	// of the only streams that they may be about. Letters about invalid records are not: such
	// a record does not prove whose it is.
	Confined map[string][]string
}

func (q *Query) match(l *Letter) bool {
	return (q.Class == "" || l.Class == q.Class) &&
		(q.Organization == "" || string(l.Key) == q.Organization) &&
		(q.Stream == "" || slices.ContainsFunc(l.Streams, func(s Stream) bool { return s.ID == q.Stream || s.UID == q.Stream })) &&
		(q.Confined == nil || slices.ContainsFunc(q.Confined[string(l.Key)], l.Of))
}

// Listed is a letter in a listing: without violations, headers and value, of which action
// and id of the event are left.
type Listed struct {
	Letter
	State          State  `json:"state"`
	Written        int    `json:"written"` // how many records of this letter there are; the last is listed
	OrganizationID string `json:"organization_id,omitempty"`
	Action         string `json:"action,omitempty"`
	EventID        string `json:"event_id,omitempty"`
	Mark           *Mark  `json:"mark,omitempty"` // the last; nil for an open letter
}

// Listing is what a query found.
type Listing struct {
	Letters []Listed `json:"letters"` // the newest first
	More    int64    `json:"more"`    // letters beyond the limit, older than those
	Unread  Unread   `json:"unread"`
}

// maxName bounds what a listing keeps of an event's action and id, in bytes: the event may
// be in the dead letters because they are too long.
const maxName = 256

// found is a letter that a query matches.
type found struct {
	partition int32
	standing
}

func newestFirst(a, b found) int {
	return cmp.Or(cmp.Compare(b.millis, a.millis), cmp.Compare(a.partition, b.partition), cmp.Compare(b.last, a.last))
}

// List reads the whole topic, or, with Since, what was written from then on.
func (t *Topic) List(ctx context.Context, q Query) (*Listing, error) { return t.list(ctx, q, q.match) }

// About lists the letters for which about holds, in whatever state, the newest first: at
// most limit of those written at since or later. about sees a letter with its value.
func (t *Topic) About(ctx context.Context, since time.Time, about func(*Letter) bool, limit int) (*Listing, error) {
	return t.list(ctx, Query{Since: since, Limit: limit}, about)
}

func (t *Topic) list(ctx context.Context, q Query, match func(*Letter) bool) (*Listing, error) {
	extents, err := t.extents(ctx, q.Since)
	if err != nil {
		return nil, err
	}
	partitions, err := t.Partitions(ctx)
	if err != nil {
		return nil, err
	}
	var best []found
	out := &Listing{}
	total := int64(0)
	keep := func() {
		slices.SortFunc(best, newestFirst)
		best = best[:min(len(best), q.Limit)]
	}
	for _, p := range partitions {
		unread, err := t.fold(ctx, p, extents[p], match, func(s *standing) {
			// Partitions begin at the first record that is not older, but clocks step back.
			if q.State != "" && s.state != q.State || !q.Since.IsZero() && s.millis < q.Since.UnixMilli() {
				return
			}
			total++
			if best = append(best, found{p, *s}); len(best) >= 2*max(q.Limit, 512) {
				keep()
			}
		})
		if err != nil {
			return nil, err
		}
		out.Unread.join(unread)
	}
	keep()
	out.More = total - int64(len(best))
	out.Letters, err = t.details(ctx, best)
	return out, err
}

func (u *Unread) join(v Unread) {
	u.Records += v.Records
	if u.First == nil {
		u.First = v.First
	}
	if u.Newer == nil {
		u.Newer = v.Newer
	}
}

// details reads the letters, and the marks of those that have one. Those that retention
// has taken meanwhile are left out.
func (t *Topic) details(ctx context.Context, best []found) ([]Listed, error) {
	listed := make([]*Listed, len(best))
	marks := make([]*Mark, len(best))
	type want struct {
		offset int64
		take   func(*kgo.Record)
	}
	wants := map[int32][]want{}
	for i, f := range best {
		wants[f.partition] = append(wants[f.partition], want{f.last, func(r *kgo.Record) { listed[i] = detail(r, f.standing) }})
		if f.state != Open {
			wants[f.partition] = append(wants[f.partition], want{f.mark, func(r *kgo.Record) { _, marks[i], _ = decode(r) }})
		}
	}
	for partition, list := range wants {
		slices.SortFunc(list, func(a, b want) int { return cmp.Compare(a.offset, b.offset) })
		// One request answers for all that stand close together.
		for len(list) > 0 {
			window := offsets{list[0].offset, list[len(list)-1].offset + 1}
			err := t.scan(ctx, partition, window, func(r *kgo.Record) error {
				for len(list) > 0 && list[0].offset < r.Offset {
					list = list[1:] // gone
				}
				if len(list) == 0 {
					return errStop
				}
				if list[0].offset > r.Offset+nearby {
					return errStop // ask anew, further on
				}
				if list[0].offset == r.Offset {
					list[0].take(r)
					list = list[1:]
				}
				return nil
			})
			if err == nil {
				break // to the end of the window
			}
			if err != errStop { //nolint:errorlint // it is never wrapped
				return nil, err
			}
		}
	}
	out := make([]Listed, 0, len(listed))
	for i, l := range listed {
		if l != nil {
			l.Mark = marks[i]
			out = append(out, *l)
		}
	}
	return out, nil
}

// nearby is how many records, at most, are read on over to reach the next wanted one.
const nearby = 1000

func detail(r *kgo.Record, s standing) *Listed {
	l, _, err := decode(r)
	if err != nil || l == nil {
		return nil // no record of a letter: the topic was made anew under our hands
	}
	out := &Listed{State: s.state, Written: int(s.written), OrganizationID: clip(string(l.Key))}
	action, id := l.Event()
	out.Action, out.EventID = clip(action), clip(id)
	out.Letter = *l
	out.Key, out.Value, out.Headers, out.Violations = nil, nil, nil, nil
	return out
}

func clip(s string) string {
	if len(s) <= maxName {
		return s
	}
	return bounded(s[:maxName]) + "…"
}
