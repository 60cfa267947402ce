package consumer

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks"
)

// A job numbers what it sends in a chain of its own, and says of each event which it was at
// first: as which number of which feed its stream has delivered it, or withheld it. A redrive
// knows that from the letter. For a replay it was found out before it began, and stands in its
// task: from places of the stream's chains that are on record to others, by counting.

// Originals are which events those of a replay's ranges were at first.
type Originals struct {
	Epoch    int64         `json:"epoch"`    // of the stream, by whose rules
	Revision int64         `json:"revision"` // they were found
	Runs     []OriginalRun `json:"runs"`     // by partition and offset; together they are the task's ranges
}

// OriginalRun is the offsets [From, To) of a partition: the events of the stream among them
// follow one another in one of its feeds, or nobody knows.
type OriginalRun struct {
	Partition int32  `json:"partition"`
	From      int64  `json:"from"`
	To        int64  `json:"to"`
	Feed      string `json:"feed,omitempty"`   // empty: nobody knows
	After     int64  `json:"after,omitempty"`  // number of the last event before From, 0: there is none
	Reason    string `json:"reason,omitempty"` // why nobody knows
}

// Reasons for which nobody knows which event of a feed one was.
const (
	OriginalOff     = "off"           // the stream's events are not, or were not, numbered
	OriginalPending = "pending"       // the stream had not delivered it, on record, when the job began
	OriginalRules   = "rules"         // by the stream's present rules the events do not lead to what its checkpoints say
	OriginalNone    = "no_checkpoint" // no place of a chain is on record that Kafka has everything behind

	originalExpired  = "expired"   // Kafka has forgotten events that had to be counted
	originalNotFound = "not_found" // nobody has looked for it
	originalOld      = "old"       // the letter was written before letters said it
)

// originals says which event one was at first: the one that was offered last. It is guarded by
// the partition's mu.
type originals interface {
	// sees is told of every record that is read, whether the job sends its event or not; e is
	// nil where it has none.
	sees(r *kgo.Record, e *sinks.Event, c *checker)
	// of is the event at an offset that sees was told of last; why, where nobody knows.
	of(offset int64) (o integrity.Original, why string)
	// lost says that events below an offset are gone that should have been read.
	lost(to int64)
}

// numbering is originals of a replay in one partition.
type numbering struct {
	stream *stream // by its own rules, without what the job narrows
	router *router
	runs   []OriginalRun // of the partition

	next    int64 // offset of the next record that counts
	void    int64 // below it something was not read: a run that reaches there says nothing
	entered int   // the runs before this one lie behind
	number  int64 // of the last event of the run
	at      int64 // offset of the last event that is the stream's
}

// newNumbering is the numbering of a partition from an offset on.
func newNumbering(s Spec, of *stream, partition int32, from int64, known *Originals) *numbering {
	own := &stream{spec: s, actions: newActionFilter(s.Actions), filter: of.filter}
	n := &numbering{stream: own, router: newRouter([]*stream{own}), next: from, at: -1, entered: -1}
	if known != nil && known.Epoch == s.Epoch && known.Revision == s.Revision {
		for _, r := range known.Runs {
			if r.Partition == partition {
				n.runs = append(n.runs, r)
			}
		}
	}
	return n
}

// run is the run that an offset lies in; nil: in none.
func (n *numbering) run(offset int64) *OriginalRun {
	if i := n.entered; i >= 0 && n.runs[i].From <= offset && offset < n.runs[i].To {
		return &n.runs[i]
	}
	for i := max(n.entered, 0); i < len(n.runs); i++ {
		if r := &n.runs[i]; r.From <= offset && offset < r.To {
			n.entered, n.number = i, r.After
			return r
		}
	}
	return nil
}

func (n *numbering) sees(_ *kgo.Record, e *sinks.Event, c *checker) {
	if e == nil || e.Offset < n.next {
		return // no event, or offered again
	}
	n.next = e.Offset + 1
	run := n.run(e.Offset)
	if run == nil || !n.counts(e, c) {
		return
	}
	n.number, n.at = n.number+1, e.Offset
}

// counts says whether an event has a number in the stream's feed.
func (n *numbering) counts(e *sinks.Event, c *checker) bool {
	if len(n.router.match(e.OrganizationID, e.Action, nil)) == 0 {
		return false
	}
	pass, err := n.stream.passes(c)
	return pass || err != nil
}

func (n *numbering) of(offset int64) (o integrity.Original, why string) {
	switch run := n.run(offset); {
	case run == nil:
		return o, originalNotFound
	case run.Feed == "":
		return o, run.Reason
	case run.From < n.void:
		return o, originalExpired
	case n.at != offset:
		return o, originalNotFound
	default:
		return integrity.Original{Feed: run.Feed, Number: n.number}, ""
	}
}

func (n *numbering) lost(to int64) { n.void = max(n.void, to) }

// numbers makes ready what says which events those of a range were at first, from an offset on
// which the job goes on with. whole is false where that cannot be known any more of events that
// it may have said it of already.
func (j *Job) numbers(ctx context.Context, r Range, from, logStart int64) (_ originals, whole bool, err error) {
	if j.g.letters != nil {
		return &letterOriginals{letters: j.g.letters, at: -1}, true, nil
	}
	if !j.stream.chained() {
		return nil, true, nil
	}
	n := newNumbering(j.spec, j.stream, r.Partition, from, j.task.Originals)
	run := n.run(from)
	if run == nil || run.Feed == "" || run.From == from {
		return n, true, nil
	}
	if logStart > run.From {
		n.lost(from)
		return n, false, nil
	}
	check := checker{validator: j.g.cfg.Validator, topicID: j.g.cfg.IDs.Events}
	n.next = run.From
	_, err = countIn(ctx, j.g.reader, j.g.offsets, j.task.Topic, Range{r.Partition, run.From, from}, func(rec *kgo.Record) bool {
		e, _ := check.check(rec)
		n.sees(rec, e, &check)
		return false
	}, nil)
	if err != nil {
		return nil, false, fmt.Errorf("count %s[%d] up to where the job goes on: %w", j.task.Topic, r.Partition, err)
	}
	logStart, _, err = j.g.bounds(ctx, r.Partition)
	if err == nil && logStart > run.From { // retention was faster
		n.lost(from)
		return n, false, nil
	}
	return n, true, err
}
