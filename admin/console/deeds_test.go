package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/admin/admintest"
	"github.com/auditstream/auditstream/sinks"
)

// did fails unless the last thing that was done is as it is said.
func (r *rig) did(tb testing.TB, want string) {
	tb.Helper()
	deeds := r.service.Deeds()
	if len(deeds) == 0 || !strings.Contains(deeds[len(deeds)-1], want) {
		tb.Errorf("done: %q, want %q", deeds, want)
	}
}

// follow opens the page that a form led to.
func (b *browser) follow(a answer) answer {
	b.tb.Helper()
	if a.status != http.StatusSeeOther {
		b.tb.Fatalf("status %d, want a redirect\n%.2000s", a.status, a.text)
	}
	return b.get(a.header.Get("Location"))
}

func TestPauseAndResume(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.as(t, operatorToken)
	b.get("/streams/acme-splunk/pause").says(t, http.StatusOK, "its cursor stays", "5,520 events wait", "Reason")
	b.post("/streams/acme-splunk/pause", url.Values{"reason": {" "}}).says(t, http.StatusUnprocessableEntity, "a reason is required")
	page := b.follow(b.post("/streams/acme-splunk/pause", url.Values{"reason": {"index is moved"}}))
	page.says(t, http.StatusOK, "acme-splunk: paused; in force in all 3 partitions", "Paused by the-operator", "index is moved", "Resume")
	r.did(t, "acme-splunk: paused by the-operator: index is moved")
	b.get("/streams/acme-splunk").saysNothing(t, "in force in all 3 partitions") // it is said once
	b.follow(b.post("/streams/acme-splunk/resume", url.Values{})).says(t, http.StatusOK, "acme-splunk: resumed")
	r.did(t, "acme-splunk: resumed by the-operator")
}

func TestWhatWasChangedMeanwhileIsNotChanged(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.as(t, operatorToken)
	got := b.post("/streams/acme-splunk/pause", url.Values{"reason": {"x"}, "if": {"another.1"}})
	got.says(t, http.StatusPreconditionFailed, "Somebody changed it meanwhile")
}

func TestSkipCountsFirst(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.as(t, operatorToken)
	b.get("/streams/acme-splunk/skip").saysNothing(t, "What it does")
	b.get("/streams/acme-splunk/skip?to=now").says(t, http.StatusOK, "5,520 events are passed over and never delivered, 0 are sent again", "480,260", "482,100")
	b.get("/streams/acme-splunk/skip?to=time&time=yesterday").says(t, http.StatusUnprocessableEntity, "is no time")
	b.get("/streams/acme-splunk/skip?to=offset&partition=1&offset=480338").says(t, http.StatusOK, "1 event is passed over")
	if len(r.service.Deeds()) != 0 {
		t.Errorf("counting has done something: %q", r.service.Deeds())
	}
	b.post("/streams/acme-splunk/skip", url.Values{"to": {"now"}}).says(t, http.StatusUnprocessableEntity, "a reason is required")
	page := b.follow(b.post("/streams/acme-splunk/skip", url.Values{"to": {"now"}, "reason": {"load test"}}))
	page.says(t, http.StatusOK, "on record as a gap", "Gaps", "offsets 480,260 to 482,099")
	r.did(t, "moved by the-operator: load test")
}

func TestDeleteAsksForTheId(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.as(t, adminToken)
	b.get("/streams/acme-splunk/delete").says(t, http.StatusOK, "5,520 waiting events are never delivered")
	form := url.Values{"how": {"drop"}, "reason": {"contract ended"}, "confirm": {"acme"}}
	b.post("/streams/acme-splunk/delete", form).says(t, http.StatusUnprocessableEntity, "type the stream")
	form.Set("confirm", "acme-splunk")
	b.follow(b.post("/streams/acme-splunk/delete", form)).says(t, http.StatusOK, "acme-splunk: deleted", "4 streams")
	r.did(t, "acme-splunk: deleted by the-admin: contract ended")
}

func TestTestShowsEachStep(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.as(t, operatorToken)
	b.post("/streams/acme-splunk/test", url.Values{}).says(t, http.StatusOK, "The destination has taken the event", "dns", "192.0.2.10", "Splunk ***", "41ms")
	r.service.FailTests(&sinks.Error{Class: sinks.Misconfigured, Status: 403, Answer: `{"text":"Invalid token","code":4}`, Err: http.ErrNoCookie})
	b.post("/streams/acme-splunk/test", url.Values{}).says(t, http.StatusOK, "failed", "Invalid token")
}

