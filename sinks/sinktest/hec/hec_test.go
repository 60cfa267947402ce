package hec

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/auditstream/auditstream/sinks/sinktest/faults"
)

const (
	token    = "b3f1c9e2-token"
	channelA = "11111111-2222-3333-4444-555555555555"
	channelB = "AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE"
)

func newServer(t *testing.T, c Config) *Server {
	t.Helper()
	c.Token = token
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// call makes a request with the token; header overrides what it sends ("" removes).
func call(t *testing.T, h http.Handler, method, path, body string, header map[string]string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Splunk "+token)
	for k, v := range header {
		if v == "" {
			r.Header.Del(k)
		} else {
			r.Header.Set(k, v)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// arrived is what the server has taken: the events' bytes.
func arrived(s *Server) []string {
	var got []string
	for _, e := range s.Events() {
		got = append(got, string(e.Event))
	}
	return got
}

func TestAuthorization(t *testing.T) {
	cases := []struct {
		name   string
		header string
		path   string
		config Config
		status int
		answer string
	}{
		{"the token", "Splunk " + token, "", Config{}, 200, `{"text":"Success","code":0}`},
		{"switched off", "Splunk " + token, "", Config{Disabled: true}, 403, `{"text":"Token disabled","code":1}`},
		{"nothing", "", "", Config{}, 401, `{"text":"Token is required","code":2}`},
		{"another scheme", "Bearer " + token, "", Config{}, 401, `{"text":"Invalid authorization","code":3}`},
		{"a scheme without a token", "Splunk", "", Config{}, 401, `{"text":"Invalid authorization","code":3}`},
		{"another token", "Splunk x" + token, "", Config{}, 403, `{"text":"Invalid token","code":4}`},
		{"in the query", "", "?token=" + token, Config{}, 400, `{"text":"Query string authorization is not enabled","code":16}`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, c.config)
			status, answer := call(t, s, "POST", "/services/collector/event"+c.path, `{"event":1}`, map[string]string{"Authorization": c.header})
			if status != c.status || answer != c.answer {
				t.Errorf("%d %s, want %d %s", status, answer, c.status, c.answer)
			}
			if taken := s.Len() == 1; taken != (status == 200) {
				t.Errorf("answered %d, and %d events are there", status, s.Len())
			}
		})
	}
}

func TestHealthLooksAtNoToken(t *testing.T) {
	status, answer := call(t, newServer(t, Config{}), "GET", "/services/collector/health", "", map[string]string{"Authorization": "Splunk bogus"})
	if status != 200 || answer != `{"text":"HEC is healthy","code":17}` {
		t.Errorf("%d %s", status, answer)
	}
}

func TestPartialAcceptance(t *testing.T) {
	const good = `{"event":{"n":1}}`
	cases := []struct {
		name   string
		body   string
		status int
		answer string
		stored []string
	}{
		{"all good", good + good, 200, `{"text":"Success","code":0}`, []string{`{"n":1}`, `{"n":1}`}},
		{"white space between", good + "\n \t" + good + "\n", 200, `{"text":"Success","code":0}`, []string{`{"n":1}`, `{"n":1}`}},
		{"nothing", "", 400, `{"text":"No data","code":5}`, nil},
		{"white space", " \n", 400, `{"text":"No data","code":5}`, nil},
		{"no JSON in the middle", good + `{"event":` + `}` + good, 400, `{"text":"Invalid data format","code":6,"invalid-event-number":1}`, []string{`{"n":1}`}},
		{"cut short", good + good + `{"event":{`, 400, `{"text":"Invalid data format","code":6,"invalid-event-number":2}`, []string{`{"n":1}`, `{"n":1}`}},
		{"an array", `[` + good + `]`, 400, `{"text":"Invalid data format","code":6,"invalid-event-number":0}`, nil},
		{"null in place of an object", good + `null`, 400, `{"text":"Invalid data format","code":6,"invalid-event-number":1}`, []string{`{"n":1}`}},
		{"a null event", good + `{"event":null}` + good, 400, `{"text":"Invalid data format","code":6,"invalid-event-number":1}`, []string{`{"n":1}`}},
		{"a false event", `{"event":false}`, 400, `{"text":"Invalid data format","code":6,"invalid-event-number":0}`, nil},
		{"no event", good + `{"host":"h"}`, 400, `{"text":"Event field is required","code":12,"invalid-event-number":1}`, []string{`{"n":1}`}},
		{"a blank event", good + `{"event":" "}`, 400, `{"text":"Event field cannot be blank","code":13,"invalid-event-number":1}`, []string{`{"n":1}`}},
		{"nested fields", good + `{"event":1,"fields":{"a":{"b":1}}}`, 400, `{"text":"Error in handling indexed fields","code":15,"invalid-event-number":1}`, []string{`{"n":1}`}},
		{"flat fields", `{"event":1,"fields":{"a":"b","c":["d"]}}`, 200, `{"text":"Success","code":0}`, []string{"1"}},
		{"fields without event are skipped", good + `{"fields":{"a":"b"}}` + `{"event":2}`, 200, `{"text":"Success","code":0}`, []string{`{"n":1}`, "2"}},
		{"an unknown key loses the rest", good + `{"event":2,"id":"x"}` + `{"event":3}`, 200, `{"text":"Success","code":0}`, []string{`{"n":1}`}},
		{"an index that is not allowed", good + `{"event":2,"index":"other"}`, 400, `{"text":"Incorrect index","code":7,"invalid-event-number":2}`, []string{`{"n":1}`}},
		{"a time that is none", `{"event":2,"time":"noon"}`, 400, `{"text":"Invalid data format","code":6,"invalid-event-number":0}`, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, Config{Indexes: []string{"audit", "main"}})
			status, answer := call(t, s, "POST", "/services/collector/event", c.body, nil)
			if status != c.status || answer != c.answer {
				t.Errorf("%d %s, want %d %s", status, answer, c.status, c.answer)
			}
			if diff := cmp.Diff(c.stored, arrived(s)); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEnvelopeIsKept(t *testing.T) {
	s := newServer(t, Config{})
	body := `{"time":1736937000.123,"host":"h","source":"s","sourcetype":"t","index":"i","event":{"b": 1,"a":"<"},"fields":{"f":1}}`
	call(t, s, "POST", "/services/collector", body, nil)
	want := []Event{{
		Event: []byte(`{"b": 1,"a":"<"}`), Time: time.Date(2025, 1, 15, 10, 30, 0, 123e6, time.UTC),
		Host: "h", Source: "s", SourceType: "t", Index: "i", Fields: []byte(`{"f":1}`),
	}}
	if diff := cmp.Diff(want, s.Events()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTimeIsGuessedByItsLength(t *testing.T) {
	want := time.Date(2025, 1, 15, 10, 30, 0, 0, time.UTC)
	for text, add := range map[string]time.Duration{
		`1736937000`:          0,
		`1736937000.5`:        500 * time.Millisecond,
		`"1736937000.5"`:      500 * time.Millisecond,
		`1736937000123`:       123 * time.Millisecond,
		`1736937000123456789`: 123456789,
		`1736937000.123456`:   123456 * time.Microsecond,
	} {
		s := newServer(t, Config{})
		call(t, s, "POST", "/services/collector/event/1.0", `{"event":1,"time":`+text+`}`, nil)
		if got := s.Events(); len(got) != 1 || !got[0].Time.Equal(want.Add(add)) {
			t.Errorf("time %s is read as %v, want %v", text, got, want.Add(add))
		}
	}
}

func TestEncodings(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(`{"event":1}`))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, encoding, body string
		status               int
		answer               string
	}{
		{"gzip", "gzip", packed.String(), 200, `{"text":"Success","code":0}`},
		{"damaged gzip", "gzip", packed.String()[:12], 400, `{"text":"Invalid data format","code":6}`},
		{"deflate", "deflate", "x", 415, "<!doctype html><html><head><title>415 Unsupported Media Type</title></head></html>"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			status, answer := call(t, newServer(t, Config{}), "POST", "/services/collector", c.body, map[string]string{"Content-Encoding": c.encoding})
			if status != c.status || answer != c.answer {
				t.Errorf("%d %s, want %d %s", status, answer, c.status, c.answer)
			}
		})
	}
}

func TestRequestTooLargeNamesTheFirstObject(t *testing.T) {
	s := newServer(t, Config{MaxRequest: 30})
	status, answer := call(t, s, "POST", "/services/collector", strings.Repeat(`{"event":1}`, 3), nil)
	if status != 400 || answer != `{"text":"Invalid data format","code":6,"invalid-event-number":0}` || s.Len() != 0 {
		t.Errorf("%d %s, %d stored", status, answer, s.Len())
	}
}

func TestAnAdministratorChangesItWhileItRuns(t *testing.T) {
	s := newServer(t, Config{})
	s.Administer(true, MaxContentLength)
	if _, answer := call(t, s, "POST", "/services/collector", `{"event":1}`, nil); answer != `{"text":"Token disabled","code":1}` {
		t.Errorf("switched off: %s", answer)
	}
	s.Administer(false, 10)
	if _, answer := call(t, s, "POST", "/services/collector", `{"event":1}`, nil); answer != `{"text":"Invalid data format","code":6,"invalid-event-number":0}` {
		t.Errorf("too large: %s", answer)
	}
	s.Administer(false, 11)
	if _, answer := call(t, s, "POST", "/services/collector", `{"event":1}`, nil); answer != `{"text":"Success","code":0}` || s.Len() != 1 {
		t.Errorf("as before: %s, %d stored", answer, s.Len())
	}
}

func TestAcknowledgement(t *testing.T) {
	s := newServer(t, Config{Acknowledgement: true})
	inA, inB := map[string]string{"X-Splunk-Request-Channel": channelA}, map[string]string{"X-Splunk-Request-Channel": channelB}
	steps := []struct {
		name, path, body string
		header           map[string]string
		answer           string
	}{
		{"no channel", "/services/collector", `{"event":1}`, nil, `{"text":"Data channel is missing","code":10}`},
		{"no GUID", "/services/collector?channel=x", `{"event":1}`, nil, `{"text":"Invalid data channel","code":11}`},
		{"the first id is 0", "/services/collector", `{"event":1}`, inA, `{"text":"Success","code":0,"ackId":0}`},
		{"then 1", "/services/collector", `{"event":1}`, inA, `{"text":"Success","code":0,"ackId":1}`},
		{"each channel counts for itself", "/services/collector?channel=" + channelB, `{"event":1}`, nil, `{"text":"Success","code":0,"ackId":0}`},
		{"a head that was taken has an id", "/services/collector", `{"event":1}{"event":null}`, inA, `{"text":"Invalid data format","code":6,"invalid-event-number":1,"ackId":2}`},
		{"nothing taken, no id", "/services/collector", `{"event":null}`, inA, `{"text":"Invalid data format","code":6,"invalid-event-number":0}`},
		{"the wrong channel", "/services/collector/ack", `{"acks":[1]}`, inB, `{"acks":{"1":false}}`},
		{"true once", "/services/collector/ack", `{"acks":[0,2,7]}`, inA, `{"acks":{"0":true,"2":true,"7":false}}`},
		{"false ever after", "/services/collector/ack", `{"acks":[0,1]}`, inA, `{"acks":{"0":false,"1":true}}`},
		{"no query", "/services/collector/ack", `acks`, inA, `{"text":"Invalid data format","code":6}`},
	}
	for _, c := range steps {
		if _, answer := call(t, s, "POST", c.path, c.body, c.header); answer != c.answer {
			t.Errorf("%s: %s, want %s", c.name, answer, c.answer)
		}
	}
	if _, answer := call(t, newServer(t, Config{}), "POST", "/services/collector/ack", `{"acks":[0]}`, inA); answer != `{"text":"ACK is disabled","code":14}` {
		t.Errorf("with acknowledgement off: %s", answer)
	}
}

func TestRawTakesOneEventALine(t *testing.T) {
	s := newServer(t, Config{})
	call(t, s, "POST", "/services/collector/raw?source=s&index=i", "one\r\n\n\"two\"", nil)
	want := []Event{{Event: []byte(`"one"`), Source: "s", Index: "i"}, {Event: []byte(`"\"two\""`), Source: "s", Index: "i"}}
	if diff := cmp.Diff(want, s.Events()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEventsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	first := newServer(t, Config{Dir: dir})
	call(t, first, "POST", "/services/collector", `{"event":{"a":"<é>"},"index":"audit","time":1736937000.123}{"event":2}`, nil)
	second := newServer(t, Config{Dir: dir})
	if diff := cmp.Diff(first.Events(), second.Events()); diff != "" || second.Len() != 2 {
		t.Errorf("%d events (-before +after):\n%s", second.Len(), diff)
	}
}

func TestFaultAfterStoring(t *testing.T) {
	s := newServer(t, Config{})
	s.Program(func(*http.Request) *faults.Answer { return &faults.Answer{Store: true, Status: 503} })
	status, _ := call(t, s, "POST", "/services/collector", `{"event":1}`, nil)
	if status != 503 || s.Len() != 1 {
		t.Errorf("answered %d with %d events stored, want 503 with 1", status, s.Len())
	}
}

func TestNothingIsTakenThatCannotBeKept(t *testing.T) {
	s := newServer(t, Config{Dir: t.TempDir()})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	status, answer := call(t, s, "POST", "/services/collector", `{"event":1}`, nil)
	if status != 500 || answer != `{"text":"Internal server error","code":8}` || s.Len() != 0 {
		t.Errorf("%d %s, %d events", status, answer, s.Len())
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"event":1}{"event":null}`))
	f.Add([]byte(`{"time":1736937000.123,"event":{"a":1},"fields":{"b":[1]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s := &Server{config: Config{DefaultIndex: "main"}}
		events, a := s.read(body)
		if a.Code != codeSuccess && *a.Number < len(events) {
			t.Errorf("object %d is bad, yet %d are stored", *a.Number, len(events))
		}
		for _, e := range events {
			if checkEvent(e.Event) != codeSuccess {
				t.Errorf("stored %s", e.Event)
			}
		}
	})
}
