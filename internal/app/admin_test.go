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

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/auditstream/auditstream/admin"
	"github.com/auditstream/auditstream/config"
	"github.com/auditstream/auditstream/internal/secret"
)

const apiToken = "5f0c8a1e9b7d43c2a6e1f09d8b7c6a54"

// api is delivery and the API in one process, with one token in a file.
type api struct {
	*process
	file string
}

func (s *site) api(cfg *config.Config) *api {
	s.t.Helper()
	a := &api{file: filepath.Join(s.t.TempDir(), "token")}
	if err := os.WriteFile(a.file, []byte(apiToken+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	cfg.Admin.Listen = "127.0.0.1:0"
	cfg.Admin.Tokens = []config.AdminToken{{Name: "ops", Token: secret.Ref{File: a.file}, Role: string(admin.RoleAdmin)}}
	core, logs := observer.New(zapcore.InfoLevel)
	ctx, cancel := context.WithCancel(context.Background())
	a.process = &process{t: s.t, logs: logs, done: make(chan error, 1), stop: cancel}
	go func() {
		a.done <- Everything{Delivery{Config: cfg, Version: "test", Log: zap.New(core)}}.Run(ctx)
	}()
	s.t.Cleanup(a.end)
	return a
}

// ask asks the API.
func (a *api) ask(method, path, token, body string) (int, string) {
	a.t.Helper()
	url, _ := a.logged("the API is served").ContextMap()["url"].(string)
	req, err := http.NewRequestWithContext(a.t.Context(), method, url+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestTheAPIBesideDelivery(t *testing.T) {
	s := newSite(t)
	a := s.api(s.config(oneStream))
	if status, body := a.ask("GET", "/healthz", "", ""); status != 200 {
		t.Error(status, body)
	}
	if status, body := a.ask("GET", "/v1/streams", apiToken, ""); status != 503 || !strings.Contains(body, "waits for Kafka") {
		t.Error(status, body)
	}
	s.there()
	eventually(t, "the API is ready", func() bool { status, _ := a.ask("GET", "/readyz", "", ""); return status == 200 })
	a.logged("partition taken")
	s.publish(0)
	s.delivered(30)
	if status, _ := a.ask("GET", "/v1/streams", "nonsense", ""); status != 401 {
		t.Error(status)
	}
	eventually(t, "the stream is listed", func() bool { // a list may be a moment old
		var list admin.StreamList
		status, body := a.ask("GET", "/v1/streams", apiToken, "")
		if err := json.Unmarshal([]byte(body), &list); err != nil || status != 200 {
			t.Fatal(status, body, err)
		}
		return len(list.Streams) == 1 && list.Streams[0].ID == "everything"
	})
	var now admin.Stream
	status, body := a.ask("POST", "/v1/streams/everything/pause?wait=30s", apiToken, `{"reason": "test"}`)
	if err := json.Unmarshal([]byte(body), &now); err != nil || status != 200 || now.Hold == nil || now.Hold.By != "ops" || now.Hold.Reason != "test" ||
		now.Outcome == nil || !now.Outcome.Written || now.Outcome.InForce != 3 {
		t.Error(status, body, err)
	}
	if strings.Contains(body, "a-token") {
		t.Error("the answer has the stream's token")
	}
	// A token that is changed in its file takes the place of the former one.
	if err := os.WriteFile(a.file, []byte("another-token-of-enough-entropy-1234567890"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the former token is refused", func() bool { status, _ := a.ask("GET", "/v1/streams", apiToken, ""); return status == 401 })
	if status, body := a.ask("GET", "/v1/whoami", "another-token-of-enough-entropy-1234567890", ""); status != 200 || !strings.Contains(body, `"name":"ops"`) {
		t.Error(status, body)
	}
	a.end()
	for _, e := range a.logs.All() {
		b, err := json.Marshal(e.ContextMap())
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{apiToken, "another-token-of-enough", "a-token"} {
			if strings.Contains(e.Message+string(b), secret) {
				t.Errorf("the log holds %s: %s %s", secret, e.Message, b)
			}
		}
	}
}

func TestTheAPIDoesNotBeginWithoutTokens(t *testing.T) {
	s := newSite(t)
	s.there()
	cfg := s.config(oneStream)
	cfg.Admin.Listen = "127.0.0.1:0"
	if err := (Administration{Config: cfg, Log: zap.NewNop()}).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "admin.tokens") {
		t.Errorf("%v", err)
	}
}

// Roles stand in the configuration as texts, which the API has to know.
func TestRolesOfTheConfigurationAreThoseOfTheAPI(t *testing.T) {
	for _, role := range config.AdminRoles() {
		if !admin.Role(role).Allows(admin.RoleViewer) {
			t.Errorf("%s allows nothing", role)
		}
	}
}

// A process that serves the API alone shows as much of itself as one that delivers.
func TestTheAPIIsObserved(t *testing.T) {
	s := newSite(t)
	cfg := s.config(oneStream)
	cfg.Admin.Listen, cfg.Observe.Listen = "127.0.0.1:0", "127.0.0.1:0"
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(apiToken), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Admin.Tokens = []config.AdminToken{{Name: "ops", Token: secret.Ref{File: file}, Role: string(admin.RoleAdmin)}}
	core, logs := observer.New(zapcore.InfoLevel)
	ctx, cancel := context.WithCancel(context.Background())
	a := &api{file: file, process: &process{t: t, logs: logs, done: make(chan error, 1), stop: cancel}}
	go func() { a.done <- Administration{Config: cfg, Version: "test", Log: zap.New(core)}.Run(ctx) }()
	t.Cleanup(a.end)
	url, _ := a.logged("observe").ContextMap()["url"].(string)
	a.logged("the API is served")
	if status, _ := get(t, url+"/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d", status)
	}
	if status, body := get(t, url+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "waits for Kafka") {
		t.Errorf("/readyz without Kafka: %d %s", status, body)
	}
	s.there()
	eventually(t, "the process is ready", func() bool { status, _ := get(t, url+"/readyz"); return status == http.StatusOK })
	a.ask("GET", "/v1/streams", apiToken, "")
	a.ask("GET", "/v1/streams/nothing", apiToken, "")
	a.ask("BREW", "/v1/coffee", apiToken, "")
	a.ask("GET", "/v1/streams", "nobody's token, of enough length", "")
	a.ask("GET", "/streams", "", "")
	a.ask("GET", "/wp-login.php", "", "")
	for _, want := range []string{
		`auditstream_admin_requests_total{door="api",method="GET",route="/v1/streams",status="2xx"} 1`,
		`auditstream_admin_requests_total{door="api",method="GET",route="/v1/streams",status="4xx"} 1`,
		`auditstream_admin_requests_total{door="api",method="GET",route="/v1/streams/{id}",status="4xx"} 1`,
		`auditstream_admin_requests_total{door="api",method="other",route="_none",status="4xx"} 1`,
		`auditstream_admin_requests_total{door="console",method="GET",route="/streams",status="3xx"} 1`,
		`auditstream_admin_requests_total{door="console",method="GET",route="_none",status="3xx"} 1`,
		`auditstream_admin_login_failures_total{door="api"} 1`,
		`auditstream_admin_requests_open{door="api"} 0`,
		`auditstream_admin_followers{door="console"} 0`,
		`auditstream_admin_job_runs_total{job="replay",outcome="done"} 0`,
		`auditstream_kafka_connects_total{outcome="ok"}`, `auditstream_build_info{`,
	} {
		eventually(t, want, func() bool { _, body := get(t, url+"/metrics"); return strings.Contains(body, want) })
	}
	eventually(t, "the process is the one that runs jobs", func() bool {
		_, body := get(t, url+"/metrics")
		return strings.Contains(body, "auditstream_admin_jobs_elected 1")
	})
	if _, body := get(t, url+"/metrics"); strings.Contains(body, "coffee") || strings.Contains(body, "wp-login") || strings.Contains(body, "nothing") {
		t.Error("what a caller sends is a label")
	}
	if status, _ := get(t, url+"/debug/pprof/"); status != http.StatusOK {
		t.Errorf("profiles: %d", status)
	}
}
