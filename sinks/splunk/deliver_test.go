package splunk

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/sinktest/hec"
)

// openSink opens a sink that delivers to handler; change changes its settings.
func openSink(t *testing.T, handler http.Handler, change ...func(*Settings)) sinks.Sink {
	t.Helper()
	t.Setenv("SPLUNK_TEST_TOKEN", token)
	server := httptest.NewServer(handler)
	s := testSettings(server.URL)
	for _, f := range change {
		f(s)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	sink, err := open(s, sinks.Options{Log: zap.NewNop(), Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = sink.Close()
		server.Close()
	})
	return sink
}

func newDouble(t *testing.T, c hec.Config) *hec.Server {
	t.Helper()
	c.Token = token
	double, err := hec.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return double
}

// batchOf is a batch with frames as they stand, good ones or bad ones.
func batchOf(frames ...string) *sinks.Batch {
	b := &sinks.Batch{}
	for i, f := range frames {
		b.Body = append(b.Body, f...)
		b.Events = append(b.Events, sinks.Entry{Offset: int64(i), End: len(b.Body)})
	}
	return b
}

func TestSplunkNamesTheBadEvent(t *testing.T) {
	const good = `{"event":{"n":1}}`
	cases := []struct {
		name    string
		frames  []string
		config  hec.Config
		settled int
		class   sinks.Class
		named   bool
	}{
		{"no JSON, code 6", []string{good, good, `{"event":}`, good}, hec.Config{}, 2, sinks.Rejected, true},
		{"the last one, code 6", []string{good, `{"event":null}`}, hec.Config{}, 1, sinks.Rejected, true},
		{"no event, code 12", []string{good, `{"host":"h"}`, good}, hec.Config{}, 1, sinks.Rejected, true},
		{"the first of two, code 12", []string{`{"host":"h"}`, good}, hec.Config{}, 0, sinks.Rejected, true},
		{"blank, code 13", []string{good, good, good, `{"event":" "}`}, hec.Config{}, 3, sinks.Rejected, true},
		{"nested fields, code 15", []string{good, `{"event":1,"fields":{"a":{}}}`, good}, hec.Config{}, 1, sinks.Rejected, true},
		{"a request too large, code 6", []string{good, good, good}, hec.Config{MaxRequest: 40}, 0, sinks.Rejected, false},
		{"an event too large, alone", []string{good}, hec.Config{MaxRequest: 10}, 0, sinks.Rejected, true},
		{"the index, code 7", []string{good, good, `{"event":1,"index":"other"}`, good}, hec.Config{Indexes: []string{"main"}}, 2, sinks.Misconfigured, false},
		{"the index, at once", []string{`{"event":1,"index":"other"}`, good}, hec.Config{Indexes: []string{"main"}}, 0, sinks.Misconfigured, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			double := newDouble(t, c.config)
			receipt, err := openSink(t, double).Deliver(t.Context(), batchOf(c.frames...))
			if receipt.Settled != c.settled || double.Len() != c.settled {
				t.Errorf("settled %d, stored %d, want %d", receipt.Settled, double.Len(), c.settled)
			}
			e, ok := errors.AsType[*sinks.Error](err)
			if !ok {
				t.Fatalf("error %v", err)
			}
			if e.Class != c.class || e.Named != c.named || e.Named && e.Event != c.settled {
				t.Errorf("class %v, named %v, event %d; want %v, %v, %d", e.Class, e.Named, e.Event, c.class, c.named, c.settled)
			}
		})
	}
}

