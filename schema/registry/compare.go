package registry

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/auditstream/auditstream/schema/catalogue"
)

// Whom a change of a schema breaks.
const (
	Nobody  = ""
	Writers = "writers" // services: events that were valid are not any more
	Readers = "readers" // SIEMs: what they relied upon may be missing
)

// Change is one difference between two versions of an action.
type Change struct {
	Pointer string `json:"pointer"` // RFC 6901, into the action
	Breaks  string `json:"breaks"`  // Nobody, Writers or Readers
	Message string `json:"message"`
}

func (c Change) String() string {
	text := c.Pointer + ": " + c.Message
	if c.Breaks != Nobody {
		text += " (breaks " + c.Breaks + ")"
	}
	return text
}

// Breaking says whether one of the changes breaks somebody.
func Breaking(changes []Change) bool {
	return slices.ContainsFunc(changes, func(c Change) bool { return c.Breaks != Nobody })
}

// Compare lists how the schema of b differs from that of a, which came before. Keywords
// that it does not understand break both when they change.
func Compare(a, b *catalogue.Action) ([]Change, error) {
	d := new(difference)
	if err := d.schemas("/actor", a.Actor, b.Actor); err != nil {
		return nil, err
	}
	if err := d.schemas("/metadata", a.Metadata, b.Metadata); err != nil {
		return nil, err
	}
	before, after := byType(a.Targets), byType(b.Targets)
	_, anyBefore := before[catalogue.AnyTarget]
	_, anyAfter := after[catalogue.AnyTarget]
	for _, name := range sortedKeys(before, after) {
		at := "/targets/" + escape(name)
		had, was := before[name]
		has, is := after[name]
		switch {
		case !is && name == catalogue.AnyTarget:
			d.add(at, Writers, "targets of other types were allowed, and are not any more")
		case !was && name == catalogue.AnyTarget:
			d.add(at, Nobody, "targets of other types are allowed now")
		case !is && anyAfter:
			d.add(at, Readers, "the target type was removed; it is still allowed, as any other")
		case !is:
			d.add(at, Writers, "the target type was removed")
		case !was && has.Required:
			d.add(at, Writers, "a target of this type is required now")
		case !was && anyBefore && (has.Metadata != nil || has.Named):
			d.add(at, Writers, "targets of this type had no schema, and have one now")
		case !was:
			d.add(at, Nobody, "targets of this type are allowed now")
		default:
			d.flags(at, had, has)
			if err := d.schemas(at+"/metadata", had.Metadata, has.Metadata); err != nil {
				return nil, err
			}
		}
	}
	return d.changes, nil
}

func byType(targets []catalogue.Target) map[string]catalogue.Target {
	m := make(map[string]catalogue.Target, len(targets))
	for _, t := range targets {
		m[t.Type] = t
	}
	return m
}

func sortedKeys[V any](a, b map[string]V) []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(names)
	return slices.Compact(names)
}

// difference collects changes.
type difference struct{ changes []Change }

func (d *difference) add(pointer, breaks, message string) {
	d.changes = append(d.changes, Change{pointer, breaks, message})
}

func (d *difference) flags(at string, a, b catalogue.Target) {
	flag := func(before, after bool, what string) {
		switch {
		case !before && after:
			d.add(at, Writers, what+" is required now")
		case before && !after:
			d.add(at, Readers, what+" was required, and may be missing now")
		}
	}
	flag(a.Required, b.Required, "a target of this type")
	flag(a.Named, b.Named, "its name")
}

func (d *difference) schemas(at string, a, b json.RawMessage) error {
	before, err := decode(at, a)
	if err != nil {
		return err
	}
	after, err := decode(at, b)
	if err != nil {
		return err
	}
	d.schema(at, before, after)
	return nil
}

// decode reads a schema; none is the one that allows anything.
func decode(at string, text json.RawMessage) (any, error) {
	if text == nil {
		return map[string]any{}, nil
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return v, nil
}

func (d *difference) schema(at string, a, b any) {
	if reflect.DeepEqual(a, b) {
		return
	}
	before, okA := object(a)
	after, okB := object(b)
	switch {
	case b == false:
		d.add(at, Writers, "is not allowed any more")
		return
	case a == false:
		d.add(at, Nobody, "is allowed now")
		return
	case !okA || !okB:
		d.add(at, Writers, "is no schema that can be compared")
		return
	}
	d.types(at, before, after)
	d.values(at, before, after)
	d.properties(at, before, after)
	d.additional(at, before, after)
	if _, ok := before["items"]; ok || after["items"] != nil {
		d.schema(at+"/items", orAnything(before["items"]), orAnything(after["items"]))
	}
	for _, bound := range []struct {
		keyword string
		lower   bool
	}{{"minimum", true}, {"minLength", true}, {"minItems", true}, {"minProperties", true}, {"maximum", false}, {"maxLength", false}, {"maxItems", false}, {"maxProperties", false}} {
		d.bound(at, bound.keyword, bound.lower, before[bound.keyword], after[bound.keyword])
	}
	d.rest(at, before, after)
}

// object is a schema as an object; true is the one that allows anything.
func object(schema any) (map[string]any, bool) {
	if schema == true {
		return map[string]any{}, true
	}
	m, ok := schema.(map[string]any)
	return m, ok
}

func orAnything(schema any) any {
	if schema == nil {
		return map[string]any{}
	}
	return schema
}

// types compares what types are allowed; an integer is a number.
func (d *difference) types(at string, a, b map[string]any) {
	before, after := typeSet(a["type"]), typeSet(b["type"])
	if before == nil && after == nil {
		return
	}
	var lost, won []string
	for _, t := range allTypes() {
		switch was, is := allows(before, t), allows(after, t); {
		case was && !is:
			lost = append(lost, t)
		case !was && is:
			won = append(won, t)
		}
	}
	if lost != nil {
		d.add(at+"/type", Writers, "narrowed: "+strings.Join(lost, ", ")+" was allowed, and is not any more")
	}
	if won != nil {
		d.add(at+"/type", Readers, "widened: "+strings.Join(won, ", ")+" was not allowed, and is now")
	}
}

func allTypes() []string {
	return []string{"null", "boolean", "integer", "number", "string", "array", "object"}
}

// typeSet is the types that are named, nil for all.
func typeSet(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		set := []string{}
		for _, t := range v {
			if name, ok := t.(string); ok {
				set = append(set, name)
			}
		}
		return set
	}
	return nil
}