func TestReplayCountsFirstAndSendsWhatItCounted(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.as(t, operatorToken)
	page := b.get("/streams/everyone-archive/replay?count=yes&from=2026-11-20&actions=user.*,+sso.*&rate=50")
	page.says(t, http.StatusOK, "sent another time,", `name="to" value="20`, `value="user.*, sso.*"`)
	b.get("/streams/everyone-archive/replay?count=yes&rate=fast").says(t, http.StatusUnprocessableEntity, "the rate must be a number")
	b.get("/streams/everyone-archive/replay?count=yes&from=2026-11-20&to=2026-11-19").says(t, http.StatusUnprocessableEntity, "from must lie before to")
	got := b.follow(b.post("/streams/everyone-archive/replay", url.Values{"from": {"2026-11-20"}, "to": {"2026-11-21T00:00:00Z"}, "rate": {"50"}, "reason": {"audit"}}))
	got.says(t, http.StatusOK, "replay started", "job_00004", "running", "50 events a second at most")
	r.did(t, "everyone-archive: replayed by the-operator: audit")
}

func TestJobs(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.as(t, operatorToken)
	b.get("/jobs").says(t, http.StatusOK, "job_00001", "job_00003", "replay", "redrive")
	b.get("/jobs/job_00003").says(t, http.StatusOK, "Nobody runs it", "Go on", "503 Service Unavailable")
	b.follow(b.post("/jobs/job_00003", url.Values{"what": {"resume"}})).says(t, http.StatusOK, "goes on from where it was left")
	b.follow(b.post("/jobs/job_00002", url.Values{"what": {"stop"}, "reason": {"too much"}})).says(t, http.StatusOK, "stopped")
	r.did(t, "job_00002: stopped by the-operator: too much")
	b.follow(b.post("/jobs/job_00001", url.Values{"what": {"forget"}})).says(t, http.StatusOK, "taken off the record")
	b.post("/jobs/job_00002", url.Values{"what": {"explode"}}).says(t, http.StatusUnprocessableEntity)
}

func TestLettersAreDecidedAboutWithNumbersAndAReason(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.as(t, operatorToken)
	b.get("/dead-letters").says(t, http.StatusOK, "11 letters, the newest first", "2:42", "rejected")
	b.get("/dead-letters?class=invalid").says(t, http.StatusOK, "3 letters")
	b.get("/dead-letters?stream=nothing").says(t, http.StatusOK, "No letter is like that")
	b.get("/dead-letters?since=never").says(t, http.StatusUnprocessableEntity)
	b.get("/dead-letters/9:9").says(t, http.StatusNotFound)
	b.get("/dead-letters/x").says(t, http.StatusNotFound)
	b.get("/dead-letters/1:41").says(t, http.StatusOK, "/actor/id: required", "Mend the program that published it", "&#34;user_1&#34;")

	b.post("/dead-letters/decide", url.Values{"what": {"discard"}}).says(t, http.StatusUnprocessableEntity, "no letter is chosen")
	b.post("/dead-letters/decide", url.Values{"what": {"discard"}, "at": {"1:41", "0:43"}}).says(t, http.StatusOK, "Discard 2 dead letters", "2 events are")
	b.post("/dead-letters/discard", url.Values{"at": {"1:41", "0:43"}}).says(t, http.StatusUnprocessableEntity, "a reason is required")
	b.follow(b.post("/dead-letters/discard", url.Values{"at": {"1:41", "0:43"}, "reason": {"load test"}})).says(t, http.StatusOK, "2 letters discarded", "9 letters")

	b.post("/dead-letters/decide", url.Values{"what": {"redrive"}, "at": {"2:45"}}).says(t, http.StatusConflict, "no stream can carry it")
	b.post("/dead-letters/decide", url.Values{"what": {"redrive"}, "at": {"2:42", "0:46"}}).says(t, http.StatusOK, "Redrive 2 dead letters to acme-splunk", "2 events are")
	b.post("/dead-letters/decide", url.Values{"what": {"redrive-all"}, "stream": {"acme-splunk"}}).says(t, http.StatusOK, "Redrive 7 dead letters to acme-splunk")
	b.follow(b.post("/dead-letters/redrive", url.Values{"stream": {"acme-splunk"}, "at": {"2:42", "0:46"}, "reason": {"mended"}})).says(t, http.StatusOK, "redrive started: 2 letters")
	r.did(t, "acme-splunk: redriven by the-operator: mended")
}

func TestRecordIsADownload(t *testing.T) {
	b := newRig(t, admintest.World()).as(t, operatorToken)
	got := b.get("/dead-letters/2:42/record")
	got.says(t, http.StatusOK, `"action":"user.invite"`)
	if got.header.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(got.header.Get("Content-Disposition"), "attachment") {
		t.Errorf("a browser would open it: %v", got.header)
	}
}

