package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/schema"
	"github.com/auditstream/auditstream/schema/catalogue"
	"github.com/auditstream/auditstream/schema/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	acme  = "org_01JAAAAAAAAAAAAAAAAAAAAAAA"
	other = "org_01JBBBBBBBBBBBBBBBBBBBBBBB"
)

// topic is a Kafka that keeps what was published, and can fail.
type topic struct {
	mu     sync.Mutex
	events []*schema.Event
	fail   func(*schema.Event) error     // nil: nothing fails
	spans  []trace.SpanContext           // of the calls
	hold   chan struct{}                 // unless nil, publishing waits until it is closed
	begun  chan struct{}                 // unless nil, told of each call
	after  func(events ...*schema.Event) // unless nil, called at the end of each call
}

func (k *topic) Publish(ctx context.Context, events ...*schema.Event) error {
	if k.begun != nil {
		k.begun <- struct{}{}
	}
	if k.hold != nil {
		<-k.hold
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.spans = append(k.spans, trace.SpanContextFromContext(ctx))
	failed := &producer.PublishError{Total: len(events)}
	for i, e := range events {
		if k.fail != nil {
			if err := k.fail(e); err != nil {
				failed.Failed = append(failed.Failed, producer.EventError{Index: i, ID: e.ID, Err: err})
				continue
			}
		}
		k.events = append(k.events, e)
	}
	if k.after != nil {
		k.after(events...)
	}
	if len(failed.Failed) > 0 {
		return failed
	}
	return nil
}

func (k *topic) ids() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var ids []string
	for _, e := range k.events {
		ids = append(ids, e.ID)
	}
	return ids
}

// keys are those of the tests.
type keys map[string]Caller

func (k keys) Authenticate(r *http.Request) (Caller, error) {
	c, ok := k[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	if !ok {
		return c, Unauthorized("Send a key.")
	}
	return c, nil
}

// desk is a gateway under test.
type desk struct {
	t       *testing.T
	topic   *topic
	figures *prometheus.Registry
	url     string
}

func newDesk(t *testing.T, change ...func(*Config)) *desk {
	t.Helper()
	d := &desk{t: t, topic: &topic{}, figures: prometheus.NewRegistry()}
	c := Config{
		Publisher: d.topic, Metrics: d.figures,
		Keys: keys{
			"all":     {Name: "all", Organizations: []string{"*"}},
			"acme":    {Name: "acme", Organizations: []string{acme}},
			"invoice": {Name: "invoice", Organizations: []string{"*"}, Actions: []string{"invoice.*"}},
		},
	}
	for _, f := range change {
		f(&c)
	}
	handler, err := NewServer(c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(asDescribed(t, handler))
	t.Cleanup(server.Close)
	d.url = server.URL
	return d
}

// reply is an answer whose body has been read.
type reply struct {
	StatusCode int
	Header     http.Header
}

// ask sends a request with headers given as name, value, ….
func (d *desk) ask(method, path, body string, headers ...string) (*reply, string) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.url+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer all")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return &reply{answer.StatusCode, answer.Header}, string(text)
}

// refused asks, and holds the answer against what it should be.
func (d *desk) refused(body string, status int, code string, headers ...string) (e Error, answer *reply) {
	d.t.Helper()
	answer, text := d.ask("POST", "/audit_logs/events", body, headers...)
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		d.t.Fatalf("%v: %s", err, text)
	}
	if answer.StatusCode != status || e.Code != code || e.Message == "" {
		d.t.Errorf("answered %d %s, want %d %s", answer.StatusCode, text, status, code)
	}
	return e, answer
}

// event is the body of one event, with what is given in place of the usual members.
func event(organization, action string) string {
	return fmt.Sprintf(`{"organization_id":%q,"event":{"action":%q,"occurred_at":"2026-11-22T10:00:00.000Z","actor":{"type":"user","id":"user_1"},"targets":[{"type":"team","id":"team_1"}],"context":{"location":"203.0.113.7"}}}`, organization, action)
}

