package console_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/admin/admintest"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/consumer/deadletter"
)

// hostile are texts that others may have written wherever the console shows text.
func hostile() map[string]string {
	return map[string]string{
		"markup":  `</textarea></script><script>alert(1)</script><img src=x onerror=alert(1)>" onfocus="alert(1)" autofocus x="`,
		"scheme":  `javascript:alert(1)`,
		"bidi":    "safe\u202egnp.exe\u2066\u2069\u200f\u061c",
		"control": "a\x00b\x1b[31mc\x7f\u0085\u2028d\ufeff",
		"bytes":   "\xff\xfe\xc3(",
		"long":    strings.Repeat("A", 1<<20),
	}
}

func hostileWorld(bad string) *admintest.Service {
	s := admintest.New()
	now := time.Now()
	settings, err := json.Marshal(map[string]string{"url": bad})
	if err != nil {
		panic(err)
	}
	st := admin.Stream{
		ID: "s", UID: "str_S", Owner: bad, OrganizationID: bad, Actions: []string{bad}, Kind: bad, Format: bad, Start: bad, Advice: bad,
		Settings: settings,
		Status: consumer.Status{
			State: consumer.StateError, Error: bad, Since: &now, NextAttempt: &now,
			Lanes: []consumer.LaneStatus{{Error: bad + ".", Owner: bad, State: consumer.StateError, Gaps: []consumer.Gap{{From: 1, To: 2, Reason: bad, By: bad}}}},
		},
		Hold: &consumer.Change{By: bad, Reason: bad}, Changes: []consumer.Change{{What: bad, By: bad, Reason: bad}},
	}
	s.AddStream(st)
	l := admin.DeadLetter{Record: &deadletter.Original{Key: []byte(bad), Value: []byte(bad)}, Marks: []deadletter.Mark{{State: deadletter.State(bad), By: bad, Reason: bad}}}
	l.Class, l.Reason, l.Answer, l.Kind, l.State, l.OrganizationID, l.Action, l.EventID = bad, bad, bad, bad, deadletter.Open, bad, bad, bad
	l.Streams = []deadletter.Stream{{ID: bad, Replay: bad}}
	l.Violations = []deadletter.Violation{{Pointer: bad, Code: bad, Message: bad}}
	l.Source.Topic = bad
	s.AddLetter(l)
	s.AddJob(admin.Job{Task: consumer.Task{UID: "j", Job: bad, Stream: bad, By: bad, Actions: []string{bad}, OrganizationID: bad}, State: bad, Problem: bad})
	s.AddSchema(admin.Schema{Action: "a", Version: 1, Title: bad, Schema: []byte(bad), Example: []byte(bad)})
	s.SetTopics(admin.Topics{
		Topics: []admin.Topic{{Name: bad, ID: bad, Problems: []string{bad}}},
		Groups: []admin.Group{{ID: bad, Kind: bad, State: bad, Members: []admin.Member{{Client: bad, Host: bad}}}},
	})
	s.Publish(admin.TailEvent{OrganizationID: bad, Action: bad, ID: "audit_event_1", OccurredAt: bad, Time: now})
	return s
}

// Whatever others say is text: it makes no element, hides nothing and fills no page.
func TestWhatOthersSayIsText(t *testing.T) {
	for name, bad := range hostile() {
		t.Run(name, func(t *testing.T) {
			b := newRig(t, hostileWorld(bad)).as(t, adminToken)
			q := "?" + url.Values{"q": {bad[:min(len(bad), 2000)]}, "stream": {bad[:min(len(bad), 2000)]}}.Encode()
			for _, path := range []string{
				"/", "/streams", "/streams" + q, "/streams/s", "/streams/s/edit", "/streams/s/edit?whole=yes", "/streams/s/pause", "/dead-letters", "/dead-letters" + q,
				"/dead-letters/0:0", "/jobs", "/jobs/j", "/schemas" + q, "/schemas", "/schemas/a", "/topics", "/explain?id=audit_event_1", "/tail" + q, "/nowhere" + q,
			} {
				got := b.get(path)
				if got.status != http.StatusOK && got.status != http.StatusNotFound {
					t.Errorf("%s: %d", path, got.status)
				}
				for _, not := range []string{"<script>alert", "<img src=x", `" onfocus="`, `href="javascript:`, "\u202e", "\u2066", "\u200f", "\x00", "\x1b", "\x7f", "\u2028", "\xff"} {
					if strings.Contains(got.text, not) {
						t.Errorf("%s holds %q", path, not)
					}
				}
				// The editor shows a document as it is, to be sent back.
				if most := 600 << 10; len(got.text) > most && !strings.Contains(path, "/edit") {
					t.Errorf("%s has %d bytes", path, len(got.text))
				}
			}
		})
	}
}

// What people send comes back as text, too.
func TestWhatPeopleSendIsText(t *testing.T) {
	b := newRig(t, admintest.World()).as(t, adminToken)
	bad := hostile()["markup"]
	for _, path := range []string{"/login?next=", "/search?q=", "/streams?q=", "/streams?page=", "/explain?id=", "/tail?actions=", "/dead-letters?since=", "/streams/acme-splunk/skip?to=time&time=", "/streams/acme-splunk/report?count=yes&from=", "/streams/acme-splunk/replay?from="} {
		b.get(path+url.QueryEscape(bad)).saysNothing(t, "<script>alert", "<img src=x", `" onfocus="`)
	}
	got := b.follow(b.post("/streams/acme-splunk/pause", url.Values{"reason": {bad}}))
	got.says(t, http.StatusOK, "&lt;script&gt;")
	got.saysNothing(t, "<script>alert", "<img src=x", `" onfocus="`)
}
