package datadog

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/auditstream/auditstream/internal/secret"
	"github.com/auditstream/auditstream/sinks"
	"github.com/auditstream/auditstream/sinks/sinktest/ddlogs"
	"github.com/auditstream/auditstream/sinks/transport"
)

func event() *sinks.Event {
	return &sinks.Event{
		Value: []byte(`{"action":"user.created","actor":{"id":"user_01J0000000000000000000000","name":"Ada Lovelace","type":"user"},` +
			`"id":"audit_event_01JD0000000000000000000000","occurred_at":"2025-01-15T10:30:00.123Z",` +
			`"organization_id":"org_01JAAAAAAAAAAAAAAAAAAAAAAA","targets":[{"id":"team_01J000000000000000000000","type":"team"}]}`),
		ID:             []byte("audit_event_01JD0000000000000000000000"),
		OrganizationID: []byte("org_01JAAAAAAAAAAAAAAAAAAAAAAA"),
		Action:         []byte("user.created"),
		OccurredAt:     []byte("2025-01-15T10:30:00.123Z"),
		Time:           time.UnixMilli(1_736_937_001_007),
	}
}

func TestFrame(t *testing.T) {
	full := Settings{Source: "s", Service: `v"`, Hostname: "h", Tags: []string{"env:prod", "team:sec"}}
	cases := []struct {
		name     string
		settings Settings
		change   func(*sinks.Event)
		want     string
	}{
		{"everything", full, func(*sinks.Event) {}, `,{"ddsource":"s","ddtags":"env:prod,team:sec,organization_id:org_1,action:user.created","hostname":"h","service":"v\"","timestamp":1736937000123,"message":{"a":1}}`},
		{"nothing set", Settings{}, func(*sinks.Event) {}, `,{"ddtags":"organization_id:org_1,action:user.created","timestamp":1736937000123,"message":{"a":1}}`},
		{"an action that forges tags and fields", Settings{}, func(e *sinks.Event) { e.Action = []byte(`a,env:x","message":"\` + "\n\xff") }, `,{"ddtags":"organization_id:org_1,action:a_env:x___message_:____","timestamp":1736937000123,"message":{"a":1}}`},
		{"no time: that of its record", Settings{}, func(e *sinks.Event) { e.OccurredAt = nil }, `,{"ddtags":"organization_id:org_1,action:user.created","timestamp":1736937001007,"message":{"a":1}}`},
		{"no time at all", Settings{}, func(e *sinks.Event) { e.OccurredAt, e.Time = nil, time.Time{} }, `,{"ddtags":"organization_id:org_1,action:user.created","message":{"a":1}}`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e := event()
			e.Value, e.OrganizationID = []byte(`{"a":1}`), []byte("org_1")
			c.change(e)
			f := newFramer(&c.settings)
			got, err := f.Frame([]byte("before"), e)
			if err != nil || string(got) != "before"+c.want {
				t.Errorf("%s, %v\nwant %s", got, err, c.want)
			}
			if !json.Valid(got[len("before,"):]) {
				t.Error("the entry is no JSON")
			}
		})
	}
}

// The double cuts what the real intake would cut: an entry that Frame takes arrives whole.
func TestLargestEntryArrivesWhole(t *testing.T) {
	double, sink := newPair(t)
	empty := event()
	empty.Value = []byte(`{"a":""}`)
	frame, err := sink.Frame(nil, empty)
	if err != nil {
		t.Fatal(err)
	}
	for over, taken := range map[int]bool{0: true, 1: false} {
		e := event()
		e.Value = []byte(`{"a":"` + strings.Repeat("x", maxEntry-(len(frame)-1)+over) + `"}`)
		frame, err := sink.Frame(nil, e)
		if !taken {
			if sinks.ClassOf(err) != sinks.Rejected || len(frame) != 0 {
				t.Errorf("%d bytes over: %v", over, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sink.Deliver(t.Context(), batchOf(string(frame))); err != nil {
			t.Fatal(err)
		}
		if got := double.Events(); len(got) != 1 || got[0].Truncated || string(got[0].Message) != string(e.Value) {
			t.Errorf("%d entries arrived, or the one is cut", len(got))
		}
	}
}

func newPair(t *testing.T) (*ddlogs.Server, *Sink) {
	t.Helper()
	double, err := ddlogs.New(ddlogs.Config{APIKey: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DATADOG_TEST_KEY", key)
	server := httptest.NewServer(double)
	sink, err := open(testSettings(server.URL), sinks.Options{Log: zap.NewNop(), Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = sink.Close()
		server.Close()
	})
	return double, sink
}

func batchOf(frames ...string) *sinks.Batch {
	b := &sinks.Batch{}
	for i, f := range frames {
		b.Body = append(b.Body, f...)
		b.Events = append(b.Events, sinks.Entry{Offset: int64(i), End: len(b.Body)})
	}
	return b
}

func TestEntryArrives(t *testing.T) {
	double, sink := newPair(t)
	frame, err := sink.Frame(nil, event())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Deliver(t.Context(), batchOf(string(frame))); err != nil {
		t.Fatal(err)
	}
	want := []ddlogs.Event{{
		Message: event().Value, Source: "auditstream", Service: "audit-logs", Hostname: `audit "host"`,
		Tags:       "env:test,team:sec,organization_id:org_01JAAAAAAAAAAAAAAAAAAAAAAA,action:user.created",
		Attributes: map[string]json.RawMessage{"timestamp": []byte("1736937000123")},
	}}
	if diff := cmp.Diff(want, double.Events()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBadEntryRejectsTheBatchWithoutAName(t *testing.T) {
	double, sink := newPair(t)
	receipt, err := sink.Deliver(t.Context(), batchOf(`,{"message":1}`, `,2`, `,{"message":3}`))
	e, ok := errors.AsType[*sinks.Error](err)
	if !ok || e.Class != sinks.Rejected || e.Named || receipt.Settled != 0 || double.Len() != 0 {
		t.Errorf("%+v, settled %d, stored %d", err, receipt.Settled, double.Len())
	}
}

func TestMendedKeyCountsWithoutARestart(t *testing.T) {
	double, sink := newPair(t)
	t.Setenv("DATADOG_TEST_KEY", "wrong")
	if _, err := sink.Deliver(t.Context(), batchOf(`,{}`)); err == nil || sinks.ClassOf(err) != sinks.Misconfigured {
		t.Fatalf("with a wrong key: %v", err)
	}
	t.Setenv("DATADOG_TEST_KEY", key)
	if _, err := sink.Deliver(t.Context(), batchOf(`,{}`)); err != nil || double.Len() != 1 {
		t.Fatalf("with the key mended: %v, %d arrived", err, double.Len())
	}
}

func TestFrameAllocatesNothing(t *testing.T) {
	f, e, dst := newFramer(testSettings("http://127.0.0.1")), event(), make([]byte, 0, 4096)
	n := testing.AllocsPerRun(100, func() {
		if _, err := f.Frame(dst, e); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestValidate(t *testing.T) {
	cases := []struct {
		name   string
		change func(*Settings)
		want   []string // fields with a violation
	}{
		{"a url", func(*Settings) {}, nil},
		{"a site", func(s *Settings) { s.URL, s.Site = "", "datadoghq.eu" }, nil},
		{"nothing at all", func(s *Settings) { *s = Settings{} }, []string{"site", "api_key", "compression", "gzip_level", "timeout", "max_bytes", "max_events"}},
		{"a site and a url", func(s *Settings) { s.Site = "datadoghq.eu" }, []string{"url"}},
		{"a slip in the site", func(s *Settings) { s.URL, s.Site = "", "datadoghq.co" }, []string{"site"}},
		{"the intake's path", func(s *Settings) { s.URL += "/api/v2/logs" }, []string{"url"}},
		{"a password in the url", func(s *Settings) { s.URL = "https://user:hunter2@intake.example" }, []string{"url"}},
		{"a key in two places", func(s *Settings) { s.APIKey.File = "f" }, []string{"api_key"}},
		{"two tags in one", func(s *Settings) { s.Tags = []string{"a:b", "c:d,e:f"} }, []string{"tags[1]"}},
		{"an empty tag", func(s *Settings) { s.Tags = []string{""} }, []string{"tags[0]"}},
		{"more bytes than a request has", func(s *Settings) { s.MaxBytes = 5_000_000 }, []string{"max_bytes"}},
		{"more entries than a request has", func(s *Settings) { s.MaxEvents = 1001 }, []string{"max_events"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := testSettings("https://intake.example")
			c.change(s)
			var got []string
			if joined, ok := s.Validate().(interface{ Unwrap() []error }); ok {
				for _, err := range joined.Unwrap() {
					if f, ok := errors.AsType[*sinks.FieldError](err); ok {
						got = append(got, f.Field)
					}
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSiteAndSettingsOverDefaults(t *testing.T) {
	s := defaults().(*Settings)
	if err := json.Unmarshal([]byte(`{"site":"us5.datadoghq.com","api_key":{"env":"K"},"compression":"none"}`), s); err != nil {
		t.Fatal(err)
	}
	want := defaults().(*Settings)
	want.Site, want.APIKey, want.Compression = "us5.datadoghq.com", secret.Ref{Env: "K"}, transport.None
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	base, err := s.base()
	if err != nil || base != "https://http-intake.logs.us5.datadoghq.com" {
		t.Errorf("base %q, %v", base, err)
	}
	wantBatching := sinks.Batching{MaxBytes: 4_000_000, MaxEvents: 1000, Linger: time.Second}
	if diff := cmp.Diff(wantBatching, s.Batching()); diff != "" {
		t.Errorf("batching (-want +got):\n%s", diff)
	}
}

func FuzzJudge(f *testing.F) {
	f.Add(202, []byte(`{}`))
	f.Add(202, []byte(``))
	f.Add(400, []byte(`{"errors":[{"status":"400"}]}`))
	f.Add(200, []byte(`<html>`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		err := judge(&transport.Answer{Status: status, Body: body})
		if err == nil {
			if status != http.StatusAccepted || strings.HasPrefix(string(body), "<") {
				t.Errorf("HTTP %d %q is a delivery", status, body)
			}
			return
		}
		if err.Class == sinks.Rejected && status != 400 && status != 413 {
			t.Errorf("HTTP %d rejects events", status)
		}
		if err.Named {
			t.Error("the intake never names an entry")
		}
	})
}

func BenchmarkFrame(b *testing.B) {
	f, e, dst := newFramer(testSettings("http://127.0.0.1")), event(), make([]byte, 0, 4096)
	b.SetBytes(int64(len(e.Value)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Frame(dst, e); err != nil {
			b.Fatal(err)
		}
	}
}
