package consumer

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks"
)

// Retry says how long to wait between attempts. There is no last attempt: the log is
// the retry queue.
type Retry struct {
	Min   time.Duration // bound of the first wait
	Max   time.Duration // bound of every wait, what a destination asks for excepted
	Probe time.Duration // between attempts at a misconfigured destination
}

// maxRetryAfter bounds what a destination may ask for.
const maxRetryAfter = time.Hour

// wait is the time before attempt n+1, exponential with full jitter: a crowd of lanes
// that failed together comes back spread out.
func (r Retry) wait(n int, asked time.Duration) time.Duration {
	bound := r.Max
	if n < 32 {
		bound = min(bound, r.Min<<(n-1))
	}
	if bound <= 0 { // the shift went over
		bound = r.Max
	}
	return max(rand.N(bound)+1, min(asked, maxRetryAfter))
}

// run delivers what is queued until nothing is left, the lane is retired or the partition
// stops. What is unsettled then is read again: by the lane's successor, or by the
// partition's next owner.
func (l *lane) run() {
	for {
		var err error
		if c := l.take(); c != nil {
			err = l.deliver(l.p.ctx, c)
		} else if l.awaitsConfirmation() {
			err = l.confirm(l.p.ctx)
		} else {
			break
		}
		if err != nil {
			l.mu.Lock()
			l.stopped = true
			l.mu.Unlock()
			l.lastInquiries(l.p.ctx)
			l.mu.Lock()
			l.running = false
			l.mu.Unlock()
			break
		}
	}
	l.p.ended(l)
}

// deliver makes a pass over a chunk, however long that takes: each event of it is settled
// then, or waits to be confirmed. It returns an error only when the partition is given up
// or the lane retired.
func (l *lane) deliver(ctx context.Context, c *chunk) error {
	if err := l.establish(ctx); err != nil {
		return err
	}
	if c.letters != nil {
		for i, last := c.done, len(c.events)-1; i <= last; i++ { // not c after its last event: it is another's by then
			if c.letters[i].held {
				rescued, err := l.holdUndecided(ctx, c, c.letters[i])
				if err != nil {
					return err
				}
				i += rescued - 1
				continue
			}
			why := c.letters[i]
			switch why.class {
			case classRedriven:
				l.settle(1, fateDelivered, why.reason)
				continue
			case classDecided:
				l.settle(1, fateFiltered, why.class)
				continue
			}
			why.at = c.at(i)
			what, _, err := l.deadLetter(ctx, c.events[i].Offset, why)
			if err != nil {
				return err
			}
			l.settle(1, what, withheldFor(what, why.class))
		}
		l.recovered()
		return nil
	}
	if err := l.keepUp(ctx, c); err != nil {
		return err
	}
	total := c.end
	done := c.done
	ends := []int{total} // where attempts end: a refusal that names no event halves the last
	var f failures
	served := false // whether the destination has dealt with the last events that were settled
	for done < total {
		rescued, err := l.await(ctx, c, done)
		if err != nil {
			return err
		}
		if rescued > 0 {
			f, served = failures{}, false
			done += rescued
			for len(ends) > 0 && ends[len(ends)-1] <= done {
				ends = ends[:len(ends)-1]
			}
			continue
		}
		end := ends[len(ends)-1]
		if end > done+1 && l.broken() {
			end = done + 1 // a probe
			ends = append(ends, end)
		}
		batch := l.batch(c, done, end)
		oldest := c.oldest
		traced, ended := l.span(ctx, c, done, end)
		receipt, err := l.attempt(traced, batch)
		ended(receipt, err)
		l.note(receipt)
		settled := min(max(receipt.Settled, 0), end-done)
		if err == nil {
			settled = end - done
		}
		if err == nil || settled > 0 || sinks.ClassOf(err) == sinks.Rejected {
			l.stream.breaker.answered()
		}
		if settled > 0 {
			f, l.refusals, l.backoff = failures{}, refusals{}, 0
			if receipt.Pending == "" {
				if err := l.redriven(ctx, c.events[done:done+settled]); err != nil {
					return err
				}
				l.delivered(settled, receipt.Elsewhere, time.Since(oldest))
				served = true
			} else {
				served = l.takenIn(settled, receipt.Pending)
			}
			done += settled
		}
		if done == end {
			ends = ends[:len(ends)-1]
			continue
		}
		if ctx.Err() != nil {
			l.stream.breaker.abandons(l)
			return ctx.Err() // a shutdown is no attempt
		}
		f.add(err, settled)
		refused, named := f.rejects(end - done)
		switch {
		case refused && l.broken():
			l.holdRefused(&f)
		case refused:
			why := f.cause()
			why.at = c.at(done)
			what, organization, err := l.deadLetter(ctx, c.events[done].Offset, why)
			if err != nil {
				return err
			}
			l.refusals.add(organization)
			f, l.backoff, served = failures{}, 0, true
			l.settle(1, what, withheldFor(what, why.class))
			done++
			if done == end {
				ends = ends[:len(ends)-1]
			}
		case named:
			// The destination took what stands before the event that it named; an event in
			// the midst without that is sent up to.
			ends = append(ends, done+f.event)
		case sinks.ClassOf(err) == sinks.Rejected:
			ends = append(ends, done+(end-done)/2)
		default:
			l.hold(&f)
		}
	}
	if served {
		l.recovered()
	}
	return nil
}

