package https

import (
	"net/http"
	"testing"
	"time"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/sinktest"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
	"github.com/auditstream/auditstream/sinks/sinktest/webhook"
)

const (
	bearer = "Bearer 7d1f0b6c-s3cr3t"
	first  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	second = "whsec_c2Vjb25kLXNlY29uZC1zZWNvbmQtc2Vjb25k"
)

func TestConformance(t *testing.T) {
	for name, change := range map[string]func(*Settings){
		"lines":                func(*Settings) {},
		"lines, zstd":          func(s *Settings) { s.Compression = "zstd" },
		"an array, gzip, PUT":  func(s *Settings) { s.Body, s.Compression, s.Method = Array, "gzip", http.MethodPut },
		"an array, not packed": func(s *Settings) { s.Body = Array },
	} {
		t.Run(name, func(t *testing.T) {
			sinktest.Conformance(t, sinktest.Harness{
				Kind:     Kind(),
				Delivers: func(*http.Request) bool { return true },
				Start: func(t *testing.T) *sinktest.Target {
					t.Helper()
					setSecrets(t)
					double := webhook.New(webhook.Config{Secrets: []string{first}, Require: map[string]string{"Authorization": bearer, "X-Tenant": "acme"}})
					return &sinktest.Target{
						Handler: double,
						Settings: func(baseURL string) sinks.Settings {
							s := testSettings(baseURL)
							change(s)
							return s
						},
						Arrived: func() [][]byte { return collect(double, func(e webhook.Event) []byte { return e.Value }) },
						Replays: func() []string { return collect(double, func(e webhook.Event) string { return e.Replay }) },
						Secrets: []string{bearer, first, first[len("whsec_"):]},
					}
				},
				Refusals:  refusals(),
				AnyAnswer: true,
			})
		})
	}
}

func setSecrets(t *testing.T) {
	t.Helper()
	t.Setenv("HTTPS_TEST_BEARER", bearer)
	t.Setenv("HTTPS_TEST_FIRST", first)
	t.Setenv("HTTPS_TEST_SECOND", second)
}

// testSettings are settings of a sink that delivers to baseURL.
func testSettings(baseURL string) *Settings {
	s := defaults().(*Settings)
	s.URL = baseURL + "/hooks/audit"
	s.Headers = map[string]string{"x-tenant": "acme"}
	s.SecretHeaders = map[string]secret.Ref{"Authorization": {Env: "HTTPS_TEST_BEARER"}}
	s.SigningSecrets = []secret.Ref{{Env: "HTTPS_TEST_FIRST"}}
	s.RejectedStatuses = []int{422, 409}
	return s
}

func collect[T any](double *webhook.Server, of func(webhook.Event) T) []T {
	var list []T
	for _, e := range double.Events() {
		list = append(list, of(e))
	}
	return list
}

// refusals are what receivers answer, and what may stand before them.
func refusals() []sinktest.Refusal {
	says := func(status int, body string, h http.Header) faults.Answer {
		return faults.Answer{Status: status, Body: []byte(body), Header: h}
	}
	page := http.Header{"Content-Type": {"text/html"}}
	return []sinktest.Refusal{
		{Name: "400", Answer: says(400, "bad request", nil), Class: sinks.Misconfigured},
		{Name: "401", Answer: says(401, "who are you?", nil), Class: sinks.Misconfigured},
		{Name: "403", Answer: says(403, "no", nil), Class: sinks.Misconfigured},
		{Name: "404", Answer: says(404, "no", nil), Class: sinks.Misconfigured},
		{Name: "408", Answer: says(408, "", nil), Class: sinks.Unavailable},
		{Name: "409, which is listed", Answer: says(409, "I will never take that", nil), Class: sinks.Rejected},
		{Name: "410", Answer: says(410, "", nil), Class: sinks.Misconfigured},
		{Name: "413", Answer: says(413, "", nil), Class: sinks.Rejected},
		{Name: "422", Answer: says(422, "no JSON", nil), Class: sinks.Rejected},
		{Name: "422 of a page", Answer: says(422, "<html>", page), Class: sinks.Misconfigured},
		{Name: "429", Answer: says(429, "", http.Header{"Retry-After": {"7"}}), Class: sinks.Unavailable, RetryAfter: 7 * time.Second},
		{Name: "500", Answer: says(500, "", nil), Class: sinks.Unavailable},
		{Name: "503", Answer: says(503, "", nil), Class: sinks.Unavailable},
		{Name: "a redirect", Answer: says(307, "", http.Header{"Location": {"https://elsewhere.example/"}}), Class: sinks.Misconfigured},
	}
}
