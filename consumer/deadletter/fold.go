package deadletter

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kgo"
)

// standing is how one letter stands. There may be a million in memory.
type standing struct {
	first, last int64 // offsets of the letter's records, since it became open
	mark        int64 // offset of its last mark, when it is not open
	millis      int64 // when the last was written
	written     int32 // records of the letter in all
	partition   int32 // where the record that it is about stands, or stood, in the events topic
	offset      int64 // likewise
	state       State
	then        int64  // first at an earlier end of the range, if it was open there; else -1
	frozen      bool   // then is known
	ours        bool   // a mark of somebody who is asked for says that it was redriven
	in          string // in that feed
}

// freeze puts down how the letter stood where a part of the range ends.
func (s *standing) freeze() {
	if s.frozen {
		return
	}
	s.frozen, s.then = true, -1
	if s.written > 0 && s.state == Open {
		s.then = s.first
	}
}

// invalid is the class of letters about records that are no events.
const invalid = "invalid"

// reopens says whether a letter that is written after a mark is open again: the event was
// refused once more. A discarded one about an invalid record is not: the groups of all
// kinds write it, each when it comes past, and what is no event becomes none.
func reopens(state State, class string) bool {
	return state != Open && (state != Discarded || class != invalid)
}

// letter takes a record of the letter in.
func (s *standing) letter(r *kgo.Record, class string) {
	if reopens(s.state, class) {
		s.state, s.first = Open, r.Offset
	}
	s.written++
	if s.state == Open {
		s.last, s.millis = r.Offset, r.Timestamp.UnixMilli()
	}
}

// Unread counts records that are neither letters nor marks of a known version.
type Unread struct {
	Records int64
	First   error // about the first of them; nil without any
	Newer   error // about the first that a newer version wrote; nil without any
}

// unreadJSON is an Unread as JSON.
type unreadJSON struct {
	Records int64  `json:"records"`
	First   string `json:"first,omitempty"`
	Newer   string `json:"newer,omitempty"`
}

// MarshalJSON writes errors as their texts.
func (u Unread) MarshalJSON() ([]byte, error) {
	out := unreadJSON{Records: u.Records}
	if u.First != nil {
		out.First = u.First.Error()
	}
	if u.Newer != nil {
		out.Newer = u.Newer.Error()
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (u *Unread) UnmarshalJSON(data []byte) error {
	var in unreadJSON
	err := json.Unmarshal(data, &in)
	*u = Unread{Records: in.Records}
	if in.First != "" {
		u.First = errors.New(in.First)
	}
	if in.Newer != "" {
		u.Newer = errors.New(in.Newer)
	}
	return err
}

func (u *Unread) add(r *kgo.Record, err error) {
	err = fmt.Errorf("record %s: %w", Position{r.Partition, r.Offset}, err)
	u.Records++
	if u.First == nil {
		u.First = err
	}
	if u.Newer == nil && errors.Is(err, errNewer) {
		u.Newer = err
	}
}

// key stands for the id of a letter. 128 bits of SHA-256: two ids that share one do not
// occur.
type key [16]byte

func keyOf(id string) key {
	sum := sha256.Sum256([]byte(id))
	return key(sum[:16])
}

// rank is where among all keys a key stands, for dividing them.
func (k key) rank() uint64 { return binary.BigEndian.Uint64(k[:8]) }

// fold hands each letter of a range for which match holds to each, once, with its
// standing at the end of the range; in no order.
//
// The standings of more letters than t.most are not kept at once: the keys are divided,
// and the range is read once for every part.
func (t *Topic) fold(ctx context.Context, partition int32, r offsets, match func(*Letter) bool, each func(*standing)) (Unread, error) {
	return t.foldWith(ctx, partition, r, earlier{at: r.to}, match, each)
}

// earlier is what standings have to say beside how letters stand at the end.
type earlier struct {
	at     int64  // how did they stand below this offset?
	reason string // has a mark of this reason said that they were redriven? Empty: nobody asks
}

// foldWith is fold that says of the standings what they were earlier.
func (t *Topic) foldWith(ctx context.Context, partition int32, r offsets, x earlier, match func(*Letter) bool, each func(*standing)) (Unread, error) {
	var unread Unread
	for low := uint64(0); ; {
		high := uint64(math.MaxUint64) // of this pass, included
		standings := map[key]*standing{}
		err := t.scan(ctx, partition, r, func(rec *kgo.Record) error {
			l, m, err := decode(rec)
			if err != nil {
				if low == 0 {
					unread.add(rec, err)
				}
				return nil // it is counted
			}
			if m != nil {
				if s := standings[keyOf(m.Letter)]; s != nil {
					if rec.Offset >= x.at {
						s.freeze()
					}
					if x.reason != "" && m.State == Redriven && m.Reason == x.reason {
						s.ours, s.in = true, m.Feed
					}
					s.state, s.mark = m.State, rec.Offset
				}
				return nil
			}
			k := keyOf(l.ID)
			if k.rank() < low || k.rank() > high || !match(l) {
				return nil
			}
			s := standings[k]
			if s == nil {
				s = &standing{first: rec.Offset, partition: l.Source.Partition, offset: l.Source.Offset, state: Open}
				standings[k] = s
			}
			if rec.Offset >= x.at {
				s.freeze()
			}
			s.letter(rec, l.Class)
			for len(standings) > t.most && high > low {
				high = low + (high-low)/2
				for k := range standings {
					if k.rank() > high {
						delete(standings, k)
					}
				}
			}
			return nil
		})
		if err != nil {
			return unread, err
		}
		for _, s := range standings {
			s.freeze()
			each(s)
		}
		if high == math.MaxUint64 {
			return unread, nil
		}
		low = high + 1
	}
}
