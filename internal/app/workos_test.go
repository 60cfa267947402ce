package app

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/internal/units"
	"github.com/auditstream/auditstream/producer/gateway"
	"github.com/auditstream/auditstream/producer/idempotency"
	"github.com/auditstream/auditstream/producer/workos"
	"github.com/auditstream/auditstream/producer/workos/workostest"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
)

const workosOrg = "org_01JAAAAAAAAAAAAAAAAAAAAAAA"

// workOS is an environment of WorkOS, and the settings with which a gateway takes its Events.
func (s *site) workOS(poll bool) (*workostest.World, func(*config.Config)) {
	s.t.Helper()
	world := &workostest.World{}
	world.Keys("sk_test")
	server := httptest.NewServer(world)
	s.t.Cleanup(server.Close)
	dir := s.t.TempDir()
	ref := func(name, value string) secret.Ref {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(value), 0o600); err != nil {
			s.t.Fatal(err)
		}
		return secret.Ref{File: path}
	}
	hook, key := ref("hook", "whsec_test"), ref("key", "sk_test")
	return world, func(c *config.Config) {
		c.Gateway.WorkOS.Webhook.Secrets = []secret.Ref{hook}
		if poll {
			c.Gateway.WorkOS.Poll.APIKey, c.Gateway.WorkOS.Poll.URL = key, server.URL
			c.Gateway.WorkOS.Poll.Interval = units.Duration(50 * time.Millisecond)
		}
		c.Delivery.SessionTimeout = units.Duration(6 * time.Second)
	}
}

// hook sends an Event to the gateway as a webhook, once.
func (d *door) hook(body []byte) int {
	d.t.Helper()
	url, _ := d.logged("events are taken in").ContextMap()["url"].(string)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := workostest.Send(d.t.Context(), client, url+"/webhooks/workos", "whsec_test", time.Now(), body)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	d.asDescribed(resp.Request, string(body), resp, answer)
	return resp.StatusCode
}

