package consumer

import (
	"fmt"

	"github.com/auditstream/auditstream/consumer/filter"
	"github.com/auditstream/auditstream/sinks"
)

// hand offers an event of the stream to its lane, or passes over it if the stream's filter
// does not let it through. It reports false, and nothing was taken, when the lane has no
// room. Where the filter has no verdict the event goes to the dead letters: to drop it would
// be to lose it on a guess, to send it might show what the filter is there to keep back; see
// also undecided.go. The caller holds p.mu.
func (p *partition) hand(l *lane, e *sinks.Event) bool {
	if l.stream.filter == nil {
		return l.offer(e, &p.check)
	}
	if l.has(e.Offset) {
		return true
	}
	pass, err := l.stream.passes(&p.check)
	if err != nil {
		return l.undecide(e, err)
	}
	l.undecided = refusals{}
	switch {
	case pass:
		return l.offer(e, &p.check)
	case p.g.letters != nil: // somebody decides about the letter again
		return l.refuse(e.Offset, e.Time, unwanted())
	}
	return l.omit(e.Offset)
}

// passes is the filter's verdict on the event that c has checked last, which the stream's
// organization and actions let through. An error is an *Error of class Rejected.
func (s *stream) passes(c *checker) (bool, error) {
	if s.filter == nil {
		return true, nil
	}
	decoded, err := c.decoded()
	if err != nil {
		return false, undecided(err)
	}
	pass, err := s.filter.Match(decoded)
	if err != nil {
		return false, undecided(err)
	}
	return pass, nil
}

func undecided(err error) error {
	return &sinks.Error{Class: sinks.Rejected, Err: fmt.Errorf("whether the stream carries the event cannot be told: %w", err)}
}

// has says whether the lane has passed an offset.
func (l *lane) has(offset int64) bool { return offset < l.nextOffset() }

// compile makes the stream's filter ready.
func (s Spec) compile() (*filter.Expression, error) {
	if s.Filter == "" {
		return nil, nil
	}
	x, err := filter.Compile(s.Filter)
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	return x, nil
}

// wants says whether one of the streams carries the event that c has checked last, or would
// if its filter had a verdict.
func (r *router) wants(c *checker) bool {
	for _, s := range r.match(c.event.OrganizationID, c.event.Action, nil) {
		if pass, err := s.passes(c); pass || err != nil {
			return true
		}
	}
	return false
}
