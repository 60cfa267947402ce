package consumer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// An idle lane's cursor follows the position, and so would change with every commit. Its
// record is refreshed rarely, and the lanes spread out: an old record costs the next
// owner a longer catch-up, nothing else.
const (
	refreshAfter  = 5 * time.Minute
	refreshSpread = 5 * time.Minute
	refreshBehind = 100_000 // offsets
)

// snapshot is one moment of a partition: the group offset with its metadata, and the
// records of the lanes that changed. All three come from the same moment; a commit that
// mixes moments loses events.
type snapshot struct {
	offset  int64
	meta    commitMeta
	records []*progress
	lanes   []*lane       // of the records
	bury    []progressKey // obsolete once the records are acknowledged
}

// snapshot takes one; with all, the records are those of every lane. The caller holds
// saving.
func (p *partition) snapshot(all bool) snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	position := p.position.Load()
	s := snapshot{offset: position, meta: commitMeta{
		Floor: position,
		Specs: p.specs.offset, Streams: p.specs.topicID, Events: p.g.cfg.IDs.Events, Progress: p.progressID,
	}}
	if p.epoch >= 0 {
		s.meta.Position, s.meta.LeaderEpoch = position, new(p.epoch)
	}
	var lanes fingerprint
	now := time.Now()
	for _, l := range p.lanes {
		if l == nil {
			continue
		}
		lanes ^= l.print
		if l.successor != nil && l.relocations != nil {
			s.meta.Specs = min(s.meta.Specs, l.relocations[0].began) // before the lane stands there, the move must not seem taken over
		}
		l.mu.Lock()
		cursor := l.cursor()
		if l.live && l.head() != nil {
			s.offset = min(s.offset, cursor)
		}
		s.meta.Floor = min(s.meta.Floor, cursor)
		if all || l.stale(cursor, now) {
			s.records = append(s.records, l.record(cursor, now))
			s.lanes = append(s.lanes, l)
		} else {
			l.onFileTo = cursor
		}
		l.mu.Unlock()
	}
	s.meta.Floor = min(s.meta.Floor, s.offset)
	s.meta.Lanes = lanes.String()
	s.bury, p.obsolete = p.obsolete, nil
	return s
}

// stale says whether the lane's record must be written anew. The caller holds p.mu and mu.
func (l *lane) stale(cursor int64, now time.Time) bool {
	if !l.saved || l.dirty || l.emptied(cursor) || l.tally.matched != l.matched || l.keepsUp(cursor) && l.onFile != nil && !l.onFile.Live || l.tally.atMost && l.complete() {
		return true
	}
	return cursor != l.recorded && (cursor-l.recorded > refreshBehind || now.Sub(l.savedAt) > refreshAfter+rand.N(refreshSpread))
}

// keepsUp says whether all that the lane has below the committed group offset is settled. Of
// one that was behind, and has just joined, that is not so before the next commit: by the one
// before, its record would say that what it still holds is delivered. The caller holds mu.
func (l *lane) keepsUp(cursor int64) bool { return l.live && cursor >= l.p.said.Load() }

// record is what the lane's record says at this moment. The caller holds p.mu and mu.
func (l *lane) record(cursor int64, now time.Time) *progress {
	l.reconcile()
	l.turn()
	p := &progress{
		Stream: l.id.Stream, UID: l.id.UID, Epoch: l.id.Epoch, Revision: l.id.Revision, TopicID: l.id.TopicID,
		Begin: l.begin, Cursor: cursor, Live: l.keepsUp(cursor), Mark: l.mark,
		State: l.health.state, Since: l.health.since.UTC(), Error: l.health.err,
		Matched: l.tally.matched, CountedTo: l.countedTo(), CountedAll: l.tally.abreast, AtMost: l.tally.atMost,
		Delivered: l.counts.delivered, DeadLettered: l.counts.deadLettered, Filtered: l.counts.filtered, Lost: l.counts.lost,
		Retried: l.counts.retried, Expired: l.counts.expired,
		Gaps: l.gaps, Updated: now.UTC(),
	}
	if l.p.epoch >= 0 {
		p.Position, p.LeaderEpoch = l.p.position.Load(), new(l.p.epoch)
	}
	p.Chain = l.chainRecord(cursor)
	p.Class, p.HTTPStatus = l.health.class, l.health.status
	p.Recent = l.recent.record(now)
	if oldest := l.oldest(); !oldest.IsZero() {
		oldest = oldest.UTC()
		p.Oldest = &oldest
	}
	if !l.health.again.IsZero() {
		again := l.health.again.UTC()
		p.NextAttempt = &again
	}
	l.dirty = false // set again if the record cannot be written
	return p
}

