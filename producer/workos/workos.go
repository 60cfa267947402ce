// Package workos turns WorkOS Events, as the Events API and webhooks carry them, into
// audit events.
//
// An Event is {event, id, data, created_at, context}. It becomes:
//
//   - id: derived from the Event's id, so that an Event met twice is one audit event.
//   - action: event. occurred_at: created_at.
//   - organization_id: of the data, or of the objects in it; an organization's own id;
//     the fallback where there is none.
//   - actor: the first that is there of context.actor, the impersonator, the data's actor_id,
//     the user (see userActs), else WorkOS itself as a system actor.
//   - targets: the data's object (without a type of its own it has the Event's family), the
//     objects in it, and what its members named <type>_id point to; the actor is left out
//     while another target is there.
//   - context: ip_address and user_agent.
//   - metadata: the data's other scalars, and those of the objects in it as
//     <object>_<name>, within WorkOS's limits for metadata; and workos_event_id.
//
// Tokens, secrets, passwords, codes, keys and URLs (which carry tokens) are never taken
// over, nor are attributes that a customer defines, which can hold anything.
package workos

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/auditstream/auditstream/schema"
)

// IsEvent says whether raw is an object that has an event and data but no action: a
// WorkOS Event, not an audit event. Whether Convert can read it is another matter.
func IsEvent(raw []byte) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return false
	}
	_, action := members["action"]
	return !action && members["event"] != nil && members["data"] != nil
}

// Convert turns one Event, as JSON, into an audit event by the rules of this package.
// fallbackOrganization is the organization of an Event that names none; it may be empty.
// The audit event is not validated. What cannot be converted is refused with
// [schema.Violations], whose pointers are those of the Event.
func Convert(raw []byte, fallbackOrganization string) (*schema.Event, error) {
	// The canonical form has no repeated names, of which the decoder would take the last.
	canonical, err := schema.Canonicalize(nil, raw)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(canonical))
	dec.UseNumber()
	var decoded any
	if err := dec.Decode(&decoded); err != nil {
		return nil, err
	}
	top, ok := asObject(decoded)
	if !ok {
		return nil, schema.Violations{{Code: schema.CodeType, Message: "must be a WorkOS Event, which is an object"}}
	}
	violations := top.lacks()
	if violations != nil {
		return nil, violations
	}

	c := conversion{
		event: &schema.Event{
			ID:         schema.ForeignID("workos", top.text("id")),
			Action:     top.text("event"),
			OccurredAt: top.text("created_at"),
			Targets:    []schema.Target{},
		},
		data:    top.object("data"),
		context: top.object("context"),
	}
	c.event.OrganizationID = c.organization()
	if c.event.OrganizationID == "" {
		c.event.OrganizationID = fallbackOrganization
	}
	c.event.Actor = c.actor()
	c.addTargets()
	if location, agent := c.data.text("ip_address"), c.data.text("user_agent"); location != "" || agent != "" {
		c.event.Context = &schema.Context{Location: location, UserAgent: agent}
	}
	c.event.Metadata = map[string]any{"workos_event_id": cut(top.text("id"))}
	c.addMetadata()
	return c.event, nil
}

type conversion struct {
	event         *schema.Event
	data, context object
}

// object is a decoded JSON object; its methods give the zero value for what is missing or
// of another type.
type object map[string]any

func asObject(v any) (object, bool) {
	m, ok := v.(map[string]any)
	return m, ok
}

func (o object) text(name string) string {
	s, _ := o[name].(string)
	return s
}

func (o object) object(name string) object {
	m, _ := asObject(o[name])
	return m
}

// names returns the names of o in order, for an order of targets and metadata that does
// not change.
func (o object) names() []string { return slices.Sorted(maps.Keys(o)) }

// lacks returns a violation for each member that an Event needs and o has not.
func (o object) lacks() schema.Violations {
	var violations schema.Violations
	check := func(name, want string, right bool) {
		v := schema.Violation{Pointer: "/" + name, Code: schema.CodeType, Message: "must be " + want}
		if _, ok := o[name]; !ok {
			v.Code, v.Message = schema.CodeRequired, schema.CodeRequired
		}
		if !right {
			violations = append(violations, v)
		}
	}
	for _, name := range []string{"event", "id", "created_at"} {
		check(name, "a string that is not empty", o.text(name) != "")
	}
	data, _ := asObject(o["data"])
	check("data", "an object", data != nil)
	return violations
}

