package consumer

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/internal/record"
	"github.com/auditstream/auditstream/sinks"
)

// SpecVersion is the newest version of the spec record in the streams topic. A record of
// a newer one is refused: it was written by a newer binary. A record is written in the oldest
// version that can say what it says, so that older binaries go on with what they know.
const (
	SpecVersion   = 4
	specOfFile    = 1 // owned by a file
	specOfOthers  = 2 // has an owner that version 1 does not know, and sealed secrets
	specSelective = 3 // has a filter or a mask, without which nobody must deliver it
	specUnchained = 4 // its events are not to be chained
)

// States of a stream as its owner set them.
const (
	SpecActive   = "active"
	SpecPaused   = "paused"   // the cursor stays; events wait in Kafka
	SpecDraining = "draining" // deleted as soon as what came before is delivered; see Drain
	SpecDeleted  = "deleted"  // kept so that the id made again gets another uid
)

// SpecHeld is the state of a stream of which only a record is known that has no effect. It is
// never written.
const SpecHeld = "held"

// Start of a stream that is not an RFC 3339 time.
const (
	StartNow       = "now"       // the append time of the epoch's first record in the streams topic
	StartBeginning = "beginning" // the first offset that Kafka still has
)

// AllOrganizations is the organization_id of a stream that carries every one.
const AllOrganizations = "*"

// Spec is a stream as the streams topic keeps it, keyed by ID. Secrets in Settings
// are references or sealed, never values.
type Spec struct {
	Version        int             `json:"v"`
	ID             string          `json:"id"`              // the name that people use
	UID            string          `json:"uid"`             // identity: made again under the same id, a stream has another
	Epoch          int64           `json:"epoch"`           // one per deliberate move of the cursor, from 1
	Revision       int64           `json:"revision"`        // one per change, from 1
	Owner          string          `json:"owner"`           // who may change it: one of sinks.Owner…
	State          string          `json:"state"`           // SpecActive, SpecPaused, SpecDraining or SpecDeleted
	OrganizationID string          `json:"organization_id"` // or AllOrganizations
	Actions        []string        `json:"actions,omitempty"`
	Filter         string          `json:"filter,omitempty"` // expression, see package filter; empty: every event passes
	Mask           []MaskRule      `json:"mask,omitempty"`   // what of the events does not leave
	Format         string          `json:"format"`
	Kind           string          `json:"kind"`
	Settings       json.RawMessage `json:"settings"`
	Unchained      bool            `json:"unchained,omitempty"`     // its events are not numbered and chained
	Start          string          `json:"start"`                   // StartNow, StartBeginning or RFC 3339
	EpochOffset    *int64          `json:"epoch_offset,omitempty"`  // where in the streams topic BaseEpoch began; absent: here
	BaseEpoch      int64           `json:"base_epoch"`              // records of this epoch and later ones say where the lane stands
	Forward        bool            `json:"forward,omitempty"`       // the base epoch only passes over: a lane that stands further on stays
	FormerOffset   *int64          `json:"former_offset,omitempty"` // where in the streams topic the epoch before the base epoch began; absent: there was none
	Moved          *Change         `json:"moved,omitempty"`         // who began the base epoch, if it was a deliberate move
	Moves          []Move          `json:"moves,omitempty"`         // since then, of single partitions
	Hold           *Change         `json:"hold,omitempty"`          // an operator's pause, beside what State says
	Drain          *Drain          `json:"drain,omitempty"`         // where a stream ends that is being deleted
	Removed        *Change         `json:"removed,omitempty"`       // who deleted it, or is about to, by a deed of its own
	Changes        []Change        `json:"changes,omitempty"`       // the last ones, oldest first

	Serial int64     `json:"-"` // of the record among the signed ones of its id, from 1; 0: it is not signed
	Offset int64     `json:"-"` // of the record
	Time   time.Time `json:"-"` // its append time
	Here   *Move     `json:"-"` // of the partition that In has chosen, if it was moved alone
	Sends  string    `json:"-"` // uid of the stream whose events a job sends under a uid of its own; empty: no job does
}

// Change says what somebody did to a stream, and why.
type Change struct {
	What   string    `json:"what"` // in words: "paused"
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason,omitempty"`
}

func (c Change) String() string {
	text := c.What + " by " + c.By
	if c.Reason != "" {
		text += ": " + c.Reason
	}
	return text
}

// maxChanges bounds the changes that a spec remembers.
const maxChanges = 8

// Note returns the spec with c as its last change; the oldest is forgotten when there are
// too many.
func (s Spec) Note(c Change) Spec {
	s.Changes = append(slices.Clone(s.Changes), c)
	s.Changes = s.Changes[max(0, len(s.Changes)-maxChanges):]
	return s
}

// StreamUID is the uid of the stream: UID, unless the spec is that of a job, which has
// progress of its own and all else of the stream, the seals of its secrets included.
func (s Spec) StreamUID() string { return cmp.Or(s.Sends, s.UID) }

