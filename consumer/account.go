package consumer

import (
	"cmp"
	"slices"
	"time"

	"github.com/auditstream/auditstream/integrity"
)

// Every event that is a stream's is accounted for:
//
//	matched = delivered + filtered + dead-lettered + lost + pending
//
// Matched counts what was found to be the stream's, by the live reader as it comes past, or
// where that has not been, by the catch-up reader. The others count what became of it, and
// belong to the cursor: what stands in a record is what lies below the cursor that stands
// beside it. After a crash the events above it are dealt with, and counted, another time;
// both go back together. Pending is what is left: it waits, or was settled above the cursor,
// out of order, which a crash repeats.

// fate is what became of an event.
type fate int

const (
	fateDelivered fate = iota
	fateDeadLettered
	fateFiltered // the stream's expression did not let it through
	fateLost     // Kafka forgot it before
)

// counts are what became of a lane's events, those below its cursor.
type counts struct {
	delivered, deadLettered, filtered, lost int64

	retried int64 // attempts
	expired int64 // offsets that retention took, an upper bound of events
}

func (c *counts) add(what fate, n int64) {
	switch what {
	case fateDelivered:
		c.delivered += n
	case fateDeadLettered:
		c.deadLettered += n
	case fateFiltered:
		c.filtered += n
	case fateLost:
		c.lost += n
	}
}

// settled are those that a crash would send again.
func (c *counts) settled() int64 { return c.delivered + c.deadLettered }

// accounted are all.
func (c *counts) accounted() int64 { return c.delivered + c.deadLettered + c.filtered + c.lost }

// run is n events in a row that have the same fate. No event between from and last is
// queued.
type run struct {
	from, last int64 // offsets of the first and the last
	n          int
	what       fate

	chain    *chain           // that the events are in; nil: in none
	links    []integrity.Link // one an event; in a chunk, unless kept is not 0
	were     were             // which events they were at first, of a job with a chain
	span     integrity.Span   // of the links, if it was made already, where nobody waits
	kept     int              // bytes of links that the budget has given
	withheld string           // why the chain's feed does not have the events; empty: it has
}

// run is the events [i, j) of the chunk.
func (c *chunk) run(i, j int, what fate, withheld string) run {
	r := run{from: c.events[i].Offset, last: c.events[j-1].Offset, n: j - i, what: what}
	if len(c.links) > 0 {
		r.chain, r.links, r.withheld, r.were = c.chain, c.links[i:j], withheld, c.were.slice(i, j)
	}
	return r
}

// became counts runs of events whose fate is decided: all of which that is so at once, for
// the cursor has passed them together. The queue does not hold them any more, but their
// chunks are not let go yet. The caller holds mu.
func (l *lane) became(runs ...run) {
	l.beyond = append(l.beyond, runs...)
	l.collect()
	for i := range l.beyond {
		if r := &l.beyond[i]; r.kept == 0 && len(r.links) > 0 {
			r.links, r.were.numbers, r.kept = slices.Clone(r.links), slices.Clone(r.were.numbers), len(r.links)*linkSize
			l.held += r.kept
			l.p.g.cfg.Budget.take(l.what(), r.kept)
		}
	}
}

// collect counts the runs that the cursor has passed. They are few: batches that wait for
// confirmations behind one that is missing, and what was filtered out between them. The
// caller holds mu.
func (l *lane) collect() {
	now, cursor := time.Now(), l.cursor()
	if len(l.beyond) > 1 && len(l.chains) > 0 { // confirmations come in any order, the chain has one
		slices.SortStableFunc(l.beyond, func(a, b run) int { return cmp.Compare(a.from, b.from) })
	}
	left := l.beyond[:0]
	for _, r := range l.beyond {
		if r.last >= cursor {
			left = append(left, r)
			continue
		}
		if r.chain != nil && r.chain != l.chains[0] {
			l.turn()
		}
		l.fold(&r)
		if kept := min(r.kept, l.held); kept > 0 {
			l.held -= kept
			l.p.g.cfg.Budget.release(l.what(), kept)
		}
		l.counts.add(r.what, int64(r.n))
		switch r.what {
		case fateDelivered:
			l.recent.add(&l.recent.delivered, int64(r.n), now)
			l.unsaved(r.n)
		case fateDeadLettered:
			l.recent.add(&l.recent.deadLettered, int64(r.n), now)
			l.unsaved(r.n)
		case fateFiltered, fateLost:
		}
	}
	l.beyond = left
}