func TestAnEventIsPublishedUnderTheIDOfItsKeyAndContent(t *testing.T) {
	d := newDesk(t)
	answer, body := d.ask("POST", "/audit_logs/events", event(acme, "user.signed_in"), "Idempotency-Key", "one")
	var got created
	if err := json.Unmarshal([]byte(body), &got); err != nil || answer.StatusCode != 200 || !got.Success {
		t.Fatalf("answered %d %s (%v)", answer.StatusCode, body, err)
	}
	e := d.topic.events[0]
	content := *e
	content.ID = ""
	canonical, err := content.AppendCanonical(nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := schema.DeriveID(acme, "one", canonical); e.ID != want || got.ID != want {
		t.Errorf("published as %s and answered %s, want %s", e.ID, got.ID, want)
	}
	if e.OrganizationID != acme || e.Action != "user.signed_in" {
		t.Errorf("published %+v", e)
	}
}

func TestTheIDWithoutAKeyIsThatOfTheContent(t *testing.T) {
	d := newDesk(t)
	for _, body := range []string{event(acme, "a"), strings.ReplaceAll(event(acme, "a"), "occurred_at", "occurredAt"), event(acme, "b"), event(other, "a")} {
		if answer, text := d.ask("POST", "/audit_logs/events", body); answer.StatusCode != 200 {
			t.Fatal(text)
		}
	}
	ids := d.topic.ids()
	if ids[0] != ids[1] || ids[0] == ids[2] || ids[0] == ids[3] {
		t.Errorf("ids %q: equal content has to have equal ids, and other content others", ids)
	}
}

func TestAnEventThatBringsItsIDKeepsIt(t *testing.T) {
	d := newDesk(t)
	id := schema.NewID(time.Now())
	body := strings.Replace(event(acme, "a"), `"event":{`, `"event":{"id":"`+id+`",`, 1)
	if answer, text := d.ask("POST", "/audit_logs/events", body); answer.StatusCode != 200 || !strings.Contains(text, id) {
		t.Fatal(text)
	}
	if got := d.topic.ids(); got[0] != id {
		t.Errorf("published as %s, want %s", got[0], id)
	}
}

func TestWhatIsRefused(t *testing.T) {
	good := event(acme, "user.signed_in")
	without := func(part string) string { return strings.Replace(good, part, "", 1) }
	for name, test := range map[string]struct {
		body    string
		status  int
		code    string
		field   string // of the first detail
		within  string // instancePath of the first detail
		pointer string
	}{
		"no JSON":                 {body: `{"organization_id"`, status: 400, code: CodeMalformed},
		"nothing":                 {body: ` `, status: 400, code: CodeMalformed},
		"two bodies":              {body: good + good, status: 400, code: CodeMalformed},
		"no object":               {body: `[]`, status: 422, code: CodeValidation},
		"not UTF-8":               {body: strings.Replace(good, "user_1", "\xff", 1), status: 400, code: CodeMalformed},
		"a lone surrogate":        {body: strings.Replace(good, "user_1", `\ud800`, 1), status: 400, code: CodeMalformed},
		"a name twice":            {body: strings.Replace(good, `"actor":{`, `"actor":{"id":"x",`, 1), status: 400, code: CodeMalformed, pointer: "/event/actor/id"},
		"both spellings":          {body: strings.Replace(good, `"event":{`, `"event":{"occurredAt":"2026-11-22T10:00:00Z",`, 1), status: 422, code: CodeValidation, field: "event.occurred_at"},
		"organization in both":    {body: strings.Replace(good, `{"org`, `{"organizationId":"`+acme+`","org`, 1), status: 422, code: CodeValidation, field: "organization_id"},
		"no organization":         {body: without(`"organization_id":"` + acme + `",`), status: 422, code: CodeValidation, field: "organization_id", pointer: "/organization_id"},
		"an organization of null": {body: strings.Replace(good, `"`+acme+`"`, "null", 1), status: 422, code: CodeValidation, field: "organization_id"},
		"no event":                {body: `{"organization_id":"` + acme + `"}`, status: 422, code: CodeValidation, field: "event"},
		"another member":          {body: strings.Replace(good, `{"org`, `{"events":[],"org`, 1), status: 422, code: CodeValidation, field: "events"},
		"a key in the body":       {body: strings.Replace(good, `{"org`, `{"idempotency_key":"k","org`, 1), status: 422, code: CodeValidation, field: "idempotency_key"},
		"no action":               {body: without(`"action":"user.signed_in",`), status: 422, code: CodeValidation, field: "event.action", within: "/action", pointer: "/event/action"},
		"an actor's id":           {body: without(`,"id":"user_1"`), status: 422, code: CodeValidation, field: "event.actor.id"},
		"targets of no array":     {body: strings.Replace(good, `[{"type":"team","id":"team_1"}]`, "{}", 1), status: 422, code: CodeValidation, field: "event.targets"},
		"another organization":    {body: strings.Replace(good, `"event":{`, `"event":{"organization_id":"`+other+`",`, 1), status: 422, code: CodeValidation, field: "event.organization_id"},
		"no time":                 {body: strings.Replace(good, "2026-11-22T10:00:00.000Z", "yesterday", 1), status: 400, code: CodeInvalidEvent, within: "/occurred_at", pointer: "/event/occurred_at"},
		"a number too large":      {body: strings.Replace(good, `"context"`, `"metadata":{"n":9007199254740993},"context"`, 1), status: 400, code: CodeInvalidEvent, within: "/metadata/n"},
		"no such organization":    {body: event("acme", "a"), status: 404, code: CodeNoOrganization},
		"an event too large":      {body: strings.Replace(good, "user_1", strings.Repeat("u", schema.DefaultMaxBytes), 1), status: 413, code: CodeTooLarge},
		"a body too large":        {body: strings.Replace(good, "user_1", strings.Repeat("u", maxBody), 1), status: 413, code: CodeTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			e, _ := d.refused(test.body, test.status, test.code)
			if test.field == "" && test.within == "" && test.pointer == "" {
				return
			}
			if len(e.Errors) == 0 {
				t.Fatalf("no details: %+v", e)
			}
			first := e.Errors[0]
			if test.field != "" && first.Field != test.field {
				t.Errorf("field %q, want %q", first.Field, test.field)
			}
			if test.within != "" && (first.InstancePath == nil || *first.InstancePath != test.within) {
				t.Errorf("instancePath %v, want %q", first.InstancePath, test.within)
			}
			if test.pointer != "" && first.Pointer != test.pointer {
				t.Errorf("pointer %q, want %q", first.Pointer, test.pointer)
			}
			if len(d.topic.events) > 0 {
				t.Error("it was published all the same")
			}
		})
	}
}

