// Package catalogue is what auditstream knows of actions: for each its meaning, what
// its events hold, how much it matters, and what it is called in the formats that SIEMs
// read.
//
// The actions are data, one file a family in the folder actions. They come from four
// places: administration of single sign-on (3 actions), the Events of WorkOS (136), a
// typical product (31), and what a control plane of auditstream does itself (16).
package catalogue

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
)

//go:embed actions/*.json
var embedded embed.FS

// Family is a file of actions that belong together.
type Family struct {
	Name    string    `json:"family"`
	Title   string    `json:"title"`
	Source  string    `json:"source,omitempty"` // where the actions come from: sso, workos, product, auditstream
	Actions []*Action `json:"actions"`
}

// Catalogue is a set of families. It does not change, so many goroutines may use it.
type Catalogue struct {
	families []*Family
	versions map[string][]*Action // by name, in the order of their versions
}

// Embedded is the catalogue that every binary has.
func Embedded() (*Catalogue, error) {
	files, err := fs.Sub(embedded, "actions")
	if err != nil {
		return nil, err
	}
	return Read(files)
}

// Read reads the families in the .json files of a folder. The error names each file that
// is wrong, and what is wrong with it.
func Read(files fs.FS) (*Catalogue, error) {
	names, err := fs.Glob(files, "*.json")
	if err != nil {
		return nil, err
	}
	var errs []error
	families := make([]*Family, 0, len(names))
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err == nil {
			var f *Family
			if f, err = Parse(text); err == nil {
				families = append(families, f)
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return New(families)
}

// Parse reads one family, strictly: members that it does not know are errors.
func Parse(text []byte) (*Family, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	f := new(Family)
	if err := d.Decode(f); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something behind the family; a file holds one")
	}
	if f.Name == "" {
		return nil, errors.New("family: required")
	}
	var errs []error
	for _, a := range f.Actions {
		if a == nil {
			errs = append(errs, errors.New("an action is null"))
			continue
		}
		a.Family = f.Name
		errs = append(errs, a.Check())
	}
	return f, errors.Join(errs...)
}

// New makes a catalogue of families; no action may be in it twice in the same version.
func New(families []*Family) (*Catalogue, error) {
	c := &Catalogue{families: families, versions: map[string][]*Action{}}
	for _, f := range families {
		for _, a := range f.Actions {
			versions := c.versions[a.Name]
			i, found := slices.BinarySearchFunc(versions, a.Version, byVersion)
			if found {
				return nil, fmt.Errorf("action %q has version %d twice, in the families %s and %s", a.Name, a.Version, versions[i].Family, f.Name)
			}
			c.versions[a.Name] = slices.Insert(versions, i, a)
		}
	}
	return c, nil
}

// With is the catalogue and one more action, in the family of that name or one of its own.
func (c *Catalogue) With(a *Action) (*Catalogue, error) {
	families := slices.Clone(c.families)
	i := slices.IndexFunc(families, func(f *Family) bool { return f.Name == a.Family })
	if i < 0 {
		return New(append(families, &Family{Name: a.Family, Title: a.Family, Actions: []*Action{a}}))
	}
	f := *families[i]
	f.Actions = append(slices.Clone(f.Actions), a)
	families[i] = &f
	return New(families)
}

func byVersion(a *Action, version int) int { return a.Version - version }

// Families are the families in the order of their names.
func (c *Catalogue) Families() []*Family {
	return slices.SortedFunc(slices.Values(c.families), func(a, b *Family) int { return strings.Compare(a.Name, b.Name) })
}

// Actions are all actions in all versions, in the order of names and versions.
func (c *Catalogue) Actions() []*Action {
	var all []*Action
	for _, versions := range c.versions {
		all = append(all, versions...)
	}
	slices.SortFunc(all, func(a, b *Action) int {
		if a.Name != b.Name {
			return strings.Compare(a.Name, b.Name)
		}
		return a.Version - b.Version
	})
	return all
}

// Action is the action of that name and version, the latest one for version 0, or nil.
func (c *Catalogue) Action(name string, version int) *Action {
	versions := c.versions[name]
	if len(versions) == 0 {
		return nil
	}
	if version == 0 {
		return versions[len(versions)-1]
	}
	if i, found := slices.BinarySearchFunc(versions, version, byVersion); found {
		return versions[i]
	}
	return nil
}
