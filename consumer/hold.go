package consumer

import (
	"context"
	"time"

	"github.com/auditstream/auditstream/sinks"
)

// await returns when the lane may make its next attempt: when its own wait is over, and
// the stream's breaker lets it. A breaker that closes ends the lane's own wait as well:
// the destination is there again. Events of the chunk, from done on, that are about to
// expire meanwhile go to the dead letters; then await returns early, with their number.
func (l *lane) await(ctx context.Context, c *chunk, done int) (rescued int, err error) {
	b := &l.stream.breaker
	for {
		if l.leaving() {
			return 0, errGoing
		}
		if n := l.rescue(ctx, c, done); n > 0 {
			return n, nil
		}
		if _, err := l.inquireIfDue(ctx); err != nil {
			return 0, err
		}
		l.mu.Lock()
		until := l.health.again
		l.mu.Unlock()
		changed := b.recovery()
		if !time.Now().Before(until) {
			t := b.enter(l)
			if t.ok {
				return 0, nil
			}
			until, changed = t.until, t.changed
			l.mu.Lock()
			l.enter(stateOf(t.err), t.err, until)
			l.mu.Unlock()
		}
		if t := l.expiry(c); !t.IsZero() && (t.Before(until) || until.Before(time.Now())) {
			until = t
		}
		if t := l.nextInquiry(); !t.IsZero() && (t.Before(until) || until.Before(time.Now())) {
			until = t
		}
		closed, err := l.sleep(ctx, until, changed)
		if err != nil {
			return 0, err
		}
		if closed && b.closed() {
			l.mu.Lock()
			l.health.again = time.Time{}
			l.mu.Unlock()
		}
	}
}

// leaving says whether no attempt begins any more: the partition is given up, or the lane
// retired.
func (l *lane) leaving() bool {
	select {
	case <-l.p.going:
	case <-l.retiring:
	default:
		return false
	}
	return true
}

// sleep waits until a time, for changed or for the end of ctx, and reports whether
// changed was first. A time that has passed is waited for no more: then it is changed
// that counts. It ends with an error when the partition is given up: time to drain is for
// requests under way.
func (l *lane) sleep(ctx context.Context, until time.Time, changed <-chan struct{}) (first bool, err error) {
	l.mu.Lock()
	l.waiting = true
	l.mu.Unlock()
	l.p.roomMade() // whoever waits for this lane need not wait longer
	defer func() {
		l.mu.Lock()
		l.waiting = false
		l.mu.Unlock()
	}()
	var due <-chan time.Time
	if d := time.Until(until); d > 0 || changed == nil {
		t := time.NewTimer(d)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-l.p.going:
		return false, errGoing
	case <-l.retiring:
		return false, errGoing
	case <-changed:
		return true, nil
	case <-due:
		return false, nil
	}
}

// stateOf is the state of a lane that is held for err.
func stateOf(err error) string {
	if sinks.ClassOf(err) == sinks.Misconfigured {
		return StateInvalid
	}
	return StateError
}

// hold says why the lane makes no attempt for a while, and until when.
func (l *lane) hold(f *failures) {
	retry := l.p.g.cfg.Retry
	l.backoff++
	var asked time.Duration
	if f.last != nil {
		asked = f.last.RetryAfter
	}
	state := stateOf(f.err)
	wait := func(n int) time.Duration {
		if state == StateInvalid {
			return retry.Probe
		}
		return retry.wait(n, asked)
	}
	l.stream.breaker.fails(l, f.err, wait)
	l.holdFor(state, f.err, wait(l.backoff))
}

// holdFor begins a wait of d that await ends.
func (l *lane) holdFor(state string, why error, d time.Duration) {
	l.p.g.metrics.retried(l.stream.spec.ID)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tried()
	l.inquiry.told = false
	l.answer = ""
	if e, ok := asError(why); ok {
		l.answer = bounded(e.Answer)
	}
	l.enter(state, why, time.Now().Add(d))
}