// organization finds the organization that the Event belongs to.
func (c *conversion) organization() string {
	if id := c.data.text("organization_id"); id != "" {
		return id
	}
	if c.data.text("object") == "organization" {
		return c.data.text("id")
	}
	if id := c.data.text("to_organization_id"); id != "" { // an agent changed over to it
		return id
	}
	for _, name := range c.data.names() {
		part := c.data.object(name)
		if customerDefined(name) {
			continue
		}
		if id := part.text("organization_id"); id != "" {
			return id
		}
		if part.text("type") == "organization" || part.text("object") == "organization" {
			return part.text("id")
		}
	}
	return ""
}

// actor finds who did what the Event tells of.
func (c *conversion) actor() schema.Actor {
	if a := c.context.object("actor"); a.text("id") != "" {
		return sourceActor(a.text("id"), a.text("source"), a.text("name"))
	}
	if i := c.data.object("impersonator"); i.text("email") != "" {
		a := schema.Actor{ID: i.text("email"), Type: "impersonator"}
		if reason := i.text("reason"); reason != "" {
			a.Metadata = map[string]any{"reason": cut(reason)}
		}
		return a
	}
	if id := c.data.text("actor_id"); id != "" {
		return sourceActor(id, c.data.text("actor_source"), c.data.text("actor_name"))
	}
	if id := c.userActs(); id != "" {
		return schema.Actor{ID: id, Type: "user"}
	}
	return schema.Actor{ID: "workos", Type: "system", Name: "WorkOS"}
}

// sourceActor is an actor whom WorkOS names with the place that it acted from: api,
// dashboard, admin_portal or system.
func sourceActor(id, source, name string) schema.Actor {
	a := schema.Actor{ID: id, Type: source, Name: name}
	if strings.HasPrefix(id, "user_") {
		a.Type = "user"
	}
	if a.Type == "" {
		a.Type = "unknown"
	}
	if source != "" && source != a.Type {
		a.Metadata = map[string]any{"source": source}
	}
	return a
}

// userActs returns the user who acts in the Event: the data's user_id, or the email of a
// user whom WorkOS could not tell. Only in some families the data's user is who acts; in
// others (a membership, a directory's user) something is done to them.
func (c *conversion) userActs() string {
	family, rest, _ := strings.Cut(c.event.Action, ".")
	switch family {
	case "authentication", "session", "password_reset", "magic_auth", "email_verification", "pipes", "action", "radar":
		if id := c.data.text("user_id"); id != "" {
			return id
		}
		return c.data.text("email")
	case "agent":
		return c.data.object("claimed_by").text("user_id")
	case "invitation":
		if rest == "accepted" {
			return c.data.text("accepted_user_id")
		}
		if rest == "created" {
			return c.data.text("inviter_user_id")
		}
	}
	return ""
}

// addTargets adds what the Event was about: the data itself, the objects in it, and what
// its members refer to.
func (c *conversion) addTargets() {
	var targets []schema.Target
	add := func(t schema.Target) {
		same := func(u schema.Target) bool { return u.Type == t.Type && u.ID == t.ID }
		if t.ID != "" && t.Type != "" && !slices.ContainsFunc(targets, same) {
			targets = append(targets, t)
		}
	}
	kind := c.data.text("object")
	if kind == "" {
		kind, _, _ = strings.Cut(c.event.Action, ".") // as in resource_export.created
	}
	add(target(c.data, kind))
	for _, name := range c.data.names() {
		if part := c.data.object(name); !customerDefined(name) && part != nil && name != "owner" {
			kind := part.text("object")
			if kind == "" {
				kind = name
			}
			add(target(part, kind))
		}
	}
	for _, o := range []object{c.data, c.data.object("sso")} {
		for _, name := range o.names() {
			if kind := referredKind(name); kind != "" {
				add(schema.Target{ID: o.text(name), Type: kind})
			}
		}
	}
	add(schema.Target{ID: c.data.text("kv_name"), Type: "vault_object"})
	add(schema.Target{ID: c.data.text("key_name"), Type: "key"})

	isActor := func(t schema.Target) bool { return t.ID == c.event.Actor.ID }
	if others := slices.DeleteFunc(slices.Clone(targets), isActor); len(others) > 0 {
		targets = others
	}
	c.event.Targets = append(c.event.Targets, targets...)
}

