package schema

import "encoding/json"

// fields checks an event by its fields. Text that is not UTF-8 and numbers are the
// encoder's to report.
func (c *checker) fields(e *Event, root *place) {
	text := func(name, value string, required bool) {
		switch at := root.named(name); {
		case value != "":
			checkText(c, name, value, at)
		case !c.standIn(e.Extra, name, at, c.member) && required:
			c.required(members{}, name, root)
		}
	}
	text("id", e.ID, false)
	text("organization_id", e.OrganizationID, !c.OrganizationOptional)
	text("action", e.Action, true)
	text("occurred_at", e.OccurredAt, true)
	part := func(name string, present, required bool) {
		if !present && !c.standIn(e.Extra, name, root.named(name), c.member) && required {
			c.required(members{}, name, root)
		}
	}
	part("version", e.Version != nil, false)
	part("metadata", e.Metadata != nil, false)
	part("actor", !e.Actor.isZero(), true)
	if !e.Actor.isZero() {
		c.partyFields(&e.Actor, root.named("actor"))
	}
	part("targets", e.Targets != nil, true)
	targets := root.named("targets")
	for i := range e.Targets {
		c.partyFields((*Actor)(&e.Targets[i]), targets.item(i))
	}
	part("context", e.Context != nil, false)
	if e.Context != nil {
		at := root.named("context")
		if e.Context.Location == "" {
			c.standIn(e.Context.Extra, "location", at.named("location"), c.contextMember)
		}
		if e.Context.UserAgent == "" {
			c.standIn(e.Context.Extra, "user_agent", at.named("user_agent"), c.contextMember)
		}
	}
}

func (c *checker) partyFields(a *Actor, at *place) {
	text := func(name, value string, required bool) {
		if value == "" && !c.standIn(a.Extra, name, at.named(name), c.partyMember) && required {
			c.required(members{}, name, at)
		}
	}
	text("type", a.Type, true)
	text("id", a.ID, true)
	text("name", a.Name, false)
	if a.Metadata == nil {
		c.standIn(a.Extra, "metadata", at.named("metadata"), c.partyMember)
	}
}

// standIn checks, by rule, the extra member that stands in for a field without a value,
// and says whether there is one. Whether it is JSON at all is the encoder's to report.
func (c *checker) standIn(extra map[string]json.RawMessage, name string, at *place, rule func(name string, n *node, at *place)) bool {
	raw, ok := extra[name]
	if !ok {
		return false
	}
	if n, bad := parse(raw, at, new(report)); bad == nil {
		rule(name, n, at)
	}
	return true
}
