package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/auditstream/auditstream/sinks"
)

// A filter that has no verdict on one event after the other is no matter of those events: it
// asks for a field that none of them has. To send them all to the dead letters would drain
// the stream. As with a run of refusals (see refusals) the lane holds, and here there is
// nothing to probe: a verdict depends on the event and the filter alone. It goes on with
// another revision of the stream, behind a skip, or, if there is neither, as the retention
// guard rescues what is about to expire. The run is counted in events as they are read; one
// verdict of either kind ends it.

// undecide sends an event on which the filter has no verdict to the dead letters; behind a
// run of them it is held before that. It reports false, and nothing was taken, when the lane
// has no room. The caller holds p.mu.
func (l *lane) undecide(e *sinks.Event, err error) bool {
	why := refusal(err)
	why.held = l.stuck(l.undecided)
	if !l.refuse(e.Offset, e.Time, why) {
		return false
	}
	l.undecided.add(string(e.OrganizationID))
	return true
}

// holdUndecided returns when the lane is given up or retired, or when events of the chunk
// that are about to expire went to the dead letters, with their number.
func (l *lane) holdUndecided(ctx context.Context, c *chunk, why cause) (rescued int, err error) {
	held := &sinks.Error{Class: sinks.Rejected, Err: fmt.Errorf("the filter has had no verdict on %d events in a row: the filter is wrong, not the events: %s", l.p.g.cfg.Rejections, why.reason)}
	for {
		if l.leaving() {
			return 0, errGoing
		}
		if n := l.rescue(ctx, c, c.done); n > 0 {
			return n, nil
		}
		if _, err := l.inquireIfDue(ctx); err != nil {
			return 0, err
		}
		until := time.Now().Add(l.p.g.cfg.Retry.Probe)
		l.mu.Lock()
		l.enter(StateInvalid, held, until)
		l.mu.Unlock()
		for _, t := range []time.Time{l.expiry(c), l.nextInquiry()} {
			if !t.IsZero() && t.Before(until) {
				until = t
			}
		}
		if _, err := l.sleep(ctx, until, nil); err != nil {
			return 0, err
		}
	}
}