func TestWhoMayPublishWhat(t *testing.T) {
	d := newDesk(t)
	d.refused(event(acme, "a"), 401, CodeUnauthorized, "Authorization", "Bearer nobody")
	d.refused(event(other, "a"), 404, CodeNoOrganization, "Authorization", "Bearer acme")
	d.refused(event(acme, "user.signed_in"), 403, CodeForbidden, "Authorization", "Bearer invoice")
	for _, key := range []string{"all", "acme"} {
		if answer, body := d.ask("POST", "/audit_logs/events", event(acme, "invoice.paid"), "Authorization", "Bearer "+key); answer.StatusCode != 200 {
			t.Errorf("%s: %s", key, body)
		}
	}
}

func TestTheMatchingOfActions(t *testing.T) {
	for glob, actions := range map[string]map[string]bool{
		"user.*":   {"user.": true, "user.signed_in": true, "user": false, "a.user.b": false},
		"*.delete": {"x.delete": true, ".delete": true, "x.deleted": false},
		"a*b*c":    {"abc": true, "a1b2c": true, "acb": false, "ac": false},
		"a*a":      {"a": false, "aa": true},
		"*":        {"": true, "x": true},
		"exact":    {"exact": true, "exactly": false},
	} {
		for action, want := range actions {
			if got := matches(glob, action); got != want {
				t.Errorf("%s matches %s: %v, want %v", glob, action, got, want)
			}
		}
	}
}

