package schema

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const someID = "audit_event_01JGXYZ0000000000000000000"

// withoutID is an event that services publish, before it has an id.
func withoutID(tb testing.TB) *Event {
	tb.Helper()
	e, err := Decode([]byte(canonicalEvent))
	if err != nil {
		tb.Fatal(err)
	}
	e.ID = ""
	return e
}

func TestIDIsSetWhereEncodingWouldWriteIt(t *testing.T) {
	cases := map[string]func(*Event){
		"as it is": func(*Event) {},
		"the least": func(e *Event) {
			*e = Event{OrganizationID: e.OrganizationID, Action: "a", OccurredAt: e.OccurredAt, Actor: e.Actor, Targets: []Target{}}
		},
		"other members on both sides": func(e *Event) {
			e.Extra = map[string]json.RawMessage{"ic": []byte("1"), "ie": []byte("2"), "ID": []byte("3"), "z": []byte("4")}
		},
		"a name that begins with it": func(e *Event) {
			e.Extra = map[string]json.RawMessage{"id_": []byte(`{"id":null}`), "i": []byte(`"id"`)}
		},
		"names beyond ASCII":     func(e *Event) { e.Extra = map[string]json.RawMessage{"\u00e9": []byte("1"), "\U0001f600": []byte("2")} },
		"an id inside of others": func(e *Event) { e.Metadata = map[string]any{"id": `,"id":"`} },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			e := withoutID(t)
			change(e)
			var v Validator
			encoded, violations := v.Encoded(e)
			if violations != nil {
				t.Fatal(violations)
			}
			content, _ := v.Encode(nil, e)
			if !bytes.Equal(encoded.Value(), content) || encoded.ID() != "" || encoded.OrganizationID() != e.OrganizationID {
				t.Fatalf("encoded as %s", encoded.Value())
			}
			if violations := encoded.SetID(someID); violations != nil {
				t.Fatal(violations)
			}
			want, violations := v.Encode(nil, e)
			if violations != nil || e.ID != someID || encoded.ID() != someID {
				t.Fatalf("the event has id %q: %v", e.ID, violations)
			}
			if diff := cmp.Diff(string(want), string(encoded.Value())); diff != "" {
				t.Errorf("(-as Encode writes it +spliced):\n%s", diff)
			}
		})
	}
}

func TestSetIDRefusesWhatEncodeRefuses(t *testing.T) {
	for _, id := range []string{"x", `audit_event_"`, someID + "0", strings.ToLower(someID), "audit_event_\u00e9"} {
		var v Validator
		e := withoutID(t)
		encoded, _ := v.Encoded(e)
		before := string(encoded.Value())
		got := encoded.SetID(id)
		want := v.Validate(e)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-Encode +SetID):\n%s", id, diff)
		}
		if len(got) == 0 || string(encoded.Value()) != before {
			t.Errorf("%q: %v, %s", id, got, encoded.Value())
		}
	}
}

func TestSetIDMindsTheSize(t *testing.T) {
	e := withoutID(t)
	content, _ := new(Validator).Encode(nil, e)
	for limit := len(content); limit < len(content)+50; limit++ {
		v := Validator{MaxBytes: limit}
		e.ID = ""
		encoded, violations := v.Encoded(e)
		if violations != nil {
			t.Fatal(violations)
		}
		if diff := cmp.Diff(encoded.SetID(someID), v.Validate(e)); diff != "" {
			t.Fatalf("%d bytes:\n%s", limit, diff)
		}
	}
}

func TestEncodedStaysAsItIs(t *testing.T) {
	var v Validator
	e := withoutID(t)
	encoded, _ := v.Encoded(e)
	content := encoded.Value()
	before := string(content)
	organization := e.OrganizationID
	e.Action, e.OrganizationID, e.Metadata["source"] = "other.action", "org_"+strings.Repeat("B", 26), "other"
	if violations := encoded.SetID(someID); violations != nil {
		t.Fatal(violations)
	}
	if string(content) != before {
		t.Error("setting the id has changed the content that was handed out")
	}
	var f Fields
	if err := Scan(encoded.Value(), &f); err != nil || string(f.OrganizationID) != organization || encoded.OrganizationID() != organization || string(f.ID) != someID || string(f.Action) == "other.action" {
		t.Errorf("changed with its event: %s, %v", encoded.Value(), err)
	}
}

