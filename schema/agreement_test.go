package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// The hand-written check and a JSON Schema validator come to the same violations at the
// same places, on events made at random out of right and wrong parts. Left out are what
// the schema cannot express, by design of the check: repeated names (the generator makes
// none), camelCase names (likewise) and numbers that have no canonical form.
func TestCheckAgreesWithTheSchema(t *testing.T) {
	compiled := compileEnvelope(t)
	rng := rand.New(rand.NewPCG(1, 2))
	g := generator{rng}
	validator := Validator{OrganizationOptional: true}
	valid, invalid := 0, 0
	for range 30_000 {
		value, err := json.Marshal(g.event())
		if err != nil {
			t.Fatal(err)
		}
		want := schemaViolations(t, compiled, value)
		got := []string{}
		for _, v := range validator.Check(value) {
			got = append(got, v.Pointer+" "+v.Code)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s\n(-schema +check):\n%s", value, diff)
		}
		if len(want) == 0 {
			valid++
		} else {
			invalid++
		}
	}
	if valid < 1000 || invalid < 1000 {
		t.Errorf("%d valid and %d invalid events show too little", valid, invalid)
	}
}

func TestDateTimeAgreesWithTheSchemaFormat(t *testing.T) {
	tests := []struct {
		text string
		want bool
	}{
		{"2026-01-02T03:04:05Z", true},
		{"2026-01-02t03:04:05z", true},
		{"2026-01-02 03:04:05Z", false},
		{"2026-01-02T03:04:05", false},
		{"2026-01-02T03:04:05.Z", false},
		{"2026-01-02T03:04:05.123456789012345678901234567890Z", true},
		{"2026-01-02T03:04:05+05:30", true},
		{"2026-01-02T03:04:05-23:59", true},
		{"2026-01-02T03:04:05+24:00", false},
		{"2026-01-02T03:04:05+00:60", false},
		{"2026-01-02T03:04:05+0530", false},
		{"2026-01-02T03:04:05ZZ", false},
		{"2026-02-29T00:00:00Z", false},
		{"2024-02-29T00:00:00Z", true},
		{"1900-02-29T00:00:00Z", false},
		{"2000-02-29T00:00:00Z", true},
		{"2026-04-31T00:00:00Z", false},
		{"2026-13-01T00:00:00Z", false},
		{"2026-00-01T00:00:00Z", false},
		{"2026-01-00T00:00:00Z", false},
		{"2026-01-01T24:00:00Z", false},
		{"2026-01-01T00:60:00Z", false},
		{"0000-01-01T00:00:00Z", true},
		{"2016-12-31T23:59:60Z", true},
		{"2016-12-31T23:59:60.5Z", true},
		{"2017-01-01T00:59:60+01:00", true},
		{"2016-12-31T15:59:60-08:00", true},
		{"2016-12-31T23:59:60+01:00", false},
		{"2016-12-31T22:59:60Z", false},
		{"2016-12-31T23:59:61Z", false},
		{"", false},
		{"now", false},
		{"02026-01-02T03:04:05Z", false},
		{"٢٠٢٦-01-02T03:04:05Z", false},
	}
	compiled := compileEnvelope(t)
	agree := func(text string) bool {
		value, err := json.Marshal(map[string]any{"action": "", "actor": map[string]any{"id": "", "type": ""}, "targets": []any{}, "occurred_at": text})
		if err != nil {
			t.Fatal(err)
		}
		return len(schemaViolations(t, compiled, value)) == 0
	}
	for _, tt := range tests {
		if got := isDateTime(tt.text); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.text, got, tt.want)
		}
		if got := agree(tt.text); got != tt.want {
			t.Errorf("%q: the schema's format says %v", tt.text, got)
		}
	}

	// The other validator reads its numbers with a function that takes a sign.
	signed := regexp.MustCompile(`[T:t.+-][+-]`)
	rng := rand.New(rand.NewPCG(3, 4))
	const signs = "0123456789:-+.TtZz "
	for range 50_000 {
		text := []byte(tests[rng.IntN(len(tests))].text)
		for range rng.IntN(3) {
			if len(text) > 0 {
				text[rng.IntN(len(text))] = signs[rng.IntN(len(signs))]
			}
		}
		if got := isDateTime(string(text)); !signed.Match(text) && got != agree(string(text)) {
			t.Fatalf("%q: %v, the schema's format says otherwise", text, got)
		}
	}
}

func compileEnvelope(tb testing.TB) *jsonschema.Schema {
	tb.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(EnvelopeSchema))
	if err != nil {
		tb.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("envelope.schema.json", doc); err != nil {
		tb.Fatal(err)
	}
	compiled, err := c.Compile("envelope.schema.json")
	if err != nil {
		tb.Fatal(err)
	}
	return compiled
}

