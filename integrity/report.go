package integrity

import (
	"fmt"
	"strings"
	"time"
)

// Verdict is what a check has come to, the least grave first.
type Verdict string

// The verdicts. Events that came twice are no tampering and change none.
const (
	Complete   Verdict = "complete"    // and unaltered, as checkpoints vouch for
	NotCovered Verdict = "not_covered" // nothing contradicts it, and no checkpoint vouches for all of it
	Unchecked  Verdict = "unchecked"   // some of it could not be checked
	Shuffled   Verdict = "reordered"   // everything is there, and not in its order
	Lacking    Verdict = "missing"     // events are missing
	Tampered   Verdict = "altered"     // events were altered or inserted, or two stories are told
)

// gravity puts verdicts in order.
func (v Verdict) gravity() int {
	for i, x := range []Verdict{Complete, NotCovered, Unchecked, Shuffled, Lacking, Tampered} {
		if v == x {
			return i
		}
	}
	return 0
}

func graver(a, b Verdict) Verdict {
	if b.gravity() > a.gravity() {
		return b
	}
	return a
}

// Kind is what a finding is about.
type Kind string

// The kinds of findings.
const (
	Missing   Kind = "missing"
	Altered   Kind = "altered"
	Inserted  Kind = "inserted"
	Reordered Kind = "reordered"
	Forked    Kind = "forked"    // two signed statements contradict each other
	Uncovered Kind = "uncovered" // no checkpoint vouches for it
	Unclear   Kind = "unclear"   // it could not be checked
	Renamed   Kind = "renamed"   // an object lies under another name: no tampering with events, and worth knowing
)

func (k Kind) verdict() Verdict {
	switch k {
	case Missing:
		return Lacking
	case Reordered:
		return Shuffled
	case Uncovered:
		return NotCovered
	case Unclear:
		return Unchecked
	case Renamed:
		return Complete
	case Altered, Inserted, Forked:
	}
	return Tampered
}

// Finding is one thing that is not as it should be.
type Finding struct {
	Kind   Kind     `json:"kind"`
	From   int64    `json:"from,omitempty"` // numbers of the events that it is about
	To     int64    `json:"to,omitempty"`
	About  string   `json:"about,omitempty"` // "digest": it is about the digests of a store, and not about events
	IDs    []string `json:"ids,omitempty"`   // of events that it is about
	Where  string   `json:"where,omitempty"` // they are
	Detail string   `json:"detail"`
}

// numbers is what a sentence says of From and To.
func (x *Finding) numbers() string {
	switch {
	case x.To == 0:
		return ""
	case x.From == x.To:
		return fmt.Sprintf(" number %d", x.From)
	}
	return fmt.Sprintf(" numbers %d to %d", x.From, x.To)
}

func (x Finding) String() string {
	s := string(x.Kind) + x.numbers()
	if len(x.IDs) > 0 {
		s += " (" + strings.Join(x.IDs, ", ") + ")"
	}
	if x.Where != "" {
		s += " in " + x.Where
	}
	return s + ": " + x.Detail
}

// Report is what a check has come to.
type Report struct {
	Verdict  Verdict      `json:"verdict"`
	Sentence string       `json:"sentence"`
	Feeds    []FeedReport `json:"feeds"`
	Findings []Finding    `json:"findings,omitempty"` // that are about no feed
}

// FeedReport is what is to be said of one feed.
type FeedReport struct {
	Feed     string  `json:"feed"`
	Origin   string  `json:"origin,omitempty"` // empty: no checkpoint names it
	Verdict  Verdict `json:"verdict"`
	Sentence string  `json:"sentence"`

	First    int64      `json:"first"`    // number of the first event that has to be there
	Last     int64      `json:"last"`     // and of the last
	Covered  int64      `json:"covered"`  // number up to which checkpoints vouch for what is there
	Since    *time.Time `json:"since"`    // time of the checkpoint that it begins behind; else of the first
	Until    *time.Time `json:"until"`    // time of the checkpoint that covers it
	Tail     int64      `json:"tail"`     // events behind Covered that the next checkpoint will be about
	Events   int64      `json:"events"`   // that are there, each counted once
	Repeats  int64      `json:"repeats"`  // that came again
	Withheld int64      `json:"withheld"` // that are on record as not delivered, of First to Last

	DigestOnly int64 `json:"digest_only,omitempty"` // that came as their digests alone, repeats among them: nothing is known of what they say
	accepted   bool  // it is, that this is so

	Arrived int64        `json:"arrived,omitempty"` // of those, that came later, in the feed of a replay or redrive
	Again   *AgainReport `json:"again,omitempty"`   // of a replay or redrive: what its events were at first

	Held     []Withheld `json:"withheld_events,omitempty"` // of First to Last, at most 100
	Previous *Former    `json:"previous,omitempty"`        // chain before it
	Beside   []Beside   `json:"beside,omitempty"`          // chains that its stream had in other partitions when it began
	NamedBy  string     `json:"named_by,omitempty"`        // origin of a chain that says that this one was before, or beside, it
	Gaps     []Gap      `json:"gaps,omitempty"`            // offsets that were passed over where it begins
	Findings []Finding  `json:"findings,omitempty"`        // the gravest, at most 1,000
	More     int64      `json:"more_findings,omitempty"`

	found *found
}