func TestNumbersThatCannotBeAreNotTrusted(t *testing.T) {
	cases := []struct {
		name, answer string
		status       int
		settled      int
		named        bool
	}{
		{"beyond the batch", `{"code":6,"invalid-event-number":3}`, 400, 0, false},
		{"negative", `{"code":12,"invalid-event-number":-1}`, 400, 0, false},
		{"missing", `{"code":6}`, 400, 0, false},
		{"code 7 with 0", `{"code":7,"invalid-event-number":0}`, 400, 0, false},
		{"code 7 beyond the batch", `{"code":7,"invalid-event-number":4}`, 400, 0, false},
		{"busy in the middle: one event may be repeated, none lost", `{"code":9,"invalid-event-number":2}`, 503, 1, false},
		{"busy at the start", `{"code":9,"invalid-event-number":0}`, 503, 0, false},
		{"a success takes nothing back", `{"code":6,"invalid-event-number":2}`, 200, 0, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			sink := openSink(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.answer))
			}))
			receipt, err := sink.Deliver(t.Context(), batchOf("{}", "{}", "{}"))
			e, ok := errors.AsType[*sinks.Error](err)
			if !ok || receipt.Settled != c.settled || e.Named != c.named {
				t.Errorf("settled %d of 3, error %+v; want %d, named %v", receipt.Settled, err, c.settled, c.named)
			}
		})
	}
}

func TestCapacityWarningsAreDeliveries(t *testing.T) {
	for _, code := range []string{"24", "25"} {
		sink := openSink(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"text":"approaching","code":` + code + `}`))
		}))
		if receipt, err := sink.Deliver(t.Context(), batchOf("{}", "{}")); err != nil || receipt.Settled != 2 {
			t.Errorf("code %s: settled %d, %v", code, receipt.Settled, err)
		}
	}
}

func TestMendedTokenCountsWithoutARestart(t *testing.T) {
	double := newDouble(t, hec.Config{})
	sink := openSink(t, double)
	frame := batchOf(`{"event":1}`)

	t.Setenv("SPLUNK_TEST_TOKEN", "wrong")
	if _, err := sink.Deliver(t.Context(), frame); sinks.ClassOf(err) != sinks.Misconfigured {
		t.Fatalf("with a wrong token: %v", err)
	}
	t.Setenv("SPLUNK_TEST_TOKEN", "")
	if _, err := sink.Deliver(t.Context(), frame); err == nil || sinks.ClassOf(err) != sinks.Misconfigured {
		t.Fatalf("without a token: %v", err)
	}
	t.Setenv("SPLUNK_TEST_TOKEN", token)
	if _, err := sink.Deliver(t.Context(), frame); err != nil {
		t.Fatalf("with the token mended: %v", err)
	}
	t.Setenv("SPLUNK_TEST_TOKEN", "not read again while all is well")
	if _, err := sink.Deliver(t.Context(), frame); err != nil {
		t.Fatalf("with the token at rest: %v", err)
	}
	if double.Len() != 2 {
		t.Errorf("%d events arrived, want 2", double.Len())
	}
}

func TestEnvelopeArrives(t *testing.T) {
	double := newDouble(t, hec.Config{})
	sink := openSink(t, double)
	body, err := sink.Frame(nil, event())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Deliver(t.Context(), batchOf(string(body))); err != nil {
		t.Fatal(err)
	}
	want := []hec.Event{{
		Event: event().Value, Time: occurred, Host: `audit "host"`,
		Source: "auditstream", SourceType: "_json", Index: "audit",
	}}
	if diff := cmp.Diff(want, double.Events()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRequest(t *testing.T) {
	var got *http.Request
	sink := openSink(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		_, _ = w.Write([]byte(`{"code":0}`))
	}))
	if _, err := sink.Deliver(t.Context(), batchOf("{}")); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"Authorization": "Splunk " + token, "Content-Encoding": "gzip",
		"Content-Type": "application/json", "User-Agent": "auditstream/1.2.3",
	}
	for name, value := range want {
		if got.Header.Get(name) != value {
			t.Errorf("%s: %q, want %q", name, got.Header.Get(name), value)
		}
	}
	if got.Method != "POST" || got.URL.String() != "/services/collector/event" {
		t.Errorf("%s %s", got.Method, got.URL)
	}
}
