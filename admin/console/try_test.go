package console_test

import (
	"bufio"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/admin/admintest"
)

func TestAnEventIsTried(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.as(t, operatorToken)
	b.get("/streams/acme-splunk").says(t, http.StatusOK, "/streams/acme-splunk/try")
	b.get("/streams/acme-splunk/try").says(t, http.StatusOK, "Try an event on acme-splunk", admintest.Acme, "&#34;action&#34;: &#34;user.signed_in&#34;", "Nothing is sent")
	event := `{"id":"a","action":"user.login","organization_id":"` + admintest.Acme + `","occurred_at":"2026-11-22T10:00:00Z","metadata":{"note":"<script>alert(1)</script>"}}`
	got := b.post("/streams/acme-splunk/try", url.Values{"event": {event}})
	got.says(t, http.StatusOK, "It would be sent", "Route", "passes", "POST https://splunk.acme.example:8088", "Authorization: Splunk ***", "&lt;script&gt;alert(1)")
	got.saysNothing(t, "<script>alert(1)")
	b.post("/streams/acme-splunk/try", url.Values{"event": {"{"}}).says(t, http.StatusOK, "it is no valid event", "invalid")
	b.post("/streams/acme-splunk/try", url.Values{"event": {" "}}).says(t, http.StatusUnprocessableEntity, "there is no event")
	b.post("/streams/acme-splunk/try", url.Values{"event": {strings.Repeat("x", 200<<10)}}).says(t, http.StatusUnprocessableEntity, "larger than 128 KiB")
	b.post("/streams/none/try", url.Values{"event": {event}}).says(t, http.StatusNotFound)
	viewer := r.as(t, viewerToken)
	viewer.get("/streams/acme-splunk").saysNothing(t, "/streams/acme-splunk/try")
	viewer.post("/streams/acme-splunk/try", url.Values{"event": {event}}).says(t, http.StatusForbidden)
	if len(r.service.Deeds()) != 0 {
		t.Errorf("done: %q", r.service.Deeds())
	}
}

func TestAnEventIsTriedOnADraft(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.as(t, adminToken)
	name := draftOf(t, b.post("/streams/plan", newStreamForm()))
	page := b.post("/streams/try-draft", url.Values{"draft": {name}})
	page.says(t, http.StatusOK, "Try an event on new-splunk", admintest.Acme)
	b.post("/streams/try-draft", url.Values{"draft": {name}, "event": {"{"}}).says(t, http.StatusOK, "it is no valid event")
	b.post("/streams/try-draft", url.Values{"draft": {"another"}, "event": {"{"}}).says(t, http.StatusConflict)
	b.follow(b.post("/streams/apply", url.Values{"draft": {name}})).says(t, http.StatusOK, "created") // it is there still
}

// Steps are shown as they are done: who waits for a destination that does not answer sees at
// which step.
func TestStepsOfATestComeOneByOne(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.as(t, operatorToken)
	csrf, release := b.csrf(), make(chan struct{})
	r.service.HoldTests(release)
	req := b.request(http.MethodPost, "/streams/acme-splunk/test", strings.NewReader(url.Values{"csrf": {csrf}}.Encode()),
		"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin")
	res, err := b.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // only read
	in := bufio.NewReader(res.Body)
	var before, after strings.Builder
	for !strings.Contains(before.String(), "splunk.acme.example is 192.0.2.10") {
		line, err := in.ReadString('>')
		if before.WriteString(line); err != nil {
			t.Fatal(err, before.String())
		}
	}
	if strings.Contains(before.String(), "192.0.2.10:8088") {
		t.Error("the page holds a step that is not done")
	}
	close(release)
	for {
		line, err := in.ReadString('>')
		if after.WriteString(line); err != nil {
			break
		}
	}
	if !strings.Contains(after.String(), "192.0.2.10:8088") || !strings.Contains(after.String(), "The destination has taken the event") || !strings.Contains(after.String(), "</html>") {
		t.Error(after.String())
	}
}
