package workos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/auditstream/auditstream/producer"
	"github.com/auditstream/auditstream/producer/workos"
	"github.com/auditstream/auditstream/producer/workos/workostest"
	"github.com/auditstream/auditstream/schema"
)

const (
	orgA = "org_01JAAAAAAAAAAAAAAAAAAAAAAA"
	orgB = "org_01JBBBBBBBBBBBBBBBBBBBBBBB"
)

// topic is a Kafka that takes events, or does not, and dead letters.
type topic struct {
	mu      sync.Mutex
	ids     []string         // in the order of publishing
	letters []workos.Refusal // likewise
	down    error
}

func (k *topic) Publish(_ context.Context, events ...*schema.Event) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	failed := &producer.PublishError{Total: len(events)}
	for i, e := range events {
		err := k.down
		if err == nil {
			err = e.Validate().Err()
		}
		if err != nil {
			failed.Failed = append(failed.Failed, producer.EventError{Index: i, ID: e.ID, Err: err})
			continue
		}
		k.ids = append(k.ids, e.ID)
	}
	if len(failed.Failed) > 0 {
		return failed
	}
	return nil
}

func (k *topic) Refuse(_ context.Context, refused ...workos.Refusal) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.down != nil {
		return k.down
	}
	k.letters = append(k.letters, refused...)
	return nil
}

func (k *topic) set(down error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.down = down
}

func (k *topic) published() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]string(nil), k.ids...)
}

