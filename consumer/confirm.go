package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/sinks"
)

// Some destinations take events in first and confirm later that they have them durably.
// A lane then goes on with its next batch: only the waits overlap, never two requests. What
// waits stays in memory, within the budget and a number of batches, and holds the cursor.
// Confirmations may come in any order; the cursor follows the oldest that is missing.

// part is a run of a chunk's events that the destination has taken in and not confirmed.
type part struct {
	from, to int            // events of the chunk
	tickets  []sinks.Ticket // one an attempt, newest last: any of them confirms the events
	first    time.Time      // when they were first taken in
	due      time.Time      // when they are sent again
	tries    int            // attempts after the first
	span     integrity.Span // of the events
}

// again is what a pass over a part keeps of it.
type again struct {
	tickets []sinks.Ticket
	first   time.Time
	tries   int
}

// inquiry is after the batches of a lane that wait. Guarded by lane.mu.
type inquiry struct {
	at   time.Time // of the next question
	n    int       // questions in a row that brought nothing new
	told bool      // the lane's state speaks of confirmations that do not come
}

const (
	maxTickets   = 8                // of one part: a confirmation may take that many times Confirmation.Within
	maxInquiry   = 16               // times Confirmation.Every: the longest pause between two questions
	inquiryRetry = 30 * time.Second // the longest one after questions that failed
	untold       = 3                // questions in a row may fail before the lane's state says so
	lastInquiry  = 5 * time.Second  // for what still waits when a lane ends: what is not confirmed then is sent again
)

// takenIn keeps n events of the current chunk until they are confirmed. It reports whether
// the destination is to be believed that they will be.
func (l *lane) takenIn(n int, ticket sinks.Ticket) bool {
	confirmation := l.stream.batching.Confirmation
	now := time.Now()
	span := l.current.span(n) // with mu, whoever reads for the lane would wait for the hashes
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.current
	p := part{from: c.done, to: c.done + n, tickets: []sinks.Ticket{ticket}, first: now, due: now.Add(confirmation.Within), span: span}
	if c.again.tries > 0 {
		p.tickets = append(slices.Clone(c.again.tickets), ticket)
		p.tickets = p.tickets[max(0, len(p.tickets)-maxTickets):]
		p.first, p.tries = c.again.first, c.again.tries
	}
	i, _ := slices.BinarySearchFunc(c.parts, p.from, func(have part, from int) int { return have.from - from })
	c.parts = slices.Insert(c.parts, i, p)
	c.done += n
	if next := now.Add(confirmation.Every); l.inquiry.at.IsZero() || next.Before(l.inquiry.at) {
		l.inquiry.at, l.inquiry.n = next, 0
	}
	if c.done == c.end {
		l.current = nil
		l.retain(c) // a part of it waits
	}
	return !l.inquiry.told
}

// waits calls f for every part that waits, oldest first. The caller holds mu.
func (l *lane) waits(f func(c *chunk, p *part)) {
	for _, c := range l.unconfirmed {
		for i := range c.parts {
			f(c, &c.parts[i])
		}
	}
	if c := l.current; c != nil && !slices.Contains(l.unconfirmed, c) {
		for i := range c.parts {
			f(c, &c.parts[i])
		}
	}
}

// mayProceed says whether the next batch may be sent while others wait. The caller holds
// mu.
func (l *lane) mayProceed(now time.Time) bool {
	if len(l.unconfirmed) == 0 {
		return true
	}
	chunk, _ := l.overdue(now)
	return chunk == nil && now.Before(l.inquiry.at) && l.roomToWait() && !l.doubtful(now)
}

// roomToWait says whether one more batch may wait. The caller holds mu.
func (l *lane) roomToWait() bool {
	return len(l.unconfirmed) < max(1, l.stream.batching.Confirmation.Batches)
}

// doubtful says whether confirmations have ceased to come: the oldest batch is overdue, or
// was sent again, and nothing was confirmed since it was first sent. More batches would then
// only be more to send again. The caller holds mu.
func (l *lane) doubtful(now time.Time) bool {
	if len(l.unconfirmed) == 0 || len(l.unconfirmed[0].parts) == 0 {
		return false
	}
	p := &l.unconfirmed[0].parts[0]
	return (p.tries > 0 || !now.Before(p.due)) && !l.confirmed.After(p.first)
}

