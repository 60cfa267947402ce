package consumer

import "fmt"

// refusals is a run of events that a lane's destination refused for ever, without one
// that it took in between; or one of events on which its filter had no verdict. A long run says that something is broken which all events
// share, a mapping or an index: draining the stream into the dead letters would help
// nobody. The count begins anew with the process.
type refusals struct {
	n            int
	organization string // of the first one
	several      bool   // organizations
}

// add counts one; its organization is empty where it could not be told.
func (r *refusals) add(organization string) {
	r.n++
	switch {
	case organization == "":
	case r.organization == "":
		r.organization = organization
	case r.organization != organization:
		r.several = true
	}
}

// broken says whether the lane's run is so long that it has to hold. On a stream of all
// organizations it must span several: one tenant's bad events must not freeze the others'.
func (l *lane) broken() bool { return l.stuck(l.refusals) }

// stuck says so of any run.
func (l *lane) stuck(r refusals) bool {
	limit := l.p.g.cfg.Rejections
	return limit > 0 && r.n >= limit && (r.several || l.stream.spec.OrganizationID != AllOrganizations)
}

// holdRefused holds the lane before its next probe with one event.
func (l *lane) holdRefused(f *failures) {
	l.backoff++
	err := fmt.Errorf("%d events in a row were refused: a broken mapping, not bad events: %w", l.refusals.n, f.err)
	l.holdFor(StateError, err, l.p.g.cfg.Retry.wait(l.backoff, 0))
}