func newIntake(t *testing.T, c workos.IntakeConfig) *workos.Intake {
	t.Helper()
	in, err := workos.NewIntake(c)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func newWebhook(t *testing.T, k *topic, change func(*workos.WebhookConfig)) *workos.Webhook {
	t.Helper()
	c := workos.WebhookConfig{
		Secrets: func(context.Context) ([]string, error) { return []string{"old secret", "new secret"}, nil },
		Intake:  newIntake(t, workos.IntakeConfig{Publisher: k, Letters: k}),
	}
	if change != nil {
		change(&c)
	}
	h, err := workos.NewWebhook(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func membership(t *testing.T) []byte {
	t.Helper()
	body, err := json.Marshal(workostest.New(1, time.Now(), orgA))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func post(h http.Handler, body []byte, header map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/webhooks/workos", bytes.NewReader(body))
	for name, value := range header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func signed(secret string, at time.Time, body []byte) map[string]string {
	return map[string]string{workos.HeaderSignature: workos.Sign(secret, at, body)}
}

// The value was computed with Python's hmac module, over the text 1700000000000.{"id":"x"}.
func TestTheSignatureIsWorkOSs(t *testing.T) {
	const want = "t=1700000000000, v1=fe045d3467226b2c4edb1da7cbde5b7da1144c7faed320943cc01b4d4483518b"
	if got := workos.Sign("whsec_test", time.UnixMilli(1700000000000), []byte(`{"id":"x"}`)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestWebhooksAreAnswered(t *testing.T) {
	body := []byte(`{"id":"event_1","event":"dsync.activated","created_at":"2026-11-22T10:00:00.000Z","data":{"object":"directory","id":"directory_1","organization_id":"` + orgA + `"}}`)
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when every test with a clock of its own begins
	sig := func(secret string, skew time.Duration) string { return workos.Sign(secret, now.Add(skew), body) }
	tests := map[string]struct {
		header map[string]string
		body   []byte
		status int
		events int
	}{
		"signed":                             {map[string]string{workos.HeaderSignature: sig("new secret", 0)}, body, 200, 1},
		"signed with the former secret":      {map[string]string{workos.HeaderSignature: sig("old secret", 0)}, body, 200, 1},
		"signed with both":                   {map[string]string{workos.HeaderSignature: sig("wrong", 0) + "," + strings.SplitN(sig("old secret", 0), ", ", 2)[1]}, body, 200, 1},
		"a clock that is late":               {map[string]string{workos.HeaderSignature: sig("new secret", -180*time.Second)}, body, 200, 1},
		"a clock that is early":              {map[string]string{workos.HeaderSignature: sig("new secret", 180*time.Second)}, body, 200, 1},
		"too old":                            {map[string]string{workos.HeaderSignature: sig("new secret", -181*time.Second)}, body, 401, 0},
		"of the future":                      {map[string]string{workos.HeaderSignature: sig("new secret", 181*time.Second)}, body, 401, 0},
		"unsigned":                           {nil, body, 401, 0},
		"signed by somebody else":            {map[string]string{workos.HeaderSignature: sig("guess", 0)}, body, 401, 0},
		"signed with an empty secret":        {map[string]string{workos.HeaderSignature: sig("", 0)}, body, 401, 0},
		"another body":                       {map[string]string{workos.HeaderSignature: sig("new secret", 0)}, append(bytes.Clone(body), ' '), 401, 0},
		"another time than the signed one":   {map[string]string{workos.HeaderSignature: strings.Replace(sig("new secret", 0), "t=", "t=0", 1)}, body, 401, 0},
		"two times":                          {map[string]string{workos.HeaderSignature: "t=1," + sig("new secret", 0)}, body, 401, 0},
		"a time that is no number":           {map[string]string{workos.HeaderSignature: "t=now, v1=" + strings.Repeat("00", 32)}, body, 401, 0},
		"a sum that is cut":                  {map[string]string{workos.HeaderSignature: sig("new secret", 0)[:60]}, body, 401, 0},
		"not a signature":                    {map[string]string{workos.HeaderSignature: "Bearer abc"}, body, 401, 0},
		"packed":                             {map[string]string{workos.HeaderSignature: sig("new secret", 0), "Content-Encoding": "gzip"}, body, 415, 0},
		"an encoding that is none":           {map[string]string{workos.HeaderSignature: sig("new secret", 0), "Content-Encoding": "identity"}, body, 200, 1},
		"larger than what is taken":          {map[string]string{workos.HeaderSignature: sig("new secret", 0)}, make([]byte, workos.MaxWebhook+1), 413, 0},
		"unsigned, larger than what is good": {nil, make([]byte, workos.MaxWebhook+1), 401, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &topic{}
				w := post(newWebhook(t, k, nil), test.body, test.header)
				if w.Code != test.status {
					t.Errorf("answered %d %s, want %d", w.Code, w.Body, test.status)
				}
				if got := len(k.published()); got != test.events {
					t.Errorf("%d events are in Kafka, want %d", got, test.events)
				}
				if strings.Contains(w.Body.String(), "secret") {
					t.Errorf("the answer speaks of secrets: %s", w.Body)
				}
			})
		})
	}
}

func TestAWebhookIsTakenOnlyWhenKafkaHasIt(t *testing.T) {
	k := &topic{down: producer.ErrUnavailable}
	h := newWebhook(t, k, nil)
	body := membership(t)
	w := post(h, body, signed("new secret", time.Now(), body))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("answered %d with Retry-After %q, want 503 with one", w.Code, w.Header().Get("Retry-After"))
	}
	k.set(nil)
	for range 2 { // WorkOS sends it again, also when it has not seen the answer
		if w := post(h, body, signed("new secret", time.Now(), body)); w.Code != http.StatusOK {
			t.Errorf("answered %d, want 200", w.Code)
		}
	}
	if ids := k.published(); len(ids) != 2 || ids[0] != ids[1] || ids[0] != schema.ForeignID("workos", "event_00000000000000000000000001") {
		t.Errorf("ids %v, want the same one twice", ids)
	}
}

func TestWhatCanNeverBeAnAuditEventIsADeadLetter(t *testing.T) {
	tests := map[string]struct {
		body, violation, key string
	}{
		"no JSON":              {`{"id":`, "syntax", ""},
		"an array":             {`[1]`, "must be a WorkOS Event", ""},
		"no Event":             {`{"id":"event_1","data":{}}`, "/event: required", ""},
		"without organization": {`{"id":"event_1","event":"user.created","created_at":"2026-11-22T10:00:00.000Z","data":{"object":"user","id":"user_1"}}`, "gateway.workos.organization", ""},
		"of a strange organization": {
			`{"id":"event_1","event":"dsync.activated","created_at":"2026-11-22T10:00:00.000Z","data":{"object":"directory","id":"directory_1","organization_id":"acme"}}`,
			"/organization_id: pattern", "acme",
		},
		"with a time that is none": {
			`{"id":"event_1","event":"dsync.activated","created_at":"yesterday","data":{"object":"directory","id":"directory_1","organization_id":"` + orgA + `"}}`,
			"/occurred_at: format", orgA,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			k := &topic{}
			h := newWebhook(t, k, nil)
			header := signed("new secret", time.Now(), []byte(test.body))
			for range 2 {
				if w := post(h, []byte(test.body), header); w.Code != http.StatusOK {
					t.Errorf("answered %d %s: WorkOS would send it again in vain", w.Code, w.Body)
				}
			}
			if len(k.published()) != 0 || len(k.letters) != 2 {
				t.Fatalf("%d events, %d letters; want a letter each time", len(k.published()), len(k.letters))
			}
			l := k.letters[0]
			if !strings.Contains(l.Violations.Error(), test.violation) {
				t.Errorf("violations %v, want %q", l.Violations, test.violation)
			}
			if string(l.Value) != test.body || l.Key != test.key || l.ID == "" || l.ID != k.letters[1].ID {
				t.Errorf("letter %q about %s of %q, want one id, and the bytes as they came", l.ID, l.Value, l.Key)
			}
			k.set(errors.New("Kafka is away"))
			if w := post(h, []byte(test.body), header); w.Code != http.StatusServiceUnavailable {
				t.Errorf("answered %d although there is no letter", w.Code)
			}
		})
	}
}

// However many bodies come at once, what is held of them is bounded.
func TestBodiesShareABoundedMemory(t *testing.T) {
	h := newWebhook(t, &topic{}, func(c *workos.WebhookConfig) { c.Memory = 256 << 10 })
	large, small := append(membership(t), make([]byte, 300<<10)...), membership(t)
	if w := post(h, large, signed("new secret", time.Now(), large)); w.Code != http.StatusServiceUnavailable {
		t.Errorf("answered %d to a body that is larger than the memory", w.Code)
	}
	for range 10 { // what was taken is given back
		if w := post(h, small, signed("new secret", time.Now(), small)); w.Code != http.StatusOK {
			t.Errorf("answered %d, want 200", w.Code)
		}
	}
}

func TestNothingIsTakenBeforeItCanBeJudged(t *testing.T) {
	waiting := errors.New("waiting for Kafka")
	k := &topic{}
	h := newWebhook(t, k, func(c *workos.WebhookConfig) { c.Begun = func() error { return waiting } })
	body := membership(t)
	if w := post(h, body, signed("new secret", time.Now(), body)); w.Code != http.StatusServiceUnavailable || len(k.published()) != 0 {
		t.Errorf("answered %d, %d events published", w.Code, len(k.published()))
	}
	waiting = nil
	if w := post(h, body, signed("new secret", time.Now(), body)); w.Code != http.StatusOK {
		t.Errorf("answered %d, want 200", w.Code)
	}
}

func TestSecretsAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secrets, failure := []string{"first"}, error(nil)
		h := newWebhook(t, &topic{}, func(c *workos.WebhookConfig) {
			c.Secrets = func(context.Context) ([]string, error) { return secrets, failure }
		})
		body := membership(t)
		try := func(secret string) int { return post(h, body, signed(secret, time.Now(), body)).Code }
		if got := try("first"); got != http.StatusOK {
			t.Errorf("answered %d, want 200", got)
		}
		secrets = []string{"second"}
		time.Sleep(11 * time.Second)
		if first, second := try("first"), try("second"); first != http.StatusUnauthorized || second != http.StatusOK {
			t.Errorf("answered %d and %d, want 401 and 200", first, second)
		}
		failure = errors.New("the file is gone")
		time.Sleep(11 * time.Second)
		if got := try("second"); got != http.StatusServiceUnavailable {
			t.Errorf("answered %d while no secret can be read, want 503", got)
		}
		failure, secrets = nil, nil
		if got := try(""); got != http.StatusServiceUnavailable {
			t.Errorf("answered %d without any secret, want 503", got)
		}
	})
}

