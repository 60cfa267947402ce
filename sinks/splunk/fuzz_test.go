package splunk

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/transport"
)

func FuzzJudge(f *testing.F) {
	f.Add(200, []byte(`{"text":"Success","code":0}`), 3)
	f.Add(400, []byte(`{"text":"Invalid data format","code":6,"invalid-event-number":1}`), 3)
	f.Add(400, []byte(`{"text":"Incorrect index","code":7,"invalid-event-number":2,"ackId":0}`), 3)
	f.Add(503, []byte(`{"text":"Server is busy","code":9,"invalid-event-number":2}`), 3)
	f.Add(200, []byte(`<html>`), 1)
	f.Fuzz(func(t *testing.T, status int, body []byte, n int) {
		if n < 1 || n > 1000 {
			t.Skip("no batch is of that size")
		}
		v := judge(&transport.Answer{Status: status, Body: body}, n)
		if v.err == nil {
			if status != 200 {
				t.Errorf("HTTP %d is a delivery", status)
			}
			return
		}
		if v.settled < 0 || v.settled >= n {
			t.Errorf("%d of %d events are settled with an error", v.settled, n)
		}
		if v.settled > 0 && status/100 == 2 {
			t.Errorf("HTTP %d settles a part", status)
		}
		if v.err.Named && (v.err.Class != sinks.Rejected || v.err.Event != v.settled || v.err.Event >= n) {
			t.Errorf("names event %d of %d, settled %d, class %v", v.err.Event, n, v.settled, v.err.Class)
		}
		if v.err.Class == sinks.Rejected && status != 400 && status != 413 {
			t.Errorf("HTTP %d rejects events", status)
		}
		if len(v.err.Answer) > sinks.MaxAnswer {
			t.Errorf("keeps %d bytes of the answer", len(v.err.Answer))
		}
	})
}

// Whatever an event and a template hold, the envelope is one object of known keys, the event
// in it is the event, and the values that it puts in are bounded.
func FuzzFrame(f *testing.F) {
	f.Add("s-{action}", "f {id} {organization_id}", []byte("user.created"), []byte("evt_1"), []byte("org_1"))
	f.Add("{action}", "{action}", []byte(`","index":"other","x":"`), []byte("\\"), []byte("\x00\xff\u2028"))
	f.Add(`"},"event":1}{"event":"`, "}", []byte{}, []byte{}, []byte{})
	f.Add("{id}", "x", []byte("a"), bytes.Repeat([]byte("é"), 400), []byte("b"))
	f.Fuzz(func(t *testing.T, source, field string, action, id, organization []byte) {
		s := defaults().(*Settings)
		s.Source, s.Fields = source, map[string]string{"f": field}
		framer, err := newFramer(s, "job_1")
		if err != nil || source == "" || field == "" {
			t.Skip("no settings are like that")
		}
		value := `{"a":{"index":"b"}}`
		frame, err := framer.Frame(nil, &sinks.Event{
			Value: []byte(value), ID: id, OrganizationID: organization, Action: action, Time: time.UnixMilli(1_736_937_001_007),
		})
		if err != nil {
			t.Fatal(err)
		}
		var envelope map[string]json.RawMessage
		if err := json.Unmarshal(frame, &envelope); err != nil || !utf8.Valid(frame) {
			t.Fatalf("%v: %q", err, frame)
		}
		if string(envelope["event"]) != value || len(envelope) != 5 || !strings.HasPrefix(string(frame), `{"time":1736937001.007,"source":`) {
			t.Fatalf("not the envelope that was meant: %q", frame)
		}
		var fields map[string]string
		if err := json.Unmarshal(envelope["fields"], &fields); err != nil || len(fields) != 2 || fields["auditstream_replay"] != "job_1" {
			t.Fatalf("fields %s, %v", envelope["fields"], err)
		}
		if names := strings.Count(field, "{"); len(fields["auditstream_f"]) > len(field)+names*3*maxValue {
			t.Fatalf("a value of %d bytes", len(fields["auditstream_f"]))
		}
	})
}
