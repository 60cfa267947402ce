// Package schema is the audit event: its type, its canonical bytes, the one-pass scan
// of the delivery path, and validation.
//
// Three guarantees hold across the package. An event has one canonical spelling
// (RFC 8785, snake_case names), and encoding what was decoded gives it. Nothing that
// an event carried is lost by decoding: what its type does not name is kept in Extra.
// Every reader refuses what two readers could understand differently: repeated names,
// text that is not UTF-8, lone surrogates, integers that a double cannot hold.
package schema

import "encoding/json"

// Event is an audit event after the WorkOS Audit Log Event schema (envelope.schema.json
// beside this file). Decoding takes snake_case and camelCase names, encoding writes
// snake_case.
//
// The empty string, a nil Version, Context or map and nil Targets mean that the event
// does not have that member; empty Targets and empty maps are written as they are.
type Event struct {
	ID             string         // audit_event_ and 26 characters of [A-Z0-9]; publishing gives one to an event without
	OrganizationID string         // the tenant: by default org_ and 26 characters of [A-Z0-9]
	Action         string         // stable identifier of what was done, as in user.signed_in; required
	Version        *int           // of the action's schema
	OccurredAt     string         // RFC 3339 date-time, kept as it was written; required
	Actor          Actor          // who did it; required
	Targets        []Target       // what it was done to; required, may be empty
	Context        *Context       // where it was done from
	Metadata       map[string]any // see Actor.Metadata

	// Extra are members that the schema does not name, and values of named ones that the
	// fields above cannot hold: an empty string, a null name, a version beyond int. A field
	// that has a value comes before the member of the same name in Extra.
	Extra map[string]json.RawMessage
}

// Actor is who did what an event tells of.
type Actor struct {
	ID   string // required
	Type string // user, system, api_key, …; required
	Name string

	// Metadata holds whatever encoding/json can marshal. Decode fills it with string, bool,
	// nil, json.Number (the number as it was written), map[string]any and []any.
	Metadata map[string]any

	Extra map[string]json.RawMessage // as in Event
}

// Target is a thing that the event was done to; its fields are those of an Actor.
type Target Actor

// Context is where an event was done from.
type Context struct {
	Location  string // IP address, by custom of the schema's makers
	UserAgent string

	Extra map[string]json.RawMessage // as in Event
}

// MarshalJSON returns the canonical bytes of e, or [Violations].
func (e *Event) MarshalJSON() ([]byte, error) { return e.AppendCanonical(nil) }

// UnmarshalJSON makes e what [Decode] reads from value.
func (e *Event) UnmarshalJSON(value []byte) error {
	decoded, err := Decode(value)
	if err != nil {
		return err
	}
	*e = *decoded
	return nil
}
