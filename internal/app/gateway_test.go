package app

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/kafka"
	"github.com/auditstream/auditstream/internal/openapi/openapitest"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/producer"
)

const gatewayKey = "sk_5f0c8a1e9b7d43c2a6e1f09d8b7c6a54"

// door is a gateway under way, with one key.
type door struct {
	*process
	described *openapitest.Contract // nil until it is asked for; owned by the test
}

func (s *site) gateway(change ...func(*config.Config)) *door {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(gatewayKey+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	cfg := s.config("")
	cfg.Gateway.Listen = "127.0.0.1:0"
	cfg.Gateway.Keys = []config.GatewayKey{{Name: "test", Key: secret.Ref{File: file}, Organizations: []string{config.AllOrganizations}}}
	for _, f := range change {
		f(cfg)
	}
	core, logs := observer.New(zapcore.InfoLevel)
	ctx, cancel := context.WithCancel(context.Background())
	d := &door{process: &process{t: s.t, logs: logs, done: make(chan error, 1), stop: cancel}}
	go func() { d.done <- Gateway{Config: cfg, Version: "test", Log: zap.New(core)}.Run(ctx) }()
	s.t.Cleanup(d.end)
	return d
}

// send publishes one event, and returns the answer.
func (d *door) send(action string) (status int, body string) {
	d.t.Helper()
	return d.ask("POST", "/audit_logs/events", `{"organization_id":"org_01JAAAAAAAAAAAAAAAAAAAAAAA","event":{"action":"`+action+
		`","occurred_at":"2026-11-22T10:00:00Z","actor":{"type":"user","id":"u"},"targets":[]}}`)
}

func (d *door) ask(method, path, sent string) (status int, body string) {
	d.t.Helper()
	url, _ := d.logged("events are taken in").ContextMap()["url"].(string)
	req, err := http.NewRequestWithContext(d.t.Context(), method, url+path, strings.NewReader(sent))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+gatewayKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	d.asDescribed(req, sent, resp, b)
	return resp.StatusCode, string(b)
}

// asDescribed holds an answer, and what was sent if it was taken, against the description that
// the gateway serves of itself.
func (d *door) asDescribed(req *http.Request, sent string, resp *http.Response, answer []byte) {
	d.t.Helper()
	if d.described == nil {
		about, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, "http://"+req.URL.Host+"/openapi.json", nil)
		if err != nil {
			d.t.Fatal(err)
		}
		got, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(about)
		if err != nil {
			d.t.Fatal(err)
		}
		defer got.Body.Close() //nolint:errcheck // only read
		text, err := io.ReadAll(got.Body)
		if err == nil {
			d.described, err = openapitest.New(text)
		}
		if err != nil {
			d.t.Fatal(err)
		}
	}
	if path := req.URL.EscapedPath(); d.described.Describes(req.Method, path) {
		e := openapitest.Exchange{Method: req.Method, Path: path, Asked: req.Header, Status: resp.StatusCode, Answered: resp.Header, Answer: answer}
		if sent != "" && resp.StatusCode < http.StatusMultipleChoices && req.Header.Get("Content-Encoding") == "" {
			e.Sent = []byte(sent)
		}
		d.described.Check(d.t, e)
	}
}

func (d *door) ready() {
	d.t.Helper()
	eventually(d.t, "a gateway that is ready", func() bool {
		status, _ := d.ask("GET", "/readyz", "")
		return status == http.StatusOK
	})
}

// published are the records of the events topic.
func (s *site) published() []*kgo.Record {
	s.t.Helper()
	opts, err := kafka.Config{Brokers: []string{s.addr()}}.Options(zap.NewNop())
	if err != nil {
		s.t.Fatal(err)
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	var records []*kgo.Record
	for partition := range int32(3) {
		if _, err := (&kafka.Reader{Client: client}).ReadToEnd(s.t.Context(), "audit.events", partition, func(r *kgo.Record) { records = append(records, r) }); err != nil {
			s.t.Fatal(err)
		}
	}
	return records
}

func TestTheGatewayPublishesToKafka(t *testing.T) {
	s := newSite(t)
	s.there()
	d := s.gateway()
	d.ready()
	status, body := d.send("user.signed_in")
	var answer struct {
		Success bool
		ID      string
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK || !answer.Success {
		t.Fatalf("answered %d %s", status, body)
	}
	records := s.published()
	if len(records) != 1 {
		t.Fatalf("%d records, want one", len(records))
	}
	r := records[0]
	encoding := ""
	for _, h := range r.Headers {
		if h.Key == producer.HeaderEncoding {
			encoding = string(h.Value)
		}
	}
	if string(r.Key) != "org_01JAAAAAAAAAAAAAAAAAAAAAAA" || encoding != producer.EncodingJCS || !strings.Contains(string(r.Value), answer.ID) {
		t.Errorf("key %s, encoding %q, value %s; the answer was %s", r.Key, encoding, r.Value, body)
	}
	if status, metrics := d.get("/metrics"); status != http.StatusOK || !strings.Contains(metrics, `auditstream_gateway_events_total{outcome="accepted"} 1`) {
		t.Errorf("%d, metrics without the event", status)
	}
}

func TestTheGatewayListensWhileKafkaIsAway(t *testing.T) {
	s := newSite(t)
	d := s.gateway()
	if status, _ := d.ask("GET", "/healthz", ""); status != http.StatusOK {
		t.Errorf("/healthz answers %d", status)
	}
	if status, _ := d.ask("GET", "/readyz", ""); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz answers %d", status)
	}
	if status, body := d.send("a"); status != http.StatusServiceUnavailable {
		t.Errorf("answered %d %s", status, body)
	}
	s.there()
	d.ready()
	if status, body := d.send("a"); status != http.StatusOK {
		t.Errorf("answered %d %s", status, body)
	}
}

func TestTheGatewayIsPartOfEverything(t *testing.T) {
	s := newSite(t)
	s.there()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(gatewayKey), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := s.config(oneStream)
	cfg.Gateway.Listen = "127.0.0.1:0"
	cfg.Gateway.Keys = []config.GatewayKey{{Name: "test", Key: secret.Ref{File: file}, Organizations: []string{config.AllOrganizations}}}
	a := s.api(cfg)
	d := &door{process: a.process}
	d.ready()
	if status, body := d.send("user.signed_in"); status != http.StatusOK {
		t.Fatalf("answered %d %s", status, body)
	}
	eventually(t, "the event in Splunk", func() bool { return len(s.splunk.Events()) == 1 })
}

func TestAKeyThatCouldBeGuessed(t *testing.T) {
	s := newSite(t)
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := s.config("")
	cfg.Gateway.Keys = []config.GatewayKey{{Name: "billing", Key: secret.Ref{File: file}, Organizations: []string{config.AllOrganizations}}}
	err := Gateway{Config: cfg, Version: "test", Log: zap.NewNop()}.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), `gateway.keys[0]: key "billing"`) || strings.Contains(err.Error(), `"secret"`) {
		t.Errorf("error %v", err)
	}
}