func allows(set []string, t string) bool {
	return set == nil || slices.Contains(set, t) || t == "integer" && slices.Contains(set, "number")
}

// values compares what values are allowed, if they are listed.
func (d *difference) values(at string, a, b map[string]any) {
	before, after := valueSet(a), valueSet(b)
	switch {
	case before == nil && after == nil:
	case before == nil:
		d.add(at+"/enum", Writers, "narrowed: any value was allowed, and only those listed are now")
	case after == nil:
		d.add(at+"/enum", Nobody, "widened: any value is allowed now")
	default:
		if lost := without(before, after); lost != nil {
			d.add(at+"/enum", Writers, "narrowed: not allowed any more: "+list(lost))
		}
		if won := without(after, before); won != nil {
			d.add(at+"/enum", Nobody, "widened: allowed now: "+list(won))
		}
	}
}

// valueSet is the values that a schema lists, nil if it lists none.
func valueSet(s map[string]any) []any {
	if c, ok := s["const"]; ok {
		return []any{c}
	}
	values, _ := s["enum"].([]any)
	return values
}

func without(a, b []any) []any {
	var left []any
	for _, x := range a {
		if !slices.ContainsFunc(b, func(y any) bool { return reflect.DeepEqual(x, y) }) {
			left = append(left, x)
		}
	}
	return left
}

func (d *difference) properties(at string, a, b map[string]any) {
	before, _ := a["properties"].(map[string]any)
	after, _ := b["properties"].(map[string]any)
	requiredBefore, requiredAfter := typeSet(a["required"]), typeSet(b["required"])
	for _, name := range sortedKeys(before, after) {
		here := at + "/properties/" + escape(name)
		was, had := before[name]
		is, has := after[name]
		switch {
		case !has:
			d.add(here, Readers, "the member was removed")
		case !had && closed(a):
			d.add(here, Nobody, "the member is allowed now")
		case !had && !slices.Contains(requiredAfter, name):
			d.add(here, Nobody, "the member has a schema now")
		case had:
			d.schema(here, was, is)
		}
	}
	for _, name := range requiredAfter {
		if !slices.Contains(requiredBefore, name) {
			d.add(at+"/required", Writers, "newly required: "+name)
		}
	}
	for _, name := range requiredBefore {
		if !slices.Contains(requiredAfter, name) {
			d.add(at+"/required", Readers, "was required, and may be missing now: "+name)
		}
	}
}

// closed says that members which a schema does not name are not allowed.
func closed(s map[string]any) bool { return s["additionalProperties"] == false }

func (d *difference) additional(at string, a, b map[string]any) {
	before, after := orAnything(a["additionalProperties"]), orAnything(b["additionalProperties"])
	if before != true && before != false && after != true && after != false || reflect.DeepEqual(before, after) {
		d.schema(at+"/additionalProperties", before, after)
		return
	}
	switch {
	case after == false:
		d.add(at+"/additionalProperties", Writers, "members that the schema does not name were allowed, and are not any more")
	case before == false:
		d.add(at+"/additionalProperties", Nobody, "members that the schema does not name are allowed now")
	default:
		d.schema(at+"/additionalProperties", before, after)
	}
}

func (d *difference) bound(at, keyword string, lower bool, a, b any) {
	before, okA := a.(json.Number)
	after, okB := b.(json.Number)
	if a == b {
		return
	}
	x, errX := before.Float64()
	y, errY := after.Float64()
	tighter := okB && (!okA || errX != nil || errY != nil || lower && y > x || !lower && y < x)
	if tighter {
		d.add(at+"/"+keyword, Writers, "narrowed: "+keyword+" is "+after.String()+" now")
		return
	}
	d.add(at+"/"+keyword, Nobody, "widened")
}

// rest reports keywords that no rule above is about. Notes change nothing.
func (d *difference) rest(at string, a, b map[string]any) {
	for _, keyword := range sortedKeys(a, b) {
		switch keyword {
		case "type", "enum", "const", "properties", "required", "additionalProperties", "items",
			"minimum", "minLength", "minItems", "minProperties", "maximum", "maxLength", "maxItems", "maxProperties",
			"title", "description", "examples", "default", "deprecated", "readOnly", "writeOnly", "$comment", "$schema", "$id", keywordKnown:
			continue
		}
		before, had := a[keyword]
		after, has := b[keyword]
		switch {
		case reflect.DeepEqual(before, after):
		case had && !has && (keyword == "pattern" || keyword == "format"):
			d.add(at+"/"+keyword, Nobody, "widened: it need not match any more")
		default:
			d.add(at+"/"+keyword, Writers, "changed: what was valid may not be any more")
		}
	}
}
