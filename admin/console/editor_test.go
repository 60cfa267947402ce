package console_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/auditstream/auditstream/admin/admintest"
)

const secretValue = "s3cr3t-never-shown"

func newStreamForm() url.Values {
	return url.Values{
		"kind": {"splunk"}, "id": {"new-splunk"}, "organization_id": {admintest.Acme}, "actions": {"user.*, sso.*"}, "format": {"workos"}, "start": {"now"},
		"setting.url": {"https://splunk.example:8088"}, "secret.token": {secretValue}, "setting.index": {"main"}, "setting.acknowledge": {"true"}, "more": {`{"linger":"1s"}`},
	}
}

// draftOf is the name of the draft in a plan.
func draftOf(tb testing.TB, a answer) string {
	tb.Helper()
	m := regexp.MustCompile(`name="draft" value="([^"]+)"`).FindStringSubmatch(a.text)
	if m == nil {
		tb.Fatalf("no plan: %d\n%.3000s", a.status, a.text)
	}
	return m[1]
}

func TestStreamIsMadeAfterItsPlanWasShown(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.as(t, adminToken)
	b.get("/streams/new").says(t, http.StatusOK, "Splunk", "Datadog", "S3", "Any URL")
	b.get("/streams/new?kind=splunk").says(t, http.StatusOK, "HEC token", `type="password"`)
	plan := b.post("/streams/plan", newStreamForm())
	plan.says(t, http.StatusOK, "Plan: create new-splunk", "/splunk/url", "https://splunk.example:8088", "a secret, sealed", "begins with what is published from now on")
	plan.saysNothing(t, secretValue)
	if len(r.service.Deeds()) != 0 {
		t.Fatalf("done before it was applied: %q", r.service.Deeds())
	}
	form := url.Values{"draft": {draftOf(t, plan)}, "reason": {"new customer"}}
	page := b.follow(b.post("/streams/apply", form))
	page.says(t, http.StatusOK, "new-splunk", "made by the-admin: new customer", "a secret, sealed", "1s")
	page.saysNothing(t, secretValue)
	r.did(t, "new-splunk: made by the-admin: new customer")
	b.post("/streams/apply", url.Values{"draft": form["draft"]}).says(t, http.StatusConflict, "this plan is too old") // it is applied once
	b.post("/streams/plan", newStreamForm()).says(t, http.StatusConflict, "there is a stream new-splunk already")
}

func TestPlanOfAnotherSession(t *testing.T) {
	r := newRig(t, admintest.World())
	name := draftOf(t, r.as(t, adminToken).post("/streams/plan", newStreamForm()))
	r.as(t, adminToken).post("/streams/apply", url.Values{"draft": {name}}).says(t, http.StatusConflict)
	r.as(t, adminToken).post("/streams/apply", url.Values{"draft": {""}}).says(t, http.StatusConflict)
}

func TestStreamIsEditedAndKeepsItsSecret(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.as(t, adminToken)
	b.get("/streams/acme-splunk/edit").says(t, http.StatusOK, "there is one; empty keeps it", "https://splunk.acme.example:8088")
	b.get("/streams/globex-files/edit").says(t, http.StatusConflict, "stands in a configuration file")
	form := url.Values{
		"former": {"acme-splunk"}, "kind": {"splunk"}, "id": {"acme-splunk"}, "organization_id": {admintest.Acme}, "format": {"workos"}, "start": {"now"},
		"actions": {"user.*, sso.delete_connection"}, "setting.url": {"https://splunk.acme.example:8088"}, "setting.index": {"other"}, "setting.acknowledge": {"true"},
	}
	plan := b.post("/streams/plan", form)
	plan.says(t, http.StatusOK, "Plan: update acme-splunk", "/splunk/index", "audit", "other", "the cursor stays")
	plan.saysNothing(t, "/splunk/token")
	b.follow(b.post("/streams/apply", url.Values{"draft": {draftOf(t, plan)}})).says(t, http.StatusOK, "acme-splunk: changed", "other")
	delete(form, "csrf")
	b.post("/streams/plan", form).says(t, http.StatusOK, "there is nothing to change")
}

func TestWholeDocument(t *testing.T) {
	b := newRig(t, admintest.World()).as(t, adminToken)
	page := b.get("/streams/acme-splunk/edit?whole=yes")
	m := regexp.MustCompile(`(?s)<textarea[^>]*>(.*?)</textarea>`).FindStringSubmatch(page.text)
	if m == nil {
		t.Fatal("no document")
	}
	document := html.UnescapeString(m[1])
	plan := b.post("/streams/plan", url.Values{"former": {"acme-splunk"}, "document": {document}})
	plan.says(t, http.StatusOK, "there is nothing to change") // what is shown is what is in force
}

