package catalogue_test

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/schema/catalogue/internal/constructors"
	"github.com/auditstream/auditstream/schema/registry"
)

func TestGeneratedCodeIsCurrent(t *testing.T) {
	actions, err := catalogue.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	files, err := constructors.Files(actions)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		have, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(have, want) {
			t.Errorf("%s is not what make generate writes: %v", name, err)
		}
	}
	stale, err := constructors.Stale(".", files)
	if err != nil || len(stale) > 0 {
		t.Errorf("make generate would remove %v: %v", stale, err)
	}
}

// Every constructor, given what the action's example holds, makes that example, and with it
// an event that is valid by the action's schema.
func TestEveryConstructor(t *testing.T) {
	actions, err := catalogue.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	known, err := registry.New(registry.Config{Unknown: registry.Reject}, actions)
	if err != nil {
		t.Fatal(err)
	}
	like, err := catalogue.Example(actions.Action("user.invite", 0))
	if err != nil {
		t.Fatal(err)
	}
	actor := like.Actor
	actor.Metadata = nil
	at := time.Date(2026, 1, 15, 11, 30, 0, 0, time.FixedZone("", 3600))
	made := constructed(at, actor, like.Context)
	for _, a := range actions.Actions() {
		want, err := catalogue.Example(a)
		if err != nil {
			t.Fatal(err)
		}
		want.ID = ""
		got := made[a.Name]
		if got == nil {
			t.Errorf("%s has no constructor", a.Name)
			continue
		}
		if diff := cmp.Diff(canonical(t, want), canonical(t, got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", a.Name, diff)
		}
		if result := known.Validate(got); result.Violations != nil {
			t.Errorf("%s: %v", a.Name, result.Violations)
		}
	}
	if len(made) != len(actions.Actions()) {
		t.Errorf("%d constructors for %d actions", len(made), len(actions.Actions()))
	}
}

func canonical(t *testing.T, e *schema.Event) string {
	t.Helper()
	value, err := e.AppendCanonical(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(value)
}

// What is optional and not given is not in the event; what is required is, also empty.
func TestWhatIsNotGivenIsLeftOut(t *testing.T) {
	e := catalogue.UserInvited(catalogue.UserInvitedEvent{
		Common: catalogue.Common{
			OrganizationID: "org_01JAAAAAAAAAAAAAAAAAAAAAAA",
			OccurredAt:     time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC),
			Actor:          schema.Actor{ID: "user_1", Type: "user", Metadata: map[string]any{"team": "a"}},
			MoreTargets:    []schema.Target{{ID: "team_1", Type: "team"}},
		},
		ActorMetadata: catalogue.ProductActor{Email: "ada@example.com"},
		Metadata:      catalogue.UserInvitedMetadata{Email: "bob@example.com"},
	})
	want := `{"action":"user.invite","actor":{"id":"user_1","metadata":{"email":"ada@example.com","team":"a"},"type":"user"},"metadata":{"email":"bob@example.com","role":""},` +
		`"occurred_at":"2026-01-02T03:04:05.678Z","organization_id":"org_01JAAAAAAAAAAAAAAAAAAAAAAA","targets":[{"id":"team_1","type":"team"}],"version":1}`
	if diff := cmp.Diff(want, canonical(t, e)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func ExampleUserInvited() {
	event := catalogue.UserInvited(catalogue.UserInvitedEvent{
		Common: catalogue.Common{
			OrganizationID: "org_01JAAAAAAAAAAAAAAAAAAAAAAA",
			OccurredAt:     time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
			Actor:          schema.Actor{ID: "user_1", Type: "user", Name: "Ada"},
		},
		Invitation: &catalogue.Ref{ID: "invitation_1"},
		Metadata:   catalogue.UserInvitedMetadata{Email: "bob@example.com", Role: "member"},
	})
	value, err := event.AppendCanonical(nil)
	if err != nil {
		panic(err)
	}
	_, _ = os.Stdout.Write(value)
	// Output: {"action":"user.invite","actor":{"id":"user_1","name":"Ada","type":"user"},"metadata":{"email":"bob@example.com","role":"member"},"occurred_at":"2026-01-02T03:04:05.000Z","organization_id":"org_01JAAAAAAAAAAAAAAAAAAAAAAA","targets":[{"id":"invitation_1","type":"invitation"}],"version":1}
}
