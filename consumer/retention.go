package consumer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/integrity"
)

// Kafka forgets what is older than the topic's retention, delivered or not. The guard
// says in time when a stream's oldest event gets old, and puts what would expire into the
// dead letters before it does.

const (
	retentionRefresh = 5 * time.Minute // between two looks at the topic's configuration
	guardMost        = time.Minute     // between two looks at the lanes
	guardLeast       = 50 * time.Millisecond
	guardRetry       = 5 * time.Second // after Kafka has failed a request
	maxExpiring      = 500             // letters written at once
)

// warnAt are the shares of the retention at which a lane's oldest event is spoken of.
func warnAt() []float64 { return []float64{0.5, 0.7, 0.9} }

// watchRetention guards the lanes until ctx ends.
func (g *Group) watchRetention(ctx context.Context, retention func(context.Context) (retentionLimits, error)) {
	var next time.Time
	bytes := int64(-1)
	for {
		wait := guardMost
		if now := time.Now(); !now.Before(next) {
			found, err := retention(ctx)
			switch {
			case err == nil:
				g.retention.Store(int64(found.age))
				if found.bytes != bytes && found.bytes >= 0 {
					g.log.Warn("the events topic has a limit in bytes as well: events that Kafka deletes for it, earlier than retention.ms says, are neither warned of nor dead-lettered in time, and become recorded gaps; to have all guarded: retention.bytes=-1 on the topic",
						zap.String("topic", g.cfg.Topics.Events), zap.Int64("retention.bytes", found.bytes))
				}
				bytes = found.bytes
				next = now.Add(retentionRefresh)
			case ctx.Err() == nil:
				g.log.Warn("the events topic's retention is not known: nobody warns of events that expire", zap.Error(err))
				next = now.Add(guardMost)
			}
		}
		if d := time.Duration(g.retention.Load()); d > 0 {
			wait = min(max(d/200, guardLeast), guardMost)
		}
		for _, p := range g.owned() { // also where nothing expires: how old is what waits is a figure
			if err := p.guard(ctx); err != nil && ctx.Err() == nil && p.ctx.Err() == nil {
				p.log.Warn("the age of waiting events cannot be told", zap.Error(err))
				wait = max(wait, guardRetry)
			}
		}
		again := time.NewTimer(wait)
		select {
		case <-again.C:
		case <-g.guardWake:
			again.Stop()
		case <-ctx.Done():
			again.Stop()
			return
		}
	}
}

// retentionLimits are those of a topic.
type retentionLimits struct {
	age   time.Duration // retention.ms; 0: for ever
	bytes int64         // retention.bytes, of a partition; -1: no limit
}

// topicRetention asks for a topic's limits. That in bytes is only told: nobody knows when
// it will have an event deleted.
func topicRetention(ctx context.Context, client *kgo.Client, topic string) (retentionLimits, error) {
	limits := retentionLimits{bytes: -1}
	configs, err := kadm.NewClient(client).DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return limits, fmt.Errorf("configuration of %s: %w", topic, err)
	}
	found, err := configs.On(topic, nil)
	if err = errors.Join(err, found.Err); err != nil {
		return limits, fmt.Errorf("configuration of %s: %w", topic, err)
	}
	for _, c := range found.Configs {
		if c.Key != "retention.ms" && c.Key != "retention.bytes" || c.Value == nil {
			continue
		}
		n, err := strconv.ParseInt(*c.Value, 10, 64)
		if err != nil {
			return limits, fmt.Errorf("configuration of %s: %s: %w", topic, c.Key, err)
		}
		if c.Key == "retention.bytes" {
			limits.bytes = max(-1, n)
		} else {
			limits.age = time.Duration(max(0, min(n, int64(maxRetention/time.Millisecond)))) * time.Millisecond
		}
	}
	return limits, nil
}

// maxRetention keeps retentions within what a Duration can say.
const maxRetention = 100 * 365 * 24 * time.Hour