// What a role may not do is not offered, and is refused when it is forced.
func TestRoles(t *testing.T) {
	deeds := map[string]admin.Role{
		"/streams/acme-splunk/pause": admin.RoleOperator, "/streams/acme-webhook/resume": admin.RoleOperator,
		"/streams/acme-splunk/skip": admin.RoleOperator, "/streams/acme-splunk/test": admin.RoleOperator, "/streams/acme-splunk/try": admin.RoleOperator,
		"/streams/acme-splunk/replay": admin.RoleOperator, "/streams/acme-splunk/delete": admin.RoleAdmin,
		"/streams/plan": admin.RoleAdmin, "/streams/apply": admin.RoleAdmin, "/streams/test-draft": admin.RoleAdmin, "/streams/try-draft": admin.RoleAdmin,
		"/dead-letters/decide": admin.RoleOperator, "/dead-letters/discard": admin.RoleOperator, "/dead-letters/redrive": admin.RoleOperator,
		"/jobs/job_00002": admin.RoleOperator,
	}
	r := newRig(t, admintest.World())
	for token, role := range map[string]admin.Role{viewerToken: admin.RoleViewer, operatorToken: admin.RoleOperator} {
		b := r.as(t, token)
		for path, needs := range deeds {
			if role.Allows(needs) {
				continue
			}
			b.post(path, url.Values{"reason": {"x"}, "to": {"now"}, "at": {"2:42"}, "what": {"stop"}}).says(t, http.StatusForbidden, "this takes the role "+string(needs))
		}
		for _, path := range []string{"/streams/new", "/streams/acme-splunk/edit", "/streams/acme-splunk/delete"} {
			b.get(path).says(t, http.StatusForbidden)
		}
		b.get("/streams/acme-splunk").saysNothing(t, "/streams/acme-splunk/edit", "/streams/acme-splunk/delete")
		b.get("/streams").saysNothing(t, "/streams/new")
	}
	if len(r.service.Deeds()) != 0 {
		t.Errorf("done: %q", r.service.Deeds())
	}
	viewer := r.as(t, viewerToken)
	viewer.get("/streams/acme-splunk").saysNothing(t, "/streams/acme-splunk/pause", "/streams/acme-splunk/skip", "/streams/acme-splunk/test")
	viewer.get("/dead-letters").saysNothing(t, "Redrive", "Discard", `type="checkbox"`)
	letter := viewer.get("/dead-letters/2:42")
	letter.says(t, http.StatusOK, "Payloads are shown to operators and admins")
	letter.saysNothing(t, "user_1", "Download")
	viewer.get("/dead-letters/2:42/record").says(t, http.StatusForbidden)
	viewer.get("/jobs/job_00002").saysNothing(t, "Stop</button>")
}

// Every form that changes something needs the session's secret, and comes from here.
func TestForgedForms(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.as(t, adminToken)
	other := r.as(t, adminToken).csrf()
	paths := []string{
		"/streams/acme-splunk/pause", "/streams/acme-splunk/delete", "/streams/plan", "/streams/apply", "/dead-letters/discard", "/dead-letters/redrive", "/jobs/job_00002",
	}
	for _, path := range paths {
		for _, csrf := range []string{"", "guessed", other} {
			b.post(path, url.Values{"csrf": {csrf}, "reason": {"x"}}).says(t, http.StatusForbidden, "the form is of another session")
		}
		form := url.Values{"csrf": {b.csrf()}, "reason": {"x"}, "at": {"2:42"}}
		for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
			header = append(slices.Clone(header), "Content-Type", "application/x-www-form-urlencoded")
			b.do(b.request(http.MethodPost, path, strings.NewReader(form.Encode()), header...)).says(t, http.StatusForbidden)
		}
		// Nor by an address, which is no form.
		b.get(path+"?"+form.Encode()).says(t, statusOfGet(path))
	}
	if len(r.service.Deeds()) != 0 {
		t.Errorf("done: %q", r.service.Deeds())
	}
}

// statusOfGet is what the page of the same address answers, if there is one.
func statusOfGet(path string) int {
	if strings.HasSuffix(path, "/pause") || strings.HasSuffix(path, "/delete") || strings.HasPrefix(path, "/jobs/") {
		return http.StatusOK
	}
	return http.StatusNotFound
}

func TestFormsAreBounded(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.as(t, adminToken)
	csrf := b.csrf()
	b.post("/streams/acme-splunk/pause", url.Values{"csrf": {csrf}, "reason": {strings.Repeat("x", 1<<20)}}).says(t, http.StatusUnprocessableEntity, "larger than 256 KiB")
	var many []string
	for i := range 201 {
		many = append(many, fmt.Sprintf("0:%d", i))
	}
	b.post("/dead-letters/discard", url.Values{"csrf": {csrf}, "reason": {"x"}, "at": many}).says(t, http.StatusUnprocessableEntity, "at most 200")
}
