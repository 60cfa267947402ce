package bench

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/auditstream/auditstream/schema"
)

func TestAnEventAsACallerBringsIt(t *testing.T) {
	g := NewGenerator(GeneratorConfig{Seed: 1, Organizations: 5, Start: time.Now()})
	value, organization := g.Event(nil)
	var body struct {
		OrganizationID string          `json:"organization_id"`
		Event          json.RawMessage `json:"event"`
	}
	if err := json.Unmarshal(appendWorkOSBody(nil, value), &body); err != nil {
		t.Fatal(err)
	}
	if body.OrganizationID != OrganizationID(organization) {
		t.Errorf("organization %q", body.OrganizationID)
	}
	brought, err := schema.Decode(body.Event)
	if err != nil {
		t.Fatal(err)
	}
	want, err := schema.Decode(value)
	if err != nil {
		t.Fatal(err)
	}
	if brought.ID != "" || brought.OrganizationID != "" {
		t.Errorf("the event has the id %q and the organization %q", brought.ID, brought.OrganizationID)
	}
	brought.ID, brought.OrganizationID = want.ID, want.OrganizationID
	got, err := brought.AppendCanonical(nil)
	if err != nil || string(got) != string(value) {
		t.Errorf("%v, got  %s\nwant %s", err, got, value)
	}
}
