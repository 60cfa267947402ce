package consumer

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/sinks"
)

// Inspector looks at records of the events topic as delivery does, from outside of it. It is
// used by one goroutine at a time.
type Inspector struct{ check checker }

// NewInspector makes one for the events topic of that id.
func NewInspector(v schema.Validator, topicID string) *Inspector {
	return &Inspector{check: checker{validator: v, topicID: topicID}}
}

// Event proves that a record is one event of the organization that its key names, or says
// what is wrong with it. The event aliases the record, and is good until the next call.
func (i *Inspector) Event(r *kgo.Record) (*sinks.Event, schema.Violations) { return i.check.check(r) }

// PassesThrough says whether a record is marked as canonical, and is, so that its event's id
// stands in its value as it is. Any other may have an id that is spelled in another way, or
// that is made from where it stands.
func PassesThrough(r *kgo.Record) bool {
	var f schema.Fields
	canonical, _ := marks(r)
	return canonical && schema.Scan(r.Value, &f) == nil && f.Canonical
}

// Selection says which events belong to a stream, by the code that routes them.
type Selection struct{ router *router }

// Selection is that of a stream as it is.
func (s Spec) Selection() Selection {
	one := &stream{spec: s, actions: newActionFilter(s.Actions)}
	one.filter, _ = s.compile() // a stream whose filter cannot be used is held: all of its events wait
	return Selection{newRouter([]*stream{one})}
}

// Match says whether an event of the organization with that action belongs to the stream, as
// far as its filter lets it through.
func (s Selection) Match(organization, action []byte) bool {
	return len(s.router.match(organization, action, nil)) > 0
}

// Wants says whether the event that i has found last belongs to the stream, by its filter too.
// An error says that the filter has no verdict: such an event goes to the dead letters.
func (s Selection) Wants(i *Inspector) (bool, error) {
	c := &i.check
	for _, of := range s.router.match(c.event.OrganizationID, c.event.Action, nil) {
		return of.passes(c)
	}
	return false, nil
}

// ActionMatches says whether one of the globs, as they stand in a stream, lets an action
// pass; no globs let every one.
func ActionMatches(globs []string, action string) bool {
	return newActionFilter(globs).match([]byte(action))
}