// expiryAge is the age at which a held lane's events go to the dead letters, 0 for never.
// A lane that gets on is granted half of what is then left: it is better off delivering,
// until that is too slow.
func (g *Group) expiryAge(held bool) time.Duration {
	share, retention := g.cfg.RetentionGuard, float64(g.retention.Load())
	if share <= 0 || share >= 1 || retention <= 0 {
		return 0
	}
	if !held {
		share = (1 + share) / 2
	}
	return time.Duration(share * retention)
}

// oldest is the append time of the oldest event that is not settled, zero if there is
// none or nobody knows. The caller holds mu.
func (l *lane) oldest() time.Time {
	switch {
	case l.head() != nil:
		return l.head().oldest
	case !l.live && l.seekTime != (time.Time{}) && l.seekAt == l.next:
		return l.seekTime
	}
	return time.Time{}
}

// guard looks at every lane of the partition.
func (p *partition) guard(ctx context.Context) error {
	p.mu.Lock()
	var lanes []*lane
	for _, l := range p.lanes {
		if l != nil {
			lanes = append(lanes, l)
		}
	}
	p.mu.Unlock()
	times := map[int64]time.Time{} // by offset: lanes that fell behind together stand at the same
	for _, l := range lanes {
		l.mu.Lock()
		at := l.next
		unknown := !l.live && !l.retired && l.head() == nil && l.seekAt != at && at < p.position.Load()
		l.mu.Unlock()
		if unknown {
			t, ok := times[at]
			if !ok {
				var err error
				if t, err = p.timeAt(ctx, at); errors.Is(err, kerr.OffsetOutOfRange) {
					err = p.expire(ctx, []*lane{l})
				}
				if err != nil {
					return err
				}
				times[at] = t
			}
			l.mu.Lock()
			l.seekAt, l.seekTime = at, t
			l.mu.Unlock()
		}
		l.warn()
		if l.stream.idle() {
			if err := p.expirePaused(ctx, l); err != nil {
				return err
			}
		}
	}
	return nil
}

// timeAt is the append time of the first record at offset or above, zero without one.
func (p *partition) timeAt(ctx context.Context, offset int64) (time.Time, error) {
	for offset < p.position.Load() {
		span, err := p.g.reader.Read(ctx, p.g.cfg.Topics.Events, p.number, offset, 1)
		switch {
		case err != nil:
			return time.Time{}, err
		case len(span.Records) > 0:
			return span.Records[0].Timestamp, nil
		case span.Next <= offset:
			return time.Time{}, nil
		}
		offset = span.Next
	}
	return time.Time{}, nil
}

// used is the share of the retention that the lane's oldest event has used. The caller
// holds mu.
func (l *lane) used(now time.Time) float64 {
	retention := l.p.g.retention.Load()
	t := l.oldest()
	if retention <= 0 || t.IsZero() {
		return 0
	}
	return max(0, float64(now.Sub(t))/float64(retention))
}

// warn says once for each share that it is reached, and begins anew when the lane has
// caught up.
func (l *lane) warn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	used := l.used(time.Now())
	level := 0
	for _, share := range warnAt() {
		if used >= share {
			level++
		}
	}
	if level > l.warned {
		l.p.g.log.Warn("a stream's oldest event nears the end of the topic's retention",
			zap.String("stream", l.id.Stream), zap.Int32("partition", l.id.Partition), zap.Float64("used", used),
			zap.Duration("retention", time.Duration(l.p.g.retention.Load())), zap.String("state", l.health.state), zap.String("reason", l.health.err))
	}
	if level > l.warned || level == 0 {
		l.warned = level
	}
}

// expiry is when the lane has to look after its oldest event again; zero for never.
func (l *lane) expiry(c *chunk) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.expires(c)
}

