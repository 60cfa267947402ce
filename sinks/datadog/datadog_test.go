package datadog

import (
	"encoding/json"
	"errors"
	"fmt"
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
		{"everything", full, func(*sinks.Event) {}, `,{"timestamp":1736937000123,"ddsource":"s","ddtags":"env:prod,team:sec,organization_id:org_1,action:user.created","hostname":"h","service":"v\"","message":{"a":1}}`},
		{"nothing set", Settings{}, func(*sinks.Event) {}, `,{"timestamp":1736937000123,"ddtags":"organization_id:org_1,action:user.created","message":{"a":1}}`},
		{"an action that forges tags and fields", Settings{}, func(e *sinks.Event) { e.Action = []byte(`a,env:x","message":"\` + "\n\xff") }, `,{"timestamp":1736937000123,"ddtags":"organization_id:org_1,action:a_env:x___message_:____","message":{"a":1}}`},
		{"no time: that of its record", Settings{}, func(e *sinks.Event) { e.OccurredAt = nil }, `,{"timestamp":1736937001007,"ddtags":"organization_id:org_1,action:user.created","message":{"a":1}}`},
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
		e.Value = []byte(`{"a":"` + strings.Repeat("x", maxEntry-(len(frame)-1)-untimedMore+over) + `"}`)
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
		Tags: "env:test,team:sec,organization_id:org_01JAAAAAAAAAAAAAAAAAAAAAAA,action:user.created",
		Attributes: map[string]json.RawMessage{
			"original_timestamp": []byte("1736937000123"),
			"usr":                []byte(`{"id":"user_01J0000000000000000000000","name":"Ada Lovelace"}`),
			"evt":                []byte(`{"name":"user.created","outcome":"success"}`),
		},
	}}
	if diff := cmp.Diff(want, double.Events()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAttributes(t *testing.T) {
	f := newFramer(&Settings{Attributes: true})
	cases := []struct{ name, action, value, want string }{
		{
			"everything", "user.created",
			`{"action":"user.created","actor":{"id":"u\"1","metadata":{"id":"x"},"name":"Ada","type":"user"},"context":{"location":"203.0.113.7","user_agent":"x"},"id":"e"}`,
			`"usr":{"id":"u\"1","name":"Ada"},"network":{"client":{"ip":"203.0.113.7"}},"evt":{"name":"user.created","outcome":"success"},`,
		},
		{"IPv6", "a.b", `{"action":"a.b","context":{"location":"2001:db8::1"}}`, `"network":{"client":{"ip":"2001:db8::1"}},"evt":{"name":"a.b"},`},
		{"a place", "a.b", `{"action":"a.b","context":{"location":"Berlin"}}`, `"evt":{"name":"a.b"},`},
		{"digits that are no address", "a.b", `{"action":"a.b","context":{"location":"300.1.1.1"}}`, `"evt":{"name":"a.b"},`},
		{"no text", "a.b", `{"action":"a.b","actor":{"id":7,"name":null},"context":{"location":{"a":1}}}`, `"evt":{"name":"a.b"},`},
		{"another format", "a.b", `{"activity_id":1,"actor":{"user":{"uid":"x"}}}`, `"evt":{"name":"a.b"},`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := f.appendAttributes(nil, &sinks.Event{Value: []byte(c.value), Action: []byte(c.action)})
			if string(got) != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
			if !json.Valid(append(append([]byte("{"), got...), `"message":{}}`...)) {
				t.Error("the members are no JSON")
			}
		})
	}
}

// Some actions leave it to their metadata whether they succeeded.
func TestOutcomeFromMetadata(t *testing.T) {
	f := framer{outcomes: map[string]outcome{"a.b": {always: "success", from: "succeeded"}}}
	for value, want := range map[string]string{
		`{"metadata":{"succeeded":true}}`:  "success",
		`{"metadata":{"succeeded":false}}`: "failure",
		`{"metadata":{"succeeded":"no"}}`:  "success",
		`{}`:                               "success",
	} {
		got := f.appendAttributes(nil, &sinks.Event{Value: []byte(value), Action: []byte("a.b")})
		if string(got) != `"evt":{"name":"a.b","outcome":"`+want+`"},` {
			t.Errorf("%s: %s", value, got)
		}
	}
}

// The double drops what the real intake may drop.
func TestEventFromTooFarAwayArrivesWithItsTimeInAnAttribute(t *testing.T) {
	double, sink := newPair(t)
	var noted []string
	sink.options.Note = func(what string, events int) { noted = append(noted, fmt.Sprint(what, " ", events)) }
	now := time.Now()
	var frames []string
	for _, age := range []time.Duration{19 * time.Hour, 0, 400 * 24 * time.Hour, 17 * time.Hour, -3 * time.Hour, -time.Hour} {
		e := event()
		e.OccurredAt = []byte(now.Add(-age).UTC().Format(time.RFC3339))
		frame, err := sink.Frame(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, string(frame))
	}
	b := batchOf(frames...)
	before := string(b.Body)
	if _, err := sink.Deliver(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	var got []bool
	for _, e := range double.Events() {
		_, outdated := e.Attributes["original_timestamp"]
		_, timed := e.Attributes["timestamp"]
		if outdated == timed {
			t.Errorf("an entry has %s", e.Attributes)
		}
		got = append(got, outdated)
	}
	if diff := cmp.Diff([]bool{true, false, true, false, true, false}, got); diff != "" || double.Dropped() != 0 {
		t.Errorf("%d dropped; times in an attribute of their own (-want +got):\n%s", double.Dropped(), diff)
	}
	if diff := cmp.Diff([]string{"outdated 3"}, noted); diff != "" {
		t.Errorf("noted (-want +got):\n%s", diff)
	}
	if string(b.Body) != before {
		t.Error("the batch was changed")
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
	for name, attributes := range map[string]bool{"with attributes": true, "without": false} {
		b.Run(name, func(b *testing.B) {
			settings := testSettings("http://127.0.0.1")
			settings.Attributes = attributes
			f, e, dst := newFramer(settings), event(), make([]byte, 0, 4096)
			b.SetBytes(int64(len(e.Value)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Frame(dst, e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
