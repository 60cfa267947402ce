package splunk

import (
	"testing"

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
