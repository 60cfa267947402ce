package consumer

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/kafka"
)

// window is how much one sweep reads, in bytes of compressed batches. A backlog costs
// reads of Kafka, not memory.
const window = 1 << 20

// catchUp feeds the lanes that are behind, partitions taking turns, until ctx ends. It
// reads only while some lane has room.
func (g *Group) catchUp(ctx context.Context) {
	turn := 0
	for ctx.Err() == nil {
		if g.sweepOne(ctx, &turn) {
			continue
		}
		select {
		case <-ctx.Done():
		case <-g.catchUpWake:
		}
	}
}

// sweepOne reads one window of the partition whose turn it is, if any needs one, and
// reports whether one did.
func (g *Group) sweepOne(ctx context.Context, turn *int) bool {
	parts := g.owned()
	for i := range parts {
		p := parts[(*turn+i)%len(parts)]
		if !p.needsSweep() {
			continue
		}
		*turn = (*turn + i + 1) % len(parts)
		g.cfg.Reading.yield(ctx)
		if err := p.sweepWithin(ctx); err != nil && p.ctx.Err() == nil && ctx.Err() == nil {
			g.sweeps.complain(zap.WarnLevel, firstOf(err), zap.Int32("partition", p.number))
			_ = pause(ctx, time.Second)
		} else if err == nil {
			g.sweeps.relieve()
		}
		return true
	}
	return false
}

// sweepWithin is a sweep that ends with its partition, or with ctx: at a shutdown a Kafka
// that hangs is not waited for.
func (p *partition) sweepWithin(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)() //nolint:contextcheck // both contexts end it
	return p.sweep(ctx)
}

func (g *Group) wakeCatchUp() { signal(g.catchUpWake) }

// needsSweep says whether a lane is behind that can take something, or join.
func (p *partition) needsSweep() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.stopping.Load() && len(p.hungry()) > 0
}

// hungry lists the lanes that are behind, have room for more than a crumb and are not
// waiting for their destination. The caller holds mu.
func (p *partition) hungry() []*lane {
	var out []*lane
	for l := range p.behind {
		l.mu.Lock()
		if len(l.ready) == 0 && !l.waiting && l.roomy() && !l.full(l.open) {
			out = append(out, l)
		}
		l.mu.Unlock()
	}
	return out
}

// sweep reads one window from the lowest next among the hungry lanes and feeds it to all
// of them: several lanes at different offsets share it.
//
// The window covers [from, to) without a hole, so a lane may take from it exactly if its
// next lies in that range, and afterwards stands at to, or where it had no room. A window
// without records covers its range as well: offsets have gaps.
func (p *partition) sweep(ctx context.Context) error {
	p.mu.Lock()
	lanes := p.hungry()
	from := p.position.Load()
	for _, l := range lanes {
		l.sweeping = true
		from = min(from, l.nextOffset())
	}
	position := p.position.Load()
	p.mu.Unlock()
	defer p.endSweep(lanes)

	if from < position {
		size := int32(window)
		if !p.g.cfg.Budget.fits(catchingUp, 0, window/16) {
			size = window / 16 // a lane may take little
		}
		span, err := p.g.reader.Read(ctx, p.g.cfg.Topics.Events, p.number, from, size)
		if errors.Is(err, kerr.OffsetOutOfRange) {
			return p.expire(ctx, lanes)
		}
		if err != nil {
			return err
		}
		p.g.cfg.Reading.read(catchingUp, len(span.Records))
		if to := p.feedSweep(ctx, lanes, from, span); to == from && len(span.Records) == 0 {
			// The broker had nothing at an offset below one that was dispatched: a replica that
			// lags behind its leader's death. Ask again.
			return errors.New("nothing to read at an offset that was read before")
		}
	}
	return nil
}

// feedSweep offers a window to the lanes and returns the first offset that it did not
// reach. When ctx ends it waits for no lane any more: at the pace of a job the rest of a window
// may take hours.
func (p *partition) feedSweep(ctx context.Context, lanes []*lane, from int64, span kafka.Span) int64 {
	at, reached := from, len(span.Records)
	for i := 0; i < len(span.Records); {
		n, last := p.feedMembers(lanes, span.Records[i:])
		i += n
		if n > 0 {
			at = span.Records[i-1].Offset + 1
		}
		if i == len(span.Records) || last == nil {
			reached = i
			break // done, or nobody is left, or the live reader's position is reached
		}
		// The only lane left is full. While it gets on, waiting is cheaper than another read.
		if !p.waitFor(last, patience) || ctx.Err() != nil {
			p.leave(last, span.Records[i].Offset)
			return at
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	to := span.Next
	if reached < len(span.Records) {
		to = span.Records[reached].Offset
	}
	to = min(to, p.position.Load())
	for _, l := range lanes {
		if l.sweeping {
			l.advance(to)
		}
	}
	return to
}

// feedMembers offers records to the lanes of the sweep until the live reader's position.
// A lane without room leaves the sweep; if it is the last, it is returned instead.
func (p *partition) feedMembers(lanes []*lane, records []*kgo.Record) (int, *lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	members := 0
	for _, l := range lanes {
		if l.sweeping {
			members++
		}
	}
	for i, r := range records {
		if members == 0 || r.Offset >= p.position.Load() {
			return i, nil
		}
		for {
			full := p.offer(r, p.sweptLane)
			if full == nil {
				break
			}
			if members == 1 {
				full.advance(r.Offset)
				return i, full
			}
			members--
			full.sweeping = false
			full.advance(r.Offset)
		}
	}
	return len(records), nil
}

// sweptLane is the lane of a stream if it takes part in the sweep.
func (p *partition) sweptLane(s *stream, r *kgo.Record) *lane {
	if l := p.lanes[s.index]; l != nil && l.sweeping && p.takes(s, r.Offset) {
		l.sees(r.Offset)
		return l
	}
	return nil
}

func (p *partition) leave(l *lane, at int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.sweeping = false
	l.advance(at)
}

// endSweep lets the lanes that have arrived at the position join the live reader.
func (p *partition) endSweep(lanes []*lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range lanes {
		l.sweeping = false
		p.join(l)
	}
}

// expiredCursor is the reason of a gap that retention made.
const expiredCursor = "expired in Kafka before delivery: the topic's retention passed the stream's cursor"

// expire moves lanes to the first offset that Kafka still has and records what they lost.
func (p *partition) expire(ctx context.Context, lanes []*lane) error {
	start, _, err := p.g.bounds(ctx, p.number)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	moved := false
	for _, l := range lanes {
		if next := l.nextOffset(); next < start {
			l.lose(next, start, expiredCursor)
			l.misses(next)
			l.advance(start)
			l.expired(next, start)
			moved = true
		}
	}
	if !moved {
		// Kafka has lost the end of its log; the live reader will notice and go back.
		return errors.New("an offset that was read before is beyond the end of the log")
	}
	return nil
}

func (l *lane) nextOffset() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// advance says that everything below offset has been offered.
func (l *lane) advance(offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = max(l.next, offset)
}

// owned is a snapshot of the partitions, in the order of their numbers.
func (g *Group) owned() []*partition {
	g.mu.Lock()
	defer g.mu.Unlock()
	parts := make([]*partition, 0, len(g.partitions))
	for _, p := range g.partitions {
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b *partition) int { return int(a.number) - int(b.number) })
	return parts
}
