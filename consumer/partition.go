package consumer

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// partition is one partition of the events topic while this process owns it: the
// position up to which the live reader has dispatched, and the lanes.
type partition struct {
	g      *Group
	number int32
	ctx    context.Context //nolint:containedctx // ends with the ownership of the partition
	cancel context.CancelFunc
	going  chan struct{} // closed when the partition is given up: nobody waits for a next attempt any more
	work   workers       // the dispatcher and the lanes' goroutines
	in     chan polled   // from the poll loop to the dispatcher; closed by stop
	room   chan struct{} // a token when some lane or the budget may have room again
	log    *zap.Logger

	stopping    atomic.Bool  // nothing more is dispatched
	uncommitted bool         // the group had never committed it when it was taken
	lost        atomic.Bool  // another process may own it: nothing more is committed
	position    atomic.Int64 // every record below it has been dispatched; written with mu held
	end         atomic.Int64 // high watermark as last heard
	ends        endsSeen     // both ends, as somebody looks them up beside the reading
	unsaved     atomic.Int64 // events settled that no record speaks of yet, over all lanes
	saveAt      atomic.Int64 // that many of them make early records due

	mu         sync.Mutex
	router     *router            // guarded by mu
	specs      reached            // first offset of the streams topic that router does not know; guarded by mu
	streams    []*stream          // by index, nil where none is delivered; guarded by mu
	lanes      []*lane            // by stream index, nil where none exists yet; guarded by mu
	from       []int64            // by stream index: nothing below belongs to the stream; guarded by mu
	former     []*lane            // by stream index: the retired lane whose place the stream's takes; guarded by mu
	behind     map[*lane]struct{} // lanes that are not live; guarded by mu
	strangers  map[string]table   // by uid: records of streams that were not known when the partition was taken; guarded by mu
	cuts       found              // what the takeover has found of cuts, for strangers; guarded by mu
	unrecorded []*lane            // that wait for their first records to be written; guarded by mu
	obsolete   []progressKey      // records to delete once their successors are acknowledged; guarded by mu
	check      checker            // guarded by mu
	origin     trace.SpanContext  // of the record that is offered, where there are traces and it is in one that is sampled; guarded by mu
	found      []*stream          // scratch of offer; guarded by mu
	originals  originals          // of a job: which events its own were at first; nil: nobody asks; guarded by mu
	epoch      int32              // leader epoch of the last record below position; -1: not known; guarded by mu

	saving     turn         // one writer of progress at a time, so that records go out in order
	committed  groupOffset  // what was last committed; guarded by Group.committing
	said       atomic.Int64 // no commit that anybody can find says a higher group offset
	progressID string       // of the topic that the records are written to; guarded by saving
	rewrite    bool         // every lane's record must be written before the next commit; guarded by saving
}

// workers runs goroutines and waits for their end: a [sync.WaitGroup].
type workers interface {
	Go(f func())
	Wait()
}

// patience is how long the dispatcher waits at most for a lane that is full but getting
// on. A destination a little slower than Kafka, or a machine with too much to do, then
// costs no second read. A lane that was waited for in vain gets half of that the next
// time, and double after a wait that was worth it: one that is slow again and again soon
// costs its neighbours nothing.
const patience = time.Second

// maxPatience bounds the waits for all lanes over one read. The poll loop stands still
// while a dispatcher waits, and with it the other partitions, and no rebalance can begin.
const maxPatience = 2 * time.Second

// minPatience is what patience never falls below.
const minPatience = 20 * time.Millisecond

// waited learns from a wait: whether it was worth it. It is the dispatcher's.
func (l *lane) waited(worth bool) {
	if worth {
		l.impatience = max(0, l.impatience-1)
	} else {
		l.impatience++
	}
}

