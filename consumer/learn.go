package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"go.uber.org/zap"
)

// later stands for the start of a stream whose former revision still finishes a batch.
const later = math.MaxInt64

// change is what becomes of one stream. Without old it is new, without next it is gone.
type change struct {
	old, next *stream
	start     int64 // in one partition, of a stream that does not go on where old stands
	logStart  int64 // of that partition
	logEnd    int64 // likewise
}

// continues says whether the stream goes on in a partition where its former revision
// stands.
func (c change) continues(number int32) bool {
	return c.old != nil && c.next != nil && c.next.spec.In(number).BaseEpoch <= c.old.spec.Epoch
}

// Learn takes the streams over as the streams topic has them, while delivery goes on.
// Lanes of unchanged streams are not touched. A changed stream takes effect between two
// batches: what is queued is dropped and read again under the new revision. What cannot
// be delivered (settings that this binary refuses) leaves the former revision in force and
// is part of the error; any other error means that nothing was taken over.
func (g *Group) Learn(ctx context.Context, specs Specs) error {
	g.learning.Lock()
	defer g.learning.Unlock()
	g.known, g.deleted = uidsOf(specs)
	streams, changes, problems := g.revise(specs)
	parts := g.owned()
	starts := make([][]change, len(parts))
	for i, p := range parts {
		resolved, err := g.resolve(ctx, p, changes)
		if err != nil {
			for _, c := range changes {
				if c.next != nil {
					err = errors.Join(err, c.next.sink.Close())
					g.indices = append(g.indices, c.next.index)
				}
			}
			return err
		}
		starts[i] = resolved
	}
	router := newRouter(streams)
	g.mu.Lock()
	g.router = router
	if id := cmp.Or(specs.TopicID, g.specs.topicID); problems == nil && !specs.held() {
		g.specs = reached{id, specs.Offset}
	} else if id != g.specs.topicID {
		g.specs = reached{id, 0}
	} // else a stream that is mended later would seem known, and start where the group is by then
	now := g.specs
	g.mu.Unlock()
	g.metrics.know(streams)
	signal(g.keysWake) // those that open has signalled may not have been in force yet
	for i, p := range parts {
		p.learn(router, now, g.size, starts[i])
	}
	for _, c := range changes {
		if c.old != nil {
			g.retired = append(g.retired, c.old)
		}
		g.tell(c)
	}
	g.wakeCatchUp()
	return problems
}

// uidsOf are the uids of all streams, and of those that are deleted.
func uidsOf(specs Specs) (known, deleted map[string]bool) {
	known, deleted = make(map[string]bool, len(specs.Streams)), map[string]bool{}
	for _, s := range specs.Streams {
		known[s.UID] = true
		if s.State == SpecDeleted {
			deleted[s.UID] = true
		}
	}
	return known, deleted
}

// revise compares what is delivered with what should be.
func (g *Group) revise(specs Specs) (streams []*stream, changes []change, problems error) {
	g.mu.Lock()
	had := map[string]*stream{}
	for _, s := range g.router.streams {
		had[s.spec.UID] = s
	}
	g.mu.Unlock()
	for _, spec := range specs.Streams {
		if spec.Kind != g.cfg.Kind.Name || spec.State == SpecDeleted {
			continue
		}
		old := had[spec.UID]
		delete(had, spec.UID)
		if old != nil && old.spec.Epoch == spec.Epoch && old.spec.Revision == spec.Revision {
			old.restored.Store(&spec)
			streams = append(streams, old)
			continue
		}
		next, err := g.open(spec)
		if err != nil {
			problems = errors.Join(problems, err)
			if old != nil {
				streams = append(streams, old)
			}
			continue
		}
		next.index = g.index()
		streams = append(streams, next)
		changes = append(changes, change{old: old, next: next})
	}
	for _, old := range had {
		changes = append(changes, change{old: old})
	}
	return streams, changes, problems
}

// resolve finds where new streams begin in a partition.
func (g *Group) resolve(ctx context.Context, p *partition, changes []change) ([]change, error) {
	changes = slices.Clone(changes)
	var logStart, logEnd int64
	for i := range changes {
		c := &changes[i]
		if c.next == nil || c.continues(p.number) {
			continue
		}
		if logEnd == 0 {
			var err error
			if logStart, logEnd, err = g.bounds(ctx, p.number); err != nil {
				return nil, err
			}
		}
		c.logStart, c.logEnd = logStart, logEnd
		var err error
		if c.start, err = g.started(ctx, c.next.spec.In(p.number), p.number, logStart, logEnd); err != nil {
			return nil, fmt.Errorf("stream %q: %w", c.next.spec.ID, err)
		}
	}
	return changes, nil
}