// saveFirst writes the first record of a lane, and of all others that wait for theirs: a
// thousand lanes that come into being together need few writes, not one each after the
// other.
func (p *partition) saveFirst(ctx context.Context, l *lane) error {
	p.mu.Lock()
	p.unrecorded = append(p.unrecorded, l)
	p.mu.Unlock()
	if err := p.saving.take(ctx); err != nil {
		return err
	}
	defer p.saving.give()
	p.mu.Lock()
	lanes := p.unrecorded
	p.unrecorded = nil
	p.mu.Unlock()
	if !slices.Contains(lanes, l) {
		lanes = append(lanes, l) // somebody has written it, perhaps in vain
	}
	lanes = slices.DeleteFunc(lanes, (*lane).onRecord)
	return p.writeNow(ctx, lanes)
}

// onRecord says whether the record of the lane's revision is acknowledged.
func (l *lane) onRecord() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.saved
}

// writeNow writes the records of lanes as they are now and returns when all replicas have
// them. The caller holds saving.
func (p *partition) writeNow(ctx context.Context, lanes []*lane) error {
	now := time.Now()
	s := snapshot{lanes: lanes}
	p.mu.Lock()
	for _, l := range lanes {
		l.mu.Lock()
		s.records = append(s.records, l.record(l.cursor(), now))
		l.mu.Unlock()
	}
	p.mu.Unlock()
	return p.write(ctx, s)
}

// write writes a snapshot's records. The caller holds saving.
func (p *partition) write(ctx context.Context, s snapshot) error {
	if len(s.records) == 0 {
		return nil
	}
	out := make([]*kgo.Record, len(s.records))
	for i, rec := range s.records {
		value, err := rec.encode()
		if err != nil {
			return err
		}
		out[i] = &kgo.Record{
			Topic: p.g.cfg.Topics.Progress, Partition: p.number,
			Key: []byte(rec.key().String()), Value: value,
		}
	}
	var failed error
	for i, err := range p.g.produce(ctx, out...) {
		l, rec := s.lanes[i], s.records[i]
		l.mu.Lock()
		p.g.metrics.recorded(p.g.cfg.Kind.Name, err)
		if err != nil {
			l.dirty = true
			failed = fmt.Errorf("write to %s: %w", p.g.cfg.Topics.Progress, err)
		} else {
			l.recordWritten(rec)
		}
		l.mu.Unlock()
	}
	return failed
}

// produceTimeout bounds the wait for an acknowledgement, and with it how long a lock is
// held for one.
const produceTimeout = 15 * time.Second

// produce writes records and returns when each is acknowledged by all replicas or has
// failed, its error at its index; when ctx or produceTimeout ends, at once. The client
// alone would wait on for as long as Kafka is away: it gives up no record that may be under
// way already. What is not waited for any longer is not taken back either: it may get
// written later, before whatever follows it. (Taken back, it would fail those as well.)
func (g *Group) produce(ctx context.Context, records ...*kgo.Record) []error {
	ctx, cancel := context.WithTimeout(ctx, produceTimeout)
	defer cancel()
	type result struct {
		i   int
		err error
	}
	results := make(chan result, len(records))
	errs := make([]error, len(records))
	open := make(map[int]struct{}, len(records))
	for i, r := range records {
		open[i] = struct{}{}
		g.out.TryProduce(context.WithoutCancel(ctx), r, func(_ *kgo.Record, err error) { results <- result{i, err} })
	}
	for len(open) > 0 {
		select {
		case r := <-results:
			errs[r.i] = r.err
			delete(open, r.i)
			continue
		case <-ctx.Done():
		}
		for i := range open {
			errs[i] = ctx.Err()
		}
		break
	}
	return errs
}

