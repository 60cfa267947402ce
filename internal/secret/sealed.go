package secret

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Value is the secret itself, which only a draft holds; ok is false for any other reference.
func (r Ref) Value() (secret string, ok bool) {
	if r.value == nil {
		return "", false
	}
	return *r.value, true
}

// Keep says that a draft leaves the secret as the stream has it: {sealed: true}.
func (r Ref) Keep() bool { return r.keep }

// Named says that r names a place on this machine: env, file or exec.
func (r Ref) Named() bool { return r.Env != "" || r.File != "" || len(r.Exec) > 0 }

// Bind says how what is sealed is opened in the place where r stands.
func (r *Ref) Bind(open func(ctx context.Context) (string, error)) { r.open = open }

// unmarshalSealed reads true, which only says that there is a secret, or the sealed one.
func (r *Ref) unmarshalSealed(data []byte) error {
	if bytes.Equal(data, []byte("true")) {
		r.keep = true
		return nil
	}
	return json.Unmarshal(data, &r.Sealed)
}

// Each calls visit for every reference below v, a pointer to settings, with its JSON pointer
// below prefix. visit may change it. Fields are found by their json names, those of embedded
// structs among the others.
func Each(prefix string, v any, visit func(pointer string, r *Ref) error) error {
	return each(prefix, reflect.ValueOf(v), visit)
}

func each(at string, v reflect.Value, visit func(string, *Ref) error) error {
	switch v.Kind() { //nolint:exhaustive // nothing else leads to a reference
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return each(at, v.Elem(), visit)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[Ref]() {
			if !v.CanAddr() {
				return fmt.Errorf("%s: cannot be reached", at)
			}
			r, _ := reflect.TypeAssert[*Ref](v.Addr())
			if r.IsZero() {
				return nil
			}
			return visit(at, r)
		}
		var errs []error
		for i := range v.NumField() {
			f := v.Type().Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case f.Anonymous && name == "":
				errs = append(errs, each(at, v.Field(i), visit))
			case f.IsExported() && name != "" && name != "-":
				errs = append(errs, each(at+"/"+Escape(name), v.Field(i), visit))
			}
		}
		return errors.Join(errs...)
	case reflect.Slice:
		var errs []error
		for i := range v.Len() {
			errs = append(errs, each(at+"/"+strconv.Itoa(i), v.Index(i), visit))
		}
		return errors.Join(errs...)
	case reflect.Map:
		return eachIn(at, v, visit)
	}
	return nil
}

// eachIn visits the values of a map, which have to be put back once they have changed.
func eachIn(at string, v reflect.Value, visit func(string, *Ref) error) error {
	if v.Type().Key().Kind() != reflect.String {
		return nil
	}
	keys := map[string]reflect.Value{}
	for _, key := range v.MapKeys() {
		keys[key.String()] = key
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		item := reflect.New(v.Type().Elem()).Elem()
		item.Set(v.MapIndex(keys[name]))
		errs = append(errs, each(at+"/"+Escape(name), item, visit))
		v.SetMapIndex(keys[name], item)
	}
	return errors.Join(errs...)
}

// Escape writes a name as a part of a JSON pointer (RFC 6901).
func Escape(name string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(name) }

// Unescape is the name that a part of a JSON pointer stands for.
func Unescape(part string) string { return strings.NewReplacer("~1", "/", "~0", "~").Replace(part) }