func TestWhatIsWrongWithADraftStandsBesideTheForm(t *testing.T) {
	b := newRig(t, admintest.World()).as(t, adminToken)
	form := newStreamForm()
	form.Set("id", "")
	b.post("/streams/plan", form).says(t, http.StatusUnprocessableEntity, "line 1, column 1 (/id): required")
	form.Set("csrf", b.csrf())
	req := b.request(http.MethodPost, "/streams/plan", strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded", "HX-Request", "true")
	got := b.do(req)
	got.says(t, http.StatusOK, `href="#f-id"`, `data-field="f-id"`, "/id</a>: required")
	got.saysNothing(t, "<html", secretValue)
	form["mask.pointer"] = []string{"", "actor"} // the first line is empty: the rule is the second line's
	got = b.do(b.request(http.MethodPost, "/streams/plan", strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded", "HX-Request", "true"))
	got.says(t, http.StatusOK, `data-field="m-pointer-1"`)
	form.Set("more", "{")
	b.post("/streams/plan", form).says(t, http.StatusUnprocessableEntity, "More settings")
}

func TestDraftIsTestedBeforeItIsApplied(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.as(t, adminToken)
	name := draftOf(t, b.post("/streams/plan", newStreamForm()))
	b.post("/streams/test-draft", url.Values{"draft": {name}}).says(t, http.StatusOK, "The destination has taken the event", "Nothing was changed")
	r.did(t, "new-splunk: tested as a draft by the-admin")
	b.follow(b.post("/streams/apply", url.Values{"draft": {name}})).says(t, http.StatusOK, "created")
}

func TestMaskIsEditedRuleByRule(t *testing.T) {
	r := newRig(t, admintest.World())
	b := r.as(t, adminToken)
	form := newStreamForm()
	form.Set("filter", `event.actor.type == "user"`)
	form["mask.pointer"] = []string{"/actor/name", "", "/metadata/email"}
	form["mask.with"] = []string{"drop", "mask", "hmac"}
	form["mask.key"] = []string{"", "", secretValue}
	plan := b.post("/streams/plan", form)
	plan.says(t, http.StatusOK, "Plan: create new-splunk", "/mask", "/filter")
	plan.saysNothing(t, secretValue)
	b.follow(b.post("/streams/apply", url.Values{"draft": {draftOf(t, plan)}})).saysNothing(t, secretValue)

	page := b.get("/streams/new-splunk/edit")
	page.says(t, http.StatusOK, `value="/actor/name"`, `value="/metadata/email"`, `event.actor.type == &#34;user&#34;`, "there is one; empty keeps it")
	page.saysNothing(t, secretValue)
	if n := strings.Count(page.text, `name="mask.pointer"`); n != 4 {
		t.Errorf("%d lines for rules, want the two and two more", n)
	}
	// A key that is not given again stays, and a rule whose place is emptied goes.
	form = newStreamForm()
	form.Set("former", "new-splunk")
	form.Set("filter", `event.actor.type == "user"`)
	form.Del("secret.token")
	form["mask.pointer"] = []string{" ", "/metadata/email", "", ""}
	form["mask.with"] = []string{"drop", "hmac", "mask", "mask"}
	form["mask.key"] = []string{"", "", "", ""}
	plan = b.post("/streams/plan", form)
	plan.says(t, http.StatusOK, "Plan: update new-splunk", "/mask")
	b.follow(b.post("/streams/apply", url.Values{"draft": {draftOf(t, plan)}})).says(t, http.StatusOK, "changed")
	page = b.get("/streams/new-splunk/edit")
	page.says(t, http.StatusOK, `value="/metadata/email"`, "there is one; empty keeps it")
	page.saysNothing(t, `value="/actor/name"`)
}

// What was sealed for one destination does not follow the stream to another.
func TestAnotherURLNeedsTheSecretAgain(t *testing.T) {
	b := newRig(t, admintest.World()).as(t, adminToken)
	form := newStreamForm()
	form.Set("former", "acme-splunk")
	form.Set("id", "acme-splunk")
	form.Del("secret.token")
	b.post("/streams/plan", form).says(t, http.StatusUnprocessableEntity, "sealed for another destination")
}

// The proof of a feed is switched off and on in the form, which says what that costs.
func TestProofIsSwitchedOffAndOn(t *testing.T) {
	const ends = "The proof of this stream ends here"
	r := newRig(t, admintest.World())
	b := r.as(t, adminToken)
	b.get("/streams/new?kind=splunk").says(t, http.StatusOK, `name="integrity"`, "can never be proved later", `value="true" selected`)
	form := func(integrity string) url.Values {
		f := url.Values{
			"former": {"acme-splunk"}, "kind": {"splunk"}, "id": {"acme-splunk"}, "organization_id": {admintest.Acme}, "format": {"workos"}, "start": {"now"},
			"actions": {"user.*, sso.delete_connection"}, "setting.url": {"https://splunk.acme.example:8088"}, "setting.index": {"audit"}, "setting.acknowledge": {"true"},
		}
		if integrity != "" {
			f.Set("integrity", integrity)
		}
		return f
	}
	b.post("/streams/plan", form("true")).says(t, http.StatusOK, "there is nothing to change")
	plan := b.post("/streams/plan", form("false"))
	plan.says(t, http.StatusOK, "Plan: update acme-splunk", "/integrity", ends)
	b.follow(b.post("/streams/apply", url.Values{"draft": {draftOf(t, plan)}})).says(t, http.StatusOK, "acme-splunk: changed")

	b.get("/streams/acme-splunk/edit").says(t, http.StatusOK, `value="false" selected`)
	b.post("/streams/plan", form("")).says(t, http.StatusOK, "there is nothing to change") // a page that does not ask
	plan = b.post("/streams/plan", form("true"))
	plan.says(t, http.StatusOK, "/integrity")
	plan.saysNothing(t, ends)
	b.post("/streams/plan", form("perhaps")).says(t, http.StatusUnprocessableEntity, "must be true or false")

	other := newStreamForm()
	other.Set("integrity", "false")
	plan = b.post("/streams/plan", other)
	plan.says(t, http.StatusOK, "Plan: create new-splunk", "/integrity")
	plan.saysNothing(t, ends)
}
