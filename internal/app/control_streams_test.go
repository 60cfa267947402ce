package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/consumer"
	"github.com/auditstream/auditstream/internal/egress"
	"github.com/auditstream/auditstream/internal/seal"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
)

// keyed is a configuration with keys, whose API streams may go to this machine. The first
// key seals; each is made when it is first named.
func (s *site) keyed(streams string, ids ...string) *config.Config {
	s.t.Helper()
	c := s.config(streams)
	c.Delivery.Egress.AllowAPI = []egress.Prefix{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}}
	for _, id := range ids {
		path := filepath.Join(s.dir, "key-"+id)
		if _, err := os.Stat(path); err != nil {
			if err := os.WriteFile(path, []byte(seal.NewKey()), 0o600); err != nil {
				s.t.Fatal(err)
			}
		}
		c.Sealing.Keys = append(c.Sealing.Keys, seal.KeyConfig{ID: id, Key: secret.Ref{File: path}})
	}
	return c
}

// draft is of a stream to the site's Splunk; settings is what it has beside its URL.
func (s *site) draft(id, settings string) admin.Draft {
	return admin.Draft(fmt.Sprintf(`{"id": %q, "organization_id": "*", "start": "beginning", "splunk": {"url": %q, "linger": "0s", %s}}`, id, s.url, settings))
}

const withToken = `"token": {"value": "a-token"}`

// delivering is a control plane beside a process that delivers.
func delivering(t *testing.T) (*site, *process, *Control) {
	t.Helper()
	s := newSite(t)
	s.there()
	cfg := s.keyed("", "one")
	p := run(t, Delivery{Config: cfg})
	p.logged("there is no stream to deliver")
	return s, p, s.control(cfg)
}

