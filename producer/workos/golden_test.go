package workos

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/schema/registry"
)

var update = flag.Bool("update", false, "write the audit events in testdata/events anew")

// Files of a golden archive.
const (
	eventFile = "event.json" // as WorkOS sends it, with everything that its schema names
	auditFile = "audit.json" // what it becomes
)

// documented is the JSON Schemas of every Event's data and context, by its name.
type documented struct {
	compiler *jsonschema.Compiler
	events   map[string]map[string]json.RawMessage
}

func readDocumented(t *testing.T) documented {
	t.Helper()
	raw, err := os.ReadFile("testdata/workos-events.json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Events map[string]map[string]json.RawMessage `json:"events"`
	}
	doc, errDoc := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err := json.Unmarshal(raw, &all); err != nil || errDoc != nil {
		t.Fatal(err, errDoc)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("events.json", doc); err != nil {
		t.Fatal(err)
	}
	return documented{compiler, all.Events}
}

// check reports an Event that is not as it is documented.
func (d documented) check(t *testing.T, name string, raw []byte) {
	t.Helper()
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	event, _ := instance.(map[string]any)
	if event["event"] != name {
		t.Errorf("the Event is %v", event["event"])
	}
	for _, part := range []string{"data", "context"} {
		if _, ok := event[part]; !ok && part == "context" {
			continue
		}
		compiled, err := d.compiler.Compile("events.json#/events/" + name + "/" + part)
		if err != nil {
			t.Fatal(err)
		}
		if err := compiled.Validate(event[part]); err != nil {
			t.Errorf("%s: %v", part, err)
		}
	}
}

// Every Event that WorkOS documents, in full: what it becomes is pinned, valid by the
// schema of its action, the same whenever it is met, and holds no secret.
func TestEveryEvent(t *testing.T) {
	actions, err := catalogue.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	known, err := registry.New(registry.Config{Unknown: registry.Reject}, actions)
	if err != nil {
		t.Fatal(err)
	}
	documented := readDocumented(t)
	files, err := filepath.Glob("testdata/events/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		names = append(names, name)
		t.Run(name, func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			raw := archive.Files[0].Data
			documented.check(t, name, raw)
			e, err := Convert(raw, fallback)
			if err != nil {
				t.Fatal(err)
			}
			result := known.Validate(e)
			for _, v := range slices.Concat(result.Violations, result.Warnings) {
				t.Error(v)
			}
			canonical, err := e.AppendCanonical(nil)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(canonical), "S3CRET") {
				t.Errorf("a secret is in %s", canonical)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, canonical, "", " "); err != nil {
				t.Fatal(err)
			}
			got.WriteByte('\n')
			if *update {
				archive.Files = []txtar.File{{Name: eventFile, Data: raw}, {Name: auditFile, Data: got.Bytes()}}
				if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if len(archive.Files) != 2 || archive.Files[0].Name != eventFile || archive.Files[1].Name != auditFile {
				t.Fatalf("%s does not hold %s and %s; go test -update writes the latter", file, eventFile, auditFile)
			}
			if diff := cmp.Diff(string(archive.Files[1].Data), got.String()); diff != "" {
				t.Errorf("audit event (-want +got); go test -update writes it anew:\n%s", diff)
			}
		})
	}
	var want []string
	for name := range documented.events {
		want = append(want, name)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, names); diff != "" || len(names) != 136 {
		t.Errorf("%d golden files (-want +got):\n%s", len(names), diff)
	}
}

// What an Event may lack, it lacks here: every member that is not required, and every
// value that may be null.
func TestEveryEventWithAsLittleAsItMayHave(t *testing.T) {
	actions, err := catalogue.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	known, err := registry.New(registry.Config{Unknown: registry.Reject}, actions)
	if err != nil {
		t.Fatal(err)
	}
	documented := readDocumented(t)
	for name, parts := range documented.events {
		var data map[string]any
		if err := json.Unmarshal(parts["data"], &data); err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(map[string]any{"event": name, "id": "event_1", "created_at": "2026-01-02T03:04:05Z", "data": least(data)})
		if err != nil {
			t.Fatal(err)
		}
		documented.check(t, name, raw)
		e, err := Convert(raw, fallback)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if result := known.Validate(e); result.Violations != nil {
			t.Errorf("%s: %v in %s", name, result.Violations, raw)
		}
		if e.Actor.ID == "" || e.OrganizationID == "" {
			t.Errorf("%s: actor %+v, organization %q", name, e.Actor, e.OrganizationID)
		}
	}
}

// least is the smallest value that a schema of the document allows.
func least(s map[string]any) any {
	for _, keyword := range []string{"anyOf", "oneOf"} {
		if alternatives, ok := s[keyword].([]any); ok {
			values := make([]any, 0, len(alternatives))
			for _, one := range alternatives {
				inner, _ := one.(map[string]any)
				values = append(values, least(inner))
			}
			if slices.Contains(values, nil) {
				return nil
			}
			return values[0]
		}
	}
	if c, ok := s["const"]; ok {
		return c
	}
	types, ok := s["type"].([]any)
	if !ok {
		types = []any{s["type"]}
	}
	if slices.Contains(types, any("null")) {
		return nil
	}
	if enum, ok := s["enum"].([]any); ok {
		return enum[0]
	}
	switch types[0] {
	case "object":
		object := map[string]any{}
		required, _ := s["required"].([]any)
		properties, _ := s["properties"].(map[string]any)
		for _, name := range required {
			inner, _ := properties[name.(string)].(map[string]any)
			object[name.(string)] = least(inner)
		}
		return object
	case "array":
		return []any{}
	case "boolean":
		return false
	case "integer", "number":
		return 0
	}
	if s["format"] == "date-time" {
		return "2026-01-02T03:04:05Z"
	}
	return own // an organization, wherever one is needed
}