// tell logs a change.
func (g *Group) tell(c change) {
	s, what := c.next, "stream changed"
	switch {
	case c.old == nil:
		what = "stream added"
	case c.next == nil:
		s, what = c.old, "stream deleted"
	}
	g.log.Info(what, zap.String("stream", s.spec.ID), zap.String("state", s.spec.State), zap.Int64("epoch", s.spec.Epoch), zap.Int64("revision", s.spec.Revision))
}

// index is a free stream index. The caller holds learning.
func (g *Group) index() int {
	if n := len(g.indices); n > 0 {
		i := g.indices[n-1]
		g.indices = g.indices[:n-1]
		return i
	}
	g.size++
	return g.size - 1
}

// reap closes the sinks of retired streams whose last lane has ended.
func (g *Group) reap() {
	if !g.learning.TryLock() {
		return // next time
	}
	defer g.learning.Unlock()
	parts := g.owned()
	g.retired = slices.DeleteFunc(g.retired, func(s *stream) bool {
		if s.visits.Load() > 0 {
			return false
		}
		for _, p := range parts {
			if p.occupied(s) {
				return false
			}
		}
		if err := s.sink.Close(); err != nil {
			g.log.Warn("close the sink of a former revision", zap.String("stream", s.spec.ID), zap.Error(err))
		}
		g.indices = append(g.indices, s.index)
		g.mu.Lock()
		gone := !slices.ContainsFunc(g.router.streams, func(have *stream) bool { return have.spec.ID == s.spec.ID })
		g.mu.Unlock()
		if gone {
			g.metrics.forget(s.spec.ID)
		}
		return true
	})
}

// closeAll closes every sink. No lane is left.
func (g *Group) closeAll() {
	g.learning.Lock()
	defer g.learning.Unlock()
	g.mu.Lock()
	streams := g.router.streams
	g.mu.Unlock()
	if err := errors.Join(closeSinks(streams), closeSinks(g.retired)); err != nil {
		g.log.Warn("close the sinks", zap.Error(err))
	}
}

// learn takes the changes over in one partition.
func (p *partition) learn(r *router, specs reached, size int, changes []change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping.Load() {
		return
	}
	p.router, p.specs = r, specs
	p.grow(size)
	for _, c := range changes {
		if c.next != nil {
			p.streams[c.next.index] = c.next
		}
		if c.old != nil {
			p.streams[c.old.index] = nil
		}
		switch {
		case c.old == nil:
			if known, former := p.recognize(c); !known {
				p.introduce(c.next, c.start, nil, former)
			}
		case c.next == nil || c.continues(p.number):
			p.replace(c.old, c.next, nil)
		default:
			to := relocationOf(c.next.spec.In(p.number), c.start)
			p.replace(c.old, c.next, &to)
		}
	}
}

func (p *partition) grow(size int) {
	for len(p.lanes) < size {
		p.lanes, p.streams, p.from, p.former = append(p.lanes, nil), append(p.streams, nil), append(p.from, 0), append(p.former, nil)
	}
}

// occupied says whether a lane of s is left.
func (p *partition) occupied(s *stream) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return s.index < len(p.lanes) && p.lanes[s.index] != nil && p.lanes[s.index].stream == s
}

// recognize places a stream that a former owner knew, and this process did not when it took
// the partition, at its record. Where there is none since the stream's last deliberate move it
// returns the one before, if any. The caller holds mu.
func (p *partition) recognize(c change) (known bool, former *progress) {
	spec := c.next.spec.In(p.number)
	records := p.strangers[spec.UID]
	rec, obsolete := records.of(spec, p.g.cfg.IDs.Events)
	delete(p.strangers, spec.UID)
	p.obsolete = append(p.obsolete, obsolete...)
	if rec == nil {
		return false, records.before(spec, p.g.cfg.IDs.Events)
	}
	from := p.cuts.kept(rec)
	p.from[c.next.index] = min(from, c.logEnd)
	p.placeLane(laneStart{stream: c.next, record: rec, from: from, recount: p.cuts.recounts(rec)}, c.logStart, c.logEnd)
	return true, nil
}