// overdue finds the oldest part that has to be sent again. Where nothing was confirmed
// since a part was sent, the oldest of all goes first and alone: when confirmations do not
// come at all, one batch is repeated every now and then, not all. What is about to expire
// in Kafka is due too: its next pass takes it to the dead letters. The caller holds mu.
func (l *lane) overdue(now time.Time) (*chunk, int) {
	for n, c := range l.unconfirmed {
		for i := range c.parts {
			p := &c.parts[i]
			if t := l.expires(c); n == 0 && i == 0 && !t.IsZero() && !now.Before(t) {
				return c, i
			}
			if !now.Before(p.due) && (n == 0 && i == 0 || l.confirmed.After(p.first)) {
				return c, i
			}
		}
	}
	return nil, 0
}

// resend begins a pass over what is overdue, if anything is.
func (l *lane) resend() *chunk {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	c, i := l.overdue(now)
	if c == nil {
		return nil
	}
	p := c.parts[i]
	if l.doubtful(now) && (l.health.state == StateActive || l.inquiry.told) {
		l.inquiry.told = true
		l.enter(StateError, fmt.Errorf("the destination has taken events in %s ago and does not confirm them: the oldest are sent again, and may arrive twice",
			now.Sub(p.first).Round(time.Second)), now)
	}
	c.parts = slices.Delete(c.parts, i, i+1)
	c.done, c.end, c.again = p.from, p.to, again{p.tickets, p.first, p.tries + 1}
	l.current = c
	l.tried()
	l.dirty = true
	l.p.g.metrics.resent(l.stream.spec.ID, p.to-p.from)
	return c
}

func (l *lane) awaitsConfirmation() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.unconfirmed) > 0
}

// nextInquiry is when the destination has to be asked next, zero if nothing waits.
func (l *lane) nextInquiry() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	asks := false
	l.waits(func(*chunk, *part) { asks = true })
	if !asks {
		return time.Time{}
	}
	return l.inquiry.at
}

// confirm does the next thing for what waits: it asks, sends again, or waits until there is
// something to do. It returns an error when the lane ends.
func (l *lane) confirm(ctx context.Context) error {
	if l.leaving() {
		return errGoing
	}
	if asked, err := l.inquireIfDue(ctx); asked || err != nil {
		return err
	}
	if c := l.resend(); c != nil {
		return l.deliver(ctx, c)
	}
	return l.rest(ctx)
}

// inquireIfDue asks if it is time.
func (l *lane) inquireIfDue(ctx context.Context) (asked bool, err error) {
	if t := l.nextInquiry(); t.IsZero() || time.Now().Before(t) {
		return false, nil
	}
	return true, l.inquire(ctx)
}

// rest waits for the next question, and for more to send where that may be sent.
func (l *lane) rest(ctx context.Context) error {
	l.mu.Lock()
	now := time.Now()
	at, more := l.inquiry.at, l.more
	if !l.roomToWait() || l.doubtful(now) {
		more = nil
	}
	if due := l.unconfirmed[0].parts[0].due; due.After(now) && due.Before(at) {
		at = due
	}
	l.mu.Unlock()
	t := time.NewTimer(at.Sub(now))
	defer t.Stop()
	select {
	case <-t.C:
	case <-more:
	case <-ctx.Done():
		return ctx.Err()
	case <-l.p.going:
	case <-l.retiring:
	}
	return nil
}

