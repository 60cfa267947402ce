package console_test

import (
	"net/http"
	"testing"

	"github.com/auditstream/auditstream/admin/admintest"
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
