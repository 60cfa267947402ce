package consumer

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
)

// What was delivered since a lane's last record is delivered again after a crash. Records
// are therefore written as soon as that is much, not only every commit interval. A lane
// begins at its own record, so the group's offset need not go with it.
const (
	repeatsOfLane      = 200  // events, or two batches where they are larger: a lane that has as many waits for its record
	repeatsOfPartition = 1000 // events over all lanes of a partition
	repeatsOfEach      = 50   // events a lane, where so many lanes share a partition that this is more: a record for every few events would cost more than they do
	earliest           = 5 * time.Millisecond
	recordPatience     = 10 * time.Second // how long a lane waits for its record at most
)

// mostUnsaved is how many settled events may be in no record when a batch begins. Half of
// that makes a record due: it is written while the next batch is under way. The caller
// holds l.mu.
func (l *lane) mostUnsaved() int64 { return max(repeatsOfLane, 2*int64(l.batched)) }

// keepUp waits until the lane's record has caught up with it, so that what a crash repeats
// is bounded however slow Kafka is. Where progress cannot be written at all it goes on:
// events that arrive twice are better than none.
func (l *lane) keepUp(ctx context.Context, c *chunk) error {
	l.mu.Lock()
	l.batched = c.end - c.done
	if l.counts.settled()-l.savedCount < l.mostUnsaved() || l.p.g.records.present() != "" {
		l.mu.Unlock()
		return nil
	}
	if l.written == nil {
		l.written = make(chan struct{})
	}
	written := l.written
	l.mu.Unlock()
	signal(l.p.g.saveWake)
	// Not a sleep: the lane is getting on, and whoever feeds it may wait for it.
	limit := time.NewTimer(recordPatience)
	defer limit.Stop()
	select {
	case <-written:
	case <-limit.C:
	case <-l.p.going:
		return errGoing
	case <-l.retiring:
		return errGoing
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// unsaved counts n settled events and asks for an early record when enough have come
// together. The caller holds l.mu.
func (l *lane) unsaved(n int) {
	p := l.p
	sum := p.unsaved.Add(int64(n))
	if sum >= p.saveAt.Load() || l.counts.settled()-l.savedCount >= l.mostUnsaved()/2 {
		signal(p.g.saveWake)
	}
}

// recordWritten takes note of an acknowledged record. The caller holds l.mu.
func (l *lane) recordWritten(rec *progress) {
	l.saved, l.savedAt, l.recorded, l.matched = true, rec.Updated, rec.Cursor, rec.Matched
	l.onFile, l.onFileTo = rec, rec.Cursor
	if len(l.chains) > 0 && (rec.Chain == nil || rec.Chain.Origin != l.chains[0].origin) {
		l.saved = false // another chain has begun since the record was made, and waits for its own
	}
	if l.written != nil {
		close(l.written)
		l.written = nil
	}
	if l.succeeded {
		return // its successor has taken over what was not on record, and takes it off with its own first one
	}
	settled := rec.Delivered + rec.DeadLettered
	l.p.unsaved.Add(l.savedCount - settled)
	l.savedCount = settled
}

// saveLoop writes early records until ctx ends.
func (g *Group) saveLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.saveWake:
		}
		wait := earliest
		if !g.saveEarly(ctx) {
			wait = time.Second
		}
		if pause(ctx, wait) != nil {
			return
		}
	}
}

// saveEarly writes what is due, of all partitions at once, and reports whether that
// worked.
func (g *Group) saveEarly(ctx context.Context) bool {
	parts := g.owned()
	errs := make([]error, len(parts))
	var wg sync.WaitGroup
	for i, p := range parts {
		lanes := p.overdue()
		if len(lanes) == 0 {
			continue
		}
		wg.Go(func() {
			if errs[i] = p.saving.take(ctx); errs[i] != nil {
				return
			}
			defer p.saving.give()
			if p.stopping.Load() {
				return // the last commit has it, and what is written after that might go back
			}
			errs[i] = p.writeNow(ctx, lanes)
		})
	}
	wg.Wait()
	ok := true
	for i, err := range errs {
		if err != nil && ctx.Err() == nil {
			g.records.complain(zap.WarnLevel, firstOf(err), zap.Int32("partition", parts[i].number))
			ok = false
		}
	}
	return ok
}

// overdue lists the lanes whose records must be written now: those with much that is not
// on record, and all with anything if the partition as a whole has much.
func (p *partition) overdue() []*lane {
	p.mu.Lock()
	defer p.mu.Unlock()
	counted := p.unsaved.Load()
	all := counted >= p.saveAt.Load()
	var out []*lane
	lanes, sum := 0, int64(0)
	for _, l := range p.lanes {
		if l == nil {
			continue
		}
		lanes++
		l.mu.Lock()
		n := l.counts.settled() - l.savedCount
		sum += n
		if n >= l.mostUnsaved()/2 || all && n > 0 {
			out = append(out, l)
		}
		l.mu.Unlock()
	}
	p.unsaved.Add(sum - counted) // what lanes that are gone had counted
	p.saveAt.Store(max(repeatsOfPartition, int64(lanes)*repeatsOfEach))
	return out
}
