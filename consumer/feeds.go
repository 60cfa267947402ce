package consumer

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks"
)

// Feed is one chain of the lanes that a group owns, as it is on record in Kafka: whoever
// takes the lane over goes on from there or from further on.
type Feed struct {
	Lane     sinks.Lane
	Sink     sinks.Sink // where its events go; open until the visit ends, and not to be closed
	Origin   string
	Head     integrity.Head
	Tree     integrity.Tree
	Offset   int64 // everything of the chain below it is settled
	Previous *integrity.Former
	Beside   []integrity.Beside   // chains of its stream in other partitions before it began
	Gaps     []integrity.Gap      // passed over where it begins
	Withheld []integrity.Withheld // since After
	Again    []integrity.Again    // likewise, of a job: which events its own were at first
	After    int64                // size at the checkpoint before; 0: there was none
	At       time.Time            // of that checkpoint; zero: there was none
	Ended    bool                 // another chain has followed: it does not grow any more

	places int // lines of Withheld that could not be put together
	lane   *lane
	began  *time.Time // if chains before it are still to be looked for; else nil
}

// Checkpoint is what a checkpoint says of the feed at a time.
func (f *Feed) Checkpoint(at time.Time) integrity.Checkpoint {
	return integrity.Checkpoint{
		Origin: f.Origin, Size: f.Head.Size, Root: f.Tree.Root(), Chain: f.Head.Hash, Offset: f.Offset, Time: at,
		After: f.After, Previous: f.Previous, Beside: f.Beside, Withheld: f.Withheld, Gaps: f.Gaps, Again: f.Again,
	}
}

// Feeds calls visit for every chain of the lanes that the group owns, those included that
// have ended and had no checkpoint since. A stream has its lane in the partition of its
// organization from the first call on, whether it has had an event there or not: it is
// visited when its record is acknowledged. Visit returns when it has made a checkpoint of
// the chain, zero if it has made none; it may take its time, and ask Kafka and the sink.
func (g *Group) Feeds(ctx context.Context, visit func(*Feed) time.Time) {
	for _, p := range g.owned() {
		p.beginQuiet()
		for _, l := range p.chainedLanes() {
			p.visit(ctx, l, visit)
		}
	}
}

// chainedLanes lists the lanes that have, or had, chains.
func (p *partition) chainedLanes() []*lane {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*lane
	for _, l := range p.lanes {
		if l != nil && l.proved() {
			l.stream.visits.Add(1) // its sink is not closed before
			out = append(out, l)
		}
	}
	return out
}

// proved says whether a chain of the lane is on record.
func (l *lane) proved() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.onFile != nil && l.onFile.Chain != nil
}

// visit calls f for the chains of a lane.
func (p *partition) visit(ctx context.Context, l *lane, f func(*Feed) time.Time) {
	defer l.stream.visits.Add(-1)
	l.mu.Lock()
	rec, offset := l.onFile.Chain, l.onFileTo
	l.mu.Unlock()
	if rec == nil {
		return // a record that was acknowledged since has none any more
	}
	for _, r := range rec.Ended {
		if feed := l.feed(r, r.Offset, true); feed != nil && ctx.Err() == nil && !p.lost.Load() {
			l.checkpointed(feed, f(feed))
		}
	}
	if feed := l.feed(rec, offset, false); feed != nil && ctx.Err() == nil && !p.lost.Load() {
		l.checkpointed(feed, f(feed))
	}
}

// feed is a chain on record; nil where there is none.
func (l *lane) feed(r *chainRecord, offset int64, ended bool) *Feed {
	tree, err := r.tree()
	if r.Origin == "" || err != nil {
		return nil
	}
	f := &Feed{
		Lane: l.id, Sink: l.stream.sink, Origin: r.Origin, Head: r.Head, Tree: tree.Clone(), Offset: offset,
		Previous: r.Previous, Beside: r.Beside, Gaps: r.Gaps, Again: r.Again, Ended: ended, lane: l, began: r.Began,
	}
	if c := r.Checkpoint; c != nil {
		f.After, f.At = c.Size, c.At
	}
	for i, w := range r.Withheld {
		f.Withheld = append(f.Withheld, w.line())
		if i == 0 || !r.Withheld[i-1].goesOn(w) {
			f.places++
		}
	}
	return f
}

// checkpointed takes down that a checkpoint was made of a feed at a time, if it was.
func (l *lane) checkpointed(f *Feed, at time.Time) {
	if at.IsZero() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = slices.DeleteFunc(slices.Clone(l.ended), func(r *chainRecord) bool { return r.Origin == f.Origin })
	if len(l.chains) > 0 && l.chains[0].origin == f.Origin {
		c := l.chains[0]
		c.previous, c.beside, c.began = f.Previous, f.Beside, nil
		l.proof.checkpoint = &checkpointRecord{Size: f.Head.Size, At: at.UTC()}
		left := slices.DeleteFunc(slices.Clone(l.proof.withheld), func(w withheld) bool { return w.To <= f.Head.Size })
		if len(left) > 0 { // it may have grown together with what came since
			left[0] = left[0].behind(f.Head)
		}
		l.proof.withheld, l.proof.again = left, since(l.proof.again, f.Head.Size)
	}
	l.dirty = true
}

// beginQuiet gives every stream its lane in the partition to which its organization's events
// go: a feed without events has checkpoints as well, or nobody could tell it from one whose
// events were held back.
func (p *partition) beginQuiet() {
	n := int(p.g.topicPartitions.Load())
	if n == 0 || p.g.letters != nil {
		return // not known yet
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping.Load() {
		return
	}
	place := kgo.StickyKeyPartitioner(nil).ForTopic("")
	for i, s := range p.streams {
		if s == nil || !s.chained() || p.lanes[i] != nil || p.from[i] == later || s.spec.State == SpecDraining {
			continue
		}
		if o := s.spec.OrganizationID; o == AllOrganizations || int32(place.Partition(&kgo.Record{Key: []byte(o)}, n)) == p.number {
			p.beginLane(s)
		}
	}
}

// beginLane makes the lane of a stream that has had nothing below the position. The caller
// holds mu.
func (p *partition) beginLane(s *stream) *lane {
	l := p.addLane(s, p.from[s.index], nil)
	l.beginChain(l.begin, nil, "", nil)
	l.next, l.live = max(l.begin, p.position.Load()), true
	l.recount(l.next) // what lies below its beginning, and above the position, is not the lane's
	return l
}
