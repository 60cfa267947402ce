package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/sinks"
)

// offsetsFetched keeps the commits that a rebalance found. An error ends the group
// session: it is joined again after a back-off.
func (g *Group) offsetsFetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	keep := func(topic string, number int32, code int16, offset int64, metadata *string) error {
		if topic != g.cfg.Topics.Events {
			return nil
		}
		if err := kerr.ErrorForCode(code); err != nil {
			return err
		}
		text := ""
		if metadata != nil {
			text = *metadata
		}
		c, err := decodeCommit(offset, text)
		if err != nil {
			err = fmt.Errorf("group %s, partition %d: %w", g.cfg.ID, number, err)
			g.log.Error("delivery cannot begin", zap.Error(err))
			return err
		}
		g.fetched[number] = c
		return nil
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := keep(t.Topic, p.Partition, p.ErrorCode, p.Offset, p.Metadata); err != nil {
				return err
			}
		}
	}
	for _, group := range resp.Groups {
		for _, t := range group.Topics {
			name := t.Topic
			if name == "" { // version 10 names topics by id
				name = g.cfg.Topics.Events
			}
			for _, p := range t.Partitions {
				if err := keep(name, p.Partition, p.ErrorCode, p.Offset, p.Metadata); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// assign opens the partitions that were assigned and says where to read from.
func (g *Group) assign(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	for topic, numbers := range offsets {
		for number := range numbers {
			p, err := g.openPartition(ctx, number)
			if err != nil {
				if ctx.Err() == nil {
					level := zap.ErrorLevel // it needs somebody's help
					if passes(err) {
						level = zap.WarnLevel
					}
					g.opening.complain(level, err.Error(), zap.Int32("partition", number))
				}
				return nil, fmt.Errorf("open %s[%d]: %w", topic, number, err)
			}
			// Without a leader epoch: the position is ours, not a commit's.
			numbers[number] = kgo.NewOffset().At(p.position.Load()).WithEpoch(-1)
		}
	}
	g.opening.relieve()
	return offsets, nil
}

// passes says whether an error of Kafka may be gone at the next try.
func passes(err error) bool {
	_, dialing := errors.AsType[*net.OpError](err)
	return dialing || kerr.IsRetriable(err) || kgo.IsRetryableBrokerErr(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, kafka.ErrRemade)
}

// openPartition finds out where the partition's lanes stand.
func (g *Group) openPartition(ctx context.Context, number int32) (*partition, error) {
	if p := g.partition(number); p != nil {
		return p, nil // an earlier try of the same session got this far
	}
	g.learning.Lock()
	defer g.learning.Unlock()
	g.mu.Lock()
	router, specs := g.router, g.specs
	f := found{number: number, commit: g.fetched[number], events: g.cfg.IDs.Events, progress: g.progressID, streams: specs.topicID}
	g.mu.Unlock()
	var err error
	if f.logStart, f.logEnd, err = g.bounds(ctx, number); err != nil {
		return nil, err
	}
	if f.records, err = readTable(ctx, g.reader, g.cfg.Topics.Progress, number); err != nil {
		return nil, err
	}
	if err := g.findCuts(ctx, &f); err != nil {
		return nil, err
	}
	f.started = func(s Spec) (int64, error) { return g.started(ctx, s, number, f.logStart, f.logEnd) }

	all := append(slices.Clip(router.streams), g.invalid)
	at, err := place(f, all)
	if err == nil && at.missed {
		if f.vouched, err = g.vouchedIn(ctx, number); err == nil && len(f.vouched) > 0 {
			at, err = place(f, all)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := g.same(ctx, f.progress); err != nil {
		return nil, err
	}
	p := g.newPartition(number, router, specs)
	p.progressID, p.uncommitted = f.progress, f.commit == nil
	if c := f.commit; c != nil && c.meta.LeaderEpoch != nil && f.cut == nil {
		p.epoch = *c.meta.LeaderEpoch
	}
	for _, note := range at.notes {
		p.log.Warn(note)
	}
	if at.position > f.logEnd {
		p.log.Error("Kafka has lost records that it had acknowledged: the log ends below the committed offset; whatever it takes there from now on is delivered",
			zap.Int64("committed", at.position), zap.Int64("log_end", f.logEnd))
	}
	position := max(f.logStart, min(at.position, f.logEnd))
	p.position.Store(position)
	p.end.Store(f.logEnd)
	if f.commit != nil {
		p.said.Store(f.commit.offset)
	}
	p.rewrite = f.commit != nil && f.commit.meta.Progress != f.progress
	// Streams that were deleted while nobody had the partition leave nothing behind either.
	p.obsolete = f.records.ofDeleted(g.deleted)
	p.strangers, p.cuts = f.records.byUID(), found{cut: f.cut, cuts: f.cuts}
	maps.DeleteFunc(p.strangers, func(uid string, _ table) bool { return g.known[uid] || strings.HasPrefix(uid, invalidUID) })
	for _, start := range at.lanes {
		p.obsolete = append(p.obsolete, start.obsolete...)
		p.from[start.stream.index] = min(start.from, f.logEnd)
		if start.lazy && start.from >= f.logStart {
			continue
		}
		p.place(start, f.logStart, f.logEnd)
	}
	p.log.Info("partition taken", zap.Int64("position", position), zap.Int64("log_end", f.logEnd), zap.Int("lanes_behind", len(p.behind)))
	p.work.Go(p.dispatch)
	g.mu.Lock()
	g.partitions[number] = p
	g.mu.Unlock()
	g.wakeCatchUp()
	signal(g.guardWake)
	return p, nil
}

// findCuts finds out whether the log was cut off below what had been dispatched, by the commit
// and by the records that are from later than it: of what a lane has settled since the commit
// that does not tell.
func (g *Group) findCuts(ctx context.Context, f *found) error {
	ends := map[int32]int64{} // by leader epoch
	committed := int64(-1)
	if c := f.commit; c != nil && c.meta.LeaderEpoch != nil && c.meta.Events == f.events {
		var err error
		if f.cut, err = g.cutAt(ctx, f.number, c.meta.Position, *c.meta.LeaderEpoch, ends); err != nil {
			return err
		}
		committed = c.meta.Position
	}
	for key, rec := range f.records {
		if rec.LeaderEpoch == nil || rec.TopicID != f.events || rec.Position <= committed {
			continue
		}
		cut, err := g.cutAt(ctx, f.number, rec.Position, *rec.LeaderEpoch, ends)
		if err != nil {
			return err
		}
		if cut != nil {
			if f.cuts == nil {
				f.cuts = map[progressKey]int64{}
			}
			f.cuts[key] = *cut
		}
	}
	return nil
}

// cutAt finds out whether the log was cut off below a position, where the last record below it
// was of a leader's epoch: another leader was elected that lacked the end. Without the epoch
// nobody could tell once others had filled the place. It returns nil when nothing is missing.
func (g *Group) cutAt(ctx context.Context, number int32, position int64, epoch int32, ends map[int32]int64) (*int64, error) {
	end, known := ends[epoch]
	if !known {
		var err error
		if end, err = g.offsets.EpochEnd(ctx, g.cfg.Topics.Events, number, epoch); err != nil {
			return nil, err
		}
		ends[epoch] = end
	}
	if end < 0 || end >= position {
		return nil, nil //nolint:nilnil // no cut is a fact, not a failure
	}
	return &end, nil
}

// readTable reads one partition of the progress topic.
func readTable(ctx context.Context, reader source, topic string, number int32) (table, error) {
	records := table{}
	bad := map[string]error{} // by key: only the last record of a key counts
	if _, err := reader.ReadToEnd(ctx, topic, number, func(r *kgo.Record) {
		bad[string(r.Key)] = records.add(r)
	}); err != nil {
		return nil, err
	}
	return records, errors.Join(slices.Collect(maps.Values(bad))...)
}

// place makes a lane that stands somewhere already.
func (p *partition) place(start laneStart, logStart, logEnd int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.placeLane(start, logStart, logEnd)
}

// placeLane is place with mu held.
func (p *partition) placeLane(start laneStart, logStart, logEnd int64) {
	l := p.addLane(start.stream, start.from, start.record)
	if start.gaps != nil {
		l.gaps = start.gaps
	}
	l.next = min(start.from, logEnd)
	if start.gone != nil {
		l.outlive(*start.gone)
	}
	l.resumeChain(&start)
	// A record from before a cut must not stand beside a commit from behind it.
	l.dirty = l.dirty || start.record != nil && (start.recount || l.next < start.from)
	l.live = max(l.next, logStart) >= p.position.Load()
	l.resume(start)
	if l.next < logStart {
		lost := l.next
		l.lose(lost, logStart, expiredCursor)
		l.misses(lost)
		l.next = logStart
		l.expired(lost, logStart)
	}
	if !l.live {
		p.behind[l] = struct{}{}
		l.dirty = l.dirty || start.record != nil && start.record.Live // or it would pass for one that has settled everything up to the commit
	}
}

func (g *Group) newPartition(number int32, router *router, specs reached) *partition {
	ctx, cancel := context.WithCancel(context.Background())
	p := &partition{
		g: g, number: number, ctx: ctx, cancel: cancel,
		work: &sync.WaitGroup{}, going: make(chan struct{}), in: make(chan polled, 1), room: make(chan struct{}, 1), saving: newTurn(),
		log:    g.log.With(zap.Int32("partition", number)),
		router: router, specs: specs,
		behind: map[*lane]struct{}{}, epoch: -1,
		check: checker{validator: g.cfg.Validator, topicID: g.cfg.IDs.Events, letters: g.letters},
	}
	p.saveAt.Store(repeatsOfPartition)
	p.grow(g.size)
	for _, s := range router.streams {
		p.streams[s.index] = s
	}
	p.streams[g.invalid.index] = g.invalid
	g.cfg.Budget.subscribe(p.room)
	return p
}

// addLane makes the lane of a stream. The caller holds mu.
func (p *partition) addLane(s *stream, begin int64, rec *progress) *lane {
	cfg := &p.g.cfg
	l := &lane{
		stream: s, p: p, begin: begin, seekAt: -1, retiring: make(chan struct{}),
		id:     laneID(s.spec, cfg, p.number),
		print:  fingerprint(0).with(s.spec.In(p.number)),
		health: s.health(),
	}
	if _, ok := s.sink.(sinks.Confirmer); ok {
		l.more = make(chan struct{}, 1)
	}
	if rec != nil {
		l.gaps = rec.Gaps
		l.counts = counts{
			delivered: rec.Delivered, deadLettered: rec.DeadLettered, filtered: rec.Filtered, lost: rec.Lost,
			retried: rec.Retried, expired: rec.Expired,
		}
		l.recent = rec.Recent.decoded()
		l.recorded, l.savedAt, l.savedCount, l.matched = rec.Cursor, rec.Updated, l.counts.settled(), rec.Matched
		if rec.Epoch == s.spec.Epoch {
			l.mark = rec.Mark
		}
		if rec.key() == (progressKey{s.spec.UID, s.spec.Epoch, s.spec.Revision}) {
			l.begin, l.saved = rec.Begin, true
		}
	}
	p.lanes[s.index] = l
	return l
}

func laneID(s Spec, cfg *Config, number int32) sinks.Lane {
	return sinks.Lane{
		Stream: s.ID, UID: s.UID, Epoch: s.Epoch, Revision: s.Revision,
		Cluster: cfg.IDs.Cluster, Topic: cfg.Topics.Events, TopicID: cfg.IDs.Events, Partition: number,
	}
}

// started resolves where a stream's epoch begins in a partition, for which the spec is.
func (g *Group) started(ctx context.Context, s Spec, number int32, logStart, logEnd int64) (int64, error) {
	return s.begins(g.cfg.IDs.Events, logStart, logEnd, func(t time.Time) (int64, error) {
		return g.offsets.At(ctx, g.cfg.Topics.Events, number, t)
	})
}

// revoked gives partitions up in good order: what is under way may end, progress is
// saved and committed before another process goes on.
func (g *Group) revoked(ctx context.Context, _ *kgo.Client, revoked map[string][]int32) {
	g.giveUp(ctx, g.removed(revoked[g.cfg.Topics.Events]), true)
}

// lost drops partitions that another process may own by now.
func (g *Group) lost(ctx context.Context, _ *kgo.Client, lost map[string][]int32) {
	g.joined.Store(false)
	g.giveUp(ctx, g.removed(lost[g.cfg.Topics.Events]), false)
}

// finish gives everything up at a shutdown, and reports whether Kafka has taken the last
// commit.
func (g *Group) finish() bool { return g.giveUp(context.Background(), g.allRemoved(), true) }

// allRemoved takes all partitions out of those that are owned.
func (g *Group) allRemoved() []*partition {
	g.mu.Lock()
	numbers := make([]int32, 0, len(g.partitions))
	for number := range g.partitions {
		numbers = append(numbers, number)
	}
	g.mu.Unlock()
	return g.removed(numbers)
}

// removed takes partitions out of those that are owned.
func (g *Group) removed(numbers []int32) []*partition {
	g.mu.Lock()
	defer g.mu.Unlock()
	var parts []*partition
	for _, number := range numbers {
		if p := g.partitions[number]; p != nil {
			parts = append(parts, p)
			delete(g.partitions, number)
		}
		delete(g.fetched, number)
		delete(g.assigned, number)
	}
	return parts
}

// finalCommit bounds the last commit of partitions that are given up. It lies within the
// time that a rebalance waits for its members.
const finalCommit = 5 * time.Second

// giveUp ends partitions, with a last commit if that is asked for, and reports whether Kafka
// has taken it.
func (g *Group) giveUp(ctx context.Context, parts []*partition, commit bool) (committed bool) {
	if len(parts) == 0 {
		return true
	}
	for _, p := range parts {
		p.lost.Store(!commit)
	}
	stopAll(parts, g.cfg.DrainTimeout)
	committed = commit && g.commitLast(ctx, parts)
	g.letGo(parts, committed)
	return committed
}

// commitLast commits partitions that have stopped, and reports whether Kafka has taken it.
func (g *Group) commitLast(ctx context.Context, parts []*partition) bool {
	err := g.commitWithin(ctx, finalCommit, parts)
	if err != nil {
		g.log.Warn("progress was not saved when partitions were given up: events may be repeated", zap.Error(err))
	}
	return err == nil
}

// letGo forgets partitions that have stopped.
func (g *Group) letGo(parts []*partition, committed bool) {
	for _, p := range parts {
		p.lost.Store(true) // for the commit loop, if it still waits to commit what was owned before
		p.release()
		p.log.Info("partition given up", zap.Bool("committed", committed))
	}
}