func TestEventsAreCheckedByTheSchemaOfTheirAction(t *testing.T) {
	known, err := catalogue.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	r, err := registry.New(registry.Config{Unknown: registry.Reject}, known)
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, func(c *Config) { c.Registry = r })
	e, _ := d.refused(event(acme, "never.heard_of"), 400, CodeInvalidEvent)
	if len(e.Errors) != 1 || *e.Errors[0].InstancePath != "/action" || e.Message != "Invalid Audit Log event." {
		t.Errorf("%+v", e)
	}
}

type bounded time.Duration

func (b bounded) Take(Caller, string, int) time.Duration { return time.Duration(b) }

func TestARateThatIsExceeded(t *testing.T) {
	d := newDesk(t, func(c *Config) { c.Rates = bounded(1200 * time.Millisecond) })
	e, answer := d.refused(event(acme, "a"), 429, CodeRate)
	if e.Message != "Too many requests." || answer.Header.Get("Retry-After") != "2" {
		t.Errorf("%+v, Retry-After %q", e, answer.Header.Get("Retry-After"))
	}
}

// memory is a Once that remembers one key.
type memory struct {
	mu      sync.Mutex
	content map[string]string
	pending map[string]chan struct{}
	failed  int
}

type remembered struct {
	derivedClaim
	m       *memory
	key     string
	content string
	done    bool
}

func (m *memory) Claim(ctx context.Context, organization, key string, content []byte) (Claim, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.pending[key] != nil {
		over := m.pending[key]
		m.mu.Unlock()
		select {
		case <-over:
		case <-ctx.Done():
		}
		m.mu.Lock()
		if ctx.Err() != nil {
			return nil, ErrBusy
		}
	}
	c, _ := derived{}.Claim(ctx, organization, key, content)
	before, known := m.content[key]
	if known && before != string(content) {
		return nil, ErrConflict
	}
	if !known {
		if m.pending == nil {
			m.pending = map[string]chan struct{}{}
		}
		m.pending[key] = make(chan struct{})
	}
	return &remembered{c.(derivedClaim), m, key, string(content), known}, nil
}

func (r *remembered) Done() bool { return r.done }
func (r *remembered) Accepted()  { r.over(func() { r.m.content[r.key] = r.content }) }
func (r *remembered) Failed()    { r.over(func() { r.m.failed++ }) }

func (r *remembered) over(note func()) {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	note()
	close(r.m.pending[r.key])
	delete(r.m.pending, r.key)
}

func TestWhatWasAcceptedIsNotPublishedAgain(t *testing.T) {
	m := &memory{content: map[string]string{}}
	d := newDesk(t, func(c *Config) { c.Once = m })
	d.topic.fail = func(*schema.Event) error { return producer.ErrUnavailable }
	d.refused(event(acme, "a"), 503, CodeUnavailable, "Idempotency-Key", "k")
	d.topic.fail = nil
	var bodies []string
	for _, again := range []string{"", "true"} {
		answer, body := d.ask("POST", "/audit_logs/events", event(acme, "a"), "Idempotency-Key", "k")
		if answer.StatusCode != 200 || answer.Header.Get(headerReplayed) != again {
			t.Errorf("answered %d %s, replayed %q, want %q", answer.StatusCode, body, answer.Header.Get(headerReplayed), again)
		}
		bodies = append(bodies, body)
	}
	d.refused(event(acme, "b"), 409, CodeConflict, "Idempotency-Key", "k")
	if bodies[0] != bodies[1] || len(d.topic.events) != 1 || m.failed != 1 {
		t.Errorf("answers %q, %d published, %d failed", bodies, len(d.topic.events), m.failed)
	}
	want := map[string]float64{outcomeAccepted: 1, outcomeRepeated: 1, outcomeRefused: 1, outcomeFailed: 1}
	for outcome, n := range want {
		if got := d.figure("auditstream_gateway_events_total", "outcome", outcome); got != n {
			t.Errorf("%s: %v events, want %v", outcome, got, n)
		}
	}
}

