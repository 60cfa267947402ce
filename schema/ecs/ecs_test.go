package ecs

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/schema/internal/formattest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func format(tb testing.TB) *Format {
	tb.Helper()
	return New(Config{Action: formattest.Catalogue(tb).Action})
}

func TestGolden(t *testing.T) { formattest.Golden(t, *update, format(t).Append) }

// field is how ECS describes one of its fields.
type field struct {
	kind  string
	array bool
}

func fields(tb testing.TB) map[string]field {
	tb.Helper()
	file, err := os.Open("testdata/fields.txt")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	all := map[string]field{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] == "#" {
			continue
		}
		all[words[0]] = field{words[1], len(words) > 2}
	}
	if lines.Err() != nil || len(all) < 50 {
		tb.Fatalf("%d fields, %v", len(all), lines.Err())
	}
	return all
}

// check reports every member of the document that ECS does not list, or lists with
// another type. Members of auditstream.* are our own.
func check(t *testing.T, known map[string]field, prefix string, value any) {
	t.Helper()
	if object, ok := value.(map[string]any); ok {
		for _, name := range slices.Sorted(maps.Keys(object)) {
			if prefix != "" || name != "auditstream" {
				check(t, known, strings.TrimPrefix(prefix+"."+name, "."), object[name])
			}
		}
		return
	}
	f, ok := known[prefix]
	if !ok {
		t.Errorf("ECS has no field %s", prefix)
		return
	}
	items, array := value.([]any)
	if array != f.array {
		t.Errorf("%s: list %v, want %v", prefix, array, f.array)
	}
	if !array {
		items = []any{value}
	}
	for _, item := range items {
		right := false
		switch item := item.(type) {
		case string:
			right = slices.Contains([]string{"keyword", "match_only_text", "date", "ip", "wildcard"}, f.kind) && item != ""
		case float64:
			right = f.kind == "long" && item == float64(int64(item))
		}
		if !right {
			t.Errorf("%s: %v is no %s", prefix, item, f.kind)
		}
	}
}