// commit writes the progress of partitions, of all at once, and then, only then, commits
// their group offsets together. A partition whose progress cannot be written is left out.
func (g *Group) commit(ctx context.Context, parts []*partition) error {
	if err := g.committing.take(ctx); err != nil {
		return err
	}
	defer g.committing.give()
	ready := make([]groupOffset, len(parts))
	errs := make([]error, len(parts))
	var writing sync.WaitGroup
	for i, p := range parts {
		writing.Go(func() {
			if ready[i], errs[i] = p.saveAll(ctx); errs[i] != nil {
				errs[i] = fmt.Errorf("partition %d: %w", p.number, errs[i])
			}
		})
	}
	writing.Wait()
	failed := errors.Join(errs...)
	offsets := map[int32]int64{}
	metadata := map[int32]string{}
	for i, p := range parts {
		// Lost while its progress was written: the member may be another one by now.
		if errs[i] == nil && ready[i] != p.committed && !p.lost.Load() {
			offsets[p.number], metadata[p.number] = ready[i].offset, ready[i].metadata
			p.said.Store(max(p.said.Load(), ready[i].offset)) // also if nobody learns whether Kafka has taken it
		}
	}
	if len(offsets) == 0 {
		return failed
	}
	if err := g.member.Commit(ctx, offsets, metadata); err != nil {
		return errors.Join(failed, fmt.Errorf("commit group offsets: %w", err))
	}
	for i, p := range parts {
		if _, ok := offsets[p.number]; ok {
			p.committed = ready[i]
			p.said.Store(ready[i].offset)
		}
	}
	return failed
}

// groupOffset is what is committed of a partition.
type groupOffset struct {
	offset   int64
	metadata string
}

// saveAll writes the progress of the partition and returns the group offset that may be
// committed now that it is acknowledged.
func (p *partition) saveAll(ctx context.Context) (groupOffset, error) {
	if err := p.saving.take(ctx); err != nil {
		return groupOffset{}, err
	}
	defer p.saving.give()
	if p.lost.Load() {
		return p.committed, nil // nothing is written for the next owner's partition, and nothing committed
	}
	s := p.snapshot(p.rewrite)
	err := p.write(ctx, s)
	if err == nil {
		p.rewrite = false
		err = p.bury(ctx, s.bury)
	}
	if err != nil {
		p.mu.Lock()
		p.obsolete = append(p.obsolete, s.bury...)
		p.mu.Unlock()
		return groupOffset{}, err
	}
	text, err := s.meta.encode()
	return groupOffset{s.offset, text}, err
}

// bury writes tombstones for records that newer revisions and epochs have replaced, once
// those are acknowledged. The caller holds saving.
func (p *partition) bury(ctx context.Context, keys []progressKey) error {
	if len(keys) == 0 {
		return nil
	}
	out := make([]*kgo.Record, 0, len(keys))
	for _, key := range keys {
		out = append(out, &kgo.Record{Topic: p.g.cfg.Topics.Progress, Partition: p.number, Key: []byte(key.String())})
	}
	if err := errors.Join(p.g.produce(ctx, out...)...); err != nil {
		return fmt.Errorf("write to %s: %w", p.g.cfg.Topics.Progress, err)
	}
	return nil
}

// commitTimeout bounds one commit of the commit loop: a rebalance waits for it.
const commitTimeout = 20 * time.Second

func (g *Group) commitWithin(ctx context.Context, d time.Duration, parts []*partition) error {
	limited, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	err := g.commit(limited, parts)
	if ctx.Err() == nil {
		g.metrics.committed(g.cfg.Kind.Name, err)
	}
	return err
}

// commitLoop commits every interval until ctx ends.
func (g *Group) commitLoop(ctx context.Context) {
	tick := time.NewTicker(g.cfg.CommitInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := g.commitWithin(ctx, commitTimeout, g.owned())
		switch {
		case err == nil:
			g.records.relieve()
		case ctx.Err() == nil:
			g.records.complain(zap.WarnLevel, firstOf(err))
		}
		g.reap()
	}
}
