package catalogue

import (
	"bytes"
	"testing"

	"github.com/auditstream/auditstream/schema"
)

// TestIDIsSetInEveryEventOfTheCatalogue compares bytes: an id that is set in the canonical form
// stands where encoding the event with it writes it.
func TestIDIsSetInEveryEventOfTheCatalogue(t *testing.T) {
	events := 0
	for _, family := range embeddedCatalogue(t).Families() {
		for _, action := range family.Actions {
			e, err := Example(action)
			if err != nil {
				t.Fatal(err)
			}
			v := schema.Validator{OrganizationOptional: true}
			e.ID = ""
			encoded, violations := v.Encoded(e)
			if violations != nil {
				t.Fatalf("%s: %v", action.Name, violations)
			}
			if violations := encoded.SetID("audit_event_01JGXYZ0000000000000000000"); violations != nil {
				t.Fatalf("%s: %v", action.Name, violations)
			}
			want, violations := v.Encode(nil, e)
			if violations != nil || !bytes.Equal(want, encoded.Value()) {
				t.Errorf("%s:\n%s\nis not\n%s\n%v", action.Name, encoded.Value(), want, violations)
			}
			if violations := v.Check(encoded.Value()); violations != nil {
				t.Errorf("%s: %v", action.Name, violations)
			}
			events++
		}
	}
	if events < 180 {
		t.Errorf("only %d events", events)
	}
}
