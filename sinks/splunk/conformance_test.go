package splunk

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/auditstream/auditstream/integrity"
	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/sinktest"
	"github.com/auditstream/auditstream/sinks/sinktest/faults"
	"github.com/auditstream/auditstream/sinks/sinktest/hec"
)

const token = "6e1f2c1a-0000-4f4f-9d9d-c0ffee15dead"

func TestConformance(t *testing.T) {
	for _, mode := range []struct {
		name, compression string
		acknowledge       bool
	}{{"gzip", "gzip", false}, {"none", "none", false}, {"acknowledged", "gzip", true}} {
		t.Run(mode.name, func(t *testing.T) {
			sinktest.Conformance(t, sinktest.Harness{
				Kind:     Kind(),
				Delivers: func(r *http.Request) bool { return r.URL.Path == "/services/collector/event" },
				Start: func(t *testing.T) *sinktest.Target {
					t.Helper()
					t.Setenv("SPLUNK_TEST_TOKEN", token)
					double, err := hec.New(hec.Config{Token: token, Indexes: []string{"audit"}, Acknowledgement: mode.acknowledge})
					if err != nil {
						t.Fatal(err)
					}
					return &sinktest.Target{
						Handler: double,
						Settings: func(baseURL string) sinks.Settings {
							s := testSettings(baseURL)
							s.Compression, s.Acknowledge = mode.compression, mode.acknowledge
							return s
						},
						Arrived: func() [][]byte { return arrived(double) },
						Replays: func() []string { return replays(t, double) },
						Proofs:  func() []sinktest.Proof { return proofs(t, double) },
						Notes:   func() [][]byte { return notes(t, double) },
						Secrets: []string{token},
					}
				},
				Refusals: refusals(),
			})
		})
	}
}

// testSettings are settings of a sink that delivers to baseURL.
func testSettings(baseURL string) *Settings {
	s := defaults().(*Settings)
	s.URL, s.Index, s.Host = baseURL, "audit", `audit "host"`
	s.Token = secret.Ref{Env: "SPLUNK_TEST_TOKEN"}
	return s
}

func arrived(double *hec.Server) [][]byte {
	var values [][]byte
	for _, e := range double.Events() {
		if e.SourceType != "auditstream:checkpoint" {
			values = append(values, e.Event)
		}
	}
	return values
}

// notes are the checkpoints among the events.
func notes(t *testing.T, double *hec.Server) (list [][]byte) {
	t.Helper()
	for _, e := range double.Events() {
		if e.SourceType != "auditstream:checkpoint" {
			continue
		}
		var event struct {
			Checkpoint string `json:"checkpoint"`
		}
		var fields map[string]string
		if err := errors.Join(json.Unmarshal(e.Event, &event), json.Unmarshal(e.Fields, &fields)); err != nil {
			t.Error(err)
		}
		if origin, _, _ := strings.Cut(event.Checkpoint, "\n"); fields["auditstream_feed"] != integrity.FeedID(origin) || e.Index != "audit" || e.Time.IsZero() {
			t.Errorf("the checkpoint is found under %v in %s at %v", fields, e.Index, e.Time)
		}
		list = append(list, []byte(event.Checkpoint))
	}
	return list
}

// proofs are where the events stand in their feed, by their indexed fields.
func proofs(t *testing.T, double *hec.Server) (list []sinktest.Proof) {
	t.Helper()
	for _, e := range double.Events() {
		var fields struct {
			Feed   string         `json:"auditstream_feed"`
			Number int64          `json:"auditstream_seq,string"`
			Chain  integrity.Hash `json:"auditstream_chain"`
		}
		if e.Fields != nil {
			if err := json.Unmarshal(e.Fields, &fields); err != nil {
				t.Error(err)
			}
		}
		list = append(list, sinktest.Proof(fields))
	}
	return list
}

// replays are the jobs that the events' indexed fields name.
func replays(t *testing.T, double *hec.Server) []string {
	t.Helper()
	var jobs []string
	for _, e := range double.Events() {
		fields := map[string]string{}
		if e.Fields != nil {
			if err := json.Unmarshal(e.Fields, &fields); err != nil {
				t.Error(err)
			}
		}
		jobs = append(jobs, fields["auditstream_replay"])
	}
	return jobs
}

