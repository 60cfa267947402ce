package consumer

import (
	"slices"
	"time"

	"github.com/auditstream/auditstream/integrity"
)

// chainRecord is what a record of progress says of the lane's chain: everything as of the
// record's cursor.
type chainRecord struct {
	Origin string `json:"origin"` // empty: the stream's events are not chained now
	Begin  int64  `json:"begin"`  // offset from which on events are in it
	integrity.Head

	Edge     []integrity.Hash   `json:"edge,omitempty"`     // of the Merkle tree over the events
	Previous *integrity.Former  `json:"previous,omitempty"` // the chain before it; absent: there was none, or nobody knows
	Beside   []integrity.Beside `json:"beside,omitempty"`   // chains of the stream in other partitions, as of when this one had its first checkpoint
	Began    *time.Time         `json:"began,omitempty"`    // when that was; until its first checkpoint, which is to name chains before it
	Gaps     []integrity.Gap    `json:"gaps,omitempty"`     // offsets passed over where it begins
	Withheld []withheld         `json:"withheld,omitempty"` // since the last checkpoint
	Again    []integrity.Again  `json:"again,omitempty"`    // likewise, of a job: which events its own were at first

	Checkpoint *checkpointRecord `json:"checkpoint,omitempty"` // the last one; absent: there was none
	Then       []thenRecord      `json:"then,omitempty"`       // chains that begin above the cursor
	Ended      []*chainRecord    `json:"ended,omitempty"`      // that had no checkpoint since they ended, oldest first

	Offset int64      `json:"offset,omitempty"` // of a chain that has ended: where that was
	At     *time.Time `json:"at,omitempty"`     // likewise: when

	cursor int64 // of the record
}

// checkpointRecord is the last checkpoint of a chain.
type checkpointRecord struct {
	Size int64     `json:"size"`
	At   time.Time `json:"at"`
	Feed bool      `json:"feed,omitempty"` // the destination has taken it
	Why  string    `json:"why,omitempty"`  // it has not; neither: not yet
}

// thenRecord is a chain that begins where the one before it ends.
type thenRecord struct {
	Origin string          `json:"origin"`
	Begin  int64           `json:"begin"`
	Reason string          `json:"reason"`
	Gaps   []integrity.Gap `json:"gaps,omitempty"`
}

// maxEnded bounds the chains that wait for a last checkpoint, and endedFor how long they do:
// where nobody makes any they would wait for ever.
const (
	maxEnded = 4
	endedFor = 24 * time.Hour
)

// chainRecord is what the lane's record with the cursor says of its chain; nil without one.
// The caller holds mu.
func (l *lane) chainRecord(cursor int64) *chainRecord {
	if len(l.chains) == 0 {
		return l.off
	}
	c, p := l.chains[0], &l.proof
	tree := p.tree.Clone()
	rec := &chainRecord{
		Origin: c.origin, Begin: c.begin, Head: p.head, Edge: tree.Edge(), Previous: c.previous, Beside: c.beside, Began: c.began, Gaps: c.gaps,
		Withheld: slices.Clone(p.withheld), Again: slices.Clone(p.again), Checkpoint: p.checkpoint, Ended: waiting(l.ended, time.Now()), cursor: cursor,
	}
	for _, c := range l.chains[1:] {
		rec.Then = append(rec.Then, thenRecord{c.origin, c.begin, c.reason, c.gaps})
	}
	return rec
}

// as is the chain of a record with the cursor.
func (r *chainRecord) as(cursor int64) *chainRecord {
	if r == nil {
		return nil
	}
	c := *r
	c.cursor = cursor
	return &c
}

// former is the chain as one that follows names it; nil if there is none.
func (r *chainRecord) former(reason string) *integrity.Former {
	switch {
	case r == nil:
		return nil
	case r.Origin == "": // what is left from before the stream's events were not chained any more
		if r.Previous == nil {
			return nil
		}
		return &integrity.Former{Origin: r.Previous.Origin, Head: r.Previous.Head, Reason: chainOff}
	}
	return &integrity.Former{Origin: r.Origin, Head: r.Head, Reason: reason}
}

