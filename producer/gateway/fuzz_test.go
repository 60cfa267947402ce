package gateway

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/auditstream/auditstream/schema"
)

// judge sends a body to a gateway whose key is for acme and invoices alone, and returns the
// answer. Whatever the body is, the answer is one of a caller's mistake or of success, and what
// was published is valid, and allowed.
func judge(t *testing.T, path, kind, encoding string, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	kafka := &topic{}
	handler, err := NewServer(Config{Publisher: kafka, Keys: keys{"acme": {Name: "acme", Organizations: []string{acme}, Actions: []string{"invoice.*"}}}})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, bytes.NewReader(body))
	r.Header.Set("Authorization", "Bearer acme")
	r.Header.Set("Content-Type", kind)
	r.Header.Set("Content-Encoding", encoding)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	if w.Code >= http.StatusInternalServerError {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	if !json.Valid(w.Body.Bytes()) {
		t.Errorf("the answer is no JSON: %q", w.Body)
	}
	for _, e := range kafka.events {
		if found := (&schema.Validator{}).Validate(e); found != nil {
			t.Errorf("published although invalid: %v %+v", found, e)
		}
		if e.OrganizationID != acme || len(e.Action) < 8 || e.Action[:8] != "invoice." || e.ID == "" {
			t.Errorf("published although not allowed: %+v", e)
		}
	}
	if w.Code != http.StatusOK && w.Code != http.StatusMultiStatus && len(kafka.events) > 0 && path == "/audit_logs/events" {
		t.Errorf("answered %d, and published all the same", w.Code)
	}
	return w
}

// packings are values of Content-Encoding; what a fuzzer makes of the number is one of them.
func packing(n uint8) string {
	all := []string{"identity", "gzip", "zstd", "br"}
	return all[int(n)%len(all)]
}

func packed(tb testing.TB, body string) (gz, zst []byte) {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(body)); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		tb.Fatal(err)
	}
	return b.Bytes(), enc.EncodeAll([]byte(body), nil)
}

func FuzzBody(f *testing.F) {
	good := event(acme, "invoice.paid")
	gz, zst := packed(f, good)
	for _, body := range [][]byte{[]byte(good), []byte(event(other, "invoice.paid")), []byte(event(acme, "user.a")), gz, zst, gz[:20], zst[:9], {}, []byte("{"), []byte("\xff")} {
		for n := range uint8(4) {
			f.Add(n, body)
		}
	}
	f.Fuzz(func(t *testing.T, n uint8, body []byte) {
		w := judge(t, "/audit_logs/events", typeJSON, packing(n), body)
		if w.Code == http.StatusMultiStatus {
			t.Errorf("answered %d", w.Code)
		}
	})
}

func FuzzBatch(f *testing.F) {
	good := event(acme, "invoice.paid")
	lines, array := good+"\n"+event(other, "invoice.paid")+"\r\n\n{}", " [ "+good+" , {} ,\n"+event(acme, "user.a")+"]"
	gz, zst := packed(f, lines)
	for _, body := range [][]byte{[]byte(lines), []byte(array), gz, zst, []byte("\ufeff" + good), []byte("[]"), []byte("[,]"), []byte("[" + good + "]]"), []byte("\n\n"), []byte("[\"]\\\"\",{")} {
		for n := range uint8(4) {
			f.Add(n, true, body)
			f.Add(n, false, body)
		}
	}
	f.Fuzz(func(t *testing.T, n uint8, asLines bool, body []byte) {
		kind := typeJSON
		if asLines {
			kind = typeNDJSON
		}
		w := judge(t, "/audit_logs/events/batch", kind, packing(n), body)
		if w.Code != http.StatusOK && w.Code != http.StatusMultiStatus {
			return
		}
		var b batchResult
		if err := json.Unmarshal(w.Body.Bytes(), &b); err != nil {
			t.Fatal(err)
		}
		if len(b.Results) != b.Accepted+b.Refused+b.Failed {
			t.Errorf("%d results, %d accepted, %d refused, %d failed", len(b.Results), b.Accepted, b.Refused, b.Failed)
		}
	})
}
