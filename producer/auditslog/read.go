package auditslog

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/auditstream/auditstream/schema"
)

// whole is the key under which the handler keeps an attribute that is the whole event. No
// member of an event has it.
const whole = ""

// read makes an event of the members of the group. Later ones count more, and metadata are
// put together. The error names every member that an event cannot take; the event has the
// others.
func read(members []slog.Attr) (*schema.Event, error) {
	r := reader{event: new(schema.Event)}
	for _, a := range members {
		r.member(a)
	}
	return r.event, errors.Join(r.errs...)
}

type reader struct {
	event *schema.Event
	errs  []error
}

func (r *reader) bad(at, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s: "+format, append([]any{at}, args...)...))
}

func (r *reader) member(a slog.Attr) {
	e, v := r.event, a.Value.Resolve()
	switch a.Key {
	case whole:
		r.whole(v)
	case "id":
		e.ID = r.text("id", v)
	case "organization_id":
		e.OrganizationID = r.text("organization_id", v)
	case "action":
		e.Action = r.text("action", v)
	case "occurred_at":
		e.OccurredAt = r.text("occurred_at", v)
	case "version":
		r.version(v)
	case "actor":
		r.actor(v)
	case "target":
		r.target(v)
	case "targets":
		r.targets(v)
	case "context":
		r.context(v)
	case "metadata":
		e.Metadata = r.metadata("metadata", v, e.Metadata)
	default:
		r.bad(a.Key, "events have no such member; put it into metadata")
	}
}

// whole takes an event, or a group without a key, whose members stand for themselves.
func (r *reader) whole(v slog.Value) {
	if v.Kind() == slog.KindGroup {
		for _, a := range v.Group() {
			r.member(a)
		}
		return
	}
	switch e := v.Any().(type) {
	case *schema.Event:
		if e == nil {
			r.bad("the event", "is nil")
			return
		}
		own := *e // the client gives it an id
		r.event = &own
	case schema.Event:
		r.event = &e
	default:
		r.bad("the event", "is a %T; give a group or a *schema.Event", e)
	}
}

// text reads a text. Also a number: ids are numbers in many a database.
func (r *reader) text(at string, v slog.Value) string {
	switch text := v.Any().(type) {
	case string:
		return text
	case int64, uint64:
		return v.String()
	case time.Time:
		return timestamp(text)
	case time.Duration:
	case fmt.Stringer:
		return text.String()
	}
	r.bad(at, "is not a text")
	return ""
}

func (r *reader) version(v slog.Value) {
	if v.Kind() != slog.KindInt64 {
		r.bad("version", "is not a whole number")
		return
	}
	n := int(v.Int64())
	r.event.Version = &n
}

func (r *reader) actor(v slog.Value) {
	switch a := v.Any().(type) {
	case schema.Actor:
		r.event.Actor = a
	case *schema.Actor:
		if a != nil {
			r.event.Actor = *a
		}
	default:
		r.party("actor", v, &r.event.Actor)
	}
}

func (r *reader) target(v slog.Value) {
	switch t := v.Any().(type) {
	case schema.Target:
		r.addTargets(t)
	case *schema.Target:
		if t != nil {
			r.addTargets(*t)
		}
	default:
		var own schema.Actor
		r.party("target", v, &own)
		r.addTargets(schema.Target(own))
	}
}

func (r *reader) targets(v slog.Value) {
	if list, ok := v.Any().([]schema.Target); ok {
		r.addTargets(list...)
		return
	}
	r.bad("targets", "is no []schema.Target; give one, or a group target for each")
}

// addTargets adds to a list of our own: that of an event is its maker's.
func (r *reader) addTargets(targets ...schema.Target) {
	r.event.Targets = append(slices.Clip(r.event.Targets), targets...)
}

// party reads the group of an actor or a target into a.
func (r *reader) party(at string, v slog.Value, a *schema.Actor) {
	if v.Kind() != slog.KindGroup {
		r.bad(at, "is no group")
		return
	}
	for _, m := range v.Group() {
		switch v, at := m.Value.Resolve(), at+"."+m.Key; m.Key {
		case "id":
			a.ID = r.text(at, v)
		case "type":
			a.Type = r.text(at, v)
		case "name":
			a.Name = r.text(at, v)
		case "metadata":
			a.Metadata = r.metadata(at, v, a.Metadata)
		default:
			r.bad(at, "there is no such member; put it into its metadata")
		}
	}
}

func (r *reader) context(v slog.Value) {
	switch c := v.Any().(type) {
	case schema.Context:
		r.event.Context = &c
		return
	case *schema.Context:
		r.event.Context = c
		return
	default:
	}
	if v.Kind() != slog.KindGroup {
		r.bad("context", "is no group")
		return
	}
	var own schema.Context
	if r.event.Context != nil {
		own = *r.event.Context
	}
	for _, m := range v.Group() {
		switch v, at := m.Value.Resolve(), "context."+m.Key; m.Key {
		case "location":
			own.Location = r.text(at, v)
		case "user_agent":
			own.UserAgent = r.text(at, v)
		default:
			r.bad(at, "there is no such member; put it into metadata")
		}
	}
	r.event.Context = &own
}

// metadata adds those of v to a copy of have.
func (r *reader) metadata(at string, v slog.Value, have map[string]any) map[string]any {
	all := maps.Clone(have)
	if all == nil {
		all = map[string]any{}
	}
	if m, ok := v.Any().(map[string]any); ok {
		maps.Copy(all, m)
		return all
	}
	if v.Kind() != slog.KindGroup {
		r.bad(at, "is no group and no map[string]any")
		return have
	}
	addAll(all, v.Group())
	return all
}

func addAll(all map[string]any, attrs []slog.Attr) {
	for _, a := range attrs {
		if a.Equal(slog.Attr{}) {
			continue
		}
		v := a.Value.Resolve()
		if v.Kind() == slog.KindGroup && a.Key == "" {
			addAll(all, v.Group())
			continue
		}
		all[a.Key] = plain(v)
	}
}

// plain is v as metadata hold it.
func plain(v slog.Value) any {
	if v.Kind() == slog.KindGroup {
		m := map[string]any{}
		addAll(m, v.Group())
		return m
	}
	switch value := v.Any().(type) {
	case time.Duration:
		return value.String()
	case time.Time:
		return timestamp(value)
	case error:
		return value.Error()
	default:
		return value
	}
}

// timestamp writes a time as events have it: in UTC, to the nanosecond where there are any.
func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
