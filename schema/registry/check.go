package registry

import (
	"fmt"
	"strconv"

	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
)

// Codes of what is wrong with an event by the schema of its action, beside those of
// package schema.
const (
	CodeUnknownAction  = "unknown_action"  // the action has no schema
	CodeUnknownVersion = "unknown_version" // the action has no such version
	CodeUnknownTarget  = "unknown_target"  // the action is not done to such things
	CodeUnknownMember  = "unknown_member"  // a member that the schema does not allow
	CodeUnknownValue   = "unknown_value"   // a warning only: a text that is not among those that are known
	CodeEnum           = "enum"            // none of the values that the schema allows
	CodeLimit          = "limit"           // beyond the limits of metadata
	CodeSchema         = "schema"          // otherwise not as the schema has it
)

// Result is what was found in an event.
type Result struct {
	Violations schema.Violations // the event is invalid
	Warnings   schema.Violations // the event is valid, and yet somebody may want to look
}

// Check returns everything that is wrong with value, the JSON text of an event with names
// in snake_case or camelCase: with its envelope, with its metadata, and by its action's
// schema. What is wrong with the envelope hides nothing else, but for what cannot be read.
func (r *Registry) Check(value []byte) Result {
	e, violations := r.validator.Decode(value)
	return r.check(e, violations)
}

// Validate returns every violation in e.
func (r *Registry) Validate(e *schema.Event) Result {
	value, violations := r.validator.Encode(nil, e)
	if violations != nil {
		// What has no canonical form cannot be looked at in one way only.
		return Result{Violations: violations}
	}
	// A service may have put any Go value into the metadata: decoded they are what readers
	// of the event will see.
	decoded, violations := r.validator.Decode(value)
	return r.check(decoded, violations)
}

// check adds to the violations of the envelope what the action's schema finds. e is nil if
// the event could not be read.
func (r *Registry) check(e *schema.Event, violations schema.Violations) Result {
	f := findings{violations: violations}
	if e == nil {
		return Result{Violations: violations}
	}
	c := r.find(&f, e)
	if c == nil {
		c = &compiled{anyTarget: true}
	}
	r.part(&f, "/metadata", e.Metadata, c.metadata)
	r.part(&f, "/actor/metadata", e.Actor.Metadata, c.actor)
	found := make(map[string]bool, len(c.required))
	for i := range e.Targets {
		t := &e.Targets[i]
		pointer := "/targets/" + strconv.Itoa(i)
		var inner *part
		known := c.targets[t.Type]
		switch {
		case known != nil:
			inner = known.metadata
			found[t.Type] = true
			if known.named && t.Name == "" {
				f.violate(pointer+"/name", schema.CodeRequired, "required of this type of target")
			}
		case !c.anyTarget && t.Type != "":
			f.violate(pointer+"/type", CodeUnknownTarget, "the action is not done to things of this type")
		}
		r.part(&f, pointer+"/metadata", t.Metadata, inner)
	}
	for _, name := range c.required {
		if !found[name] {
			f.violate("/targets", schema.CodeRequired, fmt.Sprintf("a target of type %s is required", name))
		}
	}
	return Result{f.violations, f.warnings}
}

func (r *Registry) part(f *findings, pointer string, metadata map[string]any, p *part) {
	if metadata != nil {
		r.limits.check(f, pointer, metadata, p)
	}
	p.check(f, pointer, metadata)
}

// find is the schema of the event's action, nil if there is none; what that means is up to
// the policy.
func (r *Registry) find(f *findings, e *schema.Event) *compiled {
	now := r.state.Load()
	var a *catalogue.Action
	switch _, odd := e.Extra["version"]; { // one that no integer holds
	case e.Version != nil && *e.Version != 0:
		a = now.actions.Action(e.Action, *e.Version)
	case e.Version == nil && !odd:
		a = now.actions.Action(e.Action, 0)
	}
	if a != nil {
		return now.compiled[a]
	}
	if e.Action == "" {
		return nil // the envelope's violation
	}
	pointer, code, message := "/action", CodeUnknownAction, "the action has no schema; register one, or see whether it is misspelt"
	if latest := now.actions.Action(e.Action, 0); latest != nil {
		pointer, code, message = "/version", CodeUnknownVersion, fmt.Sprintf("the action has no such version; the latest is %d", latest.Version)
	}
	switch r.unknown {
	case Reject:
		f.violate(pointer, code, message)
	case Warn:
		f.warn(pointer, code, message)
	case Accept:
	}
	return nil
}

// Example makes a valid event of an action, or says why it cannot.
func (r *Registry) Example(a *catalogue.Action) (*schema.Event, error) {
	e, err := catalogue.Example(a)
	if err != nil {
		return nil, err
	}
	if result := r.Validate(e); result.Violations != nil {
		return nil, fmt.Errorf("action %q: no example can be made of its schema, put \"examples\" into it: %w", a.Name, result.Violations)
	}
	return e, nil
}
