package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
)

func embedded(tb testing.TB, c Config) *Registry {
	tb.Helper()
	actions, err := catalogue.Embedded()
	if err != nil {
		tb.Fatal(err)
	}
	r, err := New(c, actions)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// of is a registry of these actions, in the form of the catalogue's files.
func of(tb testing.TB, c Config, actions ...string) *Registry {
	tb.Helper()
	f, err := catalogue.Parse([]byte(`{"family":"f","title":"F","actions":[` + strings.Join(actions, ",") + `]}`))
	if err != nil {
		tb.Fatal(err)
	}
	all, err := catalogue.New([]*catalogue.Family{f})
	if err != nil {
		tb.Fatal(err)
	}
	r, err := New(c, all)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// lines are violations as "pointer code".
func lines(violations schema.Violations) []string {
	var all []string
	for _, v := range violations {
		all = append(all, v.Pointer+" "+v.Code)
	}
	return all
}

func TestEveryExampleIsValid(t *testing.T) {
	r := embedded(t, Config{Unknown: Reject, Validator: schema.Validator{}})
	for _, a := range r.Actions().Actions() {
		e, err := r.Example(a)
		if err != nil {
			t.Error(err)
			continue
		}
		if result := r.Validate(e); result.Warnings != nil {
			t.Errorf("%s: %v", a.Name, result.Warnings)
		}
	}
}

const envelope = `"occurred_at":"2026-01-02T03:04:05Z","organization_id":"org_01JAAAAAAAAAAAAAAAAAAAAAAA","actor":{"id":"1","type":"user"}`

func TestCheck(t *testing.T) {
	const (
		ssoTargets = `"targets":[{"type":"sso_connection","id":"c","name":"C","metadata":{"connection_id":"c","connection_type":"OktaSAML","organization_id":"o"}}]`
		sso        = `{"action":"sso.delete_connection",` + envelope + `,"metadata":{"source":"/x"},`
	)
	long := strings.Repeat("ä", 501)
	many := map[string]int{}
	for i := range 51 {
		many[fmt.Sprint("k", i)] = i
	}
	fifty, err := json.Marshal(many)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, event string
		violations  []string
		warnings    []string
	}{
		{"a valid one", sso + ssoTargets + `}`, nil, nil},
		{"an unknown kind of connection is worth a warning", sso + strings.Replace(ssoTargets, "OktaSAML", "NewSAML", 1) + `}`, nil, []string{"/targets/0/metadata/connection_type unknown_value"}},
		{"no target", sso + `"targets":[]}`, []string{"/targets required"}, nil},
		{"another target", sso + `"targets":[{"type":"user","id":"1"}]}`, []string{"/targets/0/type unknown_target", "/targets required"}, nil},
		{"a target without name and metadata", sso + `"targets":[{"type":"sso_connection","id":"c"}]}`, []string{
			"/targets/0/name required", "/targets/0/metadata/connection_id required", "/targets/0/metadata/connection_type required", "/targets/0/metadata/organization_id required",
		}, nil},
		{"no metadata", `{"action":"sso.delete_connection",` + envelope + `,` + ssoTargets + `}`, []string{"/metadata/source required"}, nil},
		{"a wrong type in each metadata", `{"action":"sso.delete_connection","occurred_at":"2026-01-02T03:04:05Z","organization_id":"org_01JAAAAAAAAAAAAAAAAAAAAAAA","actor":{"id":"1","type":"user","metadata":{"email":1}},"metadata":{"source":true},` + strings.Replace(ssoTargets, `"OktaSAML"`, "null", 1) + `}`, []string{
			"/metadata/source type", "/actor/metadata/email type", "/targets/0/metadata/connection_type type",
		}, nil},
		{"envelope and metadata at once", `{"action":"sso.delete_connection","occurred_at":"noon","actor":{"id":"1","type":"user"},"metadata":{},` + ssoTargets + `}`, []string{"/occurred_at format", "/organization_id required", "/metadata/source required"}, nil},
		{"what cannot be read is not looked into", `{"action":1,"targets":[{}]}`, []string{"/action type", "/targets/0/type required", "/targets/0/id required", "/occurred_at required", "/actor required", "/organization_id required"}, nil},
		{"no JSON", `{"action":`, []string{" syntax"}, nil},
		{"a repeated name", sso + ssoTargets + `,"x":1,"x":2}`, []string{"/x duplicate"}, nil},
		{"an unknown action", `{"action":"a.b",` + envelope + `,"targets":[]}`, []string{"/action unknown_action"}, nil},
		{"an unknown version", strings.Replace(sso, `{`, `{"version":2,`, 1) + ssoTargets + `}`, []string{"/version unknown_version"}, nil},
		{"version 0", strings.Replace(sso, `{`, `{"version":0,`, 1) + ssoTargets + `}`, []string{"/version unknown_version"}, nil},
		{"a version that no integer holds", strings.Replace(sso, `{`, `{"version":1e30,`, 1) + ssoTargets + `}`, []string{"/version unknown_version"}, nil},
		{"the only version", strings.Replace(sso, `{`, `{"version":1.0,`, 1) + ssoTargets + `}`, nil, nil},
		{"camelCase around metadata", strings.NewReplacer("occurred_at", "occurredAt", `"organization_id":"org`, `"organizationId":"org`).Replace(sso) + ssoTargets + `}`, nil, nil},
		{"limits of metadata", `{"action":"auth.logout",` + envelope + `,"targets":[],"metadata":{"email":"` + long + `","a b":1,"` + strings.Repeat("k", 41) + `":1,"nested":{},"list":[],"null":null}}`, []string{
			"/metadata/a b limit", "/metadata/email limit", "/metadata/" + strings.Repeat("k", 41) + " limit", "/metadata/list limit", "/metadata/nested limit",
		}, nil},
		{"500 characters are enough", `{"action":"auth.logout",` + envelope + `,"targets":[],"metadata":{"email":"` + long[2:] + `"}}`, nil, nil},
		{"51 members are too many", `{"action":"auth.logout",` + envelope + `,"targets":[],"metadata":` + string(fifty) + `}`, []string{"/metadata limit"}, nil},
		{"an object where the schema names it", `{"action":"user.accessChange",` + envelope + `,"targets":[{"type":"user","id":"2"}],"metadata":{"changes":{"a":[1]}}}`, nil, nil},
		{"any other target, where that is allowed", `{"action":"user.updated",` + envelope + `,"targets":[{"type":"user","id":"2"},{"type":"new","id":"2"}],"metadata":{"workos_event_id":"e","created_at":"","updated_at":"","email":"","email_verified":true}}`, nil, nil},
	}
	r := embedded(t, Config{Unknown: Reject})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := r.Check([]byte(tt.event))
			if diff := cmp.Diff(tt.violations, lines(got.Violations)); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.warnings, lines(got.Warnings)); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// What a schema can ask for, each with its pointer and code; and no value of the event.
func TestKeywords(t *testing.T) {
	tests := []struct{ schema, value, want string }{
		{`{"type":"string"}`, `7`, "type: must be string, not number"},
		{`{"type":["integer","null"]}`, `1.5`, "type: must be integer or null, not number"},
		{`{"enum":["a",1]}`, `"s3cret"`, `enum: must be one of "a", 1`},
		{`{"const":true}`, `"s3cret"`, "enum: must be true"},
		{`{"pattern":"^a+$"}`, `"s3cret"`, "pattern: must match ^a+$"},
		{`{"format":"email"}`, `"s3cret"`, "format: must be of the format email"},
		{`{"minLength":7}`, `"s3cret"`, "limit: must have at least 7 characters"},
		{`{"maxLength":1}`, `"s3cret"`, "limit: must have at most 1 characters"},
		{`{"minimum":2}`, `1`, "range: must be at least 2"},
		{`{"maximum":0.5}`, `1`, "range: must be at most 1/2"},
		{`{"multipleOf":2}`, `1`, "schema: is not as multipleOf of the schema has it"},
		{`{"not":{"type":"string"}}`, `"s3cret"`, "schema: must not match what the schema excludes"},
		{`{"anyOf":[{"type":"null"},{"type":"number"}]}`, `"s3cret"`, "schema: matches none of the alternatives of the schema"},
		{`{"oneOf":[{"type":"string"},{"minLength":1}]}`, `"s3cret"`, "schema: must match exactly one of the alternatives of the schema"},
		{`false`, `"s3cret"`, "unknown_member: must not be there"},
		{`{"$ref":"#/$defs/n"}`, `"s3cret"`, "type: must be number, not string"},
	}
	for _, tt := range tests {
		r := of(t, Config{Limits: &Limits{}}, `{"action":"a.b","version":1,"targets":[],"metadata":{"$defs":{"n":{"type":"number"}},"properties":{"m/n~":`+tt.schema+`}}}`)
		got := r.Check([]byte(`{"action":"a.b",` + envelope + `,"targets":[],"metadata":{"m/n~":` + tt.value + `}}`)).Violations
		if len(got) != 1 || got[0].String() != "/metadata/m~1n~0: "+tt.want {
			t.Errorf("%s: %v, want %s", tt.schema, got, tt.want)
		}
		if strings.Contains(got.Error(), "s3cret") {
			t.Errorf("%s: a value of the event is in %v", tt.schema, got)
		}
	}
	r := of(t, Config{}, `{"action":"a.b","version":1,"targets":[],"metadata":{"properties":{"a":{}},"additionalProperties":false}}`)
	got := r.Check([]byte(`{"action":"a.b",` + envelope + `,"targets":[],"metadata":{"b":1,"a":1,"c":2}}`)).Violations
	if diff := cmp.Diff([]string{"/metadata/b unknown_member", "/metadata/c unknown_member"}, lines(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPolicies(t *testing.T) {
	event := []byte(`{"action":"never.heard",` + envelope + `,"targets":[]}`)
	for policy, want := range map[Policy]Result{
		"":     {},
		Accept: {},
		Warn:   {Warnings: schema.Violations{{Pointer: "/action", Code: CodeUnknownAction, Message: "the action has no schema; register one, or see whether it is misspelt"}}},
		Reject: {Violations: schema.Violations{{Pointer: "/action", Code: CodeUnknownAction, Message: "the action has no schema; register one, or see whether it is misspelt"}}},
	} {
		if diff := cmp.Diff(want, of(t, Config{Unknown: policy}).Check(event)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", policy, diff)
		}
	}
	if _, err := New(Config{Unknown: "maybe"}, nil); err == nil {
		t.Error("an unknown policy is taken")
	}
}

func TestLimitsCanBeOthers(t *testing.T) {
	event := []byte(`{"action":"a.b",` + envelope + `,"targets":[{"id":"1","type":"t","metadata":{"any name":{"nested":"` + strings.Repeat("x", 1000) + `"}}}]}`)
	if got := of(t, Config{Limits: &Limits{Nested: true}}).Check(event).Violations; got != nil {
		t.Error(got)
	}
	if got := of(t, Config{Limits: &Limits{}}).Check(event).Violations; len(got) != 1 {
		t.Error(got)
	}
}

// A service may put any Go value into metadata: it is checked as readers will see it.
func TestValidateLooksAtWhatReadersWillSee(t *testing.T) {
	type role string
	r := embedded(t, Config{Unknown: Reject})
	e := &schema.Event{
		OrganizationID: "org_01JAAAAAAAAAAAAAAAAAAAAAAA", Action: "user.invite", OccurredAt: "2026-01-02T03:04:05Z",
		Actor: schema.Actor{ID: "1", Type: "user"}, Targets: []schema.Target{}, Metadata: map[string]any{"email": "a@example.com", "role": role("admin")},
	}
	if got := r.Validate(e); got.Violations != nil {
		t.Error(got.Violations)
	}
	e.Metadata["role"] = 7
	if diff := cmp.Diff([]string{"/metadata/role type"}, lines(r.Validate(e).Violations)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	e.Metadata["role"] = make(chan int)
	if diff := cmp.Diff([]string{"/metadata/role type"}, lines(r.Validate(e).Violations)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSchemasThatAreNone(t *testing.T) {
	tests := map[string]string{
		"a type that is none":     `{"type":"text"}`,
		"a pattern that is none":  `{"pattern":"("}`,
		"another document":        `{"$ref":"https://schemas.example/x.json"}`,
		"a file":                  `{"$ref":"file:///etc/passwd"}`,
		"a reference to nowhere":  `{"$ref":"#/$defs/x"}`,
		"larger than it needs be": `{"description":"` + strings.Repeat("x", maxSchema) + `"}`,
	}
	for name, text := range tests {
		f, err := catalogue.Parse([]byte(`{"family":"f","actions":[{"action":"a.b","version":1,"targets":[],"actor":` + text + `}]}`))
		if err != nil {
			t.Fatal(err)
		}
		all, err := catalogue.New([]*catalogue.Family{f})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New(Config{}, all); err == nil || !strings.Contains(err.Error(), `action "a.b" version 1: actor: `) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func parse(tb testing.TB, action string) *catalogue.Action {
	tb.Helper()
	f, err := catalogue.Parse([]byte(`{"family":"f","actions":[` + action + `]}`))
	if err != nil {
		tb.Fatal(err)
	}
	return f.Actions[0]
}

func TestRegister(t *testing.T) {
	first := `{"action":"a.b","version":1,"targets":[{"type":"x"},{"type":"y"}],"metadata":{"type":"object","properties":{"m":{"type":"string"}}}}`
	again := `{"action":"a.b","version":7,"description":"The same, said otherwise.","targets":[{"type":"y"},{"type":"x"}],"metadata":{"properties":{"m":{"type":"string"}},"type":"object"}}`
	wider := strings.Replace(first, `"m":{"type":"string"}`, `"m":{"type":"string"},"n":{"type":"number"}`, 1)
	narrow := strings.Replace(wider, `{"type":"x"},`, ``, 1)
	r := of(t, Config{Unknown: Reject})

	want := func(action string, allow bool, version int, made bool) {
		t.Helper()
		got, err := r.Register(parse(t, action), allow)
		if err != nil || got.Version != version || got.Made != made {
			t.Errorf("%+v, %v; want version %d, made %v", got, err, version, made)
		}
	}
	want(first, false, 1, true)
	want(again, false, 1, false)
	want(wider, false, 2, true)
	_, err := r.Register(parse(t, narrow), false)
	breaking, ok := errors.AsType[*BreakingError](err)
	if !ok || err.Error() != `action "a.b": the schema breaks what version 2 allows; /targets/x: the target type was removed (breaks writers)` || len(breaking.Changes) != 1 {
		t.Errorf("got %v", err)
	}
	want(narrow, true, 3, true)
	want(first, true, 4, true) // versions go on, also to what was there before

	if got := r.Action("a.b", 1).Metadata; string(got) != string(parse(t, first).Metadata) {
		t.Errorf("version 1 has changed: %s", got)
	}
	if _, err := r.Register(parse(t, strings.Replace(first, `"string"`, `"text"`, 1)), true); err == nil {
		t.Error("a schema that does not compile is registered")
	}
	if latest := r.Action("a.b", 0).Version; latest != 4 {
		t.Errorf("the latest version is %d after a failure, want 4", latest)
	}
}

// Checks go on while schemas are swapped; each sees one state of them.
func TestSchemasAreSwappedWhole(t *testing.T) {
	strict := parse(t, `{"action":"a.b","version":1,"targets":[],"metadata":{"required":["x","y"]}}`)
	loose := parse(t, `{"action":"a.b","version":1,"targets":[]}`)
	catalogues := make([]*catalogue.Catalogue, 0, 2)
	for _, a := range []*catalogue.Action{strict, loose} {
		c, err := catalogue.New([]*catalogue.Family{{Name: "f", Actions: []*catalogue.Action{a}}})
		if err != nil {
			t.Fatal(err)
		}
		catalogues = append(catalogues, c)
	}
	r, err := New(Config{}, catalogues[0])
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for range 500 {
				if n := len(r.Check([]byte(`{"action":"a.b",` + envelope + `,"targets":[]}`)).Violations); n != 0 && n != 2 {
					t.Errorf("%d violations, want both or none", n)
					return
				}
			}
		})
	}
	for i := range 500 {
		if err := r.Replace(catalogues[i%2]); err != nil {
			t.Error(err)
		}
	}
	work.Wait()
}