// Paused says whether the stream's cursor is to stay, by its owner's will or an operator's.
func (s Spec) Paused() bool { return s.State == SpecPaused || s.Hold != nil }

// DecodeSpec reads a record of the streams topic. A record without value is a deleted
// stream whose uid is no longer known.
func DecodeSpec(r *kgo.Record) (Spec, error) {
	if r.Value == nil {
		return Spec{Version: specOfFile, ID: string(r.Key), State: SpecDeleted, Offset: r.Offset, Time: r.Timestamp}, nil
	}
	var s Spec
	if err := record.Decode(r.Value, SpecVersion, &s); err != nil {
		return Spec{}, fmt.Errorf("stream %q: %w", r.Key, err)
	}
	if s.ID != string(r.Key) || s.UID == "" || s.Revision < 1 || s.BaseEpoch < 1 || s.Epoch < s.BaseEpoch {
		return Spec{}, fmt.Errorf("stream %q: the record lacks id, uid, epoch or revision, or was written under another key", r.Key)
	}
	if s.Version < specSelective && (s.Filter != "" || len(s.Mask) > 0) {
		return Spec{}, fmt.Errorf("stream %q: the record has a filter or a mask, which its format version does not know", r.Key)
	}
	if s.Version < specUnchained && s.Unchained {
		return Spec{}, fmt.Errorf("stream %q: the record says that its events are not chained, which its format version does not know", r.Key)
	}
	if s.State == SpecDraining && s.Drain == nil {
		return Spec{}, fmt.Errorf("stream %q: the record does not say where the stream ends", r.Key)
	}
	for i, m := range s.Moves {
		if m.Epoch <= s.BaseEpoch || m.Epoch > s.Epoch || slices.ContainsFunc(s.Moves[:i], func(o Move) bool { return o.Partition == m.Partition }) {
			return Spec{}, fmt.Errorf("stream %q: the record's moves contradict its epochs, or each other", r.Key)
		}
	}
	s.Offset, s.Time = r.Offset, r.Timestamp
	return s, nil
}

// Encode returns the value of the spec's record.
func (s Spec) Encode() ([]byte, error) {
	s.Version = s.version()
	return json.Marshal(s)
}

// version is the oldest version that can say what the spec says.
func (s Spec) version() int {
	switch {
	case s.Unchained:
		return specUnchained
	case s.Filter != "" || len(s.Mask) > 0:
		return specSelective
	case s.Owner == sinks.OwnerAPI:
		return specOfOthers
	}
	return specOfFile
}

// EpochBegan is the offset in the streams topic at which the spec's base epoch began.
func (s Spec) EpochBegan() int64 {
	if s.EpochOffset != nil {
		return *s.EpochOffset
	}
	return s.Offset
}

// StartTime is the append time from which events belong to the epoch; zero for the
// beginning of the log.
func (s Spec) StartTime() (time.Time, error) {
	switch s.Start {
	case StartNow:
		return s.Time, nil
	case StartBeginning:
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s.Start)
	if err != nil {
		return time.Time{}, fmt.Errorf("stream %q: start %q is neither %q, %q nor a time", s.ID, s.Start, StartNow, StartBeginning)
	}
	return t, nil
}

// Revise returns the spec that follows s in the same epoch, to be changed and written.
// What s derives from its own record is written out, since that record will go.
func (s Spec) Revise() Spec {
	began := s.EpochBegan()
	s.EpochOffset = &began
	s.Moves = slices.Clone(s.Moves)
	for i := range s.Moves {
		if s.Moves[i].EpochOffset == nil {
			s.Moves[i].EpochOffset = new(s.Offset)
		}
	}
	if s.Start == StartNow {
		s.Start = s.Time.UTC().Format(time.RFC3339Nano)
	}
	s.Revision++
	return s
}

// Again returns s as it has to be written another time, unchanged: for a record whose secrets
// are sealed, or which is signed, with another key. Processes go on as they are.
func (s Spec) Again() Spec {
	s = s.Revise()
	s.Revision--
	return s
}

// Restored returns s as it has to be written to a streams topic that was made anew. Where
// its epoch began there is where it is written.
func (s Spec) Restored() Spec {
	if s.Start == StartNow {
		s.Start = s.Time.UTC().Format(time.RFC3339Nano)
	}
	s.EpochOffset = nil
	if s.FormerOffset != nil {
		s.FormerOffset = new(int64(math.MaxInt64)) // nobody can tell any more
	}
	s.Moves = slices.Clone(s.Moves)
	for i := range s.Moves {
		s.Moves[i].EpochOffset, s.Moves[i].Former = nil, math.MaxInt64
	}
	return s
}

// Continue returns the spec that follows s in a new epoch that goes on where this one
// stands: for a change after which the destination cannot tell what it has.
func (s Spec) Continue() Spec {
	s = s.Revise()
	s.Epoch++
	return s
}

// IsNewer says whether a record could not be read because a newer binary wrote it.
func IsNewer(err error) bool { return errors.Is(err, record.ErrNewer) }