// failures are the failed attempts at the same events.
type failures struct {
	n         int
	first, at time.Time
	err       error
	last      *sinks.Error // nil for an error without class
	event     int          // the event that last names, counted from the first unsettled one
}

func (f *failures) add(err error, settled int) {
	f.n++
	f.at = time.Now()
	if f.n == 1 {
		f.first = f.at
	}
	f.err = err
	f.last, _ = asError(err)
	f.event = -1
	if f.last != nil && f.last.Named {
		f.event = f.last.Event - settled
	}
}

// rejects says whether the first of n events is refused for ever, or another one that
// the destination named.
func (f *failures) rejects(n int) (first, other bool) {
	if f.last == nil || f.last.Class != sinks.Rejected {
		return false, false
	}
	if n == 1 || f.event == 0 {
		return true, false
	}
	return false, f.event > 0 && f.event < n
}

func (f *failures) cause() cause {
	c := refusal(f.err)
	c.attempts, c.first, c.last = f.n, f.first, f.at
	return c
}

func asError(err error) (*sinks.Error, bool) {
	e, ok := errors.AsType[*sinks.Error](err)
	return e, ok
}

// batch is the events [from, to) of the current chunk as the sink sees them.
func (l *lane) batch(c *chunk, from, to int) *sinks.Batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.covered()
	if len(l.ready) > 0 {
		next = l.ready[0].first()
	} else if l.open != nil {
		next = l.open.first()
	}
	next = max(next, c.events[len(c.events)-1].Offset+1) // what follows may lie below after a rewind
	b := sinks.Batch{Lane: l.id, Events: c.events, Body: c.body, Next: next, Mark: l.mark}
	if len(c.links) > 0 {
		b.Chain = &sinks.Chain{Origin: c.chain.origin, Before: c.before, Links: c.links, OriginalFeed: c.were.feed, Originals: c.were.numbers}
	}
	s := &b
	if from != 0 || to != len(c.events) {
		s = b.Slice(from, to)
	}
	if l.more != nil {
		s.Next = s.Events[to-from-1].Offset + 1 // what lies above may have been sent before
	}
	return s
}

// attempt makes one attempt, within the bounds on requests in flight of the stream and of
// the process. A lane asks for one at a time, so the lanes of a stream take turns; streams
// take turns as well, see [Slots].
func (l *lane) attempt(ctx context.Context, b *sinks.Batch) (receipt sinks.Receipt, err error) {
	err = l.request(ctx, func() error {
		began := time.Now()
		receipt, err = l.stream.sink.Deliver(ctx, b)
		l.p.g.metrics.attempted(ctx, l.p.g.cfg.Kind.Name, l.stream.spec.ID, receipt, err, time.Since(began))
		return err
	})
	if receipt.Pending != "" && l.more == nil {
		// Nobody could ask what becomes of it: nothing of it counts.
		return sinks.Receipt{}, errors.New("the destination confirms later, and its sink cannot be asked")
	}
	return receipt, err
}

// request makes a request within the bounds.
func (l *lane) request(ctx context.Context, do func() error) error {
	if slots := l.stream.inFlight; slots != nil {
		if err := slots.Acquire(ctx, 1); err != nil {
			return err
		}
		defer slots.Release(1)
	}
	l.mu.Lock()
	what := l.what()
	l.mu.Unlock()
	slot, err := l.p.g.cfg.InFlight.acquire(ctx, &l.stream.patron, what)
	if err != nil {
		return err
	}
	defer l.p.g.cfg.InFlight.release(slot)
	return do()
}

// note keeps what a receipt says beside the events, also when the attempt failed.
func (l *lane) note(r sinks.Receipt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Mark != "" && r.Mark != l.mark {
		l.mark, l.dirty = r.Mark, true
	}
	if r.Begin > l.begin {
		l.begin, l.dirty = r.Begin, true
	}
}

// delivered counts what the destination has taken and moves the cursor. It had what lies
// below elsewhere already, in another chain.
func (l *lane) delivered(n int, elsewhere int64, age time.Duration) {
	l.p.g.metrics.delivered(l.stream.spec.ID, n, age)
	span := l.current.span(n) // with mu, whoever reads for the lane would wait for the hashes
	l.mu.Lock()
	defer l.mu.Unlock()
	others := 0
	for events := l.current.events[l.current.done:]; others < n && events[others].Offset < elsewhere; {
		others++
	}
	if others > 0 {
		l.passed(others, fateDelivered, withheldOther, integrity.Span{})
		span = integrity.Span{}
	}
	if others < n {
		l.passed(n-others, fateDelivered, "", span)
	}
}