// expires is expiry with mu held.
func (l *lane) expires(c *chunk) time.Time {
	age := l.p.g.expiryAge(l.health.state != StateActive)
	if age == 0 {
		return time.Time{}
	}
	t := c.oldest.Add(age)
	if t.Before(l.guardAgain) {
		return l.guardAgain
	}
	return t
}

// rescue puts what is about to expire at the head of the current chunk, from event done
// on, into the dead letters, and reports how many events that were.
func (l *lane) rescue(ctx context.Context, c *chunk, done int) int {
	now := time.Now()
	if t := l.expiry(c); t.IsZero() || now.Before(t) {
		return 0
	}
	l.mu.Lock()
	limit := now.Add(-l.p.g.expiryAge(l.health.state != StateActive))
	why := l.expiring(now)
	l.mu.Unlock()
	letters, next, err := l.lettersOf(ctx, c, done, limit, why)
	if err == nil {
		err = errors.Join(l.p.g.produce(ctx, letters...)...)
	}
	if err != nil {
		if ctx.Err() == nil {
			l.p.log.Warn("events that are about to expire cannot be dead-lettered", zap.String("stream", l.id.Stream), zap.Error(err))
		}
		l.mu.Lock()
		l.guardAgain = time.Now().Add(guardRetry)
		l.mu.Unlock()
		return 0
	}
	if len(letters) > 0 {
		l.tellExpiring(c.events[done].Offset, len(letters))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !next.IsZero() {
		c.oldest = next
	}
	if n := len(letters); n > 0 {
		l.passed(n, fateDeadLettered, classExpiring, integrity.Span{})
	}
	return len(letters)
}

// expiring is the cause of the letters. The caller holds mu.
func (l *lane) expiring(now time.Time) cause {
	why := cause{class: classExpiring, attempts: l.backoff, answer: l.answer, first: l.health.since, last: now}
	switch l.health.state {
	case StateActive:
		why.reason = "about to expire in Kafka: the destination is slower than its events come"
		why.first = now
	case StatePaused:
		why.reason = "about to expire in Kafka: the stream is paused"
	default:
		why.reason = bounded("about to expire in Kafka: " + l.health.err)
	}
	return why
}

func (l *lane) tellExpiring(first int64, n int) {
	l.p.g.metrics.deadLettered(l.stream.spec.ID, classExpiring, n)
	l.p.g.log.Warn("events dead-lettered before they expire", zap.String("stream", l.id.Stream), zap.Int32("partition", l.id.Partition),
		zap.Int64("first_offset", first), zap.Int("events", n))
}

// lettersOf makes the letters of those events of the pass under way, from done on, that were
// appended before limit. next is the append time of the first one that was not, if it has
// been read.
func (l *lane) lettersOf(ctx context.Context, c *chunk, done int, limit time.Time, why cause) (letters []*kgo.Record, next time.Time, err error) {
	events := c.events[done:c.end]
	span, err := l.p.g.reader.Read(ctx, l.p.g.cfg.Topics.Events, l.p.number, events[0].Offset, window/4)
	if err != nil {
		return nil, next, err
	}
	for _, r := range span.Records {
		i := len(letters)
		if i == len(events) || i == maxExpiring || r.Offset > events[i].Offset {
			break
		}
		if r.Offset < events[i].Offset {
			continue // of other streams
		}
		if r.Timestamp.After(limit) {
			return letters, r.Timestamp, nil
		}
		why.at = c.at(done + i)
		letter, err := l.letter(r, why)
		if err != nil {
			return nil, next, err
		}
		letters = append(letters, letter)
	}
	if len(letters) == 0 {
		return nil, next, fmt.Errorf("offset %d cannot be read any more", events[0].Offset)
	}
	return letters, next, nil
}

// expirePaused does for a paused lane, which has no queue, what rescue does for others.
func (p *partition) expirePaused(ctx context.Context, l *lane) error {
	age := p.g.expiryAge(true)
	for ctx.Err() == nil && age > 0 {
		now := time.Now()
		limit := now.Add(-age)
		l.mu.Lock()
		from, oldest, why := l.next, l.oldest(), l.expiring(now)
		l.follow(from)
		place := expiring{chain: l.taking, tip: l.tip, to: l.until()}
		l.mu.Unlock()
		if oldest.IsZero() || oldest.After(limit) {
			return nil
		}
		span, err := p.g.reader.Read(ctx, p.g.cfg.Topics.Events, p.number, from, window/4)
		if err != nil {
			return err
		}
		old := p.expiringOf(l.stream, span.Records, min(span.Next, place.to), limit, place)
		letters := make([]*kgo.Record, len(old.records))
		for i, r := range old.records {
			if why.at = (integrity.Original{}); i < len(old.links) {
				why.at = integrity.Original{Feed: old.chain.feed, Number: old.links[i].Number}
			}
			if letters[i], err = l.letter(r, why); err != nil {
				return err
			}
		}
		if err := errors.Join(p.g.produce(ctx, letters...)...); err != nil {
			return fmt.Errorf("write to %s: %w", p.g.cfg.Topics.DeadLetters, err)
		}
		if len(letters) > 0 {
			l.tellExpiring(old.records[0].Offset, len(letters))
		}
		if !l.pass(from, old) || old.to == from {
			return nil
		}
	}
	return ctx.Err()
}

// pass moves a paused lane's cursor over what expires, whose letters are acknowledged. It
// reports false when the lane has gone on meanwhile: it is not paused any more.
func (l *lane) pass(from int64, old expiring) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.retired || l.next != from {
		return false
	}
	l.next, l.seekAt, l.seekTime, l.dirty = old.to, old.to, old.next, true
	if old.next.IsZero() {
		l.seekAt = -1 // not known
	}
	if n := len(old.records); n > 0 {
		l.tip = old.tip
		l.became(run{from: from, last: old.to - 1, n: n, what: fateDeadLettered, chain: old.chain, links: old.links, withheld: classExpiring})
		if old.chain != nil && len(old.links) < n {
			l.breakChain(old.to, chainUnread, integrity.Gap{From: from, To: old.to, Reason: classExpiring})
		}
	}
	if old.filtered > 0 {
		l.became(run{from: from, last: old.to - 1, n: old.filtered, what: fateFiltered})
	}
	return true
}

