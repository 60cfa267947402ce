package sample

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/auditstream/auditstream/internal/ndjson"
	"github.com/auditstream/auditstream/producer/workos"
	"github.com/auditstream/auditstream/schema"
)

// Every line can be published as the publishing command does it: Events converted, the
// organization given to lines without one.
func TestEveryLineCanBePublished(t *testing.T) {
	organizations := map[string]int{}
	ids := map[string]bool{}
	for n, line := range lines(t) {
		var e *schema.Event
		var err error
		if workos.IsEvent(line) {
			e, err = workos.Convert(line, Organization)
		} else {
			e, err = schema.Decode(line)
		}
		if err != nil {
			t.Fatalf("line %d: %v", n+1, err)
		}
		if e.OrganizationID == "" {
			e.OrganizationID = Organization
		}
		organizations[e.OrganizationID]++
		for _, violation := range e.Validate() {
			t.Errorf("line %d: %v", n+1, violation)
		}
		if e.ID != "" && ids[e.ID] {
			t.Errorf("line %d: its id is another line's", n+1)
		}
		ids[e.ID] = true
	}
	if len(organizations) != 5 {
		t.Errorf("%d organizations, want 5: %v", len(organizations), organizations)
	}
}

func TestTheFeedHoldsWhatItPromises(t *testing.T) {
	var camel, withID, withoutID, nullName, extra int
	actions := map[string]bool{}
	families := map[string]bool{}
	for _, line := range lines(t) {
		if workos.IsEvent(line) {
			var e struct{ Event string }
			if err := json.Unmarshal(line, &e); err != nil {
				t.Fatal(err)
			}
			family, _, _ := strings.Cut(e.Event, ".")
			families[family] = true
			continue
		}
		e, err := schema.Decode(line)
		if err != nil {
			t.Fatal(err)
		}
		actions[e.Action] = true
		if bytes.Contains(line, []byte(`"occurredAt"`)) {
			camel++
			if e.OrganizationID != "" {
				t.Errorf("%s has an organization, the printed example has none", e.Action)
			}
			continue
		}
		if e.ID != "" {
			withID++
		} else {
			withoutID++
		}
		if bytes.Contains(line, []byte(`"name":null`)) {
			nullName++
		}
		if len(e.Extra)+len(e.Actor.Extra) > 0 {
			extra++
		}
	}
	if camel != 3 || withID == 0 || withoutID == 0 || nullName == 0 || extra == 0 || len(families) < 8 {
		t.Errorf("%d camelCase, %d with id, %d without, %d null names, %d with unknown members, WorkOS families %v", camel, withID, withoutID, nullName, extra, slices.Sorted(maps.Keys(families)))
	}
	var missing []string
	for _, action := range []string{
		"sso.view_settings", "sso.create_management_portal_url", "sso.delete_connection",
		"auth.login.success", "auth.login.failure", "auth.logout", "auth.impersonate",
		"auth.password.resetRequest", "auth.password.resetComplete", "auth.password.selfChange", "auth.password.adminChange",
		"auth.mfa.enable", "auth.mfa.disable", "auth.sso.deprovision", "auth.session.deleteAll",
		"api.key.enable", "api.key.regenerate", "developer.app.create", "developer.app.delete", "developer.app.resetSecret",
		"user.invite", "user.invite.resend", "user.invite.revoke", "user.disable", "user.roleChange", "user.accessChange",
		"org.requireMfa", "org.changeName", "org.delete",
		"group.create", "group.rename", "group.delete", "group.membersChange", "group.accessChange",
	} {
		if !actions[action] {
			missing = append(missing, action)
		}
	}
	if diff := cmp.Diff([]string(nil), missing); diff != "" {
		t.Errorf("actions that are missing (-want +got):\n%s", diff)
	}
}

// testdata/workos-events.json holds, for each Event in the feed, the JSON Schemas of its
// data and context.
func TestWorkOSEventsAreValid(t *testing.T) {
	raw, err := os.ReadFile("testdata/workos-events.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("events.json", doc); err != nil {
		t.Fatal(err)
	}
	for n, line := range lines(t) {
		if !workos.IsEvent(line) {
			continue
		}
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
		if err != nil {
			t.Fatal(err)
		}
		event := instance.(map[string]any)
		for _, part := range []string{"data", "context"} {
			value, ok := event[part]
			if !ok {
				continue
			}
			compiled, err := compiler.Compile("events.json#/" + event["event"].(string) + "/" + part)
			if err != nil {
				t.Fatal(err)
			}
			if err := compiled.Validate(value); err != nil {
				t.Errorf("line %d: %s: %v", n+1, part, err)
			}
		}
	}
}

func lines(t *testing.T) [][]byte {
	t.Helper()
	var all [][]byte
	r := ndjson.NewReader(strings.NewReader(Feed), ndjson.MaxLine)
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, bytes.Clone(line))
	}
}