func TestAStreamMadeOverTheAPIDeliversAndShowsNoSecret(t *testing.T) {
	s, p, c := delivering(t)
	s.publish(0)
	made, err := c.CreateStream(t.Context(), s.draft("acme", withToken), admin.Change{By: "ops"})
	if err != nil {
		t.Fatal(err)
	}
	s.delivered(30)
	if made.Owner != "api" || made.UID == "" || changesOf(consumer.Spec{Changes: made.Changes}) != "made by ops" {
		t.Errorf("%+v", made)
	}
	shown, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	specs, err := c.operator.Streams(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	record, err := specs[0].Encode()
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	for _, e := range p.logs.All() {
		fmt.Fprint(&logged, e.Message, e.ContextMap())
	}
	_, page := p.get("/metrics")
	for name, text := range map[string]string{"the stream": string(shown), "its record": string(record), "the log": logged.String(), "the metrics": page, "a dump": fmt.Sprintf("%+v %#v", specs, made)} {
		if strings.Contains(text, "a-token") {
			t.Errorf("%s shows the secret: %s", name, text)
		}
	}
	if !strings.Contains(string(made.Settings), `"token":{"sealed":true}`) {
		t.Errorf("settings %s", made.Settings)
	}
	p.end()
	if n := len(s.splunk.Events()); n != 30 {
		t.Errorf("%d events for 30", n)
	}
}

func TestAStreamIsReadChangedAndWrittenBack(t *testing.T) {
	s, _, c := delivering(t)
	made, err := c.CreateStream(t.Context(), s.draft("acme", withToken), admin.Change{By: "ops"})
	if err != nil {
		t.Fatal(err)
	}
	same, err := c.UpdateStream(t.Context(), "acme", s.draft("acme", `"token": {"sealed": true}`), admin.Change{By: "ops", If: made.Version})
	if err != nil || same.Version != made.Version || same.Outcome == nil || same.Outcome.Written {
		t.Fatal("nothing was to change:", same, err)
	}
	if same, err = c.UpdateStream(t.Context(), "acme", s.draft("acme", withToken), admin.Change{By: "ops"}); err != nil || same.Version != made.Version {
		t.Fatal("the same secret is no change:", same, err)
	}
	changed, err := c.UpdateStream(t.Context(), "acme", s.draft("acme", `"index": "audit", "token": {"sealed": true}`), admin.Change{By: "ops", If: made.Version})
	if err != nil || changed.Revision != 2 || changed.Epoch != 1 || changed.UID != made.UID {
		t.Fatal(changed, err)
	}
	s.publish(0)
	s.delivered(30) // with the secret that was kept
	if _, err := c.UpdateStream(t.Context(), "acme", s.draft("acme", withToken), admin.Change{By: "ops", If: made.Version}); !errors.Is(err, admin.CodeChanged.Err()) {
		t.Errorf("a change of an old version: %v", err)
	}
	if _, err := c.UpdateStream(t.Context(), "acme", s.draft("other", withToken), admin.Change{By: "ops"}); !errors.Is(err, admin.CodeInvalid.Err()) {
		t.Errorf("another id: %v", err)
	}
	if _, err := c.UpdateStream(t.Context(), "none", s.draft("none", withToken), admin.Change{By: "ops"}); !errors.Is(err, admin.CodeNotFound.Err()) {
		t.Errorf("no such stream: %v", err)
	}
	if _, err := c.CreateStream(t.Context(), s.draft("acme", withToken), admin.Change{By: "ops"}); !errors.Is(err, admin.CodeExists.Err()) {
		t.Errorf("made twice: %v", err)
	}
}

// The key of a mask is sealed as any other secret is, and needs no second entry when the
// destination changes: it is never sent there.
func TestTheKeyOfAMaskIsSealed(t *testing.T) {
	s, p, c := delivering(t)
	masked := func(key, settings string) admin.Draft {
		d := string(s.draft("acme", settings))
		return admin.Draft(strings.TrimSuffix(strings.TrimSpace(d), "}") + `, "filter": "event.actor.type != 'robot'", "mask": [{"pointer": "/actor/id", "with": "hmac", "key": ` + key + `}]}`)
	}
	made, err := c.CreateStream(t.Context(), masked(`{"value": "a key of 16 bytes"}`, withToken), admin.Change{By: "ops"})
	if err != nil {
		t.Fatal(err)
	}
	s.publish(0)
	s.delivered(30)
	for _, e := range s.splunk.Events() {
		if text := string(e.Event); !strings.Contains(text, `"actor":{"id":"hmac:`) {
			t.Errorf("not masked: %s", text)
		}
	}
	if got, want := string(made.Mask), `[{"key":{"sealed":true},"pointer":"/actor/id","with":"hmac"}]`; got != want || made.Filter == "" {
		t.Errorf("shown as %s, %q", got, made.Filter)
	}
	kept, err := c.UpdateStream(t.Context(), "acme", masked(`{"sealed": true}`, `"token": {"value": "a-token"}, "index": "other"`), admin.Change{By: "ops"})
	if err != nil || kept.Revision != 2 {
		t.Fatal(kept, err)
	}
	specs, err := c.operator.Streams(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	record, err := specs[0].Encode()
	if err != nil {
		t.Fatal(err)
	}
	var logged strings.Builder
	for _, e := range p.logs.All() {
		fmt.Fprint(&logged, e.Message, e.ContextMap())
	}
	for name, text := range map[string]string{"the record": string(record), "the log": logged.String(), "a dump": fmt.Sprintf("%+v %#v", specs, kept)} {
		if strings.Contains(text, "a key of 16") {
			t.Errorf("%s shows the key: %s", name, text)
		}
	}
	before := specs[0].Mask[0].Key.Sealed
	if again, n, err := c.operator.resealed(specs[0]); err != nil || n != 0 || again.Mask[0].Key.Sealed != before {
		t.Errorf("sealed again although the key is the same: %d, %v", n, err)
	}
	for pointer, d := range map[string]admin.Draft{
		"/mask/0/key":     masked(`{"env": "HOME"}`, withToken),
		"/mask/0/pointer": admin.Draft(strings.ReplaceAll(string(masked(`{"sealed": true}`, withToken)), "/actor/id", "/id")),
		"/filter":         admin.Draft(strings.ReplaceAll(string(masked(`{"sealed": true}`, withToken)), "actor.type", "actor.typ")),
	} {
		_, err := c.PlanStream(t.Context(), d)
		e, ok := errors.AsType[*admin.Error](err)
		if !ok || e.Code != admin.CodeInvalid || len(e.Problems) != 1 || e.Problems[0].Pointer != pointer || e.Problems[0].Line != 1 {
			t.Errorf("%s: %v", pointer, err)
		}
	}
	plan, err := c.PlanStream(t.Context(), masked(`{"value": "another key of 16"}`, withToken))
	if err != nil || !strings.Contains(changesIn(plan), "/mask") || !strings.Contains(plan.Cursor, "masked as the change says") || strings.Contains(changesIn(plan), "another key") {
		t.Errorf("%+v, %v", plan, err)
	}
}

// Else an edit would send the token to a stranger.
func TestASecretDoesNotFollowItsStreamToAnotherDestination(t *testing.T) {
	s, _, c := delivering(t)
	if _, err := c.CreateStream(t.Context(), s.draft("acme", withToken), admin.Change{By: "ops"}); err != nil {
		t.Fatal(err)
	}
	elsewhere := admin.Draft(strings.ReplaceAll(string(s.draft("acme", `"token": {"sealed": true}`)), "127.0.0.1", "127.0.0.2"))
	for name, act := range map[string]func() error{
		"a change": func() error {
			_, err := c.UpdateStream(t.Context(), "acme", elsewhere, admin.Change{By: "ops"})
			return err
		},
		"a plan": func() error { _, err := c.PlanStream(t.Context(), elsewhere); return err },
		"a proxy": func() error {
			_, err := c.PlanStream(t.Context(), s.draft("acme", `"token": {"sealed": true}, "proxy": {"url": "http://stranger.example:3128"}`))
			return err
		},
	} {
		err := act()
		e, ok := errors.AsType[*admin.Error](err)
		if !ok || e.Code != admin.CodeInvalid || len(e.Problems) != 1 || e.Problems[0].Pointer != "/splunk/token" || !strings.Contains(e.Message, "enter it again") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.PlanStream(t.Context(), s.draft("new", `"token": {"sealed": true}`)); !errors.Is(err, admin.CodeInvalid.Err()) {
		t.Errorf("a new stream keeps a secret: %v", err)
	}
	entered := admin.Draft(strings.ReplaceAll(string(elsewhere), `{"sealed": true}`, `{"value": "another"}`))
	if _, err := c.UpdateStream(t.Context(), "acme", entered, admin.Change{By: "ops"}); err != nil {
		t.Error(err)
	}
}

func TestAStreamOfAFileIsNotEdited(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.keyed(oneStream, "one")
	p := run(t, Delivery{Config: cfg})
	p.logged("partition taken")
	c := s.control(cfg)
	if _, err := c.UpdateStream(t.Context(), "everything", s.draft("everything", withToken), admin.Change{By: "ops"}); !errors.Is(err, admin.CodeFileOwned.Err()) || !strings.Contains(err.Error(), "change it there") {
		t.Errorf("changed: %v", err)
	}
	if _, err := c.PlanStream(t.Context(), s.draft("everything", withToken)); !errors.Is(err, admin.CodeFileOwned.Err()) {
		t.Errorf("planned: %v", err)
	}
	if _, err := c.CreateStream(t.Context(), s.draft("everything", withToken), admin.Change{By: "ops"}); !errors.Is(err, admin.CodeExists.Err()) {
		t.Errorf("made: %v", err)
	}
	if now, err := c.PauseStream(t.Context(), "everything", admin.Change{By: "ops"}); err != nil || now.State != consumer.StatusPaused {
		t.Errorf("a pause is operation and no setting: %v", err)
	}
}

func TestWithoutKeysNoSecretIsTaken(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config("")
	run(t, Delivery{Config: cfg}).logged("there is no stream")
	c := s.control(cfg)
	_, err := c.CreateStream(t.Context(), s.draft("acme", withToken), admin.Change{By: "ops"})
	if e, ok := errors.AsType[*admin.Error](err); !ok || e.Code != admin.CodeInvalid || !strings.Contains(e.Message, "secrets keygen") || strings.Contains(e.Message, "a-token") {
		t.Errorf("%v", err)
	}
	if _, err := c.CreateStream(t.Context(), admin.Draft(`{"id": "hook", "organization_id": "*", "https": {"url": "https://hook.example"}}`), admin.Change{By: "ops"}); err != nil {
		t.Errorf("there is no secret in it: %v", err)
	}
}

func TestPrivateAddressesAreClosedToStreamsOfTheAPI(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.keyed(oneStream, "one")
	cfg.Delivery.Egress.AllowAPI = nil
	cfg.Delivery.Egress.Allow = []egress.Prefix{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}} // for the file's own streams
	run(t, Delivery{Config: cfg}).logged("partition taken")
	c := s.control(cfg)
	if _, err := c.CreateStream(t.Context(), s.draft("acme", withToken), admin.Change{By: "ops"}); err != nil {
		t.Fatal(err)
	}
	s.publish(0)
	s.delivered(30) // by the stream of the file
	eventually(t, "the other one to be held", func() bool {
		now, err := c.Stream(t.Context(), "acme")
		return err == nil && now.State == consumer.StateInvalid && strings.Contains(now.Error, "no public address")
	})
	if n := len(s.splunk.Events()); n != 30 {
		t.Errorf("%d events for 30", n)
	}
}

func TestAPlanSaysWhatChangesAndWhatBecomesOfTheCursor(t *testing.T) {
	s, _, c := delivering(t)
	plan, err := c.PlanStream(t.Context(), s.draft("acme", withToken))
	if err != nil || plan.Action != "create" || plan.Cursor != "begins with the first event that Kafka still has" {
		t.Fatal(plan, err)
	}
	made, err := c.CreateStream(t.Context(), s.draft("acme", withToken), admin.Change{By: "ops"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, draft, action, changes, cursor string }{
		{"nothing", withToken, "none", "", "stays where it is"},
		{"a setting", `"index": "audit", "token": {"sealed": true}`, "update", `/splunk/index:  -> "audit"`, "nothing lost or repeated"},
		{"another secret", `"token": {"value": "new"}`, "update", `/splunk/token: {"sealed":true} -> {"new":true,"sealed":true}`, "goes on where it stands"},
	} {
		plan, err := c.PlanStream(t.Context(), s.draft("acme", test.draft))
		if err != nil {
			t.Fatal(err)
		}
		if got := changesIn(plan); plan.Action != test.action || got != test.changes || !strings.Contains(plan.Cursor, test.cursor) || plan.Version != made.Version {
			t.Errorf("%s: %s: %s; %s", test.name, plan.Action, got, plan.Cursor)
		}
	}
	hook := admin.Draft(`{"id": "acme", "organization_id": "*", "actions": ["user.*"], "https": {"url": "https://hook.example"}}`)
	if plan, err = c.PlanStream(t.Context(), hook); err != nil || !strings.Contains(plan.Cursor, "another stream under the same id") {
		t.Error(plan, err)
	}
	if now, err := c.Stream(t.Context(), "acme"); err != nil || now.Version != made.Version {
		t.Error("a plan has changed something:", now, err)
	}
}

func changesIn(p *admin.Plan) string {
	var texts []string
	for _, c := range p.Changes {
		texts = append(texts, fmt.Sprintf("%s: %s -> %s", c.Pointer, c.From, c.To))
	}
	return strings.Join(texts, "; ")
}

func TestOfTwoDraftsOfTheSameVersionOneWins(t *testing.T) {
	s, _, c := delivering(t)
	made, err := c.CreateStream(t.Context(), s.draft("acme", withToken), admin.Change{By: "ops"})
	if err != nil {
		t.Fatal(err)
	}
	var at sync.WaitGroup
	var errs [4]error
	for i := range errs {
		at.Go(func() {
			_, errs[i] = c.UpdateStream(t.Context(), "acme", s.draft("acme", fmt.Sprintf(`"index": "i%d", "token": {"sealed": true}`, i)), admin.Change{By: "ops", If: made.Version})
		})
	}
	at.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, admin.CodeChanged.Err()) {
			t.Error(err)
		}
	}
	if now, err := c.Stream(t.Context(), "acme"); err != nil || won != 1 || now.Revision != 2 {
		t.Errorf("%d have won, revision %d: %v", won, now.Revision, err)
	}
}

// A caller who could choose the id would take that of somebody else, whose role trusts us.
func TestTheExternalIDOfARoleIsOurs(t *testing.T) {
	s, _, c := delivering(t)
	draft := func(rest string) admin.Draft {
		return admin.Draft(`{"id": "lake", "organization_id": "*", "s3": {"bucket": "acme-audit", "region": "eu-central-1", "role_arn": "arn:aws:iam::123456789012:role/audit"` + rest + `}}`)
	}
	_ = s
	_, err := c.CreateStream(t.Context(), draft(`, "external_id": "of-somebody-else"`), admin.Change{By: "ops"})
	if e, ok := errors.AsType[*admin.Error](err); !ok || len(e.Problems) != 1 || e.Problems[0].Pointer != "/s3/external_id" {
		t.Fatal(err)
	}
	made, err := c.CreateStream(t.Context(), draft(""), admin.Change{By: "ops"})
	if err != nil {
		t.Fatal(err)
	}
	id := externalID(t, made)
	if len(id) < 30 || !strings.HasPrefix(id, "auditstream-") {
		t.Errorf("external id %q", id)
	}
	for name, rest := range map[string]string{
		"left out": `, "prefix": "a/"`, "as it is": `, "prefix": "b/", "external_id": "` + id + `"`,
	} {
		now, err := c.UpdateStream(t.Context(), "lake", draft(rest), admin.Change{By: "ops"})
		if err != nil || externalID(t, now) != id {
			t.Errorf("%s: %v, %v", name, now, err)
		}
	}
	now, err := c.Stream(t.Context(), "lake")
	if err != nil || now.Epoch != 3 {
		t.Errorf("another place is another epoch: %d, %v", now.Epoch, err)
	}
	if _, err := c.UpdateStream(t.Context(), "lake", draft(`, "external_id": "of-somebody-else"`), admin.Change{By: "ops"}); !errors.Is(err, admin.CodeInvalid.Err()) {
		t.Error(err)
	}
}

func externalID(t *testing.T, s *admin.Stream) string {
	t.Helper()
	var settings struct {
		ExternalID string `json:"external_id"`
	}
	if err := json.Unmarshal(s.Settings, &settings); err != nil {
		t.Fatal(err)
	}
	return settings.ExternalID
}

func TestADraftIsTestedBeforeItIsMade(t *testing.T) {
	s, _, c := delivering(t)
	for name, test := range map[string]struct {
		draft admin.Draft
		ok    bool
	}{
		"right":            {s.draft("acme", withToken), true},
		"with a wrong key": {s.draft("acme", `"token": {"value": "wrong"}`), false},
	} {
		steps := 0
		id, err := c.TestDraft(t.Context(), test.draft, admin.Change{By: "ops"}, func(sinks.Step) { steps++ })
		if (err == nil) != test.ok || id == "" || steps == 0 {
			t.Errorf("%s: %q after %d steps, %v", name, id, steps, err)
		}
	}
	if n := len(s.splunk.Events()); n != 1 {
		t.Errorf("%d events, want the one of the test", n)
	}
	if _, err := c.Stream(t.Context(), "acme"); !errors.Is(err, admin.CodeNotFound.Err()) {
		t.Errorf("a test has made the stream: %v", err)
	}
	if _, err := c.CreateStream(t.Context(), s.draft("acme", withToken), admin.Change{By: "ops"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.TestDraft(t.Context(), s.draft("acme", `"index": "audit", "token": {"sealed": true}`), admin.Change{By: "ops"}, func(sinks.Step) {}); err != nil {
		t.Errorf("with the secret that the stream has: %v", err)
	}
	if _, err := c.TestStream(t.Context(), "acme", admin.Change{By: "ops"}, func(sinks.Step) {}); err != nil {
		t.Errorf("a stream with a sealed secret: %v", err)
	}
}
