package schema

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func TestCheckAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector drops memory that was to be used again")
	}
	var v Validator
	event := []byte(canonicalEvent)
	allocations := testing.AllocsPerRun(1000, func() {
		if violations := v.Check(event); violations != nil {
			t.Error(violations)
		}
	})
	if allocations > 0 {
		t.Errorf("%v allocations a check", allocations)
	}
}

// hostile are values that cost much if something costs the square of its size.
func hostile() map[string]string {
	const head = `{"action":"a.b","occurred_at":"2026-01-02T03:04:05Z","organization_id":"org_01JAAAAAAAAAAAAAAAAAAAAAAA","actor":{"id":"1","type":"user"}`
	var names, same strings.Builder
	for i := range 30_000 {
		fmt.Fprintf(&names, `"n%d":0,`, i)
		same.WriteString(`"n":0,`)
	}
	targets := strings.Repeat(`{"id":"1","type":"t"},`, 10_000)
	return map[string]string{
		"ten thousand targets":      head + `,"targets":[` + strings.TrimSuffix(targets, ",") + `]}`,
		"ten thousand wrong ones":   head + `,"targets":[` + strings.Repeat(`{},`, 10_000) + `0]}`,
		"thirty thousand names":     head + `,"targets":[],"metadata":{` + strings.TrimSuffix(names.String(), ",") + `}}`,
		"one name, again and again": head + `,"targets":[],"metadata":{` + strings.TrimSuffix(same.String(), ",") + `}}`,
		"a number of 300 kB":        head + `,"targets":[],"metadata":{"n":` + strings.Repeat("9", 300_000) + `}}`,
		"a fraction of 300 kB":      head + `,"targets":[],"metadata":{"n":0.` + strings.Repeat("3", 300_000) + `}}`,
		"an exponent of 300 kB":     head + `,"targets":[],"version":1e` + strings.Repeat("9", 300_000) + `}`,
		"brackets":                  strings.Repeat("[", 300_000),
		"braces":                    strings.Repeat(`{"a":`, 60_000),
		"as deep as may be":         head + `,"targets":[],"metadata":` + strings.Repeat(`{"a":`, MaxDepth-1) + `1` + strings.Repeat(`}`, MaxDepth-1) + `}`,
		"escapes":                   head + `,"targets":[],"metadata":{"t":"` + strings.Repeat(`\u00e9`, 50_000) + `"}}`,
		"names of one escape each":  head + `,"targets":[],"metadata":{"` + strings.Repeat(`\u0061`, 50_000) + `":1}}`,
		"quotes and backslashes":    head + `,"targets":[],"metadata":{"t":"` + strings.Repeat(`\\\"`, 75_000) + `"}}`,
		"no UTF-8":                  head + `,"targets":[],"metadata":{"t":"` + strings.Repeat("é", 130_000) + "\xff" + `"}}`,
		"long pointers":             head + `,"targets":[],"metadata":{"` + strings.Repeat("/", 130_000) + `":1e999}}`,
		"white space":               head + strings.Repeat(" ", 300_000) + `,"targets":[]}`,
	}
}

// All readers come to an end with all of these, and to the same opinion of them. (The test
// has no clock: what costs the square of its size makes it run for minutes.)
func TestHostileValues(t *testing.T) {
	var v Validator
	for name, text := range hostile() {
		violations := v.Check([]byte(text))
		e, decoded := v.Decode([]byte(text))
		if diff := cmp.Diff(violations, decoded); diff != "" {
			t.Errorf("%s: Decode and Check differ (-check +decode):\n%.2000s", name, diff)
		}
		if len(violations) > MaxViolations+1 || len(violations.Error()) > 200_000 {
			t.Errorf("%s: %d violations, %d bytes", name, len(violations), len(violations.Error()))
		}
		_, err := Decode([]byte(text))
		if violations == nil && (err != nil || e == nil) {
			t.Errorf("%s: valid, yet %v", name, err)
		}
		if violations != nil {
			continue
		}
		canonical, err := e.AppendCanonical(nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		again, err := Canonicalize(nil, []byte(text))
		if err != nil || !bytes.Equal(canonical, again) {
			t.Errorf("%s: two canonical forms, %v", name, err)
		}
	}
}

// What was decoded stays as it is while the memory that it was read with is used again.
func TestDecodedEventsShareNothing(t *testing.T) {
	value := []byte(canonicalEvent)
	e, err := Decode(value)
	if err != nil {
		t.Fatal(err)
	}
	want, err := e.AppendCanonical(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, violations := new(Validator).Decode([]byte(`{"action":7,"actor":{"id":"x","metadata":{"a":[1,2,{"b":"c"}]}}}`))
	kept := slices.Clone(violations)
	for i := range value {
		value[i] = 'x'
	}
	for range 100 {
		if _, err := Decode([]byte(strings.ReplaceAll(canonicalEvent, "user", "USER"))); err != nil {
			t.Fatal(err)
		}
		if violations := new(Validator).Check([]byte(`{"action":[1,2,3],"x":{"y":{}}}`)); violations == nil {
			t.Fatal("a wrong event is valid")
		}
	}
	got, err := e.AppendCanonical(nil)
	if err != nil || !bytes.Equal(want, got) {
		t.Errorf("%s, %v; before %s", got, err, want)
	}
	if diff := cmp.Diff(kept, violations); diff != "" {
		t.Errorf("violations have changed:\n%s", diff)
	}
}

// The same event, the same schema: our check, and a validator of any JSON Schema. Both
// begin with bytes; the first line of each pair is what the README states.
func BenchmarkEnvelope(b *testing.B) {
	event := []byte(canonicalEvent)
	b.Run("check", func(b *testing.B) {
		v := Validator{OrganizationOptional: true}
		b.SetBytes(int64(len(event)))
		b.ReportAllocs()
		for b.Loop() {
			if violations := v.Check(event); violations != nil {
				b.Fatal(violations)
			}
		}
	})
	b.Run("jsonschema", func(b *testing.B) {
		compiled := compileEnvelope(b)
		b.SetBytes(int64(len(event)))
		b.ReportAllocs()
		for b.Loop() {
			instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(event))
			if err != nil {
				b.Fatal(err)
			}
			if err := compiled.Validate(instance); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("jsonschema without decoding", func(b *testing.B) {
		compiled := compileEnvelope(b)
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(event))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if err := compiled.Validate(instance); err != nil {
				b.Fatal(err)
			}
		}
	})
}
