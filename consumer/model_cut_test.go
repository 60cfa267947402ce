package consumer

import (
	"maps"
	"slices"

	"github.com/auditstream/auditstream/integrity"
)

// Kafka can lose what it had acknowledged: a replica that lacks the last records leads, or all
// of them lose what they had not yet on disk. The same offsets have other records then. Here
// that happens while no deliverer runs, as when everything loses its power: what stands at an
// offset is one thing for everybody who acts. Whoever begins then has to tell by what is on
// record, and what has a number keeps it: a chain of which anybody has seen an event that is
// cut off never goes on.

// cutOff loses the last records of a partition.
func (w *world) cutOff(p *simPartition) {
	at := max(p.start, p.end-int64(1+w.tape.pick(5)))
	if at == p.end || !w.tells(p, at) {
		return
	}
	for _, o := range w.owners() {
		w.crash(o)
	}
	w.zombies = nil
	if !w.tells(p, at) { // what was under way has arrived
		w.takeOver(w.next())
		return
	}
	if w.job != nil {
		w.forgetJob("the log was cut off")
	}
	w.tell("the log of %d is cut off at %d of %d", p.number, at, p.end)
	for origin, seen := range w.chains {
		if links, o, ok := w.truth(origin); ok && o.Partition == p.number && seen.beyond(links, at) {
			seen.over = append([]link{}, links[:seen.most]...)
		}
	}
	w.cuts = true
	for i := range p.epochs {
		p.epochs[i] = min(p.epochs[i], at)
	}
	p.epochs = append(p.epochs, at)
	p.all, p.end = slices.DeleteFunc(p.all, func(x *simRecord) bool { return x.Offset >= at }), at
	p.since = min(p.since, at)
	for _, l := range w.lines {
		if lp := l.parts[p.number]; lp != nil {
			lp.cutOff(at)
		}
	}
	for range w.tape.pick(6) {
		w.append(p)
	}
	w.takeOver(w.next())
}

// forgets says that progress or commits are lost: of chains that the log was cut away from
// nobody may know any more, and then they can begin again.
func (w *world) forgets() {
	w.forgotten = true
	for _, seen := range w.chains {
		seen.lost = seen.lost || seen.over != nil
	}
}

// beyond says whether anybody has seen what the chain has of an offset and above.
func (c *chainSeen) beyond(links []link, at int64) bool {
	return c.to > at || c.most > 0 && links[c.most-1].offset >= at
}

// tells says whether a cut at an offset shows in what is on record, or took nothing that
// anybody has seen. What was sent since the record, and since the commit, does not show.
func (w *world) tells(p *simPartition, at int64) bool {
	if c := p.commit; c != nil && c.meta.Events == w.events() && c.offset > 0 {
		switch known := c.meta.LeaderEpoch != nil; {
		case known && at < c.meta.Position:
			return true
		case !known && at < c.offset:
			return false
		}
	}
	shows := map[string]bool{} // by chain
	for _, rec := range p.decoded {
		known := rec.LeaderEpoch != nil && at < rec.Position
		if rec.TopicID == w.events() && rec.Cursor > at && !known {
			return false
		}
		if rec.Chain != nil {
			shows[rec.Chain.Origin] = known
		}
	}
	for origin, seen := range w.chains {
		links, o, ok := w.truth(origin)
		if ok && o.Partition == p.number && seen.beyond(links, at) && !shows[origin] {
			return false
		}
	}
	return true
}

// cutOff forgets what is known of records that are gone.
func (lp *lineProgress) cutOff(at int64) {
	gone := func(offset int64, _ bool) bool { return offset >= at }
	maps.DeleteFunc(lp.settled, gone)
	maps.DeleteFunc(lp.arrived, gone)
	maps.DeleteFunc(lp.expired, gone)
	for _, of := range []map[int64]int64{lp.begin, lp.low, lp.passed} {
		for revision, offset := range of {
			of[revision] = min(offset, at)
		}
	}
	for org, offset := range lp.newest {
		lp.newest[org] = min(offset, at-1)
	}
}

// epochEnd is where a leader's epoch ended, as Kafka tells it.
func (*world) epochEnd(p *simPartition, epoch int32) int64 {
	if next := int(epoch) + 1; next < len(p.epochs) {
		return p.epochs[next]
	}
	return p.end
}

// findCuts is what a new owner finds of cuts.
func (w *world) findCuts(p *simPartition, f *found) {
	if c := f.commit; c != nil && c.meta.LeaderEpoch != nil && c.meta.Events == w.events() {
		if end := w.epochEnd(p, *c.meta.LeaderEpoch); end < c.meta.Position {
			f.cut = &end
		}
	}
	f.cuts = map[progressKey]int64{}
	for key, rec := range f.records {
		if rec.LeaderEpoch != nil && rec.TopicID == w.events() {
			if end := w.epochEnd(p, *rec.LeaderEpoch); end < rec.Position {
				f.cuts[key] = end
			}
		}
	}
}

// beginsAt is the offset from which on events are in a chain. Behind a cut the origin does not
// say it, but the chain's first record does.
func (w *world) beginsAt(o integrity.Origin, origin string) (begin int64, known bool) {
	if o.Begin >= 0 {
		return o.Begin, true
	}
	if c := w.chains[origin]; c != nil && c.begin != nil {
		return *c.begin, true
	}
	return 0, false
}
