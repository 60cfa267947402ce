//go:build integration

package integration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/schema/ocsf"
)

// Every action of the catalogue, in every version of OCSF that a stream can have, is valid
// by the JSON Schema of its class, which a library of others makes of OCSF's definitions.
// The schemas allow no attribute that the class does not have.
func TestEveryActionIsValidOCSF(t *testing.T) {
	classes := ocsfSchemas(t)
	actions, err := catalogue.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range ocsf.Versions() {
		t.Run(version, func(t *testing.T) {
			format, err := ocsf.New(ocsf.Config{Version: version, Action: actions.Action})
			if err != nil {
				t.Fatal(err)
			}
			check := func(what string, e *schema.Event) {
				t.Helper()
				out, err := format.AppendNumbered(nil, e, 1<<40)
				if err != nil {
					t.Errorf("%s: %v", what, err)
					return
				}
				var class struct {
					UID int `json:"class_uid"`
				}
				instance, errDecode := jsonschema.UnmarshalJSON(bytes.NewReader(out))
				if err := json.Unmarshal(out, &class); err != nil || errDecode != nil {
					t.Fatal(err, errDecode)
				}
				known := classes[version][class.UID]
				if known == nil {
					t.Errorf("%s: class %d", what, class.UID)
					return
				}
				if err := known.Validate(instance); err != nil {
					t.Errorf("%s: %v\n%s", what, err, out)
				}
			}
			for _, a := range actions.Actions() {
				full, err := catalogue.Example(a)
				if err != nil {
					t.Fatal(err)
				}
				check(a.Name, full)
				// As little as the envelope asks for: no organization, context, name, target.
				little := &schema.Event{Action: a.Name, OccurredAt: full.OccurredAt, Actor: schema.Actor{ID: "u", Type: "user"}, Targets: []schema.Target{}}
				check(a.Name+" with little in it", little)
				little.Actor = schema.Actor{Type: "service", Extra: map[string]json.RawMessage{"id": json.RawMessage(`""`)}}
				little.Targets = []schema.Target{{Type: "thing", Extra: map[string]json.RawMessage{"id": json.RawMessage(`""`)}}}
				little.Context = &schema.Context{Location: "Berlin"}
				check(a.Name+" of nobody", little)
			}
		})
	}
}

// ocsfSchemas are the schemas of the classes, by version and id.
func ocsfSchemas(t *testing.T) map[string]map[int]*jsonschema.Schema {
	t.Helper()
	args := []string{"ocsf/schemas.py"}
	args = append(args, ocsf.Versions()...)
	args = append(args, "--")
	for _, class := range []int{ocsf.AccountChange, ocsf.Authentication, ocsf.EntityManagement, ocsf.UserAccess, ocsf.GroupManagement} {
		args = append(args, strconv.Itoa(class))
	}
	cmd := exec.CommandContext(t.Context(), ocsfPython(t), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	var printed map[string]map[string]json.RawMessage
	if err := json.Unmarshal(out, &printed); err != nil {
		t.Fatal(err)
	}
	classes := map[string]map[int]*jsonschema.Schema{}
	for version, schemas := range printed {
		classes[version] = map[int]*jsonschema.Schema{}
		for uid, text := range schemas {
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			compiler := jsonschema.NewCompiler()
			compiler.AssertFormat()
			url := fmt.Sprintf("https://schemas.example/%s/%s.json", version, uid)
			if err := compiler.AddResource(url, doc); err != nil {
				t.Fatal(err)
			}
			class, err := strconv.Atoi(uid)
			if err != nil {
				t.Fatal(err)
			}
			if classes[version][class], err = compiler.Compile(url); err != nil {
				t.Fatal(err)
			}
		}
	}
	return classes
}

// ocsfPython is a Python that has what ocsf/requirements.txt asks for: in an environment of
// its own under .cache, made once for each change of that file.
func ocsfPython(t *testing.T) string {
	t.Helper()
	requirements, err := os.ReadFile("ocsf/requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(requirements)
	dir, err := filepath.Abs("../.cache/ocsf-" + hex.EncodeToString(sum[:8]))
	if err != nil {
		t.Fatal(err)
	}
	python := filepath.Join(dir, "bin", "python")
	if _, err := os.Stat(filepath.Join(dir, "complete")); err == nil {
		return python
	}
	run := func(ctx context.Context, name string, args ...string) {
		if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v: %s\n(Python 3 with venv is needed; Debian: python3-venv)", name, args, err, out)
		}
	}
	run(t.Context(), "python3", "-m", "venv", "--clear", dir)
	run(t.Context(), python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", "ocsf/requirements.txt")
	if err := os.WriteFile(filepath.Join(dir, "complete"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return python
}
