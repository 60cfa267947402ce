// Package secret holds references to secrets. A configuration, a log, a page and a
// record in Kafka hold the reference; only [Ref.Resolve] ever holds the value. The value
// itself stands in one document alone, the draft of a stream that is sent to an API, until
// it is sealed.
package secret

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Ref names where a secret is kept. Exactly one field is set; the zero Ref means
// that there is no secret. However it is printed, a Ref does not show a secret.
type Ref struct {
	Env  string   `json:"env,omitempty"`  // name of an environment variable
	File string   `json:"file,omitempty"` // path of a file; relative to the working directory
	Exec []string `json:"exec,omitempty"` // program and arguments, run without a shell; the secret is what it prints

	Sealed string `json:"sealed,omitempty"` // the secret itself, as only the holder of a key can read it; see package seal

	value *string                                   // of a draft: the secret itself, not yet sealed
	keep  bool                                      // of a draft: the secret that the stream has already
	open  func(ctx context.Context) (string, error) // of what is sealed, in its place; nil: it stands nowhere yet, see Bind
}

// how is the advice in errors about a reference of the wrong form.
const how = "write {env: NAME}, {file: PATH} or {exec: [PROGRAM, ARGUMENT, …]}"

// IsZero reports that r refers to nothing.
func (r Ref) IsZero() bool { return r.forms() == 0 }

// forms counts how many places r names.
func (r Ref) forms() int {
	n := 0
	for _, is := range []bool{r.Env != "", r.File != "", len(r.Exec) > 0, r.Sealed != "", r.value != nil, r.keep} {
		if is {
			n++
		}
	}
	return n
}

// Equal reports that r and o are the same reference. The secrets behind two
// different references may still be the same.
func (r Ref) Equal(o Ref) bool {
	same := r.value == o.value || r.value != nil && o.value != nil && *r.value == *o.value
	return r.Env == o.Env && r.File == o.File && slices.Equal(r.Exec, o.Exec) && r.Sealed == o.Sealed && r.keep == o.keep && same
}

// String is the reference as one writes it in a configuration, "none" for the zero Ref.
func (r Ref) String() string {
	switch {
	case r.Env != "":
		return "{env: " + r.Env + "}"
	case r.File != "":
		return "{file: " + r.File + "}"
	case len(r.Exec) > 0:
		return "{exec: [" + strings.Join(r.Exec, ", ") + "]}"
	case r.Sealed != "" || r.keep:
		return "{sealed: true}"
	case r.value != nil:
		return "{value: [secret]}"
	}
	return "none"
}

// GoString is what %#v prints: the reference too.
func (r Ref) GoString() string { return "secret.Ref" + r.String() }

// Check reports a reference of the wrong form. The zero Ref is one: ask IsZero first
// where no secret is needed.
func (r Ref) Check() error {
	switch set := r.forms(); {
	case set == 0:
		return errors.New("the reference to the secret is empty: " + how)
	case set > 1:
		return errors.New("the reference names more than one place: " + how)
	case strings.ContainsAny(r.Env, "=\x00"):
		return errors.New(`the name of an environment variable has no "=" and no zero byte`)
	case strings.Contains(r.File, "\x00"):
		return errors.New("the path of a file has no zero byte")
	case len(r.Exec) > 0 && r.Exec[0] == "":
		return errors.New("exec names no program: " + how)
	case r.value != nil && strings.TrimSpace(*r.value) == "":
		return errors.New("the secret is empty")
	case r.value != nil && len(*r.value) > MaxSize:
		return errors.New("the secret " + errTooLarge.Error())
	}
	return nil
}

// MarshalJSON writes the reference, null for the zero Ref. Of a secret that is sealed, or
// stands in a draft, it says only that it is there.
func (r Ref) MarshalJSON() ([]byte, error) {
	switch {
	case r.IsZero():
		return []byte("null"), nil
	case r.Sealed != "" || r.keep || r.value != nil:
		return []byte(`{"sealed":true}`), nil
	}
	type plain Ref // without methods, or this would call itself
	return json.Marshal(plain(r))
}

// UnmarshalJSON reads an object with exactly one of env, file and exec, or with what only
// records and drafts of streams have, sealed or value: who reads anything else asks
// [Ref.Named]. null leaves r as it is. Its errors never repeat what was written: somebody who writes the secret
// itself where the reference belongs would find it in a log.
func (r *Ref) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	if len(data) == 0 || data[0] != '{' {
		return errors.New(how + "; a secret never stands in the configuration itself")
	}
	// A map, because encoding/json would take "ENV" for a field named env.
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return errors.New("the reference to the secret is not valid JSON: " + how)
	}
	var ref Ref
	for name, value := range fields {
		var err error
		switch name {
		case "env":
			err = json.Unmarshal(value, &ref.Env)
		case "file":
			err = json.Unmarshal(value, &ref.File)
		case "exec":
			err = json.Unmarshal(value, &ref.Exec)
		case "sealed":
			err = ref.unmarshalSealed(value)
		case "value":
			err = json.Unmarshal(value, &ref.value)
		default:
			return errors.New("the reference to the secret has an unknown key: " + how)
		}
		if err != nil {
			return fmt.Errorf("%s has a value of the wrong type: %s", name, how)
		}
	}
	if len(fields) > 1 {
		return errors.New("the reference names more than one place: " + how)
	}
	if err := ref.Check(); err != nil {
		return err
	}
	*r = ref
	return nil
}
