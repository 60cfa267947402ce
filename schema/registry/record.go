package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/auditstream/auditstream/schema/catalogue"
)

// RecordVersion is the version of the records of registered schemas. A record of another
// version is refused: it was written by a newer binary.
const RecordVersion = 1

// record is the value of a record; its key is the action.
type record struct {
	V        int                 `json:"v"`
	Action   string              `json:"action"`
	Versions []*catalogue.Action `json:"versions"` // all that were registered, in their order
}

// EncodeRecord writes the versions of one action, all of them, as the value of a record.
func EncodeRecord(versions []*catalogue.Action) ([]byte, error) {
	if len(versions) == 0 {
		return nil, errors.New("a record of schemas holds one version at least")
	}
	r := record{V: RecordVersion, Action: versions[0].Name, Versions: versions}
	if err := r.check(); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // a pattern stays readable
	if err := enc.Encode(r); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// DecodeRecord reads the value of the record with that key. A record without a value
// stands for an action that was forgotten: it has no versions.
func DecodeRecord(key string, value []byte) ([]*catalogue.Action, error) {
	if value == nil {
		return nil, nil
	}
	var version struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal(value, &version); err != nil {
		return nil, fmt.Errorf("schemas of action %q: %w", key, err)
	}
	if version.V != RecordVersion {
		return nil, fmt.Errorf("schemas of action %q: format version %d, known is %d: written by a newer version of auditstream, upgrade first", key, version.V, RecordVersion)
	}
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	var r record
	if err := d.Decode(&r); err != nil {
		return nil, fmt.Errorf("schemas of action %q: %w", key, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) || r.Action != key {
		return nil, fmt.Errorf("schemas of action %q: the record was written under another key, or is not one object", key)
	}
	return r.Versions, r.check()
}

// check says whether the record is one of one action, its versions growing.
func (r *record) check() error {
	var errs []error
	before := 0
	for _, a := range r.Versions {
		switch {
		case a == nil || a.Name != r.Action:
			return fmt.Errorf("schemas of action %q: there is one of another action", r.Action)
		case a.Version <= before:
			errs = append(errs, fmt.Errorf("schemas of action %q: version %d stands behind version %d", r.Action, a.Version, before))
		}
		before = a.Version
		errs = append(errs, a.Check())
	}
	return errors.Join(errs...)
}

// Merge is base with what was registered on top. Where both have a version, the registered
// one holds: events have been checked by it, and a version never changes.
func Merge(base *catalogue.Catalogue, registered []*catalogue.Action) (*catalogue.Catalogue, error) {
	type key struct {
		name    string
		version int
	}
	over := map[key]bool{}
	for _, a := range registered {
		over[key{a.Name, a.Version}] = true
	}
	var families []*catalogue.Family
	for _, f := range base.Families() {
		left := *f
		left.Actions = slices.DeleteFunc(slices.Clone(f.Actions), func(a *catalogue.Action) bool { return over[key{a.Name, a.Version}] })
		families = append(families, &left)
	}
	merged, err := catalogue.New(families)
	for _, a := range registered {
		if err != nil {
			break
		}
		merged, err = merged.With(a)
	}
	return merged, err
}