// errGoing ends a lane whose partition is given up while it waits.
var errGoing = errors.New("the partition is given up")

// wait holds the lane for d in a state that is not active. It ends with an error when the
// partition is given up: time to drain is for requests under way.
func (l *lane) wait(ctx context.Context, state string, why error, d time.Duration) error {
	again := time.Now().Add(d)
	l.mu.Lock()
	l.enter(state, why, again)
	l.mu.Unlock()
	_, err := l.sleep(ctx, again, nil)
	return err
}

// recovered brings a lane back to active.
func (l *lane) recovered() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.enter(StateActive, nil, time.Time{})
}

// enter changes the state. The caller holds mu.
func (l *lane) enter(state string, why error, again time.Time) {
	h := &l.health
	text := ""
	h.class, h.status = "", 0
	if why != nil {
		text = bounded(why.Error())
		if e, ok := asError(why); ok {
			h.class, h.status = e.Class.String(), e.Status
		}
	}
	if h.state != state {
		log := l.p.g.log.With(zap.String("stream", l.id.Stream), zap.Int32("partition", l.id.Partition))
		switch state {
		case StateActive:
			if h.state != StatePaused {
				log.Info("stream delivers again", zap.String("after", h.state), zap.Duration("for", time.Since(h.since)))
			}
		case StatePaused:
		default:
			log.Warn("stream is held, nothing is lost", zap.String("state", state), zap.String("reason", text), zap.Time("next_attempt", again))
		}
		h.state, h.since = state, time.Now()
		l.dirty = true
	}
	if h.err != text || !h.again.Equal(again) {
		h.err, h.again, l.dirty = text, again, true
	}
}

// deadLetter returns when the letter is acknowledged, what that makes of the event, and
// whose it was. While it cannot be written the lane holds.
func (l *lane) deadLetter(ctx context.Context, offset int64, why cause) (what fate, organization string, err error) {
	id := l.stream.spec.ID
	if why.class == classRejected {
		l.p.g.metrics.rejected(id)
	}
	for n := 1; ; n++ {
		organization, err = l.write(ctx, offset, why)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return 0, "", ctx.Err()
		}
		if errors.Is(err, kerr.OffsetOutOfRange) {
			l.lose(offset, offset+1, "expired before it could be dead-lettered")
			return fateLost, "", nil
		}
		if err := l.wait(ctx, StateError, err, l.p.g.cfg.Retry.wait(n, 0)); err != nil {
			return 0, "", err
		}
	}
	l.p.g.metrics.deadLettered(id, why.class, 1)
	told := "event dead-lettered"
	if l.p.g.letters != nil {
		told = "event not taken, its dead letter stays open"
	}
	l.p.g.log.Warn(told, zap.String("stream", id), zap.Int32("partition", l.id.Partition),
		zap.Int64("offset", offset), zap.String("class", why.class), zap.String("reason", why.reason))
	return fateDeadLettered, organization, nil
}

// lose records that offsets are gone: said aloud, counted, kept in the lane's record. A
// range that is empty, because another way of noticing was faster, is no loss.
func (l *lane) lose(from, to int64, reason string) {
	if from >= to {
		return
	}
	l.p.g.metrics.expired(l.stream.spec.ID, to-from)
	l.p.g.log.Error("events lost", zap.String("stream", l.id.Stream), zap.Int32("partition", l.id.Partition),
		zap.Int64("from", from), zap.Int64("to", to), zap.String("reason", reason))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gap(gap{From: from, To: to, Reason: reason})
}

// outlive records what an events topic that is gone took with it. The partition has said
// it aloud.
func (l *lane) outlive(g gap) {
	l.p.g.metrics.expired(l.stream.spec.ID, g.To-g.From)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gap(g)
}

// gap takes one down. The caller holds mu.
func (l *lane) gap(g gap) {
	g.At = time.Now().UTC()
	l.counts.expired += g.To - g.From
	l.gaps = append(l.gaps, g)
	if len(l.gaps) > maxGaps {
		l.gaps = l.gaps[len(l.gaps)-maxGaps:]
	}
	l.dirty = true
}

// establish makes sure that the lane's revision is on record before its first event is
// sent: where a revision begins must be known even if it never gets to a commit.
func (l *lane) establish(ctx context.Context) error {
	for n := 1; ; n++ {
		l.mu.Lock()
		saved := l.saved
		l.mu.Unlock()
		if saved {
			return nil
		}
		err := l.p.saveFirst(ctx, l)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := l.wait(ctx, StateError, err, l.p.g.cfg.Retry.wait(n, 0)); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