// expiring is what of a stream's events is about to expire.
type expiring struct {
	records  []*kgo.Record
	filtered int       // events beside them that the stream's filter does not let through
	to       int64     // up to there that covers the log
	next     time.Time // when the record there was appended, if it was read

	chain *chain           // that the events are in; nil: in none
	links []integrity.Link // of each; none where nobody can tell what would have left
	tip   integrity.Head   // of the chain with them
}

// expiringOf picks the records of a stream below end that were appended before limit. Old
// says where they stand in the stream's chain.
func (p *partition) expiringOf(s *stream, records []*kgo.Record, end int64, limit time.Time, old expiring) expiring {
	p.mu.Lock()
	defer p.mu.Unlock()
	end = min(end, p.position.Load())
	for _, r := range records {
		if r.Timestamp.After(limit) || r.Offset >= end {
			old.to, old.next = min(r.Offset, end), r.Timestamp
			return old
		}
		event, _ := p.check.check(r)
		if event == nil {
			continue // of the lane of invalid records
		}
		p.found = p.router.match(event.OrganizationID, event.Action, p.found[:0])
		for _, have := range p.found {
			if have != s || !p.takes(s, r.Offset) {
				continue
			}
			pass, err := s.passes(&p.check)
			if !pass && err == nil {
				old.filtered++
				continue
			}
			old.records = append(old.records, r)
			if old.chain != nil && s.unready.Load() == nil {
				link := old.tip.Link(s.leaf(event, &p.check, old.chain, old.tip, err))
				old.links, old.tip = append(old.links, link), link.Head()
			}
		}
	}
	old.to = end
	return old
}
