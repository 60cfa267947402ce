package schema

import (
	"encoding/json"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecode(t *testing.T) {
	one := 1
	tests := []struct {
		name, value string
		want        *Event
		canonical   string // empty: value is canonical already
	}{
		{
			"camelCase", `{"action":"sso.view_settings","occurredAt":"2025-01-15T10:30:00.000Z","organizationId":"org_1","version":1,"actor":{"type":"user","id":"u"},"targets":[],"context":{"location":"192.0.2.1","userAgent":"Mozilla"}}`,
			&Event{
				Action: "sso.view_settings", OccurredAt: "2025-01-15T10:30:00.000Z", OrganizationID: "org_1", Version: &one,
				Actor: Actor{Type: "user", ID: "u"}, Targets: []Target{}, Context: &Context{Location: "192.0.2.1", UserAgent: "Mozilla"},
			},
			`{"action":"sso.view_settings","actor":{"id":"u","type":"user"},"context":{"location":"192.0.2.1","user_agent":"Mozilla"},"occurred_at":"2025-01-15T10:30:00.000Z","organization_id":"org_1","targets":[],"version":1}`,
		},
		{
			"metadata of every type", `{"actor":{"metadata":{"a":"x","b":true,"c":false,"d":null,"e":-1.5,"f":[1,"y"],"g":{}}},"metadata":{}}`,
			&Event{Actor: Actor{Metadata: map[string]any{
				"a": "x", "b": true, "c": false, "d": nil, "e": json.Number("-1.5"), "f": []any{json.Number("1"), "y"}, "g": map[string]any{},
			}}, Metadata: map[string]any{}}, "",
		},
		{
			"unknown members at every level", `{"action":"a","actor":{"email":"x","id":"1","type":"t"},"context":{"port":443},"severity":{"b":1},"targets":[{"id":"1","tags":["x"],"type":"t"}]}`,
			&Event{
				Action: "a", Actor: Actor{ID: "1", Type: "t", Extra: extra("email", `"x"`)}, Context: &Context{Extra: extra("port", "443")},
				Targets: []Target{{ID: "1", Type: "t", Extra: extra("tags", `["x"]`)}}, Extra: extra("severity", `{"b":1}`),
			}, "",
		},
		{
			"what a field cannot tell from nothing", `{"action":"","actor":{"id":"","name":null,"type":""},"context":{"location":"","user_agent":""},"id":"","occurred_at":"","organization_id":"","targets":[{"name":""}],"version":1e+30}`,
			&Event{
				Actor:   Actor{Extra: extra("id", `""`, "name", "null", "type", `""`)},
				Context: &Context{Extra: extra("location", `""`, "user_agent", `""`)},
				Targets: []Target{{Extra: extra("name", `""`)}},
				Extra:   extra("action", `""`, "id", `""`, "occurred_at", `""`, "organization_id", `""`, "version", "1e+30"),
			}, "",
		},
		{"an actor without members", `{"actor":{}}`, &Event{Extra: extra("actor", "{}")}, ""},
		{"an empty camelCase text", `{"occurredAt":""}`, &Event{Extra: extra("occurred_at", `""`)}, `{"occurred_at":""}`},
		{"a version with a fraction of nothing", `{"version":10e-1}`, &Event{Version: &one}, `{"version":1}`},
		{"names are taken as written but for the three", `{"Action":"a","userAgent":"b","actor":{"userAgent":"c"}}`, &Event{
			Extra: extra("Action", `"a"`, "userAgent", `"b"`), Actor: Actor{Extra: extra("userAgent", `"c"`)},
		}, `{"Action":"a","actor":{"userAgent":"c"},"userAgent":"b"}`},
		{"names with escapes", `{"\u0061ction":"\u0062"}`, &Event{Action: "b"}, `{"action":"b"}`},
		{"nothing at all", `{}`, &Event{}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			value := []byte(tt.value)
			got, err := Decode(value)
			if err != nil {
				t.Fatal(err)
			}
			clear(value) // the event keeps nothing of it
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
			canonical, err := got.AppendCanonical(nil)
			if err != nil {
				t.Fatal(err)
			}
			want := tt.canonical
			if want == "" {
				want = tt.value
			}
			if diff := cmp.Diff(want, string(canonical)); diff != "" {
				t.Errorf("canonical form (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	const both = "the event has this member in its other spelling, too; send one of them"
	tests := []struct {
		name, value string
		want        Violations
	}{
		{"both spellings", `{"occurredAt":"a","occurred_at":"b","organization_id":"","organizationId":"","context":{"user_agent":"","userAgent":""}}`, Violations{
			{"/occurred_at", CodeDuplicate, both}, {"/organizationId", CodeDuplicate, both}, {"/context/userAgent", CodeDuplicate, both},
		}},
		{"a name twice", `{"actor":{"id":"1","id":"2"}}`, Violations{{"/actor/id", CodeDuplicate, "the name stands here for the second time; send it once"}}},
		{"wrong types, all of them", `{"id":1,"action":null,"version":"1","actor":5,"targets":{},"context":[],"metadata":"x"}`, Violations{
			{"/id", CodeType, "must be a string, not number"},
			{"/action", CodeType, "must be a string, not null"},
			{"/version", CodeType, "must be an integer, not string"},
			{"/actor", CodeType, "must be an object, not number"},
			{"/targets", CodeType, "must be an array, not object"},
			{"/context", CodeType, "must be an object, not array"},
			{"/metadata", CodeType, "must be an object, not string"},
		}},
		{"wrong types further in", `{"version":1.5,"targets":[{"id":true},[],{"name":1,"metadata":null}],"context":{"userAgent":1}}`, Violations{
			{"/version", CodeType, "must be an integer, not number with a fraction"},
			{"/targets/0/id", CodeType, "must be a string, not boolean"},
			{"/targets/1", CodeType, "must be an object, not array"},
			{"/targets/2/name", CodeType, "must be a string or null, not number"},
			{"/targets/2/metadata", CodeType, "must be an object, not null"},
			{"/context/userAgent", CodeType, "must be a string, not number"},
		}},
		{"not an object", `[]`, Violations{{"", CodeType, "must be an object, not array"}}},
		{"two objects", `{}{}`, Violations{{"", CodeSyntax, "more than one value at byte 2"}}},
		{"not UTF-8", "{\"action\":\"\xff\"}", Violations{{"", CodeSyntax, "invalid UTF-8 at byte 11"}}},
		{"lone surrogate", `{"actor":{"name":"\udfff"}}`, Violations{{"/actor/name", CodeSyntax, lone(18).Error()}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Decode([]byte(tt.value))
			if diff := cmp.Diff(error(tt.want), err); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func extra(pairs ...string) map[string]json.RawMessage {
	m := make(map[string]json.RawMessage)
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = json.RawMessage(pairs[i+1])
	}
	return m
}

// FuzzDecode demands that what decodes encodes to the canonical form of the input but for
// its spellings, and that checking the bytes and checking the event come to the same.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		canonicalEvent, `{}`, `{"actor":{}}`, `{"occurredAt":"","version":1e3}`, `{"context":{"userAgent":"x","z":1}}`, `{"targets":[{"name":null,"x":{"y":[1e300]}}]}`, `{"id":"","actor":{"metadata":{"a":12345678901234567890}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		e, err := Decode(value)
		if err != nil {
			return
		}
		var v Validator
		fromBytes, fromEvent := v.Check(value), v.Validate(e)
		if (len(fromBytes) == 0) != (len(fromEvent) == 0) {
			t.Fatalf("%q: as bytes %v, as an event %v", value, fromBytes, fromEvent)
		}
		got, err := e.AppendCanonical(nil)
		if err != nil {
			return
		}
		want, err := Canonicalize(nil, value)
		if err != nil {
			t.Fatalf("%q: encoded to %q, but its bytes have no canonical form: %v", value, got, err)
		}
		again, err := Decode(got)
		if err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		camelCase := regexp.MustCompile(`"(occurredAt|organizationId|userAgent)":`).Match(want)
		if !camelCase && string(want) != string(got) {
			t.Fatalf("%q: encoded to %q, canonical is %q", value, got, want)
		}
		if twice, err := again.AppendCanonical(nil); err != nil || string(twice) != string(got) {
			t.Fatalf("%q: decoded and encoded again: %q, %v", got, twice, err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode([]byte(canonicalEvent)); err != nil {
			b.Fatal(err)
		}
	}
}
