package schema

import (
	"encoding/json"
	"maps"
	"slices"
)

// event writes e. Its members, and those of each part, are written in the order of their
// names, with the extra ones in between.
func (e *encoder) event(ev *Event, root *place) {
	o := e.object(ev.Extra, root)
	o.refuseSpelling("occurredAt", "occurred_at")
	o.refuseSpelling("organizationId", "organization_id")
	o.text("action", ev.Action)
	if !ev.Actor.isZero() {
		e.actor(&ev.Actor, o.name("actor"))
	}
	if ev.Context != nil {
		e.context(ev.Context, o.name("context"))
	}
	if ev.ID != "" {
		o.text("id", ev.ID)
	} else if o.before("id"); o.any && !o.has("id") {
		e.idAt = len(e.dst)
	}
	o.metadata(ev.Metadata)
	o.text("occurred_at", ev.OccurredAt)
	o.text("organization_id", ev.OrganizationID)
	if ev.Targets != nil {
		at := o.name("targets")
		if e.open('[', at) {
			for i := range ev.Targets {
				if i > 0 {
					e.dst = append(e.dst, ',')
				}
				e.actor((*Actor)(&ev.Targets[i]), at.item(i))
			}
			e.close(']')
		}
	}
	if ev.Version != nil {
		e.integer(int64(*ev.Version), o.name("version"))
	}
	o.end()
}

func (e *encoder) actor(a *Actor, at *place) {
	o := e.object(a.Extra, at)
	o.text("id", a.ID)
	o.metadata(a.Metadata)
	o.text("name", a.Name)
	o.text("type", a.Type)
	o.end()
}

func (e *encoder) context(c *Context, at *place) {
	o := e.object(c.Extra, at)
	o.refuseSpelling("userAgent", "user_agent")
	o.text("location", c.Location)
	o.text("user_agent", c.UserAgent)
	o.end()
}

func (a *Actor) isZero() bool {
	return a.ID == "" && a.Type == "" && a.Name == "" && a.Metadata == nil && a.Extra == nil
}

// objectEncoder writes the members of one object, those with a field and the extra ones,
// in one order.
type objectEncoder struct {
	*encoder
	at    *place
	extra map[string]json.RawMessage
	left  []string // names in extra that are not written yet, in order
	any   bool     // whether a member has been written
}

func (e *encoder) object(extra map[string]json.RawMessage, at *place) *objectEncoder {
	e.depth++ // at most three levels, so there is no bound to look at
	e.dst = append(e.dst, '{')
	o := &objectEncoder{encoder: e, at: at, extra: extra}
	if len(extra) > 0 {
		o.left = slices.SortedFunc(maps.Keys(extra), compareUTF16)
	}
	return o
}

// refuseSpelling reports an extra member that is another spelling of a field: written
// beside the field it would be refused by whoever decodes the event.
func (o *objectEncoder) refuseSpelling(spelling, name string) {
	if _, ok := o.extra[spelling]; ok {
		o.report.add(o.at.named(spelling), CodeDuplicate, "another spelling of %s; set the field of that name", name)
	}
}

// name writes the extra members before name, then name. An extra member of that very name
// gives way to the field.
func (o *objectEncoder) name(name string) *place {
	if o.before(name); o.has(name) {
		o.left = o.left[1:]
	}
	at := o.at.named(name)
	o.writeName(name, at)
	return at
}

// before writes the extra members before name.
func (o *objectEncoder) before(name string) {
	for len(o.left) > 0 && compareUTF16(o.left[0], name) < 0 {
		o.writeExtra()
	}
}

// has says whether an extra member of that name comes next.
func (o *objectEncoder) has(name string) bool { return len(o.left) > 0 && o.left[0] == name }

func (o *objectEncoder) writeExtra() {
	name := o.left[0]
	o.left = o.left[1:]
	at := o.at.named(name)
	o.writeName(name, at)
	o.raw(o.extra[name], at)
}

func (o *objectEncoder) writeName(name string, at *place) {
	if o.any {
		o.dst = append(o.dst, ',')
	}
	o.any = true
	o.string(name, at)
	o.dst = append(o.dst, ':')
}

func (o *objectEncoder) text(name, value string) {
	if value != "" {
		at := o.name(name)
		o.string(value, at)
	}
}

func (o *objectEncoder) metadata(m map[string]any) {
	if m != nil {
		at := o.name("metadata")
		o.encoder.metadata(m, at)
	}
}

func (o *objectEncoder) end() {
	for len(o.left) > 0 {
		o.writeExtra()
	}
	o.close('}')
}