func TestEveryFieldIsOneOfECS(t *testing.T) {
	known, f := fields(t), format(t)
	events := formattest.Hard()
	for _, a := range formattest.Catalogue(t).Actions() {
		e, err := catalogue.Example(a)
		if err != nil {
			t.Fatal(err)
		}
		value, err := e.AppendCanonical(nil)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, string(value))
	}
	for _, text := range events {
		e, err := schema.Decode([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		out, err := f.Append(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]any
		if err := json.Unmarshal(out, &doc); err != nil {
			t.Fatal(err)
		}
		check(t, known, "", doc)
	}
}

// Which types ECS expects with each category that the catalogue uses.
func TestCategoriesAndTypesBelongTogether(t *testing.T) {
	expected := map[string][]string{
		"authentication": {"start", "end", "info"},
		"configuration":  {"access", "change", "creation", "deletion", "info"},
		"database":       {"access", "change", "info", "error"},
		"iam":            {"admin", "change", "creation", "deletion", "group", "info", "user"},
		"session":        {"start", "end", "info"},
	}
	for _, a := range formattest.Catalogue(t).Actions() {
		for _, category := range a.ECS.Category {
			for _, kind := range a.ECS.Type {
				if !slices.Contains(expected[category], kind) {
					t.Errorf("%s: event.type %s does not go with event.category %s", a.Name, kind, category)
				}
			}
		}
	}
}

func TestAppend(t *testing.T) {
	tests := []struct{ name, event, want string }{
		{
			"an action that nobody knows, and members that ECS has not",
			`{"action":"project.deleted","occurred_at":"2026-01-02T04:04:05.6789+01:00","version":2,"new":[1],"organization_id":"org_1","actor":{"id":"1","type":"user","role":"x"},"targets":[{"id":"p","type":"project","n":null}],"context":{"location":"Berlin","device":"phone"},"metadata":{"k":"<b>"}}`,
			`{"@timestamp":"2026-01-02T03:04:05.678Z","auditstream":{"actor":{"extra":{"role":"x"},"id":"1","type":"user"},"context":{"device":"phone"},"extra":{"new":[1]},"metadata":{"k":"<b>"},"targets":[{"extra":{"n":null},"id":"p","type":"project"}],"version":2},` +
				`"ecs":{"version":"8.17.0"},"event":{"action":"project.deleted","category":["iam"],"dataset":"auditstream.audit","kind":"event","module":"auditstream","outcome":"unknown","severity":1,"type":["deletion"]},` +
				`"message":"project.deleted","organization":{"id":"org_1"},"related":{"user":["1"]},"source":{"address":"Berlin"},"user":{"id":"1"}}`,
		},
		{
			"a failure, with whom it was done to",
			`{"action":"authentication.password_failed","occurred_at":"2026-01-02T03:04:05Z","organization_id":"org_1","actor":{"id":"1","type":"user","metadata":{"email":"a@b.c"}},"targets":[{"id":"2","type":"directory_user"},{"id":"3","type":"user"},{"id":"org_1","type":"organization","name":"Acme"},{"id":"g","type":"group"}],"context":{"location":"2001:db8::1","user_agent":"curl"},"metadata":{"error_code":"c","error_message":"m"}}`,
			`{"@timestamp":"2026-01-02T03:04:05.000Z","auditstream":{"actor":{"id":"1","metadata":{"email":"a@b.c"},"type":"user"},"metadata":{"error_code":"c","error_message":"m"},"targets":[{"id":"2","type":"directory_user"},{"id":"3","type":"user"},{"id":"org_1","name":"Acme","type":"organization"},{"id":"g","type":"group"}]},` +
				`"ecs":{"version":"8.17.0"},"error":{"code":"c","message":"m"},"event":{"action":"authentication.password_failed","category":["authentication"],"dataset":"auditstream.audit","kind":"event","module":"auditstream","outcome":"failure","provider":"workos_authentication","severity":2,"type":["start"]},` +
				`"group":{"id":"g"},"message":"Password sign-in failed","organization":{"id":"org_1","name":"Acme"},"related":{"ip":["2001:db8::1"],"user":["1","2","a@b.c"]},"source":{"address":"2001:db8::1","ip":"2001:db8::1"},` +
				`"user":{"email":"a@b.c","id":"1","target":{"id":"2"}},"user_agent":{"original":"curl"}}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, err := schema.Decode([]byte(tt.event))
			if err != nil {
				t.Fatal(err)
			}
			got, err := format(t).Append([]byte("before"), e)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff("before"+tt.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnEventWithoutATimeIsRefused(t *testing.T) {
	out, err := format(t).Append([]byte("before"), &schema.Event{Action: "a", OccurredAt: "noon"})
	if violations, ok := errors.AsType[schema.Violations](err); !ok || len(violations) != 1 || string(out) != "before" {
		t.Errorf("%q, %v", out, err)
	}
}

func FuzzAppend(f *testing.F) {
	formattest.Events(f)
	c := format(f)
	f.Fuzz(func(t *testing.T, value []byte) {
		formattest.Canonical(t, value, c.Append)
		e, err := schema.Decode(value)
		if err != nil {
			return
		}
		out, err := c.Append(nil, e)
		if err != nil {
			return
		}
		var doc document
		d := json.NewDecoder(bytes.NewReader(out))
		d.DisallowUnknownFields()
		if err := d.Decode(&doc); err != nil || bytes.IndexByte(out, '\n') >= 0 {
			t.Fatalf("%q: %s, %v", value, out, err)
		}
		if again, err := c.Append(nil, e); err != nil || !bytes.Equal(out, again) {
			t.Fatalf("%q: once %s, then %s, %v", value, out, again, err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	f := format(b)
	e, err := catalogue.Example(formattest.Catalogue(b).Action("user.roleChange", 0))
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Append(dst, e); err != nil {
			b.Fatal(err)
		}
	}
}