// over are the chains that wait for a last checkpoint when this one has ended: itself, if
// there is something to say, and others before it.
func (r *chainRecord) over(now time.Time) []*chainRecord {
	out := slices.Clone(r.Ended)
	checked := int64(0)
	if r.Checkpoint != nil {
		checked = r.Checkpoint.Size
	}
	if r.Origin != "" && (checked < r.Size || len(r.Withheld) > 0) {
		last := *r
		last.Ended, last.Then = nil, nil
		last.Offset, last.At = r.cursor, new(now.UTC())
		out = append(out, &last)
	}
	return waiting(out, now)
}

// waiting are those of chains that go on waiting for a last checkpoint.
func waiting(ended []*chainRecord, now time.Time) []*chainRecord {
	var out []*chainRecord
	for _, r := range ended[max(0, len(ended)-maxEnded):] {
		if r.At != nil && now.Sub(*r.At) < endedFor {
			out = append(out, r)
		}
	}
	return out
}

// succeedsAt begins the chain of a lane that goes on from a former one, which stood at an
// offset. The caller holds p.mu; nobody else knows the lane.
func (l *lane) succeedsAt(former *chainRecord, stood int64) {
	reason := chainRevision
	if l.begin != stood {
		reason = chainMoved
	}
	l.beginChain(l.begin, former, reason, passedOver(stood, l.begin))
}

// passedOver is the gap from one offset to another, none if that does not lie above.
func passedOver(from, to int64) []integrity.Gap {
	if from >= to {
		return nil
	}
	return []integrity.Gap{{From: from, To: to, Reason: chainMoved}}
}

// resumeChain goes on with the chain that is on record, or begins one. The caller holds p.mu;
// nobody else knows the lane.
func (l *lane) resumeChain(start *laneStart) {
	rec := start.record
	l.cut = start.recount
	if rec == nil {
		tree, err := start.resumed.tree()
		if start.resumed == nil || err != nil {
			l.beginChain(l.next, start.former, start.because, start.passed)
			return
		}
		l.goOn(start.resumed, &tree, start.recount || l.next < start.resumed.cursor)
		return
	}
	own := rec.key() == progressKey{l.id.UID, l.id.Epoch, l.id.Revision}
	tree, err := rec.Chain.tree()
	if own && l.stream.invalid || own && !l.stream.chained() {
		l.off = rec.Chain
		return
	}
	if !own || rec.Chain == nil || err != nil || rec.Chain.Origin == "" {
		l.beginChain(l.next, rec.Chain.as(rec.Cursor), chainRevision, nil)
		return
	}
	l.onFile, l.onFileTo = rec, rec.Cursor
	job := l.stream.spec.Sends != "" // its log ends with its range, behind which its cursor may stand where that has expired
	l.goOn(rec.Chain.as(rec.Cursor), &tree, start.recount || !job && l.next < rec.Cursor)
}

// goOn goes on with a chain that is on record; cut says that what it has may not be in the log
// any more. The caller holds p.mu; nobody else knows the lane.
func (l *lane) goOn(r *chainRecord, tree *integrity.Tree, cut bool) {
	l.taking = &chain{
		begin: r.Begin, origin: r.Origin, feed: integrity.FeedID(r.Origin), previous: r.Previous, beside: r.Beside, began: r.Began, gaps: r.Gaps,
	}
	l.chains, l.tip = []*chain{l.taking}, r.Head
	l.proof = proof{head: r.Head, tree: tree.Clone(), withheld: slices.Clone(r.Withheld), again: slices.Clone(r.Again), checkpoint: r.Checkpoint}
	for _, t := range r.Then {
		l.chains = append(l.chains, &chain{begin: t.Begin, origin: t.Origin, feed: integrity.FeedID(t.Origin), reason: t.Reason, gaps: t.Gaps})
	}
	l.ended, l.stood = r.Ended, r.cursor
	if cut {
		l.breakChain(l.next, chainCutOff)
	}
}

// tree is the Merkle tree of a chain on record.
func (r *chainRecord) tree() (integrity.Tree, error) {
	if r == nil {
		return integrity.Tree{}, nil
	}
	return integrity.NewTree(r.Size, r.Edge)
}
