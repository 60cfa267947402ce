package schema

import (
	"encoding/json"
	"slices"
)

// Decode reads an event from one JSON object. The names that the schema knows may be in
// snake_case or camelCase (occurredAt, organizationId, userAgent); members that it does
// not know go to Extra. The event keeps nothing of value.
//
// Decode does not validate: members may be missing and texts may not match. It refuses,
// with [Violations], what an Event cannot hold without loss: malformed JSON, text that is
// not UTF-8, lone surrogates, repeated names or both spellings of one, nesting deeper
// than [MaxDepth], values of another type than the schema's.
func Decode(value []byte) (*Event, error) {
	w := newWorkspace()
	if bad := w.parse(value); bad != nil {
		w.done()
		return nil, Violations{*bad}
	}
	w.checker = checker{report: &w.report, typesOnly: true}
	w.checker.event(&w.root, &w.top)
	var e *Event
	if len(w.report.list) == 0 {
		e = decodeEvent(&w.root)
	}
	if err := w.found().Err(); err != nil {
		return nil, err
	}
	return e, nil
}

// decodeEvent makes an event of a tree whose types have been checked.
func decodeEvent(root *node) *Event {
	e := new(Event)
	for i := range root.children {
		n := &root.children[i]
		switch spelling(string(n.name)) {
		case "id":
			text(n, &e.ID, &e.Extra)
		case "organization_id":
			text(n, &e.OrganizationID, &e.Extra)
		case "action":
			text(n, &e.Action, &e.Extra)
		case "occurred_at":
			text(n, &e.OccurredAt, &e.Extra)
		case "version":
			version(n, e)
		case "actor":
			e.Actor = decodeActor(n)
			if e.Actor.isZero() {
				keep(&e.Extra, "actor", n) // {}: invalid, but not the same as none
			}
		case "targets":
			e.Targets = make([]Target, len(n.children))
			for i := range n.children {
				e.Targets[i] = Target(decodeActor(&n.children[i]))
			}
		case "context":
			e.Context = decodeContext(n)
		case "metadata":
			e.Metadata = goObject(n)
		default:
			keep(&e.Extra, string(n.name), n)
		}
	}
	return e
}

func decodeActor(object *node) Actor {
	var a Actor
	for i := range object.children {
		n := &object.children[i]
		switch string(n.name) {
		case "id":
			text(n, &a.ID, &a.Extra)
		case "type":
			text(n, &a.Type, &a.Extra)
		case "name":
			text(n, &a.Name, &a.Extra)
		case "metadata":
			a.Metadata = goObject(n)
		default:
			keep(&a.Extra, string(n.name), n)
		}
	}
	return a
}

func decodeContext(object *node) *Context {
	c := new(Context)
	for i := range object.children {
		n := &object.children[i]
		switch spelling(string(n.name)) {
		case "location":
			text(n, &c.Location, &c.Extra)
		case "user_agent":
			text(n, &c.UserAgent, &c.Extra)
		default:
			keep(&c.Extra, string(n.name), n)
		}
	}
	return c
}

// spelling is the schema's spelling of a member's name.
func spelling(name string) string {
	switch name {
	case "occurredAt":
		return "occurred_at"
	case "organizationId":
		return "organization_id"
	case "userAgent":
		return "user_agent"
	}
	return name
}

// text sets field to the string n. What a field cannot tell from a missing member, an
// empty string or null, is kept among the extra members.
func text(n *node, field *string, extra *map[string]json.RawMessage) {
	if len(n.text) > 0 {
		*field = string(n.text)
		return
	}
	keep(extra, spelling(string(n.name)), n)
}

func version(n *node, e *Event) {
	if f, bad := readNumber(n.text); bad == "" && f >= -maxInteger && f <= maxInteger {
		v := int(f)
		if float64(v) == f {
			e.Version = &v
			return
		}
	}
	keep(&e.Extra, "version", n)
}

func keep(extra *map[string]json.RawMessage, name string, n *node) {
	if *extra == nil {
		*extra = make(map[string]json.RawMessage)
	}
	(*extra)[name] = slices.Clone(n.raw)
}

func goObject(n *node) map[string]any {
	m := make(map[string]any, len(n.children))
	for i := range n.children {
		m[string(n.children[i].name)] = goValue(&n.children[i])
	}
	return m
}

func goValue(n *node) any {
	switch n.kind {
	case 'n':
		return nil
	case 't', 'f':
		return n.kind == 't'
	case '"':
		return string(n.text)
	case '[':
		items := make([]any, len(n.children))
		for i := range n.children {
			items[i] = goValue(&n.children[i])
		}
		return items
	case '{':
		return goObject(n)
	}
	return json.Number(n.text)
}
