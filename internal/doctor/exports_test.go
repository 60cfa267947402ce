package doctor

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/internal/organization"
)

func TestExportsThatAreToReachBackBeyondKafka(t *testing.T) {
	c := newClinic(t).withTopics()
	expect(t, c.examined("exports"), OK, "0 organizations")
	keep := func(id string, days int) {
		t.Helper()
		o := organization.Organization{ID: id, RetentionDays: days, By: "test"}
		value, err := o.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.client.ProduceSync(t.Context(), &kgo.Record{Topic: "audit.organizations", Key: []byte(id), Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	keep("org_1", 7)
	keep("org_2", 0)
	expect(t, c.examined("exports"), OK, "1 organization")
	keep("org_3", 3650)
	expect(t, c.examined("exports"), Warn, "org_3: exports are to reach back up to 3650 days, and Kafka keeps events for 7.0", "topics.retention")
	c.set("audit.events", "retention.ms", "-1")
	expect(t, c.examined("exports"), OK, "2 organizations")
}
