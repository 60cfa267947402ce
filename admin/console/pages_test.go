package console_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/auditstream/auditstream/admin/admintest"
)

// pages are the addresses of all pages, for what holds for each.
func pages() []string {
	return []string{
		"/", "/login", "/streams", "/streams?q=nothing-like-it", "/streams/acme-splunk", "/streams/everyone-archive", "/nowhere",
		"/streams/acme-splunk/pause", "/streams/acme-webhook/resume", "/streams/acme-splunk/skip", "/streams/acme-splunk/skip?to=now", "/streams/acme-splunk/report", "/streams/acme-splunk/report?count=yes",
		"/streams/acme-splunk/test", "/streams/acme-splunk/try", "/streams/acme-splunk/replay", "/streams/acme-splunk/replay?count=yes", "/streams/acme-splunk/delete",
		"/streams/new", "/streams/new?kind=splunk", "/streams/new?kind=document", "/streams/acme-splunk/edit", "/streams/acme-splunk/edit?whole=yes", "/streams/globex-files/edit",
		"/dead-letters", "/dead-letters?state=any", "/dead-letters/0:43", "/dead-letters/1:41", "/jobs", "/jobs/job_00002", "/jobs/job_00003",
		"/tail", "/explain", "/explain?id=audit_event_01JZZZZZZZZZZZZZZZZZZ00004", "/schemas", "/schemas/user.invite", "/topics",
	}
}

func TestTopicsNameWhoHoldsThemBack(t *testing.T) {
	b := newRig(t, admintest.World()).as(t, viewerToken)
	b.get("/topics").says(t, http.StatusOK, "1,200 offsets are held back from all streams", "billing-importer-3", "of producer 4711", "kafka-transactions.sh")
}

func TestOverviewSaysWhatIsWrongFirst(t *testing.T) {
	b := newRig(t, admintest.World()).as(t, viewerToken)
	b.get("/").says(t, http.StatusOK,
		"Needs attention", "acme-splunk", "Splunk refuses the token", "What to do:", "Give the stream the new token",
		"globex-datadog", "503 Service Unavailable", "Throughput", "As a table")
}

func TestOverviewWithoutStreamsSaysWhatToDoNext(t *testing.T) {
	b := newRig(t, admintest.New()).as(t, viewerToken)
	b.get("/").says(t, http.StatusOK, "There are no streams yet", "auditstream serve deliver", "Nothing has been measured yet")
	b.get("/streams").says(t, http.StatusOK, "There are no streams yet")
}

func TestStreamsAreFound(t *testing.T) {
	b := newRig(t, admintest.World()).as(t, viewerToken)
	b.get("/streams").says(t, http.StatusOK, "5 streams, the worst first", "everyone-archive", "globex-files")
	found := b.get("/streams?q=GLOBEX")
	found.says(t, http.StatusOK, "2 of 5 streams", "globex-files", "globex-datadog")
	found.saysNothing(t, "acme-splunk")
	b.get("/streams?state=paused").says(t, http.StatusOK, "1 of 5 streams", "acme-webhook")
	b.get("/streams?kind=s3").says(t, http.StatusOK, "1 of 5 streams", "everyone-archive")
	b.get("/streams?q=none").says(t, http.StatusOK, "No stream is like that")
	if to := b.get("/search?q=audit_event_01J").header.Get("Location"); to != "/explain?id=audit_event_01J" {
		t.Errorf("an event's id leads to %q", to)
	}
}

func TestStream(t *testing.T) {
	b := newRig(t, admintest.World()).as(t, viewerToken)
	b.get("/streams/acme-splunk").says(t, http.StatusOK,
		"invalid", "Splunk refuses the token", "Give the stream the new token", "Next attempt", "Partitions", "482,100",
		"https://splunk.acme.example:8088", "a secret, sealed", "made by ada", "user.*, sso.delete_connection")
	b.get("/streams/acme-webhook").says(t, http.StatusOK, "Paused by ada", "OPS-812")
	b.get("/streams/none").says(t, http.StatusNotFound, "there is no stream")
}

func TestRefreshAnswersWithWhatChangesOnly(t *testing.T) {
	b := newRig(t, admintest.World()).as(t, viewerToken)
	for _, path := range []string{"/", "/streams", "/streams/acme-splunk"} {
		got := b.get(path, "HX-Request", "true", "HX-Target", "live")
		got.says(t, http.StatusOK, `id="live"`)
		got.saysNothing(t, "<html", "<nav aria-label=\"Pages\"")
	}
}

func TestKafkaThatDoesNotAnswer(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.as(t, viewerToken)
	r.service.Fail(errors.New("cannot reach Kafka: connection refused"))
	b.get("/").says(t, http.StatusServiceUnavailable, "Kafka does not answer", "connection refused", "data-retry")
	b.get("/", "HX-Target", "live").says(t, http.StatusServiceUnavailable)
	r.service.Fail(nil)
	b.get("/").says(t, http.StatusOK)
}

// Feeds and their last checkpoints: what a receiver has to go by.
func TestStreamShowsWhatProvesIt(t *testing.T) {
	b := newRig(t, admintest.World()).as(t, viewerToken)
	b.get("/streams/everyone-archive").says(t, http.StatusOK, "Proof", "Last checkpoint", "361,000", "360,988", ">yes<", "on its way", "auditstream/everyone-archive/")
	b.get("/streams/acme-splunk").says(t, http.StatusOK, "Last checkpoint", "no: Splunk refuses the token")
	b.get("/streams/globex-files").says(t, http.StatusOK, "No feed has a checkpoint", "integrity.key", "none yet")
	off := b.get("/streams/acme-webhook")
	off.says(t, http.StatusOK, "Proof", "cannot tell whether events were removed, altered")
	off.saysNothing(t, "Last checkpoint")
}
