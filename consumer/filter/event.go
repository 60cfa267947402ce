package filter

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/auditstream/auditstream/schema"
)

// The types of an event's parts as expressions and their problems name them.
const (
	typeEvent   = "Event"
	typeActor   = "Actor"
	typeTarget  = "Target"
	typeContext = "Context"
)

// member is one of an object of the schema.
type member struct {
	name string
	typ  *types.Type
	get  func(object any) (any, error)
	has  func(object any) bool
}

// of reads a member of objects of the type T, and says when it counts as there.
func of[T, V any](name string, typ *types.Type, get func(T) V, has func(T) bool) member {
	object := func(v any) T {
		t, _ := v.(T) // the type of the expression says that it is one
		return t
	}
	return member{
		name: name, typ: typ,
		get: func(v any) (any, error) { return get(object(v)), nil },
		has: func(v any) bool { return has(object(v)) },
	}
}

// text is a member that is a string; it is there unless it is empty.
func text[T any](name string, get func(T) string) member {
	return of(name, types.StringType, get, func(o T) bool { return get(o) != "" })
}

// metadata is a member that holds whatever a publisher has put there.
func metadata[T any](get func(T) map[string]any) member {
	return of("metadata", types.NewMapType(types.StringType, types.DynType), get, func(o T) bool { return get(o) != nil })
}

// members are those of an object of the schema. A member that an event lacks is empty, as
// it is in the schema's own type, and has() tells; only metadata has names that nobody knows.
func members(typ string) []member {
	switch typ {
	case typeEvent:
		return []member{
			text("action", func(e *schema.Event) string { return e.Action }),
			of("actor", types.NewObjectType(typeActor), func(e *schema.Event) *schema.Actor { return &e.Actor },
				func(e *schema.Event) bool { return e.Actor.ID != "" || e.Actor.Type != "" || e.Actor.Name != "" }),
			of("context", types.NewObjectType(typeContext), contextOf, func(e *schema.Event) bool { return e.Context != nil }),
			text("id", func(e *schema.Event) string { return e.ID }),
			metadata(func(e *schema.Event) map[string]any { return e.Metadata }),
			occurredAt(),
			text("organization_id", func(e *schema.Event) string { return e.OrganizationID }),
			of("targets", types.NewListType(types.NewObjectType(typeTarget)), func(e *schema.Event) []schema.Target { return e.Targets },
				func(e *schema.Event) bool { return e.Targets != nil }),
			of("version", types.IntType, func(e *schema.Event) int {
				if e.Version == nil {
					return 0
				}
				return *e.Version
			}, func(e *schema.Event) bool { return e.Version != nil }),
		}
	case typeActor:
		return []member{
			text("id", func(a *schema.Actor) string { return a.ID }),
			metadata(func(a *schema.Actor) map[string]any { return a.Metadata }),
			text("name", func(a *schema.Actor) string { return a.Name }),
			text("type", func(a *schema.Actor) string { return a.Type }),
		}
	case typeTarget:
		return []member{
			text("id", func(t *schema.Target) string { return t.ID }),
			metadata(func(t *schema.Target) map[string]any { return t.Metadata }),
			text("name", func(t *schema.Target) string { return t.Name }),
			text("type", func(t *schema.Target) string { return t.Type }),
		}
	case typeContext:
		return []member{
			text("location", func(c *schema.Context) string { return c.Location }),
			text("user_agent", func(c *schema.Context) string { return c.UserAgent }),
		}
	}
	return nil
}

func contextOf(e *schema.Event) *schema.Context {
	if e.Context == nil {
		return &schema.Context{}
	}
	return e.Context
}

// occurredAt is the one text that expressions see as something else: a time. A record that
// is marked as canonical may hold any text there.
func occurredAt() member {
	m := text("occurred_at", func(e *schema.Event) string { return e.OccurredAt })
	m.typ = types.TimestampType
	m.get = func(v any) (any, error) {
		e, _ := v.(*schema.Event)
		at, ok := e.Time()
		if !ok {
			return nil, errNoTime
		}
		return types.Timestamp{Time: at}, nil
	}
	return m
}

// typing is what the checker and the evaluation know of the schema's types.
type typing struct {
	types.Provider
	types.Adapter
	fields map[string]map[string]*types.FieldType // by type and name
}

