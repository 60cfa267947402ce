package auditctx_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/producer/auditctx"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
)

const organization = "org_01JAAAAAAAAAAAAAAAAAAAAAAA"

func full(ctx context.Context) context.Context {
	ctx = auditctx.WithOrganization(ctx, organization)
	ctx = auditctx.WithActor(ctx, schema.Actor{ID: "user_1", Type: "user", Name: "Ada", Metadata: map[string]any{"team": "a"}})
	return auditctx.WithContext(ctx, schema.Context{Location: "192.0.2.1", UserAgent: "curl/8"})
}

func TestFillGivesWhatIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := &schema.Event{Action: "user.signed_in", Targets: []schema.Target{}}
		auditctx.Fill(full(t.Context()), got)
		want := &schema.Event{
			OrganizationID: organization, Action: "user.signed_in", OccurredAt: "2000-01-01T00:00:00.000Z", // where synctest begins
			Actor:   schema.Actor{ID: "user_1", Type: "user", Name: "Ada", Metadata: map[string]any{"team": "a"}},
			Targets: []schema.Target{},
			Context: &schema.Context{Location: "192.0.2.1", UserAgent: "curl/8"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if v := got.Validate(); v != nil {
			t.Error(v)
		}
	})
}

func TestFillLeavesWhatThereIs(t *testing.T) {
	t.Parallel()
	event := func() *schema.Event {
		return &schema.Event{
			OrganizationID: "org_01JBBBBBBBBBBBBBBBBBBBBBBB", Action: "user.signed_in", OccurredAt: "2026-01-02T03:04:05Z",
			Actor: schema.Actor{Type: "system"}, Targets: []schema.Target{}, Context: &schema.Context{},
		}
	}
	got := event()
	auditctx.Fill(full(t.Context()), got)
	if diff := cmp.Diff(event(), got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A member that the type cannot hold, as an empty text, stands in Extra; filling the field
// would replace what somebody has written by something else.
func TestFillLeavesWhatStandsInExtra(t *testing.T) {
	t.Parallel()
	e, err := schema.Decode([]byte(`{"organization_id":"","occurred_at":"","actor":{},"context":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	before, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	auditctx.Fill(full(t.Context()), e)
	after, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(before), string(after)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAnInnerContextReplacesOneValueAndKeepsTheOthers(t *testing.T) {
	t.Parallel()
	outer := full(t.Context())
	inner := auditctx.WithActor(outer, schema.Actor{ID: "key_1", Type: "api_key"})
	got := auditctx.FromContext(inner)
	if got.Actor.ID != "key_1" || got.OrganizationID != organization || got.Context.Location != "192.0.2.1" {
		t.Errorf("inner: %+v", got)
	}
	if got := auditctx.FromContext(outer); got.Actor.ID != "user_1" {
		t.Errorf("outer: %+v", got)
	}
}

func TestNobodyChangesWhatAContextCarries(t *testing.T) {
	t.Parallel()
	ctx := full(t.Context())
	v := auditctx.FromContext(ctx)
	v.Actor.Metadata["team"] = "b"
	v.Context.Location = "198.51.100.1"
	e := new(schema.Event)
	auditctx.Fill(ctx, e)
	e.Actor.Metadata["team"] = "c"
	if got := auditctx.FromContext(ctx); got.Actor.Metadata["team"] != "a" || got.Context.Location != "192.0.2.1" {
		t.Errorf("got %+v", got)
	}
}

func TestAnEmptyContextCarriesNothing(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(auditctx.Values{}, auditctx.FromContext(t.Context())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestCommonIsWhatConstructorsNeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want := catalogue.Common{
			OrganizationID: organization, OccurredAt: time.Now(),
			Actor:   schema.Actor{ID: "user_1", Type: "user", Name: "Ada", Metadata: map[string]any{"team": "a"}},
			Context: &schema.Context{Location: "192.0.2.1", UserAgent: "curl/8"},
		}
		if diff := cmp.Diff(want, auditctx.Common(full(t.Context()))); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}
