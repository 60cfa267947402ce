package consumer

import (
	"slices"
	"time"

	"github.com/auditstream/auditstream/integrity"
)

// chainRecord is what a record of progress says of the lane's chain: everything as of the
// record's cursor.
type chainRecord struct {
	Origin         string            `json:"origin"`
	Begin          int64             `json:"begin"` // offset from which on events are in it
	integrity.Head                   // members size and hash
	Edge           []integrity.Hash  `json:"edge,omitempty"`     // of the Merkle tree over the events
	Previous       *integrity.Former `json:"previous,omitempty"` // the chain before it; absent: there was none, or nobody knows
	Gaps           []integrity.Gap   `json:"gaps,omitempty"`     // offsets passed over where it begins
	Withheld       []withheld        `json:"withheld,omitempty"` // since the last checkpoint

	Checkpoint *checkpointRecord `json:"checkpoint,omitempty"` // the last one; absent: there was none
	Then       []thenRecord      `json:"then,omitempty"`       // chains that begin above the cursor
}

// checkpointRecord is the last checkpoint of a chain.
type checkpointRecord struct {
	Size int64     `json:"size"`
	At   time.Time `json:"at"`
}

// thenRecord is a chain that begins where the one before it ends.
type thenRecord struct {
	Origin string          `json:"origin"`
	Begin  int64           `json:"begin"`
	Reason string          `json:"reason"`
	Gaps   []integrity.Gap `json:"gaps,omitempty"`
}

// chainRecord is what the lane's record says of its chain; nil without one. The caller holds
// mu.
func (l *lane) chainRecord() *chainRecord {
	if len(l.chains) == 0 {
		return nil
	}
	c, p := l.chains[0], &l.proof
	tree := p.tree.Clone()
	rec := &chainRecord{
		Origin: c.origin, Begin: c.begin, Head: p.head, Edge: tree.Edge(), Previous: c.previous, Gaps: c.gaps,
		Withheld: slices.Clone(p.withheld), Checkpoint: p.checkpoint,
	}
	for _, c := range l.chains[1:] {
		rec.Then = append(rec.Then, thenRecord{c.origin, c.begin, c.reason, c.gaps})
	}
	return rec
}

// former is the chain as one that follows names it; nil if the record has none.
func (r *chainRecord) former(reason string) *integrity.Former {
	if r == nil {
		return nil
	}
	return &integrity.Former{Origin: r.Origin, Head: r.Head, Reason: reason}
}

// former is the chain that a successor of the lane goes on from; nil without one. The caller
// holds mu.
func (l *lane) former() *integrity.Former {
	if len(l.chains) == 0 {
		return nil
	}
	return &integrity.Former{Origin: l.chains[0].origin, Head: l.proof.head, Reason: chainRevision}
}

// succeedsAt begins the chain of a lane that goes on from a former one, which stood at an
// offset. The caller holds p.mu; nobody else knows the lane.
func (l *lane) succeedsAt(former *integrity.Former, stood int64) {
	if former != nil && l.begin != stood {
		former.Reason = chainMoved
	}
	l.beginChain(l.begin, former, passedOver(stood, l.begin))
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
	if !l.stream.chained() {
		return
	}
	rec := start.record
	if rec == nil {
		l.beginChain(l.next, start.former, start.passed)
		return
	}
	own := rec.key() == progressKey{l.id.UID, l.id.Epoch, l.id.Revision}
	tree, err := rec.Chain.tree()
	if !own || rec.Chain == nil || err != nil {
		l.beginChain(l.next, rec.Chain.former(chainRevision), nil)
		return
	}
	r := rec.Chain
	l.taking = &chain{begin: r.Begin, origin: r.Origin, feed: integrity.FeedID(r.Origin), previous: r.Previous, gaps: r.Gaps}
	l.chains, l.tip = []*chain{l.taking}, r.Head
	l.proof = proof{head: r.Head, tree: tree.Clone(), withheld: slices.Clone(r.Withheld), checkpoint: r.Checkpoint}
	for _, t := range r.Then {
		l.chains = append(l.chains, &chain{begin: t.Begin, origin: t.Origin, feed: integrity.FeedID(t.Origin), reason: t.Reason, gaps: t.Gaps})
	}
	if start.recount || l.next < rec.Cursor {
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
