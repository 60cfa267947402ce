package spool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
)

const (
	drainFirst = 500 * time.Millisecond // pause before what Kafka did not take is tried again
	drainMost  = 15 * time.Second

	// drainEvents and drainBytes bound what is under way to Kafka.
	drainEvents = 1000
	drainBytes  = 4 << 20

	// handOver is how long a window may take to be handed to the producer: less than the least
	// time that the producer gives an event. See drain.
	handOver = 500 * time.Millisecond
)

// Run drains the queue until ctx ends. What is under way then stays on disk unless Kafka
// answers soon.
func (s *Spool) Run(ctx context.Context) error {
	wait := drainFirst
	for ctx.Err() == nil {
		if len(s.queue.remaining()) == 0 {
			select {
			case <-s.queue.arrived:
			case <-ctx.Done():
			}
			continue
		}
		d := drain{Spool: s, results: make(chan result, drainEvents), stuck: map[string]bool{}}
		d.sweep(ctx)
		if d.drained > 0 {
			wait = drainFirst
		}
		if len(d.stuck) == 0 && d.failed == nil {
			continue
		}
		again := time.NewTimer(wait)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
		}
		wait = min(2*wait, drainMost)
	}
	return nil
}

// drain is one way through the queue, oldest first. An organization of which an event was
// not taken is stuck: the rest of its events waits for the next time, so that none
// overtakes it, and the others go on.
//
// Events go to the producer in windows. The producer takes those behind an event along when
// its time is over, but not those that are handed over after that and before we hear of it:
// they would overtake. So a window is handed over before the time of its first event can be
// over, and answered whole before the next one begins.
type drain struct {
	*Spool
	window  context.Context // of handing over; nil: there is no window
	over    context.CancelFunc
	results chan result // room for all that is under way: who publishes never waits
	stuck   map[string]bool
	events  int // under way
	bytes   int
	drained int
	failed  error // of reading the disk
	missed  error // why Kafka has not taken an event; nil: it took all
	left    []queued
}

type result struct {
	event queued
	err   error
}

func (d *drain) sweep(ctx context.Context) {
	taken := d.taken.Load()
	for _, segment := range d.queue.remaining() {
		if ctx.Err() != nil || len(d.stuck) > 0 && len(d.stuck) >= d.queue.organizations() {
			break
		}
		events, err := d.queue.load(segment)
		if err != nil {
			d.failed = err
			d.log.Error("a segment of the spool cannot be read", zap.String("file", segment.path), zap.Error(err))
			continue
		}
		for _, e := range events {
			d.collect()
			if !d.stuck[e.organization] {
				d.send(ctx, e)
			}
		}
	}
	d.finish(ctx)
	d.note()
	if d.missed != nil && ctx.Err() == nil && d.taken.Load() == taken && d.vain.Swap(taken+1) != taken+1 && !d.away.Load() {
		d.log.Warn("Kafka takes none of the events that wait on disk", zap.Error(d.missed))
	}
}

// begin returns the window that an event goes into, of which there is one at a time.
func (d *drain) begin(ctx context.Context, bytes int) context.Context {
	if d.window != nil && (d.window.Err() != nil || d.events >= drainEvents || d.bytes+bytes > drainBytes) {
		d.finish(ctx)
	}
	if d.window == nil {
		d.window, d.over = context.WithTimeout(ctx, handOver)
	}
	return d.window
}

// drainGrace is how long a shutdown waits for Kafka's answers. What is not answered by then
// stays on disk, and is sent again after the next start.
const drainGrace = 3 * time.Second

// finish waits until all is answered, or for a while after ctx has ended. The next sweep
// loads what is left anew, so nothing of it may be under way.
func (d *drain) finish(ctx context.Context) {
	if d.window == nil {
		return
	}
	defer func() {
		d.over()
		d.window = nil
	}()
	for d.events > 0 && ctx.Err() == nil {
		select {
		case r := <-d.results:
			d.settle(r)
		case <-ctx.Done():
		}
	}
	grace := time.NewTimer(drainGrace)
	defer grace.Stop()
	for d.events > 0 {
		select {
		case r := <-d.results:
			d.settle(r)
		case <-grace.C:
			return
		}
	}
}

// send hands an event to the producer.
func (d *drain) send(ctx context.Context, e queued) {
	window := d.begin(ctx, len(e.value))
	if d.stuck[e.organization] || ctx.Err() != nil {
		return
	}
	d.events++
	d.bytes += len(e.value)
	event, err := schema.Decode(e.value)
	if err != nil {
		d.results <- result{e, fmt.Errorf("%w: %w", errUnreadable, err)}
		return
	}
	results := d.results
	d.conf.Kafka.PublishAsync(e.traced.within(window), event, func(err error) { results <- result{e, err} })
}

// collect takes the results that are there.
func (d *drain) collect() {
	for d.events > 0 {
		select {
		case r := <-d.results:
			d.settle(r)
		default:
			return
		}
	}
}

// settle notes what became of an event.
func (d *drain) settle(r result) {
	d.events--
	d.bytes -= len(r.event.value)
	switch {
	case r.err == nil:
		d.took()
		d.counts.count(outcomeDrained, 1)
	case refusedForEver(r.err):
		if err := d.refuse(r.event, r.err); err != nil {
			d.failed = err
			d.log.Error("what Kafka refuses for ever cannot be kept beside the spool: it stays in it", zap.Error(err))
			d.stick(r)
			return
		}
		d.counts.count(outcomeRefused, 1)
	default:
		d.missed = r.err
		d.stick(r)
		return
	}
	d.drained++
	if d.left = append(d.left, r.event); len(d.left) >= drainEvents {
		d.note()
	}
}

// stick holds the organization's events back. Whether Kafka is away, or does not let us
// write, is the same here: they are on disk, and are tried again.
func (d *drain) stick(r result) {
	if !d.stuck[r.event.organization] && !errors.Is(r.err, context.Canceled) && !errors.Is(r.err, producer.ErrClosed) {
		d.counts.count(outcomeRetried, 1)
	}
	if len(d.stuck) == 0 {
		d.log.Debug("an event stays in the spool", zap.Error(r.err))
	}
	d.stuck[r.event.organization] = true
}

// note takes what left out of the queue.
func (d *drain) note() {
	d.queue.depart(d.left)
	d.left = nil
}
