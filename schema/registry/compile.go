package registry

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
)

// maxSchema bounds the text of one JSON Schema, in bytes.
const maxSchema = 64 << 10

// compiled is an action ready to check events.
type compiled struct {
	actor, metadata *part
	targets         map[string]*target
	anyTarget       bool
	required        []string // target types
}

type target struct {
	metadata *part
	named    bool
}

// part is the compiled schema of one metadata; nil allows anything.
type part struct {
	schema *jsonschema.Schema
	known  map[string][]string // by member: texts that are known; another one is worth a warning
	named  map[string]bool     // members that the schema names
	bare   bool                // it asks for nothing
}

// keywordKnown lists, in the schema of a text, what is known to stand there. JSON Schema
// takes unknown keywords for notes.
const keywordKnown = "x-known"

func (p *part) names(member string) bool { return p != nil && p.named[member] }

func compile(a *catalogue.Action) (*compiled, error) {
	c := &compiled{targets: map[string]*target{}}
	var errs []error
	part := func(where string, text json.RawMessage) *part {
		p, err := compilePart(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("action %q version %d: %s: %w", a.Name, a.Version, where, err))
		}
		return p
	}
	c.actor = part("actor", a.Actor)
	c.metadata = part("metadata", a.Metadata)
	for i, t := range a.Targets {
		if t.Type == catalogue.AnyTarget {
			c.anyTarget = true
			continue
		}
		c.targets[t.Type] = &target{part(fmt.Sprintf("targets/%d/metadata", i), t.Metadata), t.Named}
		if t.Required {
			c.required = append(c.required, t.Type)
		}
	}
	return c, errors.Join(errs...)
}

// noLoader refuses references to other documents: a schema stands for itself, and nothing
// is fetched because a schema says so.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("refers to %s; a schema must be whole in itself", url)
}

func compilePart(text json.RawMessage) (*part, error) {
	if text == nil {
		return nil, nil //nolint:nilnil // no schema allows anything
	}
	if len(text) > maxSchema {
		return nil, fmt.Errorf("the schema has %d bytes, the limit is %d", len(text), maxSchema)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	const url = "schema.json"
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	compiler.UseLoader(noLoader{})
	if err := compiler.AddResource(url, doc); err != nil {
		return nil, err
	}
	p := &part{known: map[string][]string{}, named: map[string]bool{}}
	if p.schema, err = compiler.Compile(url); err != nil {
		return nil, err
	}
	object, _ := doc.(map[string]any)
	p.bare = len(object) == 0 && doc != false
	properties, _ := object["properties"].(map[string]any)
	for name, property := range properties {
		p.named[name] = true
		inner, _ := property.(map[string]any)
		values, _ := inner[keywordKnown].([]any)
		for _, value := range values {
			if s, ok := value.(string); ok {
				p.known[name] = append(p.known[name], s)
			}
		}
	}
	return p, nil
}

// check adds what in metadata, which stands at pointer, is not as the schema has it.
func (p *part) check(f *findings, pointer string, metadata map[string]any) {
	if p == nil || p.bare {
		return
	}
	// An event without metadata is checked as one with none: a required member is missing.
	if metadata == nil {
		metadata = map[string]any{}
	}
	err := p.schema.Validate(metadata)
	if invalid, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		// The validator goes through members in any order; the same event gets the same list.
		var found []schema.Violation
		explain(&found, pointer, invalid)
		slices.SortStableFunc(found, func(a, b schema.Violation) int {
			return cmp.Or(strings.Compare(a.Pointer, b.Pointer), strings.Compare(a.Code, b.Code), strings.Compare(a.Message, b.Message))
		})
		for _, v := range found {
			f.violate(v.Pointer, v.Code, v.Message)
		}
	} else if err != nil {
		f.violate(pointer, CodeSchema, "cannot be checked: "+err.Error())
	}
	for _, name := range slices.Sorted(maps.Keys(p.known)) {
		if text, ok := metadata[name].(string); ok && !slices.Contains(p.known[name], text) {
			f.warn(pointer+"/"+escape(name), CodeUnknownValue, "is none of the values that are known here")
		}
	}
}

