package gatewayclient

import (
	"net/http"
	"testing"

	"github.com/auditstream/auditstream/producer"
)

// Whatever stands in an answer, each event has one outcome; and none is taken for accepted
// without a result that says so.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`{"results":[{"status":200},{"status":503,"error":{"message":"x","code":"not_tried"}}]}`))
	f.Add(207, []byte(`{"results":[{"status":400,"error":{"message":"x","errors":[{"code":"type","instancePath":null}]}}],"error":{"message":"y"}}`))
	f.Add(502, []byte(`<html>`))
	f.Add(0, []byte(`null`))
	f.Fuzz(func(t *testing.T, status int, text []byte) {
		const n = 2
		outcomes := results(text, n, nil)
		if len(outcomes) != n {
			t.Fatalf("%d outcomes for %d events", len(outcomes), n)
		}
		for _, err := range results(text, n, http.ErrBodyReadAfterClose) {
			if !producer.Uncertain(err) {
				t.Errorf("an answer that was broken off: %v", err)
			}
		}
		if judge(status, text) == nil {
			t.Errorf("status %d is a success", status)
		}
	})
}