func TestSecretsAreInNoLogAndRefusalsDoNotFloodIt(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	reg := prometheus.NewRegistry()
	h := newWebhook(t, &topic{}, func(c *workos.WebhookConfig) { c.Log, c.Metrics = zap.New(core), reg })
	for range 100 {
		post(h, []byte("{}"), signed("guess", time.Now(), []byte("{}")))
	}
	if n := logs.Len(); n == 0 || n > 2 {
		t.Errorf("%d lines about 100 refusals, want one or two", n)
	}
	for _, l := range logs.All() {
		if text := l.Message + l.ContextMap()["error"].(string); strings.Contains(text, "new secret") || strings.Contains(text, "v1=") {
			t.Errorf("logged: %s", text)
		}
	}
	if got := figures(t, reg); got["auditstream_workos_webhooks_total unsigned"] != 100 || got["auditstream_workos_webhooks_total accepted"] != 0 {
		t.Errorf("counted %v, want 100 unsigned", got)
	}
}

// figures are the values of a registry, by name and labels.
func figures(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return got
}

func FuzzSignature(f *testing.F) {
	f.Add("t=1700000000000, v1="+strings.Repeat("ab", 32), []byte("{}"))
	f.Add("t=,v1=,", []byte(nil))
	k := &topic{}
	in, err := workos.NewIntake(workos.IntakeConfig{Publisher: k, Letters: k})
	if err != nil {
		f.Fatal(err)
	}
	h, err := workos.NewWebhook(context.Background(), workos.WebhookConfig{
		Intake: in, Secrets: func(context.Context) ([]string, error) { return []string{"a secret nobody guesses"}, nil },
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/webhooks/workos", bytes.NewReader(body))
		r.Header[workos.HeaderSignature] = []string{header}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusUnauthorized && w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("answered %d to a forged signature", w.Code)
		}
	})
}
