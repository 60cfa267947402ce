// Package auditctx carries who acts, for whom and from where in a [context.Context], from
// where it is known (the middleware of producer/audithttp, an authentication, a job's
// start) to where events are made.
//
// Nothing fills events behind the caller's back: an event takes what a context carries
// when it is made with [Common], or given to [Fill], and what it says itself counts more.
// So what was published is what the code says, and a job that runs within somebody's
// request does not become that person's doing by accident.
package auditctx

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
)

// Values is what a context carries for events.
type Values struct {
	OrganizationID string          // empty: not known
	Actor          schema.Actor    // without id: not known
	Context        *schema.Context // nil: not known
}

type key struct{}

// WithOrganization returns a context that says whose events are made with it.
func WithOrganization(ctx context.Context, organizationID string) context.Context {
	v := carried(ctx)
	v.OrganizationID = organizationID
	return context.WithValue(ctx, key{}, v)
}

// WithActor returns a context that says who acts. The actor's metadata is copied.
func WithActor(ctx context.Context, actor schema.Actor) context.Context {
	v := carried(ctx)
	v.Actor = cloneActor(actor)
	return context.WithValue(ctx, key{}, v)
}

// WithContext returns a context that says where somebody acts from.
func WithContext(ctx context.Context, from schema.Context) context.Context {
	v := carried(ctx)
	v.Context = cloneContext(&from)
	return context.WithValue(ctx, key{}, v)
}

// FromContext is what ctx carries. It is the caller's own: changing it changes nothing
// elsewhere, down to the values within the metadata, which are shared.
func FromContext(ctx context.Context) Values {
	v := carried(ctx)
	v.Actor, v.Context = cloneActor(v.Actor), cloneContext(v.Context)
	return v
}

// Fill gives event what it does not have and ctx carries: the organization, the actor, the
// context. An event without a time gets the present one, in UTC, to the millisecond. An
// actor or a context that the event has, whatever it says, is left as it is: an event that
// shall have no context although ctx carries one has an empty one.
func Fill(ctx context.Context, event *schema.Event) {
	v := FromContext(ctx)
	if event.OrganizationID == "" && event.Extra["organization_id"] == nil {
		event.OrganizationID = v.OrganizationID
	}
	if isZero(event.Actor) && event.Extra["actor"] == nil {
		event.Actor = v.Actor
	}
	if event.Context == nil && event.Extra["context"] == nil {
		event.Context = v.Context
	}
	if event.OccurredAt == "" && event.Extra["occurred_at"] == nil {
		event.OccurredAt = time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	}
}

// Common is what the constructors of package catalogue need of an event that happens now
// and is about what ctx carries:
//
//	catalogue.UserInvited(catalogue.UserInvitedEvent{Common: auditctx.Common(ctx), …})
func Common(ctx context.Context) catalogue.Common {
	v := FromContext(ctx)
	return catalogue.Common{OrganizationID: v.OrganizationID, OccurredAt: time.Now(), Actor: v.Actor, Context: v.Context}
}

func carried(ctx context.Context) Values {
	v, _ := ctx.Value(key{}).(Values)
	return v
}

func isZero(a schema.Actor) bool {
	return a.ID == "" && a.Type == "" && a.Name == "" && a.Metadata == nil && a.Extra == nil
}

func cloneActor(a schema.Actor) schema.Actor {
	a.Metadata, a.Extra = maps.Clone(a.Metadata), maps.Clone(a.Extra)
	for name, raw := range a.Extra {
		a.Extra[name] = slices.Clone(raw)
	}
	return a
}

func cloneContext(c *schema.Context) *schema.Context {
	if c == nil {
		return nil
	}
	own := *c
	own.Extra = maps.Clone(c.Extra)
	return &own
}