// inquire asks the destination once about everything that waits. That the question fails
// is no reason to send again: only the end of ctx is returned.
func (l *lane) inquire(ctx context.Context) error {
	var tickets []sinks.Ticket
	l.mu.Lock()
	l.waits(func(_ *chunk, p *part) { tickets = append(tickets, p.tickets...) })
	if len(tickets) == 0 { // all are lost
		l.inquiry.at = time.Now().Add(l.stream.batching.Confirmation.Every)
	}
	l.mu.Unlock()
	if len(tickets) == 0 {
		return nil
	}
	var standings []sinks.Standing
	err := l.request(ctx, func() (err error) {
		standings, err = l.stream.sink.(sinks.Confirmer).Confirm(ctx, l.id, tickets) //nolint:forcetypeassert // where tickets are, there is a Confirmer
		return err
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil && len(standings) != len(tickets):
		err = errors.New("the sink does not say how each ticket stands")
	}
	if err != nil {
		l.inquiryFailed(err)
		return nil
	}
	if err := l.redriven(ctx, l.durable(standings)); err != nil {
		return err
	}
	l.learnStandings(standings)
	return nil
}

// durable lists the events that standings, of the tickets of all parts, confirm.
func (l *lane) durable(standings []sinks.Standing) []sinks.Entry {
	if l.p.g.letters == nil {
		return nil // nobody asks
	}
	var out []sinks.Entry
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits(func(c *chunk, p *part) {
		own := standings[:len(p.tickets)]
		standings = standings[len(own):]
		if slices.Contains(own, sinks.Durable) {
			out = append(out, c.events[p.from:p.to]...)
		}
	})
	return out
}

func (l *lane) inquiryFailed(err error) {
	var asked time.Duration
	if e, ok := asError(err); ok {
		asked = e.RetryAfter
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	q := &l.inquiry
	q.n++
	pause := max(l.stream.batching.Confirmation.Every, min(l.p.g.cfg.Retry.wait(q.n, asked), inquiryRetry))
	q.at = time.Now().Add(pause)
	if (q.n >= untold || sinks.ClassOf(err) == sinks.Misconfigured) && (l.health.state == StateActive || q.told) {
		q.told = true
		l.enter(stateOf(err), fmt.Errorf("the destination cannot be asked for its confirmations: %w", err), q.at)
	}
}

// learnStandings takes the answer in: standings are those of the tickets of all parts.
func (l *lane) learnStandings(standings []sinks.Standing) {
	now := time.Now()
	type delivery struct {
		run
		age time.Duration
	}
	var durable []delivery
	l.mu.Lock()
	news := false
	l.waits(func(c *chunk, p *part) {
		own := standings[:len(p.tickets)]
		standings = standings[len(own):]
		if slices.Contains(own, sinks.Durable) {
			news = true
			r := c.run(p.from, p.to, fateDelivered, "")
			r.span = p.span
			durable = append(durable, delivery{r, now.Sub(c.oldest)})
			p.tickets = nil
			return
		}
		var open []sinks.Ticket
		for i, s := range own {
			if s != sinks.Lost {
				open = append(open, p.tickets[i])
			}
		}
		if len(open) == len(own) {
			return
		}
		if p.tickets = open; len(open) == 0 {
			p.tickets = []sinks.Ticket{} // none is left, yet the part is not confirmed
			p.due = now
			if p.tries > 0 { // whoever loses one ticket after the other is not asked to do so without a pause
				p.due = now.Add(l.p.g.cfg.Retry.wait(p.tries, 0))
			}
		}
	})
	over := l.settleConfirmed()
	runs := make([]run, len(durable))
	for i, d := range durable {
		runs[i] = d.run
	}
	l.became(runs...)
	for _, c := range over {
		l.letGo(c)
	}
	q := &l.inquiry
	if news {
		l.confirmed, l.dirty, q.n = now, true, 0
	} else {
		q.n++
	}
	q.at = now.Add(l.stream.batching.Confirmation.Every * time.Duration(min(maxInquiry, 1<<min(q.n, maxInquiry))))
	if q.told && !l.doubtful(now) {
		q.told = false
		l.enter(StateActive, nil, time.Time{})
	}
	l.mu.Unlock()
	for _, d := range durable {
		l.p.g.metrics.delivered(l.stream.spec.ID, d.n, d.age)
	}
}

// settleConfirmed takes the parts that are confirmed out of their chunks, and returns the
// chunks that are over, to be let go. The caller holds mu.
func (l *lane) settleConfirmed() (over []*chunk) {
	chunks := slices.Clone(l.unconfirmed)
	if l.current != nil && !slices.Contains(chunks, l.current) {
		chunks = append(chunks, l.current)
	}
	for _, c := range chunks {
		c.parts = slices.DeleteFunc(c.parts, func(p part) bool { return p.tickets == nil })
		if c != l.current && l.retain(c) {
			over = append(over, c)
		}
	}
	return over
}

// lastInquiries asks for a short while about what still waits when the lane ends: what is
// not confirmed by then is sent again by whoever goes on. A destination that has not kept
// its word is not waited for.
func (l *lane) lastInquiries(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastInquiry)
	defer cancel()
	every := max(l.stream.batching.Confirmation.Every, 10*time.Millisecond)
	for ctx.Err() == nil {
		l.mu.Lock()
		n := 0
		l.waits(func(_ *chunk, p *part) { n += p.to - p.from })
		hopeless := l.inquiry.told || l.doubtful(time.Now())
		l.mu.Unlock()
		if n == 0 || hopeless {
			break
		}
		if l.inquire(ctx) != nil || pause(ctx, every) != nil {
			l.p.log.Info("events that the destination has taken in are not confirmed: they are sent again", zap.String("stream", l.id.Stream), zap.Int("events", n))
		}
	}
}