// patience is how long the next wait may take: halved for each that was in vain. A group
// of one stream has no neighbour to protect, so it always waits as long as it may.
func (l *lane) patience() time.Duration {
	l.p.mu.Lock()
	alone := len(l.p.router.streams) == 1
	l.p.mu.Unlock()
	if alone {
		return patience
	}
	return max(minPatience, patience>>min(l.impatience, maxImpatience))
}

// maxImpatience is when a shift has become pointless.
const maxImpatience = 10

// polled is what the poll loop hands to a dispatcher.
type polled struct {
	records []*kgo.Record
	reached chan<- struct{} // closed when everything before has been dispatched
}

// dispatch is the one goroutine that moves the position.
func (p *partition) dispatch() {
	reading, busy := p.g.cfg.Reading, false
	for next := range p.in {
		if next.reached != nil {
			close(next.reached)
		}
		if !busy {
			reading.begin()
		}
		records, left := next.records, maxPatience
		for len(records) > 0 && !p.stopping.Load() {
			n, full := p.feed(records)
			reading.read(live, n)
			recycle(records[:n])
			records = records[n:]
			if full == nil {
				continue
			}
			reading.end()
			began := time.Now()
			worth := p.waitFor(full, min(full.patience(), left))
			full.waited(worth)
			if !worth {
				p.letGo(full)
			}
			left = max(0, left-time.Since(began))
			reading.begin()
		}
		if busy = len(p.in) > 0; !busy {
			reading.end()
		}
	}
	if busy {
		reading.end()
	}
}

// recycle gives back the memory of records that were dispatched: from here on it is
// another batch's. Each would pin the whole one that it came in.
func recycle(records []*kgo.Record) {
	for _, r := range records {
		r.Recycle()
	}
	clear(records)
}

// feed offers records to the live lanes. It stops at the first one that a live lane has
// no room for and reports how many are done; offering the same record again is harmless.
func (p *partition) feed(records []*kgo.Record) (int, *lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, r := range records {
		if p.stopping.Load() {
			return len(records), nil // with mu held: no lane comes into being after stop has stopped them all
		}
		if r.Offset < p.position.Load() {
			continue
		}
		if !r.Attrs.IsControl() {
			if full := p.offer(r, p.liveLane); full != nil {
				return i, full
			}
		}
		p.position.Store(r.Offset + 1)
		p.epoch = r.LeaderEpoch
	}
	return len(records), nil
}

// liveLane is the lane of a stream if the live reader feeds it; it comes into being with
// its first matching record.
func (p *partition) liveLane(s *stream, r *kgo.Record) *lane {
	l := p.lanes[s.index]
	if !p.takes(s, r.Offset) {
		return nil
	}
	if l == nil {
		if former := p.former[s.index]; former != nil {
			former.sees(r.Offset)
		}
		if r.Offset < p.from[s.index] {
			return nil
		}
		l = p.beginLane(s)
		l.next = r.Offset
	}
	if l.tally.abreast {
		l.sees(r.Offset)
	}
	if _, behind := p.behind[l]; behind {
		return nil
	}
	return l
}

// offer checks a record and offers it to the lanes that pick chooses among those it
// belongs to. It returns the first lane without room. The caller holds mu.
func (p *partition) offer(r *kgo.Record, pick func(*stream, *kgo.Record) *lane) *lane {
	event, violations := p.check.check(r)
	if p.originals != nil {
		p.originals.sees(r, event, &p.check)
	}
	if o, ok := p.originals.(*letterOriginals); ok && o.letter.Standing != LetterOpen {
		s := p.router.streams[0]
		if p.found = p.found[:0]; event != nil {
			p.found = p.router.match(event.OrganizationID, event.Action, p.found)
		}
		if l := pick(s, r); l != nil && !p.decide(l, r, event, &o.letter) {
			return l
		}
		return nil
	}
	if event == nil {
		s := p.g.invalid
		if p.g.letters != nil {
			s = p.router.streams[0] // somebody decides about the letter again
		}
		if l := pick(s, r); l != nil && !l.refuse(r.Offset, r.Timestamp, invalid(violations)) {
			return l
		}
		return nil
	}
	if p.g.cfg.Tracer != nil {
		p.origin, _ = origin(r)
	}
	p.found = p.router.match(event.OrganizationID, event.Action, p.found[:0])
	if p.g.letters != nil && len(p.found) == 0 {
		if l := pick(p.router.streams[0], r); l != nil && !l.refuse(r.Offset, r.Timestamp, unwanted()) {
			return l
		}
	}
	for _, s := range p.found {
		if l := pick(s, r); l != nil && !p.hand(l, event) {
			return l
		}
	}
	return nil
}