// refusals are the answers of a real collector, and of what may stand before it.
func refusals() []sinktest.Refusal {
	type header = http.Header
	says := func(status int, body string, h header) faults.Answer {
		return faults.Answer{Status: status, Body: []byte(body), Header: h}
	}
	return []sinktest.Refusal{
		{Name: "1 token disabled", Answer: says(403, `{"text":"Token disabled","code":1}`, nil), Class: sinks.Misconfigured},
		{Name: "2 token required", Answer: says(401, `{"text":"Token is required","code":2}`, nil), Class: sinks.Misconfigured},
		{Name: "3 invalid authorization", Answer: says(401, `{"text":"Invalid authorization","code":3}`, nil), Class: sinks.Misconfigured},
		{Name: "4 invalid token", Answer: says(403, `{"text":"Invalid token","code":4}`, nil), Class: sinks.Misconfigured},
		{Name: "5 no data", Answer: says(400, `{"text":"No data","code":5}`, nil), Class: sinks.Unavailable},
		{Name: "6 too large", Answer: says(400, `{"text":"Invalid data format","code":6,"invalid-event-number":0}`, nil), Class: sinks.Rejected},
		{Name: "7 incorrect index", Answer: says(400, `{"text":"Incorrect index","code":7,"invalid-event-number":1}`, nil), Class: sinks.Misconfigured},
		{Name: "8 internal error", Answer: says(500, `{"text":"Internal server error","code":8}`, nil), Class: sinks.Unavailable},
		{Name: "9 busy", Answer: says(503, `{"text":"Server is busy","code":9,"invalid-event-number":0}`, header{"Retry-After": {"7"}}), Class: sinks.Unavailable, RetryAfter: 7 * time.Second},
		{Name: "10 no channel", Answer: says(400, `{"text":"Data channel is missing","code":10}`, nil), Class: sinks.Misconfigured},
		{Name: "11 invalid channel", Answer: says(400, `{"text":"Invalid data channel","code":11}`, nil), Class: sinks.Misconfigured},
		{Name: "12 no event", Answer: says(400, `{"text":"Event field is required","code":12,"invalid-event-number":0}`, nil), Class: sinks.Rejected},
		{Name: "13 blank event", Answer: says(400, `{"text":"Event field cannot be blank","code":13,"invalid-event-number":0}`, nil), Class: sinks.Rejected},
		{Name: "14 acknowledgement disabled", Answer: says(400, `{"text":"ACK is disabled","code":14}`, nil), Class: sinks.Misconfigured},
		{Name: "15 indexed fields", Answer: says(400, `{"text":"Error in handling indexed fields","code":15,"invalid-event-number":0}`, nil), Class: sinks.Rejected},
		{Name: "16 query string", Answer: says(400, `{"text":"Query string authorization is not enabled","code":16}`, nil), Class: sinks.Misconfigured},
		{Name: "18 queues unavailable", Answer: says(503, `{"text":"HEC is unhealthy, queues are full","code":18}`, nil), Class: sinks.Unavailable},
		{Name: "19 acknowledgements unavailable", Answer: says(503, `{"text":"HEC is unhealthy, ack service unavailable","code":19}`, nil), Class: sinks.Unavailable},
		{Name: "20 both unavailable", Answer: says(503, `{"text":"HEC is unhealthy, queues are full, ack service unavailable","code":20}`, nil), Class: sinks.Unavailable},
		{Name: "23 shutting down", Answer: says(503, `{"text":"Server is shutting down","code":23}`, nil), Class: sinks.Unavailable},
		{Name: "26 queue at capacity", Answer: says(429, `{"text":"Queue is at capacity","code":26}`, nil), Class: sinks.Unavailable},
		{Name: "27 acknowledgements at capacity", Answer: says(429, `{"text":"ACK is at capacity","code":27}`, header{"Retry-After": {"1"}}), Class: sinks.Unavailable, RetryAfter: time.Second},
		{
			Name:   "a date to wait for",
			Answer: says(429, `{"text":"Queue is at capacity","code":26}`, header{"Date": {"Sun, 22 Nov 2026 10:00:00 GMT"}, "Retry-After": {"Sun, 22 Nov 2026 10:00:20 GMT"}}),
			Class:  sinks.Unavailable, RetryAfter: 20 * time.Second,
		},
		{Name: "429 of a proxy", Answer: says(429, `too many`, header{"Retry-After": {"3"}}), Class: sinks.Unavailable, RetryAfter: 3 * time.Second},
		{Name: "500 of a proxy", Answer: says(500, `oops`, nil), Class: sinks.Unavailable},
		{Name: "503 of a balancer", Answer: says(503, `<html>`, header{"Content-Type": {"text/html"}, "Retry-After": {"5"}}), Class: sinks.Unavailable, RetryAfter: 5 * time.Second},
		{Name: "17 of the health endpoint", Answer: says(200, `{"text":"HEC is healthy","code":17}`, nil), Class: sinks.Unavailable},
		{Name: "99 unknown", Answer: says(400, `{"text":"?","code":99}`, nil), Class: sinks.Misconfigured},
		{Name: "200 without a code", Answer: says(200, `{"text":"Success"}`, nil), Class: sinks.Unavailable},
		{Name: "200 without a body", Answer: says(200, ``, nil), Class: sinks.Unavailable},
		{Name: "200 twice", Answer: says(200, `{"text":"Success","code":0}{}`, nil), Class: sinks.Unavailable},
		{Name: "202 with success", Answer: says(202, `{"text":"Success","code":0}`, nil), Class: sinks.Unavailable},
		{Name: "400 of somebody else", Answer: says(400, `bad request`, nil), Class: sinks.Misconfigured},
		{Name: "a bad event, yet 503", Answer: says(503, `{"text":"Invalid data format","code":6,"invalid-event-number":1}`, nil), Class: sinks.Unavailable},
		{Name: "404", Answer: says(404, `{"text":"The requested URL was not found on this server.","code":404}`, nil), Class: sinks.Misconfigured},
		{Name: "413", Answer: says(413, `<html>`, header{"Content-Type": {"text/html"}}), Class: sinks.Rejected},
		{Name: "415", Answer: says(415, `<html>`, header{"Content-Type": {"text/html"}}), Class: sinks.Misconfigured},
	}
}