// introduce begins a stream at start. Below the position it gets its lane at once: before
// the next commit says that the stream is known, the lane is on record. So does one that
// begins with gaps, or whose chain goes on from one on record. The caller holds mu.
func (p *partition) introduce(s *stream, start int64, gaps []gap, former *progress) {
	p.from[s.index] = start
	position := p.position.Load()
	if start >= position && gaps == nil && (former == nil || former.Chain == nil) {
		return
	}
	l := p.addLane(s, start, nil)
	if former != nil {
		l.beginChain(start, former.Chain.as(former.Cursor), chainMoved, passedOver(former.Cursor, start))
	} else {
		l.beginChain(start, nil, "", nil)
	}
	l.next, l.gaps = start, gaps
	if l.live = start >= position; !l.live {
		p.behind[l] = struct{}{}
	}
	l.recount(start)
}

// replace retires the lane of old; next goes on where it stands, or where to moves it, as
// soon as a batch that is under way has ended. Until then the lane stays, and so does its
// record. The caller holds mu.
func (p *partition) replace(old, next *stream, to *relocation) {
	for _, l := range p.lanes { // old itself may still wait for its predecessor
		if l != nil && l.retired && l.successor == old {
			l.successor = next
			if to != nil {
				l.relocations = append(l.relocations, *to)
			}
			p.former[old.index] = nil
			if next != nil {
				p.from[next.index], p.former[next.index] = later, l
			}
			return
		}
	}
	l := p.lanes[old.index]
	if l == nil {
		if next == nil {
			return
		}
		at, gaps := max(p.from[old.index], p.position.Load()), []gap(nil)
		if to == nil {
			p.from[next.index] = at
			return
		}
		at, gaps = to.apply(at, gaps)
		p.introduce(next, at, gaps, nil)
		return
	}
	if next != nil {
		p.from[next.index], p.former[next.index] = later, l
	}
	if to != nil {
		l.relocations = append(l.relocations, *to)
	}
	delete(p.behind, l)
	l.sweeping = false
	if idle := l.retire(next); idle {
		p.succeed(l)
	}
}

// retire lets nothing more begin and reports whether nothing is under way.
func (l *lane) retire(next *stream) (idle bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = l.covered() // nobody offers to it any more
	l.become(catchingUp)
	l.dirty = true
	l.retired, l.stopped, l.successor = true, true, next
	if l.linger != nil {
		l.linger.Stop()
	}
	close(l.retiring)
	return !l.running
}

func (l *lane) isRetired() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.retired
}

// ended is called when a lane's goroutine ends.
func (p *partition) ended(l *lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.mu.Lock()
	over := l.retired && !l.running && p.lanes[l.stream.index] == l
	l.mu.Unlock()
	if over {
		p.succeed(l)
	}
}

// succeed puts the successor in a retired lane's place, at its cursor. In a partition that
// is given up the lane stays: its record is the last. The caller holds mu.
func (p *partition) succeed(l *lane) {
	if p.stopping.Load() {
		return
	}
	l.mu.Lock()
	l.collect()
	l.turn()
	cursor := l.cursor()
	former := l.chainRecord(cursor)
	counted := l.countedTo()
	if l.succeeded = true; l.successor == nil {
		p.unsaved.Add(l.savedCount - l.counts.settled()) // of no lane any more
	}
	l.current, l.unconfirmed, l.ready, l.open, l.beyond = nil, nil, nil, nil, nil
	l.next = cursor
	l.mu.Unlock()
	l.drop()
	p.lanes[l.stream.index] = nil
	p.obsolete = append(p.obsolete, progressKey{l.id.UID, l.id.Epoch, l.id.Revision})
	s := l.successor
	if s == nil {
		return
	}
	n := p.addLane(s, cursor, nil)
	l.mu.Lock() // a record of it may be acknowledged even now
	n.gaps, n.recent = l.gaps, l.recent.clone()
	if l.relocations == nil {
		n.counts, n.savedCount = l.counts, l.savedCount
		if l.id.Epoch == n.id.Epoch {
			n.mark = l.mark
		}
	}
	stood := cursor
	for _, to := range l.relocations {
		cursor, n.gaps = to.apply(cursor, n.gaps)
	}
	l.mu.Unlock()
	n.begin, n.next = cursor, cursor
	n.succeedsAt(former, stood)
	p.from[s.index] = cursor
	if n.live = cursor >= p.position.Load(); !n.live {
		p.behind[n] = struct{}{}
	}
	p.former[s.index] = nil
	if l.relocations == nil && s.takesAs(l.stream) {
		n.tally = l.tally
		n.tally.to = counted
		n.tally.abreast = n.tally.abreast || n.live
	} else {
		n.recount(cursor)
	}
	p.g.wakeCatchUp()
}