// target makes a target of an object that has an id or, as roles do, a slug.
func target(o object, kind string) schema.Target {
	t := schema.Target{ID: o.text("id"), Type: kind}
	if t.ID == "" {
		t.ID = o.text("slug")
	}
	full := strings.TrimSpace(o.text("first_name") + " " + o.text("last_name"))
	for _, name := range []string{o.text("name"), full, o.text("email"), o.text("domain"), o.text("slug")} {
		if name != "" {
			t.Name = name
			break
		}
	}
	return t
}

// referredKind is the kind of thing that a member of this name refers to by its id, empty
// if the member is no such reference.
func referredKind(name string) string {
	kind, ok := strings.CutSuffix(name, "_id")
	switch kind {
	case "organization", "from_organization", "to_organization", "actor", "idp", "external", "environment", "stripe_customer", "target", "action_execution":
		return ""
	}
	if !ok {
		return ""
	}
	if strings.HasSuffix(kind, "_user") {
		return "user"
	}
	return kind
}

// Limits of WorkOS for the metadata of an audit event.
const (
	maxMetadata    = 50  // members
	maxMetadataKey = 40  // bytes of [a-zA-Z0-9_-]
	maxText        = 500 // characters
)

// addMetadata takes over the scalars that have no other place in the audit event. Beyond
// the limits, names that sort last are left out and texts are cut.
func (c *conversion) addMetadata() {
	c.addScalars("", c.data)
	for _, name := range c.data.names() {
		if !customerDefined(name) && !secret(name) && name != "impersonator" {
			c.addScalars(name+"_", c.data.object(name))
		}
	}
}

func (c *conversion) addScalars(prefix string, o object) {
	for _, name := range o.names() {
		key := prefix + name
		if placed(key) || name == "object" || secret(key) || !metadataKey(key) || len(c.event.Metadata) == maxMetadata {
			continue
		}
		switch v := o[name].(type) {
		case string:
			c.event.Metadata[key] = cut(v)
		case bool, json.Number:
			c.event.Metadata[key] = v
		}
	}
}

// placed says whether the member of the data stands elsewhere in the audit event.
func placed(name string) bool {
	switch name {
	case "id", "organization_id", "ip_address", "user_agent", "actor_id", "actor_source", "actor_name":
		return true
	}
	return false
}

// customerDefined says whether an object of this name holds what a customer puts there.
func customerDefined(name string) bool {
	switch name {
	case "metadata", "raw_attributes", "custom_attributes", "additional_fields", "previous_attributes", "key_context":
		return true
	}
	return false
}

// secret says whether a member of this name can hold a secret or a part of one. It errs
// towards yes. Ids, names and kinds of secret things are not secret themselves, nor is
// the code of an error.
func secret(name string) bool {
	words := strings.Split(strings.ToLower(name), "_")
	switch words[len(words)-1] {
	case "id", "ids", "name", "type", "provider":
		return false
	case "url", "uri", "link":
		return true
	}
	if strings.HasSuffix(name, "error_code") {
		return false
	}
	return slices.ContainsFunc(words, func(word string) bool {
		switch strings.TrimSuffix(word, "s") {
		case "token", "secret", "password", "code", "otp", "totp", "key", "credential", "cookie", "assertion", "jti", "obfuscated", "verification", "signature":
			return true
		}
		return false
	})
}

func metadataKey(key string) bool {
	return len(key) <= maxMetadataKey && !strings.ContainsFunc(key, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '_' && r != '-'
	})
}

// cut shortens a text to what metadata may hold.
func cut(text string) string {
	n := 0
	for i := range text {
		if n == maxText {
			return text[:i]
		}
		n++
	}
	return text
}
