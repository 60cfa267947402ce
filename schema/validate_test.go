package schema

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// valid is a minimal event for publishing; edit replaces parts of it.
const valid = `{"action":"a","occurred_at":"2026-01-02T03:04:05Z","organization_id":"org_01JAAAAAAAAAAAAAAAAAAAAAAA","actor":{"id":"1","type":"user"},"targets":[]}`

func edit(old, replacement string) string { return strings.Replace(valid, old, replacement, 1) }

func TestCheckAndValidate(t *testing.T) {
	var (
		anyOrganization  = Validator{OrganizationPattern: regexp.MustCompile(`^[a-z]+$`)}
		organizationless = Validator{OrganizationOptional: true}
		small            = Validator{MaxBytes: len(valid)}
	)
	const missing = CodeRequired
	tests := []struct {
		name      string
		validator Validator
		value     string
		want      Violations
		bytesOnly bool // an Event cannot hold it
	}{
		{name: "a valid event", value: valid},
		{name: "the canonical event", value: canonicalEvent},
		{name: "an empty object", value: `{}`, want: Violations{
			{"/action", CodeRequired, missing}, {"/occurred_at", CodeRequired, missing}, {"/actor", CodeRequired, missing}, {"/targets", CodeRequired, missing}, {"/organization_id", CodeRequired, missing},
		}},
		{name: "no organization, which is optional", validator: organizationless, value: edit(`"organization_id":"org_01JAAAAAAAAAAAAAAAAAAAAAAA",`, "")},
		{name: "a wrong organization, though optional", validator: organizationless, value: edit("org_", "ORG_"), want: Violations{{"/organization_id", CodePattern, "must match ^org_[A-Z0-9]{26}$"}}},
		{name: "organization in lower case", value: edit("AAA", "aaa"), want: Violations{{"/organization_id", CodePattern, "must match ^org_[A-Z0-9]{26}$"}}},
		{name: "organization too long", value: edit("AAA", "AAAA"), want: Violations{{"/organization_id", CodePattern, "must match ^org_[A-Z0-9]{26}$"}}},
		{name: "organization with a line feed", value: edit(`AAA"`, `AAA\n"`), want: Violations{{"/organization_id", CodePattern, "must match ^org_[A-Z0-9]{26}$"}}},
		{name: "organization by one's own pattern", validator: anyOrganization, value: edit("org_01JAAAAAAAAAAAAAAAAAAAAAAA", "acme")},
		{name: "organization against one's own pattern", validator: anyOrganization, value: valid, want: Violations{{"/organization_id", CodePattern, "must match ^[a-z]+$"}}},
		{name: "an empty organization", value: edit("org_01JAAAAAAAAAAAAAAAAAAAAAAA", ""), want: Violations{{"/organization_id", CodePattern, "must match ^org_[A-Z0-9]{26}$"}}},
		{name: "a wrong id", value: edit(`{`, `{"id":"audit_event_1",`), want: Violations{{"/id", CodePattern, "must match ^audit_event_[A-Z0-9]{26}$; leave it out to be given one"}}},
		{name: "an id of other signs", value: edit(`{`, `{"id":"audit_event_01ARYZ6S41@[`+strings.Repeat("A", 14)+`",`), want: Violations{{"/id", CodePattern, "must match ^audit_event_[A-Z0-9]{26}$; leave it out to be given one"}}},
		{name: "empty texts, which the schema allows", value: `{"action":"","occurred_at":"2026-01-02T03:04:05Z","organization_id":"org_01JAAAAAAAAAAAAAAAAAAAAAAA","actor":{"id":"","type":"","name":""},"targets":[{"id":"","type":""}]}`},
		{name: "null names", value: edit(`{"id":"1"`, `{"name":null,"id":"1"`)},
		{name: "unknown members", value: edit(`{`, `{"x":{"y":[1]},`)},
		{name: "no time of day", value: edit("T03:04:05Z", ""), want: Violations{{"/occurred_at", CodeFormat, "must be an RFC 3339 date-time, as in 2026-01-31T09:30:00.000Z"}}},
		{name: "the pointer spells names as the input does", value: edit("occurred_at", "occurredAt"), bytesOnly: true},
		{name: "a wrong camelCase value", value: strings.Replace(edit("occurred_at", "occurredAt"), "05Z", "05", 1), bytesOnly: true, want: Violations{{"/occurredAt", CodeFormat, "must be an RFC 3339 date-time, as in 2026-01-31T09:30:00.000Z"}}},
		{name: "actor without id, targets without both", value: strings.Replace(edit(`"id":"1",`, ""), "[]", `[{"id":"1"},{}]`, 1), want: Violations{
			{"/actor/id", CodeRequired, missing}, {"/targets/0/type", CodeRequired, missing}, {"/targets/1/type", CodeRequired, missing}, {"/targets/1/id", CodeRequired, missing},
		}},
		{name: "an actor without members", value: edit(`{"id":"1","type":"user"}`, "{}"), want: Violations{{"/actor/type", CodeRequired, missing}, {"/actor/id", CodeRequired, missing}}},
		{name: "an actor that is a number", value: edit(`{"id":"1","type":"user"}`, "5"), bytesOnly: true, want: Violations{{"/actor", CodeType, "must be an object, not number"}}},
		{name: "big integers wherever they stand", value: edit(`{`, `{"version":9007199254740992,"x":[9007199254740992],"metadata":{"a":{"b":-9007199254740992}},"context":{"y":1e20},`), want: Violations{
			{"/version", CodeRange, adviceInteger}, {"/x/0", CodeRange, adviceInteger}, {"/metadata/a/b", CodeRange, adviceInteger}, {"/context/y", CodeRange, adviceInteger},
		}},
		{name: "a version beyond int, which is an integer", value: edit(`{`, `{"version":1e30,`)},
		{name: "a version with a fraction", value: edit(`{`, `{"version":1.5,`), bytesOnly: true, want: Violations{{"/version", CodeType, "must be an integer, not number with a fraction"}}},
		{name: "everything at once", value: `{"id":"x","action":1,"organizationId":"y","occurred_at":"z","a":1,"a":2}`, bytesOnly: true, want: Violations{
			{"/a", CodeDuplicate, "the name stands here for the second time; send it once"},
			{"/id", CodePattern, "must match ^audit_event_[A-Z0-9]{26}$; leave it out to be given one"},
			{"/action", CodeType, "must be a string, not number"},
			{"/organizationId", CodePattern, "must match ^org_[A-Z0-9]{26}$"},
			{"/occurred_at", CodeFormat, "must be an RFC 3339 date-time, as in 2026-01-31T09:30:00.000Z"},
			{"/actor", CodeRequired, missing},
			{"/targets", CodeRequired, missing},
		}},
		{name: "just small enough", validator: small, value: valid},
		{name: "a byte too large", validator: small, value: edit(`"a"`, `"ab"`), want: Violations{{"", CodeTooLarge, "the event has 149 bytes, the limit is 148; shorten its metadata"}}},
		{name: "malformed", value: `{"action":"a",}`, bytesOnly: true, want: Violations{{"", CodeSyntax, "expected a member's name in double quotes at byte 14"}}},
		{name: "not an object", value: `"x"`, bytesOnly: true, want: Violations{{"", CodeType, "must be an object, not string"}}},
		{name: "nothing", value: ``, bytesOnly: true, want: Violations{{"", CodeSyntax, "unexpected end at byte 0"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.validator.Check([]byte(tt.value))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("violations of the bytes (-want +got):\n%s", diff)
			}
			if tt.bytesOnly {
				return
			}
			e, err := Decode([]byte(tt.value))
			if err != nil {
				t.Fatal(err)
			}
			inOrder := func(v Violations) Violations {
				return slices.SortedFunc(slices.Values(v), func(a, b Violation) int { return strings.Compare(a.Pointer, b.Pointer) })
			}
			if diff := cmp.Diff(inOrder(tt.want), inOrder(tt.validator.Validate(e))); diff != "" {
				t.Errorf("violations of the event (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEncodeValidatesAndEncodes(t *testing.T) {
	e, err := Decode([]byte(valid))
	if err != nil {
		t.Fatal(err)
	}
	want, err := Canonicalize([]byte("before"), []byte(valid))
	if err != nil {
		t.Fatal(err)
	}
	v := Validator{MaxBytes: len(valid)} // dst does not count
	got, violations := v.Encode([]byte("before"), e)
	if string(got) != string(want) || violations != nil {
		t.Errorf("got %s, %v, want %s", got, violations, want)
	}
	e.Action = ""
	got, violations = v.Encode([]byte("before"), e)
	if diff := cmp.Diff(Violations{{"/action", CodeRequired, CodeRequired}}, violations); string(got) != "before" || diff != "" {
		t.Errorf("got %s, violations (-want +got):\n%s", got, diff)
	}
	if e.Validate().Err() == nil || (&Event{}).Validate().Error() == "" {
		t.Error("violations are no error")
	}
}

func TestExtraMembersCannotSmuggleAWrongValue(t *testing.T) {
	e, err := Decode([]byte(valid))
	if err != nil {
		t.Fatal(err)
	}
	e.Actor.Name = "in the field"
	e.Actor.Extra = extra("metadata", "[]", "name", "1") // the name gives way to the field
	e.Context = &Context{Extra: extra("user_agent", "{}")}
	e.Extra = extra("id", "null", "version", "1.5", "metadata", "0")
	want := Violations{
		{"/id", CodeType, "must be a string, not null"},
		{"/version", CodeType, "must be an integer, not number with a fraction"},
		{"/metadata", CodeType, "must be an object, not number"},
		{"/actor/metadata", CodeType, "must be an object, not array"},
		{"/context/user_agent", CodeType, "must be a string, not object"},
	}
	if diff := cmp.Diff(want, e.Validate()); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
}

func TestViolationsReadWell(t *testing.T) {
	v := Violations{{"/actor/id", CodeRequired, CodeRequired}, {"", CodeSyntax, "unexpected end at byte 0"}}
	if got, want := v.Error(), "/actor/id: required; syntax: unexpected end at byte 0"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if (Violations{}).Err() != nil || Violations(nil).Err() != nil {
		t.Error("no violations are an error")
	}
}

func TestIsInteger(t *testing.T) {
	tests := map[string]bool{
		"0": true, "-0": true, "0.0": true, "0e-5": true, "1.0": true, "1.5": false, "15e-1": false, "150e-1": true, "1.50e1": true, "1.55e1": false,
		"0.001e3": true, "0.001e2": false, "100e-2": true, "100e-3": false, "1e999999999999999999999": true, "1e-999999999999999999999": false,
		"0e-999999999999999999999": true, "1.00000000000000000001": false, "9007199254740993": true, "1E+2": true,
	}
	for text, want := range tests {
		if got := isInteger([]byte(text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, seed := range []string{valid, canonicalEvent, `{}`, `[]`, `{"a":1,"a":1}`, `{"occurredAt":"2026-12-31T23:59:60Z"}`, `{"targets":[{"id":1}]}`, "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		var v Validator
		violations := v.Check(value)
		if len(violations) > MaxViolations+1 {
			t.Fatalf("%d violations", len(violations))
		}
		for _, violation := range violations {
			if violation.Code == "" || violation.Message == "" || len(violation.Pointer) > maxPointer+len("…") {
				t.Fatalf("%q: %+v", value, violation)
			}
		}
		if violations != nil {
			return
		}
		// What is valid can be published, and then scanned with all that delivery needs.
		e, err := Decode(value)
		if err != nil {
			t.Fatalf("%q: valid, but %v", value, err)
		}
		canonical, more := v.Encode(nil, e)
		if more != nil {
			t.Fatalf("%q: valid, but not to be encoded: %v", value, more)
		}
		var fields Fields
		if err := Scan(canonical, &fields); err != nil || fields.Action == nil || fields.OccurredAt == nil || fields.OrganizationID == nil {
			t.Fatalf("%q: scanned %q: %v, %v", value, canonical, fields, err)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	b.ReportAllocs()
	var v Validator
	for b.Loop() {
		if violations := v.Check([]byte(canonicalEvent)); violations != nil {
			b.Fatal(violations)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	e, err := Decode([]byte(canonicalEvent))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var v Validator
	var buf []byte
	for b.Loop() {
		var violations Violations
		if buf, violations = v.Encode(buf[:0], e); violations != nil {
			b.Fatal(violations)
		}
	}
}