// explain adds the leaves of a validator's finding. Their texts are our own: a violation
// holds no value of the event.
func explain(found *[]schema.Violation, pointer string, e *jsonschema.ValidationError) {
	violate := func(at, code, message string) {
		*found = append(*found, schema.Violation{Pointer: at, Code: code, Message: message})
	}
	steps := make([]string, len(e.InstanceLocation)+1)
	steps[0] = pointer
	for i, step := range e.InstanceLocation {
		steps[i+1] = escape(step)
	}
	at := strings.Join(steps, "/")
	switch k := e.ErrorKind.(type) {
	case *kind.AnyOf:
		violate(at, CodeSchema, "matches none of the alternatives of the schema")
		return
	case *kind.OneOf:
		violate(at, CodeSchema, "must match exactly one of the alternatives of the schema")
		return
	case *kind.Required:
		for _, name := range k.Missing {
			violate(at+"/"+escape(name), schema.CodeRequired, schema.CodeRequired)
		}
		return
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			violate(at+"/"+escape(name), CodeUnknownMember, "the schema has no such member")
		}
		return
	}
	if len(e.Causes) > 0 {
		for _, cause := range e.Causes {
			explain(found, pointer, cause)
		}
		return
	}
	code, message := describe(e.ErrorKind)
	violate(at, code, message)
}

func describe(e jsonschema.ErrorKind) (code, message string) {
	switch k := e.(type) {
	case *kind.Type:
		return schema.CodeType, "must be " + strings.Join(slices.Sorted(slices.Values(k.Want)), " or ") + ", not " + k.Got
	case *kind.Enum:
		return CodeEnum, "must be one of " + list(k.Want)
	case *kind.Const:
		return CodeEnum, "must be " + list([]any{k.Want})
	case *kind.Pattern:
		return schema.CodePattern, "must match " + k.Want
	case *kind.Format:
		return schema.CodeFormat, "must be of the format " + k.Want
	case *kind.MinLength:
		return CodeLimit, fmt.Sprintf("must have at least %d characters", k.Want)
	case *kind.MaxLength:
		return CodeLimit, fmt.Sprintf("must have at most %d characters", k.Want)
	case *kind.Minimum:
		return schema.CodeRange, "must be at least " + k.Want.RatString()
	case *kind.Maximum:
		return schema.CodeRange, "must be at most " + k.Want.RatString()
	case *kind.Not:
		return CodeSchema, "must not match what the schema excludes"
	case *kind.FalseSchema:
		return CodeUnknownMember, "must not be there"
	}
	path := e.KeywordPath()
	if len(path) == 0 {
		return CodeSchema, "is not as the schema has it"
	}
	return CodeSchema, "is not as " + path[len(path)-1] + " of the schema has it"
}

// list is the values of a schema as JSON.
func list(values []any) string {
	texts := make([]string, 0, len(values))
	for _, value := range values {
		text, err := json.Marshal(value)
		if err != nil {
			continue
		}
		texts = append(texts, string(text))
	}
	return strings.Join(texts, ", ")
}

func escape(step string) string {
	return strings.ReplaceAll(strings.ReplaceAll(step, "~", "~0"), "/", "~1")
}

// essence is the canonical form of an action's schema, without what is only said about it.
func essence(a *catalogue.Action) ([]byte, error) {
	targets := slices.SortedFunc(slices.Values(a.Targets), func(a, b catalogue.Target) int { return strings.Compare(a.Type, b.Type) })
	text, err := json.Marshal(struct {
		Targets         []catalogue.Target
		Actor, Metadata json.RawMessage
	}{targets, a.Actor, a.Metadata})
	if err != nil {
		return nil, fmt.Errorf("action %q: %w", a.Name, err)
	}
	canonical, err := schema.Canonicalize(nil, text)
	if err != nil {
		return nil, fmt.Errorf("action %q: %w", a.Name, err)
	}
	return canonical, nil
}
