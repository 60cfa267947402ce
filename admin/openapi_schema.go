package admin

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"github.com/auditstream/auditstream/consumer/deadletter"
)

// object is a part of the description.
type object = map[string]any

// schemas are the schemas of Go's types, each under its name. They follow package json's
// rules, so that the description says what is sent and cannot fall behind it.
type schemas struct{ named object }

// of is the schema of a type, or a reference to it.
func (s *schemas) of(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[json.RawMessage]():
		return object{}
	case reflect.TypeFor[deadletter.Position]():
		return object{"type": "string", "pattern": `^\d+:\d+$`, "description": "PARTITION:OFFSET in the topic of dead letters"}
	case reflect.TypeFor[deadletter.Original]():
		return object{"type": "object", "description": "The record as its producer wrote it; bytes that are no UTF-8 in base64.", "properties": object{
			"key": object{"type": "string"}, "key_base64": object{"type": "string"}, "value": object{"type": "string"}, "value_base64": object{"type": "string"},
			"headers": object{"type": "array", "items": object{"type": "object", "required": []string{"name"}, "properties": object{
				"name": object{"type": "string"}, "value": object{"type": "string"}, "value_base64": object{"type": "string"},
			}, "additionalProperties": false}},
		}, "additionalProperties": false}
	case reflect.TypeFor[deadletter.Unread]():
		return object{"type": "object", "description": "Records that are neither letters nor marks of a known version.", "required": []string{"records"}, "properties": object{
			"records": object{"type": "integer"}, "first": object{"type": "string"}, "newer": object{"type": "string"},
		}, "additionalProperties": false}
	case reflect.TypeFor[Role]():
		return object{"type": "string", "enum": []Role{RoleViewer, RoleOperator, RoleAdmin}}
	}
	if t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return object{"type": "string"}
	}
	switch t.Kind() { //nolint:exhaustive // no other stands in what is sent
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64, reflect.Float32:
		return object{"type": "number"}
	case reflect.Int, reflect.Int32, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{"type": "string", "contentEncoding": "base64"}
		}
		return object{"type": "array", "items": s.orNull(t.Elem())}
	case reflect.Struct:
		name := t.Name()
		if pkg := t.PkgPath(); pkg != reflect.TypeFor[Stream]().PkgPath() {
			name = pkg[strings.LastIndex(pkg, "/")+1:] + "." + name
		}
		if _, known := s.named[name]; !known {
			s.named[name] = object{} // it may hold itself
			s.named[name] = s.structure(t)
		}
		return object{"$ref": "#/components/schemas/" + name}
	}
	return object{}
}

// orNull is the schema of what may be null where it stands.
func (s *schemas) orNull(t reflect.Type) object {
	if t.Kind() != reflect.Pointer && t.Kind() != reflect.Slice && t.Kind() != reflect.Map || t == reflect.TypeFor[json.RawMessage]() {
		return s.of(t)
	}
	return object{"oneOf": []object{s.of(t), {"type": "null"}}}
}

func (s *schemas) structure(t reflect.Type) object {
	properties, required := object{}, []string{}
	s.fields(t, properties, &required)
	out := object{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

// fields adds those of a struct, embedded ones flattened. The outermost of a name counts.
func (s *schemas) fields(t reflect.Type, properties object, required *[]string) {
	var embedded []reflect.Type
	for f := range t.Fields() {
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case tag == "-" || !f.IsExported():
		case f.Anonymous && tag == "":
			embedded = append(embedded, f.Type)
		default:
			name := tag
			if name == "" {
				name = f.Name
			}
			if _, outer := properties[name]; outer {
				continue
			}
			if strings.Contains(options, "omit") {
				properties[name] = s.of(f.Type)
				continue
			}
			properties[name] = s.orNull(f.Type)
			*required = append(*required, name)
		}
	}
	for _, e := range embedded {
		s.fields(e, properties, required)
	}
}
