// Package openapi makes the schemas of a description (OpenAPI 3.1) from the types of Go that
// are sent, so that the description says what is sent and cannot fall behind it.
package openapi

import (
	"bytes"
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Object is a part of a description.
type Object = map[string]any

// Schemas are the schemas of Go's types, each under its name. They follow package json's rules.
type Schemas struct {
	Named Object

	home    string // the package whose types are called by their name alone
	special func(reflect.Type) Object
}

// NewSchemas are none. The types of home's package are called by their names alone, all others
// with that of their package. special is the schema of a type that package json's rules do not
// tell, and nil of any other.
func NewSchemas(home reflect.Type, special func(reflect.Type) Object) *Schemas {
	return &Schemas{Named: Object{}, home: home.PkgPath(), special: special}
}

// Of is the schema of a type, or a reference to it.
func (s *Schemas) Of(t reflect.Type) Object {
	switch t {
	case reflect.TypeFor[time.Time]():
		return Object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[json.RawMessage]():
		return Object{}
	}
	if o := s.special(t); o != nil {
		return o
	}
	if t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return Object{"type": "string"}
	}
	switch t.Kind() { //nolint:exhaustive // no other stands in what is sent
	case reflect.String:
		return Object{"type": "string"}
	case reflect.Bool:
		return Object{"type": "boolean"}
	case reflect.Float64, reflect.Float32:
		return Object{"type": "number"}
	case reflect.Int, reflect.Int32, reflect.Int64:
		return Object{"type": "integer"}
	case reflect.Pointer:
		return s.Of(t.Elem())
	case reflect.Map:
		return Object{"type": "object", "additionalProperties": s.Of(t.Elem())}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return Object{"type": "string", "contentEncoding": "base64"}
		}
		return Object{"type": "array", "items": s.orNull(t.Elem())}
	case reflect.Struct:
		name := t.Name()
		if pkg := t.PkgPath(); pkg != s.home {
			name = pkg[strings.LastIndex(pkg, "/")+1:] + "." + name
		}
		if _, known := s.Named[name]; !known {
			s.Named[name] = Object{} // it may hold itself
			s.Named[name] = s.structure(t)
		}
		return Object{"$ref": "#/components/schemas/" + name}
	}
	return Object{}
}

// orNull is the schema of what may be null where it stands.
func (s *Schemas) orNull(t reflect.Type) Object {
	if t.Kind() != reflect.Pointer && t.Kind() != reflect.Slice && t.Kind() != reflect.Map || t == reflect.TypeFor[json.RawMessage]() {
		return s.Of(t)
	}
	return Object{"oneOf": []Object{s.Of(t), {"type": "null"}}}
}

func (s *Schemas) structure(t reflect.Type) Object {
	properties, required := Object{}, []string{}
	s.fields(t, properties, &required)
	out := Object{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

// fields adds those of a struct, embedded ones flattened. The outermost of a name counts.
func (s *Schemas) fields(t reflect.Type, properties Object, required *[]string) {
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
				properties[name] = s.Of(f.Type)
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

// YAML is a description as YAML, in the types of JSON alone.
func YAML(description Object) ([]byte, error) {
	text, err := json.Marshal(description)
	if err != nil {
		return nil, err
	}
	var plain any
	if err := json.Unmarshal(text, &plain); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(plain); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}
