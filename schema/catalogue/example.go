package catalogue

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/auditstream/auditstream/schema"
)

// Example makes an event of the action with everything that its schemas name. It is the
// same every time. A schema that asks for more than types, known values and bounds of a
// number (a pattern, say) may refuse it, unless its "examples" or "default" help.
func Example(a *Action) (*schema.Event, error) {
	const organization = "org_01JAAAAAAAAAAAAAAAAAAAAAAA"
	version := a.Version
	e := &schema.Event{
		OrganizationID: organization,
		Action:         a.Name,
		Version:        &version,
		OccurredAt:     "2026-01-15T10:30:00.000Z",
		Actor:          schema.Actor{ID: "user_01JEXAMPLE00000000000000AA", Type: "user", Name: "Ada Lovelace"},
		Targets:        []schema.Target{},
		Context:        &schema.Context{Location: "192.0.2.1", UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
	}
	var err error
	if e.Actor.Metadata, err = exampleMetadata(a.Actor); err != nil {
		return nil, fmt.Errorf("action %q: actor: %w", a.Name, err)
	}
	for _, t := range a.Targets {
		if t.Type == AnyTarget {
			continue
		}
		target := schema.Target{ID: t.Type + "_01JEXAMPLE00000000000000BB", Type: t.Type, Name: "Example " + strings.ReplaceAll(t.Type, "_", " ")}
		if target.Metadata, err = exampleMetadata(t.Metadata); err != nil {
			return nil, fmt.Errorf("action %q: target %q: %w", a.Name, t.Type, err)
		}
		e.Targets = append(e.Targets, target)
	}
	if e.Metadata, err = exampleMetadata(a.Metadata); err != nil {
		return nil, fmt.Errorf("action %q: metadata: %w", a.Name, err)
	}
	content, err := e.AppendCanonical(nil)
	if err != nil {
		return nil, err
	}
	e.ID = schema.DeriveID(organization, "example", content)
	return e, nil
}

// property is as much of a JSON Schema as an example looks at.
type property struct {
	Type       any                 `json:"type"` // a string, or several
	Properties map[string]property `json:"properties"`
	Items      *property           `json:"items"`
	Const      any                 `json:"const"`
	Enum       []any               `json:"enum"`
	Known      []any               `json:"x-known"`
	Examples   []any               `json:"examples"`
	Default    any                 `json:"default"`
	Minimum    json.Number         `json:"minimum"`
}

// exampleMetadata is nil for a schema that names no member.
func exampleMetadata(text json.RawMessage) (map[string]any, error) {
	if text == nil {
		return nil, nil
	}
	var p property
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	if err := d.Decode(&p); err != nil {
		return nil, err
	}
	if len(p.Properties) == 0 {
		return nil, nil
	}
	object, _ := p.example("").(map[string]any)
	return object, nil
}

func (p *property) example(name string) any {
	for _, given := range [][]any{p.Examples, p.Enum, p.Known} {
		if len(given) > 0 {
			return given[0]
		}
	}
	switch {
	case p.Const != nil:
		return p.Const
	case p.Default != nil:
		return p.Default
	}
	switch p.kind() {
	case "object":
		object := make(map[string]any, len(p.Properties))
		for _, name := range slices.Sorted(maps.Keys(p.Properties)) {
			inner := p.Properties[name]
			object[name] = inner.example(name)
		}
		return object
	case "array":
		if p.Items == nil {
			return []any{}
		}
		return []any{p.Items.example(name)}
	case "boolean":
		return true
	case "integer", "number":
		if p.Minimum != "" && p.Minimum != "0" {
			return p.Minimum
		}
		return 3
	case "null":
		return nil
	}
	return exampleText(name)
}

// kind is the first type that is not null.
func (p *property) kind() string {
	switch t := p.Type.(type) {
	case string:
		return t
	case []any:
		for _, one := range t {
			if text, ok := one.(string); ok && text != "null" {
				return text
			}
		}
	}
	if p.Properties != nil {
		return "object"
	}
	return "string"
}

// exampleText is a text that suits a member's name.
func exampleText(name string) string {
	switch {
	case strings.HasSuffix(name, "email"), name == "login_hint":
		return "ada@example.com"
	case strings.HasSuffix(name, "_at"), strings.HasSuffix(name, "_date"):
		return "2026-01-15T10:30:00.000Z"
	case strings.HasSuffix(name, "_id"):
		return strings.TrimSuffix(name, "_id") + "_01JEXAMPLE00000000000000CC"
	case name == "source":
		return "/organizations/[orgId]/settings"
	}
	return "example " + strings.ReplaceAll(name, "_", " ")
}
