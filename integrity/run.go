package integrity

import (
	"fmt"
)

// Run is a piece of a feed whose events carry no numbers: an object of a store. Whoever made
// it says where it stands in the chain; what it says is held against its events, and against
// the pieces and checkpoints around it.
type Run struct {
	Feed        string // id of the chain
	Origin      string // of the chain, where whoever made the run says it
	First, Last int64  // numbers of its events; Last 0: however many there are
	Before      Hash   // of the chain before the first
	After       Hash   // of the chain with the last; not used where Last is 0
	Where       string // it is
}

// Piece takes in the events of a run, one after another.
type Piece struct {
	checker *Checker
	feed    *feed
	run     Run
	head    Head     // with the events so far
	count   int64    // of them
	tree    *tracked // over everything to the head; nil: not known
	open    bool     // the run's end is where its events end
	each    bool     // they are there already, in whole or in part: each is compared
	good    int64    // greatest number at which a checkpoint agrees
	bad     []int64  // numbers at which one does not
	firstID string
	lastID  []byte
}

// Head is the chain with the run's events so far, if what the run says of its begin is true.
func (p *Piece) Head() Head { return p.head }

// Begin begins a run. Between Begin and End nothing else is taken in.
func (c *Checker) Begin(r Run) (*Piece, error) {
	open := r.Last == 0
	if open {
		r.Last = MaxNumber
	}
	if r.First < 1 || r.Last < r.First || r.Last > MaxNumber {
		return nil, fmt.Errorf("%s: a run from number %d to %d has no events", r.Where, r.First, r.Last)
	}
	f, err := c.feed(r.Feed)
	if err != nil {
		return nil, err
	}
	p := &Piece{checker: c, feed: f, run: r, open: open, head: Head{r.First - 1, r.Before}}
	i := f.place(r.First)
	switch {
	case i >= 0 && f.spans[i].last >= r.First, i+1 < len(f.spans) && f.spans[i+1].first <= r.Last && !f.spans[i+1].empty(), f.overlapsHeld(&r):
		p.each = true
	case i >= 0 && f.spans[i].last+1 == r.First && f.spans[i].end == r.Before && f.spans[i].tree != nil:
		p.tree = f.spans[i].tree.clone()
	}
	return p, nil
}

// overlapsHeld says whether events of r are on record as withheld.
func (f *feed) overlapsHeld(r *Run) bool {
	i := f.heldFrom(r.First)
	return i < len(f.held) && f.held[i].From <= r.Last
}

// Event takes in the run's next event: its digest, and its id, for findings.
func (p *Piece) Event(digest Hash, id []byte) error {
	p.count++
	if p.count > p.run.Last-p.run.First+1 {
		return nil // End says so
	}
	p.head = p.head.Next(digest)
	if p.each {
		return p.checker.Event(Item{Feed: p.run.Feed, Number: p.head.Size, Digest: digest, Chain: p.head.Hash, ID: id, Where: p.run.Where})
	}
	if p.count == 1 {
		p.firstID = string(id)
	}
	p.lastID = append(p.lastID[:0], id...)
	p.checker.want(p.feed, p.head.Size, id)
	p.feed.append(p.tree, digest)
	if m := p.feed.marks[p.head.Size]; m != nil {
		p.feed.meet(p.head.Size, p.head.Hash, p.tree)
		switch {
		case m.state == matched:
			p.good = p.head.Size
		case len(p.bad) < maxFindings:
			p.bad = append(p.bad, p.head.Size)
		}
	}
	e := Item{Number: p.head.Size, Digest: digest, Chain: p.head.Hash, ID: id, Where: p.run.Where}
	p.checker.remember(p.feed, &e)
	return p.checker.hold(p.feed, &e)
}

// End ends the run. What is wrong with it is a finding; an error is a reason not to go on.
func (p *Piece) End() error {
	f := p.feed
	if p.open {
		if p.count == 0 {
			return nil
		}
		p.run.Last, p.run.After = p.head.Size, p.head.Hash
	}
	right := p.count == p.run.Last-p.run.First+1 && p.head.Hash == p.run.After
	if !right {
		p.explain()
	}
	if p.each {
		return nil
	}
	if p.checker.options.Ordered && p.run.First < f.high {
		f.find(Finding{Kind: Reordered, From: p.run.First, To: p.run.Last, Where: p.run.Where, Detail: "they come behind events with greater numbers"})
	}
	f.high = max(f.high, p.run.Last)
	f.events += min(p.count, p.run.Last-p.run.First+1)
	s := &segment{first: p.run.First, last: p.run.Last, begin: edge{id: p.firstID, where: p.run.Where}, before: &p.run.Before, end: p.run.After, lastID: p.lastID}
	i := f.place(p.run.First)
	if right && p.tree != nil && i >= 0 && f.spans[i].last+1 == p.run.First {
		f.spans[i].tree = nil
		s.tree = p.tree
	}
	return p.checker.put(f, i+1, s)
}

// explain says what is wrong with the run. A checkpoint within it may bound where.
func (p *Piece) explain() {
	for _, n := range p.bad {
		p.feed.marks[n].state = explained
	}
	x := Finding{From: min(max(p.run.First, p.good+1), p.run.Last), To: p.run.Last, Where: p.run.Where}
	if len(p.bad) > 0 && p.bad[0] > p.good {
		x.To = p.bad[0]
	}
	switch want := p.run.Last - p.run.First + 1; {
	case p.count < want:
		x.Kind, x.Detail = Missing, fmt.Sprintf("%s there, and there were %d", count(p.count, "event is", "events are"), want)
	case p.count > want:
		x.Kind, x.Detail = Inserted, fmt.Sprintf("%s there, and there were %d", count(p.count, "event is", "events are"), want)
	default:
		x.Kind, x.Detail = Altered, "as many events are there as there were, and they are not the same, or not in the same order"
	}
	p.feed.find(x)
}
