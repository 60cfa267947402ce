package console_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/admin/admintest"
	"github.com/auditstream/auditstream/consumer/deadletter"
)

func TestAReportSaysWhatBecameOfEvents(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.as(t, operatorToken)
	b.get("/streams/acme-splunk/report").saysNothing(t, "It adds up")
	b.get("/streams/acme-splunk/report?count=yes").says(t, http.StatusOK, "It adds up: every event is where it should be.", "Accepted", "Total", "numbers say nothing of this time.")
	b.get("/streams/acme-splunk/report?count=yes&from=yesterday").says(t, http.StatusUnprocessableEntity, "is no time")
	b.get("/streams/no-such/report?count=yes").says(t, http.StatusNotFound)
	viewer := r.as(t, viewerToken)
	viewer.get("/streams/acme-splunk/report").says(t, http.StatusForbidden)
	viewer.get("/streams/acme-splunk").saysNothing(t, "/streams/acme-splunk/report")
}

func TestAReportSaysHowManyDeadLettersWereRedriven(t *testing.T) {
	w := admintest.World()
	for i, state := range []deadletter.State{deadletter.Open, deadletter.Redriven, deadletter.Redriven} {
		id := fmt.Sprintf("audit_event_of_a_report_%d", i)
		w.Publish(admin.TailEvent{ID: id, OrganizationID: admintest.Acme, Action: "user.invite", Time: time.Now()})
		l := admin.DeadLetter{}
		l.EventID, l.State, l.Streams = id, state, []deadletter.Stream{{ID: "acme-splunk"}}
		w.AddLetter(l)
	}
	b := newRig(t, w).as(t, operatorToken)
	b.get("/streams/acme-splunk/report?count=yes").says(t, http.StatusOK, "(2 redriven)")
}