// ids are those of the events in the topic.
func (s *site) ids() []string {
	s.t.Helper()
	var ids []string
	for _, r := range s.published() {
		e, err := schema.Decode(r.Value)
		if err != nil {
			s.t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	return ids
}

func foreign(events ...workostest.Event) []string {
	var ids []string
	for _, e := range events {
		ids = append(ids, schema.ForeignID("workos", e.ID))
	}
	slices.Sort(ids)
	return ids
}

func asBody(t *testing.T, e workostest.Event) []byte {
	t.Helper()
	body, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func happened(from, to int) []workostest.Event {
	var events []workostest.Event
	for n := from; n <= to; n++ {
		events = append(events, workostest.New(n, time.Now().Add(-time.Hour+time.Duration(n)*time.Second), workosOrg))
	}
	return events
}

func TestWebhooksOfWorkOSAreInKafkaWhenTheyAreAnswered(t *testing.T) {
	s := newSite(t)
	_, settings := s.workOS(false)
	d := s.gateway(settings)
	event := workostest.New(1, time.Now(), workosOrg)
	body := asBody(t, event)
	if status := d.hook(body); status != http.StatusServiceUnavailable {
		t.Errorf("answered %d while Kafka is away", status)
	}
	s.there()
	d.ready()
	if status := d.hook(body); status != http.StatusOK {
		t.Errorf("answered %d, want 200", status)
	}
	if diff := cmp.Diff(foreign(event), s.ids()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	// What is refused is answered as described too.
	for what, c := range map[string]struct {
		want    int
		headers map[string]string
	}{
		"not signed":       {http.StatusUnauthorized, nil},
		"signed elsewhere": {http.StatusUnauthorized, map[string]string{workos.HeaderSignature: workos.Sign("whsec_other", time.Now(), body)}},
		"signed long ago":  {http.StatusUnauthorized, map[string]string{workos.HeaderSignature: workos.Sign("whsec_test", time.Now().Add(-time.Hour), body)}},
		"packed":           {http.StatusUnsupportedMediaType, map[string]string{"Content-Encoding": "gzip"}},
	} {
		if status, _, answer := d.with("", "POST", pathWorkOS, string(body), c.headers); status != c.want {
			t.Errorf("%s: %d %s, want %d", what, status, answer, c.want)
		}
	}
	large := strings.Repeat("x", workos.MaxWebhook+1)
	if status, _, answer := d.with("", "POST", pathWorkOS, large, map[string]string{workos.HeaderSignature: workos.Sign("whsec_test", time.Now(), []byte(large))}); status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s, want 413", status, answer)
	}
	if !d.described.Describes("POST", pathWorkOS) {
		t.Error("the webhook is not described")
	}
}

func TestAnEventThatCanBeNoneIsInTheDeadLetters(t *testing.T) {
	s := newSite(t)
	s.there()
	_, settings := s.workOS(false)
	d := s.gateway(settings)
	d.ready()
	body := `{"id":"event_1","event":"user.created","created_at":"2026-11-22T10:00:00.000Z","data":{"object":"user","id":"user_1"}}`
	for range 4 { // WorkOS may send it again
		if status := d.hook([]byte(body)); status != http.StatusOK {
			t.Errorf("answered %d: WorkOS would send it again", status)
		}
	}
	if n := len(s.published()); n != 0 {
		t.Errorf("%d events", n)
	}
	client := s.client()
	var found []*kgo.Record
	for partition := range int32(3) {
		if _, err := (&kafka.Reader{Client: client}).ReadToEnd(t.Context(), "audit.dead_letters", partition, func(r *kgo.Record) { found = append(found, r) }); err != nil {
			t.Fatal(err)
		}
	}
	if len(found) != 4 || string(found[0].Value) != body {
		t.Fatalf("%d records, want one for each time, with the bytes as they came", len(found))
	}
	for _, r := range found {
		if r.Partition != found[0].Partition {
			t.Errorf("one letter stands in the partitions %d and %d: it would count twice", found[0].Partition, r.Partition)
		}
	}
	headers := map[string]string{}
	for _, h := range found[0].Headers {
		headers[h.Key] = string(h.Value)
	}
	if reason := headers["auditstream.letter.reason"]; !strings.Contains(reason, "gateway.workos.organization") || headers["auditstream.letter.topic"] != "workos.webhook" {
		t.Errorf("headers %v", headers)
	}
}

// What the one process has read the other one does not read again, and nothing is left out.
func TestOneProcessReadsTheEventsAPIAndAnotherGoesOn(t *testing.T) {
	s := newSite(t)
	s.there()
	world, settings := s.workOS(true)
	first := happened(1, 120)
	world.Happen(first...)
	one := s.gateway(settings)
	one.logged("this process reads WorkOS's Events API now")
	two := s.gateway(settings)
	two.ready()
	eventually(t, "the past", func() bool { return len(s.published()) >= 120 })
	one.end()
	two.logged("this process reads WorkOS's Events API now")
	second := happened(200, 210) // younger than the cursor
	world.Happen(second...)
	eventually(t, "what came since", func() bool { return len(s.published()) >= 131 })
	if diff := cmp.Diff(foreign(append(first, second...)...), s.ids()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// What is read once more has the same ids, so that what is remembered is not published again.
func TestALostGroupRepeatsTheBackfillWithTheSameIDs(t *testing.T) {
	s := newSite(t)
	s.there()
	world, settings := s.workOS(true)
	events := happened(1, 30)
	world.Happen(events...)
	one := s.gateway(settings)
	one.ready()
	eventually(t, "the past", func() bool { return len(s.published()) >= 30 })
	one.end()
	if _, err := kadm.NewClient(s.client()).DeleteGroup(t.Context(), "auditstream.workos-events"); err != nil {
		t.Fatal(err)
	}
	two := s.gateway(settings)
	two.ready()
	later := happened(31, 31)
	world.Happen(later...)
	events = append(events, later...)
	eventually(t, "what came behind the past", func() bool { return slices.Contains(s.ids(), foreign(later...)[0]) })
	two.logged("no cursor of the Events API is on record")
	if diff := cmp.Diff(foreign(events...), slices.Compact(s.ids())); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// What comes by both doors is published by whichever it comes through first.
func TestAnEventThatComesByBothDoorsIsPublishedOnce(t *testing.T) {
	s := newSite(t)
	s.there()
	world, settings := s.workOS(true)
	d := s.gateway(settings)
	d.ready()
	event := workostest.New(1, time.Now(), workosOrg)
	if status := d.hook(asBody(t, event)); status != http.StatusOK {
		t.Fatalf("answered %d", status)
	}
	later := workostest.New(2, time.Now(), workosOrg)
	world.Happen(event, later)
	eventually(t, "what came from the API", func() bool { return slices.Contains(s.ids(), foreign(later)[0]) })
	if diff := cmp.Diff(foreign(event, later), s.ids()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestACursorIsReadAsItWasWritten(t *testing.T) {
	c := &noteCursors{feed: "https://api.workos.com"}
	want := workos.Cursor{After: "event_01J", Time: time.Date(2026, 11, 22, 10, 0, 0, 123e6, time.UTC)}
	text, err := c.encode(want)
	if err != nil {
		t.Fatal(err)
	}
	pinned, err := os.ReadFile("testdata/workos-cursor-1.golden")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(string(pinned)), text); diff != "" {
		t.Errorf("the persisted format has changed (-want +got)\n%s", diff)
	}
	got, err := c.decode(text)
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if other, err := (&noteCursors{feed: "https://another.example"}).decode(text); err != nil || other != (workos.Cursor{}) {
		t.Errorf("the cursor of another API counts: %+v, %v", other, err)
	}
	for _, damaged := range []string{`{"v":1`, `{"v":2}`, `7`} {
		if got, err := c.decode(damaged); err == nil {
			t.Errorf("%s is read as %+v", damaged, got)
		}
	}
}

func TestAllOfWorkOSsEventsAreAskedFor(t *testing.T) {
	known, err := catalogue.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	names := workosActions(known)
	if len(names) < 100 || !slices.Contains(names, "user.created") || slices.Contains(names, "audit_log_stream.created") {
		t.Errorf("%d types: %v", len(names), names)
	}
}

// The memory of the gateway knows an Event by its id, whichever way it came, and lets it
// through again after a failure.
func TestTheMemoryKnowsAnEventByItsID(t *testing.T) {
	memory, err := idempotency.New(idempotency.Config{Memory: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	once := onceEach{memoryOf{memory}}
	e := &schema.Event{ID: schema.ForeignID("workos", "event_1"), OrganizationID: workosOrg}
	for _, accepted := range []bool{false, true} {
		done, settle, err := once.Claim(t.Context(), e)
		if err != nil || done {
			t.Fatalf("done %t, error %v", done, err)
		}
		settle(accepted)
	}
	if done, _, err := once.Claim(t.Context(), e); err != nil || !done {
		t.Errorf("done %t, error %v: want what was accepted to be remembered", done, err)
	}
}

// memoryOf is the memory as the gateway asks it.
type memoryOf struct{ *idempotency.Once }

func (m memoryOf) Claim(ctx context.Context, organization, key string, content []byte) (gateway.Claim, error) {
	return m.Once.Claim(ctx, organization, key, content)
}
