package catalogue

import (
	"maps"
	"time"

	"github.com/auditstream/auditstream/schema"
)

//go:generate go run ./internal/generate

// Common is what every event has that a constructor of this package makes.
type Common struct {
	OrganizationID string    // whose event it is
	OccurredAt     time.Time // written in UTC, to the millisecond
	Actor          schema.Actor
	Context        *schema.Context // nil: not known
	MoreTargets    []schema.Target // behind those that the event has fields for
}

// Ref is a target that is known by its id and, if it has one, its name.
type Ref struct {
	ID   string
	Name string
}

// event begins an event.
func (c *Common) event(action string, version int) *schema.Event { //nolint:unparam // an action may get a second version any day
	return &schema.Event{
		OrganizationID: c.OrganizationID,
		Action:         action,
		Version:        &version,
		OccurredAt:     c.OccurredAt.UTC().Format("2006-01-02T15:04:05.000Z"),
		Actor:          c.Actor,
		Targets:        []schema.Target{},
		Context:        c.Context,
	}
}

// actorMetadata puts what a constructor knows of the actor over what Common says.
func actorMetadata(e *schema.Event, typed fields) {
	if len(typed) == 0 {
		return
	}
	all := make(map[string]any, len(e.Actor.Metadata)+len(typed))
	maps.Copy(all, e.Actor.Metadata)
	maps.Copy(all, typed)
	e.Actor.Metadata = all
}

// addTarget adds a target; ref is nil for one that the event does not have.
func addTarget(e *schema.Event, kind string, ref *Ref, metadata fields) {
	if ref == nil {
		return
	}
	t := schema.Target{ID: ref.ID, Type: kind, Name: ref.Name}
	if len(metadata) > 0 {
		t.Metadata = metadata
	}
	e.Targets = append(e.Targets, t)
}

// fields are the members of metadata that an event has.
type fields map[string]any

// text adds a text; an optional one that is empty is left out.
func (f fields) text(name, value string, required bool) {
	if required || value != "" {
		f[name] = value
	}
}

// put adds a value that its pointer points to, if it does to any.
func put[T any](f fields, name string, value *T) {
	if value != nil {
		f[name] = *value
	}
}

// any adds a value of any type, if there is one.
func (f fields) any(name string, value any) {
	if value != nil {
		f[name] = value
	}
}
