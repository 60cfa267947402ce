package consumer

import "slices"

// accounted judges the counts of a lane that rests: every event that matched is in one of
// them, and where nothing was lost, nobody stale has written and the filter has not changed,
// they are those of the ground truth.
func (w *world) accounted(l *line, p *simPartition) {
	rec := w.progressOf(l, p)
	if rec == nil || w.cuts { // what was counted may be gone, and nobody can tell
		return
	}
	became := rec.Delivered + rec.DeadLettered + rec.Filtered + rec.Lost
	switch {
	case rec.CountedTo < p.end && !rec.CountedAll:
		w.fail("16: %s (%s/%d) in %d rests, and has counted to %d of %d", l.id, l.uid, l.base, p.number, rec.CountedTo, p.end)
	case rec.AtMost:
		w.fail("16: %s (%s/%d) in %d rests, and does not know how much retention took", l.id, l.uid, l.base, p.number)
	case rec.Matched != became:
		w.fail("16: %s (%s/%d) in %d rests: matched %d, delivered %d, dead-lettered %d, filtered %d, lost %d", l.id, l.uid, l.base, p.number,
			rec.Matched, rec.Delivered, rec.DeadLettered, rec.Filtered, rec.Lost)
	}
	if w.stalled || w.forgotten || l.changed || l.forward || l.until != nil || l.uid == invalidUID+".model" {
		return
	}
	if rec.Expired > 0 || slices.ContainsFunc(rec.Gaps, func(g gap) bool { return g.By == "" }) {
		return // what was settled may have been lost before that was on record; a move begins the counts anew, not the gaps
	}
	if n := int64(len(l.at(p.number).settled)); rec.Delivered+rec.DeadLettered != n {
		w.fail("16: %s (%s/%d) in %d: delivered %d, dead-lettered %d, where %d are settled", l.id, l.uid, l.base, p.number, rec.Delivered, rec.DeadLettered, n)
	}
	if rec.Lost > 0 {
		w.fail("16: %s (%s/%d) in %d: %d lost, where retention took nothing", l.id, l.uid, l.base, p.number, rec.Lost)
	}
}

// progressOf is the record that counts of a line that is current.
func (w *world) progressOf(l *line, p *simPartition) *progress {
	if s, ok := w.latest[l.id]; ok {
		rec, _ := p.decoded.of(s.In(p.number), w.events())
		return rec
	}
	return p.decoded[progressKey{l.uid, 1, 1}]
}