func TestEncodedIsCheckedByWhoHasOtherRules(t *testing.T) {
	var v Validator
	encoded, _ := v.Encoded(withoutID(t))
	same := Validator{}
	if value, violations := encoded.For(&same); violations != nil || !bytes.Equal(value, encoded.Value()) {
		t.Errorf("by equal rules: %v", violations)
	}
	for name, strict := range map[string]Validator{
		"another pattern": {OrganizationPattern: regexp.MustCompile("^tenant_")},
		"fewer bytes":     {MaxBytes: 100},
	} {
		if value, violations := encoded.For(&strict); violations == nil || value != nil {
			t.Errorf("by %s it is fit: %s", name, value)
		}
	}
	lenient := Validator{OrganizationPattern: regexp.MustCompile("^org_")}
	if value, violations := encoded.For(&lenient); violations != nil || !bytes.Equal(value, encoded.Value()) {
		t.Errorf("by other rules that let it pass: %v", violations)
	}
}

func TestEncodedTakesAnotherID(t *testing.T) {
	var v Validator
	e := withoutID(t)
	encoded, _ := v.Encoded(e)
	other := "audit_event_" + strings.Repeat("Z", 26)
	for _, id := range []string{someID, other, someID} {
		if violations := encoded.SetID(id); violations != nil {
			t.Fatal(violations)
		}
		if want, _ := v.Encode(nil, e); encoded.ID() != id || !bytes.Equal(encoded.Value(), want) {
			t.Errorf("%s: %s", id, encoded.Value())
		}
	}
}

// FuzzSetID has ids set in whatever is valid: each event has the bytes that encoding it with the
// id gives, which are valid and canonical, or is refused for the same.
func FuzzSetID(f *testing.F) {
	for _, seed := range []string{valid, canonicalEvent, strings.Replace(canonicalEvent, `"action"`, `"\u00e9":1,"ID":2,"ic":[{"id":"x"}],"id_":{},"action"`, 1)} {
		f.Add([]byte(seed), someID)
		f.Add([]byte(seed), `x","action":"y`)
	}
	f.Fuzz(func(t *testing.T, value []byte, id string) {
		v := Validator{OrganizationOptional: true}
		e, violations := v.Decode(value)
		if len(violations) > 0 {
			return
		}
		e.ID = ""
		encoded, violations := v.Encoded(e)
		if len(violations) > 0 {
			t.Fatalf("%q: valid, but not to be encoded: %v", value, violations)
		}
		got := encoded.SetID(id)
		want, violations := v.Encode(nil, e)
		if diff := cmp.Diff(violations, got); diff != "" {
			t.Fatalf("%q with id %q (-Encode +SetID):\n%s", value, id, diff)
		}
		if len(got) > 0 {
			return
		}
		if !bytes.Equal(encoded.Value(), want) {
			t.Fatalf("%q with id %q:\n%s\nnot\n%s", value, id, encoded.Value(), want)
		}
		if again, err := Canonicalize(nil, encoded.Value()); err != nil || !bytes.Equal(again, want) {
			t.Fatalf("%q: not canonical: %v", encoded.Value(), err)
		}
		if violations := v.Check(encoded.Value()); len(violations) > 0 {
			t.Fatalf("%q: not valid: %v", encoded.Value(), violations)
		}
	})
}

func BenchmarkSetID(b *testing.B) {
	e := withoutID(b)
	var v Validator
	b.ReportAllocs()
	for b.Loop() {
		e.ID = ""
		encoded, _ := v.Encoded(e)
		if violations := encoded.SetID(someID); violations != nil {
			b.Fatal(violations)
		}
	}
}
