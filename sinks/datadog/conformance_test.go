package datadog

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/sinktest"
	"github.com/auditstream/auditstream/sinks/sinktest/ddlogs"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
)

const key = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"

func TestConformance(t *testing.T) {
	for _, compression := range []string{"gzip", "none"} {
		t.Run(compression, func(t *testing.T) {
			sinktest.Conformance(t, sinktest.Harness{
				Kind: Kind(),
				Start: func(t *testing.T) *sinktest.Target {
					t.Helper()
					t.Setenv("DATADOG_TEST_KEY", key)
					double, err := ddlogs.New(ddlogs.Config{APIKey: key})
					if err != nil {
						t.Fatal(err)
					}
					return &sinktest.Target{
						Handler: double,
						Settings: func(baseURL string) sinks.Settings {
							s := testSettings(baseURL)
							s.Compression = compression
							return s
						},
						Arrived: func() [][]byte { return arrived(double) },
						Replays: func() []string { return replays(double) },
						Proofs: func() (list []sinktest.Proof) {
							for _, e := range places(t, double) {
								list = append(list, sinktest.Proof{Feed: e.Feed, Number: e.Number, Chain: e.Chain})
							}
							return list
						},
						Notes: func() (list [][]byte) {
							for _, e := range places(t, double) {
								if e.Checkpoint != "" {
									list = append(list, []byte(e.Checkpoint))
								}
							}
							return list
						},
						Secrets: []string{key},
					}
				},
				Refusals: refusals(),
				TooLarge: maxEntry,
			})
		})
	}
}

// testSettings are settings of a sink that delivers to baseURL.
func testSettings(baseURL string) *Settings {
	s := defaults().(*Settings)
	s.URL, s.Hostname, s.Tags = baseURL, `audit "host"`, []string{"env:test", "team:sec"}
	s.APIKey = secret.Ref{Env: "DATADOG_TEST_KEY"}
	return s
}

func arrived(double *ddlogs.Server) [][]byte {
	var values [][]byte
	for _, e := range double.Events() {
		if !strings.HasPrefix(string(e.Message), `"Checkpoint of feed `) {
			values = append(values, e.Message)
		}
	}
	return values
}

// place is the attribute auditstream of an entry.
type place struct {
	Feed       string         `json:"feed"`
	Number     int64          `json:"seq"`
	Chain      integrity.Hash `json:"chain"`
	Digest     integrity.Hash `json:"digest"`
	Checkpoint string         `json:"checkpoint"`
}

// places are the attributes auditstream of all entries.
func places(t *testing.T, double *ddlogs.Server) (list []place) {
	t.Helper()
	for _, e := range double.Events() {
		var p place
		if raw := e.Attributes["auditstream"]; raw != nil {
			if err := json.Unmarshal(raw, &p); err != nil {
				t.Error(err)
			}
			if p.Checkpoint == "" && p.Digest != integrity.Digest(e.Message) {
				t.Errorf("the digest of %s is %s", e.Message, p.Digest)
			}
		}
		list = append(list, p)
	}
	return list
}

// replays are the jobs that the entries' tags name.
func replays(double *ddlogs.Server) []string {
	var jobs []string
	for _, e := range double.Events() {
		job := ""
		for tag := range strings.SplitSeq(e.Tags, ",") {
			if name, value, _ := strings.Cut(tag, ":"); name == "auditstream.replay" {
				job = value
			}
		}
		jobs = append(jobs, job)
	}
	return jobs
}

// refusals are the answers of the real intake, and of what may stand before it.
func refusals() []sinktest.Refusal {
	type header = http.Header
	says := func(status int, body string, h header) faults.Answer {
		return faults.Answer{Status: status, Body: []byte(body), Header: h}
	}
	const errors = `{"errors":[{"status":"4xx","title":"…","detail":"…"}]}`
	return []sinktest.Refusal{
		{Name: "400", Answer: says(400, errors, nil), Class: sinks.Rejected},
		{Name: "400 of somebody else", Answer: says(400, "bad request", nil), Class: sinks.Misconfigured},
		{Name: "401", Answer: says(401, errors, nil), Class: sinks.Misconfigured},
		{Name: "403", Answer: says(403, errors, nil), Class: sinks.Misconfigured},
		{Name: "404", Answer: says(404, errors, nil), Class: sinks.Misconfigured},
		{Name: "408", Answer: says(408, errors, nil), Class: sinks.Unavailable},
		{Name: "413", Answer: says(413, errors, nil), Class: sinks.Rejected},
		{Name: "429", Answer: says(429, errors, header{"X-Ratelimit-Reset": {"12"}}), Class: sinks.Unavailable, RetryAfter: 12 * time.Second},
		{Name: "500", Answer: says(500, errors, nil), Class: sinks.Unavailable},
		{Name: "503", Answer: says(503, "", header{"Retry-After": {"3"}}), Class: sinks.Unavailable, RetryAfter: 3 * time.Second},
		{Name: "200", Answer: says(200, "{}", nil), Class: sinks.Misconfigured},
		{Name: "204", Answer: says(204, "", nil), Class: sinks.Misconfigured},
		{Name: "202 of somebody else", Answer: says(202, "queued", nil), Class: sinks.Unavailable},
	}
}
