package config

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/auditstream/auditstream/internal/secret"
)

// field is a field of a struct as a file knows it.
type field struct {
	name  string
	index []int
}

// fieldsOf are the fields of the struct t that have a json name, those of embedded
// structs among them.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && !f.Anonymous && name != "" && name != "-" {
			fields = append(fields, field{name, f.Index})
		}
	}
	return fields
}

var (
	streamType = reflect.TypeFor[Stream]()                   //nolint:gochecknoglobals // a constant
	refType    = reflect.TypeFor[secret.Ref]()               //nolint:gochecknoglobals // a constant
	jsonType   = reflect.TypeFor[json.Unmarshaler]()         //nolint:gochecknoglobals // a constant
	textType   = reflect.TypeFor[encoding.TextUnmarshaler]() //nolint:gochecknoglobals // a constant
)

// isLeaf reports that t reads itself from JSON or text; what is inside it is its own.
func isLeaf(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonType) || p.Implements(textType)
}

// isSection reports that t only groups settings, which keep their defaults without it.
// A pointer to a struct does more: that it is there has a meaning.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !isLeaf(t) && t != streamType
}

// secretsIn appends the references below v, at path, to secrets.
func secretsIn(secrets []NamedSecret, path string, v any) []NamedSecret {
	var visit func(v reflect.Value, path string)
	visit = func(v reflect.Value, path string) {
		switch {
		case v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface:
			if !v.IsNil() {
				visit(v.Elem(), path)
			}
		case v.Type() == refType:
			if ref, ok := reflect.TypeAssert[secret.Ref](v); ok && !ref.IsZero() {
				secrets = append(secrets, NamedSecret{path, ref})
			}
		case isLeaf(v.Type()):
		case v.Kind() == reflect.Struct:
			for _, f := range fieldsOf(v.Type()) {
				visit(v.FieldByIndex(f.index), join(path, f.name))
			}
		case v.Kind() == reflect.Slice:
			for i := range v.Len() {
				visit(v.Index(i), fmt.Sprintf("%s[%d]", path, i))
			}
		case v.Kind() == reflect.Map:
			for _, key := range sortedKeys(v) {
				visit(v.MapIndex(key), join(path, key.String()))
			}
		}
	}
	if v != nil {
		visit(reflect.ValueOf(v), path)
	}
	return secrets
}
