package consumer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/kafka"
)

// Delivery reads what is committed: up to the last stable offset of a partition, which
// stands below the oldest transaction that is open. A producer that has died in the midst
// of one, or hangs, holds everything behind it back, from all streams alike, and the reader
// hears nothing of it: what cannot be read looks like nothing at all. Both ends are
// therefore asked for, beside the reading.

// endsEvery is the time between two looks at the ends.
const endsEvery = 5 * time.Second

// ends are the two of a partition.
type ends struct {
	stable int64 // the last stable offset
	high   int64 // the high watermark
}

// endsSeen is what the looks have found.
type endsSeen struct {
	mu    sync.Mutex
	last  ends      // guarded by mu
	since time.Time // when last.stable was first seen to stand below the high watermark; zero while it does not; guarded by mu
	ever  bool      // guarded by mu
}

// look notes what was found at a time.
func (e *endsSeen) look(found ends, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case found.stable >= found.high:
		e.since = time.Time{}
	case e.since.IsZero() || found.stable != e.last.stable:
		e.since = now
	}
	e.last, e.ever = found, true
}

// now is what was found last, and for how long the stable end has not moved though there is
// more behind it. ok is false before the first look.
func (e *endsSeen) now(now time.Time) (last ends, stuck time.Duration, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.since.IsZero() {
		stuck = max(0, now.Sub(e.since))
	}
	return e.last, stuck, e.ever
}

// endsSource is what ends are found out from.
type endsSource struct {
	find  func(context.Context) (map[int32]ends, error)
	whose func(context.Context) ([]kafka.Hanging, error) // the transactions that are open
}

// watchEnds looks at the ends of the partitions that the group owns, until ctx ends.
func (g *Group) watchEnds(ctx context.Context, from endsSource) {
	silent := nag{what: "the ends of the events topic are not known: lag may show too little", over: "the ends of the events topic are known again", log: g.log}
	hangs := nag{
		what: "a transaction that is open keeps part of the events topic from all streams", over: "the events topic can be read to its end again", log: g.log,
	}
	for {
		found, err := from.find(ctx)
		if err != nil && ctx.Err() == nil {
			silent.complain(zap.WarnLevel, firstOf(err))
		} else if err == nil {
			silent.relieve()
		}
		if len(found) > 0 {
			g.topicPartitions.Store(int64(len(found)))
		}
		now := time.Now()
		for _, p := range g.owned() {
			if e, ok := found[p.number]; ok {
				p.ends.look(e, now)
				p.heard(e.high)
			}
		}
		if err == nil {
			g.tellUnstable(ctx, &hangs, now, from.whose)
		}
		if pause(ctx, endsEvery) != nil {
			return
		}
	}
}

// unstableSaid is how long a stable end stands still before the log says so: transactions
// that are committed as they should be last for less.
const unstableSaid = 10 * time.Second

// tellUnstable says in the log which partitions cannot be read to their ends, and whose
// transactions it is, as far as Kafka tells.
func (g *Group) tellUnstable(ctx context.Context, hangs *nag, now time.Time, whose func(context.Context) ([]kafka.Hanging, error)) {
	stuck := map[int32]ends{}
	for _, p := range g.owned() {
		if last, since, ok := p.ends.now(now); ok && since >= unstableSaid {
			stuck[p.number] = last
		}
	}
	if len(stuck) == 0 {
		hangs.relieve()
		return
	}
	holders := map[int32]kafka.Hanging{}
	if open, err := whose(ctx); err == nil {
		for _, h := range open {
			holders[h.Partition] = h
		}
	}
	const most = 8 // a cluster whose every partition is held has one cause
	var parts []string
	for _, number := range slices.Sorted(maps.Keys(stuck)) {
		if len(parts) == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(stuck)-most))
			break
		}
		holder, known := holders[number]
		if !known {
			holder.Producer = -1
		}
		parts = append(parts, fmt.Sprintf("partition %d from offset %d on, by %s", number, stuck[number].stable, holder.Holder()))
	}
	hangs.complain(zap.WarnLevel, strings.Join(parts, "; "))
}

// heard takes note of the partition's end as somebody has just heard it. The reader may have
// heard of a later one meanwhile; an earlier one, after records were lost, comes with what
// it reads next.
func (p *partition) heard(end int64) {
	for {
		have := p.end.Load()
		if end <= have || p.end.CompareAndSwap(have, end) {
			return
		}
	}
}

// topicEnds asks for the ends of a topic's partitions. The stable ones are asked for first:
// what is appended between the questions then looks unstable for a moment and not the other
// way around.
func topicEnds(ctx context.Context, client *kgo.Client, topic string) (map[int32]ends, error) {
	admin := kadm.NewClient(client)
	stable, err := admin.ListCommittedOffsets(ctx, topic)
	if err = errors.Join(err, stable.Error()); err != nil {
		return nil, fmt.Errorf("last stable offsets of %s: %w", topic, err)
	}
	high, err := admin.ListEndOffsets(ctx, topic)
	if err = errors.Join(err, high.Error()); err != nil {
		return nil, fmt.Errorf("high watermarks of %s: %w", topic, err)
	}
	out := map[int32]ends{}
	stable.Each(func(o kadm.ListedOffset) {
		if h, ok := high.Lookup(topic, o.Partition); ok {
			out[o.Partition] = ends{stable: o.Offset, high: h.Offset}
		}
	})
	return out, nil
}