// newTyping adds the schema's types to others.
func newTyping(provider types.Provider, adapter types.Adapter) *typing {
	t := &typing{Provider: provider, Adapter: adapter, fields: map[string]map[string]*types.FieldType{}}
	for _, typ := range []string{typeEvent, typeActor, typeTarget, typeContext} {
		t.fields[typ] = map[string]*types.FieldType{}
		for _, m := range members(typ) {
			t.fields[typ][m.name] = &types.FieldType{Type: m.typ, IsSet: m.has, GetFrom: m.get}
		}
	}
	return t
}

// FindStructType implements types.Provider.
func (t *typing) FindStructType(name string) (*types.Type, bool) {
	if t.fields[name] == nil {
		return t.Provider.FindStructType(name)
	}
	return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
}

// FindStructFieldNames implements types.Provider.
func (t *typing) FindStructFieldNames(name string) ([]string, bool) {
	if t.fields[name] == nil {
		return t.Provider.FindStructFieldNames(name)
	}
	var names []string
	for _, m := range members(name) {
		names = append(names, m.name)
	}
	return names, true
}

// FindStructFieldType implements types.Provider.
func (t *typing) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if t.fields[name] == nil {
		return t.Provider.FindStructFieldType(name, field)
	}
	f, ok := t.fields[name][field]
	return f, ok
}

// NativeToValue implements types.Adapter.
func (t *typing) NativeToValue(v any) ref.Val {
	switch v := v.(type) {
	case *schema.Event:
		return &object{t, typeEvent, v}
	case *schema.Actor:
		return &object{t, typeActor, v}
	case *schema.Target:
		return &object{t, typeTarget, v}
	case *schema.Context:
		return &object{t, typeContext, v}
	case []schema.Target:
		return types.NewDynamicList(t, pointersTo(v))
	case map[string]any:
		return types.NewStringInterfaceMap(t, v)
	case []any:
		return types.NewDynamicList(t, v)
	case json.Number:
		// A number is a double whatever it is: a type that changed with the value would let an
		// expression hold for one event and fail for the next.
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			return types.WrapErr(errNoNumber)
		}
		return types.Double(f)
	}
	return t.Adapter.NativeToValue(v)
}

func pointersTo(targets []schema.Target) []*schema.Target {
	out := make([]*schema.Target, len(targets))
	for i := range targets {
		out[i] = &targets[i]
	}
	return out
}

// object is a part of an event as a value of its own: in a list, a variable or a comparison.
type object struct {
	typing *typing
	typ    string
	native any
}

// ConvertToNative implements ref.Val.
func (o *object) ConvertToNative(to reflect.Type) (any, error) {
	if reflect.TypeOf(o.native).AssignableTo(to) {
		return o.native, nil
	}
	return nil, fmt.Errorf("a %s has no form as a %v", o.typ, to)
}

// ConvertToType implements ref.Val.
func (o *object) ConvertToType(to ref.Type) ref.Val {
	switch to.TypeName() {
	case o.typ:
		return o
	case types.TypeType.TypeName():
		return types.NewObjectType(o.typ)
	}
	return types.NewErr("no such overload")
}

// Equal implements ref.Val.
func (o *object) Equal(other ref.Val) ref.Val {
	p, ok := other.(*object)
	return types.Bool(ok && o.typ == p.typ && reflect.DeepEqual(o.native, p.native))
}

// Type implements ref.Val.
func (o *object) Type() ref.Type { return types.NewObjectType(o.typ) }

// Value implements ref.Val.
func (o *object) Value() any { return o.native }

// Get implements traits.Indexer, for an object whose type the expression does not know.
func (o *object) Get(name ref.Val) ref.Val {
	f, bad := o.field(name)
	if bad != nil {
		return bad
	}
	v, err := f.GetFrom(o.native)
	if err != nil {
		return types.WrapErr(err)
	}
	return o.typing.NativeToValue(v)
}

// IsSet implements traits.FieldTester, likewise.
func (o *object) IsSet(name ref.Val) ref.Val {
	f, bad := o.field(name)
	if bad != nil {
		return bad
	}
	return types.Bool(f.IsSet(o.native))
}

func (o *object) field(name ref.Val) (*types.FieldType, ref.Val) {
	s, ok := name.(types.String)
	if !ok {
		return nil, types.MaybeNoSuchOverloadErr(name)
	}
	f, ok := o.typing.fields[o.typ][string(s)]
	if !ok {
		return nil, types.NewErr("no such field")
	}
	return f, nil
}
