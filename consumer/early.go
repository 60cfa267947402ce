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
	repeatsOfLane      = 1000 // events; a record of some 400 bytes a thousand events is not measurable
	repeatsOfPartition = 5000 // events over all lanes of a partition
	repeatsOfEach      = 50   // events a lane, where so many lanes share a partition that this is more: a record for every few events would cost more than they do
	earliest           = 20 * time.Millisecond
)

// unsaved counts n settled events and asks for an early record when enough have come
// together. The caller holds l.mu.
func (l *lane) unsaved(n int) {
	p := l.p
	sum := p.unsaved.Add(int64(n))
	if sum >= p.saveAt.Load() || l.counts.settled()-l.savedCount >= repeatsOfLane {
		signal(p.g.saveWake)
	}
}

// recordWritten takes note of an acknowledged record. The caller holds l.mu.
func (l *lane) recordWritten(rec *progress) {
	l.saved, l.savedAt, l.recorded = true, rec.Updated, rec.Cursor
	if l.succeeded {
		return // its successor has taken over what was not on record, and takes it off with its own first one
	}
	settled := rec.Delivered + rec.DeadLettered
	l.p.unsaved.Add(l.savedCount - settled)
	l.savedCount = settled
}

func (c *counts) settled() int64 { return c.delivered + c.deadLettered }

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
		if n >= repeatsOfLane || all && n > 0 {
			out = append(out, l)
		}
		l.mu.Unlock()
	}
	p.unsaved.Add(sum - counted) // what lanes that are gone had counted
	p.saveAt.Store(max(repeatsOfPartition, int64(lanes)*repeatsOfEach))
	return out
}
