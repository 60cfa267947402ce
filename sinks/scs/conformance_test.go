package scs

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/sinktest"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
	"github.com/auditstream/auditstream/sinks/sinktest/scsingest"
)

const clientSecret = "s3cr3t+of/the=client"

func newDouble(t *testing.T, lifetime time.Duration) *scsingest.Server {
	t.Helper()
	t.Setenv("SCS_TEST_SECRET", clientSecret)
	return scsingest.New(scsingest.Config{Tenant: "acme", ClientID: "0oa1:x", ClientSecret: clientSecret, Lifetime: lifetime})
}

func TestConformance(t *testing.T) {
	for _, compression := range []string{"none", "gzip"} {
		t.Run(compression, func(t *testing.T) {
			sinktest.Conformance(t, sinktest.Harness{
				Kind:     Kind(),
				Delivers: func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/events") },
				Start: func(t *testing.T) *sinktest.Target {
					t.Helper()
					double := newDouble(t, 0)
					return &sinktest.Target{
						Handler: double,
						Settings: func(baseURL string) sinks.Settings {
							s := testSettings(baseURL)
							s.Compression = compression
							return s
						},
						Arrived: func() [][]byte {
							return slices.DeleteFunc(collect(double, func(e scsingest.Event) []byte {
								if e.SourceType == "auditstream:checkpoint" {
									return nil
								}
								return e.Body
							}), func(body []byte) bool { return body == nil })
						},
						Proofs: func() []sinktest.Proof {
							return collect(double, func(e scsingest.Event) sinktest.Proof { return proofOf(t, &e) })
						},
						Notes: func() (list [][]byte) {
							for _, e := range double.Events() {
								var body struct {
									Checkpoint string `json:"checkpoint"`
								}
								if e.SourceType == "auditstream:checkpoint" && json.Unmarshal(e.Body, &body) == nil {
									list = append(list, []byte(body.Checkpoint))
								}
							}
							return list
						},
						Replays: func() []string {
							return collect(double, func(e scsingest.Event) string {
								var job string
								_ = json.Unmarshal(e.Attributes["auditstream.replay"], &job) // none: no job
								return job
							})
						},
						Secrets: append([]string{clientSecret, "eyJ"}, double.Live()...),
					}
				},
				Refusals: refusals(),
				TooLarge: maxRequest,
			})
		})
	}
}

// testSettings are settings of a sink that delivers to baseURL.
func testSettings(baseURL string) *Settings {
	s := defaults().(*Settings)
	s.URL, s.AuthURL = baseURL, baseURL+"/token"
	s.Tenant, s.ClientID, s.ClientSecret = "acme", "0oa1:x", secret.Ref{Env: "SCS_TEST_SECRET"}
	s.Host = `audit "host"`
	return s
}

// proofOf is where an event stands in its feed, by its attributes.
func proofOf(t *testing.T, e *scsingest.Event) sinktest.Proof {
	t.Helper()
	raw, err := json.Marshal(e.Attributes)
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		Feed   string         `json:"auditstream_feed"`
		Number int64          `json:"auditstream_seq,string"`
		Chain  integrity.Hash `json:"auditstream_chain"`
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Error(err)
	}
	return sinktest.Proof(p)
}

func collect[T any](double *scsingest.Server, of func(scsingest.Event) T) []T {
	var list []T
	for _, e := range double.Events() {
		list = append(list, of(e))
	}
	return list
}

// refusals are the answers of the service, and of what may stand before it.
func refusals() []sinktest.Refusal {
	const body = `{"code":"…","message":"…","details":[]}`
	says := func(status int, body string, h http.Header) faults.Answer {
		return faults.Answer{Status: status, Body: []byte(body), Header: h}
	}
	return []sinktest.Refusal{
		{Name: "400", Answer: says(400, body, nil), Class: sinks.Rejected},
		{Name: "400 of somebody else", Answer: says(400, "bad request", nil), Class: sinks.Misconfigured},
		{Name: "401 with a token that is new", Answer: says(401, body, nil), Class: sinks.Misconfigured},
		{Name: "403", Answer: says(403, body, nil), Class: sinks.Misconfigured},
		{Name: "404", Answer: says(404, body, nil), Class: sinks.Misconfigured},
		{Name: "413", Answer: says(413, body, nil), Class: sinks.Rejected},
		{Name: "422", Answer: says(422, body, nil), Class: sinks.Rejected},
		{Name: "429", Answer: says(429, body, http.Header{"Retry-After": {"4"}}), Class: sinks.Unavailable, RetryAfter: 4 * time.Second},
		{Name: "500", Answer: says(500, body, nil), Class: sinks.Unavailable},
		{Name: "503 of somebody else", Answer: says(503, "", nil), Class: sinks.Unavailable},
		{Name: "200 of somebody else", Answer: says(200, "{}", nil), Class: sinks.Unavailable},
	}
}
