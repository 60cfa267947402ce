package https

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/auditstream/auditstream/integrity"
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
						Arrived: func() [][]byte { return collect(double, "", func(e webhook.Event) []byte { return e.Value }) },
						Replays: func() []string { return collect(double, "", func(e webhook.Event) string { return e.Replay }) },
						Proofs:  func() []sinktest.Proof { return proofs(t, double) },
						Notes: func() [][]byte {
							return collect(double, "checkpoint", func(e webhook.Event) []byte {
								var body struct {
									Checkpoint string `json:"checkpoint"`
								}
								if err := json.Unmarshal(e.Value, &body); err != nil {
									t.Error(err)
								}
								return []byte(body.Checkpoint)
							})
						},
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

// collect takes something from everything of a kind that has arrived.
func collect[T any](double *webhook.Server, kind string, of func(webhook.Event) T) []T {
	var list []T
	for _, e := range double.Events() {
		if e.Kind == kind {
			list = append(list, of(e))
		}
	}
	return list
}

// proofs counts on from what the headers say of each request, and checks that they are
// right about its end, and that they are signed.
func proofs(t *testing.T, double *webhook.Server) []sinktest.Proof {
	t.Helper()
	var head integrity.Head
	return collect(double, "", func(e webhook.Event) (p sinktest.Proof) {
		h := e.Header
		if h.Get("Auditstream-Feed") == "" {
			return p
		}
		if e.Index == 0 {
			before, err1 := integrity.ParseHash(h.Get("Auditstream-Chain-Before"))
			number, err2 := strconv.ParseInt(h.Get("Auditstream-First"), 10, 64)
			if err := errors.Join(err1, err2); err != nil {
				t.Error(err)
			}
			head = integrity.Head{Size: number - 1, Hash: before}
			checkPlaceSigned(t, h)
		}
		head = head.Next(integrity.Digest(e.Value))
		if h.Get("Auditstream-Last") == strconv.FormatInt(head.Size, 10) != (h.Get("Auditstream-Chain-After") == head.Hash.String()) {
			t.Errorf("behind event %d the chain is %s, and the headers say: %v", head.Size, head.Hash, h)
		}
		return sinktest.Proof{Feed: integrity.FeedID(h.Get("Auditstream-Origin")), Number: head.Size, Chain: head.Hash}
	})
}

// checkPlaceSigned checks the signature of the headers that say where events stand, as the
// documentation tells receivers to.
func checkPlaceSigned(t *testing.T, h http.Header) {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(first[len("whsec_"):])
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%s\n%s\n%s\n%s\n%s\n%s\n%s", h.Get("Webhook-Id"), h.Get("Webhook-Timestamp"),
		h.Get("Auditstream-Feed"), h.Get("Auditstream-Origin"), h.Get("Auditstream-First"), h.Get("Auditstream-Last"),
		h.Get("Auditstream-Chain-Before"), h.Get("Auditstream-Chain-After"))
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); h.Get("Auditstream-Signature") != want {
		t.Errorf("the headers are signed %q, want %q", h.Get("Auditstream-Signature"), want)
	}
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