// tried counts an attempt that will be made again. The caller holds mu.
func (l *lane) tried() {
	l.counts.retried++
	l.recent.add(&l.recent.retried, 1, time.Now())
}

// omit passes over an event that the stream's expression does not let through. It needs no
// room; it reports false, and takes nothing, only while the lane takes nothing at all.
func (l *lane) omit(offset int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if offset < l.next {
		return true
	}
	if l.stopped || l.stream.idle() {
		return false
	}
	l.next, l.dirty = offset+1, true
	if l.stream.omitted != nil {
		l.stream.omitted.Inc()
	}
	// One run for all that is filtered out between two queued events: there may be millions.
	if n := len(l.beyond); n > 0 && l.head() != nil {
		if r := &l.beyond[n-1]; r.what == fateFiltered && r.from > l.newest {
			r.last, r.n = offset, r.n+1
			return true
		}
	}
	l.became(run{from: offset, last: offset, n: 1, what: fateFiltered})
	return true
}

// tally is how many events are the lane's, as far as its partition has looked. Guarded by
// partition.mu.
type tally struct {
	matched int64
	to      int64 // below it every event is counted, if the lane is abreast below the position as well
	abreast bool  // counted as the live reader comes past, whether the lane has room or not
	atMost  bool  // retention took offsets that were counted: nobody knows how many events those were
}

// sees counts an event that is the lane's. An event may be seen several times: when the lane
// had no room for it, after a takeover, and when it is read another time to catch up. The
// caller holds p.mu.
func (l *lane) sees(offset int64) {
	if t := &l.tally; offset >= t.to && (!t.abreast || offset >= l.p.position.Load()) {
		t.matched++
		t.to = offset + 1
	}
}

// countedTo is the offset below which every event is counted. The caller holds p.mu and mu.
func (l *lane) countedTo() int64 {
	if l.tally.abreast {
		return max(l.tally.to, l.p.position.Load())
	}
	return max(l.tally.to, l.next)
}

// recount begins to count at an offset: what the lane has settled, and what it holds, is
// what is known to have matched below. The caller holds p.mu and l.mu.
func (l *lane) recount(at int64) {
	l.tally = tally{matched: l.known(), to: at, abreast: l.live}
}

// known are the events that the lane has settled or holds. The caller holds mu.
func (l *lane) known() int64 {
	n := l.counts.accounted()
	for _, r := range l.beyond {
		n += int64(r.n)
	}
	for _, c := range l.ready {
		n += int64(len(c.events))
	}
	if l.open != nil {
		n += int64(len(l.open.events))
	}
	if l.current != nil {
		n += int64(l.current.end - l.current.done)
	}
	l.waits(func(_ *chunk, p *part) { n += int64(p.to - p.from) })
	return n
}

// complete says whether everything that was counted has been offered. The caller holds p.mu
// and l.mu.
func (l *lane) complete() bool { return l.live && l.tally.to <= l.p.position.Load() }

// reconcile finds out how many events retention took, once nothing else is left that was
// counted and not offered. The caller holds p.mu and l.mu.
func (l *lane) reconcile() {
	if !l.complete() {
		return
	}
	t := &l.tally
	gone := t.matched - l.known()
	switch {
	case gone < 0:
		t.matched -= gone // a stale owner has put its record over a newer one
	case t.atMost:
		l.counts.lost += gone
	}
	t.atMost = false
}

// resume takes over what the record says of the lane, which has just been placed. The
// caller holds p.mu; nobody else knows the lane.
func (l *lane) resume(start laneStart) {
	rec := start.record
	// What another revision counted, or a binary that did not count, may not be the stream's
	// any more, and what was counted in a log that was cut off may not be there.
	if rec == nil || rec.key() != (progressKey{l.id.UID, l.id.Epoch, l.id.Revision}) || rec.CountedTo < rec.Cursor || start.recount {
		l.recount(l.next)
		l.dirty = l.dirty || rec != nil && l.tally.abreast != rec.CountedAll
		return
	}
	l.tally = tally{matched: rec.Matched, to: rec.CountedTo, atMost: rec.AtMost}
	if rec.CountedAll {
		l.tally.to = max(l.tally.to, start.counted)
		l.tally.abreast = l.tally.to >= l.p.position.Load()
	}
	l.tally.abreast = l.tally.abreast || l.live
	l.dirty = l.dirty || l.tally.abreast != rec.CountedAll
}

// misses says that retention took offsets from one on that the lane had not come to. The
// caller holds p.mu.
func (l *lane) misses(from int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from < l.countedTo() {
		l.tally.atMost = true
	}
}
