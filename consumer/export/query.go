package export

import (
	"slices"
	"time"

	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/schema"
)

// Query says which of an organization's events are wanted: those for which each list that is
// not empty has an entry.
type Query struct {
	RangeStart time.Time `json:"range_start"` // of occurred_at
	RangeEnd   time.Time `json:"range_end"`   // likewise; an event of that very moment is not wanted
	Actions    []string  `json:"actions,omitempty"`
	ActorNames []string  `json:"actor_names,omitempty"`
	ActorIDs   []string  `json:"actor_ids,omitempty"`
	Targets    []string  `json:"targets,omitempty"` // types
}

// wanted says whether an event is to be in the file. One whose occurred_at is no time, which
// a Kafka client may have written, counts as of when it was appended: it is not left out only
// because nobody can read its time.
func (e *Export) wanted(event *schema.Event, appended time.Time) bool {
	at, ok := event.Time()
	if !ok {
		at = appended
	}
	q := &e.Query
	switch {
	case at.Before(q.RangeStart), !at.Before(q.RangeEnd), e.Oldest != nil && at.Before(*e.Oldest):
		return false
	case len(q.Actions) > 0 && !slices.Contains(q.Actions, event.Action),
		len(q.ActorNames) > 0 && !slices.Contains(q.ActorNames, event.Actor.Name),
		len(q.ActorIDs) > 0 && !slices.Contains(q.ActorIDs, event.Actor.ID):
		return false
	}
	return len(q.Targets) == 0 || slices.ContainsFunc(event.Targets, func(t schema.Target) bool { return slices.Contains(q.Targets, t.Type) })
}

// ahead is how far a service's clock may run before Kafka's: an event whose occurred_at lies
// in the range was appended at most this long before the range began.
const ahead = 24 * time.Hour

// AppendedSince is from when on the topic has to be looked through for what the export is about.
func (e *Export) AppendedSince() time.Time {
	start := e.RangeStart
	if e.Oldest != nil && e.Oldest.After(start) {
		start = *e.Oldest
	}
	return start.Add(-ahead)
}

// total counts the offsets of ranges.
func total(ranges []consumer.Range) int64 {
	n := int64(0)
	for _, r := range ranges {
		n += r.To - r.From
	}
	return n
}
