package schema

// checker applies the rules of the envelope schema.
type checker struct {
	*Validator

	report      *report
	typesOnly   bool // for Decode: only what an Event could not hold
	skipNumbers bool // somebody else looks at them
}

// event checks a whole event as it was written.
func (c *checker) event(n *node, at *place) {
	if !c.is(n, '{', at, "an object") {
		return
	}
	var found members
	for i := range n.children {
		child := &n.children[i]
		at := at.member(child.name)
		name := found.note(c, child.name, at)
		c.member(name, child, at)
	}
	c.required(found, "action", at)
	c.required(found, "occurred_at", at)
	c.required(found, "actor", at)
	c.required(found, "targets", at)
	if !c.typesOnly && !c.OrganizationOptional {
		c.required(found, "organization_id", at)
	}
}

// member checks one member of the event; name is the schema's spelling.
func (c *checker) member(name string, n *node, at *place) {
	switch name {
	case "id", "organization_id", "action", "occurred_at":
		if c.is(n, '"', at, "a string") && !c.typesOnly {
			checkText(c, name, n.text, at)
		}
	case "version":
		if n.kind != number || !isInteger(n.text) {
			c.wrongType(n, at, "an integer")
			return
		}
		c.numbers(n, at)
	case "actor":
		c.party(n, at)
	case "targets":
		if c.is(n, '[', at, "an array") {
			for i := range n.children {
				c.party(&n.children[i], at.item(i))
			}
		}
	case "context":
		c.context(n, at)
	case "metadata":
		if c.is(n, '{', at, "an object") {
			c.numbers(n, at)
		}
	default:
		c.numbers(n, at)
	}
}

// text checks a string at the top level.
func checkText[T string | []byte](c *checker, name string, value T, at *place) {
	switch name {
	case "id":
		if !isID(value, idPrefix) {
			c.report.add(at, CodePattern, "must match ^%s[A-Z0-9]{26}$; leave it out to be given one", idPrefix)
		}
	case "organization_id":
		if !matchesOrganization(c.Validator, value) {
			c.report.add(at, CodePattern, "must match %s", c.organizationPattern())
		}
	case "occurred_at":
		if !isDateTime(value) {
			c.report.add(at, CodeFormat, "must be an RFC 3339 date-time, as in 2026-01-31T09:30:00.000Z")
		}
	}
}

// party checks an actor or a target.
func (c *checker) party(n *node, at *place) {
	if !c.is(n, '{', at, "an object") {
		return
	}
	var found members
	for i := range n.children {
		child := &n.children[i]
		name := known(child.name)
		found.add(name)
		c.partyMember(name, child, at.member(child.name))
	}
	c.required(found, "type", at)
	c.required(found, "id", at)
}

func (c *checker) partyMember(name string, n *node, at *place) {
	switch name {
	case "id", "type":
		c.is(n, '"', at, "a string")
	case "name":
		if !n.isNull() {
			c.is(n, '"', at, "a string or null")
		}
	case "metadata":
		if c.is(n, '{', at, "an object") {
			c.numbers(n, at)
		}
	default:
		c.numbers(n, at)
	}
}

func (c *checker) context(n *node, at *place) {
	if !c.is(n, '{', at, "an object") {
		return
	}
	var found members
	for i := range n.children {
		child := &n.children[i]
		at := at.member(child.name)
		name := found.note(c, child.name, at)
		c.contextMember(name, child, at)
	}
}

func (c *checker) contextMember(name string, n *node, at *place) {
	switch name {
	case "location", "user_agent":
		c.is(n, '"', at, "a string")
	default:
		c.numbers(n, at)
	}
}

// is reports n unless it is of the kind.
func (c *checker) is(n *node, kind byte, at *place, want string) bool {
	if n.kind == kind {
		return true
	}
	c.wrongType(n, at, want)
	return false
}

func (c *checker) wrongType(n *node, at *place, want string) {
	found := n.typeName()
	if found == "number" && want == "an integer" {
		found = "number with a fraction"
	}
	c.report.add(at, CodeType, "must be %s, not %s", want, found)
}

// numbers reports every number in n that an event cannot carry.
func (c *checker) numbers(n *node, at *place) {
	if c.typesOnly || c.skipNumbers {
		return
	}
	if n.kind == number && !isPlainInteger(n.text) {
		if _, bad := readNumber(n.text); bad != "" {
			c.report.add(at, CodeRange, "%s", bad)
		}
	}
	for i := range n.children {
		child := &n.children[i]
		switch {
		case child.kind == '"':
		case n.kind == '[':
			c.numbers(child, at.item(i))
		default:
			c.numbers(child, at.member(child.name))
		}
	}
}

func (c *checker) required(found members, name string, at *place) {
	if !c.typesOnly && !found.has(name) {
		c.report.add(at.named(name), CodeRequired, CodeRequired)
	}
}

// members is the set of the members that an object has, of those that are required or
// have two spellings: a bit for each name of the schema, and one for its other spelling.
type members struct{ snake, camel uint16 }

// known is the schema's spelling of a name that it knows anywhere, empty for any other.
func known(written []byte) string {
	switch string(written) {
	case "id":
		return "id"
	case "type":
		return "type"
	case "name":
		return "name"
	case "action":
		return "action"
	case "version":
		return "version"
	case "actor":
		return "actor"
	case "targets":
		return "targets"
	case "context":
		return "context"
	case "metadata":
		return "metadata"
	case "location":
		return "location"
	case "occurred_at", "occurredAt":
		return "occurred_at"
	case "organization_id", "organizationId":
		return "organization_id"
	case "user_agent", "userAgent":
		return "user_agent"
	}
	return ""
}

func memberBit(name string) uint16 {
	switch name {
	case "id":
		return 1 << 0
	case "type":
		return 1 << 1
	case "action":
		return 1 << 2
	case "occurred_at":
		return 1 << 3
	case "organization_id":
		return 1 << 4
	case "actor":
		return 1 << 5
	case "targets":
		return 1 << 6
	case "user_agent":
		return 1 << 7
	}
	return 0
}

func (m *members) add(name string) { m.snake |= memberBit(name) }

func (m *members) has(name string) bool { return (m.snake|m.camel)&memberBit(name) != 0 }

// note adds a member and returns the schema's spelling of its name. Where both spellings
// have come, the one that came second is reported. A second member in the same spelling
// is the parser's to report.
func (m *members) note(c *checker, written []byte, at *place) string {
	name := known(written)
	bit := memberBit(name)
	both := m.snake&m.camel&bit != 0
	if name == string(written) {
		m.snake |= bit
	} else {
		m.camel |= bit
	}
	if !both && m.snake&m.camel&bit != 0 {
		c.report.add(at, CodeDuplicate, "the event has this member in its other spelling, too; send one of them")
	}
	return name
}