// flushPause is the least time between two flushes in one wait: each looks at every lane of
// the partition.
const flushPause = 50 * time.Millisecond

// waitFor waits until l has room, for d at most, and reports whether it has. It does not
// wait for a lane that is not getting on.
func (p *partition) waitFor(l *lane, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	var flushed time.Time
	for {
		l.mu.Lock()
		roomy, starved, stuck := l.roomy(), l.starved > 0, l.waiting || l.stopped || l.stream.idle()
		l.mu.Unlock()
		if roomy || stuck {
			return roomy
		}
		if starved && time.Since(flushed) >= flushPause {
			p.flush() // half-full batches elsewhere may be what the budget is waiting for
			flushed = time.Now()
		}
		select {
		case <-p.room:
		case <-t.C:
			return false
		case <-p.ctx.Done():
			return false
		}
	}
}

// flush sends what lingers.
func (p *partition) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lanes {
		if l != nil {
			l.flush()
		}
	}
}

// letGo leaves a lane behind at the position: the live reader goes on without it.
func (p *partition) letGo(l *lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.live {
		return
	}
	l.next = l.covered()
	l.become(catchingUp)
	l.dirty = true
	p.behind[l] = struct{}{}
	p.g.wakeCatchUp()
}

// join makes a lane live again if nothing lies between it and the position. The caller
// holds p.mu.
func (p *partition) join(l *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.retired || l.next < p.position.Load() {
		return
	}
	l.become(live)
	l.tally.abreast = true
	l.dirty = true
	delete(p.behind, l)
}

// roomMade tells whoever feeds that some lane may have room.
func (p *partition) roomMade() {
	signal(p.room)
	p.g.wakeCatchUp()
}

// abandonAfter is how long a sink may take to return after it was told to. One that does
// not breaks its contract; it must not also keep the process from ending, or the group
// from going on.
const abandonAfter = 2 * time.Second

// stop ends the partition: nothing more is read, requests under way may end until drain
// has passed, what is left is abandoned. It returns when no goroutine is left, but for
// those in a sink that ignores the end of its context.
func (p *partition) stop(drain time.Duration) {
	p.stopping.Store(true)
	close(p.in)
	close(p.going)
	p.mu.Lock()
	for _, l := range p.lanes {
		if l != nil {
			l.stop()
		}
	}
	p.mu.Unlock()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		p.work.Wait()
	}()
	t := time.NewTimer(drain)
	defer t.Stop()
	select {
	case <-gone:
	case <-t.C:
	}
	p.cancel()
	t.Reset(abandonAfter)
	select {
	case <-gone:
	case <-t.C:
		p.log.Error("a sink does not return although its context has ended: it is left behind, what it has under way may be repeated")
	}
	p.g.cfg.Budget.unsubscribe(p.room)
}

// release gives the lanes' memory back, after the last record of progress was taken.
func (p *partition) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lanes {
		if l != nil {
			l.drop()
			l.stream.breaker.abandons(l) // where a sink was left behind
		}
	}
}

// stopAll stops partitions at the same time.
func stopAll(parts []*partition, drain time.Duration) {
	var wg sync.WaitGroup
	for _, p := range parts {
		wg.Go(func() { p.stop(drain) })
	}
	wg.Wait()
}