// figure is the value of a counter.
func (d *desk) figure(name, label, value string) float64 {
	d.t.Helper()
	families, err := d.figures.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == label && l.GetValue() == value {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	d.t.Errorf("there is no %s of %s=%s", name, label, value)
	return -1
}

func TestKafkaThatDoesNotTakeEvents(t *testing.T) {
	d := newDesk(t)
	for _, test := range []struct {
		err    error
		status int
		code   string
	}{
		{producer.ErrUnavailable, 503, CodeUnavailable},
		{producer.ErrBufferFull, 503, CodeUnavailable},
		{&producer.TooLargeError{Size: 2, Limit: 1, Topic: "t"}, 413, CodeTooLarge},
		{schema.Violations{{Pointer: "/action", Code: schema.CodePattern, Message: "no"}}, 400, CodeInvalidEvent},
	} {
		d.topic.fail = func(*schema.Event) error { return test.err }
		_, answer := d.refused(event(acme, "a"), test.status, test.code)
		if after := answer.Header.Get("Retry-After"); (after != "") != (test.status == 503) {
			t.Errorf("%v: Retry-After %q", test.err, after)
		}
	}
}

func TestBeforeKafkaHasAnswered(t *testing.T) {
	waiting := errors.New("waiting")
	d := newDesk(t, func(c *Config) { c.Begun = func() error { return waiting } })
	d.refused(event(acme, "a"), 503, CodeUnavailable)
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503} {
		if answer, _ := d.ask("GET", path, ""); answer.StatusCode != want {
			t.Errorf("%s answers %d, want %d", path, answer.StatusCode, want)
		}
	}
	waiting = nil
	if answer, _ := d.ask("GET", "/readyz", ""); answer.StatusCode != 200 {
		t.Errorf("/readyz answers %d", answer.StatusCode)
	}
}

func TestThereIsNoQueue(t *testing.T) {
	d := newDesk(t, func(c *Config) { c.Requests = 1 })
	d.topic.hold, d.topic.begun = make(chan struct{}), make(chan struct{}, 1)
	first := make(chan int, 1)
	go func() {
		req, _ := http.NewRequestWithContext(context.Background(), http.MethodPost, d.url+"/audit_logs/events", strings.NewReader(event(acme, "a")))
		req.Header.Set("Authorization", "Bearer all")
		req.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			first <- 0
			return
		}
		_ = answer.Body.Close()
		first <- answer.StatusCode
	}()
	<-d.topic.begun
	_, answer := d.refused(event(acme, "b"), 503, CodeBusy)
	if answer.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if answer, _ := d.ask("GET", "/healthz", ""); answer.StatusCode != 200 {
		t.Error("health needs no slot")
	}
	close(d.topic.hold)
	if status := <-first; status != 200 {
		t.Errorf("the one under way is answered %d", status)
	}
}

func TestTheTraceOfTheCallerGoesOn(t *testing.T) {
	d := newDesk(t)
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	d.ask("POST", "/audit_logs/events", event(acme, "a"), "traceparent", parent)
	if got := d.topic.spans[0].TraceID().String(); got != "4bf92f3577b34da6a3ce929d0e0e4736" {
		t.Errorf("published in the trace %s", got)
	}
}

func TestPathsAndMethods(t *testing.T) {
	d := newDesk(t)
	for _, test := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/", 404, ""},
		{"GET", "/audit_logs/events", 405, "POST, OPTIONS"},
		{"OPTIONS", "/audit_logs/events", 204, "POST, OPTIONS"},
		{"POST", "/audit_logs//events", 404, ""},
		{"POST", "/audit_logs/events/", 404, ""},
	} {
		answer, _ := d.ask(test.method, test.path, "")
		if answer.StatusCode != test.status || answer.Header.Get("Allow") != test.allow {
			t.Errorf("%s %s: %d, Allow %q", test.method, test.path, answer.StatusCode, answer.Header.Get("Allow"))
		}
	}
	if n := d.series("auditstream_gateway_requests_total"); n > 4 {
		t.Errorf("%d series: a path that there is not must not make one", n)
	}
}

// series is how many series a figure has.
func (d *desk) series(name string) int {
	d.t.Helper()
	families, err := d.figures.Gather()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return len(f.GetMetric())
		}
	}
	return 0
}