// schemaViolations is what the JSON Schema validator finds, as "pointer code", in order.
func schemaViolations(t *testing.T, compiled *jsonschema.Schema, value []byte) []string {
	t.Helper()
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		t.Fatal(err)
	}
	found := []string{}
	var walk func(*jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		for _, cause := range e.Causes {
			walk(cause)
		}
		if len(e.Causes) > 0 {
			return
		}
		pointer := ""
		for _, step := range e.InstanceLocation {
			pointer += "/" + step
		}
		path := e.ErrorKind.KeywordPath()
		keyword := path[len(path)-1]
		if keyword != "required" {
			found = append(found, pointer+" "+keyword)
			return
		}
		missing, err := json.Marshal(e.ErrorKind)
		if err != nil {
			t.Fatal(err)
		}
		var required struct{ Missing []string }
		if err := json.Unmarshal(missing, &required); err != nil {
			t.Fatal(err)
		}
		for _, name := range required.Missing {
			found = append(found, pointer+"/"+name+" required")
		}
	}
	err = compiled.Validate(instance)
	if e, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		walk(e)
	} else if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}

// generator makes events, most of their parts right, some wrong.
type generator struct{ *rand.Rand }

func (g generator) oneOf(values ...any) any { return values[g.IntN(len(values))] }

// wrong is true once in a while.
func (g generator) wrong() bool { return g.IntN(25) == 0 }

func (g generator) anything() any {
	return g.oneOf(nil, true, false, 0, 1.5, -7, "", "text", []any{}, []any{1, "x"}, map[string]any{}, map[string]any{"id": 1, "type": nil}, json.Number("1.0"), json.Number("1e2"), json.Number("12e-1"), json.Number("1e25"))
}

func (g generator) or(right any) any {
	if g.wrong() {
		return g.anything()
	}
	return right
}

func (g generator) event() any {
	if g.IntN(200) == 0 {
		return g.anything()
	}
	m := map[string]any{
		"action":      g.or(g.oneOf("user.signed_in", "", "ä")),
		"occurred_at": g.or(g.oneOf("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123+02:00", "2026-01-02t03:04:05z")),
		"actor":       g.or(g.party()),
		"targets":     g.or(g.targets()),
	}
	optional := map[string]func() any{
		"id":              func() any { return g.mutate("audit_event_01ARYZ6S410000000000000000") },
		"organization_id": func() any { return g.mutate("org_01JAAAAAAAAAAAAAAAAAAAAAAA") },
		"version":         func() any { return g.oneOf(1, 0, -3, json.Number("2.0"), json.Number("3e0")) },
		"context":         g.context,
		"metadata":        func() any { return map[string]any{"k": g.anything(), "l": g.anything()} },
		"unknown":         g.anything,
	}
	for _, name := range slices.Sorted(maps.Keys(optional)) { // in one order, for the same events every time
		if g.IntN(2) == 0 {
			m[name] = g.or(optional[name]())
		}
	}
	return g.drop(m)
}

// mutate changes one character of a text once in a while.
func (g generator) mutate(text string) string {
	if !g.wrong() {
		return text
	}
	i := g.IntN(len(text))
	return g.oneOf(text[:i]+text[i+1:], text[:i]+"a"+text[i+1:], text[:i]+"Z"+text[i+1:], text+"A", text+"\n", text[:i]+"é"+text[i+1:], strconv.Itoa(i)).(string)
}

func (g generator) drop(m map[string]any) map[string]any {
	if g.wrong() && len(m) > 0 {
		delete(m, slices.Sorted(maps.Keys(m))[g.IntN(len(m))])
	}
	return m
}

func (g generator) party() any {
	m := map[string]any{"id": g.or("1"), "type": g.or("user")}
	if g.IntN(2) == 0 {
		m["name"] = g.or(g.oneOf(nil, "", "Alice"))
	}
	if g.IntN(3) == 0 {
		m["metadata"] = g.or(map[string]any{"x": g.anything()})
	}
	if g.IntN(3) == 0 {
		m["unknown"] = g.anything()
	}
	return g.drop(m)
}

func (g generator) targets() any {
	targets := make([]any, g.IntN(4))
	for i := range targets {
		targets[i] = g.or(g.party())
	}
	return targets
}

func (g generator) context() any {
	m := map[string]any{}
	for _, name := range []string{"location", "user_agent", "unknown"} {
		if g.IntN(2) == 0 {
			m[name] = g.or("x")
		}
	}
	return m
}
